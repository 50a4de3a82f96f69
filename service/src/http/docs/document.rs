//! The `OpenAPI` 3.1 document, made of the routes. What is sent and what is said are two contracts: who sends a field
//! that is unknown is told so, and whoever reads an answer ignores fields that they do not know.

use std::collections::{BTreeMap, BTreeSet};

use schemars::{Schema, SchemaGenerator, transform::transform_subschemas};
use serde_json::{Map, Value, json};

use super::{
    problems,
    shapes::{CommandAnswer, Problem},
};
use crate::http::{
    operation::{Content, Operation, Parameter, Place, Shape, Tag, of},
    routes,
};

const INTRODUCTION: &str = include_str!("introduction.md");

/// The types that are described by the way.
struct Types {
    /// What is sent.
    asked: SchemaGenerator,
    /// What is said.
    said: SchemaGenerator,
}

/// The document.
pub fn document() -> Value {
    let mut types = Types::new();
    let mut paths: Map<String, Value> = Map::new();
    for operation in routes::all() {
        let said = types.operation(&operation);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = said;
    }
    let tags = Tag::ALL.map(|tag| json!({ "name": tag.described().0, "description": tag.described().1 }));
    let responses = types.problems();
    let mut document = json!({
        "openapi": "3.1.1",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": "Giftledger", "version": env!("CARGO_PKG_VERSION"),
            "summary": "An event-sourced ledger of gifts, coins and payouts",
            "description": INTRODUCTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The server that this page is of." }],
        "security": [{ "bearer": [] }, {}],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": {
                "type": "http", "scheme": "bearer",
                "description": "A token, as `giftledger token create` prints it once: `gl_…`. On this machine, and as long \
                                as no token was made, none is needed.",
            } },
            "responses": responses,
        },
    });
    let (schemas, renamed) = types.merged();
    rename(&mut document["paths"], &renamed, &["parameters", "requestBody"]);
    document["components"]["schemas"] = Value::Object(schemas);
    document
}

/// A schema by itself, of something that is said.
pub fn schema_of(shape: Shape) -> Value {
    let mut settings = schemas::schema_settings().for_serialize();
    settings.transforms.push(Box::new(open));
    let mut generator = settings.into_generator();
    let mut schema = shape(&mut generator);
    apply(&mut generator, &mut schema);
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("$defs".to_owned(), Value::Object(generator.take_definitions(true)));
    schema.to_value()
}

/// What may come of a command.
pub fn answer_schema() -> Value {
    schema_of(of::<CommandAnswer>)
}

