//! What a caller is answered.

use schemas::{Coins, Event, Malformed, OrderId, Record, Rejection, Shard, Timestamp};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::conflict::Conflict;

/// The answer to one command. Small where it was taken, as nearly all are: a bulk has one for each line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Answer {
    /// It was taken, now or when the same command came first.
    Taken(Taken),
    /// It was refused, now or when the same command came first; the id is used up.
    Refused(Box<Refused>),
    /// The id stands for another command of this subject. Nothing was done.
    Conflict(Box<Conflict>),
    /// The command cannot be read. Nothing was done, the id is free.
    Malformed(Box<Malformed>),
    /// There is no outcome: ask again later, with the same id.
    Unavailable(Unavailable),
}

/// Where and how a command was taken. Two are equal if they say the same, whether repeated or not.
#[derive(Debug, Clone, Eq, Serialize)]
pub struct Taken {
    /// The shard of its last record.
    pub shard: Shard,
    /// The sequence of its last record.
    pub sequence: u64,
    /// The ledger's time of that record.
    pub time: Timestamp,
    /// What happened.
    pub event: &'static str,
    /// The order that it placed or moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderId>,
    /// What a roll-back could not take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<Coins>,
    /// Whether the command was known before: this is the answer that it had then.
    #[serde(rename = "replayed", skip_serializing_if = "std::ops::Not::not")]
    pub is_repeated: bool,
}

impl PartialEq for Taken {
    fn eq(&self, other: &Self) -> bool {
        let Self { shard, sequence, time, event, order, shortfall, is_repeated: _ } = self;
        (shard, sequence, time) == (&other.shard, &other.sequence, &other.time)
            && (event, order, shortfall) == (&other.event, &other.order, &other.shortfall)
    }
}

/// Where and why a command was refused. Two are equal if they say the same, whether repeated or not.
#[derive(Debug, Clone, Eq, Serialize)]
pub struct Refused {
    /// The shard of its record.
    pub shard: Shard,
    /// The sequence of its record.
    pub sequence: u64,
    /// The ledger's time of that record.
    pub time: Timestamp,
    /// The permanent code.
    pub code: &'static str,
    /// The same in words.
    pub message: String,
    /// The refusal with its details.
    pub rejection: Rejection,
    /// Whether the command was known before: this is the answer that it had then.
    #[serde(rename = "replayed", skip_serializing_if = "std::ops::Not::not")]
    pub is_repeated: bool,
}

impl PartialEq for Refused {
    fn eq(&self, other: &Self) -> bool {
        let Self { shard, sequence, time, code, message, rejection, is_repeated: _ } = self;
        (shard, sequence, time) == (&other.shard, &other.sequence, &other.time)
            && (code, message, rejection) == (&other.code, &other.message, &other.rejection)
    }
}

/// Why there is no outcome yet. Nothing was decided, unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The queue is full.
    #[error("the queue is full: ask again later")]
    Busy,
    /// The disk is full.
    #[error("the disk is full: make room, then ask again")]
    DiskFull,
    /// It is on the log, and what follows from it cannot be done now.
    #[error("it is recorded and not finished: ask again with the same id")]
    Unfinished,
    /// An earlier line of the bulk for the same user did not end in time.
    #[error("an earlier line of the bulk for the same user has not ended: ask again")]
    EarlierLineUnfinished,
    /// The machine's clock is behind the last record's.
    #[error("the machine's clock is more than 500 ms behind the last record: set it right, then ask again")]
    ClockBehind,
    /// The machine's clock is ahead of the time that has passed.
    #[error(
        "the machine's clock has got more than 500 ms ahead of the time that has passed since the ledger started: set \
         it right, or, if it is right now, start the ledger again; then ask again"
    )]
    ClockAhead,
    /// It would be refused, and its subject has had too many refusals that were recorded.
    #[error("the command would be refused, and this subject has had 1,000 refusals in a minute: ask again in a minute")]
    OverQuota,
    /// The ledger is closing or has stopped.
    #[error("the ledger has stopped; whether the command was taken is not known: ask again with the same id")]
    Stopped,
}

impl Unavailable {
    /// Its permanent code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::DiskFull => "disk_full",
            Self::Unfinished => "unfinished",
            Self::EarlierLineUnfinished => "earlier_line_unfinished",
            Self::ClockBehind => "clock_behind",
            Self::ClockAhead => "clock_ahead",
            Self::OverQuota => "over_quota",
            Self::Stopped => "stopped",
        }
    }
}

impl Serialize for Unavailable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Unavailable", 2)?;
        fields.serialize_field("code", self.code())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}

impl Answer {
    /// The same, said again.
    #[must_use]
    pub(crate) fn repeated(mut self) -> Self {
        match &mut self {
            Self::Taken(taken) => taken.is_repeated = true,
            Self::Refused(refused) => refused.is_repeated = true,
            Self::Conflict(_) | Self::Malformed(_) | Self::Unavailable(_) => {}
        }
        self
    }

    /// The answer that a record gives for ever.
    pub fn of(record: &Record) -> Self {
        let (shard, sequence, time) = (record.shard, record.sequence, record.time);
        match &record.body {
            schemas::Body::Event(event) => {
                let order = record.events().find_map(|(part, event)| record.order_of(part, event));
                let shortfall = match &**event {
                    Event::RefundRolledBack(e) => Some(e.shortfall),
                    _ => None,
                };
                Self::Taken(Taken { shard, sequence, time, event: event.kind(), order, shortfall, is_repeated: false })
            }
            schemas::Body::Rejection(rejection) => Self::Refused(Box::new(Refused {
                shard,
                sequence,
                time,
                code: rejection.code(),
                message: rejection.to_string(),
                rejection: rejection.clone(),
                is_repeated: false,
            })),
        }
    }
}
