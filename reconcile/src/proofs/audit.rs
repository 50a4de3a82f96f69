//! One thread's pass over the records of some shards.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use hashbrown::HashMap;
use ledger::{
    State, caught, each_posting,
    log::{Check, Frame, Frames, Locator, Reader},
    state::parse_dispatch_id,
};
use projections::Accounts;
use schemas::{Asset, Dispatch, Event, Origin, Record, Shard};
use smallvec::SmallVec;

use super::{
    snapshots::{Forged, Snapshots},
    transit::{Lane, Pair},
    views::Views,
};

/// Records whose users are looked up together: as many cache misses as a core can have under way.
const LOOK_AHEAD: usize = 16;

/// What was counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub frames: u64,
    pub records: u64,
    pub dispatches: u64,
    pub snapshots: u64,
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        self.frames += other.frames;
        self.records += other.records;
        self.dispatches += other.dispatches;
        self.snapshots += other.snapshots;
    }
}

/// Which check a fault belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Log,
    State,
    Balance,
    Dispatch,
}

/// What does not hold, and where.
pub(super) struct Fault {
    pub kind: Kind,
    pub what: String,
}

/// The pass.
pub(super) struct Audit<'a> {
    /// Of all shards.
    shards: Shard,
    own: Range<Shard>,
    states: Vec<State>,
    accounts: Accounts,
    /// The last number issued.
    issued: HashMap<Pair, u64>,
    lane: Lane<'a>,
    snapshots: Snapshots,
    counts: Counts,
    /// The records of all threads.
    done: &'a AtomicU64,
    /// The record that is being taken.
    at: (Shard, u64),
}

impl<'a> Audit<'a> {
    pub fn new(reader: &Reader, own: Range<Shard>, lane: Lane<'a>, done: &'a AtomicU64) -> Result<Self, Fault> {
        let shards = reader.shards();
        Ok(Self {
            snapshots: Snapshots::of(reader)?,
            shards,
            states: own.clone().map(|shard| State::new(shard, shards)).collect(),
            own,
            accounts: Accounts::new(),
            issued: HashMap::new(),
            lane,
            counts: Counts::default(),
            done,
            at: (0, 0),
        })
    }

    pub fn counts(&self) -> Counts {
        Counts { snapshots: self.snapshots.count, ..self.counts }
    }

    /// The snapshots that are not what the log folds to.
    pub fn forged(&mut self) -> Vec<Forged> {
        std::mem::take(&mut self.snapshots.forged)
    }

    /// The accounts of these shards, compared with their states.
    pub fn views(&self) -> Views {
        Views::of(&self.states, &self.accounts)
    }

    /// Reads the log; stops at the first fault, here or in another thread.
    pub fn read(&mut self, reader: &Reader, progress: &mut dyn FnMut(u64) -> bool) -> Result<(), Fault> {
        let frames = reader.frames(Check::Full).of_shards(self.own.clone());
        let read = if self.own.len() == usize::from(self.shards) {
            frames.ahead(|frame| self.frame(frame, progress))
        } else {
            self.each(frames, progress)
        };
        // And those that end where the log does.
        let read = read.and_then(|()| Ok(self.snapshots.reached(Locator::from(u64::MAX), &self.own, &self.states)?));
        if read.is_err() {
            self.lane.fail();
        }
        read
    }

