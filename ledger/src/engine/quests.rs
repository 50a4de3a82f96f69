//! Which lines wait for the finder, and what it has found for those that have not gone on.
//!
//! Of what was found the places are kept for each line, and the records once each, as long as they take no more
//! than `HELD_BYTES`: a bulk of thousands of refunds may name orders of thousands of lots. What does not fit is read
//! again when its line has its turn.

use std::sync::Arc;

use hashbrown::HashMap;
use schemas::Record;
use smallvec::SmallVec;

use super::{
    bulk::Slot,
    finder::{Finding, Found, Quest, Sought},
};
use crate::index::Place;

/// The most bytes of records that are held for lines, as on the log; in memory they take some times that. So much
/// are the orders of 30,000 lines as they usually are.
const HELD_BYTES: usize = 16 << 20;
/// Up to so many quests of one line are looked through one by one.
const FEW: usize = 8;

/// What the finder knows of a record.
pub(crate) enum Known {
    /// It has not been asked, or something has changed since.
    Unasked,
    /// It has not come back.
    Unclear,
    /// This, or that there is none.
    Clear(Option<Arc<Record>>),
    /// The one at this place, which was not held.
    At(Place),
}

/// The quests under way, and what came of those whose lines have not gone on.
#[derive(Debug, Default)]
pub(crate) struct Quests {
    lines: HashMap<Slot, Line>,
    to_ask: Vec<Quest>,
    /// How often the index's runs have changed.
    changes: u64,
    held: HashMap<Place, Held>,
    /// What `held` takes.
    bytes: usize,
}

/// A record that some lines wait to go on with.
#[derive(Debug)]
struct Held {
    record: Arc<Record>,
    bytes: usize,
    /// For how many quests.
    quests: usize,
}

/// A line that waits.
#[derive(Debug, Default)]
struct Line {
    /// It waits behind another one too, which will wake it.
    parked: bool,
    /// Mostly one; a group names several orders.
    asked: SmallVec<[Asked; 1]>,
    /// Which of them is about what, once they are more than a few.
    numbers: HashMap<Sought, usize>,
    /// How many of them have not come back.
    open: usize,
}

#[derive(Debug)]
struct Asked {
    sought: Sought,
    /// What the quest covers: these places, and the runs as they were then.
    places: SmallVec<[Place; 2]>,
    changes: u64,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    NotYet,
    Nothing,
    /// It stands there.
    At(Place),
}

impl Line {
    fn nth(&self, sought: &Sought) -> Option<usize> {
        if self.asked.len() > FEW {
            self.numbers.get(sought).copied()
        } else {
            self.asked.iter().position(|asked| asked.sought == *sought)
        }
    }

    fn push(&mut self, asked: Asked) {
        self.asked.push(asked);
        if self.asked.len() > FEW {
            let from = self.numbers.len();
            let further = self.asked.iter().enumerate().skip(from);
            self.numbers.extend(further.map(|(nth, asked)| (asked.sought.clone(), nth)));
        }
    }
}

impl Quests {
    /// What an earlier quest of the line says. If there may be a newer record, only where it covers all of
    /// `places`: what was decided since, or has moved from memory into a run since, was not looked at.
    pub(crate) fn known(&self, slot: Slot, sought: &Sought, places: &[Place]) -> Known {
        let asked = self.lines.get(&slot).and_then(|line| Some(&line.asked[line.nth(sought)?]));
        let Some(asked) = asked else { return Known::Unasked };
        // While the runs stay, places in memory only become more. A quest may have looked at older ones, too.
        let covers_all = || asked.changes == self.changes && asked.places.starts_with(places);
        match asked.outcome {
            Outcome::NotYet => Known::Unclear,
            Outcome::At(at) if asked.sought.is_unique() || covers_all() => match self.held.get(&at) {
                Some(held) => Known::Clear(Some(Arc::clone(&held.record))),
                None => Known::At(at),
            },
            Outcome::Nothing if covers_all() => Known::Clear(None),
            Outcome::At(_) | Outcome::Nothing => Known::Unasked,
        }
    }

