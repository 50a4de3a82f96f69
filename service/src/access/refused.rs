//! Who was turned away: the newest attempts, for whoever looks after the ledger. Noting one never waits: it goes into
//! a bounded queue, from which one task writes. What a flood brings beyond that is counted, and the count stands
//! beside the next attempt that is kept.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use schemas::Timestamp;
use serde::Serialize;
use sqlx::QueryBuilder;
use tokio::{
    sync::mpsc::{self, Receiver, Sender, error::TrySendError},
    task::JoinHandle,
};

use super::name::Name;
use crate::store::{self, Store};

/// The newest that are kept: with the longest texts 90 MB.
const MOST_KEPT: i64 = 100_000;
/// Waiting to be written: with the longest texts 4 MB.
const MOST_WAITING: usize = 4_096;
/// Written at once, in one statement: seven values each, of the 32,766 that `SQLite` takes.
const BATCH: usize = 512;
/// How long it rests after each batch, so that a flood costs the disk, which the log needs, four syncs a second.
const REST: Duration = Duration::from_millis(250);
/// What is kept of a text that a stranger chose.
const MAX_TEXT_BYTES: usize = 200;

/// An attempt that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// When it came.
    pub time: Timestamp,
    /// With whose token, where that is known.
    pub token: Option<String>,
    /// How it was asked: `POST`.
    pub method: String,
    /// What was asked for, without its query, in which secrets may stand.
    pub path: String,
    /// Why it was refused: the code of a [`super::denied::Denied`].
    pub code: String,
    /// From which address.
    pub remote: String,
    /// How many just before it came too fast to be kept.
    pub missed: u64,
}

/// Takes note of refused attempts.
#[derive(Debug)]
pub struct Refusals {
    waiting: Sender<Attempt>,
    missed: AtomicU64,
    writer: JoinHandle<()>,
}

impl Refusals {
    /// Begins to write what is noted. Needs a runtime.
    pub fn start(store: Store) -> Self {
        let (waiting, taken) = mpsc::channel(MOST_WAITING);
        Self { waiting, missed: AtomicU64::new(0), writer: tokio::spawn(write_all(store, taken)) }
    }

    /// Notes one, without waiting. What is too long is cut.
    pub fn note(&self, time: Timestamp, token: Option<&Name>, (method, path): (&str, &str), code: &str, remote: &str) {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let attempt = Attempt {
            time,
            token: token.map(|name| name.as_str().to_owned()),
            method: cut(method),
            path: cut(path),
            code: cut(code),
            remote: cut(remote),
            missed: self.missed.swap(0, Ordering::Relaxed),
        };
        if let Err(TrySendError::Full(lost) | TrySendError::Closed(lost)) = self.waiting.try_send(attempt) {
            self.missed.fetch_add(lost.missed + 1, Ordering::Relaxed);
        }
    }

    /// How many are not written, since they came too fast, and will be counted beside the next one.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Ends in order: writes what waits.
    pub async fn close(self) {
        drop(self.waiting);
        // It ends by itself; if it could not, what it wrote stands.
        let _ = self.writer.await;
    }
}

/// The newest attempts, newest first.
pub async fn newest(store: &Store, limit: u32) -> store::Result<Vec<Attempt>> {
    type Row = (i64, Option<String>, String, String, String, String, i64);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT time, token, method, path, code, remote, missed FROM refused_attempts ORDER BY id DESC LIMIT ?",
    )
    .bind(limit)
    .fetch_all(store.pool())
    .await
    .map_err(store.failed("listing who was refused in"))?;
    let attempts = rows.into_iter().map(|(time, token, method, path, code, remote, missed)| Attempt {
        time: Timestamp::from_nanos(time),
        token,
        method,
        path,
        code,
        remote,
        missed: u64::try_from(missed).unwrap_or_default(),
    });
    Ok(attempts.collect())
}

