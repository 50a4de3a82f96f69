//! The engine without threads: takes commands, decides them, and keeps what follows from that.
//! Every method is one step, so that a simulation can stop between any two.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, LazyLock},
};

use schemas::{
    Body, Client, Command, CommandId, Digest, Dispatch, Envelope, Event, Origin, Record, Rejection, Shard, Subject,
    Timestamp, UserId,
};

use super::{
    answer::{Answer, Unavailable},
    bulk::{Bulks, Reply, Slot, Submission},
    dispatcher::Untaken,
    flows::Flows,
    lookup::Lookup,
    recent::Records,
    timers::Timers,
};
use crate::{
    Result,
    clock::Clock,
    decide::{Prefetched, Request, decide},
    state::{State, dispatch_id, parse_dispatch_id},
};

/// How far ahead of the ledger's clock a caller's time may be and still count as now.
const TOLERANCE_MS: i64 = 500;
/// The most records of one batch: what a bulk of the usual 8,189 lines makes, and some.
const MAX_BATCH_RECORDS: usize = 8_192;
/// The most bytes of one batch, estimated, of what a frame may have: a quarter is left, so that of the
/// usual 8 MiB one more record of the largest size (512 KiB) still fits.
const fn max_batch_bytes(max_frame_bytes: usize) -> usize {
    max_frame_bytes / 4 * 3
}
/// Timers taken in a row before callers get their turn again.
const TIMER_CHUNK: usize = 256;

/// What was looked up where nothing was.
static NOTHING: LazyLock<Prefetched> = LazyLock::new(Prefetched::default);

/// The state of all shards, and everything derived from it that deciding needs.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) states: Vec<State>,
    lookup: Lookup,
    timers: Timers,
    flows: Flows,
    bulks: Bulks,
    clock: Arc<dyn Clock>,
    /// The time of the last record of any shard.
    time: Timestamp,
    /// What the clock showed when the step began.
    now: Timestamp,
    /// Lines that were handed in and not looked at.
    queue: VecDeque<Queued>,
    /// The batch being decided.
    records: usize,
    bytes: usize,
    /// The most bytes that it may have.
    most_bytes: usize,
    replies: Vec<Reply>,
    spent: Vec<Vec<Envelope>>,
}

/// Lines of one submission that follow each other.
#[derive(Debug)]
struct Queued {
    submission: u64,
    lines: Range<usize>,
}

/// What is decided and has to become durable together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) records: Arc<Records>,
    /// What may be answered then.
    pub(crate) replies: Vec<Reply>,
    /// Commands that are answered: the writer has the time to drop them.
    pub(crate) spent: Vec<Vec<Envelope>>,
}

/// A command with everything that its record needs.
struct Incoming<'a> {
    subject: Subject,
    origin: Origin,
    id: &'a CommandId,
    occurred_at: Option<Timestamp>,
    actor: Option<schemas::ActorId>,
    client: Option<Box<Client>>,
    command: &'a Command,
    digest: Digest,
}

impl Core {
    /// With the states that the log folds to, for a log that takes frames of so many bytes.
    pub(crate) fn new(states: Vec<State>, lookup: Lookup, clock: Arc<dyn Clock>, max_frame_bytes: usize) -> Self {
        let mut timers = Timers::default();
        for state in &states {
            timers.note_state(state);
        }
        let time = states.iter().map(State::time).max().unwrap_or(Timestamp::MIN);
        Self {
            states,
            lookup,
            timers,
            flows: Flows::default(),
            bulks: Bulks::default(),
            clock,
            time,
            queue: VecDeque::new(),
            records: 0,
            bytes: 0,
            most_bytes: max_batch_bytes(max_frame_bytes),
            replies: Vec::new(),
            spent: Vec::new(),
            now: Timestamp::MIN,
        }
    }

    /// Takes a submission into the queue.
    pub(crate) fn submit(&mut self, submission: Submission) {
        let (submission, lines) = self.bulks.open(submission);
        self.queue.push_back(Queued { submission, lines: 0..lines });
    }

