//! Prefetch: what a command names and memory does not hold. Asks recent, index and log, in that
//! order; the index only says where to look, the record says whether it is the one.

use std::sync::Arc;

use schemas::{Body, Command, Event, Key, Order, OrderId, OrderName, OrderRef, Origin, Record, Shard, Subject};

use super::{
    core::MAX_BATCH_RECORDS,
    recent::{Recent, Records},
};
use crate::{
    Error, Result,
    decide::{Claim, PastRefund, Prefetched},
    index::{Fingerprint, Fingerprinter, Frozen, Index, Merged, Place, Sealer},
    log::Reader,
    state::{dispatch_id, parse_dispatch_id},
};

/// A table is frozen before a batch that could fill it: two batches of records with two keys each.
pub(crate) const INDEX_RESERVE: usize = 4 * MAX_BATCH_RECORDS;

/// Everything that is decided, wherever it stands by now.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) recent: Recent,
    index: Index,
    sealer: Sealer,
    fingerprinter: Fingerprinter,
    reader: Reader,
    /// The last sequence of each shard.
    upto: Vec<u64>,
    /// A table that is to be sealed once the batch is durable that was handed over.
    frozen: Option<Arc<Frozen>>,
    sealable: bool,
}

impl Lookup {
    /// `index` holds everything up to `upto`, where the log ends.
    pub(crate) fn new(recent: Recent, index: Index, sealer: Sealer, reader: Reader, upto: Vec<u64>) -> Self {
        let fingerprinter = index.fingerprinter();
        Self { recent, index, sealer, fingerprinter, reader, upto, frozen: None, sealable: false }
    }

    /// Takes a record that was just decided.
    pub(crate) fn push(&mut self, record: Record) {
        let Self { index, fingerprinter, .. } = self;
        let at = Place::new(record.shard, record.sequence);
        record.keys(|key| index.insert(fingerprinter.of(&key), at));
        self.upto[usize::from(record.shard)] = record.sequence;
        self.recent.push(record);
    }

    /// Closes the open batch for the writer.
    pub(crate) fn hand_over(&mut self) -> Arc<Records> {
        if self.index.room() < INDEX_RESERVE && self.frozen.is_none() {
            self.frozen = Some(self.index.freeze(self.upto.clone()));
            self.sealable = false;
        }
        self.recent.hand_over()
    }

    /// The batch that was handed over is durable.
    pub(crate) fn durable(&mut self) -> Arc<Records> {
        self.sealable = self.frozen.is_some();
        self.recent.durable()
    }

    /// Seals the frozen table, once it may be. Without room on the disk it stays in memory.
    pub(crate) fn seal(&mut self) -> Result<()> {
        if self.sealable
            && let Some(frozen) = self.frozen.clone()
        {
            match seal(&mut self.index, &mut self.sealer, &frozen) {
                Err(Error::Full { .. }) => {}
                sealed => sealed?,
            }
            if self.index.can_freeze() {
                self.frozen = None;
            }
        }
        Ok(())
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
        for at in self.index.candidates(key)? {
            if let Some(record) = self.record(at.shard(), at.sequence())?.filter(&is_it) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn record(&mut self, shard: Shard, sequence: u64) -> Result<Option<Record>> {
        if let Some(record) = self.recent.get(shard, sequence) {
            return Ok(Some(record.clone()));
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

/// Seals a frozen table, and merges what is full then.
pub(crate) fn seal(index: &mut Index, sealer: &mut Sealer, frozen: &Frozen) -> Result<()> {
    index.adopt(sealer.seal(frozen)?);
    loop {
        match sealer.merge()? {
            Merged::Nothing => return Ok(()),
            Merged::Piece => {}
            Merged::Level(runs) => index.adopt(runs),
        }
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
