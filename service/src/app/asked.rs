//! Questions as a query string asks them: names and texts, read by the rules by which the command line reads them.

use std::{
    borrow::Cow,
    fmt::{self, Display},
    str::FromStr,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use schemas::Timestamp;
use serde::{
    Deserializer,
    de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor},
    forward_to_deserialize_any,
};

use super::{Error, Result};

/// What a moment looks like in a schema: [`replay::AsOf`] is read from it.
pub struct Moment;

impl JsonSchema for Moment {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let position = json_schema!({
            "type": "string", "pattern": "^(0|[1-9][0-9]{0,3})-[1-9][0-9]{0,14}$", "description": "A record's position.",
        });
        json_schema!({ "anyOf": [generator.subschema_for::<Timestamp>(), position] })
    }
}

/// Reads a question from its fields. What a path names is a field as any other.
///
/// # Errors
/// [`Error::Unasked`] names the field that is unknown, wrong, missing or there twice.
pub fn question<Q: DeserializeOwned>(fields: impl IntoIterator<Item = (String, String)>) -> Result<Q> {
    let fields = Fields { left: fields.into_iter(), next: None };
    Q::deserialize(Whole(fields)).map_err(|Wrong(said)| Error::Unasked(said))
}

/// For fields that have a text form: `2026-11`, `3-17`.
pub fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    optional_by(deserializer, str::parse)
}

/// For fields that `read` reads from their text; a number may stand bare, and `null` is none.
pub fn optional_by<'de, D, T, E>(deserializer: D, read: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    E: Display,
{
    let text = deserializer.deserialize_any(Text)?;
    text.map(|text| read(&text)).transpose().map_err(de::Error::custom)
}

/// A text, or what can be written as one.
struct Text;

impl Visitor<'_> for Text {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }
    fn visit_str<E>(self, text: &str) -> Result<Option<String>, E> {
        Ok(Some(text.to_owned()))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Option<String>, E> {
        Ok(Some(number.to_string()))
    }
    fn visit_unit<E>(self) -> Result<Option<String>, E> {
        Ok(None)
    }
}

/// What is wrong with a question.
#[derive(Debug)]
struct Wrong(String);

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for Wrong {}
impl de::Error for Wrong {
    fn custom<T: Display>(said: T) -> Self {
        Self(said.to_string())
    }
}

struct Whole<I>(Fields<I>);

impl<'de, I: Iterator<Item = (String, String)>> Deserializer<'de> for Whole<I> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_map(self.0)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The fields that are still to be read.
struct Fields<I> {
    left: I,
    /// The one whose name was read.
    next: Option<(String, String)>,
}

impl<'de, I: Iterator<Item = (String, String)>> MapAccess<'de> for Fields<I> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        let Some((name, text)) = self.left.next() else { return Ok(None) };
        let key = seed.deserialize(name.as_str().into_deserializer())?;
        self.next = Some((name, text));
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (name, text) = self.next.take().expect("a value is read behind its name");
        seed.deserialize(Field(text)).map_err(|Wrong(said)| Wrong(format!("`{name}`: {said}")))
    }
}

/// What one field says.
struct Field(String);

impl Field {
    fn read<T: FromStr>(&self, what: &str) -> Result<T, Wrong> {
        self.0.parse().map_err(|_| Wrong(format!("`{}` is no {what}", self.0)))
    }
}

impl<'de> Deserializer<'de> for Field {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_string(self.0)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_bool(self.read("answer to yes or no: true or false")?)
    }
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_u8(self.read("whole number up to 255")?)
    }
    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_u64(self.read("whole number")?)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_enum(self.0.into_deserializer())
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u16 u32 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::questions;

    fn fields(query: &str) -> Vec<(String, String)> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| pair.split_once('=').unwrap()).map(|(name, text)| (name.into(), text.into())).collect()
    }

    fn said<Q: DeserializeOwned + fmt::Debug>(query: &str) -> String {
        question::<Q>(fields(query)).unwrap_err().to_string()
    }

    #[test]
    fn a_question_is_read_from_names_and_texts() {
        let asked: questions::orders::Question =
            question(fields("user=u1&state=open&idle=15m&at_least=20&limit=7&from=2026-11-21T08:30:00Z&as_of=3-17"))
                .unwrap();
        assert_eq!(asked.user.unwrap().as_str(), "u1");
        assert_eq!((asked.idle.unwrap().millis(), asked.at_least.unwrap().get(), asked.limit), (900_000, 20, 7));
        assert_eq!(asked.as_of.unwrap().to_string(), "record 3-17");
        let asked: questions::orders::Question = question(fields("")).unwrap();
        assert_eq!((asked.limit, asked.as_of), (50, None));
        let asked: questions::order::Question = question(fields("user=u1&command=g-1&part=2")).unwrap();
        assert_eq!((asked.which.part, asked.which.number), (Some(2), None));
        let asked: questions::board::Question = question(fields("month=2026-11&members=senders")).unwrap();
        assert_eq!((asked.month.unwrap().to_string(), asked.top), ("2026-11".to_owned(), 10));
        let asked: questions::find::Question = question(fields("id=g-1")).unwrap();
        assert_eq!((asked.id.as_str(), asked.limit), ("g-1", 50));
        let asked: questions::accounts::Balances = question(fields("all=true")).unwrap();
        assert!(asked.all && !asked.zeros);
        let asked: questions::accounts::Balances = question(fields("accounts=user:u1,platform:issued")).unwrap();
        assert_eq!(asked.accounts.len(), 2);
        let asked: questions::why::Question = question(fields("account=streamer:s1:turnover")).unwrap();
        assert_eq!((asked.account.to_string(), asked.limit), ("streamer:s1:turnover".to_owned(), 20));
        let asked: questions::settlement::Question = question(fields("month=2026-11")).unwrap();
        assert_eq!(asked.month.to_string(), "2026-11");
        let asked: questions::events::Question = question(fields("kind=refused&after=0-3&limit=9")).unwrap();
        assert_eq!((asked.kind.as_deref(), asked.limit), (Some("refused"), Some(9)));
        question::<questions::status::Question>(fields("")).unwrap();
    }

    #[test]
    fn what_is_wrong_with_a_question_is_said_by_its_field() {
        use questions::{orders, settlement, wallet};
        for (said, expected) in [
            (said::<orders::Question>("usr=u1"), "unknown field `usr`"),
            (said::<orders::Question>("user=u1&user=u2"), "duplicate field `user`"),
            (said::<orders::Question>("limit=many"), "`limit`: `many` is no whole number"),
            (said::<orders::Question>("idle=soon"), "`idle`: `soon` is no age"),
            (said::<orders::Question>("at_least=1.5"), "`at_least`: `1.5` is no amount of coins"),
            (said::<orders::Question>("state=lost"), "`state`: unknown variant `lost`, expected one of `open`"),
            (said::<orders::Question>("as_of=yesterday"), "`as_of`: \"yesterday\" is neither a time"),
            (said::<wallet::Question>("as_of=0-1"), "missing field `user`"),
            (said::<settlement::Question>("month=2026-13"), "`month`: "),
        ] {
            assert!(said.contains(expected), "{said} lacks {expected}");
        }
    }
}
