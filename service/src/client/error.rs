//! Why a server did not answer, or said no, and what to do about it.

use std::{error::Error as StdError, io, time::Duration};

use hyper::StatusCode;
use hyper_util::client::legacy;
use schemas::visible;
use serde::Deserialize;

use super::ServerAddress;
use crate::{
    app::{self, Said},
    signals::Interrupted,
};

/// A server was asked.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Cause = Box<dyn StdError + Send + Sync>;

/// Why there is no answer. Its text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens there.
    #[error(
        "nothing answers at {server}: is it running, and is that its address? On its machine it is started by giftledger \
         serve --data DIR"
    )]
    Unreachable {
        /// Where.
        server: String,
        /// What the system says.
        source: Cause,
    },
    /// Who answers speaks another protocol.
    #[error("what answers at {server} does not speak {}; try --server {other}", if *.secure { "TLS" } else { "HTTP" })]
    OtherScheme {
        /// Where.
        server: String,
        /// The same with the other scheme.
        other: String,
        /// Whether TLS was spoken.
        secure: bool,
    },
    /// Its certificate proves nothing.
    #[error(
        "{server} does not prove who it is, so nothing was said to it: its certificate must be of its name, in date, and \
         signed by somebody whom this machine trusts (a file of more: SSL_CERT_FILE)"
    )]
    Unproven {
        /// Where.
        server: String,
        /// What is wrong with it.
        source: Cause,
    },
    /// Who answers is something else.
    #[error(
        "what answers at {server} is no giftledger, or something stands before it that answers itself: {status}, {}; look \
         at --server",
        visible(media_type)
    )]
    Stranger {
        /// Where.
        server: String,
        /// What came.
        status: StatusCode,
        /// As what.
        media_type: String,
    },
    /// It takes too long.
    #[error("{server} was silent for too long; ask again, and look at its log")]
    Silent {
        /// Where.
        server: String,
    },
    /// The connection broke.
    #[error("the connection to {server} broke off; ask again")]
    Broken {
        /// Where.
        server: String,
        /// What the system says.
        source: Cause,
    },
    /// It said no.
    #[error(transparent)]
    Problem(#[from] Box<Problem>),
    /// What it says is not understood.
    #[error("the answer of {server} is not understood: is it of another release than this program, which is {own}?")]
    Unread {
        /// Where.
        server: String,
        /// Our release.
        own: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Lines of commands have no answer.
    #[error(
        "lines up to {answered} are answered; those up to {sent} may have been taken, the rest was not sent: append the \
         same file again, as nothing is done twice under one id"
    )]
    Unanswered {
        /// The last line that was answered.
        answered: u64,
        /// The last line that was sent.
        sent: u64,
        /// Why.
        source: Box<Error>,
    },
    /// It cannot be asked like this.
    #[error("{0}")]
    Unusable(String),
    /// A question of ours cannot be asked like this, or the file cannot be read.
    #[error(transparent)]
    App(#[from] app::Error),
    /// Whoever asks wants it to end.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What a server says where it does not answer: an RFC 9457 problem.
#[derive(Debug, thiserror::Error)]
#[error("{}{}", visible(&self.detail), self.next_step())]
pub struct Problem {
    status: StatusCode,
    code: String,
    detail: String,
    retry_after: Option<Duration>,
    server: ServerAddress,
    /// All of it.
    said: Said,
}

#[derive(Deserialize)]
struct Fields {
    detail: String,
    code: String,
}

impl Error {
    /// What became of a request that got no answer.
    pub(super) fn of_request(server: &ServerAddress, error: legacy::Error) -> Self {
        let (is_connect, name) = (error.is_connect(), server.to_string());
        let other =
            || Self::OtherScheme { server: name.clone(), other: server.other_scheme(), secure: server.is_secure() };
        match tls_cause(&error) {
            Some(rustls::Error::InvalidMessage(_)) => return other(),
            Some(_) => return Self::Unproven { server: name, source: error.into() },
            None => {}
        }
        let is_parse =
            causes(&error).filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(hyper::Error::is_parse);
        if is_parse {
            other()
        } else if is_connect {
            Self::Unreachable { server: name, source: error.into() }
        } else {
            Self::Broken { server: name, source: error.into() }
        }
    }

    /// A problem, or what looks like one.
    pub(super) fn problem(
        server: &ServerAddress,
        status: StatusCode,
        retry_after: Option<Duration>,
        body: &[u8],
    ) -> Self {
        let read = |body| Ok::<_, serde_json::Error>((serde_json::from_slice(body)?, serde_json::from_slice(body)?));
        if let Ok((Fields { detail, code }, said)) = read(body) {
            return Box::new(Problem { status, code, detail, retry_after, server: server.clone(), said }).into();
        }
        let media_type = "a problem without a code".to_owned();
        Self::Stranger { server: server.to_string(), status, media_type }
    }

    /// When it may help to ask again, if it may: what broke off, and what the server says is for a while.
    pub(super) fn may_help_after(&self) -> Option<Duration> {
        match self {
            Self::Broken { .. } => Some(Duration::ZERO),
            Self::Problem(problem) if !problem.is_answer() => problem.retry_after,
            _ => None,
        }
    }

    /// What asked it to end, if that is why it did.
    pub fn interrupted(&self) -> Option<&Interrupted> {
        match self {
            Self::Interrupted(interrupted) => Some(interrupted),
            Self::App(error) => error.interrupted(),
            _ => None,
        }
    }

    /// Whether nobody took the answers.
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::App(app::Error::Unanswered { .. }))
    }

    /// Whether there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Problem(problem) if problem.status == StatusCode::NOT_FOUND)
    }

    /// Whether the server, or the ledger, was found wrong or refused: not a matter of how it was asked.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Problem(problem) => !matches!(
                problem.status,
                StatusCode::BAD_REQUEST
                    | StatusCode::METHOD_NOT_ALLOWED
                    | StatusCode::PAYLOAD_TOO_LARGE
                    | StatusCode::UNSUPPORTED_MEDIA_TYPE
            ),
            Self::App(error) => error.is_fault(),
            Self::Unusable(_) | Self::Interrupted(_) => false,
            _ => true,
        }
    }
}

