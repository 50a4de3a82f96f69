//! The tables of subscriptions in `service.db`.

use std::collections::BTreeMap;

use schemas::{Shard, Timestamp};
use serde::{Serialize, de::Error as _};
use sqlx::SqliteConnection;

use super::{
    Name,
    definition::{Definition, Secret},
    delivery::{Change, Progress},
};
use crate::{
    feed::{Cursor, Position},
    store::{self, Result, Store},
};

/// A subscription as it is kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub id: i64,
    pub name: Name,
    pub definition: Definition,
    pub secret: Option<Secret>,
    pub principal: Option<String>,
    pub created: Timestamp,
    pub cursor: Cursor,
    pub progress: Progress,
    pub parked: BTreeMap<Position, bool>,
}

/// A row of what is parked.
#[derive(Debug)]
pub(super) struct ParkedRow {
    pub position: Position,
    pub tries: u32,
    pub reason: String,
    pub time: Timestamp,
    pub replaying: bool,
}

/// How far one is: committed, done beyond, and what has changed of what is parked.
pub(super) type Progressed = (Cursor, Progress, Vec<Change>);

/// All of them.
pub(super) async fn load(store: &Store) -> Result<Vec<Kept>> {
    type Row = (i64, String, String, Option<Vec<u8>>, Option<String>, i64, String, Vec<u8>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, name, definition, secret, principal, created, cursor, progress FROM subscriptions ORDER BY name",
    )
    .fetch_all(store.pool())
    .await
    .map_err(store.failed("reading the subscriptions of"))?;
    let unreadable = |what| move |source| store::Error::Unreadable { path: store.path().to_owned(), what, source };
    let mut all = Vec::with_capacity(rows.len());
    for (id, name, definition, secret, principal, created, cursor, progress) in rows {
        let name = name.parse().map_err(serde_json::Error::custom).map_err(unreadable("name of a subscription"))?;
        let cursor = cursor.parse().map_err(serde_json::Error::custom).map_err(unreadable("cursor"))?;
        let progress = Progress::decode(&progress)
            .ok_or_else(|| serde_json::Error::custom("no release made it"))
            .map_err(unreadable("progress of a subscription"))?;
        let parked: Vec<(Shard, i64, bool)> =
            sqlx::query_as("SELECT shard, sequence, replaying FROM subscription_parked WHERE subscription = ?")
                .bind(id)
                .fetch_all(store.pool())
                .await
                .map_err(store.failed("reading what is parked in"))?;
        let place = |(shard, sequence, replaying)| (Position { shard, sequence: from_sql(sequence) }, replaying);
        all.push(Kept {
            id,
            name,
            definition: serde_json::from_str(&definition).map_err(unreadable("subscription"))?,
            secret: secret.map(|bytes| Secret(bytes.try_into().expect("the table holds 32 bytes"))),
            principal,
            created: Timestamp::from_nanos(created),
            cursor,
            progress,
            parked: parked.into_iter().map(place).collect(),
        });
    }
    Ok(all)
}

