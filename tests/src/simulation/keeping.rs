//! What is derived from the log and kept beside it: the index and the snapshots. How a schedule keeps
//! them, and what decays of them. Whatever that is, it costs time and never changes an answer.

use ledger::{
    Error,
    engine::Options,
    index, log,
    log::faulty::SimDisk,
    snapshot::{Plan, Until},
};

use super::{
    coverage::Coverage,
    dice::{Concern, Dice},
};
use crate::play::Differs;

/// The folders of what is derived.
const FOLDERS: [&str; 2] = ["index/", "snapshots/"];
const MANIFEST: &str = "index/manifest";

/// Whether a file is derived from the log.
pub fn is_derived(name: &str) -> bool {
    FOLDERS.iter().any(|folder| name.starts_with(folder))
}

/// How a schedule keeps what is derived: mostly in tables so small, and snapshots so early, that everything
/// happens many times; sometimes all of the index stays in memory, or no snapshot is made.
pub fn options(seed: u64, log: log::Options) -> Options {
    let mut dice = Dice::of(seed, Concern::Keeping);
    let memory_entries = match dice.below(10) {
        0..6 => dice.below(41) + 20,
        6..9 => dice.below(341) + 60,
        _ => 4_096,
    };
    let index = index::Options { memory_entries, fan_out: dice.below(3) + 2, seed: Some(dice.amount(0..=u64::MAX)) };
    let until = if dice.happens(200) { Until::Durable } else { Until::Sealed };
    let records = if dice.happens(800) { dice.amount(20..=300) } else { Plan::RECORDS };
    Options { log, index, snapshots: Plan { until, records, records_per_user: 0, unhurried: 0 }, accept_clock: false }
}

/// How many actions a long schedule has, if it is one. Blocks of the hash chain end in these (at 256
/// records of a shard), so that a start reads nothing of what stands before its snapshot.
pub fn long(seed: u64) -> Option<usize> {
    let mut dice = Dice::of(seed, Concern::Length);
    dice.happens(20).then(|| dice.below(800) + 1_200)
}

/// Snapshots that somebody asks for beside the process: `giftledger snapshot`.
#[derive(Debug)]
pub struct ByHand {
    dice: Dice,
    rate: u32,
}

impl ByHand {
    /// Of a schedule.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::of(seed, Concern::ByHand);
        let rate = dice.weighed(&[(2, 0), (2, 10), (1, 40)]);
        Self { dice, rate }
    }

    /// Whether somebody does now.
    pub fn happens(&mut self) -> bool {
        self.dice.happens(self.rate)
    }
}

/// What decays of a schedule's derived files, and what came of that.
#[derive(Debug)]
pub struct Decay {
    dice: Dice,
    /// How often in a thousand ends of a process, and, a fortieth as often, actions.
    rate: u32,
    /// Files with a wrong bit, each with its identity.
    rotten: Vec<(String, u64)>,
    /// Who looked something up has found one: the next start must not use it.
    condemned: bool,
    /// The index's and the snapshots' files before a start.
    before: Vec<(String, u64)>,
}

