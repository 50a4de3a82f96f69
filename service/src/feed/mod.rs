//! The event feed: every durable record, in the order of the log, to whoever follows, from any cursor on.
//!
//! ```text
//!               ┌─ pages: blocks of the log, decoded once, each record serialised once ─┐
//! log ─ reader ─┤                                                                       │
//!               ├─► live: one thread passes each new page once, by an index over the ───┼─► queues ─► Follower::next
//!               │         filters, to those who are at the head                         │
//!               └─► catching up: a few threads read for all others, from their cursors ─┘──────────► Follower::next
//! ```
//!
//! | file here | its story |
//! |---|---|
//! | `cursor`, `position` | where a follower is, as a token; where one record is |
//! | `filter`, `interest` | which records somebody wants, and by which key that is found out |
//! | `entry` | a record as a `CloudEvent` |
//! | `pages` | what was read and serialised, kept for those who come by next |
//! | `live` | the thread at the head, and the queues of those who keep up |
//! | `catch_up` | reading from a cursor, a step at a time |
//! | `follower` | one stream of batches: catching up, then live, then catching up again where it was slow |
//!
//! Invariants. A follower gets every record that it wants, once, a shard's in their order; the order between shards is
//! that of the log. A cursor stands behind everything that was handed out with it, and behind what its filter left
//! out. Nothing is shown that is not durable: a `Reader` shows nothing else.
//!
//! Memory. A follower who does not read costs a queue until it is full, then nothing: it leaves the live stream, and
//! catches up when it reads again. In all, at most: [`Limits::all_bytes`] in queues, `pages::MOST_BYTES` of
//! pages, [`MOST_READING`] readers of a few MiB, and one batch in the hands of each follower.

mod catch_up;
mod cursor;
mod entry;
mod error;
mod filter;
mod follower;
mod interest;
mod live;
mod pages;
mod position;
#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use ledger::log::{Head, Reader};
use schemas::{Record, Shard};
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};
use uuid::Uuid;

pub use cursor::{After, Cursor};
pub use entry::{CloudEvent, Entry};
pub use error::{Error, Result};
pub use filter::{Filter, Words};
pub use follower::{Batch, Follower};
pub use position::Position;

use interest::{Hasher, Interest};
use live::{Limits, Live};
use pages::Pages;

/// So many read the log at once, to catch up. More would not be faster than the cores that also write.
const MOST_READING: usize = 4;

/// The feed of one ledger.
#[derive(Debug)]
pub struct Feed {
    reader: Reader,
    pages: Arc<Pages>,
    live: Arc<Live>,
    hasher: Hasher,
    /// Readers that nobody uses now.
    idle: Mutex<Vec<Reader>>,
    reading: Arc<Semaphore>,
    admissions: Arc<Semaphore>,
    /// So many at once; each may have a batch of up to 64 KiB in hand.
    most_followers: usize,
}

