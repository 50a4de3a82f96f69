//! The clock, which only the engine reads: decisions are given the time.

use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
};

use schemas::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Timestamp::from_nanos(time.tv_sec * 1_000_000_000 + time.tv_nsec)
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.nanos()))
    }

    /// Moves it to `now`, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.nanos(), Ordering::SeqCst);
    }

    /// Moves it forwards.
    pub fn advance_millis(&self, millis: i64) {
        self.set(self.now().plus_millis(millis));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::SeqCst))
    }
}
