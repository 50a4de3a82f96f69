//! `demo`: a synthetic platform in an empty folder, and what a ledger makes of it.

mod platform;

use std::time::Duration;

use anyhow::{Result, bail};
use chrono::{Datelike, Utc};
use ledger::{Answer, Clock, Engine, Lines, SystemClock};
use projections::{Board, BoardKey, Members, Window};
use replay::{
    AsOf, Driver, Schedule,
    driver::{Behaviour, Counts, Simulator},
};
use schemas::{CommandId, Envelope, Month, Status, UserId, Zone, parse_zone};
use serde::Serialize;

use self::platform::Platform;
use super::{Ended, Global, apply::apply_changes, board, settle, verify};
use crate::{
    ledger_dir::LedgerDir,
    output::{json_line, say, stdout, thousands},
};

/// Lines of one submission.
const CHUNK: usize = 8_189;
/// The demo does not wait for hours: it asks after 20 ms, 40 ms, 80 ms, and then a person takes over.
const SCHEDULE: Schedule = Schedule { first_ms: 20, longest_ms: 80, calls: 5 };
/// Holds that the gateway forgot to send come back after this.
const DEADLINE_MS: i64 = 2_000;
/// Every so many holds one is never sent.
const FORGOTTEN: usize = 16;
/// A provider on a bad day.
const BAD_DAY: Behaviour = Behaviour { refuses: 20, delivers_part: 10, silent: 5, loses: 30, late: 15, wrong: 10 };

/// Fill an empty folder with a synthetic platform and show what a ledger does.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// The same seed gives the same platform.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many shards.
    #[arg(long)]
    shards: Option<schemas::Shard>,
}

/// How the commands of a step were answered.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Tally {
    taken: u64,
    refused: u64,
}

#[derive(Debug, Serialize)]
struct Summary {
    month: String,
    money: Tally,
    gifts: Tally,
    refunds: Tally,
    chargebacks: Tally,
    holds: Tally,
    compensation: Compensation,
    proof: reconcile::proofs::Proof,
}

/// What became of the game orders.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Compensation {
    fulfilled: u64,
    released: u64,
    never_sent: u64,
    with_a_person: u64,
    calls: u64,
    unresolved: u64,
}

impl Demo {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let ledger = global.ledger();
        if ledger.exists() {
            bail!("there is a ledger in {} already; name another folder with --data", ledger.path().display());
        }
        let zone = Zone(parse_zone("Asia/Shanghai")?);
        let month = last_month();
        let mut platform = Platform::new(self.seed, month, zone);
        let engine = ledger.make(self.shards)?;
        apply_changes(&engine, &ledger, &Platform::reference(zone, month)?)?;

        let top_ups = platform.money()?;
        let money = submit(&engine, top_ups.clone())?.0;
        let (gifts, given) = submit(&engine, platform.gifts()?)?;
        let refunds = submit(&engine, platform.refunds(&given)?)?.0;
        let chargebacks = submit(&engine, platform.chargebacks(&top_ups)?)?.0;
        let now = SystemClock.now();
        let (holds, _) = submit(&engine, platform.holds(now, now.plus_millis(DEADLINE_MS))?)?;
        let compensation = play_games(&engine, self.seed)?;
        engine.settle()?;
        engine.close()?;
        let proof = verify::prove(&ledger)?;
        let summary =
            Summary { month: month.to_string(), money, gifts, refunds, chargebacks, holds, compensation, proof };
        if global.json {
            json_line(&mut stdout(), &summary)?;
        } else {
            tell(&ledger, &platform, &summary)?;
        }
        Ok(Ended::with(summary.proof.ok))
    }
}

fn last_month() -> Month {
    let today = Utc::now().date_naive();
    let last = today.with_day(1).expect("every month has a first day") - chrono::Days::new(1);
    format!("{:04}-{:02}", last.year(), last.month()).parse().expect("a month of this century")
}

/// Submits in chunks; the tally, and who placed what.
fn submit(engine: &Engine, commands: Vec<Envelope>) -> Result<(Tally, Vec<(UserId, CommandId)>)> {
    let mut tally = Tally::default();
    let mut taken = Vec::new();
    let mut commands = commands.into_iter().peekable();
    while commands.peek().is_some() {
        let chunk: Vec<Envelope> = commands.by_ref().take(CHUNK).collect();
        let names: Vec<_> = chunk.iter().map(|c| (c.command.touches().cloned(), c.id.clone())).collect();
        for ((user, id), answer) in names.into_iter().zip(engine.execute(chunk, Lines::Independent)) {
            match answer {
                Answer::Taken(_) => {
                    tally.taken += 1;
                    taken.extend(user.map(|user| (user, id)));
                }
                Answer::Refused(_) => tally.refused += 1,
                other => bail!("command {id} of the demo: {other:?}"),
            }
        }
    }
    Ok((tally, taken))
}

