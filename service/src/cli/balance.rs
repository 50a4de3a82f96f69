//! `balance`: what accounts hold.

use std::io::Write;

use anyhow::{Result, bail};
use projections::{AccountHistory, Accounts};
use replay::AsOf;
use schemas::{Account, Asset, Timestamp};
use serde::Serialize;

use super::{Ended, Global};
use crate::{
    local_time::{local, titled},
    output::{json_line, stdout, table, thousands},
    words,
};

/// Show balances: plus is what is owed to the account's holder, minus what the account has put in or owes.
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

/// A balance as scripts read it.
#[derive(Debug, Serialize)]
struct Line<'a> {
    account: &'a Account,
    asset: String,
    /// A sum: a decimal string, whatever the asset.
    balance: String,
}

/// A change of an account as scripts read it.
#[derive(Debug, Serialize)]
struct Change {
    /// When it was recorded, which `--as-of` goes by.
    time: Timestamp,
    /// When it happened, which months and books go by.
    occurred_at: Timestamp,
    record: String,
    event: &'static str,
    asset: String,
    amount: String,
    balance: String,
}

impl Balance {
    pub fn run(self, global: &Global) -> Result<Ended> {
        if self.accounts.is_empty() && !self.all {
            bail!("name an account, such as user:u1, or ask for --all");
        }
        let as_of = self.as_of.unwrap_or(AsOf::End);
        if self.history {
            return self.history(global, as_of);
        }
        let (ledger, mut accounts) = (global.ledger(), Accounts::new());
        let clock = ledger.fold(as_of, |record| {
            accounts.apply(record);
            Ok(())
        })?;
        let lines: Vec<(Account, Asset, i128)> = if self.all {
            accounts.iter().filter(|(_, _, balance)| self.zeros || *balance != 0).collect()
        } else {
            self.accounts.iter().flat_map(|account| held(&accounts, account)).collect()
        };
        let mut out = stdout();
        if global.json {
            for (account, asset, balance) in lines {
                json_line(
                    &mut out,
                    &Line { account: &account, asset: asset.to_string(), balance: asset.show(balance) },
                )?;
            }
        } else {
            let rows = lines.into_iter().map(|(account, asset, balance)| {
                vec![account.to_string(), thousands(asset.show(balance)), asset.to_string()]
            });
            writeln!(out, "{}", table(&["account", "balance", "asset"], &[1], rows))?;
            if self.as_of.is_some() {
                let zone = ledger.shown_zone(as_of)?;
                writeln!(out, "as of {} ({}), by when it was recorded", local(clock, zone), zone.name())?;
            }
        }
        out.flush()?;
        Ok(Ended::Well)
    }

    fn history(&self, global: &Global, as_of: AsOf) -> Result<Ended> {
        let [account] = &self.accounts[..] else { bail!("--history is of one account") };
        let mut history = AccountHistory::new(account.clone());
        global.ledger().fold(as_of, |record| {
            history.apply(record);
            Ok(())
        })?;
        let mut out = stdout();
        let lines = history.lines();
        if global.json {
            for line in &lines {
                json_line(
                    &mut out,
                    &Change {
                        time: line.time,
                        occurred_at: line.happened_at,
                        record: format!("{}-{}", line.shard, line.sequence),
                        event: line.event,
                        asset: line.asset.to_string(),
                        amount: line.asset.show(line.amount),
                        balance: line.asset.show(line.balance),
                    },
                )?;
            }
        } else {
            let zone = global.ledger().shown_zone(as_of)?;
            let rows = lines.iter().map(|line| {
                let show = |amount| thousands(line.asset.show(amount));
                let place = format!("{}-{}", line.shard, line.sequence);
                let (recorded, happened) = (local(line.time, zone), local(line.happened_at, zone));
                let (change, balance) = (show(line.amount), show(line.balance));
                vec![recorded, happened, place, words::event(line.event), change, balance]
            });
            let header = [&*titled("recorded", zone), "happened", "record", "event", "change", "balance"];
            writeln!(out, "{}", table(&header, &[4, 5], rows))?;
            writeln!(out, "in the order of recording, which --as-of goes by; months and books go by when it happened")?;
        }
        out.flush()?;
        Ok(Ended::Well)
    }
}

/// An account that nothing was posted to holds no coins.
fn held(accounts: &Accounts, account: &Account) -> Vec<(Account, Asset, i128)> {
    let held = accounts.balance(account);
    if held.is_empty() {
        return vec![(account.clone(), Asset::Coin, 0)];
    }
    held.into_iter().map(|(asset, balance)| (account.clone(), asset, balance)).collect()
}
