//! How many refusals of one subject are recorded: each takes a place on the log for ever, so whoever
//! asks again and again for what is refused must not fill the disk.
//!
//! Beyond the quota a command that would be refused is answered "ask again later": undecided, its id
//! free. One that would be taken is taken. The count lives in memory and begins anew with each window
//! and each start.

use hashbrown::HashMap;
use schemas::{Subject, Timestamp};

/// The most recorded refusals of a subject in a window: one every 60 ms, more than any person causes.
const REFUSALS: u32 = 1_000;
/// How long a window is.
const WINDOW_MS: i64 = 60_000;
/// The most subjects that are counted, at about 100 bytes each; beyond, the window ends early.
const SUBJECTS: usize = 65_536;

/// Refusals by subject, in the window that runs.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    ends: Option<Timestamp>,
    refusals: HashMap<Subject, u32>,
}

impl Quota {
    /// Counts a refusal that is about to be recorded; `false` if the subject has used up its quota.
    pub(crate) fn take(&mut self, subject: &Subject, now: Timestamp) -> bool {
        if self.ends.is_none_or(|ends| ends <= now) || self.refusals.len() >= SUBJECTS {
            self.refusals.clear();
            self.ends = Some(now.plus_millis(WINDOW_MS));
        }
        match self.refusals.get_mut(subject) {
            Some(count) if *count >= REFUSALS => false,
            Some(count) => {
                *count += 1;
                true
            }
            None => {
                self.refusals.insert(subject.clone(), 1);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_so_many_refusals_a_window() {
        let mut quota = Quota::default();
        let (one, other) = ("user:u1".parse().unwrap(), "user:u2".parse().unwrap());
        let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert!((0..REFUSALS).all(|_| quota.take(&one, begin)));
        assert!(!quota.take(&one, begin.plus_millis(WINDOW_MS - 1)));
        assert!(quota.take(&other, begin), "every subject has its own");
        assert!(quota.take(&one, begin.plus_millis(WINDOW_MS)));
    }

    #[test]
    fn the_count_stays_small() {
        let mut quota = Quota::default();
        for n in 0..=SUBJECTS {
            assert!(quota.take(&format!("user:u{n}").parse().unwrap(), Timestamp::MIN));
        }
        assert_eq!(quota.refusals.len(), 1);
    }
}
