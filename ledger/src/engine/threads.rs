//! The loops of the engine's threads. What they do stands in `core`, `writing`, `finder` and the
//! index; here is when.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    core::Core,
    finder::Finder,
    lanes::{A_LONG_WHILE, Ending, Lanes, Queues, Release, StopOnPanic, Writer},
    writing::{make_room, write},
};
use crate::{
    Error,
    index::{Merged, Sealer},
    log::{Log, Reader},
    snapshot::{self, Plan},
};

/// Batches of at most so many records are written by the decider where nothing else waits for it:
/// deciding them takes less than the two wake-ups that handing them over costs.
const SMALL_BATCH: usize = 1_024;

/// A merge rests so many times as long as it works: a sixteenth of a core merges several times as fast
/// as a million gifts a second fill levels, and a large merge is not felt.
const MERGE_REST: u32 = 15;
/// With more runs than this a merge does not rest: of the levels of a billion entries that is twice as
/// many as there should be.
const TOO_MANY_RUNS: usize = 32;

/// With more than this found, as on the log, the finder waits until the decider has taken it, which it does as soon
/// as its batch has room: in memory, records take some times that.
const MOST_FOUND_BYTES: usize = 8 << 20;

/// The decider's loop.
pub(super) fn decide(lanes: &Lanes, mut core: Core, log: &Mutex<Log>) {
    let _stop = StopOnPanic(lanes);
    let mut releases: Vec<Release> = Vec::new();
    let mut queues = lanes.lock();
    loop {
        if queues.has_stopped() {
            return;
        }
        if queues.writer == Writer::Written {
            queues.writer = Writer::Free;
            is_durable(lanes, &mut queues, &mut core);
        }
        if let Some(runs) = queues.runs.take() {
            core.adopt(runs);
            lanes.keep.notify_one();
        }
        // On a full disk nothing is sealed; once the index takes nothing more, commands are refused.
        queues.stuck = queues.unsealed && core.waits_for_seal();
        let Some(room) = queues.has_room() else {
            queues = sleep(lanes, queues, Duration::from_secs(1));
            continue;
        };
        let has_batch = core.has_batch() || !releases.is_empty();
        if has_batch && queues.to_write.is_none() && queues.writer == Writer::Free {
            // Everything that was queued is decided, or the batch is full: off it goes.
            let more = core.has_queued() || queues.has_work();
            if !(core.has_room() && room && more) {
                let decided = core.hand_over();
                let releases = std::mem::take(&mut releases);
                if more || decided.batch.len() > SMALL_BATCH {
                    queues.to_write = Some((decided, releases));
                    lanes.batch.notify_one();
                    continue;
                }
                drop(queues);
                let begun = Instant::now();
                let written = {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    write(&mut log, decided, releases).and_then(|dispatches| {
                        make_room(lanes, &mut log)?;
                        Ok(dispatches)
                    })
                };
                match written {
                    Ok(dispatches) => {
                        queues = lanes.lock();
                        queues.writes.note(begun.elapsed());
                        queues.inbox.dispatches.extend(dispatches);
                        is_durable(lanes, &mut queues, &mut core);
                        continue;
                    }
                    Err(error) => return lanes.fail(error),
                }
            }
        }
        let timers_due = room && core.wakes_at().is_some_and(|at| at <= core.now());
        let stuck = !room && core.has_waits();
        if (core.has_room() || queues.stuck) && (core.has_queued() || queues.has_work() || timers_due || stuck) {
            let mut inbox = std::mem::take(&mut queues.inbox);
            if std::mem::take(&mut queues.found_bytes) > MOST_FOUND_BYTES {
                lanes.search.notify_one();
            }
            queues.idle = false; // or a dispatch that is being decided would count as none
            queues.undecided += std::mem::take(&mut queues.queued);
            let reads = std::mem::take(&mut queues.reads);
            drop(queues);
            let step = inbox.decide(&mut core, room);
            releases.extend(reads.into_iter().map(|read| read(&mut core)));
            if let Err(error) = step {
                return lanes.fail(error);
            }
            let quests = core.take_quests();
            queues = lanes.lock();
            // What found no room in the batch goes before what the writer has added meanwhile.
            inbox.dispatches.append(&mut queues.inbox.dispatches);
            queues.inbox.dispatches = inbox.dispatches;
            if !quests.is_empty() {
                queues.quests.extend(quests);
                lanes.search.notify_one();
            }
            queues.undecided = core.unanswered();
            lanes.rest.notify_all();
            if !room && !core.has_batch() && releases.is_empty() {
                // Full: what is left waits until the writer finds space.
                queues = sleep(lanes, queues, Duration::from_millis(100));
            }
            continue;
        }
        queues.idle = !has_batch && !core.has_queued() && core.unanswered() == 0;
        if queues.is_at_rest() {
            lanes.rest.notify_all();
        }
        let pause = match core.wakes_at() {
            Some(at) if room => {
                let nanos = at.nanos().saturating_sub(core.now().nanos()).max(1_000_000);
                Duration::from_nanos(u64::try_from(nanos).expect("it was made positive")).min(Duration::from_secs(1))
            }
            _ => A_LONG_WHILE,
        };
        queues = sleep(lanes, queues, pause);
    }
}

/// The batch is durable: the core goes on, and what that lets be sealed goes to the keeper.
fn is_durable(lanes: &Lanes, queues: &mut Queues, core: &mut Core) {
    if let Some(frozen) = core.durable() {
        queues.sealing = Some(frozen);
        lanes.keep.notify_one();
    }
}

fn sleep<'a>(lanes: &Lanes, mut queues: MutexGuard<'a, Queues>, pause: Duration) -> MutexGuard<'a, Queues> {
    queues.asleep = true;
    let mut queues = lanes.work.wait_timeout(queues, pause).unwrap_or_else(PoisonError::into_inner).0;
    queues.asleep = false;
    queues
}

