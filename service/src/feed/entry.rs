//! A record as a `CloudEvent` 1.0 in JSON.
//!
//! | attribute | value |
//! |---|---|
//! | `id` | `<shard>-<sequence>`: with `source` it names the record for ever |
//! | `source` | `/giftledger/<lineage>` |
//! | `type` | `giftledger.` and the event's kind, `group` for several, `refused` for a refusal |
//! | `subject` | whose state it changed: `user:u1` |
//! | `time` | when it happened; `recordedtime` (an extension) is when it was recorded |
//! | `datacontenttype`, `dataschema` | `application/json`, [`DATA_SCHEMA`] |
//! | `shard` (an extension) | a number |
//! | `sequence` (the published extension) | a string of 16 digits, so that it sorts as text; its number is in `data` |
//! | `data` | the record, as everywhere |

use bytes::Bytes;
use schemars::JsonSchema;
use schemas::{Body, Record, Shard, Subject, Timestamp, write_json};
use serde::Serialize;

/// Where the schema of an entry's `data` is served.
pub const DATA_SCHEMA: &str = "/v1/schemas/record.json";

/// A record's room as JSON, mostly; it grows where it must.
const USUAL_BYTES: usize = 1_280;

/// One record of the feed.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The record's shard.
    pub shard: Shard,
    /// Its sequence there.
    pub sequence: u64,
    /// Whose state it changed, as a number that stands for the subject while this process runs.
    pub subject: u64,
    /// The `CloudEvent`, one line of JSON without its end. All followers share it.
    pub json: Bytes,
}

/// A record as a `CloudEvent` 1.0.
#[derive(Serialize, JsonSchema)]
pub struct CloudEvent<'a> {
    specversion: &'a str,
    /// `<shard>-<sequence>`: with `source` it names the record for ever.
    id: String,
    /// Names the ledger: `/giftledger/<lineage>`.
    source: &'a str,
    /// `giftledger.` and the kind of event, `group` for several, `refused` for a refusal. New kinds may come.
    #[serde(rename = "type")]
    kind: String,
    /// Whose state it changed: `user:u1`.
    subject: &'a Subject,
    /// When it happened.
    time: Timestamp,
    datacontenttype: &'a str,
    /// Where the schema of `data` is.
    dataschema: &'a str,
    shard: Shard,
    /// Its place in the shard, as 16 digits.
    sequence: String,
    /// When it was recorded.
    recordedtime: Timestamp,
    /// The record.
    data: &'a Record,
}

/// The `CloudEvent` of a record; `source` names the ledger.
pub(super) fn json(record: &Record, source: &str) -> Bytes {
    let kind = match &record.body {
        Body::Event(event) => event.kind(),
        Body::Rejection(_) => super::filter::REFUSED,
    };
    let event = CloudEvent {
        specversion: "1.0",
        id: format!("{}-{}", record.shard, record.sequence),
        source,
        kind: format!("giftledger.{kind}"),
        subject: &record.subject,
        time: record.happened_at(),
        datacontenttype: "application/json",
        dataschema: DATA_SCHEMA,
        shard: record.shard,
        sequence: format!("{:016}", record.sequence),
        recordedtime: record.time,
        data: record,
    };
    let mut json = Vec::with_capacity(USUAL_BYTES);
    write_json(&mut json, &event).expect("a record has a JSON form");
    Bytes::from(json.into_boxed_slice())
}
