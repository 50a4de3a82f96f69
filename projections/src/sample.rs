//! Records by hand, for tests: a ledger without rules that keeps its orders consistent, and random
//! worlds of it.

use std::collections::{BTreeMap, VecDeque};

use chrono::NaiveDate;
use proptest::prelude::*;
use schemas::{
    Body, Captured, Change, ChargebackClaimed, ChargedBack, Coins, Dispatch, Event, GiftGiven, Granted, Held, Lot,
    LotId, LotKind, Lots, Money, Moved, Order, OrderId, OrderKind, Origin, Record, ReferencePublished,
    RefundRolledBack, Refunded, Rejection, Returned, Shard, ShareHeld, Status, StreamerId, Subject, Timestamp,
    TopUpClaimed, TopUpCredited, UserId, shares_between, split_by_largest_remainder,
};

/// A ledger of hand-made records.
#[derive(Debug, Clone)]
pub struct Sample {
    shards: Vec<Vec<Record>>,
    /// Nanoseconds; rises with each record.
    clock: i64,
    users: BTreeMap<OrderId, UserId>,
    orders: BTreeMap<OrderId, Order>,
}

/// `minute` minutes into day `day` of November 2026, in UTC; days beyond the 30th are in December.
pub fn at(day: i64, minute: i64) -> Timestamp {
    let month: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    month.plus_millis((day - 1) * 86_400_000 + minute * 60_000)
}

pub fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

pub fn coins(n: u64) -> Coins {
    Coins::new(n).unwrap()
}

/// A change of the reference data from its JSON; an item's times may be left out.
pub fn change(json: &str) -> Change {
    serde_json::from_str(json).unwrap()
}

fn money(text: &str) -> Money {
    let (amount, currency) = text.split_once(' ').unwrap();
    Money::new(currency.parse().unwrap(), amount.parse().unwrap()).unwrap()
}

fn lot(sequence: u64, kind: LotKind, n: u64) -> Lot {
    Lot { id: LotId { sequence, part: 0 }, kind, coins: coins(n) }
}

fn bonus(n: u64) -> Lot {
    lot(1, LotKind::Bonus { expires: None }, n)
}

fn paid(n: u64) -> Lot {
    lot(2, LotKind::Paid, n)
}

/// Bonus burns before paid.
fn lots(paid_coins: u64, bonus_coins: u64) -> Lots {
    [bonus(bonus_coins), paid(paid_coins)].into_iter().filter(|lot| !lot.coins.is_zero()).collect()
}

impl Sample {
    pub fn new(shards: Shard) -> Self {
        Self {
            shards: vec![Vec::new(); shards.into()],
            clock: at(40, 0).nanos(),
            users: BTreeMap::new(),
            orders: BTreeMap::new(),
        }
    }

