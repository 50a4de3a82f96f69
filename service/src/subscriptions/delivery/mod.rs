//! Who gets which entry, and when: one subscription as a machine without IO, clock or tasks of its own.
//!
//! ```text
//!            add                take               ack
//! read log ──────► waiting ───────────► in flight ─────► done ──► committed (all before it done)
//!                   ▲   ▲                  │  │
//!                   │   └── nack, time-out ┘  └── most tries ──► parked
//!                   └──────────────────── replay ──────────────────┘
//! ```
//!
//! Invariants. Entries of a subject are handed out in their order, to one consumer at a time: the next run only once
//! the last one is done or taken back. What fails takes back the run behind it, which counts no try. A run that timed
//! out does not tell which of its entries was to blame: the first is handed out alone next, and further runs of that
//! subject are half as long, until they go well again. Done above the committed place are at most [`WINDOW`] entries,
//! with those that wait: then nothing more is read until what holds it up is done or parked.

mod progress;
mod subject;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use schemas::{Shard, Timestamp};
use tokio::time::Instant;

use super::definition::Settings;
use crate::feed::{Entry, Position};

pub(super) use progress::Progress;
use subject::Subject;

/// So many entries beyond the committed place are looked at: about 3 MiB of places. Ten times the usual most in
/// flight, so that one subject that is stuck lets others go on for a while.
pub(super) const WINDOW: usize = 16_384;
/// The bytes of entries that are kept from when they were read until they are handed out; others are read again.
const MOST_HELD_BYTES: usize = 1 << 20;
/// So many are parked at most, some MiB in memory and on disk. Then nothing more is: what fails is tried on.
pub(super) const MOST_PARKED: usize = 50_000;
/// The first delay after a failure; it doubles with each.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest delay.
pub(super) const MOST_DELAY: Duration = Duration::from_mins(5);

/// What stands for a subject.
type Key = u64;

/// One subscription's deliveries.
#[derive(Debug)]
pub(super) struct Delivery {
    shards: Vec<Progressing>,
    slots: HashMap<Position, Slot>,
    subjects: HashMap<Key, Subject>,
    /// Subjects that can be handed out, the one that waits longest first; some may not be any more.
    ready: VecDeque<Key>,
    /// Subjects that are tried again later.
    later: BTreeSet<(Instant, Key)>,
    /// When what is in flight times out.
    due: BTreeSet<(Instant, Position)>,
    /// How often what is not done has failed, where it has.
    failures: BTreeMap<Position, u32>,
    /// What is parked, and whether it is being replayed.
    parked: BTreeMap<Position, bool>,
    /// What of that has not been stored.
    changes: Vec<Change>,
    /// Something has changed that was not stored.
    is_changed: bool,
    held_bytes: usize,
    next_number: u64,
    next_order: u64,
    random: StdRng,
}

/// A shard's progress.
#[derive(Debug, Default)]
struct Progressing {
    /// Behind what was read.
    read: u64,
    /// Read and not done.
    open: BTreeSet<u64>,
    /// Done, behind the first that is not.
    beyond: BTreeSet<u64>,
}

/// An entry that is not done.
#[derive(Debug)]
struct Slot {
    subject: Key,
    /// In which it was read.
    order: u64,
    /// Of its last handing out; 0 before.
    number: u64,
    /// Until when it is in flight.
    until: Option<Instant>,
    is_replay: bool,
    json: Option<Bytes>,
}

/// An entry that is handed out.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub position: Position,
    /// By which it is acked.
    pub number: u64,
    /// How often it was handed out, this time included, as far as that is known.
    pub tries: u32,
    /// If it was kept.
    pub json: Option<Bytes>,
}

/// What came of an ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acked {
    /// It is done, now or before.
    Done,
    /// It was handed out again, or parked, meanwhile; or the program was started again.
    Late,
    /// It was never handed out.
    Unknown,
}

/// Why an entry is tried again.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// When it may be handed out again; by how often it has failed where nobody says.
    pub after: Option<Duration>,
    pub reason: String,
    pub time: Timestamp,
}

/// What is to be stored of parked entries, in its order.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Parked {
        position: Position,
        tries: u32,
        reason: String,
        time: Timestamp,
    },
    /// It is not parked any more: it was replayed and done.
    Unparked(Position),
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub in_flight: usize,
    /// Read and not done, in flight or not.
    pub open: usize,
    pub parked: usize,
    pub replaying: usize,
}

