//! Making, changing and removing subscriptions.

use super::*;

#[tokio::test]
async fn subscriptions_are_made_once_and_changed_in_their_settings() {
    let mut world = World::new().await;
    world.grant(2, 2);
    let wanted = Wanted { max_tries: Some(3), ..from_start() };
    let made = world.put("gifts", &wanted).await;
    assert_eq!((made.outcome, made.secret), (Outcome::Created, None));
    assert_eq!(made.subscription.principal.as_deref(), Some("ann"));
    let usual = Settings { ack_timeout_s: 30, max_in_flight: 1_000, max_tries: 3, push: None };
    assert_eq!(made.subscription.definition.settings, usual);
    assert_eq!(world.put("gifts", &wanted).await.outcome, Outcome::Unchanged);
    assert_eq!(
        world.put("gifts", &Wanted { from: Some("0".into()), ..wanted.clone() }).await.outcome,
        Outcome::Unchanged
    );
    let changed = world.put("gifts", &Wanted { max_tries: Some(4), ..wanted.clone() }).await;
    assert_eq!((changed.outcome, changed.subscription.definition.settings.max_tries), (Outcome::Changed, 4));
    for other in [
        Wanted { from: Some("now".into()), ..wanted.clone() },
        Wanted { filter: Words { kind: vec!["refused".into()], ..Words::default() }, ..wanted.clone() },
    ] {
        let error = world.subscriptions.put(&named("gifts"), &other, None).await.unwrap_err();
        assert_eq!((error.code(), error.status()), ("subscription_differs", 409), "{error}");
    }
    world.restart(true).await;
    assert_eq!(world.put("gifts", &Wanted { max_tries: Some(4), ..wanted }).await.outcome, Outcome::Unchanged);
    let listed = world.subscriptions.list().await.unwrap();
    assert_eq!(listed.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["gifts"]);
    world.subscriptions.delete(&named("gifts")).await.unwrap();
    for error in [
        world.subscriptions.delete(&named("gifts")).await.unwrap_err(),
        world.subscriptions.get(&named("gifts")).await.unwrap_err(),
        world.subscriptions.pull(&named("gifts"), 1, Duration::ZERO).await.unwrap_err(),
    ] {
        assert_eq!((error.code(), error.status()), ("subscription_not_found", 404));
    }
}

#[tokio::test]
async fn subscriptions_refuse_what_they_cannot_be() {
    let world = World::new().await;
    let push = |url: &str| Wanted { push: Some(WantedPush { url: url.into() }), ..Wanted::default() };
    let other_log = World::new().await.feed.now().to_string();
    for (wanted, code, status) in [
        (Wanted { from: Some("yesterday".into()), ..Wanted::default() }, "bad_from", 400),
        (Wanted { from: Some(other_log), ..Wanted::default() }, "bad_from", 410),
        (Wanted { ack_timeout_s: Some(0), ..Wanted::default() }, "bad_setting", 400),
        (Wanted { max_in_flight: Some(10_001), ..Wanted::default() }, "bad_setting", 400),
        (Wanted { max_tries: Some(0), ..Wanted::default() }, "bad_setting", 400),
        (
            Wanted { filter: Words { kind: vec!["gift".into()], ..Words::default() }, ..Wanted::default() },
            "bad_filter",
            400,
        ),
        (push("http://169.254.169.254/"), "bad_setting", 400),
    ] {
        let error = world.subscriptions.put(&named("a"), &wanted, None).await.unwrap_err();
        assert_eq!((error.code(), error.status()), (code, status), "{error}");
    }
    assert!(world.subscriptions.list().await.unwrap().is_empty());
    for wrong in ["", "two words", "a/b", &"n".repeat(65)] {
        let error: NameError = wrong.parse::<Name>().unwrap_err();
        assert!(error.to_string().contains("1 to 64"));
    }
}

#[tokio::test]
async fn subscriptions_of_another_log_are_broken_until_they_begin_anew() {
    let world = World::new().await;
    world.grant(3, 3);
    world.put("a", &from_start()).await;
    let pulled = world.pull("a", 5).await;
    world.ack("a", &pulled[..2]).await;
    world.subscriptions.close().await;
    let world = World::over(world.folder).await;
    world.grant(1, 1);
    let status = world.status("a").await;
    assert_eq!(status.state, "broken");
    assert!(status.reason.unwrap().contains("another ledger"));
    let pull = world.subscriptions.pull(&named("a"), 1, Duration::ZERO).await.unwrap_err();
    let put = world.subscriptions.put(&named("a"), &Wanted::default(), None).await.unwrap_err();
    assert_eq!((pull.code(), put.code(), put.status()), ("subscription_broken", "subscription_broken", 409));
    assert_eq!(world.put("a", &from_start()).await.outcome, Outcome::Created);
    assert_eq!(world.pull("a", 10).await.len(), 1);
    assert_eq!(world.ack("a", &pulled[2..3]).await, [Answered::Unknown], "an ack of before");
}