impl Feed {
    /// The feed of a log, with a thread of its own, which ends with the feed. To follow the writer, the reader must be
    /// its engine's.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(reader: Reader, most_followers: usize) -> io::Result<Arc<Self>> {
        Self::with_limits(reader, most_followers, Limits::default())
    }

    fn with_limits(reader: Reader, most_followers: usize, limits: Limits) -> io::Result<Arc<Self>> {
        let hasher = Hasher::default();
        let pages = Arc::new(Pages::new(reader.head().lineage, hasher.clone()));
        let live = Arc::new(Live::new(Arc::clone(&pages), reader.shards(), limits));
        let (at_the_head, own) = (Arc::clone(&live), reader.clone());
        thread::Builder::new().name("feed".to_owned()).spawn(move || at_the_head.run(own))?;
        Ok(Arc::new(Self {
            reader,
            pages,
            live,
            hasher,
            idle: Mutex::default(),
            reading: Arc::new(Semaphore::new(MOST_READING)),
            admissions: Arc::new(Semaphore::new(most_followers)),
            most_followers,
        }))
    }

    /// The ledger's lineage.
    pub fn lineage(&self) -> Uuid {
        self.head().lineage
    }

    /// How many shards the ledger has: a filter asks.
    pub fn shards(&self) -> Shard {
        self.reader.shards()
    }

    /// How far the log is durable.
    pub fn head(&self) -> Head {
        self.reader.head()
    }

    /// The cursor at the durable head.
    pub fn now(&self) -> Cursor {
        Cursor::of(&self.head())
    }

    /// Follows from behind a cursor: only up to the durable head as of now, unless `stay`, and no more than `limit`
    /// records.
    ///
    /// # Errors
    /// [`Error::OtherLineage`], [`Error::OtherShards`] or [`Error::AheadOfLog`] where the cursor is none of this log;
    /// [`Error::TooMany`]; [`Error::Stopping`].
    pub fn follow(self: &Arc<Self>, after: &After, filter: Filter, stay: bool, limit: Option<u64>) -> Result<Follower> {
        let cursor = self.resolve(after)?;
        if self.live.is_stopped() {
            return Err(Error::Stopping);
        }
        let admission = Arc::clone(&self.admissions).try_acquire_owned();
        let admission = admission.map_err(|_| Error::TooMany { most: self.most_followers })?;
        let until = (!stay).then(|| self.now());
        let interest = Arc::new(Interest::of(filter, &self.hasher));
        Ok(Follower::new(Arc::clone(self), admission, interest, cursor, until, limit))
    }

    /// The cursor that somebody asks to go on from.
    ///
    /// # Errors
    /// As [`Self::follow`] where it is none of this log.
    pub fn resolve(&self, after: &After) -> Result<Cursor> {
        let head = self.now();
        match after {
            After::Start => Ok(Cursor::start(head.lineage(), self.shards())),
            After::Now => Ok(head),
            After::Cursor(cursor) => {
                if cursor.lineage() != head.lineage() {
                    let (found, own) = (cursor.lineage(), head.lineage());
                    let former = self.reader.former_lineages()?.iter().any(|former| former.lineage == found);
                    return Err(Error::OtherLineage { found, own, former });
                }
                if cursor.sequences().len() != head.sequences().len() {
                    return Err(Error::OtherShards { found: cursor.sequences().len(), own: head.sequences().len() });
                }
                match cursor.ahead_of(&head) {
                    None => Ok(cursor.clone()),
                    Some((shard, sequence, head)) => Err(Error::AheadOfLog { shard, sequence, head }),
                }
            }
        }
    }

    /// The records at some places, each with its entry, for whoever asks for few: it reads the log and not the pages.
    /// Places where nothing durable stands are left out.
    ///
    /// # Errors
    /// [`Error::Log`]; [`Error::Stopping`] if the server ends meanwhile.
    pub async fn read(self: &Arc<Self>, places: Vec<Position>) -> Result<Vec<(Record, Entry)>> {
        let turn = Arc::clone(&self.reading).acquire_owned().await.expect("nobody closes it");
        let feed = Arc::clone(self);
        let reading = spawn_blocking(move || {
            let mut reader = feed.take_reader();
            let found = places.into_iter().filter_map(|place| {
                let found = reader.find(place.shard, place.sequence).transpose()?;
                Some(found.map(|(_, record)| {
                    let entry = feed.pages.made_of(&record);
                    (record, entry)
                }))
            });
            let found = found.collect::<ledger::Result<Vec<_>>>();
            feed.put_reader(reader);
            drop(turn);
            Ok(found?)
        });
        reading.await.unwrap_or_else(|end| match end.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Stopping),
        })
    }

    /// Waits until a record is durable, at most so long.
    ///
    /// # Errors
    /// [`Error::Behind`] when the time is over, [`Error::NoShard`].
    pub async fn reached(&self, position: Position, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        if position.shard >= self.shards() {
            return Err(Error::NoShard { shard: position.shard, shards: self.shards() });
        }
        let mut moved = self.reader.watch();
        loop {
            moved.borrow_and_update();
            if self.reader.has(position.shard, position.sequence) {
                return Ok(());
            }
            if !matches!(timeout_at(deadline, moved.changed()).await, Ok(Ok(()))) {
                let reached = self.head().shards[usize::from(position.shard)].sequence;
                return Err(Error::Behind { position, reached });
            }
        }
    }

    /// Ends every follower with [`Error::Stopping`], and lets none begin.
    pub fn stop(&self) {
        self.live.stop();
    }

    /// A reader for a step of catching up; at most [`MOST_READING`] are out at once.
    fn take_reader(&self) -> Reader {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| self.reader.clone())
    }

    fn put_reader(&self, reader: Reader) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop();
    }
}
