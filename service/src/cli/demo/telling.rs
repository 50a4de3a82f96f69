//! What the demo says at its end, and what to try next.

use anyhow::{Context, Result};
use ledger::{Clock, Engine, SystemClock};
use projections::{Accounts, Payout};
use replay::AsOf;
use schemas::{Chain, CommandId, Hash, Month, UserId};

use super::{Summary, games::Compensation};
use crate::{
    app::questions::{self, board::Who},
    cli::{board, settle, verify, watched},
    ledger_dir::{LedgerDir, shell_quoted},
    output::{say, thousands},
};

/// What the hints are about.
pub struct Examples {
    /// Somebody who has enough for another gift.
    pub payer: UserId,
    /// Somebody who gave, and the id of the gift.
    pub given: (UserId, CommandId),
}

impl Examples {
    /// Looks for some, the same for the same platform.
    pub fn of(engine: &Engine, given: &[(UserId, CommandId)]) -> Result<Self> {
        let now = SystemClock.now();
        let payer = engine.read(move |states| {
            let users = states.iter().flat_map(ledger::State::users);
            let rich = users.filter(|(_, user)| user.wallet().available(now) >= 100 && user.wallet().debt() == 0);
            rich.map(|(id, _)| id.clone()).min()
        })?;
        let given = given.first().cloned().context("nobody could give anything")?;
        Ok(Self { payer: payer.context("nobody has coins left")?, given })
    }
}

/// A digest over every balance and what the month pays: the same for the same seed, users, month and shards,
/// whenever and wherever it is run.
pub fn digest(ledger: &LedgerDir, month: Month) -> Result<Hash> {
    let mut accounts = Accounts::new();
    watched(ledger).fold(AsOf::End, |record| {
        accounts.apply(record);
    })?;
    let mut lines: Vec<String> =
        accounts.iter().map(|(account, asset, balance)| format!("{account} {asset} {balance}")).collect();
    lines.sort_unstable();
    let mut chain = Chain::new();
    for line in &lines {
        chain.push(line.as_bytes(), 1);
    }
    let payout = settlement(ledger, month)?;
    chain.push(payout.canonical_json().as_bytes(), 1);
    Ok(chain.hash())
}

fn settlement(ledger: &LedgerDir, month: Month) -> Result<Payout> {
    Ok(questions::settlement::Question { month, as_of: None }.ask(&watched(ledger))?.payout)
}

pub fn tell(ledger: &LedgerDir, month: Month, summary: &Summary, examples: &Examples) -> Result<()> {
    let path = ledger.path().display();
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
    let asked = watched(ledger);
    let zone = asked.zone(None, AsOf::End)?;
    let streamers = questions::board::Question::of_month(month, Who::Streamers, 5);
    board::print(&streamers.ask(&asked)?, zone)?;
    say(&format_args!("\nWhat {month} pays:"))?;
    settle::print(&settlement(ledger, month)?, 5)?;
    let Compensation { fulfilled, released, never_sent, with_a_person, calls, unresolved } = summary.compensation;
    say(&format_args!(
        "\nGame orders, through a provider that loses, delays and garbles answers ({calls} calls, {unresolved} of them without a usable answer):"
    ))?;
    say(&format_args!("  {fulfilled} delivered and charged"))?;
    say(&format_args!("  {released} refused by the provider: coins given back"))?;
    say(&format_args!("  {never_sent} never sent: given back at their deadline"))?;
    say(&format_args!("  {with_a_person} without any answer: held, for a person to decide"))?;
    say(&format_args!("\nThe proof:"))?;
    verify::print(&summary.proof)?;
    say(&format_args!("digest {} of every balance and the payout: the same for the same seed", summary.digest))?;
    say(&format_args!("\nTry next (each takes --json, and --help):"))?;
    let kind = if with_a_person > 0 { "handed_over" } else { "captured" };
    hints(ledger, month, kind, examples).iter().try_for_each(|line| say(&format_args!("  {line}")))
}

/// Commands as they are typed.
fn hints(ledger: &LedgerDir, month: Month, kind: &str, examples: &Examples) -> Vec<String> {
    // As it was called, so that a line can be pasted.
    let giftledger = std::env::args().next().unwrap_or_else(|| "giftledger".to_owned());
    let (giftledger, data) = (shell_quoted(&giftledger), shell_quoted(&ledger.path().display().to_string()));
    let Examples { payer, given: (giver, gift) } = examples;
    vec![
        format!("{giftledger} wallet {payer} --data {data}"),
        format!("{giftledger} order --user {giver} --command {gift} --data {data}"),
        format!("{giftledger} board --activity demo-autumn --members senders --data {data}"),
        format!("{giftledger} settle --dry-run {month} --data {data}"),
        format!("{giftledger} events --kind {kind} --data {data}"),
        format!("{giftledger} export --format hledger --data {data} | hledger -f - balance --depth 2"),
        format!(
            "echo '{{\"id\":\"my-1\",\"gift\":{{\"user\":\"{payer}\",\"item\":\"rose\",\"to\":[{{\"streamer\":\"demo-streamer-1\"}}]}}}}' | {giftledger} append --data {data}"
        ),
    ]
}
