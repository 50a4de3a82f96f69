//! Every code that this server can give, in one table: what it means, what it says of the command, whether to ask
//! again. `GET /docs/problems/{code}` shows a row, and so does the command line's help; [`Problem`](crate::http) names
//! none that has no row here.

mod others;
mod refusals;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::super::problem::{page, title};

/// What is known of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What clients branch on; it never changes.
    pub code: &'static str,
    /// The HTTP status that it comes with; 200 where it stands in a line of a stream.
    pub status: u16,
    /// What it says of the command, where it is about one.
    pub state: Option<&'static str>,
    /// Whether to ask again, and how.
    pub retry: Retry,
    /// What has happened.
    pub means: &'static str,
    /// What to do.
    pub then: &'static str,
    /// What `detail`, or a line's `message`, says for instance.
    pub says: &'static str,
}

/// Whether asking again helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same request with the same id, later.
    Same,
    /// The id is free: correct the request, and send it with the same id.
    Corrected,
    /// The outcome is recorded for ever under the id: what should be done instead needs a new one.
    NewId,
    /// Not before a person has changed something.
    Never,
}

impl Retry {
    /// In a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Same => {
                "Yes: send the same request again, a command with the same id. Wait as long as Retry-After says where it \
                 is there, then longer each time, with some randomness."
            }
            Self::Corrected => {
                "Not as it is. Nothing was recorded and the id is free: correct the request and send it with the same id."
            }
            Self::NewId => {
                "No. This is the outcome of the command for ever: under the same id the same answer comes again. What \
                 should be done instead is another command, with a new id."
            }
            Self::Never => "No: it would be answered alike. Something else has to change first.",
        }
    }
}

/// One row of the table.
const fn row(
    (code, status, state): (&'static str, u16, Option<&'static str>),
    retry: Retry,
    means: &'static str,
    then: &'static str,
    says: &'static str,
) -> Row {
    Row { code, status, state, retry, means, then, says }
}

/// All codes, by the groups in which the page lists them.
pub fn groups() -> [(&'static str, &'static [Row]); 6] {
    [
        ("Refusals: the command was decided, recorded, and is final under its id", &refusals::REFUSED),
        ("The command has no outcome, or not this one", &others::COMMANDS),
        ("The request", &others::REQUESTS),
        ("Tokens", &others::TOKENS),
        ("Feed and streams", &others::STREAMS),
        ("Subscriptions", &others::SUBSCRIPTIONS),
    ]
}

/// All codes.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    groups().into_iter().flat_map(|(_, rows)| rows)
}

/// What is known of a code.
pub fn find(code: &str) -> Option<&'static Row> {
    rows().find(|row| row.code == code)
}

impl Row {
    /// As a server says it: a problem, or a line of a stream.
    pub fn example(&self) -> Value {
        let mut said = Map::new();
        let mut say = |name: &str, value: Value| said.insert(name.to_owned(), value);
        if self.status >= 400 {
            say("type", page(self.code).into());
            say("title", title(self.code).into());
            say("status", self.status.into());
            say("detail", self.says.into());
        } else {
            say("message", self.says.into());
        }
        say("code", self.code.into());
        if let Some(state) = self.state {
            say("state", state.into());
        }
        Value::Object(said)
    }

    /// The page as JSON.
    pub fn json(&self) -> Value {
        json!({
            "code": self.code, "title": title(self.code), "status": self.status, "state": self.state,
            "means": self.means, "then": self.then, "retry": self.retry, "retry_means": self.retry.sentence(),
            "example": self.example(), "page": page(self.code),
        })
    }
}
