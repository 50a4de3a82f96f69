//! What a caller may ask for. A command is well formed or malformed, which needs no state to tell
//! ([`Command::check`]); whether it is taken or refused is the ledger's decision.

use std::collections::HashMap;

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{
    ActivityId, ChannelId, Coins, CommandId, ItemId, LotId, Malformed, Money, OrderId, OrderName, OriginKind, PartName,
    ProviderId, ReasonCode, RoomId, Shard, Source, StreamerId, Subject, Timestamp, TransactionId, UserId,
    reference::Change, time::is_kept,
};

/// Everything that can be asked of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Change reference data.
    Publish(Publish),
    /// A channel took a payment for coins.
    TopUp(TopUp),
    /// A channel gave a payment back.
    Chargeback(Chargeback),
    /// The platform won the dispute about a payment that was given back.
    Reinstate(Reinstate),
    /// Give bonus coins.
    Grant(Grant),
    /// Give a gift.
    Gift(Gift),
    /// Hold coins for a game order.
    Hold(Hold),
    /// The provider is about to be called for an order.
    Send(Send),
    /// The provider is about to be asked about an order.
    Query(Query),
    /// The provider's answer did not settle an order.
    Unresolved(Unresolved),
    /// A person takes an order over.
    HandOver(HandOver),
    /// The provider delivered: charge what was held, in part or whole.
    Capture(Capture),
    /// The provider did not deliver: give back what was held.
    Release(Release),
    /// Give back what was charged, in part or whole.
    Refund(Refund),
    /// Take a refund back.
    RollBackRefund(RollBackRefund),
    /// Several commands of one subject: all or none.
    #[schemars(schema_with = "crate::json::group_members")]
    Group(Vec<Command>),
    /// Dispatched by a top-up: the coins arrive at the user.
    #[schemars(skip)]
    Credit(Credit),
    /// Dispatched by a chargeback: the coins leave the user.
    #[schemars(skip)]
    TakeBack(TakeBack),
    /// Dispatched by a reinstatement: the coins that a chargeback took come back.
    #[schemars(skip)]
    GiveBack(GiveBack),
    /// Dispatched by a publish: a shard takes a version.
    #[schemars(skip)]
    TakeReference(TakeReference),
    /// A timer: a lot has lapsed.
    #[schemars(skip)]
    ExpireLot(ExpireLot),
    /// A timer: a hold was not sent before its deadline.
    #[schemars(skip)]
    ExpireHold(ExpireHold),
}

/// One part of a version of the reference data. A version is taken when its last part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// The version's number: one more than the last.
    pub version: u64,
    /// The number of this part, from 0.
    pub part: u32,
    /// Whether it is the last part.
    pub last: bool,
    /// From when the version holds, at the earliest.
    pub from: Timestamp,
    /// What changes; at most 1,000 a part.
    #[schemars(length(max = MAX_CHANGES_A_PART))]
    pub changes: Vec<Change>,
}

/// A payment for coins. Counts once per channel and transaction, whoever presents it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUp {
    /// Who receives the coins.
    pub user: UserId,
    /// Who took the payment.
    pub channel: ChannelId,
    /// The channel's number of the payment.
    pub transaction: TransactionId,
    /// The coins bought.
    #[schemars(extend("minimum" = 1))]
    pub coins: Coins,
    /// What was paid; not negative.
    #[schemars(extend("properties" = {"amount": {"pattern": "^[^-]"}}))]
    pub paid: Money,
}

/// A channel gave a payment back; its coins are taken from the user, and what is spent becomes debt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chargeback {
    /// The channel of the payment.
    pub channel: ChannelId,
    /// The channel's number of the payment.
    pub transaction: TransactionId,
}

/// The platform won the dispute about a payment: what its chargeback did is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reinstate {
    /// The channel of the payment.
    pub channel: ChannelId,
    /// The channel's number of the payment.
    pub transaction: TransactionId,
}

/// Bonus coins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Who receives them.
    pub user: UserId,
    /// How many.
    #[schemars(extend("minimum" = 1))]
    pub coins: Coins,
    /// When they lapse; never where absent.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// Why.
    pub reason: ReasonCode,
}