/// The writer's loop: room first, then batch by batch.
pub(super) fn write_batches(lanes: &Lanes, log: &Mutex<Log>) {
    let _stop = StopOnPanic(lanes);
    loop {
        if let Err(error) = make_room(lanes, &mut log.lock().unwrap_or_else(PoisonError::into_inner)) {
            return lanes.fail(error);
        }
        let mut queues = lanes.lock();
        // Without room, look again from time to time whether there is some.
        let full = queues.room == Some(false);
        let pause = if full { Duration::from_millis(250) } else { A_LONG_WHILE };
        while queues.to_write.is_none() && !queues.has_stopped() {
            let (again, timeout) = lanes.batch.wait_timeout(queues, pause).unwrap_or_else(PoisonError::into_inner);
            queues = again;
            if timeout.timed_out() && full {
                break;
            }
        }
        if queues.failed || queues.ending != Ending::Open {
            return;
        }
        let Some((decided, releases)) = queues.to_write.take() else { continue };
        queues.writer = Writer::Writing;
        drop(queues);
        let begun = Instant::now();
        let written = write(&mut log.lock().unwrap_or_else(PoisonError::into_inner), decided, releases);
        match written {
            Ok(dispatches) => {
                let mut queues = lanes.lock();
                queues.writes.note(begun.elapsed());
                queues.inbox.dispatches.extend(dispatches);
                queues.writer = Writer::Written;
                lanes.wake_decider(&mut queues);
            }
            Err(error) => return lanes.fail(error),
        }
    }
}

/// The finder's loop: turn by turn, and new quests come in between.
pub(super) fn find(lanes: &Lanes, reader: Reader) {
    let _stop = StopOnPanic(lanes);
    let mut finder = Finder::new(reader);
    loop {
        let mut queues = lanes.lock();
        let may_go_on = |queues: &Queues| {
            let has_work = !queues.quests.is_empty() || !finder.is_idle();
            has_work && queues.found_bytes <= MOST_FOUND_BYTES || queues.has_stopped()
        };
        while !may_go_on(&queues) {
            queues = lanes.search.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
        if queues.has_stopped() {
            return;
        }
        finder.take(queues.quests.drain(..));
        drop(queues);
        match finder.find() {
            Ok(findings) if findings.is_empty() => {}
            Ok(findings) => {
                let mut queues = lanes.lock();
                let found = findings.iter().filter_map(|finding| finding.found.as_ref());
                queues.found_bytes += found.map(|found| found.bytes).sum::<usize>();
                queues.inbox.findings.extend(findings);
                queues.idle = false;
                lanes.wake_decider(&mut queues);
            }
            Err(error) => return lanes.fail(error),
        }
    }
}

/// The keeper's loop: seals what is frozen, and goes on merging where nothing is.
pub(super) fn keep(lanes: &Lanes, mut sealer: Sealer) {
    let _stop = StopOnPanic(lanes);
    let (mut merging, mut hurry) = (true, false);
    loop {
        let mut queues = lanes.lock();
        let frozen = loop {
            if queues.has_stopped() {
                return;
            }
            let frozen = queues.sealing.take();
            if frozen.is_some() || merging {
                break frozen;
            }
            queues = lanes.keep.wait(queues).unwrap_or_else(PoisonError::into_inner);
        };
        drop(queues);
        let begun = Instant::now();
        let done = match &frozen {
            Some(frozen) => sealer.seal(frozen).map(|runs| (true, Some(runs))),
            None => sealer.merge().map(|merged| match merged {
                Merged::Nothing => (false, None),
                Merged::Piece => (true, None),
                Merged::Level(runs) => (true, Some(runs)),
            }),
        };
        match done {
            Ok((more, runs)) => {
                merging = more;
                let mut queues = lanes.lock();
                if let Some(runs) = runs {
                    hurry = runs.count() > TOO_MANY_RUNS;
                    queues.runs = Some(runs);
                    queues.unsealed &= frozen.is_none();
                    lanes.wake_decider(&mut queues);
                } else if more && !hurry && queues.sealing.is_none() && !queues.has_stopped() {
                    let pause = begun.elapsed() * MERGE_REST;
                    drop(lanes.keep.wait_timeout(queues, pause).unwrap_or_else(PoisonError::into_inner));
                }
            }
            // What is frozen stays in memory; the decider waits before it needs more of that.
            Err(error @ Error::Full { .. }) => {
                tracing::warn!(%error, "the index is not written until there is space");
                let mut queues = lanes.lock();
                if frozen.is_some() {
                    queues.sealing = frozen;
                    queues.unsealed = true;
                    lanes.wake_decider(&mut queues);
                }
                if !queues.has_stopped() {
                    let pause = Duration::from_millis(250);
                    drop(lanes.keep.wait_timeout(queues, pause).unwrap_or_else(PoisonError::into_inner));
                }
            }
            Err(error) => return lanes.fail(error),
        }
    }
}

/// The folder's loop: looks whether a snapshot is worth making, whenever a segment was sealed.
pub(super) fn fold(lanes: &Lanes, reader: &Reader, plan: &Plan) {
    let _stop = StopOnPanic(lanes);
    loop {
        let mut queues = lanes.lock();
        while !queues.to_fold && !queues.has_stopped() {
            queues = lanes.fold.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
        if queues.has_stopped() {
            return;
        }
        queues.to_fold = false;
        drop(queues);
        // Without it a start takes longer, and that is all: it is tried again with the next segment.
        match snapshot::fold(reader, plan, &lanes.stop) {
            Ok(Some(made)) => tracing::info!(records = made.records(), "a snapshot was made"),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "no snapshot could be made"),
        }
    }
}
