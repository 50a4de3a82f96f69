//! Repairs a log that refuses to start. What is wrong is found by [`salvage`] and told by
//! [`Diagnosis`]; this file makes a plan of it and carries it out.
//!
//! Invariants. Nothing of the log's own is destroyed: what is cut or replaced is copied or moved to
//! `cut/` first. Until the plan stands in `repair.json`, nothing has changed but files that nobody
//! reads; from then on neither a writer nor a reader opens the ledger until the plan is carried out,
//! and each of its steps can be done again. Where answered records are lost, or may be, the ledger
//! goes on under a new lineage, and all that was derived from the old one is moved aside.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Disk,
    diagnosis::{Diagnosis, Findings},
    evidence::By,
    position::{self, Stated},
    recovery::{CUT_FOLDER, REPAIR, lock},
    salvage::{Donor, Piece, Salvage, Salvaged, Source, salvage},
    segment,
};
use crate::{Error, Result, backup::Manifest};

/// The folders of what is derived from the log and names its lineage.
pub(super) const DERIVED: [&str; 2] = ["index", "snapshots"];
/// What is copied at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A change of the ledger's folder that can be done again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    /// To a name that was free when the plan was made.
    Move { from: String, to: String },
    /// What is cut off was kept before.
    Cut { file: String, length: u64 },
    /// Ends the last segment in order behind its last frame. What stood there was kept before.
    End { file: String, at: u64, mark: Vec<u8> },
    /// The log's own position.
    Store { head: Stated },
}

/// What is to be done while the ledger still stands as it was.
enum Preparation {
    /// Copies bytes to a file in `cut/`.
    Keep { file: String, from: u64, to: u64, kept: String },
    /// Makes a whole segment of pieces of files, with the mark of an end in order if it is the last.
    Mend { pieces: Vec<(Source, String, Piece)>, made: String, mark: Vec<u8> },
    /// Makes the segment of the new lineage.
    Begin { header: Vec<u8>, made: String },
}

struct Plan {
    diagnosis: Diagnosis,
    preparations: Vec<Preparation>,
    steps: Vec<Step>,
}

/// What `repair.json` says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begun {
    diagnosis: Diagnosis,
    steps: Vec<Step>,
}

/// Says what is wrong with a log, and what [`repair`] would do; changes nothing.
///
/// # Errors
/// [`Error::Locked`] while somebody writes it; [`Error::NoLedger`], [`Error::NotALedger`];
/// [`Error::BeyondRepair`]; [`Error::ForeignLineage`] if the backup is of another ledger; [`Error::Io`].
pub fn diagnose(disk: &dyn Disk, backup: Option<&dyn Disk>) -> Result<Diagnosis> {
    let io = |source| Error::Io { doing: "looking at", path: disk.path(""), source };
    if disk.is_locked().map_err(io)? {
        return Err(Error::Locked { path: disk.path(""), pid: disk.lock_holder() });
    }
    must_be_a_ledger(disk)?;
    Ok(match begun(disk)? {
        Some(begun) => Diagnosis { begun: true, ..begun.diagnosis },
        None => plan(disk, backup)?.diagnosis,
    })
}

/// Repairs a log as [`diagnose`] says, or ends a repair that was begun. With a backup it takes what
/// is damaged from there, as far as it continues the log.
///
/// # Errors
/// Those of [`diagnose`]. After an error it can be called again.
pub fn repair(disk: &dyn Disk, backup: Option<&dyn Disk>) -> Result<Diagnosis> {
    must_be_a_ledger(disk)?;
    let _lock = lock(disk)?;
    let begun = if let Some(begun) = begun(disk)? {
        begun
    } else {
        let plan = plan(disk, backup)?;
        if plan.diagnosis.is_sound() {
            return Ok(plan.diagnosis);
        }
        plan.prepare(disk, backup)?
    };
    begun.carry_out(disk)?;
    let left = plan(disk, None)?.diagnosis;
    match left.problems.first() {
        None => Ok(begun.diagnosis),
        Some(problem) => Err(Error::damaged(
            disk.path(&problem.file),
            problem.offset,
            format!("after the repair: {}; the disk may be failing", problem.what),
        )),
    }
}

