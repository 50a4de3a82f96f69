//! `bench`: what this machine does, beside how fast its disk syncs.
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "rates and percentiles; no money here")]

use std::{
    fmt::Write,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use ledger::{Answer, Engine, Lines};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::time::{ClockId, clock_gettime};
use schemas::{
    ActorId, Change, ChannelId, Coins, Command, CommandId, Envelope, Gift, GiftItem, ItemId, Money, Recipient, RoomId,
    Shard, StreamerId, TopUp, TransactionId, UserId,
};
use serde::Serialize;
use smallvec::SmallVec;

use super::{Ended, Global, apply::apply_changes};
use crate::{
    ledger_dir::LedgerDir,
    output::{json_line, say, stdout, thousands},
};

/// Measure durable gifts through the engine, in a folder of its own beside the ledger's.
#[derive(Debug, clap::Args)]
pub struct Bench {
    /// In process, without a network.
    #[arg(long, required = true)]
    engine: bool,
    /// How many gifts.
    #[arg(long, default_value_t = 2_000_000)]
    count: u64,
    /// Gifts per submission; a caller waits for the answers of one before it makes the next.
    #[arg(long, default_value_t = 8_189)]
    batch: u64,
    /// Callers at once.
    #[arg(long, default_value_t = 3)]
    callers: u64,
    /// Users who give.
    #[arg(long, default_value_t = 10_000)]
    accounts: u64,
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
    pub fn run(self, global: &Global) -> Result<Ended> {
        ensure!(
            self.count > 0 && self.batch > 0 && self.callers > 0 && self.accounts > 0,
            "every number is at least 1"
        );
        let folder = Folder::beside(global.ledger().path(), self.keep)?;
        let figures = self.measure(&folder.path)?;
        if global.json {
            json_line(&mut stdout(), &figures)?;
        } else {
            print(&figures)?;
        }
        Ok(Ended::Well)
    }

    fn measure(&self, folder: &Path) -> Result<Figures> {
        let syncs_before = fdatasync_per_s(folder)?;
        let ledger = LedgerDir::new(&folder.join("ledger"));
        let engine = ledger.start(Some(self.shards))?;
        self.prepare(&engine, &ledger)?;

        let written = engine.stats().bytes;
        let (started, cpu) = (Instant::now(), cpu_time());
        let mut latencies = self.give(&engine)?;
        let (elapsed, cpu) = (started.elapsed(), cpu_time().saturating_sub(cpu));
        let written = engine.stats().bytes - written;
        let rss_mib = rss_mib()?;
        engine.close()?;
        let syncs_after = fdatasync_per_s(folder)?;

        latencies.sort_unstable();
        let at = |percent: usize| millis(latencies[(latencies.len() - 1) * percent / 100]);
        let count = self.count as f64;
        Ok(Figures {
            accepted_per_s: per_second(self.count, elapsed),
            p1_ms: at(1),
            p50_ms: at(50),
            p99_ms: at(99),
            p100_ms: at(100),
            cpu_us_per_command: cpu.as_secs_f64() * 1e6 / count,
            written_bytes_per_command: written as f64 / count,
            rss_mib,
            fdatasync_per_s: u64::midpoint(syncs_before, syncs_after),
        })
    }

    /// A gift of price 1, and enough coins for everybody.
    fn prepare(&self, engine: &Engine, ledger: &LedgerDir) -> Result<()> {
        let one = Coins::new(1)?;
        let rose = GiftItem { item: ItemId::new("rose")?, price: one, value: one, from: None, until: None };
        apply_changes(engine, ledger, &[Change::Item(rose)])?;
        let accounts: Vec<u64> = (0..self.accounts).collect();
        for accounts in accounts.chunks(8_189) {
            let top_ups = accounts.iter().map(|n| self.top_up(*n)).collect::<Result<_>>()?;
            all_taken(&engine.execute(top_ups, Lines::Independent))?;
        }
        engine.settle()?;
        Ok(())
    }

    fn top_up(&self, account: u64) -> Result<Envelope> {
        let coins = Coins::new(self.count)?;
        Ok(Envelope {
            id: CommandId::new(&format!("t{account}"))?,
            occurred_at: None,
            actor: None,
            client: None,
            command: Command::TopUp(TopUp {
                user: user(account)?,
                channel: ChannelId::new("bench")?,
                transaction: TransactionId::new(&account.to_string())?,
                coins,
                paid: Money::from_minor("USD".parse()?, i64::try_from(self.count)?),
            }),
        })
    }

    /// Every caller gives its part; the latencies of all submissions.
    fn give(&self, engine: &Engine) -> Result<Vec<Duration>> {
        let weights = Weights::new(self.accounts, self.zipf);
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..self.callers)
                .map(|caller| {
                    let weights = &weights;
                    scope.spawn(move || self.call(engine, weights, caller))
                })
                .collect();
            let mut latencies = Vec::new();
            for caller in callers {
                latencies.extend(caller.join().expect("a caller does not panic")?);
            }
            Ok(latencies)
        })
    }

    fn call(&self, engine: &Engine, weights: &Weights, caller: u64) -> Result<Vec<Duration>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed.wrapping_add(caller));
        let share = self.count / self.callers + u64::from(caller < self.count % self.callers);
        let names = Names::new()?;
        let mut text = String::new();
        let mut latencies = Vec::new();
        let mut given = 0;
        while given < share {
            let batch = self.batch.min(share - given);
            let mut gifts = Vec::with_capacity(usize::try_from(batch)?);
            for _ in 0..batch {
                given += 1;
                text.clear();
                if self.random_ids {
                    write!(text, "{:032x}", rng.random::<u128>())?;
                } else {
                    write!(text, "{caller}-{given}")?;
                }
                let id = CommandId::new(&text)?;
                text.clear();
                write!(text, "u{}", weights.pick(&mut rng))?;
                let user = UserId::new(&text)?;
                gifts.push(names.gift(id, user, rng.random_range(0..STREAMERS)));
            }
            let asked = Instant::now();
            let answers = engine.execute(gifts, Lines::Independent);
            latencies.push(asked.elapsed());
            all_taken(&answers)?;
        }
        Ok(latencies)
    }
}

