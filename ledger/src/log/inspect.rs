//! What stands in the log's files, for people: in a sound log, and as far as it can be read in a damaged one.

use std::sync::Arc;

use schemas::{Shard, Timestamp, decode_record};
use serde::Serialize;
use uuid::Uuid;

use super::{
    Disk, Frames, Head, Problem,
    block::{Block, Unpacker},
    diagnosis::Findings,
    ending::{self, Ending, for_valid_frames},
    evidence::Claim,
    position,
    salvage::{Salvage, Salvaged, Source, salvage},
    scan::{Depth, Scan, Step},
    segment,
    shared::Shared,
};
use crate::{Error, Result};

/// A segment, as far as it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentInfo {
    /// Its file.
    pub file: String,
    /// Its offset in the log.
    pub base: u64,
    /// Its bytes up to the last frame, header included.
    pub bytes: u64,
    /// How many frames it has.
    pub frames: u64,
    /// How many records.
    pub records: u64,
    /// The bytes of their blocks before compression; `bytes` is what they take.
    pub raw_bytes: u64,
    /// The lowest time in its first frame.
    pub first_time: Option<Timestamp>,
    /// The highest time in its last frame.
    pub last_time: Option<Timestamp>,
}

/// All that stands in a ledger's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The segments that can be joined to one log, from its first byte on.
    pub segments: Vec<SegmentState>,
    /// The lineages that the ledger had before, the oldest first, and where each ended.
    pub former_lineages: Vec<FormerLineage>,
    /// How far the log can be read.
    pub head: Head,
    /// What is stored of who had come how far; `None` where that cannot be read.
    pub positions: Vec<(String, Option<Head>)>,
    /// The folders of what is derived.
    pub derived: Vec<DerivedFolder>,
    /// What is wrong. `log repair` says what to do about it.
    pub problems: Vec<Problem>,
}

/// A segment and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentState {
    /// What it holds.
    #[serde(flatten)]
    pub info: SegmentInfo,
    /// The lineage under which it was begun.
    pub lineage: Uuid,
    /// Whether the log goes on in another segment.
    pub sealed: bool,
    /// Whether all of it checks out: every checksum, frame, sequence and hash.
    pub sound: bool,
    /// Zeros behind its last frame, for what comes.
    pub reserve_bytes: u64,
}

/// A lineage that ended with a cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FormerLineage {
    /// Its id.
    pub lineage: Uuid,
    /// The offset of the segment that was begun at the cut.
    pub cut_at: u64,
    /// Each shard's last sequence there, if that segment can be read.
    pub sequences: Option<Vec<u64>>,
}

/// A folder of what is derived from the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DerivedFolder {
    /// Its name.
    pub folder: String,
    /// How many files it has.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The last of them by name.
    pub newest: String,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FrameInfo {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes.
    pub bytes: u64,
    /// The bytes of its blocks before compression.
    pub raw_bytes: u64,
    /// How many records.
    pub records: u32,
    /// Which: shard, first and last sequence.
    pub shards: Vec<(Shard, u64, u64)>,
}

/// The frames of a segment, and the bytes among them that are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentFrames {
    /// The bytes of its header; 0 if that cannot be read.
    pub header_bytes: u64,
    /// The valid frames in order.
    pub frames: Vec<FrameInfo>,
    /// Bytes between them (from, to) that should be frames.
    pub damaged: Vec<(u64, u64)>,
}

