//! All codes that are no refusals.

use super::{
    Retry::{Corrected, Never, NewId, Same},
    Row, row,
};

const UNDECIDED: Option<&str> = Some("undecided");

/// What a command is answered besides: [`ledger::Answer`].
pub const COMMANDS: [Row; 10] = [
    row(
        ("conflict", 409, Some("conflict")),
        NewId,
        "The id stands for another command of the same subject and source. This one was not done. The answer says where \
         the first one stands and in what they differ.",
        "A retry must repeat the command as it was. If this is a new command, give it an id of its own: an id is unique \
         within (subject, source), so that two users, or two services, may use the same one.",
        "the id stands for another command, taken as gift_given in 3-17 at 2026-11-21T08:30:00Z; gift.quantity was 1 and is 2",
    ),
    row(
        ("malformed", 400, Some("malformed")),
        Corrected,
        "The body, or the line, is no command: no JSON, an unknown field, a wrong type, a value out of its range. `path` \
         says where, `found` what stands there, `allowed` what may stand there.",
        "Correct it by the schema in `GET /v1/schemas/command.json`.",
        "gift.to[0].weight: found \"2\"; allowed is a whole number from 0 to 4294967295",
    ),
    row(
        ("busy", 429, UNDECIDED),
        Same,
        "The queue of commands is full, or enough questions that read the whole log are under way.",
        "Ask again after Retry-After. If it happens often, send fewer at once; a bulk waits by itself.",
        "the queue is full: ask again later",
    ),
    row(
        ("over_quota", 429, UNDECIDED),
        Same,
        "The command would be refused, and its subject has had 1,000 refusals recorded within a minute: no more are \
         recorded.",
        "Find out what sends so many commands that cannot be taken. Commands that can be taken still are.",
        "the command would be refused, and this subject has had 1,000 refusals in a minute: ask again in a minute",
    ),
    row(
        ("disk_full", 507, UNDECIDED),
        Same,
        "There is no room for the record on the ledger's disk. Nothing was decided or lost; questions are answered.",
        "Whoever runs the server makes room; then it goes on by itself.",
        "the disk is full: make room, then ask again",
    ),
    row(
        ("clock_behind", 503, UNDECIDED),
        Same,
        "The machine's clock is more than 500 ms behind the last record: it was set back.",
        "Whoever runs the server sets the clock right; then it goes on by itself.",
        "the machine's clock is more than 500 ms behind the last record: set it right, then ask again",
    ),
    row(
        ("clock_ahead", 503, UNDECIDED),
        Same,
        "The machine's clock has jumped ahead. What expires by a wrong clock is gone for good, so nothing is decided.",
        "Whoever runs the server sets the clock right, or starts the server again if it is right now.",
        "the machine's clock has got more than 500 ms ahead of the time that has passed since the ledger started",
    ),
    row(
        ("earlier_line_unfinished", 503, UNDECIDED),
        Same,
        "An earlier line of the bulk, for the same user, has not ended in time, so this one was not begun.",
        "Send the line again. Lines that do not depend on each other may be sent with `order=none`.",
        "an earlier line of the bulk for the same user has not ended: ask again",
    ),
    row(
        ("unfinished", 202, Some("pending")),
        Same,
        "The command is recorded, and what follows from it in another shard has not ended: it will, whatever happens.",
        "Ask with `GET /v1/outcomes`, or send it again with the same id: the final answer comes.",
        "it is recorded and not finished: ask again with the same id",
    ),
    row(
        ("stopped", 503, Some("unknown")),
        Same,
        "The server ended before it knew whether the command was taken. It was taken once or not at all.",
        "Send it again with the same id: that is safe whatever became of it. Never take a new id.",
        "the ledger has stopped; whether the command was taken is not known: ask again with the same id",
    ),
];

