//! Callers who give: each waits for the answers of one bulk before it makes the next.

use std::{
    ops::Range,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use hdrhistogram::Histogram;
use ledger::{Answer, Engine, Lines};

use super::gifts::{Gifts, all_taken};
use crate::signals::Interrupted;

/// How often somebody looks how far it is.
const LOOK: Duration = Duration::from_millis(50);
/// What latencies are told apart: a microsecond to an hour, to three digits, in 180 KiB however many.
const LATENCIES_US: (u64, u64, u8) = (1, 3_600_000_000, 3);

/// The numbers of the gifts that are to be given, taken by whoever is free.
pub(super) struct Supply {
    begin: u64,
    next: AtomicU64,
    end: u64,
    stopped: AtomicBool,
}

impl Supply {
    pub fn of(numbers: Range<u64>) -> Self {
        Self {
            begin: numbers.start,
            next: AtomicU64::new(numbers.start),
            end: numbers.end,
            stopped: AtomicBool::new(false),
        }
    }

    /// No more are to be given.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn take(&self, most: u64) -> Option<Range<u64>> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let first = self.next.fetch_add(most, Ordering::Relaxed);
        (first < self.end).then(|| first..self.end.min(first + most))
    }

    /// How many were taken.
    fn taken(&self) -> u64 {
        self.next.load(Ordering::Relaxed).min(self.end) - self.begin
    }
}

/// What callers did.
pub(super) struct Given {
    pub count: u64,
    pub elapsed: Duration,
    /// Of each bulk, in microseconds.
    latencies: Histogram<u64>,
}

impl Given {
    pub fn none() -> Self {
        Self { count: 0, elapsed: Duration::ZERO, latencies: latencies() }
    }

    /// So many were answered, after that time.
    pub fn answered(&mut self, count: u64, after: Duration) {
        self.count += count;
        self.latencies.saturating_record(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
    }

    /// In which time that many percent of the bulks were answered.
    pub fn latency_ms(&self, percent: f64) -> f64 {
        self.latencies.value_at_quantile(percent / 100.0) as f64 / 1000.0
    }

    pub fn per_second(&self) -> u64 {
        super::machine::per_second(self.count, self.elapsed)
    }
}

/// One who gives: some gifts at once, and waits for their answers.
pub(super) trait Caller {
    /// Gives the gifts of these numbers. All are taken, or it is an error.
    fn give(&mut self, numbers: Range<u64>) -> Result<()>;
}

/// Callers, at work together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Callers {
    pub count: u64,
    /// What each gives at once.
    pub batch: u64,
}

impl Callers {
    /// Gives what is supplied, through callers that `begin` makes. `look` is told now and then how many were begun,
    /// and can end it.
    pub fn give<C: Caller>(
        self,
        begin: &(impl Fn() -> Result<C> + Sync),
        supply: &Supply,
        mut look: impl FnMut(u64) -> Result<(), Interrupted>,
    ) -> Result<Given> {
        let started = Instant::now();
        std::thread::scope(|scope| {
            // Nothing is sent: it is closed once all callers have ended.
            let (at_work, ended) = mpsc::channel::<()>();
            let callers: Vec<_> = (0..self.count)
                .map(|_| {
                    let at_work = at_work.clone();
                    scope.spawn(move || {
                        let called = begin().and_then(|caller| self.call(caller, supply));
                        supply.stop(); // it is used up, or an error ends the others too
                        drop(at_work);
                        called
                    })
                })
                .collect();
            drop(at_work);
            let mut looked = Ok(());
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                looked = looked.and_then(|()| look(supply.taken()));
                if looked.is_err() {
                    supply.stop(); // what was begun is answered
                }
            }
            let mut given = Given::none();
            for caller in callers {
                let of_one = caller.join().expect("a caller does not panic")?;
                given.count += of_one.count;
                given.latencies += of_one.latencies;
            }
            given.elapsed = started.elapsed();
            looked?;
            Ok(given)
        })
    }

    fn call(self, mut caller: impl Caller, supply: &Supply) -> Result<Given> {
        let mut given = Given::none();
        while let Some(numbers) = supply.take(self.batch) {
            let (count, asked) = (numbers.end - numbers.start, Instant::now());
            caller.give(numbers)?;
            given.answered(count, asked.elapsed());
        }
        Ok(given)
    }
}

/// A caller in the engine's own process. Its note is told the number of the first gift, and the answers.
pub(super) struct InProcess<'a, N> {
    engine: &'a Engine,
    gifts: &'a Gifts,
    note: &'a N,
    text: String,
}

impl<N: Fn(u64, &[Answer])> Caller for InProcess<'_, N> {
    fn give(&mut self, numbers: Range<u64>) -> Result<()> {
        let first = numbers.start;
        let gifts = numbers.map(|number| self.gifts.gift(number, &mut self.text)).collect::<Result<Vec<_>>>()?;
        let answers = self.engine.execute(&ledger::Caller::cli(), gifts, Lines::Independent);
        all_taken(&answers)?;
        (self.note)(first, &answers);
        Ok(())
    }
}

/// Callers at an engine in this process.
#[derive(Clone, Copy)]
pub(super) struct Load<'a> {
    pub engine: &'a Engine,
    pub gifts: &'a Gifts,
    pub callers: Callers,
}

impl Load<'_> {
    /// Gives what is supplied. `look` is told now and then how many were begun, and can end it.
    pub fn give(&self, supply: &Supply, look: impl FnMut(u64) -> Result<(), Interrupted>) -> Result<Given> {
        self.give_and_note(supply, look, &|_, _| ())
    }

    /// The same; `note` is told of each bulk the number of its first gift, and the answers.
    pub fn give_and_note(
        &self,
        supply: &Supply,
        look: impl FnMut(u64) -> Result<(), Interrupted>,
        note: &(impl Fn(u64, &[Answer]) + Sync),
    ) -> Result<Given> {
        let Self { engine, gifts, callers } = *self;
        callers.give(&|| Ok(InProcess { engine, gifts, note, text: String::new() }), supply, look)
    }
}

fn latencies() -> Histogram<u64> {
    let (least, most, digits) = LATENCIES_US;
    Histogram::new_with_bounds(least, most, digits).expect("the bounds are in order")
}
