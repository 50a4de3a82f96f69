//! What has to be looked up on the disk before a line can be decided: an id that may stand on the log
//! already, the order that a refund names, a combo, a transaction. A thread of its own does it: a
//! storm of duplicates or of refunds reads from the disk, and nobody who gives a new gift waits for that.
//!
//! Now and then a filter of the index lets a new id pass, so a bulk of new gifts waits for a few
//! look-ups of its own. They must not wait for the thousands of a bulk of duplicates, or for thousands of
//! callers with one duplicate each, all of which unpack a block of the log. So submissions take turns,
//! asking the index and reading the log take turns, and what was found in a turn leaves with it.

use std::{cmp::Reverse, collections::VecDeque, sync::Arc};

use schemas::{Key, Record, encoded_len};
use smallvec::SmallVec;

use super::bulk::Slot;
use crate::{
    Result,
    index::{Fingerprint, NEWEST, Place, Runs},
    log::Reader,
};

/// Quests asked of the index in one turn: each reads a block of 4 KiB from a run, or none, so a turn
/// takes half a millisecond.
const ASKED_PER_TURN: usize = 128;
/// Quests looked up on the log in one turn: each unpacks a block of 64 KiB, so a turn takes a
/// millisecond.
const READ_PER_TURN: usize = 16;

/// A record that is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Sought {
    /// The newest one of a key.
    Newest(Key),
    /// The one at a place.
    At(Place),
}

impl Sought {
    /// Whether that is the one, if it is the newest of those that may be.
    pub(crate) fn is(&self, record: &Record) -> bool {
        match self {
            Self::Newest(key) => record.has(key),
            Self::At(at) => (record.shard, record.sequence) == (at.shard(), at.sequence()),
        }
    }

    /// Whether there can be but one, for ever.
    pub(crate) fn is_unique(&self) -> bool {
        matches!(self, Self::Newest(Key::Command(..)) | Self::At(_))
    }
}

/// What a line needs from the disk before it can be decided.
#[derive(Debug)]
pub(crate) struct Quest {
    pub(crate) slot: Slot,
    /// Which of its line's quests it is.
    pub(crate) nth: usize,
    pub(crate) sought: Sought,
    /// Where it may stand besides the runs, newest first; all of it durable.
    pub(crate) places: SmallVec<[Place; 2]>,
    /// The runs to look into, where their filters let it pass.
    pub(crate) runs: Option<(Arc<Runs>, Fingerprint)>,
}

/// What came of a quest.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) slot: Slot,
    pub(crate) nth: usize,
    pub(crate) found: Option<Found>,
}

/// A record that was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) at: Place,
    pub(crate) record: Arc<Record>,
    /// What it takes on the log; in memory some times that.
    pub(crate) bytes: usize,
}

impl Quest {
    /// Asks the runs too where it may stand.
    fn place(mut self) -> Result<Self> {
        if let Some((runs, key)) = &self.runs {
            let newest = runs.candidates(*key, NEWEST)?;
            if newest.len() < NEWEST {
                self.runs = None; // these are all
            }
            self.places.extend(newest);
        }
        Ok(self)
    }

    /// Looks for it at its places. `last` is what was read last: neighbours are often one record.
    fn read(self, reader: &mut Reader, last: &mut Option<Found>) -> Result<Finding> {
        let Self { slot, nth, sought, places, runs } = self;
        let mut found = first_of(&sought, &places, reader, last)?;
        if let (None, Some((runs, key))) = (&found, runs) {
            // Another key with its fingerprint has many places.
            let all = runs.candidates(key, usize::MAX)?;
            found = first_of(&sought, &all, reader, last)?;
        }
        Ok(Finding { slot, nth, found })
    }

    /// Does all of it at once, for whoever cannot wait.
    pub(crate) fn carry_out(self, reader: &mut Reader) -> Result<Option<Found>> {
        Ok(self.place()?.read(reader, &mut None)?.found)
    }
}

/// The first record at these places that is the one.
fn first_of(sought: &Sought, places: &[Place], reader: &mut Reader, last: &mut Option<Found>) -> Result<Option<Found>> {
    for &at in places {
        if last.as_ref().is_none_or(|last| last.at != at) {
            *last = reader.find(at.shard(), at.sequence())?.map(|(_, record)| {
                let bytes = encoded_len(&record);
                Found { at, record: Arc::new(record), bytes }
            });
        }
        if let Some(found) = last.as_ref().filter(|found| found.at == at && sought.is(&found.record)) {
            return Ok(Some(found.clone()));
        }
    }
    Ok(None)
}

