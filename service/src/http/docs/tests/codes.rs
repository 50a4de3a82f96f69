//! Every code that the code can give has a row. An enum that gets a new variant does not compile here before it is
//! named, and is then found to have none.

use std::{collections::BTreeSet, time::Duration};

use ledger::{Answer, Unavailable};
use schemas::{Coins, Rejection, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use super::super::{document, pages, problems};
use crate::{
    access::denied::Denied,
    feed::{self, Position},
    http::{
        feed::error_code,
        problem::{Code, Problem, status_of},
    },
    store,
};

/// All values of an enum, by what comes after each.
fn all<T: Copy>(after: impl Fn(Option<T>) -> Option<T>) -> Vec<T> {
    std::iter::successors(after(None), |last| after(Some(*last))).collect()
}

fn rejections() -> Vec<String> {
    let schema = schemars::schema_for!(Rejection).to_value();
    let forms = schema["oneOf"].as_array().unwrap().iter();
    let named = forms.flat_map(|form| match form["required"][0].as_str().or(form["const"].as_str()) {
        Some(name) => vec![name.to_owned()],
        None => form["enum"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
    });
    // A member's refusal has its member's code.
    named.filter(|name| name != "member").collect()
}

fn unavailable() -> Vec<Unavailable> {
    use Unavailable::{Busy, ClockAhead, ClockBehind, DiskFull, EarlierLineUnfinished, OverQuota, Stopped, Unfinished};
    let after = |last| match last {
        None => Some(Busy),
        Some(Busy) => Some(DiskFull),
        Some(DiskFull) => Some(Unfinished),
        Some(Unfinished) => Some(EarlierLineUnfinished),
        Some(EarlierLineUnfinished) => Some(ClockBehind),
        Some(ClockBehind) => Some(ClockAhead),
        Some(ClockAhead) => Some(OverQuota),
        Some(OverQuota) => Some(Stopped),
        Some(Stopped) => None,
    };
    all(after)
}

fn doors() -> Vec<Code> {
    let after = |last| match last {
        None => Some(Code::BadRequest),
        Some(Code::BadRequest) => Some(Code::BadQuery),
        Some(Code::BadQuery) => Some(Code::Malformed),
        Some(Code::Malformed) => Some(Code::UnsupportedMediaType),
        Some(Code::UnsupportedMediaType) => Some(Code::BodyTooLarge),
        Some(Code::BodyTooLarge) => Some(Code::BodyTimeout),
        Some(Code::BodyTimeout) => Some(Code::NotFound),
        Some(Code::NotFound) => Some(Code::MethodNotAllowed),
        Some(Code::MethodNotAllowed) => Some(Code::ForeignHost),
        Some(Code::ForeignHost) => Some(Code::Fault),
        Some(Code::Fault) => Some(Code::Closing),
        Some(Code::Closing) => Some(Code::Busy),
        Some(Code::Busy) => None,
    };
    all(after)
}

fn denied() -> Vec<(&'static str, u16)> {
    let (name, at, coins) = (|| "vip".parse().unwrap(), Timestamp::from_nanos(0), Coins::ZERO);
    let retry_after = Duration::ZERO;
    let after = |last: Option<&Denied>| match last {
        None => Some(Denied::Missing),
        Some(Denied::Missing) => Some(Denied::Unknown),
        Some(Denied::Unknown) => Some(Denied::Expired { name: name(), at }),
        Some(Denied::Expired { .. }) => Some(Denied::Replaced { name: name(), at }),
        Some(Denied::Replaced { .. }) => Some(Denied::Revoked { name: name(), at }),
        Some(Denied::Revoked { .. }) => {
            Some(Denied::NotAllowed { name: name(), what: String::new(), needs: String::new() })
        }
        Some(Denied::NotAllowed { .. }) => Some(Denied::TooMany { name: name(), per_second: 1, retry_after }),
        Some(Denied::TooMany { .. }) => {
            Some(Denied::DailyCoins { name: name(), limit: coins, left: coins, asked: coins, retry_after })
        }
        Some(Denied::DailyCoins { .. }) => {
            let stopped = store::Error::Ledger(Box::new(ledger::Error::EngineStopped.into()));
            Some(Denied::Unavailable(Box::new(stopped)))
        }
        Some(Denied::Unavailable(_)) => None,
    };
    let mut last = after(None);
    let mut codes = Vec::new();
    while let Some(denied) = last {
        codes.push((denied.code(), Problem::from(&denied).status().as_u16()));
        last = after(Some(&denied));
    }
    codes
}

fn feeds() -> Vec<(&'static str, u16)> {
    use feed::Error;
    let after = |last: Option<&Error>| match last {
        None => Some(Error::NotACursor { found: String::new(), what: "" }),
        Some(Error::NotACursor { .. }) => {
            Some(Error::OtherLineage { found: Uuid::nil(), own: Uuid::nil(), former: false })
        }
        Some(Error::OtherLineage { .. }) => Some(Error::OtherShards { found: 1, own: 2 }),
        Some(Error::OtherShards { .. }) => Some(Error::AheadOfLog { shard: 0, sequence: 2, head: 1 }),
        Some(Error::AheadOfLog { .. }) => Some(Error::Filter { name: "kind", what: String::new() }),
        Some(Error::Filter { .. }) => Some(Error::NotAPosition { found: String::new() }),
        Some(Error::NotAPosition { .. }) => Some(Error::NoShard { shard: 9, shards: 2 }),
        Some(Error::NoShard { .. }) => Some(Error::Behind { position: Position { shard: 0, sequence: 1 }, reached: 0 }),
        Some(Error::Behind { .. }) => Some(Error::TooMany { most: 1 }),
        Some(Error::TooMany { .. }) => Some(Error::Stopping),
        Some(Error::Stopping) => Some(Error::Log(ledger::Error::EngineStopped)),
        Some(Error::Log(_)) => None,
    };
    let mut last = after(None);
    let mut codes = Vec::new();
    while let Some(error) = last {
        last = after(Some(&error));
        codes.push((error_code(&error), Problem::from(error).status().as_u16()));
    }
    codes
}

/// The codes of `subscriptions::Error`.
const SUBSCRIPTIONS: [&str; 12] = [
    "subscription_not_found",
    "subscription_differs",
    "subscription_broken",
    "subscription_pushes",
    "bad_filter",
    "bad_from",
    "bad_setting",
    "too_many_subscriptions",
    "no_randomness",
    "feed_unavailable",
    "subscriptions_unavailable",
    "stopping",
];

#[test]
fn every_code_has_a_row_and_every_row_a_code() {
    let mut given: BTreeSet<String> = rejections().into_iter().collect();
    assert_eq!(given.len(), 22, "{given:?}");
    given.extend(unavailable().into_iter().map(|why| why.code().to_owned()));
    given.extend(doors().into_iter().map(|code| code.code().to_owned()));
    given.extend([denied(), feeds()].concat().into_iter().map(|(code, _)| code.to_owned()));
    // Said in one place each: an answer, a ticket, the end of a stream or of a bulk, the door itself.
    for code in ["conflict", "malformed", "ticket_unknown", "stalled", "too_many_lines", "too_many_connections"] {
        given.insert(code.to_owned());
    }
    given.extend(SUBSCRIPTIONS.map(str::to_owned));
    let rows: Vec<&str> = problems::rows().map(|row| row.code).collect();
    let known: BTreeSet<String> = rows.iter().map(|code| (*code).to_owned()).collect();
    assert_eq!(rows.len(), known.len(), "a code has two rows");
    assert_eq!(given, known);
}

/// What a row says of a code is what the code does.
#[test]
fn rows_have_the_states_of_their_codes() {
    for code in rejections() {
        assert_eq!(problems::find(&code).unwrap().state, Some("refused"), "{code}");
    }
    let answers = jsonschema::validator_for(&document::answer_schema()).unwrap();
    for why in unavailable() {
        let (row, answer) = (problems::find(why.code()).unwrap(), Answer::Unavailable(why));
        assert_eq!((row.state, row.status), (Some(why.state()), status_of(&answer).as_u16()), "{why:?}");
        assert!(answers.is_valid(&serde_json::to_value(&answer).unwrap()), "{why:?}");
    }
    let doors = doors().into_iter().map(|code| (code.code(), Problem::new(code, "").status().as_u16()));
    for (code, status) in doors.chain(denied()).chain(feeds()) {
        assert_eq!(problems::find(code).unwrap().status, status, "{code}");
    }
    for row in problems::rows() {
        let page = pages::one(row);
        assert!(page.contains(row.code) && !page.contains("://"), "{page}");
        assert!(row.example()["code"] == row.code && !matches!(row.json(), Value::Null));
        assert!(row.means.ends_with('.') && row.then.ends_with('.'), "{}", row.code);
    }
    assert!(pages::all().contains("insufficient_funds"));
}
