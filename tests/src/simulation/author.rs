//! What clients ask for: valid and invalid commands over a few users, payments, items and orders, so
//! that they collide. They are made from what the model knows, which is what is durable by now, and name
//! everything in full that is not their own: how it is worded is left to [`super::services`].

use std::{fmt::Debug, fmt::Display, str::FromStr};

use schemas::{
    Capture, Change, Chargeback, Client, Coins, Combo, Command, CommandId, Credit, Entity, Envelope, Gift, GiftItem,
    Grant, HandOver, Hold, Money, OrderId, OrderName, OrderRef, PartName, Publish, Query, Recipient, Refund, Reinstate,
    Release, RollBackRefund, Send, Source, Status, Timestamp, TopUp, Unresolved, UserId,
};

use super::{
    crowd::Crowd,
    dice::{Concern, Dice},
};
use crate::{
    model::Model,
    scenes::{self, Choices},
};

const USERS: u64 = 4;
const PAYMENTS: u64 = 10;
const OPEN: [Status; 4] = [Status::Held, Status::Sent, Status::Unknown, Status::Manual];
const CHANNELS: [(&str, &str); 2] = [("apple", "USD"), ("wechat", "CNY")];

/// What is sold: item, price and value, and from and until when, in milliseconds from the publishing.
type Conditions = (&'static str, u64, u64, Option<i64>, Option<i64>);
const ITEMS: [Conditions; 6] = [
    ("rose", 1, 1, None, None),
    ("box", 100, 300, None, None),
    ("lamp", 7, 3, None, None),
    ("vast", 2, 1 << 52, None, None),
    ("later", 20, 20, Some(2_000), None),
    ("short", 30, 33, None, Some(3_000)),
];

/// Writes commands.
#[derive(Debug)]
pub struct Author {
    dice: Dice,
    /// Who placed orders, or tried to, by which command of which service.
    placing: Vec<(UserId, Source, CommandId)>,
    /// Ids that were used.
    used: Vec<CommandId>,
    /// Whether ids are as long as they can be, and do not compress: so segments fill up.
    long_ids: bool,
    crowd: Option<Crowd>,
}

/// What can be asked for.
#[derive(Debug, Clone, Copy)]
enum What {
    TopUp,
    Chargeback,
    Reinstate,
    Grant,
    Gift,
    Hold,
    Step,
    Capture,
    Release,
    Refund,
    RollBack,
    Group,
    Scene,
    Publish,
    Internal,
}

const WEIGHTS: [(u32, What); 15] = [
    (12, What::TopUp),
    (6, What::Chargeback),
    (4, What::Reinstate),
    (11, What::Grant),
    (25, What::Gift),
    (14, What::Hold),
    (18, What::Step),
    (8, What::Capture),
    (4, What::Release),
    (16, What::Refund),
    (10, What::RollBack),
    (10, What::Group),
    (7, What::Scene),
    (4, What::Publish),
    (1, What::Internal),
];

const GROUPED: [(u32, What); 8] = [
    (2, What::Grant),
    (4, What::Gift),
    (3, What::Hold),
    (1, What::Step),
    (2, What::Capture),
    (1, What::Release),
    (4, What::Refund),
    (3, What::RollBack),
];

/// The group that a command is written for.
#[derive(Clone, Copy)]
struct Group<'a> {
    user: &'a UserId,
    /// The members before.
    before: &'a [Command],
}

impl Group<'_> {
    /// The places of the members before that are so.
    fn places(&self, is_so: impl Fn(&Command) -> bool) -> Vec<u8> {
        (0..).zip(self.before).filter(|(_, member)| is_so(member)).map(|(place, _)| place).collect()
    }
}

