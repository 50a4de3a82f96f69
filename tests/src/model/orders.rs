//! Gifts and game orders.

use schemas::{
    Account, ActivityId, Capture, Coins, CommandId, Gift, Hold, ItemId, OrderId, OrderName, OrderRef, PartName,
    ProviderId, Purpose, Refund, Rejection, RollBackRefund, RoomId, Source, Status, StreamerId, Subject, Timestamp,
    UserId,
};

use super::{
    Done, Model, Place,
    purse::{Homecoming, Piece, take_from_the_end, total, total_paid, use_again, use_besides},
    shares::{Share, held, split},
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
    /// When it was placed: nothing about it happens before.
    pub placed_at: Timestamp,
    /// What was charged, or is held.
    pub charged: i128,
    /// What of it has not gone back.
    pub left: i128,
    /// What that consists of, in order of consumption: each lot once.
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
        /// What of its value each recipient had when it was given.
        first: Vec<(StreamerId, i128)>,
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
    /// Which service asked for it, and under which id.
    by: (Source, CommandId),
    part: u8,
    happened_at: Timestamp,
    coins: i128,
    home: Homecoming,
    rolled_back_by: Option<CommandId>,
}

impl Order {
    /// An order as it shows outside, of a user with these amounts charged and left.
    pub fn seen(user: UserId, order: &schemas::Order, about: About) -> Self {
        Self {
            user,
            status: order.status,
            about,
            placed_at: order.placed_at,
            charged: coins(order.charged),
            left: coins(order.left),
            used: order.used.iter().map(Piece::of).collect(),
            refunds: Vec::new(),
        }
    }

    /// The same without what only roll-backs need to know.
    #[must_use]
    pub fn without_history(&self) -> Self {
        Self { refunds: Vec::new(), ..self.clone() }
    }