/// An entry of the feed.
pub fn event_schema() -> Value {
    schema_of(of::<crate::feed::CloudEvent<'_>>)
}

/// Fields may be added to what is said.
fn open(schema: &mut Schema) {
    for name in ["additionalProperties", "unevaluatedProperties"] {
        if schema.get(name) == Some(&Value::Bool(false)) {
            schema.remove(name);
        }
    }
    transform_subschemas(&mut (open as fn(&mut Schema)), schema);
}

fn apply(generator: &mut SchemaGenerator, schema: &mut Schema) {
    for transform in generator.transforms_mut() {
        transform.transform(schema);
    }
}

impl Types {
    fn new() -> Self {
        let mut asked = schemas::schema_settings();
        let mut said = schemas::schema_settings().for_serialize();
        for settings in [&mut asked, &mut said] {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        }
        said.transforms.push(Box::new(open));
        Self { asked: asked.into_generator(), said: said.into_generator() }
    }

    fn operation(&mut self, operation: &Operation) -> Value {
        let mut responses: BTreeMap<String, Value> = BTreeMap::new();
        for (status, description, contents) in &operation.answers {
            let content = Self::contents(&mut self.said, contents);
            let mut response = json!({ "description": description, "content": content });
            let headers = headers(*status, operation.path);
            if headers.as_object().is_some_and(|headers| !headers.is_empty()) {
                response["headers"] = headers;
            }
            responses.insert(status.to_string(), response);
        }
        for status in &operation.problems {
            let response = json!({ "$ref": format!("#/components/responses/Problem{status}") });
            responses.entry(status.to_string()).or_insert(response);
        }
        let mut said = json!({
            "operationId": operation.id, "tags": [operation.tag.described().0],
            "summary": operation.summary, "description": operation.description,
            "responses": responses,
        });
        let parameters = self.parameters(operation);
        if !parameters.is_empty() {
            said["parameters"] = parameters.into();
        }
        if !operation.body.is_empty() {
            let content = Self::contents(&mut self.asked, &operation.body);
            said["requestBody"] = json!({ "required": true, "content": content });
        }
        if operation.is_public {
            said["security"] = json!([]);
        }
        said
    }

    fn contents(generator: &mut SchemaGenerator, contents: &[Content]) -> Value {
        let mut said = Map::new();
        for Content { media_type, shape, line, examples } in contents {
            let mut schema = shape(generator);
            apply(generator, &mut schema);
            let mut content = json!({ "schema": schema });
            if let Some(line) = line {
                let mut line = line(generator);
                apply(generator, &mut line);
                content["x-line-schema"] = line.to_value();
                content["schema"]["description"] =
                    "Lines of JSON; `x-line-schema` is the schema of each of them.".into();
            }
            if !examples.is_empty() {
                content["examples"] = examples
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), json!({ "summary": name, "value": value })))
                    .collect::<Map<_, _>>()
                    .into();
            }
            said.insert((*media_type).to_owned(), content);
        }
        Value::Object(said)
    }

    fn parameters(&mut self, operation: &Operation) -> Vec<Value> {
        let mut found: BTreeMap<(u8, String), Value> = BTreeMap::new();
        let mut put = |place: &str, name: &str, mut said: Value| {
            said["name"] = name.into();
            said["in"] = place.into();
            if let Some((_, example)) = operation.examples.iter().find(|(of, _)| *of == name) {
                said["example"] = example.clone();
            }
            let order = ["path", "query", "header"].iter().position(|one| *one == place).unwrap_or(3);
            found.entry((u8::try_from(order).unwrap_or(3), name.to_owned())).or_insert(said);
        };
        for Parameter { place, name, description, shape } in &operation.parameters {
            let mut schema = shape(&mut self.asked);
            apply(&mut self.asked, &mut schema);
            let (place, required) = match place {
                Place::Path => ("path", true),
                Place::Header => ("header", false),
            };
            put(place, name, json!({ "description": description, "required": required, "schema": schema }));
        }
        for fields in &operation.fields {
            let mut schema = fields(&mut self.asked);
            apply(&mut self.asked, &mut schema);
            let schema = schema.to_value();
            let required: Vec<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                if operation.filled.contains(&name.as_str()) {
                    continue;
                }
                let mut field = without_null(field);
                let description = field.as_object_mut().and_then(|field| field.remove("description"));
                let in_path = operation.path.contains(&format!("{{{name}}}"));
                let mut said = json!({ "required": in_path || required.contains(&name.as_str()), "schema": field });
                if let Some(description) = description {
                    said["description"] = description;
                }
                put(if in_path { "path" } else { "query" }, name, said);
            }
        }
        found.into_values().collect()
    }

    /// Problems by their status, with the codes that come with it.
    fn problems(&mut self) -> Value {
        let mut schema = of::<Problem>(&mut self.said);
        apply(&mut self.said, &mut schema);
        let mut responses = Map::new();
        let statuses: BTreeSet<u16> = problems::rows().map(|row| row.status).filter(|status| *status >= 400).collect();
        for status in statuses {
            let rows = || problems::rows().filter(|row| row.status == status);
            let codes: Vec<String> = rows().map(|row| format!("[`{0}`](/docs/problems/{0})", row.code)).collect();
            let examples: Map<String, Value> = rows()
                .map(|row| (row.code.to_owned(), json!({ "summary": row.code, "value": row.example() })))
                .collect();
            let mut response = json!({
                "description": format!("A problem: {}.", codes.join(", ")),
                "content": { "application/problem+json": { "schema": schema, "examples": examples } },
            });
            if matches!(status, 401 | 429 | 503 | 507) {
                response["headers"] = headers(status, "");
            }
            responses.insert(format!("Problem{status}"), response);
        }
        Value::Object(responses)
    }

    /// All types, and the new names of those that are sent in another form than they are said.
    fn merged(mut self) -> (Map<String, Value>, BTreeMap<String, String>) {
        let asked = self.asked.take_definitions(true);
        let mut schemas = self.said.take_definitions(true);
        let mut differ: BTreeSet<&String> = BTreeSet::new();
        loop {
            let before = differ.len();
            for (name, schema) in &asked {
                let is_other = schemas.get(name).is_some_and(|said| said != schema);
                let names_other = differ.iter().any(|other| refers(schema, other));
                if is_other || names_other && schemas.contains_key(name) {
                    differ.insert(name);
                }
            }
            if differ.len() == before {
                break;
            }
        }
        let renamed: BTreeMap<String, String> =
            differ.iter().map(|name| ((*name).clone(), format!("{name}Input"))).collect();
        for (name, mut schema) in asked {
            if name == "Envelope" {
                schema["unevaluatedProperties"] = false.into();
            }
            rename(&mut schema, &renamed, &[]);
            schemas.insert(renamed.get(&name).cloned().unwrap_or(name), schema);
        }
        schemas.sort_keys();
        (schemas, renamed)
    }
}

