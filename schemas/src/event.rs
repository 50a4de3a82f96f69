//! What has happened. An event carries everything that applying it needs: prices, lots, remaining
//! state. Variants and fields are only ever added at the end, and never change once released.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{
    ActivityId, ChannelId, Coins, Combo, CommandId, FirstShare, ItemId, Lot, Lots, Money, Order, OrderId, OrderKind,
    ProviderId, ReasonCode, RoomId, Shard, ShareHeld, ShareMoved, Source, Status, Timestamp, TransactionId, UserId,
    reference::Change,
};

/// A fact.
// The rare events with much in them are boxed, so that a gift is not moved at their size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A part of a version of the reference data was published.
    ReferencePublished(ReferencePublished),
    /// A shard took a part of a version.
    ReferenceTaken(ReferenceTaken),
    /// A channel's payment was claimed for a user; its coins are on their way.
    TopUpClaimed(TopUpClaimed),
    /// The coins of a top-up arrived.
    TopUpCredited(TopUpCredited),
    /// A channel's payment was given back; its coins are to be taken.
    ChargebackClaimed(ChargebackClaimed),
    /// The coins of a payment that was given back were taken, or became debt.
    ChargedBack(ChargedBack),
    /// Bonus coins were given.
    Granted(Granted),
    /// A lot lapsed.
    LotExpired(LotExpired),
    /// A gift was given.
    GiftGiven(GiftGiven),
    /// Coins were held for a game order.
    Held(Held),
    /// An order was marked as sent, before the provider was called.
    Sent(OrderStep),
    /// The provider was about to be asked.
    Queried(OrderStep),
    /// A call to the provider did not settle the order.
    Unresolved(OrderStep),
    /// A person took the order over.
    HandedOver(OrderStep),
    /// A hold was charged, in part or whole.
    Captured(Box<Captured>),
    /// A hold ended without a charge.
    Released(Box<Released>),
    /// Charged coins were given back.
    Refunded(Box<Refunded>),
    /// A refund was taken back.
    RefundRolledBack(Box<RefundRolledBack>),
    /// A channel's payment was given back before anybody claimed it: its top-up will credit nothing.
    ChargebackRemembered(ChargebackRemembered),
    /// A payment that had been given back before was claimed: nothing is credited.
    TopUpReversed(TopUpReversed),
    /// The platform won a dispute about a payment that nobody had claimed: its top-up will be credited.
    ReinstateRemembered(ReinstateRemembered),
    /// The platform won a dispute: the coins of the payment are on their way back.
    ReinstateClaimed(ReinstateClaimed),
    /// The coins that a chargeback had taken came back.
    Reinstated(Reinstated),
    /// Several events of one atomic group, in order.
    Group(#[serde(deserialize_with = "crate::members::events")] Vec<Event>),
}

/// A command for another subject that a record carries. What is asked is a function of the record
/// ([`Record::dispatches`](crate::Record::dispatches)), so only its place in the sequence is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// The shard that takes it.
    pub target: Shard,
    /// Its number from the record's shard to that one, from 1 without a gap.
    pub number: u64,
}

/// See [`Event::ReferencePublished`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferencePublished {
    /// The version.
    pub version: u64,
    /// The part, from 0.
    pub part: u32,
    /// Whether the version is complete with it.
    pub last: bool,
    /// From when it holds.
    pub from: Timestamp,
    /// What changed.
    pub changes: Vec<Change>,
    /// Each shard is to take what its decisions read.
    pub dispatches: Vec<Dispatch>,
}

/// See [`Event::ReferenceTaken`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceTaken {
    /// The version.
    pub version: u64,
    /// The part, from 0.
    pub part: u32,
    /// Whether the version is complete with it, so that it now holds in this shard.
    pub last: bool,
    /// From when it holds, though not before it was taken.
    pub from: Timestamp,
    /// What changed that decisions read.
    pub changes: Vec<Change>,
}

/// See [`Event::TopUpClaimed`]. The subject names channel and transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUpClaimed {
    /// Whose top-up it is.
    pub user: UserId,
    /// The coins bought.
    pub coins: Coins,
    /// What was paid.
    pub paid: Money,
    /// The credit.
    pub dispatch: Dispatch,
}

/// See [`Event::TopUpCredited`]. The new lot has the record's sequence as its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUpCredited {
    /// The shard of the claim.
    pub source: Shard,
    /// The coins that arrived.
    pub coins: Coins,
    /// What of them paid debt; the rest is the new lot.
    pub debt_paid: Coins,
    /// The channel of the payment.
    pub channel: ChannelId,
    /// The channel's number of the payment.
    pub transaction: TransactionId,
}

