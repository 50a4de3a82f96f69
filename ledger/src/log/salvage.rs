//! What of a log can be read, with a backup to take from where it cannot.
//!
//! The log is walked from its first byte. Where its own bytes do not go on, a backup of the same log
//! may have them: a frame is taken from there only if it continues the chain of frames and the hash
//! chain of the records, so it is the very frame that was there. Where neither goes on, the sound
//! part ends; what stands behind it is looked through for what it says of the records that are lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use schemas::{Hash, Shard};
use uuid::Uuid;

use super::{
    Disk, DiskFile, Head,
    frame::{self, Meta},
    frames::first_nonzero,
    position,
    scan::{Depth, Scan, Step},
    segment::{self, Header, LineageCut},
    walk::Walk,
};
use crate::{Error, Result, backup::Manifest};

/// Where bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Log,
    Backup,
}

/// A run of bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub source: Source,
    pub from: u64,
    pub to: u64,
}

/// A segment as far as it is sound.
#[derive(Debug, Clone)]
pub(super) struct Salvaged {
    pub name: String,
    pub base: u64,
    pub header: u64,
    pub lineage: Uuid,
    pub pieces: Vec<Piece>,
    /// The length of the log's own file, if there is one.
    pub file_length: Option<u64>,
    pub frames: u64,
    pub records: u64,
    pub raw_bytes: u64,
    /// Where its last frame stands.
    pub last_frame: Option<u64>,
}

impl Salvaged {
    /// Its sound bytes.
    pub fn length(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.to)
    }

    /// Whether any of it comes from the backup.
    pub fn is_mended(&self) -> bool {
        self.pieces.iter().any(|piece| piece.source == Source::Backup)
    }

    fn take(&mut self, source: Source, to: u64) {
        match self.pieces.last_mut() {
            Some(piece) if piece.source == source => piece.to = to,
            last => {
                let from = last.map_or(0, |piece| piece.to);
                self.pieces.push(Piece { source, from, to });
            }
        }
    }
}

/// A place where the log's own bytes do not go on as they should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Break {
    pub file: String,
    pub offset: u64,
    pub what: String,
    /// Whether the backup went on here.
    pub mended: bool,
}

/// What of the log's own stands behind its sound part.
#[derive(Debug, Clone)]
pub(super) struct Behind {
    pub name: String,
    /// Where in the file it begins.
    pub from: u64,
    /// Behind its last byte that is not zero.
    pub to: u64,
    /// Valid frames in it, and the records that they have.
    pub frames: u64,
    pub records: u64,
}

/// What a walk found.
pub(super) struct Salvage {
    /// It stands behind the sound part.
    pub walk: Walk,
    pub segments: Vec<Salvaged>,
    pub breaks: Vec<Break>,
    pub behind: Vec<Behind>,
    /// The lineage of the newest segment whose header can be read, and those before.
    pub lineage: Uuid,
    pub cuts: Vec<LineageCut>,
    /// Each shard's highest sequence that a frame or a header names.
    pub named: Vec<u64>,
    pub positions: Vec<(String, Result<Head>)>,
}

/// A backup to take from.
#[derive(Clone, Copy)]
pub(super) struct Donor<'a> {
    pub disk: &'a dyn Disk,
    pub manifest: &'a Manifest,
}

/// The segments of a folder by their offsets, with how many bytes of them count.
type Files = BTreeMap<u64, u64>;

/// Why a frame or a header was not taken.
enum Refused {
    /// It does not continue the walk, which stands where it stood.
    Bad(String),
    /// Its records have another hash than it says; the walk's chains are spoilt.
    Spoilt,
}

struct Salvager<'a> {
    disk: &'a dyn Disk,
    files: Files,
    donor: Option<Donor<'a>>,
    donor_files: Files,
    /// Frames that spoil the chains, by their offset.
    spoilers: BTreeSet<(Source, u64)>,
    watched: Vec<(Shard, u64)>,
}

