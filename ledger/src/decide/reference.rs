//! Versions of the reference data: published in parts under one subject, taken by every shard.

use schemas::{Change, Dispatch, Event, Publish, ReferencePublished, ReferenceTaken, Rejection, TakeReference};

use crate::state::State;

pub(super) fn publish(state: &State, publish: &Publish) -> Result<Event, Rejection> {
    let reference = state.reference();
    let (version, part) = (reference.version + 1, reference.parts);
    // A first part starts the version anew: what was left open of it is given up.
    if publish.version != version || (publish.part != part && publish.part != 0) {
        return Err(Rejection::VersionNotNext { version, part });
    }
    let staged = reference.staged_entity.filter(|_| publish.part > 0);
    let mut set = publish.changes.iter().filter_map(Change::entity);
    let fixed = reference.entity.or(staged).or_else(|| set.clone().next());
    if let Some(schemas::Entity { currency, zone, coins_per_unit }) = fixed.filter(|fixed| set.any(|e| e != *fixed)) {
        return Err(Rejection::EntityFixed { currency, zone, coins_per_unit });
    }
    let dispatches = (0..state.shards()).map(|target| Dispatch { target, number: state.issued_to(target) + 1 });
    Ok(Event::ReferencePublished(ReferencePublished {
        version,
        part: publish.part, // 0 where it starts anew, whatever part was next
        last: publish.last,
        from: publish.from,
        changes: publish.changes.clone(),
        dispatches: dispatches.collect(),
    }))
}

pub(super) fn take(take: &TakeReference) -> Event {
    let publish = &take.publish;
    Event::ReferenceTaken(ReferenceTaken {
        version: publish.version,
        part: publish.part,
        last: publish.last,
        from: publish.from,
        changes: publish.changes.clone(),
    })
}
