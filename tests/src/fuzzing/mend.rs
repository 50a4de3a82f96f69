//! Checksums keep a fuzzer out: nearly every change to a file is found by the first one and goes no
//! further. Here they are made to fit again, with everything else that a change moves (lengths,
//! offsets, hashes), so that what stands behind them is reached too.
//!
//! Written from the layouts in `ledger::log` and `ledger::snapshot`, not with their code. What makes
//! no sense any more, such as a frame longer than the file, is left as it is.

use crc_fast::{CrcAlgorithm::Crc32Iscsi, checksum};
use schemas::Chain;

/// The lineage of every ledger made here.
pub(super) const LINEAGE: [u8; 16] = *b"a fuzzed lineage";

const SEGMENT_MAGIC: &[u8] = b"GIFTLOG\n";
const FRAME_MAGIC: &[u8] = b"GLfr";
const FRAME_BYTES: usize = 32;
const SECTION_BYTES: usize = 48;
const ENTRY_BYTES: usize = 16;

/// Walks the segments of a log in order and mends them.
#[derive(Debug, Clone)]
pub(super) struct Log {
    /// Where the segment begins in the log.
    base: u64,
    /// The crc that the next frame or header has to name.
    previous: u32,
    shards: Vec<Shard>,
}

/// How far a shard is, as a segment's header says it. Within the first block of 256 records.
#[derive(Debug, Clone, Default)]
struct Shard {
    chain: Chain,
    records: u64,
    open: Vec<u64>,
}

impl Log {
    /// Before the first segment.
    pub fn new(shards: u16) -> Self {
        Self { base: 0, previous: 0, shards: vec![Shard::default(); shards.into()] }
    }

    /// Mends the first segment of a log, header and frames.
    pub fn first_segment(bytes: &mut [u8]) {
        let Some(end) = header_end(bytes) else { return };
        let mut log = Self::new(u16_at(bytes, 48));
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[16..20].copy_from_slice(&number(end).to_le_bytes());
        bytes[20..24].fill(0);
        bytes[24..40].copy_from_slice(&LINEAGE);
        bytes[40..48].fill(0);
        log.previous = sum(bytes, 8, 12..end);
        log.frames(bytes, end);
    }

    /// The header of the segment that follows one of `length` bytes (0: of the first one). The walk goes
    /// on in it.
    pub fn next_segment(&mut self, length: usize) -> Vec<u8> {
        self.base += length as u64;
        let mut bytes = [SEGMENT_MAGIC, &[0; 4], &1_u32.to_le_bytes(), &[0; 4]].concat();
        bytes.extend_from_slice(&self.previous.to_le_bytes());
        bytes.extend_from_slice(&LINEAGE);
        bytes.extend_from_slice(&self.base.to_le_bytes());
        bytes.extend_from_slice(&u64::from(number(self.shards.len())).to_le_bytes());
        for shard in &self.shards {
            bytes.extend_from_slice(&shard.records.to_le_bytes());
            bytes.extend_from_slice(&shard.chain.hash().0);
            bytes.extend_from_slice(&[0; 32]);
            bytes.extend_from_slice(&u64::from(number(shard.open.len())).to_le_bytes());
            for offset in &shard.open {
                bytes.extend_from_slice(&offset.to_le_bytes());
            }
        }
        let end = bytes.len();
        bytes[16..20].copy_from_slice(&number(end).to_le_bytes());
        self.previous = sum(&mut bytes, 8, 12..end);
        bytes
    }

    /// Mends the frames from `at` on, up to what is none.
    pub fn frames(&mut self, bytes: &mut [u8], mut at: usize) {
        while let Some(length) = self.frame(bytes, at) {
            at += length;
        }
    }