/// How many streamers receive, each in a room of their own.
const STREAMERS: usize = 1_000;

/// The ids that every gift is made from.
struct Names {
    item: ItemId,
    actor: ActorId,
    streamers: Vec<(StreamerId, RoomId)>,
}

impl Names {
    fn new() -> Result<Self> {
        let streamer = |n| -> Result<_> { Ok((StreamerId::new(&format!("s{n}"))?, RoomId::new(&format!("r{n}"))?)) };
        Ok(Self {
            item: ItemId::new("rose")?,
            actor: ActorId::new("bench")?,
            streamers: (0..STREAMERS).map(streamer).collect::<Result<_>>()?,
        })
    }

    fn gift(&self, id: CommandId, user: UserId, streamer: usize) -> Envelope {
        let (streamer, room) = self.streamers[streamer].clone();
        Envelope {
            id,
            occurred_at: None,
            actor: Some(self.actor.clone()),
            client: None,
            command: Command::Gift(Gift {
                user,
                item: self.item.clone(),
                quantity: 1,
                to: SmallVec::from_buf([Recipient { streamer, weight: 1 }]),
                room: Some(room),
                combo: None,
                activity: None,
                expected_price: None,
            }),
        }
    }
}

fn user(account: u64) -> Result<UserId> {
    Ok(UserId::new(&format!("u{account}"))?)
}

fn all_taken(answers: &[Answer]) -> Result<()> {
    match answers.iter().find(|answer| !matches!(answer, Answer::Taken(_))) {
        None => Ok(()),
        Some(other) => bail!("a command of the bench was not taken: {other:?}"),
    }
}

/// How often each account gives.
struct Weights {
    /// Sums of the weights up to each account; empty where all are alike.
    sums: Vec<f64>,
    accounts: u64,
}

impl Weights {
    fn new(accounts: u64, hundredths: u32) -> Self {
        let mut sums = Vec::new();
        if hundredths > 0 {
            let exponent = f64::from(hundredths) / 100.0;
            let mut sum = 0.0;
            for rank in 1..=accounts {
                sum += (rank as f64).powf(-exponent);
                sums.push(sum);
            }
        }
        Self { sums, accounts }
    }

    fn pick(&self, rng: &mut ChaCha8Rng) -> u64 {
        match self.sums.last() {
            None => rng.random_range(0..self.accounts),
            Some(&whole) => {
                let at = rng.random::<f64>() * whole;
                self.sums.partition_point(|&sum| sum < at) as u64
            }
        }
    }
}

/// 4 KiB writes into a file filled with zeros, each followed by fdatasync, for half a second.
fn fdatasync_per_s(folder: &Path) -> Result<u64> {
    const BLOCK: usize = 4096;
    const BLOCKS: u64 = 4096;
    let path = folder.join("fdatasync");
    let file = File::create(&path)?;
    file.write_all_at(&vec![0; BLOCK * usize::try_from(BLOCKS)?], 0)?;
    file.sync_all()?;
    let block = [1; BLOCK];
    let started = Instant::now();
    let mut syncs = 0;
    while started.elapsed() < Duration::from_millis(500) {
        file.write_all_at(&block, syncs % BLOCKS * BLOCK as u64)?;
        file.sync_data()?;
        syncs += 1;
    }
    let rate = per_second(syncs, started.elapsed());
    fs::remove_file(path)?;
    Ok(rate)
}

fn per_second(count: u64, elapsed: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1_000_000_000 / elapsed.as_nanos().max(1)).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// Processor time of all threads.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn rss_mib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("reading the memory in use")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kib.context("/proc/self/status says no VmRSS")? / 1024)
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
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self { path, keep })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("giftledger: the ledger of the bench is in {}", self.path.join("ledger").display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("giftledger: {} could not be removed: {error}", self.path.display());
        }
    }
}
