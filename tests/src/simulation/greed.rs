//! A client that asks again and again for what is refused, until its subject's quota is used up; and what
//! must hold of the quota: within it everything is recorded, beyond it nothing that is refused.

use std::collections::BTreeMap;

use schemas::{Record, Subject, Timestamp};

use super::dice::{Concern, Dice};
use crate::play::Differs;

/// The most recorded refusals of a subject in a window, and how long one is, as the ledger promises.
const REFUSALS: u64 = 1_000;
const WINDOW_MS: i64 = 60_000;
/// How many schedules of a thousand have a greedy client.
const GREEDY: u32 = 10;
/// How much it asks for at once, and in all.
const AT_ONCE: usize = 300;
const IN_ALL: usize = 1_500;

/// When a greedy client asks.
#[derive(Debug)]
pub struct Greed {
    dice: Dice,
    asked: usize,
}

impl Greed {
    /// Of a schedule, if it has any.
    pub fn new(seed: u64) -> Option<Self> {
        let mut dice = Dice::of(seed, Concern::Greed);
        dice.happens(GREEDY).then_some(Self { dice, asked: 0 })
    }

    /// How long to wait before asking again.
    pub const PATIENCE_MS: i64 = WINDOW_MS + 1;

    /// How many commands it asks for now.
    pub fn asks(&mut self) -> usize {
        if self.asked >= IN_ALL || !self.dice.happens(200) {
            return 0;
        }
        self.asked += AT_ONCE;
        AT_ONCE
    }
}

/// The refusals that one process has recorded.
#[derive(Debug)]
pub struct Refusals {
    by_subject: BTreeMap<Subject, u64>,
    earliest: Timestamp,
    latest: Timestamp,
}

impl Refusals {
    /// A process begins.
    pub fn begin(now: Timestamp) -> Self {
        Self { by_subject: BTreeMap::new(), earliest: now, latest: now }
    }

    /// The clock shows another time.
    pub fn clock_moves(&mut self, now: Timestamp) {
        self.earliest = self.earliest.min(now);
        self.latest = self.latest.max(now);
    }

    /// A record of this process.
    ///
    /// # Errors
    /// If it goes beyond the quota: of as many windows as there can have been.
    pub fn record(&mut self, record: &Record) -> Result<(), Differs> {
        if !record.origin.is_caller() || record.event().is_some() {
            return Ok(());
        }
        let refusals = self.by_subject.entry(record.subject.clone()).or_default();
        *refusals += 1;
        let windows = 1 + (self.latest.nanos() - self.earliest.nanos()) / 1_000_000 / WINDOW_MS;
        if *refusals > REFUSALS * windows.unsigned_abs() {
            return Err(format!("{refusals} recorded refusals in {windows} windows: {record:?}"));
        }
        Ok(())
    }

    /// Somebody is told that a subject's quota is used up.
    ///
    /// # Errors
    /// If it is not.
    pub fn used_up(&self, subject: &Subject) -> Result<(), Differs> {
        let refusals = self.by_subject.get(subject).copied().unwrap_or(0);
        if refusals >= REFUSALS { Ok(()) } else { Err(format!("the quota has {refusals} of {REFUSALS}")) }
    }
}
