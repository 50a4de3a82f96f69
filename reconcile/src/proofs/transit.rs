//! What passes between shards: each dispatch is issued by one and taken by another, in order.
//!
//! Threads that audit different shards stand at different places of the log, so one may see a dispatch
//! taken before another has seen it issued. Per pair of shards there wait either dispatches that were
//! issued or such that were taken, never both. A thread waits when it is far ahead of the slowest, so
//! what waits here has a limit besides what is really in transit: 16 MiB of log hold about 300,000 records.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use hashbrown::HashMap;
use ledger::log::Locator;
use schemas::Shard;

/// How far ahead of the slowest a thread may read, in bytes of log.
const MAX_LEAD_BYTES: u64 = 16 << 20;

/// What is in transit, for all threads.
pub(super) struct Transit {
    inner: Mutex<Inner>,
    moved: Condvar,
}

/// From one shard to another.
pub(super) type Pair = (Shard, Shard);

#[derive(Default)]
struct Inner {
    pairs: HashMap<Pair, Waiting>,
    /// How far each thread has come: the offset of its last frame.
    reached: Vec<u64>,
    failed: bool,
}

#[derive(Default)]
struct Waiting {
    /// Issued and not taken: where, the number, and the coins that it carries.
    issued: VecDeque<(Locator, u64, i128)>,
    /// Taken by a thread that is ahead of the one that reads where it was issued.
    taken: VecDeque<(Locator, u64)>,
}

impl Transit {
    pub fn new(threads: usize) -> Self {
        let inner = Inner { reached: vec![0; threads], ..Inner::default() };
        Self { inner: Mutex::new(inner), moved: Condvar::new() }
    }

    /// One thread's side.
    pub fn lane(&self, lane: usize) -> Lane<'_> {
        Lane { transit: self, lane }
    }

    /// The coins that dispatches not yet taken carry, by pair.
    pub fn carried(&self) -> HashMap<Pair, i128> {
        let carried = |waiting: &Waiting| waiting.issued.iter().map(|(_, _, coins)| coins).sum();
        self.inner().pairs.iter().map(|(pair, waiting)| (*pair, carried(waiting))).collect()
    }

    /// Whether something was taken that nobody issued.
    pub fn has_strays(&self) -> bool {
        self.inner().pairs.values().any(|waiting| !waiting.taken.is_empty())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A thread that panics under this lock fails the whole audit; nobody relies on what it left.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Transit::lane`]. Dropping it tells the others not to wait for this thread.
pub(super) struct Lane<'a> {
    transit: &'a Transit,
    lane: usize,
}

impl Lane<'_> {
    /// Takes down that a dispatch was issued at a place of the log; whether that fits.
    pub fn issue(&self, pair: Pair, at: Locator, number: u64, coins: i128) -> bool {
        self.transit.inner().pairs.entry(pair).or_default().issue(at, number, coins)
    }

    /// Takes down that a dispatch was taken at a place of the log; whether that fits. To a thread that
    /// sees everything in order, it does not fit unless it was issued before.
    pub fn take(&self, pair: Pair, at: Locator, number: u64) -> bool {
        let mut inner = self.transit.inner();
        let alone = inner.reached.len() == 1;
        let waiting = inner.pairs.entry(pair).or_default();
        (!alone || !waiting.issued.is_empty()) && waiting.take(at, number)
    }

    /// Says how far this thread has come, and waits if that is far ahead of the others.
    ///
    /// # Errors
    /// If another thread has found a fault: there is no need to go on.
    pub fn reached(&self, at: Locator) -> Result<(), ()> {
        let mut inner = self.transit.inner();
        inner.reached[self.lane] = at.offset();
        self.transit.moved.notify_all();
        let ahead = |inner: &mut Inner| {
            let slowest = inner.reached.iter().min().copied().unwrap_or_default();
            !inner.failed && at.offset() > slowest.saturating_add(MAX_LEAD_BYTES)
        };
        let inner = self.transit.moved.wait_while(inner, ahead).unwrap_or_else(PoisonError::into_inner);
        if inner.failed { Err(()) } else { Ok(()) }
    }

    /// Tells the others that there is a fault, so that they need not go on.
    pub fn fail(&self) {
        self.transit.inner().failed = true;
        self.transit.moved.notify_all();
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.transit.inner().reached[self.lane] = u64::MAX;
        self.transit.moved.notify_all();
    }
}

impl Waiting {
    fn issue(&mut self, at: Locator, number: u64, coins: i128) -> bool {
        if let Some((taken_at, taken)) = self.taken.pop_front() {
            return taken == number && at < taken_at;
        }
        self.issued.push_back((at, number, coins));
        true
    }

    fn take(&mut self, at: Locator, number: u64) -> bool {
        if let Some((issued_at, issued, _)) = self.issued.pop_front() {
            return issued == number && issued_at < at;
        }
        self.taken.push_back((at, number));
        true
    }
}
