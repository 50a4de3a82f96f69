//! Entries in memory: the open table, which takes the newest, and the frozen one, which waits to
//! be sealed.

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::{Place, entry};

/// A table that does not grow until its limit is passed.
///
/// A fingerprint's home in it is given by its upper bits, so a walk through the table is nearly in
/// the order of fingerprints, and sorting it costs little.
#[derive(Debug)]
pub(super) struct Table {
    entries: HashTable<(u64, Place)>,
    limit: usize,
    /// The bits of a home.
    home_bits: u32,
}

impl Table {
    /// An empty table for at most `limit` entries.
    pub fn new(limit: usize) -> Self {
        let entries = HashTable::with_capacity(limit);
        let home_bits = entries.num_buckets().max(1).ilog2();
        Self { entries, limit, home_bits }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many more entries it takes without growing.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.entries.len())
    }

    /// The bytes that it holds in memory once it is filled.
    pub fn bytes(&self) -> usize {
        self.entries.allocation_size()
    }

    /// The table uses a hash's lower bits for the home.
    fn hash(&self, fingerprint: u64) -> u64 {
        fingerprint.rotate_left(self.home_bits)
    }

    pub fn insert(&mut self, fingerprint: u64, place: Place) {
        let home_bits = self.home_bits;
        let rehash = |&(fingerprint, _): &(u64, Place)| fingerprint.rotate_left(home_bits);
        self.entries.insert_unique(self.hash(fingerprint), (fingerprint, place), rehash);
    }

    pub fn contains(&self, fingerprint: u64) -> bool {
        self.entries.find(self.hash(fingerprint), |entry| entry.0 == fingerprint).is_some()
    }

    /// Appends all places of a fingerprint, newest first.
    pub fn places(&self, fingerprint: u64, out: &mut SmallVec<[Place; 2]>) {
        let first = out.len();
        let found = self.entries.iter_hash(self.hash(fingerprint)).filter(|entry| entry.0 == fingerprint);
        out.extend(found.map(|entry| entry.1));
        out[first..].sort_unstable_by(|a, b| b.cmp(a));
    }

    /// All entries in order: dealt into small buckets by their upper bits, then each sorted.
    pub fn sorted(&self) -> Vec<u128> {
        /// What insertion sort likes.
        const BUCKET: usize = 16;
        let bits = (self.len() / BUCKET).max(2).ilog2();
        let bucket = |fingerprint: u64| usize::try_from(fingerprint >> (64 - bits)).expect("fewer than the entries");
        let mut ends = vec![0; 1 << bits];
        for entry in &self.entries {
            ends[bucket(entry.0)] += 1;
        }
        let mut end = 0;
        for count in &mut ends {
            let start = end;
            end += *count;
            *count = start;
        }
        let mut sorted = vec![0; self.len()];
        for &(fingerprint, place) in &self.entries {
            let at = &mut ends[bucket(fingerprint)];
            sorted[*at] = entry::of(fingerprint, place);
            *at += 1;
        }
        let mut start = 0;
        for end in ends {
            sorted[start..end].sort_unstable();
            start = end;
        }
        sorted
    }
}

/// A full table that takes nothing more, until its run is sealed.
#[derive(Debug)]
pub struct Frozen {
    pub(super) table: Table,
    /// The last sequence of each shard in it.
    pub(super) upto: Vec<u64>,
    /// Counts the tables that were frozen since the index was opened, from 1.
    pub(super) number: u64,
}

impl Frozen {
    /// The sequence of each shard up to which table and runs hold everything: it can be sealed once
    /// all of these are durable.
    pub fn upto(&self) -> &[u64] {
        &self.upto
    }
}