/// See [`Event::ChargebackClaimed`]. The subject names channel and transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargebackClaimed {
    /// Whose top-up it was.
    pub user: UserId,
    /// The coins to be taken.
    pub coins: Coins,
    /// What the channel gave back.
    pub returned: Money,
    /// The command that claimed the payment.
    pub top_up: CommandId,
    /// The number of the dispatch, of this shard to the same target, that credited the payment.
    pub credit: u64,
    /// The take-back.
    pub dispatch: Dispatch,
}

/// See [`Event::ChargedBack`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargedBack {
    /// The shard of the claim.
    pub source: Shard,
    /// What was taken: of the payment's own lot, then of other paid lots, newest first.
    #[schemars(with = "Vec<Lot>")]
    pub taken: Lots,
    /// What was not there and is now owed.
    pub debt: Coins,
    /// The channel of the payment.
    pub channel: ChannelId,
    /// The channel's number of the payment.
    pub transaction: TransactionId,
}

/// See [`Event::ChargebackRemembered`]. The subject names channel and transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargebackRemembered {}

/// See [`Event::TopUpReversed`]. The subject names channel and transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUpReversed {
    /// Whose top-up it would have been.
    pub user: UserId,
    /// The coins that are not credited.
    pub coins: Coins,
    /// What was paid, and given back.
    pub paid: Money,
    /// The command that brought the chargeback.
    pub chargeback: CommandId,
}

/// See [`Event::ReinstateRemembered`]. The subject names channel and transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReinstateRemembered {}

/// See [`Event::ReinstateClaimed`]. The subject names channel and transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReinstateClaimed {
    /// Whose top-up it was.
    pub user: UserId,
    /// The coins on their way back.
    pub coins: Coins,
    /// What the channel pays after all.
    pub paid: Money,
    /// The command that claimed the payment.
    pub top_up: CommandId,
    /// The number of the dispatch, of this shard to the same target, that took the coins; absent where the
    /// chargeback came before the top-up, so that nothing was credited before.
    pub take_back: Option<u64>,
    /// The number of the dispatch that credited the payment: this one, where nothing was credited before.
    pub credit: u64,
    /// What brings the coins.
    pub dispatch: Dispatch,
}

/// See [`Event::Reinstated`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reinstated {
    /// The shard of the claim.
    pub source: Shard,
    /// What of the coins paid debt, which comes first.
    pub debt_paid: Coins,
    /// The rest: back into the lots that the chargeback took from; what it had made debt, where that is paid
    /// by now, into a new lot with the record's sequence as its number.
    #[schemars(with = "Vec<Lot>")]
    pub restored: Lots,
    /// The channel of the payment.
    pub channel: ChannelId,
    /// The channel's number of the payment.
    pub transaction: TransactionId,
}

/// See [`Event::Granted`]. The new lot has the record's sequence as its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Granted {
    /// How many.
    pub coins: Coins,
    /// When they lapse.
    pub expires: Option<Timestamp>,
    /// Why.
    pub reason: ReasonCode,
}

/// See [`Event::LotExpired`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LotExpired {
    /// The lot with what was left of it.
    pub lot: Lot,
}

/// See [`Event::GiftGiven`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GiftGiven {
    /// The item.
    pub item: ItemId,
    /// The version of the reference data that priced it.
    pub version: u64,
    /// How many.
    pub quantity: u64,
    /// What one cost.
    pub price: Coins,
    /// What the payer was charged.
    pub charged: Coins,
    /// What the recipients were credited with, shared out.
    #[schemars(with = "Vec<ShareHeld>")]
    pub shares: SmallVec<[ShareHeld; 1]>,
    /// The lots that paid.
    #[schemars(with = "Vec<Lot>")]
    pub used: Lots,
    /// The room.
    pub room: Option<RoomId>,
    /// The step of a combo.
    pub combo: Option<Combo>,
    /// The campaign.
    pub activity: Option<ActivityId>,
}

impl GiftGiven {
    /// The recipient value as a whole.
    pub fn value(&self) -> Coins {
        self.shares.iter().fold(Coins::ZERO, |sum, share| sum.plus(share.value).expect("checked when it was decided"))
    }

