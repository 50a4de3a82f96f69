//! `bench --storm`: new gifts alone, then while another caller says earlier ones again, or refunds them.
//! What has to be looked up for that stands in memory, in a sealed run of the index, on the log; each
//! must get the answer that it should.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use anyhow::{Result, bail};
use ledger::{Answer, Caller, Engine, Lines, Taken};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use schemas::{Command, CommandId, Envelope, OrderRef, ReasonCode, Refund, Shard};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    Bench,
    gifts::{Gifts, below},
    load::{Given, Supply},
    machine, ratio,
};
use crate::{
    cli::Ended,
    ledger_dir::LedgerDir,
    output::{Progress, print_json, say, thousands},
};

/// Commands of the storm per submission.
const BULK: usize = 8_189;

/// What was measured.
#[derive(Debug, Serialize)]
struct Figures {
    new_per_s_alone: u64,
    new_per_s_in_storm: u64,
    /// Of the new gifts per second in the storm to those alone.
    ratio: f64,
    /// Duplicates or refunds.
    storm: &'static str,
    commands: u64,
    commands_per_s: u64,
    p99_ms_alone: f64,
    p99_ms_in_storm: f64,
    /// Of the storm's bulks.
    commands_p99_ms: f64,
    /// Duplicates that got another answer than the first, refunds that were not taken.
    wrong_answers: u64,
    rss_mib: u64,
    fdatasync_per_s: u64,
    /// The machine's, of the last minute, at the end.
    load: f64,
    ok: bool,
}

impl Bench {
    pub(super) fn storm(&self, folder: &Path, json: bool) -> Result<Ended> {
        let fdatasync_per_s = machine::fdatasync_per_s(folder)?;
        let ledger = LedgerDir::new(&folder.join("ledger"));
        let engine = ledger.make(Some(self.shards))?;
        let gifts = self.gifts()?;
        gifts.prepare(&engine, &ledger)?;
        let load = self.load(&engine, &gifts);

        let what = if self.refunds { What::Refunds } else { What::Duplicates };
        let earlier = Earlier::new(self.seed, self.count(), self.duplicates);
        let progress = Progress::gifts(self.count(), "giving");
        let note = |first, answers: &[Answer]| earlier.note(first, answers);
        load.give_and_note(&Supply::of(0..self.count()), |done| progress.set(done), &note)?;
        drop(progress);

        let alone_until = self.count() + (self.count() / 4).max(1);
        let alone = load.give(&Supply::of(self.count()..alone_until), |_| Ok(()))?;
        let supply = Supply::of(alone_until..u64::MAX);
        let (new, again) = std::thread::scope(|scope| {
            let storm = scope.spawn(|| {
                let said = earlier.storm(what, &engine, &gifts, self.duplicates);
                supply.stop();
                said
            });
            let new = load.give(&supply, |_| Ok(()));
            (new, storm.join().expect("the caller of the storm does not panic"))
        });
        let (new, again) = (new?, again?);
        let rss_mib = machine::rss_mib()?;
        engine.close()?;
        let figures = figures(what, &alone, &new, &again, (rss_mib, fdatasync_per_s))?;
        if json {
            print_json(&figures)?;
        } else {
            print(&figures)?;
        }
        Ok(Ended::with(figures.ok))
    }
}

/// What the storm is made of.
#[derive(Debug, Clone, Copy)]
enum What {
    /// Earlier gifts, word for word.
    Duplicates,
    /// Refunds of earlier gifts, by their command ids.
    Refunds,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Duplicates => "duplicates",
            Self::Refunds => "refunds",
        }
    }

    /// What is said about an earlier gift.
    fn about(self, gift: Envelope) -> Result<Envelope> {
        match (self, &gift.command) {
            (Self::Duplicates, _) => Ok(gift),
            (Self::Refunds, Command::Gift(given)) => Ok(Envelope {
                id: CommandId::new(&format!("refund-{}", gift.id))?,
                occurred_at: None,
                actor: None,
                client: None,
                command: Command::Refund(Refund {
                    order: OrderRef { user: given.user.clone(), name: gift.id.into() },
                    coins: None,
                    reason: ReasonCode::new("storm")?,
                }),
            }),
            (Self::Refunds, other) => bail!("a `{}` is no gift", other.kind()),
        }
    }

    /// Whether that is the answer for the gift whose record stands there.
    fn is_right(self, answer: &Answer, gift: u64) -> bool {
        match (self, answer) {
            (Self::Duplicates, answer) => place(answer) == gift,
            (Self::Refunds, Answer::Taken(Taken { event: "refunded", order: Some(order), .. })) => {
                packed(order.shard, order.sequence) == gift
            }
            (Self::Refunds, _) => false,
        }
    }
}

/// What came of the storm.
struct SaidAgain {
    given: Given,
    wrong: u64,
}

