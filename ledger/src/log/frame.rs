//! The frame: one group commit on disk. All numbers are little-endian.
//!
//! ```text
//! header, 32 bytes
//!    0  magic     4  "GLfr"
//!    4  crc       4  CRC-32C of the header from byte 8 and both tables
//!    8  length    4  of the whole frame
//!   12  previous  4  the crc of the frame before it; in a segment's first frame, of the segment's header
//!   16  offset    8  where this frame stands in the log
//!   24  sections  2  how many shards have records in it
//!   26  codec     1  how blocks are compressed: 1 = zstd
//!   27  zero      1
//!   28  blocks    4  how many
//! a section, 48 bytes, by shard
//!    0  shard     2
//!    2  zero      2
//!    4  count     4  records, from 1
//!    8  first     8  sequence of the first
//!   16  hash     32  of the shard behind the last
//! a block's entry, 16 bytes
//!    0  records   4  from 1
//!    4  raw       4  bytes
//!    8  stored    4  bytes; equal to raw where it is not compressed, else fewer
//!   12  crc       4  CRC-32C of the stored bytes
//! the stored blocks, one behind the other
//! ```
//!
//! The records stand in the order of the sections and flow through the blocks: a block may hold the
//! end of one shard's and the beginning of the next one's. A raw block is the canonical bytes of its
//! records, then, where there are several, their lengths in 2 bytes each. It has at most 64 KiB, or
//! one record.
//!
//! So every byte is covered: header and tables by the frame's crc, each block by its crc in the
//! table, and the chain of frames by `previous`. A block can be read and checked without the others,
//! which is why there is no one crc over everything.
//!
//! Limits: 2^20 records a frame and 2^44 bytes of log (a locator holds both); a length of 32 bits.

use crc_fast::CrcAlgorithm::Crc32Iscsi;
use schemas::{Hash, MAX_RECORD_BYTES, Shard};

use super::MAX_SEQUENCE;

/// The first bytes of a frame.
pub(super) const MAGIC: [u8; 4] = *b"GLfr";
/// The header's bytes.
pub(super) const HEADER_BYTES: usize = 32;
/// A section's bytes.
pub(super) const SECTION_BYTES: usize = 48;
/// The bytes of a block's entry.
pub(super) const ENTRY_BYTES: usize = 16;
/// The most raw bytes of a block with several records.
pub(super) const BLOCK_BYTES: usize = 64 * 1024;
/// The most records of a frame.
pub(super) const MAX_RECORDS: usize = 1 << 20;

const CODEC_ZSTD: u8 = 1;

/// CRC-32C.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    u32::try_from(crc_fast::checksum(Crc32Iscsi, bytes)).expect("a CRC-32C has 32 bits")
}

/// The records of one shard in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section {
    pub shard: Shard,
    pub count: u32,
    pub first: u64,
    pub hash: Hash,
}

impl Section {
    /// The sequence of the last record.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }
}

/// The entry of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub records: u32,
    pub raw: u32,
    pub stored: u32,
    pub crc: u32,
}

/// What a frame says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Meta {
    pub crc: u32,
    pub length: u32,
    pub previous: u32,
    pub offset: u64,
    pub sections: Vec<Section>,
    pub entries: Vec<Entry>,
}

/// Why bytes are not a frame. Only for people: it ends up in a message.
pub(super) type Invalid = &'static str;

/// What a header says of the sizes: (header and tables, whole frame).
pub(super) fn sizes(header: &[u8; HEADER_BYTES]) -> Result<(usize, usize), Invalid> {
    if header[..4] != MAGIC {
        return Err("no frame begins here");
    }
    let head = head_bytes(usize::from(u16_at(header, 24)), u32_at(header, 28) as usize);
    let length = u32_at(header, 8) as usize;
    if head > length { Err("a frame is shorter than its tables") } else { Ok((head, length)) }
}

/// The bytes of a header and its tables.
pub(super) fn head_bytes(sections: usize, entries: usize) -> usize {
    HEADER_BYTES + sections * SECTION_BYTES + entries * ENTRY_BYTES
}

impl Meta {
    /// The place of a record in the frame, if it holds it.
    pub fn ordinal(&self, shard: Shard, sequence: u64) -> Option<u32> {
        let mut before = 0;
        for section in &self.sections {
            if section.shard == shard {
                let within = sequence.checked_sub(section.first)?;
                return u32::try_from(within).ok().filter(|&n| n < section.count).map(|n| before + n);
            }
            before += section.count;
        }
        None
    }

    /// Reads and checks a header with its tables; `self` keeps its buffers.
    pub fn read(&mut self, head: &[u8]) -> Result<(), Invalid> {
        let header: &[u8; HEADER_BYTES] = head.first_chunk().ok_or("a frame's header is cut")?;
        let (size, _) = sizes(header)?;
        let head = head.get(..size).ok_or("a frame's tables are cut")?;
        self.crc = u32_at(head, 4);
        if self.crc != crc32c(&head[8..]) {
            return Err("a frame's header and its checksum differ");
        }
        if head[26] != CODEC_ZSTD || head[27] != 0 {
            return Err("a frame has a compression that this release does not know");
        }
        self.length = u32_at(head, 8);
        self.previous = u32_at(head, 12);
        self.offset = u64_at(head, 16);
        let (sections, entries) = head[HEADER_BYTES..].split_at(usize::from(u16_at(head, 24)) * SECTION_BYTES);
        self.sections.clear();
        self.sections.extend(sections.chunks_exact(SECTION_BYTES).map(|bytes| Section {
            shard: u16_at(bytes, 0),
            count: u32_at(bytes, 4),
            first: u64_at(bytes, 8),
            hash: Hash(*bytes[16..].first_chunk().expect("a section has 48 bytes")),
        }));
        self.entries.clear();
        self.entries.extend(entries.chunks_exact(ENTRY_BYTES).map(|bytes| Entry {
            records: u32_at(bytes, 0),
            raw: u32_at(bytes, 4),
            stored: u32_at(bytes, 8),
            crc: u32_at(bytes, 12),
        }));
        self.check()
    }

