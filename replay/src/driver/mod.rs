//! The driver: brings game orders that were sent and not answered to an end.
//!
//! It follows the log and submits commands back; it keeps nothing that the log does not have. Each
//! call of the provider is on the log before (`query`) and after it (`capture`, `release` or
//! `unresolved`), under ids made from the order and the attempt, so that it can stop at any point
//! and be started again. An answer that does not settle the order is never taken for a no: it is asked again on the schedule,
//! and when that ends a person takes over.

mod partner;
mod schedule;
mod simulator;

use std::collections::BTreeMap;

use ledger::{
    Answer, Caller, Engine, Lines, Result,
    log::{Check, Frames, Reader},
};
use schemas::{
    ActorId, Capture, Coins, Command, CommandId, Envelope, HandOver, Order, OrderId, OrderKind, OrderName, OrderRef,
    Query, ReasonCode, Record, Release, Send, Source, Status, Subject, Timestamp, Unresolved, UserId,
};

pub use partner::{Partner, Reply, Verdict};
pub use schedule::Schedule;
pub use simulator::{Behaviour, Simulator};

/// Follows game orders and ends them.
#[derive(Debug)]
pub struct Driver<P> {
    partner: P,
    schedule: Schedule,
    waiting: BTreeMap<OrderId, Waiting>,
    /// The log behind what was read; goes on as it grows.
    frames: Frames,
    counts: Counts,
}

/// An order that waits for an answer.
#[derive(Debug, Clone)]
struct Waiting {
    user: UserId,
    order: Order,
    /// When its newest record was made.
    since: Timestamp,
}

/// What a driver did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of the provider.
    pub calls: u64,
    /// Answers that settled nothing: lost, late, about another order, or for more than was held.
    pub unresolved: u64,
    /// Orders that the provider turned out to have delivered.
    pub captured: u64,
    /// Orders that it turned out to have refused: compensated.
    pub released: u64,
    /// Orders that a person has to take over.
    pub handed_over: u64,
}

impl<P: Partner> Driver<P> {
    /// A driver of the orders on a log, which asks `partner` on `schedule`.
    pub fn new(partner: P, schedule: Schedule, log: &Reader) -> Self {
        let frames = log.frames(Check::Frame);
        Self { partner, schedule, waiting: BTreeMap::new(), frames, counts: Counts::default() }
    }

    /// Ends the driver; another one goes on from the log.
    pub fn into_partner(self) -> P {
        self.partner
    }

