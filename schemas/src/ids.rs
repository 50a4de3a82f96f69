//! Identifiers. Each kind is a type of its own, so a room never stands where a user should.

use std::{borrow::Cow, fmt, marker::PhantomData, str::FromStr};

use compact_str::CompactString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest id in bytes, whatever its kind. Third parties make long ones: a Checkout session of Stripe
/// has 66, a purchase token of Google about 150.
pub const MAX_ID_BYTES: usize = 200;

/// What an [`Id`] names; a marker, never a value.
pub trait Kind: 'static {
    /// The name that error messages use, such as `user id`.
    const WHAT: &'static str;
    /// Which characters such an id may contain.
    const ALPHABET: Alphabet = Alphabet::Name;
}

/// The characters of an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alphabet {
    /// ASCII letters, digits and `. _ - @ + ~`: safe inside account names and file formats.
    Name,
    /// Any visible ASCII character: what third parties use as transaction numbers.
    Visible,
    /// Any text.
    Any,
}

/// Which bytes a name may contain. A table, since every id of every record that is read is checked.
const NAME_BYTES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        allowed[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@' | b'+' | b'~');
        byte += 1;
    }
    allowed
};

impl Alphabet {
    /// Whether all of a text belongs. Outside ASCII only [`Alphabet::Any`] has anything.
    fn has_all(self, text: &str) -> bool {
        match self {
            Self::Name => text.bytes().all(|byte| NAME_BYTES[usize::from(byte)]),
            Self::Visible => text.bytes().all(|byte| byte.is_ascii_graphic()),
            Self::Any => true,
        }
    }

    fn described(self) -> &'static str {
        match self {
            Self::Name => "ASCII letters, digits and . _ - @ + ~",
            Self::Visible => "visible ASCII characters",
            Self::Any => "any characters",
        }
    }
}

/// An identifier of 1 to 200 bytes in the alphabet of its [`Kind`].
pub struct Id<K> {
    text: CompactString,
    kind: PhantomData<fn() -> K>,
}

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("{} must not be empty", a(.0))]
    Empty(&'static str),
    /// More than [`MAX_ID_BYTES`].
    #[error("{} has at most {MAX_ID_BYTES} bytes, this one has {bytes}", a(.what))]
    TooLong {
        /// The kind of id.
        what: &'static str,
        /// Its length in bytes.
        bytes: usize,
    },
    /// A character outside the alphabet.
    #[error("{found:?} in {text:?}: {} may contain {allowed}", a(.what))]
    Character {
        /// The kind of id.
        what: &'static str,
        /// The text as given.
        text: String,
        /// The first character that does not belong.
        found: char,
        /// The alphabet in words.
        allowed: &'static str,
    },
    /// Not a number of the form `<shard>-<sequence>`, or a lot number.
    #[error("{text:?} is not {what}")]
    Number {
        /// What was expected, with its form.
        what: &'static str,
        /// The text as given.
        text: String,
    },
}

/// With its article.
fn a(what: &str) -> String {
    let article = if what.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {what}")
}

/// With a capital letter at its beginning.
fn capital(words: &str) -> String {
    words[..1].to_uppercase() + &words[1..]
}

impl<K: Kind> Id<K> {
    /// Checks `text` and makes an id of it.
    pub fn new(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty(K::WHAT));
        }
        if text.len() > MAX_ID_BYTES {
            return Err(IdError::TooLong { what: K::WHAT, bytes: text.len() });
        }
        if !K::ALPHABET.has_all(text) {
            let stray = |c: &char| !K::ALPHABET.has_all(c.encode_utf8(&mut [0; 4]));
            let found = text.chars().find(stray).expect("one of them does not belong");
            return Err(IdError::Character {
                what: K::WHAT,
                text: text.to_owned(),
                found,
                allowed: K::ALPHABET.described(),
            });
        }
        Ok(Self { text: CompactString::new(text), kind: PhantomData })
    }

    /// The id as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

// Derives would ask the marker `K` for the same traits, which it has no reason to implement.
impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), kind: PhantomData }
    }
}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}
impl<K> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}
impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl<K> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(IdVisitor(PhantomData))
    }
}

struct IdVisitor<K>(PhantomData<fn() -> K>);

impl<K: Kind> de::Visitor<'_> for IdVisitor<K> {
    type Value = Id<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: 1 to {MAX_ID_BYTES} bytes of {}", a(K::WHAT), K::ALPHABET.described())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Id<K>, E> {
        Id::new(text).map_err(E::custom)
    }
}

/// Reads a borrowed or owned string and parses it in place.
pub(crate) struct TextVisitor<F> {
    /// In words, with its form.
    pub(crate) expected: &'static str,
    pub(crate) parse: F,
}

impl<T, E: fmt::Display, F: Fn(&str) -> Result<T, E>> de::Visitor<'_> for TextVisitor<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<Error: de::Error>(self, text: &str) -> Result<T, Error> {
        (self.parse)(text).map_err(Error::custom)
    }
}

