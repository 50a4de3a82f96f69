//! What a start does with what it finds.
//!
//! The end of the log is surveyed and judged (`tail`, `diagnosis`). In order: it goes on. A write that nobody was
//! answered for, at the very end: its bytes are kept in `cut/`, then zeroed. Anything else: refused, with what
//! is wrong, what is lost, and where that is repaired.
//!
//! At last the last frame is written again and synced: a process that was killed, or whose fdatasync failed,
//! can leave a frame that is in the page cache only, and after a failed one the kernel no longer counts it as
//! unsynced.

use std::sync::Arc;

use schemas::Chain;
use uuid::Uuid;

use super::{
    Disk, DiskFile, Options,
    disk::{LOCK, LockGuard, UNFINISHED},
    position,
    salvage::Behind,
    scan::{Depth, Scan, Step},
    segment::{self, Header, Tip},
    shared::{Segment, Shared},
    tail::{self, Tail},
    walk::{Running, Walk},
};
use crate::{Error, Result, index, snapshot};

/// The folder of what was cut.
pub(crate) const CUT_FOLDER: &str = "cut";

/// Says that a folder holds a backup, and of what.
pub(crate) const BACKUP: &str = "backup.json";
/// Is there while a backup is under way.
pub(crate) const BACKUP_PART: &str = "backup.part.json";
/// Is there while a restore fills the folder.
pub(crate) const RESTORE: &str = "restore.json";
/// Is there while a repair changes the folder.
pub(crate) const REPAIR: &str = "repair.json";
/// What may be under way, by the file that says so.
const UNDER_WAY: [(&str, &str); 3] =
    [(BACKUP_PART, "a backup to this folder"), (RESTORE, "a restore from a backup"), (REPAIR, "a repair of the log")];

/// What a start found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Whether the ledger was made by this start.
    pub created: bool,
    /// What was cut from the end, if anything.
    pub cut: Option<Cut>,
}

/// A torn end that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The segment that it was cut from.
    pub segment: String,
    /// Where it began in that file.
    pub offset: u64,
    /// How many bytes it had, up to the last that was not zero.
    pub bytes: u64,
    /// The file that keeps them.
    pub kept: String,
}

/// A log that is ready to be written.
pub(super) struct Recovered {
    pub shared: Arc<Shared>,
    pub lock: LockGuard,
    pub segment: Arc<Segment>,
    pub file: Arc<dyn DiskFile>,
    /// The end of the last frame in the segment's file, and its crc.
    pub position: u64,
    pub previous: u32,
    pub tips: Vec<Tip>,
    pub chains: Vec<Chain>,
    pub report: Recovery,
}

/// Opens a ledger, or makes one in an empty folder.
pub(super) fn open(disk: &Arc<dyn Disk>, options: &Options) -> Result<Recovered> {
    let io = |doing, name: &str, source| Error::Io { doing, path: disk.path(name), source };
    disk.create_dir("").map_err(|source| io("making the folder", "", source))?;
    check_folder(&**disk)?;
    let lock = lock(&**disk)?;
    refuse_unfinished(&**disk)?;
    for dir in [segment::FOLDER, position::FOLDER, CUT_FOLDER] {
        disk.create_dir(dir).map_err(|source| io("making the folder", dir, source))?;
        remove_unfinished(&**disk, dir)?;
    }
    remove_unfinished(&**disk, snapshot::FOLDER)?;
    disk.sync_dir("").map_err(|source| io("syncing the folder", "", source))?;
    let mut created = false;
    let tail = if let Some(tail) = tail::survey(disk, false)? {
        tail
    } else {
        create(&**disk, options)?;
        created = true;
        tail::survey(disk, false)?.ok_or_else(|| Error::NoLedger { path: disk.path("") })?
    };
    let shards = tail.shared.shards;
    if let Some(asked) = options.shards.filter(|&asked| asked != shards) {
        return Err(Error::OtherShards { path: disk.path(""), asked, found: shards });
    }
    let Tail { shared, segment, walk, last, torn, untrimmed } = tail;
    let io = |doing, source| Error::Io { doing, path: disk.path(&segment.name), source };
    let file = disk.open_existing(&segment.name).map_err(|source| io("opening", source))?;
    let position = last.length();
    let cut = torn.map(|torn| cut(&**disk, &segment, &*file, &walk, &torn)).transpose()?;
    if let Some(at) = last.last_frame {
        // Read once more and checked: what is written is what stands there.
        let mut again = Scan::new(file.clone(), disk.path(&segment.name), segment.base, at, None);
        match again.next(position, Depth::Whole)? {
            Step::Frame if again.previous() == Some(walk.previous) => {}
            _ => return Err(again.damaged("a frame was sound at the first reading and damaged at the second")),
        }
        let written = file.write_at(at, again.frame());
        written.map_err(|source| io("writing the last frame again to", source))?;
    }
    file.sync().map_err(|source| io("syncing", source))?;
    for (name, length) in untrimmed {
        let trimmed = disk.open_existing(&name).and_then(|file| file.set_len(length).and_then(|()| file.sync()));
        trimmed.map_err(|source| Error::Io { doing: "giving back the reserve of", path: disk.path(&name), source })?;
    }
    disk.sync_dir(segment::FOLDER).map_err(|source| io("syncing the folder of", source))?;
    let previous = walk.previous;
    let Running { tips, chains, .. } = walk.running;
    let report = Recovery { created, cut };
    Ok(Recovered { shared, lock, segment, file, position, previous, tips, chains, report })
}

