//! What can be wrong with `service.db`.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::app;

/// Something about `service.db` failed.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why `service.db` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no ledger whose database it could be.
    #[error(transparent)]
    Ledger(#[from] Box<app::Error>),
    /// The file system says no.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `SQLite` says no.
    #[error("{doing} {}", path.display())]
    Sql {
        /// What was tried.
        doing: &'static str,
        /// With which database.
        path: PathBuf,
        /// What `SQLite` said.
        source: sqlx::Error,
    },
    /// Something else stands where the file should.
    #[error("{} is {what}, and is not used: move it away, or put back the database that it stands for", path.display())]
    NoFile {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Others may read or write it.
    #[error(
        "{0} is open to others (mode {mode:04o}): close it with chmod 600 {0}, and if anybody else may have written \
         it, look through giftledger token list",
        path.display()
    )]
    OpenToOthers {
        /// Where.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A program that knows more than this one has changed it.
    #[error(
        "{} was last used by a newer giftledger: it has migration {found}, and this one knows {known}. Run the newer \
         one, or restore a backup from before it",
        path.display()
    )]
    Newer {
        /// Where.
        path: PathBuf,
        /// The newest migration that it has.
        found: i64,
        /// The newest one that is known here.
        known: i64,
    },
    /// A migration that it has is another one here.
    #[error("{} has another migration {number} than this giftledger; restore a backup of it", path.display())]
    Changed {
        /// Where.
        path: PathBuf,
        /// Which migration.
        number: i64,
    },
    /// What a row holds cannot be read.
    #[error("{} holds what is no {what}; restore a backup of it", path.display())]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// What was to be read.
        what: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A copy is not what was written.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The copy, or what describes it.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// The system gives no thread or timer.
    #[error("starting the runtime")]
    Runtime(#[source] io::Error),
}

impl Error {
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }

    pub(super) fn sql(doing: &'static str, path: &Path, source: sqlx::Error) -> Self {
        Self::Sql { doing, path: path.to_owned(), source }
    }
}

impl From<app::Error> for Error {
    fn from(error: app::Error) -> Self {
        Self::Ledger(Box::new(error))
    }
}