impl Delivery {
    /// Goes on from what was stored: the committed sequences, what is done beyond them, and what is parked.
    pub fn new(committed: &[u64], progress: Progress, parked: BTreeMap<Position, bool>, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let shards = committed.iter().zip(progress.beyond.into_iter().chain(std::iter::repeat_with(BTreeSet::new)));
        Self {
            shards: shards.map(|(&read, beyond)| Progressing { read, beyond, ..Progressing::default() }).collect(),
            slots: HashMap::new(),
            subjects: HashMap::new(),
            ready: VecDeque::new(),
            later: BTreeSet::new(),
            due: BTreeSet::new(),
            failures: progress.failures,
            parked,
            changes: Vec::new(),
            is_changed: false,
            held_bytes: 0,
            // What another run of the program handed out is not taken for what this one does.
            next_number: random.random_range(1..=u64::MAX >> 1),
            next_order: 0,
            random,
        }
    }

    /// Takes what was read of the log, up to `read` in each shard.
    pub fn add(&mut self, entries: Vec<Entry>, read: &[u64], now: Instant) {
        for entry in entries {
            let position = Position { shard: entry.shard, sequence: entry.sequence };
            let shard = &mut self.shards[usize::from(entry.shard)];
            if entry.sequence <= shard.read || shard.beyond.contains(&entry.sequence) {
                continue;
            }
            shard.open.insert(entry.sequence);
            let keeps = self.held_bytes + entry.json.len() <= MOST_HELD_BYTES;
            self.insert(position, entry.subject, keeps.then_some(entry.json), false, now);
        }
        for (shard, &read) in self.shards.iter_mut().zip(read) {
            shard.read = shard.read.max(read);
            shard.commit();
        }
    }

    /// Hands parked entries out again, before others of their subjects. How many of them were parked.
    pub fn replay(&mut self, entries: Vec<Entry>, now: Instant) -> usize {
        let before = self.slots.len();
        for entry in entries {
            let position = Position { shard: entry.shard, sequence: entry.sequence };
            if self.parked.contains_key(&position) && !self.slots.contains_key(&position) {
                self.parked.insert(position, true);
                self.insert(position, entry.subject, None, true, now);
            }
        }
        self.slots.len() - before
    }

    fn insert(&mut self, position: Position, key: Key, json: Option<Bytes>, is_replay: bool, now: Instant) {
        self.held_bytes += json.as_ref().map_or(0, Bytes::len);
        let slot = Slot { subject: key, order: self.next_order, number: 0, until: None, is_replay, json };
        self.next_order += 1;
        self.slots.insert(position, slot);
        let subject = self.subjects.entry(key).or_insert_with(|| Subject::new(position.shard));
        subject.waiting.insert(position.sequence);
        self.settle(key, now, is_replay);
    }

    /// Hands out up to `most` entries, at most `run` of a subject at once.
    pub fn take(&mut self, settings: &Settings, most: usize, run: usize, now: Instant) -> Vec<Taken> {
        let most = most.min((settings.max_in_flight as usize).saturating_sub(self.due.len()));
        let until = now + settings.ack_timeout();
        let mut taken = Vec::new();
        while taken.len() < most {
            let Some(key) = self.ready.pop_front() else { break };
            let Some(subject) = self.subjects.get_mut(&key) else { continue };
            subject.is_queued = false;
            if !subject.is_ready(now) {
                continue;
            }
            let shard = subject.shard;
            let failed = |sequence: &u64| self.failures.contains_key(&Position { shard, sequence: *sequence });
            let sequences = subject.next_run((most - taken.len()).min(run), failed);
            for sequence in sequences {
                let position = Position { shard, sequence };
                let slot = self.slots.get_mut(&position).expect("what waits has a slot");
                let json = slot.json.take();
                self.held_bytes -= json.as_ref().map_or(0, Bytes::len);
                slot.number = self.next_number;
                slot.until = Some(until);
                self.next_number += 1;
                self.due.insert((until, position));
                let tries = self.failures.get(&position).map_or(1, |failures| failures + 1);
                taken.push(Taken { position, number: slot.number, tries, json });
            }
        }
        taken
    }

    /// How many entries could be handed out, as far as `most` are asked for.
    pub fn ready(&self, most: usize, run: usize, now: Instant) -> usize {
        let mut ready = 0;
        for subject in self.ready.iter().filter_map(|key| self.subjects.get(key)).filter(|one| one.is_ready(now)) {
            if ready >= most {
                break;
            }
            ready += subject.waiting.len().min(run);
        }
        ready.min(most)
    }

