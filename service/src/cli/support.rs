//! `refund`, `roll-back`, `release`, `capture`, `grant`: what support does, shown before it is done.

use std::io::{self, IsTerminal, Write};

use anyhow::{Result, bail};
use chrono_tz::Tz;
use schemas::{ActorId, Coins, CommandId, Envelope, PartName, ReasonCode, Record, Source, Timestamp, UserId, visible};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::{Ended, Global, Start, ToWrite, Writing};
use crate::{
    app::{
        Said,
        actions::support::{self, Deed, Preview},
        parse_coins,
        questions::order::Which,
    },
    ledger_dir::shell_quoted,
    output::{ask, complain, print_json, stdout, thousands},
    words,
};

/// Give coins of a fulfilled order back to its user.
///
/// What would happen is shown first, and done after a question, or with --yes.
#[derive(Debug, clap::Args)]
pub struct Refund {
    #[command(flatten)]
    order: Which,
    /// How many; all that is left where absent.
    #[arg(long, value_name = "COINS", value_parser = parse_coins)]
    coins: Option<Coins>,
    /// Why, as a code such as `not_shown`.
    #[arg(long, value_name = "CODE")]
    reason: ReasonCode,
    #[command(flatten)]
    how: How,
}

/// Take a refund back: the coins go to the order again.
///
/// What would happen is shown first, and done after a question, or with --yes.
#[derive(Debug, clap::Args)]
pub struct RollBack {
    #[command(flatten)]
    order: Which,
    /// The command that refunded.
    #[arg(long, value_name = "ID")]
    refund: CommandId,
    /// Which refund of that command's group: its place there, from 0.
    #[arg(long, value_name = "N")]
    refund_part: Option<u8>,
    /// The service whose command that was; the one that asks where absent.
    #[arg(long, value_name = "SERVICE")]
    refund_source: Option<Source>,
    /// Why, as a code such as `refunded_by_mistake`.
    #[arg(long, value_name = "CODE")]
    reason: ReasonCode,
    #[command(flatten)]
    how: How,
}

/// End a hold without a charge.
///
/// What would happen is shown first, and done after a question, or with --yes.
#[derive(Debug, clap::Args)]
pub struct Release {
    #[command(flatten)]
    order: Which,
    /// Why, as a code such as `never_delivered`.
    #[arg(long, value_name = "CODE")]
    reason: ReasonCode,
    #[command(flatten)]
    how: How,
}

/// End a hold with a charge; what it does not take comes back.
///
/// What would happen is shown first, and done after a question, or with --yes.
#[derive(Debug, clap::Args)]
pub struct Capture {
    #[command(flatten)]
    order: Which,
    /// How many; all that is held where absent.
    #[arg(long, value_name = "COINS", value_parser = parse_coins)]
    coins: Option<Coins>,
    #[command(flatten)]
    how: How,
}

/// Give bonus coins to a user.
///
/// What would happen is shown first, and done after a question, or with --yes.
#[derive(Debug, clap::Args)]
pub struct Grant {
    /// Whom.
    user: UserId,
    /// How many.
    #[arg(value_parser = parse_coins)]
    coins: Coins,
    /// Until when they can be spent; for good where absent.
    #[arg(long, value_name = "TIME")]
    expires: Option<Timestamp>,
    /// Why, as a code such as `goodwill`.
    #[arg(long, value_name = "CODE")]
    reason: ReasonCode,
    #[command(flatten)]
    how: How,
}

/// How any of it is done.
#[derive(Debug, clap::Args)]
struct How {
    /// Who does it; it stands on the record.
    #[arg(long, value_name = "NAME")]
    actor: Option<ActorId>,
    /// The id of the command: the same id is never done twice. One is made where it is absent.
    #[arg(long)]
    id: Option<CommandId>,
    /// Do it without looking and asking.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Only show what would happen. (The ledger is opened to write all the same, so what is due is recorded.)
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    to_write: ToWrite,
}

impl Refund {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let Self { order, coins, reason, how } = self;
        how.run(global, Deed::Refund { order, coins, reason })
    }
}

impl RollBack {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let Self { order, refund: command, refund_part: part, refund_source: source, reason, how } = self;
        how.run(global, Deed::RollBack { order, refund: PartName { command, part, source }, reason })
    }
}

impl Release {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let Self { order, reason, how } = self;
        how.run(global, Deed::Release { order, reason })
    }
}

impl Capture {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let Self { order, coins, how } = self;
        how.run(global, Deed::Capture { order, coins })
    }
}

impl Grant {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let Self { user, coins, expires, reason, how } = self;
        how.run(global, Deed::Grant { user, coins, expires, reason })
    }
}