/// What is looked up, in turns.
#[derive(Debug)]
pub(crate) struct Finder {
    reader: Reader,
    /// Submissions with quests that have not been looked for in the runs.
    asking: VecDeque<Asking>,
    /// By submission: what may stand somewhere. The last one is the first on the log.
    reading: VecDeque<Vec<Quest>>,
    /// Whether the last turn was for reading.
    has_read: bool,
    /// What was read last.
    last: Option<Found>,
}

/// Quests of one submission.
#[derive(Debug)]
struct Asking {
    submission: u64,
    asked: VecDeque<Quest>,
    placed: Vec<Quest>,
}

impl Finder {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader, asking: VecDeque::new(), reading: VecDeque::new(), has_read: false, last: None }
    }

    /// Whether there is nothing to look up.
    pub(crate) fn is_idle(&self) -> bool {
        self.asking.is_empty() && self.reading.is_empty()
    }

    /// Takes quests in.
    pub(crate) fn take(&mut self, quests: impl IntoIterator<Item = Quest>) {
        for quest in quests {
            let submission = quest.slot.submission;
            // The decider goes from submission to submission; one that comes again has two turns.
            match self.asking.back_mut().filter(|turn| turn.submission == submission) {
                Some(turn) => turn.asked.push_back(quest),
                None => self.asking.push_back(Asking { submission, asked: [quest].into(), placed: Vec::new() }),
            }
        }
    }

    /// One turn: what came of some quests. Asking and reading take turns too: most of what only a filter
    /// let pass is done with once the runs are asked, and must not wait for what has to be read.
    pub(crate) fn find(&mut self) -> Result<Vec<Finding>> {
        self.has_read = self.asking.is_empty() || !self.has_read && !self.reading.is_empty();
        if self.has_read { self.read() } else { self.ask() }
    }

    /// Asks the runs, for one large submission or for many small ones.
    fn ask(&mut self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let mut left = ASKED_PER_TURN;
        while left > 0
            && let Some(mut turn) = self.asking.pop_front()
        {
            let most = turn.asked.len().min(left);
            left -= most;
            for quest in turn.asked.drain(..most) {
                let Quest { slot, nth, .. } = quest;
                let quest = quest.place()?;
                if quest.places.is_empty() {
                    findings.push(Finding { slot, nth, found: None });
                } else {
                    turn.placed.push(quest);
                }
            }
            if !turn.asked.is_empty() {
                self.asking.push_back(turn);
            } else if !turn.placed.is_empty() {
                // Neighbours share a block.
                turn.placed.sort_unstable_by_key(|quest| Reverse(quest.places[0]));
                self.reading.push_back(turn.placed);
            }
        }
        Ok(findings)
    }

    /// Reads the log, for one large submission or for several small ones.
    fn read(&mut self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        while findings.len() < READ_PER_TURN
            && let Some(mut placed) = self.reading.pop_front()
        {
            let from = placed.len().saturating_sub(READ_PER_TURN - findings.len());
            for quest in placed.drain(from..).rev() {
                findings.push(quest.read(&mut self.reader, &mut self.last)?);
            }
            if !placed.is_empty() {
                self.reading.push_back(placed);
            }
        }
        if self.reading.is_empty() {
            self.last = None; // nobody comes soon who may ask for it again
        }
        Ok(findings)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use smallvec::smallvec;

    use super::*;
    use crate::log::{Log, Options, faulty::SimDisk};

    /// A thousand callers say one thing again, each in a submission of its own; a new gift that only a
    /// filter let pass does not wait until all of that is read.
    #[test]
    fn what_stands_nowhere_does_not_wait_for_what_has_to_be_read() {
        let options = Options { shards: Some(1), ..Options::default() };
        let (log, _) = Log::open(Arc::new(SimDisk::new(1)), &options).unwrap();
        let at = Place::new(0, 1);
        let quest = |submission, places| Quest {
            slot: Slot { submission, line: 0 },
            nth: 0,
            sought: Sought::At(at),
            places,
            runs: None,
        };
        let mut finder = Finder::new(log.reader());
        finder.take((0..1_000).map(|submission| quest(submission, smallvec![at])));
        finder.take([quest(1_000, smallvec![])]);
        let (mut turns, mut found, mut new_is_found_after) = (0, 0, None);
        while !finder.is_idle() {
            let findings = finder.find().unwrap();
            turns += 1;
            found += findings.len();
            if findings.iter().any(|finding| finding.slot.submission == 1_000) {
                new_is_found_after = Some(turns);
            }
        }
        assert_eq!(found, 1_001);
        assert!(new_is_found_after.is_some_and(|after| after <= 16 && turns > 60), "{new_is_found_after:?} of {turns}");
    }
}
