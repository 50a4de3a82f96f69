//! What falls due: lots that lapse and holds that are not sent. A function of the states: exactly the lots with
//! an expiry that are in a wallet, and the holds that are not sent, once each.

use std::collections::BTreeSet;

use schemas::{
    Coins, Command, CommandId, Event, ExpireHold, ExpireLot, Lot, LotId, LotKind, Order, OrderId, OrderKind, Record,
    Status, Subject, Timestamp, UserId,
};

use crate::state::{Place, State, User};

/// What is due when.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Timers {
    due: BTreeSet<(Timestamp, UserId, What)>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Lot(LotId),
    Hold(OrderId),
}

impl Timers {
    /// Everything that a state waits for.
    pub(crate) fn note_state(&mut self, state: &State) {
        for (user, known) in state.users() {
            for lot in known.wallet().lots() {
                self.note_lot(user, Some(known), &lot);
            }
            for order in known.open_orders() {
                self.note_order(user, order);
            }
        }
    }

    /// What a record, which `state` has just taken, makes wait or ends.
    pub(crate) fn note(&mut self, record: &Record, state: &State) {
        let Subject::User(user) = &record.subject else { return };
        for (part, event) in record.events() {
            let mut note = |lots: &[Lot]| {
                // Looked up only where it matters: most lots were bought, and never lapse.
                if lots.iter().any(|lot| lapses(lot).is_some()) {
                    for lot in lots {
                        self.note_lot(user, state.user(user), lot);
                    }
                }
            };
            match event {
                Event::Granted(e) => {
                    let id = LotId { sequence: record.sequence, part };
                    note(&[Lot { id, kind: LotKind::Bonus { expires: e.expires }, coins: e.coins }]);
                }
                Event::GiftGiven(e) => note(&e.used),
                Event::Held(e) => {
                    note(&e.used);
                    let place = Place {
                        shard: record.shard,
                        sequence: record.sequence,
                        part,
                        happened_at: record.happened_at(),
                    };
                    self.note_order(user, &e.order(place.order(), place.happened_at));
                }
                Event::LotExpired(e) => note(&[e.lot]),
                Event::Captured(e) => note(&e.released.restored),
                Event::Released(e) => note(&e.released.restored),
                Event::Refunded(e) => note(&e.returned.restored),
                Event::RefundRolledBack(e) => note(&e.taken),
                // Paid lots, or none: what becomes of an order stands beside the events.
                Event::TopUpCredited(_)
                | Event::ChargedBack(_)
                | Event::Reinstated(_)
                | Event::Sent(_)
                | Event::Queried(_)
                | Event::Unresolved(_)
                | Event::HandedOver(_)
                | Event::ReferencePublished(_)
                | Event::ReferenceTaken(_)
                | Event::TopUpClaimed(_)
                | Event::ChargebackClaimed(_)
                | Event::ChargebackRemembered(_)
                | Event::TopUpReversed(_)
                | Event::ReinstateRemembered(_)
                | Event::ReinstateClaimed(_)
                | Event::Group(_) => {}
            }
        }
        record.moved.iter().for_each(|order| self.note_order(user, order));
    }

    /// A lot that may have come or gone.
    fn note_lot(&mut self, user: &UserId, known: Option<&User>, lot: &Lot) {
        let Some(expires) = lapses(lot) else { return };
        let entry = (expires, user.clone(), What::Lot(lot.id));
        if known.is_some_and(|known| known.wallet().same_lot(lot).is_some()) {
            self.due.insert(entry);
        } else {
            self.due.remove(&entry);
        }
    }

