//! What is sent and said by hand, as types for its schema: nothing is made of them. That they are what the server
//! says, the tests of the documentation prove.
#![expect(dead_code, reason = "only their schemas are used")]

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use schemas::{Coins, CommandId, Digest, OrderId, Record, Rejection, Subject, Timestamp};

/// Where a record stands: `<shard>-<sequence>`.
pub struct Position;

impl JsonSchema for Position {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Position".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": "^(0|[1-9][0-9]{0,4})-[1-9][0-9]{0,14}$",
            "description": "Where a record stands: <shard>-<sequence>, such as 3-17.",
        })
    }
}

/// A record to wait for, so that whoever appended it reads it.
#[derive(JsonSchema)]
pub struct Waits {
    /// The `position` of an answer: the question waits at most 5 s until that record is durable, then it is answered
    /// 503 `view_behind`.
    wait_for: Option<Position>,
}

/// What became of one command.
#[derive(JsonSchema)]
#[serde(untagged)]
pub enum CommandAnswer {
    /// Taken.
    Taken(CommandTaken),
    /// Refused.
    Refused(CommandRefused),
    /// In conflict with another command of the same id.
    Conflict(CommandConflict),
    /// It cannot be read.
    Malformed(CommandMalformed),
    /// Without an outcome.
    Unavailable(CommandUndecided),
}

/// The command was taken, now or when it came first.
#[derive(JsonSchema)]
pub struct CommandTaken {
    /// The command's id.
    #[serde(skip_serializing_if = "absent")]
    id: CommandId,
    #[schemars(extend("const" = "taken"))]
    state: String,
    position: Position,
    /// The ledger's clock when it was decided.
    time: Timestamp,
    /// What happened: a kind of event. New kinds may come.
    event: String,
    /// The order that it placed or moved.
    #[serde(skip_serializing_if = "absent")]
    order: OrderId,
    /// What a roll-back could not take.
    #[serde(skip_serializing_if = "absent")]
    shortfall: Coins,
    /// The command was known: this is the answer that it had when it came first.
    #[serde(skip_serializing_if = "absent")]
    replayed: bool,
}

/// The command was refused, now or when it came first; that is final under its id.
#[derive(JsonSchema)]
pub struct CommandRefused {
    /// The command's id.
    #[serde(skip_serializing_if = "absent")]
    id: CommandId,
    #[schemars(extend("const" = "refused"))]
    state: String,
    /// Why: branch on it. New codes may come.
    code: String,
    /// The same in a sentence, for people.
    message: String,
    position: Position,
    /// The ledger's clock when it was decided.
    time: Timestamp,
    /// The code with its details.
    rejection: Rejection,
    /// The command was known: this is the answer that it had when it came first.
    #[serde(skip_serializing_if = "absent")]
    replayed: bool,
}

/// The id stands for another command of this subject and source. Nothing was done.
#[derive(JsonSchema)]
pub struct CommandConflict {
    /// The command's id.
    #[serde(skip_serializing_if = "absent")]
    id: CommandId,
    #[schemars(extend("const" = "conflict"))]
    state: String,
    #[schemars(extend("const" = "conflict"))]
    code: String,
    /// All of it in a sentence, for people.
    message: String,
    /// Where the first command stands.
    position: Position,
    /// When that was decided.
    time: Timestamp,
    /// What became of it: `taken` or `refused`.
    first_state: String,
    /// The event, where it was taken.
    #[serde(skip_serializing_if = "absent")]
    first_event: String,
    /// The code, where it was refused.
    #[serde(skip_serializing_if = "absent")]
    first_code: String,
    /// In what the two differ, as far as that can be told.
    differs: Vec<Differs>,
    first_digest: Digest,
    this_digest: Digest,
}

/// One thing that two commands of one id say differently.
#[derive(JsonSchema)]
pub struct Differs {
    /// Which: `gift.quantity`.
    path: String,
    /// What the first says; null where it says nothing.
    first: Option<String>,
    /// What this one says; null where it says nothing.
    this: Option<String>,
}

/// The body or line is no command. Nothing was done, and the id is free.
#[derive(JsonSchema)]
pub struct CommandMalformed {
    /// The command's id, where it could be read.
    #[serde(skip_serializing_if = "absent")]
    id: CommandId,
    #[schemars(extend("const" = "malformed"))]
    state: String,
    #[schemars(extend("const" = "malformed"))]
    code: String,
    /// All of it in a sentence, for people.
    message: String,
    /// Where: `gift.to[0].weight`; absent where it is the line itself.
    #[serde(skip_serializing_if = "absent")]
    path: String,
    /// What stands there.
    #[serde(skip_serializing_if = "absent")]
    found: String,
    /// What may stand there.
    #[serde(skip_serializing_if = "absent")]
    allowed: String,
}

/// There is no outcome: nothing was decided (`undecided`), it is recorded and not finished (`pending`), or the server
/// ended before it knew (`unknown`). Ask again with the same id.
#[derive(JsonSchema)]
pub struct CommandUndecided {
    /// The command's id.
    #[serde(skip_serializing_if = "absent")]
    id: CommandId,
    #[schemars(extend("enum" = ["undecided", "pending", "unknown"]))]
    state: String,
    /// Why: branch on it. New codes may come.
    code: String,
    /// The same in a sentence, for people.
    message: String,
    /// Its record, where it is pending and that is known.
    #[serde(skip_serializing_if = "absent")]
    position: Position,
}

