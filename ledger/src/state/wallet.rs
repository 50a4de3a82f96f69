//! A user's lots and debt, in 32 bytes for the many who hold one lot and owe nothing.

use schemas::{Coins, Lot, LotId, Lots, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeStruct};
use smallvec::SmallVec;

use super::packed::Packed;

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
    lots: Vec<Packed>,
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
        let lots: i128 = self.packed().map(|lot| lot.coins().signed()).sum();
        lots - i128::try_from(self.debt()).expect("a debt is a sum of payments, each below 2^53")
    }

    /// Whether it holds and owes nothing.
    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_none()
    }

    /// The lot of that number.
    pub fn lot(&self, id: LotId) -> Option<Lot> {
        self.packed().find(|lot| lot.id() == id).map(Packed::lot)
    }

    /// What there is of the lot that `piece` is of. By its place in the burn order, so in no time.
    pub fn same_lot(&self, piece: &Lot) -> Option<Lot> {
        self.position(piece).map(|at| self.nth(at).lot())
    }

    /// What could be spent at `now` if there were no debt.
    pub fn available(&self, now: Timestamp) -> u128 {
        self.live(now).map(|lot| u128::from(lot.coins.get())).sum()
    }

    /// The lots that have not expired at `now`, in burn order.
    pub fn live(&self, now: Timestamp) -> impl DoubleEndedIterator<Item = Lot> {
        self.lots().filter(move |lot| !lot.kind.has_expired(now))
    }

    /// Takes coins out. Called with what a decision found there.
    pub(super) fn take(&mut self, taken: &[Lot]) {
        for piece in taken {
            let at = self.position(piece).expect("a record takes only what its decision found in the wallet");
            let lot = self.at(at);
            let left = lot.coins().minus(piece.coins).expect("a record takes no more of a lot than there was");
            if left.is_zero() {
                self.remove(at);
            } else {
                *lot = lot.with(left);
            }
        }
    }

    /// Puts coins in: a new lot, or what comes back to one.
    pub(super) fn put(&mut self, piece: Lot) {
        if piece.coins.is_zero() {
            return;
        }
        if let Some(at) = self.position(&piece) {
            let lot = self.at(at);
            *lot = lot.with(lot.coins().plus(piece.coins).expect("a lot never exceeds what it began with"));
            return;
        }
        let Some(first) = self.first else {
            self.first = Some(piece.into());
            return;
        };
        let lots = &mut self.more.get_or_insert_default().lots;
        if piece.burn_order() < first.lot().burn_order() {
            lots.insert(0, first);
            self.first = Some(piece.into());
        } else {
            let at = lots.partition_point(|lot| lot.lot().burn_order() < piece.burn_order());
            lots.insert(at, piece.into());
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
        let behind = self.more.as_ref().map_or(&[][..], |more| &more.lots);
        self.first.iter().chain(behind).copied()
    }

    /// Where the lot stands that `piece` is of.
    fn position(&self, piece: &Lot) -> Option<usize> {
        let first = self.first?;
        if first.id() == piece.id {
            return Some(0);
        }
        let behind = self.more.as_ref().map_or(&[][..], |more| &more.lots);
        let wanted = piece.burn_order();
        let at = behind.binary_search_by(|lot| lot.lot().burn_order().cmp(&wanted)).ok()?;
        Some(at + 1)
    }

    /// The n-th lot, which is there.
    fn nth(&self, n: usize) -> Packed {
        self.packed().nth(n).expect("a lot at a position that was just found")
    }

    /// The n-th lot, which is there.
    fn at(&mut self, n: usize) -> &mut Packed {
        let lot = match (n, &mut self.more) {
            (0, _) => self.first.as_mut(),
            (_, Some(more)) => more.lots.get_mut(n - 1),
            (_, None) => None,
        };
        lot.expect("a lot was found there")
    }

    /// Takes the n-th lot away.
    fn remove(&mut self, n: usize) {
        match (n, &mut self.more) {
            (0, Some(more)) if !more.lots.is_empty() => self.first = Some(more.lots.remove(0)),
            (0, _) => self.first = None,
            (_, Some(more)) => drop(more.lots.remove(n - 1)),
            (_, None) => {}
        }
        self.forget_nothing();
    }

    /// Keeps no memory for what is not there.
    fn forget_nothing(&mut self) {
        if self.more.as_ref().is_some_and(|more| more.lots.is_empty() && more.debt == 0) {
            self.more = None;
        }
    }
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
            wallet.more = Some(Box::new(More { lots: packed.collect(), debt }));
        }
        Ok(wallet)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::LotKind;

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
                            prop_assert_eq!(wallet.lot(lot.id), naive.lots.iter().copied().find(|l| l.id == lot.id));
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
