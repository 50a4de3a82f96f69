//! Requests and answers as they really are; the tests hold them to the schemas. The figures are those of a wallet with
//! 300 bonus and 1,500 paid coins that gives a gift of 1,200.

use serde_json::{Value, json};

/// A small platform, as people write it.
pub const PLATFORM_TOML: &str = r#"[entity]
currency = "CNY"
zone = "Asia/Shanghai"
coins_per_unit = 100

[[item]]
item = "rose"
price = 10

[[item]]
item = "rocket"
price = 1200
value = 1000

[[streamer]]
share = "0.45"
from = 2026-01-01

[[guild]]
guild = "g1"
share = "0.10"
from = 2026-01-01

[[membership]]
streamer = "s1"
guild = "g1"
from = 2026-01-01
"#;

/// The same, as programs do.
pub fn platform_json() -> Value {
    json!({
        "entity": { "currency": "CNY", "zone": "Asia/Shanghai", "coins_per_unit": 100 },
        "item": [{ "item": "rose", "price": 10 }, { "item": "rocket", "price": 1_200, "value": 1_000 }],
        "streamer": [{ "share": "0.45", "from": "2026-01-01" }],
        "guild": [{ "guild": "g1", "share": "0.10", "from": "2026-01-01" }],
        "membership": [{ "streamer": "s1", "guild": "g1", "from": "2026-01-01" }],
    })
}

/// What publishing it answers.
pub fn applied() -> Value {
    json!({
        "difference": {
            "changes": [{ "item": { "item": "rose", "price": 10, "value": 10, "from": null, "until": null } }],
            "lines": ["+ item rose price 10 value 10"],
            "notes": [],
        },
        "applied": { "version": 1, "changes": 1, "from": "2026-11-21T08:30:00.000000001Z" },
    })
}

/// Commands, in an order in which they can be tried.
pub fn commands() -> Vec<(&'static str, Value)> {
    let order = json!({ "user": "u1", "name": { "command": "h-1" } });
    vec![
        (
            "1 Top-up",
            json!({ "id": "t-1", "top_up": { "user": "u1", "channel": "apple", "transaction": "GPA.1",
            "coins": 1_500, "paid": { "currency": "CNY", "amount": "15.00" } } }),
        ),
        ("2 Bonus coins", json!({ "id": "b-1", "grant": { "user": "u1", "coins": 300, "reason": "newcomer" } })),
        (
            "3 Gift",
            json!({ "id": "g-1", "gift": { "user": "u1", "item": "rocket", "to": [{ "streamer": "s1" }],
            "room": "r1" } }),
        ),
        (
            "4 Refund in part",
            json!({ "id": "r-1", "refund": { "order": { "user": "u1", "name": { "command": "g-1" } },
            "coins": 600, "reason": "offline" } }),
        ),
        (
            "5 Hold for a game",
            json!({ "id": "h-1", "hold": { "user": "u1", "provider": "arcade", "coins": 100,
            "deadline": "2030-01-01T00:00:00Z" } }),
        ),
        ("6 Send the order", json!({ "id": "h-1-send", "send": { "order": order } })),
        ("7 Delivered", json!({ "id": "h-1-capture", "capture": { "order": order } })),
        (
            "8 Two gifts, both or none",
            json!({ "id": "x-1", "group": [
            { "gift": { "user": "u1", "item": "rose", "to": [{ "streamer": "s1" }] } },
            { "gift": { "user": "u1", "item": "rose", "quantity": 3, "to": [{ "streamer": "s2" }] } }] }),
        ),
        ("9 Chargeback", json!({ "id": "c-1", "chargeback": { "channel": "apple", "transaction": "GPA.1" } })),
    ]
}

/// A command that was taken.
pub fn taken() -> Value {
    json!({ "id": "g-1", "state": "taken", "position": "3-17", "time": "2026-11-21T08:30:00.000000001Z",
        "event": "gift_given", "order": "3-17" })
}

/// One that was refused.
pub fn refused() -> Value {
    json!({ "type": "/docs/problems/insufficient_funds", "title": "Insufficient funds", "status": 422,
        "detail": "the wallet has 120 coins to spend", "id": "g-2", "state": "refused", "code": "insufficient_funds",
        "message": "the wallet has 120 coins to spend", "position": "3-18", "time": "2026-11-21T08:30:01.000000001Z",
        "rejection": { "insufficient_funds": { "available": 120 } } })
}