/// Refuses a folder that holds something else and no log.
fn check_folder(disk: &dyn Disk) -> Result<()> {
    let io = |source| Error::Io { doing: "listing", path: disk.path(""), source };
    let ours = [LOCK, segment::FOLDER, position::FOLDER, CUT_FOLDER, index::FOLDER, snapshot::FOLDER, "lost+found"];
    let names = disk.list("").map_err(io)?;
    if names.iter().any(|name| name == BACKUP) {
        return Err(Error::IsABackup { path: disk.path("") });
    }
    if names.iter().any(|name| name == segment::FOLDER) {
        return Ok(()); // whatever else the ledger's owners keep beside it
    }
    match names.iter().find(|name| !ours.contains(&name.as_str())) {
        Some(foreign) => Err(Error::NotALedger { path: disk.path(foreign) }),
        None => Ok(()),
    }
}

/// Refuses a folder in which a restore or a repair was interrupted: what stands there may be the
/// beginning of a log and look like a whole one.
pub(super) fn refuse_unfinished(disk: &dyn Disk) -> Result<()> {
    let names = disk.list("").map_err(|source| Error::Io { doing: "listing", path: disk.path(""), source })?;
    for (file, what) in UNDER_WAY {
        if names.iter().any(|name| name == file) {
            return Err(Error::Unfinished { path: disk.path(file), what });
        }
    }
    Ok(())
}

/// Takes the writer's lock.
pub(crate) fn lock(disk: &dyn Disk) -> Result<LockGuard> {
    let path = disk.path("");
    disk.lock().map_err(|source| match source.kind() {
        std::io::ErrorKind::WouldBlock => Error::Locked { path, pid: disk.lock_holder() },
        _ => Error::Io { doing: "locking", path, source },
    })
}

/// Removes what an interrupted atomic write or a segment that was only reserved left behind.
fn remove_unfinished(disk: &dyn Disk, dir: &str) -> Result<()> {
    let io = |source| Error::Io { doing: "removing unfinished files of", path: disk.path(dir), source };
    for file in disk.list(dir).map_err(io)? {
        if file.ends_with(UNFINISHED) {
            disk.remove(&format!("{dir}/{file}")).map_err(io)?;
        }
    }
    Ok(())
}

/// Makes the first segment.
fn create(disk: &dyn Disk, options: &Options) -> Result<()> {
    let shards = options.shards.unwrap_or(Options::SHARDS);
    let mut header = Header {
        crc: 0,
        previous: 0,
        lineage: Uuid::now_v7(),
        base: 0,
        reserved: options.segment_bytes(shards, 0),
        tips: vec![Tip::default(); shards.into()],
        cuts: Vec::new(),
    };
    let name = segment::name(0);
    let made = disk.write_atomic(&name, &header.write_ended());
    made.map_err(|source| Error::Io { doing: "making the first segment", path: disk.path(&name), source })
}

/// Keeps what stands behind the last frame, durably, then zeroes it: the reserve stays as long as it was. The
/// caller syncs.
fn cut(disk: &dyn Disk, segment: &Segment, file: &dyn DiskFile, walk: &Walk, torn: &Behind) -> Result<Cut> {
    let io = |doing, name: &str, source| Error::Io { doing, path: disk.path(name), source };
    let position = torn.from;
    // Nothing is taken off for one bad read.
    let path = disk.path(&segment.name);
    let mut again = Scan::new(
        disk.open(&segment.name, false).map_err(|source| io("opening", &segment.name, source))?,
        path.clone(),
        segment.base,
        position,
        Some(walk.previous),
    );
    let length = file.len().map_err(|source| io("looking at", &segment.name, source))?;
    if let Step::Frame = again.next(length, Depth::Whole)? {
        let what = "a frame was damaged at the first reading and sound at the second: the disk or the memory fails";
        return Err(Error::damaged(path, position, what));
    }
    let mut bytes = vec![0; usize::try_from(torn.to - position).expect("a segment fits in memory")];
    let read = file.read_at(position, &mut bytes).map_err(|source| io("reading", &segment.name, source))?;
    bytes.truncate(read);
    let kept = format!("{CUT_FOLDER}/{:016x}-{position}.bin", segment.base);
    disk.write_atomic(&kept, &bytes).map_err(|source| io("keeping the torn end in", &kept, source))?;
    let zeros = vec![0; bytes.len()];
    file.write_at(position, &zeros).map_err(|source| io("taking off the torn end of", &segment.name, source))?;
    let bytes = bytes.len() as u64;
    tracing::warn!(segment = segment.name, offset = position, bytes, kept, "took off a write that was never answered");
    Ok(Cut { segment: segment.name.clone(), offset: position, bytes, kept })
}
