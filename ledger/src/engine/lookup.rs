//! Prefetch: what a command names and memory does not hold. Asks recent, index and log, in that
//! order; the index only says where to look, the record says whether it is the one.

use schemas::{Body, Command, Event, Key, Order, OrderId, OrderName, OrderRef, Origin, Record, Shard, Subject};

use super::recent::Recent;
use crate::{
    Result,
    decide::{Claim, PastRefund, Prefetched},
    index::{Fingerprint, Fingerprinter, Index, Place},
    log::Reader,
    state::{dispatch_id, parse_dispatch_id},
};

/// Everything that is decided, wherever it stands by now.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) recent: Recent,
    pub(crate) index: Index,
    fingerprinter: Fingerprinter,
    reader: Reader,
}

impl Lookup {
    pub(crate) fn new(recent: Recent, index: Index, reader: Reader) -> Self {
        Self { recent, fingerprinter: index.fingerprinter(), index, reader }
    }

    /// Takes a record that was just decided; `key` is its id's.
    pub(crate) fn push(&mut self, record: &Record, key: Fingerprint) {
        let Self { index, fingerprinter, .. } = self;
        let at = Place::new(record.shard, record.sequence);
        index.insert(key, at);
        record.further_keys(|key| index.insert(fingerprinter.of(&key), at));
        self.recent.push(record);
    }

    /// The fingerprint of a command's id.
    pub(crate) fn fingerprint(&self, subject: &Subject, origin: Origin, id: &str) -> Fingerprint {
        self.fingerprinter.of_command(subject, origin, id)
    }

    /// The record that a command id stands for, wherever it is.
    pub(crate) fn command(&mut self, subject: &Subject, origin: Origin, id: &str) -> Result<Option<Record>> {
        let key = self.fingerprint(subject, origin, id);
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

    /// The newest record with a fingerprint that is the one.
    fn find(&mut self, key: Fingerprint, is_it: impl Fn(&Record) -> bool) -> Result<Option<Record>> {
        for at in self.index.in_memory(key) {
            if let Some(record) = self.record(at.shard(), at.sequence())?.filter(&is_it) {
                return Ok(Some(record));
            }
        }
        let runs = self.index.runs();
        if !runs.may_contain(key) {
            return Ok(None);
        }
        for at in runs.candidates(key)? {
            if let Some(record) = self.record(at.shard(), at.sequence())?.filter(&is_it) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn record(&mut self, shard: Shard, sequence: u64) -> Result<Option<Record>> {
        if let Some(record) = self.recent.get(shard, sequence) {
            return Ok(Some(record));
        }
        Ok(self.reader.find(shard, sequence)?.map(|(_, record)| record))
    }

    /// What `command` needs to be decided; nothing where it names nothing.
    pub(crate) fn prefetch(
        &mut self,
        subject: &Subject,
        id: &str,
        command: &Command,
    ) -> Result<Option<Box<Prefetched>>> {
        match command {
            Command::Gift(schemas::Gift { combo: None, .. }) | Command::Grant(_) | Command::Hold(_) => Ok(None),
            command => self.named(subject, id, command).map(|found| Some(Box::new(found))),
        }
    }

    fn named(&mut self, subject: &Subject, id: &str, command: &Command) -> Result<Prefetched> {
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
                    found.members.push(self.named(subject, id, member)?);
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
        if id.shard >= self.reader.shards() {
            return Ok(None);
        }
        let record = self.record(id.shard, id.sequence)?.filter(|record| record.subject == *subject);
        Ok(record.and_then(|record| placed_by(&record, Some(id.part))))
    }

    fn refund(&mut self, subject: &Subject, order: OrderId, refund: &schemas::CommandId) -> Result<Option<PastRefund>> {
        let record = self.command(subject, Origin::Caller, refund.as_str())?;
        let refunded = record.and_then(|record| {
            record.events().find_map(|(_, event)| match event {
                Event::Refunded(refunded) if refunded.order.id == order => Some((**refunded).clone()),
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
