//! Reading from any place on, a block at a time: for many readers at many places, none of whom keeps more than the
//! block that it is at.

use schemas::{Record, decode_record};

use super::{
    Locator, Reader,
    frames::{Sections, not_a_record},
};
use crate::{Error, Result};

/// The records of one block of a frame: those that fit into 64 KiB, or a larger one alone.
#[derive(Debug)]
pub struct Page {
    /// Where its first record is.
    pub first: Locator,
    /// Its records, in the order of the log.
    pub records: Vec<Record>,
    /// The bytes that they have on the log, before compression.
    pub raw_bytes: usize,
    /// Where the next page begins, or will.
    pub next: Locator,
}

impl Reader {
    /// The page that holds a place: that of a record, [`Page::next`] of another one, or [`Self::end`]. `None` where
    /// nothing durable stands there yet.
    ///
    /// # Errors
    /// [`Error::NoRecord`] if the place is none of this log's, [`Error::Damaged`], [`Error::Io`].
    pub fn page(&mut self, at: Locator) -> Result<Option<Page>> {
        let Some(at) = self.shared().frame_at(at) else { return Ok(None) };
        let meta = self.tables(at)?.clone();
        let (block, within) = self.block_of(at)?;
        let first = at.ordinal() - u32::try_from(within).expect("a frame has at most 2^20 records");
        let mut places = Sections::new(&meta);
        let mut passed = 0;
        while passed < first {
            passed += places.take(first - passed).2;
        }
        let mut records = Vec::with_capacity(block.len());
        let mut raw_bytes = 0;
        let mut wrong = None;
        for bytes in block.records() {
            raw_bytes += bytes.len();
            let (section, sequence) = places.next();
            match decode_record(bytes) {
                Ok(record) if (record.shard, record.sequence) == (section.shard, sequence) => records.push(record),
                other => {
                    wrong = Some((other.err(), section.shard, sequence));
                    break;
                }
            }
        }
        if let Some((undecoded, shard, sequence)) = wrong {
            let (segment, _, position) = self.place(at)?;
            let path = self.disk().path(&segment.name);
            let stray = || format!("record {sequence} of shard {shard} is out of its place");
            return Err(match undecoded {
                Some(error) => not_a_record(path, position, &error),
                None => Error::damaged(path, position, stray()),
            });
        }
        let frame = Locator::new(at.offset());
        let behind = first + u32::try_from(records.len()).expect("a frame has at most 2^20 records");
        let next = if behind < meta.records() { frame.nth(behind) } else { Locator::new(meta.end()) };
        Ok(Some(Page { first: frame.nth(first), records, raw_bytes, next }))
    }
}