    /// Until when it must be sent, if it is a game order.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.about {
            About::Game { deadline, .. } => Some(deadline),
            About::Gift { .. } => None,
        }
    }

    /// What refunded it, with its service: each with whether it was rolled back.
    pub fn refunds(&self) -> impl Iterator<Item = (PartName, bool)> {
        let name = |refund: &Refunded| {
            let (source, command) = refund.by.clone();
            PartName { command, part: Some(refund.part), source: Some(source) }
        };
        self.refunds.iter().map(move |refund| (name(refund), refund.rolled_back_by.is_some()))
    }

    /// Whether another service than that has refunded it under this id too.
    pub fn is_refunded_by_others(&self, than: &Source, under: &CommandId) -> bool {
        self.refunds.iter().any(|Refunded { by: (source, id), .. }| id == under && source != than)
    }

    /// See [`Model::hear_too_large`].
    pub(super) fn bytes_since(&self, before: Option<&Self>) -> u64 {
        let ids: usize = match &self.about {
            About::Gift { first, .. } => first.iter().map(|(streamer, _)| streamer.as_str().len()).sum(),
            About::Game { .. } => 0,
        };
        let mut bytes = ids + 3 * self.used.len();
        for (nth, refund) in self.refunds.iter().enumerate() {
            let before = before.and_then(|before| before.refunds.get(nth));
            if before.is_none() {
                bytes += ids + 3 * (refund.home.restored.len() + refund.home.lapsed.len());
            }
            if refund.rolled_back_by.is_some() && before.is_none_or(|before| before.rolled_back_by.is_none()) {
                bytes += ids;
            }
        }
        u64::try_from(bytes).expect("a count of bytes")
    }

    /// What each recipient of a gift holds of it: that depends on how it began, on what is left, and on how much
    /// of that is paid.
    pub fn shares(&self) -> Vec<Share> {
        match &self.about {
            About::Gift { first, .. } => held(first, self.charged, self.left, total_paid(&self.used)),
            About::Game { .. } => Vec::new(),
        }
    }
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
        let (streamers, weights): (Vec<StreamerId>, Vec<i128>) = if gift.to.is_empty() {
            (vec![StreamerId::house()], vec![1])
        } else {
            gift.to.iter().map(|to| (to.streamer.clone(), i128::from(to.weight))).unzip()
        };
        let first: Vec<(StreamerId, i128)> = streamers.into_iter().zip(split(value, &weights)).collect();
        self.post(Account::User(gift.user.clone()), -charged);
        if let Some(step) = step {
            self.combos.insert(step, at.order());
        }
        let about = About::Gift { item: item.item, first, room: gift.room.clone(), activity: gift.activity.clone() };
        self.place(at, &gift.user, Status::Fulfilled, about, used);
        self.pay_recipients(at.order(), &[], charged);
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

    fn place(&mut self, at: &Place, user: &UserId, status: Status, about: About, used: Vec<Piece>) {
        let (charged, placed_at) = (total(&used), at.happens_at());
        let (user, refunds) = (user.clone(), Vec::new());
        let order = Order { user, status, about, placed_at, charged, left: charged, used, refunds };
        self.orders.insert(at.order(), order);
    }

    /// The order that is named, if it is the user's and has one of some statuses.
    fn find(&self, at: &Place, named: &OrderRef, allowed: &[Status]) -> Result<OrderId, Rejection> {
        let id = match &named.name {
            OrderName::Number(id) => Some(*id),
            OrderName::Command(name) => self.placed(at, &Subject::User(named.user.clone()), name),
        };
        let found = id.and_then(|id| self.orders.get(&id).map(|order| (id, order)));
        let (id, order) = found.filter(|(_, order)| order.user == named.user).ok_or(Rejection::OrderNotFound)?;
        if allowed.contains(&order.status) { Ok(id) } else { Err(Rejection::OrderStatus { status: order.status }) }
    }

    /// The same for a step, which does not happen before the order was placed.
    fn find_for_step(&self, at: &Place, named: &OrderRef, allowed: &[Status]) -> Result<OrderId, Rejection> {
        let id = self.find(at, named, allowed)?;
        not_before(at, self.orders[&id].placed_at)?;
        Ok(id)
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
        let id = self.find_for_step(at, order, &[Status::Held])?;
        self.in_time(id, at.now)?;
        self.order(id).status = Status::Sent;
        self.called(id);
        Ok(Done::order("sent", id))
    }

    pub(super) fn query(&mut self, at: &Place, order: &OrderRef) -> Result<Done, Rejection> {
        let id = self.find_for_step(at, order, &[Status::Sent, Status::Unknown])?;
        self.called(id);
        Ok(Done::order("queried", id))
    }

    pub(super) fn unresolved(&mut self, at: &Place, order: &OrderRef) -> Result<Done, Rejection> {
        let id = self.find_for_step(at, order, &[Status::Sent, Status::Unknown])?;
        self.order(id).status = Status::Unknown;
        Ok(Done::order("unresolved", id))
    }

    pub(super) fn hand_over(&mut self, at: &Place, order: &OrderRef) -> Result<Done, Rejection> {
        let id = self.find_for_step(at, order, &[Status::Sent, Status::Unknown])?;
        self.order(id).status = Status::Manual;
        Ok(Done::order("handed_over", id))
    }

    pub(super) fn capture(&mut self, at: &Place, capture: &Capture) -> Result<Done, Rejection> {
        let id =
            self.find_for_step(at, &capture.order, &[Status::Held, Status::Sent, Status::Unknown, Status::Manual])?;
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
        let id = self.find_for_step(at, order, &[Status::Held, Status::Sent, Status::Unknown, Status::Manual])?;
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
        let id = self.find_for_step(at, &refund.order, &[Status::Fulfilled])?;
        let left = self.order(id).left;
        let refunded = refund.coins.map_or(left, coins);
        if refunded > left {
            return Err(Rejection::ExceedsLeft { left: shown(left) });
        }
        let before = self.order(id).shares();
        let home = self.coins_return(id, refunded, at.now);
        let order = self.order(id);
        if order.left == 0 {
            order.status = Status::Refunded;
        }
        let (by, part, happened_at) = ((at.asker.clone(), at.id.clone()), at.part, at.happens_at());
        order.refunds.push(Refunded { by, part, happened_at, coins: refunded, home, rolled_back_by: None });
        self.pay(id, &before, -refunded);
        Ok(Done::order("refunded", id))
    }

    pub(super) fn roll_back(&mut self, at: &Place, roll_back: &RollBackRefund) -> Result<Done, Rejection> {
        let id = self.find(at, &roll_back.order, &[Status::Fulfilled, Status::Refunded])?;
        let before = self.order(id).shares();
        let (order, name) = (self.order(id), &roll_back.refund);
        let by = (name.source.clone().unwrap_or_else(|| at.asker.clone()), name.command.clone());
        let named = |refund: &&mut Refunded| refund.by == by && name.part.is_none_or(|part| part == refund.part);
        let refund = order.refunds.iter_mut().find(named).ok_or(Rejection::RefundNotFound)?;
        if let Some(first) = &refund.rolled_back_by {
            return Err(Rejection::AlreadyRolledBack { first: first.clone() });
        }
        not_before(at, refund.happened_at)?;
        refund.rolled_back_by = Some(at.id.clone());
        let Refunded { coins, home, .. } = refund.clone();
        let user = order.user.clone();

        // What had lapsed before the refund, and what the refund brought to a lot that has lapsed since.
        let mut lapsed = home.lapsed;
        let mut there = Vec::new();
        for piece in &home.restored {
            let taken = self.purse(&user).take_of(piece.lot, piece.coins);
            let missing = piece.coins - taken.as_ref().map_or(0, |taken| taken.coins);
            there.extend(taken);
            if let Some(with_lot) = self.lapses.get_mut(&(user.clone(), piece.lot)) {
                let some = missing.min(*with_lot);
                *with_lot -= some;
                lapsed.push(piece.some(some));
            }
        }
        let missing = coins - total(&lapsed) - total(&there);
        let others = self.purse(&user).burn(missing, at.now);
        let shortfall = missing - total(&others);
        self.post(Account::User(user), -total(&there) - total(&others));
        self.post(Account::Platform(Purpose::Expired), -total(&lapsed));

        let order = self.order(id);
        order.left += coins - shortfall;
        let again = lapsed.into_iter().chain(there).filter(|piece| piece.coins > 0);
        again.for_each(|piece| use_again(&mut order.used, piece));
        for piece in others {
            use_besides(&mut order.used, piece);
        }
        if order.left > 0 {
            order.status = Status::Fulfilled;
        }
        self.pay(id, &before, coins - shortfall);
        Ok(Done { event: "refund_rolled_back", order: Some(id), shortfall: Some(shortfall) })
    }

    /// `coins` more are charged, or less where below zero: whoever earns of them what they did not `before`.
    fn pay(&mut self, id: OrderId, before: &[Share], coins: i128) {
        match self.order(id).about {
            About::Gift { .. } => self.pay_recipients(id, before, coins),
            About::Game { .. } => self.pay_provider(id, coins),
        }
    }

    fn pay_recipients(&mut self, id: OrderId, before: &[Share], coins: i128) {
        let mut rest = coins;
        for (nth, share) in self.order(id).shares().into_iter().enumerate() {
            let more = share.value - before.get(nth).map_or(0, |before| before.value);
            rest -= more;
            self.post(Account::StreamerTurnover(share.streamer), more);
        }
        self.post(Account::Platform(Purpose::Gifts), rest);
    }

    fn pay_provider(&mut self, id: OrderId, coins: i128) {
        let About::Game { provider, .. } = &self.order(id).about else { panic!("a gift has no provider") };
        let provider = provider.clone();
        self.post(Account::ProviderPayable(provider), coins);
    }
}

/// Nothing happens before what it is about.
fn not_before(at: &Place, happened_at: Timestamp) -> Result<(), Rejection> {
    if at.happens_at() < happened_at { Err(Rejection::DatedBefore { happened_at }) } else { Ok(()) }
}
