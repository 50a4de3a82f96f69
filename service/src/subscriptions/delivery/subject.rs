//! The entries of one subject that are not done.

use std::collections::BTreeSet;

use schemas::Shard;
use tokio::time::Instant;

/// The longest run: as many as a pull gives.
const LONGEST_RUN: usize = 1_024;

/// A subject's entries, by sequence: a subject has one shard.
#[derive(Debug)]
pub(super) struct Subject {
    pub shard: Shard,
    /// Not handed out.
    pub waiting: BTreeSet<u64>,
    /// In flight, with one consumer.
    out: BTreeSet<u64>,
    /// When it is tried again, after a failure.
    pub not_before: Option<Instant>,
    /// Whether it stands among those that can be handed out.
    pub is_queued: bool,
    /// How many are handed out at once.
    run: usize,
}

impl Subject {
    pub fn new(shard: Shard) -> Self {
        let (waiting, out) = (BTreeSet::new(), BTreeSet::new());
        Self { shard, waiting, out, not_before: None, is_queued: false, run: LONGEST_RUN }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.out.is_empty()
    }

    /// Whether its next run may be handed out.
    pub fn is_ready(&self, now: Instant) -> bool {
        self.out.is_empty() && !self.waiting.is_empty() && self.not_before.is_none_or(|at| at <= now)
    }

    /// Hands out its next run. What has failed before goes alone.
    pub fn next_run(&mut self, most: usize, has_failed: impl Fn(&u64) -> bool) -> Vec<u64> {
        self.not_before = None;
        let mut sequences = Vec::new();
        while sequences.len() < most.min(self.run) {
            let Some(first) = self.waiting.first() else { break };
            let failed = has_failed(first);
            if failed && !sequences.is_empty() {
                break;
            }
            sequences.extend(self.waiting.pop_first());
            if failed {
                break;
            }
        }
        self.out.extend(&sequences);
        sequences
    }

    /// Takes back what is in flight from a sequence on.
    pub fn take_back(&mut self, from: u64) -> Vec<u64> {
        let back = self.out.split_off(&from);
        self.waiting.extend(&back);
        back.into_iter().collect()
    }

    /// One is done.
    pub fn done(&mut self, sequence: u64) {
        self.waiting.remove(&sequence);
        if self.out.remove(&sequence) {
            self.run = (self.run + 1).min(LONGEST_RUN); // so that a whole run that went well doubles it
        }
    }

    /// A run has timed out: the next ones are shorter.
    pub fn shorten(&mut self) {
        self.run = (self.out.len() / 2).max(1);
    }
}
