//! Looking something up in a ledger that runs: memory says where it may stand, and whoever asks reads the log.

use std::sync::Arc;

use schemas::{CommandId, Event, Key, OrderId, Origin, Record, Shard, Source, Subject};
use smallvec::SmallVec;

use super::{Engine, answer::Answer, core::Core};
use crate::{
    Result,
    index::{Fingerprint, Place, Runs},
    log::Reader,
    state::dispatch_id,
};

/// What became of a command, as far as it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has its answer.
    Known(Answer),
    /// It is recorded, and what follows from it is under way.
    Pending {
        /// Where it stands.
        place: OrderId,
    },
    /// Nothing is known of it up to that sequence of its shard. It may still come.
    Unknown {
        /// The subject's shard.
        shard: Shard,
        /// Its last durable sequence.
        sequence: u64,
    },
}

/// Where records of a key may stand: newest first, those in memory before those in the runs.
struct Places {
    fingerprint: Fingerprint,
    in_memory: SmallVec<[Place; 2]>,
    runs: Arc<Runs>,
}

impl Engine {
    /// The newest record of a key, of all that were decided before it was asked. The log is read on this thread.
    ///
    /// # Errors
    /// [`Error::EngineStopped`](crate::Error::EngineStopped), or why it stopped; where the log could not be read.
    pub fn newest(&self, key: &Key) -> Result<Option<Record>> {
        Ok(self.records_of(key, 1)?.pop())
    }

    /// The records that have a key, the newest first and at most so many: of an order every record that moved it.
    ///
    /// # Errors
    /// As [`Self::newest`].
    pub fn records_of(&self, key: &Key, most: usize) -> Result<Vec<Record>> {
        let fingerprint = self.preparer.fingerprinter.of(key);
        let places = self.look(move |core| places(core, fingerprint))?;
        let mut records = Vec::new();
        let mut reader = self.reader();
        places.visit(&mut reader, most, |record| {
            if record.has(key) {
                records.push(record);
            }
            records.len() < most
        })?;
        Ok(records)
    }

    /// What became of a command.
    ///
    /// # Errors
    /// As [`Self::newest`].
    pub fn outcome(&self, subject: &Subject, source: &Source, id: &CommandId) -> Result<Outcome> {
        let shard = subject.shard(self.shards());
        let sequence = self.reader.head().shards.get(usize::from(shard)).map_or(0, |head| head.sequence);
        let own = Key::Command(subject.clone(), Origin::Caller(source.clone()), id.clone());
        let Some(record) = self.newest(&own)? else { return Ok(Outcome::Unknown { shard, sequence }) };
        let pending = Outcome::Pending { place: record.order_id(0) };
        match record.event() {
            Some(Event::ReferencePublished(published)) => {
                let (source, dispatches) = (record.shard, published.dispatches.clone());
                let is_taken = self.read(move |states| {
                    dispatches.iter().all(|d| states[usize::from(d.target)].taken_from(source) >= d.number)
                })?;
                Ok(if is_taken { Outcome::Known(Answer::of(&record)) } else { pending })
            }
            event => match event.and_then(Event::claimed_for) {
                Some((user, dispatch)) => {
                    let id = dispatch_id(record.shard, dispatch.number);
                    let taking = Key::Command(Subject::User(user.clone()), Origin::Dispatch, id);
                    Ok(self.newest(&taking)?.map_or(pending, |last| Outcome::Known(Answer::of(&last))))
                }
                None => Ok(Outcome::Known(Answer::of(&record))),
            },
        }
    }
}

fn places(core: &Core, fingerprint: Fingerprint) -> Places {
    let index = core.index();
    Places { fingerprint, in_memory: index.in_memory(fingerprint, usize::MAX), runs: Arc::clone(index.runs()) }
}

impl Places {
    /// Gives the records at these places to `visit`, newest first, until it says that it has enough.
    fn visit(self, reader: &mut Reader, most: usize, mut visit: impl FnMut(Record) -> bool) -> Result<()> {
        let mut visit_all = |places: &[Place]| -> Result<bool> {
            for at in places {
                if let Some((_, record)) = reader.find(at.shard(), at.sequence())?
                    && !visit(record)
                {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        if !visit_all(&self.in_memory)? {
            return Ok(());
        }
        // Few are mostly enough; where another key has this fingerprint, or all are asked for, there may be more.
        let few = self.runs.candidates(self.fingerprint, most.saturating_add(1).min(FEW))?;
        if !visit_all(&few)? || few.len() < FEW.min(most.saturating_add(1)) {
            return Ok(());
        }
        let all = self.runs.candidates(self.fingerprint, usize::MAX)?;
        visit_all(&all[few.len()..]).map(drop)
    }
}

/// So many places are asked of the runs at first.
const FEW: usize = 8;