    /// All records in the order of their time.
    pub fn records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = self.shards.iter().flatten().cloned().collect();
        records.sort_by_key(|record| record.time);
        records
    }

    fn shard(&self, subject: &Subject) -> Shard {
        subject.shard(self.shards.len().try_into().unwrap())
    }

    fn push(&mut self, subject: Subject, occurred_at: Option<Timestamp>, body: Body) -> OrderId {
        let shard = self.shard(&subject);
        self.clock += 1;
        let records = &mut self.shards[usize::from(shard)];
        let sequence = u64::try_from(records.len()).unwrap() + 1;
        records.push(Record {
            shard,
            sequence,
            time: Timestamp::from_nanos(self.clock),
            occurred_at,
            subject,
            origin: Origin::Caller(schemas::Source::cli()),
            id: format!("c{}", self.clock).parse().unwrap(),
            digest: "0".repeat(32).parse().unwrap(),
            actor: None,
            on_behalf_of: None,
            client: None,
            body,
            moved: Moved::new(),
        });
        OrderId { shard, sequence, part: 0 }
    }

    fn event(&mut self, subject: Subject, occurred_at: Option<Timestamp>, event: Event) -> OrderId {
        self.push(subject, occurred_at, Body::Event(Box::new(event)))
    }

    fn user_event(&mut self, user: &str, occurred_at: Option<Timestamp>, event: Event) -> OrderId {
        self.event(Subject::User(user.parse().unwrap()), occurred_at, event)
    }

    pub fn refusal(&mut self, user: &str, rejection: Rejection) {
        self.push(Subject::User(user.parse().unwrap()), None, Body::Rejection(rejection));
    }

    pub fn publish(&mut self, version: u64, part: u32, last: bool, changes: Vec<Change>) {
        self.publish_from(at(1, 0), version, part, last, changes);
    }

    pub fn publish_from(&mut self, from: Timestamp, version: u64, part: u32, last: bool, changes: Vec<Change>) {
        let published = ReferencePublished { version, part, last, from, changes, dispatches: Vec::new() };
        self.event(Subject::Reference, None, Event::ReferencePublished(published));
    }

    pub fn top_up(&mut self, user: &str, n: u64, price: &str, transaction: &str) {
        let (channel, user_id): (schemas::ChannelId, UserId) = ("apple".parse().unwrap(), user.parse().unwrap());
        let transaction: schemas::TransactionId = transaction.parse().unwrap();
        let claim = Subject::Transaction { channel: channel.clone(), transaction: transaction.clone() };
        let (source, target) = (self.shard(&claim), self.shard(&Subject::User(user_id.clone())));
        let claimed = TopUpClaimed {
            user: user_id,
            coins: coins(n),
            paid: money(price),
            dispatch: Dispatch { target, number: 1 },
        };
        self.event(claim, None, Event::TopUpClaimed(claimed));
        let credited = TopUpCredited { source, coins: coins(n), debt_paid: Coins::ZERO, channel, transaction };
        self.user_event(user, None, Event::TopUpCredited(credited));
    }

    /// Marks the newest credit as having paid `n` of the user's debt.
    pub fn which_paid_debt(&mut self, user: &str, n: u64) {
        let shard = self.shard(&Subject::User(user.parse().unwrap()));
        let Body::Event(event) = &mut self.shards[usize::from(shard)].last_mut().unwrap().body else { panic!() };
        let Event::TopUpCredited(credited) = event.as_mut() else { panic!() };
        credited.debt_paid = coins(n);
    }

    /// A chargeback that finds `taken` coins and leaves `debt`.
    pub fn chargeback(&mut self, user: &str, taken: u64, debt: u64, price: &str, transaction: &str) {
        let (channel, user_id): (schemas::ChannelId, UserId) = ("apple".parse().unwrap(), user.parse().unwrap());
        let transaction: schemas::TransactionId = transaction.parse().unwrap();
        let claim = Subject::Transaction { channel: channel.clone(), transaction: transaction.clone() };
        let (source, target) = (self.shard(&claim), self.shard(&Subject::User(user_id.clone())));
        let claimed = ChargebackClaimed {
            user: user_id,
            coins: coins(taken + debt),
            returned: money(price),
            top_up: "top-up".parse().unwrap(),
            credit: 1,
            dispatch: Dispatch { target, number: 2 },
        };
        self.event(claim, None, Event::ChargebackClaimed(claimed));
        let back = ChargedBack { source, taken: lots(taken, 0), debt: coins(debt), channel, transaction };
        self.user_event(user, None, Event::ChargedBack(back));
    }

    pub fn grant(&mut self, user: &str, n: u64) {
        let granted = Granted { coins: coins(n), expires: None, reason: "-goodwill".parse().unwrap() };
        self.user_event(user, None, Event::Granted(granted));
    }

    /// A gift paid with `paid_coins` and `bonus_coins`, whose shares have the values given.
    pub fn gift(
        &mut self,
        user: &str,
        at: Timestamp,
        values: &[(&str, u64)],
        paid_coins: u64,
        bonus_coins: u64,
    ) -> OrderId {
        self.gift_in(None, user, at, values, paid_coins, bonus_coins)
    }

    pub fn gift_in(
        &mut self,
        activity: Option<&str>,
        user: &str,
        at: Timestamp,
        values: &[(&str, u64)],
        paid_coins: u64,
        bonus_coins: u64,
    ) -> OrderId {
        let charged = coins(paid_coins + bonus_coins);
        let weights: Vec<u64> = values.iter().map(|(_, value)| *value).collect();
        let base = coins(weights.iter().sum()).portion_floor(coins(paid_coins), charged);
        let bases = split_by_largest_remainder(base, &weights);
        let share = |(&(streamer, value), base): (&(&str, u64), Coins)| ShareHeld {
            streamer: streamer.parse().unwrap(),
            value: coins(value),
            base,
        };
        let gift = GiftGiven {
            item: "rose".parse().unwrap(),
            version: 1,
            quantity: 1,
            price: charged,
            charged,
            shares: values.iter().zip(bases).map(share).collect(),
            used: lots(paid_coins, bonus_coins),
            room: None,
            combo: None,
            activity: activity.map(|activity| activity.parse().unwrap()),
        };
        let id = self.user_event(user, Some(at), Event::GiftGiven(gift.clone()));
        self.users.insert(id, user.parse().unwrap());
        self.orders.insert(id, gift.order(id, at));
        id
    }

    /// Gives `n` coins of a gift back, or what is left of it if that is less.
    pub fn refund(&mut self, id: OrderId, n: u64, at: Timestamp) {
        let mut order = self.orders[&id].clone();
        let n = n.min(order.left.get());
        if n == 0 {
            return;
        }
        let before = order.shares();
        order.left = order.left.minus(coins(n)).unwrap();
        let returned = Returned { restored: order.give_up(coins(n)), ..Returned::default() };
        order.status = if order.left.is_zero() { Status::Refunded } else { Status::Fulfilled };
        let refunded = Refunded {
            order: id,
            reason: "wrong_gift".parse().unwrap(),
            coins: coins(n),
            returned,
            taken: shares_between(&order.shares(), &before),
        };
        self.move_order(order, Some(at), Event::Refunded(refunded.into()));
    }

    /// Charges `n` coins of a gift again as paid ones, or what was refunded if that is less.
    pub fn roll_back(&mut self, id: OrderId, n: u64, at: Timestamp) {
        let mut order = self.orders[&id].clone();
        let n = n.min(order.charged.get() - order.left.get());
        if n == 0 {
            return;
        }
        let before = order.shares();
        order.left = order.left.plus(coins(n)).unwrap();
        order.use_again(&[], &[paid(n)]).unwrap();
        order.status = Status::Fulfilled;
        let back = RefundRolledBack {
            order: id,
            source: schemas::Source::cli(),
            refund: "refund".parse().unwrap(),
            part: 0,
            reason: "mistake".parse().unwrap(),
            taken: [paid(n)].into_iter().collect(),
            unexpired: Lots::new(),
            unlapsed: Vec::new(),
            shortfall: Coins::ZERO,
            given: shares_between(&before, &order.shares()),
        };
        self.move_order(order, Some(at), Event::RefundRolledBack(back.into()));
    }

    fn move_order(&mut self, order: Order, occurred_at: Option<Timestamp>, event: Event) {
        let user = self.users[&order.id].clone();
        self.orders.insert(order.id, order.clone());
        let at = self.event(Subject::User(user), occurred_at, event);
        let records = &mut self.shards[usize::from(at.shard)];
        records.last_mut().unwrap().moved.push(order);
    }

    pub fn hold(&mut self, user: &str, n: u64) -> OrderId {
        let held = Held { provider: "p1".parse().unwrap(), deadline: at(50, 0), used: lots(n, 0) };
        let id = self.user_event(user, None, Event::Held(held.clone()));
        self.users.insert(id, user.parse().unwrap());
        let placed_at = Timestamp::from_nanos(self.clock);
        self.orders.insert(id, held.order(id, placed_at));
        id
    }

    pub fn capture_all(&mut self) {
        let held: Vec<Order> = self.orders.values().filter(|order| order.status.is_open()).cloned().collect();
        for mut order in held {
            order.status = Status::Fulfilled;
            let captured = Captured { order: order.id, coins: order.left, released: Returned::default() };
            self.move_order(order, None, Event::Captured(captured.into()));
        }
    }

    /// The gifts as they stand, with who gave them: what boards and tallies must agree with.
    pub fn gifts(&self) -> impl Iterator<Item = (&UserId, &Order)> {
        let gifts = self.orders.values().filter(|order| matches!(order.kind, OrderKind::Gift { .. }));
        gifts.map(|order| (&self.users[&order.id], order))
    }

    /// By streamer: gifts, value and base that the orders still hold.
    pub fn still_held(&self) -> BTreeMap<StreamerId, (i64, i128, i128)> {
        let mut held: BTreeMap<StreamerId, (i64, i128, i128)> = BTreeMap::new();
        for (_, order) in self.gifts() {
            for share in order.shares() {
                let sums = held.entry(share.streamer.clone()).or_default();
                sums.0 += i64::from(!share.value.is_zero());
                sums.1 += share.value.signed();
                sums.2 += share.base.signed();
            }
        }
        held
    }
}

