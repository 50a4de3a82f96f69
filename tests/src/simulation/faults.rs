//! What fails, and when.

use ledger::log::{
    Options,
    faulty::{Content, Fault, SimDisk},
};

use super::{
    dice::{Concern, Dice},
    keeping::is_derived,
};

/// Faults of calls, each with the most calls that it waits for.
const CALLS: [(Fault, i64); 7] = [
    (Fault::ShortWrite, 4),
    (Fault::WriteError, 4),
    (Fault::NoSpace, 4),
    (Fault::SyncError, 4),
    (Fault::ReadError, 12),
    (Fault::BitFlip, 12),
    (Fault::PowerCut, 9),
];

/// What is done to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A call of the disk fails, the n-th from now.
    Call(Fault, u64),
    /// The disk has so many bytes left.
    Full(u64),
    /// There is space again.
    Space,
    /// The writer's calls do not return for so many actions.
    Stall(u32),
}

/// The troubles of a schedule. Each has some kinds and not others: where everything happens at once,
/// much hides behind the rest.
#[derive(Debug)]
pub struct Troubles {
    dice: Dice,
    calls: Vec<(Fault, i64)>,
    fills: bool,
    stalls: bool,
    /// Whether bits rot while no process runs.
    pub rots: bool,
    /// How often in a thousand actions something goes wrong.
    pub rate: u32,
}

/// A bit that has rotted in a file.
#[derive(Debug)]
pub struct Rot {
    /// The file.
    pub name: String,
    /// The byte.
    pub offset: u64,
    /// Which of its bits.
    pub bits: u8,
    /// What it was before, in all files.
    pub before: Content,
    /// What else was rotten then.
    pub decayed: Vec<String>,
    /// What it hit.
    pub hit: Hit,
    /// A start has not noticed it: it read only what came after its snapshot.
    pub hidden: bool,
}

/// What a bit belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    /// To what was answered, or to a stored position: the start must refuse.
    Answered,
    /// To the last durable frame, and nothing behind it says that it was whole: the start may take it
    /// for a torn write, and must say so.
    LastFrame,
    /// To nothing that anybody was told of.
    Other,
}

/// How far the log was seen to be durable: offsets in the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Durable {
    /// Behind the last frame.
    pub end: u64,
    /// The last frame.
    pub last_frame: u64,
    /// The end that a close has stored.
    pub stored: u64,
}

impl Troubles {
    /// Of a schedule.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::of(seed, Concern::Faults);
        let calls = CALLS.into_iter().filter(|_| dice.happens(400)).collect();
        let rate = dice.weighed(&[(2, 0), (3, 10), (4, 25), (2, 60)]);
        let (fills, stalls, rots) = (dice.happens(350), dice.happens(400), dice.happens(500));
        Self { dice, calls, fills, stalls, rots, rate }
    }

    /// The next trouble.
    pub fn next(&mut self, disk: &SimDisk) -> Option<Trouble> {
        if !self.dice.happens(self.rate) {
            return None;
        }
        match self.dice.below(6) {
            0 if self.fills => Some(Trouble::Full(disk.used() + self.dice.amount(0..=40_000))),
            1 if self.fills => Some(Trouble::Space),
            2 if self.stalls => Some(Trouble::Stall(u32::try_from(self.dice.below(30)).expect("a small number") + 1)),
            _ => self.call(),
        }
    }

    /// The next fault of a call.
    pub fn call(&mut self) -> Option<Trouble> {
        if self.calls.is_empty() {
            return None;
        }
        let (fault, within) = *self.dice.one_of(&self.calls);
        let n = u64::try_from(self.dice.within(1..=within)).expect("it is positive");
        Some(Trouble::Call(fault, n))
    }

    /// Lets a bit rot, if there is one.
    pub fn rot(&mut self, disk: &SimDisk, durable: Durable) -> Option<Rot> {
        let files = disk.files();
        let segments: Vec<&(String, u64)> = files.iter().filter(|(name, _)| base_of(name).is_some()).collect();
        let others = |(name, length): &&(String, u64)| *length > 0 && !is_derived(name);
        let any: Vec<&(String, u64)> = files.iter().filter(others).collect();
        let from = if self.dice.happens(800) && !segments.is_empty() { &segments } else { &any };
        let (name, length) = (*from.get(self.dice.below(from.len().max(1)))?).clone();
        // Mostly in what is written, of which the last frames are the most delicate.
        let written = base_of(&name).map_or(length, |base| durable.end.saturating_sub(base).min(length)).max(1);
        let offset = match self.dice.below(8) {
            0 => self.dice.amount(0..=length.checked_sub(1)?),
            1 => self.dice.amount(written.saturating_sub(300)..=written - 1),
            _ => self.dice.amount(0..=written.min(length) - 1),
        };
        let hit = hit(&name, offset, durable);
        let before = disk.snapshot();
        let bits = 1 << self.dice.below(8);
        disk.flip(&name, offset, bits);
        Some(Rot { name, offset, bits, before, decayed: Vec::new(), hit, hidden: false })
    }
}

impl Rot {
    /// Whether it is in a segment behind which others follow, so that a start may begin behind it.
    pub fn is_sealed(&self, disk: &SimDisk) -> bool {
        let last = disk.files().iter().filter_map(|(name, _)| base_of(name)).max();
        base_of(&self.name).is_some_and(|base| last.is_some_and(|last| base < last))
    }

    /// Makes the byte wrong that is right, and right that is wrong.
    pub fn flip(&self, disk: &SimDisk) {
        disk.flip(&self.name, self.offset, self.bits);
    }

    /// Whether a start has cut it off, and kept what it cut.
    pub fn was_cut(&self, disk: &SimDisk) -> bool {
        let Some(base) = base_of(&self.name) else { return false };
        let folder = format!("cut/{base:016x}-");
        let kept = |name: &str| name.strip_prefix(&folder)?.strip_suffix(".bin")?.parse::<u64>().ok();
        disk.files().iter().filter_map(|(name, _)| kept(name)).any(|from| from <= self.offset)
    }
}

fn hit(name: &str, offset: u64, durable: Durable) -> Hit {
    match base_of(name) {
        Some(base) if base + offset >= durable.end => Hit::Other,
        Some(base) if base + offset >= durable.last_frame && durable.stored < durable.end => Hit::LastFrame,
        Some(_) => Hit::Answered,
        None if name.starts_with("positions/") && name.strip_suffix(".json").is_some() => Hit::Answered,
        None => Hit::Other,
    }
}

/// Where a segment's file begins in the log.
fn base_of(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix("log/")?.strip_suffix(".seg")?, 16).ok()
}

/// How the log of a schedule is written: frames of a size that batches come up to, and so small segments
/// that there are several.
pub fn options(dice: &mut Dice, shards: u16) -> Options {
    let max_frame_bytes = dice.weighed(&[(4, 4 << 10), (3, 8 << 10), (1, 64 << 10)]);
    Options { shards: Some(shards), segment_bytes: 1, max_frame_bytes }
}
