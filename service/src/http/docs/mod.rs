//! The documentation that the server itself gives: the `OpenAPI` document, a page that tries it, the schemas, and a
//! page for every code. All of it is made of what answers, and nothing of it is asked of another server.

pub mod document;
pub mod examples;
mod pages;
pub mod problems;
pub mod shapes;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use axum::{
    Json, Router,
    http::{HeaderMap, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use bytes::Bytes;
use serde_json::{Value, json};
use utoipa_swagger_ui::Config;

use super::{
    door::Door,
    extract::Named,
    problem::{Code, Problem},
};

/// Where the document is.
const DOCUMENT: &str = "/openapi.json";
/// What a page may load: what this server has. The page's own style is in it.
const POLICY: &str =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

/// The page that shows the document and tries it.
pub fn page() -> Router<Door> {
    Router::new()
        .route("/docs", get(async || Redirect::temporary("/docs/")))
        .route("/docs/", get(async || file("index.html")))
        .route("/docs/{file}", get(async |Named(name): Named| file(&name)))
}

/// The document.
pub async fn open_api() -> Response {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    let text = DOCUMENT.get_or_init(|| text(&document::document()).into());
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], text.clone()).into_response()
}

/// A published schema.
pub async fn schema(Named(name): Named) -> Result<Response, Problem> {
    let Some(schema) = schemas().into_iter().find(|(of, _)| *of == name) else {
        let names: Vec<&str> = schemas().into_iter().map(|(name, _)| name).collect();
        let detail = format!("there is no schema {}; there are {}", schemas::visible(&name), names.join(", "));
        return Err(Problem::new(Code::NotFound, detail));
    };
    Ok(([(header::CONTENT_TYPE, "application/schema+json")], text(&schema.1())).into_response())
}

/// Makes a schema.
type Made = fn() -> Value;

/// The schemas by the names under which they are served.
fn schemas() -> [(&'static str, Made); 5] {
    [
        ("command.json", || of_the_types("command.schema.json")),
        ("answer.json", document::answer_schema),
        ("record.json", || of_the_types("record.schema.json")),
        ("event.json", document::event_schema),
        ("change.json", || of_the_types("change.schema.json")),
    ]
}

fn of_the_types(file: &str) -> Value {
    let schema = schemas::json_schemas().into_iter().find(|(name, _)| *name == file);
    schema.map(|(_, schema)| schema.to_value()).unwrap_or_default()
}

/// As it is committed.
fn text(value: &Value) -> String {
    // A tree of JSON has a text.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// Every code.
pub async fn codes(headers: HeaderMap) -> Response {
    if wants_json(&headers) {
        let codes: Vec<Value> = problems::rows().map(problems::Row::json).collect();
        return Json(json!({ "codes": codes })).into_response();
    }
    html(pages::all())
}

/// One code.
pub async fn code(Named(code): Named, headers: HeaderMap) -> Result<Response, Problem> {
    let Some(row) = problems::find(&code) else {
        let near = schemas::nearest(&code, problems::rows().map(|row| row.code));
        let near = near.map(|near| format!("; {near} was probably meant")).unwrap_or_default();
        let detail = format!("there is no code {}{near}; all are at /docs/problems", schemas::visible(&code));
        return Err(Problem::new(Code::NotFound, detail));
    };
    Ok(if wants_json(&headers) { Json(row.json()).into_response() } else { html(pages::one(row)) })
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.contains("json") && !accept.contains("text/html")
}

fn html(page: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, page).into_response()
}

/// A file of the page that tries requests.
fn file(name: &str) -> Response {
    static CONFIG: OnceLock<Arc<Config<'static>>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let config = Config::from(DOCUMENT)
            .validator_url("none")
            .try_it_out_enabled(true)
            .persist_authorization(true)
            .display_request_duration(true)
            .filter(true)
            .doc_expansion("list");
        Arc::new(config)
    });
    match utoipa_swagger_ui::serve(name, Arc::clone(config)) {
        Ok(Some(file)) => {
            let headers = [
                (header::CONTENT_TYPE, file.content_type),
                (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
                (header::CACHE_CONTROL, "no-cache".to_owned()),
            ];
            (headers, file.bytes.into_owned()).into_response()
        }
        Ok(None) => Problem::new(Code::NotFound, format!("there is nothing at /docs/{}", schemas::visible(name)))
            .into_response(),
        Err(error) => Problem::new(Code::Fault, format!("making the page: {error}")).into_response(),
    }
}
