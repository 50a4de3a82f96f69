//! What was answered to a command, as the object that every door shows: its fields in their order, known or not.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;

/// An answer as an object. Fields that this release does not know stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said(Vec<(String, Value)>);

/// Any JSON, with the fields of objects in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Value>),
    Object(Said),
}

impl Said {
    /// An answer of ours as everybody is shown it.
    pub fn of(answer: &impl Serialize) -> Self {
        let text = serde_json::to_vec(answer).expect("an answer has a JSON form");
        serde_json::from_slice(&text).expect("an answer is an object")
    }

    /// A field that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.iter().find(|(field, _)| field == name) {
            Some((_, Value::Text(text))) => Some(text),
            _ => None,
        }
    }

    /// A field that is a whole number.
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.0.iter().find(|(field, _)| field == name) {
            Some((_, Value::Number(number))) => number.as_u64(),
            _ => None,
        }
    }

    /// What it says of the command, in one word.
    pub fn state(&self) -> &str {
        self.text("state").unwrap_or_default()
    }

    /// Whether the command was taken.
    pub fn is_taken(&self) -> bool {
        self.state() == "taken"
    }

    /// With a field set, where it stands, or before all others.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Number>) -> Self {
        let value = Value::Number(value.into());
        match self.0.iter_mut().find(|(field, _)| field == name) {
            Some((_, field)) => *field = value,
            None => self.0.insert(0, (name.to_owned(), value)),
        }
        self
    }

    /// The same without some fields.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|(field, _)| !names.contains(&field.as_str()));
        self
    }
}

impl Serialize for Said {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => value.serialize(serializer),
            Self::Number(value) => value.serialize(serializer),
            Self::Text(value) => value.serialize(serializer),
            Self::List(value) => value.serialize(serializer),
            Self::Object(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Said;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Said(fields))
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        Fields.visit_map(map).map(Value::Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_stays_as_it_is() {
        let text = r#"{"line":3,"id":"a","state":"new one","z":[1,-2,null,true,{"b":1,"a":"x"}],"position":"0-3"}"#;
        let said: Said = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&said).unwrap(), text);
        assert_eq!((said.state(), said.number("line"), said.is_taken()), ("new one", Some(3), false));
        let moved = serde_json::to_string(&said.clone().with("line", 12).without(&["z", "id"])).unwrap();
        assert_eq!(moved, r#"{"line":12,"state":"new one","position":"0-3"}"#);
        let first = serde_json::to_string(&said.without(&["line", "z"]).with("line", 1)).unwrap();
        assert!(first.starts_with(r#"{"line":1,"id""#), "{first}");
    }
}
