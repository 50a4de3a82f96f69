//! Reading what a client sends: bounded in bytes and in time, UTF-8, and said to be what it is.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};

use super::problem::{Code, Problem};
use crate::{app::actions::append::other_encoding, config::Limits};

/// A byte-order mark of UTF-8.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Says no to a body that is not said to be one of these: a page of another site could send it otherwise, and a
/// browser would ask nobody first.
///
/// # Errors
/// [`Code::UnsupportedMediaType`].
pub fn check_media_type(headers: &HeaderMap, allowed: &[&str]) -> Result<(), Problem> {
    let encoding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("identity");
    if !encoding.eq_ignore_ascii_case("identity") {
        let detail = format!("the body is said to be encoded as {encoding:?}; send it as it is");
        return Err(Problem::new(Code::UnsupportedMediaType, detail).state("undecided"));
    }
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (essence, parameters) = said.split_once(';').unwrap_or((said, ""));
    let essence = essence.trim().to_ascii_lowercase();
    let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
    if let Some(charset) = charset.filter(|charset| !charset.trim_matches('"').eq_ignore_ascii_case("utf-8")) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            format!("the body is said to be in {charset}; allowed is UTF-8"),
        ));
    }
    if allowed.contains(&essence.as_str()) {
        return Ok(());
    }
    let found =
        if said.is_empty() { "there is no Content-Type".to_owned() } else { format!("Content-Type is {said:?}") };
    let allowed = allowed.join(" or ");
    Err(Problem::new(Code::UnsupportedMediaType, format!("{found}; send the header Content-Type: {allowed}")))
}

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
/// [`Code::BodyTooLarge`], [`Code::BodyTimeout`], [`Code::BadRequest`] where it breaks off.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize, limits: &Limits) -> Result<Bytes, Problem> {
    refuse_larger(headers, limit)?;
    let (mut body, mut first, mut more) = (Arriving::new(body, limits), Bytes::new(), Vec::new());
    while let Some(piece) = body.next().await? {
        if first.is_empty() && more.is_empty() {
            first = piece;
        } else {
            if more.is_empty() {
                more.extend_from_slice(&first);
            }
            more.extend_from_slice(&piece);
        }
        if first.len().max(more.len()) > limit {
            return Err(too_large(limit));
        }
    }
    Ok(if more.is_empty() { first } else { more.into() })
}

/// A body as it arrives, and how long its client has let us wait for it. Only that counts: where we do not ask for
/// more, as the answers to what has come are not ready, the client is not slow.
#[derive(Debug)]
pub struct Arriving {
    body: Body,
    limits: Limits,
    bytes: u64,
    waited: Duration,
}

/// Why a body is not whole.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It came too slowly.
    #[error("the body did not come in time")]
    TooSlow,
    /// The client ended it, or it is no body.
    #[error("the body breaks off: {0}")]
    Off(axum::Error),
}

impl From<Broken> for Problem {
    fn from(broken: Broken) -> Self {
        let code = match broken {
            Broken::TooSlow => Code::BodyTimeout,
            Broken::Off(_) => Code::BadRequest,
        };
        Self::new(code, broken).state("undecided")
    }
}

/// Counts the time until it is dropped, whoever drops it.
struct Waiting<'a> {
    waited: &'a mut Duration,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *self.waited += self.since.elapsed();
    }
}

impl Arriving {
    pub fn new(body: Body, limits: &Limits) -> Self {
        Self { body, limits: *limits, bytes: 0, waited: Duration::ZERO }
    }

    /// The next piece; none at its end. It may be dropped while it waits, and loses nothing.
    ///
    /// # Errors
    /// [`Broken`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        let Self { body, limits, bytes, waited } = self;
        loop {
            let left = limits.body_time(*bytes).saturating_sub(*waited).min(limits.body_timeout());
            let waiting = Waiting { waited, since: Instant::now() };
            let frame = timeout(left, body.frame()).await.map_err(|_| Broken::TooSlow)?;
            drop(waiting);
            let Some(frame) = frame else { return Ok(None) };
            if let Ok(piece) = frame.map_err(Broken::Off)?.into_data()
                && !piece.is_empty()
            {
                *bytes += piece.len() as u64;
                return Ok(Some(piece));
            }
        }
    }
}

/// Says no to a body that is announced to be larger than allowed, before any of it is read.
///
/// # Errors
/// [`Code::BodyTooLarge`].
pub fn refuse_larger(headers: &HeaderMap, limit: usize) -> Result<(), Problem> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) { Err(too_large(limit)) } else { Ok(()) }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body has more than {limit} bytes, the most that it may have"))
        .state("undecided")
        .and("limit", limit)
}

/// The text of a body, without a byte-order mark.
///
/// # Errors
/// [`Code::UnsupportedMediaType`] if it is in UTF-16 or -32, which its first bytes betray.
pub fn utf8(body: &[u8]) -> Result<&[u8], Problem> {
    if let Some(encoding) = other_encoding(&body[..body.len().min(4)]) {
        return Err(Problem::new(Code::UnsupportedMediaType, format!("the body is in {encoding}; send it in UTF-8"))
            .state("undecided"));
    }
    Ok(body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body))
}
