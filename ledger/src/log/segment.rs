//! The segment file and its header. All numbers are little-endian.
//!
//! ```text
//! header
//!    0  magic     8  "GIFTLOG\n"
//!    8  crc       4  CRC-32C of the header from byte 12
//!   12  version   4  of the format: 1. What stands before byte 20 is the same in every version
//!   16  length    4  of the header
//!   20  previous  4  crc of the last frame before this segment; of the header before it, if there is none; 0 in the first
//!   24  lineage  16  the ledger's UUID, version 7
//!   40  base      8  offset of this file's first byte in the log, also in its name
//!   48  shards    2
//!   50  cuts      2  how many ends the log has lost to a restore or a repair
//!   52  reserved  4  pages of 4 KiB that this file has at least while it is written; 0 where nobody has said so
//! then for each shard, from 0
//!    0  sequence  8  of its last record before this segment
//!    8  hash     32  there
//!   40  block    32  hash of its last complete block of 256 records
//!   72  open      2  how many frames hold the records behind that block
//!   74  zero      6
//!   80  frames    8 × open  their offsets, rising
//! then for each cut, the oldest first
//!    0  lineage  16  the ledger's UUID up to there
//!   16  base      8  offset of the segment that was begun there, under the next lineage
//! frames
//! in the last segment only: zeros, its reserve, or the mark of an end in order
//! ```
//!
//! The mark stands right behind the last frame (the header, where there is none), and the next frame is
//! written over it:
//!
//! ```text
//!    0  magic     8  "GLended\n"
//!    8  previous  4  crc of the last frame, or of the header
//!   12  crc       4  CRC-32C of the mark with zeros in its place
//!   16  offset    8  where the mark stands in the log
//!   24  magic     8  "GLended\n"
//! ```
//!
//! So a last segment says by itself whether its end is still there: while it is written it has its reserve,
//! of which the length is in the header, and after an end in order it has the mark. One that is shorter and
//! has no mark was cut, by something that is not us. A segment that others follow has neither.
//!
//! Offsets run through all segments, headers included: a segment begins where the one before it
//! ends. A header with its hashes and open frames is what lets a start take up the chains from the
//! last segment and at most 255 records per shard before it.
//!
//! A ledger that lost answered records (it was restored from a backup, or its end was cut by a repair)
//! goes on under a lineage of its own, so that nobody's position behind the cut can name other
//! records in silence. What was written stays as it is: a new segment begins at the cut, with the new
//! lineage and with the old one as its last cut. So the ledger's lineage is that of its last segment,
//! and where each former one ended is where that segment's tips stand.

use std::io;

use schemas::{BLOCK_RECORDS, Hash, Shard};
use uuid::Uuid;

use super::{
    MAX_SEQUENCE, ShardHead,
    disk::{Disk, DiskFile},
    frame::{crc32c, u16_at, u32_at, u64_at},
};
use crate::{Error, Result};

/// The version of the format that this release writes, and the newest that it reads.
pub(super) const VERSION: u32 = 1;

/// The folder of the segments.
pub(crate) const FOLDER: &str = "log";
/// A segment that is reserved but not begun.
pub(super) const SPARE: &str = "log/next.tmp";

/// The most cuts that a log can have: each is a disaster.
pub(super) const MAX_CUTS: usize = 1_000;

const MAGIC: [u8; 8] = *b"GIFTLOG\n";
const FIXED_BYTES: usize = 56;
const SHARD_BYTES: usize = 80;
const CUT_BYTES: usize = 24;
/// Reserved space is counted in these, so that 4 bytes of the header say how much there is.
const PAGE_BYTES: u64 = 4096;
/// The bytes of the mark that an end in order leaves.
pub(super) const MARK_BYTES: usize = 32;
const MARK_MAGIC: [u8; 8] = *b"GLended\n";

/// How far a shard is, with all that its chain needs to be taken up again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tip {
    pub head: ShardHead,
    /// The hash of the last complete block.
    pub block: Hash,
    /// The frames that hold the records behind it.
    pub open: Vec<u64>,
}

impl Tip {
    /// The sequence that the last complete block ends with.
    pub fn block_sequence(&self) -> u64 {
        self.head.sequence - self.head.sequence % BLOCK_RECORDS
    }

    /// Moves on by the `count` records that a frame at `offset` has of this shard.
    pub fn take(&mut self, offset: u64, count: u32, hash: Hash, block: Hash) {
        self.head = ShardHead { sequence: self.head.sequence + u64::from(count), hash };
        self.block = block;
        let in_block = self.head.sequence % BLOCK_RECORDS;
        if in_block <= u64::from(count) {
            self.open.clear();
        }
        if in_block > 0 {
            self.open.push(offset);
        }
    }
}

/// Where the log went on under another lineage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineageCut {
    /// The lineage up to here.
    pub lineage: Uuid,
    /// The offset of the segment that begins here.
    pub base: u64,
}

