//! What of a log can be read, with a backup to take from where it cannot.
//!
//! The log is walked from its first byte. Where its own bytes do not go on, a backup of the same log
//! may have them: a frame is taken from there only if it continues the chain of frames and the hash
//! chain of the records, so it is the very frame that was there. A segment is known by its header, not by its
//! name. Where nothing goes on, the sound part ends; what stands behind it is looked through for what it says
//! of the records that are lost.
//!
//! A start surveys the [`tail`](super::tail) in the same terms, and reads the rest only if it is in doubt.

use std::collections::{BTreeMap, BTreeSet};

use schemas::Shard;
use uuid::Uuid;

use super::{
    Disk,
    ending::{self, Ending, for_valid_frames},
    evidence::{self, Bearing, Claim, Compared},
    files::{self, LogFile},
    scan::{Depth, Scan, Step},
    segment::{self, Header, LineageCut},
    walk::Walk,
};
use crate::{Error, Result, backup::Manifest};

/// Where bytes come from: a file of the log's own, by its number among [`Salvage::files`], or the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Own(usize),
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
    pub reserved: u64,
    pub pieces: Vec<Piece>,
    pub frames: u64,
    pub records: u64,
    pub raw_bytes: u64,
    /// Where its last frame stands.
    pub last_frame: Option<u64>,
}

impl Salvaged {
    pub fn of(header: &Header, bytes: u64, source: Source) -> Self {
        let mut segment = Self {
            name: segment::name(header.base),
            base: header.base,
            header: bytes,
            lineage: header.lineage,
            reserved: header.reserved,
            pieces: Vec::new(),
            frames: 0,
            records: 0,
            raw_bytes: 0,
            last_frame: None,
        };
        segment.take(source, bytes);
        segment
    }

    /// Its sound bytes.
    pub fn length(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.to)
    }

    /// Takes the bytes up to there.
    pub fn take(&mut self, source: Source, to: u64) {
        match self.pieces.last_mut() {
            Some(piece) if piece.source == source => piece.to = to,
            last => {
                let from = last.map_or(0, |piece| piece.to);
                self.pieces.push(Piece { source, from, to });
            }
        }
    }

    /// Takes the frame that a scan shows.
    pub fn frame(&mut self, source: Source, scan: &Scan) {
        let meta = scan.meta();
        self.frames += 1;
        self.records += u64::from(meta.records());
        self.raw_bytes += meta.raw();
        self.last_frame = Some(meta.offset - self.base);
        self.take(source, scan.position());
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

/// What of the log's own stands behind its sound part, or beside it.
#[derive(Debug, Clone)]
pub(super) struct Behind {
    pub name: String,
    /// Where in the file it begins.
    pub from: u64,
    /// Behind its last byte that is not zero.
    pub to: u64,
    /// Valid frames of records that the sound part lacks, and how many records those have.
    pub frames: u64,
    pub records: u64,
}

/// What a survey found.
pub(super) struct Salvage {
    /// It stands behind the sound part.
    pub walk: Walk,
    pub files: Vec<LogFile>,
    pub segments: Vec<Salvaged>,
    pub breaks: Vec<Break>,
    pub behind: Vec<Behind>,
    /// Behind the sound part's last frame.
    pub ending: Ending,
    /// Whether the log's own newest file proves its end, so that nothing came behind what it names.
    pub ends_here: bool,
    /// The first lineage, the newest one that a header names, and those before that.
    pub origin: Uuid,
    pub lineage: Uuid,
    pub cuts: Vec<LineageCut>,
    /// Each shard's highest sequence that a frame or a header names.
    pub named: Vec<u64>,
    pub claims: Vec<(Claim, Bearing)>,
}

/// A backup to take from.
#[derive(Clone, Copy)]
pub(super) struct Donor<'a> {
    pub disk: &'a dyn Disk,
    pub manifest: &'a Manifest,
}

/// Why a frame was not taken.
enum Refused {
    /// It does not continue the walk, which stands where it stood.
    Bad(String),
    /// Its records have another hash than it says; the walk's chains are spoilt.
    Spoilt,
}

struct Salvager<'a> {
    disk: &'a dyn Disk,
    files: &'a [LogFile],
    /// By the offset that they are for, the rightly named first.
    own: BTreeMap<u64, Vec<usize>>,
    donor: Option<Donor<'a>>,
    /// How many bytes of the backup's segments count, by their offsets.
    donated: BTreeMap<u64, u64>,
    /// Frames that spoil the chains, by their offset.
    spoilers: BTreeSet<(Source, u64)>,
    watched: Vec<(Shard, u64)>,
}

