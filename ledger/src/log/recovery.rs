//! What a start finds at the end of the log.
//!
//! The last segment is walked from its header. Behind its last valid frame stand zeros (the reserve
//! of a clean or unclean end), or something else. Then, in this order:
//!
//! 1. A valid frame further on: what is between was durable and is damaged. Refused.
//! 2. A stored position beyond the last valid frame: what is missing had been answered. Refused.
//! 3. Else it is the torn end of a write that nobody was answered for: it is kept in `cut/`, then
//!    cut off.
//!
//! Every stored position must have the lineage and the hash of this log. At last the last frame is
//! written again and synced: a process that was killed, or whose fdatasync failed, can leave a frame
//! that is in the page cache only, and after a failed one the kernel no longer counts it as unsynced.

use std::sync::Arc;

use schemas::{Chain, Hash, Shard};
use uuid::Uuid;

use super::{
    Disk, DiskFile, Head, Options, Reader,
    disk::{LOCK, LockGuard, UNFINISHED},
    frame::{self, Meta},
    frames::first_nonzero,
    position,
    scan::{Depth, Scan, Step},
    segment::{self, Header, Tip},
    shared::{self, Segment, Shared},
    walk::Running,
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
    /// The file's length.
    pub reserved: u64,
    pub tips: Vec<Tip>,
    pub chains: Vec<Chain>,
    pub report: Recovery,
}

