//! What one member has on one board.

use std::collections::BTreeMap;

use schemas::Timestamp;

use crate::gift::Step;

/// A member's score and the times of the increases that stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    score: i128,
    /// How many standing increases have this time. Score and time stay apart: packed into one
    /// floating-point number, ties break wrongly beyond 900,719.
    increases: BTreeMap<Timestamp, u32>,
}

impl Standing {
    /// Takes a step of the increase that a gift of `given_at` is.
    pub fn take(&mut self, given_at: Timestamp, step: Step) {
        self.score += step.change();
        match step.standing() {
            1 => *self.increases.entry(given_at).or_default() += 1,
            -1 => {
                if let Some(standing) = self.increases.get_mut(&given_at) {
                    *standing -= 1;
                    if *standing == 0 {
                        self.increases.remove(&given_at);
                    }
                }
            }
            _ => {}
        }
    }

    pub fn score(&self) -> i128 {
        self.score
    }

    /// When the last standing increase was made.
    pub fn last_increase(&self) -> Option<Timestamp> {
        self.increases.last_key_value().map(|(at, _)| *at)
    }

    /// Whether no increase stands.
    pub fn is_over(&self) -> bool {
        self.increases.is_empty()
    }
}
