//! The one writer: reserve before deciding, then append frame by frame, each synced before anybody
//! hears of it.

use std::{fmt, sync::Arc};

use schemas::{Chain, Shard};

use super::{
    Batch, Disk, DiskFile, Head, Locator, Options, Reader, Recovery,
    disk::{FileId, LockGuard},
    encoder::{self, Encoder},
    position::{self, Stated},
    recovery,
    segment::{self, Header, SPARE, Tip},
    shared::{Segment, Shared},
};
use crate::{Error, Result, error::no_room};

/// Frames below this are waited for, so they go where zeros were written before: fdatasync takes
/// 88 µs there, and 150 µs where space was only reserved.
const SMALL_FRAME_BYTES: u64 = 64 * 1024;
/// How far ahead zeros are written.
static ZERO_AHEAD: [u8; 1 << 20] = [0; 1 << 20];
/// What one batch may hold: below, a frame could not even take one large record or a few small ones;
/// above, its length would not fit in 32 bits.
const FRAME_LIMITS: std::ops::RangeInclusive<usize> = 4096..=1 << 30;

/// The log, held by its one writer.
pub struct Log {
    shared: Arc<Shared>,
    /// Until the log is closed.
    lock: Option<LockGuard>,
    encoder: Encoder,
    chains: Vec<Chain>,
    tips: Vec<Tip>,
    tail: Tail,
    /// The crc that the next frame names.
    previous: u32,
    /// The next segment, reserved.
    spare: Option<Arc<dyn DiskFile>>,
    segment_bytes: u64,
    /// The most bytes of a frame.
    largest: u64,
    /// Whether it is on record that the ledger is not closed any more.
    begun: bool,
    /// Set while something is written, so that it stays set when that fails.
    stopped: bool,
    stats: Stats,
}

/// The segment that is written. Positions are in its file.
struct Tail {
    segment: Arc<Segment>,
    file: Arc<dyn DiskFile>,
    /// Which file it is, as long as it is written.
    id: FileId,
    /// The end of the last frame.
    position: u64,
    /// How far space is reserved.
    reserved: u64,
    /// How far it will be: the file's length while it is written, as its header says or more.
    size: u64,
    /// How far zeros were written, if beyond `position`.
    zeroed: u64,
}

/// What the log has asked of the disk since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Bytes written, zeros included.
    pub bytes: u64,
    /// Bytes of frames among them.
    pub frame_bytes: u64,
    /// Syncs of files and folders.
    pub syncs: u64,
    /// Segments that were sealed.
    pub segments: u64,
}

impl Log {
    /// Opens a ledger's log to write it, or makes one in an empty folder, and reports what it found.
    ///
    /// # Errors
    /// [`Error::Locked`] if somebody writes it already; [`Error::Damaged`], [`Error::BehindStored`],
    /// [`Error::HashMismatch`] or [`Error::ForeignLineage`] if it is not what was once answered for;
    /// [`Error::NotALedger`], [`Error::OtherShards`], [`Error::NewerVersion`], [`Error::BadOptions`], [`Error::Io`].
    #[expect(clippy::needless_pass_by_value, reason = "whoever opens a disk gives it away")]
    pub fn open(disk: Arc<dyn Disk>, options: &Options) -> Result<(Self, Recovery)> {
        if !FRAME_LIMITS.contains(&options.max_frame_bytes)
            || !options.shards.is_none_or(|shards| (1..=Options::MAX_SHARDS).contains(&shards))
        {
            let most = Options::MAX_SHARDS;
            let what = format!("max_frame_bytes lies within {FRAME_LIMITS:?}, and there are 1 to {most} shards");
            return Err(Error::BadOptions { what });
        }
        let found = recovery::open(&disk, options)?;
        let io = |source| Error::Io { doing: "looking at", path: disk.path(&found.segment.name), source };
        let id = found.file.id().map_err(io)?;
        let shards = found.shared.shards;
        let largest = encoder::max_frame(shards, options.max_frame_bytes) as u64;
        let segment_bytes = options.segment_bytes(shards, found.shared.cuts.len());
        let size = segment_bytes.max(found.segment.reserved);
        let log = Self {
            lock: Some(found.lock),
            encoder: Encoder::new(options.max_frame_bytes),
            chains: found.chains,
            tips: found.tips,
            tail: Tail {
                segment: found.segment,
                file: found.file,
                id,
                position: found.position,
                reserved: found.position,
                size,
                zeroed: 0,
            },
            previous: found.previous,
            spare: None,
            segment_bytes,
            largest,
            begun: false,
            stopped: false,
            stats: Stats::default(),
            shared: found.shared,
        };
        Ok((log, found.report))
    }

