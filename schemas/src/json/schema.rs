//! JSON Schemas of what callers send and consumers read, generated from the types.

use schemars::{
    JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema, transform::transform_subschemas,
};
use serde_json::{Value, json};

use crate::{
    Capture, Envelope, Gift, Grant, Hold, MAX_GROUP, Record, Refund, Release, RollBackRefund, Send, reference::Change,
};

/// Every published schema with the name of its file.
pub fn json_schemas() -> [(&'static str, Schema); 3] {
    let mut command = generated::<Envelope>();
    // What is no field of a line and no command is refused.
    command.insert("unevaluatedProperties".to_owned(), false.into());
    [
        ("command.schema.json", command),
        ("record.schema.json", generated::<Record>()),
        ("change.schema.json", generated::<Change>()),
    ]
}

fn generated<T: JsonSchema>() -> Schema {
    schema_settings().into_generator().into_root_schema_for::<T>()
}

/// How every published schema is made.
pub fn schema_settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with_transform(with_maximum as fn(&mut Schema))
}

/// A whole number's limit: its format alone says it to few readers.
fn with_maximum(schema: &mut Schema) {
    let most = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => Some(u64::from(u8::MAX)),
        Some("uint16") => Some(u64::from(u16::MAX)),
        Some("uint32") => Some(u64::from(u32::MAX)),
        Some("uint64") => Some(u64::MAX),
        Some("int64") => {
            schema.insert("minimum".to_owned(), i64::MIN.into());
            Some(i64::MAX.unsigned_abs())
        }
        _ => None,
    };
    if let Some(most) = most
        && !schema.as_object().is_some_and(|schema| schema.contains_key("maximum"))
    {
        schema.insert("maximum".to_owned(), most.into());
    }
    transform_subschemas(&mut (with_maximum as fn(&mut Schema)), schema);
}

/// What may be part of a group: the kinds of [`GROUPED`](crate::command::GROUPED).
pub(crate) fn group_members(generator: &mut SchemaGenerator) -> Schema {
    let kind = |name: &str, schema: Schema| -> Value {
        json!({"type": "object", "required": [name], "properties": {name: schema}, "additionalProperties": false})
    };
    let members = [
        kind("grant", generator.subschema_for::<Grant>()),
        kind("gift", generator.subschema_for::<Gift>()),
        kind("hold", generator.subschema_for::<Hold>()),
        kind("send", generator.subschema_for::<Send>()),
        kind("capture", generator.subschema_for::<Capture>()),
        kind("release", generator.subschema_for::<Release>()),
        kind("refund", generator.subschema_for::<Refund>()),
        kind("roll_back_refund", generator.subschema_for::<RollBackRefund>()),
    ];
    json_schema!({"type": "array", "minItems": 1, "maxItems": MAX_GROUP, "items": {"oneOf": members}})
}

/// A whole number from 1, or nothing.
pub(crate) fn one_or_more(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["integer", "null"], "format": "uint64", "minimum": 1, "maximum": u64::MAX})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::GROUPED;

    #[test]
    fn a_group_has_the_members_that_it_may_have() {
        let schema = group_members(&mut SchemaGenerator::default());
        let members = schema.pointer("/items/oneOf").and_then(Value::as_array).unwrap();
        let names: Vec<&str> = members.iter().map(|member| member["required"][0].as_str().unwrap()).collect();
        assert_eq!(names, GROUPED);
    }
}
