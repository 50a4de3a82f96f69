//! Orders, by what support knows of them.

use std::{collections::BTreeMap, fmt, str::FromStr};

use replay::AsOf;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use schemas::{Coins, ItemId, Order, OrderId, OrderKind, ProviderId, Record, RoomId, Status, Timestamp, UserId};
use serde::{Deserialize, Deserializer, Serialize};

use super::{most, wallet::is_past_deadline};
use crate::app::{Error, Ledger, Result, asked};

/// Which orders. Each condition narrows the answer.
#[derive(Debug, clap::Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Whose.
    #[arg(long)]
    pub user: Option<UserId>,
    /// How far they have come.
    #[arg(long, value_enum)]
    pub state: Option<State>,
    /// Who delivers them.
    #[arg(long)]
    pub provider: Option<ProviderId>,
    /// What was given.
    #[arg(long)]
    pub item: Option<ItemId>,
    /// Where it was given.
    #[arg(long)]
    pub room: Option<RoomId>,
    /// Placed at this time or later.
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Placed before this time.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// Nothing has happened to them for so long: 90s, 15m, 2h, 3d.
    #[arg(long, value_name = "AGE")]
    #[serde(default, deserialize_with = "asked::optional")]
    #[schemars(schema_with = "age")]
    pub idle: Option<Age>,
    /// Charged at least so many coins.
    #[arg(long, value_name = "COINS", value_parser = parse_coins)]
    #[serde(default, deserialize_with = "read_coins")]
    #[schemars(with = "Option<Coins>")]
    pub at_least: Option<Coins>,
    /// Charged at most so many coins.
    #[arg(long, value_name = "COINS", value_parser = parse_coins)]
    #[serde(default, deserialize_with = "read_coins")]
    #[schemars(with = "Option<Coins>")]
    pub at_most: Option<Coins>,
    /// At most so many, the newest first.
    #[arg(long, value_name = "N", default_value_t = most())]
    #[serde(default = "most")]
    pub limit: usize,
    /// As of a time or a position `<shard>-<sequence>`.
    #[arg(long, value_name = "MOMENT")]
    #[serde(default, deserialize_with = "asked::optional")]
    #[schemars(with = "Option<asked::Moment>")]
    pub as_of: Option<AsOf>,
}

/// How far an order has come, as it is asked for.
#[derive(Debug, Clone, Copy, clap::ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "OrderState")]
pub enum State {
    /// Coins are on hold: held, sent, unknown or with a person.
    Open,
    /// Not sent to the provider yet.
    Held,
    /// The provider was called.
    Sent,
    /// The provider's answer is not known.
    Unknown,
    /// A person has taken it over.
    Manual,
    /// Delivered.
    Fulfilled,
    /// Ended without a charge.
    Released,
    /// Given back in whole.
    Refunded,
}

impl State {
    fn is(self, status: Status) -> bool {
        match self {
            Self::Open => status.is_open(),
            Self::Held => status == Status::Held,
            Self::Sent => status == Status::Sent,
            Self::Unknown => status == Status::Unknown,
            Self::Manual => status == Status::Manual,
            Self::Fulfilled => status == Status::Fulfilled,
            Self::Released => status == Status::Released,
            Self::Refunded => status == Status::Refunded,
        }
    }
}

/// The orders that were asked for.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OrderList")]
pub struct Answer {
    /// The clock of the answer.
    pub as_of: Timestamp,
    /// The newest first.
    pub orders: Vec<Found>,
    /// How many more there are.
    pub more: usize,
}

/// An order that was found.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FoundOrder")]
pub struct Found {
    #[serde(flatten)]
    pub order: Order,
    pub user: Option<UserId>,
    /// When the last record of it was made.
    pub last: Timestamp,
    /// Whether it was not sent by its deadline, so that its coins come back.
    pub past_deadline: bool,
}

