//! What fails too often, and its replay.

use super::*;

/// Nacks the first entry that comes, until it is parked.
async fn park_one(world: &World, name: &str) -> Position {
    let pulled = world.pull(name, 1).await;
    let nacked = world.subscriptions.nack(&named(name), &ids(&pulled), None, Some("no such room\u{7}")).await.unwrap();
    assert_eq!(nacked, [Answered::Nacked]);
    pulled[0].position
}

#[tokio::test]
async fn subscriptions_park_what_fails_and_replay_it_first() {
    let mut world = World::new().await;
    world.grant(1, 10);
    world.put("a", &Wanted { max_tries: Some(1), ..from_start() }).await;
    let mut parked = Vec::new();
    for _ in 0..3 {
        parked.push(park_one(&world, "a").await);
    }
    world.restart(false).await;
    let listed: ParkedPage = world.subscriptions.parked(&named("a"), None, 2).await.unwrap();
    assert_eq!(listed.entries.iter().map(|one| one.position).collect::<Vec<_>>(), parked[..2]);
    let next = world.subscriptions.parked(&named("a"), listed.next, 2).await.unwrap();
    assert_eq!((next.entries.len(), next.next), (1, None));
    let one: &Parked = &next.entries[0];
    assert_eq!(one.time, world.clock.now());
    assert_eq!((one.tries, one.reason.contains("no such room"), one.replaying), (1, true, false));
    assert_eq!(subject(one.json.as_ref().unwrap()), "user:u0");

    assert_eq!(world.subscriptions.replay(&named("a"), Some(&parked[1..])).await.unwrap(), 2);
    assert_eq!(world.subscriptions.replay(&named("a"), Some(&parked[1..])).await.unwrap(), 0, "they are under way");
    let status = world.status("a").await;
    assert_eq!((status.parked, status.replaying), (1, 2));
    for in_order in [false, true] {
        world.restart(in_order).await;
        let pulled = world.pull("a", 4).await;
        assert_eq!(pulled.iter().map(|one| one.position).collect::<Vec<_>>()[..2], parked[1..]);
    }
    world.restart(true).await;
    let pulled = world.pull("a", 2).await;
    world.ack("a", &pulled[..1]).await;
    world.subscriptions.nack(&named("a"), &ids(&pulled[1..]), None, Some("still none")).await.unwrap();
    world.restart(true).await;
    let listed = world.subscriptions.parked(&named("a"), None, 10).await.unwrap().entries;
    assert_eq!(listed.iter().map(|one| one.position).collect::<Vec<_>>(), [parked[0], parked[2]]);
    assert_eq!((listed[1].reason.as_str(), listed[1].replaying), ("still none", false));
    assert_eq!(world.subscriptions.replay(&named("a"), None).await.unwrap(), 2);
    let pulled = world.pull("a", 100).await;
    assert_eq!(pulled.len(), 9, "two of before and seven that follow");
    world.ack("a", &pulled).await;
    let status = world.status("a").await;
    assert_eq!((status.parked, status.replaying, status.records_behind), (0, 0, 0));
    assert!(world.subscriptions.parked(&named("a"), None, 10).await.unwrap().entries.is_empty());
}

#[tokio::test]
async fn subscriptions_delay_what_was_nacked() {
    let world = World::new().await;
    world.grant(1, 2);
    world.put("a", &from_start()).await;
    let first = world.pull("a", 10).await;
    let nack = async |pulled: &[Pulled], delay| {
        world.subscriptions.nack(&named("a"), &ids(pulled), delay, None).await.unwrap()
    };
    let delay = Some(Duration::from_millis(300));
    assert_eq!(nack(&first[..1], delay).await, [Answered::Nacked]);
    assert_eq!(nack(&first, delay).await, [Answered::Late; 2], "it was taken back, with what is behind it");
    assert!(world.pull("a", 10).await.is_empty());
    let again = world.subscriptions.pull(&named("a"), 10, Duration::from_secs(5)).await.unwrap();
    assert_eq!((again[0].position, again[0].tries, again.len()), (first[0].position, 2, 1));
    world.ack("a", &again).await;
    assert_eq!(world.pull("a", 10).await[0].tries, 1);
    assert_eq!(world.subscriptions.lags()[0].in_flight, 1);
}
