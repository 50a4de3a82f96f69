//! A walk over segments and frames that checks that each continues what came before, without
//! decoding a record: what a start, a backup, a restore and a repair go by.

use std::sync::Arc;

use schemas::{Chain, Hash, Shard};
use uuid::Uuid;

use super::{
    Disk, Head, Reader,
    block::{Block, Unpacker},
    frame::Meta,
    frames::Sections,
    scan::{Depth, Scan, Step},
    segment::{self, Header, LineageFault, Tip},
    shared::{Segment, Shared},
};
use crate::{Error, Result};

/// The tips and hash chains of all shards, moved on frame by frame.
pub(super) struct Running {
    pub tips: Vec<Tip>,
    pub chains: Vec<Chain>,
    unpacker: Unpacker,
    block: Block,
    /// Positions whose hash somebody wants to know, and those that were passed with it.
    watched: Vec<(Shard, u64)>,
    pub passed: Vec<((Shard, u64), Hash)>,
}

impl Running {
    fn new(tips: Vec<Tip>, chains: Vec<Chain>) -> Self {
        let (unpacker, block) = (Unpacker::new(), Block::default());
        Self { tips, chains, unpacker, block, watched: Vec::new(), passed: Vec::new() }
    }

    /// Before the first record.
    pub fn start(shards: usize) -> Self {
        Self::new(vec![Tip::default(); shards], vec![Chain::after_block(Hash::default()); shards])
    }

    /// Where a segment's header says that the shards stood, which the records before it must agree to.
    pub fn resume(shared: &Arc<Shared>, segment: &Segment, tips: Vec<Tip>) -> Result<Self> {
        let mut reader = Reader::new(shared.clone());
        let chains: Result<Vec<Chain>> =
            (0..).zip(&tips).map(|(shard, tip)| reader.resume(shard, tip, segment)).collect();
        Ok(Self::new(tips, chains?))
    }

    /// Takes the frame that a scan shows, and checks its hashes.
    pub fn take(&mut self, scan: &Scan) -> Result<()> {
        let meta: &Meta = scan.meta();
        let position = scan.position() - u64::from(meta.length);
        let damaged = |invalid| Error::damaged(scan.path().clone(), position, invalid);
        let watched = |&(shard, sequence): &(Shard, u64)| {
            meta.sections.iter().any(|s| s.shard == shard && (s.first..=s.last()).contains(&sequence))
        };
        let watched: Vec<(Shard, u64)> = self.watched.iter().copied().filter(watched).collect();
        let mut sections = Sections::new(meta);
        for block in meta.blocks(scan.frame()) {
            let (entry, stored) = block.map_err(damaged)?;
            self.unpacker.unpack(entry, stored, &mut self.block).map_err(damaged)?;
            for bytes in self.block.records() {
                let (section, sequence) = sections.next();
                let chain = &mut self.chains[usize::from(section.shard)];
                chain.push(bytes, 1);
                let place = (section.shard, sequence);
                if watched.contains(&place) {
                    self.passed.push((place, chain.hash()));
                }
            }
        }
        for section in &meta.sections {
            let shard = usize::from(section.shard);
            if self.chains[shard].hash() != section.hash {
                return Err(damaged("the hash in a frame differs from that of its records"));
            }
            self.tips[shard].take(meta.offset, section.count, section.hash, self.chains[shard].block());
        }
        Ok(())
    }
}

/// A walk. It stands behind something that was taken, or before the first segment.
pub(crate) struct Walk {
    /// The header of the segment that it is in.
    pub(super) header: Option<Header>,
    /// Where it stands in the log.
    pub(super) offset: u64,
    /// The crc that the next frame or header names.
    pub(super) previous: u32,
    pub(super) running: Running,
    watched: Vec<(Shard, u64)>,
}

impl Walk {
    /// Before the first segment. Of the positions in `watched` it remembers the hash when it comes by.
    pub fn start(watched: Vec<(Shard, u64)>) -> Self {
        Self { header: None, offset: 0, previous: 0, running: Running::start(0), watched }
    }

