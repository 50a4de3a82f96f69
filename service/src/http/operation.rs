//! What one route is: its handler, and all that the documentation says of it. There is no route without, as the
//! router and the `OpenAPI` document are both made of these.

use axum::{
    handler::Handler,
    http::Method,
    routing::{MethodFilter, MethodRouter, on},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use super::door::Door;

/// A schema that is made when the document is.
pub type Shape = fn(&mut SchemaGenerator) -> Schema;

/// Where an operation stands in the documentation, in the order in which a new user needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// What can be given, and what is paid for it.
    Reference,
    /// What is done.
    Commands,
    /// What users hold.
    Users,
    /// What became of orders.
    Orders,
    /// What is recorded.
    Records,
    /// All that happens, as it happens.
    Feed,
    /// The books.
    Accounts,
    /// Who leads, and what a month pays.
    Results,
    /// How the server is.
    Server,
    /// What this is made of.
    Documentation,
}

/// A body, of a request or of an answer.
pub struct Content {
    /// As `Content-Type` says it.
    pub media_type: &'static str,
    /// What it is.
    pub shape: Shape,
    /// What each line of it is, where it has lines.
    pub line: Option<Shape>,
    /// Under their names.
    pub examples: Vec<(&'static str, Value)>,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the path.
    Path,
    /// Before the body.
    Header,
}

/// A parameter that is no field of a question.
pub struct Parameter {
    /// Where.
    pub place: Place,
    /// Its name there.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// What it may be.
    pub shape: Shape,
}

/// A route, and what is said of it.
pub struct Operation {
    /// How it is sent.
    pub method: Method,
    /// Where to, with the names of its parameters in braces.
    pub path: &'static str,
    /// Names it, in clients that are generated.
    pub id: &'static str,
    /// Where it stands.
    pub tag: Tag,
    /// In a few words.
    pub summary: &'static str,
    /// In as many as it needs.
    pub description: &'static str,
    /// What answers it.
    pub route: MethodRouter<Door>,
    /// Structs whose fields are in the query, or in the path where that names them.
    pub fields: Vec<Shape>,
    /// Fields of them that nobody sends: the path says them.
    pub filled: &'static [&'static str],
    /// Others.
    pub parameters: Vec<Parameter>,
    /// Examples of parameters.
    pub examples: Vec<(&'static str, Value)>,
    /// What is sent; several where there is a choice.
    pub body: Vec<Content>,
    /// What comes back where it is no problem like any other, by its status.
    pub answers: Vec<(u16, &'static str, Vec<Content>)>,
    /// The statuses of problems that can come.
    pub problems: Vec<u16>,
    /// Whether anybody may ask.
    pub is_public: bool,
}

/// A type's schema.
pub fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A type's schema in place, for its fields.
fn fields_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

impl Tag {
    /// All, in order.
    pub const ALL: [Self; 10] = [
        Self::Reference,
        Self::Commands,
        Self::Users,
        Self::Orders,
        Self::Records,
        Self::Feed,
        Self::Accounts,
        Self::Results,
        Self::Server,
        Self::Documentation,
    ];

    /// Its heading, and what stands below it.
    pub const fn described(self) -> (&'static str, &'static str) {
        match self {
            Self::Reference => (
                "1 Reference data",
                "What can be given at which price, whose books these are, who is paid what. Publish it first.",
            ),
            Self::Commands => (
                "2 Commands",
                "What is done: top-ups, gifts, game orders, refunds. Each has an id and is done once, however often it \
                 is sent.",
            ),
            Self::Users => ("3 Users", "What a user holds, owes and has on hold."),
            Self::Orders => ("4 Orders", "What became of gifts and game orders."),
            Self::Records => ("5 Records", "Everything that was recorded, by place or by any id."),
            Self::Feed => ("6 Feed", "Everything that is recorded, as it happens, from any place on."),
            Self::Accounts => ("7 Accounts", "Balances, and why they are what they are."),
            Self::Results => ("8 Leaderboards and settlements", "Who leads, and what a month pays."),
            Self::Server => ("9 Server", "Whether it lives, how it is, what is measured."),
            Self::Documentation => ("10 Documentation", "This document, the schemas, and every code."),
        }
    }
}

impl Content {
    /// JSON of a type.
    pub fn json<T: JsonSchema>() -> Self {
        Self::as_is("application/json", of::<T>)
    }

    /// A problem, with more that it says.
    pub fn problem(shape: Shape) -> Self {
        Self::as_is("application/problem+json", shape)
    }

    /// Something else.
    pub fn as_is(media_type: &'static str, shape: Shape) -> Self {
        Self { media_type, shape, line: None, examples: Vec::new() }
    }

    /// Text whose lines are JSON.
    pub fn lines(media_type: &'static str, line: Shape) -> Self {
        Self { line: Some(line), ..Self::as_is(media_type, of::<String>) }
    }

    /// With an example.
    #[must_use]
    pub fn example(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.examples.push((name, value.into()));
        self
    }
}

impl Operation {
    /// A route that has no problems yet.
    pub fn new<T: 'static>(
        (method, path, id): (Method, &'static str, &'static str),
        handler: impl Handler<T, Door>,
        (tag, summary): (Tag, &'static str),
        description: &'static str,
    ) -> Self {
        let filter = MethodFilter::try_from(method.clone()).expect("HTTP has this method");
        let route = on(filter, handler);
        let (fields, parameters, examples) = (Vec::new(), Vec::new(), Vec::new());
        let (body, answers, problems) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            method,
            path,
            id,
            tag,
            summary,
            description,
            route,
            fields,
            filled: &[],
            parameters,
            examples,
            body,
            answers,
            problems,
            is_public: false,
        }
    }

    /// Anybody may ask.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.is_public = true;
        self
    }

    /// Its fields are those of a struct: in the path where that names them, else in the query.
    #[must_use]
    pub fn asks<T: JsonSchema>(mut self) -> Self {
        self.fields.push(fields_of::<T>);
        self
    }

    /// These fields the path fills under another name.
    #[must_use]
    pub fn filled(mut self, filled: &'static [&'static str]) -> Self {
        self.filled = filled;
        self
    }

    /// A name in the path that is no field.
    #[must_use]
    pub fn path<T: JsonSchema>(self, name: &'static str, description: &'static str) -> Self {
        self.with(Parameter { place: Place::Path, name, description, shape: of::<T> })
    }

    /// A header.
    #[must_use]
    pub fn header<T: JsonSchema>(self, name: &'static str, description: &'static str) -> Self {
        self.with(Parameter { place: Place::Header, name, description, shape: of::<T> })
    }

    fn with(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// What a parameter is, for instance.
    #[must_use]
    pub fn example(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.examples.push((name, value.into()));
        self
    }

    /// What is sent; more than one is a choice.
    #[must_use]
    pub fn takes(mut self, content: Content) -> Self {
        self.body.push(content);
        self
    }

    /// What comes back.
    #[must_use]
    pub fn answers(self, status: u16, description: &'static str, content: Content) -> Self {
        self.answers_one_of(status, description, vec![content])
    }

    /// What comes back, in one of several forms.
    #[must_use]
    pub fn answers_one_of(mut self, status: u16, description: &'static str, contents: Vec<Content>) -> Self {
        self.answers.push((status, description, contents));
        self
    }

    /// Problems of these statuses can come.
    #[must_use]
    pub fn problems(mut self, statuses: &[u16]) -> Self {
        self.problems.extend_from_slice(statuses);
        self
    }
}