    /// An order as it stands now.
    fn note_order(&mut self, user: &UserId, order: &Order) {
        let OrderKind::Game { deadline, .. } = order.kind else { return };
        let entry = (deadline, user.clone(), What::Hold(order.id));
        if order.status == Status::Held {
            self.due.insert(entry);
        } else {
            self.due.remove(&entry);
        }
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// Takes the next one that is due at `now` and still there: its id and command.
    pub(crate) fn pop(&mut self, now: Timestamp, states: &[State]) -> Option<(CommandId, Command)> {
        while self.next().is_some_and(|at| at <= now) {
            let (at, user, what) = self.due.pop_first()?;
            let shards = states.len().try_into().expect("a ledger has at most 65,535 shards");
            let shard = Subject::User(user.clone()).shard(shards);
            let known = states[usize::from(shard)].user(&user);
            if known.is_some_and(|known| what.is_due(known, at)) {
                return Some(what.command(user));
            }
        }
        None
    }
}

impl What {
    fn is_due(self, user: &User, at: Timestamp) -> bool {
        match self {
            Self::Lot(id) => {
                let lot = Lot { id, kind: LotKind::Bonus { expires: Some(at) }, coins: Coins::ZERO };
                user.wallet().same_lot(&lot).is_some()
            }
            Self::Hold(order) => user.open_order(order).is_some_and(|order| order.status == Status::Held),
        }
    }

