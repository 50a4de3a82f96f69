//! Prefetch: what a command names and memory does not hold. Asks recent, index and log, in that
//! order; the index only says where to look, the record says whether it is the one.
//!
//! What a caller's line needs from the disk is asked of the finder, and the line is decided anew once
//! that has come back. What was decided meanwhile stands in memory and is seen then. Two rare things
//! cannot wait and are read at once: what a dispatched take-back names, since dispatches are taken in
//! their order, and a chargeback or reinstatement in an ordered bulk, since later lines depend on whom it touches.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use schemas::{
    Coins, Command, Event, Key, LotId, LotKind, Order, OrderId, OrderName, OrderRef, Origin, PartName, Record, Subject,
};
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
    index::{Fingerprint, Fingerprinter, Index, NEWEST, Place},
    log::Reader,
    state::{dispatch_id, parse_dispatch_id},
};

/// Records that were made out of bytes and may be asked for again at once: a group names one order or refund in
/// many parts, and many lots lapse or come back in one record.
const DECODED: usize = 4;

/// Everything that is decided, wherever it stands by now.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) recent: Recent,
    pub(crate) index: Index,
    pub(crate) quests: Quests,
    fingerprinter: Fingerprinter,
    reader: Reader,
    /// The last few, of any time: a record never changes.
    decoded: VecDeque<(Place, Arc<Record>)>,
}

/// Who wants to know something.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asker {
    /// A caller's line: it waits for the finder.
    Line(Slot),
    /// Somebody who cannot wait: the disk is read at once.
    AtOnce,
}

/// The command that names what is looked up: its subject, who submitted it, its id.
struct By<'a> {
    subject: &'a Subject,
    origin: &'a Origin,
    id: &'a str,
}

