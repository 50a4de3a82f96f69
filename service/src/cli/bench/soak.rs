//! `bench --soak`: many gifts in one folder, tenth by tenth; then how long a start takes, after a
//! clean end and after none; then the proofs.

use std::{path::Path, time::Instant};

use anyhow::Result;
use ledger::{Caller, Engine, Lines, log::Head};
use serde::Serialize;

use super::{
    Bench,
    gifts::Gifts,
    load::Supply,
    machine::{self, OnDisk},
    ratio,
};
use crate::{
    cli::{Ended, verify::prove},
    ledger_dir::LedgerDir,
    output::{Progress, print_json, say, thousands},
};

const TENTHS: u64 = 10;
/// Gifts that are under way when the engine is dropped: some frames of them.
const UNFINISHED: u64 = 20_000;

/// One tenth of the gifts.
#[derive(Debug, Serialize)]
struct Tenth {
    #[serde(rename = "tenth")]
    number: u64,
    /// How many were given by its end.
    gifts: u64,
    accepted_per_s: u64,
    p50_ms: f64,
    p99_ms: f64,
    /// The most that was seen.
    rss_mib: u64,
    #[serde(flatten)]
    on_disk: OnDisk,
}

/// What came of all.
#[derive(Debug, Serialize)]
struct Summary {
    /// Gifts per second of each tenth.
    tenths: Vec<u64>,
    /// Of the gifts per second.
    ratio_last_to_second: f64,
    /// Of the memory.
    rss_ratio_last_to_second: f64,
    start_s: f64,
    start_after_crash_s: f64,
    verify_records_per_s: u64,
    records: u64,
    disk_bytes_per_record: f64,
    fdatasync_per_s: u64,
    /// The machine's, of the last minute, at the end.
    load: f64,
    /// The books are proven, and nothing that was answered is missing.
    ok: bool,
    fault: Option<String>,
}

impl Bench {
    pub(super) fn soak(&self, folder: &Path, json: bool) -> Result<Ended> {
        let syncs = machine::fdatasync_per_s(folder)?;
        let ledger = LedgerDir::new(&folder.join("ledger"));
        let engine = ledger.make(Some(self.shards))?;
        let gifts = self.gifts()?;
        gifts.prepare(&engine, &ledger)?;
        if !json {
            header()?;
        }
        let mut tenths = Vec::new();
        for tenth in 1..=TENTHS {
            let measured = self.tenth(tenth, &engine, &gifts, ledger.path())?;
            if json {
                print_json(&measured)?;
            } else {
                print(&measured)?;
            }
            tenths.push(measured);
        }
        let answered = engine.close()?;
        let summary = self.summary(&ledger, &gifts, &tenths, &answered, syncs)?;
        if json {
            print_json(&summary)?;
        } else {
            print_summary(&summary)?;
        }
        Ok(Ended::with(summary.ok))
    }

    fn tenth(&self, tenth: u64, engine: &Engine, gifts: &Gifts, ledger: &Path) -> Result<Tenth> {
        let [begin, end] = [tenth - 1, tenth].map(|tenths| share(self.count(), tenths));
        let progress = Progress::gifts(self.count(), "giving");
        let mut most = machine::rss_mib()?;
        let given = self.load(engine, gifts).give(&Supply::of(begin..end), |done| {
            most = most.max(machine::rss_mib().unwrap_or(0)); // it was read a moment ago
            progress.set(begin + done)
        })?;
        Ok(Tenth {
            number: tenth,
            gifts: end,
            accepted_per_s: given.per_second(),
            p50_ms: given.latency_ms(50.0),
            p99_ms: given.latency_ms(99.0),
            rss_mib: most.max(machine::rss_mib()?),
            on_disk: OnDisk::of(ledger)?,
        })
    }