/// Looks at everything in a ledger's folder; changes nothing. Beside a writer the end is what it was a
/// moment ago.
///
/// # Errors
/// [`Error::NoLedger`]; [`Error::BeyondRepair`] if no header can be read; [`Error::Io`].
pub fn inspect(disk: &dyn Disk) -> Result<Inspection> {
    let io = |name: &str, source| Error::Io { doing: "looking at", path: disk.path(name), source };
    let salvage = salvage(disk, None)?;
    let mut problems = Findings::of(&salvage).problems;
    if disk.is_locked().map_err(|source| io("", source))?
        && let Some(last) = salvage.segments.last()
    {
        // What stands behind the end is being written just now.
        problems.retain(|problem| (problem.file.as_str(), problem.offset) != (last.name.as_str(), last.length()));
    }
    let count = salvage.segments.len();
    let segments = salvage.segments.iter().enumerate().map(|(n, segment)| {
        let sealed = n + 1 < count;
        let sound = !problems.iter().any(|problem| problem.file == segment.name);
        state(disk, &salvage, segment, sealed, sound)
    });
    let segments = segments.collect::<Result<Vec<_>>>()?;
    let mut head = salvage.walk.head().unwrap_or(Head { lineage: salvage.lineage, shards: Vec::new() });
    head.lineage = salvage.lineage;
    let former = salvage.cuts.iter().map(|cut| FormerLineage {
        lineage: cut.lineage,
        cut_at: cut.base,
        sequences: segment::header_sequences(disk, &segment::name(cut.base)).ok(),
    });
    Ok(Inspection {
        segments,
        former_lineages: former.collect(),
        head,
        positions: salvage.claims.into_iter().filter_map(|(claim, _)| position_of(claim)).collect(),
        derived: derived(disk)?,
        problems,
    })
}

/// A stored position with its name; the index and snapshots are listed elsewhere.
fn position_of(claim: Claim) -> Option<(String, Option<Head>)> {
    let name = claim.file.strip_prefix(position::FOLDER)?.trim_start_matches('/');
    let name = name.strip_suffix(".json").unwrap_or(name).to_owned();
    Some((name, claim.stated.ok().map(|stated| stated.head)))
}

/// Lists the frames of a segment, by its file's name with or without folder; in a damaged one those that
/// can be read.
///
/// # Errors
/// [`Error::NotALedger`] if no segment has this name; [`Error::Io`].
pub fn frames_of(disk: &dyn Disk, name: &str) -> Result<SegmentFrames> {
    let plain = name.strip_prefix(segment::FOLDER).map_or(name, |rest| rest.trim_start_matches('/'));
    let base = segment::base_of(plain).ok_or_else(|| Error::NotALedger { path: disk.path(name) })?;
    let name = segment::name(base);
    let io = |source| Error::Io { doing: "reading", path: disk.path(&name), source };
    let file = disk.open(&name, false).map_err(io)?;
    let (header, header_bytes) =
        segment::Header::read(disk, &name, &*file).map_or((None, 0), |(header, bytes)| (Some(header), bytes));
    let bytes = disk.read(&name).map_err(io)?;
    let start = usize::try_from(header_bytes).expect("a header fits in memory");
    let (mut frames, mut damaged, mut end) = (Vec::new(), Vec::new(), header_bytes);
    let mut last = header.map_or((0, 0, 0), |header| (header_bytes, base + header_bytes, header.crc));
    for_valid_frames(&bytes[start..], |at, meta| {
        let offset = header_bytes + at as u64;
        if meta.offset != base + offset {
            return; // moved from its place: it counts as damaged
        }
        last = (offset + u64::from(meta.length), meta.end(), meta.crc);
        if offset > end {
            damaged.push((end, offset));
        }
        end = offset + u64::from(meta.length);
        frames.push(FrameInfo {
            offset,
            bytes: u64::from(meta.length),
            raw_bytes: meta.raw(),
            records: meta.records(),
            shards: meta.sections.iter().map(|s| (s.shard, s.first, s.last())).collect(),
        });
    });
    let rest = ending::behind(disk, &name, &*file, 0, last)?;
    if !rest.bytes.is_empty() && rest.ending != Ending::Marked {
        damaged.push((end, last.0 + rest.bytes.len() as u64));
    }
    Ok(SegmentFrames { header_bytes, frames, damaged })
}

