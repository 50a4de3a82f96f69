//! `balance`: what accounts hold.

use std::io::Write;

use anyhow::{Result, bail};
use projections::{AccountHistory, Accounts};
use replay::AsOf;
use schemas::{Account, Asset, Timestamp};
use serde::Serialize;

use super::{Ended, Global};
use crate::output::{json_line, stdout, table, thousands};

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
    /// Every change of the one account as well.
    #[arg(long)]
    history: bool,
    /// As of a time or a position `<shard>-<sequence>`.
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<AsOf>,
}

/// A balance as scripts read it.
#[derive(Debug, Serialize)]
struct Line<'a> {
    account: &'a Account,
    asset: String,
    balance: serde_json::Value,
}

/// A change of an account as scripts read it.
#[derive(Debug, Serialize)]
struct Change {
    time: Timestamp,
    record: String,
    event: &'static str,
    asset: String,
    amount: serde_json::Value,
    balance: serde_json::Value,
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
        let mut accounts = Accounts::new();
        global.ledger().fold(as_of, |record| {
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
                    &Line { account: &account, asset: asset.to_string(), balance: number(asset, balance) },
                )?;
            }
        } else {
            let rows = lines.into_iter().map(|(account, asset, balance)| {
                vec![account.to_string(), thousands(asset.show(balance)), asset.to_string()]
            });
            writeln!(out, "{}", table(&["account", "balance", "asset"], &[1], rows))?;
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
                        record: format!("{}-{}", line.shard, line.sequence),
                        event: line.event,
                        asset: line.asset.to_string(),
                        amount: number(line.asset, line.amount),
                        balance: number(line.asset, line.balance),
                    },
                )?;
            }
        } else {
            let rows = lines.iter().map(|line| {
                let show = |amount| thousands(line.asset.show(amount));
                let place = format!("{}-{}", line.shard, line.sequence);
                vec![line.time.to_string(), place, line.event.to_string(), show(line.amount), show(line.balance)]
            });
            writeln!(out, "{}", table(&["time", "record", "event", "change", "balance"], &[3, 4], rows))?;
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

/// Coins as a whole number where JSON readers hold it exactly, money as a string at its scale.
fn number(asset: Asset, balance: i128) -> serde_json::Value {
    match (asset, i64::try_from(balance)) {
        (Asset::Coin, Ok(coins)) => coins.into(),
        _ => asset.show(balance).into(),
    }
}
