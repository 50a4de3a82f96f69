//! The dispatches that were issued and not taken.
//!
//! What a dispatch asks is a function of the record that carries it, so only that record's place is
//! kept, and whoever needs the command reads it there.

use std::collections::BTreeMap;

use schemas::{Origin, Record, Shard};

use crate::state::parse_dispatch_id;

/// A dispatch: from, to, number.
pub(crate) type Number = (Shard, Shard, u64);

/// By dispatch: the sequence of the record that carries it, in the shard that it comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pending(BTreeMap<Number, u64>);

impl Pending {
    /// Takes the next record of the log.
    pub(super) fn note(&mut self, record: &Record) {
        if record.has_dispatches() {
            for (dispatch, _) in record.dispatches() {
                self.0.insert((record.shard, dispatch.target, dispatch.number), record.sequence);
            }
        }
        if record.origin == Origin::Dispatch {
            let (source, number) = parse_dispatch_id(record.id.as_str()).expect("the dispatcher made this id");
            self.0.remove(&(source, record.shard, number));
        }
    }

    /// Puts one back behind the others.
    pub(super) fn restore(&mut self, number: Number, sequence: u64) -> Option<()> {
        let rises = self.0.last_key_value().is_none_or(|(last, _)| *last < number);
        rises.then(|| self.0.insert(number, sequence).is_none())?.then_some(())
    }

    /// Each with the sequence of the record that carries it, in order from each source to each target.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Number, u64)> {
        self.0.iter().map(|(number, sequence)| (*number, *sequence))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether everything was taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