    /// Whether lines wait to be decided.
    pub(crate) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// How many commands have no answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.bulks.unanswered()
    }

    /// Whether the batch being decided takes more.
    pub(crate) fn has_room(&self) -> bool {
        self.records < MAX_BATCH_RECORDS && self.bytes < self.most_bytes
    }

    /// Whether there is anything to write or to answer.
    pub(crate) fn has_batch(&self) -> bool {
        self.records > 0 || !self.replies.is_empty()
    }

    /// When something has to be done although nobody asks: a timer, or a line that waits too long.
    pub(crate) fn wakes_at(&self) -> Option<Timestamp> {
        // While the clock is behind nothing is decided, so a timer waits for it.
        let in_time = Timestamp::from_nanos(self.time.nanos().saturating_sub(TOLERANCE_MS * 1_000_000));
        let timer = self.timers.next().map(|at| at.max(in_time));
        timer.into_iter().chain(self.bulks.gives_up_at()).min()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Closes the batch being decided.
    pub(crate) fn hand_over(&mut self) -> Batch {
        self.records = 0;
        self.bytes = 0;
        Batch {
            records: self.lookup.recent.hand_over(),
            replies: std::mem::take(&mut self.replies),
            spent: std::mem::take(&mut self.spent),
        }
    }

    /// The batch that was handed over is durable.
    pub(crate) fn durable(&mut self) -> Arc<Records> {
        self.lookup.recent.durable()
    }

    /// Decides what is queued, until the batch is full.
    pub(crate) fn decide_queued(&mut self) -> Result<()> {
        self.now = self.clock.now();
        if self.clock_is_behind() {
            self.refuse_queued(Unavailable::ClockBehind);
        }
        while self.has_room()
            && let Some(queued) = self.queue.pop_front()
        {
            self.decide_lines(queued)?;
        }
        let late = self.bulks.give_up(self.now);
        self.replies.extend(late);
        Ok(())
    }

    /// Decides lines as far as the batch has room; the rest stays first in the queue.
    fn decide_lines(&mut self, Queued { submission, mut lines }: Queued) -> Result<()> {
        let commands = self.bulks.lend(submission);
        while self.has_room()
            && let Some(line) = lines.next()
        {
            self.decide_line(Slot { submission, line }, &commands[line])?;
        }
        if !lines.is_empty() {
            self.queue.push_front(Queued { submission, lines });
        }
        self.spent.extend(self.bulks.give_back(submission, commands));
        Ok(())
    }

    /// Whether anybody waits for a dispatch to be taken.
    pub(crate) fn has_waits(&self) -> bool {
        !self.flows.is_empty()
    }

    /// Answers everything that cannot go on: what is queued, and who waits for a dispatch that cannot
    /// be taken now. It is on the log; asked again later, the same id joins the wait or gets the outcome.
    pub(crate) fn refuse_all(&mut self, why: Unavailable) {
        for slot in self.flows.give_up() {
            self.go_on_behind(slot);
            self.answer(slot, Answer::Unavailable(Unavailable::Unfinished));
        }
        self.refuse_queued(why);
    }

    /// Answers everything that is queued with why it is not decided.
    fn refuse_queued(&mut self, why: Unavailable) {
        while let Some(Queued { submission, lines }) = self.queue.pop_front() {
            for line in lines {
                self.answer(Slot { submission, line }, Answer::Unavailable(why));
            }
        }
    }

    fn clock_is_behind(&self) -> bool {
        self.time > self.now.plus_millis(TOLERANCE_MS)
    }

    /// Takes a dispatch from the committed log, unless it was taken before.
    pub(crate) fn take_dispatch(&mut self, untaken: &Untaken) -> Result<()> {
        self.now = self.clock.now();
        let Untaken { source, dispatch, command, .. } = untaken;
        let subject = command.check(Origin::Dispatch).expect("a dispatched command is well formed");
        let taken = self.states[usize::from(dispatch.target)].taken_from(*source);
        if dispatch.number <= taken {
            return Ok(());
        }
        assert_eq!(dispatch.number, taken + 1, "dispatches from {source} to {} are taken in order", dispatch.target);
        let id = dispatch_id(*source, dispatch.number);
        self.record_own(Incoming {
            digest: Digest::of(command, untaken.occurred_at),
            subject,
            origin: Origin::Dispatch,
            id: &id,
            occurred_at: untaken.occurred_at,
            actor: untaken.actor.clone(),
            client: None,
            command,
        })
    }

    /// Takes timers that are due.
    pub(crate) fn take_timers(&mut self) -> Result<()> {
        self.now = self.clock.now();
        for _ in 0..TIMER_CHUNK {
            if !self.has_room() || self.clock_is_behind() {
                return Ok(());
            }
            let Some((id, command)) = self.timers.pop(self.now, &self.states) else { return Ok(()) };
            let subject = command.check(Origin::Timer).expect("a timer's command is well formed");
            self.record_own(Incoming {
                digest: Digest::of(&command, None),
                subject,
                origin: Origin::Timer,
                id: &id,
                occurred_at: None,
                actor: None,
                client: None,
                command: &command,
            })?;
        }
        Ok(())
    }

    fn decide_line(&mut self, slot: Slot, envelope: &Envelope) -> Result<()> {
        let subject = match envelope.command.check(Origin::Caller) {
            Ok(subject) => subject,
            Err(message) => {
                self.answer(slot, Answer::Malformed { message });
                return Ok(());
            }
        };
        if self.bulks.has_waits(slot)
            && let Some(user) = self.touched(&subject, &envelope.command)?
            && self.bulks.park(slot, &user)
        {
            return Ok(());
        }
        let incoming = match self.timely(envelope, subject) {
            Ok(incoming) => incoming,
            Err(message) => {
                self.answer(slot, Answer::Malformed { message });
                return Ok(());
            }
        };
        let earlier = self.lookup.command(&incoming.subject, Origin::Caller, incoming.id.as_str())?;
        let record = match earlier {
            Some(record) if record.digest != incoming.digest => {
                let Record { shard, sequence, .. } = record;
                self.answer(slot, Answer::Conflict { shard, sequence });
                return Ok(());
            }
            Some(record) => return self.answer_from(slot, &record, envelope.command.touches()),
            None => self.decided(incoming)?,
        };
        self.answer_from(slot, &record, envelope.command.touches())?;
        self.lookup.push(record);
        Ok(())
    }

    /// The command as it is to be recorded, if its time can be.
    fn timely<'a>(&self, envelope: &'a Envelope, subject: Subject) -> Result<Incoming<'a>, String> {
        let now = self.next_time();
        let occurred_at = match envelope.occurred_at {
            Some(at) if at > now.plus_millis(TOLERANCE_MS) => {
                return Err(format!("occurred_at {at} is more than {TOLERANCE_MS} ms ahead of the ledger's {now}"));
            }
            Some(at) if at >= now => None,
            at => at,
        };
        Ok(Incoming {
            digest: Digest::of(&envelope.command, envelope.occurred_at),
            subject,
            origin: Origin::Caller,
            id: &envelope.id,
            occurred_at,
            actor: envelope.actor.clone(),
            client: envelope.client.clone(),
            command: &envelope.command,
        })
    }

    /// The user whose later lines must wait for this one.
    fn touched(&mut self, subject: &Subject, command: &Command) -> Result<Option<UserId>> {
        if let Some(user) = command.touches() {
            return Ok(Some(user.clone()));
        }
        let found = self.lookup.prefetch(subject, "", command)?;
        Ok(found.and_then(|found| found.transaction).and_then(|claim| match claim.event {
            Event::TopUpClaimed(claimed) => Some(claimed.user),
            Event::ChargebackClaimed(claimed) => Some(claimed.user),
            _ => None,
        }))
    }

    /// Answers from the command's first record, or waits for those that follow from it.
    fn answer_from(&mut self, slot: Slot, record: &Record, touches: Option<&UserId>) -> Result<()> {
        let dispatches: &[Dispatch] = match record.event() {
            Some(Event::TopUpClaimed(claimed)) => std::slice::from_ref(&claimed.dispatch),
            Some(Event::ChargebackClaimed(claimed)) => std::slice::from_ref(&claimed.dispatch),
            Some(Event::ReferencePublished(published)) => &published.dispatches,
            _ => {
                self.answer(slot, Answer::of(record));
                return Ok(());
            }
        };
        let taken = |d: &Dispatch| self.states[usize::from(d.target)].taken_from(record.shard) >= d.number;
        let untaken: Vec<Dispatch> = dispatches.iter().filter(|d| !taken(d)).copied().collect();
        if untaken.is_empty() {
            let last = self.last_record(record)?;
            self.answer(slot, Answer::of(&last));
            return Ok(());
        }
        self.flows.wait(record, &untaken, slot);
        let user = match record.event() {
            Some(Event::ChargebackClaimed(claimed)) => Some(&claimed.user),
            _ => touches,
        };
        if let Some(user) = user {
            self.bulks.begin_wait(slot, user, self.now);
        }
        Ok(())
    }

    /// The record whose outcome answers a claim: the one that took its dispatch.
    fn last_record(&mut self, claim: &Record) -> Result<Record> {
        match claim.event() {
            Some(
                Event::TopUpClaimed(schemas::TopUpClaimed { user, dispatch, .. })
                | Event::ChargebackClaimed(schemas::ChargebackClaimed { user, dispatch, .. }),
            ) => {
                let subject = Subject::User(user.clone());
                let id = dispatch_id(claim.shard, dispatch.number);
                let taken = self.lookup.command(&subject, Origin::Dispatch, id.as_str())?;
                Ok(taken.expect("a dispatch that the state has taken has a record"))
            }
            _ => Ok(claim.clone()),
        }
    }

    fn next_time(&self) -> Timestamp {
        self.now.max(Timestamp::from_nanos(self.time.nanos().saturating_add(1)))
    }

    /// Decides a command of the ledger's own and records it.
    fn record_own(&mut self, incoming: Incoming<'_>) -> Result<()> {
        let record = self.decided(incoming)?;
        if record.origin == Origin::Dispatch {
            self.dispatch_taken(&record);
        }
        self.lookup.push(record);
        Ok(())
    }

    /// Decides a new command and applies the record of whatever comes of it.
    fn decided(&mut self, incoming: Incoming<'_>) -> Result<Record> {
        let shard = incoming.subject.shard(self.shards());
        let prefetched = self.lookup.prefetch(&incoming.subject, incoming.id.as_str(), incoming.command)?;
        let time = self.next_time();
        let request =
            Request { subject: &incoming.subject, occurred_at: incoming.occurred_at, command: incoming.command };
        let state = &mut self.states[usize::from(shard)];
        let outcome = decide(state, prefetched.as_deref().unwrap_or(&NOTHING), &request, time);
        let record = Record {
            shard,
            sequence: state.sequence() + 1,
            time,
            occurred_at: incoming.occurred_at,
            subject: incoming.subject,
            origin: incoming.origin,
            id: incoming.id.clone(),
            digest: incoming.digest,
            actor: incoming.actor,
            client: incoming.client,
            body: match outcome {
                Ok(event) => Body::Event(Box::new(event)),
                Err(rejection) => Body::Rejection(rejection),
            },
        };
        state.apply(&record);
        self.time = time;
        self.records += 1;
        self.bytes += estimated_bytes(&record);
        self.timers.note(&record);
        Ok(record)
    }

    /// Answers who waited for the dispatch, and lets the lines go on that waited behind them.
    fn dispatch_taken(&mut self, record: &Record) {
        let (source, number) = parse_dispatch_id(record.id.as_str()).expect("the dispatcher made this id");
        let Some((waiting, answer)) = self.flows.taken((source, record.shard, number), record) else { return };
        for slot in waiting {
            self.go_on_behind(slot);
            self.answer(slot, answer.clone());
        }
    }

    /// Queues the lines that waited for this one, before all others.
    fn go_on_behind(&mut self, slot: Slot) {
        for Slot { submission, line } in self.bulks.end_wait(slot).into_iter().rev() {
            self.queue.push_front(Queued { submission, lines: line..line + 1 });
        }
    }

    fn answer(&mut self, slot: Slot, answer: Answer) {
        self.replies.extend(self.bulks.answer(slot, answer));
    }

    fn shards(&self) -> Shard {
        self.states[0].shards()
    }
}

