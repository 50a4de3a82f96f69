//! Why something that was asked for cannot be answered or done.

use std::{error::Error as StdError, io};

use crate::{signals::Interrupted, store};

/// A question or an action of this door failed.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a question has no answer, or an action was not done. Its text names fields, never a door's way to write them.
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
    /// A command of an action was refused, for ever.
    #[error("{doing}")]
    Refused {
        /// What was tried.
        doing: String,
        /// Why not.
        #[source]
        why: schemas::Rejection,
    },
    /// A command of an action was not decided; asked again, the action goes on.
    #[error("{doing}")]
    Undecided {
        /// What was tried, and what to do next.
        doing: String,
        /// Why not.
        #[source]
        why: ledger::Unavailable,
    },
    /// What was sent cannot be read.
    #[error(transparent)]
    Malformed(#[from] Box<schemas::Malformed>),
    /// A file, or a text in the place of one, cannot be used; it says where and why.
    #[error(transparent)]
    File(anyhow::Error),
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
    /// Nobody took the answers.
    #[error("answers could not be written; lines up to {last} may have been taken, the rest was not looked at")]
    Unanswered {
        /// The last line that was handed in.
        last: u64,
        /// What the door said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The folder, or what was given, cannot be looked at.
    #[error("{doing}")]
    Io {
        /// What was tried, and where.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

/// What lies below knows no kinds of its own; where it met one of ours, that stays what it is.
impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::File(error),
        }
    }
}

impl Error {
    /// Whether the ledger was found wrong, refused, or has not what was asked for: not a matter of how it was asked.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::NotFound(_)
            | Self::Ledger(_)
            | Self::Store(_)
            | Self::Refused { .. }
            | Self::Undecided { .. }
            | Self::Unanswered { .. } => true,
            Self::File(error) => error.chain().any(is_fault),
            Self::Unasked(_)
            | Self::Malformed(_)
            | Self::NoLedger(_)
            | Self::Settlement(_)
            | Self::Zone(_)
            | Self::Interrupted(_)
            | Self::Io { .. } => false,
        }
    }

    /// What asked it to end, if that is why it did.
    pub fn interrupted(&self) -> Option<&Interrupted> {
        match self {
            Self::Interrupted(interrupted) => Some(interrupted),
            Self::File(error) => error.downcast_ref(),
            _ => None,
        }
    }
}

/// Whether a cause is what the ledger found wrong or refused, or a full disk: not a matter of how it was asked.
pub fn is_fault(cause: &(dyn StdError + 'static)) -> bool {
    let is_full = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
    };
    cause.is::<ledger::Error>()
        || cause.is::<ledger::Unavailable>()
        || cause.is::<schemas::Rejection>()
        || cause.downcast_ref().is_some_and(Error::is_fault)
        || cause.downcast_ref().is_some_and(is_full)
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Ledger(error) => *error,
            error => Self::Store(error),
        }
    }
}
