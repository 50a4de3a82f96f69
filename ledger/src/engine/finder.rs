//! Command ids that may stand on the log already. Whether they do is looked up by a thread of its
//! own: a storm of duplicates reads from the disk, and nobody who gives a new gift waits for that.

use std::sync::Arc;

use schemas::{CommandId, Origin, Record, Subject};
use smallvec::SmallVec;

use super::bulk::Slot;
use crate::{
    Result,
    index::{Fingerprint, Place, Runs},
    log::Reader,
};

/// Which record of a command is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Which {
    /// The one that has the command's id.
    Own,
    /// The one that took its dispatch, where it is a claim.
    Last,
}

/// A command that may have come before.
#[derive(Debug)]
pub(crate) struct Quest {
    pub(crate) slot: Slot,
    pub(crate) which: Which,
    pub(crate) subject: Subject,
    pub(crate) origin: Origin,
    pub(crate) id: CommandId,
    pub(crate) key: Fingerprint,
    /// Where the index's memory says that it may stand, newest first; all of it durable.
    pub(crate) places: SmallVec<[Place; 2]>,
    /// The runs to look into, where their filters let it pass.
    pub(crate) runs: Option<Arc<Runs>>,
}

/// What came of a quest.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) slot: Slot,
    pub(crate) which: Which,
    pub(crate) record: Option<Box<Record>>,
}

impl Quest {
    /// Looks it up.
    pub(crate) fn find(self, reader: &mut Reader) -> Result<Finding> {
        let Self { slot, which, subject, origin, id, key, places, runs } = self;
        let sealed = match runs {
            Some(runs) => runs.candidates(key)?,
            None => SmallVec::new(),
        };
        let mut found = None;
        for at in places.into_iter().chain(sealed) {
            let record = reader.find(at.shard(), at.sequence())?.map(|(_, record)| record);
            found = record.filter(|r| r.origin == origin && r.id == id && r.subject == subject).map(Box::new);
            if found.is_some() {
                break;
            }
        }
        Ok(Finding { slot, which, record: found })
    }
}
