//! JSON at the door: what is read ([`strict`]), how a wrong line is explained ([`explain`]), and the
//! published schemas of both ([`schema`]). Schema and reader agree; `tests/tests/agreement.rs` holds them
//! to it, with the few exceptions that a schema cannot say.

mod explain;
mod schema;
pub(crate) mod strict;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

use crate::{CommandId, Envelope, Malformed, Record};

pub(crate) use schema::{group_members, one_or_more};
pub use schema::{json_schemas, schema_settings};

/// A line that is no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Its id, where that much of it could be read.
    pub id: Option<CommandId>,
    /// What is wrong with it.
    pub malformed: Malformed,
}

impl Unread {
    /// A line of which only `beginning` was read, as it has more than `limit` bytes.
    pub fn too_long(beginning: &[u8], limit: u64) -> Self {
        let problem = format!("a line of more than {limit} bytes, the most that one may have");
        Self { id: explain::id_of(beginning), malformed: Malformed::line(problem) }
    }
}

impl Envelope {
    /// Reads a command line. One that is wrong is read a second time, to say what is wrong and where.
    ///
    /// # Errors
    /// Says what is wrong with the line.
    pub fn read(line: &[u8]) -> Result<Self, Box<Unread>> {
        serde_json::from_slice(line).map_err(|error| Box::new(explain::unread(line, &error)))
    }
}

/// Reads a JSON document of any kind as strictly as a command line; what is wrong is said with its path.
///
/// # Errors
/// Says where what is wrong, and what may stand there.
pub fn read_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Malformed> {
    explain::document(text)
}

// In JSON everything inside a record is read strictly; its binary form has no second way to be written.

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Self::deserialize(strict::Strict(deserializer))
        } else {
            Self::deserialize(deserializer)
        }
    }
}

/// Reads an optional field that has a value where it is left out: in JSON `null` leaves it out, too.
pub(crate) fn or<'de, D, T>(deserializer: D, left_out: T) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    if deserializer.is_human_readable() {
        Ok(Option::deserialize(deserializer)?.unwrap_or(left_out))
    } else {
        T::deserialize(deserializer)
    }
}
