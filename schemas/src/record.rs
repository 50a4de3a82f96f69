//! The record: one outcome of one command, for ever.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thin_vec::ThinVec;

use crate::{
    ActorId, Change, ChannelId, Client, Combo, Command, CommandId, Credit, Digest, Dispatch, Event, GiveBack, LotId,
    Order, OrderId, Publish, RefundRolledBack, Rejection, Shard, Source, Subject, TakeBack, TakeReference, Timestamp,
    TransactionId, UserId,
};

/// So many lots are surely within a record: 24 KiB.
const FEW_LOTS: usize = 1_000;

/// One outcome of one command. Everything that is known is a fold of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")] // read in `json`
pub struct Record {
    /// The shard of the subject.
    pub shard: Shard,
    /// Its place in the shard, from 1 without a gap.
    pub sequence: u64,
    /// The ledger's clock when it was decided; strictly rising in a shard.
    pub time: Timestamp,
    /// When it happened; absent where that is `time`.
    pub occurred_at: Option<Timestamp>,
    /// Whose state it changes.
    pub subject: Subject,
    /// Who submitted the command.
    pub origin: Origin,
    /// The command's id, unique within subject and origin.
    pub id: CommandId,
    /// What the command asked for, as a digest: the same id with another digest is a conflict.
    pub digest: Digest,
    /// Who acted: whose the token is that was used, else as the caller named them.
    pub actor: Option<ActorId>,
    /// For whom, as the caller named them, where a token says who acted.
    pub on_behalf_of: Option<ActorId>,
    /// The user's app.
    pub client: Option<Box<Client>>,
    /// What came of it.
    pub body: Body,
    /// The orders that it moved, as it left them: each once, with its whole remaining state, by number. One
    /// that was only placed is not among them: its event says all of it.
    #[schemars(with = "Vec<Order>")]
    pub moved: Moved,
}

/// The orders that a record moved: none, for nearly all records.
pub type Moved = ThinVec<Order>;

/// Who submitted a command.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A caller: the service that asked.
    Caller(Source),
    /// The dispatcher; the id is `<source shard>:<number>`.
    Dispatch,
    /// A timer; the id is made from what was due.
    Timer,
}

/// Who may submit a command: [`Origin`] without a caller's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OriginKind {
    /// Services outside.
    Caller,
    /// The dispatcher only.
    Dispatch,
    /// A timer only.
    Timer,
}

impl Origin {
    /// The service that asked, where one did.
    #[inline]
    pub fn source(&self) -> Option<&Source> {
        match self {
            Self::Caller(source) => Some(source),
            Self::Dispatch | Self::Timer => None,
        }
    }

    /// Whether a service outside submitted it.
    #[inline]
    pub fn is_caller(&self) -> bool {
        matches!(self, Self::Caller(_))
    }
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// It was taken.
    Event(Box<Event>),
    /// It was refused.
    Rejection(Rejection),
}

/// What a record can be found by, besides its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// The outcome of a command.
    Command(Subject, Origin, CommandId),
    /// The gift that counted a step of a combo.
    Combo(UserId, Combo),
    /// The newest record of an order, where it is not the placing one.
    Order(OrderId),
    /// The newest record of a channel's transaction.
    Transaction(ChannelId, TransactionId),
    /// The roll-back of a refund of an order, by the refund's source, command id and its part of a group.
    RollBack(OrderId, Source, CommandId, u8),
    /// The newest record that says what is left of the coins that lapsed with a lot.
    Lapse(UserId, LotId),
}

impl Record {
    /// When it happened: what months and boards go by.
    #[inline]
    pub fn happened_at(&self) -> Timestamp {
        self.occurred_at.unwrap_or(self.time)
    }

    /// The event, where the command was taken.
    #[inline]
    pub fn event(&self) -> Option<&Event> {
        match &self.body {
            Body::Event(event) => Some(event),
            Body::Rejection(_) => None,
        }
    }

