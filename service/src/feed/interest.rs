//! By which key it is found out that somebody wants a record, without asking each of many filters.

use std::hash::{BuildHasher, Hash, RandomState};

use schemas::{Account, Record, Subject, UserId};

use super::{Filter, filter};

/// What a record can be wanted by, as 64 bits that differ from one process to the next. Two keys may share them, so a
/// filter has the last word.
pub(super) type KeyHash = u64;

/// Makes the hashes of keys.
#[derive(Debug, Clone, Default)]
pub(super) struct Hasher(RandomState);

#[derive(Hash)]
enum Key<'a> {
    Account(&'a Account),
    User(&'a UserId),
    Subject(&'a Subject),
    Kind(&'a str),
}

/// A filter with the keys that lead to it: those of its most selective part.
#[derive(Debug)]
pub(super) struct Interest {
    pub filter: Filter,
    /// `None` where any record may be wanted.
    pub keys: Option<Vec<KeyHash>>,
}

impl Hasher {
    /// Gives the hash of every key of a record to `visit`; some may come twice.
    pub fn keys(&self, record: &Record, mut visit: impl FnMut(KeyHash)) {
        filter::accounts(record, &mut |account| visit(self.0.hash_one(Key::Account(account))));
        filter::users(record, &mut |user| visit(self.0.hash_one(Key::User(user))));
        filter::kinds(record, &mut |kind| visit(self.0.hash_one(Key::Kind(kind))));
        visit(self.subject(&record.subject));
    }

    /// The hash of a subject.
    pub fn subject(&self, subject: &Subject) -> KeyHash {
        self.0.hash_one(Key::Subject(subject))
    }
}

impl Interest {
    /// What a filter wants.
    pub fn of(filter: Filter, Hasher(hasher): &Hasher) -> Self {
        fn hashes<T: Hash>(hasher: &RandomState, keys: impl Iterator<Item = T>) -> Vec<KeyHash> {
            let mut hashes: Vec<KeyHash> = keys.map(|key| hasher.hash_one(key)).collect();
            hashes.sort_unstable();
            hashes.dedup();
            hashes
        }
        let keys = if !filter.subjects.is_empty() {
            Some(hashes(hasher, filter.subjects.iter().map(Key::Subject)))
        } else if !filter.users.is_empty() {
            Some(hashes(hasher, filter.users.iter().map(Key::User)))
        } else if !filter.accounts.is_empty() {
            Some(hashes(hasher, filter.accounts.iter().map(Key::Account)))
        } else if !filter.kinds.is_empty() {
            Some(hashes(hasher, filter.kinds.iter().map(|kind| Key::Kind(kind))))
        } else {
            None
        };
        Self { filter, keys }
    }
}