/// A gift from a user to streamers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gift {
    /// Who pays.
    pub user: UserId,
    /// What is given.
    pub item: ItemId,
    /// How many; 1 where absent.
    #[serde(default = "one", deserialize_with = "quantity")]
    #[schemars(schema_with = "crate::json::one_or_more")]
    pub quantity: u64,
    /// Who receives it. `[]` is the house, which nobody is paid for; it must be said.
    #[schemars(with = "Vec<Recipient>", length(max = MAX_RECIPIENTS))]
    pub to: SmallVec<[Recipient; 1]>,
    /// Where.
    #[serde(default)]
    pub room: Option<RoomId>,
    /// Which step of a combo it is; each counts once.
    #[serde(default)]
    pub combo: Option<Combo>,
    /// The campaign it counts for.
    #[serde(default)]
    pub activity: Option<ActivityId>,
    /// The price of one that the payer was shown; another one is refused.
    #[serde(default)]
    pub expected_price: Option<Coins>,
}

/// One recipient of a gift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// Who.
    #[schemars(extend("not" = {"const": "house"}))]
    pub streamer: StreamerId,
    /// Their weight among the recipients; 1 where absent.
    #[serde(default = "one_weight", deserialize_with = "weight")]
    #[schemars(with = "Option<u32>")]
    pub weight: u32,
}

/// A step of a combo.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Combo {
    /// The combo.
    pub id: CommandId,
    /// The step.
    pub count: u32,
}

fn one() -> u64 {
    1
}
fn one_weight() -> u32 {
    1
}
fn quantity<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    crate::json::or(deserializer, one())
}
fn weight<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    crate::json::or(deserializer, one_weight())
}

/// Coins held for a third party's delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Who pays.
    pub user: UserId,
    /// Who delivers.
    pub provider: ProviderId,
    /// How much is held.
    #[schemars(extend("minimum" = 1))]
    pub coins: Coins,
    /// Until when the order must be sent or captured.
    pub deadline: Timestamp,
}

/// Names an order of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderRef {
    /// Whose order.
    pub user: UserId,
    /// Which one.
    pub name: OrderName,
}

impl OrderRef {
    fn leave_out_source(&mut self, own: &Source) {
        if let OrderName::Command(name) = &mut self.name {
            name.leave_out(own);
        }
    }
}

/// Marks an order as sent, before the provider is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// Which order.
    pub order: OrderRef,
}

/// Records that the provider is about to be asked, before it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Which order.
    pub order: OrderRef,
}

/// Records a call whose answer does not settle the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unresolved {
    /// Which order.
    pub order: OrderRef,
    /// What came back, in a code: `timeout`, `pending`, `wrong_order`.
    pub reason: ReasonCode,
}

/// Gives an order to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HandOver {
    /// Which order.
    pub order: OrderRef,
    /// Why.
    pub reason: ReasonCode,
}

/// Ends a hold by charging it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// Which order.
    pub order: OrderRef,
    /// How much of the hold; all of it where absent. The rest is released.
    #[serde(default)]
    #[schemars(extend("minimum" = 1))]
    pub coins: Option<Coins>,
}

/// Ends a hold without a charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Which order.
    pub order: OrderRef,
    /// Why.
    pub reason: ReasonCode,
}

/// Gives charged coins back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refund {
    /// Which order.
    pub order: OrderRef,
    /// How much; everything that is left where absent.
    #[serde(default)]
    #[schemars(extend("minimum" = 1))]
    pub coins: Option<Coins>,
    /// Why.
    pub reason: ReasonCode,
}

/// Takes a refund back, as far as the coins are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollBackRefund {
    /// Which order.
    pub order: OrderRef,
    /// The command that refunded; in a group with the refund's part of it, and with its source if another service
    /// asked for it.
    pub refund: PartName,
    /// Why.
    pub reason: ReasonCode,
}

/// Coins of a claimed top-up arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credit {
    /// Who receives them.
    pub user: UserId,
    /// How many.
    pub coins: Coins,
    /// The channel of the payment.
    pub channel: ChannelId,
    /// The channel's number of the payment.
    pub transaction: TransactionId,
}

