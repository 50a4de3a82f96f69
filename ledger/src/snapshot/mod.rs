//! Snapshots: the state of all shards at a position of the log, so that a start folds the rest only.
//!
//! ```text
//! snapshots/<offset, 16 hex>.snap   the offset in the log of the frame that comes next
//! ```
//!
//! A snapshot is a fold and nothing else: whoever loses them all loses time. One that does not check
//! out is reported and passed over, for the next older one or the log's beginning. The one thing that
//! is refused is a snapshot that has seen more than the log holds: then the log has lost its end.
//! The same position gives the same bytes in every process, so two machines can compare them.
//!
//! All numbers are little-endian.
//!
//! ```text
//! header
//!    0  magic     8  "GIFTSNP\n"
//!    8  crc       4  CRC-32C of the header from byte 12
//!   12  version   4  of the format: 1. What stands before byte 20 is the same in every version
//!   16  length    4  of the header
//!   20  zero      4
//!   24  lineage  16  the ledger's UUID, version 7
//!   40  offset    8  in the log, right behind the last frame that is in it; also in the file's name
//!   48  users     8  how many there are in all shards
//!   56  shards    2
//!   58  zero      6
//! then for each shard, from 0
//!    0  sequence  8  of its last record
//!    8  hash     32  there
//! blocks, each
//!    0  length    4  of its content
//!    4  crc       4  CRC-32C of bytes 8 to 16 and the content
//!    8  items     4  how many are in it
//!   12  shard     2
//!   14  kind      1  1 = the shard, 2 = users, 3 = dispatches under way, 4 = the end
//!   15  zero      1
//!   16  content   values in postcard, one behind the other
//! the hash, 32 bytes: BLAKE3 of everything before it
//! ```
//!
//! For each shard in turn there is one block of kind 1 (its number, the number of shards, sequence,
//! time, dispatches issued by target, taken by source, catalogue, reference data; `items` says how
//! many users follow), then its users by id as (id, (wallet, open orders)), in blocks of kind 2 that
//! end with the user who takes them past 256 KiB. Then come the dispatches that were issued and not taken, in order, as
//! (source, target, number, sequence of the record that carries it) in blocks of kind 3, then the end
//! (no items, no content, shard 0), then the hash. Nothing follows it.
//!
//! Blocks are not compressed. A wallet of one lot takes about 20 bytes: writing them takes as long
//! as compressing them would, and so the bytes hang on no library's release.
//!
//! Storing one: `<name>.<process>.tmp` is written and synced; the position is stored as "snapshot", so
//! that the log is never cut below it; then the file gets its name. The newest two are kept.

mod aside;
mod fold;
mod pending;
mod read;
mod write;

use schemas::{Event, Record, Shard};

pub use aside::set_aside;
pub use fold::{Plan, Until, fold};
pub use pending::Pending;
pub use read::Info;
pub(crate) use read::stated;

use crate::{
    Error, Result, caught,
    log::{Frame, Head, Locator, Reader, ShardHead},
    state::{State, share_catalogue},
};

/// The version of the format that this release writes, and the newest that it reads.
const VERSION: u32 = 2;

/// The folder of the snapshots.
pub(crate) const FOLDER: &str = "snapshots";
/// Under which name its position is stored.
const POSITION: &str = "snapshot";
/// How many are kept: one more than is needed, should the newest not check out.
const KEPT: usize = 2;

const MAGIC: [u8; 8] = *b"GIFTSNP\n";
const FIXED_BYTES: usize = 64;
const SHARD_BYTES: usize = 40;
const BLOCK_HEADER_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// When a block is full: long enough that its header costs nothing, short enough for the cache.
const BLOCK_BYTES: usize = 256 * 1024;

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Shard = 1,
    Users = 2,
    Pending = 3,
    End = 4,
}

/// All shards at a position of the log: the end of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The position.
    pub head: Head,
    /// Where the next frame is: right behind the last one that was taken.
    pub next: Locator,
    /// The states, by shard.
    pub states: Vec<State>,
    /// The dispatches that were issued and not taken.
    pub pending: Pending,
}

impl Snapshot {
    /// The beginning of the log that `reader` reads.
    pub fn beginning(reader: &Reader) -> Self {
        let (lineage, shards) = (reader.head().lineage, reader.shards());
        Self {
            head: Head { lineage, shards: vec![ShardHead::default(); shards.into()] },
            next: Locator::new(0),
            states: (0..shards).map(|shard| State::new(shard, shards)).collect(),
            pending: Pending::default(),
        }
    }

    /// Moves on by the next frame.
    ///
    /// # Panics
    /// If it is not the next one: the log or this program is wrong.
    pub fn take(&mut self, frame: &Frame) {
        frame.records.iter().for_each(|record| self.take_record(record));
        self.reached(frame);
    }

    /// The same, where the log or what was folded so far may be forged.
    ///
    /// # Errors
    /// [`Error::Contradiction`] names the record that does not fit; nothing may go on from here.
    pub fn follow(&mut self, frame: &Frame) -> Result<()> {
        let mut at = (0, 0);
        let followed = caught(|| {
            for record in &frame.records {
                at = (record.shard, record.sequence);
                self.take_record(record);
            }
        });
        self.reached(frame);
        followed.map_err(|what| Error::Contradiction { shard: at.0, sequence: at.1, what })
    }

    fn take_record(&mut self, record: &Record) {
        self.pending.note(record);
        self.states[usize::from(record.shard)].apply(record);
        if matches!(record.event(), Some(Event::ReferenceTaken(_))) {
            share_catalogue(&mut self.states, record.shard);
        }
    }

    fn reached(&mut self, frame: &Frame) {
        for (shard, head) in &frame.heads {
            self.head.shards[usize::from(*shard)] = *head;
        }
        self.next = Locator::new(frame.first.offset() + frame.stored_bytes);
    }

    /// How many records it is made of.
    pub fn records(&self) -> u64 {
        records(&self.head)
    }

    /// How many users it remembers.
    pub fn users(&self) -> u64 {
        self.states.iter().map(|state| state.users().len() as u64).sum()
    }
}

/// How many records stand up to a position.
fn records(head: &Head) -> u64 {
    head.shards.iter().map(|shard| shard.sequence).sum()
}

/// The name of the snapshot whose next frame is at an offset.
pub(crate) fn name(offset: u64) -> String {
    format!("{FOLDER}/{offset:016x}.snap")
}

/// The offset in a snapshot's name (without its folder).
fn offset_of(file: &str) -> Option<u64> {
    let digits = file.strip_suffix(".snap")?;
    let lower = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    lower.then(|| u64::from_str_radix(digits, 16).ok())?
}

/// The header's bytes.
fn header_bytes(shards: Shard) -> usize {
    FIXED_BYTES + usize::from(shards) * SHARD_BYTES
}
