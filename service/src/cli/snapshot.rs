//! `snapshot`: folds the log to its end, so that the next start need not.

use std::{io::Write, sync::atomic::AtomicBool};

use anyhow::Result;
use ledger::{
    log::{Head, ShardHead},
    snapshot::{Info, Plan, fold},
};
use schemas::Shard;
use serde::Serialize;

use super::{Ended, Global};
use crate::output::{json_line, stdout, table, thousands};

/// Store what the log folds to, so that the next start is fast.
///
/// Everything durable is folded, beside a writer or without one; the next start reads only what comes
/// after it.
#[derive(Debug, clap::Args)]
pub struct Snapshot {}

/// A snapshot as scripts read it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    /// Whether this call made it.
    written: bool,
    /// Absent where the log is empty.
    file: Option<&'a str>,
    offset: u64,
    records: u64,
    users: u64,
    bytes: u64,
    shards: Vec<ShownShard>,
}

#[derive(Debug, Serialize)]
struct ShownShard {
    shard: Shard,
    #[serde(flatten)]
    head: ShardHead,
}

impl Snapshot {
    #[expect(clippy::unused_self, reason = "every command runs as itself; this one has no options yet")]
    pub fn run(self, global: &Global) -> Result<Ended> {
        let reader = global.ledger_to_read()?.read()?;
        let made = fold(&reader, &Plan::NOW, &AtomicBool::new(false))?;
        let written = made.is_some();
        let newest = match made {
            Some(made) => Some(made),
            None => Info::newest(&reader)?,
        };
        let mut out = stdout();
        if global.json {
            json_line(&mut out, &shown(newest.as_ref(), written, &reader.head()))?;
        } else {
            match &newest {
                None => writeln!(out, "the log is empty: there is nothing to fold")?,
                Some(info) => print(&mut out, info, written)?,
            }
        }
        out.flush()?;
        Ok(Ended::Well)
    }
}

fn shown<'a>(info: Option<&'a Info>, written: bool, empty: &Head) -> Shown<'a> {
    let heads = &info.map_or(empty, |info| &info.head).shards;
    Shown {
        written,
        file: info.map(|info| info.file.as_str()),
        offset: info.map_or(0, |info| info.next.offset()),
        records: info.map_or(0, Info::records),
        users: info.map_or(0, |info| info.users),
        bytes: info.map_or(0, |info| info.bytes),
        shards: (0..).zip(heads).map(|(shard, head)| ShownShard { shard, head: *head }).collect(),
    }
}

fn print(out: &mut impl Write, info: &Info, written: bool) -> Result<()> {
    let rows = (0..)
        .zip(&info.head.shards)
        .map(|(shard, head): (Shard, _)| vec![shard.to_string(), thousands(head.sequence), head.hash.to_string()]);
    writeln!(out, "{}", table(&["shard", "sequence", "hash"], &[0, 1], rows))?;
    let (records, users, bytes) = (thousands(info.records()), thousands(info.users), thousands(info.bytes));
    writeln!(out, "{}: {records} records, {users} users, {bytes} bytes", info.file)?;
    if !written {
        writeln!(out, "nothing has come since: it stays as it is")?;
    }
    Ok(())
}