/// Coins of a payment that was given back leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeBack {
    /// Whose.
    pub user: UserId,
    /// How many.
    pub coins: Coins,
    /// The channel of the payment.
    pub channel: ChannelId,
    /// The channel's number of the payment.
    pub transaction: TransactionId,
    /// The number of the dispatch that credited the payment, from the same claim.
    pub credit: u64,
}

/// Coins that a chargeback took come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GiveBack {
    /// Whose.
    pub user: UserId,
    /// How many.
    pub coins: Coins,
    /// The channel of the payment.
    pub channel: ChannelId,
    /// The channel's number of the payment.
    pub transaction: TransactionId,
    /// The number of the dispatch that took the coins, from the same claim.
    pub take_back: u64,
}

/// A shard takes one part of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeReference {
    /// Which shard.
    pub shard: Shard,
    /// The part, with only what the shard's decisions read.
    pub publish: Publish,
}

/// A lot has lapsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpireLot {
    /// Whose.
    pub user: UserId,
    /// Which lot.
    pub lot: LotId,
}

/// A hold was not sent in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpireHold {
    /// Whose.
    pub user: UserId,
    /// Which order.
    pub order: OrderId,
}

/// The most changes in one part of a version: with the longest ids, 450 bytes each, a part stays under
/// what a record may have.
pub const MAX_CHANGES_A_PART: usize = 1_000;
/// The most commands in an atomic group. Each takes at most 4 KiB of its record without lots.
pub const MAX_GROUP: usize = 64;
/// The most recipients of one gift: with usual ids some kilobytes of a record.
pub const MAX_RECIPIENTS: usize = 64;

impl Command {
    /// The subject, once everything that needs no state to tell is found in order.
    ///
    /// # Errors
    /// Says what is malformed, in words for whoever wrote the command.
    pub fn check(&self, by: OriginKind) -> Result<Subject, Malformed> {
        if by != self.origin() {
            return Err(Malformed::rule(self.kind(), "it is the ledger's own command and cannot be submitted"));
        }
        self.check_fields().map_err(|e| e.below(self.kind()))?;
        self.subject()
    }

    /// With paths from the command's own object on.
    fn check_fields(&self) -> Result<(), Malformed> {
        match self {
            Self::Publish(publish) => publish.check(),
            Self::TopUp(top_up) => {
                positive("coins", top_up.coins)?;
                if top_up.paid.minor() < 0 {
                    return Err(Malformed::value("paid.amount", top_up.paid, "an amount of at least 0"));
                }
                Ok(())
            }
            Self::Grant(grant) => positive("coins", grant.coins),
            Self::Gift(gift) => gift.check(),
            Self::Hold(hold) => positive("coins", hold.coins),
            Self::Capture(Capture { coins: Some(coins), .. }) | Self::Refund(Refund { coins: Some(coins), .. }) => {
                positive("coins", *coins)
            }
            Self::Group(members) => check_group(members),
            _ => Ok(()),
        }
    }

    /// The subject; see the table in `subject.rs`.
    ///
    /// # Errors
    /// If it is a group of none or of several: [`Self::check`] finds that first.
    #[inline]
    pub fn subject(&self) -> Result<Subject, Malformed> {
        let user = |user: &UserId| Ok(Subject::User(user.clone()));
        match self {
            Self::Publish(_) => Ok(Subject::Reference),
            Self::TopUp(TopUp { channel, transaction, .. })
            | Self::Chargeback(Chargeback { channel, transaction })
            | Self::Reinstate(Reinstate { channel, transaction }) => {
                Ok(Subject::Transaction { channel: channel.clone(), transaction: transaction.clone() })
            }
            Self::Grant(c) => user(&c.user),
            Self::Gift(c) => user(&c.user),
            Self::Hold(c) => user(&c.user),
            Self::Credit(c) => user(&c.user),
            Self::TakeBack(c) => user(&c.user),
            Self::GiveBack(c) => user(&c.user),
            Self::ExpireLot(c) => user(&c.user),
            Self::ExpireHold(c) => user(&c.user),
            Self::Send(Send { order })
            | Self::Query(Query { order })
            | Self::Unresolved(Unresolved { order, .. })
            | Self::HandOver(HandOver { order, .. })
            | Self::Capture(Capture { order, .. })
            | Self::Release(Release { order, .. })
            | Self::Refund(Refund { order, .. })
            | Self::RollBackRefund(RollBackRefund { order, .. }) => user(&order.user),
            Self::TakeReference(c) => Ok(Subject::Shard(c.shard)),
            Self::Group(members) => {
                let mut subjects = members.iter().map(Self::subject);
                let empty = || Err(Malformed::rule("group", "it must not be empty"));
                let first = subjects.next().unwrap_or_else(empty)?;
                for (i, other) in (1..).zip(subjects) {
                    let other = other?;
                    if other != first {
                        let problem = format!("a group has one subject, this one has {first} and {other}");
                        return Err(Malformed::rule(format!("group[{i}]"), problem));
                    }
                }
                Ok(first)
            }
        }
    }

