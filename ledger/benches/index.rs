//! What the index costs: `cargo bench -p ledger --bench index -- [--entries 1,4,20,50] [--memory N]
//! [--fan-out N] [--batch N]`, entries in millions.
//!
//! Inserts keys that are not there, in batches: one probe, then the inserts, as the decider does. Seals
//! and merges happen in between, on the same thread. All figures are processor time, since others may use
//! the machine, except the pauses and the look-ups of keys that are there.
#![expect(clippy::cast_precision_loss, clippy::float_arithmetic, reason = "figures for people")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use ledger::{
    index::{Fingerprint, Index, Merged, Options, Place, Sealer},
    log::{Disk, Log, OsDisk},
};
use rustix::time::{ClockId, clock_gettime};

/// Numbers without a pattern; each is given once.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Processor time of this thread.
fn busy() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("below a second"))
}

/// Processor time of this thread since then.
fn busy_since(then: Duration) -> Duration {
    busy().saturating_sub(then)
}

fn written_bytes() -> Result<u64> {
    let io = std::fs::read_to_string("/proc/self/io").context("reading what was written")?;
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).context("no wchar in /proc/self/io")?;
    Ok(line.parse()?)
}

struct Bench {
    index: Index,
    sealer: Sealer,
    freeze: Duration,
    seal: Duration,
    merge: Duration,
    longest_step: Duration,
    maybe: usize,
    inserted: u64,
}

impl Bench {
    fn maintain(&mut self) -> Result<()> {
        if !self.index.is_full() {
            return Ok(());
        }
        let upto = self.index.covered().to_vec();
        let start = busy();
        let frozen = self.index.freeze(upto);
        let froze = busy();
        let sealed = self.sealer.seal(&frozen)?;
        self.seal += busy_since(froze);
        drop(frozen);
        self.index.adopt(sealed);
        loop {
            let start = (busy(), Instant::now());
            let merged = self.sealer.merge()?;
            self.merge += busy_since(start.0);
            match merged {
                Merged::Nothing => break,
                Merged::Piece => self.longest_step = self.longest_step.max(start.1.elapsed()),
                Merged::Level(runs) => self.index.adopt(runs),
            }
        }
        self.freeze += froze.saturating_sub(start);
        Ok(())
    }

    /// Probes and inserts so many new keys; the time of the probes and of the inserts.
    fn fill(&mut self, numbers: &mut Numbers, count: u64, batch: usize) -> Result<(Duration, Duration)> {
        let (mut keys, mut maybe) = (Vec::with_capacity(batch), Vec::new());
        let (mut probing, mut inserting) = (Duration::ZERO, Duration::ZERO);
        let end = self.inserted + count;
        while self.inserted < end {
            self.maintain()?;
            keys.clear();
            keys.extend((0..batch).map(|_| Fingerprint::from(numbers.next())));
            let start = busy();
            self.index.probe(&keys, &mut maybe);
            let probed = busy();
            for &key in &keys {
                self.inserted += 1;
                self.index.insert(key, Place::new(0, self.inserted));
            }
            inserting += busy_since(probed);
            probing += probed.saturating_sub(start);
            self.maybe += maybe.iter().filter(|&&maybe| maybe).count();
        }
        Ok((probing, inserting))
    }
}

fn main() -> Result<()> {
    let mut options = Options::default();
    let (mut targets, mut batch) = (vec![1, 4, 20], 1_000);
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--entries" => targets = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--memory" => options.memory_entries = value.parse()?,
            "--fan-out" => options.fan_out = value.parse()?,
            "--batch" => batch = value.parse()?,
            other => anyhow::bail!("{other}: not an option of this bench"),
        }
    }
    let folder = tempfile::tempdir()?;
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(folder.path()));
    let (log, _) = Log::open(Arc::clone(&disk), &ledger::log::Options::default())?;
    let (index, sealer) = Index::open(disk, &log.reader(), &options)?;
    println!("{} entries in a table, fan-out {}, batches of {batch}", options.memory_entries, options.fan_out);
    let zero = Duration::ZERO;
    let mut bench =
        Bench { index, sealer, freeze: zero, seal: zero, merge: zero, longest_step: zero, maybe: 0, inserted: 0 };
    let mut numbers = Numbers(42);
    let before = written_bytes()?;
    let (mut probing, mut inserting) = (zero, zero);
    for target in targets {
        let (probe, insert) = bench.fill(&mut numbers, target * 1_000_000 - bench.inserted, batch)?;
        probing += probe;
        inserting += insert;
        let all = bench.inserted as f64;
        let each = |time: Duration, count: f64| time.as_nanos() as f64 / count;
        let (sealed, runs) = (bench.index.runs().entries() as f64, bench.index.runs().count());
        println!(
            "{target} M in {runs} runs: probe {:.0} + insert {:.0} ns on average; seal {:.0} + merge {:.0} ns of processor \
             time, {:.1} bytes written, {:.2} bytes of memory a sealed entry, {} MiB with tables; a piece of merging at most \
             {:.1} ms, freezing {:.1} ms in all; {:.4} of keys may be known",
            each(probing, all),
            each(inserting, all),
            each(bench.seal, all),
            each(bench.merge, all),
            (written_bytes()? - before) as f64 / all,
            bench.index.runs().bytes() as f64 / sealed,
            bench.index.bytes() >> 20,
            bench.longest_step.as_secs_f64() * 1e3,
            bench.freeze.as_secs_f64() * 1e3,
            bench.maybe as f64 / all,
        );
        let window = 500_000;
        let (probe, insert) = bench.fill(&mut numbers, window, batch)?;
        println!(
            "    the next {window}: probe {:.0} + insert {:.0} ns",
            each(probe, window as f64),
            each(insert, window as f64)
        );
        probing += probe;
        inserting += insert;
        known(&bench, 42)?;
    }
    Ok(())
}

/// Looks up keys that are there, one at a time.
fn known(bench: &Bench, seed: u64) -> Result<()> {
    let count = 20_000;
    let step = bench.inserted / count;
    let start = Instant::now();
    for n in 0..count {
        // The n-th number of a seed can be had without those before it.
        let at = 1 + n * step;
        let key = Numbers(seed.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(at - 1))).next();
        let places = bench.index.candidates(Fingerprint::from(key), usize::MAX)?;
        anyhow::ensure!(places.contains(&Place::new(0, at)), "a key that was inserted is not found");
    }
    println!("    a key that is there: {:.0} ns", start.elapsed().as_nanos() as f64 / count as f64);
    Ok(())
}