    /// An entry is done.
    pub fn ack(&mut self, position: Position, number: u64, now: Instant) -> Acked {
        if let Some(slot) = self.slots.get(&position) {
            // What timed out is still welcome as long as nobody else has it.
            if slot.number != number || number == 0 {
                return Acked::Late;
            }
            let key = slot.subject;
            self.call_in(position);
            self.finish(position);
            let subject = self.subjects.get_mut(&key).expect("a slot has a subject");
            subject.done(position.sequence);
            self.settle(key, now, false);
            return Acked::Done;
        }
        match self.shards.get(usize::from(position.shard)) {
            Some(shard) if shard.is_done(position.sequence) && !self.parked.contains_key(&position) => Acked::Done,
            Some(_) => Acked::Late, // parked; or of before a restart, and not read again yet
            None => Acked::Unknown,
        }
    }

    /// An entry that is in flight was not done; it and the run behind it are taken back.
    pub fn fail(&mut self, position: Position, number: u64, why: Failure, max_tries: u32, now: Instant) -> Acked {
        match self.slots.get(&position) {
            Some(slot) if slot.number == number && slot.until.is_some() => {
                self.failed(position, why, max_tries, now);
                Acked::Done
            }
            Some(_) => Acked::Late,
            None => match self.ack(position, number, now) {
                Acked::Done => Acked::Late, // it was acked before
                other => other,
            },
        }
    }

    /// An entry was not handed out after all: it counts as if it had not been taken, with the run behind it.
    pub fn give_back(&mut self, position: Position, number: u64, now: Instant) {
        let Some(slot) = self.slots.get(&position).filter(|slot| slot.number == number && slot.until.is_some()) else {
            return;
        };
        let key = slot.subject;
        self.take_back(key, position);
        self.settle(key, now, true);
    }

    /// Lets what is over its time time out, and what was to be tried later be tried.
    pub fn tick(&mut self, settings: &Settings, now: Instant, time: Timestamp) {
        while let Some(&(_, position)) = self.due.first().filter(|(until, _)| *until <= now) {
            let key = self.slots[&position].subject;
            self.subjects.get_mut(&key).expect("a slot has a subject").shorten();
            let reason = format!("no answer within {} s", settings.ack_timeout_s);
            self.failed(position, Failure { after: Some(Duration::ZERO), reason, time }, settings.max_tries, now);
        }
        while let Some(&(at, key)) = self.later.first().filter(|(at, _)| *at <= now) {
            self.later.remove(&(at, key));
            self.settle(key, now, false);
        }
    }

    /// When [`Self::tick`] has something to do next.
    pub fn next_due(&self) -> Option<Instant> {
        let due = self.due.first().map(|(at, _)| *at);
        let later = self.later.first().map(|(at, _)| *at);
        due.into_iter().chain(later).min()
    }

    fn failed(&mut self, position: Position, why: Failure, max_tries: u32, now: Instant) {
        let key = self.slots[&position].subject;
        self.take_back(key, position);
        let failures = self.failures.entry(position).or_default();
        *failures = failures.saturating_add(1);
        let failures = *failures;
        self.is_changed = true;
        let is_full = self.parked.len() >= MOST_PARKED && !self.parked.contains_key(&position);
        let subject = self.subjects.get_mut(&key).expect("a slot has a subject");
        if failures >= max_tries && !is_full {
            subject.done(position.sequence);
            self.finish(position);
            self.parked.insert(position, false);
            let Failure { reason, time, .. } = why;
            self.changes.push(Change::Parked { position, tries: failures, reason, time });
        } else {
            let after = match why.after {
                _ if is_full && failures >= max_tries => MOST_DELAY,
                Some(after) => after.min(MOST_DELAY),
                None => delay(failures, &mut self.random),
            };
            subject.not_before = (!after.is_zero()).then(|| now + after);
        }
        self.settle(key, now, false);
    }

    /// Takes an entry and the run behind it out of flight.
    fn take_back(&mut self, key: Key, position: Position) {
        let subject = self.subjects.get_mut(&key).expect("a slot has a subject");
        for sequence in subject.take_back(position.sequence) {
            self.call_in(Position { sequence, ..position });
        }
    }

    /// It is not in flight any more.
    fn call_in(&mut self, position: Position) {
        let slot = self.slots.get_mut(&position).expect("who calls it in has looked");
        if let Some(until) = slot.until.take() {
            self.due.remove(&(until, position));
        }
    }

    /// It is neither waiting nor in flight any more, but done or parked.
    fn finish(&mut self, position: Position) {
        let slot = self.slots.remove(&position).expect("who finishes it has looked");
        self.held_bytes -= slot.json.map_or(0, |json| json.len());
        self.failures.remove(&position);
        self.is_changed = true;
        if slot.is_replay {
            // Parked again, it is put back by whoever parks it.
            self.parked.remove(&position);
            self.changes.push(Change::Unparked(position));
            return;
        }
        let shard = &mut self.shards[usize::from(position.shard)];
        shard.open.remove(&position.sequence);
        shard.beyond.insert(position.sequence);
        shard.commit();
    }

