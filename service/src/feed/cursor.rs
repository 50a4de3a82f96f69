//! Where a follower is: behind which record of each shard.
//!
//! ```text
//! base64url without padding of
//!   version   1     1
//!   lineage  17     16, and the ledger's id
//!   shards    1–2   how many, then each one's last sequence, 1–8 bytes     (postcard: LEB128)
//!   checksum  4     the low 32 bits of XXH3 of all bytes before, little-endian
//! ```
//!
//! To others it is opaque. The checksum is there for people: a token that lost a letter is refused as such, and does
//! not resume elsewhere. It proves nothing to a machine, and has nothing to hide.

use std::{fmt, str::FromStr};

use data_encoding::BASE64URL_NOPAD;
use ledger::log::{Head, Options};
use schemas::{Shard, visible};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::{Error, Result};

const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 4;
/// A cursor of [`Options::MAX_SHARDS`] that are all as long as they can be has fewer letters.
const MOST_LETTERS: usize = 16 * 1_024;

/// A place in the log between records: in each shard, behind its record of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    lineage: Uuid,
    sequences: Vec<u64>,
}

/// Where somebody wants to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// Before the first record: `start` or `0`.
    Start,
    /// Behind the newest durable one: `now` or `head`.
    Now,
    /// Behind a cursor.
    Cursor(Cursor),
}

impl Cursor {
    /// Behind a sequence of each shard.
    pub fn new(lineage: Uuid, sequences: Vec<u64>) -> Self {
        Self { lineage, sequences }
    }

    /// Before everything.
    pub fn start(lineage: Uuid, shards: Shard) -> Self {
        Self { lineage, sequences: vec![0; usize::from(shards)] }
    }

    /// Behind everything.
    pub fn of(head: &Head) -> Self {
        Self { lineage: head.lineage, sequences: head.shards.iter().map(|shard| shard.sequence).collect() }
    }

    /// The ledger that it is of.
    pub fn lineage(&self) -> Uuid {
        self.lineage
    }

    /// The last sequence before it, of each shard.
    pub fn sequences(&self) -> &[u64] {
        &self.sequences
    }

    /// Whether it stands behind a record.
    pub fn has(&self, shard: Shard, sequence: u64) -> bool {
        sequence <= self.sequences[usize::from(shard)]
    }

    /// Moves behind a record, if it is not behind it already.
    pub(super) fn take(&mut self, shard: Shard, sequence: u64) {
        let own = &mut self.sequences[usize::from(shard)];
        *own = (*own).max(sequence);
    }

    /// Moves behind everything that another one is behind.
    pub(super) fn take_all(&mut self, sequences: &[u64]) {
        for (own, other) in self.sequences.iter_mut().zip(sequences) {
            *own = (*own).max(*other);
        }
    }

    /// How many records it is behind. Where two cursors both cut the log itself, the one of more stands further.
    pub fn total(&self) -> u64 {
        self.sequences.iter().sum()
    }

    /// The first shard in which it stands further than `other`: its sequence, and the other's.
    pub(super) fn ahead_of(&self, other: &Self) -> Option<(Shard, u64, u64)> {
        let both = (0..).zip(self.sequences.iter().zip(&other.sequences));
        both.map(|(shard, (own, other))| (shard, *own, *other)).find(|(_, own, other)| own > other)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stated = (VERSION, self.lineage, &self.sequences);
        let mut bytes = postcard::to_stdvec(&stated).expect("a cursor has a form");
        let checksum = xxh3_64(&bytes).to_le_bytes();
        bytes.extend_from_slice(&checksum[..CHECKSUM_BYTES]);
        BASE64URL_NOPAD.encode_display(&bytes).fmt(f)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what| Error::NotACursor { found: shown(text), what };
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        if text.len() > MOST_LETTERS {
            return Err(wrong("it is longer than any cursor"));
        }
        let decoded = BASE64URL_NOPAD.decode(text.as_bytes());
        let bytes = decoded.map_err(|_| wrong("it is no base64url, or was cut"))?;
        let Some((stated, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(wrong("it is too short"));
        };
        if checksum[..] != xxh3_64(stated).to_le_bytes()[..CHECKSUM_BYTES] {
            return Err(wrong("its checksum does not fit: it was mistyped or cut"));
        }
        if stated.first() != Some(&VERSION) {
            return Err(wrong("it is of a version that this release does not know"));
        }
        match postcard::take_from_bytes::<(u8, Uuid, Vec<u64>)>(stated) {
            Ok(((_, lineage, sequences), [])) if is_sound(&sequences) => Ok(Self { lineage, sequences }),
            _ => Err(wrong("no release made it")),
        }
    }
}

/// Whether the numbers can be those of a ledger.
fn is_sound(sequences: &[u64]) -> bool {
    const MAX_SEQUENCE: u64 = 1 << 53;
    (1..=usize::from(Options::MAX_SHARDS)).contains(&sequences.len())
        && sequences.iter().all(|&sequence| sequence < MAX_SEQUENCE)
}

/// What of a text fits into a message.
fn shown(text: &str) -> String {
    const MOST: usize = 40;
    let start: String = text.chars().take(MOST).collect();
    format!("{}{}", visible(&start), if text.chars().nth(MOST).is_some() { "…" } else { "" })
}

impl FromStr for After {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "start" | "0" => Ok(Self::Start),
            "now" | "head" => Ok(Self::Now),
            cursor => cursor.parse().map(Self::Cursor),
        }
    }
}

impl From<Cursor> for After {
    fn from(cursor: Cursor) -> Self {
        Self::Cursor(cursor)
    }
}