    fn summary(
        &self,
        ledger: &LedgerDir,
        gifts: &Gifts,
        tenths: &[Tenth],
        answered: &Head,
        syncs: u64,
    ) -> Result<Summary> {
        let started = Instant::now();
        let engine = ledger.start(None)?;
        let start_s = seconds(started);
        self.drop_at_work(engine, gifts)?;
        let started = Instant::now();
        let engine = ledger.start(None)?;
        let start_after_crash_s = seconds(started);
        engine.close()?;

        let started = Instant::now();
        let proof = prove(ledger)?;
        let verify_records_per_s = machine::per_second(proof.records, started.elapsed());
        let reached =
            |(now, then): (&reconcile::proofs::ShardProof, &ledger::log::ShardHead)| now.sequence >= then.sequence;
        let complete =
            proof.shards.len() == answered.shards.len() && proof.shards.iter().zip(&answered.shards).all(reached);
        let lost = (proof.ok && !complete).then(|| "records are missing that were answered for".to_owned());
        let on_disk = OnDisk::of(ledger.path())?;
        let (second, last) = (&tenths[1], &tenths[tenths.len() - 1]);
        Ok(Summary {
            tenths: tenths.iter().map(|tenth| tenth.accepted_per_s).collect(),
            ratio_last_to_second: ratio(last.accepted_per_s, second.accepted_per_s),
            rss_ratio_last_to_second: ratio(last.rss_mib, second.rss_mib),
            start_s,
            start_after_crash_s,
            verify_records_per_s,
            records: proof.records,
            disk_bytes_per_record: ratio(on_disk.log + on_disk.index, proof.records),
            fdatasync_per_s: syncs,
            load: machine::load()?,
            ok: proof.ok && complete,
            fault: proof.fault.or(lost),
        })
    }

    /// Drops the engine without closing it while gifts are decided and written, as a crash would.
    fn drop_at_work(&self, engine: Engine, gifts: &Gifts) -> Result<()> {
        let (from, mut text) = (self.count(), String::new());
        let under_way = (from..from + UNFINISHED).map(|number| gifts.gift(number, &mut text)).collect::<Result<_>>()?;
        let answers = engine.submit(&Caller::cli(), under_way, Lines::Independent);
        drop(engine);
        drop(answers); // there are none, or they do not matter
        Ok(())
    }
}

/// So many tenths of `count`; no overflow, and none is left out.
fn share(count: u64, tenths: u64) -> u64 {
    count / TENTHS * tenths + count % TENTHS * tenths / TENTHS
}

fn seconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
}

const MIB: u64 = 1 << 20;

fn header() -> Result<()> {
    say(&format_args!(
        "{:>6} {:>14} {:>12} {:>10} {:>10} {:>11} {:>10} {:>10} {:>14}",
        "tenth", "gifts", "gifts/s", "p50 ms", "p99 ms", "memory MiB", "log MiB", "index MiB", "snapshots MiB"
    ))
}

fn print(tenth: &Tenth) -> Result<()> {
    let OnDisk { log, index, snapshots } = tenth.on_disk;
    say(&format_args!(
        "{:>6} {:>14} {:>12} {:>10.2} {:>10.2} {:>11} {:>10} {:>10} {:>14}",
        tenth.number,
        thousands(tenth.gifts),
        thousands(tenth.accepted_per_s),
        tenth.p50_ms,
        tenth.p99_ms,
        tenth.rss_mib,
        thousands(log / MIB),
        thousands(index / MIB),
        thousands(snapshots / MIB)
    ))
}

fn print_summary(summary: &Summary) -> Result<()> {
    say(&format_args!(
        "last tenth to second  {:.3} of the rate, {:.3} of the memory",
        summary.ratio_last_to_second, summary.rss_ratio_last_to_second
    ))?;
    say(&format_args!(
        "start                 {:.3} s, after a crash {:.3} s",
        summary.start_s, summary.start_after_crash_s
    ))?;
    say(&format_args!("verify                {} records/s", thousands(summary.verify_records_per_s)))?;
    say(&format_args!("on disk               {:.1} bytes per record, log and index", summary.disk_bytes_per_record))?;
    say(&format_args!(
        "machine               {} fdatasync/s of 4 KiB before, load {:.2}",
        thousands(summary.fdatasync_per_s),
        summary.load
    ))?;
    match &summary.fault {
        None => say(&format_args!("{} records: the books are proven", thousands(summary.records))),
        Some(fault) => say(&format_args!("FAULT: {fault}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_make_the_whole() {
        for count in [1, 9, 10, 11, 5_000_000, u64::MAX] {
            assert_eq!((share(count, 0), share(count, TENTHS)), (0, count));
            assert!((1..=TENTHS).all(|tenth| share(count, tenth) >= share(count, tenth - 1)), "{count}");
        }
    }
}
