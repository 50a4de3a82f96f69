//! Lots and orders: the parts of state that records carry, so that a finished order needs no
//! memory and a refund needs nothing but the newest record of its order.

use std::collections::BTreeMap;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{
    ActivityId, Coins, FirstShare, ItemId, LotId, MoneyError, OrderId, ProviderId, RoomId, ShareHeld, Timestamp,
    held_shares,
};

/// Coins of one lot: as they lie in a wallet, or as an order used them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lot {
    /// Which lot.
    pub id: LotId,
    /// Paid or bonus.
    pub kind: LotKind,
    /// How many of its coins.
    pub coins: Coins,
}

/// Where the coins of a lot came from, in burn order: bonus before paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LotKind {
    /// Given by the platform.
    Bonus {
        /// When they lapse; never where absent.
        expires: Option<Timestamp>,
    },
    /// Bought.
    Paid,
}

impl LotKind {
    /// Whether the coins were bought.
    pub const fn is_paid(self) -> bool {
        matches!(self, Self::Paid)
    }

    /// Whether they count as lapsed at `now`.
    pub fn has_expired(self, now: Timestamp) -> bool {
        matches!(self, Self::Bonus { expires: Some(at) } if at <= now)
    }
}

impl Lot {
    /// Sorts lots as they burn: bonus by soonest expiry (those without one last), then paid; oldest first.
    pub fn burn_order(&self) -> (bool, bool, Option<Timestamp>, LotId) {
        match self.kind {
            LotKind::Bonus { expires } => (false, expires.is_none(), expires, self.id),
            LotKind::Paid => (true, true, None, self.id),
        }
    }
}

/// Pieces of lots, in the order in which they were used or restored.
pub type Lots = SmallVec<[Lot; 1]>;

/// The sum of some lots.
///
/// # Errors
/// If it is beyond what [`Coins`] hold.
pub fn coins_of(lots: &[Lot]) -> Result<Coins, MoneyError> {
    lots.iter().try_fold(Coins::ZERO, |sum, lot| sum.plus(lot.coins))
}

/// The whole remaining state of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Its number.
    pub id: OrderId,
    /// How far it has come.
    pub status: Status,
    /// What it is about.
    pub kind: OrderKind,
    /// When it was placed: what a gift's month and boards go by. Nothing about it happens before.
    pub placed_at: Timestamp,
    /// What was charged; for a game order what was held, and once captured what was captured.
    pub charged: Coins,
    /// What of it has not gone back.
    pub left: Coins,
    /// The lots that `left` consists of, in order of consumption; each once.
    #[schemars(with = "Vec<Lot>")]
    pub used: Lots,
}

/// What an order is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OrderKind {
    /// A gift.
    Gift {
        /// The item given.
        item: ItemId,
        /// What each recipient was credited with when it was given; see [`Order::shares`].
        #[schemars(with = "Vec<FirstShare>")]
        shares: SmallVec<[FirstShare; 1]>,
        /// The room, where one was named.
        room: Option<RoomId>,
        /// The campaign, where one was named.
        activity: Option<ActivityId>,
    },
    /// An order that a third party delivers.
    Game {
        /// The third party.
        provider: ProviderId,
        /// Until when it may be sent or captured if it was not sent before.
        deadline: Timestamp,
        /// How often the provider was called: 1 once sent, one more for each query.
        attempts: u32,
    },
}

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Coins are held; the provider has not been called.
    Held,
    /// The provider was called, or is being called.
    Sent,
    /// The provider's answer is not known; it is asked again.
    Unknown,
    /// A person has taken the order over.
    Manual,
    /// Delivered: charged for good, unless refunded.
    Fulfilled,
    /// Ended without a charge.
    Released,
    /// Everything charged was given back.
    Refunded,
}

impl Status {
    /// Whether coins are on hold, so that the order stands in the state of its user.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Held | Self::Sent | Self::Unknown | Self::Manual)
    }
}

/// As in sentences: `the order is released`.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Held => "held",
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Manual => "with a person",
            Self::Fulfilled => "fulfilled",
            Self::Released => "released",
            Self::Refunded => "refunded",
        })
    }
}

impl Order {
    /// What each recipient of a gift holds of it: a function of the first shares, of what is left of the
    /// charge and of how much of that is paid. Nobody holds anything of an order of another kind.
    pub fn shares(&self) -> SmallVec<[ShareHeld; 1]> {
        let OrderKind::Gift { shares, .. } = &self.kind else { return SmallVec::new() };
        let value = shares.iter().try_fold(Coins::ZERO, |sum, share| sum.plus(share.value));
        let value = value.expect("a gift's value was one amount before it was shared");
        let value_left = value.portion_floor(self.left, self.charged);
        held_shares(shares, value_left, value_left.portion_floor(paid_of(&self.used), self.left))
    }

