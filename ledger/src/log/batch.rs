//! What is appended at once: the canonical bytes of records, by shard, in buffers that are used again.
//!
//! Records are encoded when they are decided, while they are in the cache. What is kept of them until
//! they are durable is a quarter of their size in memory, and freeing them needs no second thread.

use schemas::{MAX_RECORD_BYTES, Record, Shard, decode_record, encode_record};

/// What a shard's buffer may keep for the next batch: what a full batch of evenly spread gifts needs,
/// several times over.
const KEPT_BYTES: usize = 1 << 20;

/// Records that become durable together.
#[derive(Debug, Clone)]
pub struct Batch {
    runs: Vec<Run>,
    records: usize,
    bytes: usize,
    largest: usize,
}

/// The next records of one shard.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    /// The sequence of the first; 0 while there is none.
    first: u64,
    bytes: Vec<u8>,
    /// Where each record ends in `bytes`.
    ends: Vec<u32>,
}

impl Batch {
    /// An empty batch for a log of `shards`.
    pub fn new(shards: Shard) -> Self {
        Self { runs: vec![Run::default(); shards.into()], records: 0, bytes: 0, largest: 0 }
    }

    /// These records, shard by shard.
    ///
    /// # Panics
    /// As [`Self::push`].
    pub fn of(records: &[Vec<Record>]) -> Self {
        let mut batch = Self::new(Shard::try_from(records.len()).expect("at most 65,535 shards"));
        records.iter().flatten().for_each(|record| batch.push(record));
        batch
    }

    /// Takes the next record of its shard.
    ///
    /// # Panics
    /// If it does not follow the shard's last one in this batch: the caller counts wrong.
    pub fn push(&mut self, record: &Record) {
        let run = &mut self.runs[usize::from(record.shard)];
        if run.ends.is_empty() {
            run.first = record.sequence;
        }
        assert_eq!(record.sequence, run.first + run.ends.len() as u64, "the next record of shard {}", record.shard);
        let start = run.bytes.len();
        encode_record(record, &mut run.bytes);
        run.ends.push(u32::try_from(run.bytes.len()).expect("a batch is far below 4 GiB"));
        let bytes = run.bytes.len() - start;
        self.records += 1;
        self.bytes += bytes;
        self.largest = self.largest.max(bytes);
    }

    /// The record of that place, if it is here.
    pub fn get(&self, shard: Shard, sequence: u64) -> Option<Record> {
        let run = &self.runs[usize::from(shard)];
        let at = usize::try_from(sequence.checked_sub(run.first)?).ok()?;
        let bytes = run.record(at)?;
        Some(decode_record(bytes).expect("it was encoded here"))
    }

    /// How many records it has.
    pub fn len(&self) -> usize {
        self.records
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The bytes of all of them, before compression.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes everything out and keeps the buffers.
    pub fn clear(&mut self) {
        for run in &mut self.runs {
            run.first = 0;
            run.ends.clear();
            run.bytes.clear();
            run.bytes.shrink_to(KEPT_BYTES);
        }
        (self.records, self.bytes, self.largest) = (0, 0, 0);
    }

    /// The bytes of the largest record, if that is beyond the limit.
    pub(super) fn too_large_record(&self) -> Option<usize> {
        (self.largest > MAX_RECORD_BYTES).then_some(self.largest)
    }

    /// The shards that have records here.
    pub(super) fn runs(&self) -> impl Iterator<Item = (Shard, &Run)> {
        (0..).zip(&self.runs).filter(|(_, run)| !run.ends.is_empty())
    }

    /// How many shards it is for.
    pub fn shards(&self) -> Shard {
        Shard::try_from(self.runs.len()).expect("it was made for a number of shards")
    }
}

impl Run {
    /// The sequence of the first record.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Where the n-th record, from 0, begins and ends in [`Self::bytes`].
    pub fn range(&self, n: usize) -> std::ops::Range<usize> {
        let start = if n == 0 { 0 } else { self.ends[n - 1] as usize };
        start..self.ends[n] as usize
    }

    /// All records, one behind the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn record(&self, n: usize) -> Option<&[u8]> {
        (n < self.ends.len()).then(|| &self.bytes[self.range(n)])
    }
}
