//! Reading a backup: to check it, or to make a ledger of it.

use std::sync::Arc;

use schemas::Hash;
use serde_json::json;
use uuid::Uuid;

use super::{CHUNK_BYTES, Manifest, SegmentCopy};
use crate::{
    Error, Result,
    log::{
        BACKUP, CUT_FOLDER, CheckedSegment, Disk, DiskFile, Head, LOCK, LOG_FOLDER, POSITIONS_FOLDER, RESTORE, Walk,
        doubt_of_end, finished_name, lock, store_end,
    },
};

/// Which lineage a restored ledger has.
#[derive(Debug, Clone, Copy, Default)]
pub enum Lineage<'a> {
    /// A new one: nothing says that no record was answered behind the backup.
    #[default]
    New,
    /// The one that it had, if the folder of the ledger that the backup is of proves that it was closed where the
    /// backup ends, and never written again; else a new one.
    Proven(&'a dyn Disk),
}

/// A ledger that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What it was restored from.
    pub manifest: Manifest,
    /// Its head, with the lineage that it has now.
    pub head: Head,
    /// Why it has the lineage that it has.
    pub why: String,
}

impl Restored {
    /// Whether it has a new lineage, since records may have been answered behind the backup's head.
    pub fn is_renewed(&self) -> bool {
        self.head.lineage != self.manifest.head.lineage
    }
}

/// Checks a backup: every byte, frame and hash, up to the head that it states.
///
/// # Errors
/// [`Error::NoBackup`]; [`Error::Damaged`] names the file and the byte.
pub fn check(backup: &dyn Disk, step: &mut dyn FnMut(u64, u64)) -> Result<Manifest> {
    let manifest = Manifest::read(backup)?;
    read(backup, &manifest, step, |_| Ok(None))?;
    Ok(manifest)
}

/// Makes a ledger of a backup, in a folder that is missing or empty, or in which a restore was interrupted.
///
/// # Errors
/// [`Error::NotEmpty`], [`Error::NoBackup`], [`Error::Damaged`], [`Error::Full`], [`Error::Io`]. The folder
/// is no ledger until all is there.
pub fn restore(backup: &dyn Disk, to: &dyn Disk, lineage: Lineage, step: &mut dyn FnMut(u64, u64)) -> Result<Restored> {
    let manifest = Manifest::read(backup)?;
    let io = |doing, name: &str, source| Error::Io { doing, path: to.path(name), source };
    to.create_dir("").map_err(|source| io("making the folder", "", source))?;
    must_be_free(to)?;
    let _lock = lock(to)?;
    let marker = json!({ "from": backup.path("").display().to_string(), "head": manifest.head });
    to.write_atomic(RESTORE, format!("{marker}\n").as_bytes()).map_err(|source| io("writing", RESTORE, source))?;
    for folder in [LOG_FOLDER, POSITIONS_FOLDER, CUT_FOLDER] {
        to.create_dir(folder).map_err(|source| io("making the folder", folder, source))?;
        for name in to.list(folder).map_err(|source| io("listing", folder, source))? {
            let name = format!("{folder}/{name}");
            to.remove(&name).map_err(|source| io("removing what was begun in", &name, source))?;
        }
    }
    to.sync_dir("").map_err(|source| io("syncing", "", source))?;
    let walk = read(backup, &manifest, step, |segment| {
        let file = to.open(&segment.file, true).map_err(|source| io("making", &segment.file, source))?;
        Ok(Some((to.path(&segment.file), file)))
    })?;
    let mut head = manifest.head.clone();
    let doubt = match lineage {
        Lineage::New if manifest.closed => Some(
            "the ledger had been closed when it was backed up, and nothing says whether it was opened again".into(),
        ),
        Lineage::New => Some("the ledger was being written when it was backed up, or had not been closed".into()),
        Lineage::Proven(old) => doubt_of_end(old, &head)?,
    };
    let mut former = walk.former();
    if doubt.is_some() {
        former.push(std::mem::replace(&mut head.lineage, Uuid::now_v7()));
        let (name, header) = walk.renewed(head.lineage).ok_or_else(|| Error::BeyondRepair {
            path: to.path(""),
            what: "the log has had as many cuts as it can".to_owned(),
        })?;
        to.write_atomic(&name, &header).map_err(|source| io("beginning a segment in", &name, source))?;
    } else if let Some(last) = manifest.segments.last() {
        let file = to.open_existing(&last.file).map_err(|source| io("opening", &last.file, source))?;
        let ended = file.write_at(last.length, &walk.mark()).and_then(|()| file.sync());
        ended.map_err(|source| io("ending", &last.file, source))?;
    }
    to.sync_dir(LOG_FOLDER).map_err(|source| io("syncing", LOG_FOLDER, source))?;
    store_end(to, &head, former)?;
    let removed = to.remove(RESTORE).and_then(|()| to.sync_dir(""));
    removed.map_err(|source| io("removing", RESTORE, source))?;
    let proof = || "the old folder says that it was closed where the backup ends, and never written again".to_owned();
    Ok(Restored { manifest, head, why: doubt.unwrap_or_else(proof) })
}

