//! `balance`: what accounts hold.

use std::io::Write;

use anyhow::{Result, bail};

use super::{Ended, Global};
use crate::{
    app::questions::accounts::{Balances, History},
    local_time::{local, titled},
    output::{json_line, stdout, table, thousands},
    words,
};

/// Show balances of accounts.
///
/// Plus is what is owed to the account's holder, minus what the account has put in or owes.
#[derive(Debug, clap::Args)]
pub struct Balance {
    #[command(flatten)]
    question: Balances,
    /// Every change of the one account, in the order of recording, with the time when it happened beside it.
    #[arg(long)]
    history: bool,
}

impl Balance {
    pub fn run(self, global: &Global) -> Result<Ended> {
        if self.history {
            return self.history(global);
        }
        let home = global.home()?;
        let held = home.ask(&self.question)?;
        let mut out = stdout();
        if global.json {
            held.balances.iter().try_for_each(|balance| json_line(&mut out, balance))?;
        } else {
            let rows = held
                .balances
                .iter()
                .map(|held| vec![held.account.to_string(), thousands(&held.balance), held.asset.clone()]);
            writeln!(out, "{}", table(&["account", "balance", "asset"], &[1], rows))?;
            if let Some(as_of) = self.question.as_of {
                let zone = home.shown_zone(Some(as_of))?;
                writeln!(out, "as of {} ({}), by when it was recorded", local(held.as_of, zone), zone.name())?;
            }
        }
        out.flush()?;
        Ok(Ended::Well)
    }

    fn history(&self, global: &Global) -> Result<Ended> {
        let Balances { accounts, as_of, .. } = &self.question;
        let [account] = &accounts[..] else { bail!("--history is of one account") };
        let home = global.home()?;
        let changes = home.ask(&History { account: account.clone(), as_of: *as_of })?.changes;
        let mut out = stdout();
        if global.json {
            changes.iter().try_for_each(|change| json_line(&mut out, change))?;
        } else {
            let zone = home.shown_zone(*as_of)?;
            let rows = changes.iter().map(|change| {
                let (recorded, happened) = (local(change.time, zone), local(change.occurred_at, zone));
                let (amount, balance) = (thousands(&change.amount), thousands(&change.balance));
                vec![recorded, happened, change.record.clone(), words::event(&change.event), amount, balance]
            });
            let header = [&*titled("recorded", zone), "happened", "record", "event", "change", "balance"];
            writeln!(out, "{}", table(&header, &[4, 5], rows))?;
            writeln!(out, "in the order of recording, which --as-of goes by; months and books go by when it happened")?;
        }
        out.flush()?;
        Ok(Ended::Well)
    }
}
