//! The log in order, with the checks that a reader asks for.

use std::{ops::Range, sync::Arc};

use schemas::{Chain, Record, Shard, Timestamp, decode_record, is_canonical};

use super::{
    Locator, ShardHead,
    block::{Block, Unpacker},
    ending::{self, Ending},
    frame::{Meta, Section},
    scan::{Depth, Scan, Step},
    segment::{Header, Tip},
    shared::{Segment, Shared},
};
use crate::{Error, Result};

/// The version of the records' canonical bytes that this release reads.
const RECORD_VERSION: u32 = 1;

/// How much is checked while reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Checksums, the order of frames and records, and that every record decodes.
    Frame,
    /// Also that every record has its canonical bytes, that hashes are those of the records, that
    /// times rise in each shard, that segments' headers agree with what stands before them, and that
    /// nothing but zeros stands behind the end.
    Full,
}

/// One frame, decoded.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Where its first record is; the k-th is `first.nth(k)`.
    pub first: Locator,
    /// Its records: shard 0's, shard 1's, … Of the shards that were asked for.
    pub records: Vec<Record>,
    /// How far each of these shards is behind it.
    pub heads: Vec<(Shard, ShardHead)>,
    /// Its bytes on disk.
    pub stored_bytes: u64,
    /// The bytes of its blocks before compression.
    pub raw_bytes: u64,
}

/// The frames in order. After `None`, it goes on where it ended as soon as the log has grown; after
/// an error it gives nothing more.
pub struct Frames {
    shared: Arc<Shared>,
    check: Check,
    /// Whose records are read. Frames without any are passed over.
    shards: Range<Shard>,
    /// The segment that comes next, or that `scan` is in.
    number: usize,
    current: Option<(Arc<Segment>, Scan)>,
    /// Where to begin inside the first segment, if not at its start.
    from: Option<u64>,
    previous: u32,
    /// Each shard's next sequence, as far as it is known.
    next: Vec<Option<u64>>,
    full: Option<Full>,
    unpacker: Unpacker,
    block: Block,
    /// A spent frame's vector, for the next one.
    spare: Vec<Record>,
    failed: bool,
}

/// What a full check carries along.
struct Full {
    chains: Vec<Chain>,
    tips: Vec<Tip>,
    times: Vec<Option<Timestamp>>,
    zeros_checked: bool,
}

impl Frames {
    pub(super) fn new(shared: Arc<Shared>, check: Check) -> Self {
        let shards = usize::from(shared.shards);
        let full = (check == Check::Full).then(|| Full {
            chains: vec![Chain::new(); shards],
            tips: vec![Tip::default(); shards],
            times: vec![None; shards],
            zeros_checked: false,
        });
        Self {
            shards: 0..shared.shards,
            shared,
            check,
            number: 0,
            current: None,
            from: None,
            previous: 0,
            next: vec![Some(1); shards],
            full,
            unpacker: Unpacker::new(),
            block: Block::default(),
            spare: Vec::new(),
            failed: false,
        }
    }

    /// Only what concerns some neighbouring shards: their records, hashes, sequences and times. What
    /// does not belong to a shard is checked as ever.
    ///
    /// # Panics
    /// If something was read already.
    #[must_use]
    pub fn of_shards(mut self, shards: Range<Shard>) -> Self {
        assert!(self.current.is_none(), "the shards are chosen before anything is read");
        self.shards = shards;
        self
    }

    /// Takes back a frame that nobody needs any more: its vector serves the next one, and its records
    /// are dropped here, which is cheap on the thread that made them.
    pub fn recycle(&mut self, frame: Frame) {
        self.spare = frame.records;
        self.spare.clear();
    }

    /// From the frame at an offset, which the caller has from a [`Locator`].
    pub(super) fn from(shared: Arc<Shared>, offset: u64) -> Self {
        let number = shared.number_at(offset);
        let mut frames = Self::new(shared, Check::Frame);
        frames.next.fill(None);
        // At or beyond the end: whatever comes there.
        frames.number = number.unwrap_or_else(|| frames.shared.last_number());
        frames.from = Some(offset);
        frames
    }

    /// How many bytes of the log are not read yet.
    pub(super) fn left(&self) -> u64 {
        self.shared.end().saturating_sub(self.position().offset())
    }

    /// Where the next frame is or will be.
    pub fn position(&self) -> Locator {
        let place = match (&self.current, self.from) {
            (Some((segment, scan)), _) => segment.base + scan.position(),
            (None, Some(offset)) => offset,
            (None, None) => self.shared.nth(self.number).map_or(0, |(segment, _, _)| segment.base + segment.header),
        };
        Locator::new(place)
    }