impl Problem {
    /// The answer to a command, where it is one: what was not taken comes as a problem too.
    pub(super) fn into_answer(self: Box<Self>) -> Result<Said> {
        if self.is_answer() {
            return Ok(self.said.without(&["type", "title", "status", "detail", "id"]));
        }
        Err(self.into())
    }

    fn is_answer(&self) -> bool {
        self.said.text("state").is_some() && self.said.text("message").is_some()
    }

    /// What to do about it, behind what it says.
    fn next_step(&self) -> String {
        match (self.code.as_str(), self.status) {
            ("token_missing", _) => "; say --token-file FILE, or set GIFTLEDGER_TOKEN".to_owned(),
            ("not_allowed", _) => "; ask with another token, or have one made for it".to_owned(),
            ("foreign_host", _) => {
                format!("; ask it on its own machine as localhost, not as {}, or have a token made", self.server)
            }
            ("fault", _) => format!("; the log of {} says more", self.server),
            (_, StatusCode::UNAUTHORIZED) if !self.code.starts_with("token") => "; a token is needed".to_owned(),
            _ => match self.retry_after {
                Some(time) if !self.detail.contains("ask again") => format!("; ask again in {} s", time.as_secs()),
                _ => String::new(),
            },
        }
    }
}

/// An error and all that is behind it, what an `io::Error` carries too.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| behind(*error))
}

fn behind<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(carried) => Some(carried),
        None => error.source(),
    }
}

fn tls_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Whether a cause is what a server found wrong or refused.
pub fn is_fault(cause: &(dyn StdError + 'static)) -> bool {
    cause.downcast_ref().is_some_and(Error::is_fault)
}
