//! The dashboard and the alert rules ask for metrics that there are, and each is documented.

use std::collections::BTreeSet;

use super::*;

const ALERTS: &str = include_str!("../../../../docs/deploy/alerts.yml");
const DASHBOARD: &str = include_str!("../../../../docs/deploy/dashboard.json");
const README: &str = include_str!("../../../../docs/deploy/README.md");

/// Names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let is_of_name = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
    let found = text.match_indices("giftledger_").map(|(at, _)| {
        let length = text.as_bytes()[at..].iter().take_while(|byte| is_of_name(byte)).count();
        &text[at..at + length]
    });
    found.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_that_are_watched_are_there_and_all_are_documented() {
    let server = Server::start(Limits::default()).await;
    let gift = r#"{"id":"g-1","gift":{"user":"u1","item":"rose","to":[{"streamer":"s1"}]}}"#;
    let answer = server
        .exchange(post("/v1/commands", "application/json", gift).replace("host:", "connection: close\r\nhost:"))
        .await;
    assert_eq!(status(&answer), 422, "there is no rose: {answer}");
    eventually("open holds are known", || {
        server.door.ledger.open_holds().is_some_and(|holds| holds.records().is_some())
    })
    .await;
    let scraped = server.exchange("GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let (_, scraped) = scraped.split_once("\r\n\r\n").unwrap();
    let samples: BTreeSet<&str> = scraped
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    for (file, text) in [("alerts.yml", ALERTS), ("dashboard.json", DASHBOARD), ("README.md", README)] {
        assert!(!names(text).is_empty());
        let missing: Vec<_> = names(text).into_iter().filter(|name| !samples.contains(name)).collect();
        let families: Vec<_> =
            missing.iter().filter(|name| !scraped.contains(&format!("# TYPE {name} histogram"))).collect();
        assert!(families.is_empty(), "{file} names what there is not: {families:?} in\n{scraped}");
    }
    let documented = names(README);
    for line in scraped.lines() {
        let Some((family, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) else { continue };
        let name = if kind == "counter" { format!("{family}_total") } else { family.to_owned() };
        assert!(documented.contains(&*name), "{name} is not documented");
    }
    serde_json::from_str::<serde_json::Value>(DASHBOARD).expect("it is JSON");
    for class in ["under_1_min", "1_to_10_min", "10_to_60_min", "over_60_min"] {
        assert!(scraped.contains(&format!("giftledger_open_holds{{age=\"{class}\"}} 0")), "{class}: {scraped}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_holds_follow_the_log() {
    let server = Server::start(Limits::default()).await;
    let lines = [
        r#"{"id":"v1","publish":{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z","changes":[]}}"#,
        r#"{"id":"b1","grant":{"user":"u1","coins":100,"reason":"r"}}"#,
        r#"{"id":"h1","hold":{"user":"u1","provider":"arcade","coins":30,"deadline":"2200-01-02T00:00:00Z"}}"#,
    ];
    let bulk = |lines: &[&str]| {
        post("/v1/commands/bulk", NDJSON, &lines.join("\n")).replace("host:", "connection: close\r\nhost:")
    };
    let answer = server.exchange(bulk(&lines)).await;
    assert!(answer.contains("\"end\":true,\"lines\":3,\"taken\":3"), "{answer}");
    let holds = || server.door.ledger.open_holds().and_then(|holds| holds.by_age(ledger::Clock::now(&SystemClock)));
    eventually("the hold is seen", || holds().is_some_and(|[young, ..]| (young.holds, young.coins) == (1, 30))).await;
    let answer = server.exchange("GET /v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(answer.contains("{\"age\":\"under_1_min\",\"holds\":1,\"coins\":\"30\"}"), "{answer}");
    server.end().await;
}
