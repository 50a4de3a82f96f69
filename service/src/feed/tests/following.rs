//! Every record once and in order, from everywhere on, while the writer goes on.

use std::sync::Arc;

use ledger::log::Locator;

use super::{After, World, all, next, place, some, soon};
use crate::feed::{Cursor, Error};

#[tokio::test]
async fn a_follower_resumed_at_every_position_sees_every_record_once() {
    for shards in [1, 16] {
        let world = World::new(shards);
        world.play_over_segments(12);
        let places = world.places();
        let mut cursor = Cursor::start(world.feed.lineage(), shards);
        for (n, &(shard, sequence)) in places.iter().enumerate() {
            if n % 11 == 0 {
                let (rest, end) = all(&mut world.follow(cursor.clone(), &[], false)).await;
                assert_eq!(rest, places[n..], "from record {n} on");
                assert_eq!(end, world.feed.now());
            }
            cursor.take(shard, sequence);
        }
    }
}

/// One frame that takes several pages: resumed inside each, and at the head.
#[tokio::test]
async fn large_frames_are_read_page_by_page() {
    let world = World::with_frames(2, 1 << 20);
    let mut stays = world.follow(After::Now, &[], true);
    let before = world.places().len();
    let tail = "x".repeat(150);
    let grant = |n| format!(r#"{{"id":"{n}{tail}","grant":{{"user":"w{n}{tail}","coins":3,"reason":"goodwill"}}}}"#);
    world.say(&(0..2_000).map(grant).collect::<Vec<_>>());
    let (mut reader, mut at, mut inside) = (world.engine.reader(), Locator::from(0), 0);
    while let Some(page) = reader.page(at).unwrap() {
        inside += usize::from(page.first.ordinal() > 0);
        at = page.next;
    }
    assert!(inside > 2, "{inside} pages begin inside a frame");
    let places = world.places();
    assert_eq!(some(&mut stays, 2_000).await, places[before..]);
    let mut cursor = Cursor::start(world.feed.lineage(), 2);
    for (n, &(shard, sequence)) in places.iter().enumerate() {
        if n % 97 == 0 {
            assert_eq!(all(&mut world.follow(cursor.clone(), &[], false)).await.0, places[n..], "from record {n} on");
        }
        cursor.take(shard, sequence);
    }
}

/// A cursor that a log of another order gave, as after records were copied between homes.
#[tokio::test]
async fn shards_may_have_come_to_different_places() {
    let world = World::new(16);
    (0..3).for_each(|round| world.play(round, 12));
    let (start, end) = (Cursor::start(world.feed.lineage(), 16), world.feed.now());
    for ahead in 0..16_u16 {
        let mut cursor = start.clone();
        cursor.take(ahead, end.sequences()[usize::from(ahead)]);
        let rest: Vec<_> = world.places().into_iter().filter(|(shard, _)| *shard != ahead).collect();
        assert_eq!(all(&mut world.follow(cursor, &[], false)).await, (rest, end.clone()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_keep_up_with_a_writer_and_resume_beside_it() {
    for shards in [1, 16] {
        let world = Arc::new(World::new(shards));
        let writer = {
            let world = Arc::clone(&world);
            tokio::task::spawn_blocking(move || world.play_over_segments(10))
        };
        let mut stays = world.follow(After::Start, &[], true);
        let mut resumes = world.follow(After::Start, &[("kind", "gift_given")], true);
        let (mut all_of_it, mut gifts) = (Vec::new(), Vec::new());
        while !writer.is_finished() {
            all_of_it.extend(soon(&mut stays).await);
            gifts.extend(soon(&mut resumes).await);
            // As a client does whose connection broke.
            let cursor: After = resumes.cursor().to_string().parse().unwrap();
            resumes = world.follow(cursor, &[("kind", "gift_given")], true);
        }
        writer.await.unwrap();
        let places = world.places();
        all_of_it.extend(some(&mut stays, places.len() - all_of_it.len()).await);
        assert_eq!(all_of_it, places);
        let records = world.records();
        let is_gift = |record: &&schemas::Record| record.events().any(|(_, event)| event.kind() == "gift_given");
        let expected: Vec<_> = records.iter().filter(is_gift).map(place).collect();
        gifts.extend(some(&mut resumes, expected.len() - gifts.len()).await);
        assert_eq!(gifts, expected);
        assert_eq!(*stays.cursor(), world.feed.now());
    }
}

#[tokio::test]
async fn a_limit_ends_it_there_and_resumes_behind_it() {
    let world = World::new(2);
    world.play(0, 12);
    let places = world.places();
    let filter = || world.filter(&[]).unwrap();
    for stay in [false, true] {
        let mut had = Vec::new();
        let mut after = After::Start;
        while had.len() < places.len() {
            let left = (places.len() - had.len()).min(7);
            let mut follower = world.feed.follow(&after, filter(), stay, Some(left as u64)).unwrap();
            let (some, cursor) = all(&mut follower).await;
            assert_eq!(some.len(), left);
            had.extend(some);
            after = cursor.into();
        }
        assert_eq!(had, places);
    }
    let mut nothing = world.feed.follow(&After::Start, filter(), true, Some(0)).unwrap();
    assert!(next(&mut nothing).await.is_none());
}

/// Without staying, it ends where the log ended when it was asked.
#[tokio::test]
async fn who_does_not_stay_sees_nothing_newer() {
    let world = World::new(2);
    world.play(0, 12);
    let (places, end) = (world.places(), world.feed.now());
    let mut follower = world.follow(After::Start, &[], false);
    let mut at_the_head = world.follow(After::Now, &[], false);
    world.play(1, 12);
    assert_eq!(all(&mut follower).await, (places, end.clone()));
    assert_eq!(all(&mut at_the_head).await, (vec![], end));
}

/// The cursor of a sparse filter's heartbeat is near the head, and nothing is lost behind it.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_carries_a_cursor_that_has_moved() {
    let world = World::new(16);
    world.play(0, 12);
    let mut follower = world.follow(After::Start, &[("user", "late")], true);
    let batch = follower.next().await.unwrap().unwrap();
    assert!(batch.entries.is_empty());
    assert_eq!(*batch.cursor(), world.feed.now(), "it has read everything");
    world.play(1, 12);
    // The clock of the test runs ahead while everything rests, so several may come before the thread is through.
    let moved = loop {
        let batch = follower.next().await.unwrap().unwrap();
        assert!(batch.entries.is_empty());
        if *batch.cursor() == world.feed.now() {
            break batch.cursor().clone();
        }
    };
    drop(follower);
    world.say(&[r#"{"id":"1","grant":{"user":"late","coins":3,"reason":"goodwill"}}"#.to_owned()]);
    let (found, _) = all(&mut world.follow(moved, &[("user", "late")], false)).await;
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn a_feed_that_stops_ends_its_followers_where_they_are() {
    let world = World::new(2);
    let mut live = world.follow(After::Now, &[], true);
    world.play(0, 1);
    let batch = next(&mut live).await.unwrap();
    let mut idle = world.follow(After::Now, &[("user", "nobody")], true);
    let waits = tokio::spawn(async move { idle.next().await.map(|batch| batch.is_some()) });
    tokio::task::yield_now().await;
    world.feed.stop();
    assert!(matches!(waits.await.unwrap(), Err(Error::Stopping)));
    assert!(matches!(live.next().await, Err(Error::Stopping)));
    assert_eq!(live.cursor(), batch.cursor(), "nothing was taken that was not handed out");
    assert!(live.next().await.unwrap().is_none());
    let again = world.feed.follow(&After::Now, world.filter(&[]).unwrap(), true, None);
    assert!(matches!(again, Err(Error::Stopping)));
}
