//! A user's lots and debt, in 32 bytes for the many who hold one lot and owe nothing.

use std::cmp::Ordering;

use schemas::{Coins, Lot, Lots, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeStruct};
use smallvec::SmallVec;

use super::{packed::Packed, sorted::Sorted};

/// A user's lots in burn order, and what the user owes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wallet {
    /// The lot that burns first.
    first: Option<Packed>,
    /// Never there with nothing in it, so that equal wallets are equal field by field.
    more: Option<Box<More>>,
}

/// What few wallets have at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct More {
    /// The lots behind the first, in burn order; none without a first.
    lots: Sorted<Packed>,
    /// What they add up to.
    coins: u128,
    /// Can exceed what one amount holds, if several payments were charged back.
    debt: u128,
}

impl Wallet {
    /// The lots in burn order, expired ones that no timer has taken yet included.
    pub fn lots(&self) -> impl DoubleEndedIterator<Item = Lot> + Clone {
        self.packed().map(Packed::lot)
    }

    /// What the user owes.
    pub fn debt(&self) -> u128 {
        self.more.as_ref().map_or(0, |more| more.debt)
    }

    /// What it adds up to, less the debt: the balance of the user's account.
    pub fn balance(&self) -> i128 {
        let signed = |coins: u128| i128::try_from(coins).expect("a sum of amounts, each below 2^53");
        signed(self.coins()) - signed(self.debt())
    }

    /// Whether it holds and owes nothing.
    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_none()
    }

    /// What there is of the lot that `piece` is of. By its place in the burn order, so in no time.
    pub fn same_lot(&self, piece: &Lot) -> Option<Lot> {
        match self.first {
            Some(first) if first.id() == piece.id => Some(first.lot()),
            _ => self.more.as_ref()?.lots.get(place_of(piece)).map(|lot| lot.lot()),
        }
    }

    /// What could be spent at `now` if there were no debt.
    pub fn available(&self, now: Timestamp) -> u128 {
        let lapsed: u128 = self.lapsed(now).map(|lot| u128::from(lot.coins.get())).sum();
        self.coins() - lapsed
    }

    /// The lots that have not expired at `now`, in burn order.
    pub fn live(&self, now: Timestamp) -> impl DoubleEndedIterator<Item = Lot> {
        // What expires burns first, the soonest before the others: so what has expired stands before all else.
        let has_lapsed = move |lot: &Packed| lot.kind().has_expired(now);
        let first = self.first.filter(|lot| !has_lapsed(lot));
        let behind = self.more.as_ref().map(|more| more.lots.skipping(move |lot| first.is_none() && has_lapsed(lot)));
        first.into_iter().chain(behind.into_iter().flatten().copied()).map(Packed::lot)
    }

    /// The lot that burns first, if it has not expired at `now`.
    pub fn first_live(&self, now: Timestamp) -> Option<Lot> {
        self.first.filter(|lot| !lot.kind().has_expired(now)).map(Packed::lot)
    }

    /// The lots that have expired at `now` and that no timer has taken, in burn order.
    pub fn lapsed(&self, now: Timestamp) -> impl Iterator<Item = Lot> {
        self.lots().take_while(move |lot| lot.kind.has_expired(now))
    }

    /// What all lots add up to, expired ones included.
    fn coins(&self) -> u128 {
        let first = self.first.map_or(0, |lot| lot.coins().get());
        u128::from(first) + self.more.as_ref().map_or(0, |more| more.coins)
    }

    /// Takes coins out. Called with what a decision found there.
    pub(super) fn take(&mut self, taken: &[Lot]) {
        for piece in taken {
            let left = |there: Coins| there.minus(piece.coins).expect("a record takes no more of a lot than there was");
            if let Some(first) = self.first.filter(|first| first.id() == piece.id) {
                let left = left(first.coins());
                self.first = if left.is_zero() { self.pop_behind() } else { Some(first.with(left)) };
                continue;
            }
            let found = self.more.as_mut().and_then(|more| more.take(piece, left));
            found.expect("a record takes only what its decision found in the wallet");
            self.forget_nothing();
        }
    }

    /// Puts coins in: a new lot, or what comes back to one.
    pub(super) fn put(&mut self, piece: Lot) {
        if piece.coins.is_zero() {
            return;
        }
        match self.first {
            None => self.first = Some(piece.into()),
            Some(first) if first.id() == piece.id => self.first = Some(first.with(both(first.coins(), piece.coins))),
            Some(first) if piece.burn_order() < first.lot().burn_order() => {
                self.first = Some(piece.into());
                self.more.get_or_insert_default().put(first.lot());
            }
            Some(_) => self.more.get_or_insert_default().put(piece),
        }
    }

    pub(super) fn owe(&mut self, coins: Coins) {
        if !coins.is_zero() {
            self.more.get_or_insert_default().debt += u128::from(coins.get());
        }
    }

    pub(super) fn pay_debt(&mut self, coins: Coins) {
        if !coins.is_zero() {
            let left = self.debt().checked_sub(coins.get().into());
            let left = left.expect("a record pays no more debt than there was");
            self.more.get_or_insert_default().debt = left;
            self.forget_nothing();
        }
    }

    fn packed(&self) -> impl DoubleEndedIterator<Item = Packed> + Clone {
        let behind = self.more.iter().flat_map(|more| more.lots.iter());
        self.first.iter().chain(behind).copied()
    }

    /// Takes out the first lot of those behind.
    fn pop_behind(&mut self) -> Option<Packed> {
        let more = self.more.as_mut()?;
        let lot = more.lots.pop_first();
        more.coins -= lot.map_or(0, |lot| lot.coins().get().into());
        self.forget_nothing();
        lot
    }

    /// Keeps no memory for what is not there.
    fn forget_nothing(&mut self) {
        if self.more.as_ref().is_some_and(|more| more.lots.is_empty() && more.debt == 0) {
            self.more = None;
        }
    }
}

