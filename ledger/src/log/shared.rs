//! What one writer and its readers share: the segments, and the end up to which the log is durable.
//! Only what is durable is ever read, so readers need no other lock.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use schemas::Shard;
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    Head, Locator, ShardHead,
    disk::{Disk, DiskFile, UNFINISHED},
    find::Marks,
    frame::Section,
    frames::first_nonzero,
    scan::Scan,
    segment::{self, Header, LineageCut, LineageFault, Tip},
};
use crate::{Error, Result};

/// The log as its readers see it.
#[derive(Debug)]
pub(super) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub lineage: Uuid,
    /// The lineages before, the oldest first.
    pub cuts: Vec<LineageCut>,
    pub shards: Shard,
    durable: RwLock<Durable>,
    /// Tells whoever waits for more that there is more: how far the log is durable.
    moved: watch::Sender<u64>,
}

#[derive(Debug)]
struct Durable {
    segments: Vec<Arc<Segment>>,
    /// The offset behind the last durable frame.
    end: u64,
    heads: Vec<ShardHead>,
}

/// A segment file.
#[derive(Debug)]
pub(super) struct Segment {
    pub name: String,
    /// Its offset in the log.
    pub base: u64,
    /// Its header's bytes and crc.
    pub header: u64,
    pub crc: u32,
    /// What is reserved of it while it is written.
    pub reserved: u64,
    /// Each shard's last sequence before it.
    pub before: Vec<u64>,
    /// For look-ups by sequence; made when they are first needed.
    pub marks: Mutex<Marks>,
}

impl Segment {
    pub fn new(header: &Header, bytes: u64) -> Self {
        Self {
            name: segment::name(header.base),
            base: header.base,
            header: bytes,
            crc: header.crc,
            reserved: header.reserved,
            before: header.tips.iter().map(|tip| tip.head.sequence).collect(),
            marks: Mutex::default(),
        }
    }
}

impl Shared {
    /// A log whose durable end is where its last segment begins.
    pub fn new(disk: Arc<dyn Disk>, segments: Vec<Arc<Segment>>, last: &Header) -> Self {
        let tail = segments.last().expect("a log has a segment");
        let end = tail.base + tail.header;
        let heads = last.tips.iter().map(|tip| tip.head).collect();
        let shards = Shard::try_from(last.tips.len()).expect("a header holds 16 bits of shards");
        let (lineage, cuts) = (last.lineage, last.cuts.clone());
        let durable = RwLock::new(Durable { segments, end, heads });
        Self { disk, lineage, cuts, shards, durable, moved: watch::Sender::new(end) }
    }

    /// The error for a position, in the file at `path`, that has another lineage.
    pub fn foreign(&self, path: std::path::PathBuf, found: Uuid) -> Error {
        let expected = self.lineage;
        if self.cuts.iter().any(|cut| cut.lineage == found) {
            Error::FormerLineage { path, expected, found }
        } else {
            Error::ForeignLineage { path, expected, found }
        }
    }

    /// The lineages before, the oldest first.
    pub fn former(&self) -> Vec<Uuid> {
        self.cuts.iter().map(|cut| cut.lineage).collect()
    }

    /// The same as it is now: it stands still while the log goes on.
    pub fn standing(&self) -> Self {
        self.read(|durable| {
            let durable =
                Durable { segments: durable.segments.clone(), end: durable.end, heads: durable.heads.clone() };
            let (lineage, cuts, shards) = (self.lineage, self.cuts.clone(), self.shards);
            let moved = watch::Sender::new(durable.end);
            Self { disk: Arc::clone(&self.disk), lineage, cuts, shards, durable: RwLock::new(durable), moved }
        })
    }

    /// The durable head.
    pub fn head(&self) -> Head {
        Head { lineage: self.lineage, shards: self.read(|durable| durable.heads.clone()) }
    }

    /// One shard of the durable head.
    pub fn shard_head(&self, shard: Shard) -> Option<ShardHead> {
        self.read(|durable| durable.heads.get(usize::from(shard)).copied())
    }

    /// The offset behind the last durable frame.
    pub fn end(&self) -> u64 {
        self.read(|durable| durable.end)
    }

    /// Moves the durable end behind a frame.
    pub fn advance(&self, end: u64, sections: &[Section]) {
        self.write(|durable| {
            durable.end = end;
            for section in sections {
                durable.heads[usize::from(section.shard)] = ShardHead { sequence: section.last(), hash: section.hash };
            }
        });
        self.moved.send_replace(end);
    }

    /// Changes with every frame that became durable.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// Begins a segment right behind the durable end.
    pub fn begin(&self, segment: Arc<Segment>) {
        self.write(|durable| {
            durable.end = segment.base + segment.header;
            durable.segments.push(segment);
        });
    }

    /// The n-th segment, the offset behind its last durable frame, and whether it is the last.
    pub fn nth(&self, n: usize) -> Option<(Arc<Segment>, u64, bool)> {
        self.read(|durable| {
            let segment = durable.segments.get(n)?.clone();
            let next = durable.segments.get(n + 1);
            Some((segment, next.map_or(durable.end, |next| next.base), next.is_none()))
        })
    }

    /// The offset where the last segment begins, and how many records stand before it.
    pub fn sealed(&self) -> (u64, u64) {
        self.read(|durable| {
            let last = &durable.segments[durable.segments.len() - 1];
            (last.base, last.before.iter().sum())
        })
    }

    /// The number of the last segment.
    pub fn last_number(&self) -> usize {
        self.read(|durable| durable.segments.len() - 1)
    }