fn must_be_a_ledger(disk: &dyn Disk) -> Result<()> {
    let names = disk.list("").map_err(|source| Error::Io { doing: "listing", path: disk.path(""), source })?;
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    match () {
        () if has(super::recovery::BACKUP) => Err(Error::IsABackup { path: disk.path("") }),
        // The log's own folder may be what is lost.
        () if ![segment::FOLDER, position::FOLDER, CUT_FOLDER].into_iter().chain(DERIVED).any(has) => {
            Err(Error::NoLedger { path: disk.path("") })
        }
        () if has(super::recovery::RESTORE) => {
            let path = disk.path(super::recovery::RESTORE);
            Err(Error::Unfinished { path, what: "a restore from a backup" })
        }
        () => Ok(()),
    }
}

/// A plan that was begun.
fn begun(disk: &dyn Disk) -> Result<Option<Begun>> {
    match disk.read(REPAIR) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::damaged(disk.path(REPAIR), 0, error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { doing: "reading", path: disk.path(REPAIR), source }),
    }
}

fn plan(disk: &dyn Disk, backup: Option<&dyn Disk>) -> Result<Plan> {
    let manifest = backup.map(Manifest::read).transpose()?;
    let donor = backup.zip(manifest.as_ref()).map(|(disk, manifest)| Donor { disk, manifest });
    let salvage = salvage(disk, donor)?;
    Planner::new(disk)?.plan(&salvage)
}

struct Planner<'a> {
    disk: &'a dyn Disk,
    /// The names in `cut/`, with those that the plan takes.
    kept: Vec<String>,
    preparations: Vec<Preparation>,
    steps: Vec<Step>,
    actions: Vec<String>,
}

impl<'a> Planner<'a> {
    fn new(disk: &'a dyn Disk) -> Result<Self> {
        let kept = list(disk, CUT_FOLDER)?;
        Ok(Self { disk, kept, preparations: Vec::new(), steps: Vec::new(), actions: Vec::new() })
    }

    fn plan(mut self, salvage: &Salvage) -> Result<Plan> {
        let found = Findings::of(salvage);
        let Some(mut head) = salvage.walk.head() else {
            let what: Vec<String> = found.problems.iter().map(|p| format!("{}: {}", p.file, p.what)).collect();
            return Err(Error::BeyondRepair { path: self.disk.path(""), what: what.join("; ") });
        };
        // First what makes room, then what takes its place: each step can be done again then.
        let kept: Vec<usize> = salvage.segments.iter().filter_map(|segment| in_place(segment, salvage)).collect();
        for (number, file) in salvage.files.iter().enumerate() {
            if !kept.contains(&number) {
                self.aside(&file.name);
            }
        }
        for (n, segment) in salvage.segments.iter().enumerate() {
            let is_last = n + 1 == salvage.segments.len() && !found.renewed;
            match in_place(segment, salvage) {
                Some(number) => self.trim(segment, salvage, number, is_last, found.mark_again),
                None => self.mend(segment, salvage, is_last),
            }
        }
        if found.renewed {
            head.lineage = Uuid::now_v7();
            self.renew(salvage, &head)?;
        } else {
            head.lineage = salvage.lineage;
            found.aside.iter().for_each(|name| self.aside(name));
            if found.head_again {
                self.actions.push(format!("makes {} again", position::file_of(position::HEAD)));
                let stated = Stated { head: head.clone(), former: salvage.walk.former(), closed: false };
                self.steps.push(Step::Store { head: stated });
            }
        }
        let diagnosis = Diagnosis {
            problems: found.problems,
            lost: found.lost,
            open_ended: found.open_ended,
            lineage: salvage.lineage,
            head,
            actions: self.actions,
            begun: false,
        };
        Ok(Plan { diagnosis, preparations: self.preparations, steps: self.steps })
    }

    /// Makes a segment of pieces that stand elsewhere: in the backup, or in a file with another name.
    fn mend(&mut self, segment: &Salvaged, salvage: &Salvage, is_last: bool) {
        let name = &segment.name;
        let made = format!("{name}{}", super::disk::UNFINISHED);
        let mut pieces = Vec::new();
        for &piece in &segment.pieces {
            let file = match piece.source {
                Source::Own(number) => salvage.files[number].name.clone(),
                Source::Backup => name.clone(),
            };
            let Piece { from, to, .. } = piece;
            match piece.source {
                Source::Backup => {
                    self.actions.push(format!("takes the bytes {from} to {to} of {name} from the backup"));
                }
                Source::Own(_) if file != *name => self.actions.push(format!("makes {name} of {file}")),
                Source::Own(_) => {}
            }
            pieces.push((piece.source, file, piece));
        }
        let mark = if is_last { salvage.walk.mark().to_vec() } else { Vec::new() };
        self.preparations.push(Preparation::Mend { pieces, made: made.clone(), mark });
        self.steps.push(Step::Move { from: made, to: name.clone() });
    }

