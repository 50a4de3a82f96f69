//! Where HTTP answers each question: its path and query. One table, beside the routes of the door; whoever cannot answer
//! from a ledger asks there.

use std::fmt::Display;

use clap::ValueEnum;
use replay::AsOf;
use serde::{Serialize, de::DeserializeOwned};

use super::{accounts, board, events, find, order, orders, record, reference, settlement, status, wallet, why};
use crate::app::{Ledger, Result};

/// A question that has one answer, here or at a server.
pub trait Asked {
    /// What is answered.
    type Answer: Serialize + DeserializeOwned;

    /// The answer of a ledger here.
    ///
    /// # Errors
    /// What the question says.
    fn answer_of(&self, ledger: &Ledger) -> Result<Self::Answer>;

    /// Where a server answers it.
    fn address(&self) -> Address;
}

/// A path and a query, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    path: String,
    query: String,
}

impl Address {
    /// Below `/v1`; each segment is any text.
    pub fn of(segments: &[&str]) -> Self {
        let mut path = "/v1".to_owned();
        for segment in segments {
            path.push('/');
            encode(segment, &mut path);
        }
        Self { path, query: String::new() }
    }

    /// With a field of the query, where it has a value.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<impl Display>) -> Self {
        if let Some(value) = value {
            self.query.push(if self.query.is_empty() { '?' } else { '&' });
            self.query += name;
            self.query.push('=');
            encode(&value.to_string(), &mut self.query);
        }
        self
    }

    /// With `true`, where it holds.
    #[must_use]
    pub fn flag(self, name: &str, holds: bool) -> Self {
        self.with(name, holds.then_some(true))
    }

    /// With the moment that is asked about.
    #[must_use]
    pub fn moment(self, name: &str, moment: Option<AsOf>) -> Self {
        match moment {
            None | Some(AsOf::End) => self,
            Some(AsOf::Time(time)) => self.with(name, Some(time)),
            Some(AsOf::Position { shard, sequence }) => self.with(name, Some(format_args!("{shard}-{sequence}"))),
        }
    }
}

/// The path, then `?` and the query.
impl Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.path, self.query)
    }
}

