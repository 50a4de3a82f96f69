//! The reference data: every version that was published, and what holds at an instant.
//!
//! A version holds from an instant that it names, and never from before it was taken. What it says of a
//! key (an item, a streamer's terms of a day) replaces what earlier versions say of that key from then
//! on, so of a later version with an earlier `from` it is the later version that holds. This is how
//! shards read the catalogue, too (`ledger::state::Catalogue`).

mod in_force;

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use schemas::{Change, Event, GuildId, ItemId, Record, StreamerId, Timestamp};

pub use in_force::InForce;

/// All complete versions of the reference data, in the order in which they were published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    versions: Vec<Version>,
    /// Parts of versions whose last part has not been published.
    incomplete: BTreeMap<u64, Vec<Change>>,
}

/// A complete version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    number: u64,
    /// From when it holds.
    starts: Timestamp,
    changes: Vec<Change>,
}

/// What is published and does not hold yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled<'a> {
    /// From when it will hold.
    pub from: Timestamp,
    /// The version that says so.
    pub version: u64,
    /// What it says.
    pub change: &'a Change,
}

impl Reference {
    /// Before the first version.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what a record published. A version counts from its last part on, as a whole.
    pub fn apply(&mut self, record: &Record) {
        for (_, event) in record.events() {
            let Event::ReferencePublished(published) = event else { continue };
            let changes = self.incomplete.entry(published.version).or_default();
            if published.part == 0 {
                changes.clear();
            }
            changes.extend(published.changes.iter().cloned());
            if published.last {
                let changes = std::mem::take(changes);
                self.incomplete.retain(|version, _| *version > published.version);
                let starts = published.from.max(record.time);
                self.versions.push(Version { number: published.version, starts, changes });
            }
        }
    }

    /// The newest complete version, whether it holds yet or not; 0 before the first.
    pub fn newest(&self) -> u64 {
        self.versions.last().map_or(0, |version| version.number)
    }

    /// What holds at an instant.
    pub fn at(&self, instant: Timestamp) -> InForce {
        let mut in_force = InForce::nothing(instant);
        for version in self.versions.iter().filter(|version| version.starts <= instant) {
            in_force.take_version(version);
        }
        in_force
    }

    /// What does not hold at an instant and will, as far as no later version has replaced it; the
    /// soonest first.
    pub fn scheduled(&self, instant: Timestamp) -> Vec<Scheduled<'_>> {
        let mut scheduled = Vec::new();
        // By key the earliest start among the versions behind: what starts no sooner never holds.
        let mut replaced: BTreeMap<Key<'_>, Timestamp> = BTreeMap::new();
        for version in self.versions.iter().rev() {
            let mut seen = BTreeSet::new();
            // The last word that a version has on a key counts.
            for change in version.changes.iter().rev() {
                let key = Key::of(change);
                if !seen.insert(key) {
                    continue;
                }
                let never = replaced.get(&key).is_some_and(|from| *from <= version.starts);
                if version.starts > instant && !never {
                    scheduled.push(Scheduled { from: version.starts, version: version.number, change });
                }
                let from = replaced.entry(key).or_insert(version.starts);
                *from = version.starts.min(*from);
            }
        }
        scheduled.reverse();
        scheduled.sort_by_key(|scheduled| scheduled.from); // stable: by version, then as published
        scheduled
    }
}

/// What a change is about: of two changes with one key the later version's holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Item(&'a ItemId),
    Entity,
    Streamer(Option<&'a StreamerId>, NaiveDate),
    Guild(&'a GuildId, NaiveDate),
    Membership(&'a StreamerId, NaiveDate),
}

impl<'a> Key<'a> {
    fn of(change: &'a Change) -> Self {
        match change {
            Change::Item(item) => Self::Item(&item.item),
            Change::WithdrawItem(item) => Self::Item(item),
            Change::Entity(_) => Self::Entity,
            Change::Streamer(terms) => Self::Streamer(terms.streamer.as_ref(), terms.from),
            Change::Guild(terms) => Self::Guild(&terms.guild, terms.from),
            Change::Membership(one) => Self::Membership(&one.streamer, one.from),
        }
    }
}

#[cfg(test)]
mod tests;
