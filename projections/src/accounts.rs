//! Balances of all accounts, and the history of one. Signs as in [`schemas::Account`]: plus is what
//! the platform owes to the holder.

use std::{collections::BTreeMap, hash::Hash};

use hashbrown::HashMap;
use ledger::{each_posting, postings_of};
use schemas::{
    Account, Asset, ChannelId, Currency, OrderId, Posting, ProviderId, Purpose, Record, Shard, StreamerId, Timestamp,
    UserId,
};
use smallvec::SmallVec;

/// What every account holds: the sum of its postings.
///
/// An account stays listed once something was posted to it, with 0 where nothing is left; only a
/// hold's account goes when the hold has ended, so that finished game orders cost no memory.
///
/// A million users are looked up at random, so coins lie in one map for each kind of account, by the
/// bare id: the fewer bytes an entry has, the more of them are in the cache.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    users: Coins<UserId>,
    held: Coins<OrderId>,
    streamers: Coins<StreamerId>,
    providers: Coins<ProviderId>,
    channels: Coins<ChannelId>,
    platform: Coins<Purpose>,
    /// By source and target.
    transit: Coins<(Shard, Shard)>,
    /// What is no coins, in the minor unit: few accounts, whatever their kind.
    money: BTreeMap<Account, BTreeMap<Currency, i128>>,
}

/// The coins of accounts of one kind.
type Coins<K> = HashMap<K, i128, foldhash::fast::RandomState>;

impl Accounts {
    /// Before the first record.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the postings of a record.
    pub fn apply(&mut self, record: &Record) {
        each_posting(record, |posting| self.post(posting));
    }

    /// Adds one posting.
    pub fn post(&mut self, posting: Posting) {
        let amount = i128::from(posting.amount);
        if let Asset::Currency(currency) = posting.asset {
            *self.money.entry(posting.account).or_default().entry(currency).or_default() += amount;
            return;
        }
        match posting.account {
            Account::User(user) => add(&mut self.users, user, amount),
            Account::Held(order) => {
                let held = self.held.entry(order).or_default();
                *held += amount;
                if *held == 0 {
                    self.held.remove(&order);
                }
            }
            Account::StreamerTurnover(streamer) => add(&mut self.streamers, streamer, amount),
            Account::ProviderPayable(provider) => add(&mut self.providers, provider, amount),
            Account::ChannelReceivable(channel) => add(&mut self.channels, channel, amount),
            Account::Platform(purpose) => add(&mut self.platform, purpose, amount),
            Account::Transit { source, target } => add(&mut self.transit, (source, target), amount),
        }
    }

    /// What `account` holds, by asset; empty where nothing was ever posted.
    pub fn balance(&self, account: &Account) -> Vec<(Asset, i128)> {
        let coins = self.coins(account).map(|coins| (Asset::Coin, coins));
        let money = self.money.get(account).into_iter().flatten();
        coins.into_iter().chain(money.map(|(currency, balance)| (Asset::Currency(*currency), *balance))).collect()
    }

    /// What `account` holds of `asset`.
    pub fn balance_in(&self, account: &Account, asset: Asset) -> i128 {
        let balance = match asset {
            Asset::Coin => self.coins(account),
            Asset::Currency(currency) => self.money.get(account).and_then(|held| held.get(&currency).copied()),
        };
        balance.unwrap_or(0)
    }

    /// The coins of `account`; none where none were ever posted.
    pub fn coins(&self, account: &Account) -> Option<i128> {
        let coins = match account {
            Account::User(user) => self.users.get(user),
            Account::Held(order) => self.held.get(order),
            Account::StreamerTurnover(streamer) => self.streamers.get(streamer),
            Account::ProviderPayable(provider) => self.providers.get(provider),
            Account::ChannelReceivable(channel) => self.channels.get(channel),
            Account::Platform(purpose) => self.platform.get(purpose),
            Account::Transit { source, target } => self.transit.get(&(*source, *target)),
        };
        coins.copied()
    }

