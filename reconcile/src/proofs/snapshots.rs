//! The snapshots against the log: each equals what the records before it fold to, bit for bit. A start cannot
//! know that of a file with good checksums; whoever folds the whole log can.

use std::{collections::VecDeque, ops::Range};

use ledger::{
    State,
    log::{Locator, Reader},
    snapshot::Info,
};
use schemas::{Shard, UserId};

/// A snapshot that is whole and wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Forged {
    pub file: String,
    pub what: String,
}

/// The snapshots that a start would trust, looked at one by one as a fold comes by.
pub(super) struct Snapshots {
    reader: Reader,
    waiting: VecDeque<Info>,
    /// How many were compared.
    pub count: u64,
    pub forged: Vec<Forged>,
}

impl Snapshots {
    pub fn of(reader: &Reader) -> Result<Self, ledger::Error> {
        Ok(Self { reader: reader.clone(), waiting: Info::all(reader)?.into(), count: 0, forged: Vec::new() })
    }

    /// Compares those that end before the frame at `at` with the states of some shards there.
    pub fn reached(&mut self, at: Locator, own: &Range<Shard>, states: &[State]) -> Result<(), ledger::Error> {
        while let Some(info) = self.waiting.pop_front_if(|info| info.next <= at) {
            // One that cannot be read, or is gone, is used by nobody: a start says so and passes it over.
            let Ok(snapshot) = info.read(&self.reader) else { continue };
            let stored = snapshot.states.get(usize::from(own.start)..usize::from(own.end)).unwrap_or_default();
            let mut fault = states.iter().zip(stored).find_map(|(state, stored)| differs(state, stored));
            if own.contains(&0) {
                self.count += 1;
                fault = match fault {
                    None => snapshot.fault_of_dispatches(&self.reader)?,
                    found => found,
                };
            }
            self.forged.extend(fault.map(|what| Forged { file: info.file, what }));
        }
        Ok(())
    }
}

/// The first thing in which a stored state is not the folded one.
fn differs(folded: &State, stored: &State) -> Option<String> {
    if folded == stored {
        return None;
    }
    let balance = |state: &State, user: &UserId| state.user(user).map_or(0, |known| known.wallet().balance());
    let users = folded.users().chain(stored.users()).map(|(user, _)| user);
    let user = users.filter(|user| folded.user(user) != stored.user(user)).min();
    Some(match user.map(|user| (user, balance(stored, user), balance(folded, user))) {
        Some((user, stored, folded)) if stored != folded => {
            format!("user {user} has {stored} coins in it and {folded} by the log")
        }
        Some((user, ..)) => format!("user {user} stands in it otherwise than by the log"),
        None => format!("the catalogue or the numbers of shard {} are not those of the log", folded.shard()),
    })
}
