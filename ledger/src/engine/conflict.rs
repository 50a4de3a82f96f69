//! What is said of a command whose id stands for another: where the first stands, what became of it, and in
//! what the two differ. A record keeps what happened, not what was asked, so some of it cannot be told;
//! the digests always differ.

use std::fmt::{self, Display};

use schemas::{
    Body, Command, Digest, Envelope, Event, OrderId, OrderName, OrderRef, Record, Shard, Timestamp, coins_of,
};
use serde::Serialize;

/// The most differences that the message names; the answer has all of them.
const NAMED: usize = 3;

/// Where the first command stands, and in what the second one differs from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The shard of the record that has the id.
    pub shard: Shard,
    /// Its sequence.
    pub sequence: u64,
    /// When it was decided.
    pub time: Timestamp,
    /// `taken` or `refused`.
    pub outcome: &'static str,
    /// What happened, where it was taken.
    pub event: Option<&'static str>,
    /// Why, where it was refused.
    pub code: Option<&'static str>,
    /// What can be told of the difference.
    pub differs: Vec<Difference>,
    /// What tells the first content from others.
    pub first_digest: Digest,
    /// The same of this one.
    pub this_digest: Digest,
    /// All of it in a sentence.
    pub message: String,
}

/// One thing that the two commands say differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which: `gift.to`.
    pub path: String,
    /// What the first said; absent where it said nothing.
    pub first: Option<String>,
    /// What this one says; absent where it says nothing.
    pub this: Option<String>,
}

impl Conflict {
    /// Of the record that has the id, and a command that is not the record's.
    pub(crate) fn of(record: &Record, envelope: &Envelope, this_digest: Digest) -> Self {
        let mut comparison = Comparison::default();
        let (event, code) = match &record.body {
            Body::Event(event) => {
                comparison.compare("", event, &envelope.command);
                (Some(event.kind()), None)
            }
            Body::Rejection(rejection) => (None, Some(rejection.code())),
        };
        let outcome = if event.is_some() { "taken" } else { "refused" };
        let as_what = event.or(code).unwrap_or_default();
        comparison.compare_times(record, envelope.occurred_at);
        let differs = comparison.differs;
        let Record { shard, sequence, time, digest: first_digest, .. } = *record;
        let place =
            format!("the id stands for another command, {outcome} as {as_what} in {shard}-{sequence} at {time}");
        let message = match differs.as_slice() {
            [] => {
                format!("{place}; its content was {first_digest} and is {this_digest}, which is all that can be told")
            }
            differs => {
                let named: Vec<String> = differs.iter().take(NAMED).map(Difference::to_string).collect();
                let more = if differs.len() > NAMED { ", …" } else { "" };
                format!("{place}; {}{more}", named.join(", "))
            }
        };
        Self { shard, sequence, time, outcome, event, code, differs, first_digest, this_digest, message }
    }
}

impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
        write!(f, "{} was {} and is {}", self.path, value(&self.first), value(&self.this))
    }
}

#[derive(Default)]
struct Comparison {
    differs: Vec<Difference>,
}

impl Comparison {
    fn differ(&mut self, path: String, first: Option<String>, this: Option<String>) {
        if first != this {
            self.differs.push(Difference { path, first, this });
        }
    }

    /// What a command asked for, by what came of it.
    fn compare(&mut self, place: &str, event: &Event, command: &Command) {
        let first_kind = kind_of(event);
        if first_kind != command.kind() {
            let path = if place.is_empty() { "the command" } else { place };
            return self.differ(path.to_owned(), Some(first_kind.to_owned()), Some(command.kind().to_owned()));
        }
        let dot = if place.is_empty() { "" } else { "." };
        let mut field = |name: &str, first: Option<&dyn Display>, this: Option<&dyn Display>| {
            let text = |value: Option<&dyn Display>| value.map(ToString::to_string);
            self.differ(format!("{place}{dot}{first_kind}.{name}"), text(first), text(this));
        };
        match (event, command) {
            (Event::ReferencePublished(first), Command::Publish(this)) => {
                field("version", Some(&first.version), Some(&this.version));
                field("part", Some(&first.part), Some(&this.part));
                field("last", Some(&first.last), Some(&this.last));
                field("from", Some(&first.from), Some(&this.from));
                field("changes", Some(&first.changes.len()), Some(&this.changes.len()));
                for (nth, (first, this)) in first.changes.iter().zip(&this.changes).enumerate() {
                    if first != this {
                        field(
                            &format!("changes[{nth}]"),
                            Some(&first.title()),
                            Some(&format!("{} otherwise", this.title())),
                        );
                    }
                }
            }
            (Event::TopUpClaimed(first), Command::TopUp(this)) => {
                field("user", Some(&first.user), Some(&this.user));
                field("coins", Some(&first.coins), Some(&this.coins));
                field("paid", Some(&first.paid), Some(&this.paid));
            }
            (Event::TopUpReversed(first), Command::TopUp(this)) => {
                field("user", Some(&first.user), Some(&this.user));
                field("coins", Some(&first.coins), Some(&this.coins));
                field("paid", Some(&first.paid), Some(&this.paid));
            }
            (Event::Granted(first), Command::Grant(this)) => {
                field("coins", Some(&first.coins), Some(&this.coins));
                field("expires", shown(first.expires.as_ref()), shown(this.expires.as_ref()));
                field("reason", Some(&first.reason), Some(&this.reason));
            }
            (Event::GiftGiven(first), Command::Gift(this)) => {
                field("item", Some(&first.item), Some(&this.item));
                field("quantity", Some(&first.quantity), Some(&this.quantity));
                let recipients: Vec<&str> = this.to.iter().map(|recipient| recipient.streamer.as_str()).collect();
                let held: Vec<&str> = first.shares.iter().map(|share| share.streamer.as_str()).collect();
                let house = |names: Vec<&str>| if names.is_empty() { "house".to_owned() } else { names.join(", ") };
                field("to", Some(&house(held)), Some(&house(recipients)));
                field("room", shown(first.room.as_ref()), shown(this.room.as_ref()));
                field("activity", shown(first.activity.as_ref()), shown(this.activity.as_ref()));
                let step = |combo: &schemas::Combo| format!("{} step {}", combo.id, combo.count);
                let (first_step, step) = (first.combo.as_ref().map(step), this.combo.as_ref().map(step));
                field("combo", shown(first_step.as_ref()), shown(step.as_ref()));
                // The first one expected this price, or none.
                if let Some(expected) = this.expected_price.filter(|expected| *expected != first.price) {
                    field("expected_price", Some(&first.price), Some(&expected));
                }
            }
            (Event::Held(first), Command::Hold(this)) => {
                field("provider", Some(&first.provider), Some(&this.provider));
                let held = coins_of(&first.used).ok();
                field("coins", shown(held.as_ref()), Some(&this.coins));
                field("deadline", Some(&first.deadline), Some(&this.deadline));
            }
            (Event::Group(events), Command::Group(members)) => {
                if events.len() != members.len() {
                    let count = |count: usize| Some(format!("{count} commands"));
                    self.differ("group".to_owned(), count(events.len()), count(members.len()));
                }
                for (nth, (event, member)) in events.iter().zip(members).enumerate() {
                    self.compare(&format!("group[{nth}]"), event, member);
                }
            }
            _ => compare_step(&mut field, event, command),
        }
    }

