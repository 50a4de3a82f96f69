//! `settle`: what a month pays.

use std::io::Write;

use anyhow::{Context, Result, bail};
use ledger::log::{Head, ShardHead};
use projections::{Payout, Reference, Tallies, payout};
use replay::AsOf;
use schemas::{Hash, Money, Month, Timestamp};
use serde::Serialize;

use super::{Ended, Global};
use crate::{
    ledger_dir::LedgerDir,
    local_time::local,
    output::{print_json, say, stdout, table, thousands},
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
    /// The instant whose terms were used: with it as `--as-of` the same comes out again.
    as_of: Timestamp,
    /// How far each shard was read for it.
    position: &'a Head,
}

impl Settle {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let calculated = calculate(&global.ledger(), self.month, self.as_of.unwrap_or(AsOf::End))?;
        let Calculated { payout, position, as_of } = calculated;
        if global.json {
            print_json(&Shown { payout: &payout, digest: payout.digest(), as_of, position: &position })?;
        } else {
            print(&payout, usize::MAX)?;
            let records: u64 = position.shards.iter().map(|shard| shard.sequence).sum();
            let (version, zone) = (payout.reference_version, payout.zone);
            let holds = format!("{} ({})", local(as_of, zone), zone.name());
            say(&format_args!(
                "calculated from the first {} records of ledger {}, by version {version} of the terms, which holds at \
                 {holds}; --json names each shard's position and hash",
                thousands(records),
                position.lineage
            ))?;
        }
        Ok(Ended::with(payout.check.ties()))
    }
}

/// A payout, and how far the log was read for it.
pub struct Calculated {
    pub payout: Payout,
    pub position: Head,
    /// The clock of the answer: the terms are those that hold at this instant.
    pub as_of: Timestamp,
}

/// Folds the terms, then the tallies in their zone, both up to the same place.
pub fn calculate(ledger: &LedgerDir, month: Month, as_of: AsOf) -> Result<Calculated> {
    let mut reader = ledger.read()?;
    let clock = LedgerDir::clock(&mut reader, as_of)?;
    let mut reference = Reference::new();
    let mut position: Vec<ShardHead> = vec![ShardHead::default(); reader.shards().into()];
    for record in replay::records(&mut reader, as_of)? {
        let record = record?;
        reference.apply(&record);
        position[usize::from(record.shard)].sequence = record.sequence;
    }
    let reference = reference.at(clock);
    let Some(entity) = reference.entity() else {
        bail!(
            "no entity is published that holds at {clock}, so there is no currency to pay in; apply a platform file \
             with [entity]"
        )
    };
    let mut tallies = Tallies::new(entity.zone.0);
    for record in replay::records(&mut reader, as_of)? {
        tallies.apply(&record?);
    }
    for (shard, head) in (0..).zip(&mut position) {
        head.hash = reader.hash_at(shard, head.sequence)?.context("the log was read up to there")?;
    }
    let position = Head { lineage: reader.head().lineage, shards: position };
    Ok(Calculated { payout: payout(month, &tallies, &reference)?, position, as_of: clock })
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
    if payout.platform.minor() < 0 {
        writeln!(out, "! nothing is left for the platform: shares, or what was refunded, are more than the base")?;
    }
    writeln!(out, "digest {}", payout.digest())?;
    out.flush()?;
    Ok(())
}
