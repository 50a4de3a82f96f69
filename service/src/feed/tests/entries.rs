//! Records as `CloudEvents`.

use schemas::{Body, Record};
use serde_json::Value;

use super::{World, next};
use crate::feed::{After, entry::DATA_SCHEMA};

#[tokio::test]
async fn an_entry_is_a_cloud_event_around_the_record() {
    let world = World::new(2);
    world.play(0, 6);
    let records = world.records();
    let mut follower = world.follow(After::Start, &[], false);
    let mut seen = 0;
    while let Some(batch) = next(&mut follower).await {
        for entry in &batch.entries {
            let record = &records[seen];
            let event: Value = serde_json::from_slice(&entry.json).unwrap();
            let text = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("{name} in {event}")).to_owned();
            let kind = match &record.body {
                Body::Event(event) => event.kind(),
                Body::Rejection(_) => "refused",
            };
            assert_eq!(text("specversion"), "1.0");
            assert_eq!(text("id"), format!("{}-{}", record.shard, record.sequence));
            assert_eq!(text("source"), format!("/giftledger/{}", world.feed.lineage()));
            assert_eq!(text("type"), format!("giftledger.{kind}"));
            assert_eq!(text("subject"), record.subject.to_string());
            assert_eq!(text("time"), record.happened_at().to_string());
            assert_eq!(text("recordedtime"), record.time.to_string());
            assert_eq!(text("datacontenttype"), "application/json");
            assert_eq!(text("dataschema"), DATA_SCHEMA);
            assert_eq!(event["shard"], record.shard);
            assert_eq!(text("sequence").len(), 16);
            assert_eq!(text("sequence").parse::<u64>().unwrap(), record.sequence);
            assert_eq!(serde_json::from_value::<Record>(event["data"].clone()).unwrap(), *record);
            assert!(!entry.json.contains(&b'\n'), "it is one line");
            // Attributes are named by lower-case letters and digits.
            let names = event.as_object().unwrap().keys();
            assert!(names.into_iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())));
            seen += 1;
        }
    }
    assert_eq!(seen, records.len());
}

/// A record is serialised once for all who follow.
#[tokio::test]
async fn followers_share_the_bytes_of_an_entry() {
    let world = World::new(2);
    world.play(0, 6);
    let mut firsts = Vec::new();
    for _ in 0..2 {
        let batch = next(&mut world.follow(After::Start, &[], false)).await.unwrap();
        firsts.push(batch.entries[0].json.as_ptr());
    }
    let mut live = [world.follow(After::Now, &[], true), world.follow(After::Now, &[("user", "u1")], true)];
    world.play(1, 2);
    let mut last = Vec::new();
    for follower in &mut live {
        loop {
            let batch = next(follower).await.unwrap();
            if let Some(entry) = batch.entries.iter().find(|entry| entry.json.windows(4).any(|id| id == b"g1-1")) {
                last.push(entry.json.as_ptr());
                break;
            }
        }
    }
    assert_eq!((firsts[0], last[0]), (firsts[1], last[1]));
}
