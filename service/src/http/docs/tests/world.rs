//! A server on a ledger of its own, and a reader of the document who checks each answer by it.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
    response::Response,
};
use http_body_util::BodyExt;
use jsonschema::Validator;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::{
    http::{docs::document, router},
    ledger_dir::LedgerDir,
};

/// The document, and its schemas.
pub struct Document {
    pub document: Value,
}

/// A path as a part of a JSON pointer.
pub fn escaped(path: &str) -> String {
    path.replace('~', "~0").replace('/', "~1")
}

impl Document {
    pub fn new() -> Self {
        Self { document: document::document() }
    }

    fn validator(&self, schema: &Value) -> Validator {
        let whole = json!({ "allOf": [schema], "components": self.document["components"] });
        jsonschema::validator_for(&whole).unwrap_or_else(|error| panic!("{schema}: {error}"))
    }

    fn check(&self, what: &str, schema: &Value, value: &Value) {
        if let Some(error) = self.validator(schema).iter_errors(value).next() {
            panic!("{what}: {error}, at {}\n{value:#}", error.instance_path());
        }
    }

    /// Checks the text or tree of a content by its schema.
    fn check_content(&self, what: &str, content: &Value, text: &str) {
        let line = &content["x-line-schema"];
        if line.is_object() {
            for line_of in text.lines() {
                self.check(what, line, &serde_json::from_str(line_of).unwrap());
            }
        } else if content["schema"]["type"] != "string" {
            self.check(what, &content["schema"], &serde_json::from_str(text).unwrap());
        }
    }

    /// Checks the examples of all contents at a place of the document.
    pub fn check_examples(&self, place: &str) {
        let contents = self.document.pointer(place).and_then(Value::as_object);
        for content in contents.into_iter().flat_map(|contents| contents.values()) {
            for (name, example) in content["examples"].as_object().into_iter().flatten() {
                let value = &example["value"];
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                self.check_content(&format!("{place} {name}"), content, &text);
            }
        }
    }

    /// The operation that a request asks for, by its method and path.
    fn operation(&self, method: &str, path: &str) -> Option<(String, &Value)> {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let of: Vec<&str> = template.split('/').collect();
            of.len() == parts.len() && of.iter().zip(&parts).all(|(of, part)| of.starts_with('{') || of == part)
        };
        let paths = self.document["paths"].as_object().unwrap();
        let mut found: Vec<&String> = paths.keys().filter(|template| fits(template)).collect();
        found.sort_by_key(|template| template.matches('{').count());
        let template = *found.first()?;
        Some((template.clone(), paths[template].get(method)?))
    }

    /// Checks an answer: its status, its media type and its body are ones that the document says.
    pub fn check_answer(&self, asked: &Asked, status: StatusCode, media_type: &str, text: &str) {
        let what = format!("{} {} {status}", asked.method, asked.uri);
        assert!(!status.is_server_error() || asked.may_fail, "{what}: {text}");
        let path = asked.uri.split('?').next().unwrap_or_default();
        let operation = self.operation(&asked.method.to_ascii_lowercase(), path);
        let problem = &json!({ "$ref": "#/components/schemas/Problem" });
        let Some((template, operation)) = operation else {
            assert!(matches!(status.as_u16(), 404 | 405), "{what} is not documented: {text}");
            assert_eq!(media_type, "application/problem+json", "{what}");
            return self.check(&what, problem, &serde_json::from_str(text).unwrap());
        };
        let mut response = &operation["responses"][status.as_str()];
        if let Some(to) = response["$ref"].as_str() {
            response = self.document.pointer(to.trim_start_matches('#')).unwrap();
        }
        assert!(response.is_object(), "{what}: {template} does not say this status: {text}");
        let essence = media_type.split(';').next().unwrap_or_default();
        let content = &response["content"][essence];
        assert!(content.is_object(), "{what}: {template} does not say {media_type:?}: {text}");
        self.check_content(&what, content, text);
    }
}

/// A request.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub uri: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Whether a 5xx may come.
    pub may_fail: bool,
}

impl Asked {
    pub fn new(method: &str, uri: &str) -> Self {
        let (headers, body) = (Vec::new(), Vec::new());
        Self { method: method.to_owned(), uri: uri.to_owned(), headers, body, may_fail: false }
    }

    pub fn get(uri: &str) -> Self {
        Self::new("GET", uri)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(self, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self.header("content-type", media_type) }
    }

    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub fn may_fail(self) -> Self {
        Self { may_fail: true, ..self }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Said {
    pub status: u16,
    pub headers: axum::http::HeaderMap,
    pub text: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// A server.
pub struct World {
    pub document: Document,
    router: Router,
    _folder: TempDir,
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = LedgerDir::new(&folder.path().join("ledger"));
        let engine = Arc::new(dir.make(Some(2)).unwrap());
        let door = crate::http::run::door(&dir, &engine, crate::config::Limits::default()).await.unwrap();
        Self { document: Document::new(), router: router(door), _folder: folder }
    }

    /// Asks, and checks the answer by the document.
    pub async fn ask(&self, asked: Asked) -> Said {
        let said = self.ask_unchecked(&asked).await;
        let media_type =
            said.headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap()).unwrap_or_default();
        self.document.check_answer(&asked, StatusCode::from_u16(said.status).unwrap(), media_type, &said.text);
        said
    }

    /// Asks.
    pub async fn ask_unchecked(&self, asked: &Asked) -> Said {
        let mut request = Request::builder().method(&*asked.method).uri(&asked.uri);
        for (name, value) in &asked.headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(asked.body.clone())).unwrap();
        let response: Response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Said { status: parts.status.as_u16(), headers: parts.headers, text }
    }
}