/// The headers of an answer.
fn headers(status: u16, path: &str) -> Value {
    let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    match (status, path) {
        (200 | 422, "/v1/commands" | "/v1/outcomes") => {
            json!({ "Idempotent-Replayed": text("`true` where the command was known before.") })
        }
        (401, _) => json!({ "WWW-Authenticate": text("`Bearer`.") }),
        (200, "/v1/records/{record}") => json!({ "ETag": text("Names the record for ever.") }),
        (202 | 429 | 503 | 507, _) => json!({ "Retry-After": {
            "description": "After how many seconds to ask again.", "schema": { "type": "integer", "minimum": 0 },
        } }),
        _ => json!({}),
    }
}

/// A field of a query is there or not: it is never null.
fn without_null(field: &Value) -> Value {
    let mut field = field.clone();
    let Some(schema) = field.as_object_mut() else { return field };
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = &types[..] {
            let one = one.clone();
            schema.insert("type".to_owned(), one);
        }
    }
    if schema.get("default") == Some(&Value::Null) {
        schema.remove("default");
    }
    if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
        forms.retain(|form| form["type"] != "null");
        if let [Value::Object(one)] = &forms[..] {
            let one = one.clone();
            schema.remove("anyOf");
            for (name, value) in one {
                schema.entry(name).or_insert(value);
            }
        }
    }
    field
}

fn reference(name: &str) -> String {
    format!("#/components/schemas/{name}")
}

/// Whether a schema names a type.
fn refers(schema: &Value, name: &str) -> bool {
    match schema {
        Value::Object(fields) => {
            fields.get("$ref").is_some_and(|to| *to == reference(name)) || fields.values().any(|one| refers(one, name))
        }
        Value::Array(all) => all.iter().any(|one| refers(one, name)),
        _ => false,
    }
}

/// Gives types their new names, everywhere below `within`, or everywhere.
fn rename(value: &mut Value, renamed: &BTreeMap<String, String>, within: &[&str]) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                let is_within = within.is_empty() || within.contains(&name.as_str());
                if name == "$ref" && within.is_empty() {
                    let to = field.as_str().and_then(|to| to.strip_prefix("#/components/schemas/"));
                    if let Some(new) = to.and_then(|to| renamed.get(to)) {
                        *field = reference(new).into();
                    }
                } else {
                    rename(field, renamed, if is_within { &[] } else { within });
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|one| rename(one, renamed, within)),
        _ => {}
    }
}