    fn step(&mut self) -> Result<Option<Frame>> {
        loop {
            let Some((segment, end, last)) = self.shared.nth(self.number) else { return Ok(None) };
            if self.current.is_none() {
                self.enter(segment.clone())?;
            }
            let (_, scan) = self.current.as_mut().expect("it was just entered");
            match scan.next(end.saturating_sub(segment.base), Depth::Whole)? {
                Step::Frame => {
                    if let Some(frame) = self.frame()? {
                        return Ok(Some(frame));
                    }
                }
                Step::Bad(invalid) => return Err(scan.damaged(invalid)),
                Step::End if last => {
                    let previous = scan.previous().unwrap_or(self.previous);
                    self.check_reserve(&segment, end, previous)?;
                    return Ok(None);
                }
                Step::End => {
                    self.previous = scan.previous().unwrap_or(self.previous);
                    self.current = None;
                    self.number += 1;
                }
            }
        }
    }

    /// Goes to a segment's first frame, or to where the walk is to begin in it.
    fn enter(&mut self, segment: Arc<Segment>) -> Result<()> {
        let scan = match self.from.take() {
            Some(offset) if offset >= segment.base + segment.header => {
                self.shared.scan_from(&segment, offset - segment.base, None)?
            }
            _ => self.shared.scan(&segment)?,
        };
        if let Some(full) = &self.full {
            let disk = &*self.shared.disk;
            let (header, _) = Header::read(disk, &segment.name, &*self.shared.file(&segment)?)?;
            let wrong = |offset, what: &str| Error::damaged(disk.path(&segment.name), offset, what);
            if header.previous != self.previous || header.crc != segment.crc {
                return Err(wrong(20, "the segment does not follow the frame before it"));
            }
            let own = usize::from(self.shards.start)..usize::from(self.shards.end);
            if header.tips[own.clone()] != full.tips[own] {
                return Err(wrong(56, "the segment's header and the records before it differ"));
            }
        }
        self.current = Some((segment, scan));
        Ok(())
    }

    /// Decodes the frame that the walk shows; `None` if no record in it was asked for.
    fn frame(&mut self) -> Result<Option<Frame>> {
        let (segment, scan) = self.current.as_ref().expect("the caller stands in a segment");
        let meta = scan.meta();
        let at = meta.offset - segment.base;
        let damaged = |what: String| Error::damaged(scan.path().clone(), at, what);
        for section in &meta.sections {
            let next = self.next.get_mut(usize::from(section.shard));
            let next = next.ok_or_else(|| damaged(format!("a frame names shard {}", section.shard)))?;
            if self.shards.contains(&section.shard) && next.is_some_and(|next| next != section.first) {
                return Err(damaged(format!("shard {} has a gap before {}", section.shard, section.first)));
            }
            *next = Some(section.last() + 1);
        }
        let asked = |section: &&Section| self.shards.contains(&section.shard);
        let before: u32 = meta.sections.iter().take_while(|s| s.shard < self.shards.start).map(|s| s.count).sum();
        let wanted: u32 = meta.sections.iter().filter(asked).map(|s| s.count).sum();
        if wanted == 0 {
            return Ok(None);
        }
        let wanted = before..before + wanted;
        let mut records = std::mem::take(&mut self.spare);
        records.reserve(wanted.len());
        let mut sections = Sections::new(meta);
        let mut first = 0;
        for block in meta.blocks(scan.frame()) {
            let (entry, stored) = block.map_err(|invalid| damaged(invalid.to_owned()))?;
            let behind = first + entry.records;
            let needed = first < wanted.end && wanted.start < behind;
            if needed {
                self.unpacker.unpack(entry, stored, &mut self.block).map_err(|invalid| damaged(invalid.to_owned()))?;
            }
            let mut n = 0;
            while n < entry.records {
                let (section, sequence, count) = sections.take(entry.records - n);
                let run = n as usize..(n + count) as usize;
                n += count;
                if !self.shards.contains(&section.shard) {
                    continue;
                }
                for (place, sequence) in run.clone().zip(sequence..) {
                    let bytes = self.block.record(place);
                    let record = decode_record(bytes).map_err(|error| undecodable(scan, at, &error))?;
                    if (record.shard, record.sequence) != (section.shard, sequence) {
                        return Err(damaged(format!("record {} stands out of its place", first as usize + place)));
                    }
                    if let Some(full) = &mut self.full {
                        full.record(&record, bytes).map_err(&damaged)?;
                    }
                    records.push(record);
                }
                if let Some(full) = &mut self.full {
                    let last = sequence + u64::from(count) - 1 == section.last();
                    full.run(&self.block, run, section, last.then_some(meta.offset)).map_err(&damaged)?;
                }
            }
            first = behind;
        }
        let head = |s: &Section| (s.shard, ShardHead { sequence: s.last(), hash: s.hash });
        Ok(Some(Frame {
            first: Locator::new(meta.offset).nth(wanted.start),
            records,
            heads: meta.sections.iter().filter(asked).map(head).collect(),
            stored_bytes: u64::from(meta.length),
            raw_bytes: meta.raw(),
        }))
    }