/// Surveys all of a log.
///
/// # Errors
/// [`Error::NoLedger`] if nothing says that there was one; [`Error::BeyondRepair`] if it cannot be told whose it
/// is; [`Error::ForeignLineage`] if the backup is of another ledger; [`Error::Io`].
pub(super) fn salvage(disk: &dyn Disk, donor: Option<Donor>) -> Result<Salvage> {
    let claims = evidence::claims(disk)?;
    let files = files::all(disk)?;
    let whose = files::whose(&files, &claims).map_err(|[(one, here), (other, there)]| {
        let what = format!(
            "{here} is of ledger {one}, and {there} of ledger {other}, with nothing else to say which one this is; \
             move away what does not belong here"
        );
        Error::BeyondRepair { path: disk.path(""), what }
    })?;
    let newest = newest_header(&files, whose);
    if newest.is_none() && claims.is_empty() && donor.is_none() {
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        let what = format!("no header of a segment can be read: {}", names.join(", "));
        let path = disk.path("");
        return Err(if files.is_empty() { Error::NoLedger { path } } else { Error::BeyondRepair { path, what } });
    }
    let donated = donor.map_or(Ok(BTreeMap::new()), |donor| donated(&donor, newest.as_ref(), &claims))?;
    let watched = claims.iter().filter_map(|claim| claim.stated.as_ref().ok());
    let watched = watched.flat_map(|stated| (0..).zip(&stated.head.shards).map(|(shard, head)| (shard, head.sequence)));
    let watched = watched.filter(|(_, sequence)| *sequence > 0).collect();
    let own = by_base(&files, whose);
    let mut salvager = Salvager { disk, files: &files, own, donor, donated, spoilers: BTreeSet::new(), watched };
    let (walk, segments, breaks) = loop {
        match salvager.walk()? {
            Ok(walked) => break walked,
            Err(spoiler) => assert!(salvager.spoilers.insert(spoiler), "a frame spoils the chains once"),
        }
    };
    // A backup may know a later lineage than what is left of the log.
    let newest = [newest, walk.header.clone()].into_iter().flatten().max_by_key(|header| header.cuts.len());
    let (lineage, cuts, shards) = match &newest {
        Some(header) => (header.lineage, header.cuts.clone(), header.tips.len()),
        None => (whose.unwrap_or_default(), Vec::new(), 0),
    };
    let origin = cuts.first().map_or(lineage, |cut| cut.lineage);
    let mut named = vec![0; shards.max(walk.running.tips.len())];
    let (behind, own_end) = salvager.behind(&walk, &segments, &cuts, &mut named)?;
    let ending = salvager.ending(&walk, &segments)?;
    let ends_here = own_end.unwrap_or(ending).is_proven();
    let compared = Compared { lineage, cuts: &cuts, tips: &walk.running.tips };
    let bearing = |claim: Claim| {
        let bearing = compared.bearing(&claim, |shard, sequence| Ok(walk.hash_at(shard, sequence)))?;
        Ok((claim, bearing))
    };
    let claims = claims.into_iter().map(bearing).collect::<Result<Vec<_>>>()?;
    Ok(Salvage { walk, files, segments, breaks, behind, ending, ends_here, origin, lineage, cuts, named, claims })
}

/// The newest header of a ledger: under its last lineage, and there the last.
fn newest_header(files: &[LogFile], whose: Option<Uuid>) -> Option<Header> {
    let ours = files.iter().filter_map(|file| file.header.as_ref().ok()).map(|(header, _)| header);
    let ours = ours.filter(|header| Some(header.origin()) == whose);
    ours.max_by_key(|header| (header.cuts.len(), header.base)).cloned()
}

/// The files that may be this ledger's, by the offset that they are for.
fn by_base(files: &[LogFile], whose: Option<Uuid>) -> BTreeMap<u64, Vec<usize>> {
    let mut own: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (number, file) in files.iter().enumerate() {
        let ours = file.header.as_ref().map_or(true, |(header, _)| Some(header.origin()) == whose);
        if let Some(base) = file.base().filter(|_| ours) {
            own.entry(base).or_default().push(number);
        }
    }
    for numbers in own.values_mut() {
        numbers.sort_by_key(|&number| !files[number].is_in_place());
    }
    own
}

