//! The queues between callers, decider and writer, and the loops of the two threads.
//!
//! Every queue is bounded: callers at the door, dispatches by the commands that wait for them, the
//! writer by one batch.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    answer::Unavailable,
    bulk::Submission,
    core::{Batch, Core},
    dispatcher::{Untaken, dispatches_of},
    recent::Records,
};
use crate::{
    Error, Result,
    log::{Log, Stats},
    state::State,
};

/// The most commands that may wait: sixteen bulks of the usual 8,189 lines. At about 1 KiB each
/// with their answers they take 128 MiB.
pub const MAX_QUEUED: usize = 131_072;

/// Until somebody wakes the thread.
const A_LONG_WHILE: Duration = Duration::from_hours(1);

/// Asks the states something; what it returns is run once all that it saw is durable.
pub(crate) type Read = Box<dyn FnOnce(&[State]) -> Release + Send>;
pub(crate) type Release = Box<dyn FnOnce() + Send>;

/// The queues.
#[derive(Debug)]
pub(crate) struct Lanes {
    queues: Mutex<Queues>,
    /// For the decider.
    work: Condvar,
    /// For the writer.
    batch: Condvar,
    /// For callers who wait for room or for rest.
    rest: Condvar,
}

struct Queues {
    callers: VecDeque<Submission>,
    /// Commands in `callers`.
    queued: usize,
    /// Commands that the decider has taken and that are not answered.
    undecided: usize,
    reads: Vec<Read>,
    dispatches: VecDeque<Untaken>,
    to_write: Option<(Batch, Vec<Release>)>,
    writer: Writer,
    /// A batch that nobody needs any more.
    garbage: Option<Arc<Records>>,
    /// The decider has nothing to do.
    idle: bool,
    /// There is space for the next batch; not known until the writer has looked.
    room: Option<bool>,
    /// What the log has asked of the disk.
    stats: Stats,
    ending: Ending,
    /// A thread has ended early.
    failed: bool,
    /// Why, until someone is told.
    failure: Option<Error>,
}

/// What the writer is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Free,
    Writing,
    /// Its batch is durable, which the decider has not seen yet.
    Written,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
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
    pub(crate) fn new(untaken: impl Iterator<Item = Untaken>) -> Self {
        Self {
            queues: Mutex::new(Queues {
                callers: VecDeque::new(),
                queued: 0,
                undecided: 0,
                reads: Vec::new(),
                dispatches: untaken.collect(),
                to_write: None,
                writer: Writer::Free,
                garbage: None,
                idle: false,
                room: None,
                stats: Stats::default(),
                ending: Ending::Open,
                failed: false,
                failure: None,
            }),
            work: Condvar::new(),
            batch: Condvar::new(),
            rest: Condvar::new(),
        }
    }

    /// A thread that panicked has left the queues as they were between two steps.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn submit(&self, submission: Submission) -> Result<(), (Unavailable, Submission)> {
        let mut queues = self.lock();
        if queues.has_stopped() {
            return Err((Unavailable::Stopped, submission));
        }
        if !queues.fit(submission.commands.len()) {
            return Err((Unavailable::Busy, submission));
        }
        queues.queued += submission.commands.len();
        queues.callers.push_back(submission);
        queues.idle = false;
        self.work.notify_one();
        Ok(())
    }

    pub(crate) fn read(&self, read: Read) {
        let mut queues = self.lock();
        if !queues.has_stopped() {
            queues.reads.push(read);
            queues.idle = false;
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

    fn fail(&self, error: Error) {
        // Not an error of the log's: whoever asks is told it, once, and says it.
        tracing::debug!(%error, "the ledger stops");
        let mut queues = self.lock();
        queues.failed = true;
        queues.failure.get_or_insert(error);
        // Dropped without an answer: whoever waits learns that it stopped.
        queues.callers.clear();
        queues.reads.clear();
        queues.to_write = None;
        self.notify_all();
    }

    fn notify_all(&self) {
        self.work.notify_all();
        self.batch.notify_all();
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
    fn has_stopped(&self) -> bool {
        self.failed || self.ending != Ending::Open
    }

    /// Whether `commands` more fit.
    fn fit(&self, commands: usize) -> bool {
        fit(self.queued + self.undecided, commands, MAX_QUEUED)
    }

    fn is_at_rest(&self) -> bool {
        self.idle
            && self.callers.is_empty()
            && self.reads.is_empty()
            // Without room they stay on the log until there is some.
            && (self.dispatches.is_empty() || self.room == Some(false))
            && self.to_write.is_none()
            && self.writer == Writer::Free
    }
}

/// Stops everything if its thread panics, so that nobody waits for it for ever.
struct StopOnPanic<'a>(&'a Lanes);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Error::EngineStopped);
        }
    }
}

