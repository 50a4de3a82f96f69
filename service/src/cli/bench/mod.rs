//! `bench`: what this machine does, beside how fast its disk syncs.
//!
//! | file here | its story |
//! |---|---|
//! | `soak` | millions of gifts in one folder: is the last tenth as fast as the second? |
//! | `storm` | a million duplicates or refunds while new gifts arrive |
//! | `costs` | operations among few, more and many lots, holds, refunds, members and items |
//! | `gifts` | the gifts, each a function of the seed and its number |
//! | `load` | callers who give them, and how long they wait |
//! | `followers` | many who follow the feed while gifts are given |
//! | `http` | the same callers over HTTP, at a server of their own |
//! | `machine` | the disk, the processors and the memory beside it |
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "rates and percentiles; no money here")]

mod costs;
mod followers;
mod gifts;
mod http;
mod load;
mod machine;
mod soak;
mod storm;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use ledger::Engine;
use schemas::Shard;
use serde::Serialize;

use self::{
    gifts::Gifts,
    http::Url,
    load::{Callers, Load, Supply},
};
use super::{Ended, Global};
use crate::{
    files,
    ledger_dir::LedgerDir,
    output::{Progress, complain, print_json, say, thousands},
};

/// Measure what this machine does.
///
/// Durable gifts go to a server over HTTP, or through the engine in process, in a folder of its own beside the
/// ledger's. With --server it is one that runs; its catalogue needs an item `rose` of one coin, or none.
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[derive(Debug, clap::Args)]
pub struct Bench {
    /// In process, without a network.
    #[arg(long)]
    engine: bool,
    /// The server that --server names, where it does.
    #[arg(skip)]
    server: Option<Url>,
    /// So many follow the feed, each one streamer, while gifts are given at a steady --rate.
    #[arg(long, value_name = "N", conflicts_with_all = ["engine", "batch", "callers", "unordered"])]
    followers: Option<u64>,
    /// Gifts a second, with --followers [default: all at once]
    #[arg(long, value_name = "N", requires = "followers")]
    rate: Option<u64>,
    /// Each line is independent, instead of a user's lines happening in their order.
    #[arg(long, conflicts_with = "engine")]
    unordered: bool,
    /// Tell each tenth of many gifts apart, start again, and prove the books.
    #[arg(long, requires = "engine", conflicts_with = "storm")]
    soak: bool,
    /// New gifts alone, and while duplicates or refunds of earlier ones arrive.
    #[arg(long, requires = "engine")]
    storm: bool,
    /// What an operation costs among a usual number of lots, holds, refunds, members or items, and among ten and a
    /// hundred times as many.
    #[arg(long, requires = "engine", conflicts_with_all = ["soak", "storm"])]
    costs: bool,
    /// How many gifts [default: 2,000,000; 50,000,000 with --soak; 10,000,000 with --storm]
    #[arg(long)]
    count: Option<u64>,
    /// How many commands the storm has: duplicates, or refunds.
    #[arg(long, default_value_t = 1_000_000, requires = "storm")]
    duplicates: u64,
    /// The storm refunds earlier gifts instead of saying them again.
    #[arg(long, requires = "storm")]
    refunds: bool,
    /// Gifts per submission; a caller waits for the answers of one before it makes the next.
    #[arg(long, default_value_t = 8_189)]
    batch: u64,
    /// Callers at once.
    #[arg(long, default_value_t = 3)]
    callers: u64,
    /// Users who give [default: 10,000; 1,000,000 with --soak]
    #[arg(long)]
    accounts: Option<u64>,
    /// How uneven users give, in hundredths of the exponent of Zipf's law: 0 all alike, 100 classic.
    #[arg(long, default_value_t = 0)]
    zipf: u32,
    /// Ids in random order instead of rising ones.
    #[arg(long)]
    random_ids: bool,
    /// How many shards.
    #[arg(long, default_value_t = 16)]
    shards: Shard,
    /// The seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the ledger that was made, and say where it is.
    #[arg(long)]
    keep: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Figures {
    accepted_per_s: u64,
    p1_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    p100_ms: f64,
    cpu_us_per_command: f64,
    written_bytes_per_command: f64,
    rss_mib: u64,
    fdatasync_per_s: u64,
}

impl Bench {
    pub fn run(mut self, global: &Global) -> Result<Ended> {
        self.server = global.typed_server().map(str::parse).transpose().map_err(anyhow::Error::msg)?;
        ensure!(
            self.server.is_none() || !self.engine,
            "--engine measures in this process, and --server a server: name one of them"
        );
        ensure!(
            self.count() > 0 && self.batch > 0 && self.callers > 0 && self.accounts() > 0 && self.duplicates > 0,
            "every number is at least 1"
        );
        let folder = Folder::beside(&global.data, self.keep)?;
        if self.soak {
            return self.soak(&folder.path, global.json);
        }
        if self.costs {
            return self.costs(&folder.path, global.json);
        }
        if self.storm {
            return self.storm(&folder.path, global.json);
        }
        if let Some(followers) = self.followers {
            return self.follow(followers, &folder.path, global.json);
        }
        if !self.engine {
            return self.over_http(&folder.path, global.json);
        }
        let figures = self.measure(&folder.path)?;
        if global.json {
            print_json(&figures)?;
        } else {
            print(&figures)?;
        }
        Ok(Ended::Well)
    }

