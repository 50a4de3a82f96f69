//! What is wrong with a line, for whoever wrote it: where, what was found, what is allowed. The line is
//! read into a tree, and the tree is read as a command by the same rules as the line was; but each failure
//! keeps its path, and speaks of JSON and of the domain. Only wrong lines come here.

use std::{borrow::Cow, cell::RefCell, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, DeserializeSeed, Expected, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor},
    forward_to_deserialize_any,
};

use super::{Unread, strict::Name};
use crate::{
    CommandId, Envelope, Malformed,
    malformed::{nearest, shown},
};

/// The deepest that arrays and objects may be nested; a command needs 8.
const MAX_DEPTH: usize = 32;

/// Says what is wrong with a line that was refused with `error`.
pub(super) fn unread(line: &[u8], error: &serde_json::Error) -> Unread {
    if let Err(error) = std::str::from_utf8(line) {
        let problem = format!("not UTF-8, at column {}", error.valid_up_to() + 1);
        return Unread { id: id_of(line), malformed: Malformed::line(problem) };
    }
    let malformed = match read_tree(line) {
        Err(syntax) => syntax_error(&syntax),
        Ok(tree) => match Envelope::deserialize(&tree) {
            Err(problem) => problem.malformed(),
            Ok(_) => Malformed::line(place_within(error)),
        },
    };
    Unread { id: id_of(line), malformed }
}

/// Reads a document by the rules of a line: strictly, and where it is wrong with the path.
pub(super) fn document<T: DeserializeOwned>(text: &[u8]) -> Result<T, Malformed> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(Malformed::line(format!("not UTF-8, at byte {}", error.valid_up_to() + 1)));
    }
    let tree = read_tree(text).map_err(|syntax| Malformed::line(format!("cannot be read as JSON: {syntax}")))?;
    T::deserialize(&tree).map_err(Problem::malformed)
}

/// The number of the line is the caller's to say; within it there are columns.
fn place_within(error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let what = text.strip_suffix(&place).unwrap_or(&text);
    if error.line() <= 1 {
        format!("{what}, at column {}", error.column())
    } else {
        format!("{what}, at column {} of its line {}", error.column(), error.line())
    }
}

fn syntax_error(error: &serde_json::Error) -> Malformed {
    let said = place_within(error);
    Malformed::line(match error.classify() {
        serde_json::error::Category::Eof => format!("the line ends too early: {said}"),
        serde_json::error::Category::Data => said,
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
            format!("cannot be read as JSON: {said}")
        }
    })
}

/// The id of a line, as far as the line can be read.
pub(super) fn id_of(line: &[u8]) -> Option<CommandId> {
    struct Seek<'a>(&'a RefCell<Option<CommandId>>);

    impl<'de> Visitor<'de> for Seek<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(Name(name)) = map.next_key()? {
                if name == "id" {
                    self.0.replace(map.next_value()?);
                    break;
                }
                map.next_value::<IgnoredAny>()?;
            }
            Ok(())
        }
    }

    let id = RefCell::new(None);
    // Whatever is wrong behind the id, or instead of it, is said elsewhere.
    drop(serde_json::Deserializer::from_slice(line).deserialize_map(Seek(&id)));
    id.into_inner()
}

/// JSON as it was written: names may come twice.
#[derive(Debug)]
enum Tree<'a> {
    Null,
    Bool(bool),
    Whole(u64),
    Negative(i64),
    Fraction(f64),
    Text(Cow<'a, str>),
    Array(Vec<Tree<'a>>),
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
}

fn read_tree(line: &[u8]) -> Result<Tree<'_>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let tree = Depth(0).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(tree)
}

/// Reads a tree that is so deep already.
#[derive(Clone, Copy)]
struct Depth(usize);

