//! Balances of all accounts, and the history of one. Signs as in [`schemas::Account`]: plus is what
//! the platform owes to the holder.

use std::collections::BTreeMap;

use hashbrown::{HashMap, hash_map::Entry};
use ledger::{postings, postings_of};
use schemas::{Account, Asset, Record, Shard, Timestamp};
use smallvec::{SmallVec, smallvec};

/// What every account holds: the sum of its postings.
///
/// An account stays listed once something was posted to it, with 0 where nothing is left; only a
/// hold's account goes when the hold has ended, so that finished game orders cost no memory.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    balances: HashMap<Account, Balances, foldhash::fast::RandomState>,
}

/// The balances of one account; nearly always of one asset.
type Balances = SmallVec<[(Asset, i128); 1]>;

impl Accounts {
    /// Before the first record.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the postings of a record.
    pub fn apply(&mut self, record: &Record) {
        for posting in postings(record) {
            let amount = i128::from(posting.amount);
            match self.balances.entry(posting.account) {
                Entry::Vacant(vacant) => {
                    vacant.insert(smallvec![(posting.asset, amount)]);
                }
                Entry::Occupied(mut occupied) => {
                    add(occupied.get_mut(), posting.asset, amount);
                    let over =
                        matches!(occupied.key(), Account::Held(_)) && occupied.get().iter().all(|(_, b)| *b == 0);
                    if over {
                        occupied.remove();
                    }
                }
            }
        }
    }

    /// What `account` holds, by asset; empty where nothing was ever posted.
    pub fn balance(&self, account: &Account) -> Vec<(Asset, i128)> {
        let mut balances = self.balances.get(account).map_or_else(Vec::new, |held| held.to_vec());
        balances.sort_unstable();
        balances
    }

    /// What `account` holds of `asset`.
    pub fn balance_in(&self, account: &Account, asset: Asset) -> i128 {
        let held = self.balances.get(account).into_iter().flatten();
        held.filter(|(of, _)| *of == asset).map(|(_, balance)| balance).sum()
    }

    /// Every account with each asset that it ever held, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&Account, Asset, i128)> {
        let mut lines: Vec<_> = self
            .balances
            .iter()
            .flat_map(|(account, held)| held.iter().map(move |&(asset, balance)| (account, asset, balance)))
            .collect();
        lines.sort_unstable();
        lines.into_iter()
    }

    /// The sum over all accounts, by asset: 0 for each, or the ledger is broken.
    pub fn totals(&self) -> BTreeMap<Asset, i128> {
        let mut totals = BTreeMap::new();
        for &(asset, balance) in self.balances.values().flatten() {
            *totals.entry(asset).or_default() += balance;
        }
        totals
    }

    /// How many accounts are listed.
    pub fn len(&self) -> usize {
        self.balances.len()
    }

    /// Whether nothing was ever posted.
    pub fn is_empty(&self) -> bool {
        self.balances.is_empty()
    }
}

fn add(held: &mut Balances, asset: Asset, amount: i128) {
    match held.iter_mut().find(|(of, _)| *of == asset) {
        Some((_, balance)) => *balance += amount,
        None => held.push((asset, amount)),
    }
}

/// How one account came to what it holds.
#[derive(Debug, Clone)]
pub struct AccountHistory {
    account: Account,
    lines: Vec<HistoryLine>,
}

/// One posting to an account. Lines sort by (time, shard, sequence, part), which orders all records.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryLine {
    /// The ledger's clock when the record was decided.
    pub time: Timestamp,
    /// The record's shard.
    pub shard: Shard,
    /// Its sequence in the shard.
    pub sequence: u64,
    /// The event's place in its atomic group, 0 where there is none.
    pub part: u8,
    /// The posting's place among the event's postings to this account.
    pub line: u8,
    /// When it happened.
    pub happened_at: Timestamp,
    /// The event's name in JSON.
    pub event: &'static str,
    /// What was posted.
    pub asset: Asset,
    /// How much.
    pub amount: i128,
    /// What the account holds of the asset from then on.
    pub balance: i128,
}

impl AccountHistory {
    /// The history of `account` before the first record.
    pub fn new(account: Account) -> Self {
        Self { account, lines: Vec::new() }
    }