/// What a door says of the request: `problem::Code`, and what stands before all doors.
pub const REQUESTS: [Row; 13] = [
    row(
        ("bad_request", 400, UNDECIDED),
        Corrected,
        "A header or the path cannot be read, the body broke off, or the `Idempotency-Key` contradicts the `id`.",
        "Correct what `detail` names.",
        "the id is \"g-1\" and the Idempotency-Key \"g-2\": say one of them",
    ),
    row(
        ("bad_query", 400, None),
        Corrected,
        "A field of the path or of the query is unknown, wrong, missing or there twice, or they contradict each other.",
        "Correct the field that `detail` names.",
        "`limit`: `many` is no whole number",
    ),
    row(
        ("not_found", 404, None),
        Never,
        "What is asked for by name is not there: no such page, order, record, id; or no command with that id is known as \
         of the position in `as_of`. The last is not final: a command on its way may still come.",
        "Look at the name. To read what you have just written, add `wait_for=<position>` of its answer.",
        "there is no record 3-17: shard 3 ends with 12",
    ),
    row(
        ("method_not_allowed", 405, None),
        Corrected,
        "The address takes other methods: the header `Allow` names them.",
        "Look at the address's operations in the documentation, at `/docs`.",
        "/v1/commands takes no GET; the documentation is at /docs",
    ),
    row(
        ("unsupported_media_type", 415, UNDECIDED),
        Corrected,
        "`Content-Type` is missing or none that this address takes, or the body is not in UTF-8.",
        "Send the header that `detail` names, and UTF-8.",
        "there is no Content-Type; send the header Content-Type: application/json",
    ),
    row(
        ("body_too_large", 413, UNDECIDED),
        Corrected,
        "The body has more bytes than `limit`. In the last line of a bulk (`cut`): what came behind the lines that are \
         answered was not looked at.",
        "Send it in parts; of a bulk, the lines that were not answered.",
        "the body has more than 1048576 bytes, the most that it may have",
    ),
    row(
        ("too_many_lines", 200, None),
        Same,
        "A bulk has at most 100,000 lines. Stands in its last line (`cut`): the rest was not looked at.",
        "Send the lines that were not answered as another bulk.",
        "a bulk has at most 100000 lines; the rest was not looked at",
    ),
    row(
        ("body_timeout", 408, UNDECIDED),
        Same,
        "The body did not come within 30 seconds.",
        "Look at the connection, then send it again.",
        "the body did not come in time",
    ),
    row(
        ("foreign_host", 403, None),
        Never,
        "No token was made yet, so only this machine is answered: the request is for another host's name, or comes from \
         a page of another site.",
        "Ask through localhost, or make a token with `giftledger token create`.",
        "the request is for \"evil.example\"; without tokens only localhost is answered",
    ),
    row(
        ("view_behind", 503, None),
        Same,
        "The record that `wait_for` names did not become durable within 5 seconds.",
        "Ask again. Look whether the position is of this ledger: it may name a record that never comes.",
        "record 3-17 is not there yet: shard 3 has come to 12",
    ),
    row(
        ("closing", 503, UNDECIDED),
        Same,
        "The server ends. Nothing was decided.",
        "Ask again: it comes back, or another one takes over. A follower goes on from its last cursor.",
        "the server ends; nothing was decided",
    ),
    row(
        ("too_many_connections", 503, UNDECIDED),
        Same,
        "There are 10,000 connections to the server already.",
        "Keep connections open and use them again; close those that are idle.",
        "there are 10000 connections already; try again later",
    ),
    row(
        ("fault", 500, None),
        Never,
        "The ledger, its log or its database was found wrong, or the disk failed. What is recorded is not touched.",
        "Whoever runs the server looks at its log; `giftledger verify` says what is wrong.",
        "reading the log failed; look at the cause, then start again",
    ),
];

/// Who asks: `access::Denied`, and tickets.
pub const TOKENS: [Row; 10] = [
    row(
        ("token_missing", 401, UNDECIDED),
        Corrected,
        "The request has no token, and this ledger needs one.",
        "Send the header `Authorization: Bearer gl_…`.",
        "this needs a token: send it as Authorization: Bearer gl_…",
    ),
    row(
        ("token_unknown", 401, UNDECIDED),
        Corrected,
        "What was sent is no token of this ledger.",
        "Look whether all of it was sent, and to the right server.",
        "this is no token of this ledger: look whether all 46 characters of it were sent",
    ),
    row(
        ("token_expired", 401, UNDECIDED),
        Never,
        "The token's time is over.",
        "Ask whoever keeps the ledger for another one.",
        "token vip expired at 2026-11-21T08:30:00Z: ask whoever keeps the ledger for another one",
    ),
    row(
        ("token_replaced", 401, UNDECIDED),
        Corrected,
        "The token was rotated, and the time in which the old secret still worked is over.",
        "Use the secret that replaced it.",
        "this secret of token vip worked until 2026-11-21T08:30:00Z: use the one that replaced it",
    ),
    row(
        ("token_revoked", 401, UNDECIDED),
        Never,
        "The token was taken back.",
        "Ask whoever keeps the ledger for another one.",
        "token vip was revoked at 2026-11-21T08:30:00Z: ask whoever keeps the ledger for another one",
    ),
    row(
        ("not_allowed", 403, UNDECIDED),
        Never,
        "The token is good, and not for this: `detail` says what it may not do and which role it would take. Sending \
         gifts never implies making coins.",
        "Use a token that may, or ask whoever keeps the ledger.",
        "token vip may not send grant: it takes the role support, or the kind grant",
    ),
    row(
        ("too_many_requests", 429, UNDECIDED),
        Same,
        "The token sends more commands a second than it may.",
        "Wait for Retry-After. A bulk waits by itself.",
        "token vip may send 500 commands a second: ask again in 12 ms",
    ),
    row(
        ("daily_coins", 429, UNDECIDED),
        Same,
        "The token has made as many coins today as it may, until midnight in UTC.",
        "Ask again after midnight in UTC, or use a token with more daily coins.",
        "token pay may make 1000000 coins a day and has 20 left until midnight in UTC, fewer than 500",
    ),
    row(
        ("tokens_unavailable", 503, UNDECIDED),
        Same,
        "The database of tokens does not answer, so nobody can know who asks.",
        "Ask again.",
        "tokens cannot be looked up just now: ask again",
    ),
    row(
        ("ticket_unknown", 401, None),
        Corrected,
        "The ticket of a stream is unknown, used, or older than a minute: one lets in once.",
        "Ask for another one with `POST /v1/stream-tickets`.",
        "the ticket is unknown, used or older than a minute: ask for another one",
    ),
];

