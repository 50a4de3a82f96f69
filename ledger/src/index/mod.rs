//! From keys to places: where the newest record of a [`Key`] stands on the log.
//!
//! The index is derived from the log and can be rebuilt from it at any time. It holds keyed 128-bit
//! fingerprints, not keys; whoever looks one up checks the identity in the record. It lives in
//! memory here, 32 bytes an entry; its place on disk is this module.

use hashbrown::HashTable;
use smallvec::SmallVec;
use schemas::{Key, OrderId, Origin, Shard, Subject};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A tag, and at most four parts of at most 64 bytes with their lengths.
const MAX_KEY_BYTES: usize = 1 + 4 * 65;

/// A key's fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

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
#[derive(Debug)]
pub struct Index {
    table: HashTable<(Fingerprint, Place)>,
    fingerprinter: Fingerprinter,
    runs: std::sync::Arc<Runs>,
}

/// STUB
#[derive(Debug)]
pub struct Frozen;
/// STUB
#[derive(Debug)]
pub struct Runs;
/// STUB
#[derive(Debug)]
pub struct Sealer;
impl Runs {
    pub fn may_contain(&self, _: Fingerprint) -> bool { false }
    pub fn candidates(&self, _: Fingerprint) -> crate::Result<SmallVec<[Place; 2]>> { Ok(SmallVec::new()) }
}
impl Sealer {
    pub fn seal(&mut self, _: &Frozen, _: &crate::log::Head) -> crate::Result<std::sync::Arc<Runs>> { Ok(std::sync::Arc::new(Runs)) }
    pub fn merge(&mut self) -> crate::Result<Option<std::sync::Arc<Runs>>> { Ok(None) }
}

impl Index {
    pub fn new() -> Self { Self { table: HashTable::with_capacity(4_200_000), fingerprinter: Fingerprinter::new(rand::random()), runs: std::sync::Arc::new(Runs) } }
    pub fn fingerprinter(&self) -> Fingerprinter { self.fingerprinter }
    pub fn must_wait(&self) -> bool { false }
    pub fn freeze_if_full(&mut self) {}
    pub fn take_frozen(&mut self) -> Option<std::sync::Arc<Frozen>> { None }
    pub fn adopt(&mut self, _: std::sync::Arc<Runs>) {}
    pub fn runs(&self) -> &std::sync::Arc<Runs> { &self.runs }
    /// Takes an entry.
    pub fn insert(&mut self, key: Fingerprint, at: Place) {
        self.table.insert_unique(key.0, (key, at), |(key, _)| key.0);
    }

    /// Places in memory, newest first.
    pub fn in_memory(&self, key: Fingerprint) -> SmallVec<[Place; 2]> {
        let mut places: SmallVec<[Place; 2]> =
            self.table.iter_hash(key.0).filter(|(k, _)| *k == key).map(|(_, at)| *at).collect();
        if places.len() > 1 {
            places.sort_unstable_by_key(|place| std::cmp::Reverse(place.sequence()));
        }
        places
    }

    /// Touches.
    pub fn probe(&self, keys: &[Fingerprint], maybe: &mut Vec<bool>) {
        let known = |key: &Fingerprint| self.table.iter_hash(key.0).any(|(k, _)| k == key);
        let n = keys.iter().filter(|k| known(k)).count();
        std::hint::black_box(n);
        maybe.clear();
        maybe.resize(keys.len(), false);
    }
}
impl Fingerprint { pub const NONE: Self = Self(0); }
