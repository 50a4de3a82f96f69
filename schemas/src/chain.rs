//! The hash chain of a shard, by which records prove that none was changed, added or left out.
//!
//! A block is 256 consecutive records of a shard. Its hash is BLAKE3 over the hash of the block
//! before it (32 zero bytes for the first) and the canonical bytes of its records, one behind the
//! other. The hash at a position inside a block is the same over the records up to there; the hash
//! before the first record is 32 zero bytes. So hashing is a stream that depends on nothing but the
//! records, and any position can be named by (shard, sequence, hash).

use std::{fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{encoding::parse_hex, ids::TextVisitor};

/// Records in a block.
pub const BLOCK_RECORDS: u64 = 256;

/// The hash of a shard's records up to a position.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hash(pub [u8; 32]);

/// The running chain of one shard. It can be taken up again at the last complete block, and takes
/// whole runs of records at once.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The hash of the last complete block; zeros before the first.
    block: Hash,
    /// Over `block` and the records behind it.
    hasher: blake3::Hasher,
    /// How many records those are: below [`BLOCK_RECORDS`].
    in_block: u64,
}

impl Chain {
    /// The chain before the first record.
    pub fn new() -> Self {
        Self::after_block(Hash::default())
    }

    /// The chain at the end of a block with this hash.
    pub fn after_block(block: Hash) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&block.0);
        Self { block, hasher, in_block: 0 }
    }

    /// How many records complete the open block.
    pub fn room(&self) -> u64 {
        BLOCK_RECORDS - self.in_block
    }

    /// Takes the canonical bytes of the next `records` records, one behind the other.
    ///
    /// # Panics
    /// If they are more than [`Self::room`].
    pub fn push(&mut self, bytes: &[u8], records: u64) {
        assert!(records <= self.room(), "a run of records across the end of a block");
        self.hasher.update(bytes);
        self.in_block += records;
        if self.in_block == BLOCK_RECORDS {
            *self = Self::after_block(Hash(*self.hasher.finalize().as_bytes()));
        }
    }

    /// The hash at the position of the last record.
    pub fn hash(&self) -> Hash {
        if self.in_block == 0 { self.block } else { Hash(*self.hasher.finalize().as_bytes()) }
    }

    /// The hash of the last complete block; zeros before the first.
    pub fn block(&self) -> Hash {
        self.block
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Hash {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse_hex(text).map(Self).ok_or_else(|| format!("{text:?} is not a hash of 64 hexadecimal digits"))
    }
}
impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}
impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(TextVisitor { expected: "a hash of 64 hexadecimal digits", parse: str::parse })
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}
impl JsonSchema for Hash {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Hash".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9a-f]{64}$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_starts_from_the_hash_of_the_one_before() {
        let records: Vec<Vec<u8>> = (0..600_u32).map(|n| n.to_le_bytes().to_vec()).collect();
        let mut chain = Chain::new();
        assert_eq!(chain.hash(), Hash([0; 32]));
        let mut previous = [0; 32];
        for (i, record) in records.iter().enumerate() {
            chain.push(record, 1);
            let block = i / 256 * 256;
            let mut hasher = blake3::Hasher::new();
            hasher.update(&previous);
            hasher.update(&records[block..=i].concat());
            let expected = *hasher.finalize().as_bytes();
            assert_eq!(chain.hash().0, expected, "after record {i}");
            if i % 256 == 255 {
                previous = expected;
            }
        }
    }
    #[test]
    fn it_is_taken_up_again_at_the_last_complete_block() {
        let mut chain = Chain::new();
        for n in 0..700_u32 {
            chain.push(&n.to_le_bytes(), 1);
            let mut again = Chain::after_block(chain.block());
            let open = u32::try_from(BLOCK_RECORDS - chain.room()).unwrap();
            (n + 1 - open..=n).for_each(|n| again.push(&n.to_le_bytes(), 1));
            assert_eq!(again.hash(), chain.hash(), "after record {n}");
        }
    }

    #[test]
    fn a_run_of_records_hashes_as_they_do_one_by_one() {
        let (mut run, mut single) = (Chain::new(), Chain::new());
        run.push(b"abcdef", 3);
        for record in [b"ab", b"cd", b"ef"] {
            single.push(record, 1);
        }
        assert_eq!(run.hash(), single.hash());
    }
}
