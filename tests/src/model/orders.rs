//! Gifts and game orders.

use schemas::{
    Account, ActivityId, Capture, Coins, CommandId, Gift, Hold, ItemId, OrderId, OrderName, OrderRef, ProviderId,
    Purpose, Refund, Rejection, RollBackRefund, RoomId, Status, StreamerId, Subject, Timestamp, UserId,
};

use super::{
    Done, Model, Place,
    purse::{Homecoming, Piece, joined, take_from_the_end, total, total_paid},
    shares::{Share, bases, split, split_or_equally, values},
    shown,
};

/// One purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Whose.
    pub user: UserId,
    /// How far it has come.
    pub status: Status,
    /// What it is about.
    pub about: About,
    /// What was charged, or is held.
    pub charged: i128,
    /// What of it has not gone back.
    pub left: i128,
    /// What that consists of, in order of consumption.
    pub used: Vec<Piece>,
    refunds: Vec<Refunded>,
}

/// What an order is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A gift.
    Gift {
        /// What was given.
        item: ItemId,
        /// Recipient value when it was given.
        value: i128,
        /// What each recipient has of it.
        shares: Vec<Share>,
        /// When it happened, if that is not when it was decided.
        happened: Option<Timestamp>,
        /// Where.
        room: Option<RoomId>,
        /// What for.
        activity: Option<ActivityId>,
    },
    /// A game order.
    Game {
        /// Who delivers.
        provider: ProviderId,
        /// Until when it must be sent.
        deadline: Timestamp,
        /// How often the provider was called.
        attempts: u32,
    },
}

/// A refund of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refunded {
    by: CommandId,
    coins: i128,
    home: Homecoming,
    /// What each recipient lost.
    lost: Vec<Share>,
    rolled_back_by: Option<CommandId>,
}

impl Order {
    /// An order as it shows outside.
    pub fn seen(user: UserId, status: Status, about: About, (charged, left): (i128, i128), lots: &[Piece]) -> Self {
        Self { user, status, about, charged, left, used: joined(lots), refunds: Vec::new() }
    }

    /// The same without what only roll-backs need to know.
    #[must_use]
    pub fn without_history(&self) -> Self {
        Self { used: joined(&self.used), refunds: Vec::new(), ..self.clone() }
    }

    /// Until when it must be sent, if it is a game order.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.about {
            About::Game { deadline, .. } => Some(deadline),
            About::Gift { .. } => None,
        }
    }

    /// The commands that refunded it.
    pub fn refunds(&self) -> impl Iterator<Item = &CommandId> {
        self.refunds.iter().map(|refund| &refund.by)
    }

    /// What the recipients should have of value and base for what is left.
    fn targets(&self, value: i128) -> (i128, i128) {
        let value_left = value * self.left / self.charged;
        let base = if self.left == 0 { 0 } else { value_left * total_paid(&self.used) / self.left };
        (value_left, base)
    }

    /// Less is left: what each recipient loses.
    fn shares_fall(&mut self) -> Vec<Share> {
        let About::Gift { value, ref shares, .. } = self.about else { return Vec::new() };
        let (target_value, target_base) = self.targets(value);
        let value_lost = (values(shares).iter().sum::<i128>() - target_value).max(0);
        let base_lost = (bases(shares).iter().sum::<i128>() - target_base).max(0);
        let lost = zip(shares, split(value_lost, &values(shares)), split(base_lost, &bases(shares)));
        self.change_shares(&lost, -1);
        lost
    }

    /// More is left: what each recipient gets back of what they lost.
    fn shares_rise(&mut self, lost: &[Share]) -> Vec<Share> {
        let About::Gift { value, ref shares, .. } = self.about else { return Vec::new() };
        let (target_value, target_base) = self.targets(value);
        let value_more = (target_value - values(shares).iter().sum::<i128>()).max(0);
        let base_more = (target_base - bases(shares).iter().sum::<i128>()).max(0);
        let back = zip(shares, split_or_equally(value_more, &values(lost)), split_or_equally(base_more, &bases(lost)));
        self.change_shares(&back, 1);
        back
    }

    fn change_shares(&mut self, by: &[Share], sign: i128) {
        let About::Gift { shares, .. } = &mut self.about else { return };
        for (share, by) in shares.iter_mut().zip(by) {
            share.value += sign * by.value;
            share.base += sign * by.base;
            assert!(share.value >= 0 && share.base >= 0, "a share below zero");
        }
    }
}

