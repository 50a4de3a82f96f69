//! The feed, how the server is, and what describes all this.

use super::ANY;
use crate::http::{
    docs::{
        self, examples,
        shapes::{AnyObject, CodeExplained, Codes, FeedFields, StreamTicket, feed_line},
    },
    feed,
    operation::{Content, Operation, Tag, of},
    watch,
};
use axum::http::Method;

/// The routes.
pub fn routes() -> Vec<Operation> {
    [feed(), server(), documentation()].into_iter().flatten().collect()
}

fn feed() -> Vec<Operation> {
    let events = Operation::new(
        (Method::GET, "/v1/events", "events"),
        feed::events,
        (Tag::Feed, "Follow what is recorded"),
        "Every record that the filter wants, once, a shard's in their order, from behind a cursor on: CloudEvents 1.0, one \
         a line, and a last line with the `cursor` to go on from. With `follow=true` it stays for what comes, and says a \
         heartbeat every 15 s with the cursor. With `Accept: text/event-stream` the same comes as server-sent events: \
         `id:` is the cursor, so `Last-Event-ID` resumes. Keep the cursor with what you have made of the events, in one \
         transaction. A cursor of another lineage is 410: the ledger was restored, or is another one.",
    )
    .asks::<FeedFields>()
    .header::<String>("Last-Event-ID", "The cursor to go on from, as a browser that reconnects sends it.")
    .example("limit", 10)
    .answers_one_of(
        200,
        "The events.",
        vec![
            Content::lines("application/x-ndjson", feed_line).example("One event and the end", examples::events()),
            Content::as_is("text/event-stream", of::<String>),
        ],
    )
    .problems(ANY)
    .problems(&[410, 429]);
    let ticket = Operation::new(
        (Method::POST, "/v1/stream-tickets", "streamTicket"),
        feed::ticket,
        (Tag::Feed, "A ticket for one stream"),
        "A browser's `EventSource` cannot send a token: it presents a ticket as `?ticket=`, which lets in once, within a \
         minute.",
    )
    .answers(200, "The ticket.", Content::json::<StreamTicket>())
    .problems(ANY)
    .problems(&[429]);
    vec![events, ticket]
}

fn server() -> Vec<Operation> {
    let text = || Content::as_is("text/plain", of::<String>);
    let health = Operation::new(
        (Method::GET, "/healthz", "health"),
        watch::healthz,
        (Tag::Server, "Whether the process answers"),
        "For whoever starts it again when it does not.",
    )
    .public()
    .answers(200, "It does.", text().example("It does", "ok\n"));
    let ready = Operation::new(
        (Method::GET, "/readyz", "ready"),
        watch::readyz,
        (Tag::Server, "Whether commands are taken"),
        "The ledger runs, its disk has room, and its clock is trusted.",
    )
    .public()
    .answers(200, "They are.", text().example("They are", "ready\n"))
    .answers_one_of(
        503,
        "They are not: `disk_full`, `clock_ahead`, or a problem.",
        vec![text(), Content::problem(of::<docs::shapes::Problem>)],
    )
    .problems(&[500]);
    let metrics = Operation::new(
        (Method::GET, "/metrics", "metrics"),
        watch::metrics,
        (Tag::Server, "What is measured"),
        "For Prometheus, in the OpenMetrics form.",
    )
    .answers(200, "What is measured.", Content::as_is("application/openmetrics-text", of::<String>))
    .problems(ANY);
    vec![ready, health, metrics]
}

fn documentation() -> Vec<Operation> {
    let document = Operation::new(
        (Method::GET, "/openapi.json", "openApi"),
        docs::open_api,
        (Tag::Documentation, "This document"),
        "OpenAPI 3.1, made from the code that answers. `/docs` shows it, and tries it.",
    )
    .public()
    .answers(200, "The document.", Content::json::<AnyObject>());
    let schema = Operation::new(
        (Method::GET, "/v1/schemas/{name}", "schema"),
        docs::schema,
        (Tag::Documentation, "A JSON Schema"),
        "JSON Schema 2020-12 of what is sent and said: `command.json`, `answer.json`, `record.json`, `event.json` (an \
         entry of the feed), `change.json` (of reference data). The schemas are of this release: fields, kinds and codes \
         of what is said may be added, and clients ignore those that they do not know.",
    )
    .public()
    .path::<String>("name", "Which.")
    .example("name", "command.json")
    .answers(200, "The schema.", Content::as_is("application/schema+json", of::<AnyObject>))
    .problems(&[400, 404]);
    let codes = Operation::new(
        (Method::GET, "/docs/problems", "codes"),
        docs::codes,
        (Tag::Documentation, "Every code"),
        "What it means, what it says of the command, and whether to ask again. With `Accept: application/json` as JSON.",
    )
    .public()
    .answers_one_of(200, "The codes.", vec![Content::json::<Codes>(), Content::as_is("text/html", of::<String>)]);
    let code = Operation::new(
        (Method::GET, "/docs/problems/{code}", "code"),
        docs::code,
        (Tag::Documentation, "One code"),
        "The page that a problem's `type` names. With `Accept: application/json` as JSON.",
    )
    .public()
    .path::<String>("code", "Which.")
    .example("code", "insufficient_funds")
    .answers_one_of(
        200,
        "What is known of it.",
        vec![Content::json::<CodeExplained>(), Content::as_is("text/html", of::<String>)],
    )
    .problems(&[400, 404]);
    vec![document, schema, codes, code]
}
