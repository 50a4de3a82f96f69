//! The accounts that a journal has named, with their balances. The account that opening balances stand
//! against is not among them: its own balance is kept beside.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use hashbrown::{HashMap, HashSet, hash_map::Entry};
use schemas::{Account, Asset, Posting};
use smallvec::SmallVec;

use super::Opening;

/// What is kept while a journal is written.
#[derive(Debug, Default)]
pub(super) struct Opened {
    accounts: HashMap<Account, State, foldhash::fast::RandomState>,
    assets: HashSet<Asset, foldhash::fast::RandomState>,
    last_day: Option<NaiveDate>,
    /// By asset what opening balances have left on the account that they stand against.
    against: BTreeMap<Asset, i128>,
}

#[derive(Debug)]
struct State {
    balances: SmallVec<[(Asset, i128); 1]>,
    last_day: NaiveDate,
}

/// What an account holds of an asset.
pub(super) type Balance<'a> = (&'a Account, Asset, i128);

/// What a posting did to its account.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It is the first one there.
    Opens,
    /// Nothing special.
    Moves,
    /// It was the last one of a hold, whose latest posting is of that day.
    Ends(NaiveDate),
}

impl Opened {
    /// Takes what an account held when the books were opened. Whether it is the first opening balance.
    pub fn open(&mut self, opening: &Opening<'_>) -> bool {
        let first = self.against.is_empty();
        self.last_day = self.last_day.max(Some(opening.day));
        let state = self.accounts.entry(opening.account.clone());
        let state = state.or_insert_with(|| State { balances: SmallVec::new(), last_day: opening.day });
        state.balances.push((opening.asset, opening.balance)); // each asset of an account comes once
        *self.against.entry(opening.asset).or_default() -= opening.balance;
        first
    }

    /// What the opening balances have left on the account that they stand against; nothing where there
    /// were none.
    pub fn against(&self) -> impl Iterator<Item = (Asset, i128)> {
        self.against.iter().map(|(asset, balance)| (*asset, *balance))
    }

    /// Takes a posting of `day`.
    pub fn post(&mut self, posting: &Posting, day: NaiveDate) -> Effect {
        self.last_day = self.last_day.max(Some(day));
        let amount = i128::from(posting.amount);
        let mut entry = match self.accounts.entry(posting.account.clone()) {
            Entry::Vacant(vacant) => {
                let mut balances = SmallVec::new();
                balances.push((posting.asset, amount));
                vacant.insert(State { balances, last_day: day });
                return Effect::Opens;
            }
            Entry::Occupied(occupied) => occupied,
        };
        let state = entry.get_mut();
        state.last_day = state.last_day.max(day);
        match state.balances.iter_mut().find(|(asset, _)| *asset == posting.asset) {
            Some((_, balance)) => *balance += amount,
            None => state.balances.push((posting.asset, amount)),
        }
        let (last_day, empty) = (state.last_day, state.balances.iter().all(|(_, balance)| *balance == 0));
        if empty && matches!(posting.account, Account::Held(_)) {
            entry.remove();
            return Effect::Ends(last_day);
        }
        Effect::Moves
    }

    /// Whether an asset occurs for the first time.
    pub fn is_new(&mut self, asset: Asset) -> bool {
        self.assets.insert(asset)
    }

    /// The day after the last entry, and what every account then holds, sorted; nothing where there
    /// was no entry.
    pub fn closing(&self) -> Option<(NaiveDate, Vec<Balance<'_>>)> {
        let day = day_after(self.last_day?);
        let balances = |(account, state): (_, &State)| {
            let lines = state.balances.iter().map(move |&(asset, balance)| (account, asset, balance));
            lines.collect::<SmallVec<[_; 1]>>()
        };
        let mut lines: Vec<_> = self.accounts.iter().flat_map(balances).collect();
        lines.sort_unstable();
        Some((day, lines))
    }
}

pub(super) fn day_after(day: NaiveDate) -> NaiveDate {
    day.succ_opt().expect("records end in the year 2262")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::day;

    fn posting(account: &str, amount: i64) -> Posting {
        Posting { account: account.parse().unwrap(), asset: Asset::Coin, amount }
    }

    #[test]
    fn a_hold_is_forgotten_when_it_ends_and_names_its_latest_day() {
        let mut opened = Opened::default();
        let (earlier, later) = (day("2026-11-01"), day("2026-11-02"));
        assert_eq!(opened.closing(), None);
        assert_eq!(opened.post(&posting("held:0-1", 7), later), Effect::Opens);
        assert_eq!(opened.post(&posting("user:u1", 5), earlier), Effect::Opens);
        assert_eq!(opened.post(&posting("user:u1", -5), earlier), Effect::Moves);
        assert_eq!(opened.post(&posting("held:0-1", -7), earlier), Effect::Ends(later));
        let user = "user:u1".parse().unwrap();
        assert_eq!(opened.closing(), Some((day("2026-11-03"), vec![(&user, Asset::Coin, 0)])));
    }
}
