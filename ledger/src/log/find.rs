//! From a sequence to its frame: a mark about every MiB of a segment, then the tables of the frames
//! behind it.

use schemas::Shard;

use super::{
    frame::Meta,
    scan::{Depth, Step},
    shared::{Segment, Shared},
};
use crate::Result;

/// How far marks are apart: walking the tables of this many bytes costs well under a millisecond, even
/// where each frame holds one record.
const APART_BYTES: u64 = 64 << 10;

/// The marks of a segment, as far as anybody has looked.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// By position; each list of sequences stands at `n × shards` of `before`.
    positions: Vec<u64>,
    before: Vec<u64>,
}

impl Marks {
    /// Where to begin the search for a record, with each shard's sequence before that.
    fn below(&self, shard: usize, shards: usize, sequence: u64) -> (u64, Vec<u64>) {
        let (mut last, mut beyond) = (0, self.positions.len());
        while beyond - last > 1 {
            let middle = usize::midpoint(last, beyond);
            if self.before[middle * shards + shard] < sequence { last = middle } else { beyond = middle }
        }
        (self.positions[last], self.before[last * shards..][..shards].to_vec())
    }

    fn push(&mut self, position: u64, before: &[u64]) {
        self.positions.push(position);
        self.before.extend_from_slice(before);
    }
}

/// The frame of `segment` that holds a record; `end` is the offset behind the segment's last durable
/// frame. `None` if the segment does not hold it.
pub(super) fn frame_of(log: &Shared, segment: &Segment, end: u64, shard: Shard, sequence: u64) -> Result<Option<Meta>> {
    let (number, shards) = (usize::from(shard), usize::from(log.shards));
    let (start, mut before) = {
        let mut marks = segment.marks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if marks.positions.is_empty() {
            marks.push(segment.header, &segment.before);
        }
        marks.below(number, shards, sequence)
    };
    let previous = (start == segment.header).then_some(segment.crc);
    let mut scan = log.scan_from(segment, start, previous)?;
    loop {
        let position = scan.position();
        mark(segment, position, &before);
        match scan.next(end - segment.base, Depth::Tables)? {
            Step::End => return Ok(None),
            Step::Bad(invalid) => return Err(scan.damaged(invalid)),
            Step::Frame => {}
        }
        for section in &scan.meta().sections {
            if section.shard == shard && (section.first..=section.last()).contains(&sequence) {
                return Ok(Some(scan.meta().clone()));
            }
            before[usize::from(section.shard)] = section.last();
        }
    }
}

/// Sets a mark if the last one is far enough behind.
fn mark(segment: &Segment, position: u64, before: &[u64]) {
    let mut marks = segment.marks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if marks.positions.last().is_some_and(|last| position >= last + APART_BYTES) {
        marks.push(position, before);
    }
}