impl Decay {
    /// Of a schedule.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::of(seed, Concern::Decay);
        let rate = dice.weighed(&[(1, 0), (2, 400), (1, 800)]);
        Self { dice, rate, rotten: Vec::new(), condemned: false, before: Vec::new() }
    }

    /// Of a schedule in which nothing of it decays.
    pub fn none(seed: u64) -> Self {
        Self { rate: 0, ..Self::new(seed) }
    }

    /// The names of what is rotten.
    pub fn rotten(&self) -> Vec<String> {
        self.rotten.iter().map(|(name, _)| name.clone()).collect()
    }

    /// All files were put back as they were when these were rotten.
    pub fn put_back(&mut self, rotten: &[String], disk: &SimDisk) {
        self.rotten = rotten.iter().filter_map(|name| Some((name.clone(), disk.identity(name)?))).collect();
    }

    /// From now on nothing decays that has not.
    pub fn stop(&mut self) {
        self.rate = 0;
    }

    /// A process has ended, and time goes by.
    pub fn at_end(&mut self, disk: &SimDisk, coverage: &mut Coverage) -> Option<String> {
        self.dice.happens(self.rate).then(|| self.strike(disk, coverage)).flatten()
    }

    /// A process runs, and time goes by.
    pub fn beside(&mut self, disk: &SimDisk, coverage: &mut Coverage) -> Option<String> {
        (self.rate > 0 && self.dice.happens(self.rate / 40)).then(|| self.strike(disk, coverage)).flatten()
    }

    /// A bit rots in a file, or a file is lost, or all of a folder. Says what.
    fn strike(&mut self, disk: &SimDisk, coverage: &mut Coverage) -> Option<String> {
        // Each folder as often as the other, though runs are many and snapshots are two.
        let folder = *self.dice.one_of(&FOLDERS);
        let of_it: Vec<(String, u64)> = disk.files().into_iter().filter(|(name, _)| name.starts_with(folder)).collect();
        if of_it.is_empty() {
            return None;
        }
        let (name, length) = self.dice.one_of(&of_it).clone();
        match self.dice.below(10) {
            0 => {
                for (name, _) in &of_it {
                    disk.lose(name);
                }
                coverage.meet("decay", format!("{folder} is lost"));
                Some(format!("{folder} is lost"))
            }
            1 | 2 => {
                disk.lose(&name);
                coverage.meet("decay", format!("a file of {folder} is lost"));
                Some(format!("{name} is lost"))
            }
            _ if length == 0 => None,
            _ => {
                let offset = self.dice.amount(0..=length - 1);
                disk.flip(&name, offset, 1 << self.dice.below(8));
                coverage.meet("decay", format!("a bit of {folder} rots"));
                let said = format!("a bit rots in {name} at {offset}");
                let identity = disk.identity(&name).expect("it is listed");
                self.rotten.push((name, identity));
                Some(said)
            }
        }
    }

    /// Whether an error is that of a look-up, a merge or a seal which has found rot. The process ends with
    /// it, and the manifest is gone, so that the next start cannot use what is rotten.
    ///
    /// # Errors
    /// If the manifest still is there.
    pub fn explains(&mut self, error: &Error, disk: &SimDisk) -> Result<bool, Differs> {
        let Error::Damaged { .. } = error else { return Ok(false) };
        let said = error.to_string();
        // One that is lost meanwhile too: who has it open reads on.
        let found = self.rotten.iter().any(|(name, _)| said.contains(name.as_str()));
        if found && disk.identity(MANIFEST).is_some() {
            return Err(format!("the manifest still is there: {error}"));
        }
        self.condemned |= found;
        Ok(found)
    }

    /// A start comes.
    pub fn before_start(&mut self, disk: &SimDisk) {
        self.rotten.retain(|(name, identity)| disk.identity(name) == Some(*identity));
        let files = disk.files().into_iter().filter(|(name, _)| is_derived(name));
        self.before = files.filter_map(|(name, _)| disk.identity(&name).map(|id| (name, id))).collect();
    }

    /// It was a good one: what it has used. `snapshot` is the file of the newest good snapshot.
    ///
    /// # Errors
    /// If it has used what was condemned.
    pub fn after_start(
        &mut self,
        disk: &SimDisk,
        snapshot: Option<&str>,
        coverage: &mut Coverage,
    ) -> Result<(), Differs> {
        let stays = |(name, identity): &&(String, u64)| disk.identity(name) == Some(*identity);
        let runs = |files: &[(String, u64)]| files.iter().filter(|(name, _)| is_a(name, "run")).count();
        let kept: Vec<(String, u64)> = self.before.iter().filter(stays).cloned().collect();
        if runs(&kept) > 0 {
            coverage.meet("starts", "with sealed runs");
        } else if runs(&self.before) > 0 {
            coverage.meet("starts", "the index is rebuilt");
        }
        if snapshot.is_some() {
            coverage.meet("starts", "from a snapshot");
        }
        for (name, _) in &self.rotten {
            if name.starts_with("index/") && !kept.iter().any(|(kept, _)| kept == name) {
                coverage.meet("decay", "rot in the index: found, and rebuilt");
            } else if is_a(name, "snap") && snapshot != Some(name) {
                coverage.meet("decay", "rot in a snapshot: passed over");
            }
        }
        self.rotten.retain(|(name, identity)| disk.identity(name) == Some(*identity));
        if std::mem::take(&mut self.condemned) && self.rotten.iter().any(|(name, _)| name.starts_with("index/")) {
            return Err("the index was found rotten, and is used again".to_owned());
        }
        Ok(())
    }
}

/// Whether a file's name says that it is of a kind.
pub(super) fn is_a(name: &str, kind: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension == kind)
}
