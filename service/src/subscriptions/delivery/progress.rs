//! What is stored of a subscription's progress beside its committed cursor, and rewritten with every commit.
//!
//! ```text
//! postcard of
//!   version    1     1
//!   shards     a list for each: the sequences that are done beyond the committed one, each as its distance from the
//!              one before
//!   failures   a list of shard, sequence, how often that entry has failed
//! ```
//!
//! With a window of 16,384 entries that is at most some 40 KiB, and some bytes where all is acked in order.

use std::collections::{BTreeMap, BTreeSet};

use schemas::Shard;

use crate::feed::Position;

const VERSION: u8 = 1;

/// Progress beyond the committed cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Progress {
    /// What is done, by shard.
    pub beyond: Vec<BTreeSet<u64>>,
    /// How often what is not done has failed.
    pub failures: BTreeMap<Position, u32>,
}

type Stored = (u8, Vec<Vec<u64>>, Vec<(Shard, u64, u32)>);

impl Progress {
    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        let distances = |sequences: &BTreeSet<u64>| {
            let mut last = 0;
            sequences.iter().map(|sequence| sequence - std::mem::replace(&mut last, *sequence)).collect()
        };
        let failures = self.failures.iter().map(|(at, failures)| (at.shard, at.sequence, *failures));
        let stored: Stored = (VERSION, self.beyond.iter().map(distances).collect(), failures.collect());
        postcard::to_stdvec(&stored).expect("progress has a form")
    }

    /// Reads what was stored; `None` if no release made it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, shards, failures): Stored = postcard::from_bytes(bytes).ok()?;
        let mut beyond = Vec::with_capacity(shards.len());
        for distances in shards {
            let mut last = 0_u64;
            let mut sequences = BTreeSet::new();
            for distance in distances {
                last = last.checked_add(distance)?;
                sequences.insert(last);
            }
            beyond.push(sequences);
        }
        let failures = failures.into_iter().map(|(shard, sequence, failures)| (Position { shard, sequence }, failures));
        (version == VERSION).then(|| Self { beyond, failures: failures.collect() })
    }
}