    fn count(&self) -> u64 {
        let usual = if self.soak {
            50_000_000
        } else if self.storm {
            10_000_000
        } else {
            2_000_000
        };
        self.count.unwrap_or(usual)
    }

    fn accounts(&self) -> u64 {
        self.accounts.unwrap_or(if self.soak { 1_000_000 } else { 10_000 })
    }

    fn gifts(&self) -> Result<Gifts> {
        Gifts::new(self.seed, self.accounts(), self.zipf, self.random_ids)
    }

    fn callers(&self) -> Callers {
        Callers { count: self.callers, batch: self.batch }
    }

    fn load<'a>(&self, engine: &'a Engine, gifts: &'a Gifts) -> Load<'a> {
        Load { engine, gifts, callers: self.callers() }
    }

    fn measure(&self, folder: &Path) -> Result<Figures> {
        let syncs_before = machine::fdatasync_per_s(folder)?;
        let ledger = LedgerDir::new(&folder.join("ledger"));
        let engine = ledger.make(Some(self.shards))?;
        let gifts = self.gifts()?;
        gifts.prepare(&engine, &ledger)?;

        let count = self.count();
        let progress = Progress::gifts(count, "giving");
        let (written, cpu, started) = (engine.stats().bytes, machine::cpu_time(), Instant::now());
        let given = self.load(&engine, &gifts).give(&Supply::of(0..count), |done| progress.set(done))?;
        let (elapsed, cpu) = (started.elapsed(), machine::cpu_time().saturating_sub(cpu));
        drop(progress);
        let written = engine.stats().bytes - written;
        let rss_mib = machine::rss_mib()?;
        engine.close()?;
        let syncs_after = machine::fdatasync_per_s(folder)?;
        Ok(Figures {
            accepted_per_s: machine::per_second(count, elapsed),
            p1_ms: given.latency_ms(1.0),
            p50_ms: given.latency_ms(50.0),
            p99_ms: given.latency_ms(99.0),
            p100_ms: given.latency_ms(100.0),
            cpu_us_per_command: cpu.as_secs_f64() * 1e6 / count as f64,
            written_bytes_per_command: written as f64 / count as f64,
            rss_mib,
            fdatasync_per_s: u64::midpoint(syncs_before, syncs_after),
        })
    }
}

fn print(figures: &Figures) -> Result<()> {
    say(&format_args!("accepted          {:>12}/s", thousands(figures.accepted_per_s)))?;
    say(&format_args!(
        "latency           {:>12} ms p1, {} p50, {} p99, {} p100",
        figures.p1_ms, figures.p50_ms, figures.p99_ms, figures.p100_ms
    ))?;
    say(&format_args!("processor time    {:>12.2} µs per command, making it included", figures.cpu_us_per_command))?;
    say(&format_args!("written           {:>12.0} bytes per command", figures.written_bytes_per_command))?;
    say(&format_args!("memory            {:>12} MiB", figures.rss_mib))?;
    say(&format_args!("fdatasync of 4 KiB{:>12}/s on this disk", thousands(figures.fdatasync_per_s)))?;
    Ok(())
}

/// `part` of `whole`, to three places; 0 of nothing.
fn ratio(part: u64, whole: u64) -> f64 {
    (part as f64 / whole.max(1) as f64 * 1000.0).round() / 1000.0
}

/// A folder that is removed at the end, unless it was to be kept.
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    fn beside(ledger: &Path, keep: bool) -> Result<Self> {
        let mut name = ledger.as_os_str().to_owned();
        name.push(format!("-bench-{}", std::process::id()));
        let path = PathBuf::from(name);
        files::make_folder(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self { path, keep })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep {
            complain(&format_args!("the ledger of the bench is in {}", self.path.join("ledger").display()));
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            complain(&format_args!("{} could not be removed: {error}", self.path.display()));
        }
    }
}