    /// Sees to it that two more of the largest batches fit on the disk: one that is being decided, and
    /// one that is being written. To be called before anything is decided.
    ///
    /// # Errors
    /// [`Error::Full`] if there is no space; nothing has changed then, and it can be tried again.
    pub fn ensure_room(&mut self) -> Result<()> {
        self.check()?;
        self.begin()?;
        if self.tail.reserved < self.tail.size {
            let (file, bytes) = (self.tail.file.clone(), self.tail.size);
            let before = file.len().map_err(|source| self.io("looking at", &self.tail.segment.name, source))?;
            // The length is durable before a frame is: one that is shorter than its header says was cut.
            let reserved = file.allocate(bytes).and_then(|()| file.sync());
            if let Err(source) = reserved {
                // Gives back what was taken before the space ran out; if even that fails, it is zeros.
                drop(file.set_len(before));
                return Err(self.refused(&self.tail.segment.name, bytes, source));
            }
            self.stats.syncs += 1;
            self.erase_mark()?;
            self.tail.reserved = bytes;
        }
        let left = self.tail.size.saturating_sub(self.tail.position);
        if left < 2 * self.largest && self.spare.is_none() {
            self.reserve_spare()?;
        }
        Ok(())
    }

    /// Takes away the mark of the last end in order, once the reserve stands for it. Or it would be left behind
    /// the end of a full segment, if the power goes before that has lost its reserve.
    fn erase_mark(&mut self) -> Result<()> {
        let tail = &self.tail;
        let mark = segment::mark(self.previous, tail.segment.base + tail.position);
        let mut found = mark.map(|_| 0);
        let read = tail.file.read_at(tail.position, &mut found);
        if read.is_ok() && found != mark {
            return Ok(());
        }
        self.stopped = true; // it stays so if that fails: what of it is durable nobody knows then
        let erased = read.and_then(|_| tail.file.write_at(tail.position, &mark.map(|_| 0)));
        let erased = erased.and_then(|()| tail.file.sync());
        erased.map_err(|source| self.io("beginning behind the end of", &tail.segment.name, source))?;
        self.stopped = false;
        self.stats.syncs += 1;
        Ok(())
    }

    /// Appends the next records of each shard as one frame, and returns when it is
    /// durable: the place of the first record, shard 0's before shard 1's and so on; the k-th is
    /// `.nth(k)`. An empty batch touches nothing.
    ///
    /// # Errors
    /// After any error the log takes nothing more ([`Error::Stopped`]): whether the batch is on disk
    /// is found out by the next start. [`Error::TooLarge`], [`Error::Full`], [`Error::Io`].
    ///
    /// # Panics
    /// If a record is not the next of its shard: the caller counts wrong.
    pub fn append(&mut self, batch: &Batch) -> Result<Locator> {
        self.check()?;
        self.is_ours()?;
        assert!(batch.shards() <= self.shards(), "a batch for {} of {} shards", batch.shards(), self.shards());
        if batch.is_empty() {
            return Ok(Locator::new(self.shared.end()));
        }
        self.stopped = true;
        let offset = self.write(batch)?;
        self.stopped = false;
        Ok(Locator::new(offset))
    }

    /// How far the log is: all of it durable.
    pub fn head(&self) -> Head {
        self.shared.head()
    }

    /// The number of shards.
    pub fn shards(&self) -> Shard {
        self.shared.shards
    }

