//! The engine: two threads around the two functions.
//!
//! The **decider** takes everything that is queued, decides and applies it, and hands the batch to
//! the **writer**, which encodes it, writes it in one frame and syncs it; meanwhile the decider goes
//! on with the next batch, which is written after that. So at most one frame is unsynced.
//! An answer leaves once the batch is durable in which it was found, a duplicate's, a conflict's
//! and a read's too: each could have seen what that batch holds. A write error ends the engine:
//! nothing that was decided is unwound, callers are left without an answer and ask again.

mod answer;
mod bulk;
mod core;
mod dispatcher;
mod flows;
mod lanes;
mod lookup;
mod recent;
mod steps;
mod timers;

use std::{sync::Arc, thread::JoinHandle};

use schemas::{Envelope, Shard};
use tokio::sync::oneshot;

use self::{
    bulk::Submission,
    core::Core,
    dispatcher::Pending,
    lanes::{Lanes, Read},
    lookup::Lookup,
    recent::Recent,
};
use crate::{
    Error, Result,
    clock::Clock,
    index::{Fingerprinter, Index, Place},
    log::{Check, Disk, Head, Log, Options, Reader, Recovery, Stats},
    state::State,
};

pub use answer::{Answer, Refused, Taken, Unavailable};
pub use lanes::MAX_QUEUED;
pub use steps::{Step, Steps};

/// A running ledger. Dropping it stops the threads where they are; [`Engine::close`] ends in order.
#[derive(Debug)]
pub struct Engine {
    lanes: Arc<Lanes>,
    decider: Option<JoinHandle<()>>,
    writer: Option<JoinHandle<()>>,
    reader: Reader,
    shards: Shard,
}

/// Whether the lines of a submission depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// A user's lines happen in their order: each waits until the one before has ended.
    InOrder,
    /// They are independent.
    Independent,
}

impl Engine {
    /// Opens or creates the ledger in a folder, folds its log and starts.
    pub fn start(disk: Arc<dyn Disk>, options: &Options, clock: Arc<dyn Clock>) -> Result<(Self, Recovery)> {
        let (log, recovery) = Log::open(disk, options)?;
        let reader = log.reader();
        let Folded { states, index, pending, fingerprinter } = Folded::of(&reader)?;
        let shards = reader.shards();
        let lookup = Lookup::new(Recent::new(shards), index, fingerprinter, reader.clone());
        let core = Core::new(states, lookup, clock, options.max_frame_bytes);
        let lanes = Arc::new(Lanes::new(pending.into_untaken()));
        let decider = {
            let lanes = Arc::clone(&lanes);
            spawn("decider", move || lanes::decide(&lanes, core))?
        };
        let writer = {
            let lanes = Arc::clone(&lanes);
            spawn("writer", move || lanes::write(&lanes, log))?
        };
        Ok((Self { lanes, decider: Some(decider), writer: Some(writer), reader, shards }, recovery))
    }

    /// How many shards the ledger has.
    pub fn shards(&self) -> Shard {
        self.shards
    }

    /// A reader of what is durable.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// What the log has asked of the disk since the start.
    pub fn stats(&self) -> Stats {
        self.lanes.stats()
    }

    /// Hands commands in; the answers come in their order, once they are durable. A receiver that
    /// ends without answers says that the engine stopped: whether they were taken is not known, so
    /// ask again with the same ids.
    ///
    /// # Errors
    /// If the queue is full or the engine has stopped; nothing was decided then.
    pub fn submit(
        &self,
        commands: Vec<Envelope>,
        lines: Lines,
    ) -> Result<oneshot::Receiver<Vec<Answer>>, (Unavailable, Vec<Envelope>)> {
        let (reply, answers) = oneshot::channel();
        let submission = Submission { commands, ordered: lines == Lines::InOrder, reply };
        self.lanes.submit(submission).map_err(|(why, refused)| (why, refused.commands))?;
        Ok(answers)
    }

    /// Hands commands in, waits for room in the queue where it is full, and for the answers.
    pub fn execute(&self, commands: Vec<Envelope>, lines: Lines) -> Vec<Answer> {
        let count = commands.len();
        if count == 0 {
            return Vec::new();
        }
        let stopped = || vec![Answer::Unavailable(Unavailable::Stopped); count];
        let mut commands = commands;
        loop {
            match self.submit(commands, lines) {
                Ok(answers) => return answers.blocking_recv().unwrap_or_else(|_| stopped()),
                Err((Unavailable::Busy, refused)) => {
                    commands = refused;
                    self.lanes.wait_for_room(count);
                }
                Err((why, _)) => return vec![Answer::Unavailable(why); count],
            }
        }
    }

    /// What `read` makes of the states of all shards, once everything that it saw is durable.
    pub fn read<T: Send + 'static>(&self, read: impl FnOnce(&[State]) -> T + Send + 'static) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let read: Read = Box::new(move |states| {
            let seen = read(states);
            Box::new(move || {
                // Who asked may have gone.
                let _ = reply.send(seen);
            })
        });
        self.lanes.read(read);
        answer.blocking_recv().map_err(|_| self.why_stopped())
    }

    /// Waits until nothing is queued, every dispatch is taken and all is durable.
    pub fn settle(&self) -> Result<()> {
        self.lanes.settle().map_err(|()| self.why_stopped())
    }

    /// Takes no more commands, ends what is under way, and closes the log.
    pub fn close(mut self) -> Result<Head> {
        let settled = self.lanes.settle();
        self.lanes.close();
        self.join();
        let head = self.reader.head();
        match (settled, self.lanes.failure()) {
            (_, Some(error)) => Err(error),
            (Err(()), None) => Err(Error::EngineStopped),
            (Ok(()), None) => Ok(head),
        }
    }

    fn why_stopped(&self) -> Error {
        self.lanes.failure().unwrap_or(Error::EngineStopped)
    }

    fn join(&mut self) {
        for thread in [self.decider.take(), self.writer.take()].into_iter().flatten() {
            if let Err(panic) = thread.join()
                && !std::thread::panicking()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.lanes.abandon();
        self.join();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Error::Thread)
}

/// What a log folds to.
struct Folded {
    states: Vec<State>,
    index: Index,
    pending: Pending,
    fingerprinter: Fingerprinter,
}

impl Folded {
    fn of(reader: &Reader) -> Result<Self> {
        let shards = reader.shards();
        // The index lives and dies with the process, and so does its key.
        let fingerprinter = Fingerprinter::new(rand::random());
        let mut folded = Self {
            states: (0..shards).map(|shard| State::new(shard, shards)).collect(),
            index: Index::default(),
            pending: Pending::default(),
            fingerprinter,
        };
        for frame in reader.frames(Check::Frame) {
            for record in &frame?.records {
                let at = Place::new(record.shard, record.sequence);
                record.keys(|key| folded.index.insert(fingerprinter.of(&key), at));
                folded.pending.note(record);
                folded.states[usize::from(record.shard)].apply(record);
            }
        }
        Ok(folded)
    }
}
