//! What is decided and not yet indexed: the batch being decided and the one being written. A
//! look-up asks here before the index, so that no decision overlooks one that was just made.

use std::sync::Arc;

use schemas::{Record, Shard};

use crate::{
    index::{ByFingerprint, Fingerprint, Index},
    log::Locator,
};

/// The records of a batch, by shard.
pub(crate) type Records = Vec<Vec<Record>>;

/// A record's place in its batch.
#[derive(Debug, Clone, Copy)]
struct At {
    shard: Shard,
    index: u32,
}

/// Decided records that the index does not know.
#[derive(Debug)]
pub(crate) struct Recent {
    open: Batch<Records>,
    written: Option<Batch<Arc<Records>>>,
}

#[derive(Debug)]
struct Batch<R> {
    records: R,
    keys: ByFingerprint<At>,
}

impl Recent {
    pub(crate) fn new(shards: Shard) -> Self {
        Self { open: Batch { records: vec![Vec::new(); shards.into()], keys: ByFingerprint::default() }, written: None }
    }

    /// Takes a record that was decided, with the fingerprints of its keys.
    pub(crate) fn push(&mut self, record: Record, keys: &[Fingerprint]) {
        let records = &mut self.open.records[usize::from(record.shard)];
        let at = At { shard: record.shard, index: u32::try_from(records.len()).expect("a batch has few records") };
        records.push(record);
        for key in keys {
            self.open.keys.insert(*key, at);
        }
    }

    /// The newest record of a key.
    pub(crate) fn get(&self, key: Fingerprint) -> Option<&Record> {
        fn in_batch<'a>(records: &'a Records, keys: &ByFingerprint<At>, key: Fingerprint) -> Option<&'a Record> {
            let at = keys.get(&key)?;
            records[usize::from(at.shard)].get(at.index as usize)
        }
        let written = self.written.as_ref();
        in_batch(&self.open.records, &self.open.keys, key)
            .or_else(|| written.and_then(|batch| in_batch(&batch.records, &batch.keys, key)))
    }

    /// The record of that place.
    pub(crate) fn record(&self, shard: Shard, sequence: u64) -> Option<&Record> {
        let in_batch = |records: &'_ Records| -> Option<usize> {
            let records = &records[usize::from(shard)];
            let first = records.first()?.sequence;
            usize::try_from(sequence.checked_sub(first)?).ok().filter(|&i| i < records.len())
        };
        if let Some(i) = in_batch(&self.open.records) {
            return Some(&self.open.records[usize::from(shard)][i]);
        }
        let written = self.written.as_ref()?;
        in_batch(&written.records).map(|i| &written.records[usize::from(shard)][i])
    }

    /// Closes the open batch for the writer. The one before must have been indexed.
    pub(crate) fn hand_over(&mut self) -> Arc<Records> {
        assert!(self.written.is_none(), "one batch is written at a time");
        let shards = self.open.records.len();
        let records = Arc::new(std::mem::replace(&mut self.open.records, vec![Vec::new(); shards]));
        let keys = std::mem::take(&mut self.open.keys);
        self.written = Some(Batch { records: Arc::clone(&records), keys });
        records
    }

    /// The written batch is durable from `first` on: the index takes it over.
    pub(crate) fn durable(&mut self, first: Locator, index: &mut Index) {
        let written = self.written.take().expect("a batch was handed over before it became durable");
        let mut before = 0;
        let starts: Vec<u32> = written
            .records
            .iter()
            .map(|records| {
                let start = before;
                before += u32::try_from(records.len()).expect("a batch has few records");
                start
            })
            .collect();
        for (key, at) in written.keys {
            index.insert(key, first.nth(starts[usize::from(at.shard)] + at.index));
        }
    }
}
