//! `demo`: a synthetic platform in an empty folder, and what a ledger makes of it.
//!
//! Everything has an id made from its number, and follows from the seed. So a demo that was interrupted goes on
//! where it was: what is on the log already is answered again.

mod games;
mod platform;
mod serving;
mod telling;

use std::{fs, io::ErrorKind, net::SocketAddr};

use anyhow::{Context, Result, bail, ensure};
use ledger::{Answer, Caller, Clock, Engine, Lines, SystemClock, log::Disk};
use schemas::{CommandId, Envelope, Month, Shard, UserId, Zone, parse_zone};
use serde::{Deserialize, Serialize};

use self::{games::Compensation, platform::Platform, telling::Examples};
use super::{Ended, Global, verify, watched};
use crate::{
    app::actions::reference::publish_changes,
    ledger_dir::{LedgerDir, working},
    output::{complain, print_json},
    signals,
};

/// Lines of one submission.
const CHUNK: usize = 8_189;
/// Stands beside the log as long as a demo is not at its end.
const UNDER_WAY: &str = "demo.json";
const ZONE: &str = "Asia/Shanghai";
/// The fewest users who make a month.
const FEWEST_USERS: u64 = 100;

/// Fill an empty folder with a synthetic platform, show what a ledger does, and serve it.
///
/// Gifts go on at a gentle pace, and what to try is printed with a token, until Ctrl-C. One that was interrupted goes on.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// The same seed gives the same platform.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many users it has; they give ten gifts each.
    #[arg(long, default_value_t = 4_000)]
    users: u64,
    /// The month in which all of it happens; one that has ended.
    #[arg(long, default_value = "2026-10")]
    month: Month,
    /// How many shards [default: 16]
    #[arg(long)]
    shards: Option<Shard>,
    /// End when all is shown, without serving it.
    #[arg(long)]
    once: bool,
    /// Where to serve it; a free port where this one is taken.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8040", conflicts_with = "once")]
    listen: SocketAddr,
}

/// What a demo is made from.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begun {
    seed: u64,
    users: u64,
    month: String,
    shards: Shard,
}

/// How the commands of a step were answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
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
    digest: String,
    proof: reconcile::proofs::Proof,
}

impl Demo {
    pub fn run(self, global: &Global) -> Result<Ended> {
        ensure!(self.users >= FEWEST_USERS, "--users is {}, and {FEWEST_USERS} are the fewest", self.users);
        let ledger = global.ledger()?;
        let (summary, examples) = self.play(&ledger)?;
        if global.json {
            print_json(&summary)?;
        } else {
            telling::tell(&ledger, self.month, &summary, &examples)?;
        }
        if self.once || !summary.proof.ok {
            return Ok(Ended::with(summary.proof.ok));
        }
        serving::serve(&ledger, self.listen, global.json, examples.payer)?;
        Ok(Ended::Well)
    }

    fn play(&self, ledger: &LedgerDir) -> Result<(Summary, Examples)> {
        let zone = Zone(parse_zone(ZONE)?);
        let mut platform = Platform::new(self.seed, self.users, self.month, zone);
        if platform.until() > SystemClock.now() {
            bail!(
                "the demo is about {}, which has not ended by this machine's clock; name an earlier month with --month",
                self.month
            );
        }
        let (money, gifts, refunds, chargebacks, holds, examples) = working(self.start(ledger)?, |engine| {
            publish_changes(engine, &watched(ledger), &Platform::reference(zone, self.month)?)?;
            // Each user's in their order, and each step behind the one before: the same on every machine.
            let top_ups = platform.money()?;
            let money = submit(engine, top_ups.clone())?.0;
            let (gifts, given) = submit(engine, platform.gifts()?)?;
            let refunds = submit(engine, platform.refunds(&given)?)?.0;
            let chargebacks = submit(engine, platform.chargebacks(&top_ups)?)?.0;
            let placed = games::placed(ledger)?;
            let holds = submit(engine, platform.holds(SystemClock.now(), &placed)?)?.0;
            games::play(engine, self.seed)?;
            engine.settle()?;
            Ok((money, gifts, refunds, chargebacks, holds, Examples::of(engine, &given)?))
        })?;
        let compensation = games::compensation(ledger)?;
        let digest = telling::digest(ledger, self.month)?.to_string();
        let proof = verify::prove(ledger)?;
        let marker = ledger.path().join(UNDER_WAY);
        fs::remove_file(&marker).with_context(|| format!("removing {}", marker.display()))?;
        let month = self.month.to_string();
        let summary = Summary { month, money, gifts, refunds, chargebacks, holds, compensation, digest, proof };
        Ok((summary, examples))
    }

    /// Makes the ledger, or opens that of a demo that was interrupted.
    fn start(&self, ledger: &LedgerDir) -> Result<Engine> {
        let marker = ledger.path().join(UNDER_WAY);
        let asked = Begun { seed: self.seed, users: self.users, month: self.month.to_string(), shards: 0 };
        if ledger.exists()? {
            match fs::read(&marker) {
                Ok(text) => {
                    let Ok(begun) = serde_json::from_slice::<Begun>(&text) else {
                        bail!("{} cannot be read; name another folder with --data", marker.display());
                    };
                    if begun != (Begun { shards: self.shards.unwrap_or(begun.shards), ..asked }) {
                        let Begun { seed, users, month, shards } = begun;
                        let command = format!("demo --seed {seed} --users {users} --month {month} --shards {shards}");
                        bail!(
                            "another demo was interrupted in {}; it goes on with {}, or name another folder with --data",
                            ledger.path().display(),
                            ledger.typed(&command)
                        );
                    }
                    complain(&format_args!("a demo was interrupted in {}; it goes on", ledger.path().display()));
                    return ledger.start(None);
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("reading {}", marker.display())),
            }
        }
        // An empty one may be a demo's that could not say so yet; nothing was given then.
        if ledger.exists()? && watched(ledger).read()?.head().shards.iter().any(|shard| shard.sequence > 0) {
            bail!("there is a ledger in {} already; name another folder with --data", ledger.path().display());
        }
        let engine = ledger.start_or_make(self.shards)?;
        let begun = Begun { shards: engine.shards(), ..asked };
        let written = ledger.disk().write_atomic(UNDER_WAY, &serde_json::to_vec(&begun)?);
        written.with_context(|| format!("writing {}", marker.display()))?;
        Ok(engine)
    }
}

