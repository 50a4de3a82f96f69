//! Pushing to a service that works, fails, hangs or sends elsewhere.

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::{
    receiver::{Came, Receiver, Says},
    *,
};

/// HMAC-SHA256 by RFC 2104, for a key of at most 64 bytes.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(own, key)| *own ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

/// What should sign what came.
fn signature(key: &[u8], came: &Came) -> String {
    let head = format!("{}.{}.", came.header("webhook-id"), came.header("webhook-timestamp"));
    format!("v1,{}", BASE64.encode(&hmac(key, &[head.as_bytes(), &came.body].concat())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_push_signed_events_in_order() {
    let mut world = World::new().await;
    world.grant(20, 3);
    let receiver = Receiver::new(|_, _| Says::Status(204)).await;
    let put = world.put("a", &receiver.wanted()).await;
    let secret = put.secret.unwrap();
    assert!(!format!("{secret:?} {}", serde_json::to_string(&put.subscription).unwrap()).contains("whsec_"));
    let key = BASE64.decode(secret.expose().strip_prefix("whsec_").unwrap().as_bytes()).unwrap();
    until("all came", async || world.status("a").await.records_behind == 0).await;
    let came = receiver.came();
    assert_eq!(came.len(), 60);
    let mut last: HashMap<String, u64> = HashMap::new();
    for one in &came {
        let (id, time) = (one.header("webhook-id"), one.header("webhook-timestamp"));
        assert_eq!(one.header("webhook-signature"), signature(&key, one));
        assert_eq!((one.header("content-type"), one.path.as_str()), ("application/cloudevents+json", "/hook?x=1"));
        assert_eq!(time.parse::<i64>().unwrap(), world.clock.now().nanos() / 1_000_000_000);
        let entry: serde_json::Value = serde_json::from_slice(&one.body).unwrap();
        assert_eq!(id, format!("{}-{}", world.feed.lineage(), entry["id"].as_str().unwrap()));
        let sequence = entry["data"]["sequence"].as_u64().unwrap();
        assert!(last.insert(one.subject(), sequence).unwrap_or_default() < sequence, "in order");
    }
    let error = world.subscriptions.pull(&named("a"), 1, Duration::ZERO).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("subscription_pushes", 409));
    // The secret stays with it, is shown once, and pushing goes on after a restart.
    assert_eq!(world.put("a", &receiver.wanted()).await.secret, None);
    world.restart(true).await;
    world.grant(1, 1);
    until("the next came", async || receiver.came().len() == 61).await;
    let one = receiver.came().pop().unwrap();
    assert_eq!(one.header("webhook-signature"), signature(&key, &one));
}

/// An example that Standard Webhooks' own libraries test with.
#[test]
fn subscriptions_sign_as_others_do() {
    let key = BASE64.decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let body = br#"{"test": 2432232314}"#;
    let signed = [b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.", &body[..]].concat();
    assert_eq!(BASE64.encode(&hmac(&key, &signed)), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_push_again_what_failed_and_follow_no_redirect() {
    let world = World::new().await;
    world.grant(4, 2);
    let elsewhere = Receiver::new(|_, _| Says::Status(200)).await;
    let to = format!("http://{}/", elsewhere.address);
    let receiver = Receiver::new(move |came, before| match (came.subject().as_str(), before) {
        ("user:u0", 0) => Says::Status(500),
        ("user:u1", _) => Says::With(302, "location", to.clone()),
        ("user:u2", 0) => Says::With(429, "retry-after", "1".into()),
        _ => Says::Status(200),
    })
    .await;
    world.put("a", &Wanted { max_tries: Some(2), ..receiver.wanted() }).await;
    until("all is done or parked", async || world.status("a").await.records_behind == 0).await;
    let parked = world.subscriptions.parked(&named("a"), None, 10).await.unwrap().entries;
    assert_eq!(parked.len(), 2);
    assert!(parked.iter().all(|one| subject(one.json.as_ref().unwrap()) == "user:u1" && one.tries == 2));
    assert!(
        parked[0].reason.contains("302 Found") && parked[0].reason.contains("not followed"),
        "{}",
        parked[0].reason
    );
    assert!(elsewhere.came().is_empty());
    let came = receiver.came();
    let ids = |user: &str| -> Vec<String> {
        let own = came.iter().filter(|one| one.subject() == user);
        own.map(|one| one.header("webhook-id").to_owned()).collect()
    };
    for user in ["user:u0", "user:u2"] {
        let ids = ids(user);
        assert!(ids.len() == 4 && ids[0] == ids[1] && ids[2] == ids[3], "{ids:?}: twice each, under one id");
    }
    assert_eq!(ids("user:u3").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_end_in_order_while_a_receiver_hangs() {
    let mut world = World::new().await;
    world.grant(20, 1);
    let receiver = Receiver::new(|_, _| Says::Nothing).await;
    world.put("a", &receiver.wanted()).await;
    until("eight came", async || receiver.came().len() == 8).await;
    assert_eq!(world.status("a").await.in_flight, 8);
    world.subscriptions.close().await;
    world.restart(false).await;
    // It pulls now, and nothing was lost.
    assert_eq!(world.put("a", &from_start()).await.outcome, Outcome::Changed);
    until("it pulls", async || world.pull("a", 1).await.len() == 1).await;
}

/// A service that is down is not asked for everything that there is, and little is parked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_spare_a_service_that_is_down() {
    let world = World::new().await;
    world.grant(100, 1);
    let receiver = Receiver::new(|_, _| Says::Status(503)).await;
    world.put("a", &Wanted { max_tries: Some(1), ..receiver.wanted() }).await;
    until("eight came", async || receiver.came().len() >= 8).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (came, status) = (receiver.came().len(), world.status("a").await);
    assert!((8..=17).contains(&came), "{came} requests");
    assert_eq!(status.parked, came);
    // An address where nobody listens is one that fails.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let push = Some(WantedPush { url: format!("http://{free}/") });
    world.put("b", &Wanted { push, max_tries: Some(1), ..from_start() }).await;
    until("some are parked", async || world.status("b").await.parked > 0).await;
    let parked = world.subscriptions.parked(&named("b"), None, 1).await.unwrap().entries;
    assert!(parked[0].reason.contains("refused"), "{}", parked[0].reason);
}
