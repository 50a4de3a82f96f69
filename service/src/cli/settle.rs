//! `settle`: what a month pays.

use std::io::Write;

use anyhow::Result;
use projections::Payout;
use schemas::Money;

use super::{Ended, Global};
use crate::{
    app::questions::settlement::{Answer, Question},
    local_time::local,
    output::{print_json, say, stdout, table, thousands},
};

/// Calculate what a month pays.
///
/// Streamers, guilds and the platform, with a check line.
#[derive(Debug, clap::Args)]
pub struct Settle {
    #[command(flatten)]
    question: Question,
    /// Calculate and print; nothing is recorded.
    #[arg(long, required = true)]
    dry_run: bool,
}

impl Settle {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let answer = global.home()?.ask(&self.question)?;
        let Answer { payout, position, as_of, .. } = &answer;
        if global.json {
            print_json(&answer)?;
        } else {
            print(payout, usize::MAX)?;
            let records: u64 = position.shards.iter().map(|shard| shard.sequence).sum();
            let (version, zone) = (payout.reference_version, payout.zone);
            let holds = format!("{} ({})", local(*as_of, zone), zone.name());
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