/// At least about what a record takes on the log before compression.
fn estimated_bytes(record: &Record) -> usize {
    // Fixed fields, and ids of 64 bytes for all but gifts, where it pays to count.
    const FIXED: usize = 96;
    const LOT: usize = 32;
    let ids = record.id.as_str().len() + record.actor.as_ref().map_or(0, |actor| actor.as_str().len());
    let events = match &record.body {
        Body::Rejection(Rejection::TransactionClaimed { .. }) => 128,
        Body::Rejection(_) => 32,
        Body::Event(_) => record.events().map(|(_, event)| estimated_event(event, LOT)).sum(),
    };
    FIXED + 64 + ids + if record.client.is_some() { 192 } else { 0 } + events
}

fn estimated_event(event: &Event, lot: usize) -> usize {
    let moved = |order: &schemas::Order, returned: &schemas::Returned| {
        let lots = returned.restored.len() + returned.debt_paid.len() + returned.expired.len() + order.used.len();
        1024 + lots * lot
    };
    match event {
        Event::GiftGiven(gift) => {
            let names = gift.room.as_ref().map_or(0, |room| room.as_str().len())
                + gift.activity.as_ref().map_or(0, |activity| activity.as_str().len())
                + gift.combo.as_ref().map_or(0, |combo| combo.id.as_str().len())
                + gift.item.as_str().len();
            64 + names + gift.shares.len() * 32 + gift.used.len() * lot
        }
        Event::Held(held) => 128 + held.used.len() * lot,
        Event::ReferencePublished(e) => 64 + e.changes.len() * 192 + e.dispatches.len() * 16,
        Event::ReferenceTaken(e) => 64 + e.changes.len() * 192,
        Event::ChargedBack(e) => 192 + e.taken.len() * lot,
        Event::Captured(e) => moved(&e.order, &e.released),
        Event::Released(e) => moved(&e.order, &e.released),
        Event::Refunded(e) => moved(&e.order, &e.returned),
        Event::RefundRolledBack(e) => 1024 + (e.order.used.len() + e.taken.len() + e.unexpired.len()) * lot,
        step => 1024 + step.moved_order().map_or(0, |order| order.used.len() * lot),
    }
}
