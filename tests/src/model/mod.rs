//! The rules of the ledger once more, written from the domain alone: plain collections, wide
//! integers, obvious code. It shares nothing with the ledger but the vocabulary.
//!
//! It is told the same commands in the same order with the ledger's time of each, and tells what
//! has to be answered and what everything has to look like afterwards. [`Model::say`] plays a command with
//! all that follows from it; [`Model::hear`], [`Model::take_dispatch`] and the timers play one record at a
//! time, for when the ledger's own order has to be followed.

mod catalogue;
mod names;
mod orders;
mod payments;
mod purse;
mod shares;

use std::collections::BTreeMap;

use schemas::{
    Account, Asset, Body, ChannelId, Coins, Combo, Command, CommandId, Digest, Envelope, Grant, LotId, LotKind, Money,
    OrderId, OriginKind, PartName, Publish, Purpose, Record, Rejection, Shard, Source, Status, Subject, Timestamp,
    UserId,
};

use self::{
    catalogue::{Catalogue, Versions},
    payments::Payment,
};
pub use self::{
    names::{content, names},
    orders::{About, Order},
    payments::PaymentKey,
    purse::{Piece, Purse},
    shares::{Share, held},
};

/// How far `occurred_at` may be ahead.
const AHEAD_MS: i64 = 500;
/// The most bytes of a record, and how many the model has to count of one to believe that it has more: it counts
/// an id alone where the ledger writes amounts beside it, and three bytes of a lot that has up to 24.
const MOST_BYTES: u64 = 512 << 10;
const BELIEVED_LARGE: u64 = MOST_BYTES / 16;

/// What has to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Taken, in the last record of the command.
    Taken {
        /// Its shard.
        shard: Shard,
        /// Its sequence.
        sequence: u64,
        /// What happened.
        event: &'static str,
        /// The order placed or moved.
        order: Option<OrderId>,
        /// What a roll-back could not take.
        shortfall: Option<i128>,
    },
    /// Refused.
    Refused {
        /// The record's shard.
        shard: Shard,
        /// Its sequence.
        sequence: u64,
        /// Why.
        rejection: Rejection,
    },
    /// The id stands for something else.
    Conflict {
        /// The shard of the record that has the id.
        shard: Shard,
        /// Its sequence.
        sequence: u64,
    },
    /// Not a command.
    Malformed,
}

/// What identifies a command: whose state it changes, which service asks, and its id there.
pub type Key = (Subject, Source, CommandId);

/// A command that has had its record.
#[derive(Debug, Clone)]
struct Heard {
    digest: Digest,
    shard: Shard,
    sequence: u64,
    /// None as long as a dispatch is on its way.
    answer: Option<Expected>,
}

/// Something that another shard is to take.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// From.
    pub source: Shard,
    /// To.
    pub target: Shard,
    /// Its number among those from there to there.
    pub number: u64,
    what: Dispatched,
    asked_by: Key,
}

#[derive(Debug, Clone)]
enum Dispatched {
    Credit(PaymentKey),
    TakeBack(PaymentKey),
    GiveBack(PaymentKey),
    Reference(Publish),
}

/// Something that has fallen due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// A lot lapses.
    Lot(LotId),
    /// A hold was not sent.
    Hold(OrderId),
}

/// Where and when something is decided.
#[derive(Debug, Clone)]
struct Place {
    shard: Shard,
    sequence: u64,
    part: u8,
    now: Timestamp,
    /// Which service asks.
    asker: Source,
    id: CommandId,
    /// When it happened, if that is not when it was decided.
    happened: Option<Timestamp>,
}

impl Place {
    fn order(&self) -> OrderId {
        OrderId { shard: self.shard, sequence: self.sequence, part: self.part }
    }

    /// When it happens.
    fn happens_at(&self) -> Timestamp {
        self.happened.unwrap_or(self.now)
    }

    fn lot(&self) -> LotId {
        LotId { sequence: self.sequence, part: self.part }
    }
}

/// What a command that was taken did.
#[derive(Debug, Clone)]
struct Done {
    event: &'static str,
    order: Option<OrderId>,
    shortfall: Option<i128>,
}

impl Done {
    fn plain(event: &'static str) -> Self {
        Self { event, order: None, shortfall: None }
    }

