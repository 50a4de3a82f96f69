//! Filters against a check that is written from their words, with other means.

use std::collections::BTreeSet;

use ledger::postings;
use schemas::Record;
use serde_json::Value;

use super::{World, all, place, some, words};
use crate::feed::{After, Error, Filter};

/// Whether a record, as JSON and by its postings, is what a filter names.
fn naive(record: &Record, name: &str, value: &str) -> bool {
    let json = serde_json::to_value(record).unwrap();
    let event = &json["body"]["event"];
    match name {
        "kind" if value == "refused" => json["body"].get("rejection").is_some(),
        "kind" => {
            let is = |event: &Value| event.as_object().is_some_and(|event| event.contains_key(value));
            is(event) || event["group"].as_array().is_some_and(|parts| parts.iter().any(is))
        }
        "account" => postings(record).iter().any(|posting| posting.account.to_string() == value),
        "subject" => json["subject"] == value,
        "user" => {
            let claims = ["top_up_claimed", "chargeback_claimed", "reinstate_claimed"];
            json["subject"] == format!("user:{value}") || claims.iter().any(|claim| event[claim]["user"] == value)
        }
        "shards" => value.parse::<u16>().unwrap() == record.shard,
        other => panic!("{other} is no filter"),
    }
}

#[tokio::test]
async fn filters_let_through_what_their_words_say() {
    let filters: [&[(&str, &str)]; 17] = [
        &[],
        &[("kind", "gift_given")],
        &[("kind", "group")],
        &[("kind", "granted")],
        &[("kind", "refused")],
        &[("kind", "refunded"), ("kind", "top_up_claimed")],
        &[("account", "streamer:s1:turnover")],
        &[("account", "streamer:s1:turnover"), ("account", "user:u3")],
        &[("account", "channel:apple:receivable")],
        &[("account", "platform:grants"), ("user", "u4")],
        &[("user", "u1")],
        &[("user", "u1"), ("user", "u2"), ("kind", "gift_given")],
        &[("subject", "claim:transaction:apple/T0-0")],
        &[("subject", "user:u3"), ("account", "streamer:s3:turnover")],
        &[("subject", "reference")],
        &[("shards", "0")],
        &[("shards", "0"), ("kind", "refused"), ("account", "user:u1")],
    ];
    for shards in [1, 16] {
        let world = World::new(shards);
        for round in 0..3 {
            world.play(round, 10);
        }
        let before = world.feed.now();
        let mut live: Vec<_> = filters.iter().map(|filter| world.follow(After::Now, filter, true)).collect();
        for round in 3..5 {
            world.play(round, 10);
        }
        let records = world.records();
        for (filter, live) in filters.iter().zip(&mut live) {
            let names: BTreeSet<&str> = filter.iter().map(|(name, _)| *name).collect();
            let wanted = |record: &Record| {
                names.iter().all(|name| filter.iter().any(|(n, value)| n == name && naive(record, name, value)))
            };
            let expected: Vec<_> = records.iter().filter(|record| wanted(record)).map(place).collect();
            let (found, _) = all(&mut world.follow(After::Start, filter, false)).await;
            assert_eq!(found, expected, "{filter:?}");
            assert!(!filter.is_empty() || expected.len() == records.len());
            let since: Vec<_> = expected.into_iter().filter(|&(shard, n)| !before.has(shard, n)).collect();
            assert_eq!(some(live, since.len()).await, since, "{filter:?} at the head");
        }
    }
}

#[test]
fn a_wrong_value_is_named_with_what_is_allowed() {
    for (name, value, said) in [
        ("kind", "gift_givn", "gift_given was probably meant"),
        ("kind", "refusd", "refused was probably meant"),
        ("kind", "", "Allowed are reference_published"),
        ("account", "streamer:s1", "streamer:<id>:turnover"),
        ("user", "a b", "\"a b\""),
        ("subject", "claim:x", "is not a subject"),
        ("subject", "user:a b", "\"user:a b\""),
        ("shards", "16", "0 to 15"),
        ("shards", "3-1", "0 to 15"),
        ("shards", "all", "0 to 15"),
    ] {
        match Filter::parse(&words(&[(name, value)]), 16) {
            Err(error @ Error::Filter { name: named, .. }) => {
                assert!(named == name && error.to_string().contains(said), "{error}");
            }
            other => panic!("{name}={value}: {other:?}"),
        }
    }
    let many = vec!["u"; 200].iter().enumerate().map(|(n, u)| format!("{u}{n}")).collect::<Vec<_>>().join(",");
    assert!(Filter::parse(&words(&[("user", &many)]), 16).unwrap_err().to_string().contains("more than 100"));
    let ranges = Filter::parse(&words(&[("shards", "0,2-4"), ("shards", "3")]), 16).unwrap();
    assert_eq!(ranges, Filter::parse(&words(&[("shards", "4,3,2,0")]), 16).unwrap());
}
