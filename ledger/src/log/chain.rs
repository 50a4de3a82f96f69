//! The running hash of a shard, as `schemas::Chain` defines it, which can also be taken up again
//! at the last complete block and takes whole runs of records at once.

use schemas::{BLOCK_RECORDS, Hash};

/// A chain that stands behind some record.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    /// The hash of the last complete block; zeros before the first.
    block: Hash,
    /// Over `block` and the records behind it.
    hasher: blake3::Hasher,
    /// How many records those are: below [`BLOCK_RECORDS`].
    in_block: u64,
}

impl Chain {
    /// The chain at the end of a block with this hash; zeros before the first record.
    pub fn after_block(block: Hash) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&block.0);
        Self { block, hasher, in_block: 0 }
    }

    /// How many records complete the open block.
    pub fn room(&self) -> u64 {
        BLOCK_RECORDS - self.in_block
    }

    /// Takes the canonical bytes of the next `records` records, which must not exceed [`Self::room`].
    pub fn push(&mut self, bytes: &[u8], records: u64) {
        debug_assert!(records <= self.room(), "a run of records across the end of a block");
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

    /// The hash of the last complete block.
    pub fn block(&self) -> Hash {
        self.block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_chain_of_the_vocabulary() {
        let (mut ours, mut theirs) = (Chain::after_block(Hash::default()), schemas::Chain::new());
        for n in 0..700_u32 {
            assert_eq!(ours.hash(), theirs.hash(), "after {n} records");
            ours.push(&n.to_le_bytes(), 1);
            theirs.push(&n.to_le_bytes());
            if n % 100 == 0 {
                // Taken up again from the last block and the records behind it.
                let mut again = Chain::after_block(ours.block());
                let open = u32::try_from(BLOCK_RECORDS - ours.room()).expect("at most 255");
                (n + 1 - open..=n).for_each(|n| again.push(&n.to_le_bytes(), 1));
                assert_eq!(again.hash(), theirs.hash());
            }
        }
    }

    #[test]
    fn a_run_of_records_hashes_as_they_do_one_by_one() {
        let (mut run, mut single) = (Chain::after_block(Hash::default()), Chain::after_block(Hash::default()));
        run.push(b"abcdef", 3);
        for record in [b"ab", b"cd", b"ef"] {
            single.push(record, 1);
        }
        assert_eq!(run.hash(), single.hash());
    }
}