/// The records with the shards mixed in another way, each shard in its own order.
pub fn interleaved(sample: &Sample, seed: u64) -> Vec<Record> {
    let mut shards: Vec<VecDeque<Record>> = sample.shards.iter().map(|records| records.clone().into()).collect();
    let (mut mixed, mut random) = (Vec::new(), seed | 1);
    while shards.iter().any(|records| !records.is_empty()) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let shard = usize::try_from(random % u64::try_from(shards.len()).unwrap()).unwrap();
        mixed.extend(shards[shard].pop_front());
    }
    mixed
}

/// A step of a random world: what is done (gift, refund, roll-back), by whom, when, to whom, how much.
type Step = (u8, usize, i64, usize, u64, u64);

/// Random worlds: few members, few minutes, so that ties, shared gifts and refunds abound; with a
/// seed for [`interleaved`].
pub fn worlds() -> impl Strategy<Value = (Sample, u64)> {
    let step = (0_u8..8, 0_usize..5, 0_i64..6, 0_usize..6, 0_u64..12, 0_u64..6);
    (prop::collection::vec(step, 0..60), 1_u16..9, any::<u64>())
        .prop_map(|(steps, shards, seed)| (world(&steps, shards), seed))
}

fn world(steps: &[Step], shards: Shard) -> Sample {
    const USERS: [&str; 5] = ["u1", "u2", "u3", "u4", "u5"];
    const STREAMERS: [&str; 5] = ["s1", "s2", "s3", "house", "s4"];
    let mut sample = Sample::new(shards);
    let mut gifts = Vec::new();
    for &(what, who, when, whom, paid_coins, bonus_coins) in steps {
        // Two days, either side of the end of November in Shanghai.
        let when = at(30, 15 * 60 + 57 + when);
        let n = paid_coins + bonus_coins;
        match what {
            0..=3 => {
                let activity = (what == 0).then_some("gala");
                let first = (STREAMERS[whom % 5], n);
                let values = [first, (STREAMERS[(whom + 1) % 5], bonus_coins)];
                let values = if what == 3 { &values[..] } else { &values[..1] };
                gifts.push(sample.gift_in(activity, USERS[who], when, values, paid_coins, bonus_coins));
            }
            4 | 5 if !gifts.is_empty() => sample.refund(gifts[whom * 7 % gifts.len()], n, when),
            6 if !gifts.is_empty() => sample.roll_back(gifts[whom * 7 % gifts.len()], n, when),
            7 => sample.top_up(USERS[who], n + 1, "1.00 CNY", "t1"),
            _ => {}
        }
    }
    sample
}