    fn order(event: &'static str, order: OrderId) -> Self {
        Self { event, order: Some(order), shortfall: None }
    }
}

/// Everything that is known.
#[derive(Debug, Clone)]
pub struct Model {
    shards: Shard,
    /// How many records each shard has.
    pub sequences: Vec<u64>,
    /// What each user has.
    pub users: BTreeMap<UserId, Purse>,
    /// Every order there ever was.
    pub orders: BTreeMap<OrderId, Order>,
    /// What each account holds; accounts that hold nothing may be listed.
    pub balances: BTreeMap<(Account, Asset), i128>,
    catalogues: Vec<Catalogue>,
    versions: Versions,
    heard: BTreeMap<Key, Heard>,
    payments: BTreeMap<PaymentKey, Payment>,
    /// What of the coins that lapsed with a lot no roll-back has charged again.
    lapses: BTreeMap<(UserId, LotId), i128>,
    combos: BTreeMap<(UserId, Combo), OrderId>,
    dispatched: BTreeMap<(Shard, Shard), u64>,
    dispatches: Vec<Dispatch>,
}

impl Model {
    /// Before the first command.
    pub fn new(shards: Shard) -> Self {
        Self {
            shards,
            sequences: vec![0; shards.into()],
            users: BTreeMap::new(),
            orders: BTreeMap::new(),
            balances: BTreeMap::new(),
            catalogues: vec![Catalogue::default(); shards.into()],
            versions: Versions::default(),
            heard: BTreeMap::new(),
            payments: BTreeMap::new(),
            lapses: BTreeMap::new(),
            combos: BTreeMap::new(),
            dispatched: BTreeMap::new(),
            dispatches: Vec::new(),
        }
    }

    /// A command with all that follows from it.
    pub fn say(&mut self, asker: &Source, envelope: &Envelope, now: Timestamp) -> Expected {
        let heard = self.hear(asker, envelope, now);
        while let Some(next) = self.dispatches.first().cloned() {
            self.take_dispatch(next.source, next.target, now);
        }
        match heard {
            Ok(key) => self.answer(&key),
            Err(unheard) => unheard,
        }
    }

    /// The record of a command itself, unless it has one: where its answer will be found. An error is the answer
    /// to what makes no record.
    ///
    /// # Errors
    /// Malformed, and conflict.
    pub fn hear(&mut self, asker: &Source, envelope: &Envelope, now: Timestamp) -> Result<Key, Expected> {
        let key = Self::key(asker, envelope)?;
        let digest = content(asker, envelope);
        if let Some(heard) = self.heard.get(&key) {
            let same = heard.digest == digest;
            return if same { Ok(key) } else { Err(Self::conflict(heard)) };
        }
        if Self::is_early(envelope, now) {
            return Err(Expected::Malformed); // what is known was answered, whatever the clock says
        }
        let (subject, asker, id) = key.clone();
        let shard = subject.shard(self.shards);
        let sequence = self.next_sequence(shard);
        let happened = envelope.occurred_at.filter(|at| *at < now);
        let place = Place { shard, sequence, part: 0, now, asker, id, happened };
        let waits = self.dispatches.len();
        let outcome = self.perform(&place, &envelope.command);
        let is_publish = matches!(envelope.command, Command::Publish(_));
        let answer = (is_publish || self.dispatches.len() == waits).then(|| Self::outcome(&place, outcome));
        self.heard.insert(key.clone(), Heard { digest, shard, sequence, answer });
        Ok(key)
    }

    /// The ledger's record of a command.
    ///
    /// # Errors
    /// Malformed, and conflict.
    pub fn hear_record(&mut self, asker: &Source, envelope: &Envelope, record: &Record) -> Result<Key, Expected> {
        match record.body {
            Body::Rejection(Rejection::TooLarge { limit }) => self.hear_too_large(asker, envelope, limit, record.time),
            _ => self.hear(asker, envelope, record.time),
        }
    }

