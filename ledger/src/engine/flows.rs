//! Commands that take several records: who waits for which dispatch.
//!
//! A claim's answer is the outcome of the record that takes its dispatch; a version's answer is its
//! own record, once every shard has taken it. Who waits is not part of the state: after a restart a
//! duplicate of the command joins again.

use hashbrown::HashMap;
use schemas::{Dispatch, Event, Record, Shard};

use super::{answer::Answer, bulk::Slot};

/// A dispatch: from, to, number.
pub(crate) type Number = (Shard, Shard, u64);

/// The waits under way.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    flows: HashMap<(Shard, u64), Flow>,
    by_dispatch: HashMap<Number, (Shard, u64)>,
}

#[derive(Debug)]
struct Flow {
    waiting: Vec<Slot>,
    missing: usize,
    /// The answer, where it is not the one of the record that comes last.
    own: Option<Answer>,
}

impl Flows {
    /// `slot` waits until the untaken dispatches of `record` are taken.
    pub(crate) fn wait(&mut self, record: &Record, untaken: &[Dispatch], slot: Slot) {
        let place = (record.shard, record.sequence);
        let flow = self.flows.entry(place).or_insert_with(|| {
            for dispatch in untaken {
                self.by_dispatch.insert((record.shard, dispatch.target, dispatch.number), place);
            }
            let own = matches!(record.event(), Some(Event::ReferencePublished(_))).then(|| Answer::of(record));
            Flow { waiting: Vec::new(), missing: untaken.len(), own }
        });
        flow.waiting.push(slot);
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Ends all waits: who has waited.
    pub(crate) fn give_up(&mut self) -> Vec<Slot> {
        self.by_dispatch.clear();
        let mut waiting: Vec<_> = self.flows.drain().flat_map(|(_, flow)| flow.waiting).collect();
        waiting.sort_unstable(); // the same for the same schedule
        waiting
    }

    /// A dispatch was taken by `record`: who is answered now, and what.
    pub(crate) fn taken(&mut self, number: Number, record: &Record) -> Option<(Vec<Slot>, Answer)> {
        let place = self.by_dispatch.remove(&number)?;
        let flow = self.flows.get_mut(&place)?;
        flow.missing -= 1;
        if flow.missing > 0 {
            return None;
        }
        let flow = self.flows.remove(&place)?;
        Some((flow.waiting, flow.own.unwrap_or_else(|| Answer::of(record))))
    }
}
