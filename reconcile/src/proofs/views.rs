//! The accounts, folds of the postings, against the states, folds of the events.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use ledger::State;
use projections::Accounts;
use schemas::{Account, Asset};

use super::transit::Transit;

/// The outcome for some shards. What their users hold stands in them alone; transit and totals mean
/// something only once all shards are added up.
pub(super) struct Views {
    pub users: Compared,
    pub holds: Compared,
    pub totals: BTreeMap<Asset, i128>,
    transit: HashMap<Account, i128>,
}

/// Accounts of one kind, compared both ways.
#[derive(Default)]
pub(super) struct Compared {
    /// How many accounts.
    pub count: u64,
    /// The first account, and what it holds by its postings, that the state says otherwise of.
    differs: Option<(Account, i128, i128)>,
    /// The first that the state knows and nothing was ever posted to.
    missing: Option<(Account, i128)>,
}

impl Views {
    pub fn of(states: &[State], accounts: &Accounts) -> Self {
        let users = || states.iter().flat_map(State::users);
        let wallets = || users().map(|(user, known)| (Account::User(user.clone()), known.wallet().balance()));
        let open = || users().flat_map(|(_, known)| known.open_orders());
        let holds = || open().map(|order| (Account::Held(order.id), order.left.signed()));
        Self {
            users: Compared::of(|| accounts.users(), |account| accounts.coins(account), wallets),
            holds: Compared::of(|| accounts.held(), |account| accounts.coins(account), holds),
            transit: accounts.transit().collect(),
            totals: accounts.totals(),
        }
    }

    /// Adds the views of other shards.
    pub fn add(&mut self, other: Self) {
        self.users.add(other.users);
        self.holds.add(other.holds);
        for (asset, total) in other.totals {
            *self.totals.entry(asset).or_default() += total;
        }
        for (account, coins) in other.transit {
            *self.transit.entry(account).or_default() += coins;
        }
    }

    /// What does not hold of these shards alone.
    pub fn fault(&self) -> Option<String> {
        self.users.fault().or_else(|| self.holds.fault())
    }

    /// The accounts in transit, against what the dispatches that are not taken carry.
    pub fn in_transit(&self, transit: &Transit) -> Compared {
        let carried = transit.carried();
        let accounts = || self.transit.iter().map(|(account, coins)| (account.clone(), *coins));
        Compared::of(
            accounts,
            |account| self.transit.get(account).copied(),
            || carried.iter().map(|(&(source, target), coins)| (Account::Transit { source, target }, *coins)),
        )
    }

    /// An asset whose accounts do not sum to zero.
    pub fn off(&self) -> Option<String> {
        let off = self.totals.iter().find(|(_, total)| **total != 0);
        off.map(|(asset, total)| format!("all accounts of {asset} sum to {total}"))
    }
}

impl Compared {
    /// `held` gives what accounts hold by their postings, `held_by` the same of one; what `state` does
    /// not name holds nothing by it.
    fn of<H: Iterator<Item = (Account, i128)>, S: Iterator<Item = (Account, i128)>>(
        held: impl Fn() -> H,
        held_by: impl Fn(&Account) -> Option<i128>,
        state: impl Fn() -> S,
    ) -> Self {
        let (mut agree, mut sound, mut missing) = (0_u64, true, None);
        for (account, state) in state() {
            match held_by(&account) {
                Some(held) => {
                    sound &= held == state;
                    agree += u64::from(held != 0);
                }
                None if state != 0 => first(&mut missing, (account, state)),
                None => {}
            }
        }
        let (mut count, mut hold_anything) = (0, 0);
        for (_, held) in held() {
            count += 1;
            hold_anything += u64::from(held != 0);
        }
        let mut differs = None;
        // Only what does not hold is worth looking up the other way round.
        if !sound || agree != hold_anything {
            let state: HashMap<Account, i128> = state().collect();
            for (account, held) in held() {
                let state = state.get(&account).copied().unwrap_or(0);
                if state != held {
                    first(&mut differs, (account, held, state));
                }
            }
        }
        Self { count, differs, missing }
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        other.differs.into_iter().for_each(|found| first(&mut self.differs, found));
        other.missing.into_iter().for_each(|found| first(&mut self.missing, found));
    }

    pub fn fault(&self) -> Option<String> {
        match (&self.differs, &self.missing) {
            (Some((account, held, state)), _) => {
                Some(format!("{account} holds {held} by its postings and {state} by the state"))
            }
            (None, Some((account, state))) => {
                Some(format!("{account} holds nothing by its postings and {state} by the state"))
            }
            (None, None) => None,
        }
    }
}

/// Keeps the lesser of what was found, so that the same is named in whatever order it is found.
fn first<T: Ord>(kept: &mut Option<T>, found: T) {
    if kept.as_ref().is_none_or(|kept| found < *kept) {
        *kept = Some(found);
    }
}
