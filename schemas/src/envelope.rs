//! A command line: the command with what identifies it, and how it is read from JSON.

use std::fmt;

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Error as _, MapAccess as _},
};

use crate::{
    ActorId, Command, CommandId, ReasonCode, Timestamp,
    json::strict::{Entry, Inside, Name},
};

/// A command with what identifies it. In JSON the command stands under its own name:
/// `{"id": "g-1", "gift": {"user": "u1", "item": "rose", "to": [{"streamer": "s1"}]}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Envelope {
    /// The caller's id of the command: the idempotency key within its subject, for ever.
    pub id: CommandId,
    /// When it happened, if not now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// Who acted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorId>,
    /// The user's app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Box<Client>>,
    /// What is asked for.
    #[serde(flatten)]
    pub command: Command,
}

/// The app that a user acted with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// The kind of device.
    #[serde(default)]
    pub device: Option<ReasonCode>,
    /// The app's package.
    #[serde(default)]
    pub package: Option<ReasonCode>,
    /// The app's version.
    #[serde(default)]
    pub version: Option<ReasonCode>,
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

/// What may stand in a line: its fields, and the commands of callers.
const NAMES: [&str; 20] = [
    "id",
    "occurred_at",
    "actor",
    "client",
    "publish",
    "top_up",
    "chargeback",
    "reinstate",
    "grant",
    "gift",
    "hold",
    "send",
    "query",
    "unresolved",
    "hand_over",
    "capture",
    "release",
    "refund",
    "roll_back_refund",
    "group",
];
/// Where the commands begin among them.
const COMMANDS: usize = 4;

impl<'de> de::Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an id and one command, such as {\"id\": \"g-1\", \"gift\": {…}}")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Envelope, A::Error> {
        let mut map = Inside(map);
        let (mut id, mut occurred_at, mut actor, mut client, mut command) = (None, None, None, None, None);
        while let Some(Name(name)) = map.next_key()? {
            match name.as_ref() {
                "id" => set(&mut id, "id", map.next_value()?)?,
                "occurred_at" => set(&mut occurred_at, "occurred_at", map.next_value()?)?,
                "actor" => set(&mut actor, "actor", map.next_value()?)?,
                "client" => set(&mut client, "client", map.next_value()?)?,
                kind => {
                    let Some(kind) = NAMES.iter().find(|name| **name == kind) else {
                        return Err(A::Error::unknown_field(kind, &NAMES));
                    };
                    match command.replace((*kind, Command::deserialize(OneEntry { name: kind, map: &mut map })?)) {
                        None => {}
                        Some((first, _)) if first == *kind => return Err(A::Error::duplicate_field(kind)),
                        Some((first, _)) => {
                            return Err(A::Error::custom(format!("{first} and {kind}: a line has one command")));
                        }
                    }
                }
            }
        }
        let none = || A::Error::custom(format!("there is no command; one of {}", NAMES[COMMANDS..].join(", ")));
        Ok(Envelope {
            id: id.ok_or_else(|| A::Error::missing_field("id"))?,
            occurred_at: occurred_at.flatten(),
            actor: actor.flatten(),
            client: client.flatten(),
            command: command.ok_or_else(none)?.1,
        })
    }
}

fn set<T, E: de::Error>(field: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    if field.replace(value).is_some() { Err(E::duplicate_field(name)) } else { Ok(()) }
}

/// Presents one entry of a map, whose name is already read, as the enum that serde's derive expects.
struct OneEntry<'a, A> {
    name: &'a str,
    map: &'a mut A,
}

