//! From a batch of records to the bytes of a frame, in buffers that are used again: hash, then
//! compress one block after the other.

use schemas::{Chain, MAX_RECORD_BYTES, Shard};
use zstd::bulk::Compressor;

use super::{
    batch::{Batch, Run},
    frame::{BLOCK_BYTES, Entry, MAX_RECORDS, Meta, Section, crc32c, head_bytes},
};
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
            max_payload,
        }
    }

    /// Packs a batch and takes its records into the chains of their shards. `next` gives the sequence
    /// that a shard's records begin with.
    pub fn encode(&mut self, batch: &Batch, chains: &mut [Chain], next: impl Fn(Shard) -> u64) -> Result<()> {
        self.check(batch)?;
        let reserved = head_bytes(batch.runs().count(), max_entries(self.max_payload));
        self.blocks = reserved..reserved;
        if self.out.len() < reserved {
            self.out.resize(reserved, 0);
        }
        self.meta.sections.clear();
        self.meta.entries.clear();
        self.raw.clear();
        self.lengths.clear();
        for (shard, run) in batch.runs() {
            assert_eq!(run.first(), next(shard), "the next record of shard {shard}");
            let chain = &mut chains[usize::from(shard)];
            hash(run, chain);
            self.pack(run);
            let count = u32::try_from(run.len()).expect("at most 2^20 records a batch");
            self.meta.sections.push(Section { shard, count, first: run.first(), hash: chain.hash() });
        }
        self.close_block();
        Ok(())
    }

    fn check(&self, batch: &Batch) -> Result<()> {
        let (records, payload) = (batch.len(), batch.bytes());
        if records > MAX_RECORDS {
            return Err(Error::TooLarge { what: "a batch (in records)", bytes: records, limit: MAX_RECORDS });
        }
        if let Some(bytes) = batch.too_large_record() {
            return Err(Error::TooLarge { what: "a record", bytes, limit: MAX_RECORD_BYTES });
        }
        if payload > self.max_payload {
            return Err(Error::TooLarge { what: "a batch", bytes: payload, limit: self.max_payload });
        }
        Ok(())
    }

    /// Moves a shard's records into blocks, as many at once as fit.
    fn pack(&mut self, run: &Run) {
        let mut start = 0;
        for n in 0..run.len() {
            let record = run.range(n);
            let taken = self.raw.len() + record.end - start;
            if taken > record.len() && taken + self.lengths.len() + 2 > BLOCK_BYTES {
                self.raw.extend_from_slice(&run.bytes()[start..record.start]);
                self.close_block();
                start = record.start;
            }
            // A record beyond 64 KiB is alone in its block, which then has no lengths.
            self.lengths.extend_from_slice(&u16::try_from(record.len()).unwrap_or(u16::MAX).to_le_bytes());
        }
        self.raw.extend_from_slice(&run.bytes()[start..]);
    }

    /// Stores the open block, if there is anything in it.
    fn close_block(&mut self) {
        let records = self.lengths.len() / 2;
        if records == 0 {
            return;
        }
        if records > 1 {
            self.raw.extend_from_slice(&self.lengths);
        }
        let raw = self.raw.len();
        let stored = self.store(raw);
        let crc = crc32c(&self.out[self.blocks.end..self.blocks.end + stored]);
        self.blocks.end += stored;
        let size = |bytes: usize| u32::try_from(bytes).expect("a block is far below 4 GiB");
        self.meta.entries.push(Entry { records: size(records), raw: size(raw), stored: size(stored), crc });
        self.raw.clear();
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

/// Takes a shard's records into its chain, in runs as long as blocks of the chain allow: long runs are
/// what makes hashing cheap.
fn hash(run: &Run, chain: &mut Chain) {
    let mut done = 0;
    while done < run.len() {
        let room = usize::try_from(chain.room()).expect("at most 256");
        let count = room.min(run.len() - done);
        let bytes = run.range(done).start..run.range(done + count - 1).end;
        chain.push(&run.bytes()[bytes], count as u64);
        done += count;
    }
}
