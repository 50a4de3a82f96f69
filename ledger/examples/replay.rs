//! How fast a log is read, and replayed into state, on this machine:
//!
//!     giftledger --data DIR bench --engine --count 5000000 --accounts 1000000 --keep
//!     cargo run --release -p ledger --example replay -- DIR-bench-…/ledger
//!
//! Wall and processor time for each way of reading, so that runs on a busy machine can be compared.
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "rates; no money here")]

use std::{ops::Range, sync::Arc, time::Duration, time::Instant};

use ledger::{
    Error, Result, State,
    log::{Check, Frame, OsDisk, Reader},
};
use rustix::time::{ClockId, clock_gettime};
use schemas::Shard;

fn main() -> Result<()> {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("name the folder of a ledger: replay DIR");
        std::process::exit(2);
    };
    let reader = Reader::open(Arc::new(OsDisk::new(folder)))?;
    let shards = reader.shards();
    let in_order = |check| reader.frames(check).map(|frame| frame.map(|frame| frame.records.len())).sum();
    measure("read and decode", || in_order(Check::Frame))?;
    measure("and check all", || in_order(Check::Full))?;
    measure("replay, one thread", || {
        let mut fold = Fold::of(shards, 0..shards);
        reader.frames(Check::Frame).try_for_each(|frame| fold.take(&frame?))?;
        Ok(fold.records)
    })?;
    measure("replay, read ahead", || {
        let mut fold = Fold::of(shards, 0..shards);
        reader.frames(Check::Frame).ahead::<Error>(|frame| fold.take(frame))?;
        Ok(fold.records)
    })?;
    measure("replay, by shards", || {
        let runs = reader.runs_of_shards(std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
        let folds = runs.into_iter().map(|run| (run.clone(), Fold::of(shards, run))).collect();
        let folds = reader.fold_by_shards(Check::Frame, None, folds, Fold::take)?;
        Ok(folds.iter().map(|fold| fold.records).sum())
    })
}

/// The states of some shards.
struct Fold {
    first: Shard,
    states: Vec<State>,
    records: usize,
}

impl Fold {
    fn of(shards: Shard, own: Range<Shard>) -> Self {
        Self { first: own.start, states: own.map(|shard| State::new(shard, shards)).collect(), records: 0 }
    }

    #[expect(clippy::unnecessary_wraps, reason = "what folds frames may fail")]
    fn take(&mut self, frame: &Frame) -> Result<()> {
        for record in &frame.records {
            self.states[usize::from(record.shard - self.first)].apply(record);
        }
        self.records += frame.records.len();
        Ok(())
    }
}

fn measure(what: &str, read: impl FnOnce() -> Result<usize>) -> Result<()> {
    let (started, cpu) = (Instant::now(), cpu_time());
    let records = read()? as f64;
    let (wall, cpu) = (started.elapsed().as_secs_f64(), cpu_time().saturating_sub(cpu).as_secs_f64());
    println!(
        "{what:20} {records} records, {:>9.0}/s, {:.3} µs of processor time each",
        records / wall,
        cpu * 1e6 / records
    );
    Ok(())
}

/// Processor time of all threads.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
