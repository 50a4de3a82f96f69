//! Taking a backup.

use std::sync::Arc;

use schemas::{Hash, Timestamp};

use super::{
    BESIDE, CHUNK_BYTES, Manifest, SegmentCopy,
    manifest::{copied_before, note_copied},
};
use crate::{
    Error, Result,
    log::{
        BACKUP, BACKUP_PART, CheckedSegment, Disk, DiskFile, DurableSegment, LOCK, LOG_FOLDER, LockGuard, Reader, Walk,
        header_crc, lock,
    },
};

/// What a backup came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// What the folder holds now.
    pub manifest: Manifest,
    /// How many segments were there already, whole, and not written again.
    pub kept: usize,
    /// Segments of the older backup that were not what it says any more, and were copied again.
    pub mended: Vec<String>,
    /// How many bytes were written.
    pub written: u64,
}

/// Backs a ledger up to a folder, which may hold an older backup of it: that is checked, what has rotten there is
/// copied again, and so is what is new. Runs beside a writer. `step` hears of bytes as they are read, with how many there are in all.
///
/// # Errors
/// What [`Reader::open`] says of the ledger; [`Error::Damaged`] where a frame or a hash of it does not
/// check out; [`Error::OtherBackup`] if the folder holds something that is not the beginning of this
/// log, [`Error::NotEmpty`] if it holds anything else, [`Error::Locked`] if another backup writes to it.
/// After any error the older backup stands.
pub fn back_up(
    ledger: &Arc<dyn Disk>,
    to: &dyn Disk,
    now: Timestamp,
    step: &mut dyn FnMut(u64, u64),
) -> Result<BackedUp> {
    let _lock = take_folder(to)?;
    let old = Manifest::find(to)?;
    let reader = Reader::open(ledger.clone())?;
    let (head, end, segments) = (reader.head(), reader.end().offset(), reader.durable_segments());
    if let Some(old) = &old {
        old.must_begin(&**ledger, to, &segments)?;
    }
    let had = Had { old: old.as_ref(), copied: copied_before(to)?, mended: rotten(old.as_ref(), to)? };
    let mut copies = had.sealed(&**ledger, to, &segments)?;
    let kept = copies.len();
    note_copied(to, &copies)?;
    to.create_dir(LOG_FOLDER).map_err(|source| io("making the folder", to, LOG_FOLDER, source))?;
    to.sync_dir("").map_err(|source| io("syncing", to, "", source))?;
    let mut walk = Walk::before(&reader, kept)?;
    let total = end - walk.offset();
    let (from, mut written) = (walk.offset(), 0);
    for (n, segment) in segments.iter().enumerate().skip(kept) {
        let there = had.prefix(segment);
        let mut copy = Copy::new(to, segment, there);
        let mut checked = CheckedSegment::open(&mut walk, &**ledger, &segment.name, segment.length)?;
        while let Some(bytes) = checked.next()? {
            copy.take(bytes)?;
            step(segment.base + copy.position - from, total);
        }
        written += copy.written();
        copies.push(copy.finish()?);
        to.sync_dir(LOG_FOLDER).map_err(|source| io("syncing", to, LOG_FOLDER, source))?;
        if n + 1 < segments.len() {
            note_copied(to, &copies)?;
        }
    }
    if walk.head().as_ref() != Some(&head) || walk.offset() != end {
        let path = ledger.path(&segments[segments.len() - 1].name);
        return Err(Error::damaged(path, end, "the log's end changed while it was copied"));
    }
    let closed = walk.is_closed(&**ledger)?;
    let manifest = Manifest::new(now, closed, head, end, copies);
    manifest.store(to)?;
    let removed = to.remove(BACKUP_PART).and_then(|()| to.sync_dir(""));
    removed.map_err(|source| io("removing", to, BACKUP_PART, source))?;
    Ok(BackedUp { manifest, kept, mended: had.mended, written })
}

fn io(doing: &'static str, disk: &dyn Disk, name: &str, source: std::io::Error) -> Error {
    Error::Io { doing, path: disk.path(name), source }
}