    /// Puts a subject where it belongs after anything has changed about it.
    fn settle(&mut self, key: Key, now: Instant, first: bool) {
        let Some(subject) = self.subjects.get_mut(&key) else { return };
        if subject.is_empty() {
            self.subjects.remove(&key);
        } else if subject.is_ready(now) {
            if !std::mem::replace(&mut subject.is_queued, true) {
                if first { self.ready.push_front(key) } else { self.ready.push_back(key) }
            }
        } else if let Some(at) = subject.not_before.filter(|at| *at > now) {
            self.later.insert((at, key));
        }
    }

    /// Whether more of the log may be read.
    pub fn has_room(&self) -> bool {
        self.window() < WINDOW
    }

    fn window(&self) -> usize {
        self.shards.iter().map(|shard| shard.open.len() + shard.beyond.len()).sum()
    }

    /// What holds up everything, where the window is full: the first of the shard that takes most of it.
    pub fn blocked_by(&self) -> Option<Position> {
        if self.has_room() {
            return None;
        }
        let (shard, most) = (0..).zip(&self.shards).max_by_key(|(_, shard)| shard.open.len() + shard.beyond.len())?;
        Some(Position { shard, sequence: *most.open.first()? })
    }

    /// What was read first of what is not done.
    pub fn oldest(&self) -> Option<Position> {
        let firsts = (0..)
            .zip(&self.shards)
            .filter_map(|(shard, own): (Shard, _)| Some(Position { shard, sequence: *own.open.first()? }));
        firsts.min_by_key(|position| self.slots[position].order)
    }

    /// How many are in flight.
    pub fn in_flight(&self) -> usize {
        self.due.len()
    }

    /// The counts.
    pub fn counts(&self) -> Counts {
        let replaying = self.parked.values().filter(|replaying| **replaying).count();
        let parked = self.parked.len() - replaying;
        Counts { in_flight: self.due.len(), open: self.slots.len(), parked, replaying }
    }

    /// Everything up to these sequences is done.
    pub fn committed(&self) -> Vec<u64> {
        self.shards.iter().map(Progressing::committed).collect()
    }

    /// Up to these sequences the log was read.
    pub fn read(&self) -> impl Iterator<Item = u64> {
        self.shards.iter().map(|shard| shard.read)
    }

    /// What of `places` is parked and not replayed yet; all that is, if none are named.
    pub fn parked(&self, places: Option<&[Position]>) -> Vec<Position> {
        match places {
            None => self.parked.iter().filter(|(_, replaying)| !**replaying).map(|(position, _)| *position).collect(),
            Some(places) => places.iter().filter(|place| self.parked.get(place) == Some(&false)).copied().collect(),
        }
    }

    /// Whether something has changed since it was last asked for its [`Progress`].
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// The log was read on without anything to hand out: worth storing, though nothing is lost without.
    pub fn touch(&mut self) {
        self.is_changed = true;
    }

    /// What is to be stored, and how parked entries have changed. Whoever cannot store it says so with [`Self::keep`].
    pub fn progress(&mut self) -> (Vec<u64>, Progress, Vec<Change>) {
        self.is_changed = false;
        let beyond = self.shards.iter().map(|shard| shard.beyond.clone()).collect();
        let progress = Progress { beyond, failures: self.failures.clone() };
        (self.committed(), progress, std::mem::take(&mut self.changes))
    }

    /// These changes could not be stored.
    pub fn keep(&mut self, mut changes: Vec<Change>) {
        changes.append(&mut self.changes);
        self.changes = changes;
        self.is_changed = true;
    }
}

impl Progressing {
    fn committed(&self) -> u64 {
        self.open.first().map_or(self.read, |first| first - 1)
    }

    /// Forgets single places up to the committed one.
    fn commit(&mut self) {
        let committed = self.committed();
        while self.beyond.first().is_some_and(|first| *first <= committed) {
            self.beyond.pop_first();
        }
    }

    fn is_done(&self, sequence: u64) -> bool {
        sequence <= self.committed() || self.beyond.contains(&sequence)
    }
}

/// How long to wait after so many failures: twice as long each time, less up to a half by chance, so that what failed
/// together does not come again together.
pub(super) fn delay(failures: u32, random: &mut StdRng) -> Duration {
    let doubled = FIRST_DELAY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(MOST_DELAY);
    let millis = u64::try_from(doubled.as_millis()).expect("a delay has at most five minutes");
    Duration::from_millis(random.random_range(millis / 2..=millis))
}
