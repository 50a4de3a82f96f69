//! Who does not read, and many who do.

use std::sync::Arc;

use super::{After, World, next, place, places_of, some};

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