impl By<'_> {
    /// The outcome of a caller's command that it names: the same service's, unless it says whose.
    fn named(&self, name: &PartName) -> Key {
        let origin = name.source.clone().map_or_else(|| self.origin.clone(), Origin::Caller);
        Key::Command(self.subject.clone(), origin, name.command.clone())
    }
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
        let (quests, fingerprinter) = (Quests::default(), index.fingerprinter());
        Self { recent, quests, fingerprinter, index, reader, decoded: VecDeque::with_capacity(DECODED) }
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
    pub(crate) fn fingerprint(&self, subject: &Subject, origin: &Origin, id: &str) -> Fingerprint {
        self.fingerprinter.of_command(subject, origin, id)
    }

    /// The newest record of a key.
    pub(crate) fn newest(&mut self, asker: Asker, key: Key) -> Looked<Arc<Record>> {
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
    ) -> Looked<Arc<Record>> {
        let newest = self.index.in_memory(fingerprint, NEWEST);
        if newest.is_empty() && !sealed {
            return Ok(None);
        }
        let sought = Sought::Newest(key());
        if newest.len() < NEWEST {
            return self.newest_in(asker, sought, newest, sealed.then_some(fingerprint));
        }
        // An order that is refunded often has many, of which the newest is the one; only where another key with
        // this fingerprint has so many are all looked at.
        if let Some(record) = self.newest_in(asker, sought.clone(), newest, None)? {
            return Ok(Some(record));
        }
        let all = self.index.in_memory(fingerprint, usize::MAX);
        self.newest_in(asker, sought, all, sealed.then_some(fingerprint))
    }

    /// The first one that it is of these places in memory, newest first, and of those in the runs behind them.
    fn newest_in(
        &mut self,
        asker: Asker,
        sought: Sought,
        in_memory: SmallVec<[Place; 2]>,
        sealed: Option<Fingerprint>,
    ) -> Looked<Arc<Record>> {
        let mut places: SmallVec<[Place; 2]> = SmallVec::new();
        for at in in_memory {
            // Behind a newer one of its shard that has to be looked at, it has to wait for that.
            let may_be_newest = places.iter().all(|newer| newer.shard() != at.shard());
            match self.recent(at).filter(|_| may_be_newest) {
                Some(record) if sought.is(&record) => return Ok(Some(record)),
                Some(_) => {} // another key with this fingerprint
                None => places.push(at),
            }
        }
        if places.is_empty() && sealed.is_none() {
            return Ok(None);
        }
        self.look_up(asker, sought, places, sealed)
    }

    /// The record at a place, where that is not on the log yet or was just looked at.
    fn recent(&mut self, at: Place) -> Option<Arc<Record>> {
        if let Some((_, record)) = self.decoded.iter().find(|(seen, _)| *seen == at) {
            return Some(Arc::clone(record));
        }
        let record = Arc::new(self.recent.get(at.shard(), at.sequence())?);
        self.keep(at, &record);
        Some(record)
    }

    fn keep(&mut self, at: Place, record: &Arc<Record>) {
        if self.decoded.len() == DECODED {
            self.decoded.pop_front();
        }
        self.decoded.push_back((at, Arc::clone(record)));
    }

    /// The record at a place that some caller has named.
    fn at(&mut self, asker: Asker, order: OrderId) -> Looked<Arc<Record>> {
        if order.shard >= self.reader.shards() {
            return Ok(None);
        }
        let at = Place::new(order.shard, order.sequence.min(Place::LAST_SEQUENCE));
        if let Some(record) = self.recent(at) {
            return Ok(Some(record));
        }
        // What is not decided has no place yet.
        if !self.reader.has(order.shard, order.sequence) {
            return Ok(None);
        }
        self.look_up(asker, Sought::At(at), smallvec![at], None)
    }

    /// Looks at these places, and into the runs for that fingerprint: at once, or through the finder.
    fn look_up(
        &mut self,
        asker: Asker,
        sought: Sought,
        places: SmallVec<[Place; 2]>,
        sealed: Option<Fingerprint>,
    ) -> Looked<Arc<Record>> {
        let runs = sealed.map(|key| (self.index.runs().clone(), key));
        match asker {
            Asker::Line(slot) => match self.quests.known(slot, &sought, &places) {
                Known::Clear(record) => Ok(record),
                Known::At(at) => {
                    let record = self.reader.find(at.shard(), at.sequence())?.map(|(_, record)| Arc::new(record));
                    if let Some(record) = &record {
                        self.keep(at, record);
                    }
                    Ok(record)
                }
                Known::Unclear => Err(Miss::Unclear),
                Known::Unasked => {
                    self.quests.ask(Quest { slot, nth: 0, sought, places, runs });
                    Err(Miss::Unclear)
                }
            },
            Asker::AtOnce => {
                let nobody = Slot { submission: 0, line: 0 };
                let quest = Quest { slot: nobody, nth: 0, sought, places, runs };
                Ok(quest.carry_out(&mut self.reader)?.map(|found| found.record))
            }
        }
    }

    /// What `command` needs to be decided; nothing where it names nothing.
    pub(crate) fn prefetch(
        &mut self,
        asker: Asker,
        subject: &Subject,
        origin: &Origin,
        id: &str,
        command: &Command,
    ) -> Looked<Box<Prefetched>> {
        match command {
            Command::Gift(schemas::Gift { combo: None, .. }) | Command::Grant(_) | Command::Hold(_) => Ok(None),
            command => self
                .named(asker, &By { subject, origin, id }, command, &mut Vec::new())
                .map(|found| Some(Box::new(found))),
        }
    }

    /// `orders`: those that were looked up for the same record before; each is looked up once.
    fn named<'a>(
        &mut self,
        asker: Asker,
        by: &By<'_>,
        command: &'a Command,
        orders: &mut Vec<(&'a OrderRef, Option<Arc<Order>>)>,
    ) -> Result<Prefetched, Miss> {
        let mut found = Prefetched::default();
        if let Some(named) = command.order() {
            found.order = match orders.iter().find(|(seen, _)| *seen == named) {
                Some((_, order)) => order.clone(),
                None => self.order(asker, by, named)?.map(Arc::new),
            };
            orders.push((named, found.order.clone()));
        }
        match command {
            Command::Gift(gift) => {
                if let Some(combo) = &gift.combo {
                    let record = self.newest(asker, Key::Combo(gift.user.clone(), combo.clone()))?;
                    found.combo = record.and_then(|record| counted(&record, combo));
                }
            }
            Command::TopUp(schemas::TopUp { channel, transaction, .. })
            | Command::Chargeback(schemas::Chargeback { channel, transaction })
            | Command::Reinstate(schemas::Reinstate { channel, transaction }) => {
                let record = self.newest(asker, Key::Transaction(channel.clone(), transaction.clone()))?;
                found.transaction = record.and_then(|record| {
                    let event = record.event()?.clone();
                    Some(Claim { id: record.id.clone(), event })
                });
            }
            Command::TakeBack(take_back) => {
                let credited = self.dispatched(asker, by, take_back.credit)?;
                found.credited = credited.map(|record| record.sequence);
            }
            Command::GiveBack(give_back) => {
                let taken = self.dispatched(asker, by, give_back.take_back)?;
                found.charged_back = taken.and_then(|record| match record.event()? {
                    Event::ChargedBack(charged_back) => Some(charged_back.clone()),
                    _ => None,
                });
            }
            Command::RollBackRefund(roll_back) => {
                if let Some(order) = &found.order {
                    found.refund = self.refund(asker, by, order.id, &roll_back.refund)?;
                }
            }
            Command::Group(members) => {
                // All of them, so that a line which waits asks for all at once.
                let mut each = |member| self.named(asker, by, member, orders);
                let named: Vec<_> = members.iter().map(&mut each).collect();
                found.members = named.into_iter().collect::<Result<_, _>>()?;
            }
            _ => {}
        }
        Ok(found)
    }

    /// The record that took the dispatch `number` from where the one that is taken under `id` comes from.
    fn dispatched(&mut self, asker: Asker, by: &By<'_>, number: u64) -> Looked<Arc<Record>> {
        let (source, _) = parse_dispatch_id(by.id).expect("the dispatcher made this id");
        self.newest(asker, Key::Command(by.subject.clone(), Origin::Dispatch, dispatch_id(source, number)))
    }

    /// The newest state of an order of this subject.
    fn order(&mut self, asker: Asker, by: &By<'_>, order: &OrderRef) -> Looked<Order> {
        let placed = match &order.name {
            OrderName::Command(name) => {
                let record = self.newest(asker, by.named(name))?;
                record.and_then(|record| placed_by(&record, name.part))
            }
            OrderName::Number(id) => {
                let record = self.at(asker, *id)?.filter(|record| record.subject == *by.subject);
                record.and_then(|record| placed_by(&record, Some(id.part)))
            }
        };
        let Some(placed) = placed else { return Ok(None) };
        let newest = self.newest(asker, Key::Order(placed.id))?;
        Ok(Some(newest.and_then(|record| record.order(placed.id)).unwrap_or(placed)))
    }

    fn refund(&mut self, asker: Asker, by: &By<'_>, order: OrderId, named: &PartName) -> Looked<PastRefund> {
        let Some(record) = self.newest(asker, by.named(named))? else { return Ok(None) };
        let Some(source) = record.origin.source() else { return Ok(None) };
        let refunded = record.events().find_map(|(part, event)| match event {
            Event::Refunded(refunded) if refunded.order == order && named.part.is_none_or(|named| named == part) => {
                Some((part, (**refunded).clone()))
            }
            _ => None,
        });
        let Some((part, refunded)) = refunded else { return Ok(None) };
        let rolled_back = self.newest(asker, Key::RollBack(order, source.clone(), record.id.clone(), part))?;
        let rolled_back = rolled_back.map(|record| record.id.clone());
        let lapsed = self.lapsed(asker, by.subject, &refunded)?;
        let (source, command, happened_at) = (source.clone(), record.id.clone(), record.happened_at());
        Ok(Some(PastRefund { source, command, part, refunded, happened_at, rolled_back, lapsed }))
    }

    /// What is left of the coins that lapsed with the lots which a refund restored.
    fn lapsed(
        &mut self,
        asker: Asker,
        subject: &Subject,
        refunded: &schemas::Refunded,
    ) -> Result<Vec<(LotId, Coins)>, Miss> {
        let Some(user) = subject.user() else { return Ok(Vec::new()) };
        let may_lapse = |lot: &&schemas::Lot| matches!(lot.kind, LotKind::Bonus { expires: Some(_) });
        let restored = refunded.returned.restored.iter().filter(may_lapse);
        // All of them, so that a line which waits asks for all at once. Many stand in few records.
        let mut said: BTreeMap<u64, BTreeMap<LotId, Coins>> = BTreeMap::new();
        let looked: Vec<_> = restored
            .map(|lot| {
                let record = self.newest(asker, Key::Lapse(user.clone(), lot.id))?;
                let said = record.map(|record| said.entry(record.sequence).or_insert_with(|| left_of_lapses(&record)));
                Ok(said.and_then(|said| said.get(&lot.id)).map(|left| (lot.id, *left)))
            })
            .collect();
        looked.into_iter().filter_map(Result::transpose).collect()
    }
}

/// What the record says is left of the coins that lapsed with each lot.
fn left_of_lapses(record: &Record) -> BTreeMap<LotId, Coins> {
    let mut left = BTreeMap::new();
    for (_, event) in record.events() {
        match event {
            Event::LotExpired(lapsed) => drop(left.insert(lapsed.lot.id, lapsed.lot.coins)),
            Event::RefundRolledBack(back) => left.extend(back.unlapsed.iter().map(|un| (un.lot.id, un.left))),
            _ => {}
        }
    }
    left
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
        event if part.is_none_or(|part| part == at) => record.placed_by(at, event),
        _ => None,
    })
}
