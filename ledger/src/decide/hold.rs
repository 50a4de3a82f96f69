//! The life of a game order up to its capture or release, and the one table of legal steps.

use schemas::{
    Capture, Captured, Coins, Event, ExpireHold, HandOver, Held, Hold, Lots, Order, OrderKind, OrderStep, ReasonCode,
    Rejection, Release, Released, Returned, Status, Unresolved,
};

use super::Desk;
use crate::state::take_from_behind;

/// What can be done to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Send,
    Query,
    Unresolved,
    HandOver,
    Capture,
    Release,
    Expire,
    Refund,
    RollBack,
}

/// The legal steps of an order, and where they lead.
fn after(status: Status, step: Step) -> Result<Status, Rejection> {
    use Status::{Fulfilled, Held, Manual, Refunded, Released, Sent, Unknown};
    match (status, step) {
        (Held, Step::Send) => Ok(Sent),
        (Sent | Unknown, Step::Query) => Ok(status),
        (Sent | Unknown, Step::Unresolved) => Ok(Unknown),
        (Sent | Unknown, Step::HandOver) => Ok(Manual),
        (Held | Sent | Unknown | Manual, Step::Release) | (Held, Step::Expire) => Ok(Released),
        (Held | Sent | Unknown | Manual, Step::Capture)
        | (Fulfilled, Step::Refund)
        | (Fulfilled | Refunded, Step::RollBack) => Ok(Fulfilled),
        _ => Err(Rejection::OrderStatus { status }),
    }
}

impl Desk<'_> {
    pub(super) fn hold(&self, hold: &Hold) -> Result<Event, Rejection> {
        if hold.deadline <= self.now {
            return Err(Rejection::DeadlinePassed { deadline: hold.deadline });
        }
        let used = self.spend(hold.coins)?;
        Ok(Event::Held(Held { provider: hold.provider.clone(), deadline: hold.deadline, used }))
    }

    pub(super) fn send(&self) -> Result<Event, Rejection> {
        let order = self.called(Step::Send)?;
        Ok(Event::Sent(Box::new(OrderStep { reason: None, order })))
    }

    pub(super) fn query(&self) -> Result<Event, Rejection> {
        let order = self.called(Step::Query)?;
        Ok(Event::Queried(Box::new(OrderStep { reason: None, order })))
    }

    pub(super) fn unresolved(&self, unresolved: &Unresolved) -> Result<Event, Rejection> {
        let order = self.stepped(Step::Unresolved)?;
        Ok(Event::Unresolved(Box::new(OrderStep { reason: Some(unresolved.reason.clone()), order })))
    }

    pub(super) fn hand_over(&self, hand_over: &HandOver) -> Result<Event, Rejection> {
        let order = self.stepped(Step::HandOver)?;
        Ok(Event::HandedOver(Box::new(OrderStep { reason: Some(hand_over.reason.clone()), order })))
    }

    pub(super) fn capture(&self, capture: &Capture) -> Result<Event, Rejection> {
        let mut order = self.stepped(Step::Capture)?;
        let coins = capture.coins.unwrap_or(order.left);
        if coins > order.left {
            return Err(Rejection::ExceedsLeft { left: order.left });
        }
        let not_captured = take_from_behind(&mut order.used, order.left.less(coins));
        order.charged = coins;
        order.left = coins;
        Ok(Event::Captured(Box::new(Captured { released: self.give_back(not_captured), order })))
    }

    pub(super) fn release(&self, release: &Release) -> Result<Event, Rejection> {
        Ok(self.released(self.stepped(Step::Release)?, release.reason.clone()))
    }

    /// The timer of a hold that was not sent before its deadline.
    pub(super) fn expire_hold(&self, expire: &ExpireHold) -> Result<Event, Rejection> {
        let order = self.user.open_order(expire.order).ok_or(Rejection::NothingToDo)?;
        let status = after(order.status, Step::Expire)?;
        match order.kind {
            OrderKind::Game { deadline, .. } if deadline > self.now => return Err(Rejection::NothingToDo),
            _ => {}
        }
        let reason = ReasonCode::new("deadline").expect("a plain word is a reason code");
        Ok(self.released(Order { status, ..order.clone() }, reason))
    }

    fn released(&self, mut order: Order, reason: ReasonCode) -> Event {
        let all = take_from_behind(&mut order.used, order.left);
        order.left = Coins::ZERO;
        Event::Released(Box::new(Released { reason, released: self.give_back(all), order }))
    }

    /// The named order after `step`, if that is legal.
    pub(super) fn stepped(&self, step: Step) -> Result<Order, Rejection> {
        let order = self.order()?;
        let status = after(order.status, step)?;
        if let (Status::Held, Step::Send | Step::Capture, OrderKind::Game { deadline, .. }) =
            (order.status, step, &order.kind)
            && *deadline <= self.now
        {
            return Err(Rejection::DeadlinePassed { deadline: *deadline });
        }
        Ok(Order { status, ..order.clone() })
    }

    /// The same for a step that calls the provider.
    fn called(&self, step: Step) -> Result<Order, Rejection> {
        let mut order = self.stepped(step)?;
        if let OrderKind::Game { attempts, .. } = &mut order.kind {
            *attempts = attempts.saturating_add(1);
        }
        Ok(order)
    }

    /// Where coins go that come back: a lot that has lapsed meanwhile stays lapsed, a debt is paid
    /// first, the rest returns to its lots.
    pub(super) fn give_back(&self, pieces: Lots) -> Returned {
        let mut returned = Returned::default();
        let mut debt = self.user.wallet().debt();
        for mut piece in pieces {
            if piece.kind.has_expired(self.now) {
                returned.expired.push(piece);
                continue;
            }
            let pays = super::at_most_max(debt).min(piece.coins);
            if !pays.is_zero() {
                returned.debt_paid.push(schemas::Lot { coins: pays, ..piece });
                debt -= u128::from(pays.get());
                piece.coins = piece.coins.less(pays);
            }
            if !piece.coins.is_zero() {
                returned.restored.push(piece);
            }
        }
        returned
    }
}
