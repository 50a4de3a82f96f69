//! Lots and orders: the parts of state that records carry, so that a finished order needs no
//! memory and a refund needs nothing but the newest record of its order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{ActivityId, Coins, ItemId, LotId, MoneyError, OrderId, ProviderId, RoomId, StreamerId, Timestamp};

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

/// What one recipient holds of a gift's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareHeld {
    /// The recipient.
    pub streamer: StreamerId,
    /// In coins of recipient value.
    pub value: Coins,
    /// What of it pays out: their part of the paid base.
    pub base: Coins,
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
    /// What was charged; for a game order what was held, and once captured what was captured.
    pub charged: Coins,
    /// What of it has not gone back.
    pub left: Coins,
    /// The lots that `left` consists of, in order of consumption.
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
        /// The recipient value when it was given.
        value: Coins,
        /// What each recipient still holds of it.
        #[schemars(with = "Vec<ShareHeld>")]
        shares: SmallVec<[ShareHeld; 1]>,
        /// When it was given: what its month and boards go by.
        given_at: Timestamp,
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

impl Order {
    /// Recipient value that is left once `left` of the charge remains:
    /// floor(value × left ÷ charged).
    #[must_use]
    pub fn value_left(&self, value: Coins, left: Coins) -> Coins {
        value.portion_floor(left, self.charged)
    }

    /// The base that pays out: floor(value left × paid coins left ÷ charged left). Bonus coins pay
    /// nothing. Zero for anything but a gift.
    pub fn paid_base(&self) -> Coins {
        let OrderKind::Gift { value, .. } = &self.kind else { return Coins::ZERO };
        let paid = self.used.iter().filter(|lot| lot.kind.is_paid()).map(|lot| lot.coins);
        let paid = paid.fold(Coins::ZERO, |sum, coins| sum.plus(coins).expect("no more than was charged"));
        self.value_left(*value, self.left).portion_floor(paid, self.left)
    }
}
