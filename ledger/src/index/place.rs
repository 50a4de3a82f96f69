//! What the index holds of a record: where it stands.

use schemas::Shard;

/// A record's place: its shard and its sequence, the same in every home of the log.
/// Of one shard, the later record is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    packed: u64,
}

impl Place {
    /// Sequences take the lower 48 bits: 280 million million records a shard.
    const SEQUENCE_BITS: u32 = 48;

    /// The last sequence that a place can have.
    pub(crate) const LAST_SEQUENCE: u64 = (1 << Self::SEQUENCE_BITS) - 1;

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

impl From<u64> for Place {
    fn from(packed: u64) -> Self {
        Self { packed }
    }
}
impl From<Place> for u64 {
    fn from(place: Place) -> Self {
        place.packed
    }
}
