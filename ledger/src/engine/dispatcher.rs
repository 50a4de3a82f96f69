//! The dispatcher: hands what the committed log carries for other subjects to their shards.
//!
//! It stores nothing. What was taken stands in the state of the target, what was issued in the
//! records of the source; after a crash the difference is what it starts with.

use std::collections::BTreeMap;

use schemas::{ActorId, Command, Dispatch, Origin, Record, Shard, Timestamp};

use super::flows::Number;
use crate::state::parse_dispatch_id;

/// A dispatch on its way.
#[derive(Debug, Clone)]
pub(crate) struct Untaken {
    pub(crate) source: Shard,
    pub(crate) dispatch: Dispatch,
    pub(crate) command: Command,
    /// When the command that caused it happened.
    pub(crate) occurred_at: Option<Timestamp>,
    /// Who submitted that one.
    pub(crate) actor: Option<ActorId>,
}

/// The dispatches of a record.
pub(crate) fn dispatches_of(record: &Record) -> impl Iterator<Item = Untaken> {
    let dispatches = if record.has_dispatches() { record.dispatches() } else { Vec::new() };
    dispatches.into_iter().map(|(dispatch, command)| Untaken {
        source: record.shard,
        dispatch,
        command,
        occurred_at: Some(record.happened_at()),
        actor: record.actor.clone(),
    })
}

/// What a log carries that was not taken: the fold that a start begins with.
#[derive(Debug, Default)]
pub(crate) struct Pending(BTreeMap<Number, Untaken>);

impl Pending {
    /// Takes the next record of the log.
    pub(crate) fn note(&mut self, record: &Record) {
        for untaken in dispatches_of(record) {
            let Dispatch { target, number } = untaken.dispatch;
            self.0.insert((untaken.source, target, number), untaken);
        }
        if record.origin == Origin::Dispatch {
            let (source, number) = parse_dispatch_id(record.id.as_str()).expect("the dispatcher made this id");
            self.0.remove(&(source, record.shard, number));
        }
    }

    /// What was not taken, in order from each source to each target.
    pub(crate) fn into_untaken(self) -> impl Iterator<Item = Untaken> {
        self.0.into_values()
    }
}