fn state(disk: &dyn Disk, salvage: &Salvage, segment: &Salvaged, sealed: bool, sound: bool) -> Result<SegmentState> {
    let file = segment.pieces.iter().find_map(|piece| match piece.source {
        Source::Own(number) => salvage.files.get(number),
        Source::Backup => None,
    });
    let name = file.map_or(&segment.name, |file| &file.name);
    let first = times_at(disk, name, segment, (segment.frames > 0).then_some(segment.header))?;
    let last = times_at(disk, name, segment, segment.last_frame)?;
    let info = SegmentInfo {
        file: segment.name.clone(),
        base: segment.base,
        bytes: segment.length(),
        frames: segment.frames,
        records: segment.records,
        raw_bytes: segment.raw_bytes,
        first_time: first.into_iter().min(),
        last_time: last.into_iter().max(),
    };
    let reserve = file.map_or(0, |file| file.length.saturating_sub(segment.length()));
    let reserve_bytes = if sealed || !sound || salvage.ending == Ending::Marked { 0 } else { reserve };
    Ok(SegmentState { info, lineage: segment.lineage, sealed, sound, reserve_bytes })
}

/// The times of the records in the frame at a position; none where they do not decode.
fn times_at(disk: &dyn Disk, name: &str, segment: &Salvaged, position: Option<u64>) -> Result<Vec<Timestamp>> {
    let Some(position) = position else { return Ok(Vec::new()) };
    let path = disk.path(name);
    let file = disk.open(name, false);
    let file = file.map_err(|source| Error::Io { doing: "opening", path: path.clone(), source })?;
    let mut scan = Scan::new(file, path, segment.base, position, None);
    let mut times = Vec::new();
    if let Step::Frame = scan.next(segment.length(), Depth::Whole)? {
        let (mut unpacker, mut block) = (Unpacker::new(), Block::default());
        for (entry, stored) in scan.meta().blocks(scan.frame()).flatten() {
            if unpacker.unpack(entry, stored, &mut block).is_ok() {
                times.extend(block.records().filter_map(|record| decode_record(record).ok()).map(|record| record.time));
            }
        }
    }
    Ok(times)
}

fn derived(disk: &dyn Disk) -> Result<Vec<DerivedFolder>> {
    let mut folders = Vec::new();
    for folder in super::repair::DERIVED {
        let io = |source| Error::Io { doing: "looking at", path: disk.path(folder), source };
        let names = disk.list(folder).map_err(io)?;
        let mut bytes = 0;
        for name in &names {
            bytes += disk.open(&format!("{folder}/{name}"), false).and_then(|file| file.len()).map_err(io)?;
        }
        if let Some(newest) = names.last() {
            folders.push(DerivedFolder {
                folder: folder.to_owned(),
                files: names.len(),
                bytes,
                newest: newest.clone(),
            });
        }
    }
    Ok(folders)
}

pub(super) fn segments(shared: &Arc<Shared>) -> Result<Vec<SegmentInfo>> {
    let mut infos = Vec::new();
    while let Some((segment, end, _)) = shared.nth(infos.len()) {
        let mut info = SegmentInfo {
            file: segment.name.clone(),
            base: segment.base,
            bytes: end - segment.base,
            frames: 0,
            records: 0,
            raw_bytes: 0,
            first_time: None,
            last_time: None,
        };
        let mut ends = None;
        let mut scan = shared.scan(&segment)?;
        loop {
            match scan.next(end - segment.base, Depth::Tables)? {
                Step::End => break,
                Step::Bad(invalid) => return Err(scan.damaged(invalid)),
                Step::Frame => {}
            }
            let meta = scan.meta();
            info.frames += 1;
            info.records += u64::from(meta.records());
            info.raw_bytes += meta.raw();
            ends = Some((ends.map_or(meta.offset, |(first, _)| first), meta.offset));
        }
        if let Some((first, last)) = ends {
            info.first_time = times(shared, first)?.min();
            info.last_time = times(shared, last)?.max();
        }
        infos.push(info);
    }
    Ok(infos)
}

/// The times of the records in the frame at an offset.
fn times(shared: &Arc<Shared>, offset: u64) -> Result<impl Iterator<Item = Timestamp>> {
    let frame = Frames::from(shared.clone(), offset).next().transpose()?;
    Ok(frame.into_iter().flat_map(|frame| frame.records).map(|record| record.time))
}
