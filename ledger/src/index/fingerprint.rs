//! What the index holds of a key: a keyed hash of 64 bits.

use schemas::{Key, MAX_ID_BYTES, OrderId, Origin, Subject};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A tag, and at most five parts with their lengths, each in a byte.
const MAX_KEY_BYTES: usize = 1 + 5 * (1 + MAX_ID_BYTES);
/// What nearly every key fits into: making room for the longest takes longer than hashing a short one.
const USUAL_KEY_BYTES: usize = 256;

/// A key's fingerprint. Different keys can have the same one, so the record decides whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

impl From<u64> for Fingerprint {
    fn from(bits: u64) -> Self {
        Self(bits)
    }
}
impl From<Fingerprint> for u64 {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.0
    }
}

/// Makes fingerprints. Keyed, so that nobody outside can choose ids that collide.
#[derive(Debug, Clone, Copy)]
pub struct Fingerprinter {
    seed: u64,
}

impl Fingerprinter {
    /// With a seed that is not known outside.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The fingerprint of a key.
    pub fn of(self, key: &Key) -> Fingerprint {
        match key {
            Key::Command(subject, origin, id) => self.of_command(subject, origin, id.as_str()),
            Key::Combo(user, combo) => {
                let count = combo.count.to_le_bytes();
                self.hash(3, &[user.as_str().as_bytes(), combo.id.as_str().as_bytes(), &count])
            }
            Key::Order(order) => self.hash(4, &[&order_bytes(*order)]),
            Key::Transaction(channel, transaction) => {
                self.hash(5, &[channel.as_str().as_bytes(), transaction.as_str().as_bytes()])
            }
            Key::RollBack(order, source, refund, part) => {
                let (source, refund) = (source.as_str().as_bytes(), refund.as_str().as_bytes());
                self.hash(6, &[&order_bytes(*order), &[*part], source, refund])
            }
            Key::Lapse(user, lot) => {
                self.hash(7, &[&lot.sequence.to_le_bytes(), &[lot.part], user.as_str().as_bytes()])
            }
        }
    }

    /// The fingerprint of [`Key::Command`], without building the key.
    pub fn of_command(self, subject: &Subject, origin: &Origin, id: &str) -> Fingerprint {
        // No caller may be called nothing.
        let (tag, source) = match origin {
            Origin::Caller(source) => (0, source.as_str().as_bytes()),
            Origin::Dispatch => (1, &[][..]),
            Origin::Timer => (2, &[][..]),
        };
        let id = id.as_bytes();
        match subject {
            Subject::User(user) => self.hash(tag, &[b"u", user.as_str().as_bytes(), source, id]),
            Subject::Transaction { channel, transaction } => {
                let (channel, transaction) = (channel.as_str().as_bytes(), transaction.as_str().as_bytes());
                self.hash(tag, &[b"t", channel, transaction, source, id])
            }
            Subject::Reference => self.hash(tag, &[b"r", source, id]),
            Subject::Shard(shard) => self.hash(tag, &[b"s", &shard.to_le_bytes(), source, id]),
        }
    }

    fn hash(self, tag: u8, parts: &[&[u8]]) -> Fingerprint {
        let bytes: usize = 1 + parts.iter().map(|part| 1 + part.len()).sum::<usize>();
        if bytes <= USUAL_KEY_BYTES {
            self.hash_in([0; USUAL_KEY_BYTES], tag, parts)
        } else {
            self.hash_in([0; MAX_KEY_BYTES], tag, parts)
        }
    }

    /// Each part is preceded by its length, so that no two keys give the same bytes.
    fn hash_in<const N: usize>(self, mut bytes: [u8; N], tag: u8, parts: &[&[u8]]) -> Fingerprint {
        bytes[0] = tag;
        let mut end = 1;
        for part in parts {
            bytes[end] = u8::try_from(part.len()).expect("an id has at most 200 bytes");
            end += 1;
            bytes[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        Fingerprint(xxh3_64_with_seed(&bytes[..end], self.seed))
    }
}

fn order_bytes(order: OrderId) -> [u8; 11] {
    let mut bytes = [0; 11];
    bytes[..2].copy_from_slice(&order.shard.to_le_bytes());
    bytes[2..10].copy_from_slice(&order.sequence.to_le_bytes());
    bytes[10] = order.part;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An id of a third party may have 200 bytes, and its last one counts. Whatever room a key is hashed
    /// in, its fingerprint is that of its bytes: an index on disk outlives the sizes here.
    #[test]
    fn long_ids_have_fingerprints_of_their_own() {
        let fingerprinter = Fingerprinter::new(7);
        let id = |last: char| format!("{}{last}", "x".repeat(MAX_ID_BYTES - 1));
        let key = |channel: char, transaction: char, source: char, id_end: char| {
            let transaction = id(transaction).parse().expect("a transaction id");
            let subject = Subject::Transaction { channel: id(channel).parse().expect("a channel id"), transaction };
            let origin = Origin::Caller(id(source).parse().expect("a source"));
            fingerprinter.of(&Key::Command(subject, origin, id(id_end).parse().expect("a command id")))
        };
        let key = |ends: &str| {
            let mut ends = ends.chars();
            let mut next = || ends.next().expect("four");
            key(next(), next(), next(), next())
        };
        let all = ["aaaa", "baaa", "abaa", "aaba", "aaab"].map(key);
        assert!((1..all.len()).all(|n| !all[..n].contains(&all[n])), "{all:?}");
        let part = "y".repeat(100);
        let parts = [part.as_bytes(); 2];
        let in_room = fingerprinter.hash_in([0; USUAL_KEY_BYTES], 3, &parts);
        assert_eq!(fingerprinter.hash_in([0; MAX_KEY_BYTES], 3, &parts), in_room);
    }
}