    /// The order that it is about, where it names one.
    #[inline]
    pub fn order(&self) -> Option<&OrderRef> {
        match self {
            Self::Send(Send { order })
            | Self::Query(Query { order })
            | Self::Unresolved(Unresolved { order, .. })
            | Self::HandOver(HandOver { order, .. })
            | Self::Capture(Capture { order, .. })
            | Self::Release(Release { order, .. })
            | Self::Refund(Refund { order, .. })
            | Self::RollBackRefund(RollBackRefund { order, .. }) => Some(order),
            _ => None,
        }
    }

    /// Names nothing of the caller's by its own source: said or not, it means the same.
    #[inline]
    pub fn leave_out_source(&mut self, own: &Source) {
        match self {
            Self::Publish(_)
            | Self::TopUp(_)
            | Self::Chargeback(_)
            | Self::Reinstate(_)
            | Self::Grant(_)
            | Self::Gift(_)
            | Self::Hold(_)
            | Self::Credit(_)
            | Self::TakeBack(_)
            | Self::GiveBack(_)
            | Self::TakeReference(_)
            | Self::ExpireLot(_)
            | Self::ExpireHold(_) => {}
            Self::Send(Send { order })
            | Self::Query(Query { order })
            | Self::Unresolved(Unresolved { order, .. })
            | Self::HandOver(HandOver { order, .. })
            | Self::Capture(Capture { order, .. })
            | Self::Release(Release { order, .. })
            | Self::Refund(Refund { order, .. }) => order.leave_out_source(own),
            Self::RollBackRefund(RollBackRefund { order, refund, .. }) => {
                order.leave_out_source(own);
                refund.leave_out(own);
            }
            Self::Group(members) => members.iter_mut().for_each(|member| member.leave_out_source(own)),
        }
    }

    /// Every user that it touches: the one whose later commands must wait until this one has ended.
    #[inline]
    pub fn touches(&self) -> Option<&UserId> {
        match self {
            Self::TopUp(c) => Some(&c.user),
            Self::Grant(c) => Some(&c.user),
            Self::Gift(c) => Some(&c.user),
            Self::Hold(c) => Some(&c.user),
            Self::Group(members) => members.first().and_then(Self::touches),
            _ => self.order().map(|order| &order.user),
        }
    }

    /// Who may submit it.
    pub fn origin(&self) -> OriginKind {
        match self {
            Self::Credit(_) | Self::TakeBack(_) | Self::GiveBack(_) | Self::TakeReference(_) => OriginKind::Dispatch,
            Self::ExpireLot(_) | Self::ExpireHold(_) => OriginKind::Timer,
            _ => OriginKind::Caller,
        }
    }

    /// Its name in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Publish(_) => "publish",
            Self::TopUp(_) => "top_up",
            Self::Chargeback(_) => "chargeback",
            Self::Reinstate(_) => "reinstate",
            Self::Grant(_) => "grant",
            Self::Gift(_) => "gift",
            Self::Hold(_) => "hold",
            Self::Send(_) => "send",
            Self::Query(_) => "query",
            Self::Unresolved(_) => "unresolved",
            Self::HandOver(_) => "hand_over",
            Self::Capture(_) => "capture",
            Self::Release(_) => "release",
            Self::Refund(_) => "refund",
            Self::RollBackRefund(_) => "roll_back_refund",
            Self::Group(_) => "group",
            Self::Credit(_) => "credit",
            Self::TakeBack(_) => "take_back",
            Self::GiveBack(_) => "give_back",
            Self::TakeReference(_) => "take_reference",
            Self::ExpireLot(_) => "expire_lot",
            Self::ExpireHold(_) => "expire_hold",
        }
    }
}

