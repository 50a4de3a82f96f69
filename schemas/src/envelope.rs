//! A command line: the command with what identifies it, and how it is read from JSON.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{ActorId, Command, CommandId, ReasonCode, Timestamp};

/// A command with what identifies it. In JSON the command stands under its own name:
/// `{"id": "g-1", "gift": {"user": "u1", "item": "rose"}}`.
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

const ENVELOPE_FIELDS: &str = "id, occurred_at, actor, client";
const CALLER_COMMANDS: &str = "publish, top_up, chargeback, grant, gift, hold, send, query, unresolved, hand_over, \
                               capture, release, refund, roll_back_refund, group";

impl<'de> de::Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an id and one command, such as {\"id\": \"g-1\", \"gift\": {…}}")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let (mut id, mut occurred_at, mut actor, mut client, mut command) = (None, None, None, None, None);
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match key.as_ref() {
                "id" => set(&mut id, "id", map.next_value()?)?,
                "occurred_at" => set(&mut occurred_at, "occurred_at", map.next_value()?)?,
                "actor" => set(&mut actor, "actor", map.next_value()?)?,
                "client" => set(&mut client, "client", map.next_value()?)?,
                kind => {
                    if command.is_some() {
                        return Err(de::Error::custom(format!("`{kind}` is a second command; a line has one")));
                    }
                    command = Some(Command::deserialize(OneEntry { kind, map: &mut map })?);
                }
            }
        }
        let command =
            command.ok_or_else(|| de::Error::custom(format!("there is no command; one of {CALLER_COMMANDS}")))?;
        Ok(Envelope {
            id: id.ok_or_else(|| de::Error::missing_field("id"))?,
            occurred_at: occurred_at.flatten(),
            actor: actor.flatten(),
            client: client.flatten(),
            command,
        })
    }
}

fn set<T, E: de::Error>(field: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    if field.replace(value).is_some() { Err(E::duplicate_field(name)) } else { Ok(()) }
}

/// Presents one entry of a map, whose key is already read, as the enum that serde's derive expects.
struct OneEntry<'a, A> {
    kind: &'a str,
    map: &'a mut A,
}

impl<'de, A: de::MapAccess<'de>> Deserializer<'de> for OneEntry<'_, A> {
    type Error = A::Error;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, 'a, A: de::MapAccess<'de>> de::EnumAccess<'de> for OneEntry<'a, A> {
    type Error = A::Error;
    type Variant = OneValue<'a, A>;

    fn variant_seed<V: de::DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), A::Error> {
        let variant =
            seed.deserialize(de::value::StrDeserializer::<de::value::Error>::new(self.kind)).map_err(|_| {
                de::Error::custom(format!(
                    "`{}` is neither a field of a command line ({ENVELOPE_FIELDS}) nor a command ({CALLER_COMMANDS})",
                    self.kind
                ))
            })?;
        Ok((variant, OneValue(self.map)))
    }
}

struct OneValue<'a, A>(&'a mut A);

impl<'de, A: de::MapAccess<'de>> de::VariantAccess<'de> for OneValue<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        Err(de::Error::custom("a command is an object"))
    }
    fn newtype_variant_seed<T: de::DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
    fn tuple_variant<V: de::Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, A::Error> {
        self.unit_variant().and(Err(de::Error::custom("a command is an object")))
    }
    fn struct_variant<V: de::Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, A::Error> {
        self.unit_variant().and(Err(de::Error::custom("a command is an object")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Gift;

    fn parse(line: &str) -> Result<Envelope, String> {
        serde_json::from_str(line).map_err(|e| e.to_string())
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
    fn malformed_lines_say_what_is_wrong() {
        for (line, said) in [
            (r#"{"gift":{"user":"u1","item":"rose"}}"#, "missing field `id`"),
            (r#"{"id":"a"}"#, "there is no command; one of publish"),
            (r#"{"id":"a","gfit":{}}"#, "`gfit` is neither a field of a command line"),
            (r#"{"id":"a","gift":{"user":"u1","item":"rose","colour":"red"}}"#, "unknown field `colour`"),
            (
                r#"{"id":"a","grant":{"user":"u1","coins":-5,"reason":"r"}}"#,
                "integer `-5`, expected a whole number of coins from 0",
            ),
            (r#"{"id":"a","grant":{"user":"u1","coins":9007199254740992,"reason":"r"}}"#, "are more than"),
            (r#"{"id":"a","grant":{"user":"u1","coins":1.5,"reason":"r"}}"#, "a whole number of coins"),
            (r#"{"id":"a","grant":{},"gift":{}}"#, "missing field `user`"),
            (r#"{"id":"a","id":"b"}"#, "duplicate field `id`"),
            (r#"{"id":"","grant":{}}"#, "a command id must not be empty"),
            ("[]", "an object with an id and one command"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