    /// Takes the postings of a record that concern the account.
    pub fn apply(&mut self, record: &Record) {
        for (part, event) in record.events() {
            let own = postings_of(record, part, event).into_iter().filter(|posting| posting.account == self.account);
            for (line, posting) in (0..).zip(own) {
                self.lines.push(HistoryLine {
                    time: record.time,
                    shard: record.shard,
                    sequence: record.sequence,
                    part,
                    line,
                    happened_at: record.happened_at(),
                    event: event.kind(),
                    asset: posting.asset,
                    amount: posting.amount.into(),
                    balance: 0,
                });
            }
        }
    }

    /// The account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Its postings in the order of all records, each with the balance after it.
    pub fn lines(&self) -> Vec<HistoryLine> {
        let mut lines = self.lines.clone();
        lines.sort_unstable();
        let mut balances = Balances::new();
        for line in &mut lines {
            add(&mut balances, line.asset, line.amount);
            line.balance = balances.iter().filter(|(of, _)| *of == line.asset).map(|(_, balance)| balance).sum();
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample::{Sample, at, interleaved, worlds};

    fn fold<'a>(records: impl IntoIterator<Item = &'a Record>) -> Accounts {
        let mut accounts = Accounts::new();
        for record in records {
            accounts.apply(record);
        }
        accounts
    }

    fn account(text: &str) -> Account {
        text.parse().unwrap()
    }

    fn sample() -> Sample {
        let mut sample = Sample::new(16);
        sample.top_up("u1", 1_000, "10.00 CNY", "t1");
        sample.grant("u1", 50);
        let order = sample.gift("u1", at(1, 0), &[("s1", 300)], 200, 50);
        sample.refund(order, 100, at(2, 0));
        sample.hold("u2", 70);
        sample
    }

    #[test]
    fn balances_are_the_sum_of_the_postings() {
        let accounts = fold(&sample().records());
        let coins = |text| accounts.balance_in(&account(text), Asset::Coin);
        assert_eq!(coins("user:u1"), 1_000 + 50 - 250 + 100);
        assert_eq!(coins("streamer:s1:turnover"), 180);
        assert_eq!(coins("platform:gifts"), -50 + 20);
        assert_eq!(coins("platform:issued"), -1_000);
        let cny = Asset::Currency("CNY".parse().unwrap());
        assert_eq!(accounts.balance(&account("channel:apple:receivable")), [(cny, -1_000)]);
        assert_eq!(accounts.balance(&account("user:nobody")), []);
        assert_eq!(accounts.totals().into_iter().collect::<Vec<_>>(), [(Asset::Coin, 0), (cny, 0)]);
    }

    #[test]
    fn the_account_of_a_hold_goes_with_the_hold() {
        let mut sample = sample();
        let held = |accounts: &Accounts| accounts.iter().filter(|(a, ..)| matches!(a, Account::Held(_))).count();
        assert_eq!(held(&fold(&sample.records())), 1);
        sample.capture_all();
        let accounts = fold(&sample.records());
        assert_eq!(held(&accounts), 0);
        assert_eq!(accounts.balance_in(&account("provider:p1:payable"), Asset::Coin), 70);
    }

    #[test]
    fn a_history_shows_each_posting_with_its_running_balance() {
        let mut history = AccountHistory::new(account("user:u1"));
        sample().records().iter().rev().for_each(|record| history.apply(record)); // any order
        let lines: Vec<_> = history.lines().iter().map(|line| (line.event, line.amount, line.balance)).collect();
        assert_eq!(
            lines,
            [
                ("top_up_credited", 1_000, 1_000),
                ("granted", 50, 1_050),
                ("gift_given", -250, 800),
                ("refunded", 100, 900)
            ]
        );
    }

    proptest! {
        #[test]
        fn accounts_do_not_show_how_shards_interleave((sample, seed) in worlds()) {
            let (one, other) = (fold(&sample.records()), fold(&interleaved(&sample, seed)));
            prop_assert!(one.iter().eq(other.iter()));
            prop_assert!(one.totals().values().all(|total| *total == 0));
            let history = |records: &[Record]| {
                let mut history = AccountHistory::new(account("streamer:s1:turnover"));
                for record in records {
                    history.apply(record);
                }
                history.lines()
            };
            let lines = history(&sample.records());
            prop_assert_eq!(&lines, &history(&interleaved(&sample, seed)));
            let balance = one.balance_in(&account("streamer:s1:turnover"), Asset::Coin);
            prop_assert_eq!(lines.last().map_or(0, |line| line.balance), balance);
        }
    }
}