/// What a backup may give: up to where its lineage and the log's are the same.
fn donated(donor: &Donor, newest: Option<&Header>, claims: &[Claim]) -> Result<BTreeMap<u64, u64>> {
    let found = donor.manifest.head.lineage;
    let foreign = |expected| Error::ForeignLineage { path: donor.disk.path(super::recovery::BACKUP), expected, found };
    let last = donor.manifest.segments.last().map(|copy| {
        let file = donor.disk.open(&copy.file, false);
        let file = file.map_err(|source| Error::Io { doing: "opening", path: donor.disk.path(&copy.file), source })?;
        Header::read(donor.disk, &copy.file, &*file).map(|(header, _)| header)
    });
    let before: Vec<Uuid> = match last {
        Some(Ok(header)) => header.cuts.iter().map(|cut| cut.lineage).collect(),
        Some(Err(error @ Error::Io { .. })) => return Err(error),
        _ => Vec::new(),
    };
    let limit = match newest {
        Some(newest) if found == newest.lineage || before.contains(&newest.lineage) => u64::MAX,
        Some(newest) => match newest.cuts.iter().find(|cut| cut.lineage == found) {
            Some(cut) => cut.base,
            None => return Err(foreign(newest.lineage)),
        },
        None => {
            // Nothing of the log is left: the positions say whose it was.
            let stated = claims.iter().filter_map(|claim| claim.stated.as_ref().ok());
            let lineages: Vec<Uuid> = stated.map(|stated| stated.head.lineage).collect();
            match lineages.iter().find(|&&lineage| lineage != found && !before.contains(&lineage)) {
                Some(&expected) => return Err(foreign(expected)),
                None => u64::MAX,
            }
        }
    };
    let mut donated = BTreeMap::new();
    for copy in &donor.manifest.segments {
        let base = copy.file.rsplit('/').next().and_then(segment::base_of);
        let base = base.ok_or_else(|| Error::NotALedger { path: donor.disk.path(&copy.file) })?;
        if base < limit {
            donated.insert(base, copy.length.min(limit - base));
        }
    }
    Ok(donated)
}

type Walked = (Walk, Vec<Salvaged>, Vec<Break>);