    /// The order that it placed.
    pub fn order(&self, id: OrderId, placed_at: Timestamp) -> Order {
        let first = |share: &ShareHeld| FirstShare { streamer: share.streamer.clone(), value: share.value };
        Order {
            id,
            status: Status::Fulfilled,
            kind: OrderKind::Gift {
                item: self.item.clone(),
                shares: self.shares.iter().map(first).collect(),
                room: self.room.clone(),
                activity: self.activity.clone(),
            },
            placed_at,
            charged: self.charged,
            left: self.charged,
            used: self.used.clone(),
        }
    }
}

/// See [`Event::Held`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Who delivers.
    pub provider: ProviderId,
    /// Until when it may be sent or captured if it was not sent before.
    pub deadline: Timestamp,
    /// The lots that are held.
    #[schemars(with = "Vec<Lot>")]
    pub used: Lots,
}

impl Held {
    /// The order that it placed.
    pub fn order(&self, id: OrderId, placed_at: Timestamp) -> Order {
        let coins = crate::coins_of(&self.used).expect("checked when it was decided");
        Order {
            id,
            status: Status::Held,
            kind: OrderKind::Game { provider: self.provider.clone(), deadline: self.deadline, attempts: 0 },
            placed_at,
            charged: coins,
            left: coins,
            used: self.used.clone(),
        }
    }
}

/// A step of an order that moves no coins. How it left the order stands in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderStep {
    /// Which order.
    pub order: OrderId,
    /// Why, where a reason was given.
    pub reason: Option<ReasonCode>,
}

/// Where coins went that came back to a user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Returned {
    /// Back into the wallet, to the lots they came from.
    #[schemars(with = "Vec<Lot>")]
    pub restored: Lots,
    /// Into the user's debt.
    #[schemars(with = "Vec<Lot>")]
    pub debt_paid: Lots,
    /// Nowhere: their lots had lapsed meanwhile.
    #[schemars(with = "Vec<Lot>")]
    pub expired: Lots,
}

/// See [`Event::Captured`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Captured {
    /// Which order.
    pub order: OrderId,
    /// What was charged.
    pub coins: Coins,
    /// What was held and not charged.
    pub released: Returned,
}

/// See [`Event::Released`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Released {
    /// Which order.
    pub order: OrderId,
    /// Why.
    pub reason: ReasonCode,
    /// What was held.
    pub released: Returned,
}

/// See [`Event::Refunded`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refunded {
    /// Which order.
    pub order: OrderId,
    /// Why.
    pub reason: ReasonCode,
    /// How much was refunded.
    pub coins: Coins,
    /// Where it went.
    pub returned: Returned,
    /// What each recipient lost by it.
    #[schemars(with = "Vec<ShareMoved>")]
    pub taken: SmallVec<[ShareMoved; 1]>,
}

/// See [`Event::RefundRolledBack`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundRolledBack {
    /// Which order.
    pub order: OrderId,
    /// The service that asked for the refund.
    pub source: Source,
    /// The command of the refund.
    pub refund: CommandId,
    /// The refund's part of that command's group; 0 where it was alone.
    pub part: u8,
    /// Why.
    pub reason: ReasonCode,
    /// What was taken from the wallet: the restored lots first, then others in burn order.
    #[schemars(with = "Vec<Lot>")]
    pub taken: Lots,
    /// What had lapsed before the refund, and is charged again.
    #[schemars(with = "Vec<Lot>")]
    pub unexpired: Lots,
    /// What the refund had restored and has lapsed since, and is charged again.
    pub unlapsed: Vec<Unlapsed>,
    /// What was not there to take: for a person.
    pub shortfall: Coins,
    /// What each recipient got back.
    #[schemars(with = "Vec<ShareMoved>")]
    pub given: SmallVec<[ShareMoved; 1]>,
}

/// Coins of a lapsed lot that are charged again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unlapsed {
    /// The lot, with the coins that are charged again.
    pub lot: Lot,
    /// What is left of those that had lapsed with it, for other roll-backs.
    pub left: Coins,
}

