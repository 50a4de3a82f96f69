//! The life of a game order up to its capture or release, and the one table of legal steps.

use schemas::{
    Capture, Captured, Coins, Event, ExpireHold, HandOver, Held, Hold, Lots, Order, OrderKind, OrderStep, ReasonCode,
    Rejection, Release, Released, Returned, Status, Timestamp, Unresolved,
};

use super::{Decided, Desk};

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
    pub(super) fn hold(&self, hold: &Hold) -> Result<Decided, Rejection> {
        if hold.deadline <= self.now {
            return Err(Rejection::DeadlinePassed { deadline: hold.deadline });
        }
        let used = self.spend(hold.coins)?;
        Ok(Decided::only(Event::Held(Held { provider: hold.provider.clone(), deadline: hold.deadline, used })))
    }

    pub(super) fn send(&self) -> Result<Decided, Rejection> {
        let order = self.called(Step::Send)?;
        Ok(Decided::moving(Event::Sent(OrderStep { order: order.id, reason: None }), order))
    }

    pub(super) fn query(&self) -> Result<Decided, Rejection> {
        let order = self.called(Step::Query)?;
        Ok(Decided::moving(Event::Queried(OrderStep { order: order.id, reason: None }), order))
    }

    pub(super) fn unresolved(&self, unresolved: &Unresolved) -> Result<Decided, Rejection> {
        let order = self.stepped(Step::Unresolved)?;
        let step = OrderStep { order: order.id, reason: Some(unresolved.reason.clone()) };
        Ok(Decided::moving(Event::Unresolved(step), order))
    }

    pub(super) fn hand_over(&self, hand_over: &HandOver) -> Result<Decided, Rejection> {
        let order = self.stepped(Step::HandOver)?;
        let step = OrderStep { order: order.id, reason: Some(hand_over.reason.clone()) };
        Ok(Decided::moving(Event::HandedOver(step), order))
    }

    pub(super) fn capture(&self, capture: &Capture) -> Result<Decided, Rejection> {
        let mut order = self.stepped(Step::Capture)?;
        let coins = capture.coins.unwrap_or(order.left);
        if coins > order.left {
            return Err(Rejection::ExceedsLeft { left: order.left });
        }
        let not_captured = order.give_up(order.left.less(coins));
        order.charged = coins;
        order.left = coins;
        let captured = Captured { order: order.id, coins, released: self.give_back(not_captured) };
        Ok(Decided::moving(Event::Captured(Box::new(captured)), order))
    }

    pub(super) fn release(&self, release: &Release) -> Result<Decided, Rejection> {
        Ok(self.released(self.stepped(Step::Release)?, release.reason.clone()))
    }

    /// The timer of a hold that was not sent before its deadline.
    pub(super) fn expire_hold(&self, expire: &ExpireHold) -> Result<Decided, Rejection> {
        let order = self.user.open_order(expire.order).ok_or(Rejection::NothingToDo)?;
        let status = after(order.status, Step::Expire)?;
        match order.kind {
            OrderKind::Game { deadline, .. } if deadline > self.now => return Err(Rejection::NothingToDo),
            _ => {}
        }
        let reason = ReasonCode::new("deadline").expect("a plain word is a reason code");
        Ok(self.released(Order { status, ..order.clone() }, reason))
    }

    fn released(&self, mut order: Order, reason: ReasonCode) -> Decided {
        let all = order.give_up(order.left);
        order.left = Coins::ZERO;
        let released = Released { order: order.id, reason, released: self.give_back(all) };
        Decided::moving(Event::Released(Box::new(released)), order)
    }

    /// The named order after `step`, if that is legal.
    pub(super) fn stepped(&self, step: Step) -> Result<Order, Rejection> {
        let order = self.order()?;
        let status = after(order.status, step)?;
        // A roll-back follows on its refund, which is looked for first; that is not before its order.
        if !matches!(step, Step::RollBack) {
            self.not_before(order.placed_at)?;
        }
        if let (Status::Held, Step::Send | Step::Capture, OrderKind::Game { deadline, .. }) =
            (order.status, step, &order.kind)
            && *deadline <= self.now
        {
            return Err(Rejection::DeadlinePassed { deadline: *deadline });
        }
        Ok(Order { status, ..order.clone() })
    }

    /// Refuses what is dated before that on which it follows: it would move another month.
    pub(super) fn not_before(&self, happened_at: Timestamp) -> Result<(), Rejection> {
        if self.place.happened_at < happened_at {
            return Err(Rejection::DatedBefore { happened_at });
        }
        Ok(())
    }

    /// The order after a step that calls the provider.
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
