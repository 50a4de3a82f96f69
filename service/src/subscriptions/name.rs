//! What a subscription is called.

use std::{fmt, str::FromStr};

use schemas::visible;
use serde::{Deserialize, Serialize};

/// The longest name: it stands in addresses and tables.
const MOST_BYTES: usize = 64;

/// The name of a subscription: 1 to 64 ASCII letters, digits and `. _ - @ + ~`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Box<str>);

/// Why a text is no name of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a subscription: it has 1 to {MOST_BYTES} ASCII letters, digits and . _ - @ + ~")]
pub struct NameError(String);

impl Name {
    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let belongs = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+~".contains(&byte);
        if (1..=MOST_BYTES).contains(&text.len()) && text.bytes().all(belongs) {
            return Ok(Self(text.into()));
        }
        Err(NameError(visible(text).chars().take(MOST_BYTES).collect()))
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.into()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