impl Question {
    /// Folds the log. Only what matches is held: every record of an order says all of it.
    ///
    /// # Errors
    /// [`Error::Unasked`] if the times or amounts leave none.
    pub fn ask(&self, ledger: &Ledger) -> Result<Answer> {
        if let (Some(from), Some(until)) = (self.from, self.until)
            && from >= until
        {
            return Err(Error::Unasked(format!(
                "`until` {until} is not later than `from` {from}, so no order is meant"
            )));
        }
        if let (Some(least), Some(most)) = (self.at_least, self.at_most)
            && least > most
        {
            return Err(Error::Unasked(format!(
                "`at_most` {most} is less than `at_least` {least}, so no order is meant"
            )));
        }
        let mut found: BTreeMap<(Timestamp, OrderId), Found> = BTreeMap::new();
        let clock = ledger.fold(self.as_of.unwrap_or(AsOf::End), |record| {
            for order in record.orders() {
                let place = (order.placed_at, order.id);
                if self.wants(&order, record) {
                    let user = record.subject.user().cloned();
                    found.insert(place, Found { order, user, last: record.time, past_deadline: false });
                } else {
                    found.remove(&place);
                }
            }
        })?;
        let idle = |found: &Found| self.idle.is_none_or(|idle| found.last.plus_millis(idle.millis()) <= clock);
        let mut orders: Vec<Found> = found.into_values().rev().filter(idle).collect();
        let more = orders.len().saturating_sub(self.limit);
        orders.truncate(self.limit);
        for found in &mut orders {
            found.past_deadline = is_past_deadline(&found.order, clock);
        }
        Ok(Answer { as_of: clock, orders, more })
    }

    fn wants(&self, order: &Order, record: &Record) -> bool {
        let (item, room, provider) = match &order.kind {
            OrderKind::Gift { item, room, .. } => (Some(item), room.as_ref(), None),
            OrderKind::Game { provider, .. } => (None, None, Some(provider)),
        };
        self.user.as_ref().is_none_or(|user| record.subject.user() == Some(user))
            && self.state.is_none_or(|state| state.is(order.status))
            && self.item.as_ref().is_none_or(|wanted| item == Some(wanted))
            && self.room.as_ref().is_none_or(|wanted| room == Some(wanted))
            && self.provider.as_ref().is_none_or(|wanted| provider == Some(wanted))
            && self.from.is_none_or(|from| order.placed_at >= from)
            && self.until.is_none_or(|until| order.placed_at < until)
            && self.at_least.is_none_or(|least| order.charged >= least)
            && self.at_most.is_none_or(|most| order.charged <= most)
    }
}

/// An amount of coins, as it is typed.
pub fn parse_coins(text: &str) -> Result<Coins, String> {
    let number = text.parse::<u64>().ok().and_then(|coins| Coins::new(coins).ok());
    number.ok_or_else(|| format!("`{text}` is no amount of coins: a whole number up to {}", Coins::MAX))
}

/// The same of a field.
fn read_coins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Coins>, D::Error> {
    asked::optional_by(deserializer, parse_coins)
}

/// How long ago something was: `90s`, `15m`, `2h`, `3d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age(i64);

impl Age {
    /// In milliseconds.
    pub fn millis(self) -> i64 {
        self.0
    }
}

/// What an age looks like.
fn age(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]{1,9}[smhd]$" })
}

/// In seconds, as it is asked for.
impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0 / 1_000)
    }
}

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no age: a whole number and s, m, h or d, such as 15m");
        let unit = text.chars().last().ok_or_else(wrong)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let number = &text[..text.len() - 1];
        let number: u32 =
            number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse().ok()).flatten().ok_or_else(wrong)?;
        Ok(Self(i64::from(number) * seconds * 1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        for (text, millis) in [("90s", 90_000), ("15m", 900_000), ("2h", 7_200_000), ("3d", 259_200_000), ("0s", 0)] {
            assert_eq!(text.parse(), Ok(Age(millis)));
        }
        for wrong in ["", "s", "15", "1.5h", "-3d", "+3d", "3 d", "3w", "99999999999d", "三d"] {
            let said = wrong.parse::<Age>().unwrap_err();
            assert!(said.contains(&format!("`{wrong}`")) && said.contains("15m"), "{said}");
        }
    }
}