    /// Behind the header of a segment, before which `running` stands.
    pub(super) fn inside(header: Header, bytes: u64, running: Running) -> Self {
        let (offset, previous) = (header.base + bytes, header.crc);
        Self { header: Some(header), offset, previous, running, watched: Vec::new() }
    }

    /// Before the n-th segment of a log, of which what is before it was checked another time.
    pub fn before(reader: &Reader, n: usize) -> Result<Self> {
        let shared = reader.shared();
        let Some((segment, ..)) = n.checked_sub(1).and_then(|last| shared.nth(last)) else {
            return Ok(Self::start(Vec::new()));
        };
        let (next, ..) = shared.nth(n).expect("the caller counts segments");
        let header = |segment: &Segment| Header::read(&*shared.disk, &segment.name, &*shared.file(segment)?);
        let ((before, _), (header, _)) = (header(&segment)?, header(&next)?);
        let running = Running::resume(shared, &next, header.tips)?;
        let (offset, previous) = (header.base, header.previous);
        Ok(Self { header: Some(before), offset, previous, running, watched: Vec::new() })
    }

    /// How far it is.
    pub fn head(&self) -> Option<Head> {
        let header = self.header.as_ref()?;
        Some(Head { lineage: header.lineage, shards: self.running.tips.iter().map(|tip| tip.head).collect() })
    }

    /// Where it stands in the log.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes into the segment with a header, whose bytes are on disk in the file `name`.
    pub(super) fn enter(&mut self, disk: &dyn Disk, name: &str, header: Header, bytes: u64) -> Result<()> {
        let wrong = |offset, what: &str| Error::damaged(disk.path(name), offset, what);
        if header.base != self.offset {
            return Err(wrong(40, "the segment names another place: the file was renamed, or one before it is cut"));
        }
        if header.previous != self.previous {
            return Err(wrong(20, "the segment does not follow the frame before it"));
        }
        match &self.header {
            None if !header.cuts.is_empty() || header.tips.iter().any(|tip| *tip != Tip::default()) => {
                return Err(wrong(56, "the log's first segment says that something stands before it"));
            }
            None => {
                self.running = Running::start(header.tips.len());
                self.running.watched = std::mem::take(&mut self.watched);
            }
            Some(before) => match header.check_lineage(before) {
                Ok(()) if header.tips == self.running.tips => {}
                Ok(()) => return Err(wrong(56, "the segment's header and the records before it differ")),
                Err(LineageFault::OtherCuts) => {
                    return Err(wrong(50, "the segment names other cuts than the one before it"));
                }
                Err(LineageFault::Foreign) => {
                    let (expected, found) = (before.lineage, header.lineage);
                    return Err(Error::ForeignLineage { path: disk.path(name), expected, found });
                }
            },
        }
        self.offset += bytes;
        self.previous = header.crc;
        self.header = Some(header);
        Ok(())
    }

    /// Whether the frame that a scan shows has the next records of its shards.
    pub(super) fn continues(&self, scan: &Scan) -> bool {
        let next = |shard: Shard| self.running.tips.get(usize::from(shard)).map(|tip| tip.head.sequence + 1);
        scan.meta().sections.iter().all(|section| next(section.shard) == Some(section.first))
    }

    /// Takes the frame that a scan shows.
    pub(super) fn frame(&mut self, scan: &Scan) -> Result<()> {
        let meta = scan.meta();
        if !self.continues(scan) {
            let position = scan.position() - u64::from(meta.length);
            return Err(Error::damaged(scan.path().clone(), position, "a frame does not continue its shard"));
        }
        self.running.take(scan)?;
        self.offset = meta.end();
        self.previous = meta.crc;
        Ok(())
    }

    /// Whether a frame has a record that was not passed.
    pub(super) fn lacks(&self, meta: &Meta) -> bool {
        let tip = |shard: Shard| self.running.tips.get(usize::from(shard));
        meta.sections.iter().any(|section| tip(section.shard).is_none_or(|tip| tip.head.sequence < section.last()))
    }

