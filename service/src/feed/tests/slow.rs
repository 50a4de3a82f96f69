//! Who does not read, and many who do.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{After, Feed, Follower, Limits, World, all, next, place, places_of, some, soon};

/// Whoever stalls keeps no queue, holds nobody up, and misses nothing.
#[tokio::test]
async fn a_stalled_follower_costs_little_and_resumes_without_loss() {
    let world = World::new(16);
    let begin = world.places().len();
    let mut fast = world.follow(After::Now, &[], true);
    let mut stalled: Vec<_> = (0..20).map(|_| world.follow(After::Now, &[], true)).collect();
    world.play(0, 1);
    let first = world.places().len() - begin;
    let mut had: Vec<Vec<_>> = Vec::new();
    for follower in &mut stalled {
        had.push(some(follower, first).await); // they are all at the head
    }
    let mut seen = some(&mut fast, first).await;
    assert_eq!(world.feed.live.load().0, 21);
    for round in 1..30 {
        world.play(round, 24);
        let written = world.places().len() - begin;
        let missing = written - seen.len();
        seen.extend(some(&mut fast, missing).await);
        let (_, queued) = world.feed.live.load();
        assert!(queued <= 20 << 20, "{queued} bytes are queued");
    }
    let (seats, queued) = world.feed.live.load();
    assert!(seats <= 1 && queued == 0, "those who stall are not at the head: {seats} seats, {queued} bytes");
    let places = world.places();
    assert_eq!(seen, places[begin..]);
    for (follower, mut had) in stalled.iter_mut().zip(had) {
        let missing = places.len() - begin - had.len();
        had.extend(some(follower, missing).await);
        assert_eq!(had, places[begin..]);
    }
    drop((stalled, fast));
    assert_eq!(world.feed.live.load(), (0, 0), "whoever leaves gives everything back");
}

/// Queues so small that they overflow again and again beside the writer: between the head and the log, each way, nothing
/// is lost, whatever the filter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_falls_back_again_and_again_misses_nothing() {
    let limits = Limits { queue_bytes: 8 << 10, queue_entries: 12, all_bytes: 40 << 10 };
    let world = Arc::new(World::with(16, 16 << 10, |reader| Feed::with_limits(reader, 4_096, limits)));
    let filters: [&[(&str, &str)]; 4] =
        [&[], &[("kind", "gift_given")], &[("account", "streamer:s1:turnover")], &[("user", "u2")]];
    let followers: Vec<_> =
        filters.iter().cycle().take(16).map(|filter| world.follow(After::Start, filter, true)).collect();
    let writer = {
        let world = Arc::clone(&world);
        tokio::task::spawn_blocking(move || world.play_over_segments(10))
    };
    let written = Arc::new(AtomicBool::new(false));
    let follow = |(n, mut follower): (usize, Follower)| {
        let written = Arc::clone(&written);
        tokio::spawn(async move {
            let mut found = Vec::new();
            while !written.load(Ordering::Relaxed) {
                found.extend(soon(&mut follower).await);
                for _ in 0..n * 20 {
                    tokio::task::yield_now().await; // some are slower
                }
            }
            (found, follower)
        })
    };
    let following: Vec<_> = followers.into_iter().enumerate().map(follow).collect();
    writer.await.unwrap();
    written.store(true, Ordering::Relaxed);
    for (n, following) in following.into_iter().enumerate() {
        let (mut found, mut follower) = following.await.unwrap();
        let (expected, _) = all(&mut world.follow(After::Start, filters[n % 4], false)).await;
        found.extend(some(&mut follower, expected.len() - found.len()).await);
        assert_eq!(found, expected, "follower {n}");
    }
    let (_, queued) = world.feed.live.load();
    assert!(queued <= limits.all_bytes, "{queued} bytes are queued");
}

/// Those who stall give way to those who read, where all together hold too much.
#[tokio::test]
async fn the_fullest_queue_makes_room() {
    let limits = Limits { all_bytes: 64 << 10, ..Limits::default() };
    let world = World::with(2, 16 << 10, |reader| Feed::with_limits(reader, 4_096, limits));
    let mut stalled: Vec<_> = (0..4).map(|_| world.follow(After::Now, &[("user", "u0")], true)).collect();
    let mut reads = world.follow(After::Now, &[("user", "u1")], true);
    world.play(0, 2);
    for follower in stalled.iter_mut().chain([&mut reads]) {
        next(follower).await.unwrap();
    }
    for round in 1..40 {
        world.play(round, 2);
        while !soon(&mut reads).await.is_empty() {}
        assert!(world.feed.live.load().1 <= limits.all_bytes);
    }
    assert!(world.feed.live.load().0 < 5, "somebody lost its seat");
    for follower in &mut stalled {
        let had = follower.cursor().clone();
        let (rest, _) = all(&mut world.follow(had, &[("user", "u0")], false)).await;
        assert_eq!(some(follower, rest.len()).await, rest);
    }
}