    /// The record of a command that the ledger refuses because its record would be too large. How many bytes
    /// that would be the model cannot know; it believes it where the command would be taken, and names enough
    /// by a rough count from below. Else it expects what it expects.
    ///
    /// # Errors
    /// Malformed, and conflict.
    pub fn hear_too_large(
        &mut self,
        asker: &Source,
        envelope: &Envelope,
        limit: u32,
        now: Timestamp,
    ) -> Result<Key, Expected> {
        let key = Self::key(asker, envelope)?;
        let mut refusing = self.clone();
        let is_new = !self.has_heard(&key);
        self.hear(asker, envelope, now)?;
        let would_be_taken = matches!(self.heard[&key].answer, Some(Expected::Taken { .. }));
        let bytes = self.bytes_of_changes(&refusing);
        if is_new && would_be_taken && bytes >= BELIEVED_LARGE && u64::from(limit) <= MOST_BYTES {
            let heard = &self.heard[&key];
            let (shard, sequence) = (heard.shard, refusing.next_sequence(heard.shard));
            let rejection = Rejection::TooLarge { limit };
            let answer = Some(Expected::Refused { shard, sequence, rejection });
            refusing.heard.insert(key.clone(), Heard { answer, ..heard.clone() });
            *self = refusing;
        }
        Ok(key)
    }

    /// At least so many bytes a record has that leads from `before` to here, by what it has to name: the id of each
    /// recipient for a gift that it places or moves and for each of its refunds and roll-backs, and three bytes
    /// for each lot of them.
    fn bytes_of_changes(&self, before: &Self) -> u64 {
        let moved = self.orders.iter().filter(|(id, order)| before.orders.get(id) != Some(order));
        moved.map(|(id, order)| order.bytes_since(before.orders.get(id))).sum()
    }

    /// What identifies a command, if it is well-formed.
    ///
    /// # Errors
    /// Malformed.
    pub fn key(asker: &Source, envelope: &Envelope) -> Result<Key, Expected> {
        let subject = envelope.command.check(OriginKind::Caller).map_err(|_| Expected::Malformed)?;
        Ok((subject, asker.clone(), envelope.id.clone()))
    }

    /// Whether a command happens too far ahead to be decided.
    pub fn is_early(envelope: &Envelope, now: Timestamp) -> bool {
        envelope.occurred_at.is_some_and(|at| at > now.plus_millis(AHEAD_MS))
    }

    /// What is answered to a service that says this now, without any record coming of it.
    ///
    /// # Panics
    /// If it was not heard before, though it was not too early.
    pub fn answer_again(&self, asker: &Source, envelope: &Envelope, now: Timestamp) -> Expected {
        let key = match Self::key(asker, envelope) {
            Ok(key) => key,
            Err(malformed) => return malformed,
        };
        if !self.has_heard(&key) && Self::is_early(envelope, now) {
            return Expected::Malformed;
        }
        let heard = self.heard.get(&key).expect("it was heard before");
        if heard.digest == content(asker, envelope) { self.answer(&key) } else { Self::conflict(heard) }
    }

    /// Whether a command with this key has had its record.
    pub fn has_heard(&self, key: &Key) -> bool {
        self.heard.contains_key(key)
    }

    /// The content of the command that has had this key's record.
    pub fn heard_content(&self, key: &Key) -> Option<Digest> {
        self.heard.get(key).map(|heard| heard.digest)
    }

    /// Whether a command with this key has its outcome: nothing of it is on its way.
    pub fn has_ended(&self, key: &Key) -> bool {
        self.heard.get(key).is_some_and(|heard| heard.answer.is_some())
    }

    fn answer(&self, key: &Key) -> Expected {
        self.heard[key].answer.clone().expect("every dispatch was taken")
    }

    fn conflict(heard: &Heard) -> Expected {
        Expected::Conflict { shard: heard.shard, sequence: heard.sequence }
    }

    fn outcome(place: &Place, outcome: Result<Done, Rejection>) -> Expected {
        let (shard, sequence) = (place.shard, place.sequence);
        match outcome {
            Ok(Done { event, order, shortfall }) => Expected::Taken { shard, sequence, event, order, shortfall },
            Err(rejection) => Expected::Refused { shard, sequence, rejection },
        }
    }

    fn next_sequence(&mut self, shard: Shard) -> u64 {
        let sequence = &mut self.sequences[usize::from(shard)];
        *sequence += 1;
        *sequence
    }

