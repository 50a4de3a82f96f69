//! `balance`: what accounts hold.

use std::io::Write;

use anyhow::{Result, bail};
use replay::AsOf;
use schemas::Account;

use super::{Ended, Global};
use crate::{
    app::questions::accounts::{Balances, History, Which},
    local_time::{local, titled},
    output::{json_line, stdout, table, thousands},
    words,
};

/// Show balances of accounts.
///
/// Plus is what is owed to the account's holder, minus what the account has put in or owes.
#[derive(Debug, clap::Args)]
pub struct Balance {
    /// Accounts such as user:u1, streamer:s1:turnover, channel:apple:receivable, platform:issued.
    accounts: Vec<Account>,
    /// All accounts that are not zero.
    #[arg(long, conflicts_with = "accounts")]
    all: bool,
    /// With --all, those at zero as well.
    #[arg(long, requires = "all")]
    zeros: bool,
    /// Every change of the one account, in the order of recording, with the time when it happened beside it.
    #[arg(long)]
    history: bool,
    /// As of a time of recording or a position `<shard>-<sequence>`: what was recorded by then, whenever
    /// it happened.
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<AsOf>,
}

impl Balance {
    pub fn run(self, global: &Global) -> Result<Ended> {
        if self.accounts.is_empty() && !self.all {
            bail!("name an account, such as user:u1, or ask for --all");
        }
        if self.history {
            return self.history(global);
        }
        let Self { as_of, .. } = self;
        let which = match (self.all, self.zeros) {
            (false, _) => Which::Named(self.accounts),
            (true, false) => Which::NotZero,
            (true, true) => Which::All,
        };
        let ledger = global.ledger_to_read();
        let held = Balances { which, as_of }.ask(&ledger)?;
        let mut out = stdout();
        if global.json {
            held.balances.iter().try_for_each(|balance| json_line(&mut out, balance))?;
        } else {
            let rows = held
                .balances
                .iter()
                .map(|held| vec![held.account.to_string(), thousands(&held.balance), held.asset.clone()]);
            writeln!(out, "{}", table(&["account", "balance", "asset"], &[1], rows))?;
            if let Some(as_of) = as_of {
                let zone = ledger.shown_zone(as_of)?;
                writeln!(out, "as of {} ({}), by when it was recorded", local(held.as_of, zone), zone.name())?;
            }
        }
        out.flush()?;
        Ok(Ended::Well)
    }

    fn history(&self, global: &Global) -> Result<Ended> {
        let [account] = &self.accounts[..] else { bail!("--history is of one account") };
        let ledger = global.ledger_to_read();
        let changes = History { account: account.clone(), as_of: self.as_of }.ask(&ledger)?;
        let mut out = stdout();
        if global.json {
            changes.iter().try_for_each(|change| json_line(&mut out, change))?;
        } else {
            let zone = ledger.shown_zone(self.as_of.unwrap_or(AsOf::End))?;
            let rows = changes.iter().map(|change| {
                let (recorded, happened) = (local(change.time, zone), local(change.occurred_at, zone));
                let (amount, balance) = (thousands(&change.amount), thousands(&change.balance));
                vec![recorded, happened, change.record.clone(), words::event(change.event), amount, balance]
            });
            let header = [&*titled("recorded", zone), "happened", "record", "event", "change", "balance"];
            writeln!(out, "{}", table(&header, &[4, 5], rows))?;
            writeln!(out, "in the order of recording, which --as-of goes by; months and books go by when it happened")?;
        }
        out.flush()?;
        Ok(Ended::Well)
    }
}