fn positive(path: &str, coins: Coins) -> Result<(), Malformed> {
    if coins.is_zero() { Err(Malformed::value(path, coins, "at least 1 coin")) } else { Ok(()) }
}

/// Nobody may be called what a gift without recipients goes to.
fn no_house(path: &str, streamer: &StreamerId) -> Result<(), Malformed> {
    if streamer.is_house() {
        let allowed = "any other streamer id: `house` is reserved, a gift goes to the house with `to` empty: []";
        return Err(Malformed::value(path, format!("{:?}", streamer.as_str()), allowed));
    }
    Ok(())
}

fn day(path: &str, day: NaiveDate) -> Result<(), Malformed> {
    if is_kept(day) { Ok(()) } else { Err(Malformed::value(path, day, "a day from 1970-01-01 to 2261-12-31")) }
}

/// What can be part of a group, by its name in JSON.
pub(crate) const GROUPED: [&str; 8] =
    ["grant", "gift", "hold", "send", "capture", "release", "refund", "roll_back_refund"];

fn check_group(members: &[Command]) -> Result<(), Malformed> {
    if members.is_empty() || members.len() > MAX_GROUP {
        let found = format!("{} commands", members.len());
        return Err(Malformed::value("", found, format!("1 to {MAX_GROUP} commands")));
    }
    for (i, member) in members.iter().enumerate() {
        if !GROUPED.contains(&member.kind()) {
            return Err(Malformed::value("", member.kind(), format!("one of {}", GROUPED.join(", "))).at(i));
        }
        member.check_fields().map_err(|e| e.below(member.kind()).at(i))?;
    }
    Ok(())
}

impl Gift {
    fn check(&self) -> Result<(), Malformed> {
        if self.quantity == 0 {
            return Err(Malformed::value("quantity", 0, "at least 1"));
        }
        if self.to.len() > MAX_RECIPIENTS {
            let found = format!("{} recipients", self.to.len());
            return Err(Malformed::value("to", found, format!("at most {MAX_RECIPIENTS}")));
        }
        if !self.to.is_empty() && self.to.iter().all(|r| r.weight == 0) {
            return Err(Malformed::rule("to", "the weights of the recipients are all 0; one must be above"));
        }
        for (i, recipient) in self.to.iter().enumerate() {
            no_house("streamer", &recipient.streamer).map_err(|e| e.at(i).below("to"))?;
            if self.to[..i].iter().any(|earlier| earlier.streamer == recipient.streamer) {
                let problem = format!("streamer {} is named twice; use weights", recipient.streamer);
                return Err(Malformed::rule("streamer", problem).at(i).below("to"));
            }
        }
        Ok(())
    }
}

impl Publish {
    fn check(&self) -> Result<(), Malformed> {
        if self.changes.len() > MAX_CHANGES_A_PART {
            let found = format!("{} changes", self.changes.len());
            return Err(Malformed::value("changes", found, format!("at most {MAX_CHANGES_A_PART} in a part")));
        }
        let mut earlier = HashMap::with_capacity(self.changes.len());
        for (i, change) in self.changes.iter().enumerate() {
            let title = change.title();
            if let Some(first) = earlier.get(&title) {
                let problem = format!("{title} is changed by changes[{first}] already; say it once");
                return Err(Malformed::rule("", problem).at(i).below("changes"));
            }
            earlier.insert(title, i);
            change.check().map_err(|e| e.at(i).below("changes"))?;
        }
        Ok(())
    }
}

