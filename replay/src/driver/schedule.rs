//! When to ask again.

/// Waits that double from the first to the longest, a number of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Before the first query.
    pub first_ms: i64,
    /// No wait is longer.
    pub longest_ms: i64,
    /// After so many calls, the sending one included, a person takes over.
    pub calls: u32,
}

impl Schedule {
    /// Five seconds, doubling to two hours: 20 calls in about 19 hours.
    pub const PATIENT: Self = Self { first_ms: 5_000, longest_ms: 7_200_000, calls: 20 };

    /// How long to wait after the call number `calls`, from 1.
    pub fn delay_ms(&self, calls: u32) -> i64 {
        let doublings = calls.saturating_sub(1).min(40);
        self.first_ms.saturating_mul(1 << doublings).min(self.longest_ms)
    }

    /// Whether no call follows the one numbered `calls`.
    pub fn has_ended(&self, calls: u32) -> bool {
        calls >= self.calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let schedule = Schedule { first_ms: 5, longest_ms: 30, calls: 4 };
        let waits: Vec<i64> = (1..=5).map(|calls| schedule.delay_ms(calls)).collect();
        assert_eq!(waits, [5, 10, 20, 30, 30]);
        assert_eq!([1, 3, 4].map(|calls| schedule.has_ended(calls)), [false, false, true]);
        let hours: i64 = (1..20).map(|calls| Schedule::PATIENT.delay_ms(calls)).sum::<i64>() / 3_600_000;
        assert_eq!(hours, 18, "what the documentation of PATIENT says");
    }
}
