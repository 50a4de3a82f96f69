//! Prefetch: what a command names and memory does not hold. Asks recent, index and log, in that
//! order; the index only says where to look, the record says whether it is the one.
//!
//! What a caller's line needs from the disk is asked of the finder, and the line is decided anew once
//! that has come back. What was decided meanwhile stands in memory and is seen then. Two rare things
//! cannot wait and are read at once: what a dispatched take-back names, since dispatches are taken in
//! their order, and a chargeback in an ordered bulk, since later lines depend on whom it touches.

use schemas::{Body, Command, CommandId, Event, Key, Order, OrderId, OrderName, OrderRef, Origin, Record, Subject};
use smallvec::{SmallVec, smallvec};

use super::{
    bulk::Slot,
    finder::{Quest, Sought},
    quests::{Known, Quests},
    recent::Recent,
};
use crate::{
    Error, Result,
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
    pub(crate) quests: Quests,
    fingerprinter: Fingerprinter,
    reader: Reader,
}

/// Who wants to know something.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asker {
    /// A caller's line: it waits for the finder.
    Line(Slot),
    /// Somebody who cannot wait: the disk is read at once.
    AtOnce,
}

/// Why something is not known.
#[derive(Debug)]
pub(crate) enum Miss {
    /// It has to be looked up; the line waits.
    Unclear,
    /// The log could not be read.
    Failed(Error),
}