/// Makes the folder, sees to it that it holds backups or nothing, and locks it.
fn take_folder(to: &dyn Disk) -> Result<LockGuard> {
    to.create_dir("").map_err(|source| io("making the folder", to, "", source))?;
    let names = to.list("").map_err(|source| io("listing", to, "", source))?;
    let is_backup = names.iter().any(|name| name == BACKUP || name == BACKUP_PART);
    let ours = |name: &String| {
        let plain = crate::log::finished_name(name);
        [BACKUP, BACKUP_PART, LOCK, "lost+found"].contains(&plain) || is_backup && [LOG_FOLDER, BESIDE].contains(&plain)
    };
    if !names.iter().all(ours) {
        return Err(Error::NotEmpty { doing: "backing up", path: to.path("") });
    }
    lock(to)
}

/// What a folder has of this log already.
struct Had<'a> {
    old: Option<&'a Manifest>,
    copied: Vec<SegmentCopy>,
    /// What of the older backup is not what it was.
    mended: Vec<String>,
}

/// The segments of a backup that are not what it says. All of it is read: a success is said of all of it.
fn rotten(old: Option<&Manifest>, to: &dyn Disk) -> Result<Vec<String>> {
    let mut rotten = Vec::new();
    for copy in old.iter().flat_map(|old| &old.segments) {
        if !is_whole(to, copy)? {
            rotten.push(copy.file.clone());
        }
    }
    Ok(rotten)
}

/// Whether a copy has the bytes that it had.
fn is_whole(to: &dyn Disk, copy: &SegmentCopy) -> Result<bool> {
    if bytes_there(to, &copy.file)? < copy.length {
        return Ok(false);
    }
    let file = to.open(&copy.file, false).map_err(|source| io("opening", to, &copy.file, source))?;
    let (mut hasher, mut chunk, mut at) = (blake3::Hasher::new(), vec![0; CHUNK_BYTES], 0);
    while at < copy.length {
        let step = usize::try_from(copy.length - at).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let read = file.read_at(at, &mut chunk[..step]).map_err(|source| io("reading", to, &copy.file, source))?;
        if read < step {
            return Ok(false);
        }
        hasher.update(&chunk[..step]);
        at += step as u64;
    }
    Ok(Hash(*hasher.finalize().as_bytes()) == copy.blake3)
}

impl Had<'_> {
    /// The sealed segments from the first on that are there whole.
    fn sealed(&self, ledger: &dyn Disk, to: &dyn Disk, segments: &[DurableSegment]) -> Result<Vec<SegmentCopy>> {
        let mut copies = Vec::new();
        let Some((_, sealed)) = segments.split_last() else { return Ok(copies) };
        for segment in sealed {
            let known = self.copied.iter().chain(self.old.iter().flat_map(|old| &old.segments));
            let Some(copy) = known.into_iter().find(|c| c.file == segment.name && c.length == segment.length) else {
                break;
            };
            let noted = self.old.is_some_and(|old| old.segments.contains(copy));
            let whole = if noted { !self.mended.contains(&copy.file) } else { is_whole(to, copy)? };
            if !whole || header_crc(to, &segment.name).ok() != Some(header_crc(ledger, &segment.name)?) {
                break;
            }
            copies.push(copy.clone());
        }
        Ok(copies)
    }

    /// What of a segment that goes on the older backup has.
    fn prefix(&self, segment: &DurableSegment) -> Option<SegmentCopy> {
        let copy = self.old?.segments.iter().find(|copy| copy.file == segment.name)?;
        (!self.mended.contains(&copy.file)).then(|| copy.clone())
    }
}