    /// The hash behind a sequence that was watched; `None` if it did not come by.
    pub(super) fn hash_at(&self, shard: Shard, sequence: u64) -> Option<Hash> {
        if sequence == 0 {
            return Some(Hash::default());
        }
        let mut passed = self.running.passed.iter().rev();
        passed.find(|(place, _)| *place == (shard, sequence)).map(|(_, hash)| *hash)
    }

    /// The mark of an end in order here.
    pub fn mark(&self) -> [u8; segment::MARK_BYTES] {
        segment::mark(self.previous, self.offset)
    }

    /// Whether the ledger was closed right here, and nobody has written since.
    pub fn is_closed(&self, disk: &dyn Disk) -> Result<bool> {
        let io = |source| Error::Io { doing: "looking at", path: disk.path(""), source };
        let Some(header) = &self.header else { return Ok(false) };
        let name = segment::name(header.base);
        let file = disk.open(&name, false).map_err(io)?;
        let mut bytes = [0; segment::MARK_BYTES];
        let marked = segment::read_exact(&*file, self.offset - header.base, &mut bytes).map_err(io)?.is_some();
        let last = disk.list(segment::FOLDER).map_err(io)?.iter().filter_map(|name| segment::base_of(name)).max();
        Ok(marked && bytes == self.mark() && last == Some(header.base) && !disk.is_locked().map_err(io)?)
    }

    /// The lineages that the ledger had before.
    pub fn former(&self) -> Vec<Uuid> {
        self.header.iter().flat_map(|header| &header.cuts).map(|cut| cut.lineage).collect()
    }

    /// The segment that goes on here under another lineage, ended in order: its name and its bytes. `None` before the
    /// first segment, and where the log has had all its cuts.
    pub fn renewed(&self, lineage: Uuid) -> Option<(String, Vec<u8>)> {
        let before = self.header.as_ref().filter(|header| header.cuts.len() < segment::MAX_CUTS)?;
        let mut header = before.next(self.offset, self.previous, self.running.tips.clone(), Some(lineage));
        Some((segment::name(self.offset), header.write_ended()))
    }
}

/// The bytes of a segment up to a length, checked as they are read.
pub(crate) struct CheckedSegment<'w> {
    walk: &'w mut Walk,
    scan: Scan,
    length: u64,
    /// The header's bytes.
    header: Vec<u8>,
    header_given: bool,
}

impl<'w> CheckedSegment<'w> {
    /// Opens a segment's file, and takes its header.
    pub fn open(walk: &'w mut Walk, disk: &dyn Disk, name: &str, length: u64) -> Result<Self> {
        let io = |source| Error::Io { doing: "reading", path: disk.path(name), source };
        let file = disk.open(name, false).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::damaged(disk.path(name), 0, "the segment is missing"),
            _ => io(source),
        })?;
        let (header, bytes) = Header::read(disk, name, &*file)?;
        if length < bytes || file.len().map_err(io)? < length {
            return Err(Error::damaged(disk.path(name), length.min(bytes), "the segment is cut"));
        }
        let mut head = vec![0; usize::try_from(bytes).expect("a header fits in memory")];
        let read = file.read_at(0, &mut head).map_err(io)?;
        if read < head.len() || super::frame::crc32c(&head[12..]) != header.crc {
            return Err(Error::damaged(disk.path(name), 8, "the segment's header changed between two readings"));
        }
        let scan = Scan::new(file, disk.path(name), header.base, bytes, Some(header.crc));
        walk.enter(disk, name, header, bytes)?;
        Ok(Self { walk, scan, length, header: head, header_given: false })
    }

    /// The next bytes: the header, then each frame. `None` behind the last.
    pub fn next(&mut self) -> Result<Option<&[u8]>> {
        if !std::mem::replace(&mut self.header_given, true) {
            return Ok(Some(&self.header));
        }
        match self.scan.next(self.length, Depth::Whole)? {
            Step::End => Ok(None),
            Step::Bad(invalid) => Err(self.scan.damaged(invalid)),
            Step::Frame => {
                self.walk.frame(&self.scan)?;
                Ok(Some(self.scan.frame()))
            }
        }
    }
}