    fn perform(&mut self, at: &Place, command: &Command) -> Result<Done, Rejection> {
        match command {
            Command::Publish(publish) => self.publish(at, publish),
            Command::TopUp(top_up) => self.top_up(at, top_up),
            Command::Chargeback(chargeback) => self.chargeback(at, chargeback),
            Command::Reinstate(reinstate) => self.reinstate(at, reinstate),
            Command::Grant(grant) => self.grant(at, grant),
            Command::Group(members) => self.group(at, members),
            Command::Gift(gift) => self.gift(at, gift),
            Command::Hold(hold) => self.hold(at, hold),
            Command::Send(send) => self.send(at, &send.order),
            Command::Query(query) => self.query(at, &query.order),
            Command::Unresolved(unresolved) => self.unresolved(at, &unresolved.order),
            Command::HandOver(hand_over) => self.hand_over(at, &hand_over.order),
            Command::Capture(capture) => self.capture(at, capture),
            Command::Release(release) => self.release(at, &release.order),
            Command::Refund(refund) => self.refund(at, refund),
            Command::RollBackRefund(roll_back) => self.roll_back(at, roll_back),
            Command::Credit(_)
            | Command::TakeBack(_)
            | Command::GiveBack(_)
            | Command::TakeReference(_)
            | Command::ExpireLot(_)
            | Command::ExpireHold(_) => panic!("no caller's command"),
        }
    }

    fn group(&mut self, at: &Place, members: &[Command]) -> Result<Done, Rejection> {
        let before = self.clone();
        let mut order = None;
        for (part, member) in (0..).zip(members) {
            match self.perform(&Place { part, ..at.clone() }, member) {
                Ok(done) => order = order.or(done.order),
                Err(rejection) => {
                    *self = before;
                    return Err(Rejection::Member { member: part.into(), rejection: Box::new(rejection) });
                }
            }
        }
        Ok(Done { event: "group", order, shortfall: None })
    }

    fn grant(&mut self, at: &Place, grant: &Grant) -> Result<Done, Rejection> {
        if let Some(deadline) = grant.expires.filter(|expires| *expires <= at.now) {
            return Err(Rejection::DeadlinePassed { deadline });
        }
        let coins = i128::from(grant.coins.get());
        let kind = LotKind::Bonus { expires: grant.expires };
        self.purse(&grant.user).put(Piece { lot: at.lot(), kind, coins });
        self.post(Account::Platform(Purpose::Grants), -coins);
        self.post(Account::User(grant.user.clone()), coins);
        Ok(Done::plain("granted"))
    }

    fn dispatch(&mut self, at: &Place, subject: Subject, target: Shard, what: Dispatched) {
        let number = self.dispatched.entry((at.shard, target)).or_insert(0);
        *number += 1;
        let asked_by = (subject, at.asker.clone(), at.id.clone());
        self.dispatches.push(Dispatch { source: at.shard, target, number: *number, what, asked_by });
    }

    /// The next record that takes something from `source` to `target`: its number there.
    ///
    /// # Panics
    /// If nothing is on its way.
    pub fn take_dispatch(&mut self, source: Shard, target: Shard, now: Timestamp) -> u64 {
        let next = self.dispatches.iter().position(|d| (d.source, d.target) == (source, target));
        let dispatch = self.dispatches.remove(next.expect("something is on its way"));
        let sequence = self.next_sequence(target);
        let lot = LotId { sequence, part: 0 };
        let event = match &dispatch.what {
            Dispatched::Reference(publish) => {
                self.take_reference(target, publish, now);
                return dispatch.number; // a version's answer is its own record
            }
            Dispatched::Credit(payment) => self.take_credit(payment, lot),
            Dispatched::TakeBack(payment) => self.take_take_back(payment, now),
            Dispatched::GiveBack(payment) => self.take_give_back(payment, lot),
        };
        let heard = self.heard.get_mut(&dispatch.asked_by).expect("who asked was heard");
        heard.answer = Some(Expected::Taken { shard: target, sequence, event, order: None, shortfall: None });
        dispatch.number
    }

    /// How many dispatches are on their way.
    pub fn untaken(&self) -> usize {
        self.dispatches.len()
    }

