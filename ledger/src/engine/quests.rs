//! Which lines wait for the finder, and what it has found for those that have not gone on.

use hashbrown::HashMap;
use schemas::Record;
use smallvec::SmallVec;

use super::{
    bulk::Slot,
    finder::{Finding, Quest, Sought},
};
use crate::index::Place;

/// What the finder knows of a record.
pub(crate) enum Known {
    /// It has not been asked, or something has changed since.
    Unasked,
    /// It has not come back.
    Unclear,
    /// This, or that there is none.
    Clear(Option<Box<Record>>),
}

/// The quests under way, and what came of those whose lines have not gone on.
#[derive(Debug, Default)]
pub(crate) struct Quests {
    lines: HashMap<Slot, Line>,
    to_ask: Vec<Quest>,
    /// How often the index's runs have changed.
    changes: u64,
}

/// A line that waits.
#[derive(Debug, Default)]
struct Line {
    /// It waits behind another one too, which will wake it.
    parked: bool,
    /// Mostly one; a group names several orders.
    asked: SmallVec<[Asked; 1]>,
}

#[derive(Debug)]
struct Asked {
    sought: Sought,
    /// What the quest covers: these places, and the runs as they were then.
    places: SmallVec<[Place; 2]>,
    changes: u64,
    found: Found,
}

#[derive(Debug)]
enum Found {
    NotYet,
    /// This, or that there is none.
    Clear(Option<Box<Record>>),
}

impl Quests {
    /// What an earlier quest of the line says. If there may be a newer record, only where it covers all of
    /// `places`: what was decided since, or has moved from memory into a run since, was not looked at.
    pub(crate) fn known(&self, slot: Slot, sought: &Sought, places: &[Place]) -> Known {
        let asked = self.lines.get(&slot).and_then(|line| line.asked.iter().find(|asked| asked.sought == *sought));
        let Some(asked) = asked else { return Known::Unasked };
        // While the runs stay, places in memory only become more.
        let covers_all = || asked.changes == self.changes && *asked.places == *places;
        match &asked.found {
            Found::NotYet => Known::Unclear,
            Found::Clear(Some(record)) if asked.sought.is_unique() || covers_all() => {
                Known::Clear(Some(record.clone()))
            }
            Found::Clear(None) if covers_all() => Known::Clear(None),
            Found::Clear(_) => Known::Unasked,
        }
    }

    /// Sends a quest out, in place of an earlier one for the same.
    pub(crate) fn ask(&mut self, mut quest: Quest) {
        let asked = Asked {
            sought: quest.sought.clone(),
            places: quest.places.clone(),
            changes: self.changes,
            found: Found::NotYet,
        };
        let line = self.lines.entry(quest.slot).or_default();
        quest.nth = line.asked.iter().position(|earlier| earlier.sought == asked.sought).unwrap_or(line.asked.len());
        match line.asked.get_mut(quest.nth) {
            Some(earlier) => *earlier = asked,
            None => line.asked.push(asked),
        }
        self.to_ask.push(quest);
    }

    /// The line waits behind another one, which will queue it: what is found does not, or it would go
    /// before lines that were queued with it.
    pub(crate) fn parked(&mut self, slot: Slot) {
        self.set_parked(slot, true);
    }

    /// It has its turn, and waits behind no other any more.
    pub(crate) fn unparked(&mut self, slot: Slot) {
        self.set_parked(slot, false);
    }

    fn set_parked(&mut self, slot: Slot, parked: bool) {
        if !self.lines.is_empty()
            && let Some(line) = self.lines.get_mut(&slot)
        {
            line.parked = parked;
        }
    }

    /// How many lines have quests.
    pub(crate) fn lines(&self) -> usize {
        self.lines.len()
    }

    /// How many parked lines have quests.
    pub(crate) fn parked_quests(&self) -> usize {
        self.lines.values().filter(|line| line.parked).count()
    }

    /// What is to be looked up.
    pub(crate) fn take(&mut self) -> Vec<Quest> {
        std::mem::take(&mut self.to_ask)
    }

    /// Takes what was found; whether its line is to go on now.
    pub(crate) fn found(&mut self, Finding { slot, nth, record }: Finding) -> bool {
        let Some(line) = self.lines.get_mut(&slot) else { return false };
        line.asked[nth].found = Found::Clear(record);
        !line.parked && line.asked.iter().all(|asked| matches!(asked.found, Found::Clear(_)))
    }

    /// The line is answered.
    pub(crate) fn forget(&mut self, slot: Slot) {
        if !self.lines.is_empty() {
            self.lines.remove(&slot);
        }
    }

    /// The index has other runs than before.
    pub(crate) fn runs_changed(&mut self) {
        self.changes += 1;
    }
}
