//! `restore`: a ledger of a backup.

use std::path::PathBuf;

use anyhow::{Context, Result};
use ledger::{
    backup::{self, Lineage},
    log::OsDisk,
};
use serde_json::json;

use super::{Ended, Global, backup::described};
use crate::{
    output::{Progress, print_json, say},
    store::copies,
};

/// Make a ledger of a backup.
///
/// It goes into the folder that --data names, which must be missing or empty. Every byte
/// and hash is checked on the way.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The folder of the backup.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The folder of the ledger that the backup was taken of. If it says that it was closed where the backup ends, and
    /// never written again, the lineage stays; else the ledger gets a new one, as it does without this.
    #[arg(long, value_name = "OLD")]
    in_place_of: Option<PathBuf>,
    /// Give the ledger a new lineage, whatever the old folder says.
    #[arg(long, conflicts_with = "in_place_of")]
    new_lineage: bool,
}

impl Restore {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let ledger = global.ledger()?;
        // Before anything is made: what is restored half could be opened by anybody.
        copies::check(&self.from)?;
        let old = self.in_place_of.as_ref().filter(|_| !self.new_lineage).map(OsDisk::new);
        let lineage = old.as_ref().map_or(Lineage::New, |old| Lineage::Proven(old));
        let mut step = Progress::of_bytes("restoring");
        let restored = backup::restore(&OsDisk::new(&self.from), &*ledger.disk(), lineage, &mut step)?;
        drop(step);
        let copied =
            copies::restore(&self.from, &ledger).context("the log is restored, service.db is not: do not serve it")?;
        let (manifest, head) = (&restored.manifest, &restored.head);
        if global.json {
            let former = restored.is_renewed().then_some(manifest.head.lineage);
            let line = json!({
                "lineage": head.lineage, "shards": head.shards, "former_lineage": former,
                "time": manifest.time, "closed": manifest.closed, "records": manifest.records(), "why": restored.why,
                "service_db": copied,
            });
            print_json(&line)?;
            return Ok(Ended::Well);
        }
        say(&format!("Restored to {}: {}", ledger.path().display(), described(manifest)))?;
        let (old, new) = (manifest.head.lineage, head.lineage);
        say(&if restored.is_renewed() {
            format!(
                "Lineage {new}, before {old}: {}. Whatever was answered after {} is not in the backup and is cut: \
                 positions, cursors and anchors that others hold beyond it are refused from now on.\n\
                 Callers ask again with the same ids.",
                restored.why, manifest.time
            )
        } else {
            format!("Lineage {new}, as before: {}. Nothing is cut.", restored.why)
        })?;
        if let Some(copied) = &copied {
            say(&format!(
                "Tokens are as of {}: one that was revoked later works again, and coins that were made later that day \
                 are not counted. Look through {}",
                copied.time,
                ledger.typed("token list")
            ))?;
        }
        let rows = (0_u16..).zip(&head.shards);
        let rows = rows.map(|(shard, head)| vec![shard.to_string(), head.sequence.to_string(), head.hash.to_string()]);
        say(&crate::output::table(&["shard", "sequence", "hash"], &[0, 1], rows))?;
        Ok(Ended::Well)
    }
}
