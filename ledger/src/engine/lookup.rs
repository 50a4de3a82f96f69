//! Prefetch: what a command names and memory does not hold. Asks recent, index and log, in that
//! order; the index only says where to look, the record says whether it is the one.

use schemas::{Body, Command, Event, Key, Order, OrderId, OrderName, OrderRef, Origin, Record, Subject};

use super::recent::Recent;
use crate::{
    Result,
    decide::{Claim, PastRefund, Prefetched},
    index::{Fingerprint, Fingerprinter, Index},
    log::Reader,
    state::{dispatch_id, parse_dispatch_id},
};

/// Everything that is decided, wherever it stands by now.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) recent: Recent,
    pub(crate) index: Index,
    pub(crate) fingerprinter: Fingerprinter,
    pub(crate) reader: Reader,
    /// Reused for the fingerprints of one record.
    keys: Vec<Fingerprint>,
}

impl Lookup {
    pub(crate) fn new(recent: Recent, index: Index, fingerprinter: Fingerprinter, reader: Reader) -> Self {
        Self { recent, index, fingerprinter, reader, keys: Vec::new() }
    }

    /// Takes a record that was just decided.
    pub(crate) fn push(&mut self, record: Record) {
        self.keys.clear();
        let (keys, fingerprinter) = (&mut self.keys, self.fingerprinter);
        record.keys(|key| keys.push(fingerprinter.of(&key)));
        self.recent.push(record, &self.keys);
    }

    /// The record that a command id stands for.
    pub(crate) fn command(&mut self, subject: &Subject, origin: Origin, id: &str) -> Result<Option<Record>> {
        let key = self.fingerprinter.of_command(subject, origin, id);
        self.find(key, |r| r.subject == *subject && r.origin == origin && r.id.as_str() == id)
    }

    fn key(&mut self, key: &Key) -> Result<Option<Record>> {
        let fingerprint = self.fingerprinter.of(key);
        self.find(fingerprint, |record| {
            let mut has = false;
            record.keys(|own| has |= own == *key);
            has
        })
    }

    fn find(&mut self, key: Fingerprint, is_it: impl Fn(&Record) -> bool) -> Result<Option<Record>> {
        if let Some(record) = self.recent.get(key) {
            return Ok(is_it(record).then(|| record.clone()));
        }
        match self.index.get(key) {
            None => Ok(None),
            Some(at) => Ok(Some(self.reader.record(at)?).filter(is_it)),
        }
    }

    /// What `command` needs to be decided.
    pub(crate) fn prefetch(&mut self, subject: &Subject, id: &str, command: &Command) -> Result<Prefetched> {
        let mut found = Prefetched::default();
        match command {
            Command::Gift(gift) => {
                if let Some(combo) = &gift.combo {
                    let record = self.key(&Key::Combo(gift.user.clone(), combo.clone()))?;
                    found.combo = record.and_then(|record| counted(&record, combo));
                }
            }
            Command::TopUp(schemas::TopUp { channel, transaction, .. })
            | Command::Chargeback(schemas::Chargeback { channel, transaction }) => {
                let record = self.key(&Key::Transaction(channel.clone(), transaction.clone()))?;
                found.transaction = record.and_then(|record| match record.body {
                    Body::Event(event) => Some(Claim { id: record.id, event: *event }),
                    Body::Rejection(_) => None,
                });
            }
            Command::TakeBack(take_back) => {
                let (source, _) = parse_dispatch_id(id).expect("the dispatcher made this id");
                let credit = dispatch_id(source, take_back.credit);
                let record = self.command(subject, Origin::Dispatch, credit.as_str())?;
                found.credited = record.map(|record| record.sequence);
            }
            Command::RollBackRefund(roll_back) => {
                found.order = self.order(subject, &roll_back.order)?;
                if let Some(order) = &found.order {
                    found.refund = self.refund(subject, order.id, &roll_back.refund)?;
                }
            }
            Command::Group(members) => {
                for member in members {
                    found.members.push(self.prefetch(subject, id, member)?);
                }
            }
            command => {
                if let Some(order) = command.order() {
                    found.order = self.order(subject, order)?;
                }
            }
        }
        Ok(found)
    }

    /// The newest state of an order of this subject.
    fn order(&mut self, subject: &Subject, order: &OrderRef) -> Result<Option<Order>> {
        let placed = match &order.name {
            OrderName::Command(id) => {
                let record = self.command(subject, Origin::Caller, id.as_str())?;
                record.and_then(|record| placed_by(&record, None))
            }
            OrderName::Number(id) => self.placed(subject, *id)?,
        };
        let Some(placed) = placed else { return Ok(None) };
        let newest = self.key(&Key::Order(placed.id))?;
        Ok(Some(newest.and_then(|record| record.orders().filter(|o| o.id == placed.id).last()).unwrap_or(placed)))
    }

    fn placed(&mut self, subject: &Subject, id: OrderId) -> Result<Option<Order>> {
        let of_subject =
            |record: &Record| (record.subject == *subject).then(|| placed_by(record, Some(id.part))).flatten();
        if usize::from(id.shard) >= self.reader.shards().into() {
            return Ok(None);
        }
        if let Some(record) = self.recent.record(id.shard, id.sequence) {
            return Ok(of_subject(record));
        }
        let found = self.reader.find(id.shard, id.sequence)?;
        Ok(found.and_then(|(_, record)| of_subject(&record)))
    }

    fn refund(&mut self, subject: &Subject, order: OrderId, refund: &schemas::CommandId) -> Result<Option<PastRefund>> {
        let record = self.command(subject, Origin::Caller, refund.as_str())?;
        let refunded = record.and_then(|record| {
            record.events().find_map(|(_, event)| match event {
                Event::Refunded(refunded) if refunded.order.id == order => Some(refunded.clone()),
                _ => None,
            })
        });
        let Some(refunded) = refunded else { return Ok(None) };
        let rolled_back = self.key(&Key::RollBack(order, refund.clone()))?.map(|record| record.id);
        Ok(Some(PastRefund { refunded, rolled_back }))
    }
}

/// The order that counted `combo`.
fn counted(record: &Record, combo: &schemas::Combo) -> Option<OrderId> {
    record.events().find_map(|(part, event)| match event {
        Event::GiftGiven(gift) if gift.combo.as_ref() == Some(combo) => Some(record.order_id(part)),
        _ => None,
    })
}

/// The order that the record placed: that part of a group, or the first.
fn placed_by(record: &Record, part: Option<u8>) -> Option<Order> {
    record.events().find_map(|(at, event)| match event {
        Event::GiftGiven(_) | Event::Held(_) if part.is_none_or(|part| part == at) => record.order_of(at, event),
        _ => None,
    })
}