/// Why a segment's lineage does not continue the log's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineageFault {
    /// It is of another ledger.
    Foreign,
    /// It is of this one, and tells another story of it.
    OtherCuts,
}

/// The header of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub crc: u32,
    pub previous: u32,
    pub lineage: Uuid,
    pub base: u64,
    /// The bytes that the file has at least while it is written, whole pages; 0 if nobody has said so.
    pub reserved: u64,
    pub tips: Vec<Tip>,
    /// The lineages that the log had before, the oldest first.
    pub cuts: Vec<LineageCut>,
}

/// So many bytes, or what makes whole pages of them.
pub(super) fn whole_pages(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE_BYTES)
}

/// The mark behind something with the crc `previous` that ends at `offset` of the log.
pub(super) fn mark(previous: u32, offset: u64) -> [u8; MARK_BYTES] {
    let mut bytes = [0; MARK_BYTES];
    bytes[..8].copy_from_slice(&MARK_MAGIC);
    bytes[8..12].copy_from_slice(&previous.to_le_bytes());
    bytes[16..24].copy_from_slice(&offset.to_le_bytes());
    bytes[24..].copy_from_slice(&MARK_MAGIC);
    let crc = crc32c(&bytes);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The most bytes of a header.
pub(super) fn max_header(shards: Shard, cuts: usize) -> usize {
    let open = usize::try_from(BLOCK_RECORDS - 1).expect("255");
    FIXED_BYTES + usize::from(shards) * (SHARD_BYTES + 8 * open) + cuts * CUT_BYTES
}

/// The name of the segment that begins at an offset.
pub(super) fn name(base: u64) -> String {
    format!("{FOLDER}/{base:016x}.seg")
}

/// The offset in a segment's name (without its folder).
pub(super) fn base_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let lower = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    lower.then(|| u64::from_str_radix(digits, 16).ok())?
}

impl Header {
    /// The header of a segment that goes on at `base`, behind something with the crc `previous`. Under
    /// another lineage, where one is given: the end of the log up to here was lost.
    pub fn next(&self, base: u64, previous: u32, tips: Vec<Tip>, new_lineage: Option<Uuid>) -> Self {
        let mut cuts = self.cuts.clone();
        if new_lineage.is_some() {
            cuts.push(LineageCut { lineage: self.lineage, base });
        }
        let (lineage, reserved) = (new_lineage.unwrap_or(self.lineage), self.reserved);
        Self { crc: 0, previous, lineage, base, reserved, tips, cuts }
    }

    /// The lineage that the ledger had first: it stays the same whatever is cut, and so names the ledger.
    pub fn origin(&self) -> Uuid {
        self.cuts.first().map_or(self.lineage, |cut| cut.lineage)
    }

    /// The header's bytes and, behind them, the mark of an end in order.
    pub fn write_ended(&mut self) -> Vec<u8> {
        let mut bytes = self.write();
        let end = self.base + bytes.len() as u64;
        bytes.extend_from_slice(&mark(self.crc, end));
        bytes
    }

    /// Why this header cannot follow the one before it in the log, if so. Its tips, base and previous
    /// are others' to compare.
    pub fn check_lineage(&self, before: &Self) -> Result<(), LineageFault> {
        let cut = LineageCut { lineage: before.lineage, base: self.base };
        let same = self.lineage == before.lineage && self.cuts == before.cuts;
        let renewed = self.lineage != before.lineage && self.cuts.split_last() == Some((&cut, before.cuts.as_slice()));
        match () {
            () if same || renewed => Ok(()),
            () if self.lineage == before.lineage => Err(LineageFault::OtherCuts),
            () => Err(LineageFault::Foreign),
        }
    }

