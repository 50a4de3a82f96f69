//! A state as values to store, and back: what the shard knows but its users, then its users one by
//! one. What each of them encodes to does not depend on how the state keeps it in memory.

use schemas::{Shard, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::{Catalogue, Reference, State, User};

/// All of a state but its users.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Own {
    shard: Shard,
    shards: Shard,
    sequence: u64,
    time: Timestamp,
    issued: Vec<u64>,
    taken: Vec<u64>,
    catalogue: Catalogue,
    reference: Reference,
}

impl State {
    /// All of it but the users.
    pub(crate) fn own(&self) -> Own {
        Own {
            shard: self.shard,
            shards: self.shards,
            sequence: self.sequence,
            time: self.time,
            issued: self.issued.clone(),
            taken: self.taken.clone(),
            catalogue: self.catalogue.clone(),
            reference: self.reference,
        }
    }

    /// The users in the order of their ids.
    pub(crate) fn users_in_order(&self) -> Vec<(&UserId, &User)> {
        // By the first bytes as a number, which decides nearly always and lies beside the pointers.
        let prefix = |user: &UserId| {
            let (mut first, text) = ([0; 16], user.as_str().as_bytes());
            let known = text.len().min(first.len());
            first[..known].copy_from_slice(&text[..known]);
            u128::from_be_bytes(first)
        };
        let mut users: Vec<_> = self.users.iter().map(|(user, known)| (prefix(user), user, known)).collect();
        users.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(b.1)));
        users.into_iter().map(|(_, user, known)| (user, known)).collect()
    }

    /// A state without users yet, with room for so many; `None` if no state is like that.
    pub(crate) fn restore(own: Own, users: usize) -> Option<Self> {
        let Own { shard, shards, sequence, time, issued, taken, catalogue, reference } = own;
        let sound = shard < shards && [&issued, &taken].iter().all(|numbers| numbers.len() == usize::from(shards));
        sound.then(|| {
            let users = super::Users::with_capacity_and_hasher(users, foldhash::fast::RandomState::default());
            Self { shard, shards, sequence, time, issued, taken, catalogue, reference, users }
        })
    }

    /// Puts users back. `None` if one is there already, or if there was nothing to remember of one.
    pub(crate) fn restore_users(&mut self, users: &mut Vec<(UserId, User)>) -> Option<()> {
        // In a loop that does nothing else, so that the cache misses overlap.
        let mut new = true;
        for (user, known) in users.drain(..) {
            new &= !known.is_empty() & self.users.insert(user, known).is_none();
        }
        new.then_some(())
    }

    /// The state as bytes in one order, to compare two folds bit for bit.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(&(self.own(), self.users_in_order())).expect("every state has a postcard form")
    }
}