impl More {
    fn put(&mut self, piece: Lot) {
        self.coins += u128::from(piece.coins.get());
        match self.lots.get_mut(place_of(&piece)) {
            Some(lot) => *lot = lot.with(both(lot.coins(), piece.coins)),
            None => self.lots.put(piece.into(), place_of(&piece)),
        }
    }

    /// Takes a piece of a lot that is there; `left` says what stays of it.
    fn take(&mut self, piece: &Lot, left: impl Fn(Coins) -> Coins) -> Option<()> {
        let lot = self.lots.get_mut(place_of(piece))?;
        let left = left(lot.coins());
        if left.is_zero() {
            self.lots.remove(place_of(piece));
        } else {
            *lot = lot.with(left);
        }
        self.coins -= u128::from(piece.coins.get());
        Some(())
    }
}

/// How lots compare with the one that `piece` is of.
fn place_of(piece: &Lot) -> impl Fn(&Packed) -> Ordering {
    let wanted = piece.burn_order();
    move |lot| lot.lot().burn_order().cmp(&wanted)
}

fn both(there: Coins, back: Coins) -> Coins {
    there.plus(back).expect("a lot never exceeds what it began with")
}

/// Takes up to `wanted` coins from `lots`, in their order: the pieces, and what was missing.
pub(crate) fn gather(lots: impl Iterator<Item = Lot>, wanted: Coins) -> (Lots, Coins) {
    let (mut pieces, mut missing) = (Lots::new(), wanted);
    for lot in lots {
        if missing.is_zero() {
            break;
        }
        let coins = lot.coins.min(missing);
        pieces.push(Lot { coins, ..lot });
        missing = missing.less(coins);
    }
    (pieces, missing)
}

/// The lots and the debt, however they are kept.
impl Serialize for Wallet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let lots: SmallVec<[Lot; 1]> = self.lots().collect();
        let mut wallet = serializer.serialize_struct("Wallet", 2)?;
        wallet.serialize_field("lots", &lots)?;
        wallet.serialize_field("debt", &self.debt())?;
        wallet.end()
    }
}