/// Walks all of a log.
///
/// # Errors
/// [`Error::BeyondRepair`] if no header can be read, [`Error::ForeignLineage`] if the backup is of another
/// ledger; [`Error::Io`].
pub(super) fn salvage(disk: &dyn Disk, donor: Option<Donor>) -> Result<Salvage> {
    let positions = position::each(disk)?;
    let files = own_files(disk)?;
    let Some(newest) = newest_header(disk, &files)? else {
        let what = "no header of a segment can be read".to_owned();
        return Err(Error::BeyondRepair { path: disk.path(""), what });
    };
    let donor_files = donor.map_or(Ok(Files::new()), |donor| donor_files(&donor, &newest))?;
    let watched = positions.iter().flat_map(|(_, position)| position.iter());
    let watched = watched.flat_map(|head| (0..).zip(&head.shards).map(|(shard, head)| (shard, head.sequence)));
    let watched = watched.filter(|(_, sequence)| *sequence > 0).collect();
    let mut salvager = Salvager { disk, files, donor, donor_files, spoilers: BTreeSet::new(), watched };
    let (walk, segments, breaks) = loop {
        match salvager.walk()? {
            Ok(walked) => break walked,
            Err(spoiler) => assert!(salvager.spoilers.insert(spoiler), "a frame spoils the chains once"),
        }
    };
    let mut named = vec![0; newest.tips.len()];
    let behind = salvager.behind(&segments, &mut named)?;
    Ok(Salvage { walk, segments, breaks, behind, lineage: newest.lineage, cuts: newest.cuts, named, positions })
}

fn own_files(disk: &dyn Disk) -> Result<Files> {
    let io = |name: &str, source| Error::Io { doing: "looking at", path: disk.path(name), source };
    let mut files = Files::new();
    for name in disk.list(segment::FOLDER).map_err(|source| io(segment::FOLDER, source))? {
        if let Some(base) = segment::base_of(&name) {
            let name = segment::name(base);
            let length = disk.open(&name, false).and_then(|file| file.len()).map_err(|source| io(&name, source))?;
            files.insert(base, length);
        }
    }
    Ok(files)
}

fn newest_header(disk: &dyn Disk, files: &Files) -> Result<Option<Header>> {
    for base in files.keys().rev() {
        if let Ok(header) = header_of(disk, *base)? {
            return Ok(Some(header.0));
        }
    }
    Ok(None)
}

/// A segment's header and its length, or why it cannot be read.
fn header_of(disk: &dyn Disk, base: u64) -> Result<Result<(Header, u64), String>> {
    let name = segment::name(base);
    let file = disk.open(&name, false);
    let file = file.map_err(|source| Error::Io { doing: "opening", path: disk.path(&name), source })?;
    match Header::read(disk, &name, &*file) {
        Ok((header, _)) if header.base != base => Ok(Err("the segment names another place".to_owned())),
        Ok(header) => Ok(Ok(header)),
        Err(Error::Damaged { what, .. }) => Ok(Err(what)),
        Err(other) => Err(other),
    }
}

/// What a backup may give: up to where its lineage and the log's are the same.
fn donor_files(donor: &Donor, newest: &Header) -> Result<Files> {
    let found = donor.manifest.head.lineage;
    let limit = if found == newest.lineage {
        u64::MAX
    } else if let Some(cut) = newest.cuts.iter().find(|cut| cut.lineage == found) {
        cut.base
    } else {
        let path = donor.disk.path(super::recovery::BACKUP);
        return Err(Error::ForeignLineage { path, expected: newest.lineage, found });
    };
    let mut files = Files::new();
    for copy in &donor.manifest.segments {
        let base = copy.file.rsplit('/').next().and_then(segment::base_of);
        let base = base.ok_or_else(|| Error::NotALedger { path: donor.disk.path(&copy.file) })?;
        if base < limit {
            files.insert(base, copy.length.min(limit - base));
        }
    }
    Ok(files)
}

type Walked = (Walk, Vec<Salvaged>, Vec<Break>);

