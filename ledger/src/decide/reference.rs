//! Versions of the reference data: published in parts under one subject, taken by every shard.

use schemas::{Dispatch, Event, Publish, ReferencePublished, ReferenceTaken, Rejection, TakeReference};

use crate::state::State;

pub(super) fn publish(state: &State, publish: &Publish) -> Result<Event, Rejection> {
    let reference = state.reference();
    let (version, part) = (reference.version + 1, reference.parts);
    if (publish.version, publish.part) != (version, part) {
        return Err(Rejection::VersionNotNext { version, part });
    }
    let dispatches = (0..state.shards()).map(|target| Dispatch { target, number: state.issued_to(target) + 1 });
    Ok(Event::ReferencePublished(ReferencePublished {
        version,
        part,
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
