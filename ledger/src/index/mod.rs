//! From keys to places: where the newest record of a [`Key`] stands on the log.
//!
//! The index is derived from the log and can be rebuilt from it at any time. It holds keyed 128-bit
//! fingerprints, not keys; whoever looks one up checks the identity in the record. It lives in
//! memory here, 32 bytes an entry; its place on disk is this module.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;
use schemas::{Key, OrderId, Origin, Shard, Subject};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A tag, and at most four parts of at most 64 bytes with their lengths.
const MAX_KEY_BYTES: usize = 1 + 4 * 65;

/// A key's fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u128);

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
            Key::Command(subject, origin, id) => self.of_command(subject, *origin, id.as_str()),
            Key::Combo(user, combo) => {
                let count = combo.count.to_le_bytes();
                self.hash(3, &[user.as_str().as_bytes(), combo.id.as_str().as_bytes(), &count])
            }
            Key::Order(order) => self.hash(4, &[&order_bytes(*order)]),
            Key::Transaction(channel, transaction) => {
                self.hash(5, &[channel.as_str().as_bytes(), transaction.as_str().as_bytes()])
            }
            Key::RollBack(order, refund) => self.hash(6, &[&order_bytes(*order), refund.as_str().as_bytes()]),
        }
    }

    /// The fingerprint of [`Key::Command`], without building the key.
    pub fn of_command(self, subject: &Subject, origin: Origin, id: &str) -> Fingerprint {
        let tag = origin as u8;
        match subject {
            Subject::User(user) => self.hash(tag, &[b"u", user.as_str().as_bytes(), id.as_bytes()]),
            Subject::Transaction { channel, transaction } => {
                let (channel, transaction) = (channel.as_str().as_bytes(), transaction.as_str().as_bytes());
                self.hash(tag, &[b"t", channel, transaction, id.as_bytes()])
            }
            Subject::Reference => self.hash(tag, &[b"r", id.as_bytes()]),
            Subject::Shard(shard) => self.hash(tag, &[b"s", &shard.to_le_bytes(), id.as_bytes()]),
        }
    }

    /// Each part is preceded by its length, so that no two keys give the same bytes.
    fn hash(self, tag: u8, parts: &[&[u8]]) -> Fingerprint {
        let mut bytes = [0; MAX_KEY_BYTES];
        bytes[0] = tag;
        let mut end = 1;
        for part in parts {
            bytes[end] = u8::try_from(part.len()).expect("ids have at most 64 bytes");
            end += 1;
            bytes[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        Fingerprint(xxh3_128_with_seed(&bytes[..end], self.seed))
    }
}

fn order_bytes(order: OrderId) -> [u8; 11] {
    let mut bytes = [0; 11];
    bytes[..2].copy_from_slice(&order.shard.to_le_bytes());
    bytes[2..10].copy_from_slice(&order.sequence.to_le_bytes());
    bytes[10] = order.part;
    bytes
}

/// A map of fingerprints, which are hashes already.
pub(crate) type ByFingerprint<V> = HashMap<Fingerprint, V, BuildHasherDefault<AsItIs>>;

/// Passes a hash through.
#[derive(Debug, Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("fingerprints are hashed as one u128")
    }
    fn write_u128(&mut self, fingerprint: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "any 64 bits of a hash are a hash")]
        {
            self.0 = fingerprint as u64;
        }
    }
}

/// A record's place: its shard and its sequence, the same in every home of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    packed: u64,
}

impl Place {
    /// Sequences take the lower 48 bits: 280 million million records a shard.
    const SEQUENCE_BITS: u32 = 48;

    /// The place of a record.
    pub fn new(shard: Shard, sequence: u64) -> Self {
        assert!(sequence < 1 << Self::SEQUENCE_BITS, "a shard of more than 2^48 records");
        Self { packed: u64::from(shard) << Self::SEQUENCE_BITS | sequence }
    }

    /// The shard.
    pub fn shard(self) -> Shard {
        Shard::try_from(self.packed >> Self::SEQUENCE_BITS).expect("16 bits")
    }

    /// The sequence.
    pub fn sequence(self) -> u64 {
        self.packed & ((1 << Self::SEQUENCE_BITS) - 1)
    }
}

/// The index.
#[derive(Debug, Default)]
pub struct Index {
    places: ByFingerprint<Place>,
}

impl Index {
    /// Where the newest record of a key stands, if any: the record decides whether it is the key's.
    pub fn get(&self, key: Fingerprint) -> Option<Place> {
        self.places.get(&key).copied()
    }

    /// A later record takes the key over.
    pub fn insert(&mut self, key: Fingerprint, at: Place) {
        self.places.insert(key, at);
    }
}
