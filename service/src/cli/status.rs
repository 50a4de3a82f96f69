//! `status`: how a ledger is.

use std::io::Write;

use anyhow::Result;
use chrono_tz::Tz;

use super::{Ended, Global, show};
use crate::{
    app::questions::status::{Answer, LastRecord, LastSnapshot, Question},
    local_time::local,
    output::{table, thousands},
};

/// Say how the ledger is: its size, its snapshot, what hangs in it.
///
/// Beside a writer or without one. Holds are orders whose coins are neither charged nor given back yet.
#[derive(Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    question: Question,
}

impl Status {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let home = global.home()?;
        let answer = home.ask(&self.question)?;
        show(global, &home, (&answer, None), print)
    }
}

fn print(out: &mut dyn Write, answer: &Answer, zone: Tz) -> Result<()> {
    let Answer { version, lineage, bytes, .. } = answer;
    let writer = if answer.is_open { "a writer has it open" } else { "nobody writes" };
    writeln!(out, "giftledger {version}")?;
    writeln!(out, "ledger {lineage}: {writer}")?;
    writeln!(out, "{} records in {} shards", thousands(answer.records), answer.shards.len())?;
    writeln!(
        out,
        "on disk: log {} bytes, index {}, snapshots {}",
        thousands(bytes.log),
        thousands(bytes.index),
        thousands(bytes.snapshots)
    )?;
    match &answer.snapshot {
        None => writeln!(out, "no snapshot: a start folds the whole log")?,
        Some(LastSnapshot { records, records_since, written_at, .. }) => {
            let at = written_at.map(|at| format!(", {}", local(at, zone))).unwrap_or_default();
            writeln!(
                out,
                "snapshot of {} records{at}, {} records since",
                thousands(records),
                thousands(records_since)
            )?;
        }
    }
    writeln!(out, "last backup: not known here; ask its folder, giftledger backup --check DIR")?;
    let clock = local(answer.clock, zone);
    match &answer.last_record {
        None => writeln!(out, "clock {clock} ({}), no record yet", zone.name())?,
        Some(LastRecord { record, time, clock_ahead_ms }) => {
            let apart = format!("{} s", thousands(clock_ahead_ms.unsigned_abs() / 1_000));
            let apart =
                if *clock_ahead_ms < 0 { format!("{apart} AHEAD of the clock") } else { format!("{apart} ago") };
            writeln!(out, "clock {clock} ({})", zone.name())?;
            writeln!(out, "last record {record}, {}, {apart}", local(*time, zone))?;
        }
    }
    writeln!(out, "{} dispatches are not taken yet", thousands(answer.untaken_dispatches))?;
    let rows = answer.open_holds.iter().map(|class| {
        let age = class.age.replace('_', " ");
        vec![age, thousands(class.holds), thousands(class.coins)]
    });
    writeln!(out, "{}", table(&["open holds, placed", "orders", "coins"], &[1, 2], rows))?;
    Ok(())
}
