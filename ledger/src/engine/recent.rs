//! What is decided and may not be on the log yet: the batch being decided and the one being
//! written. A look-up asks here first, so that no decision overlooks one that was just made.

use std::sync::Arc;

use schemas::{Record, Shard};

use crate::log::Batch;

/// Decided records that the log does not show yet.
#[derive(Debug)]
pub(crate) struct Recent {
    open: Batch,
    written: Option<Arc<Batch>>,
    /// The buffers of the batch before, to be used again.
    spare: Option<Batch>,
}

impl Recent {
    pub(crate) fn new(shards: Shard) -> Self {
        Self { open: Batch::new(shards), written: None, spare: None }
    }

    /// The batch being decided.
    pub(crate) fn open(&self) -> &Batch {
        &self.open
    }

    /// Takes a record that was decided.
    pub(crate) fn push(&mut self, record: &Record) {
        self.open.push(record);
    }

    /// The record of that place.
    pub(crate) fn get(&self, shard: Shard, sequence: u64) -> Option<Record> {
        self.open.get(shard, sequence).or_else(|| self.written.as_ref()?.get(shard, sequence))
    }

    /// Closes the open batch for the writer. The one before must be durable.
    pub(crate) fn hand_over(&mut self) -> Arc<Batch> {
        assert!(self.written.is_none(), "one batch is written at a time");
        let next = self.spare.take().unwrap_or_else(|| Batch::new(self.open.shards()));
        let batch = Arc::new(std::mem::replace(&mut self.open, next));
        self.written = Some(Arc::clone(&batch));
        batch
    }

    /// The written batch is durable: the log shows it.
    pub(crate) fn durable(&mut self) {
        let written = self.written.take().expect("a batch was handed over before it became durable");
        // The writer has let go of it, unless it is just about to.
        if let Ok(mut batch) = Arc::try_unwrap(written) {
            batch.clear();
            self.spare = Some(batch);
        }
    }
}
