//! What goes wrong at this door, as RFC 9457 problems: `type` is a page of the documentation, `state` says what it means
//! for a command, `code` never changes.

use std::fmt::Display;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use ledger::Answer;
use schemas::CommandId;
use serde::Serialize;
use serde_json::{Map, Value};

use super::docs::problems;
use crate::app;

/// Problems of this door.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Something that could not be done, and why.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    body: Box<Map<String, Value>>,
    retry_after_s: Option<u64>,
}

/// What a door says of itself: the code, and the status that goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request cannot be read.
    BadRequest,
    /// A query asks for what there is not.
    BadQuery,
    /// The body is no JSON, or not the one that is expected.
    Malformed,
    /// It says what it is in a way that is not understood.
    UnsupportedMediaType,
    /// The body is larger than it may be.
    BodyTooLarge,
    /// The client was too slow.
    BodyTimeout,
    /// There is no such page or thing.
    NotFound,
    /// It is there, and is not done like this.
    MethodNotAllowed,
    /// The request is not for this host, or comes from a page of another one.
    ForeignHost,
    /// The ledger, or its log, was found wrong.
    Fault,
    /// The server ends.
    Closing,
    /// Too much is under way.
    Busy,
}

impl Code {
    /// As clients read it.
    pub fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::BadQuery => "bad_query",
            Self::Malformed => "malformed",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::ForeignHost => "foreign_host",
            Self::Fault => "fault",
            Self::Closing => "closing",
            Self::Busy => "busy",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::BadQuery | Self::Malformed => StatusCode::BAD_REQUEST,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::ForeignHost => StatusCode::FORBIDDEN,
            Self::Fault => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Closing => StatusCode::SERVICE_UNAVAILABLE,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

impl Problem {
    /// Something that this door says.
    pub fn new(code: Code, detail: impl Display) -> Self {
        Self::with(code.status(), code.code(), detail)
    }

    /// With a status and a code of another part.
    pub fn with(status: StatusCode, code: &str, detail: impl Display) -> Self {
        debug_assert!(problems::find(code).is_some(), "{code} has no page: add a row to http/docs/problems");
        let mut body = Map::new();
        body.insert("type".into(), page(code).into());
        body.insert("title".into(), title(code).into());
        body.insert("status".into(), status.as_u16().into());
        body.insert("detail".into(), detail.to_string().into());
        body.insert("code".into(), code.into());
        Self { status, body: Box::new(body), retry_after_s: None }
    }

    /// The status that it comes with.
    #[cfg(test)]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What it means for a command: `undecided` where nothing was decided.
    #[must_use]
    pub fn state(self, state: &str) -> Self {
        self.and("state", state)
    }

    /// With one thing more that it says.
    #[must_use]
    pub fn and(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.body.insert(name.to_owned(), value.into());
        self
    }

    /// When it is worth asking again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&*self.body).unwrap_or_default();
        let mut response = (self.status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<app::Error> for Problem {
    fn from(error: app::Error) -> Self {
        match &error {
            // A place that somebody named as a moment.
            app::Error::NotFound(_) | app::Error::Ledger(ledger::Error::NoRecord { .. }) => {
                Self::new(Code::NotFound, &error)
            }
            app::Error::Ledger(ledger::Error::EngineStopped) | app::Error::Interrupted(_) => {
                Self::new(Code::Closing, &error).retry_after(2)
            }
            // Here nobody asks about files of their own.
            app::Error::Io { .. } | app::Error::NoLedger(_) => Self::new(Code::Fault, &error),
            app::Error::Refused { doing, why } => {
                Self::with(StatusCode::UNPROCESSABLE_ENTITY, why.code(), format!("{doing}: {why}")).state("refused")
            }
            app::Error::Undecided { doing, why } => {
                let answer = Answer::Unavailable(*why);
                let problem = Self::with(status_of(&answer), why.code(), format!("{doing}: {why}")).state(why.state());
                match retry_after_s(&answer) {
                    Some(seconds) => problem.retry_after(seconds),
                    None => problem,
                }
            }
            app::Error::Malformed(malformed) => {
                let problem = Self::new(Code::Malformed, &malformed.message).state("malformed");
                match &malformed.path {
                    Some(path) => problem.and("path", path.as_str()),
                    None => problem,
                }
            }
            app::Error::File(file) if !error.is_fault() => {
                Self::new(Code::Malformed, format!("{file:#}")).state("malformed")
            }
            _ if !error.is_fault() => Self::new(Code::BadQuery, &error),
            _ => Self::new(Code::Fault, &error),
        }
    }
}

impl From<ledger::Error> for Problem {
    fn from(error: ledger::Error) -> Self {
        app::Error::from(error).into()
    }
}

/// The page of the documentation about a code.
pub fn page(code: &str) -> String {
    format!("/docs/problems/{code}")
}

/// A code in words.
pub fn title(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The status that goes with an answer.
pub fn status_of(answer: &Answer) -> StatusCode {
    use ledger::Unavailable;
    match answer {
        Answer::Taken(_) => StatusCode::OK,
        Answer::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Answer::Conflict(_) => StatusCode::CONFLICT,
        Answer::Malformed(_) => StatusCode::BAD_REQUEST,
        Answer::Unavailable(why) => match why {
            Unavailable::Busy | Unavailable::OverQuota => StatusCode::TOO_MANY_REQUESTS,
            Unavailable::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Unavailable::Unfinished => StatusCode::ACCEPTED,
            Unavailable::EarlierLineUnfinished
            | Unavailable::ClockBehind
            | Unavailable::ClockAhead
            | Unavailable::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        },
    }
}

/// When an answer without an outcome is worth asking for again, in seconds.
pub fn retry_after_s(answer: &Answer) -> Option<u64> {
    use ledger::Unavailable;
    match answer {
        Answer::Taken(_) | Answer::Refused(_) | Answer::Conflict(_) | Answer::Malformed(_) => None,
        Answer::Unavailable(why) => Some(match why {
            Unavailable::Busy | Unavailable::Unfinished | Unavailable::EarlierLineUnfinished => 1,
            Unavailable::Stopped => 2,
            Unavailable::DiskFull | Unavailable::ClockBehind | Unavailable::ClockAhead => 10,
            Unavailable::OverQuota => 60,
        }),
    }
}

/// The answer to one command: the object of a bulk's line, where it was not taken with what makes it a problem.
#[derive(Debug, Serialize)]
struct Answered<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a CommandId>,
    #[serde(flatten)]
    answer: &'a Answer,
}

/// The response to one command.
pub fn respond(id: Option<&CommandId>, answer: &Answer) -> Response {
    let status = status_of(answer);
    let problem = answer.code().filter(|_| status != StatusCode::ACCEPTED);
    let answered = Answered {
        r#type: problem.map(page),
        title: problem.map(title),
        status: problem.map(|_| status.as_u16()),
        detail: problem.and_then(|_| said(answer)),
        id,
        answer,
    };
    let body = serde_json::to_vec(&answered).unwrap_or_default();
    let media_type = if problem.is_some() { MEDIA_TYPE } else { "application/json" };
    let mut response = (status, [(header::CONTENT_TYPE, media_type)], body).into_response();
    let headers = response.headers_mut();
    if answer.is_repeated() {
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    if let Some(seconds) = retry_after_s(answer) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What it says in a sentence.
fn said(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Taken(_) => None,
        Answer::Refused(refused) => Some(refused.message.clone()),
        Answer::Conflict(conflict) => Some(conflict.message.clone()),
        Answer::Malformed(malformed) => Some(malformed.message.clone()),
        Answer::Unavailable(why) => Some(why.to_string()),
    }
}
