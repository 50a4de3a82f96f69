//! Why something that was asked for cannot be answered.

use std::io;

use crate::{signals::Interrupted, store};

/// A question or an action of this door failed.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for by name is not there.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be asked like this; the text says how.
    #[error("{0}")]
    Unasked(String),
    /// There is no ledger where one was to be read.
    #[error("{0}")]
    NoLedger(String),
    /// The ledger, or its log, says no.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// The terms leave something out, or contradict what was given.
    #[error(transparent)]
    Settlement(#[from] projections::Error),
    /// No time zone has that name.
    #[error(transparent)]
    Zone(#[from] schemas::TimeError),
    /// `service.db` cannot be used.
    #[error(transparent)]
    Store(store::Error),
    /// Whoever asks wants it to end.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The folder cannot be looked at.
    #[error("{doing}")]
    Io {
        /// What was tried, and where.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Whether the ledger was found wrong, or what was asked for is not there: not a matter of how it was asked.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::NotFound(_) | Self::Ledger(_) | Self::Store(_) => true,
            Self::Unasked(_)
            | Self::NoLedger(_)
            | Self::Settlement(_)
            | Self::Zone(_)
            | Self::Interrupted(_)
            | Self::Io { .. } => false,
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Ledger(error) => *error,
            error => Self::Store(error),
        }
    }
}
