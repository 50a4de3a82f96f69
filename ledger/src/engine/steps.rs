//! The engine without threads, for simulations: whoever holds it says which step comes next.
//!
//! The steps are those of the threads (see `threads`), cut where another one can come in between. The clock, the disk and the order of the steps are the caller's, so a seed that chooses
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
//! | [`Step::Find`] | finder | lines need something from the disk |
//! | [`Step::Seal`], [`Step::Merge`] | keeper | a table of the index is frozen; something was sealed |
//! | [`Step::Adopt`] | decider | the keeper has made other runs |
//! | [`Step::Snapshot`] | folder | a segment was sealed, or the engine has just started |

use std::sync::{Arc, atomic::AtomicBool};

use schemas::{Envelope, Timestamp};
use tokio::sync::oneshot;

use super::{
    Lines, Options,
    answer::{Answer, Unavailable},
    bulk::Submission,
    caller::Caller,
    core::{Core, Decided},
    finder::Finder,
    inbox::Inbox,
    lanes::{self, MAX_QUEUED, Read, Release},
    prepare::Preparer,
    start::Opened,
    writing,
};
use crate::{
    Error, Result,
    clock::Clock,
    index::{Frozen, Home, Merged, Runs, Sealer},
    log::{Disk, Head, Log, Reader, Recovery},
    snapshot::{self, Plan},
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
    /// The finder looks up some of what lines need from the disk.
    Find,
    /// The keeper seals what of the index is frozen.
    Seal,
    /// The keeper goes on with merging.
    Merge,
    /// The decider looks into other runs from now on.
    Adopt,
    /// The folder looks whether a snapshot is worth making, and makes it.
    Snapshot,
}

impl Step {
    /// All steps.
    pub const ALL: [Self; 11] = [
        Self::Reserve,
        Self::Decide,
        Self::HandOver,
        Self::Write,
        Self::Answer,
        Self::Durable,
        Self::Find,
        Self::Seal,
        Self::Merge,
        Self::Adopt,
        Self::Snapshot,
    ];
}

/// An engine that is driven step by step. Dropping it is the end of the process at that point.
#[derive(Debug)]
pub struct Steps {
    core: Core,
    log: Log,
    reader: Reader,
    preparer: Preparer,
    sealer: Sealer,
    snapshots: Plan,
    inbox: Inbox,
    waiting: Waiting,
    writer: Writer,
    /// Whether the writer has looked for space since its last batch.
    looked: bool,
    /// There is space for the next batch; not known until the writer has looked.
    room: Option<bool>,
    most_queued: usize,
    /// Where the last quest found its record.
    found: Option<Home>,
}

/// What waits for one of the threads, besides the inbox.
struct Waiting {
    reads: Vec<Read>,
    releases: Vec<Release>,
    finder: Finder,
    frozen: Option<Arc<Frozen>>,
    /// The disk was full when it was to be sealed.
    unsealed: bool,
    runs: Option<Arc<Runs>>,
    /// There may be something to merge.
    merging: bool,
    /// How many segments the folder has seen sealed; none before its first look.
    folded: Option<u64>,
}

/// Where the batch of the writer is.
enum Writer {
    Free,
    HandedOver(Decided, Vec<Release>),
    Written(Decided, Vec<Release>),
    Answered,
}

impl Steps {
    /// Opens or creates the ledger in a folder and folds its log.
    pub fn start(disk: Arc<dyn Disk>, options: impl Into<Options>, clock: Arc<dyn Clock>) -> Result<(Self, Recovery)> {
        let options = options.into();
        let Opened { log, recovery, core, sealer, preparer, untaken, frozen } = Opened::open(disk, &options, clock)?;
        let reader = log.reader();
        let steps = Self {
            core,
            reader: reader.clone(),
            log,
            preparer,
            sealer,
            snapshots: options.snapshots,
            inbox: Inbox { dispatches: untaken.into(), ..Inbox::default() },
            waiting: Waiting {
                reads: Vec::new(),
                releases: Vec::new(),
                finder: Finder::new(reader),
                frozen,
                unsealed: false,
                runs: None,
                merging: true,
                folded: None,
            },
            writer: Writer::Free,
            looked: false,
            room: None,
            most_queued: MAX_QUEUED,
            found: None,
        };
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
        caller: &Caller,
        commands: Vec<Envelope>,
        lines: Lines,
    ) -> Result<oneshot::Receiver<Vec<Answer>>, (Unavailable, Vec<Envelope>)> {
        let queued: usize = self.inbox.callers.iter().map(|submission| submission.content.commands.len()).sum();
        if !lanes::fit(queued + self.core.unanswered(), commands.len(), self.most_queued) {
            return Err((Unavailable::Busy, commands));
        }
        let (reply, answers) = oneshot::channel();
        let content = self.preparer.content(caller, commands);
        self.inbox.callers.push_back(Submission { content, ordered: lines == Lines::InOrder, reply });
        Ok(answers)
    }