    /// What a sound checksum does not rule out: a writer that went wrong.
    fn check(&self) -> Result<(), Invalid> {
        let sound = |s: &Section| {
            s.count > 0 && s.first > 0 && s.first.checked_add(s.count.into()).is_some_and(|next| next <= MAX_SEQUENCE)
        };
        if self.sections.is_empty()
            || !self.sections.iter().all(sound)
            || !self.sections.is_sorted_by(|a, b| a.shard < b.shard)
        {
            return Err("a frame's table of shards makes no sense");
        }
        let whole = |e: &Entry| {
            let limit = if e.records == 1 { MAX_RECORD_BYTES } else { BLOCK_BYTES };
            e.records > 0 && e.stored <= e.raw && e.raw as usize <= limit
        };
        let stored: u64 = self.entries.iter().map(|e| u64::from(e.stored)).sum();
        let records: u64 = self.entries.iter().map(|e| u64::from(e.records)).sum();
        if !self.entries.iter().all(whole)
            || self.head() as u64 + stored != u64::from(self.length)
            || records != self.sections.iter().map(|s| u64::from(s.count)).sum::<u64>()
            || records > MAX_RECORDS as u64
        {
            return Err("a frame's table of blocks makes no sense");
        }
        Ok(())
    }

    /// The bytes of header and tables.
    pub fn head(&self) -> usize {
        head_bytes(self.sections.len(), self.entries.len())
    }

    /// How many records it has.
    pub fn records(&self) -> u32 {
        self.sections.iter().map(|s| s.count).sum()
    }

    /// The raw bytes of its blocks.
    pub fn raw(&self) -> u64 {
        self.entries.iter().map(|e| u64::from(e.raw)).sum()
    }

    /// The offset of the first byte behind it.
    pub fn end(&self) -> u64 {
        self.offset + u64::from(self.length)
    }

    /// The blocks of a whole frame, each checked.
    pub fn blocks<'a>(&'a self, frame: &'a [u8]) -> impl Iterator<Item = Result<(&'a Entry, &'a [u8]), Invalid>> {
        let mut at = self.head();
        self.entries.iter().map(move |entry| {
            let stored = frame.get(at..at + entry.stored as usize).ok_or("a frame is cut")?;
            at += entry.stored as usize;
            if crc32c(stored) == entry.crc { Ok((entry, stored)) } else { Err("a block and its checksum differ") }
        })
    }

    /// Writes header and tables behind one another into `head`, which has exactly their size, with
    /// the crc that `self` then has too.
    pub fn write(&mut self, head: &mut [u8]) {
        assert_eq!(head.len(), self.head(), "room for a frame's header and tables");
        head[..4].copy_from_slice(&MAGIC);
        head[8..12].copy_from_slice(&self.length.to_le_bytes());
        head[12..16].copy_from_slice(&self.previous.to_le_bytes());
        head[16..24].copy_from_slice(&self.offset.to_le_bytes());
        let sections = u16::try_from(self.sections.len()).expect("one section a shard");
        head[24..26].copy_from_slice(&sections.to_le_bytes());
        head[26..28].copy_from_slice(&[CODEC_ZSTD, 0]);
        let entries = u32::try_from(self.entries.len()).expect("fewer blocks than records");
        head[28..32].copy_from_slice(&entries.to_le_bytes());
        let (sections, entries) = head[HEADER_BYTES..].split_at_mut(self.sections.len() * SECTION_BYTES);
        for (bytes, section) in sections.chunks_exact_mut(SECTION_BYTES).zip(&self.sections) {
            bytes[..2].copy_from_slice(&section.shard.to_le_bytes());
            bytes[2..4].fill(0);
            bytes[4..8].copy_from_slice(&section.count.to_le_bytes());
            bytes[8..16].copy_from_slice(&section.first.to_le_bytes());
            bytes[16..].copy_from_slice(&section.hash.0);
        }
        for (bytes, entry) in entries.chunks_exact_mut(ENTRY_BYTES).zip(&self.entries) {
            bytes[..4].copy_from_slice(&entry.records.to_le_bytes());
            bytes[4..8].copy_from_slice(&entry.raw.to_le_bytes());
            bytes[8..12].copy_from_slice(&entry.stored.to_le_bytes());
            bytes[12..].copy_from_slice(&entry.crc.to_le_bytes());
        }
        self.crc = crc32c(&head[8..]);
        head[4..8].copy_from_slice(&self.crc.to_le_bytes());
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(*bytes[at..].first_chunk().expect("the caller checked the length"))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the caller checked the length"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the caller checked the length"))
}
