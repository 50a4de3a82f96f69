//! Refunds, in part or whole, and their roll-back.

use std::collections::BTreeMap;

use schemas::{
    Coins, Event, Lot, LotId, Lots, Refund, RefundRolledBack, Refunded, Rejection, RollBackRefund, Status, Unlapsed,
    coins_of, shares_between,
};

use super::{Decided, Desk, PastRefund, hold::Step};
use crate::state::gather;

impl Desk<'_> {
    pub(super) fn refund(&self, refund: &Refund) -> Result<Decided, Rejection> {
        let mut order = self.stepped(Step::Refund)?;
        let coins = refund.coins.unwrap_or(order.left);
        if coins > order.left || coins.is_zero() {
            return Err(Rejection::ExceedsLeft { left: order.left });
        }
        let before = order.shares();
        let pieces = order.give_up(coins);
        order.left = order.left.less(coins);
        if order.left.is_zero() {
            order.status = Status::Refunded;
        }
        let refunded = Refunded {
            order: order.id,
            reason: refund.reason.clone(),
            coins,
            returned: self.give_back(pieces),
            taken: shares_between(&order.shares(), &before),
        };
        Ok(Decided::moving(Event::Refunded(Box::new(refunded)), order))
    }

    /// Takes the restored lots, then others in burn order; what is not there is a shortfall. Of a restored lot
    /// that has lapsed, before the refund or since, the coins come from `platform:expired`.
    pub(super) fn roll_back_refund(&self, roll_back: &RollBackRefund) -> Result<Decided, Rejection> {
        let mut order = self.stepped(Step::RollBack)?;
        let past = self.prefetched.refund.as_ref();
        let past = past.filter(|past| past.refunded.order == order.id).ok_or(Rejection::RefundNotFound)?;
        if let Some(first) = &past.rolled_back {
            return Err(Rejection::AlreadyRolledBack { first: first.clone() });
        }
        self.not_before(past.happened_at)?;

        let unexpired = past.refunded.returned.expired.clone();
        let wanted = past.refunded.coins.less(sum(&unexpired));
        let Found { restored, unlapsed, others, shortfall } = self.find_again(past, wanted);

        let before = order.shares();
        let back: Lots = unexpired.iter().chain(&restored).copied().chain(unlapsed.iter().map(|u| u.lot)).collect();
        order.use_again(&back, &others).map_err(|_| Rejection::AmountTooLarge)?;
        order.left = order.left.plus(past.refunded.coins.less(shortfall)).map_err(|_| Rejection::AmountTooLarge)?;
        if order.left.is_zero() {
            order.status = Status::Refunded; // nothing was there to take: the order stays refunded
        }
        let mut taken = restored;
        taken.extend(others);
        let rolled_back = RefundRolledBack {
            order: order.id,
            source: past.source.clone(),
            refund: past.command.clone(),
            part: past.part,
            reason: roll_back.reason.clone(),
            taken,
            unexpired,
            unlapsed,
            shortfall,
            given: shares_between(&before, &order.shares()),
        };
        Ok(Decided::moving(Event::RefundRolledBack(Box::new(rolled_back)), order))
    }

    /// Finds `wanted` coins for the roll-back of a refund.
    fn find_again(&self, past: &PastRefund, wanted: Coins) -> Found {
        let wallet = self.user.wallet();
        // Of each lot what is there, and what has lapsed with it: one that came back in pieces stands there once.
        let restored_lots = || past.refunded.returned.restored.iter();
        let mut there: BTreeMap<LotId, Coins> =
            restored_lots().filter_map(|lot| wallet.same_lot(lot)).map(|lot| (lot.id, lot.coins)).collect();
        let mut lapsed: BTreeMap<LotId, Coins> = past.lapsed.iter().copied().collect();
        let (mut restored, mut unlapsed) = (Lots::new(), Vec::<Unlapsed>::new());
        let mut places: BTreeMap<LotId, usize> = BTreeMap::new();
        let mut missing = wanted;
        for piece in restored_lots() {
            let some = take(&mut there, piece.id, piece.coins.min(missing));
            put(&mut restored, Lot { coins: some, ..*piece });
            missing = missing.less(some);
            let some = take(&mut lapsed, piece.id, piece.coins.less(some).min(missing));
            missing = missing.less(some);
            if some.is_zero() {
                continue;
            }
            let left = lapsed.get(&piece.id).copied().unwrap_or_default();
            let at = *places.entry(piece.id).or_insert(unlapsed.len());
            match unlapsed.get_mut(at) {
                Some(again) => {
                    again.lot.coins = again.lot.coins.plus(some).expect("no more than had lapsed");
                    again.left = left;
                }
                None => unlapsed.push(Unlapsed { lot: Lot { coins: some, ..*piece }, left }),
            }
        }
        let rest =
            wallet.live(self.now).map(|lot| Lot { coins: there.get(&lot.id).copied().unwrap_or(lot.coins), ..lot });
        let (others, shortfall) = gather(rest.filter(|lot| !lot.coins.is_zero()), missing);
        Found { restored, unlapsed, others, shortfall }
    }
}

/// What is taken to roll a refund back.
struct Found {
    /// Of the lots that the refund had restored.
    restored: Lots,
    /// Of those that have lapsed since.
    unlapsed: Vec<Unlapsed>,
    /// Of others, for what of the restored lots was spent.
    others: Lots,
    /// What is not there.
    shortfall: Coins,
}

/// Takes up to `wanted` of a lot.
fn take(lots: &mut BTreeMap<LotId, Coins>, lot: LotId, wanted: Coins) -> Coins {
    let Some(there) = lots.get_mut(&lot) else { return Coins::ZERO };
    let some = wanted.min(*there);
    *there = there.less(some);
    some
}

/// Puts a piece to the last one, if it is of the same lot.
fn put(lots: &mut Lots, piece: Lot) {
    match lots.last_mut() {
        Some(last) if last.id == piece.id => {
            last.coins = last.coins.plus(piece.coins).expect("pieces of one amount");
        }
        _ if piece.coins.is_zero() => {}
        _ => lots.push(piece),
    }
}

fn sum(lots: &[Lot]) -> Coins {
    coins_of(lots).expect("pieces of one amount")
}
