//! What a caller is answered.

use schemas::{Coins, Event, Malformed, OrderId, Record, Rejection, Shard, Timestamp};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::conflict::Conflict;

/// The answer to one command. Small where it was taken, as nearly all are: a bulk has one for each line.
///
/// As JSON it has a `state` (`taken`, `refused`, `conflict`, `malformed`, `undecided`, `pending`, `unknown`), where it
/// was not taken a `code` and a `message`, and the `position` of its record where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, Eq)]
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
    pub order: Option<OrderId>,
    /// What a roll-back could not take.
    pub shortfall: Option<Coins>,
    /// Whether the command was known before: this is the answer that it had then.
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
#[derive(Debug, Clone, Eq)]
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

impl Unavailable {
    /// What it says of the command: `undecided` (nothing was decided), `pending` (it is recorded and not finished) or
    /// `unknown`.
    pub fn state(self) -> &'static str {
        match self {
            Self::Busy
            | Self::DiskFull
            | Self::EarlierLineUnfinished
            | Self::ClockBehind
            | Self::ClockAhead
            | Self::OverQuota => "undecided",
            Self::Unfinished => "pending",
            Self::Stopped => "unknown",
        }
    }
}

impl Answer {
    /// What it says of the command, in one word.
    pub fn state(&self) -> &'static str {
        match self {
            Self::Taken(_) => "taken",
            Self::Refused(_) => "refused",
            Self::Conflict(_) => "conflict",
            Self::Malformed(_) => "malformed",
            Self::Unavailable(why) => why.state(),
        }
    }

    /// The permanent code of why it was not taken.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Taken(_) => None,
            Self::Refused(refused) => Some(refused.code),
            Self::Conflict(_) => Some("conflict"),
            Self::Malformed(_) => Some("malformed"),
            Self::Unavailable(why) => Some(why.code()),
        }
    }

    /// Whether the command was known before, and this is its first answer.
    pub fn is_repeated(&self) -> bool {
        match self {
            Self::Taken(taken) => taken.is_repeated,
            Self::Refused(refused) => refused.is_repeated,
            Self::Conflict(_) | Self::Malformed(_) | Self::Unavailable(_) => false,
        }
    }

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

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry("state", self.state())?;
        if let Some(code) = self.code() {
            fields.serialize_entry("code", code)?;
        }
        match self {
            Self::Taken(taken) => {
                let Taken { shard, sequence, time, event, order, shortfall, is_repeated: _ } = taken;
                fields.serialize_entry("position", &Position(*shard, *sequence))?;
                fields.serialize_entry("time", time)?;
                fields.serialize_entry("event", event)?;
                if let Some(order) = order {
                    fields.serialize_entry("order", order)?;
                }
                if let Some(shortfall) = shortfall {
                    fields.serialize_entry("shortfall", shortfall)?;
                }
            }
            Self::Refused(refused) => {
                let Refused { shard, sequence, time, code: _, message, rejection, is_repeated: _ } = &**refused;
                fields.serialize_entry("message", message)?;
                fields.serialize_entry("position", &Position(*shard, *sequence))?;
                fields.serialize_entry("time", time)?;
                fields.serialize_entry("rejection", rejection)?;
            }
            Self::Conflict(conflict) => {
                let Conflict { shard, sequence, time, outcome, event, code, differs, .. } = &**conflict;
                fields.serialize_entry("message", &conflict.message)?;
                fields.serialize_entry("position", &Position(*shard, *sequence))?;
                fields.serialize_entry("time", time)?;
                fields.serialize_entry("first_state", outcome)?;
                if let Some(event) = event {
                    fields.serialize_entry("first_event", event)?;
                }
                if let Some(code) = code {
                    fields.serialize_entry("first_code", code)?;
                }
                fields.serialize_entry("differs", differs)?;
                fields.serialize_entry("first_digest", &conflict.first_digest)?;
                fields.serialize_entry("this_digest", &conflict.this_digest)?;
            }
            Self::Malformed(malformed) => {
                let Malformed { path, found, allowed, message } = &**malformed;
                fields.serialize_entry("message", message)?;
                for (name, said) in [("path", path), ("found", found), ("allowed", allowed)] {
                    if let Some(said) = said {
                        fields.serialize_entry(name, said)?;
                    }
                }
            }
            Self::Unavailable(why) => fields.serialize_entry("message", &why.to_string())?,
        }
        if self.is_repeated() {
            fields.serialize_entry("replayed", &true)?;
        }
        fields.end()
    }
}

/// Where a record stands: `<shard>-<sequence>`.
struct Position(Shard, u64);

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}-{}", self.0, self.1))
    }
}
