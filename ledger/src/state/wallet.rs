//! A user's lots and debt.

use schemas::{Coins, Lot, LotId, Lots, Timestamp};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// A user's lots in burn order, and what the user owes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wallet {
    lots: SmallVec<[Lot; 1]>,
    /// Can exceed what one amount holds, if several payments were charged back.
    debt: u128,
}

impl Wallet {
    /// The lots in burn order, expired ones that no timer has taken yet included.
    pub fn lots(&self) -> &[Lot] {
        &self.lots
    }

    /// What the user owes.
    pub fn debt(&self) -> u128 {
        self.debt
    }

    /// What it adds up to, less the debt: the balance of the user's account.
    pub fn balance(&self) -> i128 {
        let lots: i128 = self.lots.iter().map(|lot| lot.coins.signed()).sum();
        lots - i128::try_from(self.debt).expect("a debt is a sum of payments, each below 2^53")
    }

    /// Whether it holds and owes nothing.
    pub fn is_empty(&self) -> bool {
        self.lots.is_empty() && self.debt == 0
    }

    /// The lot of that number.
    pub fn lot(&self, id: LotId) -> Option<&Lot> {
        self.lots.iter().find(|lot| lot.id == id)
    }

    /// What could be spent at `now` if there were no debt.
    pub fn available(&self, now: Timestamp) -> u128 {
        self.live(now).map(|lot| u128::from(lot.coins.get())).sum()
    }

    /// The lots that have not expired at `now`, in burn order.
    pub fn live(&self, now: Timestamp) -> impl DoubleEndedIterator<Item = &Lot> {
        self.lots.iter().filter(move |lot| !lot.kind.has_expired(now))
    }

    /// Takes coins out. Called with what a decision found there.
    pub(super) fn take(&mut self, taken: &[Lot]) {
        for piece in taken {
            let at = self.lots.iter().position(|lot| lot.id == piece.id);
            let at = at.expect("a record takes only what its decision found in the wallet");
            let lot = &mut self.lots[at];
            lot.coins = lot.coins.minus(piece.coins).expect("a record takes no more of a lot than there was");
            if lot.coins.is_zero() {
                self.lots.remove(at);
            }
        }
    }

    /// Puts coins in: a new lot, or what comes back to one.
    pub(super) fn put(&mut self, piece: Lot) {
        if piece.coins.is_zero() {
            return;
        }
        if let Some(lot) = self.lots.iter_mut().find(|lot| lot.id == piece.id) {
            lot.coins = lot.coins.plus(piece.coins).expect("a lot never exceeds what it began with");
        } else {
            let at = self.lots.partition_point(|lot| lot.burn_order() < piece.burn_order());
            self.lots.insert(at, piece);
        }
    }

    pub(super) fn owe(&mut self, coins: Coins) {
        self.debt += u128::from(coins.get());
    }

    pub(super) fn pay_debt(&mut self, coins: Coins) {
        let left = self.debt.checked_sub(coins.get().into());
        self.debt = left.expect("a record pays no more debt than there was");
    }
}

/// Takes up to `wanted` coins from `lots`, in their order: the pieces, and what was missing.
pub(crate) fn gather<'a>(lots: impl Iterator<Item = &'a Lot>, wanted: Coins) -> (Lots, Coins) {
    let (mut pieces, mut missing) = (Lots::new(), wanted);
    for lot in lots {
        if missing.is_zero() {
            break;
        }
        let coins = lot.coins.min(missing);
        pieces.push(Lot { coins, ..*lot });
        missing = missing.less(coins);
    }
    (pieces, missing)
}

/// Takes `wanted` coins out of `lots` from behind: the pieces in that order. There must be as many.
pub(crate) fn take_from_behind(lots: &mut Lots, wanted: Coins) -> Lots {
    let (pieces, missing) = gather(lots.iter().rev(), wanted);
    assert!(missing.is_zero(), "{wanted} coins of lots that hold {missing} fewer");
    for piece in &pieces {
        let last = lots.last_mut().expect("the pieces came from there");
        last.coins = last.coins.less(piece.coins);
        if last.coins.is_zero() {
            lots.pop();
        }
    }
    pieces
}