fn figures(
    what: What,
    alone: &Given,
    new: &Given,
    again: &SaidAgain,
    (rss_mib, fdatasync_per_s): (u64, u64),
) -> Result<Figures> {
    Ok(Figures {
        new_per_s_alone: alone.per_second(),
        new_per_s_in_storm: new.per_second(),
        ratio: ratio(new.per_second(), alone.per_second()),
        storm: what.name(),
        commands: again.given.count,
        commands_per_s: again.given.per_second(),
        p99_ms_alone: alone.latency_ms(99.0),
        p99_ms_in_storm: new.latency_ms(99.0),
        commands_p99_ms: again.given.latency_ms(99.0),
        wrong_answers: again.wrong,
        rss_mib,
        fdatasync_per_s,
        load: machine::load()?,
        ok: again.wrong == 0,
    })
}

/// Some of the gifts, one in each stretch of them, with where their records stand. So what is kept
/// grows with the duplicates and not with the gifts.
struct Earlier {
    seed: u64,
    stretch: u64,
    /// Shard and sequence of the first answers; 0 before there is one.
    places: Vec<AtomicU64>,
}

impl Earlier {
    fn new(seed: u64, count: u64, duplicates: u64) -> Self {
        let stretch = (count / duplicates).max(1);
        Self { seed, stretch, places: (0..count / stretch).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The number of the gift that was chosen from a stretch.
    fn chosen(&self, stretch: u64) -> u64 {
        stretch * self.stretch + below(xxh3_64_with_seed(&stretch.to_le_bytes(), self.seed), self.stretch)
    }

    /// Keeps the first answers of those that were chosen.
    fn note(&self, first: u64, answers: &[Answer]) {
        for (number, answer) in (first..).zip(answers) {
            let stretch = number / self.stretch;
            if self.chosen(stretch) == number
                && let Some(kept) = usize::try_from(stretch).ok().and_then(|stretch| self.places.get(stretch))
            {
                kept.store(place(answer), Ordering::Relaxed);
            }
        }
    }

    /// Says so much about them in random order, from the beginning where there are too few.
    fn storm(&self, what: What, engine: &Engine, gifts: &Gifts, commands: u64) -> Result<SaidAgain> {
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(self.seed));
        let mut order = order.iter().copied().cycle().take(usize::try_from(commands)?);
        let mut said = SaidAgain { given: Given::none(), wrong: 0 };
        let (started, mut text) = (Instant::now(), String::new());
        loop {
            let chosen: Vec<usize> = order.by_ref().take(BULK).collect();
            if chosen.is_empty() {
                said.given.elapsed = started.elapsed();
                return Ok(said);
            }
            let again = chosen.iter().map(|&n| what.about(gifts.gift(self.chosen(n as u64), &mut text)?));
            let again = again.collect::<Result<Vec<_>>>()?;
            let asked = Instant::now();
            let answers = engine.execute(&Caller::cli(), again, Lines::Independent);
            said.given.answered(answers.len() as u64, asked.elapsed());
            let right =
                |&(&n, answer): &(&usize, &Answer)| what.is_right(answer, self.places[n].load(Ordering::Relaxed));
            said.wrong += chosen.iter().zip(&answers).filter(|pair| !right(pair)).count() as u64;
        }
    }
}

/// Where the record stands that an answer names, in one number; the bench has nothing but taken gifts.
fn place(answer: &Answer) -> u64 {
    match answer {
        Answer::Taken(taken) => packed(taken.shard, taken.sequence),
        _ => u64::MAX,
    }
}

fn packed(shard: Shard, sequence: u64) -> u64 {
    const SEQUENCE_BITS: u32 = 48;
    u64::from(shard) << SEQUENCE_BITS | sequence
}

fn print(figures: &Figures) -> Result<()> {
    say(&format_args!(
        "new gifts alone      {:>12}/s, p99 {:.2} ms",
        thousands(figures.new_per_s_alone),
        figures.p99_ms_alone
    ))?;
    say(&format_args!(
        "new gifts in a storm {:>12}/s, p99 {:.2} ms: {:.3} of that alone",
        thousands(figures.new_per_s_in_storm),
        figures.p99_ms_in_storm,
        figures.ratio
    ))?;
    say(&format_args!(
        "{:<20} {:>12}/s, p99 of a bulk {:.2} ms",
        figures.storm,
        thousands(figures.commands_per_s),
        figures.commands_p99_ms
    ))?;
    say(&format_args!(
        "machine              {:>12} fdatasync/s of 4 KiB before, load {:.2}, {} MiB in use",
        thousands(figures.fdatasync_per_s),
        figures.load,
        figures.rss_mib
    ))?;
    let (all, wrong) = (thousands(figures.commands), thousands(figures.wrong_answers));
    if figures.ok {
        say(&format_args!("each of {all} {} got the answer that it should", figures.storm))
    } else {
        say(&format_args!("FAULT: {wrong} of {all} {} did not get the answer that they should", figures.storm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_stretch_is_chosen() {
        for (count, duplicates, stretches) in [(10_000, 1_000, 1_000), (10_000, 3_000, 3_333), (10, 500, 10)] {
            let earlier = Earlier::new(1, count, duplicates);
            assert_eq!(earlier.places.len(), stretches);
            for stretch in 0..stretches as u64 {
                let chosen = earlier.chosen(stretch);
                assert_eq!(chosen / earlier.stretch, stretch);
                assert!(chosen < count);
            }
        }
    }
}