    /// A record keeps when it happened where that was before it was decided.
    fn compare_times(&mut self, record: &Record, this: Option<Timestamp>) {
        let is_known = record.occurred_at.is_some() || this.is_some_and(|this| this < record.time);
        if is_known {
            let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
            self.differ("occurred_at".to_owned(), text(record.occurred_at), text(this));
        }
    }
}

/// Takes a field's name, what the first command said there, and what this one says.
type Field<'a> = dyn FnMut(&str, Option<&dyn Display>, Option<&dyn Display>) + 'a;

fn shown<T: Display>(value: Option<&T>) -> Option<&dyn Display> {
    value.map(|value| value as &dyn Display)
}

/// What is asked about an order. A chargeback and a reinstatement say nothing but their subject.
fn compare_step(field: &mut Field<'_>, event: &Event, command: &Command) {
    match (event, command) {
        (Event::Captured(first), Command::Capture(this)) => {
            order(field, first.order, &this.order);
            if let Some(coins) = this.coins {
                field("coins", Some(&first.coins), Some(&coins));
            }
        }
        (Event::Refunded(first), Command::Refund(this)) => {
            order(field, first.order, &this.order);
            if let Some(coins) = this.coins {
                field("coins", Some(&first.coins), Some(&coins));
            }
            field("reason", Some(&first.reason), Some(&this.reason));
        }
        (Event::RefundRolledBack(first), Command::RollBackRefund(this)) => {
            order(field, first.order, &this.order);
            field("refund.command", Some(&first.refund), Some(&this.refund.command));
            if let Some(part) = this.refund.part {
                field("refund.part", Some(&first.part), Some(&part));
            }
            field("reason", Some(&first.reason), Some(&this.reason));
        }
        (Event::Released(first), Command::Release(this)) => {
            order(field, first.order, &this.order);
            field("reason", Some(&first.reason), Some(&this.reason));
        }
        (
            Event::Sent(first) | Event::Queried(first) | Event::Unresolved(first) | Event::HandedOver(first),
            Command::Send(schemas::Send { order: this, .. })
            | Command::Query(schemas::Query { order: this, .. })
            | Command::Unresolved(schemas::Unresolved { order: this, .. })
            | Command::HandOver(schemas::HandOver { order: this, .. }),
        ) => {
            order(field, first.order, this);
            field("reason", shown(first.reason.as_ref()), shown(reason_of(command)));
        }
        _ => {}
    }
}

/// Only an order that is named by its number can be told from the first's.
fn order(field: &mut Field<'_>, first: OrderId, this: &OrderRef) {
    if let OrderName::Number(number) = &this.name {
        field("order.name.number", Some(&first), Some(number));
    }
}

fn reason_of(command: &Command) -> Option<&schemas::ReasonCode> {
    match command {
        Command::Unresolved(command) => Some(&command.reason),
        Command::HandOver(command) => Some(&command.reason),
        _ => None,
    }
}

/// The kind of command that an event came of.
fn kind_of(event: &Event) -> &'static str {
    match event {
        Event::ReferencePublished(_) => "publish",
        Event::ReferenceTaken(_) => "take_reference",
        Event::TopUpClaimed(_) | Event::TopUpReversed(_) => "top_up",
        Event::TopUpCredited(_) => "credit",
        Event::ChargebackClaimed(_) | Event::ChargebackRemembered(_) => "chargeback",
        Event::ChargedBack(_) => "take_back",
        Event::ReinstateClaimed(_) | Event::ReinstateRemembered(_) => "reinstate",
        Event::Reinstated(_) => "give_back",
        Event::Granted(_) => "grant",
        Event::LotExpired(_) => "expire_lot",
        Event::GiftGiven(_) => "gift",
        Event::Held(_) => "hold",
        Event::Sent(_) => "send",
        Event::Queried(_) => "query",
        Event::Unresolved(_) => "unresolved",
        Event::HandedOver(_) => "hand_over",
        Event::Captured(_) => "capture",
        Event::Released(_) => "release",
        Event::Refunded(_) => "refund",
        Event::RefundRolledBack(_) => "roll_back_refund",
        Event::Group(_) => "group",
    }
}
