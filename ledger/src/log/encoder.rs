//! From a batch of records to the bytes of a frame, in buffers that are used again: encode, hash
//! and compress one block after the other while it is in the cache.

use schemas::{Chain, MAX_RECORD_BYTES, Record, Shard, encode_record};
use zstd::bulk::Compressor;

use super::frame::{BLOCK_BYTES, Entry, MAX_RECORDS, Meta, Section, crc32c, head_bytes};
use crate::{Error, Result};

/// Measured on gifts with random ids: 108 ns and 45 bytes each, against 375 ns and 50 bytes at level 1.
const LEVEL: i32 = -3;
/// Below this, zstd's own header eats what it saves.
const WORTH_COMPRESSING: usize = 256;

/// Makes frames. Between [`Self::encode`] and [`Self::finish`] the caller learns the frame's length
/// and finds its place.
pub(super) struct Encoder {
    compressor: Compressor<'static>,
    meta: Meta,
    /// The open block: canonical bytes of its records.
    raw: Vec<u8>,
    /// Their lengths, 2 bytes each.
    lengths: Vec<u8>,
    /// Room for header and tables, then the stored blocks.
    out: Vec<u8>,
    /// Where the stored blocks begin and end in `out`.
    blocks: std::ops::Range<usize>,
    /// Canonical bytes so far.
    payload: usize,
    max_payload: usize,
}

/// The most blocks that `payload` bytes of records can take: two neighbours, and 2 bytes for a length,
/// together exceed a block.
pub(super) fn max_entries(payload: usize) -> usize {
    2 * (max_raw(payload) / (BLOCK_BYTES - 2)) + 2
}

/// With the lengths of records, which have at least 32 bytes each.
fn max_raw(payload: usize) -> usize {
    payload + payload / 16
}

/// The most bytes of a frame whose records have `payload` bytes.
pub(super) fn max_frame(shards: Shard, payload: usize) -> usize {
    head_bytes(usize::from(shards), max_entries(payload)) + max_raw(payload)
}

impl Encoder {
    pub fn new(max_payload: usize) -> Self {
        let compressor = Compressor::new(LEVEL).expect("zstd has this level");
        Self {
            compressor,
            meta: Meta::default(),
            raw: Vec::with_capacity(BLOCK_BYTES),
            lengths: Vec::new(),
            out: Vec::new(),
            blocks: 0..0,
            payload: 0,
            max_payload,
        }
    }

    /// Encodes a batch and takes its records into the chains of their shards. `next` gives the
    /// sequence that a shard's records begin with.
    pub fn encode(&mut self, batch: &[Vec<Record>], chains: &mut [Chain], next: impl Fn(Shard) -> u64) -> Result<()> {
        let (sections, count) = batch.iter().fold((0, 0), |(sections, count), records| {
            (sections + usize::from(!records.is_empty()), count + records.len())
        });
        if count > MAX_RECORDS {
            return Err(Error::TooLarge { what: "a batch (in records)", bytes: count, limit: MAX_RECORDS });
        }
        let reserved = head_bytes(sections, max_entries(self.max_payload));
        self.blocks = reserved..reserved;
        if self.out.len() < reserved {
            self.out.resize(reserved, 0);
        }
        self.meta.sections.clear();
        self.meta.entries.clear();
        self.raw.clear();
        self.lengths.clear();
        self.payload = 0;
        for (shard, records) in (0..).zip(batch).filter(|(_, records)| !records.is_empty()) {
            let chain = &mut chains[usize::from(shard)];
            self.shard(shard, records, chain, next(shard))?;
        }
        self.close_block(self.raw.len());
        Ok(())
    }

    fn shard(&mut self, shard: Shard, records: &[Record], chain: &mut Chain, first: u64) -> Result<()> {
        // The bytes from here on are not in the chain yet; hashing long runs is what makes it cheap.
        let mut unhashed = self.raw.len();
        let mut run = 0;
        for (sequence, record) in (first..).zip(records) {
            assert_eq!((record.shard, record.sequence), (shard, sequence), "a record in its place");
            let start = self.raw.len();
            self.raw = encode_record(record, std::mem::take(&mut self.raw));
            let bytes = self.raw.len() - start;
            self.payload += bytes;
            if bytes > MAX_RECORD_BYTES {
                return Err(Error::TooLarge { what: "a record", bytes, limit: MAX_RECORD_BYTES });
            }
            if self.payload > self.max_payload {
                let (bytes, limit) = (self.payload, self.max_payload);
                return Err(Error::TooLarge { what: "a batch", bytes, limit });
            }
            if start > 0 && self.raw.len() + self.lengths.len() + 2 > BLOCK_BYTES {
                chain.push(&self.raw[unhashed..start], run);
                (unhashed, run) = (0, 0);
                self.close_block(start);
            }
            // A record beyond 64 KiB is alone in its block, which then has no lengths.
            self.lengths.extend_from_slice(&u16::try_from(bytes).unwrap_or(u16::MAX).to_le_bytes());
            run += 1;
            if run == chain.room() {
                chain.push(&self.raw[unhashed..], run);
                (unhashed, run) = (self.raw.len(), 0);
            }
        }
        chain.push(&self.raw[unhashed..], run);
        let count = u32::try_from(records.len()).expect("at most 2^20 records a batch");
        self.meta.sections.push(Section { shard, count, first, hash: chain.hash() });
        Ok(())
    }

    /// Stores the first `end` raw bytes as a block; the rest begins the next one.
    fn close_block(&mut self, end: usize) {
        let records = self.lengths.len() / 2;
        if records == 0 {
            return;
        }
        let rest = self.raw.len() - end;
        if records > 1 {
            // Lengths belong behind their records, so what has been encoded beyond moves up.
            self.raw.extend_from_slice(&self.lengths);
            self.raw[end..].rotate_left(rest);
        }
        let raw = self.raw.len() - rest;
        let stored = self.store(raw);
        let crc = crc32c(&self.out[self.blocks.end..self.blocks.end + stored]);
        self.blocks.end += stored;
        let size = |bytes: usize| u32::try_from(bytes).expect("a block is far below 4 GiB");
        self.meta.entries.push(Entry { records: size(records), raw: size(raw), stored: size(stored), crc });
        self.raw.drain(..raw);
        self.lengths.clear();
    }

    /// Puts the first `raw` bytes behind the stored blocks, compressed if that makes them fewer.
    fn store(&mut self, raw: usize) -> usize {
        let (at, block) = (self.blocks.end, &self.raw[..raw]);
        if self.out.len() < at + raw {
            self.out.resize(at + raw, 0);
        }
        if raw >= WORTH_COMPRESSING {
            // One byte too few for what does not compress, which zstd then reports as an error.
            let room = &mut self.out[at..at + raw - 1];
            if let Ok(stored) = self.compressor.compress_to_buffer(block, room) {
                return stored;
            }
        }
        self.out[at..at + raw].copy_from_slice(block);
        raw
    }

    /// The length that the encoded frame has.
    pub fn length(&self) -> usize {
        self.meta.head() + self.blocks.len()
    }

    /// The encoded frame for its place on the log.
    pub fn finish(&mut self, offset: u64, previous: u32) -> (&Meta, &[u8]) {
        let start = self.blocks.start - self.meta.head();
        self.meta.offset = offset;
        self.meta.previous = previous;
        self.meta.length = u32::try_from(self.length()).expect("the options keep frames below 4 GiB");
        self.meta.write(&mut self.out[start..self.blocks.start]);
        (&self.meta, &self.out[start..self.blocks.end])
    }
}