impl Salvager<'_> {
    /// Walks as far as it goes; the error is a frame that must not be taken the next time.
    fn walk(&self) -> Result<Result<Walked, (Source, u64)>> {
        let mut walk = Walk::start(self.watched.clone());
        let (mut segments, mut breaks): (Vec<Salvaged>, Vec<Break>) = (Vec::new(), Vec::new());
        while let Some(mut segment) = self.enter(&mut walk, &segments, &mut breaks)? {
            let mut scans = [None, None];
            loop {
                let here = walk.offset;
                if self.files.contains_key(&here) || self.donor_files.contains_key(&here) {
                    break; // the next segment begins
                }
                let mut refusal = None;
                let mut taken = None;
                for source in [Source::Log, Source::Backup] {
                    if self.spoilers.contains(&(source, here)) {
                        refusal.get_or_insert("the hash in a frame differs from that of its records".to_owned());
                        continue;
                    }
                    match self.frame(source, &segment, &mut walk, &mut scans[source as usize])? {
                        None => {}
                        Some(Ok(())) => {
                            taken = Some(source);
                            break;
                        }
                        Some(Err(Refused::Spoilt)) => return Ok(Err((source, here))),
                        Some(Err(Refused::Bad(what))) => {
                            refusal.get_or_insert(what);
                        }
                    }
                }
                let broken = |what: String, mended| Break {
                    file: segment.name.clone(),
                    offset: here - segment.base,
                    what,
                    mended,
                };
                let Some(source) = taken else {
                    breaks.extend(refusal.map(|what| broken(what, false)));
                    segments.push(segment);
                    return Ok(Ok((walk, segments, breaks)));
                };
                if source == Source::Backup && segment.pieces.last().is_some_and(|piece| piece.source == Source::Log) {
                    breaks.push(broken(refusal.unwrap_or_else(|| "the segment's bytes end here".to_owned()), true));
                }
                let scan = scans[source as usize].as_ref().expect("it showed the frame");
                segment.frames += 1;
                segment.records += u64::from(scan.meta().records());
                segment.raw_bytes += scan.meta().raw();
                segment.last_frame = Some(here - segment.base);
                segment.take(source, walk.offset - segment.base);
            }
            segments.push(segment);
        }
        Ok(Ok((walk, segments, breaks)))
    }

    /// Goes into the segment that begins here, if there is one that does.
    fn enter(&self, walk: &mut Walk, before: &[Salvaged], breaks: &mut Vec<Break>) -> Result<Option<Salvaged>> {
        let base = walk.offset;
        let name = segment::name(base);
        let mut refusal = None;
        for (source, disk) in [(Source::Log, Some(self.disk)), (Source::Backup, self.donor.map(|donor| donor.disk))] {
            let Some(disk) = disk.filter(|_| self.files_of(source).contains_key(&base)) else { continue };
            let entered = header_of(disk, base)?.and_then(|(header, bytes)| {
                let lineage = header.lineage;
                walk.enter(disk, &name, header, bytes).map_err(|error| plain(&error)).map(|()| (lineage, bytes))
            });
            match entered {
                Err(what) => drop(refusal.get_or_insert(what)),
                Ok((lineage, header)) => {
                    if source == Source::Backup {
                        let what = refusal.unwrap_or_else(|| "the segment is missing".to_owned());
                        breaks.push(Break { file: name.clone(), offset: 0, what, mended: true });
                    }
                    let file_length = self.files.get(&base).copied();
                    let mut segment = Salvaged {
                        name,
                        base,
                        header,
                        lineage,
                        pieces: Vec::new(),
                        file_length,
                        frames: 0,
                        records: 0,
                        raw_bytes: 0,
                        last_frame: None,
                    };
                    segment.take(source, header);
                    return Ok(Some(segment));
                }
            }
        }
        if refusal.is_none() && before.is_empty() {
            refusal = Some("the log's first segment is missing".to_owned());
        }
        breaks.extend(refusal.map(|what| Break { file: name, offset: 0, what, mended: false }));
        Ok(None)
    }

    fn files_of(&self, source: Source) -> &Files {
        if source == Source::Log { &self.files } else { &self.donor_files }
    }

    /// Takes the frame that a source has where the walk stands. `None` if nothing stands there.
    fn frame(
        &self,
        source: Source,
        segment: &Salvaged,
        walk: &mut Walk,
        scan: &mut Option<Scan>,
    ) -> Result<Option<Result<(), Refused>>> {
        let disk = match (source, self.donor) {
            (Source::Log, _) => self.disk,
            (Source::Backup, Some(donor)) => donor.disk,
            (Source::Backup, None) => return Ok(None),
        };
        let position = walk.offset - segment.base;
        let Some(&length) = self.files_of(source).get(&segment.base).filter(|&&length| length > position) else {
            return Ok(None);
        };
        let path = disk.path(&segment.name);
        let io = |source| Error::Io { doing: "reading", path: path.clone(), source };
        if scan.as_ref().is_none_or(|scan| scan.position() != position) {
            let file = disk.open(&segment.name, false).map_err(io)?;
            *scan = Some(Scan::new(file, path.clone(), segment.base, position, Some(walk.previous)));
        }
        let scan = scan.as_mut().expect("it was just made");
        match scan.next(length, Depth::Whole)? {
            Step::End => Ok(None),
            Step::Frame if !walk.continues(scan) => {
                Ok(Some(Err(Refused::Bad("a frame does not continue its shard".to_owned()))))
            }
            Step::Frame => Ok(Some(walk.frame(scan).map_err(|_| Refused::Spoilt))),
            Step::Bad(invalid) => {
                let file = disk.open(&segment.name, false).map_err(io)?;
                let empty = first_nonzero(&*file, position).map_err(io)?.is_none();
                Ok((!empty).then(|| Err(Refused::Bad(invalid.to_owned()))))
            }
        }
    }

    /// Looks through what the walk did not take, and notes the sequences that it names.
    fn behind(&self, segments: &[Salvaged], named: &mut [u64]) -> Result<Vec<Behind>> {
        let mut behind = Vec::new();
        for (&base, &length) in &self.files {
            let name = segment::name(base);
            let taken = segments.iter().find(|segment| segment.base == base).map(|segment| {
                // Its own damaged bytes within the sound part are replaced, and name nothing new.
                segment.length()
            });
            let from = taken.unwrap_or(0);
            if from >= length {
                continue;
            }
            let io = |source| Error::Io { doing: "reading", path: self.disk.path(&name), source };
            let file = self.disk.open(&name, false).map_err(io)?;
            let mut bytes = vec![0; usize::try_from(length - from).expect("a segment fits in memory")];
            let read = file.read_at(from, &mut bytes).map_err(io)?;
            bytes.truncate(bytes[..read].iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
            if bytes.is_empty() && taken.is_some() {
                continue;
            }
            if taken.is_none()
                && let Ok((header, _)) = header_of(self.disk, base)?
            {
                header.tips.iter().zip(named.iter_mut()).for_each(|(tip, named)| {
                    *named = (*named).max(tip.head.sequence);
                });
            }
            let to = from + bytes.len() as u64;
            let (frames, records) = frames_in(&bytes, base + from, named);
            behind.push(Behind { name, from, to, frames, records });
        }
        Ok(behind)
    }
}

