//! The campaign: what a machine, an operator or somebody else can do to the files of a ledger, and what a start
//! and a repair make of it.
//!
//! Each case has a seed, which makes a small ledger with a past (closed and opened again, restored under another
//! lineage, with positions, an index and snapshots), an end (closed, killed, the power gone in the middle of a
//! write) and up to three damages. Then:
//!
//! 1. It starts with every answered record, or refuses; and the diagnosis says the same as the start.
//! 2. What a repair says is lost is exactly what is gone afterwards, from a backup too; then the ledger starts, every
//!    check passes, and it goes on.
//!
//! `GIFTLEDGER_CAMPAIGN=2000` sets how many cases there are, `GIFTLEDGER_SEED=7` runs one of them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[expect(dead_code, reason = "of what makes records, only the records are used here")]
mod records;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
};

use ledger::{
    Error,
    backup::{self, Lineage},
    index::{Index, Place},
    log::{
        Batch, Check, Diagnosis, Disk, Log, Options, Reader, diagnose,
        faulty::{Content, Fault, SimDisk},
        frames_of, repair,
    },
    snapshot::{self, Plan},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use records::{record, segments};
use schemas::{Record, Timestamp};

const SHARDS: usize = 2;
/// In an ordinary run.
const CASES: u64 = 120;

fn options() -> Options {
    Options { shards: Some(2), segment_bytes: 0, max_frame_bytes: 4096 }
}

fn arc(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// A ledger, what was answered of it, and what its owner keeps elsewhere.
struct Story {
    dice: ChaCha8Rng,
    disk: SimDisk,
    /// Each shard's sequence up to which was answered, and up to which was written at most.
    answered: Vec<u64>,
    written: Vec<u64>,
    backup: Option<SimDisk>,
    /// Files as they stood at some time before.
    older: Vec<Content>,
    told: Vec<String>,
}

impl Story {
    /// A ledger with its past, and no process.
    fn new(seed: u64) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let disk = SimDisk::new(dice.random());
        let (answered, written, backup) = (vec![0; SHARDS], vec![0; SHARDS], None);
        let mut story = Self { dice, disk, answered, written, backup, older: Vec::new(), told: Vec::new() };
        let lives = story.dice.random_range(1..=4);
        for life in 0..lives {
            story.live(life + 1 == lives);
            if life + 1 < lives && story.dice.random_bool(0.3) {
                story.restore();
            }
        }
        story
    }

    fn tell(&mut self, said: impl Into<String>) {
        self.told.push(said.into());
    }

    fn live(&mut self, last: bool) {
        let (mut log, _) = Log::open(arc(&self.disk), &options()).expect("a ledger that nobody has touched");
        let reader = log.reader();
        let heads: Vec<u64> = log.head().shards.iter().map(|head| head.sequence).collect();
        assert!(heads.iter().zip(&self.answered).all(|(head, answered)| head >= answered), "nothing is lost");
        (self.answered, self.written) = (heads.clone(), heads);
        let (mut index, mut sealer) =
            Index::open(arc(&self.disk), &reader, &ledger::index::Options::default()).unwrap();
        let frames = self.dice.random_range(0..=60);
        for _ in 0..frames {
            let batch = self.batch();
            log.ensure_room().unwrap();
            log.append(&Batch::of(&batch)).unwrap();
            self.answered.clone_from(&self.written);
            match self.dice.random_range(0..60) {
                0 => log.store_position("view", &log.head()).unwrap(),
                1 => drop(snapshot::fold(&reader, &Plan::NOW, &AtomicBool::new(false)).unwrap()),
                2 if index.can_freeze() && self.answered[0] > 0 => {
                    index.insert(self.answered[0].into(), Place::new(0, self.answered[0]));
                    let frozen = index.freeze(self.answered.clone());
                    index.adopt(sealer.seal(&frozen).unwrap());
                }
                3 => {
                    let to = self.backup.take().unwrap_or_else(|| SimDisk::new(1));
                    backup::back_up(&arc(&self.disk), &to, Timestamp::from_nanos(1), &mut |_, _| {}).unwrap();
                    self.tell(format!("backed up at {:?}", self.answered));
                    self.backup = Some(to);
                }
                4 => self.older.push(self.disk.snapshot()),
                _ => {}
            }
        }
        match self.dice.random_range(0..if last { 6 } else { 3 }) {
            0 | 1 => {
                log.close().unwrap();
                self.tell(format!("closed at {:?}", self.answered));
            }
            2 | 3 => {
                drop(log);
                self.disk.kill();
                self.tell(format!("killed at {:?}", self.answered));
            }
            _ => {
                let step = self.dice.random_range(1..=4);
                self.disk.inject(step, Fault::PowerCut);
                for _ in 0..4 {
                    let batch = self.batch();
                    if log.ensure_room().is_err() || log.append(&Batch::of(&batch)).is_err() {
                        break;
                    }
                    self.answered.clone_from(&self.written);
                }
                drop(log);
                self.disk.crash();
                self.tell(format!("the power goes at {:?}, {:?} were under way", self.answered, self.written));
            }
        }
    }

    /// The next records of some shards.
    fn batch(&mut self) -> Vec<Vec<Record>> {
        let mut batch = vec![Vec::new(); SHARDS];
        for _ in 0..self.dice.random_range(1..=24) {
            let shard = self.dice.random_range(0..SHARDS);
            self.written[shard] += 1;
            batch[shard].push(record(u16::try_from(shard).unwrap(), self.written[shard], 0));
        }
        batch
    }

    /// Its owner restores it from the backup, under another lineage; what came after is given up openly.
    fn restore(&mut self) {
        let Some(from) = &self.backup else { return };
        self.older.push(self.disk.snapshot());
        let to = SimDisk::new(self.dice.random());
        let restored = backup::restore(from, &to, Lineage::New, &mut |_, _| {}).unwrap();
        self.disk = to;
        self.answered = restored.head.shards.iter().map(|head| head.sequence).collect();
        self.written.clone_from(&self.answered);
        self.tell(format!("restored at {:?}", self.answered));
        if self.dice.random_bool(0.5) {
            self.backup = None;
        }
    }
}

/// Something happens to the files.
#[expect(clippy::too_many_lines, reason = "a table of damages, one a few lines each")]
fn damage(story: &mut Story, content: &mut Content, stranger: &Content, alone: bool) -> Option<String> {
    let dice = &mut story.dice;
    let names = segments(content);
    let any = |dice: &mut ChaCha8Rng, names: &[String]| names.get(dice.random_range(0..names.len().max(1))).cloned();
    let mut name = any(dice, &names)?;
    if dice.random_bool(0.5) {
        name.clone_from(names.last()?); // the end is what matters most
    }
    let inside = |folder: &str, content: &Content| -> Vec<String> {
        content.keys().filter(|name| name.starts_with(folder)).cloned().collect()
    };
    match dice.random_range(0..16) {
        0 | 1 => {
            let length = dice.random_range(0..=content[&name].len());
            content.get_mut(&name)?.truncate(length);
            Some(format!("{name} is cut at {length}"))
        }
        2 | 3 => {
            let found = frames_of(&SimDisk::with(0, content), &name).ok()?;
            let mut ends: Vec<u64> = found.frames.iter().map(|frame| frame.offset).collect();
            ends.extend(found.frames.last().map(|frame| frame.offset + frame.bytes));
            let length = *ends.get(dice.random_range(0..ends.len().max(1)))?;
            content.get_mut(&name)?.truncate(usize::try_from(length).unwrap());
            Some(format!("{name} is cut at {length}, between two frames"))
        }
        4 | 5 => {
            let found = frames_of(&SimDisk::with(0, content), &name).ok()?;
            let first = dice.random_range(0..found.frames.len().max(1));
            let last = (first + dice.random_range(0..3)).min(found.frames.len().checked_sub(1)?);
            let from = usize::try_from(found.frames[first].offset).unwrap();
            let to = usize::try_from(found.frames[last].offset + found.frames[last].bytes).unwrap();
            content.get_mut(&name)?.drain(from..to);
            Some(format!("the bytes {from} to {to} are cut out of {name}"))
        }
        6 => content.remove(&name).map(|_| format!("{name} is removed")),
        7 => {
            let other = any(dice, &names).filter(|other| *other != name)?;
            let (one, two) = (content[&name].clone(), content[&other].clone());
            content.insert(name.clone(), two);
            content.insert(other.clone(), one);
            Some(format!("{name} and {other} are exchanged"))
        }
        8 => {
            let theirs = any(dice, &segments(stranger))?;
            let to = if stranger.contains_key(&name) && dice.random_bool(0.5) { name } else { theirs.clone() };
            content.insert(to.clone(), stranger[&theirs].clone());
            Some(format!("{theirs} of another ledger is put in as {to}"))
        }
        9 => {
            let mut older: Vec<Content> = story.backup.iter().map(SimDisk::snapshot).collect();
            older.extend(story.older.iter().map(|older| {
                let sealed = segments(older).len().saturating_sub(1);
                segments(older).into_iter().take(sealed).map(|name| (name.clone(), older[&name].clone())).collect()
            }));
            let from = older.get(dice.random_range(0..older.len().max(1)))?;
            let name = any(dice, &segments(from))?;
            content.insert(name.clone(), from[&name].clone());
            Some(format!("an older {name} is put in"))
        }
        10 => {
            let bytes = content.remove(&name)?;
            let to = match dice.random_range(0..4) {
                0 => format!("{name}.bak"),
                1 => "log/0000000000abcdef.seg".to_owned(),
                2 => name.replace(".seg", ""),
                _ => any(dice, &names)?,
            };
            content.insert(to.clone(), bytes);
            Some(format!("{name} is renamed to {to}"))
        }
        11 => {
            let to = ["log/notes.txt", "log/0000000000fedcba.seg", "positions/x.json", "positions/notes"];
            let to = to[dice.random_range(0..to.len())].to_owned();
            let bytes = vec![7; dice.random_range(0..50)];
            content.insert(to.clone(), bytes);
            Some(format!("{to} is put in"))
        }
        kind => {
            let folder = ["positions/", "positions/", "index/", "snapshots/"][kind - 12];
            let file = any(dice, &inside(folder, content))?;
            match dice.random_range(0..5) {
                0 => content.remove(&file).map(|_| format!("{file} is removed")),
                1 => {
                    for file in inside(folder, content) {
                        content.remove(&file);
                    }
                    Some(format!("{folder} is removed"))
                }
                2 => {
                    content.insert(file.clone(), b"garbage".to_vec());
                    Some(format!("{file} is garbage"))
                }
                3 if folder == "positions/" && !alone => {
                    let theirs = stranger.get("positions/head.json")?.clone();
                    content.insert(file.clone(), theirs);
                    Some(format!("{file} is another ledger's"))
                }
                3 if alone => {
                    let older = story.older.iter().find_map(|older| older.get(&file))?.clone();
                    content.insert(file.clone(), older);
                    Some(format!("an older {file} is put in"))
                }
                _ => {
                    let at = dice.random_range(0..content[&file].len().max(1));
                    *content.get_mut(&file)?.get_mut(at)? ^= 1 << dice.random_range(0..8);
                    Some(format!("a bit of {file} rots"))
                }
            }
        }
    }
}

/// Each shard's last sequence, of a ledger that opens, passes every check and has the records of the story.
fn sound(disk: &SimDisk) -> ledger::Result<Vec<u64>> {
    let reader = Reader::open(arc(disk))?;
    let mut sequences = vec![0; SHARDS];
    for frame in reader.frames(Check::Full) {
        for found in frame?.records {
            let sequence = &mut sequences[usize::from(found.shard)];
            *sequence += 1;
            assert_eq!(found, record(found.shard, *sequence, 0), "a record is not the one that was answered");
        }
    }
    assert!(reader.head().shards.iter().map(|head| head.sequence).eq(sequences.iter().copied()));
    Ok(sequences)
}

/// It can be written, and started again.
fn goes_on(disk: &SimDisk, mut heads: Vec<u64>) {
    for closed in [false, true] {
        let (mut log, recovery) = Log::open(arc(disk), &options()).expect("it goes on");
        assert_eq!(recovery.cut, None);
        for n in 0..40 {
            let mut batch = vec![Vec::new(); SHARDS];
            for _ in 0..20 {
                heads[n % SHARDS] += 1;
                batch[n % SHARDS].push(record(u16::try_from(n % SHARDS).unwrap(), heads[n % SHARDS], 0));
            }
            log.ensure_room().unwrap();
            log.append(&Batch::of(&batch)).unwrap();
        }
        if closed {
            log.close().unwrap();
        } else {
            drop(log);
            disk.crash();
        }
    }
    assert_eq!(sound(disk).expect("it goes on"), heads);
}

/// What came of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Starts,
    StartsWithoutATornEnd,
    RepairedAndNothingLost,
    RepairedWithALoss,
    RepairedWithALossOfUnknownSize,
    RepairedThoughNothingWasLost,
    BeyondRepair,
}

