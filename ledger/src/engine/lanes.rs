//! The queues between callers and the engine's threads.
//!
//! Every queue is bounded: callers at the door; dispatches, quests and findings by the commands that
//! wait for them; the writer by one batch; the sealer by one table.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    answer::Unavailable,
    bulk::Submission,
    core::{Core, Decided},
    dispatcher::Untaken,
    finder::Quest,
    health::Latencies,
    inbox::Inbox,
};
use crate::{
    Error,
    index::{Frozen, Runs},
    log::Stats,
};

/// The most commands that may wait: sixteen bulks of the usual 8,189 lines. At about 1 KiB each
/// with their answers they take 128 MiB.
pub const MAX_QUEUED: usize = 131_072;

/// Until somebody wakes the thread.
pub(super) const A_LONG_WHILE: Duration = Duration::from_hours(1);

/// Asks the states something; what it returns is run once all that it saw is durable.
pub(crate) type Read = Box<dyn FnOnce(&mut Core) -> Release + Send>;
pub(crate) type Release = Box<dyn FnOnce() + Send>;

/// The queues.
#[derive(Debug)]
pub(crate) struct Lanes {
    queues: Mutex<Queues>,
    /// For the decider.
    pub(super) work: Condvar,
    /// For the writer.
    pub(super) batch: Condvar,
    /// For the finder.
    pub(super) search: Condvar,
    /// For the keeper of the index.
    pub(super) keep: Condvar,
    /// For the folder of snapshots.
    pub(super) fold: Condvar,
    /// Long work is to be left.
    pub(super) stop: AtomicBool,
    /// For callers who wait for room or for rest.
    pub(super) rest: Condvar,
}

/// What passes between the threads.
#[expect(clippy::struct_excessive_bools, reason = "each says one thing that another thread waits for")]
pub(super) struct Queues {
    pub(super) inbox: Inbox,
    /// Commands of callers in `inbox`.
    pub(super) queued: usize,
    /// Commands that the decider has taken and that are not answered.
    pub(super) undecided: usize,
    pub(super) reads: Vec<Read>,
    pub(super) to_write: Option<(Decided, Vec<Release>)>,
    pub(super) writer: Writer,
    pub(super) quests: Vec<Quest>,
    /// What the findings in `inbox` take, as on the log.
    pub(super) found_bytes: usize,
    /// Segments were sealed that the folder has not seen.
    pub(super) to_fold: bool,
    /// What of the index is to be sealed.
    pub(super) sealing: Option<Arc<Frozen>>,
    /// The disk was full when something was to be sealed last.
    pub(super) unsealed: bool,
    /// And the index takes nothing more until it is.
    pub(super) stuck: bool,
    /// What the keeper has sealed or merged.
    pub(super) runs: Option<Arc<Runs>>,
    /// The decider sleeps: whoever has something for it must wake it.
    pub(super) asleep: bool,
    /// The decider has nothing to do.
    pub(super) idle: bool,
    /// There is space for the next batch; not known until the writer has looked.
    pub(super) room: Option<bool>,
    /// What the log has asked of the disk.
    pub(super) stats: Stats,
    /// How long batches took to become durable.
    pub(super) writes: Latencies,
    pub(super) ending: Ending,
    /// A thread has ended early.
    pub(super) failed: bool,
    /// Why, until someone is told.
    failure: Option<Error>,
}

/// What the writer is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    Free,
    Writing,
    /// Its batch is durable, which the decider has not seen yet.
    Written,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Open,
    /// In order: the log is closed.
    Close,
    /// At once: as after a crash.
    Abandon,
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queues").field("queued", &self.queued).field("ending", &self.ending).finish_non_exhaustive()
    }
}

impl Lanes {
    pub(crate) fn new(untaken: impl Iterator<Item = Untaken>, frozen: Option<Arc<Frozen>>) -> Self {
        Self {
            queues: Mutex::new(Queues {
                inbox: Inbox { dispatches: untaken.collect(), ..Inbox::default() },
                queued: 0,
                undecided: 0,
                reads: Vec::new(),
                to_write: None,
                writer: Writer::Free,
                quests: Vec::new(),
                found_bytes: 0,
                to_fold: true, // what was sealed before this start
                sealing: frozen,
                unsealed: false,
                stuck: false,
                runs: None,
                asleep: false,
                idle: false,
                room: None,
                stats: Stats::default(),
                writes: Latencies::default(),
                ending: Ending::Open,
                failed: false,
                failure: None,
            }),
            work: Condvar::new(),
            batch: Condvar::new(),
            search: Condvar::new(),
            keep: Condvar::new(),
            fold: Condvar::new(),
            stop: AtomicBool::new(false),
            rest: Condvar::new(),
        }
    }

