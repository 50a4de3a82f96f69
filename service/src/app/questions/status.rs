//! How a ledger is: how large, how far, and what hangs in it.

use std::{borrow::Cow, collections::BTreeMap, fs, io, path::Path, time::UNIX_EPOCH};

use ledger::{
    Clock, SystemClock,
    log::{Disk, Reader},
    snapshot,
};
use replay::AsOf;
use schemas::{Order, OrderId, Origin, Record, Shard, Timestamp};
use serde::{Deserialize, Serialize};

use crate::app::{Error, Ledger, Result};

const MINUTE_NANOS: i64 = 60_000_000_000;
/// From which age on a hold is not of a class any more; the last class has no end.
const AGES: [(&str, i64); 4] = [
    ("under_1_min", MINUTE_NANOS),
    ("1_to_10_min", 10 * MINUTE_NANOS),
    ("10_to_60_min", 60 * MINUTE_NANOS),
    ("over_60_min", i64::MAX),
];

/// How the ledger is.
#[derive(Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {}

/// What is known of a ledger from its files.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Of this program.
    pub version: Cow<'static, str>,
    /// Names the ledger.
    pub lineage: String,
    /// Whether a writer has it open.
    pub is_open: bool,
    /// The machine's clock.
    pub clock: Timestamp,
    /// The newest record; absent where there is none.
    pub last_record: Option<LastRecord>,
    /// All records.
    pub records: u64,
    /// How many of them each shard has.
    pub shards: Vec<ShardRecords>,
    /// What its folders take on disk.
    pub bytes: Bytes,
    /// The newest snapshot that a start would take; absent where there is none.
    pub snapshot: Option<LastSnapshot>,
    /// The last backup. Always absent for now: a backup leaves nothing in the folder that it copies.
    pub backup: Option<LastBackup>,
    /// Orders whose coins are on hold, by how long ago they were placed.
    pub open_holds: Vec<OpenHolds>,
    /// Messages between shards, and due work, that were issued and not taken yet.
    pub untaken_dispatches: u64,
}

/// The newest record.
#[derive(Debug, Serialize, Deserialize)]
pub struct LastRecord {
    /// Its place.
    pub record: String,
    pub time: Timestamp,
    /// How far the machine's clock is ahead of it; negative where the clock is behind.
    pub clock_ahead_ms: i64,
}

/// A shard, and its records.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShardRecords {
    pub shard: Shard,
    pub records: u64,
}

/// Bytes of files.
#[derive(Debug, Serialize, Deserialize)]
pub struct Bytes {
    pub log: u64,
    pub index: u64,
    pub snapshots: u64,
}

/// A snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub struct LastSnapshot {
    pub file: String,
    /// How many records it is made of.
    pub records: u64,
    /// How many a start would fold behind it.
    pub records_since: u64,
    pub users: u64,
    /// When it was written, by its file.
    pub written_at: Option<Timestamp>,
}

/// A backup.
#[derive(Debug, Serialize, Deserialize)]
pub struct LastBackup {
    pub time: Timestamp,
}

/// Holds of one class of age.
#[derive(Debug, Serialize, Deserialize)]
pub struct OpenHolds {
    /// `under_1_min`, `1_to_10_min`, `10_to_60_min`, `over_60_min`.
    pub age: Cow<'static, str>,
    pub holds: u64,
    /// On hold in them: a sum, so a decimal string.
    #[serde(serialize_with = "schemas::serialize_sum", deserialize_with = "schemas::deserialize_sum")]
    pub coins: u128,
}