    fn each(&mut self, mut frames: Frames, progress: &mut dyn FnMut(u64) -> bool) -> Result<(), Fault> {
        while let Some(frame) = frames.next() {
            let frame = frame?;
            self.frame(&frame, progress)?;
            frames.recycle(frame);
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame, progress: &mut dyn FnMut(u64) -> bool) -> Result<(), Fault> {
        // A frame counts where its first record does.
        self.counts.frames += u64::from(frame.first.ordinal() == 0);
        // Postings and `apply` are total on what was decided. A log that somebody forged, hashes and all,
        // is not that: it stops here, and with a place instead of a crash.
        self.snapshots.reached(frame.first, &self.own, &self.states)?;
        let taken = caught(|| self.records(frame));
        taken.unwrap_or_else(|_| Err(self.fault(Kind::State, "it takes what is not there")))?;
        let count = frame.records.len() as u64;
        let done = self.done.fetch_add(count, Ordering::Relaxed) + count;
        let stopped =
            || Fault { kind: Kind::Log, what: "another thread has found a fault, or nobody wants to know".to_owned() };
        if !progress(done) {
            return Err(stopped());
        }
        self.lane.reached(frame.first).map_err(|()| stopped())
    }

    fn records(&mut self, frame: &Frame) -> Result<(), Fault> {
        let mut places = 0..;
        for records in frame.records.chunks(LOOK_AHEAD) {
            self.look_ahead(records);
            for (record, n) in records.iter().zip(&mut places) {
                self.at = (record.shard, record.sequence);
                self.record(record, frame.first.nth(n))?;
                self.counts.records += 1;
            }
        }
        Ok(())
    }

    /// Looks up whom some records concern, for nothing but to have their entries in the cache. One look-up
    /// does not wait for another here, as it would while records are taken one by one.
    fn look_ahead(&self, records: &[Record]) {
        let mut seen = 0;
        for record in records {
            let Some(user) = record.subject.user() else { continue };
            let state = self.states.get(usize::from(record.shard.wrapping_sub(self.own.start)));
            seen ^= usize::from(state.is_some_and(|state| state.touch(state.home(user))));
        }
        for record in records {
            let Some(user) = record.subject.user() else { continue };
            seen ^= usize::from(self.accounts.has_user(user));
        }
        std::hint::black_box(seen);
    }

    fn record(&mut self, record: &Record, at: Locator) -> Result<(), Fault> {
        let shard = record.subject.shard(self.shards);
        if shard != record.shard {
            return Err(self.fault(Kind::State, &format!("{} belongs to shard {shard}", record.subject)));
        }
        let mut sums = Sums::default();
        each_posting(record, |posting| {
            sums.add(posting.asset, posting.amount);
            self.accounts.post(posting);
        });
        if let Some((asset, sum)) = sums.off() {
            return Err(self.fault(Kind::Balance, &format!("its postings of {asset} sum to {sum}")));
        }
        for (dispatch, coins) in issued(record) {
            let pair = (record.shard, dispatch.target);
            let last = self.issued.entry(pair).or_default();
            if dispatch.number != *last + 1 {
                let what = format!("dispatch {} follows {last}", dispatch.number);
                return Err(self.fault(Kind::Dispatch, &what));
            }
            *last = dispatch.number;
            if !self.lane.issue(pair, at, dispatch.number, coins) {
                let what = format!("dispatch {} was taken before", dispatch.number);
                return Err(self.fault(Kind::Dispatch, &what));
            }
        }
        if record.origin == Origin::Dispatch {
            self.counts.dispatches += 1;
            self.taken(record, at).map_err(|what| self.fault(Kind::Dispatch, &what))?;
        }
        self.states[usize::from(record.shard - self.own.start)].apply(record);
        Ok(())
    }

    /// Checks a dispatched command against the numbers taken so far and what was issued.
    fn taken(&self, record: &Record, at: Locator) -> Result<(), String> {
        let id = &record.id;
        let taken = parse_dispatch_id(id.as_str()).filter(|(source, _)| *source < self.shards);
        let (source, number) = taken.ok_or_else(|| format!("{id} is no dispatch"))?;
        let last = self.states[usize::from(record.shard - self.own.start)].taken_from(source);
        if number != last + 1 {
            return Err(format!("dispatch {number} was taken after {last}"));
        }
        let fits = self.lane.take((source, record.shard), at, number);
        if fits { Ok(()) } else { Err(format!("no record issued dispatch {id}")) }
    }

    fn fault(&self, kind: Kind, what: &str) -> Fault {
        let (shard, sequence) = self.at;
        Fault { kind, what: format!("record {shard}-{sequence}: {what}") }
    }
}

impl From<ledger::Error> for Fault {
    fn from(error: ledger::Error) -> Self {
        Self { kind: Kind::Log, what: error.to_string() }
    }
}

/// A record's postings, summed by asset: nearly always coins alone.
#[derive(Default)]
struct Sums {
    coins: i128,
    money: SmallVec<[(Asset, i128); 2]>,
}

impl Sums {
    fn add(&mut self, asset: Asset, amount: i64) {
        if asset == Asset::Coin {
            self.coins += i128::from(amount);
            return;
        }
        match self.money.iter_mut().find(|(of, _)| *of == asset) {
            Some((_, sum)) => *sum += i128::from(amount),
            None => self.money.push((asset, amount.into())),
        }
    }

    /// The first asset whose postings do not sum to zero.
    fn off(&self) -> Option<(Asset, i128)> {
        let money = self.money.iter().filter(|(_, sum)| *sum != 0).min().copied();
        if self.coins == 0 { money } else { Some((Asset::Coin, self.coins)) }
    }
}

/// The dispatches that a record issues, each with the coins that it carries out of transit: what
/// [`Record::dispatches`] says, without making the commands.
fn issued(record: &Record) -> SmallVec<[(Dispatch, i128); 1]> {
    match record.event() {
        Some(Event::TopUpClaimed(e)) => [(e.dispatch, e.coins.signed())].into_iter().collect(),
        Some(Event::ChargebackClaimed(e)) => [(e.dispatch, -e.coins.signed())].into_iter().collect(),
        Some(Event::ReinstateClaimed(e)) => [(e.dispatch, e.coins.signed())].into_iter().collect(),
        Some(Event::ReferencePublished(e)) => e.dispatches.iter().map(|dispatch| (*dispatch, 0)).collect(),
        _ => SmallVec::new(),
    }
}