    /// A thread that panicked has left the queues as they were between two steps.
    pub(super) fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn submit(&self, submission: Submission) -> Result<(), (Unavailable, Submission)> {
        let mut queues = self.lock();
        if queues.has_stopped() {
            return Err((Unavailable::Stopped, submission));
        }
        let commands = submission.content.commands.len();
        if !queues.fit(commands) {
            return Err((Unavailable::Busy, submission));
        }
        queues.queued += commands;
        queues.inbox.callers.push_back(submission);
        queues.idle = false;
        self.wake_decider(&mut queues);
        Ok(())
    }

    pub(crate) fn read(&self, read: Read) {
        let mut queues = self.lock();
        if !queues.has_stopped() {
            queues.reads.push(read);
            queues.idle = false;
            self.wake_decider(&mut queues);
        }
    }

    /// Wakes the decider if it sleeps: a wake-up that nobody needs is a call into the kernel all the same.
    pub(super) fn wake_decider(&self, queues: &mut Queues) {
        if std::mem::take(&mut queues.asleep) {
            self.work.notify_one();
        }
    }

    /// Waits until `commands` more fit.
    pub(crate) fn wait_for_room(&self, commands: usize) {
        let queues = self.lock();
        drop(self.rest.wait_while(queues, |q| !q.fit(commands) && !q.has_stopped()));
    }

    /// Waits until nothing is under way.
    pub(crate) fn settle(&self) -> Result<(), ()> {
        let queues = self.lock();
        let queues = self.rest.wait_while(queues, |q| !q.is_at_rest() && !q.has_stopped());
        let queues = queues.unwrap_or_else(PoisonError::into_inner);
        if queues.is_at_rest() { Ok(()) } else { Err(()) }
    }

    pub(crate) fn close(&self) {
        self.end(Ending::Close);
    }

    pub(crate) fn abandon(&self) {
        self.end(Ending::Abandon);
    }

    fn end(&self, ending: Ending) {
        let mut queues = self.lock();
        if queues.ending == Ending::Open {
            queues.ending = ending;
        }
        self.notify_all();
    }

    pub(super) fn fail(&self, error: Error) {
        // Not an error of the log's: whoever asks is told it, once, and says it.
        tracing::debug!(%error, "the ledger stops");
        let mut queues = self.lock();
        queues.failed = true;
        queues.failure.get_or_insert(error);
        // Dropped without an answer: whoever waits learns that it stopped.
        queues.inbox.callers.clear();
        queues.reads.clear();
        queues.to_write = None;
        queues.quests.clear();
        queues.sealing = None;
        self.notify_all();
    }

    fn notify_all(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.fold.notify_all();
        self.work.notify_all();
        self.batch.notify_all();
        self.search.notify_all();
        self.keep.notify_all();
        self.rest.notify_all();
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().stats
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        self.lock().failure.take()
    }
}

/// Whether `commands` more fit. A bulk larger than the queue fits an empty one.
pub(super) fn fit(waiting: usize, commands: usize, most: usize) -> bool {
    waiting == 0 || waiting + commands <= most
}

impl Queues {
    pub(super) fn has_stopped(&self) -> bool {
        self.failed || self.ending != Ending::Open
    }

    /// Whether `commands` more fit.
    fn fit(&self, commands: usize) -> bool {
        fit(self.queued + self.undecided, commands, MAX_QUEUED)
    }

    /// Whether there is room for the next batch, and for its entries in the index.
    pub(super) fn has_room(&self) -> Option<bool> {
        self.room.map(|room| room && !self.stuck)
    }

    /// Whether the decider has anything to do that it can do now.
    pub(super) fn has_work(&self) -> bool {
        let Inbox { callers, findings, dispatches } = &self.inbox;
        let waiting = !callers.is_empty() || !findings.is_empty() || !self.reads.is_empty();
        waiting || (self.has_room() == Some(true) && !dispatches.is_empty())
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.idle
            && self.inbox.callers.is_empty()
            && self.inbox.findings.is_empty()
            && self.reads.is_empty()
            && self.quests.is_empty()
            // Without room they stay on the log until there is some.
            && (self.inbox.dispatches.is_empty() || self.has_room() == Some(false))
            && self.to_write.is_none()
            && self.writer == Writer::Free
    }
}

/// Stops everything if its thread panics, so that nobody waits for it for ever.
pub(super) struct StopOnPanic<'a>(pub(super) &'a Lanes);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Error::EngineStopped);
        }
    }
}