/// Percent-encodes all but what RFC 3986 calls unreserved.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(byte.into());
        } else {
            into.push('%');
            for digit in [byte >> 4, byte & 15] {
                into.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
}

/// A choice as it is written.
fn word(choice: Option<impl ValueEnum>) -> Option<String> {
    choice.and_then(|choice| choice.to_possible_value()).map(|word| word.get_name().to_owned())
}

impl Asked for wallet::Question {
    type Answer = wallet::Answer;
    fn answer_of(&self, ledger: &Ledger) -> Result<Self::Answer> {
        self.ask(ledger)
    }
    fn address(&self) -> Address {
        let Self { user, as_of } = self;
        Address::of(&["users", user.as_str()]).moment("as_of", *as_of)
    }
}

impl Asked for order::Question {
    type Answer = order::Answer;
    fn answer_of(&self, ledger: &Ledger) -> Result<Self::Answer> {
        self.ask(ledger)
    }
    fn address(&self) -> Address {
        let Self { which: order::Which { number, user, command, source, part }, as_of } = self;
        let address = match number {
            Some(number) => Address::of(&["orders", &number.to_string()]),
            None => Address::of(&["orders"]),
        };
        let address = address.with("user", user.as_ref()).with("command", command.as_ref());
        address.with("source", source.as_ref()).with("part", *part).moment("as_of", *as_of)
    }
}

impl Asked for orders::Question {
    type Answer = orders::Answer;
    fn answer_of(&self, ledger: &Ledger) -> Result<Self::Answer> {
        self.ask(ledger)
    }
    fn address(&self) -> Address {
        let Self { user, state, provider, item, room, from, until, idle, at_least, at_most, limit, as_of } = self;
        let address = Address::of(&["orders"]).with("user", user.as_ref()).with("state", word(*state));
        let address = address.with("provider", provider.as_ref()).with("item", item.as_ref());
        let address = address.with("room", room.as_ref()).with("from", *from).with("until", *until);
        let address = address.with("idle", *idle).with("at_least", *at_least).with("at_most", *at_most);
        address.with("limit", Some(limit)).moment("as_of", *as_of)
    }
}

impl Asked for find::Question {
    type Answer = find::Answer;
    fn answer_of(&self, ledger: &Ledger) -> Result<Self::Answer> {
        self.ask(ledger)
    }
    fn address(&self) -> Address {
        let Self { id, limit, as_of } = self;
        Address::of(&["find"]).with("q", Some(id)).with("limit", Some(limit)).moment("as_of", *as_of)
    }
}

impl Asked for accounts::Balances {
    type Answer = accounts::Held;
    fn answer_of(&self, ledger: &Ledger) -> Result<Self::Answer> {
        self.ask(ledger)
    }
    fn address(&self) -> Address {
        let Self { accounts, all, zeros, as_of } = self;
        let names: Vec<String> = accounts.iter().map(ToString::to_string).collect();
        let address = Address::of(&["accounts"]).with("accounts", Some(names.join(",")).filter(|_| !names.is_empty()));
        address.flag("all", *all).flag("zeros", *zeros).moment("as_of", *as_of)
    }
}

impl Asked for accounts::History {
    type Answer = accounts::Changes;
    fn answer_of(&self, ledger: &Ledger) -> Result<Self::Answer> {
        self.answer(ledger)
    }
    fn address(&self) -> Address {
        let Self { account, as_of } = self;
        Address::of(&["accounts", &account.to_string(), "history"]).moment("as_of", *as_of)
    }
}

impl Asked for why::Question {
    type Answer = why::Answer;
    fn answer_of(&self, ledger: &Ledger) -> Result<Self::Answer> {
        self.ask(ledger)
    }
    fn address(&self) -> Address {
        let Self { account, limit, as_of } = self;
        let address = Address::of(&["accounts", &account.to_string(), "why"]);
        address.with("limit", Some(limit)).moment("as_of", *as_of)
    }
}

impl Asked for record::Question {
    type Answer = schemas::Record;
    fn answer_of(&self, ledger: &Ledger) -> Result<Self::Answer> {
        self.ask(ledger)
    }
    fn address(&self) -> Address {
        let Self { record } = self;
        Address::of(&["records", &record.to_string()])
    }
}

impl Asked for events::Question {
    type Answer = events::Answer;
    fn answer_of(&self, ledger: &Ledger) -> Result<Self::Answer> {
        self.ask(ledger)
    }
    fn address(&self) -> Address {
        let Self { subject, kind, after, as_of, limit } = self;
        let address = Address::of(&["records"]).with("subject", subject.as_ref()).with("kind", kind.as_ref());
        address.moment("after", *after).moment("as_of", *as_of).with("limit", *limit)
    }
}

impl Asked for board::Question {
    type Answer = board::Answer;
    fn answer_of(&self, ledger: &Ledger) -> Result<Self::Answer> {
        self.ask(ledger)
    }
    fn address(&self) -> Address {
        let Self { month, activity, all_time: _, members, top, zone, as_of } = self;
        let window = match (month, activity) {
            (Some(month), _) => month.to_string(),
            (None, Some(activity)) => activity.to_string(),
            (None, None) => "all_time".to_owned(),
        };
        let address = Address::of(&["boards", &window]).with("members", word(Some(*members)));
        address.with("top", Some(top)).with("zone", zone.as_ref()).moment("as_of", *as_of)
    }
}

impl Asked for settlement::Question {
    type Answer = settlement::Answer;
    fn answer_of(&self, ledger: &Ledger) -> Result<Self::Answer> {
        self.ask(ledger)
    }
    fn address(&self) -> Address {
        let Self { month, as_of } = self;
        Address::of(&["settlements", &month.to_string()]).moment("as_of", *as_of)
    }
}

impl Asked for reference::Question {
    type Answer = reference::Answer;
    fn answer_of(&self, ledger: &Ledger) -> Result<Self::Answer> {
        self.ask(ledger)
    }
    fn address(&self) -> Address {
        let Self { as_of } = self;
        Address::of(&["reference"]).moment("as_of", *as_of)
    }
}

impl Asked for status::Question {
    type Answer = status::Answer;
    fn answer_of(&self, ledger: &Ledger) -> Result<Self::Answer> {
        self.ask(ledger)
    }
    fn address(&self) -> Address {
        let Self {} = self;
        Address::of(&["status"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::asked::question;

    /// What a query says is what was asked: no field is left out or written in another way.
    #[test]
    fn a_query_asks_the_same() {
        let orders = "user=u1&state=open&provider=p&item=rose&room=7&from=2026-11-21T08:30:00Z\
                      &until=2026-11-22T08:30:00.000000001Z&idle=15m&at_least=20&at_most=30&limit=7&as_of=3-17";
        round_trip::<orders::Question>(orders, &[]);
        round_trip::<orders::Question>("", &[]);
        round_trip::<order::Question>("user=u1&command=g-1&source=vip&part=2&as_of=2026-11-21T08:30:00Z", &[]);
        round_trip::<order::Question>("number=3-17", &["number"]);
        round_trip::<wallet::Question>("user=u~1@x+y&as_of=3-17", &["user"]);
        round_trip::<accounts::Balances>("accounts=user:u1,platform:issued&as_of=3-17", &[]);
        round_trip::<accounts::Balances>("all=true&zeros=true", &[]);
        round_trip::<accounts::History>("account=user:u~1@x+y&as_of=3-17", &["account"]);
        round_trip::<why::Question>("account=streamer:s1:turnover&limit=3&as_of=3-17", &["account"]);
        round_trip::<events::Question>("subject=user:u1&kind=refused&after=0-3&as_of=3-17&limit=9", &[]);
        round_trip::<settlement::Question>("month=2026-11&as_of=3-17", &["month"]);
        round_trip::<board::Question>("month=2026-11&members=senders&top=3&zone=Asia/Tokyo&as_of=3-17", &["month"]);
        round_trip::<reference::Question>("as_of=3-17", &[]);
        round_trip::<record::Question>("record=3-17", &["record"]);
        round_trip::<status::Question>("", &[]);
    }

    /// Asks, and asks again what the address says; the fields of the path stand in it decoded.
    fn round_trip<Q: Asked + DeserializeOwned + std::fmt::Debug>(query: &str, in_path: &[&str]) {
        let fields: Vec<(String, String)> = query
            .split('&')
            .filter(|field| !field.is_empty())
            .map(|field| field.split_once('=').unwrap())
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect();
        let asked: Q = question(fields.clone()).unwrap();
        let address = asked.address();
        let path: Vec<String> = address.path.split('/').map(decoded).collect();
        let query = address.query.strip_prefix('?').unwrap_or_default();
        let mut sent: Vec<(String, String)> = query
            .split('&')
            .filter(|field| !field.is_empty())
            .map(|field| field.split_once('=').unwrap())
            .map(|(name, text)| (name.to_owned(), decoded(text)))
            .collect();
        for name in in_path {
            let (_, text) = fields.iter().find(|(field, _)| field == name).unwrap();
            assert!(path.contains(text), "{address} has no {text}");
            sent.push(((*name).to_owned(), text.clone()));
        }
        assert_eq!(format!("{:?}", question::<Q>(sent).unwrap()), format!("{asked:?}"), "{address}");
    }

    fn decoded(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, behind @ ..] = rest {
            rest = behind;
            match (first, behind) {
                (b'%', [high, low, behind @ ..]) => {
                    let digits = [*high, *low];
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                    rest = behind;
                }
                _ => bytes.push(*first),
            }
        }
        String::from_utf8(bytes).unwrap()
    }
}