/// The answer to one line of a bulk.
#[derive(JsonSchema)]
pub struct BulkLine {
    /// The line's number, from 1; empty lines are not counted.
    line: u64,
    #[serde(flatten)]
    answer: CommandAnswer,
}

/// What would come of a command.
#[derive(JsonSchema)]
pub struct CommandChecked {
    id: CommandId,
    /// `taken`, `refused`, or `replayed` where the command is known already.
    #[schemars(extend("enum" = ["taken", "refused", "replayed"]))]
    would_be: String,
    /// The record that would be made, or stands already.
    record: Record,
}

/// RFC 9457: what went wrong.
#[derive(JsonSchema)]
pub struct Problem {
    /// The page of the documentation about the code.
    #[schemars(extend("format" = "uri-reference"))]
    r#type: String,
    /// The code in words.
    title: String,
    /// The HTTP status, again.
    status: u16,
    /// What went wrong this time, for people.
    detail: String,
    /// What: branch on it. New codes may come.
    code: String,
    /// What it says of the command, where it is about one: branch on it.
    #[serde(skip_serializing_if = "absent")]
    state: String,
    /// The command's id, where it is about one.
    #[serde(skip_serializing_if = "absent")]
    id: CommandId,
    /// Where in the body it is.
    #[serde(skip_serializing_if = "absent")]
    path: String,
}

/// What is asked of the feed.
#[derive(JsonSchema)]
pub struct FeedFields {
    /// Where to begin: a cursor that the feed gave, `start` (the first record) or `now` (what comes). `Last-Event-ID`
    /// goes before it.
    #[schemars(extend("default" = "start"))]
    after: Option<String>,
    /// Only these kinds of events, or `refused`; several with commas, or by naming the field again.
    kind: Option<String>,
    /// Only what posts to these accounts.
    account: Option<String>,
    /// Only what is about these users.
    user: Option<String>,
    /// Only what changed this subject: `user:u1`.
    subject: Option<Subject>,
    /// Only of these shards: `3`, `0-3`, `0,2,8-15`.
    shards: Option<String>,
    /// At most so many, then it ends.
    #[schemars(range(min = 1))]
    limit: Option<u64>,
    /// Whether to stay for what comes. As server-sent events it does unless told not to.
    follow: Option<bool>,
    /// A ticket in the place of a token, of `POST /v1/stream-tickets`.
    ticket: Option<String>,
}

/// The last line of the feed.
#[derive(JsonSchema)]
pub struct FeedEnd {
    #[schemars(extend("const" = true))]
    end: bool,
    /// Where to go on: behind everything that was said.
    cursor: String,
    /// Why it ends, where not all was said.
    #[serde(skip_serializing_if = "absent")]
    code: String,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "absent")]
    message: String,
}

/// A line that comes while nothing happens.
#[derive(JsonSchema)]
pub struct Heartbeat {
    #[schemars(extend("const" = true))]
    heartbeat: bool,
    /// Where to go on.
    cursor: String,
}

/// A ticket for one stream.
#[derive(JsonSchema)]
pub struct StreamTicket {
    /// What `GET /v1/events?ticket=` takes, once.
    ticket: String,
    /// How long it lets in.
    expires_in_s: u64,
}

/// What is known of a code.
#[derive(JsonSchema)]
pub struct CodeExplained {
    code: String,
    title: String,
    /// The HTTP status that it comes with; 200 where it stands in a line of a stream.
    status: u16,
    /// What it says of the command, where it is about one.
    state: Option<String>,
    /// What has happened.
    means: String,
    /// What to do.
    then: String,
    /// Whether asking again helps.
    #[schemars(extend("enum" = ["same", "corrected", "new_id", "never"]))]
    retry: String,
    /// The same in a sentence.
    retry_means: String,
    /// A problem, or what a line of a stream says.
    example: serde_json::Map<String, serde_json::Value>,
    /// This page.
    page: String,
}

/// All codes.
#[derive(JsonSchema)]
pub struct Codes {
    codes: Vec<CodeExplained>,
}

/// JSON whose form is described elsewhere.
#[derive(JsonSchema)]
#[schemars(inline)]
pub struct AnyObject(serde_json::Map<String, serde_json::Value>);

/// A problem about a command, with what its answer says.
pub fn problem_and<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let (problem, answer) = (generator.subschema_for::<Problem>(), generator.subschema_for::<T>());
    json_schema!({ "allOf": [problem, answer] })
}

/// What is wrong with a command, or with its request.
pub fn malformed_or_not(generator: &mut SchemaGenerator) -> Schema {
    let (malformed, other) = (problem_and::<CommandMalformed>(generator), generator.subschema_for::<Problem>());
    json_schema!({ "anyOf": [malformed, other] })
}

/// One of several.
pub fn either<A: JsonSchema, B: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let (one, other) = (generator.subschema_for::<A>(), generator.subschema_for::<B>());
    json_schema!({ "anyOf": [one, other] })
}

/// A line of the feed.
pub fn feed_line(generator: &mut SchemaGenerator) -> Schema {
    let entry = generator.subschema_for::<crate::feed::CloudEvent<'_>>();
    let (beat, end) = (generator.subschema_for::<Heartbeat>(), generator.subschema_for::<FeedEnd>());
    json_schema!({ "anyOf": [entry, beat, end] })
}
