//! The embedded log: one writer, one sequence of segment files for all shards, durable before
//! anybody hears of it.
//!
//! ```text
//! (the folder itself)         locked by the one writer
//! log/<offset, 16 hex>.seg    segments: a header, frames, and zeros as reserve behind the last frame
//! log/next.tmp                a segment that is reserved but not begun
//! snapshots/                  see the module `snapshot`
//! positions/<name>.json       how far somebody is known to have come; never cut below
//! cut/<segment>-<offset>.bin  what recovery cut from the end, kept
//! ```
//!
//! | file here | its story |
//! |---|---|
//! | `frame`, `segment`, `position` | the bytes on disk, with their layouts and limits |
//! | `batch`, `encoder`, `block` | from records to the bytes of a frame, and back |
//! | `writer` | [`Log`]: reserve, append, seal |
//! | `walk` | from frame to frame, each checked to continue the one before |
//! | `evidence`, `files`, `ending` | who says how far the log had come, which files are its own, what proves its end |
//! | `tail`, `salvage` | the survey of the last segment, and of all of them |
//! | `diagnosis` | from a survey to the one verdict that start, reader and repair go by |
//! | `recovery`, `repair` | what a start and a repair do about it |
//! | `shared` | the segments and the durable end, between one writer and any readers |
//! | `scan`, `frames`, `reader`, `find`, `inspect` | reading: in order, one record, by sequence, by segment |
//! | `page` | reading from any place on, a block at a time |
//! | `parallel` | reading in order with more than one core |
//! | `disk`, `faulty` | what all of it asks of a disk, and a disk that fails |
//!
//! Invariants. A frame is whole or not there. At most one frame is written and not yet synced, so at
//! most the last one can be torn; recovery cuts nothing else. The last segment proves its end: by its reserve
//! while it is written, by a mark after an end in order. Sequences of a shard run from 1
//! without a gap, its times rise strictly, and each frame carries the hash behind its last record.

mod batch;
mod block;
mod diagnosis;
pub mod disk;
mod encoder;
mod ending;
mod evidence;
pub mod faulty;
mod files;
mod find;
mod frame;
mod frames;
mod inspect;
mod page;
mod parallel;
mod position;
mod reader;
mod recent;
mod recovery;
mod repair;
mod salvage;
mod scan;
mod segment;
mod shared;
mod tail;
mod walk;
mod writer;

use std::fmt;

use schemas::{Hash, Shard};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use batch::Batch;
pub use diagnosis::{Diagnosis, Lost, Problem};
pub use disk::{Disk, DiskFile, OsDisk};
pub(crate) use disk::{LOCK, LockGuard, finished_name};
pub(crate) use evidence::doubt_of_end;
pub(crate) use frame::crc32c;
pub use frames::{Check, Frame, Frames};
pub use inspect::{
    DerivedFolder, FormerLineage, FrameInfo, Inspection, SegmentFrames, SegmentInfo, SegmentState, frames_of, inspect,
};
pub use page::Page;
pub(crate) use position::{FOLDER as POSITIONS_FOLDER, store_end};
pub(crate) use reader::DurableSegment;
pub use reader::Reader;
pub(crate) use recovery::{BACKUP, BACKUP_PART, CUT_FOLDER, RESTORE, lock};
pub use recovery::{Cut, Recovery};
pub use repair::{diagnose, repair};
pub(crate) use segment::{FOLDER as LOG_FOLDER, header_crc};
pub(crate) use walk::{CheckedSegment, Walk};
pub use writer::{Log, Stats};

/// How a log is written.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many shards a new ledger has (16 if not named); for an existing one, how many it must have.
    pub shards: Option<Shard>,
    /// How large a segment becomes. It is made larger where two of the largest batches need it.
    pub segment_bytes: u64,
    /// The most bytes of encoded records that one batch may have. A record that has more stops whoever writes:
    /// less than the largest one ([`schemas::MAX_RECORD_BYTES`]) is for tests that know how large theirs are.
    pub max_frame_bytes: usize,
}

impl Options {
    /// The shards of a new ledger.
    pub const SHARDS: Shard = 16;
    /// The most shards: a segment's header has at most 100 bytes for each, and a frame a section.
    pub const MAX_SHARDS: Shard = 1_024;

    /// What a segment of a log of so many shards and cuts has reserved.
    pub(crate) fn segment_bytes(&self, shards: Shard, cuts: usize) -> u64 {
        let least =
            segment::max_header(shards, cuts) as u64 + 2 * encoder::max_frame(shards, self.max_frame_bytes) as u64;
        segment::whole_pages(self.segment_bytes.max(least))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { shards: None, segment_bytes: 64 << 20, max_frame_bytes: 8 << 20 }
    }
}

/// Where a record is: the offset of its frame in the log (44 bits), and its place in the frame (20
/// bits). Rises with the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locator(u64);

impl Locator {
    const ORDINAL_BITS: u32 = 20;
    const ORDINAL_MASK: u64 = (1 << Self::ORDINAL_BITS) - 1;

    /// The first record of the frame at an offset.
    pub(crate) fn new(offset: u64) -> Self {
        assert!(offset < 1 << (64 - Self::ORDINAL_BITS), "a log of more than 16 TiB");
        Self(offset << Self::ORDINAL_BITS)
    }

    /// The same, unless it is beyond what a log can have.
    pub(crate) fn checked(offset: u64) -> Option<Self> {
        (offset < 1 << (64 - Self::ORDINAL_BITS)).then(|| Self::new(offset))
    }

    /// The record that stands `n` places further in the same frame.
    ///
    /// # Panics
    /// Beyond 2^20 records, which no frame has.
    #[must_use]
    pub fn nth(self, n: u32) -> Self {
        let ordinal = self.ordinal() + n;
        assert!(ordinal < 1 << Self::ORDINAL_BITS, "a frame of more than 2^20 records");
        Self(self.0 + u64::from(n))
    }

    /// The offset of its frame in the log.
    pub fn offset(self) -> u64 {
        self.0 >> Self::ORDINAL_BITS
    }

    /// Its place in the frame, from 0.
    pub fn ordinal(self) -> u32 {
        (self.0 & Self::ORDINAL_MASK) as u32
    }
}

impl From<u64> for Locator {
    fn from(bits: u64) -> Self {
        Self(bits)
    }
}
impl From<Locator> for u64 {
    fn from(at: Locator) -> Self {
        at.0
    }
}
impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}+{}", self.offset(), self.ordinal())
    }
}
impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// No shard has more records: at a million a second, 285 years of them. What names more is damaged; and those of all
/// shards add up to a number that can be told.
pub(crate) const MAX_SEQUENCE: u64 = 1 << 53;

/// How far a shard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardHead {
    /// The sequence of its last record; 0 before the first.
    pub sequence: u64,
    /// The hash of its records up to there.
    pub hash: Hash,
}

/// How far a ledger is: a position in all shards, with what proves that it is this ledger's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The ledger's own id, from when it was made.
    pub lineage: Uuid,
    /// Each shard, from 0.
    pub shards: Vec<ShardHead>,
}
