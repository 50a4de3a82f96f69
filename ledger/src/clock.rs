//! The clock, which only the engine reads: decisions are given the time.
//!
//! A machine has two: the wall clock, which somebody may set, and one that only runs. A wall clock that
//! gets ahead of the time that has passed was set; what it makes expire would be gone for good, so nothing
//! is decided by it until it is back, or until a person looks at it and starts the ledger again.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use schemas::Timestamp;

/// How far two clocks may be apart and still count as one.
pub(crate) const TOLERANCE_MS: i64 = 500;
/// The first and the last instant that a clock can show: 1970, and 2262-01-01T00:00:00Z.
const FIRST: Timestamp = Timestamp::from_nanos(0);
const LAST: Timestamp = Timestamp::from_nanos(9_214_646_400 * 1_000_000_000);

/// Tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now, by the clock on the wall: forwards or backwards, as somebody sets it.
    fn now(&self) -> Timestamp;

    /// How long it has run since some moment, sleep included: nobody can set that.
    fn running(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let time = clock_gettime(ClockId::Realtime);
        Timestamp::from_nanos(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec))
    }

    fn running(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        let part = u32::try_from(time.tv_nsec).unwrap_or_default();
        Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), part)
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    /// Nanoseconds.
    running: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self { wall: AtomicI64::new(now.nanos()), running: AtomicI64::new(0) }
    }

    /// Lets time pass until it shows `now`; backwards it can only be set.
    pub fn set(&self, now: Timestamp) {
        let passed = now.nanos().saturating_sub(self.now().nanos()).max(0);
        // First, so that who looks meanwhile never finds the wall clock ahead.
        self.running.fetch_add(passed, Ordering::SeqCst);
        self.jump(now);
    }

    /// Sets the wall clock to `now`, forwards or backwards, while no time passes.
    pub fn jump(&self, now: Timestamp) {
        self.wall.store(now.nanos(), Ordering::SeqCst);
    }

    /// Lets time pass.
    pub fn advance_millis(&self, millis: i64) {
        self.set(self.now().plus_millis(millis));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.wall.load(Ordering::SeqCst))
    }

    fn running(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.running.load(Ordering::SeqCst)).unwrap_or_default())
    }
}

/// A clock, watched since the engine started.
#[derive(Debug)]
pub(crate) struct Watch {
    clock: Arc<dyn Clock>,
    /// What it showed then, on the wall and by its running.
    began: (Timestamp, Duration),
}

/// What a watched clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The time: the wall clock's, or where that cannot be right the one that has passed since the start.
    pub now: Timestamp,
    /// The wall clock is ahead of the time that has passed.
    pub is_ahead: bool,
    /// By how much, in nanoseconds; negative where it is behind.
    pub offset_ns: i64,
}

impl Watch {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let began = (clock.now(), clock.running());
        Self { clock, began }
    }

    /// What the wall clock showed at the start.
    pub fn began(&self) -> Timestamp {
        self.began.0
    }

    pub fn see(&self) -> Seen {
        let now = self.clock.now(); // first: what passes between the two calls does not count as ahead
        let passed = self.clock.running().saturating_sub(self.began.1);
        let passed = i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX);
        let due = Timestamp::from_nanos(self.began.0.nanos().saturating_add(passed));
        let is_ahead = now > due.plus_millis(TOLERANCE_MS);
        let offset_ns = now.nanos().saturating_sub(due.nanos());
        Seen { now: if is_ahead { due } else { now }, is_ahead, offset_ns }
    }
}

/// Whether a clock can show that.
pub(crate) fn can_be(now: Timestamp) -> bool {
    (FIRST..LAST).contains(&now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_clock_that_was_set_ahead_is_told_from_one_that_runs() {
        let begin = at("2026-11-25T12:00:00Z");
        let clock = Arc::new(ManualClock::at(begin));
        let watch = Watch::new(clock.clone());
        let table = [
            ("runs for a century", begin.plus_millis(100 * 365 * 86_400_000), None, false),
            ("a little ahead", at("2026-11-25T12:00:00.5Z"), Some(0), false),
            ("ahead", at("2026-11-25T12:00:00.500000001Z"), Some(0), true),
            ("a century ahead", at("2126-11-25T12:00:00Z"), Some(1_000), true),
            ("back", at("2026-11-25T12:00:02Z"), Some(1_000), false),
            ("behind", at("2026-11-25T11:00:00Z"), Some(0), false),
        ];
        for (what, now, passed_ms, ahead) in table {
            match passed_ms {
                None => {
                    let clock = Arc::new(ManualClock::at(begin));
                    let watch = Watch::new(clock.clone());
                    clock.set(now);
                    assert_eq!(watch.see(), Seen { now, is_ahead: false, offset_ns: 0 }, "{what}");
                }
                Some(passed) => {
                    clock.advance_millis(passed);
                    clock.jump(now);
                    assert_eq!(watch.see().is_ahead, ahead, "{what}");
                    let due = begin.plus_millis(i64::try_from(clock.running().as_millis()).unwrap());
                    assert_eq!(watch.see().now, if ahead { due } else { now }, "{what}");
                }
            }
        }
    }

    #[test]
    fn the_machine_has_both_clocks() {
        let watch = Watch::new(Arc::new(SystemClock));
        assert!(can_be(watch.began()) && !watch.see().is_ahead);
        assert!(SystemClock.running() > Duration::ZERO);
        for (instant, possible) in [
            (Timestamp::MIN, false),
            (Timestamp::from_nanos(-1), false),
            (at("1970-01-01T00:00:00Z"), true),
            (at("2261-12-31T23:59:59Z"), true),
            (LAST, false),
            (Timestamp::from_nanos(i64::MAX), false),
        ] {
            assert_eq!(can_be(instant), possible, "{instant}");
        }
    }
}
