//! From keys to places: where the records of a [`Key`](schemas::Key) stand on the log.
//!
//! The index is derived from the log and has no log of its own: it is rebuilt where it is missing or
//! damaged. It holds keyed 64-bit fingerprints, not keys, and is a multimap: different keys can have
//! one fingerprint, and a later record takes a key over while the earlier entry stays. So a look-up
//! gives places, newest first, and the record at a place says whether it is the one.
//!
//! ```text
//! insert ─► open table ─freeze─► frozen table ─seal─► run of level 0 ─┐ fan-out of them
//!           memory               memory               index/<n>.run   └─merge─► run of level 1 ─► …
//! ```
//!
//! ```text
//! index/manifest          which runs there are, and up to where they hold everything (`manifest`)
//! index/<16 hex>.run      a sealed run (`run`)
//! index/manifest.tmp      an unfinished manifest
//! ```
//!
//! | file here | its story |
//! |---|---|
//! | `fingerprint`, `place`, `entry` | what an entry is |
//! | `table` | entries in memory: open, frozen, sorted |
//! | `filter` | whether a run may know a key, in one cache line |
//! | `run`, `run_writer`, `manifest` | the bytes on disk, with their layouts |
//! | `runs` | [`Runs`]: all sealed runs, shared and unchanging |
//! | `merge`, `sealer` | [`Sealer`]: from tables to runs, from runs to larger runs |
//! | `open`, `unfit`, `folder` | what a start finds, and what is said when a file fails |
//!
//! Invariants. Nothing is overwritten and nothing is left out: the entries of a run are exactly those
//! that were inserted. The runs hold all entries of the records up to [`Index::covered`], and a
//! position named "index" was stored with the log before the manifest said so, so the log is never
//! cut below it. The manifest is replaced as a whole and names files that are durable; files that it
//! does not name are removed at the next start. Newer entries stand in lower levels, and in a level in
//! runs with higher numbers. In memory are two tables of [`Options::memory_entries`], and for each
//! sealed entry 2.53 bytes of filter and sparse index (while a level is merged, for the entries of
//! that level twice).

mod entry;
mod filter;
mod fingerprint;
mod folder;
mod manifest;
mod merge;
mod open;
mod place;
mod run;
mod run_writer;
mod runs;
mod sealer;
mod table;
mod unfit;

use std::sync::Arc;

use smallvec::SmallVec;
use uuid::Uuid;

use self::{filter::Mask, folder::Folder, manifest::Manifest, table::Table};
use crate::{
    Result,
    log::{Disk, Head, Reader, ShardHead},
};

pub use fingerprint::{Fingerprint, Fingerprinter};
pub(crate) use folder::FOLDER;
pub(crate) use open::stated;
pub use place::Place;
pub use runs::Runs;
pub use sealer::{Merged, Sealer};
pub use table::Frozen;

/// So many places of a key are looked at first: the newest record that has it is nearly always the one that is
/// looked for, and some keys have a place for each refund of an order.
pub(crate) const NEWEST: usize = 8;

/// How the index is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// At how many entries a table in memory is full, at 21.3 bytes each. There are two, of which one
    /// is mostly free. Three quarters of a power of two leave no room unused.
    pub memory_entries: usize,
    /// How many runs of a level become one of the next. More of them are merged less often, and
    /// looked at more often.
    pub fan_out: usize,
    /// The fingerprints' key where a new index begins; random, unless a simulation names it.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { memory_entries: (1 << 20) / 4 * 3, fan_out: 4, seed: None }
    }
}

/// The index, as its one writer has it.
#[derive(Debug)]
pub struct Index {
    fingerprinter: Fingerprinter,
    memory_entries: usize,
    open: Table,
    frozen: Option<Arc<Frozen>>,
    /// How many tables were frozen since the index was opened.
    freezes: u64,
    runs: Arc<Runs>,
}

impl Index {
    /// Opens the index of a log, or begins an empty one where there is none that can be used.
    /// The caller then inserts the keys of all records behind [`Self::covered`].
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the disk fails, and what the log says. Damage is no error.
    pub fn open(disk: Arc<dyn Disk>, log: &Reader, options: &Options) -> Result<(Self, Sealer)> {
        assert!(options.memory_entries > 0 && options.fan_out > 1, "an index that can hold and merge something");
        let folder = Arc::new(Folder::new(disk));
        let mut log = log.clone();
        let (manifest, runs) = open::open(&folder, &mut log)?.unwrap_or_else(|| {
            let seed = options.seed.unwrap_or_else(rand::random);
            (empty(log.head().lineage, log.shards(), seed), Vec::new())
        });
        let covered = manifest.head.shards.iter().map(|head| head.sequence).collect();
        let runs = Arc::new(Runs::new(Arc::clone(&folder), runs, covered));
        let index = Self {
            fingerprinter: Fingerprinter::new(manifest.seed),
            memory_entries: options.memory_entries,
            open: Table::new(options.memory_entries),
            frozen: None,
            freezes: 0,
            runs: Arc::clone(&runs),
        };
        Ok((index, Sealer::new(folder, log, options, manifest, runs)))
    }

    /// The sequence of each shard up to which the runs hold everything.
    pub fn covered(&self) -> &[u64] {
        self.runs.covered()
    }

    /// Makes the fingerprints of this index.
    pub fn fingerprinter(&self) -> Fingerprinter {
        self.fingerprinter
    }