/// The decider's loop.
pub(crate) fn decide(lanes: &Lanes, mut core: Core) {
    let _stop = StopOnPanic(lanes);
    let mut releases: Vec<Release> = Vec::new();
    let mut queues = lanes.lock();
    loop {
        if queues.has_stopped() {
            return;
        }
        if queues.writer == Writer::Written {
            queues.writer = Writer::Free;
            // The writer drops what it wrote: it has time for that, and this thread has not.
            queues.garbage = Some(core.durable());
            continue;
        }
        let Some(room) = queues.room else {
            queues = wait(&lanes.work, queues, Duration::from_secs(1));
            continue;
        };
        let has_batch = core.has_batch() || !releases.is_empty();
        if has_batch && queues.to_write.is_none() && queues.writer == Writer::Free {
            // Everything that was queued is decided, or the batch is full: off it goes.
            let takes_more = core.has_room() && room && (core.has_queued() || queues.has_work());
            if !takes_more {
                queues.to_write = Some((core.hand_over(), std::mem::take(&mut releases)));
                lanes.batch.notify_one();
                continue;
            }
        }
        let timers_due = core.wakes_at().is_some_and(|at| at <= core.now());
        let stuck = !room && core.has_waits();
        if core.has_room() && (core.has_queued() || queues.has_work() || timers_due || stuck) {
            let submissions = std::mem::take(&mut queues.callers);
            queues.undecided += std::mem::take(&mut queues.queued);
            let mut dispatches = if room { std::mem::take(&mut queues.dispatches) } else { VecDeque::new() };
            let reads = std::mem::take(&mut queues.reads);
            queues.idle = false; // or a dispatch that is being decided would count as none
            drop(queues);
            let step = decide_step(&mut core, submissions, &mut dispatches, room);
            releases.extend(reads.into_iter().map(|read| read(&core.states)));
            if let Err(error) = step {
                lanes.fail(error);
                return;
            }
            queues = lanes.lock();
            // What found no room in the batch goes before what the writer has added meanwhile.
            dispatches.append(&mut queues.dispatches);
            queues.dispatches = dispatches;
            queues.undecided = core.unanswered();
            lanes.rest.notify_all();
            if !room && !core.has_batch() && releases.is_empty() {
                // Full: what is left waits until the writer finds space.
                queues = wait(&lanes.work, queues, Duration::from_millis(100));
            }
            continue;
        }
        queues.idle = !has_batch && !core.has_queued() && core.unanswered() == 0;
        if queues.is_at_rest() {
            lanes.rest.notify_all();
        }
        let pause = match core.wakes_at() {
            Some(at) => {
                let nanos = at.nanos().saturating_sub(core.now().nanos()).max(1_000_000);
                Duration::from_nanos(u64::try_from(nanos).expect("it was made positive")).min(Duration::from_secs(1))
            }
            None => A_LONG_WHILE,
        };
        queues = wait(&lanes.work, queues, pause);
    }
}

fn wait<'a>(condvar: &Condvar, queues: MutexGuard<'a, Queues>, pause: Duration) -> MutexGuard<'a, Queues> {
    condvar.wait_timeout(queues, pause).unwrap_or_else(PoisonError::into_inner).0
}

impl Queues {
    /// Whether anything waits for the decider that it can take now.
    fn has_work(&self) -> bool {
        !self.callers.is_empty() || !self.reads.is_empty() || (self.room == Some(true) && !self.dispatches.is_empty())
    }
}

/// The most dispatches taken at once: half a batch, so that callers get their turn.
const DISPATCH_CHUNK: usize = 4_096;

/// Dispatches first, as others wait for them; then callers; then timers in what is left. Dispatches
/// that find no room in the batch stay.
pub(super) fn decide_step(
    core: &mut Core,
    submissions: VecDeque<Submission>,
    dispatches: &mut VecDeque<Untaken>,
    room: bool,
) -> Result<()> {
    for _ in 0..DISPATCH_CHUNK {
        if !core.has_room() {
            break;
        }
        let Some(untaken) = dispatches.pop_front() else { break };
        core.take_dispatch(&untaken)?;
    }
    for submission in submissions {
        core.submit(submission);
    }
    if room {
        core.decide_queued()?;
        core.take_timers()
    } else {
        core.refuse_all(Unavailable::DiskFull);
        Ok(())
    }
}

/// The writer's loop.
pub(crate) fn write(lanes: &Lanes, mut log: Log) {
    let _stop = StopOnPanic(lanes);
    loop {
        let room = log.ensure_room();
        let mut queues = lanes.lock();
        queues.stats = log.stats();
        match room {
            Ok(()) => queues.room = Some(true),
            Err(error @ Error::Full { .. }) => {
                if queues.room != Some(false) {
                    tracing::warn!(%error, "commands are refused until there is space");
                }
                queues.room = Some(false);
            }
            Err(error) => {
                drop(queues);
                return lanes.fail(error);
            }
        }
        lanes.work.notify_one();
        // Without room, look again from time to time whether there is some.
        let full = queues.room == Some(false);
        let pause = if full { Duration::from_millis(250) } else { A_LONG_WHILE };
        while queues.to_write.is_none() && !queues.has_stopped() {
            let (again, timeout) = lanes.batch.wait_timeout(queues, pause).unwrap_or_else(PoisonError::into_inner);
            queues = again;
            if timeout.timed_out() && full {
                break;
            }
        }
        if queues.failed || queues.ending == Ending::Abandon {
            return;
        }
        let Some((Batch { records, replies, spent }, releases)) = queues.to_write.take() else {
            if queues.ending == Ending::Close {
                drop(queues);
                if let Err(error) = log.close() {
                    lanes.fail(error);
                }
                return;
            }
            continue;
        };
        queues.writer = Writer::Writing;
        let garbage = queues.garbage.take();
        drop(queues);
        drop(garbage);
        if let Err(error) = log.append(&records) {
            return lanes.fail(error);
        }
        for reply in replies {
            // Who asked may have gone; the records stand all the same.
            let _ = reply.to.send(reply.answers);
        }
        for release in releases {
            release();
        }
        drop(spent);
        let untaken: Vec<Untaken> = records.iter().flatten().flat_map(dispatches_of).collect();
        let mut queues = lanes.lock();
        queues.dispatches.extend(untaken);
        queues.writer = Writer::Written;
        lanes.work.notify_one();
    }
}