impl<K: Kind> JsonSchema for Id<K> {
    fn schema_name() -> Cow<'static, str> {
        let words = K::WHAT.split([' ', '-']);
        let name: String = words.map(capital).collect();
        Cow::Owned(name)
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let pattern = match K::ALPHABET {
            Alphabet::Name => "^[A-Za-z0-9._@+~-]+$",
            Alphabet::Visible => "^[!-~]+$",
            Alphabet::Any => "^[\\s\\S]+$",
        };
        let description = match K::ALPHABET {
            Alphabet::Name | Alphabet::Visible => {
                format!("{} of 1 to {MAX_ID_BYTES} characters.", capital(&a(K::WHAT)))
            }
            // A schema counts characters; outside ASCII one has up to four bytes.
            Alphabet::Any => format!("{} of 1 to {MAX_ID_BYTES} bytes of UTF-8.", capital(&a(K::WHAT))),
        };
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_ID_BYTES,
            "pattern": pattern,
            "description": description,
        })
    }
}

/// Marker types of the ids.
pub mod kinds {
    use super::{Alphabet, Kind};

    /// A user who holds a wallet.
    pub enum User {}
    /// A streamer who receives gifts.
    pub enum Streamer {}
    /// A guild of streamers.
    pub enum Guild {}
    /// A live room.
    pub enum Room {}
    /// An item of the catalogue.
    pub enum Item {}
    /// A payment channel.
    pub enum Channel {}
    /// A channel's number of a payment.
    pub enum Transaction {}
    /// A third party that delivers game orders.
    pub enum Provider {}
    /// A campaign.
    pub enum Activity {}
    /// Who acted: a service, an operator, a job.
    pub enum Actor {}
    /// A short code that says why.
    pub enum Reason {}
    /// A service that asks.
    pub enum Source {}
    /// A caller's id of a command.
    pub enum Command {}

    impl Kind for User {
        const WHAT: &'static str = "user id";
    }
    impl Kind for Streamer {
        const WHAT: &'static str = "streamer id";
    }
    impl Kind for Guild {
        const WHAT: &'static str = "guild id";
    }
    impl Kind for Room {
        const WHAT: &'static str = "room id";
    }
    impl Kind for Item {
        const WHAT: &'static str = "item id";
    }
    impl Kind for Channel {
        const WHAT: &'static str = "channel id";
    }
    impl Kind for Transaction {
        const WHAT: &'static str = "transaction id";
        const ALPHABET: Alphabet = Alphabet::Visible;
    }
    impl Kind for Provider {
        const WHAT: &'static str = "provider id";
    }
    impl Kind for Activity {
        const WHAT: &'static str = "activity id";
    }
    impl Kind for Actor {
        const WHAT: &'static str = "actor id";
    }
    impl Kind for Reason {
        const WHAT: &'static str = "reason code";
    }
    impl Kind for Source {
        const WHAT: &'static str = "source";
    }
    impl Kind for Command {
        const WHAT: &'static str = "command id";
        const ALPHABET: Alphabet = Alphabet::Any;
    }
}

/// Names a user.
pub type UserId = Id<kinds::User>;
/// Names a streamer.
pub type StreamerId = Id<kinds::Streamer>;
/// Names a guild.
pub type GuildId = Id<kinds::Guild>;
/// Names a room.
pub type RoomId = Id<kinds::Room>;
/// Names an item of the catalogue.
pub type ItemId = Id<kinds::Item>;
/// Names a payment channel.
pub type ChannelId = Id<kinds::Channel>;
/// Names a payment within its channel.
pub type TransactionId = Id<kinds::Transaction>;
/// Names a third party that delivers game orders.
pub type ProviderId = Id<kinds::Provider>;
/// Names a campaign.
pub type ActivityId = Id<kinds::Activity>;
/// Names who acted.
pub type ActorId = Id<kinds::Actor>;
/// Says why, in a short code such as `provider_rejected`.
pub type ReasonCode = Id<kinds::Reason>;
/// Names the service that asks: command ids are its own. A token fixes it.
pub type Source = Id<kinds::Source>;
/// Names a command within its subject and source; the idempotency key.
pub type CommandId = Id<kinds::Command>;

impl Source {
    /// What the command line asks as, unless it is told another.
    pub fn cli() -> Self {
        Self { text: CompactString::const_new("cli"), kind: PhantomData }
    }

    /// Who asks over HTTP without a token and without a name.
    pub fn http() -> Self {
        Self { text: CompactString::const_new("http"), kind: PhantomData }
    }

    /// What brings orders of third parties to their end asks as.
    pub fn driver() -> Self {
        Self { text: CompactString::const_new("driver"), kind: PhantomData }
    }