    /// What has fallen due and has no record yet: what was due first comes first.
    pub fn due(&self, now: Timestamp) -> Vec<(UserId, Due)> {
        let mut due: Vec<(Timestamp, UserId, Due)> = Vec::new();
        for (user, purse) in &self.users {
            let lots = purse.lots.iter().filter_map(|lot| Some((lot.expires()?, user.clone(), Due::Lot(lot.lot))));
            due.extend(lots);
        }
        for (id, order) in self.orders.iter().filter(|(_, order)| order.status == Status::Held) {
            due.extend(order.deadline().map(|deadline| (deadline, order.user.clone(), Due::Hold(*id))));
        }
        due.sort();
        due.into_iter().filter(|(at, ..)| *at <= now).map(|(_, user, what)| (user, what)).collect()
    }

    /// The record of something that is due.
    pub fn run_timer(&mut self, user: &UserId, due: &Due, now: Timestamp) {
        let shard = Subject::User(user.clone()).shard(self.shards);
        self.next_sequence(shard);
        match due {
            Due::Lot(lot) => {
                let lots = &mut self.purse(user).lots;
                let at = lots.iter().position(|held| held.lot == *lot).expect("a lot that lapses is there");
                let coins = lots.remove(at).coins;
                self.lapses.insert((user.clone(), *lot), coins);
                self.post(Account::User(user.clone()), -coins);
                self.post(Account::Platform(Purpose::Expired), coins);
            }
            Due::Hold(order) => self.give_back_held(*order, now),
        }
    }

    /// All timers that are due.
    pub fn run_timers(&mut self, now: Timestamp) {
        for (user, due) in self.due(now) {
            self.run_timer(&user, &due, now);
        }
    }

    /// When the next thing falls due, if anything does.
    pub fn next_due(&self) -> Option<Timestamp> {
        let lots = self.users.values().flat_map(|purse| &purse.lots).filter_map(Piece::expires);
        let held = self.orders.values().filter(|order| order.status == Status::Held).filter_map(Order::deadline);
        lots.chain(held).min()
    }

    /// The command that placed an order, with its service, and the part of it that did.
    pub fn placed_by(&self, order: OrderId) -> Option<PartName> {
        let user = Subject::User(self.orders.get(&order)?.user.clone());
        let of_user = self.heard.iter().filter(|((subject, ..), _)| *subject == user);
        let mut placing = of_user.filter(|(_, heard)| (heard.shard, heard.sequence) == (order.shard, order.sequence));
        let ((_, source, id), _) = placing.next()?;
        Some(PartName { command: id.clone(), part: Some(order.part), source: Some(source.clone()) })
    }

    /// The order that a command placed, or a part of it: the first one where no part is named. Where no service
    /// is named it is the asker's own command.
    fn placed(&self, at: &Place, user: &Subject, name: &PartName) -> Option<OrderId> {
        let source = name.source.as_ref().unwrap_or(&at.asker);
        let is_own = (source, &name.command) == (&at.asker, &at.id);
        let record = if is_own && user.shard(self.shards) == at.shard {
            (at.shard, at.sequence) // what comes before in the same group
        } else {
            let heard = self.heard.get(&(user.clone(), source.clone(), name.command.clone()))?;
            (heard.shard, heard.sequence)
        };
        let mut placed = self.orders.keys().filter(|id| (id.shard, id.sequence) == record);
        placed.find(|id| name.part.is_none_or(|part| part == id.part)).copied()
    }

    /// What a user has.
    pub fn purse(&mut self, user: &UserId) -> &mut Purse {
        self.users.entry(user.clone()).or_default()
    }

    fn post(&mut self, account: Account, coins: i128) {
        *self.balances.entry((account, Asset::Coin)).or_default() += coins;
    }

    /// A payment (1) or what went back of one (−1): the channel owes it, the platform has sold for it.
    fn sale(&mut self, channel: &ChannelId, money: Money, sign: i128) {
        let asset = Asset::Currency(money.currency());
        let minor = sign * i128::from(money.minor());
        *self.balances.entry((Account::ChannelReceivable(channel.clone()), asset)).or_default() -= minor;
        *self.balances.entry((Account::Platform(Purpose::Sales), asset)).or_default() += minor;
    }
}

/// An amount as a rejection shows it: no more than there can be of coins.
fn shown(coins: i128) -> Coins {
    let most = i128::from(Coins::MAX.get());
    let capped = u64::try_from(coins.min(most)).expect("what is shown is not negative");
    Coins::new(capped).expect("it was capped")
}