    /// A reader that sees what this writer has made durable, as it goes on.
    pub fn reader(&self) -> Reader {
        Reader::new(self.shared.clone())
    }

    /// See [`Reader::store_position`].
    ///
    /// # Errors
    /// The same.
    pub fn store_position(&self, name: &str, position: &Head) -> Result<()> {
        self.reader().store_position(name, position)
    }

    /// Ends in order: marks the end, gives back the reserve, stores the end as the position "head", and lets go of
    /// the lock; it takes nothing more. Without it the next start just has more to look at.
    pub fn close(&mut self) -> Result<()> {
        self.check()?;
        self.is_ours()?;
        self.stopped = true;
        self.mark()?;
        if self.spare.take().is_some() {
            let disk = &self.shared.disk;
            let removed = disk.remove(SPARE).and_then(|()| disk.sync_dir(segment::FOLDER));
            removed.map_err(|source| self.io("removing", SPARE, source))?;
        }
        self.store_head(true)?;
        self.lock = None;
        Ok(())
    }

    /// What was asked of the disk.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Encodes, seals the segment if need be, writes and syncs one frame, and moves on.
    fn write(&mut self, batch: &Batch) -> Result<u64> {
        let tips = &self.tips;
        self.encoder.encode(batch, &mut self.chains, |shard| tips[usize::from(shard)].head.sequence + 1)?;
        let length = self.encoder.length() as u64;
        self.begin()?;
        // At least one byte of the reserve stays, so that a full segment is not taken for one that was cut.
        if self.tail.position + length >= self.tail.size {
            self.seal()?;
        }
        let tail = &mut self.tail;
        let end = tail.position + length;
        let offset = tail.segment.base + tail.position;
        let (meta, frame) = self.encoder.finish(offset, self.previous);
        let mut written = Ok(());
        if length < SMALL_FRAME_BYTES && end > tail.zeroed {
            let zeros = &ZERO_AHEAD[..usize::try_from(tail.reserved.saturating_sub(end))
                .map_or(ZERO_AHEAD.len(), |left| left.min(ZERO_AHEAD.len()))];
            written = tail.file.write_at(end, zeros);
            tail.zeroed = end + zeros.len() as u64;
            self.stats.bytes += zeros.len() as u64;
        }
        let written = written.and_then(|()| tail.file.write_at(tail.position, frame)).and_then(|()| tail.file.sync());
        if let Err(source) = written {
            return Err(self.io("writing a frame to", &self.tail.segment.name, source));
        }
        for section in &meta.sections {
            let shard = usize::from(section.shard);
            self.tips[shard].take(offset, section.count, section.hash, self.chains[shard].block());
        }
        self.previous = meta.crc;
        tail.position = end;
        tail.reserved = tail.reserved.max(end);
        self.stats.bytes += length;
        self.stats.frame_bytes += length;
        self.stats.syncs += 1;
        self.shared.advance(offset + length, &meta.sections);
        Ok(offset)
    }

    /// Takes back that the ledger was closed, before anything is written.
    fn begin(&mut self) -> Result<()> {
        if !self.begun {
            self.store_head(false).map_err(|error| match error {
                Error::Io { path, source, .. } if no_room(&source) => Error::Full { path, needed: 0, source },
                other => other,
            })?;
            self.begun = true;
        }
        Ok(())
    }

    /// Stores the log's own position, and whether it is closed there.
    fn store_head(&self, closed: bool) -> Result<()> {
        let stated = Stated { head: self.head(), former: self.shared.former(), closed };
        position::store(&*self.shared.disk, position::HEAD, &stated)
    }