/// Keeps a new one, in place of `old`. Its id.
pub(super) async fn create(store: &Store, kept: &Kept, old: Option<i64>) -> Result<i64> {
    let mut change = store.begin().await?;
    if let Some(old) = old {
        remove(store, &mut change, old).await?;
    }
    let id = sqlx::query(
        "INSERT INTO subscriptions (name, definition, secret, principal, created, cursor, progress) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(kept.name.as_str())
    .bind(json(&kept.definition))
    .bind(kept.secret.as_ref().map(|secret| &secret.0[..]))
    .bind(&kept.principal)
    .bind(kept.created.nanos())
    .bind(kept.cursor.to_string())
    .bind(kept.progress.encode())
    .execute(&mut *change)
    .await
    .map_err(store.failed("keeping a subscription in"))?
    .last_insert_rowid();
    change.commit().await.map_err(store.failed("keeping a subscription in"))?;
    Ok(id)
}

/// Changes what one is.
pub(super) async fn change(store: &Store, id: i64, definition: &Definition, secret: Option<&Secret>) -> Result<()> {
    let mut change = store.begin().await?;
    sqlx::query("UPDATE subscriptions SET definition = ?, secret = ? WHERE id = ?")
        .bind(json(definition))
        .bind(secret.map(|secret| &secret.0[..]))
        .bind(id)
        .execute(&mut *change)
        .await
        .map_err(store.failed("changing a subscription in"))?;
    change.commit().await.map_err(store.failed("changing a subscription in"))
}

/// Forgets one, and what it parked.
pub(super) async fn delete(store: &Store, id: i64) -> Result<()> {
    let mut change = store.begin().await?;
    remove(store, &mut change, id).await?;
    change.commit().await.map_err(store.failed("removing a subscription from"))
}

async fn remove(store: &Store, change: &mut SqliteConnection, id: i64) -> Result<()> {
    let removed = sqlx::query("DELETE FROM subscriptions WHERE id = ?").bind(id).execute(change).await;
    removed.map(drop).map_err(store.failed("removing a subscription from"))
}

/// Writes how far one is; nothing if it is gone meanwhile.
pub(super) async fn write(
    store: &Store,
    change: &mut SqliteConnection,
    id: i64,
    (cursor, progress, changes): &Progressed,
) -> Result<()> {
    sqlx::query("UPDATE subscriptions SET cursor = ?, progress = ? WHERE id = ?")
        .bind(cursor.to_string())
        .bind(progress.encode())
        .bind(id)
        .execute(&mut *change)
        .await
        .map_err(store.failed("writing a subscription's progress to"))?;
    for one in changes {
        let query = match one {
            Change::Parked { position, tries, reason, time } => sqlx::query(
                "INSERT OR REPLACE INTO subscription_parked \
                 (subscription, shard, sequence, tries, reason, time, replaying) \
                 SELECT id, ?, ?, ?, ?, ?, 0 FROM subscriptions WHERE id = ?",
            )
            .bind(position.shard)
            .bind(to_sql(position.sequence))
            .bind(tries)
            .bind(reason)
            .bind(time.nanos())
            .bind(id),
            Change::Unparked(position) => {
                sqlx::query("DELETE FROM subscription_parked WHERE shard = ? AND sequence = ? AND subscription = ?")
                    .bind(position.shard)
                    .bind(to_sql(position.sequence))
                    .bind(id)
            }
        };
        query.execute(&mut *change).await.map_err(store.failed("writing what is parked to"))?;
    }
    Ok(())
}

/// Notes that some of what is parked is delivered again.
pub(super) async fn replay(store: &Store, id: i64, places: &[Position]) -> Result<()> {
    let places: Vec<(Shard, u64)> = places.iter().map(|place| (place.shard, place.sequence)).collect();
    let mut change = store.begin().await?;
    sqlx::query(
        "UPDATE subscription_parked SET replaying = 1 WHERE subscription = ? AND (shard, sequence) IN \
         (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))",
    )
    .bind(id)
    .bind(json(&places))
    .execute(&mut *change)
    .await
    .map_err(store.failed("replaying what is parked in"))?;
    change.commit().await.map_err(store.failed("replaying what is parked in"))
}

/// What is parked behind a place, in order.
pub(super) async fn parked(store: &Store, id: i64, after: Option<Position>, limit: u32) -> Result<Vec<ParkedRow>> {
    let (shard, sequence) = after.map_or((-1, 0), |at| (i64::from(at.shard), to_sql(at.sequence)));
    let rows: Vec<(Shard, i64, u32, String, i64, bool)> = sqlx::query_as(
        "SELECT shard, sequence, tries, reason, time, replaying FROM subscription_parked \
         WHERE subscription = ? AND (shard, sequence) > (?, ?) ORDER BY shard, sequence LIMIT ?",
    )
    .bind(id)
    .bind(shard)
    .bind(sequence)
    .bind(limit)
    .fetch_all(store.pool())
    .await
    .map_err(store.failed("listing what is parked in"))?;
    let read = |(shard, sequence, tries, reason, time, replaying)| ParkedRow {
        position: Position { shard, sequence: from_sql(sequence) },
        tries,
        reason,
        time: Timestamp::from_nanos(time),
        replaying,
    };
    Ok(rows.into_iter().map(read).collect())
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it is JSON")
}

fn to_sql(sequence: u64) -> i64 {
    i64::try_from(sequence).expect("a shard has less than 2^53 records")
}

fn from_sql(sequence: i64) -> u64 {
    u64::try_from(sequence).expect("the table holds what was put into it")
}
