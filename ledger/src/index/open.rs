//! What a start finds in the folder: an index that goes with the log, or nothing that can be used.

use std::{io, sync::Arc};

use super::{
    folder::{Folder, MANIFEST},
    manifest::Manifest,
    run::Run,
    unfit::Unfit,
};
use crate::{
    Error, Result,
    log::{Disk, Head, Reader},
};

/// A manifest and its runs.
type Found = (Manifest, Vec<Arc<Run>>);

/// A manifest and its runs; `None` if there is none that can be used, and the folder is empty then.
pub(super) fn open(folder: &Folder, log: &mut Reader) -> Result<Option<Found>> {
    match fitting(folder, log) {
        Ok(Some((manifest, runs))) => {
            remove_strangers(folder, &runs)?;
            Ok(Some((manifest, runs)))
        }
        Ok(None) => {
            if !folder.list()?.is_empty() {
                folder.clear()?;
            }
            Ok(None)
        }
        Err(Unfit::Damaged(why)) => {
            tracing::warn!(%why, "the index cannot be used and is rebuilt from the log");
            folder.clear()?;
            Ok(None)
        }
        Err(Unfit::Failed(error)) => Err(error),
    }
}

/// What the manifest says that the index covers, or why it cannot be read, with its file.
pub(crate) fn stated(disk: &dyn Disk) -> Result<Option<(String, Result<Head, String>)>> {
    match disk.read(MANIFEST) {
        Ok(bytes) => Ok(Some((MANIFEST.to_owned(), Manifest::read(&bytes).map(|manifest| manifest.head)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { doing: "reading", path: disk.path(MANIFEST), source }),
    }
}

fn fitting(folder: &Folder, log: &mut Reader) -> Result<Option<Found>, Unfit> {
    let bytes = match folder.disk.read(MANIFEST) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Unfit::Failed(folder.failed("reading", MANIFEST, 0, source))),
        Ok(bytes) => bytes,
    };
    let manifest = Manifest::read(&bytes).map_err(Unfit::Damaged)?;
    let head = &manifest.head;
    if head.lineage != log.head().lineage || head.shards.len() != usize::from(log.shards()) {
        return Err(Unfit::Damaged(format!("it belongs to ledger {}", head.lineage)));
    }
    for (shard, head) in (0..).zip(&head.shards) {
        if log.hash_at(shard, head.sequence)? != Some(head.hash) {
            let what = format!("the log has other records up to {} of shard {shard}", head.sequence);
            return Err(Unfit::Damaged(what));
        }
    }
    let mut runs = Vec::with_capacity(manifest.runs.len());
    for &entry in &manifest.runs {
        runs.push(Arc::new(Run::open(folder, head.lineage, entry)?));
    }
    Ok(Some((manifest, runs)))
}

/// Removes what a crash left behind: runs that no manifest names, and unfinished files.
fn remove_strangers(folder: &Folder, runs: &[Arc<Run>]) -> Result<()> {
    for name in folder.list()? {
        if name != MANIFEST && runs.iter().all(|run| run.name() != name) {
            folder.remove(&name)?;
        }
    }
    Ok(())
}