    /// Whether its canonical bytes have to be counted to know that they are within [`MAX_RECORD_BYTES`]. Without
    /// an order that it moves, a group or changes, it has at most 64 recipients with an id of 200 bytes each and
    /// `FEW_LOTS` lots of at most 24 bytes, which is far below.
    #[inline]
    pub fn may_be_large(&self) -> bool {
        let Some(event) = self.event() else { return false };
        let lots = match event {
            Event::Group(_) | Event::ReferencePublished(_) | Event::ReferenceTaken(_) => return true,
            Event::GiftGiven(gift) => gift.used.len(),
            Event::Held(held) => held.used.len(),
            Event::ChargedBack(charged_back) => charged_back.taken.len(),
            Event::Reinstated(reinstated) => reinstated.restored.len(),
            _ => 0, // no lots, or those of an order that it moves
        };
        !self.moved.is_empty() || lots > FEW_LOTS
    }

    /// The events, each with its place in the atomic group (0 where there is none). Empty for a refusal.
    #[inline]
    pub fn events(&self) -> impl Iterator<Item = (u8, &Event)> {
        let parts = self.event().map_or(&[][..], Event::parts);
        parts.iter().enumerate().map(|(part, event)| (u8::try_from(part).expect("a group has at most 64 parts"), event))
    }

    /// The number of the order that part `part` of this record placed.
    #[inline]
    pub fn order_id(&self, part: u8) -> OrderId {
        OrderId { shard: self.shard, sequence: self.sequence, part }
    }

    /// The orders that it placed or moved, as it left them.
    pub fn orders(&self) -> impl Iterator<Item = Order> {
        let placed = self.events().filter_map(|(part, event)| self.placed_by(part, event));
        let placed = placed.map(|order| self.moved(order.id).cloned().unwrap_or(order));
        let here = |order: &Order| (order.id.shard, order.id.sequence) == (self.shard, self.sequence);
        placed.chain(self.moved.iter().filter(move |order| !here(order)).cloned())
    }

    /// The number of the order that `event`, part `part` of this record, placed or moved.
    #[inline]
    pub fn order_of(&self, part: u8, event: &Event) -> Option<OrderId> {
        match event {
            Event::GiftGiven(_) | Event::Held(_) => Some(self.order_id(part)),
            moved => moved.moved_order(),
        }
    }

    /// An order that it placed or moved, as it left it.
    pub fn order(&self, id: OrderId) -> Option<Order> {
        self.moved(id).cloned().or_else(|| {
            let (part, event) = self.events().find(|(part, _)| self.order_id(*part) == id)?;
            self.placed_by(part, event)
        })
    }

    /// An order that it moved, as it left it.
    #[inline]
    pub fn moved(&self, id: OrderId) -> Option<&Order> {
        self.moved.iter().find(|order| order.id == id)
    }

    /// The order that `event`, part `part` of this record, placed, as it was then.
    #[inline]
    pub fn placed_by(&self, part: u8, event: &Event) -> Option<Order> {
        match event {
            Event::GiftGiven(gift) => Some(gift.order(self.order_id(part), self.happened_at())),
            Event::Held(held) => Some(held.order(self.order_id(part), self.happened_at())),
            _ => None,
        }
    }

