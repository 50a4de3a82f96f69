//! Pulling, acking, and what restarts do about it.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

#[tokio::test]
async fn subscriptions_give_each_entry_until_it_is_acked() {
    let mut world = World::new().await;
    world.grant(3, 4);
    world.put("a", &from_start()).await;
    let pulled = world.pull("a", 100).await;
    assert_eq!(pulled.len(), 12);
    assert!(world.pull("a", 100).await.is_empty(), "everything is in flight");
    assert_eq!(world.ack("a", &pulled[..7]).await, vec![Answered::Acked; 7]);
    assert_eq!(world.ack("a", &pulled[..7]).await, vec![Answered::Acked; 7], "twice is fine");
    let wrong = world.subscriptions.ack(&named("a"), &["x".into(), String::new()]).await.unwrap();
    assert_eq!(wrong, [Answered::Unknown; 2]);
    let status = world.status("a").await;
    assert_eq!((status.in_flight, status.waiting, status.parked, status.state), (5, 0, 0, "active"));
    assert!(status.oldest.is_some());
    for in_order in [true, false] {
        world.restart(in_order).await;
        assert_eq!(world.ack("a", &pulled[..1]).await, [Answered::Acked]);
        assert_eq!(world.ack("a", &pulled[7..]).await, vec![Answered::Late; 5]);
        let again = world.pull("a", 100).await;
        let places: HashSet<Position> = again.iter().map(|one| one.position).collect();
        assert_eq!(places, pulled[7..].iter().map(|one| one.position).collect());
    }
    world.restart(true).await;
    let rest = world.pull("a", 100).await;
    world.ack("a", &rest).await;
    let status = world.status("a").await;
    assert_eq!((status.records_behind, status.cursor), (0, world.feed.now().to_string()));
}

#[tokio::test]
async fn subscriptions_pull_a_long_run_of_one_subject_at_once() {
    let world = World::new().await;
    world.grant(1, 1_500);
    world.put("a", &from_start()).await;
    let pulled = world.pull("a", 1_000).await;
    assert_eq!(pulled.len(), 1_000);
    assert!(pulled.is_sorted_by_key(|one| one.position.sequence));
    world.ack("a", &pulled).await;
    assert_eq!(world.pull("a", 1_000).await.len(), 500);
}

