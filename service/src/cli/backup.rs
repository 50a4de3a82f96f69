//! `backup`: a copy of the log, checked while it is made.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use ledger::{
    Clock, SystemClock,
    backup::{self, BackedUp, Manifest},
    log::{Disk, OsDisk},
};
use serde_json::json;

use super::{Ended, Global};
use crate::{
    output::{Progress, print_json, say, thousands},
    store::copies,
};

/// Copy the log to a folder, beside a running writer; only what is new there.
///
/// A folder that holds an older backup of this
/// ledger gets what is new. Tokens, in service.db, are copied with it. Index and snapshots are not: they are
/// rebuilt from the log.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Backup {
    /// The folder of the backup, which is made if it is missing.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Check every byte of a backup instead, without restoring it.
    #[arg(long, value_name = "DIR")]
    check: Option<PathBuf>,
}

impl Backup {
    pub fn run(self, global: &Global) -> Result<Ended> {
        if let Some(folder) = self.check {
            let manifest = backup::check(&OsDisk::new(&folder), &mut Progress::of_bytes("checking"))?;
            let copied = copies::check(&folder)?;
            return report(global, &manifest, &json!({ "service_db": copied }), || {
                let with = if copied.is_some() { "; service.db beside it is whole" } else { "" };
                format!("The backup in {} is sound: {}{with}", folder.display(), described(&manifest))
            });
        }
        let folder = self.to.unwrap_or_default();
        let ledger = global.ledger()?;
        ledger.must_exist()?;
        let mut step = Progress::of_bytes("copying");
        let disk: Arc<dyn Disk> = ledger.disk();
        let done = backup::back_up(&disk, &OsDisk::new(&folder), SystemClock.now(), &mut step)?;
        drop(step);
        let BackedUp { manifest, kept, mended, written } = done;
        let copied = copies::back_up(&ledger, &folder).context("the log is backed up, service.db is not")?;
        let more = json!({ "written": written, "kept_segments": kept, "mended": mended, "service_db": copied });
        report(global, &manifest, &more, || {
            let mut said = format!(
                "Backed up to {}: {}\n{} bytes were written; {kept} of {} segments were there already, and are whole",
                folder.display(),
                described(&manifest),
                thousands(written),
                manifest.segments.len()
            );
            if let Some(copied) = &copied {
                said += "\nservice.db, with its tokens, was copied beside it: ";
                said += &thousands(copied.bytes);
                said += " bytes";
            }
            if !mended.is_empty() {
                said += "\nThe backup there had rotten, and was made whole again: ";
                said += &mended.join(", ");
                said += ". Its disk may be failing.";
            }
            said
        })
    }
}

/// What a backup holds, in words.
pub fn described(manifest: &Manifest) -> String {
    let state = if manifest.closed {
        "the ledger was closed there, then"
    } else {
        "the ledger was being written, or was not closed: what was answered later is not in it"
    };
    format!(
        "{} records in {} bytes, up to {} of the log, as of {}; {state}",
        thousands(manifest.records()),
        thousands(manifest.bytes()),
        manifest.end,
        manifest.time
    )
}

fn report(global: &Global, manifest: &Manifest, more: &serde_json::Value, text: impl Fn() -> String) -> Result<Ended> {
    if global.json {
        let Manifest { time, closed, head, end, segments, .. } = manifest;
        let mut line = json!({
            "lineage": head.lineage, "shards": head.shards, "end": end, "time": time, "closed": closed,
            "records": manifest.records(), "bytes": manifest.bytes(), "segments": segments.len(),
        });
        if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
            line.extend(more.clone());
        }
        print_json(&line)?;
    } else {
        say(&text())?;
    }
    Ok(Ended::Well)
}
