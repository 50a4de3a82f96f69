//! Reading beside the writer: in order, one record by its place, or one by its sequence.

use std::{fmt, sync::Arc};

use schemas::{Chain, Hash, Record, Shard, decode_record};
use tokio::sync::watch;

use super::{
    Check, Disk, DiskFile, FormerLineage, Frames, Head, Locator, SegmentInfo,
    block::{Block, Unpacker},
    find,
    frame::{self, Meta},
    frames::{Sections, not_a_record},
    inspect,
    position::{self, Stated},
    recent::Recent,
    recovery,
    scan::{Depth, Step},
    segment::{self, Header, LineageCut, Tip},
    shared::{Segment, Shared},
    tail,
};
use crate::{Error, Result};

/// What is read for a look-up at first: the tables of most frames, and small frames whole.
const FIRST_READ_BYTES: usize = 4096;
/// Look-ups come in runs of neighbours, a few in each shard at once: at most 4 MiB of raw blocks.
const BLOCKS: usize = 64;
/// Tables take at most a few KiB each.
const TABLES: usize = 16;
/// Files kept open; a reader that goes to and fro needs few.
const FILES: usize = 8;

/// A segment as far as it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DurableSegment {
    pub name: String,
    /// Its offset in the log.
    pub base: u64,
    /// Its bytes up to the last frame.
    pub length: u64,
}

/// Reads the log up to its durable end. A clone has caches of its own, for another thread.
pub struct Reader {
    shared: Arc<Shared>,
    files: Recent<u64, (Arc<Segment>, Arc<dyn DiskFile>)>,
    tables: Recent<u64, Meta>,
    /// By the frame's offset and the block's number in it; with the ordinal of its first record.
    blocks: Recent<(u64, usize), (u32, Block)>,
    unpacker: Unpacker,
    buffer: Vec<u8>,
}