fn zip(shares: &[Share], values: Vec<i128>, bases: Vec<i128>) -> Vec<Share> {
    let amounts = values.into_iter().zip(bases);
    shares.iter().zip(amounts).map(|(s, (value, base))| Share { streamer: s.streamer.clone(), value, base }).collect()
}

fn coins(coins: Coins) -> i128 {
    i128::from(coins.get())
}

impl Model {
    pub(super) fn gift(&mut self, at: &Place, gift: &Gift) -> Result<Done, Rejection> {
        let item = self.catalogues[usize::from(at.shard)].on_sale(&gift.item, at.now)?;
        if gift.expected_price.is_some_and(|expected| expected != item.price) {
            return Err(Rejection::PriceChanged { price: item.price });
        }
        let step = gift.combo.clone().map(|combo| (gift.user.clone(), combo));
        if let Some(order) = step.as_ref().and_then(|step| self.combos.get(step)) {
            return Err(Rejection::ComboCounted { order: *order });
        }
        let charged = coins(item.price) * i128::from(gift.quantity);
        let value = coins(item.value) * i128::from(gift.quantity);
        self.can_spend(at, &gift.user, charged)?;
        if value > coins(Coins::MAX) {
            return Err(Rejection::AmountTooLarge);
        }
        let used = self.purse(&gift.user).burn(charged, at.now);
        let base = value * total_paid(&used) / charged;
        let (streamers, weights): (Vec<StreamerId>, Vec<i128>) = if gift.to.is_empty() {
            (vec![StreamerId::house()], vec![1])
        } else {
            gift.to.iter().map(|to| (to.streamer.clone(), i128::from(to.weight))).unzip()
        };
        let by_weight = split(value, &weights);
        let based = split(base, &by_weight);
        let amounts = by_weight.into_iter().zip(based);
        let shares: Vec<Share> = streamers
            .into_iter()
            .zip(amounts)
            .map(|(streamer, (value, base))| Share { streamer, value, base })
            .collect();
        self.post(Account::User(gift.user.clone()), -charged);
        self.pay_recipients(&shares, charged, 1);
        if let Some(step) = step {
            self.combos.insert(step, at.order());
        }
        let about = About::Gift {
            item: item.item,
            value,
            shares,
            happened: at.happened,
            room: gift.room.clone(),
            activity: gift.activity.clone(),
        };
        self.place(at, &gift.user, Status::Fulfilled, about, used);
        Ok(Done::order("gift_given", at.order()))
    }

    pub(super) fn hold(&mut self, at: &Place, hold: &Hold) -> Result<Done, Rejection> {
        if hold.deadline <= at.now {
            return Err(Rejection::DeadlinePassed { deadline: hold.deadline });
        }
        self.can_spend(at, &hold.user, coins(hold.coins))?;
        let used = self.purse(&hold.user).burn(coins(hold.coins), at.now);
        self.post(Account::User(hold.user.clone()), -coins(hold.coins));
        self.post(Account::Held(at.order()), coins(hold.coins));
        let about = About::Game { provider: hold.provider.clone(), deadline: hold.deadline, attempts: 0 };
        self.place(at, &hold.user, Status::Held, about, used);
        Ok(Done::order("held", at.order()))
    }

    fn can_spend(&mut self, at: &Place, user: &UserId, charged: i128) -> Result<(), Rejection> {
        let purse = self.purse(user);
        if purse.debt > 0 {
            return Err(Rejection::InDebt { debt: shown(purse.debt) });
        }
        let (available, most) = (purse.spendable(at.now), coins(Coins::MAX));
        if available < charged.min(most) {
            return Err(Rejection::InsufficientFunds { available: shown(available) });
        }
        // So there are more coins than an amount can be.
        if charged > most {
            return Err(Rejection::AmountTooLarge);
        }
        Ok(())
    }

