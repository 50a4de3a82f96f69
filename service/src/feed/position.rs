//! Where one record is.

use std::{fmt, str::FromStr};

use schemas::{Shard, visible};

use super::Error;

/// A record's place, `<shard>-<sequence>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Its shard.
    pub shard: Shard,
    /// Its sequence there, from 1.
    pub sequence: u64,
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
        let parts = text.split_once('-').filter(|(shard, sequence)| number(shard) && number(sequence));
        let parsed = parts.and_then(|(shard, sequence)| {
            Some(Self { shard: shard.parse().ok()?, sequence: sequence.parse().ok().filter(|&n| n > 0)? })
        });
        parsed.ok_or_else(|| Error::NotAPosition { found: visible(text).chars().take(60).collect() })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.shard, self.sequence)
    }
}