/// One whose id stands for another.
pub fn conflict() -> Value {
    let message = "the id stands for another command, taken as gift_given in 3-17 at 2026-11-21T08:30:00.000000001Z; \
                   gift.quantity was 1 and is 2";
    json!({ "type": "/docs/problems/conflict", "title": "Conflict", "status": 409, "detail": message,
        "id": "g-1", "state": "conflict", "code": "conflict", "message": message, "position": "3-17",
        "time": "2026-11-21T08:30:00.000000001Z", "first_state": "taken", "first_event": "gift_given",
        "differs": [{ "path": "gift.quantity", "first": "1", "this": "2" }],
        "first_digest": "5c1f2c9aa0e7d2f38e1b6a5d4c3b2a19", "this_digest": "a90f7be1c2d3e4f5061728394a5b6c7d" })
}

/// One that cannot be read.
pub fn malformed() -> Value {
    let message = "gift.to[0].weight: found \"2\"; allowed is a whole number from 0 to 4294967295";
    json!({ "type": "/docs/problems/malformed", "title": "Malformed", "status": 400, "detail": message, "id": "g-3",
        "state": "malformed", "code": "malformed", "message": message, "path": "gift.to[0].weight", "found": "\"2\"",
        "allowed": "a whole number from 0 to 4294967295" })
}

/// Two commands.
pub fn bulk() -> String {
    let line = |id: &str, item: &str| {
        json!({ "id": id, "gift": { "user": "u1", "item": item, "to": [{ "streamer": "s1" }] } }).to_string()
    };
    format!("{}\n{}\n", line("g-5", "rose"), line("g-6", "no-such-item"))
}

/// What they are answered.
pub fn bulk_answer() -> String {
    let lines = [
        json!({ "line": 1, "id": "g-5", "state": "taken", "position": "3-20", "time": "2026-11-21T08:30:02.000000001Z",
            "event": "gift_given", "order": "3-20" }),
        json!({ "line": 2, "id": "g-6", "state": "refused", "code": "item_not_found",
            "message": "the catalogue has no such item", "position": "3-21", "time": "2026-11-21T08:30:02.000000002Z",
            "rejection": "item_not_found" }),
        json!({ "end": true, "lines": 2, "taken": 1, "refused": 1, "conflict": 0, "malformed": 0, "undecided": 0,
            "pending": 0, "unknown": 0 }),
    ];
    lines.map(|line| line.to_string() + "\n").concat()
}

/// A wallet.
pub fn wallet() -> Value {
    json!({ "user": "u1", "as_of": "2026-11-21T08:31:00Z", "balance": "600", "debt": "0", "spendable": "600",
        "lots": [{ "id": "15", "kind": "paid", "coins": 600, "lapsed": false,
            "origin": { "top_up": { "channel": "apple", "transaction": "GPA.1" } } }],
        "open_orders": [] })
}

/// A feed of one event.
pub fn events() -> String {
    let record = json!({ "shard": 1, "sequence": 3, "time": "2026-11-21T08:30:00.000000001Z", "occurred_at": null,
        "subject": "user:u1", "origin": { "caller": "http" }, "id": "b-1", "digest": "37d454aa729b194b9ee250f1d3d181bf",
        "actor": null, "on_behalf_of": null, "client": null,
        "body": { "event": { "granted": { "coins": 300, "expires": null, "reason": "newcomer" } } },
        "moved": [] });
    let entry = json!({ "specversion": "1.0", "id": "1-3", "source": "/giftledger/01a1fd3c-7c90-708e-af3d-cd80014c9144",
        "type": "giftledger.granted", "subject": "user:u1", "time": "2026-11-21T08:30:00.000000001Z",
        "datacontenttype": "application/json", "dataschema": "/v1/schemas/record.json", "shard": 1,
        "sequence": "0000000000000003", "recordedtime": "2026-11-21T08:30:00.000000001Z", "data": record });
    format!("{entry}\n{}\n", json!({ "end": true, "cursor": "AQGaH9PMeAcIAQID" }))
}
