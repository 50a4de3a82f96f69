//! Refunds, in part or whole, and their roll-back.

use schemas::{
    Coins, Event, Lot, Lots, Order, OrderKind, Refund, RefundRolledBack, Refunded, Rejection, RollBackRefund,
    ShareHeld, Status, coins_of,
};
use smallvec::SmallVec;

use super::{Desk, gift::split_like, hold::Step, within_lots};
use crate::state::{gather, take_from_behind};

type Shares = SmallVec<[ShareHeld; 1]>;

impl Desk<'_> {
    pub(super) fn refund(&self, refund: &Refund) -> Result<Event, Rejection> {
        let mut order = self.stepped(Step::Refund)?;
        let coins = refund.coins.unwrap_or(order.left);
        if coins > order.left || coins.is_zero() {
            return Err(Rejection::ExceedsLeft { left: order.left });
        }
        let pieces = take_from_behind(&mut order.used, coins);
        order.left = order.left.less(coins);
        if order.left.is_zero() {
            order.status = Status::Refunded;
        }
        let taken = take_shares(&mut order);
        let returned = self.give_back(pieces);
        Ok(Event::Refunded(Box::new(Refunded { reason: refund.reason.clone(), coins, returned, taken, order })))
    }

    /// Takes the restored lots, then others in burn order; what is not there is a shortfall.
    pub(super) fn roll_back_refund(&self, roll_back: &RollBackRefund) -> Result<Event, Rejection> {
        let mut order = self.stepped(Step::RollBack)?;
        let past = self.prefetched.refund.as_ref();
        let past = past.filter(|past| past.refunded.order.id == order.id).ok_or(Rejection::RefundNotFound)?;
        if let Some(first) = &past.rolled_back {
            return Err(Rejection::AlreadyRolledBack { first: first.clone() });
        }
        let refunded = &past.refunded;
        let unexpired = refunded.returned.expired.clone();
        let wanted = refunded.coins.less(sum(&unexpired));
        let (taken, shortfall) = self.take_restored_first(&refunded.returned.restored, wanted);
        within_lots(order.used.len() + unexpired.len() + taken.len())?;

        order.used.extend(unexpired.iter().chain(&taken).copied());
        order.left = order.left.plus(refunded.coins.less(shortfall)).map_err(|_| Rejection::AmountTooLarge)?;
        if order.left.is_zero() {
            order.status = Status::Refunded; // nothing was there to take: the order stays refunded
        }
        let given = give_shares(&mut order, &refunded.taken);
        Ok(Event::RefundRolledBack(Box::new(RefundRolledBack {
            refund: roll_back.refund.clone(),
            reason: roll_back.reason.clone(),
            taken,
            unexpired,
            shortfall,
            given,
            order,
        })))
    }

    fn take_restored_first(&self, restored: &[Lot], wanted: Coins) -> (Lots, Coins) {
        // What can be taken; a lot that came back in several pieces stands in it once.
        let mut there: Vec<Lot> = self.user.wallet().live(self.now).collect();
        let mut taken = Lots::new();
        for piece in restored {
            if let Some(lot) = there.iter_mut().find(|lot| lot.id == piece.id) {
                let coins = lot.coins.min(piece.coins);
                lot.coins = lot.coins.less(coins);
                taken.push(Lot { coins, ..*lot });
            }
        }
        let (others, shortfall) = gather(there.iter().copied(), wanted.less(sum(&taken)));
        taken.extend(others);
        taken.retain(|lot| !lot.coins.is_zero());
        (taken, shortfall)
    }
}

/// Lowers the shares of a gift to what `left` of its charge is worth, and says by how much each
/// fell. What goes is split over what is held, so that no share ever rises.
fn take_shares(order: &mut Order) -> Shares {
    let base_left = order.paid_base();
    let value_left = value_left(order);
    let OrderKind::Gift { shares, .. } = &mut order.kind else { return Shares::new() };
    let (values, bases) = held(shares);
    let value_gone = split_like(total(&values).less(value_left), &values);
    let base_gone = split_like(total(&bases).less(base_left), &bases);
    let mut taken = Shares::new();
    for ((share, value), base) in shares.iter_mut().zip(value_gone).zip(base_gone) {
        share.value = share.value.less(value);
        share.base = share.base.less(base);
        taken.push(ShareHeld { streamer: share.streamer.clone(), value, base });
    }
    taken
}

/// Raises the shares to what `left` is worth again, in proportion to what the refund took of each.
/// Where rounding had taken nothing, equally.
fn give_shares(order: &mut Order, refund_took: &[ShareHeld]) -> Shares {
    let base_left = order.paid_base();
    let value_left = value_left(order);
    let OrderKind::Gift { shares, .. } = &mut order.kind else { return Shares::new() };
    let (values, bases) = held(shares);
    let (took_values, took_bases) = held(refund_took);
    let value_back = split_like_or_equally(value_left.less(total(&values)), &took_values);
    let base_back = split_like_or_equally(base_left.less(total(&bases)), &took_bases);
    let mut given = Shares::new();
    for ((share, value), base) in shares.iter_mut().zip(value_back).zip(base_back) {
        share.value = share.value.plus(value).expect("a share is at most the value of the gift");
        share.base = share.base.plus(base).expect("a base is at most the value of the gift");
        given.push(ShareHeld { streamer: share.streamer.clone(), value, base });
    }
    given
}

fn split_like_or_equally(back: Coins, took: &[Coins]) -> Vec<Coins> {
    if total(took).is_zero() {
        schemas::split_by_largest_remainder(back, &vec![1; took.len()])
    } else {
        split_like(back, took)
    }
}

fn value_left(order: &Order) -> Coins {
    match &order.kind {
        OrderKind::Gift { value, .. } => order.value_left(*value, order.left),
        OrderKind::Game { .. } => Coins::ZERO,
    }
}

fn held(shares: &[ShareHeld]) -> (Vec<Coins>, Vec<Coins>) {
    shares.iter().map(|share| (share.value, share.base)).unzip()
}

fn total(parts: &[Coins]) -> Coins {
    parts.iter().fold(Coins::ZERO, |sum, part| sum.plus(*part).expect("parts of one amount"))
}

fn sum(lots: &[Lot]) -> Coins {
    coins_of(lots).expect("pieces of one amount")
}
