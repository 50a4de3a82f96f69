//! The subject of a command: whose state it changes, within which its id is unique, and whose hash
//! names the shard.
//!
//! | command | subject |
//! |---|---|
//! | publish | `reference` |
//! | top-up, chargeback, reinstate | `claim:transaction:<channel>/<transaction>` |
//! | grant, gift, hold, credit, take-back and give-back (dispatched), expiry of a lot | `user:<id>` |
//! | send, query, unresolved, hand-over, capture, release, refund, roll-back, expiry of a hold | `user:<id>` of the order |
//! | take-reference (dispatched) | `shard:<n>` |
//! | group | the one subject of its members |

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::ids::{ChannelId, Shard, TextVisitor, TransactionId, UserId, canonical_number};

/// Whose state a command changes. Text form as in the table above.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A user: wallet, open orders.
    User(UserId),
    /// A payment of a channel, which counts once whoever presents it.
    Transaction {
        /// The channel that took the payment.
        channel: ChannelId,
        /// Its number of the payment.
        transaction: TransactionId,
    },
    /// The platform's reference data.
    Reference,
    /// A shard itself: the reference data that it holds.
    Shard(Shard),
}

impl Subject {
    /// The shard that holds this subject in a ledger of `shards`: XXH3 of the text, modulo.
    pub fn shard(&self, shards: Shard) -> Shard {
        let mut text: SmallVec<[u8; 96]> = SmallVec::new();
        match self {
            Self::Shard(n) => return *n,
            Self::Reference => text.extend_from_slice(b"reference"),
            Self::User(user) => {
                text.extend_from_slice(b"user:");
                text.extend_from_slice(user.as_str().as_bytes());
            }
            Self::Transaction { channel, transaction } => {
                text.extend_from_slice(b"claim:transaction:");
                text.extend_from_slice(channel.as_str().as_bytes());
                text.push(b'/');
                text.extend_from_slice(transaction.as_str().as_bytes());
            }
        }
        let shard = xxh3_64(&text) % u64::from(shards);
        Shard::try_from(shard).expect("a remainder is below the number of shards")
    }

    /// The user, where the subject is one.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::User(user) => Some(user),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user:{user}"),
            Self::Transaction { channel, transaction } => write!(f, "claim:transaction:{channel}/{transaction}"),
            Self::Reference => f.write_str("reference"),
            Self::Shard(n) => write!(f, "shard:{n}"),
        }
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let said = |e: crate::IdError| e.to_string();
        if text == "reference" {
            return Ok(Self::Reference);
        }
        if let Some(user) = text.strip_prefix("user:") {
            return user.parse().map(Self::User).map_err(said);
        }
        if let Some((channel, transaction)) =
            text.strip_prefix("claim:transaction:").and_then(|rest| rest.split_once('/'))
        {
            let (channel, transaction) = (channel.parse().map_err(said)?, transaction.parse().map_err(said)?);
            return Ok(Self::Transaction { channel, transaction });
        }
        if let Some(n) = text.strip_prefix("shard:").and_then(canonical_number) {
            return Ok(Self::Shard(n));
        }
        Err(format!("{text:?} is not a subject such as user:<id> or claim:transaction:<channel>/<transaction>"))
    }
}

/// The binary form; JSON shows the text. It reads straight into a subject: every record has one.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Subject", rename = "Subject")]
enum Binary {
    User(UserId),
    Transaction { channel: ChannelId, transaction: TransactionId },
    Reference,
    Shard(Shard),
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { Binary::serialize(self, serializer) }
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return deserializer
                .deserialize_str(TextVisitor { expected: "a subject such as user:<id>", parse: str::parse });
        }
        Binary::deserialize(deserializer)
    }
}

impl JsonSchema for Subject {
    fn schema_name() -> Cow<'static, str> {
        "Subject".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        const NAME: &str = "[A-Za-z0-9._@+~-]{1,200}";
        json_schema!({
            "type": "string",
            "pattern": format!("^(user:{NAME}|claim:transaction:{NAME}/[!-~]{{1,200}}|reference|shard:(0|[1-9][0-9]{{0,4}}))$"),
            "description": "Whose state a record changes; its hash names the shard.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_read_as_they_print() {
        for text in ["user:u1", "claim:transaction:apple/GPA.1/2:3", "reference", "shard:15"] {
            assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_shard_of_a_subject_never_changes() {
        // Frozen: another hash would lose every id and wallet of an existing ledger.
        let shard = |text: &str| text.parse::<Subject>().unwrap().shard(16);
        assert_eq!(["user:u1", "user:u2", "reference", "claim:transaction:apple/t1"].map(shard), [15, 13, 4, 11]);
        assert_eq!(shard("shard:9"), 9);
    }
}