    fn place(&mut self, at: &Place, user: &UserId, status: Status, about: About, lots: Vec<Piece>) {
        let charged = total(&lots);
        let order =
            Order { user: user.clone(), status, about, charged, left: charged, used: lots, refunds: Vec::new() };
        self.orders.insert(at.order(), order);
    }

    /// The order that is named, if it is the user's and has one of some statuses.
    fn find(&self, named: &OrderRef, allowed: &[Status]) -> Result<OrderId, Rejection> {
        let id = match &named.name {
            OrderName::Number(id) => Some(*id),
            OrderName::Command(name) => self.placed(&Subject::User(named.user.clone()), &name.command),
        };
        let found = id.and_then(|id| self.orders.get(&id).map(|order| (id, order)));
        let (id, order) = found.filter(|(_, order)| order.user == named.user).ok_or(Rejection::OrderNotFound)?;
        if allowed.contains(&order.status) { Ok(id) } else { Err(Rejection::OrderStatus { status: order.status }) }
    }

    fn order(&mut self, id: OrderId) -> &mut Order {
        self.orders.get_mut(&id).expect("it was found")
    }

    /// A hold that was not sent in time can only go back.
    fn in_time(&mut self, id: OrderId, now: Timestamp) -> Result<(), Rejection> {
        let order = self.order(id);
        match order.deadline() {
            Some(deadline) if order.status == Status::Held && now >= deadline => {
                Err(Rejection::DeadlinePassed { deadline })
            }
            _ => Ok(()),
        }
    }

    fn called(&mut self, id: OrderId) {
        if let About::Game { attempts, .. } = &mut self.order(id).about {
            *attempts += 1;
        }
    }

    pub(super) fn send(&mut self, at: &Place, order: &OrderRef) -> Result<Done, Rejection> {
        let id = self.find(order, &[Status::Held])?;
        self.in_time(id, at.now)?;
        self.order(id).status = Status::Sent;
        self.called(id);
        Ok(Done::order("sent", id))
    }

    pub(super) fn query(&mut self, order: &OrderRef) -> Result<Done, Rejection> {
        let id = self.find(order, &[Status::Sent, Status::Unknown])?;
        self.called(id);
        Ok(Done::order("queried", id))
    }

    pub(super) fn unresolved(&mut self, order: &OrderRef) -> Result<Done, Rejection> {
        let id = self.find(order, &[Status::Sent, Status::Unknown])?;
        self.order(id).status = Status::Unknown;
        Ok(Done::order("unresolved", id))
    }

    pub(super) fn hand_over(&mut self, order: &OrderRef) -> Result<Done, Rejection> {
        let id = self.find(order, &[Status::Sent, Status::Unknown])?;
        self.order(id).status = Status::Manual;
        Ok(Done::order("handed_over", id))
    }

    pub(super) fn capture(&mut self, at: &Place, capture: &Capture) -> Result<Done, Rejection> {
        let id = self.find(&capture.order, &[Status::Held, Status::Sent, Status::Unknown, Status::Manual])?;
        self.in_time(id, at.now)?;
        let held = self.order(id).left;
        let captured = capture.coins.map_or(held, coins);
        if captured > held {
            return Err(Rejection::ExceedsLeft { left: shown(held) });
        }
        self.coins_return(id, held - captured, at.now);
        let order = self.order(id);
        order.status = Status::Fulfilled;
        order.charged = captured;
        self.post(Account::Held(id), -held);
        self.pay_provider(id, captured);
        Ok(Done::order("captured", id))
    }

    pub(super) fn release(&mut self, at: &Place, order: &OrderRef) -> Result<Done, Rejection> {
        let id = self.find(order, &[Status::Held, Status::Sent, Status::Unknown, Status::Manual])?;
        self.give_back_held(id, at.now);
        Ok(Done::order("released", id))
    }

    /// Ends a hold without a charge.
    pub(super) fn give_back_held(&mut self, id: OrderId, now: Timestamp) {
        let held = self.order(id).left;
        self.coins_return(id, held, now);
        self.order(id).status = Status::Released;
        self.post(Account::Held(id), -held);
    }

