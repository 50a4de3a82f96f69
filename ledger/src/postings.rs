//! The postings of a record: a pure function of its event, so that nobody needs to store them.
//! Signs as in `schemas::Account`: plus is what is owed to the holder.
//!
//! | event | postings (each line sums to zero) |
//! |---|---|
//! | top-up claimed | `platform:issued` −c, `transit:s:t` +c · `channel:…:receivable` −m, `platform:sales` +m |
//! | top-up credited | `transit:s:t` −c, `user` +c (what paid debt included: debt is a negative balance) |
//! | chargeback claimed | `transit:s:t` −c, `platform:issued` +c · `platform:sales` −m, `channel:…:receivable` +m |
//! | charged back | `user` −c (debt included), `transit:s:t` +c |
//! | top-up reversed | `channel:…:receivable` −m, `platform:sales` +m, and both the other way |
//! | reinstate claimed | as top-up claimed |
//! | reinstated | `transit:s:t` −c, `user` +c (what paid debt included) |
//! | granted | `platform:grants` −c, `user` +c |
//! | lot expired | `user` −c, `platform:expired` +c |
//! | gift given | `user` −charged, each `streamer:…:turnover` +value, `platform:gifts` + the difference |
//! | held | `user` −c, `held:<order>` +c |
//! | captured | `held` −all, `provider:…:payable` +captured, `user` +restored, `platform:expired` +lapsed |
//! | released | `held` −all, `user` +restored, `platform:expired` +lapsed |
//! | refunded | the gift or the capture, the other way, for the part refunded |
//! | refund rolled back | the refund, the other way, for the part taken |
//!
//! Steps that move no coins, a chargeback or reinstatement that is only remembered, reference data and refusals
//! have none.

use schemas::{
    Account, Asset, Coins, Event, Lots, OrderId, OrderKind, Posting, Purpose, Record, Returned, ShareMoved, StreamerId,
    Subject, Unlapsed, coins_of,
};
use smallvec::SmallVec;

/// The postings of one event.
pub type Postings = SmallVec<[Posting; 4]>;

/// The postings of every event of a record; none for a refusal.
pub fn postings(record: &Record) -> Postings {
    let mut lines = Postings::new();
    each_posting(record, |posting| lines.push(posting));
    lines
}

/// Gives each posting of every event of a record to `visit`, in order.
pub fn each_posting(record: &Record, visit: impl FnMut(Posting)) {
    let mut lines = Lines { record, visit };
    for (part, event) in record.events() {
        lines.event(part, event);
    }
}

/// The postings of the part `part` of a record.
pub fn postings_of(record: &Record, part: u8, event: &Event) -> Postings {
    let mut lines = Postings::new();
    Lines { record, visit: |posting| lines.push(posting) }.event(part, event);
    lines
}

struct Lines<'a, V> {
    record: &'a Record,
    visit: V,
}

impl<'a, V: FnMut(Posting)> Lines<'a, V> {
    fn add(&mut self, account: Account, amount: i64) {
        self.add_asset(account, Asset::Coin, amount);
    }

    fn add_asset(&mut self, account: Account, asset: Asset, amount: i64) {
        if amount != 0 {
            (self.visit)(Posting { account, asset, amount });
        }
    }

    fn user(&self) -> Account {
        match &self.record.subject {
            Subject::User(user) => Account::User(user.clone()),
            other => panic!("an event of a user's wallet stands under {other}"),
        }
    }

