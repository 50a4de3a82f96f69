//! Why a well-formed command was refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Coins, CommandId, Currency, OrderId, Status, Timestamp, Zone};

/// A refusal that depended on the state: recorded, and the answer to its command id for ever.
///
/// Codes (the names in JSON) are permanent. Where several apply, the one listed first is given.
/// Before any of them come, unrecorded: malformed, conflict (the id with other content), busy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rejection {
    /// The transaction was claimed by another command.
    #[error("the transaction was claimed by command {first:?}")]
    TransactionClaimed {
        /// The command that claimed it.
        first: CommandId,
    },
    /// No chargeback of the transaction stands.
    #[error("no chargeback of the transaction stands")]
    NotChargedBack,
    /// The transaction was charged back before.
    #[error("the transaction was charged back by command {first:?}")]
    AlreadyChargedBack {
        /// The command that did.
        first: CommandId,
    },
    /// The version is not the next one, or the part is not its next part.
    #[error("the next part of the reference data is part {part} of version {version}")]
    VersionNotNext {
        /// The version that is next.
        version: u64,
        /// The part of it that is next.
        part: u32,
    },
    /// The ledger's entity is set already, and never changes: all months were valued by it.
    #[error("the ledger's entity is {currency}, {zone}, {coins_per_unit} coins per unit, and never changes")]
    EntityFixed {
        /// Its currency.
        currency: Currency,
        /// Its time zone.
        zone: Zone,
        /// What a coin is worth.
        coins_per_unit: u32,
    },
    /// The catalogue has no such item.
    #[error("the catalogue has no such item")]
    ItemNotFound,
    /// The item is not on sale at this time.
    #[error("the item is not on sale at this time")]
    ItemNotOnSale,
    /// The price is not the one that was expected.
    #[error("one costs {price} coins")]
    PriceChanged {
        /// The price in force.
        price: Coins,
    },
    /// The step of the combo was counted before.
    #[error("this step of the combo was counted by order {order}")]
    ComboCounted {
        /// The order that counted it.
        order: OrderId,
    },
    /// The user has no such order.
    #[error("the user has no such order")]
    OrderNotFound,
    /// The order's status does not allow the step.
    #[error("the order is {status}, which does not allow this")]
    OrderStatus {
        /// The status.
        status: Status,
    },
    /// The order has no such refund.
    #[error("the order has no such refund")]
    RefundNotFound,
    /// The refund was rolled back before.
    #[error("the refund was rolled back by command {first:?}")]
    AlreadyRolledBack {
        /// The command that did.
        first: CommandId,
    },
    /// It is dated before what it is about: an order or a refund.
    #[error("it is dated before what it is about, which happened at {happened_at}")]
    DatedBefore {
        /// When that happened.
        happened_at: Timestamp,
    },
    /// The time by which it had to happen has passed.
    #[error("it had to happen before {deadline}")]
    DeadlinePassed {
        /// That time.
        deadline: Timestamp,
    },
    /// More than what is held, or left to refund.
    #[error("there are {left} coins left")]
    ExceedsLeft {
        /// What is left.
        left: Coins,
    },
    /// The user is in debt, which stops spending.
    #[error("the user owes {debt} coins, which stops spending")]
    InDebt {
        /// The debt.
        debt: Coins,
    },
    /// The wallet holds less than is asked for.
    #[error("the wallet has {available} coins to spend")]
    InsufficientFunds {
        /// What it holds.
        available: Coins,
    },
    /// An amount would be beyond 2^53 − 1.
    #[error("an amount would be more than 9007199254740991 coins")]
    AmountTooLarge,
    /// It would move more lots than one record holds.
    #[error("it would move more lots than the {limit} that one record holds; use smaller amounts")]
    TooManyLots {
        /// The most lots of one record.
        limit: u32,
    },
    /// Its record would be larger than one may be.
    #[error("its record would have more than the {limit} bytes that one may have; do it in smaller parts")]
    TooLarge {
        /// The most bytes of one record.
        limit: u32,
    },
    /// What a dispatch or a timer was about is no longer there.
    #[error("there is nothing left to do")]
    NothingToDo,
    /// One command of a group was refused, so all were.
    #[error("command {member} of the group: {rejection}")]
    Member {
        /// Its place in the group, from 0.
        member: u32,
        /// Why.
        #[serde(deserialize_with = "crate::members::rejection")]
        rejection: Box<Rejection>,
    },
}

impl Rejection {
    /// Its permanent code, as in JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TransactionClaimed { .. } => "transaction_claimed",
            Self::NotChargedBack => "not_charged_back",
            Self::AlreadyChargedBack { .. } => "already_charged_back",
            Self::VersionNotNext { .. } => "version_not_next",
            Self::EntityFixed { .. } => "entity_fixed",
            Self::ItemNotFound => "item_not_found",
            Self::ItemNotOnSale => "item_not_on_sale",
            Self::PriceChanged { .. } => "price_changed",
            Self::ComboCounted { .. } => "combo_counted",
            Self::OrderNotFound => "order_not_found",
            Self::OrderStatus { .. } => "order_status",
            Self::RefundNotFound => "refund_not_found",
            Self::AlreadyRolledBack { .. } => "already_rolled_back",
            Self::DatedBefore { .. } => "dated_before",
            Self::DeadlinePassed { .. } => "deadline_passed",
            Self::ExceedsLeft { .. } => "exceeds_left",
            Self::InDebt { .. } => "in_debt",
            Self::InsufficientFunds { .. } => "insufficient_funds",
            Self::AmountTooLarge => "amount_too_large",
            Self::TooManyLots { .. } => "too_many_lots",
            Self::TooLarge { .. } => "too_large",
            Self::NothingToDo => "nothing_to_do",
            Self::Member { rejection, .. } => rejection.code(),
        }
    }
}