/// What a repair has left is what it said.
fn repaired_as_said(story: &Story, disk: &SimDisk, said: &Diagnosis, backup: Option<&dyn Disk>) -> Outcome {
    let done = repair(disk, backup).expect("what was diagnosed can be repaired");
    assert_eq!((&done.problems, &done.lost, done.open_ended), (&said.problems, &said.lost, said.open_ended));
    let kept = sound(disk).expect("a repaired ledger is sound");
    assert!(diagnose(disk, None).unwrap().is_sound());
    assert!(done.head.shards.iter().map(|head| head.sequence).eq(kept.iter().copied()));
    assert_eq!(done.is_renewed(), done.open_ended || !done.lost.is_empty(), "another lineage where something is lost");
    let mut gone = 0;
    for (shard, &kept) in kept.iter().enumerate() {
        let (answered, written) = (story.answered[shard], story.written[shard]);
        gone += answered.saturating_sub(kept);
        match done.lost.iter().find(|lost| usize::from(lost.shard) == shard) {
            Some(lost) => {
                assert_eq!(lost.from, kept + 1, "what it keeps and what it names as lost meet");
                assert!(lost.to <= written, "shard {shard}: {lost:?} was never written");
                assert!(lost.to >= answered || done.open_ended, "shard {shard}: more is gone than {lost:?}");
            }
            None => assert!(kept >= answered || done.open_ended, "shard {shard}: {answered} are reduced to {kept}"),
        }
    }
    goes_on(disk, kept);
    match (gone, done.lost.is_empty(), done.open_ended) {
        (0, true, false) => Outcome::RepairedAndNothingLost,
        (0, ..) => Outcome::RepairedThoughNothingWasLost,
        (_, _, true) => Outcome::RepairedWithALossOfUnknownSize,
        (_, _, false) => Outcome::RepairedWithALoss,
    }
}