impl Author {
    /// Of a schedule.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::of(seed, Concern::Commands);
        let long_ids = dice.happens(600);
        Self { dice, placing: Vec::new(), used: Vec::new(), long_ids, crowd: Crowd::new(seed) }
    }

    /// What comes first: something to buy, and something to spend.
    pub fn opening(&mut self, now: Timestamp) -> Vec<Envelope> {
        let publish = Publish { version: 1, part: 0, last: true, from: now, changes: items(now) };
        let mut envelopes = vec![plain("publish".to_owned(), Command::Publish(publish))];
        for user in 0..USERS - 1 {
            let coins = coins(self.dice.amount(100..=20_000));
            let payment = u64::from(self.dice.happens(900)) * (user + PAYMENTS);
            let top_up = self.top_up(user_id(user), payment, coins);
            envelopes.push(plain(format!("wealth-{user}"), top_up));
        }
        envelopes
    }

    /// The next command of a client, which belongs to a service.
    pub fn command(
        &mut self,
        (client, source): (usize, &Source),
        nth: usize,
        model: &Model,
        now: Timestamp,
    ) -> Envelope {
        let reused = !self.used.is_empty() && self.dice.happens(40);
        let name = if reused { self.dice.one_of(&self.used).clone() } else { self.name(client, nth) };
        let mut what = self.dice.weighed(&WEIGHTS);
        let (fits, instead): (fn(Status) -> bool, What) = match what {
            What::Step | What::Capture | What::Release => (|status| status.is_open(), What::Hold),
            What::Refund | What::RollBack => (|status| status == Status::Fulfilled, What::Gift),
            _ => (|_| true, what),
        };
        if !model.orders.values().any(|order| fits(order.status)) && self.dice.happens(850) {
            what = instead; // as long as there is no such order, most that ask for one make one
        }
        let user = user_id(self.dice.amount(0..=USERS - 1));
        let crowded = self.crowd.as_mut().and_then(|crowd| crowd.group(&user, model));
        let command = crowded.unwrap_or_else(|| self.write(what, &user, None, &name, model, now));
        if let Command::Gift(_) | Command::Hold(_) | Command::Group(_) = command {
            self.placing.push((command.touches().cloned().unwrap_or(user), source.clone(), name.clone()));
        }
        self.used.push(name.clone());
        let occurred_at = self.dice.happens(120).then(|| {
            now.plus_millis(match self.dice.below(4) {
                0 => self.dice.within(499..=501),
                _ => self.dice.within(-10_000..=0),
            })
        });
        let client = self.dice.happens(80).then(|| Client { device: Some(id("ios")), package: None, version: None });
        Envelope { id: name, occurred_at, actor: None, client: client.map(Box::new), command }
    }

    /// A gift that is not to be had.
    pub fn in_vain(&mut self, nth: usize) -> Envelope {
        let user = user_id(0);
        let nothing = Gift { item: id("nothing"), combo: None, quantity: 1, ..self.gift(user) };
        plain(format!("vain-{nth}"), Command::Gift(nothing))
    }

    fn name(&mut self, client: usize, nth: usize) -> CommandId {
        if !self.long_ids {
            return id(format!("c{client}-{nth}"));
        }
        let [a, b, c] = [(); 3].map(|()| self.dice.amount(0..=u64::MAX));
        id(format!("c{client}-{nth}-{a:016x}{b:016x}{c:016x}"))
    }

    fn write(
        &mut self,
        what: What,
        user: &UserId,
        group: Option<Group<'_>>,
        own: &CommandId,
        model: &Model,
        now: Timestamp,
    ) -> Command {
        let user = user.clone();
        match what {
            What::TopUp => {
                let coins = self.amount(500);
                let payment = self.dice.amount(0..=PAYMENTS - 1);
                self.top_up(user, payment, coins)
            }
            What::Chargeback => {
                let payment = self.dice.amount(0..=PAYMENTS + 2);
                let (channel, _) = CHANNELS[usize::from(payment % 2 == 1)];
                let transaction = id(format!("t{}", payment / 2));
                Command::Chargeback(Chargeback { channel: id(channel), transaction })
            }
            What::Reinstate => {
                let charged_back: Vec<_> = model.charged_back().cloned().collect();
                let (channel, transaction) = if charged_back.is_empty() || self.dice.happens(200) {
                    let payment = self.dice.amount(0..=PAYMENTS + 2);
                    (id(CHANNELS[usize::from(payment % 2 == 1)].0), id(format!("t{}", payment / 2)))
                } else {
                    self.dice.one_of(&charged_back).clone()
                };
                Command::Reinstate(Reinstate { channel, transaction })
            }
            What::Grant => {
                let coins = self.amount(100);
                let expires = self.dice.happens(750).then(|| self.ahead(now));
                Command::Grant(Grant { user, coins, expires, reason: id("goodwill") })
            }
            What::Gift => Command::Gift(self.gift(user)),
            What::Hold => {
                let there = model.users.get(&user).map_or(0, |purse| purse.spendable(now));
                let coins = self.amount(there);
                Command::Hold(Hold { user, provider: id("p1"), coins, deadline: self.ahead(now) })
            }
            What::Step => {
                let kind = if group.is_some() { 0 } else { self.dice.weighed(&[(3, 0), (1, 1), (1, 2), (1, 3)]) };
                let statuses: &[Status] = if kind == 0 { &[Status::Held] } else { &[Status::Sent, Status::Unknown] };
                let (order, _) = self.order(statuses, group, own, model);
                match kind {
                    0 => Command::Send(Send { order }),
                    1 => Command::Query(Query { order }),
                    2 => Command::Unresolved(Unresolved { order, reason: id("timeout") }),
                    _ => Command::HandOver(HandOver { order, reason: id("stuck") }),
                }
            }
            What::Capture => {
                let (order, left) = self.order(&OPEN, group, own, model);
                Command::Capture(Capture { order, coins: self.some_of(left) })
            }
            What::Release => {
                let (order, _) = self.order(&OPEN, group, own, model);
                Command::Release(Release { order, reason: id("rejected") })
            }
            What::Refund => {
                let (order, left) = self.order(&[Status::Fulfilled], group, own, model);
                Command::Refund(Refund { order, coins: self.some_of(left), reason: id("sorry") })
            }
            What::RollBack => self.roll_back(group, own, model),
            What::Group => {
                let members = self.dice.weighed(&[(1, 0), (4, 1), (8, 2), (6, 3), (4, 4), (3, 6)]);
                let stranger = self.dice.happens(30).then(|| user_id(USERS));
                let mut written = Vec::new();
                for n in 0..members {
                    let what = self.dice.weighed(&GROUPED);
                    let user = stranger.as_ref().filter(|_| n == 1).unwrap_or(&user);
                    let member = self.write(what, user, Some(Group { user, before: &written }), own, model, now);
                    written.push(member);
                }
                Command::Group(written)
            }
            What::Scene => {
                let choices = Choices {
                    scene: self.dice.weighed(&[(3, 0), (3, 1), (1, 2), (2, 3)]),
                    nth: self.dice.below(1_000),
                    coins: [(); 3].map(|()| self.dice.amount(0..=1_000)),
                    rolled_back: self.dice.weighed(&[(2, None), (1, Some(false)), (1, Some(true))]),
                };
                scenes::group(&user, own, choices, model, now)
            }
            What::Publish => Command::Publish(self.publish(model, now)),
            What::Internal => {
                let (channel, transaction) = (id("apple"), id("t0"));
                Command::Credit(Credit { user, coins: coins(10), channel, transaction })
            }
        }
    }

    fn top_up(&mut self, user: UserId, payment: u64, coins: Coins) -> Command {
        let (channel, currency) = CHANNELS[usize::from(payment % 2 == 1)];
        let paid = Money::from_minor(id(currency), self.dice.within(-1..=90).max(-1));
        Command::TopUp(TopUp { user, channel: id(channel), transaction: id(format!("t{}", payment / 2)), coins, paid })
    }

    fn gift(&mut self, user: UserId) -> Gift {
        let nothing = self.dice.happens(40);
        let (item, price, ..) = *self.dice.one_of(&ITEMS);
        let quantity = match self.dice.below(30) {
            0 => 0,
            1 => u64::MAX,
            2 => self.dice.amount(1 << 50..=1 << 53),
            3..8 => self.dice.amount(20..=500),
            _ => self.dice.amount(1..=19),
        };
        let mut to = Vec::new();
        for streamer in 0..4 {
            if self.dice.happens(350) {
                to.push(Recipient {
                    streamer: id(format!("s{streamer}")),
                    weight: u32::from(self.dice.happens(900)) * 3,
                });
            }
        }
        let step = self.dice.happens(300).then(|| (self.dice.below(2), self.dice.weighed(&[(2, 1), (1, 2)])));
        Gift {
            user,
            item: id(if nothing { "nothing" } else { item }),
            quantity,
            to: to.into_iter().collect(),
            room: self.dice.happens(500).then(|| id("r1")),
            combo: step.map(|(combo, count)| Combo { id: id(format!("x{combo}")), count }),
            activity: None,
            expected_price: self.dice.happens(100).then(|| coins(price + u64::from(self.dice.happens(300)))),
        }
    }

    fn publish(&mut self, model: &Model, now: Timestamp) -> Publish {
        let item = |item: Conditions| change(item, now);
        let changes = match self.dice.below(6) {
            0 => vec![Change::WithdrawItem(id("lamp")), Change::WithdrawItem(id("never"))],
            1 => vec![item(("lamp", 9, 4, None, None)), item(("rose", 2, 1, None, None))],
            2 => vec![item(("box", 0, 300, None, None))], // malformed: for nothing
            3 => vec![Change::Entity(entity(*self.dice.one_of(&[10, 100]))), item(("lamp", 8, 4, None, None))],
            _ => items(now),
        };
        let (whole, parts) = model.version();
        let version = if self.dice.happens(850) { whole + 1 } else { self.dice.amount(0..=3) };
        let part = self.dice.weighed(&[(6, parts), (3, 0), (1, parts + 1)]);
        let from = now.plus_millis(self.dice.within(-1_000..=1_000));
        Publish { version, part, last: self.dice.happens(500), from, changes }
    }

    fn roll_back(&mut self, group: Option<Group<'_>>, own: &CommandId, model: &Model) -> Command {
        let reason = id("mistaken");
        let here = group.map_or_else(Vec::new, |group| group.places(|member| matches!(member, Command::Refund(_))));
        if let Some(group) = group
            && !here.is_empty()
            && self.dice.happens(500)
        {
            // A refund of the same group; now and then without its part, so the first one.
            let place = *self.dice.one_of(&here);
            let Command::Refund(Refund { order, .. }) = &group.before[usize::from(place)] else {
                unreachable!("it is a refund");
            };
            let refund = PartName { command: own.clone(), part: self.dice.happens(850).then_some(place), source: None };
            return Command::RollBackRefund(RollBackRefund { order: order.clone(), refund, reason });
        }
        let all = self.dice.happens(100);
        let theirs = model.orders.iter().filter(|(_, order)| group.is_none_or(|group| order.user == *group.user));
        let refunds: Vec<(OrderId, PartName)> = theirs
            .flat_map(|(id, order)| order.refunds().map(|(refund, rolled_back)| (*id, refund, rolled_back)))
            .filter(|(.., rolled_back)| all || !rolled_back)
            .map(|(order, refund, _)| (order, refund))
            .collect();
        // Where two services have used one id, that is what may go wrong.
        let is_one_of_two = |(order, refund): &&(OrderId, PartName)| {
            let source = refund.source.as_ref().expect("it is named in full");
            model.orders[order].is_refunded_by_others(source, &refund.command)
        };
        let of_two: Vec<(OrderId, PartName)> = refunds.iter().filter(is_one_of_two).cloned().collect();
        let refunds = if of_two.is_empty() { refunds } else { of_two };
        if refunds.is_empty() {
            let (order, _) = self.order(&[Status::Fulfilled], group, own, model);
            return Command::RollBackRefund(RollBackRefund { order, refund: id::<CommandId>("c0-0").into(), reason });
        }
        let (order, mut refund) = self.dice.one_of(&refunds).clone();
        let user = model.orders[&order].user.clone();
        match self.dice.below(20) {
            0 => refund.command = id("c0-1"),
            1 => refund.part = Some(9),
            2..5 => refund.part = None,
            _ => {}
        }
        let order = OrderRef { user, name: OrderName::Number(order) };
        Command::RollBackRefund(RollBackRefund { order, refund, reason })
    }

    /// An order's name and what is left of it; mostly one in these statuses, if there is one.
    fn order(
        &mut self,
        statuses: &[Status],
        group: Option<Group<'_>>,
        own: &CommandId,
        model: &Model,
    ) -> (OrderRef, i128) {
        if let Some(group) = group
            && self.dice.happens(450)
            && let Some(found) = self.order_of_group(statuses, group, own)
        {
            return found;
        }
        if self.dice.happens(150) {
            // By a command, which may be under way, or may have placed nothing.
            let theirs: Vec<&(UserId, Source, CommandId)> =
                self.placing.iter().filter(|(user, ..)| group.is_none_or(|group| user == group.user)).collect();
            let last = theirs.len().saturating_sub(6);
            if let Some((user, source, command)) =
                theirs.get(last..).filter(|some| !some.is_empty()).map(|some| *self.dice.one_of(some))
            {
                let part = self.dice.weighed(&[(4, None), (3, Some(0)), (2, Some(1)), (1, Some(2))]);
                let name = PartName { command: command.clone(), part, source: Some(source.clone()) };
                return (OrderRef { user: user.clone(), name: OrderName::Command(name) }, 50);
            }
        }
        let any = self.dice.happens(100);
        let theirs = model.orders.iter().filter(|(_, order)| group.is_none_or(|group| order.user == *group.user));
        let fitting: Vec<_> = theirs.filter(|(_, order)| any || statuses.contains(&order.status)).collect();
        if fitting.is_empty() {
            let user = group.map_or_else(|| user_id(0), |group| group.user.clone());
            return (OrderRef { user, name: own.clone().into() }, 1);
        }
        let (number, order) = *self.dice.one_of(&fitting);
        let astray = self.dice.happens(30);
        let number = OrderId { part: number.part + u8::from(astray && group.is_some()), ..*number };
        let user = if astray && group.is_none() { user_id(USERS) } else { order.user.clone() };
        (OrderRef { user, name: OrderName::Number(number) }, order.left)
    }

    /// What an earlier member of the same group placed, if one fits.
    fn order_of_group(&mut self, statuses: &[Status], group: Group<'_>, own: &CommandId) -> Option<(OrderRef, i128)> {
        let wants_held = statuses.contains(&Status::Held);
        let fitting = group.places(|member| match member {
            Command::Gift(_) => !wants_held,
            Command::Hold(_) => wants_held,
            _ => false,
        });
        if fitting.is_empty() {
            return None;
        }
        let place = *self.dice.one_of(&fitting);
        let charged = match &group.before[usize::from(place)] {
            Command::Hold(hold) => i128::from(hold.coins.get()),
            Command::Gift(gift) => {
                let item = ITEMS.iter().find(|item| item.0 == gift.item.as_str())?;
                i128::from(item.1) * i128::from(gift.quantity)
            }
            _ => return None,
        };
        let part = self.dice.happens(850).then_some(place);
        let name = OrderName::Command(PartName { command: own.clone(), part, source: None });
        Some((OrderRef { user: group.user.clone(), name }, charged))
    }

    /// Some of what there is, or nothing said, which means all.
    fn some_of(&mut self, there: i128) -> Option<Coins> {
        self.dice.happens(700).then(|| self.amount(there))
    }

    fn amount(&mut self, there: i128) -> Coins {
        let many = match self.dice.below(50) {
            0 => 0,
            1 => i128::from(Coins::MAX.get()) - i128::from(self.dice.below(2) as u64) * 20_000,
            2..9 => there + i128::from(self.dice.within(-1..=1)),
            9..16 => there / 2,
            16..22 => i128::from(self.dice.within(400..=5_000)),
            _ => i128::from(self.dice.within(1..=399)),
        };
        coins(u64::try_from(many.max(0)).unwrap_or(u64::MAX))
    }

    /// Mostly a little ahead, sometimes now or before.
    fn ahead(&mut self, now: Timestamp) -> Timestamp {
        now.plus_millis(match self.dice.below(9) {
            0 => self.dice.within(-5..=1),
            1..4 => self.dice.within(3_000..=60_000),
            _ => self.dice.within(1..=3_000),
        })
    }
}

fn plain(name: String, command: Command) -> Envelope {
    Envelope { id: id(name), occurred_at: None, actor: None, client: None, command }
}

fn items(now: Timestamp) -> Vec<Change> {
    ITEMS.into_iter().map(|item| change(item, now)).collect()
}

fn change((item, price, value, from, until): Conditions, now: Timestamp) -> Change {
    let at = |millis: Option<i64>| millis.map(|millis| now.plus_millis(millis));
    Change::Item(GiftItem {
        item: id(item),
        price: coins(price),
        value: coins(value),
        from: at(from),
        until: at(until),
    })
}

fn entity(coins_per_unit: u32) -> Entity {
    let entity = format!(r#"{{"currency":"CNY","zone":"Asia/Shanghai","coins_per_unit":{coins_per_unit}}}"#);
    serde_json::from_str(&entity).expect("an entity")
}

fn coins(coins: u64) -> Coins {
    Coins::new(coins.min(Coins::MAX.get())).expect("it was capped")
}

fn id<T: FromStr<Err: Debug>>(text: impl Display) -> T {
    text.to_string().parse().expect("an id")
}

fn user_id(user: u64) -> UserId {
    id(format!("u{}", user + 1))
}