#[tokio::test]
async fn subscriptions_wake_who_waits_when_something_is_recorded() {
    let world = World::new().await;
    world
        .put("a", &Wanted { filter: Words { user: vec!["u1".into()], ..Words::default() }, ..Wanted::default() })
        .await;
    let own = Arc::clone(&world.subscriptions);
    let waits = tokio::spawn(async move { own.pull(&named("a"), 10, Duration::from_secs(30)).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.grant(3, 1);
    let pulled = waits.await.unwrap();
    assert_eq!(pulled.iter().map(|one| subject(&one.json)).collect::<Vec<_>>(), ["user:u1"]);
    // And one that waits for the one before it.
    world.grant(3, 1);
    let own = Arc::clone(&world.subscriptions);
    let waits = tokio::spawn(async move { own.pull(&named("a"), 10, Duration::from_secs(30)).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.ack("a", &pulled).await;
    assert_eq!(waits.await.unwrap().len(), 1);
    // Who goes away while it waits takes nothing along.
    let own = Arc::clone(&world.subscriptions);
    let gone = tokio::spawn(async move { own.pull(&named("a"), 10, Duration::from_secs(30)).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    gone.abort();
    world.subscriptions.close().await;
    let error = world.subscriptions.pull(&named("a"), 1, Duration::from_secs(30)).await.unwrap_err();
    assert_eq!(error.code(), "stopping");
}

#[tokio::test]
async fn subscriptions_take_back_what_times_out() {
    let world = World::new().await;
    world.grant(1, 3);
    world.put("a", &Wanted { max_tries: Some(2), ..from_start() }).await;
    let first = world.pull("a", 10).await;
    let pulls = async || {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(31)).await;
        tokio::time::resume();
        world.pull("a", 10).await
    };
    let second = pulls().await;
    assert_eq!(second.iter().map(|one| (one.position, one.tries)).collect::<Vec<_>>(), [(first[0].position, 2)]);
    assert_eq!(world.ack("a", &first).await, [Answered::Late, Answered::Acked, Answered::Acked]);
    assert_eq!(pulls().await.len(), 0);
    let parked = world.subscriptions.parked(&named("a"), None, 10).await.unwrap().entries;
    assert_eq!(parked.iter().map(|one| (one.position, one.tries)).collect::<Vec<_>>(), [(first[0].position, 2)]);
    assert_eq!(parked[0].reason, "no answer within 30 s");
    assert_eq!(world.status("a").await.records_behind, 0);
}

#[tokio::test]
async fn subscriptions_go_on_beside_a_stuck_subject() {
    let world = World::new().await;
    world.grant(50, 10);
    world.put("a", &from_start()).await;
    let first = world.pull("a", 1).await;
    let stuck = subject(&first[0].json);
    let mut others = 0;
    loop {
        let pulled = world.pull("a", 64).await;
        if pulled.is_empty() {
            break;
        }
        assert!(pulled.iter().all(|one| subject(&one.json) != stuck));
        others += pulled.len();
        world.ack("a", &pulled).await;
    }
    assert_eq!(others, 490);
    let status = world.status("a").await;
    assert_eq!((status.in_flight, status.waiting), (1, 9));
    let [Lag { name, records_behind: 1.., in_flight: 1, parked: 0, blocked: false, broken: false }] =
        &world.subscriptions.lags()[..]
    else {
        panic!("{:?}", world.subscriptions.lags())
    };
    assert_eq!(name.as_str(), "a");
    assert_eq!(status.oldest.unwrap().subject.to_string(), stuck);
    world.ack("a", &first).await;
    assert_eq!(world.pull("a", 64).await.len(), 9);
}

/// Several consumers at once, which ack, nack and give up at random, while records are written and the program is
/// started again: whatever a consumer sees of a subject is in order, and in the end all was acked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_share_whole_subjects_and_lose_nothing() {
    let mut world = World::new().await;
    world.put("a", &Wanted { max_in_flight: Some(200), max_tries: Some(1_000), ..from_start() }).await;
    let mut acked: HashSet<Position> = HashSet::new();
    for round in 0..4 {
        world.grant(40, 10);
        let done: Arc<Mutex<Vec<Position>>> = Arc::default();
        let holders: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let consumers: Vec<_> = (0..4)
            .map(|consumer| {
                let (own, done, holders) = (Arc::clone(&world.subscriptions), Arc::clone(&done), Arc::clone(&holders));
                tokio::spawn(async move {
                    let mut random = StdRng::seed_from_u64(round * 10 + consumer as u64);
                    for _ in 0..12 {
                        let max = random.random_range(1..60);
                        let pulled = own.pull(&named("a"), max, Duration::from_millis(5)).await.unwrap();
                        let mut last: HashMap<String, u64> = HashMap::new();
                        for one in &pulled {
                            let subject = subject(&one.json);
                            let holder = holders.lock().unwrap().insert(subject.clone(), consumer);
                            assert!(holder.is_none_or(|holder| holder == consumer), "{subject} is with two");
                            assert!(last.insert(subject, one.position.sequence) < Some(one.position.sequence));
                        }
                        tokio::task::yield_now().await;
                        holders.lock().unwrap().retain(|_, holder| *holder != consumer);
                        let take = random.random_range(0..=pulled.len());
                        let (well, bad) = pulled.split_at(take);
                        let answers = own.ack(&named("a"), &ids(well)).await.unwrap();
                        let well = well.iter().zip(answers).filter(|(_, answer)| *answer == Answered::Acked);
                        done.lock().unwrap().extend(well.map(|(one, _)| one.position));
                        own.nack(&named("a"), &ids(bad), Some(Duration::ZERO), Some("at random")).await.unwrap();
                    }
                })
            })
            .collect();
        for consumer in consumers {
            consumer.await.unwrap();
        }
        for position in done.lock().unwrap().drain(..) {
            assert!(acked.insert(position), "{position} was acked twice");
        }
        world.restart(round % 2 == 0).await;
    }
    loop {
        let pulled = world.pull("a", 1_000).await;
        if pulled.is_empty() {
            break;
        }
        for one in &pulled {
            assert!(acked.insert(one.position), "{} comes again after it was acked", one.position);
        }
        world.ack("a", &pulled).await;
    }
    assert_eq!(acked.len(), 1_600);
    assert_eq!(world.status("a").await.records_behind, 0);
}
