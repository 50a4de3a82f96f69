//! Canonical bytes: one version byte, then the record in postcard. Whatever decodes encodes to the
//! same bytes again, so a hash over them is a hash over the meaning.
//!
//! Version 2 is frozen: fields and variants are never removed, reordered or changed. What
//! must change becomes a new variant at the end of its enum, or a new version byte.

use std::{fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Command, Event, Record, Timestamp, ids::TextVisitor};

/// The version of the canonical bytes that this release writes.
const VERSION: u8 = 3;

/// The most bytes that a record may have: what a Kafka broker takes by default, halved.
pub const MAX_RECORD_BYTES: usize = 512 * 1024;

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No bytes.
    #[error("a record of no bytes")]
    Empty,
    /// Written by a later release.
    #[error("a record of format version {0}; this release reads up to {VERSION}: use a newer release")]
    NewerVersion(u8),
    /// Written before the first release.
    #[error(
        "a record of format version {0}, from before the first release; this release reads {VERSION}: make a new ledger"
    )]
    OlderVersion(u8),
    /// Damaged, or not a record.
    #[error("not a record: {0}")]
    Malformed(postcard::Error),
    /// A record with something behind it.
    #[error("{0} bytes behind the end of a record")]
    Trailing(usize),
    /// The record that they decode to is written otherwise.
    #[error("a record that is not written in its one way")]
    NotCanonical,
}

/// Appends the canonical bytes of `record` to `bytes`.
pub fn encode_record(record: &Record, bytes: &mut Vec<u8>) {
    let mut room = Room::new();
    room.bytes[0] = VERSION;
    room.len = 1;
    if let Some(encoded) = room.encode(record) {
        bytes.extend_from_slice(encoded);
    } else {
        bytes.push(VERSION);
        let whole = postcard::to_extend(record, std::mem::take(bytes));
        *bytes = whole.expect("every record has a postcard form, and a vector takes all of it");
    }
}

/// How many bytes [`encode_record`] appends.
pub fn encoded_len(record: &Record) -> usize {
    let body = postcard::serialize_with_flavor(record, postcard::ser_flavors::Size::default());
    1 + body.expect("every record has a postcard form")
}

/// Room on the stack for what nearly always fits: fields are written there without asking a vector
/// to grow, and without a call for each of their few bytes.
struct Room {
    bytes: [u8; 512],
    len: usize,
}

impl Room {
    fn new() -> Self {
        Self { bytes: [0; 512], len: 0 }
    }

    /// The postcard form of `value` behind what there is, if it fits.
    fn encode(&mut self, value: &impl Serialize) -> Option<&[u8]> {
        postcard::serialize_with_flavor(value, &mut *self).ok()?;
        Some(&self.bytes[..self.len])
    }
}

impl postcard::ser_flavors::Flavor for &mut Room {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        *self.bytes.get_mut(self.len).ok_or(postcard::Error::SerializeBufferFull)? = byte;
        self.len += 1;
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        let len = bytes.len();
        let room = self.bytes.get_mut(self.len..self.len + len).ok_or(postcard::Error::SerializeBufferFull)?;
        // Numbers and names are short. Two copies of a known length that overlap take less than one of
        // any length.
        if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>())
            && len <= 16
        {
            room[..8].copy_from_slice(first);
            room[len - 8..].copy_from_slice(last);
        } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>())
            && len <= 8
        {
            room[..4].copy_from_slice(first);
            room[len - 4..].copy_from_slice(last);
        } else if len < 4 {
            if let (Some(first), Some(last)) = (bytes.first(), bytes.last()) {
                room[0] = *first;
                room[len / 2] = bytes[len / 2];
                room[len - 1] = *last;
            }
        } else {
            room.copy_from_slice(bytes);
        }
        self.len += len;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Reads a record from its canonical bytes.
///
/// # Errors
/// If `bytes` are anything but exactly one record of a version that this release knows.
pub fn decode_record(bytes: &[u8]) -> Result<Record, DecodeError> {
    match bytes.split_first() {
        None => Err(DecodeError::Empty),
        Some((&VERSION, body)) => {
            let (record, rest) = postcard::take_from_bytes(body).map_err(DecodeError::Malformed)?;
            if !rest.is_empty() {
                return Err(DecodeError::Trailing(rest.len()));
            }
            if (may_be_padded(body) || has_dates(&record)) && !is_canonical(&record, bytes) {
                return Err(DecodeError::NotCanonical);
            }
            Ok(record)
        }
        Some((&version, _)) if version < VERSION => Err(DecodeError::OlderVersion(version)),
        Some((&version, _)) => Err(DecodeError::NewerVersion(version)),
    }
}

