//! The dispatcher: hands what the committed log carries for other subjects to their shards.
//!
//! It stores nothing. What was taken stands in the state of the target, what was issued in the
//! records of the source; after a crash the difference is what it starts with.

use schemas::{ActorId, Command, Dispatch, Record, Shard, Timestamp};

use crate::{Error, Result, log::Reader, snapshot::Pending};

/// A dispatch on its way.
#[derive(Debug, Clone)]
pub(crate) struct Untaken {
    pub(crate) source: Shard,
    pub(crate) dispatch: Dispatch,
    pub(crate) command: Command,
    /// When the command that caused it happened.
    pub(crate) occurred_at: Option<Timestamp>,
    /// Who acted, and for whom.
    pub(crate) actor: Option<ActorId>,
    pub(crate) on_behalf_of: Option<ActorId>,
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
        on_behalf_of: record.on_behalf_of.clone(),
    })
}

/// What a start finds not taken, in order from each source to each target.
pub(crate) fn untaken(pending: &Pending, reader: &mut Reader) -> Result<Vec<Untaken>> {
    let read = |((source, target, number), sequence)| {
        let nowhere = || Error::NoRecord { place: format!("{source}-{sequence} that dispatches {number} to {target}") };
        let (_, record) = reader.find(source, sequence)?.ok_or_else(nowhere)?;
        let wanted = Dispatch { target, number };
        dispatches_of(&record).find(|untaken| untaken.dispatch == wanted).ok_or_else(nowhere)
    };
    pending.iter().map(read).collect()
}
