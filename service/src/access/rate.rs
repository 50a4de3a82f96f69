//! How many commands a second.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

const SECOND: u64 = 1_000_000_000;

/// Lets so many commands through a second, and a second's worth at once (the generic cell rate algorithm). More than
/// that at once, as a bulk may bring, pass when nothing passed just before, and are paid for afterwards.
#[derive(Debug)]
pub struct Rate {
    per_second: NonZeroU32,
    /// Nanoseconds on a clock that only runs: when all that passed will have been paid for.
    paid_at: AtomicU64,
}

impl Rate {
    /// With nothing passed yet.
    pub fn new(per_second: NonZeroU32) -> Self {
        Self { per_second, paid_at: AtomicU64::new(0) }
    }

    /// How many a second.
    pub fn per_second(&self) -> u32 {
        self.per_second.get()
    }

    /// Takes `commands` at the moment `now` of a clock that only runs, all or none.
    ///
    /// # Errors
    /// After how long they pass.
    pub fn take(&self, commands: u32, now: Duration) -> Result<(), Duration> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let cost = |commands: u32| u64::from(commands) * SECOND / u64::from(self.per_second());
        // u32 commands take 2^62 ns at most, so a sum with a clock's time fits.
        let at_once = cost(commands.min(self.per_second()));
        let taken = self.paid_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid_at| {
            let from = paid_at.max(now);
            (from + at_once <= now + SECOND).then(|| from.saturating_add(cost(commands)))
        });
        taken.map(drop).map_err(|paid_at| {
            let over = (paid_at.max(now) + at_once).saturating_sub(now + SECOND);
            Duration::from_nanos(over)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_is_so_many_commands_a_second() {
        let rate = Rate::new(NonZeroU32::new(10).unwrap());
        let at = Duration::from_millis;
        // Each line: when, how many commands, and after how many ms they would pass.
        for (now, commands, passes_in) in [
            (5_000, 10, None),
            (5_000, 1, Some(100)),
            (5_099, 1, Some(1)),
            (5_100, 1, None),
            (5_100, 3, Some(300)),
            (6_100, 10, None),
            (8_000, 35, None), // a bulk that passes at once
            (8_000, 1, Some(2_600)),
            (11_000, 35, Some(500)),
            (11_500, 35, None),
        ] {
            assert_eq!(rate.take(commands, at(now)).err(), passes_in.map(at), "{commands} at {now}");
        }
        let fast = Rate::new(NonZeroU32::MAX);
        fast.take(u32::MAX, Duration::ZERO).unwrap();
        let slow = Rate::new(NonZeroU32::MIN);
        slow.take(u32::MAX, Duration::ZERO).unwrap();
        slow.take(u32::MAX, Duration::ZERO).unwrap_err();
    }
}
