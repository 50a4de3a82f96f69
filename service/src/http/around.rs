//! Around every request: it gets an id that comes back, a span, and is counted.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;
use uuid::Uuid;

use super::door::Door;

const REQUEST_ID: &str = "x-request-id";
/// The longest id of a request that comes back.
const MAX_ID_BYTES: usize = 128;

/// What happens around a request.
pub async fn around(State(door): State<Door>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request.headers().get(REQUEST_ID).filter(|id| id.len() <= MAX_ID_BYTES && id.to_str().is_ok()).cloned();
    let id = id.or_else(|| HeaderValue::from_str(&Uuid::now_v7().to_string()).ok());
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let span = span(&request, id.as_ref(), path.as_ref());
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, time) = (response.status().as_u16(), begun.elapsed());
    span.in_scope(|| tracing::info!(status, us = time.as_micros(), "answered"));
    door.metrics.request(method.as_str(), named(path.as_ref()), status, time);
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The route; what is none counts as one.
fn named(path: Option<&MatchedPath>) -> &str {
    path.map_or("other", MatchedPath::as_str)
}

/// The route stands for the address: what is asked for in it may be a secret, or personal.
fn span(request: &Request, id: Option<&HeaderValue>, path: Option<&MatchedPath>) -> tracing::Span {
    tracing::info_span!(
        "request",
        method = %request.method(),
        path = named(path),
        id = id.and_then(|id| id.to_str().ok()),
        trace_id = trace_id(request.headers()),
    )
}

/// The trace that a request belongs to: `00-<32 hexadecimal digits>-…`, as W3C Trace Context has it.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, digits| {
        text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_sound = is_hex(version, 2) && version != "ff" && is_hex(trace, 32) && is_hex(parent, 16);
    (is_sound && trace.bytes().any(|byte| byte != b'0')).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_known_by_its_id() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        for (header, expected) in [
            (format!("00-{id}-b7ad6b7169203331-01"), Some(id)),
            (format!("01-{id}-b7ad6b7169203331-01-more"), Some(id)),
            (format!("ff-{id}-b7ad6b7169203331-01"), None),
            (format!("00-{}-b7ad6b7169203331-01", id.to_uppercase()), None),
            (format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), None),
            ("00-short-b7ad6b7169203331-01".to_owned(), None),
            (String::new(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", header.parse().unwrap());
            assert_eq!(trace_id(&headers), expected, "{header}");
        }
    }
}