impl Reader {
    /// Reads a ledger without its lock, beside a running writer or after one: what is whole and valid
    /// now, synced first so that nothing is shown that a crash could take back. A write that was never
    /// answered is not shown. It does not follow the writer; open another one for that.
    ///
    /// # Errors
    /// [`Error::NoLedger`]; [`Error::Refused`] where a start refuses too; [`Error::Io`].
    #[expect(clippy::needless_pass_by_value, reason = "as `Log::open`: whoever opens a disk gives it away")]
    pub fn open(disk: Arc<dyn Disk>) -> Result<Self> {
        recovery::refuse_unfinished(&*disk)?;
        let locked =
            disk.is_locked().map_err(|source| Error::Io { doing: "looking at", path: disk.path(""), source })?;
        let Some(tail) = tail::survey(&disk, locked)? else {
            return Err(Error::NoLedger { path: disk.path("") });
        };
        let file = tail.shared.file(&tail.segment)?;
        let name = &tail.segment.name;
        file.sync().map_err(|source| Error::Io { doing: "syncing", path: disk.path(name), source })?;
        Ok(Self::new(tail.shared))
    }

    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            files: Recent::new(FILES),
            tables: Recent::new(TABLES),
            blocks: Recent::new(BLOCKS),
            unpacker: Unpacker::new(),
            buffer: Vec::new(),
        }
    }

    /// A reader of what is durable now: it does not follow the writer, so that several passes see the same.
    #[must_use]
    pub fn standing_still(&self) -> Self {
        Self::new(Arc::new(self.shared.standing()))
    }

    /// How far the log is durable.
    pub fn head(&self) -> Head {
        self.shared.head()
    }

    /// The lineages that the ledger had before its end was cut, the oldest first.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Io`] where a segment that began at a cut cannot be read.
    pub fn former_lineages(&self) -> Result<Vec<FormerLineage>> {
        let former = |cut: &LineageCut| {
            let sequences = segment::header_sequences(&*self.shared.disk, &segment::name(cut.base))?;
            Ok(FormerLineage { lineage: cut.lineage, cut_at: cut.base, sequences: Some(sequences) })
        };
        self.shared.cuts.iter().map(former).collect()
    }

    /// The segments in order, each up to its last durable frame.
    pub(crate) fn durable_segments(&self) -> Vec<DurableSegment> {
        let segments = (0..).map_while(|n| self.shared.nth(n));
        segments
            .map(|(segment, end, _)| DurableSegment {
                name: segment.name.clone(),
                base: segment.base,
                length: end - segment.base,
            })
            .collect()
    }

    /// What the readers and the writer share.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The number of shards.
    pub fn shards(&self) -> Shard {
        self.shared.shards
    }

    /// Where the next frame will be: everything below is durable.
    pub fn end(&self) -> Locator {
        Locator::new(self.shared.end())
    }

    /// Changes with every frame that becomes durable, to the offset behind it: to wait for more than there is. Only
    /// the writer of this process moves it.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.watch()
    }

    /// Where the last segment begins, the one that is being written, and how many records stand before it.
    pub fn sealed(&self) -> (Locator, u64) {
        let (base, records) = self.shared.sealed();
        (Locator::new(base), records)
    }

    /// The disk that it reads.
    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.shared.disk
    }

    /// The frames from the start on.
    pub fn frames(&self, check: Check) -> Frames {
        Frames::new(self.shared.clone(), check)
    }

    /// The frames from one on, as [`Check::Frame`] reads them. `at` is any record of that frame, or
    /// [`Self::end`].
    pub fn frames_from(&self, at: Locator) -> Frames {
        Frames::from(self.shared.clone(), at.offset())
    }

    /// What stands in each segment.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>> {
        inspect::segments(&self.shared)
    }

    /// The record at a place.
    ///
    /// # Errors
    /// [`Error::NoRecord`] if there is none on this log, [`Error::Damaged`], [`Error::Io`].
    pub fn record(&mut self, at: Locator) -> Result<Record> {
        let (block, n) = self.block_of(at)?;
        let record = decode_record(block.record(n));
        record.map_err(|error| match self.place(at) {
            Ok((segment, _, position)) => not_a_record(self.shared.disk.path(&segment.name), position, &error),
            Err(error) => error,
        })
    }

    /// The record with a sequence; `None` if the shard has not reached it.
    pub fn find(&mut self, shard: Shard, sequence: u64) -> Result<Option<(Locator, Record)>> {
        // Look-ups come in runs, so the frame is mostly one that was just used.
        let known =
            self.tables.iter().find_map(|meta| Some(Locator::new(meta.offset).nth(meta.ordinal(shard, sequence)?)));
        let at = match known {
            Some(at) => at,
            None => match self.frame_of(shard, sequence)? {
                Some((meta, ordinal)) => Locator::new(meta.offset).nth(ordinal),
                None => return Ok(None),
            },
        };
        Ok(Some((at, self.record(at)?)))
    }

    /// Whether that record is on the log. Reads only memory.
    pub fn has(&self, shard: Shard, sequence: u64) -> bool {
        sequence > 0 && self.shared.shard_head(shard).is_some_and(|head| sequence <= head.sequence)
    }

    /// The hash behind a sequence (zeros for 0); `None` if the shard has not reached it. Cheap where a
    /// frame ended there, as every [`Head`] did; else it hashes up to a segment.
    pub fn hash_at(&mut self, shard: Shard, sequence: u64) -> Result<Option<Hash>> {
        match self.shared.shard_head(shard) {
            None => return Ok(None),
            Some(head) if head.sequence < sequence => return Ok(None),
            Some(head) if head.sequence == sequence => return Ok(Some(head.hash)),
            Some(_) if sequence == 0 => return Ok(Some(Hash::default())),
            Some(_) => {}
        }
        let Some((meta, _)) = self.frame_of(shard, sequence)? else { return Ok(None) };
        match meta.sections.iter().find(|s| s.shard == shard && s.last() == sequence) {
            Some(section) => Ok(Some(section.hash)),
            None => self.hash_inside(shard, sequence).map(Some),
        }
    }

    /// Stores, durably, that somebody (a snapshot, an index, a view) has come to a position: the log is
    /// never cut below it. Names are of a-z, 0-9, - and _; "head" is the log's own.
    ///
    /// # Errors
    /// [`Error::ForeignLineage`] or [`Error::BehindStored`] if it is no position of this log; [`Error::Io`].
    pub fn store_position(&self, name: &str, position: &Head) -> Result<()> {
        let head = self.head();
        if position.lineage != head.lineage {
            let path = self.shared.disk.path(position::FOLDER);
            return Err(self.shared.foreign(path, position.lineage));
        }
        for (shard, (stored, on_log)) in (0..).zip(position.shards.iter().zip(&head.shards)) {
            if stored.sequence > on_log.sequence {
                return Err(Error::BehindStored {
                    name: name.to_owned(),
                    shard,
                    stored: stored.sequence,
                    on_log: on_log.sequence,
                });
            }
        }
        let stated = Stated { head: position.clone(), former: self.shared.former(), closed: false };
        position::store(&*self.shared.disk, name, &stated)
    }

    /// The tables of the frame that holds a record, and its place there.
    fn frame_of(&self, shard: Shard, sequence: u64) -> Result<Option<(Meta, u32)>> {
        if sequence == 0 || self.shared.shard_head(shard).is_none_or(|head| head.sequence < sequence) {
            return Ok(None);
        }
        let number = self.shared.number_of(shard, sequence);
        let (segment, end, _) = self.shared.nth(number).expect("segments are never taken away");
        let Some(meta) = find::frame_of(&self.shared, &segment, end, shard, sequence)? else {
            let path = self.shared.disk.path(&segment.name);
            return Err(Error::damaged(path, 0, format!("record {sequence} of shard {shard} is missing")));
        };
        let ordinal = meta.ordinal(shard, sequence).expect("the frame holds the record");
        Ok(Some((meta, ordinal)))
    }

    /// The hash behind a record inside a frame: from the segment's header on.
    fn hash_inside(&mut self, shard: Shard, sequence: u64) -> Result<Hash> {
        let number = self.shared.number_of(shard, sequence);
        let (segment, end, _) = self.shared.nth(number).expect("segments are never taken away");
        let (header, _) = Header::read(&*self.shared.disk, &segment.name, &*self.shared.file(&segment)?)?;
        let mut chain = self.resume(shard, &header.tips[usize::from(shard)], &segment)?;
        let mut scan = self.shared.scan(&segment)?;
        let mut block = Block::default();
        loop {
            match scan.next(end - segment.base, Depth::Whole)? {
                Step::Frame => {}
                Step::Bad(invalid) => return Err(scan.damaged(invalid)),
                Step::End => return Err(scan.damaged("a record of this segment is missing")),
            }
            let mut sections = Sections::new(scan.meta());
            for stored in scan.meta().blocks(scan.frame()) {
                let (entry, bytes) = stored.map_err(|invalid| scan.damaged(invalid))?;
                self.unpacker.unpack(entry, bytes, &mut block).map_err(|invalid| scan.damaged(invalid))?;
                for bytes in block.records() {
                    let (section, at) = sections.next();
                    if section.shard == shard {
                        chain.push(bytes, 1);
                        if at == sequence {
                            return Ok(chain.hash());
                        }
                    }
                }
            }
        }
    }

    /// Takes up the chain of a shard where a segment's header says that it stood.
    pub(super) fn resume(&mut self, shard: Shard, tip: &Tip, named_by: &Segment) -> Result<Chain> {
        let mut chain = Chain::after_block(tip.block);
        let mut next = tip.block_sequence() + 1;
        for &offset in &tip.open {
            let at = Locator::new(offset);
            let meta = self.tables(at)?;
            let before: u32 = meta.sections.iter().take_while(|s| s.shard < shard).map(|s| s.count).sum();
            let Some(section) = meta.sections.iter().find(|s| s.shard == shard).copied() else { continue };
            for sequence in next.max(section.first)..=section.last().min(tip.head.sequence) {
                let within = u32::try_from(sequence - section.first).expect("a frame has at most 2^20 records");
                let (block, n) = self.block_of(at.nth(before + within))?;
                chain.push(block.record(n), 1);
                next = sequence + 1;
            }
        }
        if next != tip.head.sequence + 1 || chain.hash() != tip.head.hash {
            let what = format!("the records of shard {shard} before this segment have another hash than its header");
            return Err(Error::damaged(self.shared.disk.path(&named_by.name), 56, what));
        }
        Ok(chain)
    }

    /// The block of a record, and its number in there.
    pub(super) fn block_of(&mut self, at: Locator) -> Result<(&Block, usize)> {
        let meta = self.tables(at)?;
        let (mut first, mut position) = (0, meta.head());
        let mut found = None;
        for (number, entry) in meta.entries.iter().enumerate() {
            if at.ordinal() < first + entry.records {
                found = Some((number, *entry));
                break;
            }
            first += entry.records;
            position += entry.stored as usize;
        }
        let Some((number, entry)) = found else { return Err(Error::NoRecord { place: format!("place {at}") }) };
        let key = (at.offset(), number);
        if !self.blocks.find(&key) {
            let (segment, file, start) = self.place(at)?;
            let damaged = |invalid| Error::damaged(self.shared.disk.path(&segment.name), start, invalid);
            let stored = &mut self.buffer;
            stored.resize(entry.stored as usize, 0);
            let read = file.read_at(start + position as u64, stored).map_err(|source| Error::Io {
                doing: "reading a record from",
                path: self.shared.disk.path(&segment.name),
                source,
            })?;
            if read < stored.len() || frame::crc32c(stored) != entry.crc {
                return Err(damaged("a block and its checksum differ"));
            }
            let (_, mut block) = self.blocks.evict().unwrap_or_default();
            self.unpacker.unpack(&entry, stored, &mut block).map_err(damaged)?;
            self.blocks.insert(key, (first, block));
        }
        let (first, block) = self.blocks.first();
        Ok((block, (at.ordinal() - *first) as usize))
    }

    /// The tables of the frame that a locator names.
    pub(super) fn tables(&mut self, at: Locator) -> Result<&Meta> {
        if !self.tables.find(&at.offset()) {
            let (segment, file, start) = self.place(at)?;
            let io = |source| Error::Io {
                doing: "reading a record from",
                path: self.shared.disk.path(&segment.name),
                source,
            };
            let buffer = &mut self.buffer;
            buffer.resize(FIRST_READ_BYTES, 0);
            let read = file.read_at(start, buffer).map_err(io)?;
            buffer.truncate(read);
            let sizes = buffer.first_chunk().ok_or("a frame's header is cut").and_then(frame::sizes);
            let mut meta = self.tables.evict().unwrap_or_default();
            let checked = match sizes {
                Ok((head, _)) if head > buffer.len() => {
                    buffer.resize(head, 0);
                    let read = file.read_at(start, buffer).map_err(io)?;
                    meta.read(&buffer[..read])
                }
                Ok(_) => meta.read(buffer),
                Err(invalid) => Err(invalid),
            };
            let checked = checked.and_then(|()| {
                if meta.offset == at.offset() {
                    Ok(())
                } else {
                    Err("a frame names another place than where it stands")
                }
            });
            checked.map_err(|invalid| Error::damaged(self.shared.disk.path(&segment.name), start, invalid))?;
            self.tables.insert(at.offset(), meta);
        }
        Ok(self.tables.first())
    }

    /// The segment of a place, its file, and the frame's position there.
    pub(super) fn place(&mut self, at: Locator) -> Result<(Arc<Segment>, Arc<dyn DiskFile>, u64)> {
        let nowhere = || Error::NoRecord { place: format!("place {at}") };
        let number = self.shared.number_at(at.offset()).ok_or_else(nowhere)?;
        let (segment, _, _) = self.shared.nth(number).expect("segments are never taken away");
        if at.offset() < segment.base + segment.header {
            return Err(nowhere());
        }
        if !self.files.find(&segment.base) {
            let file = self.shared.file(&segment)?;
            self.files.insert(segment.base, (segment, file));
        }
        let (segment, file) = self.files.first();
        Ok((segment.clone(), file.clone(), at.offset() - segment.base))
    }
}

impl Clone for Reader {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone())
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("disk", &self.shared.disk).field("end", &self.end()).finish_non_exhaustive()
    }
}
