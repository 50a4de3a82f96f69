//! What the ledger remembers of a user: the wallet and the orders whose coins are on hold.

use std::{cmp::Ordering, sync::Arc};

use schemas::{Event, Lot, LotId, LotKind, Order, OrderId, Returned, Shard, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{sorted::Sorted, wallet::Wallet};

/// A user's wallet and open orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    wallet: Wallet,
    /// Orders whose coins are on hold, by number. Never there without one.
    open: Option<Box<Sorted<Arc<Order>>>>,
}

/// Where an event stands: what its lots and orders are numbered by.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The shard.
    pub shard: Shard,
    /// The sequence of the record.
    pub sequence: u64,
    /// The place in an atomic group, from 0.
    pub part: u8,
    /// When it happened.
    pub happened_at: Timestamp,
}

impl Place {
    pub(crate) fn lot(self) -> LotId {
        LotId { sequence: self.sequence, part: self.part }
    }

    pub(crate) fn order(self) -> OrderId {
        OrderId { shard: self.shard, sequence: self.sequence, part: self.part }
    }
}

impl User {
    /// The wallet.
    pub fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// The orders whose coins are on hold, by number.
    pub fn open_orders(&self) -> impl DoubleEndedIterator<Item = &Order> + Clone {
        self.open.iter().flat_map(|open| open.iter()).map(|order| &**order)
    }

    /// An order whose coins are on hold.
    pub fn open_order(&self, id: OrderId) -> Option<&Order> {
        self.open.as_ref()?.get(number(id)).map(|order| &**order)
    }

    /// Whether nothing need be remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.wallet.is_empty() && self.open.is_none()
    }

    /// Keeps an order that was moved while coins are on hold for it, and forgets it afterwards.
    pub(crate) fn keep(&mut self, order: &Order) {
        if order.status.is_open() {
            self.remember(order.clone());
        } else {
            self.forget(order.id);
        }
    }

    /// Applies what an event did to the wallet of this user, and keeps the order that it placed. Total:
    /// whatever was decided fits.
    pub(crate) fn apply(&mut self, event: &Event, place: Place) {
        match event {
            Event::TopUpCredited(e) => {
                self.wallet.pay_debt(e.debt_paid);
                let coins = e.coins.less(e.debt_paid);
                self.wallet.put(Lot { id: place.lot(), kind: LotKind::Paid, coins });
            }
            Event::ChargedBack(e) => {
                self.wallet.take(&e.taken);
                self.wallet.owe(e.debt);
            }
            Event::Granted(e) => {
                let kind = LotKind::Bonus { expires: e.expires };
                self.wallet.put(Lot { id: place.lot(), kind, coins: e.coins });
            }
            Event::LotExpired(e) => self.wallet.take(&[e.lot]),
            Event::GiftGiven(e) => self.wallet.take(&e.used),
            Event::Held(e) => {
                self.wallet.take(&e.used);
                self.remember(e.order(place.order(), place.happened_at));
            }
            Event::Sent(_) | Event::Queried(_) | Event::Unresolved(_) | Event::HandedOver(_) => {}
            Event::Captured(e) => self.put_back(&e.released),
            Event::Released(e) => self.put_back(&e.released),
            Event::Reinstated(e) => {
                self.wallet.pay_debt(e.debt_paid);
                e.restored.iter().for_each(|lot| self.wallet.put(*lot));
            }
            Event::Refunded(e) => self.put_back(&e.returned),
            Event::RefundRolledBack(e) => self.wallet.take(&e.taken),
            Event::ReferencePublished(_)
            | Event::ReferenceTaken(_)
            | Event::TopUpClaimed(_)
            | Event::ChargebackClaimed(_)
            | Event::ChargebackRemembered(_)
            | Event::TopUpReversed(_)
            | Event::ReinstateRemembered(_)
            | Event::ReinstateClaimed(_)
            | Event::Group(_) => panic!("`{}` is no event of a user", event.kind()),
        }
    }

    fn put_back(&mut self, returned: &Returned) {
        for lot in &returned.debt_paid {
            self.wallet.pay_debt(lot.coins);
        }
        for lot in &returned.restored {
            self.wallet.put(*lot);
        }
    }

    fn remember(&mut self, order: Order) {
        let id = order.id;
        self.open.get_or_insert_default().put(Arc::new(order), number(id));
    }

    fn forget(&mut self, id: OrderId) {
        if let Some(open) = &mut self.open {
            open.remove(number(id));
            if open.is_empty() {
                self.open = None; // a finished order costs no memory
            }
        }
    }
}

/// How open orders compare with the one of that number.
fn number(id: OrderId) -> impl Fn(&Arc<Order>) -> Ordering {
    move |order| order.id.cmp(&id)
}

/// The wallet and the open orders, however they are kept.
impl Serialize for User {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let open: Vec<&Order> = self.open_orders().collect();
        (&self.wallet, open).serialize(serializer)
    }
}

/// Refuses what no user is: orders that do not rise by number.
impl<'de> Deserialize<'de> for User {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (wallet, open): (Wallet, Vec<Order>) = Deserialize::deserialize(deserializer)?;
        if !open.is_sorted_by(|a, b| a.id < b.id) {
            return Err(de::Error::custom("a user's open orders stand in the order of their numbers"));
        }
        let open: Vec<Arc<Order>> = open.into_iter().map(Arc::new).collect();
        Ok(Self { wallet, open: (!open.is_empty()).then(|| Box::new(open.into())) })
    }
}