/// Whether a ledger can be made here.
fn must_be_free(to: &dyn Disk) -> Result<()> {
    let names = to.list("").map_err(|source| Error::Io { doing: "listing", path: to.path(""), source })?;
    let begun = names.iter().any(|name| name == RESTORE);
    let ours = |name: &String| {
        let plain = finished_name(name);
        [RESTORE, LOCK, "lost+found"].contains(&plain)
            || begun && [LOG_FOLDER, POSITIONS_FOLDER, CUT_FOLDER].contains(&plain)
    };
    if names.iter().all(ours) {
        Ok(())
    } else {
        Err(Error::NotEmpty { doing: "restoring a backup", path: to.path("") })
    }
}

/// A file to copy to, as messages name it.
type Target = (std::path::PathBuf, Arc<dyn DiskFile>);

/// Reads and checks all of a backup, and copies each segment to where `target` says.
fn read(
    backup: &dyn Disk,
    manifest: &Manifest,
    step: &mut dyn FnMut(u64, u64),
    mut target: impl FnMut(&SegmentCopy) -> Result<Option<Target>>,
) -> Result<Walk> {
    let (mut walk, total) = (Walk::start(Vec::new()), manifest.bytes());
    for segment in &manifest.segments {
        let mut hasher = blake3::Hasher::new();
        let target = target(segment)?;
        let (mut waiting, mut waiting_at) = (Vec::with_capacity(CHUNK_BYTES), 0);
        let mut write = |waiting: &mut Vec<u8>| {
            let Some((path, file)) = &target else { return Ok(()) };
            let written = file.write_at(waiting_at, waiting);
            written.map_err(|source| Error::Io { doing: "writing", path: path.clone(), source })?;
            waiting_at += waiting.len() as u64;
            waiting.clear();
            Ok(())
        };
        let begin = walk.offset();
        let mut checked = CheckedSegment::open(&mut walk, backup, &segment.file, segment.length)?;
        let mut position = 0;
        while let Some(bytes) = checked.next()? {
            hasher.update(bytes);
            position += bytes.len() as u64;
            step(begin + position, total);
            if target.is_some() {
                waiting.extend_from_slice(bytes);
            }
            if waiting.len() >= CHUNK_BYTES {
                write(&mut waiting)?;
            }
        }
        if Hash(*hasher.finalize().as_bytes()) != segment.blake3 {
            let what = format!("the segment and its hash in {BACKUP} differ");
            return Err(Error::damaged(backup.path(&segment.file), 0, what));
        }
        write(&mut waiting)?;
        if let Some((path, file)) = &target {
            file.sync().map_err(|source| Error::Io { doing: "syncing", path: path.clone(), source })?;
        }
    }
    if walk.head().as_ref() != Some(&manifest.head) || walk.offset() != manifest.end {
        return Err(Error::damaged(backup.path(BACKUP), 0, "the head that it states is not that of its segments"));
    }
    Ok(walk)
}
