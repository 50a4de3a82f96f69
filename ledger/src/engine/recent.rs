//! What is decided and may not be on the log yet: the batch being decided and the one being
//! written. A look-up asks here first, so that no decision overlooks one that was just made.

use std::sync::Arc;

use schemas::{Record, Shard};

/// The records of a batch, by shard.
pub(crate) type Records = Vec<Vec<Record>>;

/// Decided records that the log does not show yet.
#[derive(Debug)]
pub(crate) struct Recent {
    open: Records,
    written: Option<Arc<Records>>,
}

impl Recent {
    pub(crate) fn new(shards: Shard) -> Self {
        Self { open: vec![Vec::new(); shards.into()], written: None }
    }

    /// Takes a record that was decided.
    pub(crate) fn push(&mut self, record: Record) {
        self.open[usize::from(record.shard)].push(record);
    }

    /// The record of that place.
    pub(crate) fn get(&self, shard: Shard, sequence: u64) -> Option<&Record> {
        fn within(records: &[Record], sequence: u64) -> Option<&Record> {
            let first = records.first()?.sequence;
            records.get(usize::try_from(sequence.checked_sub(first)?).ok()?)
        }
        let shard = usize::from(shard);
        let written = self.written.as_ref();
        within(&self.open[shard], sequence).or_else(|| within(&written?[shard], sequence))
    }

    /// Closes the open batch for the writer. The one before must be durable.
    pub(crate) fn hand_over(&mut self) -> Arc<Records> {
        assert!(self.written.is_none(), "one batch is written at a time");
        let next = self.open.iter().map(|records| Vec::with_capacity(records.len())).collect();
        let records = Arc::new(std::mem::replace(&mut self.open, next));
        self.written = Some(Arc::clone(&records));
        records
    }

    /// The written batch is durable: the log shows it. What is left of it is for the caller to drop.
    pub(crate) fn durable(&mut self) -> Arc<Records> {
        self.written.take().expect("a batch was handed over before it became durable")
    }
}