impl Event {
    /// The channel's transaction that it names, where its subject is not that itself.
    pub fn transaction(&self) -> Option<(&ChannelId, &TransactionId)> {
        match self {
            Self::TopUpCredited(e) => Some((&e.channel, &e.transaction)),
            Self::ChargedBack(e) => Some((&e.channel, &e.transaction)),
            Self::Reinstated(e) => Some((&e.channel, &e.transaction)),
            Self::ReferencePublished(_)
            | Self::ReferenceTaken(_)
            | Self::TopUpClaimed(_)
            | Self::ChargebackClaimed(_)
            | Self::Granted(_)
            | Self::LotExpired(_)
            | Self::GiftGiven(_)
            | Self::Held(_)
            | Self::Sent(_)
            | Self::Queried(_)
            | Self::Unresolved(_)
            | Self::HandedOver(_)
            | Self::Captured(_)
            | Self::Released(_)
            | Self::Refunded(_)
            | Self::RefundRolledBack(_)
            | Self::ChargebackRemembered(_)
            | Self::TopUpReversed(_)
            | Self::ReinstateRemembered(_)
            | Self::ReinstateClaimed(_)
            | Self::Group(_) => None,
        }
    }

    /// The order that it moved, where it moved one that an earlier event placed.
    #[inline]
    pub fn moved_order(&self) -> Option<OrderId> {
        match self {
            Self::Sent(e) | Self::Queried(e) | Self::Unresolved(e) | Self::HandedOver(e) => Some(e.order),
            Self::Captured(e) => Some(e.order),
            Self::Released(e) => Some(e.order),
            Self::Refunded(e) => Some(e.order),
            Self::RefundRolledBack(e) => Some(e.order),
            Self::ReferencePublished(_)
            | Self::ReferenceTaken(_)
            | Self::TopUpClaimed(_)
            | Self::TopUpCredited(_)
            | Self::ChargebackClaimed(_)
            | Self::ChargedBack(_)
            | Self::Granted(_)
            | Self::LotExpired(_)
            | Self::GiftGiven(_)
            | Self::Held(_)
            | Self::ChargebackRemembered(_)
            | Self::TopUpReversed(_)
            | Self::ReinstateRemembered(_)
            | Self::ReinstateClaimed(_)
            | Self::Reinstated(_)
            | Self::Group(_) => None,
        }
    }

    /// Of a claim: the user for whom, and what takes it there.
    #[inline]
    pub fn claimed_for(&self) -> Option<(&UserId, Dispatch)> {
        match self {
            Self::TopUpClaimed(e) => Some((&e.user, e.dispatch)),
            Self::ChargebackClaimed(e) => Some((&e.user, e.dispatch)),
            Self::ReinstateClaimed(e) => Some((&e.user, e.dispatch)),
            _ => None,
        }
    }

    /// The events of a group, or the event itself.
    #[inline]
    pub fn parts(&self) -> &[Event] {
        match self {
            Self::Group(parts) => parts,
            single => std::slice::from_ref(single),
        }
    }

    /// The names of all events.
    pub const KINDS: [&'static str; 24] = [
        "reference_published",
        "reference_taken",
        "top_up_claimed",
        "top_up_credited",
        "chargeback_claimed",
        "charged_back",
        "granted",
        "lot_expired",
        "gift_given",
        "held",
        "sent",
        "queried",
        "unresolved",
        "handed_over",
        "captured",
        "released",
        "refunded",
        "refund_rolled_back",
        "chargeback_remembered",
        "top_up_reversed",
        "reinstate_remembered",
        "reinstate_claimed",
        "reinstated",
        "group",
    ];

    /// Its name in JSON.
    #[inline]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ReferencePublished(_) => "reference_published",
            Self::ReferenceTaken(_) => "reference_taken",
            Self::TopUpClaimed(_) => "top_up_claimed",
            Self::TopUpCredited(_) => "top_up_credited",
            Self::ChargebackClaimed(_) => "chargeback_claimed",
            Self::ChargedBack(_) => "charged_back",
            Self::Granted(_) => "granted",
            Self::LotExpired(_) => "lot_expired",
            Self::GiftGiven(_) => "gift_given",
            Self::Held(_) => "held",
            Self::Sent(_) => "sent",
            Self::Queried(_) => "queried",
            Self::Unresolved(_) => "unresolved",
            Self::HandedOver(_) => "handed_over",
            Self::Captured(_) => "captured",
            Self::Released(_) => "released",
            Self::Refunded(_) => "refunded",
            Self::RefundRolledBack(_) => "refund_rolled_back",
            Self::ChargebackRemembered(_) => "chargeback_remembered",
            Self::TopUpReversed(_) => "top_up_reversed",
            Self::ReinstateRemembered(_) => "reinstate_remembered",
            Self::ReinstateClaimed(_) => "reinstate_claimed",
            Self::Reinstated(_) => "reinstated",
            Self::Group(_) => "group",
        }
    }
}
