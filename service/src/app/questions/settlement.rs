//! What a month pays.

use ledger::log::{Head, ShardHead};
use projections::{Payout, Reference, Tallies, payout};
use replay::AsOf;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use schemas::{Hash, Month, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::app::{Error, Ledger, Result, asked};

/// What a month pays to streamers and guilds; nothing is recorded.
#[derive(Debug, clap::Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The month, such as 2026-11, in the entity's zone.
    #[serde(deserialize_with = "read_month")]
    #[schemars(with = "Month")]
    pub month: Month,
    /// As of a time or a position `<shard>-<sequence>`: with the terms and tallies of then.
    #[arg(long, value_name = "MOMENT")]
    #[serde(default, deserialize_with = "asked::optional")]
    #[schemars(with = "Option<asked::Moment>")]
    pub as_of: Option<AsOf>,
}

fn read_month<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Month, D::Error> {
    asked::optional(deserializer)?.ok_or_else(|| D::Error::custom("name a month, such as 2026-11"))
}

/// A payout, and what it was calculated from.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Settlement")]
pub struct Answer {
    #[serde(flatten)]
    pub payout: Payout,
    pub digest: Hash,
    /// The instant whose terms were used: asked as of it, the same comes out again.
    pub as_of: Timestamp,
    /// How far each shard was read for it.
    #[schemars(schema_with = "position")]
    pub position: Head,
}

/// [`Head`] as a schema.
fn position(generator: &mut SchemaGenerator) -> Schema {
    let hash = generator.subschema_for::<Hash>();
    json_schema!({
        "type": "object", "required": ["lineage", "shards"],
        "properties": {
            "lineage": { "type": "string", "format": "uuid" },
            "shards": { "type": "array", "items": {
                "type": "object", "required": ["sequence", "hash"],
                "properties": { "sequence": { "type": "integer", "minimum": 0 }, "hash": hash },
            } },
        },
    })
}

impl Question {
    /// Folds the terms, then the tallies in their zone, both up to the same place.
    ///
    /// # Errors
    /// [`Error::Unasked`] where no entity holds then; [`Error::Settlement`] where the terms leave something out.
    pub fn ask(&self, ledger: &Ledger) -> Result<Answer> {
        let as_of = self.as_of.unwrap_or(AsOf::End);
        let mut reader = ledger.read()?;
        let clock = Ledger::clock(&mut reader, as_of)?;
        let mut reference = Reference::new();
        let mut position: Vec<ShardHead> = vec![ShardHead::default(); reader.shards().into()];
        for record in replay::records(&mut reader, as_of)? {
            let record = record?;
            reference.apply(&record);
            position[usize::from(record.shard)].sequence = record.sequence;
        }
        let reference = reference.at(clock);
        let Some(entity) = reference.entity() else {
            return Err(Error::Unasked(format!(
                "no entity is published that holds at {clock}, so there is no currency to pay in; apply a platform file \
                 with [entity]"
            )));
        };
        let mut tallies = Tallies::new(entity.zone.0);
        for record in replay::records(&mut reader, as_of)? {
            tallies.apply(&record?);
        }
        for (shard, head) in (0..).zip(&mut position) {
            head.hash = reader.hash_at(shard, head.sequence)?.expect("the log was read up to there");
        }
        let position = Head { lineage: reader.head().lineage, shards: position };
        let payout = payout(self.month, &tallies, &reference)?;
        Ok(Answer { digest: payout.digest(), payout, as_of: clock, position })
    }
}
