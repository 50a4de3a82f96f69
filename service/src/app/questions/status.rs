//! How a ledger is: how large, how far, and what hangs in it.

use std::{borrow::Cow, fs, io, path::Path, time::UNIX_EPOCH};

use ledger::{
    Clock, SystemClock,
    log::{Disk, Reader},
    snapshot,
};
use replay::AsOf;
use schemars::JsonSchema;
use schemas::{Origin, Record, Shard, Timestamp};
use serde::{Deserialize, Serialize};

use crate::app::{Class, Error, Holds, Ledger, Result};

/// How the ledger is.
#[derive(Debug, Default, clap::Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {}

/// What is known of a ledger from its files.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "LedgerStatus")]
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
    pub open_holds: Vec<Class>,
    /// Messages between shards, and due work, that were issued and not taken yet.
    pub untaken_dispatches: u64,
}

/// The newest record.
#[derive(Debug, Serialize, JsonSchema, Deserialize)]
pub struct LastRecord {
    /// Its place.
    pub record: String,
    pub time: Timestamp,
    /// How far the machine's clock is ahead of it; negative where the clock is behind.
    pub clock_ahead_ms: i64,
}

/// A shard, and its records.
#[derive(Debug, Serialize, JsonSchema, Deserialize)]
pub struct ShardRecords {
    pub shard: Shard,
    pub records: u64,
}

/// Bytes of files.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "BytesOnDisk")]
pub struct Bytes {
    pub log: u64,
    pub index: u64,
    pub snapshots: u64,
}

/// A snapshot.
#[derive(Debug, Serialize, JsonSchema, Deserialize)]
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
#[derive(Debug, Serialize, JsonSchema, Deserialize)]
pub struct LastBackup {
    pub time: Timestamp,
}

impl Question {
    /// Looks at the folder, and for what hangs in it: at the engine where it runs here, else by folding the log.
    #[expect(clippy::unused_self, reason = "every question is asked as itself; this one has no fields yet")]
    pub fn ask(&self, ledger: &Ledger) -> Result<Answer> {
        let mut reader = ledger.read()?;
        let disk = ledger.folder().disk();
        let looking = |source| Error::Io { doing: format!("looking into {}", disk.path("").display()), source };
        let head = reader.head();
        let clock = SystemClock.now();
        let (open_holds, untaken_dispatches) = if let Some(known) = known(ledger, clock)? {
            known
        } else {
            let mut hanging = Hanging::default();
            ledger.fold_with(&mut reader, AsOf::End, |record| {
                hanging.note(record);
                Ok::<(), Error>(())
            })?;
            (hanging.holds.by_age(clock).into(), hanging.issued.saturating_sub(hanging.taken))
        };
        let shards = (0..).zip(&head.shards).map(|(shard, head)| ShardRecords { shard, records: head.sequence });
        let shards: Vec<ShardRecords> = shards.collect();
        let records = shards.iter().map(|shard| shard.records).sum();
        let bytes = |folder: &str| bytes_in(&*disk, folder).map_err(looking);
        Ok(Answer {
            version: env!("CARGO_PKG_VERSION").into(),
            lineage: head.lineage.to_string(),
            is_open: disk.is_locked().map_err(looking)?,
            clock,
            last_record: newest(&mut reader)?.map(|(record, time)| LastRecord {
                record,
                time,
                clock_ahead_ms: clock.nanos().saturating_sub(time.nanos()) / 1_000_000,
            }),
            records,
            shards,
            bytes: Bytes { log: bytes("log")?, index: bytes("index")?, snapshots: bytes("snapshots")? },
            snapshot: last_snapshot(&*disk, &reader, records)?,
            backup: None,
            open_holds,
            untaken_dispatches,
        })
    }
}

/// What hangs in a ledger that runs here, without folding it.
fn known(ledger: &Ledger, clock: Timestamp) -> Result<Option<(Vec<Class>, u64)>> {
    let holds = ledger.open_holds().and_then(|holds| holds.by_age(clock));
    let (Some(engine), Some(holds)) = (ledger.engine(None), holds) else { return Ok(None) };
    Ok(Some((holds.into(), engine.health()?.untaken)))
}

/// The newest record and its time.
fn newest(reader: &mut Reader) -> Result<Option<(String, Timestamp)>> {
    let mut newest: Option<(String, Timestamp)> = None;
    for (shard, head) in (0..).zip(reader.head().shards) {
        let Some((_, last)) = reader.find(shard, head.sequence)? else { continue };
        if newest.as_ref().is_none_or(|(_, time)| *time < last.time) {
            newest = Some((format!("{shard}-{}", last.sequence), last.time));
        }
    }
    Ok(newest)
}

/// What has begun and not ended, while the log is folded.
#[derive(Debug, Default)]
struct Hanging {
    holds: Holds,
    issued: u64,
    taken: u64,
}

impl Hanging {
    fn note(&mut self, record: &Record) {
        self.holds.note(record);
        if record.has_dispatches() {
            self.issued += record.dispatches().len() as u64;
        }
        self.taken += u64::from(record.origin == Origin::Dispatch);
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