impl Question {
    /// Looks at the folder, and folds the log for what hangs in it.
    #[expect(clippy::unused_self, reason = "every question is asked as itself; this one has no fields yet")]
    pub fn ask(&self, ledger: &Ledger) -> Result<Answer> {
        let mut reader = ledger.read()?;
        let disk = ledger.folder().disk();
        let looking = |source| Error::Io { doing: format!("looking into {}", disk.path("").display()), source };
        let head = reader.head();
        let mut hanging = Hanging::default();
        ledger.fold_with(&mut reader, AsOf::End, |record| {
            hanging.note(record);
            Ok::<(), Error>(())
        })?;
        let clock = SystemClock.now();
        let shards = (0..).zip(&head.shards).map(|(shard, head)| ShardRecords { shard, records: head.sequence });
        let shards: Vec<ShardRecords> = shards.collect();
        let records = shards.iter().map(|shard| shard.records).sum();
        let bytes = |folder: &str| bytes_in(&*disk, folder).map_err(looking);
        Ok(Answer {
            version: env!("CARGO_PKG_VERSION").into(),
            lineage: head.lineage.to_string(),
            is_open: disk.is_locked().map_err(looking)?,
            clock,
            last_record: hanging.last.take().map(|(record, time)| LastRecord {
                record,
                time,
                clock_ahead_ms: clock.nanos().saturating_sub(time.nanos()) / 1_000_000,
            }),
            records,
            shards,
            bytes: Bytes { log: bytes("log")?, index: bytes("index")?, snapshots: bytes("snapshots")? },
            snapshot: last_snapshot(&*disk, &reader, records)?,
            backup: None,
            open_holds: hanging.by_age(clock),
            untaken_dispatches: hanging.issued.saturating_sub(hanging.taken),
        })
    }
}

/// What has begun and not ended, while the log is folded.
#[derive(Debug, Default)]
struct Hanging {
    /// Since when, and how many coins.
    holds: BTreeMap<OrderId, (Timestamp, u64)>,
    issued: u64,
    taken: u64,
    last: Option<(String, Timestamp)>,
}

impl Hanging {
    fn note(&mut self, record: &Record) {
        for order in record.orders() {
            self.note_order(&order);
        }
        if record.has_dispatches() {
            self.issued += record.dispatches().len() as u64;
        }
        self.taken += u64::from(record.origin == Origin::Dispatch);
        self.last = Some((format!("{}-{}", record.shard, record.sequence), record.time));
    }

    fn note_order(&mut self, order: &Order) {
        if order.status.is_open() {
            self.holds.insert(order.id, (order.placed_at, order.left.get()));
        } else {
            self.holds.remove(&order.id);
        }
    }

    fn by_age(&self, clock: Timestamp) -> Vec<OpenHolds> {
        let mut classes: Vec<OpenHolds> = AGES.map(|(age, _)| OpenHolds { age: age.into(), holds: 0, coins: 0 }).into();
        for (placed_at, coins) in self.holds.values() {
            let age = clock.nanos().saturating_sub(placed_at.nanos());
            let class = AGES.iter().position(|(_, until)| age < *until).unwrap_or(AGES.len() - 1);
            classes[class].holds += 1;
            classes[class].coins += u128::from(*coins);
        }
        classes
    }
}

fn last_snapshot(disk: &dyn Disk, reader: &Reader, records: u64) -> Result<Option<LastSnapshot>> {
    let info = snapshot::Info::newest(reader)?;
    Ok(info.map(|info| LastSnapshot {
        written_at: written_at(&disk.path(&info.file)),
        records: info.records(),
        records_since: records.saturating_sub(info.records()),
        users: info.users,
        file: info.file,
    }))
}

fn written_at(path: &Path) -> Option<Timestamp> {
    let since_1970 = fs::metadata(path).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_nanos(i64::try_from(since_1970.as_nanos()).ok()?))
}

/// What the files of a folder come to. One that goes while it is looked at counts nothing.
fn bytes_in(disk: &dyn Disk, folder: &str) -> io::Result<u64> {
    let mut bytes = 0;
    for name in disk.list(folder)? {
        let path = disk.path(&format!("{folder}/{name}"));
        bytes += fs::metadata(path).map_or(0, |file| file.len());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_are_classed_by_their_age() {
        let clock = Timestamp::from_nanos(100 * MINUTE_NANOS);
        let minutes_ago = [0, 1, 9, 10, 59, 60, 100];
        let place = |(sequence, minutes): (u64, &i64)| {
            let placed_at = Timestamp::from_nanos(clock.nanos() - minutes * MINUTE_NANOS);
            (OrderId { shard: 0, sequence, part: 0 }, (placed_at, 5))
        };
        let hanging = Hanging { holds: (1..).zip(&minutes_ago).map(place).collect(), ..Hanging::default() };
        let classes = hanging.by_age(clock).into_iter().map(|class| (class.age.into_owned(), class.holds, class.coins));
        let expected = [("under_1_min", 1, 5), ("1_to_10_min", 2, 10), ("10_to_60_min", 2, 10), ("over_60_min", 2, 10)]
            .map(|(age, holds, coins)| (age.to_owned(), holds, coins));
        assert_eq!(classes.collect::<Vec<_>>(), expected);
    }
}