impl Depth {
    fn below<E: de::Error>(self) -> Result<Self, E> {
        if self.0 == MAX_DEPTH {
            return Err(E::custom(format!("arrays and objects are nested deeper than {MAX_DEPTH}; no command is")));
        }
        Ok(Self(self.0 + 1))
    }
}

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Tree<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Tree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Tree<'de>, E> {
        Ok(Tree::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Tree<'de>, E> {
        Ok(Tree::Bool(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Tree<'de>, E> {
        Ok(Tree::Whole(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Tree<'de>, E> {
        Ok(Tree::Negative(value))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Tree<'de>, E> {
        Ok(Tree::Fraction(value))
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(Cow::Borrowed(value)))
    }
    fn visit_str<E>(self, value: &str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(Cow::Owned(value.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree<'de>, A::Error> {
        let (below, mut elements) = (self.below()?, Vec::new());
        while let Some(element) = seq.next_element_seed(below)? {
            elements.push(element);
        }
        Ok(Tree::Array(elements))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree<'de>, A::Error> {
        let (below, mut entries) = (self.below()?, Vec::new());
        while let Some(Name(name)) = map.next_key()? {
            entries.push((name, map.next_value_seed(below)?));
        }
        Ok(Tree::Object(entries))
    }
}

/// As JSON, cut short where it is long.
impl fmt::Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Whole(value) => value.fmt(f),
            Self::Negative(value) => value.fmt(f),
            Self::Fraction(value) => write!(f, "{value:?}"),
            Self::Text(text) => f.write_str(&serde_json::to_string(&shown(text)).map_err(|_| fmt::Error)?),
            Self::Array(elements) if elements.is_empty() => f.write_str("an empty array"),
            Self::Array(elements) => write!(f, "an array of {}", elements.len()),
            Self::Object(entries) if entries.is_empty() => f.write_str("an empty object"),
            Self::Object(entries) => {
                let names: Vec<&str> = entries.iter().take(4).map(|(name, _)| &**name).collect();
                write!(f, "an object with {}", shown(&names.join(", ")))
            }
        }
    }
}

/// A failure on its way up.
#[derive(Debug)]
struct Problem {
    /// From where it is known so far.
    path: String,
    what: What,
    found: Option<String>,
    allowed: Option<String>,
    /// Whether the field may be left out.
    optional: bool,
}

#[derive(Debug)]
enum What {
    /// Something else stands there than is allowed.
    Other,
    /// It has its own words.
    Said(String),
    Missing(&'static str),
    Unknown(String, &'static [&'static str]),
    /// A text that is none of these names.
    NoneOf(&'static [&'static str]),
    Twice(&'static str),
}

impl Problem {
    fn of(what: What) -> Self {
        Self { path: String::new(), what, found: None, allowed: None, optional: false }
    }

    /// Seen from the one that holds it.
    fn within(mut self, place: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{place}{joint}{}", self.path);
        self
    }

    /// What stands where it happened, unless something nearer was named.
    fn found(mut self, tree: &Tree<'_>) -> Self {
        if self.path.is_empty() && self.found.is_none() {
            self.found = Some(tree.to_string());
            if let (What::Unknown(_, known), Tree::Text(_)) = (&self.what, tree) {
                self.what = What::NoneOf(known);
            }
        }
        self
    }

    fn malformed(self) -> Malformed {
        let Self { path, what, found, allowed, optional } = self;
        let field = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match what {
            What::Missing(name) => {
                let (path, hint) = (field(name), hint(name));
                match hint {
                    Some(hint) => Malformed::missing(path, hint),
                    None => Malformed { message: format!("{path} is missing"), ..Malformed::missing(path, "") },
                }
            }
            What::Twice(name) => Malformed::rule(field(name), "it is there twice"),
            What::Unknown(name, known) => {
                let shown = shown(&name);
                let near = nearest(&name, known.iter().copied());
                let known = known.join(", ");
                let mean = match near {
                    Some(near) => format!("; did you mean `{near}`? Known here: {known}"),
                    None => format!("; known here: {known}"),
                };
                let rule = Malformed::rule(field(&shown), format!("nothing is known by the name `{shown}`{mean}"));
                Malformed { found: Some(format!("`{shown}`")), allowed: Some(known), ..rule }
            }
            What::NoneOf(known) => {
                Malformed::value(path, found.unwrap_or_default(), format!("one of {}", known.join(", ")))
            }
            What::Other | What::Said(_) => {
                let last = path.rsplit('.').next().unwrap_or(&path);
                let leave_out = match (optional, hint(last)) {
                    (true, Some(hint)) => format!("; {hint}"),
                    (true, None) => format!(", or leave `{last}` out"),
                    (false, _) => String::new(),
                };
                let allowed = allowed.map(|allowed| allowed + &leave_out);
                match (what, allowed) {
                    (What::Said(said), allowed) => {
                        let out = if optional { leave_out } else { String::new() };
                        let rule =
                            if path.is_empty() { Malformed::line(said) } else { Malformed::rule(path, said + &out) };
                        Malformed { found, allowed, ..rule }
                    }
                    (_, allowed) => Malformed::value(path, found.unwrap_or_default(), allowed.unwrap_or_default()),
                }
            }
        }
    }
}

/// What is worth saying of a field beyond its form.
fn hint(field: &str) -> Option<&'static str> {
    match field {
        "to" => Some("name the streamers who receive it, [{\"streamer\": …}], or say [] for the house"),
        "expires" => Some("leave `expires` out for never"),
        "until" => Some("leave `until` out for never"),
        "id" => Some("each command has an id, the same whenever it is sent again"),
        _ => None,
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(said: T) -> Self {
        Self::of(What::Said(said.to_string()))
    }
    fn invalid_type(_: Unexpected<'_>, allowed: &dyn Expected) -> Self {
        Self { allowed: Some(in_words(allowed)), ..Self::of(What::Other) }
    }
    fn invalid_value(_: Unexpected<'_>, allowed: &dyn Expected) -> Self {
        Self { allowed: Some(in_words(allowed)), ..Self::of(What::Other) }
    }
    fn invalid_length(_: usize, allowed: &dyn Expected) -> Self {
        Self { allowed: Some(in_words(allowed)), ..Self::of(What::Other) }
    }
    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Self::of(What::Unknown(name.to_owned(), known))
    }
    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::of(What::Unknown(name.to_owned(), known))
    }
    fn missing_field(name: &'static str) -> Self {
        Self::of(What::Missing(name))
    }
    fn duplicate_field(name: &'static str) -> Self {
        Self::of(What::Twice(name))
    }
}

