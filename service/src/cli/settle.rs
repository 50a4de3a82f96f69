//! `settle`: what a month pays.

use std::io::Write;

use anyhow::{Result, bail};
use projections::{Payout, Reference, Tallies, payout};
use replay::AsOf;
use schemas::{Hash, Money, Month};
use serde::Serialize;

use super::{Ended, Global};
use crate::{
    ledger_dir::LedgerDir,
    output::{json_line, stdout, table, thousands},
};

/// Calculate what a month pays to streamers and guilds, with its check line.
#[derive(Debug, clap::Args)]
pub struct Settle {
    /// The month, such as 2026-11, in the entity's zone.
    month: Month,
    /// Calculate and print; nothing is recorded.
    #[arg(long, required = true)]
    dry_run: bool,
    /// As of a time or a position `<shard>-<sequence>`.
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<AsOf>,
}

/// A payout as scripts read it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    payout: &'a Payout,
    digest: Hash,
}

impl Settle {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let payout = calculate(&global.ledger(), self.month, self.as_of.unwrap_or(AsOf::End))?;
        if global.json {
            json_line(&mut stdout(), &Shown { payout: &payout, digest: payout.digest() })?;
        } else {
            print(&payout, usize::MAX)?;
        }
        Ok(Ended::with(payout.check.ties()))
    }
}

/// Folds the terms, then the tallies in their zone.
pub fn calculate(ledger: &LedgerDir, month: Month, as_of: AsOf) -> Result<Payout> {
    let reference: Reference = ledger.reference(as_of)?;
    let Some(entity) = reference.entity() else {
        bail!("no entity is published, so there is no currency to pay in; apply a platform file with [entity]")
    };
    let mut tallies = Tallies::new(entity.zone.0);
    ledger.fold(as_of, |record| {
        tallies.apply(record);
        Ok(())
    })?;
    Ok(payout(month, &tallies, &reference)?)
}

/// The largest `most` lines of each kind, and the check line.
pub fn print(payout: &Payout, most: usize) -> Result<()> {
    let amount = |money: Money| thousands(money.amount());
    let mut out = stdout();
    let mut streamers: Vec<_> = payout.streamers.iter().collect();
    streamers.sort_by_key(|line| std::cmp::Reverse(line.amount.minor()));
    let rows = streamers
        .iter()
        .take(most)
        .map(|line| vec![line.streamer.to_string(), thousands(line.base), line.share.to_string(), amount(line.amount)]);
    let currency = payout.currency.to_string();
    writeln!(out, "{}", table(&["streamer", "base, coins", "share", &currency], &[1, 2, 3], rows))?;
    if streamers.len() > most {
        writeln!(out, "and {} more", streamers.len() - most)?;
    }
    if !payout.guilds.is_empty() {
        let rows = payout.guilds.iter().map(|line| {
            vec![line.guild.to_string(), thousands(line.base), line.share.to_string(), amount(line.amount)]
        });
        writeln!(out, "{}", table(&["guild", "base, coins", "share", &currency], &[1, 2, 3], rows))?;
    }
    let check = &payout.check;
    writeln!(
        out,
        "check: streamers {} + guilds {} + platform {} = worth of the base {} {}",
        amount(check.streamers),
        amount(check.guilds),
        amount(check.platform),
        amount(check.worth),
        if check.ties() { "(ties)".to_owned() } else { format!("(DIFFERS by {})", amount(check.difference)) }
    )?;
    writeln!(out, "digest {}", payout.digest())?;
    out.flush()?;
    Ok(())
}