    /// A record of this key stands there, from now on the newest.
    pub fn insert(&mut self, key: Fingerprint, at: Place) {
        self.open.insert(key.into(), at);
    }

    /// Whether the open table is to be frozen before the next batch. It takes more, but its memory grows.
    pub fn is_full(&self) -> bool {
        self.open.len() >= self.memory_entries
    }

    /// How many entries the open table has.
    pub fn unfrozen(&self) -> usize {
        self.open.len()
    }

    /// Whether the table that was frozen last is sealed and adopted.
    pub fn can_freeze(&self) -> bool {
        self.frozen.is_none()
    }

    /// The table that waits to be sealed.
    pub fn frozen(&self) -> Option<&Arc<Frozen>> {
        self.frozen.as_ref()
    }

    /// Freezes the open table and begins another one. `upto` says for each shard up to which sequence
    /// all keys were inserted. Where a batch ended at these, the sealer finds their hashes cheaply.
    ///
    /// # Panics
    /// Unless [`Self::can_freeze`].
    pub fn freeze(&mut self, upto: Vec<u64>) -> Arc<Frozen> {
        assert!(self.can_freeze(), "one table waits to be sealed at a time");
        assert_eq!(upto.len(), self.covered().len(), "a sequence for each shard");
        self.freezes += 1;
        let table = std::mem::replace(&mut self.open, Table::new(self.memory_entries));
        let frozen = Arc::new(Frozen { table, upto, number: self.freezes });
        self.frozen = Some(Arc::clone(&frozen));
        frozen
    }

    /// Looks into these runs from now on, and no longer into the frozen table if it is in them.
    pub fn adopt(&mut self, runs: Arc<Runs>) {
        if runs.version < self.runs.version {
            return; // a later change was faster
        }
        self.frozen = self.frozen.take().filter(|frozen| frozen.number > runs.sealed);
        self.runs = runs;
    }

    /// The sealed runs, for a look-up on any thread.
    pub fn runs(&self) -> &Arc<Runs> {
        &self.runs
    }

    /// The places of a key that are in memory, newest first and at most so many: they are newer than those in
    /// the runs.
    pub fn in_memory(&self, key: Fingerprint, most: usize) -> SmallVec<[Place; 2]> {
        let mut places = SmallVec::new();
        self.open.places(key.into(), most, &mut places);
        if let Some(frozen) = &self.frozen {
            frozen.table.places(key.into(), most, &mut places);
        }
        places
    }

    /// Where an entry stands, as far as memory tells: for whoever wants to know what look-ups meet.
    pub(crate) fn home(&self, key: Fingerprint, at: Place) -> Home {
        let has = |table: &Table| {
            let mut places = SmallVec::new();
            table.places(key.into(), usize::MAX, &mut places);
            places.contains(&at)
        };
        let mask = Mask::of(key.into());
        if has(&self.open) {
            Home::Open
        } else if self.frozen.as_ref().is_some_and(|frozen| has(&frozen.table)) {
            Home::Frozen
        } else if self.runs.runs().iter().any(|run| run.entry.level == 0 && run.may_contain(key.into(), &mask)) {
            Home::Sealed
        } else {
            Home::Merged
        }
    }

    /// The places of a key, and of others with its fingerprint, newest first and at most so many.
    ///
    /// # Errors
    /// As [`Runs::candidates`].
    pub fn candidates(&self, key: Fingerprint, most: usize) -> Result<SmallVec<[Place; 2]>> {
        let mut places = self.in_memory(key, most);
        places.extend(self.runs.candidates(key, most - places.len())?);
        Ok(places)
    }

    /// Says for each key whether a sealed run may know it; no is certain. Reads only memory, and
    /// touches what [`Self::in_memory`] and [`Self::insert`] will, so that the cache misses of many keys
    /// overlap.
    pub fn probe(&self, keys: &[Fingerprint], sealed: &mut Vec<bool>) {
        sealed.clear();
        let filters = self.runs.filters();
        sealed.extend(keys.iter().map(|&key| {
            let (fingerprint, mask) = (u64::from(key), Mask::of(key.into()));
            filters.iter().fold(false, |any, blocks| any | filter::may_contain(blocks, fingerprint, &mask))
        }));
        let tables = [Some(&self.open), self.frozen.as_ref().map(|frozen| &frozen.table)];
        let known = |key: &&Fingerprint| tables.iter().flatten().any(|table| table.contains(u64::from(**key)));
        std::hint::black_box(keys.iter().filter(known).count()); // or nothing would be touched
    }

    /// The bytes that tables, filters and sparse indexes hold in memory, filled or not.
    pub fn bytes(&self) -> usize {
        let frozen = self.frozen.as_ref().map_or(0, |frozen| frozen.table.bytes());
        self.open.bytes() + frozen + self.runs.bytes()
    }
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// In the table that takes the newest.
    Open,
    /// In the table that waits to be sealed.
    Frozen,
    /// In a run of the lowest level.
    Sealed,
    /// In a run that was merged from others.
    Merged,
}

/// What stands in the manifest before the first run.
fn empty(lineage: Uuid, shards: schemas::Shard, seed: u64) -> Manifest {
    let shards = vec![ShardHead::default(); usize::from(shards)];
    Manifest { version: manifest::VERSION, seed, next: 0, head: Head { lineage, shards }, runs: Vec::new() }
}
