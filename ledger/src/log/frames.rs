//! The log in order, with the checks that a reader asks for.

use std::sync::Arc;

use schemas::{Hash, Record, Shard, Timestamp, decode_record, encode_record};

use super::{
    Locator, ShardHead,
    block::{Block, Unpacker},
    chain::Chain,
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
    /// Its records: shard 0's, shard 1's, …
    pub records: Vec<Record>,
    /// How far each shard in it is behind it.
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
    failed: bool,
}

/// What a full check carries along.
struct Full {
    chains: Vec<Chain>,
    tips: Vec<Tip>,
    times: Vec<Option<Timestamp>>,
    encoded: Vec<u8>,
    zeros_checked: bool,
}

impl Frames {
    pub(super) fn new(shared: Arc<Shared>, check: Check) -> Self {
        let shards = usize::from(shared.shards);
        let full = (check == Check::Full).then(|| Full {
            chains: vec![Chain::after_block(Hash::default()); shards],
            tips: vec![Tip::default(); shards],
            times: vec![None; shards],
            encoded: Vec::new(),
            zeros_checked: false,
        });
        Self {
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
            failed: false,
        }
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
                Step::Frame => return self.frame().map(Some),
                Step::Bad(invalid) => return Err(scan.damaged(invalid)),
                Step::End if last => {
                    self.check_reserve(&segment, end)?;
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
            if header.tips != full.tips {
                return Err(wrong(56, "the segment's header and the records before it differ"));
            }
        }
        self.current = Some((segment, scan));
        Ok(())
    }

    /// Decodes the frame that the walk shows.
    fn frame(&mut self) -> Result<Frame> {
        let (segment, scan) = self.current.as_ref().expect("the caller stands in a segment");
        let meta = scan.meta();
        let at = meta.offset - segment.base;
        let damaged = |what: String| Error::damaged(scan.path().clone(), at, what);
        let mut records = Vec::with_capacity(meta.records() as usize);
        let mut sections = Sections::new(meta);
        for block in meta.blocks(scan.frame()) {
            let (entry, stored) = block.map_err(|invalid| damaged(invalid.to_owned()))?;
            self.unpacker.unpack(entry, stored, &mut self.block).map_err(|invalid| damaged(invalid.to_owned()))?;
            for bytes in self.block.records() {
                let (section, sequence) = sections.next();
                let record = decode_record(bytes).map_err(|error| undecodable(scan, at, &error))?;
                if (record.shard, record.sequence) != (section.shard, sequence) {
                    return Err(damaged(format!("record {} stands out of its place", records.len())));
                }
                if let Some(full) = &mut self.full {
                    full.record(&record, bytes, sequence == section.last(), section).map_err(&damaged)?;
                }
                records.push(record);
            }
        }
        for section in &meta.sections {
            let next = self.next.get_mut(usize::from(section.shard));
            let next = next.ok_or_else(|| damaged(format!("a frame names shard {}", section.shard)))?;
            if next.is_some_and(|next| next != section.first) {
                return Err(damaged(format!("shard {} has a gap before {}", section.shard, section.first)));
            }
            *next = Some(section.last() + 1);
            if let Some(full) = &mut self.full {
                full.section(meta.offset, section);
            }
        }
        let head = |s: &Section| (s.shard, ShardHead { sequence: s.last(), hash: s.hash });
        Ok(Frame {
            first: Locator::new(meta.offset),
            records,
            heads: meta.sections.iter().map(head).collect(),
            stored_bytes: u64::from(meta.length),
            raw_bytes: meta.raw(),
        })
    }

    /// Nothing but zeros stands behind the end, unless a writer is at work.
    fn check_reserve(&mut self, segment: &Segment, end: u64) -> Result<()> {
        let Some(full) = self.full.as_mut().filter(|full| !full.zeros_checked) else { return Ok(()) };
        full.zeros_checked = true;
        let path = self.shared.disk.path(&segment.name);
        let io = |source| Error::Io { doing: "reading the end of", path: path.clone(), source };
        let file = self.shared.file(segment)?;
        let position = end - segment.base;
        if let Some(stray) = first_nonzero(&*file, position).map_err(io)?
            && !self.shared.disk.is_locked().map_err(io)?
        {
            let what = "something stands behind the last valid frame: a write that was never answered, or damage";
            let advice =
                "the next command that writes tells the two apart, and keeps what it cuts: giftledger append /dev/null";
            return Err(Error::Damaged { path, offset: stray, what: what.to_owned(), advice });
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
    fn record(&mut self, record: &Record, bytes: &[u8], last: bool, section: &Section) -> Result<(), String> {
        let name = || format!("record {} of shard {}", record.sequence, record.shard);
        let shard = usize::from(record.shard);
        if shard >= self.chains.len() {
            return Err(format!("{} is of no shard of this ledger", name()));
        }
        self.encoded.clear();
        encode_record(record, &mut self.encoded);
        if self.encoded != bytes {
            return Err(format!("{} has not the bytes that it encodes to", name()));
        }
        if self.times[shard].is_some_and(|time| time >= record.time) {
            return Err(format!("{} is not later than the one before it", name()));
        }
        self.times[shard] = Some(record.time);
        self.chains[shard].push(bytes, 1);
        if last && self.chains[shard].hash() != section.hash {
            return Err(format!("the hash behind {} differs from that of the records", name()));
        }
        Ok(())
    }

    fn section(&mut self, offset: u64, section: &Section) {
        let shard = usize::from(section.shard);
        self.tips[shard].take(offset, section.count, section.hash, self.chains[shard].block());
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
        if self.taken == self.current.count {
            self.current = self.behind.next().expect("a frame's tables agree on its records");
            self.taken = 0;
        }
        self.taken += 1;
        (self.current, self.current.first + u64::from(self.taken) - 1)
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