impl<'de, A: de::MapAccess<'de>> Deserializer<'de> for OneEntry<'_, A> {
    type Error = A::Error;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_enum(Entry { name: self.name, map: self.map })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gift, json::Unread};

    fn parse(line: &str) -> Result<Envelope, Box<Unread>> {
        Envelope::read(line.as_bytes())
    }

    #[test]
    fn a_line_is_an_id_and_a_command() {
        let line = r#"{"id":"g-1","gift":{"user":"u1","item":"rose","to":[{"streamer":"s1"}]}}"#;
        let gift = parse(line).unwrap();
        let Command::Gift(Gift { quantity: 1, to, .. }) = &gift.command else { panic!("{gift:?}") };
        assert_eq!(to[0].weight, 1);
        let again: Envelope = parse(&serde_json::to_string(&gift).unwrap()).unwrap();
        assert_eq!(again, gift);
    }

    #[test]
    fn the_commands_of_callers_are_those_of_the_schema() {
        let schema = serde_json::to_value(&crate::json_schemas()[0].1).unwrap();
        let commands =
            schema["oneOf"].as_array().unwrap().iter().map(|command| command["required"][0].as_str().unwrap());
        assert!(commands.eq(NAMES[COMMANDS..].iter().copied()), "NAMES lacks a command, or has one too many");
        for kind in &NAMES[COMMANDS..] {
            let unread = parse(&format!(r#"{{"id":"a","{kind}":7}}"#)).unwrap_err();
            assert_eq!(unread.malformed.path.as_deref(), Some(*kind), "{unread:?}");
        }
    }

    /// Whoever wrote a line is told where it is wrong, what stands there and what may, in the words of
    /// JSON, with the id as far as it was read.
    #[test]
    fn malformed_lines_say_what_is_wrong() {
        let gift = |of: &str| format!(r#"{{"id":"a","gift":{{"user":"u1","item":"rose",{of}}}}}"#);
        let grant = |of: &str| format!(r#"{{"id":"a","grant":{{"user":"u1","reason":"r",{of}}}}}"#);
        let coins = "a whole number of coins from 0 to 9007199254740991";
        let cases: &[(String, &str, &[&str])] = &[
            (
                gift(r#""to":[{"streamer":"s","weight":"2"}]"#),
                "gift.to[0].weight",
                &[r#"found "2""#, "0 to 4294967295"],
            ),
            (
                gift(r#""to":[{"streamer":"s","weight":-2}]"#),
                "gift.to[0].weight",
                &["found -2", "or leave `weight` out"],
            ),
            (gift(r#""to":["s"]"#), "gift.to[0]", &[r#"found "s""#, "an object with streamer, weight"]),
            (gift(r#""to":[["s",1]]"#), "gift.to[0]", &["found an array of 2", "an object with streamer, weight"]),
            (gift(r#""to":{"streamer":"s"}"#), "gift.to", &["found an object with streamer", "allowed is an array"]),
            (
                gift(r#""quantity":1"#),
                "gift.to",
                &["gift.to is missing", "name the streamers", "or say [] for the house"],
            ),
            (
                gift(r#""to":[],"colour":"red""#),
                "gift.colour",
                &["nothing is known by the name `colour`; known here: user, item"],
            ),
            (gift(r#""to":[],"quantiy":2"#), "gift.quantiy", &["did you mean `quantity`?"]),
            (gift(r#""to":[],"to":[]"#), "gift.to", &["it is there twice"]),
            (
                gift(r#""to":[],"room":"a b""#),
                "gift.room",
                &["' ' in \"a b\": a room id may contain", "or leave `room` out"],
            ),
            (
                r#"{"id":"a","gift":["u1","rose"]}"#.into(),
                "gift",
                &["found an array of 2", "an object with user, item"],
            ),
            (r#"{"id":"a","gift":null}"#.into(), "gift", &["found null", "an object with user, item"]),
            (grant(r#""coins":"many""#), "grant.coins", &[r#"found "many""#, coins]),
            (grant(r#""coins":-5"#), "grant.coins", &["found -5", coins]),
            (grant(r#""coins":1.5"#), "grant.coins", &["found 1.5", coins]),
            (grant(r#""coins":9007199254740992"#), "grant.coins", &["9007199254740992 coins are more than"]),
            (grant(r#""coins":99999999999999999999"#), "grant.coins", &["found 1e20", coins]),
            (grant(""), "grant.coins", &["grant.coins is missing"]),
            (
                grant(r#""coins":1,"expires":"9999-12-31T23:59:59Z""#),
                "grant.expires",
                &["at most 2262-04-11T23:47:16.854775807Z", "leave `expires` out for never"],
            ),
            (grant(r#""coins":1,"expires":"never""#), "grant.expires", &["RFC 3339", "leave `expires` out for never"]),
            (
                grant(r#""coins":1,"expires":"1969-12-31T23:59:59Z""#),
                "grant.expires",
                &["at least 1970-01-01T00:00:00Z"],
            ),
            (
                r#"{"id":"a","refund":{"order":{"user":"u","name":{"comand":"g"}},"reason":"r"}}"#.into(),
                "refund.order.name.comand",
                &["did you mean `command`?"],
            ),
            (
                r#"{"id":"a","refund":{"order":{"user":"u","name":"g"},"reason":"r"}}"#.into(),
                "refund.order.name",
                &[r#"found "g"; allowed is an object with number, command, part"#],
            ),
            (
                r#"{"id":"a","refund":{"order":["u",{"number":"1-1"}],"reason":"r"}}"#.into(),
                "refund.order",
                &["found an array of 2", "an object with user, name"],
            ),
            (
                r#"{"id":"a","group":[{"gift":{"user":"u","item":"i","to":[],"quantity":true}}]}"#.into(),
                "group[0].gift.quantity",
                &["found true", "a whole number from 0"],
            ),
            (r#"{"id":"a","gfit":{}}"#.into(), "gfit", &["nothing is known by the name `gfit`; did you mean `gift`?"]),
        ];
        for (line, path, said) in cases {
            let line = line.replace(",}", "}");
            let Unread { id, malformed } = *parse(&line).unwrap_err();
            assert_eq!(malformed.path.as_deref(), Some(*path), "{line}: {malformed}");
            assert_eq!(id, Some("a".parse().unwrap()), "{line}");
            for said in *said {
                assert!(malformed.message.contains(said), "{line}: {malformed}\nlacks {said}");
            }
            for word in ["struct", "sequence", "missing field", "u32", "u64", "variant", "expected ", "invalid type"] {
                assert!(!malformed.message.contains(word), "{line}: {malformed}\nspeaks Rust: {word}");
            }
        }
    }

    #[test]
    fn a_line_that_is_broken_keeps_its_id_where_it_can_be_read() {
        for (line, id, said) in [
            (r#"{"gift":{"user":"u1","item":"rose","to":[]}}"#, None, "id is missing: each command has an id"),
            (r#"{"id":"a"}"#, Some("a"), "there is no command; one of publish"),
            (
                r#"{"id":"a","grant":{"user":"u","coins":1,"reason":"r"},"gift":{"user":"u","item":"i","to":[]}}"#,
                Some("a"),
                "grant and gift: a line has one command",
            ),
            (r#"{"id":"a","id":"b"}"#, Some("a"), "id: it is there twice"),
            (r#"{"id":"","grant":{}}"#, None, "id: a command id must not be empty"),
            (r#"{"id":7,"grant":{}}"#, None, "id: found 7; allowed is a command id: 1 to 200 bytes of any characters"),
            ("[]", None, "found an empty array; allowed is an object with an id and one command"),
            (
                r#"{"id":"a","gift":{"user":"u1""#,
                Some("a"),
                "the line ends too early: EOF while parsing an object, at column 29",
            ),
            (r#"{"gift":{},"id":"a","x":}"#, Some("a"), "expected value, at column 25"),
            (r#"{"id":"a"} {"id":"b"}"#, Some("a"), "trailing characters, at column 12"),
            (r#"{"id":"a","grant":{"coins":1e999}}"#, Some("a"), "number out of range"),
            ("", None, "the line ends too early"),
        ] {
            let Unread { id: read, malformed } = *parse(line).unwrap_err();
            assert!(malformed.message.contains(said), "{line}: {malformed}");
            assert_eq!(read.as_ref().map(CommandId::as_str), id, "{line}");
        }
        let nest = format!(r#"{{"id":"a","gift":{}"#, "[".repeat(1_000_000));
        let Unread { id, malformed } = *parse(&nest).unwrap_err();
        assert_eq!(id, Some("a".parse().unwrap()));
        assert!(malformed.message.contains("nested deeper than 32; no command is, at column 4"), "{malformed}");
        let bytes = b"{\"id\":\"a\",\"actor\":\"\xff\"}";
        let Unread { id, malformed } = *Envelope::read(bytes).unwrap_err();
        assert_eq!((id.unwrap().as_str(), malformed.message.as_str()), ("a", "not UTF-8, at column 20"));
    }

    /// What is optional may be left out or null, and means the same.
    #[test]
    fn null_leaves_a_field_out() {
        let short = parse(r#"{"id":"a","gift":{"user":"u1","item":"rose","to":[{"streamer":"s"}]}}"#).unwrap();
        let nulls = r#"{"id":"a","occurred_at":null,"actor":null,"client":null,"gift":{"user":"u1","item":"rose",
            "quantity":null,"to":[{"streamer":"s","weight":null}],"room":null,"combo":null,"activity":null,"expected_price":null}}"#;
        assert_eq!(parse(nulls).unwrap(), short);
        assert!(parse(r#"{"id":"a","gift":{"user":"u1","item":"rose","to":null}}"#).is_err());
    }
}