    /// The bytes, and their crc in `self`.
    pub fn write(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.tips.len() * SHARD_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.previous.to_le_bytes());
        bytes.extend_from_slice(self.lineage.as_bytes());
        bytes.extend_from_slice(&self.base.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(self.tips.len()).expect("shards have 16 bits").to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(self.cuts.len()).expect("`MAX_CUTS` is below").to_le_bytes());
        let pages = u32::try_from(self.reserved / PAGE_BYTES).expect("a segment is far below 16 TiB");
        bytes.extend_from_slice(&pages.to_le_bytes());
        for tip in &self.tips {
            bytes.extend_from_slice(&tip.head.sequence.to_le_bytes());
            bytes.extend_from_slice(&tip.head.hash.0);
            bytes.extend_from_slice(&tip.block.0);
            bytes.extend_from_slice(&u16::try_from(tip.open.len()).expect("at most 255 frames").to_le_bytes());
            bytes.extend_from_slice(&[0; 6]);
            tip.open.iter().for_each(|offset| bytes.extend_from_slice(&offset.to_le_bytes()));
        }
        for cut in &self.cuts {
            bytes.extend_from_slice(cut.lineage.as_bytes());
            bytes.extend_from_slice(&cut.base.to_le_bytes());
        }
        let length = u32::try_from(bytes.len()).expect("at most 65,535 shards of 2 KiB");
        bytes[16..20].copy_from_slice(&length.to_le_bytes());
        self.crc = crc32c(&bytes[12..]);
        bytes[8..12].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    /// Reads and checks the header of the segment `name`; with it come its bytes on disk.
    pub fn read(disk: &dyn Disk, name: &str, file: &dyn DiskFile) -> Result<(Self, u64)> {
        let io = |source| Error::Io { doing: "reading the header of", path: disk.path(name), source };
        let damaged = |offset, what: &str| Error::damaged(disk.path(name), offset, what);
        let mut start = [0; 20];
        read_exact(file, 0, &mut start).map_err(io)?.ok_or_else(|| damaged(0, "the segment's header is cut"))?;
        if start[..8] != MAGIC {
            return Err(damaged(0, "no segment of a log begins here"));
        }
        let (version, length) = (u32_at(&start, 12), u32_at(&start, 16) as usize);
        let limit = max_header(Shard::MAX, MAX_CUTS);
        if length < FIXED_BYTES || length > limit {
            return Err(damaged(16, "the header's length makes no sense"));
        }
        let mut bytes = vec![0; length];
        read_exact(file, 0, &mut bytes).map_err(io)?.ok_or_else(|| damaged(0, "the segment's header is cut"))?;
        if crc32c(&bytes[12..]) != u32_at(&bytes, 8) {
            return Err(damaged(8, "the segment's header and its checksum differ"));
        }
        if version > VERSION {
            return Err(Error::NewerVersion { path: disk.path(name), found: version, supported: VERSION });
        }
        Ok((Self::parse(&bytes).ok_or_else(|| damaged(20, "the segment's header makes no sense"))?, length as u64))
    }

    /// Reads a header whose checksum was checked.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let shards = usize::from(u16_at(bytes, 48));
        let mut tips = Vec::with_capacity(shards);
        let mut rest = &bytes[FIXED_BYTES..];
        for _ in 0..shards {
            let (fixed, behind) = rest.split_at_checked(SHARD_BYTES)?;
            let (offsets, behind) = behind.split_at_checked(8 * usize::from(u16_at(fixed, 72)))?;
            tips.push(Tip {
                head: ShardHead { sequence: u64_at(fixed, 0), hash: Hash(*fixed[8..].first_chunk()?) },
                block: Hash(*fixed[40..].first_chunk()?),
                open: offsets.chunks_exact(8).map(|offset| u64_at(offset, 0)).collect(),
            });
            rest = behind;
        }
        let (cuts, rest) = rest.split_at_checked(CUT_BYTES * usize::from(u16_at(bytes, 50)))?;
        let cut = |bytes: &[u8]| {
            Some(LineageCut { lineage: Uuid::from_bytes(*bytes.first_chunk()?), base: u64_at(bytes, 16) })
        };
        let header = Self {
            crc: u32_at(bytes, 8),
            previous: u32_at(bytes, 20),
            lineage: Uuid::from_bytes(*bytes[24..].first_chunk()?),
            base: u64_at(bytes, 40),
            reserved: u64::from(u32_at(bytes, 52)) * PAGE_BYTES,
            tips,
            cuts: cuts.chunks_exact(CUT_BYTES).map(cut).collect::<Option<_>>()?,
        };
        // A chain is taken up from frames before this segment, and goes on behind the last sequence.
        let resumes =
            |tip: &Tip| tip.head.sequence < MAX_SEQUENCE && tip.open.iter().all(|&offset| offset < header.base);
        (rest.is_empty() && shards > 0 && header.tips.iter().all(resumes)).then_some(header)
    }
}

/// The crc of a segment's header, which names all that stands before the segment.
pub(crate) fn header_crc(disk: &dyn Disk, name: &str) -> Result<u32> {
    let io = |source| Error::Io { doing: "opening", path: disk.path(name), source };
    Header::read(disk, name, &*disk.open(name, false).map_err(io)?).map(|(header, _)| header.crc)
}

/// Each shard's last sequence before a segment, as its header says.
pub(super) fn header_sequences(disk: &dyn Disk, name: &str) -> Result<Vec<u64>> {
    let io = |source| Error::Io { doing: "opening", path: disk.path(name), source };
    let (header, _) = Header::read(disk, name, &*disk.open(name, false).map_err(io)?)?;
    Ok(header.tips.iter().map(|tip| tip.head.sequence).collect())
}

/// Fills `bytes`, or says that the file ends before.
pub(super) fn read_exact(file: &dyn DiskFile, offset: u64, bytes: &mut [u8]) -> io::Result<Option<()>> {
    Ok((file.read_at(offset, bytes)? == bytes.len()).then_some(()))
}
