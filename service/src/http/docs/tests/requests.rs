//! Every route is asked, well and badly.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    super::{document, examples, problems},
    world::{Asked, World},
};
use crate::http::routes;

const POST: &str = "POST";

/// A world with something in it, by the examples.
async fn lived_in() -> World {
    let world = World::new().await;
    let platform = Asked::new(POST, "/v1/reference").json(&examples::platform_json());
    assert_eq!(world.ask(platform).await.status, 200);
    for (name, command) in examples::commands() {
        let said = world.ask(Asked::new(POST, "/v1/commands").json(&command)).await;
        assert_eq!(said.status, 200, "{name}: {}", said.text);
    }
    world
}

/// The examples can be tried in their order, and leave the figures that they say.
#[tokio::test(flavor = "multi_thread")]
async fn http_examples_can_be_tried_in_their_order() {
    let world = World::new().await;
    let toml = Asked::new(POST, "/v1/reference").body("application/toml", examples::PLATFORM_TOML);
    assert_eq!(world.ask(toml).await.status, 200);
    for (_, command) in &examples::commands()[..3] {
        assert_eq!(world.ask(Asked::new(POST, "/v1/commands").json(command)).await.status, 200);
    }
    let wallet = world.ask(Asked::get("/v1/users/u1")).await.json();
    let example = examples::wallet();
    assert_eq!(
        (&wallet["balance"], &wallet["lots"][0]["origin"]),
        (&example["balance"], &example["lots"][0]["origin"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http_answers_of_commands_are_those_of_the_document() {
    let world = lived_in().await;
    let append = |command: &Value| Asked::new(POST, "/v1/commands").json(command);
    let (_, gift) = &examples::commands()[2];
    let again = world.ask(append(gift)).await;
    assert_eq!((again.status, again.headers["idempotent-replayed"].to_str().unwrap()), (200, "true"));
    let mut other = gift.clone();
    other["gift"]["quantity"] = 2.into();
    assert_eq!(world.ask(append(&other)).await.status, 409);
    let poor = json!({ "id": "p", "gift": { "user": "poor", "item": "rose", "to": [] } });
    assert_eq!(world.ask(append(&poor)).await.status, 422);
    assert_eq!(world.ask(append(&poor)).await.status, 422);
    assert_eq!(world.ask(append(&json!({ "id": "p", "gift": { "user": "poor" } }))).await.status, 400);
    for check in [gift, &other, &poor, &json!({ "id": "q", "grant": { "user": "u", "coins": 1, "reason": "r" } })] {
        world.ask(Asked::new(POST, "/v1/commands/check").json(check)).await;
    }
    for (query, status) in [
        ("subject=user:u1&id=g-1", 200),
        ("subject=user:poor&id=p", 422),
        ("subject=user:u1&id=none", 404),
        ("subject=user:u1&source=vip&id=g-1", 404),
        ("subject=nobody&id=g-1", 400),
        ("id=g-1", 400),
    ] {
        assert_eq!(world.ask(Asked::get(&format!("/v1/outcomes?{query}"))).await.status, status, "{query}");
    }
    let lines = format!("{gift}\n{poor}\n{other}\nnonsense\n\n{{\"id\":\"z\"}}\n{}", examples::bulk());
    let bulk = world.ask(Asked::new(POST, "/v1/commands/bulk").body("application/x-ndjson", lines)).await;
    let last: Value = serde_json::from_str(bulk.text.lines().last().unwrap()).unwrap();
    let answers = jsonschema::validator_for(&document::answer_schema()).unwrap();
    for line in bulk.text.lines().rev().skip(1) {
        let mut answer: Value = serde_json::from_str(line).unwrap();
        assert!(answers.is_valid(&answer), "{line}");
        answer["state"] = "lost".into();
        assert!(!answers.is_valid(&answer), "the schema lets everything through");
    }
    let counted = ["lines", "taken", "refused", "conflict", "malformed"].map(|name| last[name].as_u64().unwrap());
    assert_eq!(counted, [7, 1, 3, 1, 2], "{}", bulk.text);
    for body in ["", "\n\n", "\u{feff}", "{}"] {
        for order in ["", "?order=none", "?order=per_user"] {
            let uri = format!("/v1/commands/bulk{order}");
            world.ask(Asked::new(POST, &uri).body("application/x-ndjson", body)).await;
        }
    }
    let keyed = json!({ "grant": { "user": "u9", "coins": 5, "reason": "r" } });
    let with_key = |key: &str| append(&keyed).header("idempotency-key", key);
    assert_eq!(world.ask(with_key("\"k-1\"")).await.status, 200);
    assert_eq!(world.ask(with_key("k-1")).await.status, 200);
    assert_eq!(world.ask(append(gift).header("idempotency-key", "other")).await.status, 400);
    assert_eq!(world.ask(with_key("")).await.status, 400);
}

/// Questions that have an answer, in every form that the document knows.
const GOOD: &[&str] = &[
    "/v1/reference",
    "/v1/reference?as_of=2026-01-01T00:00:00Z",
    "/v1/users/u1",
    "/v1/users/nobody",
    "/v1/users/u1?as_of=0-1",
    "/v1/users/u1/lots",
    "/v1/users/u1/history",
    "/v1/orders",
    "/v1/orders?user=u1&state=open&limit=1",
    "/v1/orders?item=rose&at_least=1&at_most=5000&idle=0s",
    "/v1/orders?user=u1&command=g-1",
    "/v1/orders?user=u1&command=x-1&part=1&source=http",
    "/v1/subscriptions",
    "/v1/subscriptions/s1",
    "/v1/subscriptions/s1/parked",
    "/v1/subscriptions/s1/parked?limit=2",
    "/v1/accounts?all=true",
    "/v1/accounts/user:u1",
    "/v1/accounts/user:u1,platform:issued,streamer:s1:turnover",
    "/v1/accounts/user:u1/history",
    "/v1/accounts/channel:apple:receivable/why?limit=2",
    "/v1/accounts/user:u1/why",
    "/v1/records",
    "/v1/records?limit=2&kind=gift_given&subject=user:u1",
    "/v1/records?kind=refused",
    "/v1/boards/all_time",
    "/v1/boards/all_time?members=senders&top=1",
    "/v1/boards/2026-11",
    "/v1/boards/spring",
    "/v1/settlements/2026-11",
    "/v1/find?q=g-1",
    "/v1/find?q=GPA.1&limit=1",
    "/v1/find?q=u1",
    "/v1/status",
    "/v1/events",
    "/v1/events?limit=2&kind=gift_given&user=u1&shards=0-1&account=user:u1&subject=user:u1&after=start",
    "/v1/events?after=now",
    "/metrics",
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/v1/schemas/command.json",
    "/v1/schemas/answer.json",
    "/v1/schemas/record.json",
    "/v1/schemas/event.json",
    "/v1/schemas/change.json",
    "/docs/problems",
    "/docs/problems/busy",
];

/// Questions that have none.
const BAD: &[&str] = &[
    "/v1/reference?as_of=yesterday",
    "/v1/reference?as_of=0-999999",
    "/v1/reference?as_of=9999-1",
    "/v1/reference?as_of=0-0",
    "/v1/reference?as_of=",
    "/v1/reference?colour=red",
    "/v1/users/%00",
    "/v1/users/%ff",
    "/v1/users/%zz",
    "/v1/users/a%2fb",
    "/v1/users/a%20b",
    "/v1/users/u1?as_of=1-99",
    "/v1/users/u1?wait_for=x",
    "/v1/users/u1?wait_for=77-1",
    "/v1/users/u1?user=u2",
    "/v1/users/u1/lots?x=%ff",
    "/v1/users/u1/history?account=user:u2",
    "/v1/users/%ff/history",
    "/v1/orders?limit=-1",
    "/v1/orders?limit=18446744073709551616",
    "/v1/orders?idle=99999999999d",
    "/v1/orders?from=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
    "/v1/orders?at_least=9007199254740993",
    "/v1/orders?user=u1&command=none",
    "/v1/orders?command=none",
    "/v1/orders/x",
    "/v1/orders/0-99999",
    "/v1/orders/0-0",
    "/v1/orders/%ff",
    "/v1/orders/65535-1.255",
    "/v1/subscriptions?x=1",
    "/v1/subscriptions/none",
    "/v1/subscriptions/%ff",
    "/v1/subscriptions/none/parked",
    "/v1/subscriptions/s1/parked?after=x",
    "/v1/accounts",
    "/v1/accounts/nobody",
    "/v1/accounts/%ff",
    "/v1/accounts/,",
    "/v1/accounts/user:u1?zeros=true",
    "/v1/accounts/user:/history",
    "/v1/accounts/user:u1/why?limit=x",
    "/v1/records?limit=x",
    "/v1/records?kind=gift",
    "/v1/records?after=9-9",
    "/v1/records/0-0",
    "/v1/records/0-1.1",
    "/v1/records/%ff",
    "/v1/records/99999999999999999999-1",
    "/v1/records/0-18446744073709551615",
    "/v1/boards/%ff",
    "/v1/boards/a%20b",
    "/v1/boards/2026-13?top=x",
    "/v1/boards/2026-11?zone=Nowhere",
    "/v1/boards/all_time?members=nobody",
    "/v1/settlements/2026-13",
    "/v1/settlements/%ff",
    "/v1/settlements/9999-12?as_of=0-7777",
    "/v1/find",
    "/v1/find?q=",
    "/v1/find?q=none",
    "/v1/find?q=a&q=b",
    "/v1/find?id=a",
    "/v1/status?x=1",
    "/v1/events?limit=0",
    "/v1/events?after=x",
    "/v1/events?after=AAAA",
    "/v1/events?kind=gift",
    "/v1/events?shards=9",
    "/v1/events?user=%00",
    "/v1/events?follow=perhaps",
    "/v1/events?ticket=x",
    "/v1/events?x=%ff",
    "/v1/schemas/nothing.json",
    "/v1/schemas/%ff",
    "/docs/problems/nothing",
    "/docs/problems/%ff",
    "/docs/nothing.js",
    "/nothing",
    "/v1/%ff",
];

#[tokio::test(flavor = "multi_thread")]
async fn http_questions_are_answered_as_the_document_says() {
    let world = lived_in().await;
    let made = Asked::new("PUT", "/v1/subscriptions/s1").body("application/json", "{}");
    assert_eq!(world.ask(made).await.status, 201);
    let (mut asked, mut order, mut record) = (BTreeSet::new(), String::new(), String::new());
    for path in GOOD {
        let accept = if path.starts_with("/docs") { "application/json" } else { "*/*" };
        let said = world.ask(Asked::get(path).header("accept", accept)).await;
        assert_eq!(said.status, 200, "{path}: {}", said.text);
        asked.insert(path.split('?').next().unwrap_or_default().to_owned());
        if *path == "/v1/orders?user=u1&command=g-1" {
            order = said.json()["order"]["id"].as_str().unwrap().to_owned();
        } else if *path == "/v1/records" {
            record = said.json()["last"].as_str().unwrap().to_owned();
        }
    }
    for path in
        [format!("/v1/orders/{order}"), format!("/v1/records/{record}"), format!("/v1/users/u1?wait_for={record}")]
    {
        assert_eq!(world.ask(Asked::get(&path)).await.status, 200, "{path}");
    }
    assert!(world.ask(Asked::get("/docs/problems")).await.text.contains("<h1>"));
    let ticket = world.ask(Asked::new(POST, "/v1/stream-tickets")).await.json();
    let stream = format!("/v1/events?follow=false&ticket={}", ticket["ticket"].as_str().unwrap());
    let sse = world.ask(Asked::get(&stream).header("accept", "text/event-stream")).await;
    assert!(sse.text.contains("event: end"), "{}", sse.text);
    for path in BAD {
        let said = world.ask(Asked::get(path)).await;
        assert!((400..500).contains(&said.status), "{path}: {} {}", said.status, said.text);
    }
    let late = format!("/v1/users/u1?wait_for={}", "0-999999999");
    assert_eq!(world.ask(Asked::get(&late).may_fail()).await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_bodies_of_all_kinds_are_refused_as_the_document_says() {
    let world = World::new().await;
    let long = vec![b'x'; (1 << 20) + 1];
    let deep = "[".repeat(100_000);
    let bodies: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\0".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        b"\"\"".to_vec(),
        b"1e999".to_vec(),
        b"\xff\xfe{\0}\0".to_vec(),
        b"{\"id\":\"\xff\"}".to_vec(),
        br#"{"id":"a","grant":{"user":"\u0000","coins":1,"reason":"r"}}"#.to_vec(),
        br#"{"id":"a","grant":{"user":"u","coins":-1,"reason":"r"}}"#.to_vec(),
        br#"{"id":"a","grant":{"user":"u","coins":1.5,"reason":"r"}}"#.to_vec(),
        br#"{"id":"a","grant":{"user":"u","coins":1,"reason":"r"},"x":1}"#.to_vec(),
        br#"{"id":null,"grant":{}}"#.to_vec(),
        deep.into_bytes(),
        long,
    ];
    for path in ["/v1/commands", "/v1/commands/check", "/v1/reference"] {
        for media_type in ["application/json", "text/plain", "", "application/json; charset=utf-16", "\u{e9}"] {
            for body in &bodies {
                if path == "/v1/reference" && (body == b"{}" || body.is_empty()) {
                    continue; // a platform file that says nothing
                }
                let said = world.ask(Asked::new(POST, path).body(media_type, body.clone())).await;
                assert!((400..500).contains(&said.status), "{path} {media_type} {}", said.text);
            }
        }
    }
    for query in ["?dry_run=perhaps", "?x=1", "?dry_run=true&dry_run=true", "?dry_run=%ff"] {
        let said = world.ask(Asked::new(POST, &format!("/v1/reference{query}")).json(&json!({}))).await;
        assert_eq!(said.status, 400, "{query}");
    }
    let toml = |text: &[u8]| Asked::new(POST, "/v1/reference?dry_run=true").body("application/toml", text);
    assert_eq!(world.ask(toml(b"")).await.status, 200);
    for wrong in [&b"["[..], b"\xff", b"[entity]\ncurrency = 1\n", b"[[item]]\n"] {
        assert_eq!(world.ask(toml(wrong)).await.status, 400);
    }
    let bulk =
        |query: &str, media_type: &str| Asked::new(POST, &format!("/v1/commands/bulk{query}")).body(media_type, "{}\n");
    assert_eq!(world.ask(bulk("?order=random", "application/x-ndjson")).await.status, 400);
    assert_eq!(world.ask(bulk("?x=1", "application/x-ndjson")).await.status, 400);
    assert_eq!(world.ask(bulk("", "application/json")).await.status, 415);
}

/// Every route takes its methods only, and says which; and every route needs a good token, if one comes.
#[tokio::test(flavor = "multi_thread")]
async fn http_methods_hosts_and_tokens_are_looked_at_everywhere() {
    let world = World::new().await;
    let document = document::document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path: String =
            path.split('/').map(|part| if part.starts_with('{') { "0-1" } else { part }).collect::<Vec<_>>().join("/");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"] {
            let Some(operation) = item.get(method.to_ascii_lowercase()) else {
                let said = world.ask(Asked::new(method, &path)).await;
                let allow = said.headers.get("allow").unwrap_or_else(|| panic!("{method} {path} does not say Allow"));
                assert!(said.status == 405 && allow.to_str().unwrap().contains(['G', 'P']), "{method} {path}");
                continue;
            };
            if operation["security"] == json!([]) {
                continue;
            }
            for (name, value, status) in [
                ("authorization", "Bearer gl_none", 401),
                ("authorization", "", 401),
                ("host", "evil.example", 403),
                ("origin", "http://evil.example", 403),
                ("giftledger-source", "a b", 400),
                ("giftledger-source", "ledger", 400),
            ] {
                let said = world.ask(Asked::new(method, &path).header(name, value)).await;
                if (name, value) != ("giftledger-source", "ledger") {
                    assert_eq!(said.status, status, "{method} {path} {name}: {value}: {}", said.text);
                }
            }
        }
    }
}

/// The page and all that it loads come from here, and what it loads is there.
#[tokio::test(flavor = "multi_thread")]
async fn http_page_needs_no_other_server() {
    let world = World::new().await;
    let get = async |path: &str| world.ask_unchecked(&Asked::get(path)).await;
    let redirected = get("/docs").await;
    assert_eq!((redirected.status, redirected.headers["location"].to_str().unwrap()), (307, "/docs/"));
    let page = get("/docs/").await;
    assert!(page.status == 200 && page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(!page.text.contains("://"), "{}", page.text);
    let mut loaded = 0;
    for part in page.text.split(['"', '\'']).filter(|part| part.starts_with("./")) {
        let file = get(&format!("/docs/{}", part.trim_start_matches("./"))).await;
        assert_eq!(file.status, 200, "{part}");
        assert!(file.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'self'"));
        loaded += 1;
    }
    assert!(loaded >= 4, "{loaded}");
    let starts = get("/docs/swagger-initializer.js").await.text;
    assert!(
        starts.contains("\"/openapi.json\"") && !starts.contains("petstore") && !starts.contains("://"),
        "{starts}"
    );
}

/// A route is asked at least once, well and badly, by what stands above.
#[test]
fn every_route_is_asked() {
    for operation in routes::all() {
        let fits = |asked: &&&str| {
            let path: Vec<&str> = asked.split('?').next().unwrap_or_default().split('/').collect();
            let of: Vec<&str> = operation.path.split('/').collect();
            path.len() == of.len() && path.iter().zip(&of).all(|(path, of)| of.starts_with('{') || path == of)
        };
        let is_constant = operation.is_public && !operation.path.contains('{');
        let (good, bad) = (GOOD.iter().find(fits), BAD.iter().find(fits));
        if operation.method == "GET"
            && !["/v1/orders/{order}", "/v1/records/{record}", "/v1/outcomes"].contains(&operation.path)
        {
            assert!(good.is_some(), "{} is not asked well", operation.path);
            assert!(
                bad.is_some() || is_constant || operation.path == "/metrics",
                "{} is not asked badly",
                operation.path
            );
        }
        assert!(
            problems::rows().any(|row| operation.problems.contains(&row.status)) || is_constant,
            "{}",
            operation.path
        );
    }
}
