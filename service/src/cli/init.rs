//! `init`: an empty ledger, on purpose.

use anyhow::Result;
use schemas::Shard;
use serde::Serialize;

use super::{Ended, Global};
use crate::output::{print_json, say};

/// Make an empty ledger.
///
/// It goes into the folder that --data names, which must be missing or empty.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// How many shards it has; that never changes [default: 16]
    #[arg(long, value_name = "N")]
    shards: Option<Shard>,
}

/// What was made.
#[derive(Debug, Serialize)]
struct Made {
    data: String,
    lineage: String,
    shards: Shard,
}

impl Init {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let ledger = global.ledger()?;
        let engine = ledger.make(self.shards)?;
        let shards = engine.shards();
        let head = engine.close()?;
        let data = ledger.path().display().to_string();
        let made = Made { data, lineage: head.lineage.to_string(), shards };
        if global.json {
            print_json(&made)?;
            return Ok(Ended::Well);
        }
        let Made { data, lineage, shards } = made;
        say(&format_args!("An empty ledger of {shards} shards is in {data}, lineage {lineage}."))?;
        let hint = ledger.typed("apply -f platform.toml");
        say(&format_args!("Next, tell it what is sold and on which terms: {hint}"))?;
        Ok(Ended::Well)
    }
}