    fn command(self, user: UserId) -> (CommandId, Command) {
        let (id, command) = match self {
            Self::Lot(lot) => (format!("lot:{lot}"), Command::ExpireLot(ExpireLot { user, lot })),
            Self::Hold(order) => (format!("hold:{order}"), Command::ExpireHold(ExpireHold { user, order })),
        };
        (CommandId::new(&id).expect("a word and a number are a command id"), command)
    }
}

/// When the coins of a lot lapse, if they do.
fn lapses(lot: &Lot) -> Option<Timestamp> {
    match lot.kind {
        LotKind::Bonus { expires } => expires,
        LotKind::Paid => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use schemas::{
        Body, Capture, Change, Digest, Gift, GiftItem, Grant, Hold, Moved, OrderName, OrderRef, Origin, Publish,
        Recipient, Refund, Release, Send, Source, TakeReference,
    };
    use smallvec::SmallVec;

    use super::*;
    use crate::decide::{Prefetched, Request, decide};

    #[derive(Debug, Clone)]
    enum Does {
        Grant(u64, Option<i64>),
        Gift(u64),
        Hold(u64, i64),
        /// What becomes of the n-th order.
        Send(usize),
        Capture(usize, u64),
        Release(usize),
        Refund(usize, u64),
        /// So much time passes, and what is due then is done.
        Pass(i64),
    }

    fn does() -> impl Strategy<Value = Does> {
        let order = 0_usize..8;
        prop_oneof![
            3 => (1_u64..50, prop::option::of(1_i64..200)).prop_map(|(coins, expires)| Does::Grant(coins, expires)),
            3 => (1_u64..60).prop_map(Does::Gift),
            2 => (1_u64..60, 1_i64..200).prop_map(|(coins, deadline)| Does::Hold(coins, deadline)),
            1 => order.clone().prop_map(Does::Send),
            1 => (order.clone(), 0_u64..60).prop_map(|(nth, coins)| Does::Capture(nth, coins)),
            1 => order.clone().prop_map(Does::Release),
            3 => (order, 1_u64..30).prop_map(|(nth, coins)| Does::Refund(nth, coins)),
            2 => (1_i64..80).prop_map(Does::Pass),
        ]
    }

    /// A shard with one user, and what is known of the orders.
    struct Shard {
        state: State,
        timers: Timers,
        now: Timestamp,
        orders: Vec<Arc<Order>>,
        user: UserId,
    }

    impl Shard {
        fn new() -> Self {
            let state = State::new(0, 1);
            let (timers, now) = (Timers::default(), Timestamp::from_nanos(1));
            let mut shard = Self { state, timers, now, orders: Vec::new(), user: "u".parse().unwrap() };
            let one = coins(1);
            let rose = GiftItem { item: "rose".parse().unwrap(), price: one, value: one, from: None, until: None };
            let changes = vec![Change::Item(rose)];
            let publish = Publish { version: 1, part: 0, last: true, from: shard.now, changes };
            shard.take(Subject::Shard(0), &Command::TakeReference(TakeReference { shard: 0, publish }), None);
            shard
        }

        fn take(&mut self, subject: Subject, command: &Command, order: Option<Arc<Order>>) {
            self.now = Timestamp::from_nanos(self.now.nanos() + 1);
            let id = CommandId::new(&format!("c{}", self.now.nanos())).unwrap();
            let prefetched = Prefetched { order, ..Prefetched::default() };
            let origin = Origin::Caller(Source::cli());
            let request = Request { subject: &subject, origin: &origin, id: &id, occurred_at: None, command };
            let (body, moved) = match decide(&self.state, &prefetched, &request, self.now) {
                Ok(decided) => (Body::Event(Box::new(decided.event)), decided.moved),
                Err(rejection) => (Body::Rejection(rejection), Moved::new()),
            };
            let record = Record {
                shard: 0,
                sequence: self.state.sequence() + 1,
                time: self.now,
                occurred_at: None,
                digest: Digest::of(command, None),
                subject,
                origin,
                id,
                actor: None,
                on_behalf_of: None,
                client: None,
                body,
                moved,
            };
            self.state.apply(&record);
            self.timers.note(&record, &self.state);
            for order in record.orders() {
                match self.orders.iter_mut().find(|known| known.id == order.id) {
                    Some(known) => *known = Arc::new(order),
                    None => self.orders.push(Arc::new(order)),
                }
            }
        }

        fn user(&mut self, command: &Command) {
            self.take(Subject::User(self.user.clone()), command, None);
        }

        fn order(&mut self, nth: usize, command: impl Fn(OrderRef) -> Command) {
            let Some(order) = self.orders.get(nth).cloned() else { return };
            let named = OrderRef { user: self.user.clone(), name: OrderName::Number(order.id) };
            self.take(Subject::User(self.user.clone()), &command(named), Some(order));
        }

        fn play(&mut self, does: &Does) {
            let user = self.user.clone();
            let later = |by: i64| Timestamp::from_nanos(self.now.nanos() + by);
            let reason: schemas::ReasonCode = "why".parse().unwrap();
            match *does {
                Does::Grant(of, expires) => {
                    let expires = expires.map(later);
                    self.user(&Command::Grant(Grant { user, coins: coins(of), expires, reason }));
                }
                Does::Gift(quantity) => self.user(&Command::Gift(Gift {
                    user,
                    item: "rose".parse().unwrap(),
                    quantity,
                    to: SmallVec::from_buf([Recipient { streamer: "s".parse().unwrap(), weight: 1 }]),
                    room: None,
                    combo: None,
                    activity: None,
                    expected_price: None,
                })),
                Does::Hold(of, deadline) => {
                    let (provider, deadline) = ("arcade".parse().unwrap(), later(deadline));
                    self.user(&Command::Hold(Hold { user, provider, coins: coins(of), deadline }));
                }
                Does::Send(nth) => self.order(nth, |order| Command::Send(Send { order })),
                Does::Capture(nth, of) => {
                    self.order(nth, |order| Command::Capture(Capture { order, coins: Some(coins(of)) }));
                }
                Does::Release(nth) => {
                    self.order(nth, |order| Command::Release(Release { order, reason: reason.clone() }));
                }
                Does::Refund(nth, of) => {
                    let part = Some(coins(of));
                    self.order(nth, |order| Command::Refund(Refund { order, coins: part, reason: reason.clone() }));
                }
                Does::Pass(by) => {
                    self.now = later(by);
                    while let Some((_, command)) = self.timers.pop(self.now, std::slice::from_ref(&self.state)) {
                        self.user(&command);
                    }
                }
            }
        }
    }

    fn coins(coins: u64) -> Coins {
        Coins::new(coins).unwrap()
    }

    proptest! {
        /// What was used up or sent waits for nothing, and what came back waits once: however many refunds and holds
        /// there were, memory holds what is due and no more, and a start finds the same.
        #[test]
        fn what_is_due_is_a_function_of_the_state(all in prop::collection::vec(does(), 1..80)) {
            let mut shard = Shard::new();
            for does in all {
                shard.play(&does);
                let mut started = Timers::default();
                started.note_state(&shard.state);
                prop_assert_eq!(&shard.timers, &started, "after {:?}", does);
            }
            prop_assert!(shard.timers.next().is_none_or(|at| at > Timestamp::from_nanos(0)));
        }
    }
}