impl Salvager<'_> {
    /// Walks as far as it goes; the error is a frame that must not be taken the next time.
    fn walk(&self) -> Result<Result<Walked, (Source, u64)>> {
        let mut walk = Walk::start(self.watched.clone());
        let (mut segments, mut breaks): (Vec<Salvaged>, Vec<Break>) = (Vec::new(), Vec::new());
        let mut scans: BTreeMap<Source, Scan> = BTreeMap::new();
        loop {
            let here = walk.offset;
            // Where a segment begins, the one before it ends, unless that begins in vain.
            let mut refusal = None;
            if let Some(entered) = self.enter(&mut walk, &mut breaks)? {
                match entered {
                    Ok(segment) => {
                        segments.push(segment);
                        scans.clear();
                        continue;
                    }
                    Err(what) => refusal = Some((segment::name(here), 0, what)),
                }
            }
            let Some(segment) = segments.last_mut() else {
                let what = "the log's first segment is missing".to_owned();
                let (file, offset, what) = refusal.unwrap_or((segment::name(0), 0, what));
                breaks.push(Break { file, offset, what, mended: false });
                return Ok(Ok((walk, segments, breaks)));
            };
            let mut taken = None;
            for source in self.sources(segment.base) {
                let bad = |what| Some((segment.name.clone(), here - segment.base, what));
                if self.spoilers.contains(&(source, here)) {
                    refusal =
                        refusal.or_else(|| bad("the hash in a frame differs from that of its records".to_owned()));
                    continue;
                }
                match self.frame(source, segment, &mut walk, &mut scans)? {
                    None => {}
                    Some(Ok(())) => {
                        taken = Some(source);
                        break;
                    }
                    Some(Err(Refused::Spoilt)) => return Ok(Err((source, here))),
                    Some(Err(Refused::Bad(what))) => refusal = refusal.or_else(|| bad(what)),
                }
            }
            let Some(source) = taken else {
                breaks.extend(refusal.map(|(file, offset, what)| Break { file, offset, what, mended: false }));
                return Ok(Ok((walk, segments, breaks)));
            };
            let before = segment.pieces.last().map(|piece| piece.source);
            if source == Source::Backup && before != Some(Source::Backup) {
                let ends = || (segment.name.clone(), here - segment.base, "the segment's bytes end here".to_owned());
                let (file, offset, what) = refusal.unwrap_or_else(ends);
                breaks.push(Break { file, offset, what, mended: true });
            }
            segment.frame(source, &scans[&source]);
        }
    }

    /// What may have the bytes of a segment, in the order in which they are asked.
    fn sources(&self, base: u64) -> Vec<Source> {
        let own = self.own.get(&base).into_iter().flatten().map(|&number| Source::Own(number));
        own.chain(self.donated.contains_key(&base).then_some(Source::Backup)).collect()
    }

    /// The disk, file and length of a source.
    fn place(&self, source: Source, base: u64) -> (&dyn Disk, String, u64) {
        match (source, self.donor) {
            (Source::Own(number), _) => (self.disk, self.files[number].name.clone(), self.files[number].length),
            (Source::Backup, donor) => {
                let donor = donor.expect("what is donated has a donor");
                (donor.disk, segment::name(base), self.donated[&base])
            }
        }
    }

    /// Goes into the segment that begins here: `None` if none does, or why none that does goes on.
    fn enter(&self, walk: &mut Walk, breaks: &mut Vec<Break>) -> Result<Option<Result<Salvaged, String>>> {
        let base = walk.offset;
        let mut refusal = None;
        for source in self.sources(base) {
            let (disk, name, _) = self.place(source, base);
            let header = match source {
                Source::Own(number) => self.files[number].header.clone(),
                Source::Backup => header_of(disk, &name)?,
            };
            let entered = header.and_then(|(header, bytes)| {
                let segment = Salvaged::of(&header, bytes, source);
                walk.enter(disk, &name, header, bytes).map_err(|error| plain(&error)).map(|()| segment)
            });
            match entered {
                Err(what) => drop(refusal.get_or_insert(what)),
                Ok(segment) => {
                    if source == Source::Backup {
                        let what = refusal.unwrap_or_else(|| "the segment is missing".to_owned());
                        breaks.push(Break { file: segment.name.clone(), offset: 0, what, mended: true });
                    }
                    return Ok(Some(Ok(segment)));
                }
            }
        }
        Ok(refusal.map(Err))
    }

    /// Takes the frame that a source has where the walk stands. `None` if nothing stands there.
    fn frame(
        &self,
        source: Source,
        segment: &Salvaged,
        walk: &mut Walk,
        scans: &mut BTreeMap<Source, Scan>,
    ) -> Result<Option<Result<(), Refused>>> {
        let (disk, name, length) = self.place(source, segment.base);
        let position = walk.offset - segment.base;
        if length <= position {
            return Ok(None);
        }
        let io = |source| Error::Io { doing: "reading", path: disk.path(&name), source };
        if scans.get(&source).is_none_or(|scan| scan.position() != position) {
            let file = disk.open(&name, false).map_err(io)?;
            scans.insert(source, Scan::new(file, disk.path(&name), segment.base, position, Some(walk.previous)));
        }
        let scan = scans.get_mut(&source).expect("it was just made");
        match scan.next(length, Depth::Whole)? {
            Step::End => Ok(None),
            Step::Frame if !walk.continues(scan) => {
                Ok(Some(Err(Refused::Bad("a frame does not continue its shard".to_owned()))))
            }
            Step::Frame => Ok(Some(walk.frame(scan).map_err(|_| Refused::Spoilt))),
            Step::Bad(invalid) => {
                let file = disk.open(&name, false).map_err(io)?;
                let at = (position, walk.offset, walk.previous);
                let rest = ending::behind(disk, &name, &*file, 0, at)?;
                let nothing = rest.bytes.is_empty() || rest.ending == Ending::Marked;
                Ok((!nothing).then(|| Err(Refused::Bad(invalid.to_owned()))))
            }
        }
    }

    /// What stands where the sound part ends, in the file that it ends in.
    fn ending(&self, walk: &Walk, segments: &[Salvaged]) -> Result<Ending> {
        let Some(last) = segments.last() else { return Ok(Ending::Missing) };
        let Some(&number) = self.own.get(&last.base).and_then(|numbers| numbers.first()) else {
            return Ok(Ending::Missing);
        };
        let name = &self.files[number].name;
        let file = open(self.disk, name)?;
        if file.len().map_err(|source| Error::Io { doing: "looking at", path: self.disk.path(name), source })?
            < last.length()
        {
            return Ok(Ending::Short { reserved: last.reserved }); // the backup has more of it
        }
        let at = (last.length(), walk.offset, walk.previous);
        Ok(ending::behind(self.disk, name, &*file, last.reserved, at)?.ending)
    }

    /// Looks through what the walk did not take, and notes the sequences that it names. With it comes the ending
    /// of the newest file of the log's own, if the sound part does not end in that.
    fn behind(
        &self,
        walk: &Walk,
        segments: &[Salvaged],
        cuts: &[LineageCut],
        named: &mut [u64],
    ) -> Result<(Vec<Behind>, Option<Ending>)> {
        let (mut behind, mut newest) = (Vec::new(), None);
        for &number in self.own.values().flatten() {
            let file = &self.files[number];
            let taken = segments.iter().flat_map(|segment| &segment.pieces);
            let taken = taken.filter(|piece| piece.source == Source::Own(number)).map(|piece| piece.to).max();
            let whole = segments.iter().find(|segment| Some(segment.base) == file.base());
            // Its own damaged bytes within the sound part are replaced, and name nothing new.
            let from = taken.map_or(0, |taken| whole.map_or(taken, |segment| segment.length().max(taken)));
            let header = file.header.as_ref().ok().map(|(header, _)| header);
            // What lies behind a cut under the lineage before it was lost when the cut was made.
            let given_up =
                header.and_then(|header| cuts.iter().find(|cut| cut.lineage == header.lineage)).map(|cut| cut.base);
            if taken.is_none()
                && let Some(header) = header.filter(|header| given_up.is_none_or(|cut| header.base < cut))
            {
                for (named, tip) in named.iter_mut().zip(&header.tips) {
                    *named = (*named).max(tip.head.sequence);
                }
            }
            if from >= file.length {
                newest = Some((file.base(), None));
                continue;
            }
            let handle = open(self.disk, &file.name)?;
            let mut last = (from, walk.offset, walk.previous);
            let rest = ending::behind(self.disk, &file.name, &*handle, 0, last)?;
            let (mut frames, mut records) = (0, 0);
            for_valid_frames(&rest.bytes, |at, meta| {
                last = (from + at as u64 + u64::from(meta.length), meta.end(), meta.crc);
                if !walk.lacks(meta) || given_up.is_some_and(|cut| meta.offset >= cut) {
                    return;
                }
                for section in &meta.sections {
                    if let Some(named) = named.get_mut(usize::from(section.shard)) {
                        *named = (*named).max(section.last());
                    }
                }
                frames += 1;
                records += u64::from(meta.records());
            });
            let reserved = header.map_or(u64::MAX, |header| header.reserved);
            let ending = ending::behind(self.disk, &file.name, &*handle, reserved, last)?.ending;
            newest = Some((file.base(), Some(ending)));
            let marked = taken.is_some() && rest.ending == Ending::Marked;
            if (taken.is_none() || !rest.bytes.is_empty()) && !marked {
                let to = from + rest.bytes.len() as u64;
                behind.push(Behind { name: file.name.clone(), from, to, frames, records });
            }
        }
        let last = segments.last().map(|segment| segment.base);
        let newest = newest.filter(|(base, _)| *base != last || behind.iter().any(|behind| behind.frames > 0));
        Ok((behind, newest.map(|(_, ending)| ending.unwrap_or(Ending::Missing))))
    }
}

fn open(disk: &dyn Disk, name: &str) -> Result<std::sync::Arc<dyn super::DiskFile>> {
    disk.open(name, false).map_err(|source| Error::Io { doing: "opening", path: disk.path(name), source })
}

/// A segment's header and its length, or why it cannot be read.
fn header_of(disk: &dyn Disk, name: &str) -> Result<Result<(Header, u64), String>> {
    match Header::read(disk, name, &*open(disk, name)?) {
        Ok(header) => Ok(Ok(header)),
        Err(Error::Damaged { what, .. }) => Ok(Err(what)),
        Err(other) => Err(other),
    }
}

/// What is wrong, without the file and the advice, which stand beside it.
fn plain(error: &Error) -> String {
    match error {
        Error::Damaged { what, .. } => what.clone(),
        Error::ForeignLineage { found, .. } => format!("the segment is of lineage {found}, which does not follow"),
        other => other.to_string(),
    }
}
