//! `service.db`: what is no fold of the log. Tokens and who was turned away stand in it; other modules add
//! their tables by a migration of their own, and ask over the same pool.
//!
//! Invariants. The file belongs to its owner only, from its first byte on (`SQLite` gives its `-wal` and `-shm`
//! the same mode). A symbolic link in its place is not followed. What is committed is on disk
//! (`synchronous=FULL`). Migrations have numbers that only grow and texts that never change; a database that
//! has one that this program does not know is refused. Several processes may have it open: whoever changes
//! something begins with [`Store::begin`], which waits for the one writer.

pub mod copies;
mod error;
mod migrations;

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Mode, OFlags};
use sqlx::{
    ConnectOptions, Connection, Sqlite, SqliteConnection, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub use error::{Error, Result};

use crate::{files, ledger_dir::LedgerDir};

/// The file's name in the ledger's folder.
pub const FILE: &str = "service.db";

/// Readers do not wait for each other; more of them than cores gain nothing.
const MAX_CONNECTIONS: u32 = 4;
/// A write waits for the one before it, which takes a sync of the disk: some milliseconds on a slow one. Whoever
/// has waited for so long is not helped by waiting on.
const PATIENCE: Duration = Duration::from_secs(5);

/// The database of one ledger's folder.
#[derive(Debug, Clone)]
pub struct Store {
    path: PathBuf,
    pool: SqlitePool,
}

impl Store {
    /// Opens the one of a ledger, makes it if it is missing, and brings it up to date.
    ///
    /// # Errors
    /// If there is no ledger, others can read the file, it is none of ours or of a newer program.
    pub async fn open(ledger: &LedgerDir) -> Result<Self> {
        ledger.must_exist()?;
        Self::open_in(ledger.path()).await
    }

    /// As [`Self::open`], in a folder that is known to be right.
    async fn open_in(folder: &Path) -> Result<Self> {
        let path = std::path::absolute(folder.join(FILE)).map_err(|source| Error::io("finding", folder, source))?;
        make_private(&path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE)
            .pragma("trusted_schema", "OFF")
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new().max_connections(MAX_CONNECTIONS).acquire_timeout(PATIENCE);
        let pool = pool.connect_with(options).await.map_err(|source| Error::sql("opening", &path, source))?;
        let store = Self { path, pool };
        migrations::run(&store).await?;
        Ok(store)
    }

    /// Whether a ledger has one: nothing that is kept in it was ever made where not.
    pub fn exists(ledger: &LedgerDir) -> Result<bool> {
        let path = ledger.path().join(FILE);
        match fs::symlink_metadata(&path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(Error::io("looking at", &path, source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For questions, which need no transaction.
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// A connection of its own, for whoever asks it what the others have changed.
    pub async fn connection(&self) -> Result<SqliteConnection> {
        let options = self.pool.connect_options();
        options.connect().await.map_err(|source| Error::sql("opening", &self.path, source))
    }

    /// Begins a change. It is the only one until it is committed or dropped.
    pub async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|source| Error::sql("changing", &self.path, source))
    }

    /// Names what was done when a statement failed.
    pub fn failed(&self, doing: &'static str) -> impl FnOnce(sqlx::Error) -> Error {
        let path = self.path.clone();
        move |source| Error::sql(doing, &path, source)
    }

    /// Writes a copy as of now to `path`, where an empty file stands, beside whoever writes.
    pub async fn copy_to(&self, path: &Path) -> Result<()> {
        let text = path.to_str().ok_or_else(|| {
            Error::io("copying to", path, io::Error::new(ErrorKind::InvalidInput, "its name is not UTF-8"))
        })?;
        // On a connection of its own: the pool's stay free for as long as it takes.
        let mut connection = self.connection().await?;
        sqlx::query("VACUUM INTO ?").bind(text).execute(&mut connection).await.map_err(self.failed("copying"))?;
        connection.close().await.map_err(self.failed("closing"))
    }

    /// Closes it in order: what stood in its write-ahead log stands in the file then.
    pub async fn close(self) {
        self.pool.close().await;
    }
}

/// Makes the file where it is missing, and looks whether what is there may be trusted.
fn make_private(path: &Path) -> Result<()> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::from_raw_mode(files::PRIVATE)) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP) => return Err(Error::NoFile { path: path.to_owned(), what: "a symbolic link" }),
        Err(errno) => return Err(Error::io("opening", path, errno.into())),
    };
    let there = file.metadata().map_err(|source| Error::io("looking at", path, source))?;
    if !there.is_file() {
        return Err(Error::NoFile { path: path.to_owned(), what: "not a file" });
    }
    if there.mode() & files::OTHERS != 0 {
        return Err(Error::OpenToOthers { path: path.to_owned(), mode: there.mode() & 0o7777 });
    }
    Ok(())
}

/// Runs what is asynchronous where nothing else is: for commands of the CLI.
///
/// # Errors
/// What `work` says, or if the system gives no runtime.
pub fn block_on<T, E: From<Error>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(work)
}

#[cfg(test)]
mod tests;