/// What serde's own types call themselves, in the words of JSON.
fn in_words(allowed: &dyn Expected) -> String {
    let range = |most: u64| format!("a whole number from 0 to {most}");
    match allowed.to_string().as_str() {
        "u8" => range(u8::MAX.into()),
        "u16" => range(u16::MAX.into()),
        "u32" => range(u32::MAX.into()),
        "u64" => range(u64::MAX),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a string" => "a text".to_owned(),
        words => words.to_owned(),
    }
}

impl<'de> Deserializer<'de> for &'de Tree<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let allowed = in_words(&visitor as &dyn Expected);
        let read: Result<V::Value, Problem> = match self {
            Tree::Null => visitor.visit_unit(),
            Tree::Bool(value) => visitor.visit_bool(*value),
            Tree::Whole(value) => visitor.visit_u64(*value),
            Tree::Negative(value) => visitor.visit_i64(*value),
            Tree::Fraction(value) => visitor.visit_f64(*value),
            Tree::Text(text) => visitor.visit_str(text),
            Tree::Array(elements) => {
                return visitor.visit_seq(Elements(elements.iter().enumerate())).map_err(|e| e.found(self));
            }
            Tree::Object(entries) => {
                return visitor.visit_map(Entries { rest: entries.iter(), value: None }).map_err(|e| e.found(self));
            }
        };
        read.map_err(|e| Problem { allowed: e.allowed.or(Some(allowed)), ..e }.found(self))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self {
            Tree::Null => visitor.visit_none(),
            _ => visitor.visit_some(self).map_err(|e| Problem { optional: e.optional || e.path.is_empty(), ..e }),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Elements<'de>(std::iter::Enumerate<std::slice::Iter<'de, Tree<'de>>>);

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = Problem;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        let Some((nth, element)) = self.0.next() else { return Ok(None) };
        seed.deserialize(element).map(Some).map_err(|e| e.within(&format!("[{nth}]")))
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, (Cow<'de, str>, Tree<'de>)>,
    value: Option<&'de (Cow<'de, str>, Tree<'de>)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Problem;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        self.value = self.rest.next();
        let Some((name, _)) = self.value else { return Ok(None) };
        seed.deserialize(de::value::BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Problem> {
        let (name, tree) = self.value.take().expect("a value is asked for behind its name");
        seed.deserialize(tree).map_err(|e| e.within(name))
    }
}
