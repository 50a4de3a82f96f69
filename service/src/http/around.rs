//! Around every request: it gets an id that comes back, a span, and is counted.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::HeaderValue,
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

fn span(request: &Request, id: Option<&HeaderValue>, path: Option<&MatchedPath>) -> tracing::Span {
    let text = |value: Option<&HeaderValue>| value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    tracing::info_span!(
        "request",
        method = %request.method(),
        path = named(path),
        id = text(id),
        traceparent = text(request.headers().get("traceparent")),
    )
}
