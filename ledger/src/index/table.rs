//! Entries in memory: the open table, which takes the newest, and the frozen one, which waits to
//! be sealed.

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::{Place, entry};

/// So many entries of one fingerprint stand in slots: an order that is refunded again and again has one for each
/// refund, and whoever has a home behind them must not walk past all.
const EQUAL: usize = 8;

/// Entries by their fingerprints' upper bits: an entry stands at its home, or in the first free slot
/// behind it. So a look-up that finds nothing touches the one cache line where the entry will go, and
/// the table is nearly in the order of a run.
#[derive(Debug)]
pub(super) struct Table {
    /// Fingerprint and place; a place of zero, which no record has, where nothing is.
    slots: Vec<[u64; 2]>,
    /// What found no free slot before the end.
    beyond: Vec<[u64; 2]>,
    /// By fingerprint, what came after the first [`EQUAL`].
    later: HashMap<u64, Vec<Place>>,
    /// How many upper bits name a home.
    home_bits: u32,
    entries: usize,
}

impl Table {
    /// An empty table for about so many entries; of the memory it takes only what is used.
    pub fn new(entries: usize) -> Self {
        // Three quarters full at most: a look-up then takes two or three slots on the average.
        Self::with_homes((entries / 3 * 4).max(16).next_power_of_two().ilog2())
    }

    fn with_homes(home_bits: u32) -> Self {
        Self { slots: vec![[0; 2]; 1 << home_bits], beyond: Vec::new(), later: HashMap::new(), home_bits, entries: 0 }
    }

    pub fn len(&self) -> usize {
        self.entries
    }

    /// The bytes that it holds in memory once it is filled.
    pub fn bytes(&self) -> usize {
        self.slots.len() * size_of::<[u64; 2]>()
    }

    fn home(&self, fingerprint: u64) -> usize {
        usize::try_from(fingerprint >> (64 - self.home_bits)).expect("the table fits in memory")
    }

    pub fn insert(&mut self, fingerprint: u64, place: Place) {
        assert!(u64::from(place) != 0, "sequences begin with 1");
        // Only where more is inserted than was said.
        if self.entries >= self.slots.len() / 8 * 7 {
            let larger = Self::with_homes(self.home_bits + 1);
            let smaller = std::mem::replace(self, larger);
            smaller.iter().for_each(|entry| self.put(entry));
        }
        self.put([fingerprint, place.into()]);
    }

    fn put(&mut self, entry: [u64; 2]) {
        let home = self.home(entry[0]);
        self.entries += 1;
        let slots = &mut self.slots[home..];
        let free = slots.iter().position(|slot| slot[1] == 0);
        let before = slots[..free.unwrap_or(slots.len())].iter().chain(&self.beyond);
        if before.filter(|slot| slot[0] == entry[0]).count() >= EQUAL {
            self.later.entry(entry[0]).or_default().push(Place::from(entry[1]));
            return;
        }
        match free {
            Some(free) => slots[free] = entry,
            None => self.beyond.push(entry),
        }
    }

    /// All entries, those of one fingerprint in the order in which they came.
    fn iter(&self) -> impl Iterator<Item = [u64; 2]> {
        let later = self.later.iter().flat_map(|(key, places)| places.iter().map(|place| [*key, u64::from(*place)]));
        self.in_slots().chain(later)
    }

    fn in_slots(&self) -> impl Iterator<Item = [u64; 2]> {
        self.slots.iter().filter(|slot| slot[1] != 0).chain(&self.beyond).copied()
    }

    /// The first entries of a fingerprint, at most [`EQUAL`], in the order in which they came.
    fn find(&self, fingerprint: u64) -> impl Iterator<Item = Place> {
        // Behind a free slot nothing of this home can stand, in `beyond` neither; where that is empty,
        // as nearly always, there is nothing to look for.
        let taken = self.slots[self.home(fingerprint)..].iter().chain(&self.beyond).take_while(|slot| slot[1] != 0);
        taken.filter(move |slot| slot[0] == fingerprint).map(|slot| Place::from(slot[1]))
    }

    pub fn contains(&self, fingerprint: u64) -> bool {
        self.find(fingerprint).next().is_some()
    }

    /// Appends the places of a fingerprint, newest first, until there are `most`.
    pub fn places(&self, fingerprint: u64, most: usize, out: &mut SmallVec<[Place; 2]>) {
        if !self.contains(fingerprint) {
            return; // as nearly always
        }
        let mut first: SmallVec<[Place; EQUAL]> = self.find(fingerprint).collect();
        first.reverse();
        if first.len() == EQUAL
            && let Some(later) = self.later.get(&fingerprint)
        {
            out.extend(later.iter().rev().take(most.saturating_sub(out.len())).copied());
        }
        out.extend(first.into_iter().take(most.saturating_sub(out.len())));
    }

    /// All entries in order.
    #[expect(clippy::stable_sort_primitive, reason = "it finds the two sequences that rise already, and merges them")]
    pub fn sorted(&self) -> Vec<u128> {
        let mut sorted = self.slots_sorted();
        if !self.later.is_empty() {
            let entries = |(key, places): (&u64, &Vec<Place>)| {
                places.iter().map(|place| entry::of(*key, *place)).collect::<Vec<_>>()
            };
            sorted.extend(self.later.iter().flat_map(entries));
            sorted.sort();
        }
        sorted
    }

    /// Those in slots. Each is at most some slots away from its place, so every one only moves past a few
    /// before it.
    fn slots_sorted(&self) -> Vec<u128> {
        let mut sorted: Vec<u128> = Vec::with_capacity(self.entries);
        for slot in self.in_slots() {
            let new = entry::of(slot[0], Place::from(slot[1]));
            let mut at = sorted.len();
            sorted.push(new);
            while at > 0 && sorted[at - 1] > new {
                sorted[at] = sorted[at - 1];
                at -= 1;
            }
            sorted[at] = new;
        }
        sorted
    }
}

/// A full table that takes nothing more, until its run is sealed.
#[derive(Debug)]
pub struct Frozen {
    pub(super) table: Table,
    /// The last sequence of each shard in it.
    pub(super) upto: Vec<u64>,
    /// Counts the tables that were frozen since the index was opened, from 1.
    pub(super) number: u64,
}

impl Frozen {
    /// The sequence of each shard up to which table and runs hold everything: it can be sealed once
    /// all of these are durable.
    pub fn upto(&self) -> &[u64] {
        &self.upto
    }
}
