//! Why a subscription does not give what was asked for.

use std::{io, sync::Arc};

use super::Name;
use crate::{feed, store};

/// What subscriptions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a subscription does not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No subscription has the name: 404.
    #[error("there is no subscription {0}: PUT one of this name, or list those that there are")]
    NotFound(Name),
    /// It exists with another filter or beginning: 409.
    #[error(
        "subscription {name} exists with another {what}: {found}. Its progress is of that; DELETE it to begin anew, \
         or choose another name"
    )]
    Differs {
        /// Which one.
        name: Name,
        /// `filter` or `from`.
        what: &'static str,
        /// What it has.
        found: String,
    },
    /// Its place is none of this log: 409.
    #[error(
        "subscription {name} cannot go on: {why}. PUT it anew with from, which begins again there and forgets what was \
         parked"
    )]
    Broken {
        /// Which one.
        name: Name,
        /// What does not fit.
        why: String,
    },
    /// It pushes, so nobody can pull: 409.
    #[error("subscription {0} pushes to its address: PUT it without push to pull")]
    Pushes(Name),
    /// A filter with a value that nothing can match: 400.
    #[error("filter: {0}")]
    BadFilter(#[source] feed::Error),
    /// A beginning that is none: 400, or 410 where the cursor is of another log.
    #[error("from: {0}")]
    BadFrom(#[source] feed::Error),
    /// A setting that is not allowed: 400.
    #[error("{path}: {what}")]
    BadSetting {
        /// Which one.
        path: &'static str,
        /// What was found, and what is allowed.
        what: String,
    },
    /// As many subscriptions as may be: 429.
    #[error("there are {most} subscriptions, and no more may be: DELETE one that nobody needs")]
    TooMany {
        /// The limit.
        most: usize,
    },
    /// The system has no random bytes for a secret: 500.
    #[error("asking the system for random bytes")]
    NoRandomness(#[source] io::Error),
    /// The feed does not give entries just now: 503 when it is stopping or has too many followers, else 500.
    #[error(transparent)]
    Feed(#[from] feed::Error),
    /// `service.db` does not answer; what was asked may have been done: 503. Asking again is safe.
    #[error(transparent)]
    Store(#[from] Arc<store::Error>),
    /// The server ends: 503.
    #[error("the server is stopping; ask again")]
    Stopping,
}

impl Error {
    /// What clients branch on; it never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "subscription_not_found",
            Self::Differs { .. } => "subscription_differs",
            Self::Broken { .. } => "subscription_broken",
            Self::Pushes(_) => "subscription_pushes",
            Self::BadFilter(_) => "bad_filter",
            Self::BadFrom(_) => "bad_from",
            Self::BadSetting { .. } => "bad_setting",
            Self::TooMany { .. } => "too_many_subscriptions",
            Self::NoRandomness(_) => "no_randomness",
            Self::Feed(_) => "feed_unavailable",
            Self::Store(_) => "subscriptions_unavailable",
            Self::Stopping => "stopping",
        }
    }

    /// The HTTP status that goes with it.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound(_) => 404,
            Self::Differs { .. } | Self::Broken { .. } | Self::Pushes(_) => 409,
            Self::BadFrom(feed::Error::OtherLineage { .. } | feed::Error::AheadOfLog { .. }) => 410,
            Self::BadFilter(_) | Self::BadFrom(_) | Self::BadSetting { .. } => 400,
            Self::TooMany { .. } => 429,
            Self::Feed(feed::Error::Stopping | feed::Error::TooMany { .. }) | Self::Store(_) | Self::Stopping => 503,
            Self::NoRandomness(_) | Self::Feed(_) => 500,
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}