    /// Asks for what `read` makes of the states, once everything that it saw is durable.
    pub fn read<T: Send + 'static>(
        &mut self,
        read: impl FnOnce(&[State]) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (reply, answer) = oneshot::channel();
        self.waiting.reads.push(Box::new(move |core| {
            let seen = read(&core.states);
            Box::new(move || {
                // Who asked may have gone.
                let _ = reply.send(seen);
            })
        }));
        answer
    }

    /// The steps that can be taken now. While the disk is full, [`Step::Reserve`] is always among them.
    pub fn ready(&self) -> Vec<Step> {
        Step::ALL.into_iter().filter(|step| self.is_ready(*step)).collect()
    }

    fn is_ready(&self, step: Step) -> bool {
        match step {
            // A writer that has a batch and has looked writes it first.
            Step::Reserve => match &self.writer {
                Writer::HandedOver(..) => !self.looked,
                Writer::Written(..) => false,
                Writer::Free | Writer::Answered => !self.looked || self.room == Some(false),
            },
            Step::Decide => (self.core.has_room() || self.is_stuck()) && self.room().is_some_and(|r| self.has_work(r)),
            Step::HandOver => self.has_batch() && matches!(self.writer, Writer::Free),
            Step::Write => matches!(self.writer, Writer::HandedOver(..)) && self.looked,
            Step::Answer => matches!(self.writer, Writer::Written(..)),
            Step::Durable => matches!(self.writer, Writer::Answered),
            Step::Find => !self.waiting.finder.is_idle(),
            Step::Seal => self.waiting.frozen.is_some(),
            Step::Merge => self.waiting.merging && self.waiting.frozen.is_none(),
            Step::Adopt => self.waiting.runs.is_some(),
            Step::Snapshot => self.waiting.folded != Some(self.log.stats().segments),
        }
    }

    /// Whether the index takes nothing more, as the disk has no room for what of it is frozen.
    fn is_stuck(&self) -> bool {
        self.waiting.unsealed && self.core.waits_for_seal()
    }

    /// Whether there is room for the next batch, and for its entries.
    fn room(&self) -> Option<bool> {
        self.room.map(|room| room && !self.is_stuck())
    }

    fn has_work(&self, room: bool) -> bool {
        let Inbox { callers, findings, dispatches } = &self.inbox;
        let asked =
            self.core.has_queued() || !callers.is_empty() || !findings.is_empty() || !self.waiting.reads.is_empty();
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
                // One that found no room waits on: no other is frozen meanwhile.
                if let Some(frozen) = self.core.durable() {
                    self.waiting.frozen = Some(frozen);
                }
                self.writer = Writer::Free;
            }
            Step::Find => return self.find(),
            Step::Seal => return self.seal(),
            Step::Merge => return self.merge(),
            Step::Adopt => self.waiting.runs.take().into_iter().for_each(|runs| self.core.adopt(runs)),
            Step::Snapshot => {
                self.waiting.folded = Some(self.log.stats().segments);
                // A start takes longer without it, and that is all; the next segment is another occasion.
                drop(snapshot::fold(&self.reader, &self.snapshots, &AtomicBool::new(false)));
            }
        }
        Ok(())
    }

    fn find(&mut self) -> Result<()> {
        let findings = self.waiting.finder.find()?;
        if let Some(last) = findings.last() {
            self.found = last.found.as_ref().map(|found| self.core.home(&found.record));
        }
        self.inbox.findings.extend(findings);
        Ok(())
    }

    /// On a full disk the table stays frozen.
    fn seal(&mut self) -> Result<()> {
        let Some(frozen) = self.waiting.frozen.take() else { return Ok(()) };
        let sealed = self.sealer.seal(&frozen);
        self.waiting.unsealed = matches!(sealed, Err(Error::Full { .. }));
        match sealed {
            Ok(runs) => self.waiting.runs = Some(runs),
            Err(Error::Full { .. }) => self.waiting.frozen = Some(frozen),
            Err(error) => return Err(error),
        }
        self.waiting.merging = true;
        Ok(())
    }

    fn merge(&mut self) -> Result<()> {
        match self.sealer.merge() {
            Ok(Merged::Nothing) => self.waiting.merging = false,
            Ok(Merged::Piece) | Err(Error::Full { .. }) => {}
            Ok(Merged::Level(runs)) => self.waiting.runs = Some(runs),
            Err(error) => return Err(error),
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
        let room = self.room() == Some(true);
        let step = self.inbox.decide(&mut self.core, room);
        let reads = std::mem::take(&mut self.waiting.reads);
        self.waiting.releases.extend(reads.into_iter().map(|read| read(&mut self.core)));
        self.waiting.finder.take(self.core.take_quests());
        step
    }

    fn write(&mut self) -> Result<()> {
        let Writer::HandedOver(decided, releases) = std::mem::replace(&mut self.writer, Writer::Free) else {
            unreachable!("a write is ready once a batch was handed over")
        };
        self.log.append(&decided.batch)?;
        self.writer = Writer::Written(decided, releases);
        Ok(())
    }

    fn answer(&mut self) {
        let Writer::Written(decided, releases) = std::mem::replace(&mut self.writer, Writer::Answered) else {
            unreachable!("answers are ready once a batch was written")
        };
        self.inbox.dispatches.extend(writing::answer(decided, releases));
        self.looked = false;
    }

    /// Whether nothing is under way, everything is durable and everybody is answered. On a full disk
    /// dispatches stay on the log until there is space.
    pub fn is_at_rest(&self) -> bool {
        let background = [Step::Seal, Step::Merge, Step::Adopt, Step::Snapshot];
        let waits = |step| step == Step::Reserve && self.looked || background.contains(&step);
        let asked = self.room().is_some_and(|room| self.has_work(room)) || self.core.unanswered() > 0;
        self.ready().into_iter().all(waits) && !asked
    }

    /// When something has to be done although nobody asks.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        self.core.wakes_at()
    }

    /// Where the last [`Step::Find`] has found its record; `None` if it has found none.
    pub fn found(&self) -> Option<Home> {
        self.found
    }

    /// How many lines have had something looked up and are not answered.
    pub fn open_quests(&self) -> usize {
        self.core.open_quests()
    }

    /// How many of them wait behind others.
    pub fn parked_quests(&self) -> usize {
        self.core.parked_quests()
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
    pub fn close(mut self) -> Result<Head> {
        let head = self.log.head();
        self.log.close().map(|()| head)
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting")
            .field("reads", &self.reads.len())
            .field("finder", &self.finder)
            .field("merging", &self.merging)
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
