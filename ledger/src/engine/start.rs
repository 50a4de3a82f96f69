//! What a start makes of the disk: the newest good snapshot, the index as far as it is sealed, and
//! the records that came after either.

use std::sync::Arc;

use schemas::Timestamp;

use super::{
    Options,
    core::Core,
    dispatcher::{self, Untaken},
    lookup::Lookup,
    prepare::Preparer,
    recent::Recent,
};
use crate::{
    Error, Result,
    clock::{Clock, Watch, can_be},
    index::{self, Frozen, Index, Place, Sealer},
    log::{Disk, Locator, Log, Reader, Recovery},
    snapshot::{self, Snapshot},
    state::State,
};

/// An engine that was opened, in its parts.
pub(super) struct Opened {
    pub log: Log,
    pub recovery: Recovery,
    pub core: Core,
    pub sealer: Sealer,
    pub preparer: Preparer,
    /// What was issued and not taken.
    pub untaken: Vec<Untaken>,
    /// What of the index found no room on the disk: the keeper seals it.
    pub frozen: Option<Arc<Frozen>>,
}

impl Opened {
    pub fn open(disk: Arc<dyn Disk>, options: &Options, clock: Arc<dyn Clock>) -> Result<Self> {
        let watch = Watch::new(clock);
        if !can_be(watch.began()) {
            return Err(Error::ClockOutside { now: watch.began() });
        }
        let (log, recovery) = Log::open(disk, &options.log)?;
        let reader = log.reader();
        let Folded { states, untaken, index, sealer } = Folded::of(&reader, &options.index)?;
        check_start(states.iter().map(State::time).max(), watch.began(), options.accept_clock)?;
        let preparer = Preparer { shards: reader.shards(), fingerprinter: index.fingerprinter() };
        let frozen = index.frozen().cloned();
        let lookup = Lookup::new(Recent::new(reader.shards()), index, reader);
        let core = Core::new(states, lookup, watch, options.log.max_frame_bytes);
        Ok(Self { log, recovery, core, sealer, preparer, untaken, frozen })
    }
}

/// How long a ledger may have rested before a person has to look at the clock: whoever starts it with a clock
/// that is years ahead, as machines do whose battery is empty, lets everything lapse for good.
const LONGEST_REST_MS: i64 = 400 * 86_400_000;

/// Refuses a clock that is far ahead of the last record. `last` is before all times where there is none.
fn check_start(last: Option<Timestamp>, now: Timestamp, accepted: bool) -> Result<()> {
    match last.filter(|last| *last > Timestamp::MIN && !accepted) {
        Some(last) if now > last.plus_millis(LONGEST_REST_MS) => Err(Error::ClockFarAhead { last, now }),
        _ => Ok(()),
    }
}

/// What a log folds to.
struct Folded {
    states: Vec<State>,
    untaken: Vec<Untaken>,
    index: Index,
    sealer: Sealer,
}

impl Folded {
    /// From the newest snapshot that the log does not contradict, or from its beginning.
    fn of(reader: &Reader, options: &index::Options) -> Result<Self> {
        loop {
            let newest = Snapshot::newest(reader)?;
            let file = newest.as_ref().map(|newest| snapshot::name(newest.next.offset()));
            let folded = newest.unwrap_or_else(|| Snapshot::beginning(reader));
            match (Self::from(folded, reader, options), file) {
                (Err(error @ (Error::Contradiction { .. } | Error::NoRecord { .. })), Some(file)) => {
                    let aside = snapshot::set_aside(reader, &file)?;
                    tracing::error!(%error, "{file} contradicts the log: it was moved to {aside}, and the log is folded without it");
                }
                (folded, _) => return folded,
            }
        }
    }

    fn from(mut folded: Snapshot, reader: &Reader, options: &index::Options) -> Result<Self> {
        let (mut index, mut sealer) = Index::open(reader.disk().clone(), reader, options)?;
        let fingerprinter = index.fingerprinter();
        let mut indexed = index.covered().to_vec();
        let from = first_behind(reader, &indexed)?.map_or(folded.next, |at| at.min(folded.next));
        // One thread reads and decodes, this one folds.
        reader.frames_from(from).ahead(|frame| {
            for record in &frame.records {
                let upto = &mut indexed[usize::from(record.shard)];
                if record.sequence > *upto {
                    *upto = record.sequence;
                    let at = Place::new(record.shard, record.sequence);
                    record.keys(|key| index.insert(fingerprinter.of(&key), at));
                }
            }
            if frame.first >= folded.next {
                folded.follow(frame)?;
            }
            if index.is_full() { seal(&mut index, &mut sealer, &indexed) } else { Ok(()) }
        })?;
        let untaken = dispatcher::untaken(&folded.pending, &mut reader.clone())?;
        Ok(Self { states: folded.states, untaken, index, sealer })
    }
}

/// The frame of the first record behind what is known of each shard; none if all is known.
fn first_behind(reader: &Reader, known: &[u64]) -> Result<Option<Locator>> {
    let mut reader = reader.clone();
    let mut first: Option<Locator> = None;
    for (shard, &sequence) in (0..).zip(known) {
        if let Some((at, _)) = reader.find(shard, sequence + 1)? {
            first = Some(first.map_or(at, |first| first.min(at)));
        }
    }
    Ok(first.map(|at| Locator::new(at.offset())))
}

/// A full disk is no reason not to start: what is sealed can then be asked for, and the rest waits in
/// memory, until the keeper finds room for it.
fn seal(index: &mut Index, sealer: &mut Sealer, indexed: &[u64]) -> Result<()> {
    if !index.can_freeze() {
        return Ok(());
    }
    let frozen = index.freeze(indexed.to_vec());
    match sealer.seal(&frozen) {
        Ok(runs) => index.adopt(runs),
        Err(error @ Error::Full { .. }) => tracing::warn!(%error, "the index is not written until there is space"),
        Err(error) => return Err(error),
    }
    Ok(())
}