impl From<Error> for Miss {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A record, or that there is none.
type Looked<T> = Result<Option<T>, Miss>;

impl Lookup {
    pub(crate) fn new(recent: Recent, index: Index, reader: Reader) -> Self {
        Self { recent, quests: Quests::default(), fingerprinter: index.fingerprinter(), index, reader }
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

    /// The newest record of a key.
    pub(crate) fn newest(&mut self, asker: Asker, key: Key) -> Looked<Box<Record>> {
        let fingerprint = self.fingerprinter.of(&key);
        let sealed = self.index.runs().may_contain(fingerprint);
        self.newest_of(asker, fingerprint, sealed, || key)
    }

    /// The same, where it is known already whether a sealed run may know the key. That is made only
    /// if anything may.
    pub(crate) fn newest_of(
        &mut self,
        asker: Asker,
        fingerprint: Fingerprint,
        sealed: bool,
        key: impl FnOnce() -> Key,
    ) -> Looked<Box<Record>> {
        let in_memory = self.index.in_memory(fingerprint);
        if in_memory.is_empty() && !sealed {
            return Ok(None);
        }
        let sought = Sought::Newest(key());
        let mut places = SmallVec::new();
        for at in in_memory {
            match self.recent.get(at.shard(), at.sequence()) {
                Some(record) if sought.is(&record) => return Ok(Some(Box::new(record))),
                Some(_) => {} // another key with this fingerprint
                None => places.push(at),
            }
        }
        if places.is_empty() && !sealed {
            return Ok(None);
        }
        self.look_up(asker, sought, places, sealed.then_some(fingerprint))
    }

    /// The record at a place that some caller has named.
    fn at(&mut self, asker: Asker, order: OrderId) -> Looked<Box<Record>> {
        if order.shard >= self.reader.shards() {
            return Ok(None);
        }
        if let Some(record) = self.recent.get(order.shard, order.sequence) {
            return Ok(Some(Box::new(record)));
        }
        // What is not decided has no place yet.
        if !self.reader.has(order.shard, order.sequence) {
            return Ok(None);
        }
        let at = Place::new(order.shard, order.sequence);
        self.look_up(asker, Sought::At(at), smallvec![at], None)
    }

    /// Looks at these places, and into the runs for that fingerprint: at once, or through the finder.
    fn look_up(
        &mut self,
        asker: Asker,
        sought: Sought,
        places: SmallVec<[Place; 2]>,
        sealed: Option<Fingerprint>,
    ) -> Looked<Box<Record>> {
        let runs = sealed.map(|key| (self.index.runs().clone(), key));
        match asker {
            Asker::Line(slot) => match self.quests.known(slot, &sought, &places) {
                Known::Clear(record) => Ok(record),
                Known::Unclear => Err(Miss::Unclear),
                Known::Unasked => {
                    self.quests.ask(Quest { slot, nth: 0, sought, places, runs });
                    Err(Miss::Unclear)
                }
            },
            Asker::AtOnce => {
                let nobody = Slot { submission: 0, line: 0 };
                Ok(Quest { slot: nobody, nth: 0, sought, places, runs }.carry_out(&mut self.reader)?)
            }
        }
    }

    /// What `command` needs to be decided; nothing where it names nothing.
    pub(crate) fn prefetch(
        &mut self,
        asker: Asker,
        subject: &Subject,
        id: &str,
        command: &Command,
    ) -> Looked<Box<Prefetched>> {
        match command {
            Command::Gift(schemas::Gift { combo: None, .. }) | Command::Grant(_) | Command::Hold(_) => Ok(None),
            command => self.named(asker, subject, id, command).map(|found| Some(Box::new(found))),
        }
    }

    fn named(&mut self, asker: Asker, subject: &Subject, id: &str, command: &Command) -> Result<Prefetched, Miss> {
        let mut found = Prefetched::default();
        match command {
            Command::Gift(gift) => {
                if let Some(combo) = &gift.combo {
                    let record = self.newest(asker, Key::Combo(gift.user.clone(), combo.clone()))?;
                    found.combo = record.and_then(|record| counted(&record, combo));
                }
            }
            Command::TopUp(schemas::TopUp { channel, transaction, .. })
            | Command::Chargeback(schemas::Chargeback { channel, transaction }) => {
                let record = self.newest(asker, Key::Transaction(channel.clone(), transaction.clone()))?;
                found.transaction = record.and_then(|record| match record.body {
                    Body::Event(event) => Some(Claim { id: record.id, event: *event }),
                    Body::Rejection(_) => None,
                });
            }
            Command::TakeBack(take_back) => {
                let (source, _) = parse_dispatch_id(id).expect("the dispatcher made this id");
                let credit = dispatch_id(source, take_back.credit);
                let record = self.newest(asker, Key::Command(subject.clone(), Origin::Dispatch, credit))?;
                found.credited = record.map(|record| record.sequence);
            }
            Command::RollBackRefund(roll_back) => {
                found.order = self.order(asker, subject, &roll_back.order)?;
                if let Some(order) = &found.order {
                    found.refund = self.refund(asker, subject, order.id, &roll_back.refund)?;
                }
            }
            Command::Group(members) => {
                // All of them, so that a line which waits asks for all at once.
                let named: Vec<_> = members.iter().map(|member| self.named(asker, subject, id, member)).collect();
                found.members = named.into_iter().collect::<Result<_, _>>()?;
            }
            command => {
                if let Some(order) = command.order() {
                    found.order = self.order(asker, subject, order)?;
                }
            }
        }
        Ok(found)
    }

    /// The newest state of an order of this subject.
    fn order(&mut self, asker: Asker, subject: &Subject, order: &OrderRef) -> Looked<Order> {
        let placed = match &order.name {
            OrderName::Command(id) => {
                let record = self.newest(asker, Key::Command(subject.clone(), Origin::Caller, id.clone()))?;
                record.and_then(|record| placed_by(&record, None))
            }
            OrderName::Number(id) => {
                let record = self.at(asker, *id)?.filter(|record| record.subject == *subject);
                record.and_then(|record| placed_by(&record, Some(id.part)))
            }
        };
        let Some(placed) = placed else { return Ok(None) };
        let newest = self.newest(asker, Key::Order(placed.id))?;
        Ok(Some(newest.and_then(|record| record.orders().filter(|o| o.id == placed.id).last()).unwrap_or(placed)))
    }

    fn refund(&mut self, asker: Asker, subject: &Subject, order: OrderId, refund: &CommandId) -> Looked<PastRefund> {
        let record = self.newest(asker, Key::Command(subject.clone(), Origin::Caller, refund.clone()))?;
        let refunded = record.and_then(|record| {
            record.events().find_map(|(_, event)| match event {
                Event::Refunded(refunded) if refunded.order.id == order => Some((**refunded).clone()),
                _ => None,
            })
        });
        let Some(refunded) = refunded else { return Ok(None) };
        let rolled_back = self.newest(asker, Key::RollBack(order, refund.clone()))?.map(|record| record.id);
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