    /// Every account with each asset that it ever held, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (Account, Asset, i128)> {
        fn listed<K>(coins: &Coins<K>, account: impl Fn(&K) -> Account) -> impl Iterator<Item = (Account, i128)> {
            coins.iter().map(move |(holder, balance)| (account(holder), *balance))
        }
        let coins = self
            .users()
            .chain(self.held())
            .chain(self.transit())
            .chain(listed(&self.streamers, |streamer| Account::StreamerTurnover(streamer.clone())))
            .chain(listed(&self.providers, |provider| Account::ProviderPayable(provider.clone())))
            .chain(listed(&self.channels, |channel| Account::ChannelReceivable(channel.clone())))
            .chain(listed(&self.platform, |purpose| Account::Platform(*purpose)))
            .map(|(account, balance)| (account, Asset::Coin, balance));
        let money = self.money.iter().flat_map(|(account, held)| {
            held.iter().map(|(currency, balance)| (account.clone(), Asset::Currency(*currency), *balance))
        });
        let mut lines: Vec<_> = coins.chain(money).collect();
        lines.sort_unstable();
        lines.into_iter()
    }

    /// Whether a user's account is listed.
    pub fn has_user(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    /// The coins of each user's account, in no order.
    pub fn users(&self) -> impl Iterator<Item = (Account, i128)> {
        self.users.iter().map(|(user, coins)| (Account::User(user.clone()), *coins))
    }

    /// The coins of each account on hold, in no order.
    pub fn held(&self) -> impl Iterator<Item = (Account, i128)> {
        self.held.iter().map(|(order, coins)| (Account::Held(*order), *coins))
    }

    /// The coins between each two shards, in no order.
    pub fn transit(&self) -> impl Iterator<Item = (Account, i128)> {
        self.transit.iter().map(|(&(source, target), coins)| (Account::Transit { source, target }, *coins))
    }

    /// The sum over all accounts, by asset: 0 for each, or the ledger is broken.
    pub fn totals(&self) -> BTreeMap<Asset, i128> {
        let sums = [
            sum(&self.users),
            sum(&self.held),
            sum(&self.streamers),
            sum(&self.providers),
            sum(&self.channels),
            sum(&self.platform),
            sum(&self.transit),
        ];
        let mut totals = BTreeMap::new();
        for coins in sums.into_iter().flatten() {
            *totals.entry(Asset::Coin).or_default() += coins;
        }
        for (currency, balance) in self.money.values().flatten() {
            *totals.entry(Asset::Currency(*currency)).or_default() += *balance;
        }
        totals
    }

    /// How many accounts are listed.
    pub fn len(&self) -> usize {
        let coins = self.users.len()
            + self.held.len()
            + self.streamers.len()
            + self.providers.len()
            + self.channels.len()
            + self.platform.len()
            + self.transit.len();
        coins + self.money.keys().filter(|account| self.coins(account).is_none()).count()
    }

    /// Whether nothing was ever posted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn add<K: Hash + Eq>(coins: &mut Coins<K>, holder: K, amount: i128) {
    match coins.get_mut(&holder) {
        Some(balance) => *balance += amount,
        None => {
            coins.insert(holder, amount);
        }
    }
}

/// The sum of all balances; nothing where there is no account.
fn sum<K>(coins: &Coins<K>) -> Option<i128> {
    (!coins.is_empty()).then(|| coins.values().sum())
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

    /// How many postings it has so far.
    pub fn count(&self) -> usize {
        self.lines.len()
    }

    /// Its postings in the order of all records, each with the balance after it.
    pub fn lines(&self) -> Vec<HistoryLine> {
        let mut lines = self.lines.clone();
        lines.sort_unstable();
        let mut balances: SmallVec<[(Asset, i128); 1]> = SmallVec::new(); // nearly always of one asset
        for line in &mut lines {
            let at = balances.iter().position(|(of, _)| *of == line.asset).unwrap_or_else(|| {
                balances.push((line.asset, 0));
                balances.len() - 1
            });
            balances[at].1 += line.amount;
            line.balance = balances[at].1;
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
