//! Making a batch durable, and what follows from it. Done by the writer while the next batch is
//! decided, or by the decider itself where there is nothing to decide meanwhile: a hand-over costs
//! two wake-ups, a quarter of what a small batch takes.

use super::{
    core::Decided,
    dispatcher::Untaken,
    lanes::{Lanes, Release},
};
use crate::{Error, Result, log::Log};

/// Appends a batch; then its answers leave. What it dispatches is for the inbox.
pub(super) fn write(log: &mut Log, decided: Decided, releases: Vec<Release>) -> Result<Vec<Untaken>> {
    log.append(&decided.batch)?;
    Ok(answer(decided, releases))
}

/// A batch is durable: what waited for that leaves.
pub(super) fn answer(decided: Decided, releases: Vec<Release>) -> Vec<Untaken> {
    let Decided { batch, replies, dispatches, spent } = decided;
    drop(batch);
    for reply in replies {
        // Who asked may have gone; the records stand all the same.
        let _ = reply.to.send(reply.answers);
    }
    for release in releases {
        release();
    }
    drop(spent);
    dispatches
}

/// Sees to it that there is room for the next batch, and says so.
pub(super) fn make_room(lanes: &Lanes, log: &mut Log) -> Result<()> {
    let room = match log.ensure_room() {
        Ok(()) => true,
        Err(error @ Error::Full { .. }) => {
            if lanes.lock().room != Some(false) {
                tracing::warn!(%error, "commands are refused until there is space");
            }
            false
        }
        Err(error) => return Err(error),
    };
    let stats = log.stats();
    let mut queues = lanes.lock();
    queues.room = Some(room);
    if stats.segments > queues.stats.segments {
        queues.to_fold = true;
        lanes.fold.notify_one();
    }
    queues.stats = stats;
    lanes.wake_decider(&mut queues);
    Ok(())
}