    /// Takes off what stands behind the sound part of a segment whose file is in its place.
    fn trim(&mut self, segment: &Salvaged, salvage: &Salvage, number: usize, is_last: bool, mark_again: bool) {
        let (name, length) = (&segment.name, segment.length());
        let behind = salvage.behind.iter().find(|behind| behind.name == *name);
        if let Some(behind) = behind {
            let (from, to) = (behind.from, behind.to);
            let kept = self.free_name(&format!("{:016x}-{from}.bin", segment.base));
            self.actions.push(format!("keeps the bytes {from} to {to} of {name} in {kept}"));
            self.preparations.push(Preparation::Keep { file: name.clone(), from, to, kept });
        }
        if is_last {
            if behind.is_some() || mark_again {
                self.actions.push(format!("ends {name} behind byte {length}"));
                let mark = salvage.walk.mark().to_vec();
                self.steps.push(Step::End { file: name.clone(), at: length, mark });
            }
        } else if salvage.files[number].length > length {
            self.actions.push(format!("cuts {name} behind byte {length}"));
            self.steps.push(Step::Cut { file: name.clone(), length });
        }
    }

    /// Goes on under a new lineage, with nothing that was derived from the old one.
    fn renew(&mut self, salvage: &Salvage, head: &super::Head) -> Result<()> {
        for (claim, _) in salvage.claims.iter().filter(|(claim, _)| claim.by != By::Derived) {
            self.aside(&claim.file);
        }
        for folder in DERIVED {
            for file in list(self.disk, folder)? {
                self.aside(&format!("{folder}/{file}"));
            }
        }
        let Some((name, header)) = salvage.walk.renewed(head.lineage) else {
            let what = format!("the log has had {} cuts, the most there can be", segment::MAX_CUTS);
            return Err(Error::BeyondRepair { path: self.disk.path(""), what });
        };
        let made = format!("{name}{}", super::disk::UNFINISHED);
        self.actions.push(format!("goes on in {name} under the new lineage {}", head.lineage));
        self.preparations.push(Preparation::Begin { header, made: made.clone() });
        self.steps.push(Step::Move { from: made, to: name });
        let mut former = salvage.walk.former();
        former.extend(salvage.walk.header.iter().map(|header| header.lineage));
        self.steps.push(Step::Store { head: Stated { head: head.clone(), former, closed: true } });
        Ok(())
    }

    /// Moves a file to `cut/`.
    fn aside(&mut self, name: &str) {
        let plain =
            name.strip_prefix(segment::FOLDER).map_or_else(|| name.replace('/', "-"), |rest| rest[1..].to_owned());
        let kept = self.free_name(&plain);
        self.actions.push(format!("moves {name} to {kept}"));
        self.steps.push(Step::Move { from: name.to_owned(), to: kept });
    }

    /// A free name in `cut/`: the wanted one, or with a number.
    fn free_name(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        for n in 2.. {
            if !self.kept.contains(&name) {
                break;
            }
            name = format!("{n}-{wanted}");
        }
        self.kept.push(name.clone());
        format!("{CUT_FOLDER}/{name}")
    }
}

/// The one file that has all of a segment's sound bytes and stands where it belongs.
fn in_place(segment: &Salvaged, salvage: &Salvage) -> Option<usize> {
    match segment.pieces.as_slice() {
        [Piece { source: Source::Own(number), .. }] => Some(*number).filter(|&n| salvage.files[n].name == segment.name),
        _ => None,
    }
}

impl Plan {
    /// Makes the files that the steps need, durably, then the plan itself.
    fn prepare(self, disk: &dyn Disk, backup: Option<&dyn Disk>) -> Result<Begun> {
        let io = |doing, name: &str, source| Error::Io { doing, path: disk.path(name), source };
        for folder in [CUT_FOLDER, position::FOLDER] {
            disk.create_dir(folder).map_err(|source| io("making the folder", folder, source))?;
        }
        for preparation in &self.preparations {
            match preparation {
                Preparation::Keep { file, from, to, kept } => {
                    let piece = Piece { source: Source::Own(0), from: *from, to: *to };
                    copy(disk, backup, &[(piece.source, file.clone(), piece)], &[], kept)?;
                }
                Preparation::Mend { pieces, made, mark } => copy(disk, backup, pieces, mark, made)?,
                Preparation::Begin { header, made } => {
                    let file = disk.open(made, true).map_err(|source| io("making", made, source))?;
                    let written = file.set_len(0).and_then(|()| file.write_at(0, header)).and_then(|()| file.sync());
                    written.map_err(|source| io("writing", made, source))?;
                }
            }
        }
        for folder in ["", CUT_FOLDER, segment::FOLDER] {
            disk.sync_dir(folder).map_err(|source| io("syncing", folder, source))?;
        }
        let begun = Begun { diagnosis: self.diagnosis, steps: self.steps };
        let mut json = serde_json::to_vec(&begun).expect("a plan has a JSON form");
        json.push(b'\n');
        disk.write_atomic(REPAIR, &json).map_err(|source| io("writing", REPAIR, source))?;
        Ok(begun)
    }
}