    /// Nothing but zeros or the mark of an end in order stands behind the last frame, which has the crc
    /// `previous`, unless a writer is at work.
    fn check_reserve(&mut self, segment: &Segment, end: u64, previous: u32) -> Result<()> {
        let Some(full) = self.full.as_mut().filter(|full| !full.zeros_checked) else { return Ok(()) };
        // Once is enough, where several read.
        if self.shards.start > 0 {
            return Ok(());
        }
        full.zeros_checked = true;
        let path = self.shared.disk.path(&segment.name);
        let io = |source| Error::Io { doing: "reading the end of", path: path.clone(), source };
        let file = self.shared.file(segment)?;
        let position = end - segment.base;
        let rest = ending::behind(&*self.shared.disk, &segment.name, &*file, 0, (position, end, previous))?;
        let stray = rest.bytes.iter().position(|&byte| byte != 0).filter(|_| rest.ending != Ending::Marked);
        if let Some(stray) = stray
            && !self.shared.disk.is_locked().map_err(io)?
        {
            let what = "something stands behind the last valid frame: a write that was never answered, or damage";
            let advice = "the next command that writes to the ledger tells the two apart, and keeps what it takes off";
            return Err(Error::Damaged { path, offset: position + stray as u64, what: what.to_owned(), advice });
        }
        Ok(())
    }
}

/// The offset of the first byte from `position` on that is not zero.
pub(super) fn first_nonzero(file: &dyn super::DiskFile, position: u64) -> std::io::Result<Option<u64>> {
    let mut chunk = vec![0; 1 << 18];
    let mut at = position;
    loop {
        let read = file.read_at(at, &mut chunk)?;
        if let Some(stray) = chunk[..read].iter().position(|&byte| byte != 0) {
            return Ok(Some(at + stray as u64));
        }
        if read < chunk.len() {
            return Ok(None);
        }
        at += read as u64;
    }
}

impl Full {
    /// What concerns one record. Its place was checked, so its shard is one of this ledger.
    fn record(&mut self, record: &Record, bytes: &[u8]) -> Result<(), String> {
        let name = || format!("record {} of shard {}", record.sequence, record.shard);
        if !is_canonical(record, bytes) {
            return Err(format!("{} has not the bytes that it encodes to", name()));
        }
        let time = &mut self.times[usize::from(record.shard)];
        if time.is_some_and(|time| time >= record.time) {
            return Err(format!("{} is not later than the one before it", name()));
        }
        *time = Some(record.time);
        Ok(())
    }

    /// What concerns neighbours of one section in one block; `ends_in` is the frame's offset where the
    /// section ends with them. Hashing long runs is what makes it cheap.
    fn run(&mut self, block: &Block, run: Range<usize>, section: &Section, ends_in: Option<u64>) -> Result<(), String> {
        let shard = usize::from(section.shard);
        let chain = &mut self.chains[shard];
        let mut start = run.start;
        while start < run.end {
            let room = usize::try_from(chain.room()).expect("a block of the chain has few records");
            let end = run.end.min(start + room);
            chain.push(block.run(start..end), (end - start) as u64);
            start = end;
        }
        let Some(offset) = ends_in else { return Ok(()) };
        if chain.hash() != section.hash {
            let (shard, sequence) = (section.shard, section.last());
            return Err(format!("the hash behind record {sequence} of shard {shard} differs from that of the records"));
        }
        self.tips[shard].take(offset, section.count, section.hash, chain.block());
        Ok(())
    }
}

/// Gives each record of a frame, in order, its section and sequence.
pub(super) struct Sections<'a> {
    behind: std::slice::Iter<'a, Section>,
    current: &'a Section,
    taken: u32,
}

impl<'a> Sections<'a> {
    pub fn new(meta: &'a Meta) -> Self {
        let mut behind = meta.sections.iter();
        let current = behind.next().expect("a frame has a section");
        Self { behind, current, taken: 0 }
    }

    /// For the next record, of which the frame's tables agree how many there are.
    pub fn next(&mut self) -> (&'a Section, u64) {
        let (section, sequence, _) = self.take(1);
        (section, sequence)
    }

    /// For the next records of one section, at most `most`: the sequence of the first, and how many.
    pub fn take(&mut self, most: u32) -> (&'a Section, u64, u32) {
        if self.taken == self.current.count {
            self.current = self.behind.next().expect("a frame's tables agree on its records");
            self.taken = 0;
        }
        let count = most.min(self.current.count - self.taken);
        let sequence = self.current.first + u64::from(self.taken);
        self.taken += count;
        (self.current, sequence, count)
    }
}

/// The error for bytes that do not decode, in the frame at a position.
pub(super) fn undecodable(scan: &Scan, position: u64, error: &schemas::DecodeError) -> Error {
    not_a_record(scan.path().clone(), position, error)
}

pub(super) fn not_a_record(path: std::path::PathBuf, position: u64, error: &schemas::DecodeError) -> Error {
    match error {
        schemas::DecodeError::NewerVersion(found) => {
            Error::NewerVersion { path, found: u32::from(*found), supported: RECORD_VERSION }
        }
        other => Error::damaged(path, position, other.to_string()),
    }
}

impl Iterator for Frames {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Result<Frame>> {
        if self.failed {
            return None;
        }
        let frame = self.step();
        self.failed = frame.is_err();
        frame.transpose()
    }
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frames").field("check", &self.check).field("position", &self.position()).finish_non_exhaustive()
    }
}