    fn event(&mut self, part: u8, event: &Event) {
        match event {
            Event::TopUpClaimed(e) => {
                let coins = amount(e.coins);
                self.add(Account::Platform(Purpose::Issued), -coins);
                self.add(self.transit_to(e.dispatch.target), coins);
                self.channel(e.paid, -1);
            }
            Event::ChargebackClaimed(e) => {
                let coins = amount(e.coins);
                self.add(self.transit_to(e.dispatch.target), -coins);
                self.add(Account::Platform(Purpose::Issued), coins);
                self.channel(e.returned, 1);
            }
            Event::TopUpReversed(e) => {
                self.channel(e.paid, -1);
                self.channel(e.paid, 1);
            }
            Event::ReinstateClaimed(e) => {
                let coins = amount(e.coins);
                self.add(Account::Platform(Purpose::Issued), -coins);
                self.add(self.transit_to(e.dispatch.target), coins);
                self.channel(e.paid, -1);
            }
            Event::Reinstated(e) => {
                let coins = total(&e.restored) + amount(e.debt_paid);
                self.add(self.transit_from(e.source), -coins);
                self.add(self.user(), coins);
            }
            Event::TopUpCredited(e) => {
                self.add(self.transit_from(e.source), -amount(e.coins));
                self.add(self.user(), amount(e.coins));
            }
            Event::ChargedBack(e) => {
                let coins = total(&e.taken) + amount(e.debt);
                self.add(self.user(), -coins);
                self.add(self.transit_from(e.source), coins);
            }
            Event::Granted(e) => {
                self.add(Account::Platform(Purpose::Grants), -amount(e.coins));
                self.add(self.user(), amount(e.coins));
            }
            Event::LotExpired(e) => {
                self.add(self.user(), -amount(e.lot.coins));
                self.add(Account::Platform(Purpose::Expired), amount(e.lot.coins));
            }
            Event::GiftGiven(e) => {
                self.add(self.user(), -amount(e.charged));
                self.recipients(e.shares.iter().map(|s| (&s.streamer, s.value)), amount(e.charged), 1);
            }
            Event::Held(e) => {
                let coins = total(&e.used);
                self.add(self.user(), -coins);
                self.add(Account::Held(self.record.order_id(part)), coins);
            }
            Event::Captured(e) => {
                let (charged, back) = (amount(e.coins), returned(&e.released));
                self.add(Account::Held(e.order), -(charged + back));
                self.provider(e.order, charged);
                self.back(&e.released);
            }
            Event::Released(e) => {
                self.add(Account::Held(e.order), -returned(&e.released));
                self.back(&e.released);
            }
            Event::Refunded(e) => {
                self.back(&e.returned);
                self.charge(e.order, &e.taken, amount(e.coins), -1);
            }
            Event::RefundRolledBack(e) => {
                let (taken, unexpired) = (total(&e.taken), total(&e.unexpired) + unlapsed(&e.unlapsed));
                self.add(self.user(), -taken);
                self.add(Account::Platform(Purpose::Expired), -unexpired);
                self.charge(e.order, &e.given, taken + unexpired, 1);
            }
            Event::ChargebackRemembered(_)
            | Event::ReinstateRemembered(_)
            | Event::ReferencePublished(_)
            | Event::ReferenceTaken(_)
            | Event::Sent(_)
            | Event::Queried(_)
            | Event::Unresolved(_)
            | Event::HandedOver(_) => {}
            Event::Group(_) => panic!("a group within a group"),
        }
    }

    /// What a channel owes for a payment, and what was sold for it.
    fn channel(&mut self, money: schemas::Money, sign: i64) {
        let Subject::Transaction { channel, .. } = &self.record.subject else {
            panic!("a claim stands under {}", self.record.subject)
        };
        let asset = Asset::Currency(money.currency());
        self.add_asset(Account::ChannelReceivable(channel.clone()), asset, sign * money.minor());
        self.add_asset(Account::Platform(Purpose::Sales), asset, -sign * money.minor());
    }

    /// What recipients are credited with (`sign` 1) or lose (−1) for a charge of `coins`.
    fn recipients<'s>(&mut self, values: impl Iterator<Item = (&'s StreamerId, Coins)>, coins: i64, sign: i64) {
        let mut all = 0;
        for (streamer, value) in values {
            all += amount(value);
            self.add(Account::StreamerTurnover(streamer.clone()), sign * amount(value));
        }
        self.add(Account::Platform(Purpose::Gifts), sign * (coins - all));
    }

    /// Who earned a charge of `coins`, for the kind of order.
    fn charge(&mut self, order: OrderId, shares: &[ShareMoved], coins: i64, sign: i64) {
        match self.kind(order) {
            OrderKind::Gift { .. } => self.recipients(shares.iter().map(|s| (&s.streamer, s.value)), coins, sign),
            OrderKind::Game { .. } => self.provider(order, sign * coins),
        }
    }

    fn provider(&mut self, order: OrderId, coins: i64) {
        let OrderKind::Game { provider, .. } = self.kind(order) else { panic!("order {order} has no provider") };
        self.add(Account::ProviderPayable(provider.clone()), coins);
    }

    /// What an order is about that the record moved.
    fn kind(&self, order: OrderId) -> &'a OrderKind {
        let record: &'a Record = self.record;
        &record.moved(order).unwrap_or_else(|| panic!("the record does not show order {order}, which it moved")).kind
    }

    fn back(&mut self, returned: &Returned) {
        self.add(self.user(), total(&returned.restored) + total(&returned.debt_paid));
        self.add(Account::Platform(Purpose::Expired), total(&returned.expired));
    }

    fn transit_to(&self, target: schemas::Shard) -> Account {
        Account::Transit { source: self.record.shard, target }
    }

    fn transit_from(&self, source: schemas::Shard) -> Account {
        Account::Transit { source, target: self.record.shard }
    }
}

fn amount(coins: Coins) -> i64 {
    i64::try_from(coins.get()).expect("coins stay below 2^53")
}

fn total(lots: &Lots) -> i64 {
    amount(coins_of(lots).expect("an event's lots were summed when it was decided"))
}

fn returned(returned: &Returned) -> i64 {
    total(&returned.restored) + total(&returned.debt_paid) + total(&returned.expired)
}

fn unlapsed(unlapsed: &[Unlapsed]) -> i64 {
    unlapsed.iter().map(|unlapsed| amount(unlapsed.lot.coins)).sum()
}
