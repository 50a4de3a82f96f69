//! How callers name what earlier commands did: by its number, or by the id of the command that did it, with a
//! part where that was an atomic group, and with the source where that is another service. In the same group too,
//! of the commands before.
//!
//! ```json
//! {"number":"3-17"}   {"command":"g-1"}   {"command":"g-1","part":1}   {"command":"1001","source":"vip"}
//! ```

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{CommandId, MAX_GROUP, OrderId, Source};

/// Names an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderName {
    /// By its number.
    Number(OrderId),
    /// By the command that placed it; without a part the first order that it placed.
    Command(PartName),
}

/// Names what a command did, or a part of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartName {
    /// The id of the command.
    pub command: CommandId,
    /// The place in the group, from 0; the first that fits where absent.
    pub part: Option<u8>,
    /// The service whose command it is; the one that names it where absent.
    pub source: Option<Source>,
}

impl PartName {
    /// Whose command is named by a caller of that source.
    pub fn source_for<'a>(&'a self, caller: &'a Source) -> &'a Source {
        self.source.as_ref().unwrap_or(caller)
    }

    /// Leaves the source out where it is the caller's own: said or not, it means the same.
    pub(crate) fn leave_out(&mut self, own: &Source) {
        if self.source.as_ref() == Some(own) {
            self.source = None;
        }
    }
}

impl From<CommandId> for PartName {
    fn from(command: CommandId) -> Self {
        Self { command, part: None, source: None }
    }
}

impl From<CommandId> for OrderName {
    fn from(command: CommandId) -> Self {
        Self::Command(command.into())
    }
}

/// All fields of both forms, as JSON has them. Only a part and a source may be null.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    number: Option<OrderId>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    command: Option<CommandId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
}

impl From<&PartName> for Fields {
    fn from(name: &PartName) -> Self {
        let PartName { command, part, source } = name.clone();
        Self { number: None, command: Some(command), part, source }
    }
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn check_part(part: u8) -> Result<u8, String> {
    if usize::from(part) < MAX_GROUP {
        return Ok(part);
    }
    Err(format!("part {part}: a group has at most {MAX_GROUP} commands, from 0 to {}", MAX_GROUP - 1))
}

impl Serialize for OrderName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = match self {
            Self::Number(number) => Fields { number: Some(*number), ..Fields::default() },
            Self::Command(name) => name.into(),
        };
        if serializer.is_human_readable() {
            fields.serialize(serializer)
        } else {
            (fields.number, fields.command, fields.part, fields.source).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for OrderName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Fields { number, command, part, source } = if deserializer.is_human_readable() {
            Fields::deserialize(deserializer)?
        } else {
            let (number, command, part, source) = Deserialize::deserialize(deserializer)?;
            Fields { number, command, part, source }
        };
        match (number, command, part, source) {
            (Some(number), None, None, None) => Ok(Self::Number(number)),
            (None, Some(command), part, source) => {
                let part = part.map(check_part).transpose().map_err(D::Error::custom)?;
                Ok(Self::Command(PartName { command, part, source }))
            }
            _ => Err(D::Error::custom(
                "an order is named by its `number`, or by a `command` with or without a `part` and a `source`",
            )),
        }
    }
}

/// A plain text where there is nothing but the id.
impl Serialize for PartName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self { command, part, source } if !serializer.is_human_readable() => {
                (command, part, source).serialize(serializer)
            }
            Self { command, part: None, source: None } => command.serialize(serializer),
            name => Fields::from(name).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for PartName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            let (command, part, source) = Deserialize::deserialize(deserializer)?;
            return Ok(Self { command, part, source });
        }
        deserializer.deserialize_any(EitherForm)
    }
}

/// The two forms of a [`PartName`] in JSON.
struct EitherForm;

impl<'de> Visitor<'de> for EitherForm {
    type Value = PartName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a command id, or {\"command\": \"<id>\", \"part\": <n>, \"source\": \"<service>\"}")
    }

    fn visit_str<E: Error>(self, command: &str) -> Result<PartName, E> {
        CommandId::new(command).map(PartName::from).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PartName, A::Error> {
        match OrderName::deserialize(MapAccessDeserializer::new(map))? {
            OrderName::Command(name) => Ok(name),
            OrderName::Number(_) => {
                Err(A::Error::custom("a refund is named by a `command`, with or without a `part` and a `source`"))
            }
        }
    }
}

fn by_command(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "command": generator.subschema_for::<CommandId>(),
            "part": {
                "type": ["integer", "null"], "minimum": 0, "maximum": MAX_GROUP - 1,
                "description": "Its place in the group, from 0; the first that fits where absent.",
            },
            "source": {
                "anyOf": [generator.subschema_for::<Source>(), {"type": "null"}],
                "description": "The service whose command it is; the one that names it where absent.",
            },
        },
        "required": ["command"],
        "additionalProperties": false,
        "description": "By the command that did it.",
    })
}

impl JsonSchema for OrderName {
    fn schema_name() -> Cow<'static, str> {
        "OrderName".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Names an order.",
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"number": generator.subschema_for::<OrderId>()},
                    "required": ["number"],
                    "additionalProperties": false,
                    "description": "By its number.",
                },
                by_command(generator),
            ],
        })
    }
}

impl JsonSchema for PartName {
    fn schema_name() -> Cow<'static, str> {
        "PartName".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Names what a command did, or a part of a group.",
            "oneOf": [generator.subschema_for::<CommandId>(), by_command(generator)],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIPS: &str = r#"{"command":"1001","source":"vip"}"#;

    #[test]
    fn names_read_as_they_print() {
        for text in [r#"{"number":"3-17.2"}"#, r#"{"command":"g-1"}"#, r#"{"command":"g-1","part":0}"#, VIPS] {
            let name: OrderName = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&name).unwrap(), text);
            assert_eq!(postcard::from_bytes::<OrderName>(&postcard::to_stdvec(&name).unwrap()).unwrap(), name);
        }
        for text in [r#""r-1""#, r#"{"command":"r-1","part":63}"#, VIPS] {
            let name: PartName = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&name).unwrap(), text);
            assert_eq!(postcard::from_bytes::<PartName>(&postcard::to_stdvec(&name).unwrap()).unwrap(), name);
        }
        let plain: PartName = serde_json::from_str(r#"{"command":"r-1"}"#).unwrap();
        assert_eq!(serde_json::to_string(&plain).unwrap(), r#""r-1""#);
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in [
            "{}",
            r#"{"number":"3-17","command":"c"}"#,
            r#"{"number":"3-17","source":"vip"}"#,
            r#"{"part":1}"#,
            r#"{"command":"c","part":64}"#,
        ] {
            assert!(serde_json::from_str::<OrderName>(text).is_err(), "{text}");
            assert!(serde_json::from_str::<PartName>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<PartName>(r#"{"number":"3-17"}"#).is_err());
    }
}