/// Opens a ledger, or makes one in an empty folder.
pub(super) fn open(disk: Arc<dyn Disk>, options: &Options) -> Result<Recovered> {
    let io = |doing, name: &str, source| Error::Io { doing, path: disk.path(name), source };
    disk.create_dir("").map_err(|source| io("making the folder", "", source))?;
    check_folder(&*disk)?;
    let lock = lock(&*disk)?;
    refuse_unfinished(&*disk)?;
    for dir in [segment::FOLDER, position::FOLDER, CUT_FOLDER] {
        disk.create_dir(dir).map_err(|source| io("making the folder", dir, source))?;
        remove_unfinished(&*disk, dir)?;
    }
    remove_unfinished(&*disk, snapshot::FOLDER)?;
    disk.sync_dir("").map_err(|source| io("syncing the folder", "", source))?;
    let found = shared::segments(&*disk)?;
    let created = found.is_none();
    let (segments, last) = found.map_or_else(|| create(&*disk, options), Ok)?;
    let shards = Shard::try_from(last.tips.len()).expect("a header holds 16 bits of shards");
    if let Some(asked) = options.shards.filter(|&asked| asked != shards) {
        return Err(Error::OtherShards { path: disk.path(""), asked, found: shards });
    }
    let segment = segments[segments.len() - 1].clone();
    let shared = Arc::new(Shared::new(disk, segments, &last));
    let mut tail = Tail::resume(&shared, &segment, last)?;
    let io = |doing, source| Error::Io { doing, path: shared.disk.path(&segment.name), source };
    let file = shared.disk.open_existing(&segment.name).map_err(|source| io("opening", source))?;
    let length = file.len().map_err(|source| io("looking at the length of", source))?;
    let scan = shared.walk_tail(&segment, length, |scan| tail.take(scan))?;
    let position = scan.position();
    let stray = first_nonzero(&*file, position).map_err(|source| io("reading", source))?;
    if stray.is_some() && reads_valid_now(&shared, &segment, &scan, length)? {
        let what = "a frame was damaged at the first reading and sound at the second: the disk or the memory fails";
        return Err(Error::damaged(shared.disk.path(&segment.name), position, what));
    }
    if stray.is_some() {
        refuse_a_gap(&shared, &segment, &scan, &*file, length)?;
    }
    let stored = position::all(&*shared.disk)?;
    let checked = check_positions(&shared, stored);
    checked.map_err(|error| if stray.is_some() { at_the_damage(error, &shared, &segment, &scan) } else { error })?;
    let mut report = Recovery { created, cut: None };
    let mut reserved = length;
    if stray.is_some() {
        report.cut = Some(cut(&*shared.disk, &segment, &*file, position, length)?);
        reserved = position;
    }
    tail.write_again(&*file).map_err(|source| io("writing the last frame again to", source))?;
    file.sync().map_err(|source| io("syncing", source))?;
    let folder = segment::FOLDER;
    shared.disk.sync_dir(folder).map_err(|source| io("syncing the folder of", source))?;
    let previous = scan.previous().expect("the walk began with the header's crc");
    let Running { tips, chains, .. } = tail.running;
    Ok(Recovered { shared, lock, segment, file, position, previous, reserved, tips, chains, report })
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

fn create(disk: &dyn Disk, options: &Options) -> Result<(Vec<Arc<Segment>>, Header)> {
    if let Some((name, position)) = position::all(disk)?.first() {
        let shard = position.shards.iter().position(|head| head.sequence > 0).unwrap_or(0);
        let stored = position.shards.get(shard).map_or(0, |head| head.sequence);
        let shard = Shard::try_from(shard).expect("a position names shards");
        return Err(Error::BehindStored { name: name.clone(), shard, stored, on_log: 0 });
    }
    let shards = usize::from(options.shards.unwrap_or(Options::SHARDS));
    let tips = vec![Tip::default(); shards];
    let mut header = Header { crc: 0, previous: 0, lineage: Uuid::now_v7(), base: 0, tips, cuts: Vec::new() };
    let (name, bytes) = (segment::name(0), header.write());
    disk.write_atomic(&name, &bytes).map_err(|source| Error::Io {
        doing: "making the first segment",
        path: disk.path(&name),
        source,
    })?;
    Ok((vec![Arc::new(Segment::new(&header, bytes.len() as u64))], header))
}

/// The chains and tips, moved on through the last segment.
struct Tail {
    running: Running,
    /// The last frame, and its place in the file.
    last: Option<(u64, Vec<u8>)>,
}

impl Tail {
    fn resume(shared: &Arc<Shared>, segment: &Segment, header: Header) -> Result<Self> {
        Ok(Self { running: Running::resume(shared, segment, header.tips)?, last: None })
    }

    /// Takes a frame, and checks its hashes.
    fn take(&mut self, scan: &Scan) -> Result<()> {
        self.running.take(scan)?;
        let (at, bytes) = self.last.get_or_insert_default();
        *at = scan.position() - u64::from(scan.meta().length);
        bytes.clear();
        bytes.extend_from_slice(scan.frame());
        Ok(())
    }

    fn write_again(&self, file: &dyn DiskFile) -> std::io::Result<()> {
        self.last.as_ref().map_or(Ok(()), |(at, bytes)| file.write_at(*at, bytes))
    }
}

/// Whether a second look finds a frame where the walk ended: nothing is cut for one bad read.
fn reads_valid_now(shared: &Shared, segment: &Segment, scan: &Scan, length: u64) -> Result<bool> {
    let mut again = shared.scan_from(segment, scan.position(), scan.previous())?;
    Ok(matches!(again.next(length, Depth::Whole)?, Step::Frame))
}

/// A position behind the end is lost by the damage that stands there.
pub(super) fn at_the_damage(error: Error, shared: &Shared, segment: &Segment, scan: &Scan) -> Error {
    match error {
        Error::BehindStored { name, shard, stored, .. } => {
            let what =
                format!("no valid frame stands here, and \"{name}\" has stored that shard {shard} reached {stored}");
            Error::damaged(shared.disk.path(&segment.name), scan.position(), what)
        }
        other => other,
    }
}

/// Refuses a log on which a valid frame stands behind one that is not: what was answered is damaged.
pub(super) fn refuse_a_gap(
    shared: &Shared,
    segment: &Segment,
    scan: &Scan,
    file: &dyn DiskFile,
    length: u64,
) -> Result<()> {
    let path = shared.disk.path(&segment.name);
    // What stands here is damaged; the one behind it must not be overlooked for one bad read.
    let found = match valid_frame_behind(scan, file, length) {
        Ok(None) => valid_frame_behind(scan, file, length),
        found => found,
    };
    match found {
        Ok(None) => Ok(()),
        Ok(Some(valid)) => {
            let what = format!("no valid frame stands here, but one does at byte {valid}");
            Err(Error::damaged(path, scan.position(), what))
        }
        Err(source) => Err(Error::Io { doing: "reading", path, source }),
    }
}

/// Where a valid frame stands behind the walk's end, at any byte.
fn valid_frame_behind(scan: &Scan, file: &dyn DiskFile, length: u64) -> std::io::Result<Option<u64>> {
    let position = scan.position();
    let mut rest = vec![0; usize::try_from(length - position).map_err(std::io::Error::other)?];
    let read = file.read_at(position, &mut rest)?;
    rest.truncate(read);
    let mut meta = Meta::default();
    let first = scan.base() + position;
    for at in 1..rest.len() {
        let bytes = &rest[at..];
        if bytes.starts_with(&frame::MAGIC)
            && meta.read(bytes).is_ok()
            && meta.offset == first + at as u64
            && meta.blocks(bytes).all(|block| block.is_ok())
        {
            return Ok(Some(position + at as u64));
        }
    }
    Ok(None)
}

/// Every stored position must be one that the log has passed, with the same records.
pub(super) fn check_positions(shared: &Arc<Shared>, stored: Vec<(String, Head)>) -> Result<()> {
    let mut reader = Reader::new(shared.clone());
    for (name, position) in stored {
        if position.lineage != shared.lineage {
            let path = shared.disk.path(&format!("{}/{name}.json", position::FOLDER));
            return Err(shared.foreign(path, position.lineage));
        }
        for (shard, head) in (0..).zip(&position.shards) {
            let hash: Option<Hash> = reader.hash_at(shard, head.sequence)?;
            match hash {
                Some(hash) if hash == head.hash => {}
                Some(_) => return Err(Error::HashMismatch { name, shard, sequence: head.sequence }),
                None => {
                    let on_log = shared.shard_head(shard).map_or(0, |head| head.sequence);
                    return Err(Error::BehindStored { name, shard, stored: head.sequence, on_log });
                }
            }
        }
    }
    Ok(())
}

/// Keeps what stands behind `position`, durably, then cuts it off. The caller syncs.
fn cut(disk: &dyn Disk, segment: &Segment, file: &dyn DiskFile, position: u64, length: u64) -> Result<Cut> {
    let io = |doing, name: &str, source| Error::Io { doing, path: disk.path(name), source };
    let mut bytes = vec![0; usize::try_from(length - position).expect("a segment fits in memory")];
    let read = file.read_at(position, &mut bytes).map_err(|source| io("reading", &segment.name, source))?;
    bytes.truncate(read);
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    let kept = format!("{CUT_FOLDER}/{:016x}-{position}.bin", segment.base);
    disk.write_atomic(&kept, &bytes).map_err(|source| io("keeping the torn end in", &kept, source))?;
    file.set_len(position).map_err(|source| io("cutting the torn end of", &segment.name, source))?;
    let bytes = bytes.len() as u64;
    tracing::warn!(segment = segment.name, offset = position, bytes, kept, "cut a write that was never answered");
    Ok(Cut { segment: segment.name.clone(), offset: position, bytes, kept })
}
