//! Which lines wait to hear whether their id stands on the log already.

use std::sync::Arc;

use hashbrown::HashMap;
use schemas::Record;

use super::{
    bulk::Slot,
    finder::{Finding, Quest, Which},
};
use crate::index::Place;

/// What is known of a command's id.
pub(crate) enum Known {
    /// It never came.
    New,
    /// It came, and this came of it.
    Record(Box<Record>),
    /// It has to be looked up; the line waits.
    Unclear,
}

/// The quests under way, and what came of those whose lines have not gone on.
#[derive(Debug, Default)]
pub(crate) struct Quests {
    asked: HashMap<(Slot, Which), Asked>,
    to_ask: Vec<Quest>,
    /// How often the index's runs have changed.
    changes: u64,
}

#[derive(Debug)]
enum Found {
    /// The finder has not come back.
    NotYet,
    Nothing,
    Record(Arc<Record>),
}

#[derive(Debug)]
struct Asked {
    /// What it covers: these places, and the runs as they were then.
    places: smallvec::SmallVec<[Place; 2]>,
    changes: u64,
    /// Its line waits behind another one, which will wake it.
    parked: bool,
    found: Found,
}

impl Quests {
    /// What an earlier quest says; none if there was none that covers all of `places`.
    pub(crate) fn known(&mut self, slot: Slot, which: Which, places: &[Place]) -> Option<Known> {
        if self.asked.is_empty() {
            return None;
        }
        let asked = self.asked.get(&(slot, which))?;
        match &asked.found {
            Found::NotYet => Some(Known::Unclear),
            Found::Record(record) => Some(Known::Record(Box::new(Record::clone(record)))),
            // Whatever was decided since, or was decided then and has moved from memory into a run.
            Found::Nothing => {
                let all = asked.changes == self.changes && places.iter().all(|at| asked.places.contains(at));
                all.then_some(Known::New)
            }
        }
    }

    /// Sends a quest out.
    pub(crate) fn ask(&mut self, quest: Quest) {
        let asked = Asked { places: quest.places.clone(), changes: self.changes, parked: false, found: Found::NotYet };
        self.asked.insert((quest.slot, quest.which), asked);
        self.to_ask.push(quest);
    }

    /// The line waits behind another one, which will queue it: what is found does not, or it would go
    /// before lines that were queued with it.
    pub(crate) fn parked(&mut self, slot: Slot) {
        self.set_parked(slot, true);
    }

    /// It has had its turn again, and waits for nothing but what is found.
    pub(crate) fn awaited(&mut self, slot: Slot) {
        self.set_parked(slot, false);
    }

    fn set_parked(&mut self, slot: Slot, parked: bool) {
        if let Some(asked) = self.asked.get_mut(&(slot, Which::Own)) {
            asked.parked = parked;
        }
    }

    /// How many quests are of parked lines.
    pub(crate) fn parked_quests(&self) -> usize {
        self.asked.values().filter(|asked| asked.parked).count()
    }

    /// What is to be looked up.
    pub(crate) fn take(&mut self) -> Vec<Quest> {
        std::mem::take(&mut self.to_ask)
    }

    /// Takes what was found; whether its line is to go on now.
    pub(crate) fn found(&mut self, finding: Finding) -> bool {
        let Some(asked) = self.asked.get_mut(&(finding.slot, finding.which)) else { return false };
        asked.found = finding.record.map_or(Found::Nothing, |record| Found::Record(Arc::new(*record)));
        !asked.parked
    }

    /// The line is answered.
    pub(crate) fn forget(&mut self, slot: Slot) {
        if !self.asked.is_empty() {
            self.asked.remove(&(slot, Which::Own));
            self.asked.remove(&(slot, Which::Last));
        }
    }

    /// The index has other runs than before.
    pub(crate) fn runs_changed(&mut self) {
        self.changes += 1;
    }
}