/// Copies pieces of files behind one another to a new file, then the bytes that it ends with.
fn copy(
    disk: &dyn Disk,
    backup: Option<&dyn Disk>,
    pieces: &[(Source, String, Piece)],
    end: &[u8],
    to: &str,
) -> Result<()> {
    let io = |doing, name: &str, source| Error::Io { doing, path: disk.path(name), source };
    let made = disk.open(to, true).map_err(|source| io("making", to, source))?;
    made.set_len(0).map_err(|source| io("making", to, source))?;
    let (mut at, mut chunk) = (0, vec![0; CHUNK_BYTES]);
    for (source, name, piece) in pieces {
        let source = match source {
            Source::Own(_) => disk,
            Source::Backup => backup.expect("pieces of a backup were found in one"),
        };
        let opened = source.open(name, false);
        let file = opened.map_err(|error| Error::Io { doing: "opening", path: source.path(name), source: error })?;
        let mut from = piece.from;
        while from < piece.to {
            let step = usize::try_from(piece.to - from).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
            let chunk = &mut chunk[..step];
            let read = file.read_at(from, chunk);
            let read = read.map_err(|error| Error::Io { doing: "reading", path: source.path(name), source: error })?;
            if read < step {
                return Err(Error::damaged(source.path(name), from + read as u64, "the file became shorter"));
            }
            made.write_at(at, chunk).map_err(|source| io("writing", to, source))?;
            from += step as u64;
            at += step as u64;
        }
    }
    made.write_at(at, end).and_then(|()| made.sync()).map_err(|source| io("writing", to, source))
}

impl Begun {
    /// Does each step that is not done yet.
    fn carry_out(&self, disk: &dyn Disk) -> Result<()> {
        let io = |doing, name: &str, source| Error::Io { doing, path: disk.path(name), source };
        for step in &self.steps {
            match step {
                Step::Move { from, to } => {
                    if is_there(disk, from)? && !is_there(disk, to)? {
                        disk.rename(from, to).map_err(|source| io("moving", from, source))?;
                    }
                    for folder in [to, from].map(|name| super::disk::folder_of(name)) {
                        disk.sync_dir(folder).map_err(|source| io("syncing", folder, source))?;
                    }
                }
                Step::Cut { file, length } => {
                    let cut = disk.open_existing(file).and_then(|file| {
                        if file.len()? > *length {
                            file.set_len(*length)?;
                        }
                        file.sync()
                    });
                    cut.map_err(|source| io("cutting", file, source))?;
                }
                Step::End { file, at, mark } => {
                    let ended = disk.open_existing(file).and_then(|file| {
                        file.write_at(*at, mark)?;
                        file.set_len(at + mark.len() as u64)?;
                        file.sync()
                    });
                    ended.map_err(|source| io("ending", file, source))?;
                }
                Step::Store { head } => position::store(disk, position::HEAD, head)?,
            }
        }
        let is_report = |name: &&String| name.starts_with("repair-") && !name.ends_with(super::disk::UNFINISHED);
        let earlier = list(disk, CUT_FOLDER)?.iter().filter(is_report).count();
        let name = format!("{CUT_FOLDER}/repair-{}.json", earlier + 1);
        let mut json = serde_json::to_vec_pretty(&self.diagnosis).expect("a diagnosis has a JSON form");
        json.push(b'\n');
        disk.write_atomic(&name, &json).map_err(|source| io("writing", &name, source))?;
        let removed = disk.remove(REPAIR).and_then(|()| disk.sync_dir(""));
        removed.map_err(|source| io("removing", REPAIR, source))
    }
}

fn list(disk: &dyn Disk, folder: &str) -> Result<Vec<String>> {
    disk.list(folder).map_err(|source| Error::Io { doing: "listing", path: disk.path(folder), source })
}

fn is_there(disk: &dyn Disk, name: &str) -> Result<bool> {
    match disk.open(name, false) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Io { doing: "looking for", path: disk.path(name), source }),
    }
}
