//! Snapshots that are whole and wrong: somebody made them, checksums and all. A start cannot tell, unless a
//! later record contradicts them; `verify` can, since it folds the log from its beginning.

use super::{Info, Snapshot};
use crate::{Error, Result, log::Reader, state::State};

/// Ends the name of a snapshot that was moved aside.
const FORGED: &str = ".forged";

/// Moves a snapshot aside, where no start looks for it; returns its new name. Without it a start folds from
/// an older one, or from the log's beginning.
///
/// # Errors
/// [`Error::Io`].
pub fn set_aside(reader: &Reader, file: &str) -> Result<String> {
    let (disk, aside) = (reader.disk(), format!("{file}{FORGED}"));
    let moved = disk.rename(file, &aside).and_then(|()| disk.sync_dir(super::FOLDER));
    moved.map_err(|source| Error::Io { doing: "moving aside", path: disk.path(file), source })?;
    Ok(aside)
}

impl Info {
    /// The snapshot itself.
    ///
    /// # Errors
    /// As [`Snapshot::read`].
    pub fn read(&self, reader: &Reader) -> Result<Snapshot> {
        Snapshot::read(&**reader.disk(), &self.file)
    }
}

impl Snapshot {
    /// What of its dispatches under way is not what its states and the log say; nothing if all is.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Damaged`] of the log.
    pub fn fault_of_dispatches(&self, reader: &Reader) -> Result<Option<String>> {
        let mut reader = reader.clone();
        let shards = || self.states.iter().map(State::shard);
        let pairs = shards().flat_map(|source| shards().map(move |target| (source, target)));
        let mut due = pairs.flat_map(|(source, target)| {
            let taken = self.states[usize::from(target)].taken_from(source);
            let issued = self.states[usize::from(source)].issued_to(target);
            (taken + 1..=issued).map(move |number| (source, target, number))
        });
        for (number, sequence) in self.pending.iter() {
            let (source, target, n) = number;
            let carries =
                |record: schemas::Record| record.dispatches().iter().any(|(d, _)| (d.target, d.number) == (target, n));
            let carried = reader.find(source, sequence)?.is_some_and(|(_, record)| carries(record));
            if due.next() != Some(number) || !carried {
                return Ok(Some(format!("dispatch {n} from shard {source} to {target} is not under way there")));
            }
        }
        Ok(due
            .next()
            .map(|(source, target, n)| format!("dispatch {n} from shard {source} to {target} is missing in it")))
    }
}