    /// What it did so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many orders wait for an answer.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When the next order is to be asked about.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.waiting.values().map(|waiting| self.due(waiting)).min()
    }

    /// Reads what the log has since the last time.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn follow(&mut self) -> Result<()> {
        while let Some(frame) = self.frames.next() {
            frame?.records.iter().for_each(|record| self.note(record));
        }
        Ok(())
    }

    fn note(&mut self, record: &Record) {
        let Subject::User(user) = &record.subject else { return };
        for order in record.orders() {
            match order.status {
                Status::Sent | Status::Unknown => {
                    self.waiting.insert(order.id, Waiting { user: user.clone(), order, since: record.time });
                }
                _ => {
                    self.waiting.remove(&order.id);
                }
            }
        }
    }

    /// Marks a held order as sent and calls the provider for it.
    pub fn send(&mut self, engine: &Engine, user: &UserId, order: &Order) -> Answer {
        let reference = OrderRef { user: user.clone(), name: OrderName::Number(order.id) };
        let sent = submit(engine, order, "send", Command::Send(Send { order: reference }));
        if matches!(sent, Answer::Taken(_)) {
            let reply = self.partner.send(user, order);
            return self.settle(engine, user, order, reply);
        }
        sent
    }

    /// Asks about every order whose time has come at `now`.
    pub fn ask_due(&mut self, engine: &Engine, now: Timestamp) {
        let due: Vec<Waiting> = self.waiting.values().filter(|waiting| self.due(waiting) <= now).cloned().collect();
        for Waiting { user, order, .. } in due {
            let reference = OrderRef { user: user.clone(), name: OrderName::Number(order.id) };
            if self.schedule.has_ended(attempts(&order)) {
                self.hand_over(engine, &order, reference, "schedule_ended", now);
                continue;
            }
            let asked = submit(engine, &order, "query", Command::Query(Query { order: reference.clone() }));
            match asked {
                Answer::Taken(_) => {
                    let reply = self.partner.query(&user, &order);
                    self.settle(engine, &user, &order, reply);
                }
                // Somebody else has used the id: asking would leave no trace on the log.
                Answer::Conflict { .. } => self.hand_over(engine, &order, reference, "query_id_taken", now),
                // Refused: it moved on, as the log will say. Not decided: later.
                _ => self.wait_again(order.id, now),
            }
        }
    }

    fn hand_over(&mut self, engine: &Engine, order: &Order, reference: OrderRef, reason: &str, now: Timestamp) {
        let command = Command::HandOver(HandOver { order: reference, reason: code(reason) });
        match submit(engine, order, "hand-over", command) {
            Answer::Taken(_) => self.counts.handed_over += 1,
            answer => {
                tracing::warn!(order = %order.id, ?answer, "an order could not be handed over; it is tried again");
                self.wait_again(order.id, now);
            }
        }
    }

    /// Puts an order off by a wait, so that what cannot be done now is not tried in a loop.
    fn wait_again(&mut self, order: OrderId, now: Timestamp) {
        if let Some(waiting) = self.waiting.get_mut(&order) {
            waiting.since = now;
        }
    }

    /// Records what came back.
    fn settle(&mut self, engine: &Engine, user: &UserId, order: &Order, reply: Option<Reply>) -> Answer {
        self.counts.calls += 1;
        let reference = OrderRef { user: user.clone(), name: OrderName::Number(order.id) };
        let (step, command, count): (_, _, fn(&mut Counts) -> &mut u64) = match judge(order, reply) {
            Ok(Some(coins)) => {
                ("capture", Command::Capture(Capture { order: reference, coins: Some(coins) }), |c| &mut c.captured)
            }
            Ok(None) => {
                let reason = code("provider_rejected");
                ("release", Command::Release(Release { order: reference, reason }), |c| &mut c.released)
            }
            Err(reason) => {
                let reason = code(reason);
                ("unresolved", Command::Unresolved(Unresolved { order: reference, reason }), |c| &mut c.unresolved)
            }
        };
        let answer = submit(engine, order, step, command);
        *count(&mut self.counts) += u64::from(matches!(answer, Answer::Taken(_)));
        answer
    }

    fn due(&self, waiting: &Waiting) -> Timestamp {
        waiting.since.plus_millis(self.schedule.delay_ms(attempts(&waiting.order)))
    }
}

/// The id names order, step and attempt: what was submitted before a stop is not done twice.
fn submit(engine: &Engine, order: &Order, step: &str, command: Command) -> Answer {
    let id = format!("driver:{step}:{}:{}", order.id, attempts(order));
    let envelope = Envelope {
        id: CommandId::new(&id).expect("words and numbers are a command id"),
        occurred_at: None,
        actor: Some(ActorId::new("driver").expect("a word is an actor id")),
        client: None,
        command,
    };
    let mut answers = engine.execute(&Caller::of(Source::driver()), vec![envelope], Lines::Independent);
    answers.pop().expect("one command has one answer")
}

/// What a reply means: what to capture, that there is nothing to capture, or why it settles nothing.
fn judge(order: &Order, reply: Option<Reply>) -> Result<Option<Coins>, &'static str> {
    match reply {
        None => Err("timeout"),
        Some(reply) if reply.order != order.id => Err("wrong_order"),
        Some(Reply { verdict: Verdict::Pending, .. }) => Err("pending"),
        Some(Reply { verdict: Verdict::Rejected, .. }) => Ok(None),
        Some(Reply { verdict: Verdict::Delivered(coins), .. }) if coins > order.left || coins.is_zero() => {
            Err("wrong_amount")
        }
        Some(Reply { verdict: Verdict::Delivered(coins), .. }) => Ok(Some(coins)),
    }
}

fn attempts(order: &Order) -> u32 {
    match order.kind {
        OrderKind::Game { attempts, .. } => attempts,
        OrderKind::Gift { .. } => 0,
    }
}

fn code(reason: &str) -> ReasonCode {
    ReasonCode::new(reason).expect("a word is a reason code")
}