/// How many valid frames and records stand there; notes the sequences that they name.
fn frames_in(bytes: &[u8], first: u64, named: &mut [u64]) -> (u64, u64) {
    let (mut frames, mut records) = (0, 0);
    for_valid_frames(bytes, first, |_, meta| {
        for section in &meta.sections {
            if let Some(named) = named.get_mut(usize::from(section.shard)) {
                *named = (*named).max(section.last());
            }
        }
        frames += 1;
        records += u64::from(meta.records());
    });
    (frames, records)
}

/// Calls `found` with each valid frame, at whatever byte it begins; `first` is the offset of `bytes` in
/// the log.
pub(super) fn for_valid_frames(bytes: &[u8], first: u64, mut found: impl FnMut(usize, &Meta)) {
    let (mut at, mut meta) = (0, Meta::default());
    while at < bytes.len() {
        let rest = &bytes[at..];
        let valid = rest.starts_with(&frame::MAGIC)
            && meta.read(rest).is_ok()
            && meta.offset == first + at as u64
            && meta.blocks(rest).all(|block| block.is_ok());
        if valid {
            found(at, &meta);
        }
        at += if valid { meta.length as usize } else { 1 };
    }
}

/// What is wrong, without the file and the advice, which stand beside it.
fn plain(error: &Error) -> String {
    match error {
        Error::Damaged { what, .. } => what.clone(),
        Error::ForeignLineage { found, .. } => format!("the segment is of another ledger, {found}"),
        other => other.to_string(),
    }
}

impl Salvage {
    /// The hash that the sound part has behind a sequence which somebody has stored.
    pub fn hash_at(&self, shard: Shard, sequence: u64) -> Option<Hash> {
        if sequence == 0 {
            return Some(Hash::default());
        }
        let passed = self.walk.running.passed.iter();
        passed.rev().find(|(place, _)| *place == (shard, sequence)).map(|(_, hash)| *hash)
    }

    /// A file to copy a piece of a segment from.
    pub fn file(disk: &dyn Disk, name: &str) -> Result<Arc<dyn DiskFile>> {
        disk.open(name, false).map_err(|source| Error::Io { doing: "opening", path: disk.path(name), source })
    }
}