/// Sends the held orders, all but some, to a provider on a bad day, and drives the rest to an end.
fn play_games(engine: &Engine, seed: u64) -> Result<Compensation> {
    let mut reader = engine.reader();
    let mut driver = Driver::new(Simulator::new(seed, BAD_DAY), SCHEDULE, &reader);
    let mut held = Vec::new();
    for record in replay::records(&mut reader, AsOf::End)? {
        let record = record?;
        if let Some(user) = record.subject.user() {
            held.extend(record.orders().filter(|o| o.status == Status::Held).map(|order| (user.clone(), order)));
        }
    }
    for (n, (user, order)) in held.iter().enumerate() {
        if n % FORGOTTEN != 0 {
            driver.send(engine, user, order);
        }
    }
    driver.follow()?;
    while let Some(due) = driver.next_due() {
        let wait = due.nanos() - SystemClock.now().nanos();
        std::thread::sleep(Duration::from_nanos(u64::try_from(wait).unwrap_or(0)));
        driver.ask_due(engine, SystemClock.now());
        driver.follow()?;
    }
    // The ledger's own timers bring back what was never sent.
    while engine.read(|states| states.iter().flat_map(ledger::State::users).any(|(_, u)| has_held(u)))? {
        std::thread::sleep(Duration::from_millis(20));
    }
    let Counts { calls, unresolved, captured, released, handed_over } = driver.counts();
    let never_sent = held.len() as u64 - captured - released - handed_over;
    Ok(Compensation { fulfilled: captured, released, never_sent, with_a_person: handed_over, calls, unresolved })
}

fn has_held(user: &ledger::state::User) -> bool {
    user.open_orders().iter().any(|order| order.status == Status::Held)
}

fn tell(ledger: &LedgerDir, platform: &Platform, summary: &Summary) -> Result<()> {
    let path = ledger.path().display();
    let month = platform.month();
    say(&format_args!("A synthetic platform in {path}: nothing here is real.\n"))?;
    let steps = [
        ("top-ups and grants", summary.money),
        ("gifts", summary.gifts),
        ("refunds and a roll-back", summary.refunds),
        ("chargebacks", summary.chargebacks),
        ("game orders", summary.holds),
    ];
    for (what, tally) in steps {
        say(&format_args!("{:>24}: {} taken, {} refused", what, thousands(tally.taken), thousands(tally.refused)))?;
    }
    say(&format_args!("\nStreamers of {month}, by what they received:"))?;
    let zone = ledger.zone(None, AsOf::End)?;
    let mut fold = Board::new(BoardKey { window: Window::Month { month, zone }, members: Members::Streamers });
    ledger.fold(AsOf::End, |record| {
        fold.apply(record);
        Ok(())
    })?;
    board::print(&fold, 5, false, zone)?;
    say(&format_args!("\nWhat {month} pays:"))?;
    settle::print(&settle::calculate(ledger, month, AsOf::End)?.payout, 5)?;
    let c = summary.compensation;
    say(&format_args!(
        "\nGame orders, through a provider that loses, delays and garbles answers ({} calls, {} of them without a usable answer):",
        c.calls, c.unresolved
    ))?;
    say(&format_args!("  {} delivered and charged", c.fulfilled))?;
    say(&format_args!("  {} refused by the provider: coins given back", c.released))?;
    say(&format_args!("  {} never sent: given back at their deadline", c.never_sent))?;
    say(&format_args!("  {} without any answer: held, for a person to decide", c.with_a_person))?;
    say(&format_args!("\nThe proof:"))?;
    verify::print(&summary.proof)?;
    // As it was called, so that a line can be pasted.
    let giftledger = std::env::args().next().unwrap_or_else(|| "giftledger".to_owned());
    say(&format_args!("Try next (each takes --json, and --help):"))?;
    for line in [
        format!("{giftledger} wallet demo-user-1 --data {path}"),
        format!("{giftledger} order --user demo-user-1 --command demo-gift-0 --data {path}"),
        format!("{giftledger} board --activity demo-autumn --members senders --data {path}"),
        format!("{giftledger} settle --dry-run {month} --data {path}"),
        format!("{giftledger} events --kind handed_over --data {path}"),
        format!("{giftledger} export --format hledger --data {path} | hledger -f - balance --depth 2"),
        format!(
            "echo '{{\"id\":\"my-1\",\"gift\":{{\"user\":\"demo-user-1\",\"item\":\"rose\",\"to\":[{{\"streamer\":\"demo-streamer-1\"}}]}}}}' | {giftledger} append --data {path}"
        ),
    ] {
        say(&format_args!("  {line}"))?;
    }
    Ok(())
}