/// Refuses what no wallet is: lots without coins, or not in burn order.
impl<'de> Deserialize<'de> for Wallet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Wallet")]
        struct Plain {
            lots: SmallVec<[Lot; 1]>,
            debt: u128,
        }
        let Plain { lots, debt } = Plain::deserialize(deserializer)?;
        if lots.iter().any(|lot| lot.coins.is_zero()) || !lots.is_sorted_by(|a, b| a.burn_order() < b.burn_order()) {
            return Err(de::Error::custom("a wallet's lots have coins and stand in burn order"));
        }
        let mut packed = lots.into_iter().map(Packed::from);
        let mut wallet = Self { first: packed.next(), more: None };
        if debt > 0 || packed.len() > 0 {
            let lots: Vec<Packed> = packed.collect();
            let coins = lots.iter().map(|lot| u128::from(lot.coins().get())).sum();
            wallet.more = Some(Box::new(More { lots: lots.into(), coins, debt }));
        }
        Ok(wallet)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::{LotId, LotKind};

    use super::*;

    /// A wallet as plainly as can be.
    #[derive(Debug, Default)]
    struct Naive {
        lots: Vec<Lot>,
        debt: u128,
    }

    impl Naive {
        fn put(&mut self, piece: Lot) {
            match self.lots.iter_mut().find(|lot| lot.id == piece.id) {
                Some(lot) => lot.coins = lot.coins.plus(piece.coins).unwrap(),
                None if piece.coins.is_zero() => {}
                None => self.lots.push(piece),
            }
            self.lots.sort_by_key(Lot::burn_order);
        }

        fn take(&mut self, pieces: &[Lot]) {
            for piece in pieces {
                let lot = self.lots.iter_mut().find(|lot| lot.id == piece.id).unwrap();
                lot.coins = lot.coins.minus(piece.coins).unwrap();
            }
            self.lots.retain(|lot| !lot.coins.is_zero());
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put(Lot),
        /// So many coins of what is live at a time.
        Spend(u64, i64),
        /// So many of the n-th lot, at most all.
        TakeOf(usize, u64),
        Owe(u64),
        Pay(u64),
    }

    fn coins(coins: u64) -> Coins {
        Coins::new(coins).unwrap()
    }

    fn step() -> impl Strategy<Value = Step> {
        let expires = prop_oneof![Just(None), (0_i64..10).prop_map(|at| Some(Timestamp::from_nanos(at)))];
        let kind = prop_oneof![Just(LotKind::Paid), expires.prop_map(|expires| LotKind::Bonus { expires })];
        // A number always stands for the same kind, as it does on a log.
        let lot = (0_u64..6, 0_u8..2, 0_u64..50).prop_flat_map(move |(sequence, part, of)| {
            kind.clone().prop_map(move |kind| {
                let sequence = sequence * 1_000_000 + u64::from(kind_number(kind));
                Lot { id: LotId { sequence, part }, kind, coins: coins(of) }
            })
        });
        prop_oneof![
            4 => lot.prop_map(Step::Put),
            3 => (0_u64..80, -1_i64..11).prop_map(|(of, at)| Step::Spend(of, at)),
            2 => (0_usize..5, 1_u64..60).prop_map(|(n, of)| Step::TakeOf(n, of)),
            1 => (0_u64..30).prop_map(Step::Owe),
            1 => (0_u64..30).prop_map(Step::Pay),
        ]
    }

    fn kind_number(kind: LotKind) -> u32 {
        match kind {
            LotKind::Paid => 0,
            LotKind::Bonus { expires: None } => 1,
            LotKind::Bonus { expires: Some(at) } => u32::try_from(at.nanos() + 10).unwrap(),
        }
    }

    proptest! {
        #[test]
        fn a_wallet_is_a_sorted_list_of_lots(steps in prop::collection::vec(step(), 1..60)) {
            let (mut wallet, mut naive) = (Wallet::default(), Naive::default());
            for step in steps {
                match step {
                    Step::Put(lot) => {
                        wallet.put(lot);
                        naive.put(lot);
                    }
                    Step::Spend(of, at) => {
                        let now = Timestamp::from_nanos(at);
                        let live: Vec<Lot> = naive.lots.iter().copied().filter(|l| !l.kind.has_expired(now)).collect();
                        prop_assert_eq!(wallet.live(now).collect::<Vec<_>>(), &live[..]);
                        let available: u64 = live.iter().map(|lot| lot.coins.get()).sum();
                        prop_assert_eq!(wallet.available(now), u128::from(available));
                        let (pieces, missing) = gather(wallet.live(now), coins(of));
                        prop_assert_eq!(missing.get(), of.saturating_sub(available));
                        wallet.take(&pieces);
                        naive.take(&pieces);
                    }
                    Step::TakeOf(n, of) => {
                        if let Some(lot) = naive.lots.get(n).copied() {
                            let piece = Lot { coins: lot.coins.min(coins(of)), ..lot };
                            wallet.take(&[piece]);
                            naive.take(&[piece]);
                            prop_assert_eq!(wallet.same_lot(&lot), naive.lots.iter().copied().find(|l| l.id == lot.id));
                        }
                    }
                    Step::Owe(of) => {
                        wallet.owe(coins(of));
                        naive.debt += u128::from(of);
                    }
                    Step::Pay(of) => {
                        let of = of.min(naive.debt.try_into().unwrap());
                        wallet.pay_debt(coins(of));
                        naive.debt -= u128::from(of);
                    }
                }
                let seen: Vec<Lot> = wallet.lots().collect();
                prop_assert_eq!(&seen, &naive.lots);
                prop_assert!(wallet.lots().rev().eq(naive.lots.iter().rev().copied()));
                prop_assert_eq!(wallet.debt(), naive.debt);
                let held: i128 = naive.lots.iter().map(|lot| lot.coins.signed()).sum();
                prop_assert_eq!(wallet.balance(), held - i128::try_from(naive.debt).unwrap());
                prop_assert_eq!(wallet.is_empty(), naive.lots.is_empty() && naive.debt == 0);
                // Equal wallets are equal whichever way they came about.
                let bytes = postcard::to_stdvec(&wallet).unwrap();
                prop_assert_eq!(&bytes, &postcard::to_stdvec(&(&naive.lots, naive.debt)).unwrap());
                prop_assert_eq!(&postcard::from_bytes::<Wallet>(&bytes).unwrap(), &wallet);
            }
        }
    }

    #[test]
    fn bytes_of_no_wallet_are_refused() {
        let lot = |sequence, of| Lot { id: LotId { sequence, part: 0 }, kind: LotKind::Paid, coins: coins(of) };
        for lots in [vec![lot(1, 0)], vec![lot(2, 5), lot(1, 5)], vec![lot(1, 5), lot(1, 5)]] {
            let bytes = postcard::to_stdvec(&(&lots, 0_u128)).unwrap();
            assert!(postcard::from_bytes::<Wallet>(&bytes).is_err(), "{lots:?}");
        }
    }
}
