//! The other way: from a stored block to the canonical bytes of its records.

use zstd::bulk::Decompressor;

use super::frame::{Entry, Invalid, u16_at};

/// The records of a block.
#[derive(Debug, Default)]
pub(super) struct Block {
    raw: Vec<u8>,
    /// Where each record ends in `raw`.
    ends: Vec<u32>,
}

/// Unpacks blocks.
#[derive(Default)]
pub(super) struct Unpacker {
    /// Made when it is first needed: it takes 150 KiB, and many a reader reads no block.
    zstd: Option<Decompressor<'static>>,
}

impl Unpacker {
    pub fn new() -> Self {
        Self::default()
    }

    /// Unpacks a stored block, whose checksum was checked, into `block`, which keeps its buffers.
    pub fn unpack(&mut self, entry: &Entry, stored: &[u8], block: &mut Block) -> Result<(), Invalid> {
        let raw = entry.raw as usize;
        block.raw.resize(raw, 0);
        if entry.stored == entry.raw {
            block.raw.copy_from_slice(stored);
        } else {
            let zstd = self.zstd.get_or_insert_with(|| Decompressor::new().expect("zstd has no dictionary to refuse"));
            if zstd.decompress_to_buffer(stored, &mut block.raw[..]).ok() != Some(raw) {
                return Err("a block does not decompress");
            }
        }
        block.find_ends(entry.records as usize)
    }
}

impl Block {
    fn find_ends(&mut self, records: usize) -> Result<(), Invalid> {
        const WRONG: Invalid = "the lengths of a block's records do not add up";
        self.ends.clear();
        if records == 1 {
            self.ends.push(u32::try_from(self.raw.len()).map_err(|_| WRONG)?);
            return Ok(());
        }
        let table = self.raw.len().checked_sub(2 * records).ok_or(WRONG)?;
        let mut end = 0;
        for n in 0..records {
            end += u32::from(u16_at(&self.raw, table + 2 * n));
            self.ends.push(end);
        }
        if end as usize == table { Ok(()) } else { Err(WRONG) }
    }

    /// How many records it has.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The canonical bytes of the n-th record, from 0.
    pub fn record(&self, n: usize) -> &[u8] {
        self.run(n..n + 1)
    }

    /// The canonical bytes of some records, one behind the other.
    pub fn run(&self, records: std::ops::Range<usize>) -> &[u8] {
        let end_of = |n: usize| if n == 0 { 0 } else { self.ends[n - 1] as usize };
        &self.raw[end_of(records.start)..end_of(records.end)]
    }

    /// The canonical bytes of each record.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|n| self.record(n))
    }
}