/// The feed: `feed::Error`, and how a stream ends.
pub const STREAMS: [Row; 6] = [
    row(
        ("bad_cursor", 400, None),
        Corrected,
        "The cursor is none that this feed gave: it was mistyped or cut, or is of another number of shards.",
        "Use a cursor as it was given, or `start`, or `now`.",
        "x is not a cursor: it is too short. Allowed are a cursor that this feed gave, start (or 0) and now (or head)",
    ),
    row(
        ("bad_position", 400, None),
        Corrected,
        "`wait_for` names no position, or one in a shard that there is not.",
        "A position is `<shard>-<sequence>`, as an answer's `position` says it.",
        "x is not a position: one is <shard>-<sequence>, such as 3-17",
    ),
    row(
        ("other_lineage", 410, None),
        Never,
        "The cursor is of another ledger, or of this one before it was restored and its end was cut: what came behind is \
         no longer so.",
        "Begin again, with `start` or `now`, and compare what you have kept: `lineage` names this ledger.",
        "the cursor is of lineage 019a…, this ledger is 019b…: another ledger. Begin again, with start or now",
    ),
    row(
        ("ahead_of_log", 410, None),
        Never,
        "The cursor stands behind records that are not on this log: it comes from a log that went further, as after a \
         restore from an older backup.",
        "Begin again, with `start` or `now`, and compare what you have kept.",
        "the cursor stands behind record 3-17, and shard 3 ends with 12: it comes from a log that went further than this one",
    ),
    row(
        ("too_many_followers", 429, None),
        Same,
        "As many follow the feed as may.",
        "Ask again after Retry-After; let one follower serve several readers.",
        "4096 followers are connected, and no more may be",
    ),
    row(
        ("stalled", 200, None),
        Same,
        "Stands in the last line of a stream: the follower took nothing for too long, so it was let go.",
        "Go on from the last cursor, and read faster than you work.",
        "nothing was read for 30 s",
    ),
];

/// Named subscriptions: `subscriptions::Error`.
pub const SUBSCRIPTIONS: [Row; 12] = [
    row(
        ("subscription_not_found", 404, None),
        Corrected,
        "There is no subscription of that name.",
        "Make it first, with PUT.",
        "there is no subscription a",
    ),
    row(
        ("subscription_differs", 409, None),
        Never,
        "There is a subscription of that name with another filter or beginning.",
        "Use another name, or delete this one first.",
        "subscription a has another filter",
    ),
    row(
        ("subscription_broken", 409, None),
        Never,
        "The subscription stands on another lineage of the ledger: it was restored.",
        "Delete it, make it anew from where you want, and compare what you have kept.",
        "subscription a is of another lineage",
    ),
    row(
        ("subscription_pushes", 409, None),
        Never,
        "The subscription pushes to an address, so nothing can be taken from it.",
        "Take the entries there, or make a subscription without an address.",
        "subscription a pushes",
    ),
    row(
        ("bad_filter", 400, None),
        Corrected,
        "The filter names what there is not.",
        "The message says what is known.",
        "kind: there is no such kind",
    ),
    row(
        ("bad_from", 400, None),
        Corrected,
        "The subscription cannot begin there. Of another lineage, or ahead of the log, it is 410.",
        "Begin with `start`, `now` or a cursor of this ledger.",
        "from: x is not a cursor",
    ),
    row(
        ("bad_setting", 400, None),
        Corrected,
        "A setting is out of its range.",
        "The message says what is allowed.",
        "max_tries: found 0; allowed is 1 to 1000",
    ),
    row(
        ("too_many_subscriptions", 429, None),
        Never,
        "There are as many subscriptions as may be.",
        "Delete one that nobody uses.",
        "there are 128 subscriptions, and no more may be",
    ),
    row(
        ("no_randomness", 500, None),
        Same,
        "The system gave no random bytes for a secret.",
        "Ask again; if it stays, whoever runs the server looks at the machine.",
        "no random bytes",
    ),
    row(
        ("feed_unavailable", 503, None),
        Same,
        "The feed cannot be read just now. It is 500 if the log cannot be read at all.",
        "Ask again.",
        "the feed is stopping",
    ),
    row(
        ("subscriptions_unavailable", 503, None),
        Same,
        "The database of subscriptions does not answer.",
        "Ask again; nothing was acknowledged.",
        "service.db does not answer",
    ),
    row(("stopping", 503, None), Same, "The server ends.", "Ask again after Retry-After.", "the server is stopping"),
];
