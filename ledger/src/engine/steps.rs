//! The engine without threads, for simulations: whoever holds it says which step comes next.
//!
//! The steps are those of the two threads (see `lanes`), cut where the other thread can come in
//! between. The clock, the disk and the order of the steps are the caller's, so a seed that chooses
//! them repeats a whole run. A step that gives an error is where the process would have ended: drop
//! it then, and start again on the same disk.
//!
//! | step | thread | when |
//! |---|---|---|
//! | [`Step::Reserve`] | writer | before each batch, and while the disk is full |
//! | [`Step::Decide`] | decider | something waits: lines, dispatches, reads, timers |
//! | [`Step::HandOver`] | decider | there is a batch and the writer has none |
//! | [`Step::Write`] | writer | it has a batch |
//! | [`Step::Answer`] | writer | the batch is durable: answers leave, dispatches queue up |
//! | [`Step::Durable`] | decider | the writer has answered: its records are read from the log now |

use std::{collections::VecDeque, sync::Arc};

use schemas::{Envelope, Timestamp};
use tokio::sync::oneshot;

use super::{
    Folded, Lines,
    answer::{Answer, Unavailable},
    bulk::Submission,
    core::{Batch, Core},
    dispatcher::{Untaken, dispatches_of},
    lanes::{self, MAX_QUEUED, Read, Release},
    lookup::Lookup,
    recent::Recent,
};
use crate::{
    Error, Result,
    clock::Clock,
    log::{Disk, Head, Log, Options, Reader, Recovery},
    state::State,
};

/// What the engine can do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The writer sees to it that the next batches fit on the disk.
    Reserve,
    /// The decider takes what waits, and decides it.
    Decide,
    /// The decider gives its batch to the writer.
    HandOver,
    /// The writer makes its batch durable.
    Write,
    /// The writer lets the answers of a durable batch leave.
    Answer,
    /// The decider sees that the batch is durable.
    Durable,
}

/// An engine that is driven step by step. Dropping it is the end of the process at that point.
#[derive(Debug)]
pub struct Steps {
    core: Core,
    log: Log,
    reader: Reader,
    waiting: Waiting,
    writer: Writer,
    /// Whether the writer has looked for space since its last batch.
    looked: bool,
    /// There is space for the next batch; not known until the writer has looked.
    room: Option<bool>,
    most_queued: usize,
}

/// What the decider has not taken yet, and what it has read and not handed over.
#[derive(Default)]
struct Waiting {
    callers: VecDeque<Submission>,
    reads: Vec<Read>,
    dispatches: VecDeque<Untaken>,
    releases: Vec<Release>,
}

/// Where the batch of the writer is.
enum Writer {
    Free,
    HandedOver(Batch, Vec<Release>),
    Written(Batch, Vec<Release>),
    Answered,
}

impl Steps {
    /// Opens or creates the ledger in a folder and folds its log.
    pub fn start(disk: Arc<dyn Disk>, options: &Options, clock: Arc<dyn Clock>) -> Result<(Self, Recovery)> {
        let (log, recovery) = Log::open(disk, options)?;
        let reader = log.reader();
        let Folded { states, index, pending, fingerprinter } = Folded::of(&reader)?;
        let lookup = Lookup::new(Recent::new(reader.shards()), index, fingerprinter, reader.clone());
        let core = Core::new(states, lookup, clock, options.max_frame_bytes);
        let waiting = Waiting { dispatches: pending.into_untaken().collect(), ..Waiting::default() };
        let writer = Writer::Free;
        let steps = Self { core, log, reader, waiting, writer, looked: false, room: None, most_queued: MAX_QUEUED };
        Ok((steps, recovery))
    }

    /// Lets the queue take fewer commands than [`MAX_QUEUED`].
    #[must_use]
    pub fn with_queue(mut self, commands: usize) -> Self {
        self.most_queued = commands;
        self
    }

    /// Hands commands in, as [`super::Engine::submit`] does. The answers leave with [`Step::Answer`].
    ///
    /// # Errors
    /// If the queue is full; nothing was decided then.
    pub fn submit(
        &mut self,
        commands: Vec<Envelope>,
        lines: Lines,
    ) -> Result<oneshot::Receiver<Vec<Answer>>, (Unavailable, Vec<Envelope>)> {
        let queued: usize = self.waiting.callers.iter().map(|submission| submission.commands.len()).sum();
        if !lanes::fit(queued + self.core.unanswered(), commands.len(), self.most_queued) {
            return Err((Unavailable::Busy, commands));
        }
        let (reply, answers) = oneshot::channel();
        self.waiting.callers.push_back(Submission { commands, ordered: lines == Lines::InOrder, reply });
        Ok(answers)
    }