    /// The number of the segment that holds an offset below the durable end.
    pub fn number_at(&self, offset: u64) -> Option<usize> {
        self.read(|durable| {
            let number = durable.segments.partition_point(|segment| segment.base <= offset).checked_sub(1)?;
            (offset < durable.end).then_some(number)
        })
    }

    /// Where the frame stands that holds a place, or that follows it where a segment ends there. `None` at the
    /// durable end.
    pub fn frame_at(&self, at: Locator) -> Option<Locator> {
        self.read(|durable| {
            let number = durable.segments.partition_point(|segment| segment.base <= at.offset()).checked_sub(1)?;
            let segment = &durable.segments[number];
            let begin = segment.base + segment.header;
            let at = if at.offset() < begin { Locator::new(begin) } else { at };
            (at.offset() < durable.end).then_some(at)
        })
    }

    /// The number of the segment that holds a sequence which the shard has reached.
    pub fn number_of(&self, shard: Shard, sequence: u64) -> usize {
        let shard = usize::from(shard);
        let behind = |segment: &Arc<Segment>| segment.before[shard] < sequence;
        self.read(|durable| durable.segments.partition_point(behind)).saturating_sub(1)
    }

    /// Opens a segment's file to read it.
    pub fn file(&self, segment: &Segment) -> Result<Arc<dyn DiskFile>> {
        self.disk.open(&segment.name, false).map_err(|source| Error::Io {
            doing: "opening",
            path: self.disk.path(&segment.name),
            source,
        })
    }

    /// A walk over a segment from its first frame.
    pub fn scan(&self, segment: &Segment) -> Result<Scan> {
        self.scan_from(segment, segment.header, Some(segment.crc))
    }

    /// A walk over a segment from a frame inside.
    pub fn scan_from(&self, segment: &Segment, position: u64, previous: Option<u32>) -> Result<Scan> {
        let path = self.disk.path(&segment.name);
        Ok(Scan::new(self.file(segment)?, path, segment.base, position, previous))
    }

    fn read<T>(&self, f: impl FnOnce(&Durable) -> T) -> T {
        // No code that can panic half-way runs under this lock, so it is sound even if poisoned.
        f(&self.durable.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, f: impl FnOnce(&mut Durable) -> T) -> T {
        f(&mut self.durable.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The segments of a folder, in order.
pub(super) struct Listed {
    pub segments: Vec<Arc<Segment>>,
    /// The header of the last.
    pub last: Header,
    /// Those that still have their reserve though others follow, with the length that they should have: a
    /// seal did not come to its end.
    pub untrimmed: Vec<(String, u64)>,
}

/// Lists the segments of a folder. `None` where there is no log yet.
pub(super) fn segments(disk: &dyn Disk) -> Result<Option<Listed>> {
    let io = |doing, name: &str, source| Error::Io { doing, path: disk.path(name), source };
    let mut bases = Vec::new();
    for file in disk.list(segment::FOLDER).map_err(|source| io("listing", segment::FOLDER, source))? {
        match segment::base_of(&file) {
            Some(base) => bases.push(base),
            None if file.ends_with(UNFINISHED) => {}
            None => return Err(Error::NotALedger { path: disk.path(&format!("{}/{file}", segment::FOLDER)) }),
        }
    }
    let mut segments: Vec<Arc<Segment>> = Vec::with_capacity(bases.len());
    let (mut last, mut untrimmed): (Option<Header>, Vec<(String, u64)>) = (None, Vec::new());
    if bases.first().is_some_and(|&first| first != 0) {
        return Err(Error::damaged(disk.path(&segment::name(0)), 0, "the log's first segment is missing"));
    }
    for (n, &base) in bases.iter().enumerate() {
        let name = segment::name(base);
        let file = disk.open(&name, false).map_err(|source| io("opening", &name, source))?;
        let (header, bytes) = Header::read(disk, &name, &*file)?;
        check_header(disk, &name, &header, base, last.as_ref())?;
        if let Some(next) = bases.get(n + 1) {
            let length = file.len().map_err(|source| io("looking at the length of", &name, source))?;
            let expected = next - base;
            let stray = first_nonzero(&*file, expected).map_err(|source| io("reading", &name, source))?;
            if length < expected || stray.is_some() {
                let what = "this segment does not end where the next one begins: one was cut, changed or is missing";
                return Err(Error::damaged(disk.path(&name), length.min(expected), what));
            }
            if length > expected {
                untrimmed.push((name, expected));
            }
        }
        segments.push(Arc::new(Segment::new(&header, bytes)));
        last = Some(header);
    }
    Ok(last.map(|last| Listed { segments, last, untrimmed }))
}

fn check_header(disk: &dyn Disk, name: &str, header: &Header, base: u64, last: Option<&Header>) -> Result<()> {
    if header.base != base {
        return Err(Error::damaged(disk.path(name), 40, "the segment names another place: the file was renamed"));
    }
    let Some(last) = last else { return Ok(()) };
    match header.check_lineage(last) {
        Ok(()) => {}
        Err(LineageFault::Foreign) => {
            let (expected, found) = (last.lineage, header.lineage);
            return Err(Error::ForeignLineage { path: disk.path(name), expected, found });
        }
        Err(LineageFault::OtherCuts) => {
            return Err(Error::damaged(disk.path(name), 50, "the segment names other cuts than the one before it"));
        }
    }
    let rises = |(now, before): (&Tip, &Tip)| now.head.sequence >= before.head.sequence;
    if header.tips.len() != last.tips.len() || !header.tips.iter().zip(&last.tips).all(rises) {
        return Err(Error::damaged(disk.path(name), 48, "the segment does not follow the one before it"));
    }
    Ok(())
}
