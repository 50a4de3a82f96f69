//! A lot in 24 bytes, half of what [`Lot`] takes, and its absence in no more.
//!
//! ```text
//! sequence 64 | expires 64, 0 where it never does | coins 53 | part 8 | what kind 2
//! ```
//!
//! The kind is never 0, so neither is the last word: that is how `Option` tells that there is none.

use std::num::NonZeroU64;

use schemas::{Coins, Lot, LotId, LotKind, Timestamp};

const PAID: u64 = 1;
const BONUS: u64 = 2;
const BONUS_THAT_EXPIRES: u64 = 3;

const PART_SHIFT: u32 = 2;
const COINS_SHIFT: u32 = 10;

/// A lot as a wallet keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed {
    sequence: u64,
    expires: i64,
    /// Coins, part and kind.
    rest: NonZeroU64,
}

impl Packed {
    pub fn lot(self) -> Lot {
        Lot { id: self.id(), kind: self.kind(), coins: self.coins() }
    }

    pub fn kind(self) -> LotKind {
        match self.rest.get() & 0b11 {
            PAID => LotKind::Paid,
            BONUS => LotKind::Bonus { expires: None },
            _ => LotKind::Bonus { expires: Some(Timestamp::from_nanos(self.expires)) },
        }
    }

    pub fn id(self) -> LotId {
        LotId { sequence: self.sequence, part: (self.rest.get() >> PART_SHIFT & 0xff) as u8 }
    }

    pub fn coins(self) -> Coins {
        Coins::new(self.rest.get() >> COINS_SHIFT).expect("53 bits are left for the coins")
    }

    /// The same lot with another number of coins.
    pub fn with(self, coins: Coins) -> Self {
        let part_and_kind = self.rest.get() & ((1 << COINS_SHIFT) - 1);
        Self { rest: nonzero(coins.get() << COINS_SHIFT | part_and_kind), ..self }
    }
}

impl From<Lot> for Packed {
    fn from(lot: Lot) -> Self {
        let (kind, expires) = match lot.kind {
            LotKind::Paid => (PAID, 0),
            LotKind::Bonus { expires: None } => (BONUS, 0),
            LotKind::Bonus { expires: Some(at) } => (BONUS_THAT_EXPIRES, at.nanos()),
        };
        let rest = lot.coins.get() << COINS_SHIFT | u64::from(lot.id.part) << PART_SHIFT | kind;
        Self { sequence: lot.id.sequence, expires, rest: nonzero(rest) }
    }
}

fn nonzero(rest: u64) -> NonZeroU64 {
    NonZeroU64::new(rest).expect("a kind is never 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again() {
        assert_eq!(size_of::<Option<Packed>>(), 24);
        let kinds = [
            LotKind::Paid,
            LotKind::Bonus { expires: None },
            LotKind::Bonus { expires: Some(Timestamp::from_nanos(0)) },
            LotKind::Bonus { expires: Some(Timestamp::MIN) },
            LotKind::Bonus { expires: Some(Timestamp::from_nanos(i64::MAX)) },
        ];
        for kind in kinds {
            for (sequence, part) in [(0, 0), (1, 255), (u64::MAX, 1)] {
                for coins in [Coins::ZERO, Coins::new(1).unwrap(), Coins::MAX] {
                    let lot = Lot { id: LotId { sequence, part }, kind, coins };
                    assert_eq!(Packed::from(lot).lot(), lot);
                    let other = Packed::from(lot).with(Coins::MAX);
                    assert_eq!(other.lot(), Lot { coins: Coins::MAX, ..lot });
                    assert_eq!(other.with(coins), Packed::from(lot));
                }
            }
        }
    }
}