async fn write_all(store: Store, mut taken: Receiver<Attempt>) {
    let mut batch = Vec::with_capacity(BATCH);
    while taken.recv_many(&mut batch, BATCH).await > 0 {
        // They are for people to look at: where they cannot be written, requests are answered all the same.
        if let Err(error) = write(&store, &batch).await {
            tracing::warn!(error = &error as &dyn std::error::Error, lost = batch.len(), "refused attempts are lost");
        }
        batch.clear();
        if !taken.is_closed() {
            tokio::time::sleep(REST).await;
        }
    }
}

async fn write(store: &Store, batch: &[Attempt]) -> store::Result<()> {
    let failed = || store.failed("noting who was refused in");
    let mut change = store.begin().await?;
    let mut insert =
        QueryBuilder::new("INSERT INTO refused_attempts (time, token, method, path, code, remote, missed) ");
    insert.push_values(batch, |mut row, attempt| {
        row.push_bind(attempt.time.nanos())
            .push_bind(attempt.token.as_deref())
            .push_bind(&*attempt.method)
            .push_bind(&*attempt.path)
            .push_bind(&*attempt.code)
            .push_bind(&*attempt.remote)
            .push_bind(i64::try_from(attempt.missed).unwrap_or(i64::MAX));
    });
    insert.build().execute(&mut *change).await.map_err(failed())?;
    sqlx::query("DELETE FROM refused_attempts WHERE id <= (SELECT max(id) FROM refused_attempts) - ?")
        .bind(MOST_KEPT)
        .execute(&mut *change)
        .await
        .map_err(failed())?;
    change.commit().await.map_err(failed())
}

/// The beginning of a text, as far as it is kept.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::{super::gate::tests::Bed, *};

    #[tokio::test]
    async fn access_notes_who_was_refused_the_newest_first() {
        let bed = Bed::new().await;
        let refusals = Refusals::start(bed.store.clone());
        let name: Name = "gifts".parse().unwrap();
        refusals.note(bed.now(), Some(&name), ("POST", "/v1/commands?token=gl_x"), "not_allowed", "10.0.0.7:1");
        refusals.note(bed.now(), None, ("GET", &"/é".repeat(10_000)), "token_unknown", "10.0.0.8:1");
        refusals.close().await;
        let newest = newest(&bed.store, 10).await.unwrap();
        let shown: Vec<_> = newest.iter().map(|a| (a.token.as_deref(), a.path.len(), &*a.code, a.missed)).collect();
        assert_eq!(shown, [(None, 199, "token_unknown", 0), (Some("gifts"), 12, "not_allowed", 0)]);
        assert_eq!(newest[1].path, "/v1/commands");
    }

    #[tokio::test]
    async fn access_stays_bounded_in_a_flood_of_refused_attempts() {
        let bed = Bed::new().await;
        let refusals = Refusals::start(bed.store.clone());
        let began = std::time::Instant::now();
        for _ in 0..200_000 {
            refusals.note(bed.now(), None, ("GET", "/v1/users/u1"), "token_unknown", "10.0.0.8:1");
        }
        assert!(began.elapsed() < Duration::from_secs(5), "nobody waits for the disk");
        let missed = refusals.missed();
        assert!(missed >= 200_000 - 2 * u64::try_from(MOST_WAITING).unwrap(), "{missed}");
        refusals.close().await;
        let kept = newest(&bed.store, 1_000_000).await.unwrap();
        let counted: u64 = kept.iter().map(|attempt| attempt.missed + 1).sum();
        assert_eq!(counted + missed, 200_000, "each is kept or counted");
    }

    #[tokio::test]
    async fn access_keeps_the_newest_of_the_refused_attempts() {
        let bed = Bed::new().await;
        sqlx::query(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100200) INSERT INTO \
             refused_attempts (time, method, path, code, remote, missed) SELECT i, '', '', '', '', 0 FROM n",
        )
        .execute(bed.store.pool())
        .await
        .unwrap();
        let refusals = Refusals::start(bed.store.clone());
        refusals.note(bed.now(), None, ("GET", "/"), "token_missing", "");
        refusals.close().await;
        let (count, oldest): (i64, i64) = sqlx::query_as("SELECT count(*), min(time) FROM refused_attempts")
            .fetch_one(bed.store.pool())
            .await
            .unwrap();
        assert_eq!((count, oldest), (MOST_KEPT, 202));
    }
}