impl Manifest {
    /// Refuses to go on with a backup of another log, or of more of this one than there is now.
    fn must_begin(&self, ledger: &dyn Disk, to: &dyn Disk, segments: &[DurableSegment]) -> Result<()> {
        let other = |what: String| Error::OtherBackup { path: to.path(""), what };
        for (n, copy) in self.segments.iter().enumerate() {
            let Some(segment) = segments.get(n).filter(|segment| segment.name == copy.file) else {
                return Err(other(format!("it has {}, which the ledger has not", copy.file)));
            };
            let last = n + 1 == self.segments.len();
            let fits = if last { segment.length >= copy.length } else { segment.length == copy.length };
            if !fits {
                let (there, here) = (copy.length, segment.length);
                return Err(other(format!("it has {there} bytes of {}, the ledger {here}", copy.file)));
            }
            // A damaged copy is no other log: it is copied again.
            if header_crc(to, &copy.file).is_ok_and(|crc| header_crc(ledger, &copy.file).is_ok_and(|ours| ours != crc))
            {
                return Err(other(format!("{} is another segment there", copy.file)));
            }
        }
        Ok(())
    }
}

/// The bytes of a file that may not be there.
fn bytes_there(disk: &dyn Disk, name: &str) -> Result<u64> {
    match disk.open(name, false).and_then(|file| file.len()) {
        Ok(length) => Ok(length),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(io("looking at the length of", disk, name, source)),
    }
}

/// A segment that is copied. What the older backup has of it is compared by its hash, not written again.
struct Copy<'a> {
    to: &'a dyn Disk,
    name: &'a str,
    length: u64,
    there: Option<SegmentCopy>,
    /// Opened when the first byte is to be written: a segment that does not fit changes nothing.
    file: Option<Arc<dyn DiskFile>>,
    hasher: blake3::Hasher,
    /// How far the bytes were taken, and where `waiting` begins.
    position: u64,
    waiting_at: u64,
    waiting: Vec<u8>,
}

impl<'a> Copy<'a> {
    fn new(to: &'a dyn Disk, segment: &'a DurableSegment, there: Option<SegmentCopy>) -> Self {
        let waiting_at = there.as_ref().map_or(0, |there| there.length);
        let (name, length) = (segment.name.as_str(), segment.length);
        let (hasher, waiting) = (blake3::Hasher::new(), Vec::with_capacity(CHUNK_BYTES));
        Self { to, name, length, there, file: None, hasher, position: 0, waiting_at, waiting }
    }

    /// Takes the header's or a frame's bytes: an older backup ends behind one of them.
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.position += bytes.len() as u64;
        let there = self.there.as_ref().map_or(0, |there| there.length);
        if self.position > there {
            if self.position - (bytes.len() as u64) < there {
                return Err(self.other());
            }
            self.waiting.extend_from_slice(bytes);
        } else if self.position == there && self.there.as_ref().is_some_and(|there| there.blake3 != self.hash()) {
            return Err(self.other());
        }
        if self.waiting.len() >= CHUNK_BYTES { self.write() } else { Ok(()) }
    }

    fn other(&self) -> Error {
        let what = format!("{} begins with other records there", self.name);
        Error::OtherBackup { path: self.to.path(""), what }
    }

    fn hash(&self) -> Hash {
        Hash(*self.hasher.finalize().as_bytes())
    }

    fn written(&self) -> u64 {
        self.waiting_at + self.waiting.len() as u64 - self.there.as_ref().map_or(0, |there| there.length)
    }

    fn open(&mut self) -> Result<Arc<dyn DiskFile>> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let file = self.to.open(self.name, true).map_err(|source| io("opening", self.to, self.name, source))?;
        Ok(self.file.insert(file).clone())
    }

    fn write(&mut self) -> Result<()> {
        let written = self.open()?.write_at(self.waiting_at, &self.waiting);
        written.map_err(|source| io("writing", self.to, self.name, source))?;
        self.waiting_at += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<SegmentCopy> {
        self.write()?;
        // What an interrupted backup may have left behind goes: no older one reaches that far.
        let ended = self.open()?;
        let ended = ended.set_len(self.length).and_then(|()| ended.sync());
        ended.map_err(|source| io("syncing", self.to, self.name, source))?;
        Ok(SegmentCopy { file: self.name.to_owned(), length: self.length, blake3: self.hash() })
    }
}