impl How {
    fn run(self, global: &Global, deed: Deed) -> Result<Ended> {
        let home = global.home()?;
        let zone = if global.json { Tz::UTC } else { home.shown_zone(None)? };
        let to_write = self.to_write.clone();
        home.write(&to_write, Start::Existing, |ledger| self.act(global, ledger, deed, zone))
    }

    fn act(self, global: &Global, ledger: &Writing<'_>, deed: Deed, zone: Tz) -> Result<Ended> {
        let id = self.id.map_or_else(|| Uuid::now_v7().to_string().parse(), Ok)?;
        let envelope = support::envelope(deed, (id.clone(), self.actor), |place| ledger.record(place))?;
        if !self.yes {
            let preview = ledger.preview(&envelope)?;
            let (is_new, is_taken) = match &preview {
                Preview::New(record) => (true, record.event().is_some()),
                Preview::Known(record) => (false, record.event().is_some()),
                Preview::Nothing(_) => (false, false),
            };
            show(global, &envelope, &preview, zone)?;
            if self.dry_run || !is_new {
                return Ok(Ended::with(is_taken));
            }
            if !is_taken {
                complain(&"nothing was done");
                return Ok(Ended::WithFault);
            }
            if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
                bail!("nothing was done, as there is no terminal to ask; say --yes, or --dry-run to only look");
            }
            if !matches!(ask(&"Do it? [y/N] ")?.trim(), "y" | "Y" | "yes") {
                bail!("nothing was done");
            }
        }
        // Before it is done: whoever is cut off asks again with the same id.
        complain(&format_args!(
            "this is command {}; with --id it is not done twice",
            visible(&shell_quoted(id.as_str()))
        ));
        let answer = ledger.carry_out(envelope)?;
        tell(global, &id, &answer)
    }
}

/// What would happen, in words or as the record that would be made.
fn show(global: &Global, envelope: &Envelope, preview: &Preview, zone: Tz) -> Result<()> {
    let mut out = stdout();
    match (preview, global.json) {
        (Preview::New(record), true) => print_json(&json!({ "id": envelope.id, "would_be": &**record }))?,
        (Preview::Known(record), true) => print_json(&json!({ "id": envelope.id, "is": &**record }))?,
        (Preview::Nothing(answer), _) => return tell(global, &envelope.id, answer).map(drop),
        (Preview::New(record), false) => {
            for what in words::sentences(record, zone, |_, _| true) {
                writeln!(out, "would be: {}", visible(&what))?;
            }
            print_orders(&mut out, record, zone)?;
        }
        (Preview::Known(record), false) => {
            let id = visible(envelope.id.as_str());
            writeln!(out, "command {id} was decided before, in record {}:", words::place(record))?;
            for what in words::sentences(record, zone, |_, _| true) {
                writeln!(out, "{}", visible(&what))?;
            }
        }
    }
    Ok(out.flush()?)
}

fn print_orders(out: &mut impl Write, record: &Record, zone: Tz) -> Result<()> {
    for order in record.orders() {
        let (left, charged) = (thousands(order.left), thousands(order.charged));
        let status = words::status(&order, false, zone);
        writeln!(out, "then order {} is {status}, {left} of {charged} left", order.id)?;
        for share in order.shares() {
            writeln!(out, "{} holds {} of its value", share.streamer, thousands(share.value))?;
        }
    }
    Ok(())
}

fn tell(global: &Global, id: &CommandId, answer: &Said) -> Result<Ended> {
    let ended = Ended::with(answer.is_taken());
    if global.json {
        let whole = Named { id, answer };
        print_json(&whole)?;
        return Ok(ended);
    }
    let mut out = stdout();
    let id = shell_quoted(id.as_str());
    let id = visible(&id);
    let said = |name: &str| visible(answer.text(name).unwrap_or("?")).into_owned();
    let (position, message) = (said("position"), said("message"));
    match answer.state() {
        "taken" => {
            let short = answer.number("shortfall").filter(|coins| *coins > 0);
            let short = short.map(|coins| format!(", {} coins were not there", thousands(coins))).unwrap_or_default();
            writeln!(out, "done: {}{short}, record {position}", words::event(&said("event")))?;
        }
        "refused" => writeln!(out, "refused: {message} ({}), recorded as {position}", said("code"))?,
        "conflict" => writeln!(
            out,
            "the id {id} stands for another command, which was {} in record {position}",
            said("first_state")
        )?,
        "malformed" => writeln!(out, "it cannot be asked for: {message}")?,
        _ => writeln!(out, "it could not be decided: {message}; ask again with --id {id}")?,
    }
    out.flush()?;
    Ok(ended)
}

/// An answer with the id of its command.
#[derive(Serialize)]
struct Named<'a> {
    id: &'a CommandId,
    #[serde(flatten)]
    answer: &'a Said,
}
