//! Why somebody was turned away.

use std::time::Duration;

use schemas::{Coins, Timestamp};

use super::name::Name;
use crate::store;

/// Why a request is refused before anything is decided. No text in it shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// No token came with it.
    #[error(
        "this needs a token: send it as Authorization: Bearer gl_…; whoever keeps the ledger makes one with giftledger \
         token create"
    )]
    Missing,
    /// What came is no token of this ledger.
    #[error(
        "this is no token of this ledger: look whether all 46 characters of it were sent, as Authorization: Bearer \
         gl_…, to the right server"
    )]
    Unknown,
    /// Its time is over.
    #[error("token {name} expired at {at}: ask whoever keeps the ledger for another one")]
    Expired {
        /// Which token.
        name: Name,
        /// When.
        at: Timestamp,
    },
    /// A newer secret took the place of this one.
    #[error("this secret of token {name} worked until {at}: use the one that replaced it")]
    Replaced {
        /// Which token.
        name: Name,
        /// When.
        at: Timestamp,
    },
    /// It was taken back.
    #[error("token {name} was revoked at {at}: ask whoever keeps the ledger for another one")]
    Revoked {
        /// Which token.
        name: Name,
        /// When.
        at: Timestamp,
    },
    /// It is a good token for something else.
    #[error("token {name} may not {what}: {needs}")]
    NotAllowed {
        /// Which token.
        name: Name,
        /// What was tried, in words that follow "may not".
        what: String,
        /// What it would take.
        needs: String,
    },
    /// More commands a second than it may send.
    #[error("token {name} may send {per_second} commands a second: ask again in {} ms", retry_after.as_millis())]
    TooMany {
        /// Which token.
        name: Name,
        /// How many it may.
        per_second: u32,
        /// When there is room again.
        retry_after: Duration,
    },
    /// More coins a day than it may make.
    #[error(
        "token {name} may make {limit} coins a day and has {left} left until midnight in UTC, fewer than {asked}: ask \
         again then, or use a token with more daily coins"
    )]
    DailyCoins {
        /// Which token.
        name: Name,
        /// How many it may make in a day.
        limit: Coins,
        /// How many are left.
        left: Coins,
        /// How many it asked for, as far as that can be counted.
        asked: Coins,
        /// How long the day is still.
        retry_after: Duration,
    },
    /// Nobody can know: the database does not answer.
    #[error("tokens cannot be looked up just now: ask again")]
    Unavailable(#[source] Box<store::Error>),
}

impl Denied {
    /// What clients branch on; it never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Unknown => "token_unknown",
            Self::Expired { .. } => "token_expired",
            Self::Replaced { .. } => "token_replaced",
            Self::Revoked { .. } => "token_revoked",
            Self::NotAllowed { .. } => "not_allowed",
            Self::TooMany { .. } => "too_many_requests",
            Self::DailyCoins { .. } => "daily_coins",
            Self::Unavailable(_) => "tokens_unavailable",
        }
    }

    /// When asking again may help, where it can.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany { retry_after, .. } | Self::DailyCoins { retry_after, .. } => Some(*retry_after),
            Self::Unavailable(_) => Some(Duration::from_secs(1)),
            Self::Missing
            | Self::Unknown
            | Self::Expired { .. }
            | Self::Replaced { .. }
            | Self::Revoked { .. }
            | Self::NotAllowed { .. } => None,
        }
    }

    /// Whose token it was, where that is known.
    pub fn token(&self) -> Option<&Name> {
        match self {
            Self::Expired { name, .. }
            | Self::Replaced { name, .. }
            | Self::Revoked { name, .. }
            | Self::NotAllowed { name, .. }
            | Self::TooMany { name, .. }
            | Self::DailyCoins { name, .. } => Some(name),
            Self::Missing | Self::Unknown | Self::Unavailable(_) => None,
        }
    }
}

impl From<store::Error> for Denied {
    fn from(error: store::Error) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
