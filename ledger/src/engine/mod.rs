//! The engine: threads around the two functions.
//!
//! Who hands commands in **prepares** them. The **decider** takes everything that is queued, decides
//! and applies it, encodes the records, and hands the batch to the **writer**, which writes it in one
//! frame and syncs it; meanwhile the decider goes on with the next batch, which is written after that.
//! So at most one frame is unsynced. The **finder** looks up what lines need from the disk, the
//! **keeper** seals and merges the index, the **folder** makes snapshots; none of them is waited for
//! by a new command.
//!
//! An answer leaves once the batch is durable in which it was found, a duplicate's, a conflict's
//! and a read's too: each could have seen what that batch holds. A write error ends the engine:
//! nothing that was decided is unwound, callers are left without an answer and ask again.

mod answer;
mod bulk;
mod caller;
mod conflict;
mod core;
mod dispatcher;
mod finder;
mod flows;
mod inbox;
mod lanes;
mod looking;
mod lookup;
mod prepare;
mod quests;
mod quota;
mod recent;
mod start;
mod steps;
mod threads;
mod timers;
mod writing;

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use schemas::{Envelope, Shard};
use tokio::sync::oneshot;

use self::{
    bulk::{Content, Submission},
    core::Core,
    lanes::{Lanes, Read},
    prepare::Preparer,
    start::Opened,
};
use crate::{
    Error, Result,
    clock::Clock,
    index,
    log::{self, Disk, Head, Log, Reader, Recovery, Stats},
    snapshot::Plan,
    state::State,
};

pub use self::core::Checked;
pub use answer::{Answer, Refused, Taken, Unavailable};
pub use caller::Caller;
pub use conflict::{Conflict, Difference};
pub use lanes::MAX_QUEUED;
pub use looking::Outcome;
pub use steps::{Step, Steps};

/// A running ledger. Dropping it stops the threads where they are; [`Engine::close`] ends in order.
#[derive(Debug)]
pub struct Engine {
    lanes: Arc<Lanes>,
    threads: Vec<JoinHandle<()>>,
    log: Arc<Mutex<Log>>,
    reader: Reader,
    preparer: Preparer,
}

/// How an engine runs.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How the log is written.
    pub log: log::Options,
    /// How the index is kept.
    pub index: index::Options,
    /// When snapshots are made.
    pub snapshots: Plan,
    /// A person has looked at the clock: it may be far behind the last record.
    pub accept_clock: bool,
}

impl From<&log::Options> for Options {
    fn from(log: &log::Options) -> Self {
        Self { log: log.clone(), ..Self::default() }
    }
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
    /// Opens or creates the ledger in a folder, folds what came after its newest snapshot, and starts.
    pub fn start(disk: Arc<dyn Disk>, options: impl Into<Options>, clock: Arc<dyn Clock>) -> Result<(Self, Recovery)> {
        let options = options.into();
        let Opened { log, recovery, core, sealer, preparer, untaken, frozen } = Opened::open(disk, &options, clock)?;
        let reader = log.reader();
        let log = Arc::new(Mutex::new(log));
        let lanes = Arc::new(Lanes::new(untaken.into_iter(), frozen));
        let mut engine = Self { lanes, threads: Vec::new(), log, reader, preparer };
        engine.spawn("decider", |lanes, log, _| threads::decide(lanes, core, log))?;
        engine.spawn("writer", |lanes, log, _| threads::write_batches(lanes, log))?;
        engine.spawn("finder", |lanes, _, reader| threads::find(lanes, reader))?;
        engine.spawn("keeper", |lanes, _, _| threads::keep(lanes, sealer))?;
        engine.spawn("folder", move |lanes, _, reader| threads::fold(lanes, &reader, &options.snapshots))?;
        Ok((engine, recovery))
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce(&Lanes, &Mutex<Log>, Reader) + Send + 'static) -> Result<()> {
        let (lanes, log, reader) = (self.lanes.clone(), self.log.clone(), self.reader.clone());
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&lanes, &log, reader));
        self.threads.push(thread.map_err(Error::Thread)?);
        Ok(())
    }

    /// How many shards the ledger has.
    pub fn shards(&self) -> Shard {
        self.preparer.shards
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
        caller: &Caller,
        commands: Vec<Envelope>,
        lines: Lines,
    ) -> Result<oneshot::Receiver<Vec<Answer>>, (Unavailable, Vec<Envelope>)> {
        let content = self.preparer.content(caller, commands);
        self.hand_in(content, lines).map_err(|(why, refused)| (why, refused.commands))
    }

    fn hand_in(
        &self,
        content: Content,
        lines: Lines,
    ) -> Result<oneshot::Receiver<Vec<Answer>>, (Unavailable, Content)> {
        let (reply, answers) = oneshot::channel();
        let submission = Submission { content, ordered: lines == Lines::InOrder, reply };
        self.lanes.submit(submission).map_err(|(why, refused)| (why, refused.content))?;
        Ok(answers)
    }

    /// Hands commands in, waits for room in the queue where it is full, and for the answers.
    pub fn execute(&self, caller: &Caller, commands: Vec<Envelope>, lines: Lines) -> Vec<Answer> {
        let count = commands.len();
        if count == 0 {
            return Vec::new();
        }
        let stopped = || vec![Answer::Unavailable(Unavailable::Stopped); count];
        let mut content = self.preparer.content(caller, commands);
        loop {
            match self.hand_in(content, lines) {
                Ok(answers) => return answers.blocking_recv().unwrap_or_else(|_| stopped()),
                Err((Unavailable::Busy, refused)) => {
                    content = refused;
                    self.lanes.wait_for_room(count);
                }
                Err((why, _)) => return vec![Answer::Unavailable(why); count],
            }
        }
    }

    /// What `read` makes of the states of all shards, once everything that it saw is durable.
    pub fn read<T: Send + 'static>(&self, read: impl FnOnce(&[State]) -> T + Send + 'static) -> Result<T> {
        self.look(move |core| read(&core.states))
    }

    /// What would come of a command now, without recording it. It waits until everything that it saw is durable.
    ///
    /// # Errors
    /// [`Error::EngineStopped`], or why it stopped; where the log could not be read.
    pub fn check(&self, caller: &Caller, envelope: Envelope) -> Result<Checked> {
        let content = self.preparer.content(caller, vec![envelope]);
        self.look(move |core| core.check(&content))?
    }

    fn look<T: Send + 'static>(&self, look: impl FnOnce(&mut Core) -> T + Send + 'static) -> Result<T> {
        self.ask(look).blocking_recv().map_err(|_| self.why_stopped())
    }

    fn ask<T: Send + 'static>(&self, look: impl FnOnce(&mut Core) -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (reply, answer) = oneshot::channel();
        let read: Read = Box::new(move |core| {
            let seen = look(core);
            Box::new(move || {
                // Who asked may have gone.
                let _ = reply.send(seen);
            })
        });
        self.lanes.read(read);
        answer
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
        match (settled, self.lanes.failure()) {
            (_, Some(error)) => Err(error),
            (Err(()), None) => Err(Error::EngineStopped),
            (Ok(()), None) => {
                self.log.lock().unwrap_or_else(PoisonError::into_inner).close()?;
                Ok(self.reader.head())
            }
        }
    }

    fn why_stopped(&self) -> Error {
        self.lanes.failure().unwrap_or(Error::EngineStopped)
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
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
