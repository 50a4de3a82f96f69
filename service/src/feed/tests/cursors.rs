//! Cursors as text, and where they lead.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ledger::log::Head;
use proptest::prelude::*;
use uuid::Uuid;

use super::{World, all, next, places_of};
use crate::feed::{After, Cursor, Error, Position};

proptest! {
    #[test]
    fn a_cursor_reads_as_it_prints(
        lineage in any::<u128>(),
        sequences in prop::collection::vec(0..1_u64 << 53, 1..40),
        cut in 0..200_usize,
        letter in any::<char>(),
    ) {
        let lineage = Uuid::from_u128(lineage);
        let shards = sequences.iter().map(|&sequence| ledger::log::ShardHead { sequence, ..Default::default() });
        let cursor = Cursor::of(&Head { lineage, shards: shards.collect() });
        let text = cursor.to_string();
        prop_assert_eq!(text.parse::<Cursor>().unwrap(), cursor.clone());
        // Whatever is done to it is noticed.
        let cut = cut % text.len();
        prop_assert!(text[..cut].parse::<Cursor>().is_err());
        let mut changed: Vec<char> = text.chars().collect();
        changed[cut] = letter;
        let changed: String = changed.into_iter().collect();
        prop_assert!(changed == text || changed.parse::<Cursor>().is_err());
    }
}

#[test]
fn what_is_no_cursor_is_refused_by_name() {
    let cursor = Cursor::start(Uuid::from_u128(7), 16).to_string();
    assert!(cursor.len() < 60, "{cursor} is short");
    let newer = {
        let mut bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).unwrap();
        bytes.truncate(bytes.len() - 4);
        bytes[0] = 9;
        let checksum = xxhash_rust::xxh3::xxh3_64(&bytes).to_le_bytes();
        bytes.extend_from_slice(&checksum[..4]);
        BASE64URL_NOPAD.encode(&bytes)
    };
    for (text, said) in [
        ("", "it is empty"),
        ("strat", "no base64url"),
        ("AAAA", "too short"),
        ("3-17", "too short"),
        (&cursor[1..], "no base64url"),
        (&cursor.replace('A', "B"), "checksum"),
        (&newer, "version"),
        (&"A".repeat(100_000), "longer than any"),
        ("\u{202e}", "\\u{202e}"),
    ] {
        let error = text.parse::<After>().unwrap_err();
        assert!(matches!(error, Error::NotACursor { .. }) && error.to_string().contains(said), "{text:?}: {error}");
        assert!(error.to_string().len() < 250, "{error}");
    }
    for (text, after) in [("start", After::Start), ("0", After::Start), ("now", After::Now), ("head", After::Now)] {
        assert_eq!(text.parse::<After>().unwrap(), after);
    }
}

#[test]
fn a_cursor_of_another_log_is_refused() {
    let (world, other) = (World::new(2), World::new(2));
    let refused =
        |cursor: Cursor| world.feed.follow(&cursor.into(), world.filter(&[]).unwrap(), true, None).unwrap_err();
    match refused(other.feed.now()) {
        Error::OtherLineage { found, own, former } => {
            assert_eq!((found, own, former), (other.feed.lineage(), world.feed.lineage(), false));
        }
        error => panic!("{error}"),
    }
    let mut ahead = world.feed.head();
    ahead.shards[1].sequence += 1;
    assert!(matches!(refused(Cursor::of(&ahead)), Error::AheadOfLog { shard: 1, .. }));
    ahead.shards.pop();
    assert!(matches!(refused(Cursor::of(&ahead)), Error::OtherShards { found: 1, own: 2 }));
}

/// Also where nothing matched, the cursor moves on; and behind the cursor of any batch comes exactly the rest.
#[tokio::test]
async fn behind_the_cursor_of_any_batch_and_entry_comes_the_rest() {
    for shards in [1, 16] {
        let world = World::new(shards);
        for round in 0..4 {
            world.play(round, 12);
        }
        let kinds = [("kind", "gift_given,refused")];
        let (every, end) = all(&mut world.follow(After::Start, &kinds, false)).await;
        assert_eq!(end, world.feed.now(), "it moves past what was left out");
        let mut follower = world.follow(After::Start, &kinds, false);
        let mut had = 0;
        while let Some(batch) = next(&mut follower).await {
            let mut cursors = Vec::new();
            batch.each(|_, cursor| cursors.push(cursor.to_string()));
            assert_eq!(places_of(&batch), every[had..had + cursors.len()]);
            for (n, cursor) in (1..).zip(&cursors).step_by(5) {
                let after: After = cursor.parse().unwrap();
                let (rest, _) = all(&mut world.follow(after, &kinds, false)).await;
                assert_eq!(rest, every[had + n..], "behind entry {n} of a batch");
            }
            had += cursors.len();
            let (rest, _) = all(&mut world.follow(batch.cursor().clone(), &kinds, false)).await;
            assert_eq!(rest, every[had..]);
        }
        assert_eq!(had, every.len());
        let (none, end) = all(&mut world.follow(After::Start, &[("user", "nobody")], false)).await;
        assert_eq!((none, end), (vec![], world.feed.now()));
    }
}

#[tokio::test]
async fn a_position_can_be_waited_for() {
    let world = World::new(2);
    let next = Position { shard: 0, sequence: world.feed.head().shards[0].sequence + 1 };
    let short = Duration::from_millis(5);
    match world.feed.reached(next, short).await.unwrap_err() {
        Error::Behind { position, reached } => assert_eq!((position, reached), (next, next.sequence - 1)),
        error => panic!("{error}"),
    }
    let feed = world.feed.clone();
    let waits = tokio::spawn(async move { feed.reached(next, Duration::from_mins(1)).await });
    tokio::task::yield_now().await;
    world.play(0, 12);
    waits.await.unwrap().unwrap();
    world.feed.reached("1-1".parse().unwrap(), short).await.unwrap();
    assert!(matches!(world.feed.reached("2-1".parse().unwrap(), short).await, Err(Error::NoShard { .. })));
    for bad in ["", "1", "1-", "-1", "1-0", "+1-1", "1-1-1", "70000-1", "a-b"] {
        assert!(bad.parse::<Position>().is_err(), "{bad:?} was read as a position");
    }
}