/// Whether a number may have been written longer than it needs: postcard reads `80 00` as it reads
/// `00`. A digest has such a pair of bytes in one record of thirty, so whoever finds one looks
/// closer; the others need not be encoded again to know.
fn may_be_padded(body: &[u8]) -> bool {
    // Counted to the end, so that many bytes are looked at at once.
    body.iter().zip(body.iter().skip(1)).filter(|(byte, next)| **byte >= 0x80 && **next == 0).count() > 0
}

/// Whether it is one of the few records with dates, which are texts that can be written in several ways.
fn has_dates(record: &Record) -> bool {
    matches!(record.event(), Some(Event::ReferencePublished(_) | Event::ReferenceTaken(_)))
}

/// Whether `bytes` are those that `record` encodes to: what [`encode_record`] would write, compared as
/// it would be written.
pub fn is_canonical(record: &Record, bytes: &[u8]) -> bool {
    let Some((&VERSION, body)) = bytes.split_first() else { return false };
    postcard::serialize_with_flavor(record, Same { rest: body }).unwrap_or(false)
}

/// Takes what is written, if it is what was expected.
struct Same<'a> {
    rest: &'a [u8],
}

impl postcard::ser_flavors::Flavor for Same<'_> {
    /// Whether nothing more was expected.
    type Output = bool;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        match self.rest.split_first() {
            Some((&expected, rest)) if expected == byte => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(postcard::Error::SerializeBufferFull),
        }
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        // Numbers and ids come in few bytes; a call to compare them costs more than they do.
        match self.rest.split_at_checked(bytes.len()) {
            Some((expected, rest)) if expected.iter().zip(bytes).all(|(expected, byte)| expected == byte) => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(postcard::Error::SerializeBufferFull),
        }
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.rest.is_empty())
    }
}

/// What a command asks for, in 128 bits: BLAKE3 over its postcard form and its `occurred_at`. The
/// actor, the client and the encoding that it came in are not part of it, and a default that was
/// spelled out equals one that was left out.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// The digest of a command.
    pub fn of(command: &Command, occurred_at: Option<Timestamp>) -> Self {
        let meant = (command, occurred_at);
        let hash = match Room::new().encode(&meant) {
            Some(bytes) => blake3::hash(bytes),
            None => blake3::hash(&postcard::to_stdvec(&meant).expect("every command has a postcard form")),
        };
        Self(hash.as_bytes()[..16].try_into().expect("a hash has 32 bytes"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Digest {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse_hex(text).map(Self).ok_or_else(|| format!("{text:?} is not a digest of 32 hexadecimal digits"))
    }
}

/// Reads lower-case hexadecimal digits.
pub(crate) fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}
impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer
                .deserialize_str(TextVisitor { expected: "a digest of 32 hexadecimal digits", parse: str::parse })
        } else {
            <[u8; 16]>::deserialize(deserializer).map(Self)
        }
    }
}
impl JsonSchema for Digest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Digest".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9a-f]{32}$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_one_form() {
        // The shard, a number, stands behind the version.
        let sound = include_bytes!("../../tests/golden/v3/refused_nothing_to_do.bin");
        assert!(decode_record(sound).is_ok() && sound[1] < 0x80);
        let padded = [&[sound[0], sound[1] | 0x80, 0], &sound[2..]].concat();
        assert_eq!(decode_record(&padded), Err(DecodeError::NotCanonical));
        let published: &[u8] = include_bytes!("../../tests/golden/v3/reference_published.bin");
        let date = published.windows(11).position(|text| text == b"\x0a2026-01-01").expect("it names a day");
        let mut short = published.to_vec();
        short.splice(date..date + 11, *b"\x082026-1-1");
        assert!(decode_record(published).is_ok());
        assert_eq!(decode_record(&short), Err(DecodeError::NotCanonical));
    }
}