    /// Takes lots off the end of what was used, the last consumed first; at most all of them.
    pub fn give_up(&mut self, coins: Coins) -> Lots {
        let (mut given_up, mut missing) = (Lots::new(), coins);
        while !missing.is_zero()
            && let Some(last) = self.used.last_mut()
        {
            let taken = missing.min(last.coins);
            given_up.push(Lot { coins: taken, ..*last });
            missing = missing.less(taken);
            last.coins = last.coins.less(taken);
            if last.coins.is_zero() {
                self.used.pop();
            }
        }
        given_up
    }

    /// Takes coins again that a refund had given up. `back` goes to its lots, each in its place, as if it had
    /// never left; `instead`, which comes from elsewhere, is consumed behind all others.
    ///
    /// # Errors
    /// If the coins of a lot exceed what [`Coins`] hold, which those of no wallet do.
    pub fn use_again(&mut self, back: &[Lot], instead: &[Lot]) -> Result<(), MoneyError> {
        let mut places: BTreeMap<LotId, usize> = (0..).zip(&self.used).map(|(at, lot)| (lot.id, at)).collect();
        let mut put = |lots: &mut Lots, piece: &Lot| -> Result<(), MoneyError> {
            let at = *places.entry(piece.id).or_insert(lots.len());
            match lots.get_mut(at) {
                Some(lot) => lot.coins = lot.coins.plus(piece.coins)?,
                None => lots.push(*piece),
            }
            Ok(())
        };
        let remained = self.used.len();
        back.iter().try_for_each(|piece| put(&mut self.used, piece))?;
        let came_back = self.used.len();
        instead.iter().try_for_each(|piece| put(&mut self.used, piece))?;

        let mut again: Vec<Lot> = self.used[remained..came_back].to_vec();
        if !again.is_empty() {
            again.sort_by_key(Lot::burn_order);
            let mut again = again.into_iter().peekable();
            let mut used = Lots::with_capacity(self.used.len());
            for lot in &self.used[..remained] {
                while let Some(before) = again.next_if(|before| before.burn_order() < lot.burn_order()) {
                    used.push(before);
                }
                used.push(*lot);
            }
            used.extend(again);
            used.extend_from_slice(&self.used[came_back..]);
            self.used = used;
        }
        Ok(())
    }
}

/// The paid coins among some lots of one order.
#[inline]
pub fn paid_of(lots: &[Lot]) -> Coins {
    let paid = lots.iter().filter(|lot| lot.kind.is_paid());
    paid.fold(Coins::ZERO, |sum, lot| sum.plus(lot.coins).expect("no more than was charged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lot(sequence: u64, kind: LotKind, coins: u64) -> Lot {
        Lot { id: LotId { sequence, part: 0 }, kind, coins: Coins::new(coins).unwrap() }
    }

    fn order(used: &[Lot]) -> Order {
        let coins = coins_of(used).unwrap();
        Order {
            id: OrderId { shard: 0, sequence: 9, part: 0 },
            status: Status::Fulfilled,
            kind: OrderKind::Gift {
                item: "rose".parse().unwrap(),
                shares: SmallVec::new(),
                room: None,
                activity: None,
            },
            placed_at: Timestamp::MIN,
            charged: coins,
            left: coins,
            used: Lots::from_slice(used),
        }
    }

    #[test]
    fn what_was_given_up_and_taken_again_leaves_no_trace() {
        let bonus = LotKind::Bonus { expires: None };
        let lots = [lot(5, bonus, 300), lot(1, LotKind::Paid, 500), lot(2, LotKind::Paid, 400)];
        let mut order = order(&lots);
        let first = order.give_up(Coins::new(600).unwrap());
        assert_eq!(first[..], [lot(2, LotKind::Paid, 400), lot(1, LotKind::Paid, 200)]);
        let second = order.give_up(Coins::new(600).unwrap());
        assert_eq!(second[..], [lot(1, LotKind::Paid, 300), lot(5, bonus, 300)]);
        order.use_again(&first, &[]).unwrap();
        order.use_again(&second, &[]).unwrap();
        assert_eq!(order.used[..], lots, "in whichever order they are rolled back");
    }

    #[test]
    fn what_comes_from_elsewhere_was_consumed_last_and_no_lot_stands_twice() {
        let mut order = order(&[lot(1, LotKind::Paid, 5), lot(3, LotKind::Paid, 5)]);
        order.give_up(Coins::new(5).unwrap());
        let elsewhere = lot(2, LotKind::Bonus { expires: None }, 1);
        for _ in 0..3 {
            order.use_again(&[lot(3, LotKind::Paid, 1)], &[elsewhere]).unwrap();
        }
        assert_eq!(
            order.used[..],
            [lot(1, LotKind::Paid, 5), lot(3, LotKind::Paid, 3), lot(2, LotKind::Bonus { expires: None }, 3)]
        );
    }
}