fn case(seed: u64) -> Outcome {
    let mut story = Story::new(seed);
    let stranger = Story::new(seed + (1 << 40)).disk.snapshot();
    let mut content = story.disk.snapshot();
    let before = segments(&content).first().map(|first| (first.clone(), content[first].clone()));
    let damages = story.dice.random_range(0..=3);
    for _ in 0..damages {
        if let Some(said) = damage(&mut story, &mut content, &stranger, damages == 1) {
            story.tell(said);
        }
    }
    println!("seed {seed}: {}", story.told.join("; "));
    let disk = |n| SimDisk::with(seed + n, &content);
    let said = diagnose(&disk(0), None);
    let shown = Reader::open(arc(&disk(1))).map(|reader| reader.head());
    let started = disk(2);
    let opened = Log::open(arc(&started), &options());
    match opened {
        Ok((log, recovery)) => {
            let heads: Vec<u64> = log.head().shards.iter().map(|head| head.sequence).collect();
            let left = |(head, answered): (&u64, &u64)| head >= answered;
            assert!(heads.iter().zip(&story.answered).all(left), "it starts with {heads:?} of {:?}", story.answered);
            assert_eq!(shown.expect("who starts can be read").shards, log.head().shards);
            drop(log);
            started.kill();
            assert_eq!(sound(&started).unwrap(), heads);
            goes_on(&started, heads);
            match (said, recovery.created) {
                (Ok(said), false) if recovery.cut.is_none() => {
                    assert!(said.is_sound(), "it starts, and is said to be wrong: {said:?}");
                    Outcome::Starts
                }
                (Ok(said), false) => {
                    assert!(said.problems.len() == 1 && said.lost.is_empty() && !said.is_renewed(), "{said:?}");
                    let torn = disk(3);
                    repaired_as_said(&story, &torn, &said, None);
                    Outcome::StartsWithoutATornEnd
                }
                (Err(Error::NoLedger { .. }), true) => Outcome::Starts,
                (said, created) => panic!("it starts (created: {created}), and a repair says {said:?}"),
            }
        }
        Err(refused) => {
            println!("    {refused}");
            shown.expect_err("who does not start is not shown");
            let outcome = match &said {
                Err(Error::BeyondRepair { .. }) => {
                    let (name, bytes) = before.expect("it had a segment");
                    let strangers = files_of(&stranger, &content);
                    assert!(
                        content.get(&name) != Some(&bytes) || strangers > 0,
                        "its first segment is whole, and nothing can be kept: {said:?}"
                    );
                    Outcome::BeyondRepair
                }
                Err(other) => panic!("it does not start, and a repair says {other}"),
                Ok(said) => {
                    assert!(!said.is_sound(), "it does not start, and is said to be sound");
                    repaired_as_said(&story, &disk(4), said, None)
                }
            };
            if let Some(backup) = &story.backup {
                match diagnose(&disk(5), Some(backup)) {
                    Ok(said) => drop(repaired_as_said(&story, &disk(5), &said, Some(backup))),
                    Err(Error::BeyondRepair { .. } | Error::ForeignLineage { .. }) => {}
                    Err(other) => panic!("with a backup: {other}"),
                }
            }
            outcome
        }
    }
}

/// How many files of another ledger are in here.
fn files_of(stranger: &Content, content: &Content) -> usize {
    content.values().filter(|bytes| stranger.values().any(|theirs| theirs == *bytes)).count()
}

#[test]
fn whatever_happens_to_the_files_a_loss_is_named_and_nothing_else_is_lost() {
    if let Ok(seed) = std::env::var("GIFTLEDGER_SEED") {
        println!("{:?}", case(seed.parse().expect("a seed is a number")));
        return;
    }
    let cases = std::env::var("GIFTLEDGER_CAMPAIGN").map_or(CASES, |cases| cases.parse().expect("a number of cases"));
    let mut outcomes: BTreeMap<Outcome, u64> = BTreeMap::new();
    let mut failed = Vec::new();
    for seed in 0..cases {
        match std::panic::catch_unwind(|| case(seed)) {
            Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
            Err(_) => failed.push(seed),
        }
    }
    eprintln!("{cases} cases: {outcomes:?}");
    assert!(failed.is_empty(), "failed with the seeds {failed:?}; GIFTLEDGER_SEED=… replays one");
    if cases >= CASES {
        assert!(outcomes.len() >= 6, "every outcome is met: {outcomes:?}");
    }
}
