//! What accounts hold, and how that came about.

use projections::{AccountHistory, Accounts};
use replay::AsOf;
use schemas::{Account, Asset, Timestamp};
use serde::Serialize;

use crate::app::{Ledger, Result};

/// Which accounts' balances.
#[derive(Debug)]
pub enum Which {
    /// Those; one that nothing was posted to holds no coins.
    Named(Vec<Account>),
    /// Each that is not zero.
    NotZero,
    /// Each that something was posted to.
    All,
}

/// Balances: plus is what is owed to the account's holder, minus what the account has put in or owes.
#[derive(Debug)]
pub struct Balances {
    /// Whose.
    pub which: Which,
    /// By what was recorded by then, whenever it happened.
    pub as_of: Option<AsOf>,
}

/// The balances that were asked for.
#[derive(Debug)]
pub struct Held {
    /// The clock of the answer.
    pub as_of: Timestamp,
    pub balances: Vec<Line>,
}

/// A balance.
#[derive(Debug, Serialize)]
pub struct Line {
    pub account: Account,
    pub asset: String,
    /// A sum: a decimal string, whatever the asset.
    pub balance: String,
}

impl Balances {
    /// Folds the log.
    pub fn ask(&self, ledger: &Ledger) -> Result<Held> {
        let mut accounts = Accounts::new();
        let as_of = ledger.fold(self.as_of.unwrap_or(AsOf::End), |record| {
            accounts.apply(record);
        })?;
        let found: Vec<(Account, Asset, i128)> = match &self.which {
            Which::Named(named) => named.iter().flat_map(|account| held(&accounts, account)).collect(),
            Which::NotZero => accounts.iter().filter(|(_, _, balance)| *balance != 0).collect(),
            Which::All => accounts.iter().collect(),
        };
        let shown = found.into_iter().map(|(account, asset, balance)| {
            let balance = asset.show(balance);
            Line { account, asset: asset.to_string(), balance }
        });
        Ok(Held { as_of, balances: shown.collect() })
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

/// Every change of an account, in the order of recording.
#[derive(Debug)]
pub struct History {
    /// Whose.
    pub account: Account,
    /// By what was recorded by then.
    pub as_of: Option<AsOf>,
}

/// A change of an account.
#[derive(Debug, Serialize)]
pub struct Change {
    /// When it was recorded, which `as_of` goes by.
    pub time: Timestamp,
    /// When it happened, which months and books go by.
    pub occurred_at: Timestamp,
    pub record: String,
    pub event: &'static str,
    pub asset: String,
    pub amount: String,
    pub balance: String,
}

impl History {
    /// Folds the log.
    pub fn ask(&self, ledger: &Ledger) -> Result<Vec<Change>> {
        let mut history = AccountHistory::new(self.account.clone());
        ledger.fold(self.as_of.unwrap_or(AsOf::End), |record| {
            history.apply(record);
        })?;
        let change = |line: &projections::HistoryLine| Change {
            time: line.time,
            occurred_at: line.happened_at,
            record: format!("{}-{}", line.shard, line.sequence),
            event: line.event,
            asset: line.asset.to_string(),
            amount: line.asset.show(line.amount),
            balance: line.asset.show(line.balance),
        };
        Ok(history.lines().iter().map(change).collect())
    }
}