    /// Whether it is a part of the ledger itself, whose name no service may take.
    pub fn is_own(&self) -> bool {
        *self == Self::driver()
    }
}

impl StreamerId {
    /// Who receives a gift that names no streamer. No settlement pays the house.
    pub fn house() -> Self {
        Self { text: CompactString::const_new("house"), kind: PhantomData }
    }

    /// Whether this is [`StreamerId::house`].
    pub fn is_house(&self) -> bool {
        self.text == "house"
    }
}

/// The number of a shard, from 0.
pub type Shard = u16;

/// `<shard>-<sequence>` of the record that placed the order; `.n` behind it where an atomic group
/// placed several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId {
    /// The shard of the placing record.
    pub shard: Shard,
    /// Its sequence, from 1.
    pub sequence: u64,
    /// Its place within an atomic group, from 0.
    pub part: u8,
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.shard, self.sequence)?;
        if self.part > 0 { write!(f, ".{}", self.part) } else { Ok(()) }
    }
}

impl FromStr for OrderId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let parse = || {
            let (shard, rest) = text.split_once('-')?;
            let (sequence, part) = parse_numbered(rest)?;
            Some(Self { shard: canonical_number(shard)?, sequence, part })
        };
        parse().ok_or_else(|| IdError::Number { what: "an order number such as 3-17", text: text.to_owned() })
    }
}

/// The sequence of the record that created a lot, in the shard of its user; `.n` behind it where
/// an atomic group created several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LotId {
    /// The sequence of the creating record.
    pub sequence: u64,
    /// Its place within an atomic group, from 0.
    pub part: u8,
}

impl fmt::Display for LotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sequence)?;
        if self.part > 0 { write!(f, ".{}", self.part) } else { Ok(()) }
    }
}

impl FromStr for LotId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (sequence, part) =
            parse_numbered(text).ok_or_else(|| IdError::Number { what: "a lot number", text: text.to_owned() })?;
        Ok(Self { sequence, part })
    }
}

/// Reads `17` or `17.2`, in the one form that [`fmt::Display`] writes.
fn parse_numbered(text: &str) -> Option<(u64, u8)> {
    match text.split_once('.') {
        None => Some((canonical_number(text)?, 0)),
        Some((sequence, part)) => {
            let part = canonical_number(part)?;
            (part > 0).then_some((canonical_number(sequence)?, part))
        }
    }
}

/// Digits without a sign or a leading zero, so that a number has one spelling.
pub(crate) fn canonical_number<N: FromStr>(text: &str) -> Option<N> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}

impl Serialize for OrderId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            (self.shard, self.sequence, self.part).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for OrderId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer
                .deserialize_str(TextVisitor { expected: "an order number such as 3-17, as a text", parse: str::parse })
        } else {
            let (shard, sequence, part) = Deserialize::deserialize(deserializer)?;
            Ok(Self { shard, sequence, part })
        }
    }
}

impl Serialize for LotId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            (self.sequence, self.part).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for LotId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer
                .deserialize_str(TextVisitor { expected: "a lot number such as 17, as a text", parse: str::parse })
        } else {
            let (sequence, part) = Deserialize::deserialize(deserializer)?;
            Ok(Self { sequence, part })
        }
    }
}

impl JsonSchema for OrderId {
    fn schema_name() -> Cow<'static, str> {
        "OrderId".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(0|[1-9][0-9]{0,4})-(0|[1-9][0-9]{0,19})(\\.[1-9][0-9]{0,2})?$",
            "description": "`<shard>-<sequence>` of the placing record, `.n` within an atomic group.",
        })
    }
}

impl JsonSchema for LotId {
    fn schema_name() -> Cow<'static, str> {
        "LotId".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(0|[1-9][0-9]{0,19})(\\.[1-9][0-9]{0,2})?$",
            "description": "Sequence of the record that created the lot, `.n` within an atomic group.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_what_is_wrong() {
        assert_eq!(UserId::new("").unwrap_err().to_string(), "a user id must not be empty");
        assert_eq!(
            RoomId::new("a:b").unwrap_err().to_string(),
            "':' in \"a:b\": a room id may contain ASCII letters, digits and . _ - @ + ~"
        );
        assert_eq!(
            CommandId::new(&"é".repeat(101)).unwrap_err().to_string(),
            "a command id has at most 200 bytes, this one has 202"
        );
        assert!(CommandId::new("any text: 送礼 #1").is_ok());
    }

    #[test]
    fn order_numbers_have_one_spelling() {
        for good in ["0-1", "15-184467440737", "3-17.2"] {
            assert_eq!(good.parse::<OrderId>().unwrap().to_string(), good);
        }
        for bad in ["", "3", "3-", "-3", "3-017", "+3-1", "3-17.0", "3-17.", "70000-1", "3-1 "] {
            assert!(bad.parse::<OrderId>().is_err(), "{bad:?} was read as an order number");
        }
    }
}