    /// Mends the frame at a place and says how long it is.
    fn frame(&mut self, bytes: &mut [u8], at: usize) -> Option<usize> {
        let frame = bytes.get_mut(at..)?;
        if frame.len() < FRAME_BYTES || !frame.starts_with(FRAME_MAGIC) {
            return None;
        }
        let tables = FRAME_BYTES + usize::from(u16_at(frame, 24)) * SECTION_BYTES;
        let head = tables + u32_at(frame, 28) as usize * ENTRY_BYTES;
        if head > frame.len() {
            return None;
        }
        let (head_bytes, blocks) = frame.split_at_mut(head);
        let mut length = head;
        let mut records = Vec::new();
        for entry in head_bytes[tables..].chunks_exact_mut(ENTRY_BYTES) {
            let stored = blocks.get(length - head..)?.get(..u32_at(entry, 8) as usize)?;
            entry[12..].copy_from_slice(&crc32c(stored).to_le_bytes());
            length += stored.len();
            if u32_at(entry, 4) == u32_at(entry, 8) {
                split(stored, u32_at(entry, 0) as usize, &mut records);
            }
        }
        let offset = self.base + at as u64;
        let mut records = records.into_iter();
        for section in head_bytes[FRAME_BYTES..tables].chunks_exact_mut(SECTION_BYTES) {
            let Some(shard) = self.shards.get_mut(usize::from(u16_at(section, 0))) else { continue };
            for record in records.by_ref().take(u32_at(section, 4) as usize) {
                shard.chain.push(record, 1);
                shard.records += 1;
            }
            shard.open.push(offset);
            section[16..].copy_from_slice(&shard.chain.hash().0);
        }
        head_bytes[8..12].copy_from_slice(&number(length).to_le_bytes());
        head_bytes[12..16].copy_from_slice(&self.previous.to_le_bytes());
        head_bytes[16..24].copy_from_slice(&offset.to_le_bytes());
        self.previous = sum(head_bytes, 4, 8..head);
        Some(length)
    }
}

/// Where a segment's header ends by the shards that it counts.
fn header_end(bytes: &[u8]) -> Option<usize> {
    let mut end = 56;
    for _ in 0..u16_at(bytes.get(..end)?, 48) {
        end += 80 + 8 * usize::from(u16_at(bytes.get(end..end + 80)?, 72));
    }
    (end <= bytes.len()).then_some(end)
}

/// The records of a block that is not compressed, as far as its lengths add up.
fn split<'a>(mut block: &'a [u8], count: usize, records: &mut Vec<&'a [u8]>) {
    if count == 1 {
        return records.push(block);
    }
    let Some(table) = block.len().checked_sub(2 * count) else { return };
    let lengths: Vec<usize> = (0..count).map(|n| usize::from(u16_at(block, table + 2 * n))).collect();
    for length in lengths {
        let Some((record, rest)) = block.split_at_checked(length) else { return };
        records.push(record);
        block = rest;
    }
}

/// Mends a snapshot: the checksums of header and blocks, and the hash over all.
pub(super) fn snapshot(bytes: &mut [u8]) {
    const BLOCK_BYTES: usize = 16;
    const THE_END: u8 = 4;
    let Some(fixed) = bytes.get(..64) else { return };
    let mut at = 64 + 40 * usize::from(u16_at(fixed, 56));
    if at > bytes.len() {
        return;
    }
    bytes[..8].copy_from_slice(b"GIFTSNP\n");
    bytes[16..20].copy_from_slice(&number(at).to_le_bytes());
    sum(bytes, 8, 12..at);
    let mut ended = false;
    while !ended {
        let Some(block) = bytes.get_mut(at..).filter(|rest| rest.len() >= BLOCK_BYTES) else { return };
        let length = BLOCK_BYTES + u32_at(block, 0) as usize;
        if length > block.len() {
            return;
        }
        ended = block[14] == THE_END;
        sum(block, 4, 8..length);
        at += length;
    }
    let (content, behind) = bytes.split_at_mut(at);
    if let Some(hash) = behind.first_chunk_mut() {
        *hash = *blake3::hash(content).as_bytes();
    }
}

/// Writes the CRC-32C of a part of `bytes` to the four bytes at `to`.
pub(super) fn sum(bytes: &mut [u8], to: usize, part: std::ops::Range<usize>) -> u32 {
    let crc = crc32c(&bytes[part]);
    bytes[to..to + 4].copy_from_slice(&crc.to_le_bytes());
    crc
}

pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    u32::try_from(checksum(Crc32Iscsi, bytes)).expect("a CRC-32C has 32 bits")
}

fn number(length: usize) -> u32 {
    u32::try_from(length).expect("files here are small")
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the caller looked at the length"))
}