impl Change {
    /// # Errors
    /// What of it needs no other change and no state to be seen as wrong, with its path from the change on.
    pub fn check(&self) -> Result<(), Malformed> {
        match self {
            Self::Item(item) => {
                positive("item.price", item.price)?;
                if let Some((from, until)) = item.from.zip(item.until).filter(|(from, until)| until <= from) {
                    return Err(Malformed::value("item.until", until, format!("a time after its `from`, {from}")));
                }
                Ok(())
            }
            Self::Entity(entity) if entity.coins_per_unit == 0 => {
                Err(Malformed::value("entity.coins_per_unit", 0, "at least 1"))
            }
            Self::Streamer(terms) => {
                terms.streamer.as_ref().map_or(Ok(()), |streamer| no_house("streamer.streamer", streamer))?;
                day("streamer.from", terms.from)
            }
            Self::Guild(terms) => day("guild.from", terms.from),
            Self::Membership(membership) => {
                no_house("membership.streamer", &membership.streamer)?;
                day("membership.from", membership.from)
            }
            Self::Entity(_) | Self::WithdrawItem(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_need_no_state() {
        let gift = |of: &str| format!(r#"{{"gift":{{"user":"u1","item":"rose",{of}}}}}"#);
        let publish = |change: &str| {
            let of = r#""version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z""#;
            format!(r#"{{"publish":{{{of},"changes":[{change}]}}}}"#)
        };
        let house = "`house` is reserved, a gift goes to the house with `to` empty: []";
        for (command, path, said) in [
            (r#"{"grant":{"user":"u1","coins":0,"reason":"r"}}"#.to_owned(), "grant.coins", "at least 1"),
            (gift(r#""to":[],"quantity":0"#), "gift.quantity", "found 0; allowed is at least 1"),
            (gift(r#""to":[{"streamer":"s","weight":0}]"#), "gift.to", "all 0"),
            (gift(r#""to":[{"streamer":"s"},{"streamer":"s"}]"#), "gift.to[1].streamer", "named twice"),
            (gift(r#""to":[{"streamer":"s"},{"streamer":"house"}]"#), "gift.to[1].streamer", house),
            (
                publish(r#"{"streamer":{"streamer":"house","share":"0.45","from":"2026-01-01"}}"#),
                "publish.changes[0].streamer.streamer",
                house,
            ),
            (
                publish(r#"{"membership":{"streamer":"house","guild":"g","from":"2026-01-01"}}"#),
                "publish.changes[0].membership.streamer",
                house,
            ),
            (publish(r#"{"item":{"item":"i","price":0,"value":1}}"#), "publish.changes[0].item.price", "at least 1"),
            (
                publish(r#"{"item":{"item":"rose","price":1,"value":1}},{"withdraw_item":"rose"}"#),
                "publish.changes[1]",
                "item rose is changed by changes[0] already",
            ),
            (
                publish(
                    r#"{"membership":{"streamer":"s","guild":"g","from":"2026-11-01"}},{"membership":{"streamer":"s","guild":"h","from":"2026-11-01"}}"#,
                ),
                "publish.changes[1]",
                "membership of streamer s from 2026-11-01 is changed by changes[0] already",
            ),
            (r#"{"group":[]}"#.to_owned(), "group", "found 0 commands; allowed is 1 to 64"),
            (
                r#"{"group":[{"grant":{"user":"a","coins":1,"reason":"r"}},{"grant":{"user":"b","coins":1,"reason":"r"}}]}"#
                    .to_owned(),
                "group[1]",
                "a group has one subject, this one has user:a and user:b",
            ),
            (r#"{"group":[{"group":[]}]}"#.to_owned(), "group[0]", "found group; allowed is one of grant, gift"),
            (
                r#"{"group":[{"grant":{"user":"a","coins":0,"reason":"r"}}]}"#.to_owned(),
                "group[0].grant.coins",
                "found 0",
            ),
            (
                r#"{"credit":{"user":"u","coins":1,"channel":"c","transaction":"t"}}"#.to_owned(),
                "credit",
                "the ledger's own command",
            ),
        ] {
            let command: Command = serde_json::from_str(&command).unwrap();
            let error = command.check(OriginKind::Caller).unwrap_err();
            assert!(error.message.contains(said), "{command:?}: {error}");
            assert_eq!(error.path.as_deref(), Some(path), "{error}");
        }
    }
}