    /// Coins of an order go back to its user, those used last first.
    fn coins_return(&mut self, id: OrderId, coins: i128, now: Timestamp) -> Homecoming {
        let order = self.order(id);
        let user = order.user.clone();
        let back = take_from_the_end(&mut order.used, coins);
        order.left -= coins;
        let home = self.purse(&user).come_back(back, now);
        self.post(Account::User(user), total(&home.restored) + home.debt_paid);
        self.post(Account::Platform(Purpose::Expired), total(&home.lapsed));
        home
    }

    pub(super) fn refund(&mut self, at: &Place, refund: &Refund) -> Result<Done, Rejection> {
        let id = self.find(&refund.order, &[Status::Fulfilled])?;
        let left = self.order(id).left;
        let refunded = refund.coins.map_or(left, coins);
        if refunded > left {
            return Err(Rejection::ExceedsLeft { left: shown(left) });
        }
        let home = self.coins_return(id, refunded, at.now);
        let order = self.order(id);
        if order.left == 0 {
            order.status = Status::Refunded;
        }
        let lost = order.shares_fall();
        order.refunds.push(Refunded {
            by: at.id.clone(),
            coins: refunded,
            home,
            lost: lost.clone(),
            rolled_back_by: None,
        });
        self.pay(id, &lost, refunded, -1);
        Ok(Done::order("refunded", id))
    }

    pub(super) fn roll_back(&mut self, at: &Place, roll_back: &RollBackRefund) -> Result<Done, Rejection> {
        let id = self.find(&roll_back.order, &[Status::Fulfilled, Status::Refunded])?;
        let order = self.order(id);
        let refund = order.refunds.iter_mut().find(|refund| refund.by == roll_back.refund.command);
        let refund = refund.ok_or(Rejection::RefundNotFound)?;
        if let Some(first) = &refund.rolled_back_by {
            return Err(Rejection::AlreadyRolledBack { first: first.clone() });
        }
        refund.rolled_back_by = Some(at.id.clone());
        let Refunded { coins, home, lost, .. } = refund.clone();
        let user = order.user.clone();

        let unlapsed = total(&home.lapsed);
        let purse = self.purse(&user);
        let mut taken: Vec<Piece> = Vec::new();
        for piece in &home.restored {
            taken.extend(purse.take_of(piece.lot, piece.coins, at.now));
        }
        taken.extend(purse.burn(coins - unlapsed - total(&taken), at.now));
        let shortfall = coins - unlapsed - total(&taken);
        self.post(Account::User(user), -total(&taken));
        self.post(Account::Platform(Purpose::Expired), -unlapsed);

        let order = self.order(id);
        order.left += coins - shortfall;
        order.used.extend(home.lapsed);
        order.used.extend(taken);
        if order.left > 0 {
            order.status = Status::Fulfilled;
        }
        let back = order.shares_rise(&lost);
        self.pay(id, &back, coins - shortfall, 1);
        Ok(Done { event: "refund_rolled_back", order: Some(id), shortfall: Some(shortfall) })
    }

    /// Whoever earned `coins` of a charge gets them (1) or loses them (−1).
    fn pay(&mut self, id: OrderId, shares: &[Share], coins: i128, sign: i128) {
        match self.order(id).about {
            About::Gift { .. } => self.pay_recipients(shares, coins, sign),
            About::Game { .. } => self.pay_provider(id, sign * coins),
        }
    }

    fn pay_recipients(&mut self, shares: &[Share], coins: i128, sign: i128) {
        for share in shares {
            self.post(Account::StreamerTurnover(share.streamer.clone()), sign * share.value);
        }
        self.post(Account::Platform(Purpose::Gifts), sign * (coins - values(shares).iter().sum::<i128>()));
    }

    fn pay_provider(&mut self, id: OrderId, coins: i128) {
        let About::Game { provider, .. } = &self.order(id).about else { panic!("a gift has no provider") };
        let provider = provider.clone();
        self.post(Account::ProviderPayable(provider), coins);
    }
}