/// A follower that was dropped while it read the log leaves nothing behind either.
#[tokio::test]
async fn a_follower_that_leaves_while_it_reads_is_gone() {
    let world = World::new(2);
    world.play(0, 12);
    for _ in 0..50 {
        let mut follower = world.follow(After::Start, &[("user", "nobody")], true);
        let now = tokio::time::timeout(std::time::Duration::ZERO, follower.next()).await;
        assert!(now.is_err());
    }
    // The last step has ended when all of its turns are back.
    let most = u32::try_from(crate::feed::MOST_READING).unwrap();
    drop(world.feed.reading.acquire_many(most).await.unwrap());
    while world.feed.live.load() != (0, 0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_followers_of_a_streamer_each_get_theirs() {
    const STREAMERS: usize = 200;
    let world = Arc::new(World::new(16));
    let accounts: Vec<String> = (0..STREAMERS).map(|s| format!("streamer:m{s}:turnover")).collect();
    let follow = |account: &String| world.follow(After::Now, &[("account", account)], true);
    let followers: Vec<_> = accounts.iter().map(follow).collect();
    let gifts = 5;
    let following: Vec<_> = followers
        .into_iter()
        .map(|mut follower| {
            tokio::spawn(async move {
                let found = some(&mut follower, gifts).await;
                (found, follower)
            })
        })
        .collect();
    let writer = Arc::clone(&world);
    let write = move || {
        let grant = |s| format!(r#"{{"id":"p{s}","grant":{{"user":"m{s}","coins":100,"reason":"goodwill"}}}}"#);
        writer.say(&(0..STREAMERS).map(grant).collect::<Vec<_>>());
        for n in 0..gifts {
            let gift = |s| {
                format!(
                    r#"{{"id":"m{n}-{s}","gift":{{"user":"m{s}","item":"rose","quantity":1,
                    "to":[{{"streamer":"m{s}"}}]}}}}"#
                )
            };
            writer.say(&(0..STREAMERS).map(gift).collect::<Vec<_>>());
        }
    };
    tokio::task::spawn_blocking(write).await.unwrap();
    let records = world.records();
    for (account, following) in accounts.iter().zip(following) {
        let (found, mut follower) = following.await.unwrap();
        let posts = |record: &&schemas::Record| {
            ledger::postings(record).iter().any(|posting| posting.account.to_string() == *account)
        };
        let expected: Vec<_> = records.iter().filter(posts).map(place).collect();
        assert_eq!((found, expected.len()), (expected.clone(), gifts), "{account}");
        // And nothing more: what comes next is what is given next.
        if account == "streamer:m7:turnover" {
            world.say(&[
                r#"{"id":"z","gift":{"user":"m7","item":"rose","quantity":1,"to":[{"streamer":"m7"}]}}"#.to_owned()
            ]);
            assert_eq!(places_of(&next(&mut follower).await.unwrap()), [place(world.records().last().unwrap())]);
        }
    }
}

/// A follower at the head whose connection breaks after any batch, beside a writer: the cursor is never ahead of what
/// was handed out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_cursor_is_never_ahead_of_what_was_handed_out() {
    let world = Arc::new(World::new(16));
    let filter = [("kind", "gift_given")];
    let mut follower = world.follow(After::Start, &filter, true);
    let writer = {
        let world = Arc::clone(&world);
        tokio::task::spawn_blocking(move || world.play_over_segments(10))
    };
    let (mut found, mut cursors) = (Vec::new(), Vec::new());
    while !writer.is_finished() {
        found.extend(soon(&mut follower).await);
        cursors.push((found.len(), follower.cursor().clone()));
    }
    writer.await.unwrap();
    let (every, _) = all(&mut world.follow(After::Start, &filter, false)).await;
    let step = cursors.len().div_ceil(100);
    for (had, cursor) in cursors.into_iter().step_by(step) {
        assert_eq!(found[..had], every[..had]);
        assert_eq!(all(&mut world.follow(cursor, &filter, false)).await.0, every[had..], "after {had}");
    }
}