    /// Ends this segment and begins the next one, in an order that leaves a valid log at every step: the new
    /// header is durable before the file has its name, and that before the old segment loses its reserve. So
    /// the last segment always has one.
    fn seal(&mut self) -> Result<()> {
        if self.spare.is_none() {
            self.reserve_spare()?;
        }
        self.erase_mark()?; // of a segment that was longer than this writer's before it was opened
        let file = self.spare.take().expect("it was just reserved");
        let base = self.tail.segment.base + self.tail.position;
        let (lineage, cuts) = (self.shared.lineage, self.shared.cuts.clone());
        let (previous, tips, reserved) = (self.previous, self.tips.clone(), self.segment_bytes);
        let mut header = Header { crc: 0, previous, lineage, base, reserved, tips, cuts };
        let bytes = header.write();
        let begun = file.write_at(0, &bytes).and_then(|()| file.sync()).and_then(|()| file.id());
        let id = begun.map_err(|source| self.io("beginning a segment in", SPARE, source))?;
        let (disk, name) = (&self.shared.disk, segment::name(base));
        let named = disk.rename(SPARE, &name).and_then(|()| disk.sync_dir(segment::FOLDER));
        named.map_err(|source| self.io("beginning the segment", &name, source))?;
        self.trim()?;
        self.stats.bytes += bytes.len() as u64;
        self.stats.syncs += 2;
        self.stats.segments += 1;
        let position = bytes.len() as u64;
        let segment = Arc::new(Segment::new(&header, position));
        self.shared.begin(segment.clone());
        self.previous = header.crc;
        let size = self.segment_bytes;
        self.tail = Tail { segment, file, id, position, reserved: size, size, zeroed: 0 };
        Ok(())
    }

    /// Cuts the reserve off the last segment.
    fn trim(&mut self) -> Result<()> {
        let tail = &self.tail;
        let trimmed = tail.file.set_len(tail.position).and_then(|()| tail.file.sync());
        trimmed.map_err(|source| self.io("giving back the reserve of", &tail.segment.name, source))?;
        self.stats.syncs += 1;
        Ok(())
    }

    /// Leaves the mark of an end in order, then gives back the reserve behind it.
    fn mark(&mut self) -> Result<()> {
        let tail = &self.tail;
        let mark = segment::mark(self.previous, tail.segment.base + tail.position);
        let marked = tail.file.write_at(tail.position, &mark).and_then(|()| tail.file.sync());
        let marked = marked.and_then(|()| tail.file.set_len(tail.position + mark.len() as u64));
        let marked = marked.and_then(|()| tail.file.sync());
        marked.map_err(|source| self.io("ending", &tail.segment.name, source))?;
        self.stats.syncs += 2;
        Ok(())
    }

    /// Reserves the next segment, or leaves everything as it was.
    fn reserve_spare(&mut self) -> Result<()> {
        let (disk, bytes) = (&self.shared.disk, self.segment_bytes);
        let reserved = disk.open(SPARE, true).and_then(|file| {
            file.set_len(0)?;
            file.allocate(bytes).map(|()| file)
        });
        match reserved {
            Ok(file) => {
                self.spare = Some(file);
                Ok(())
            }
            Err(source) => {
                drop(disk.remove(SPARE)); // if that fails too, the next attempt begins with it
                Err(self.refused(SPARE, bytes, source))
            }
        }
    }

    fn check(&self) -> Result<()> {
        if self.stopped { Err(Error::Stopped { path: self.shared.disk.path("") }) } else { Ok(()) }
    }

    /// Refuses to write to a file that is not, or no longer, the one of its name: whoever starts next would
    /// not find what is written there.
    fn is_ours(&mut self) -> Result<()> {
        let (disk, name) = (&self.shared.disk, &self.tail.segment.name);
        let same = disk.id_of(name).map(|found| found == Some(self.tail.id));
        match same {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.stopped = true;
                Err(Error::Replaced { path: disk.path(name) })
            }
            Err(source) => {
                self.stopped = true;
                Err(self.io("looking at", name, source))
            }
        }
    }

    fn io(&self, doing: &'static str, name: &str, source: std::io::Error) -> Error {
        Error::Io { doing, path: self.shared.disk.path(name), source }
    }

    /// The error for a reservation.
    fn refused(&self, name: &str, needed: u64, source: std::io::Error) -> Error {
        if no_room(&source) {
            Error::Full { path: self.shared.disk.path(name), needed, source }
        } else {
            self.io("reserving space for", name, source)
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("disk", &self.shared.disk).field("stopped", &self.stopped).finish_non_exhaustive()
    }
}