    /// Sends a quest out, in place of an earlier one for the same.
    pub(crate) fn ask(&mut self, mut quest: Quest) {
        let asked = Asked {
            sought: quest.sought.clone(),
            places: quest.places.clone(),
            changes: self.changes,
            outcome: Outcome::NotYet,
        };
        let line = self.lines.entry(quest.slot).or_default();
        line.open += 1;
        if let Some(nth) = line.nth(&asked.sought) {
            quest.nth = nth;
            let earlier = std::mem::replace(&mut line.asked[nth], asked);
            self.let_go(earlier.outcome);
        } else {
            quest.nth = line.asked.len();
            line.push(asked);
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
    pub(crate) fn found(&mut self, Finding { slot, nth, found }: Finding) -> bool {
        let Some(line) = self.lines.get_mut(&slot) else { return false };
        line.open -= 1;
        line.asked[nth].outcome = found.as_ref().map_or(Outcome::Nothing, |found| Outcome::At(found.at));
        let goes_on = !line.parked && line.open == 0;
        if let Some(found) = found {
            self.hold(found);
        }
        goes_on
    }

    /// The line is answered.
    pub(crate) fn forget(&mut self, slot: Slot) {
        if !self.lines.is_empty()
            && let Some(line) = self.lines.remove(&slot)
        {
            line.asked.iter().for_each(|asked| self.let_go(asked.outcome));
        }
    }

    /// The index has other runs than before.
    pub(crate) fn runs_changed(&mut self) {
        self.changes += 1;
    }

    /// Keeps a record for one more quest, if there is room.
    fn hold(&mut self, Found { at, record, bytes }: Found) {
        if let Some(held) = self.held.get_mut(&at) {
            held.quests += 1;
        } else if self.bytes + bytes <= HELD_BYTES {
            self.bytes += bytes;
            self.held.insert(at, Held { record, bytes, quests: 1 });
        }
    }

    /// A quest's record is not needed for it any more.
    fn let_go(&mut self, outcome: Outcome) {
        let Outcome::At(at) = outcome else { return };
        let Some(held) = self.held.get_mut(&at) else { return };
        held.quests -= 1;
        if held.quests == 0 {
            self.bytes -= held.bytes;
            self.held.remove(&at);
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::{Body, Digest, Event, Granted, Moved, Origin, Source, Subject, Timestamp};
    use smallvec::smallvec;

    use super::*;

    fn record(sequence: u64) -> Arc<Record> {
        let granted = Granted { coins: schemas::Coins::MAX, expires: None, reason: "why".parse().unwrap() };
        Arc::new(Record {
            shard: 0,
            sequence,
            time: Timestamp::from_nanos(1),
            occurred_at: None,
            subject: Subject::User("u".parse().unwrap()),
            origin: Origin::Caller(Source::cli()),
            id: "c".parse().unwrap(),
            digest: "00000000000000000000000000000000".parse::<Digest>().unwrap(),
            actor: None,
            on_behalf_of: None,
            client: None,
            body: Body::Event(Box::new(Event::Granted(granted))),
            moved: Moved::new(),
        })
    }

    /// The line asks for each of these places, and each is found, in turn.
    fn find_all(quests: &mut Quests, line: usize, sequences: &[u64], bytes: usize) -> bool {
        let slot = Slot { submission: 1, line };
        for &sequence in sequences {
            let at = Place::new(0, sequence);
            let quest = Quest { slot, nth: 0, sought: Sought::At(at), places: smallvec![at], runs: None };
            assert!(matches!(quests.known(slot, &quest.sought, &quest.places), Known::Unasked));
            quests.ask(quest);
        }
        let mut goes_on = false;
        for Quest { slot, nth, sought, .. } in quests.take() {
            let Sought::At(at) = sought else { panic!("places were asked for") };
            assert!(!goes_on, "it waits for the last one");
            let found = Found { at, record: record(at.sequence()), bytes };
            goes_on = quests.found(Finding { slot, nth, found: Some(found) });
        }
        goes_on
    }

    fn known(quests: &Quests, line: usize, sequence: u64) -> Known {
        let at = Place::new(0, sequence);
        quests.known(Slot { submission: 1, line }, &Sought::At(at), &[at])
    }

    /// 8,189 refunds of an order of 4,096 lots held it as often: 1.3 GiB.
    #[test]
    fn what_many_lines_name_is_held_once_and_within_bounds() {
        let mut quests = Quests::default();
        for line in 0..8_189 {
            assert!(find_all(&mut quests, line, &[7], 100_000));
        }
        assert_eq!((quests.bytes, quests.held.len()), (100_000, 1));
        // Others that do not fit are known by their places, and read in their lines' turn.
        for line in 0..1_000 {
            assert!(find_all(&mut quests, 10_000 + line, &[100 + line as u64], 100_000));
            assert!(quests.bytes <= HELD_BYTES);
        }
        assert!(matches!(known(&quests, 10_000, 100), Known::Clear(Some(record)) if record.sequence == 100));
        assert!(matches!(known(&quests, 10_999, 1_099), Known::At(at) if at == Place::new(0, 1_099)));
        // Who goes on makes room.
        for line in 0..8_189 {
            assert!(matches!(known(&quests, line, 7), Known::Clear(Some(_))));
            quests.forget(Slot { submission: 1, line });
        }
        for line in 0..1_000 {
            quests.forget(Slot { submission: 1, line: 10_000 + line });
        }
        assert_eq!((quests.bytes, quests.held.len(), quests.lines()), (0, 0, 0));
    }

    #[test]
    fn a_line_with_many_quests_knows_each() {
        let mut quests = Quests::default();
        let sequences: Vec<u64> = (1..=500).collect();
        assert!(find_all(&mut quests, 3, &sequences, 10));
        for sequence in sequences {
            assert!(matches!(known(&quests, 3, sequence), Known::Clear(Some(record)) if record.sequence == sequence));
        }
        // One is asked for anew: what was found before is let go, and it waits for that one.
        let (slot, at) = (Slot { submission: 1, line: 3 }, Place::new(0, 5));
        quests.ask(Quest { slot, nth: 0, sought: Sought::At(at), places: smallvec![at], runs: None });
        assert!(matches!(known(&quests, 3, 5), Known::Unclear));
        assert_eq!(quests.take()[0].nth, 4);
        assert!(quests.found(Finding { slot, nth: 4, found: None }));
        assert!(matches!(known(&quests, 3, 5), Known::Clear(None)));
        quests.forget(slot);
        assert_eq!(quests.bytes, 0);
    }
}
