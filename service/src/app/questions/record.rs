//! One record, by its place.

use schemars::JsonSchema;
use schemas::{OrderId, Record};
use serde::Deserialize;

use crate::app::{Error, Ledger, Result};

/// The record at a place.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Its place, such as 3-17.
    pub record: OrderId,
}

impl Question {
    /// Reads the log there.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the shard has not come so far, or there is no such shard.
    pub fn ask(&self, ledger: &Ledger) -> Result<Record> {
        let OrderId { shard, sequence, part } = self.record;
        if part > 0 {
            return Err(Error::Unasked(format!(
                "record: found {}; a record is <shard>-<sequence>, without a part",
                self.record
            )));
        }
        let mut reader = ledger.read()?;
        let found = if shard < reader.shards() { reader.find(shard, sequence)? } else { None };
        let not_found = || {
            let reached = reader.head().shards.get(usize::from(shard)).map(|head| head.sequence);
            Error::NotFound(match reached {
                Some(reached) => format!("there is no record {}: shard {shard} ends with {reached}", self.record),
                None => {
                    format!("there is no record {}: the ledger has {} shards, from 0 on", self.record, reader.shards())
                }
            })
        };
        found.map(|(_, record)| record).ok_or_else(not_found)
    }
}
