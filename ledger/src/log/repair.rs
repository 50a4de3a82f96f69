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
    Disk, Head,
    diagnosis::{Diagnosis, Findings},
    position,
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
    /// The end of the log, as a clean end stores it.
    Store { position: Head },
}

/// What is to be done while the ledger still stands as it was.
enum Preparation {
    /// Copies bytes to a file in `cut/`.
    Keep { file: String, from: u64, to: u64, kept: String },
    /// Makes a whole segment of pieces.
    Mend { segment: Salvaged, made: String },
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
        () if !has(segment::FOLDER) => Err(Error::NoLedger { path: disk.path("") }),
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
            let why = found.problems.first().map_or("its first segment cannot be read", |problem| &problem.what);
            return Err(Error::BeyondRepair { path: self.disk.path(""), what: why.to_owned() });
        };
        for (n, segment) in salvage.segments.iter().enumerate() {
            let ends = n + 1 < salvage.segments.len() || found.renewed;
            self.segment(segment, salvage, ends);
        }
        for behind in &salvage.behind {
            if !salvage.segments.iter().any(|segment| segment.name == behind.name) {
                self.aside(&behind.name);
            }
        }
        if found.renewed {
            head.lineage = Uuid::now_v7();
            self.renew(salvage, &head)?;
        } else {
            head.lineage = salvage.lineage;
            found.astray.iter().for_each(|name| self.aside(&position::file_of(name)));
        }
        let diagnosis = Diagnosis {
            problems: found.problems,
            lost: found.lost,
            lineage: salvage.lineage,
            head,
            actions: self.actions,
            begun: false,
        };
        Ok(Plan { diagnosis, preparations: self.preparations, steps: self.steps })
    }

    /// Makes a segment what its sound part is. Where it is not the log's last, it also `ends` there.
    fn segment(&mut self, segment: &Salvaged, salvage: &Salvage, ends: bool) {
        let (name, length) = (&segment.name, segment.length());
        if segment.is_mended() {
            let made = format!("{name}{}", super::disk::UNFINISHED);
            for Piece { from, to, .. } in segment.pieces.iter().filter(|piece| piece.source == Source::Backup) {
                self.actions.push(format!("takes the bytes {from} to {to} of {name} from the backup"));
            }
            self.preparations.push(Preparation::Mend { segment: segment.clone(), made: made.clone() });
            if segment.file_length.is_some() {
                let kept = self.free_name(&format!("{:016x}-damaged.seg", segment.base));
                self.actions.push(format!("keeps the damaged {name} as {kept}"));
                self.steps.push(Step::Move { from: name.clone(), to: kept });
            }
            self.steps.push(Step::Move { from: made, to: name.clone() });
            return;
        }
        let behind = salvage.behind.iter().find(|behind| behind.name == *name);
        if let Some(behind) = behind {
            let (from, to) = (behind.from, behind.to);
            let kept = self.free_name(&format!("{:016x}-{from}.bin", segment.base));
            self.actions.push(format!("keeps the bytes {from} to {to} of {name} in {kept}"));
            self.preparations.push(Preparation::Keep { file: name.clone(), from, to, kept });
        }
        if segment.file_length != Some(length) && (ends || behind.is_some()) {
            self.actions.push(format!("cuts {name} behind byte {length}"));
            self.steps.push(Step::Cut { file: name.clone(), length });
        }
    }

    /// Goes on under a new lineage, with nothing that was derived from the old one.
    fn renew(&mut self, salvage: &Salvage, head: &Head) -> Result<()> {
        for (name, _) in &salvage.positions {
            self.aside(&position::file_of(name));
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
        self.steps.push(Step::Store { position: head.clone() });
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
                    let piece = Piece { source: Source::Log, from: *from, to: *to };
                    copy(disk, backup, file, &[piece], kept)?;
                }
                Preparation::Mend { segment, made } => copy(disk, backup, &segment.name, &segment.pieces, made)?,
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

/// Copies pieces of a segment behind one another to a new file.
fn copy(disk: &dyn Disk, backup: Option<&dyn Disk>, name: &str, pieces: &[Piece], to: &str) -> Result<()> {
    let io = |doing, name: &str, source| Error::Io { doing, path: disk.path(name), source };
    let made = disk.open(to, true).map_err(|source| io("making", to, source))?;
    made.set_len(0).map_err(|source| io("making", to, source))?;
    let (mut at, mut chunk) = (0, vec![0; CHUNK_BYTES]);
    for piece in pieces {
        let source = match piece.source {
            Source::Log => disk,
            Source::Backup => backup.expect("pieces of a backup were found in one"),
        };
        let file = Salvage::file(source, name)?;
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
    made.sync().map_err(|source| io("syncing", to, source))
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
                Step::Store { position } => position::store_end(disk, position)?,
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
