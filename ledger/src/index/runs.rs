//! The sealed runs, as everybody sees them who looks up.

use std::{cmp::Reverse, fmt, sync::Arc};

use smallvec::SmallVec;

use super::{
    Fingerprint, Place,
    filter::{Block, Mask},
    folder::Folder,
    run::Run,
};
use crate::Result;

/// All runs at one time. Never changes: sealing and merging make another one, and the files of this
/// one stay readable as long as anybody has it.
pub struct Runs {
    folder: Arc<Folder>,
    /// By level, and in a level the newest run.
    newest_first: Vec<Arc<Run>>,
    /// The last sequence of each shard up to which they hold everything.
    pub(super) covered: Vec<u64>,
    /// How many frozen tables were sealed since the index was opened.
    pub(super) sealed: u64,
    /// Rises with each change.
    pub(super) version: u64,
}

impl Runs {
    pub(super) fn new(folder: Arc<Folder>, mut runs: Vec<Arc<Run>>, covered: Vec<u64>) -> Self {
        order(&mut runs);
        Self { folder, newest_first: runs, covered, sealed: 0, version: 0 }
    }

    /// What is there after a change.
    pub(super) fn next(&self, mut runs: Vec<Arc<Run>>, covered: Vec<u64>, sealed: u64) -> Self {
        order(&mut runs);
        Self { folder: Arc::clone(&self.folder), newest_first: runs, covered, sealed, version: self.version + 1 }
    }

    pub(super) fn runs(&self) -> &[Arc<Run>] {
        &self.newest_first
    }

    /// The sequence of each shard up to which they hold everything.
    pub fn covered(&self) -> &[u64] {
        &self.covered
    }

    /// How many runs there are.
    pub fn count(&self) -> usize {
        self.newest_first.len()
    }

    /// How many entries they have.
    pub fn entries(&self) -> u64 {
        self.newest_first.iter().map(|run| run.entry.entries).sum()
    }

    /// The bytes that their filters and sparse indexes hold in memory.
    pub fn bytes(&self) -> usize {
        self.newest_first.iter().map(|run| run.bytes()).sum()
    }

    /// Whether they may know a key. No is certain. Reads only memory.
    pub fn may_contain(&self, key: Fingerprint) -> bool {
        let mask = Mask::of(key.into());
        self.newest_first.iter().any(|run| run.may_contain(key.into(), &mask))
    }

    /// The places of a key, and of others with its fingerprint, newest first and at most so many. Reads the disk
    /// where a filter says "maybe", and no more of a key that has many places than is asked for.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) if a block is not what was written: the next start
    /// then rebuilds the index. [`Error::Io`](crate::Error::Io).
    pub fn candidates(&self, key: Fingerprint, most: usize) -> Result<SmallVec<[Place; 2]>> {
        let mut places = SmallVec::new();
        let mask = Mask::of(key.into());
        for run in &self.newest_first {
            if places.len() < most && run.may_contain(key.into(), &mask) {
                run.places(&self.folder, key.into(), most, &mut places)?;
            }
        }
        Ok(places)
    }

    /// The filters' blocks, for a loop over many keys.
    pub(super) fn filters(&self) -> SmallVec<[&[Block]; 16]> {
        self.newest_first.iter().map(|run| run.filter().blocks()).collect()
    }
}

fn order(runs: &mut [Arc<Run>]) {
    runs.sort_by_key(|run| (run.entry.level, Reverse(run.entry.number)));
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.newest_first.iter().map(|run| run.entry);
        f.debug_struct("Runs")
            .field("covered", &self.covered)
            .field("runs", &entries.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