    /// Asks for what `read` makes of the states, once everything that it saw is durable.
    pub fn read<T: Send + 'static>(
        &mut self,
        read: impl FnOnce(&[State]) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (reply, answer) = oneshot::channel();
        self.waiting.reads.push(Box::new(move |states| {
            let seen = read(states);
            Box::new(move || {
                // Who asked may have gone.
                let _ = reply.send(seen);
            })
        }));
        answer
    }

    /// The steps that can be taken now. While the disk is full, [`Step::Reserve`] is always among them.
    pub fn ready(&self) -> Vec<Step> {
        let steps = [Step::Reserve, Step::Decide, Step::HandOver, Step::Write, Step::Answer, Step::Durable];
        steps.into_iter().filter(|step| self.is_ready(*step)).collect()
    }

    fn is_ready(&self, step: Step) -> bool {
        match step {
            // A writer that has a batch and has looked writes it first.
            Step::Reserve => match &self.writer {
                Writer::HandedOver(..) => !self.looked,
                Writer::Written(..) => false,
                Writer::Free | Writer::Answered => !self.looked || self.room == Some(false),
            },
            Step::Decide => self.core.has_room() && self.room.is_some_and(|room| self.has_work(room)),
            Step::HandOver => self.has_batch() && matches!(self.writer, Writer::Free),
            Step::Write => matches!(self.writer, Writer::HandedOver(..)) && self.looked,
            Step::Answer => matches!(self.writer, Writer::Written(..)),
            Step::Durable => matches!(self.writer, Writer::Answered),
        }
    }

    fn has_work(&self, room: bool) -> bool {
        let Waiting { callers, reads, dispatches, .. } = &self.waiting;
        let asked = self.core.has_queued() || !callers.is_empty() || !reads.is_empty();
        let timers_due = || self.core.wakes_at().is_some_and(|at| at <= self.core.now());
        asked || if room { !dispatches.is_empty() || timers_due() } else { self.core.has_waits() }
    }

    fn has_batch(&self) -> bool {
        self.core.has_batch() || !self.waiting.releases.is_empty()
    }

    /// Takes a step.
    ///
    /// # Errors
    /// What would have ended the process.
    ///
    /// # Panics
    /// If the step is not among [`Self::ready`].
    pub fn take(&mut self, step: Step) -> Result<()> {
        assert!(self.is_ready(step), "{step:?} is not ready");
        match step {
            Step::Reserve => return self.reserve(),
            Step::Decide => return self.decide(),
            Step::Write => return self.write(),
            Step::HandOver => {
                let releases = std::mem::take(&mut self.waiting.releases);
                self.writer = Writer::HandedOver(self.core.hand_over(), releases);
            }
            Step::Answer => self.answer(),
            Step::Durable => {
                drop(self.core.durable());
                self.writer = Writer::Free;
            }
        }
        Ok(())
    }

    fn reserve(&mut self) -> Result<()> {
        self.room = match self.log.ensure_room() {
            Ok(()) => Some(true),
            Err(Error::Full { .. }) => Some(false),
            Err(error) => return Err(error),
        };
        self.looked = true;
        Ok(())
    }

    fn decide(&mut self) -> Result<()> {
        let room = self.room == Some(true);
        let submissions = std::mem::take(&mut self.waiting.callers);
        let mut none = VecDeque::new();
        let dispatches = if room { &mut self.waiting.dispatches } else { &mut none };
        let step = lanes::decide_step(&mut self.core, submissions, dispatches, room);
        let reads = std::mem::take(&mut self.waiting.reads);
        self.waiting.releases.extend(reads.into_iter().map(|read| read(&self.core.states)));
        step
    }

    fn write(&mut self) -> Result<()> {
        let Writer::HandedOver(batch, releases) = std::mem::replace(&mut self.writer, Writer::Free) else {
            unreachable!("a write is ready once a batch was handed over")
        };
        self.log.append(&batch.records)?;
        self.writer = Writer::Written(batch, releases);
        Ok(())
    }

    fn answer(&mut self) {
        let Writer::Written(batch, releases) = std::mem::replace(&mut self.writer, Writer::Answered) else {
            unreachable!("answers are ready once a batch was written")
        };
        let Batch { records, replies, .. } = batch;
        for reply in replies {
            // Who asked may have gone; the records stand all the same.
            let _ = reply.to.send(reply.answers);
        }
        for release in releases {
            release();
        }
        self.waiting.dispatches.extend(records.iter().flatten().flat_map(dispatches_of));
        self.looked = false;
    }

    /// Whether nothing is under way, everything is durable and everybody is answered. On a full disk
    /// dispatches stay on the log until there is space.
    pub fn is_at_rest(&self) -> bool {
        self.ready().into_iter().all(|step| step == Step::Reserve && self.looked) && self.core.unanswered() == 0
    }

    /// When something has to be done although nobody asks.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        self.core.wakes_at()
    }

    /// The bytes of each shard's state, decided and not yet durable records included.
    pub fn states(&self) -> Vec<Vec<u8>> {
        self.core.states.iter().map(State::to_bytes).collect()
    }

    /// A reader of what is durable.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Ends in order. What is under way is lost unless it [is at rest](Self::is_at_rest).
    pub fn close(self) -> Result<Head> {
        let head = self.log.head();
        self.log.close().map(|()| head)
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting")
            .field("callers", &self.callers)
            .field("reads", &self.reads.len())
            .field("dispatches", &self.dispatches)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Free => "free",
            Self::HandedOver(..) => "handed over",
            Self::Written(..) => "written",
            Self::Answered => "answered",
        })
    }
}