/// What an interrupted demo says.
fn unfinished() -> String {
    "the demo is not whole; the same command goes on with it".to_owned()
}

/// Submits in chunks, each user's commands in their order; the tally, and who placed what.
fn submit(engine: &Engine, commands: Vec<Envelope>) -> Result<(Tally, Vec<(UserId, CommandId)>)> {
    let mut tally = Tally::default();
    let mut taken = Vec::new();
    let mut commands = commands.into_iter().peekable();
    while commands.peek().is_some() {
        signals::check(unfinished)?;
        let chunk: Vec<Envelope> = commands.by_ref().take(CHUNK).collect();
        let names: Vec<_> = chunk.iter().map(|c| (c.command.touches().cloned(), c.id.clone())).collect();
        for ((user, id), answer) in names.into_iter().zip(engine.execute(&Caller::cli(), chunk, Lines::InOrder)) {
            match answer {
                Answer::Taken(_) => {
                    tally.taken += 1;
                    taken.extend(user.map(|user| (user, id)));
                }
                Answer::Refused(_) => tally.refused += 1,
                Answer::Unavailable(why) => {
                    return Err(why).with_context(|| format!("command {id} of the demo; start it again, it goes on"));
                }
                other => bail!("command {id} of the demo: {other:?}"),
            }
        }
    }
    engine.settle()?;
    Ok((tally, taken))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn demo(seed: u64) -> Demo {
        let listen = ([127, 0, 0, 1], 0).into();
        Demo { seed, users: FEWEST_USERS, month: "2025-10".parse().unwrap(), shards: Some(5), once: true, listen }
    }

    fn played(demo: &Demo, folder: &Path) -> Summary {
        let (summary, examples) = demo.play(&LedgerDir::new(folder)).unwrap();
        assert!(summary.proof.ok && summary.gifts.taken > 100, "{summary:?}");
        assert!(!examples.payer.as_str().is_empty());
        summary
    }

    /// The refund and its roll-back were in one unordered bulk: which came first was a matter of luck.
    #[test]
    fn the_same_seed_gives_the_same_digest() {
        let folder = tempfile::tempdir().unwrap();
        let digests: Vec<_> = [1, 1, 2]
            .into_iter()
            .enumerate()
            .map(|(n, seed)| {
                let summary = played(&demo(seed), &folder.path().join(n.to_string()));
                (summary.digest, summary.compensation)
            })
            .collect();
        assert_eq!(digests[0], digests[1]);
        assert_ne!(digests[0].0, digests[2].0);
    }

    /// Its folder was refused afterwards: neither a demo nor anything else.
    #[test]
    fn an_interrupted_demo_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let whole = played(&demo(1), &folder.path().join("whole"));
        for steps in 0..4 {
            let path = folder.path().join(format!("stopped after {steps}"));
            let (demo, ledger) = (demo(1), LedgerDir::new(&path));
            let zone = Zone(parse_zone(ZONE).unwrap());
            let mut platform = Platform::new(1, FEWEST_USERS, demo.month, zone);
            let engine = demo.start(&ledger).unwrap();
            if steps > 0 {
                publish_changes(&engine, &watched(&ledger), &Platform::reference(zone, demo.month).unwrap()).unwrap();
                let mut money = platform.money().unwrap();
                money.truncate(if steps > 1 { usize::MAX } else { 50 });
                submit(&engine, money).unwrap();
            }
            if steps > 2 {
                submit(&engine, platform.gifts().unwrap()).unwrap();
                let placed = games::placed(&ledger).unwrap();
                submit(&engine, platform.holds(SystemClock.now(), &placed).unwrap()).unwrap();
            }
            drop(engine); // it ends where it is
            let other = Demo { seed: 2, ..demo_like(&demo) }.start(&ledger).unwrap_err().to_string();
            assert!(other.contains("it goes on with giftledger demo --seed 1 --users 100 --month 2025-10"), "{other}");
            let summary = played(&demo, &path);
            assert_eq!((summary.money, summary.gifts), (whole.money, whole.gifts), "after {steps}");
            let again = demo.start(&ledger).unwrap_err().to_string();
            assert!(again.contains("there is a ledger in"), "{again}");
        }
    }

    fn demo_like(demo: &Demo) -> Demo {
        Demo { once: true, ..*demo }
    }

    #[test]
    fn a_month_that_has_not_ended_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let future = Demo { month: "2200-01".parse().unwrap(), ..demo(1) };
        let error = future.play(&LedgerDir::new(&folder.path().join("x"))).err().unwrap().to_string();
        assert!(error.contains("name an earlier month with --month"), "{error}");
        assert!(!folder.path().join("x").exists());
    }
}
