//! What accounts hold, and how that came about.

use std::borrow::Cow;

use projections::{AccountHistory, Accounts};
use replay::AsOf;
use schemars::JsonSchema;
use schemas::{Account, Asset, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};

use crate::app::{Error, Ledger, Result, asked};

/// Balances: plus is what is owed to the account's holder, minus what the account has put in or owes.
#[derive(Debug, clap::Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Balances {
    /// Accounts such as user:u1, streamer:s1:turnover, channel:apple:receivable, platform:issued. One that nothing was
    /// posted to holds no coins.
    #[serde(default, deserialize_with = "read_accounts")]
    #[schemars(with = "Option<String>")]
    pub accounts: Vec<Account>,
    /// All accounts that are not zero.
    #[arg(long, conflicts_with = "accounts")]
    #[serde(default)]
    pub all: bool,
    /// Of all, those at zero as well.
    #[arg(long, requires = "all")]
    #[serde(default)]
    pub zeros: bool,
    /// As of a time of recording or a position `<shard>-<sequence>`: what was recorded by then, whenever
    /// it happened.
    #[arg(long, value_name = "MOMENT")]
    #[serde(default, deserialize_with = "asked::optional")]
    #[schemars(with = "Option<asked::Moment>")]
    pub as_of: Option<AsOf>,
}

/// Accounts with commas between them: no account's name has one.
fn read_accounts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Account>, D::Error> {
    let split = |text: &str| text.split(',').map(str::parse).collect::<Result<Vec<Account>, _>>();
    Ok(asked::optional_by(deserializer, split)?.unwrap_or_default())
}

/// The balances that were asked for.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Balances")]
pub struct Held {
    /// The clock of the answer.
    pub as_of: Timestamp,
    pub balances: Vec<Line>,
}

/// A balance.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AccountBalance")]
pub struct Line {
    pub account: Account,
    pub asset: String,
    /// A sum: a decimal string, whatever the asset.
    pub balance: String,
}

impl Balances {
    /// Folds the log.
    ///
    /// # Errors
    /// [`Error::Unasked`] if no account is named, nor all, or both.
    pub fn ask(&self, ledger: &Ledger) -> Result<Held> {
        if self.accounts.is_empty() != self.all || self.zeros && !self.all {
            return Err(Error::Unasked("name an account, such as user:u1, or ask for `all`".to_owned()));
        }
        let mut accounts = Accounts::new();
        let as_of = ledger.fold(self.as_of.unwrap_or(AsOf::End), |record| {
            accounts.apply(record);
        })?;
        let found: Vec<(Account, Asset, i128)> = match (self.all, self.zeros) {
            (false, _) => self.accounts.iter().flat_map(|account| held(&accounts, account)).collect(),
            (true, false) => accounts.iter().filter(|(_, _, balance)| *balance != 0).collect(),
            (true, true) => accounts.iter().collect(),
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
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Whose.
    pub account: Account,
    /// By what was recorded by then.
    #[serde(default, deserialize_with = "asked::optional")]
    #[schemars(with = "Option<asked::Moment>")]
    pub as_of: Option<AsOf>,
}

/// The most changes that one object has: some ten MB.
const MOST_CHANGES: usize = 100_000;

fn shown(history: &AccountHistory) -> Vec<Change> {
    let change = |line: &projections::HistoryLine| Change {
        time: line.time,
        occurred_at: line.happened_at,
        record: format!("{}-{}", line.shard, line.sequence),
        event: line.event.into(),
        asset: line.asset.to_string(),
        amount: line.asset.show(line.amount),
        balance: line.asset.show(line.balance),
    };
    history.lines().iter().map(change).collect()
}

/// The changes of an account.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AccountHistory")]
pub struct Changes {
    pub account: Account,
    /// In the order of recording.
    pub changes: Vec<Change>,
}

/// A change of an account.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AccountChange")]
pub struct Change {
    /// When it was recorded, which `as_of` goes by.
    pub time: Timestamp,
    /// When it happened, which months and books go by.
    pub occurred_at: Timestamp,
    pub record: String,
    pub event: Cow<'static, str>,
    pub asset: String,
    pub amount: String,
    pub balance: String,
}

impl History {
    /// Folds the log.
    ///
    /// # Errors
    /// [`Error::Unasked`] if there are more than [`MOST_CHANGES`] and others wait for the same ledger.
    pub fn answer(&self, ledger: &Ledger) -> Result<Changes> {
        let mut history = AccountHistory::new(self.account.clone());
        let most = if ledger.engine(None).is_some() { MOST_CHANGES } else { usize::MAX };
        ledger.fold_with(&mut ledger.read()?, self.as_of.unwrap_or(AsOf::End), |record| {
            history.apply(record);
            if history.count() <= most {
                return Ok(());
            }
            Err(Error::Unasked(format!(
                "{} has more than {MOST_CHANGES} changes: ask why it holds what it holds, which shows the newest, or \
                 follow the feed with `account`",
                self.account
            )))
        })?;
        Ok(Changes { account: self.account.clone(), changes: shown(&history) })
    }
}