    /// The commands that it carries for other subjects, each with its place in the sequence.
    pub fn dispatches(&self) -> Vec<(Dispatch, Command)> {
        match (self.event(), &self.subject) {
            (Some(Event::TopUpClaimed(e)), Subject::Transaction { channel, transaction }) => {
                let credit = Credit {
                    user: e.user.clone(),
                    coins: e.coins,
                    channel: channel.clone(),
                    transaction: transaction.clone(),
                };
                vec![(e.dispatch, Command::Credit(credit))]
            }
            (Some(Event::ChargebackClaimed(e)), Subject::Transaction { channel, transaction }) => {
                let take_back = TakeBack {
                    user: e.user.clone(),
                    coins: e.coins,
                    channel: channel.clone(),
                    transaction: transaction.clone(),
                    credit: e.credit,
                };
                vec![(e.dispatch, Command::TakeBack(take_back))]
            }
            (Some(Event::ReinstateClaimed(e)), Subject::Transaction { channel, transaction }) => {
                let (user, channel, transaction) = (e.user.clone(), channel.clone(), transaction.clone());
                let command = match e.take_back {
                    None => Command::Credit(Credit { user, coins: e.coins, channel, transaction }),
                    Some(take_back) => {
                        Command::GiveBack(GiveBack { user, coins: e.coins, channel, transaction, take_back })
                    }
                };
                vec![(e.dispatch, command)]
            }
            (Some(Event::ReferencePublished(e)), _) => {
                let changes: Vec<Change> = e.changes.iter().filter(|c| c.is_read_by_decisions()).cloned().collect();
                let take = |shard| TakeReference {
                    shard,
                    publish: Publish {
                        version: e.version,
                        part: e.part,
                        last: e.last,
                        from: e.from,
                        changes: changes.clone(),
                    },
                };
                e.dispatches.iter().map(|d| (*d, Command::TakeReference(take(d.target)))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether it carries commands for other subjects.
    #[inline]
    pub fn has_dispatches(&self) -> bool {
        matches!(
            self.event(),
            Some(
                Event::TopUpClaimed(_)
                    | Event::ChargebackClaimed(_)
                    | Event::ReinstateClaimed(_)
                    | Event::ReferencePublished(_)
            )
        )
    }

    /// Gives every key by which this record is found to `visit`. A later record takes a key over.
    pub fn keys(&self, mut visit: impl FnMut(Key)) {
        visit(Key::Command(self.subject.clone(), self.origin.clone(), self.id.clone()));
        self.further_keys(visit);
    }

    /// Whether it is found by that key.
    pub fn has(&self, key: &Key) -> bool {
        let is_user = |user: &UserId| self.subject.user() == Some(user);
        let some = |is: &dyn Fn(&Event) -> bool| self.events().any(|(_, event)| is(event));
        match key {
            Key::Command(subject, origin, id) => self.origin == *origin && self.id == *id && self.subject == *subject,
            Key::Order(order) => self.moved(*order).is_some(),
            // An order of many lots may have as many in one record: no key is made of each to compare it.
            Key::Lapse(user, lot) => {
                is_user(user)
                    && some(&|event| match event {
                        Event::LotExpired(lapsed) => lapsed.lot.id == *lot,
                        Event::RefundRolledBack(back) => back.unlapsed.iter().any(|unlapsed| unlapsed.lot.id == *lot),
                        _ => false,
                    })
            }
            Key::Combo(..) | Key::Transaction(..) | Key::RollBack(..) => {
                let mut has = false;
                self.further_keys(|own| has |= own == *key);
                has
            }
        }
    }

    /// The keys besides that of the command's id.
    pub fn further_keys(&self, mut visit: impl FnMut(Key)) {
        for (_, event) in self.events() {
            match (event, &self.subject) {
                (Event::GiftGiven(gift), Subject::User(user)) => {
                    if let Some(combo) = &gift.combo {
                        visit(Key::Combo(user.clone(), combo.clone()));
                    }
                }
                (
                    Event::TopUpClaimed(_)
                    | Event::ChargebackClaimed(_)
                    | Event::ChargebackRemembered(_)
                    | Event::TopUpReversed(_)
                    | Event::ReinstateRemembered(_)
                    | Event::ReinstateClaimed(_),
                    Subject::Transaction { channel, transaction },
                ) => {
                    visit(Key::Transaction(channel.clone(), transaction.clone()));
                }
                (Event::LotExpired(lapsed), Subject::User(user)) => {
                    visit(Key::Lapse(user.clone(), lapsed.lot.id));
                }
                (Event::RefundRolledBack(rolled_back), Subject::User(user)) => {
                    let RefundRolledBack { order, source, refund, part, .. } = &**rolled_back;
                    visit(Key::RollBack(*order, source.clone(), refund.clone(), *part));
                    for unlapsed in &rolled_back.unlapsed {
                        visit(Key::Lapse(user.clone(), unlapsed.lot.id));
                    }
                }
                _ => {}
            }
        }
        for order in &self.moved {
            visit(Key::Order(order.id));
        }
    }
}
