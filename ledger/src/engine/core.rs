//! The engine without threads: takes commands, decides them, and keeps what follows from that.
//! Every method is one step, so that a simulation can stop between any two. What becomes of a caller's
//! line stands in `line`; what would become of one, in `check`.

mod check;
mod line;

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, LazyLock},
};

use schemas::{
    ActorId, Body, Client, Command, CommandId, Digest, Envelope, Event, MAX_RECORD_BYTES, Moved, Origin, OriginKind,
    Record, Rejection, Shard, Subject, Timestamp, encoded_len,
};

use super::{
    answer::{Answer, Unavailable},
    bulk::{Bulks, Content, Reply, Slot, Submission},
    caller::Caller,
    dispatcher::{Untaken, dispatches_of},
    finder::{Finding, Quest},
    flows::Flows,
    lookup::{Asker, Lookup, Miss},
    prepare::{Prepared, Sound},
    quota::Quota,
    timers::Timers,
};
pub use check::Checked;

use crate::{
    Result,
    clock::{TOLERANCE_MS, Watch, can_be},
    decide::{Prefetched, Request, decide},
    index::{Fingerprint, Frozen, Home, Index, Place, Runs},
    log::Batch,
    state::{State, dispatch_id, parse_dispatch_id, share_catalogue},
};

/// How soon somebody looks again whether a clock that is ahead is back, where a timer waits for that.
const LOOK_AGAIN_MS: i64 = 1_000;
/// The most records of one batch: what a bulk of the usual 8,189 lines makes, and some.
const MAX_BATCH_RECORDS: usize = 8_192;
/// The bytes at which a batch takes no more, of what a frame may have: a quarter is left, so that of
/// the usual 8 MiB one more record of the largest size (512 KiB) still fits.
const fn max_batch_bytes(max_frame_bytes: usize) -> usize {
    max_frame_bytes / 4 * 3
}
/// The most bytes of a caller's record: what it dispatches is said again, under another subject and id.
const MAX_CALLERS_BYTES: usize = MAX_RECORD_BYTES - 1_024;
/// Lines whose ids are looked up at once, so that the memory's latencies overlap.
const PROBED_LINES: usize = 128;
/// Timers taken in a row before callers get their turn again.
const TIMER_CHUNK: usize = 256;

/// What was looked up where nothing was.
static NOTHING: LazyLock<Prefetched> = LazyLock::new(Prefetched::default);

/// The state of all shards, and everything derived from it that deciding needs.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) states: Vec<State>,
    lookup: Lookup,
    /// The most bytes of a batch.
    most_bytes: usize,
    timers: Timers,
    flows: Flows,
    bulks: Bulks,
    quota: Quota,
    watch: Watch,
    /// The time of the last record of any shard.
    time: Timestamp,
    /// What the clock showed when the step began.
    now: Timestamp,
    /// Why nothing new can be decided by it, and no timer taken.
    mistrust: Option<Unavailable>,
    /// Lines that were handed in and not looked at.
    queue: VecDeque<Queued>,
    /// What goes with the batch being decided.
    replies: Vec<Reply>,
    dispatches: Vec<Untaken>,
    spent: Vec<Content>,
    /// What of the index was frozen with the batch that is written.
    to_seal: Option<Arc<Frozen>>,
    /// Of the lines being looked at: their ids, and whether a sealed run may know them.
    keys: Vec<Fingerprint>,
    /// Where their users stand: the shard, and the place in its state.
    homes: Vec<(usize, u64)>,
    sealed: Vec<bool>,
}

/// Lines of one submission that follow each other.
#[derive(Debug)]
struct Queued {
    submission: u64,
    lines: Range<usize>,
}

/// What is decided and has to become durable together.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) batch: Arc<Batch>,
    /// What may be answered then.
    pub(crate) replies: Vec<Reply>,
    /// What may be dispatched then.
    pub(crate) dispatches: Vec<Untaken>,
    /// Commands that are answered: the writer has the time to drop them.
    pub(crate) spent: Vec<Content>,
}

/// A command with everything that its record needs.
struct Incoming<'a> {
    shard: Shard,
    subject: Subject,
    origin: Origin,
    id: &'a CommandId,
    occurred_at: Option<Timestamp>,
    actor: Option<ActorId>,
    on_behalf_of: Option<ActorId>,
    client: Option<Box<Client>>,
    command: &'a Command,
    digest: Digest,
}

impl<'a> Incoming<'a> {
    /// A caller's, which was found well formed.
    #[inline]
    fn by_caller(
        caller: &Caller,
        envelope: &'a Envelope,
        sound: &Sound,
        subject: Subject,
        occurred_at: Option<Timestamp>,
    ) -> Self {
        let (actor, on_behalf_of) = caller.acting(envelope.actor.as_ref());
        Self {
            shard: sound.shard,
            digest: sound.digest,
            subject,
            origin: caller.origin().clone(),
            id: &envelope.id,
            occurred_at,
            actor,
            on_behalf_of,
            client: envelope.client.clone(),
            command: &envelope.command,
        }
    }
}

impl Core {
    /// With the states that the log folds to, for a log that takes frames of so many bytes.
    pub(crate) fn new(states: Vec<State>, lookup: Lookup, watch: Watch, max_frame_bytes: usize) -> Self {
        let mut timers = Timers::default();
        for state in &states {
            timers.note_state(state);
        }
        let time = states.iter().map(State::time).max().unwrap_or(Timestamp::MIN);
        Self {
            states,
            lookup,
            most_bytes: max_batch_bytes(max_frame_bytes),
            timers,
            flows: Flows::default(),
            bulks: Bulks::default(),
            quota: Quota::default(),
            watch,
            time,
            queue: VecDeque::new(),
            replies: Vec::new(),
            dispatches: Vec::new(),
            spent: Vec::new(),
            to_seal: None,
            now: Timestamp::MIN,
            mistrust: None,
            keys: Vec::new(),
            homes: Vec::new(),
            sealed: Vec::new(),
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
        let batch = self.lookup.recent.open();
        batch.len() < MAX_BATCH_RECORDS && batch.bytes() < self.most_bytes && !self.waits_for_seal()
    }

    /// Whether nothing can be decided until a table of the index is sealed: its memory is bounded.
    pub(crate) fn waits_for_seal(&self) -> bool {
        let index = &self.lookup.index;
        index.is_full() && !index.can_freeze()
    }

    /// Whether there is anything to write or to answer.
    pub(crate) fn has_batch(&self) -> bool {
        !self.lookup.recent.open().is_empty() || !self.replies.is_empty()
    }

    /// When something has to be done although nobody asks: a timer, or a line that waits too long.
    pub(crate) fn wakes_at(&self) -> Option<Timestamp> {
        // While the clock is behind nothing is decided, so a timer waits for it.
        let in_time = Timestamp::from_nanos(self.time.nanos().saturating_sub(TOLERANCE_MS * 1_000_000));
        let seen = self.watch.see();
        // Nor while it is ahead, which nobody tells us when it ends.
        let trusted = if seen.is_ahead { seen.now.plus_millis(LOOK_AGAIN_MS) } else { Timestamp::MIN };
        let timer = self.timers.next().map(|at| at.max(in_time).max(trusted));
        timer.into_iter().chain(self.bulks.gives_up_at()).min()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.watch.see().now
    }

    /// Looks at the clock. One that is ahead of the time that has passed, or behind the last record, answers
    /// for nothing new. What is known already needs no clock, and what the log dispatches goes on in any case.
    fn look_at_clock(&mut self) {
        let seen = self.watch.see();
        self.now = seen.now;
        let is_behind = self.time > seen.now.plus_millis(TOLERANCE_MS) || !can_be(seen.now);
        self.mistrust =
            if seen.is_ahead { Some(Unavailable::ClockAhead) } else { is_behind.then_some(Unavailable::ClockBehind) };
    }

    /// Closes the batch being decided. Where the index's memory is full, it is frozen with it.
    pub(crate) fn hand_over(&mut self) -> Decided {
        if self.lookup.index.is_full() && self.lookup.index.can_freeze() {
            let upto = self.states.iter().map(State::sequence).collect();
            self.to_seal = Some(self.lookup.index.freeze(upto));
        }
        Decided {
            batch: self.lookup.recent.hand_over(),
            replies: std::mem::take(&mut self.replies),
            dispatches: std::mem::take(&mut self.dispatches),
            spent: std::mem::take(&mut self.spent),
        }
    }

    /// The batch that was handed over is durable. What of the index is to be sealed because of it.
    pub(crate) fn durable(&mut self) -> Option<Arc<Frozen>> {
        self.lookup.recent.durable();
        self.to_seal.take()
    }

    /// What was sealed or merged takes the place of what it was made from.
    pub(crate) fn adopt(&mut self, runs: Arc<Runs>) {
        self.lookup.index.adopt(runs);
        self.lookup.quests.runs_changed();
    }

    /// What is to be looked up on the disk.
    pub(crate) fn take_quests(&mut self) -> Vec<Quest> {
        self.lookup.quests.take()
    }

    /// How many lines have had something looked up and are not answered.
    pub(crate) fn open_quests(&self) -> usize {
        self.lookup.quests.lines()
    }

    /// How many of them wait behind others.
    pub(crate) fn parked_quests(&self) -> usize {
        self.lookup.quests.parked_quests()
    }

    /// Where the index has the entry of a record's id.
    pub(crate) fn home(&self, record: &Record) -> Home {
        let key = self.lookup.fingerprint(&record.subject, &record.origin, record.id.as_str());
        self.lookup.index.home(key, Place::new(record.shard, record.sequence))
    }

    /// The index as far as it is decided.
    pub(crate) fn index(&self) -> &Index {
        &self.lookup.index
    }

    /// Takes what was found; the line goes on.
    pub(crate) fn found(&mut self, finding: Finding) {
        let slot = finding.slot;
        let goes_on = self.lookup.quests.found(finding);
        if goes_on && self.bulks.is_unanswered(slot) {
            self.queue.push_front(Queued { submission: slot.submission, lines: slot.line..slot.line + 1 });
        }
    }

    /// Decides what is queued, until the batch is full.
    pub(crate) fn decide_queued(&mut self) -> Result<()> {
        self.look_at_clock();
        while self.has_room()
            && let Some(queued) = self.queue.pop_front()
        {
            self.decide_lines(queued)?;
        }
        for slot in self.bulks.give_up(self.now) {
            self.answer(slot, Answer::Unavailable(Unavailable::EarlierLineUnfinished));
        }
        Ok(())
    }

    /// Decides lines as far as the batch has room; the rest stays first in the queue.
    fn decide_lines(&mut self, Queued { submission, mut lines }: Queued) -> Result<()> {
        // A line that goes on by itself may have been answered meanwhile.
        if lines.len() == 1 && !self.bulks.is_unanswered(Slot { submission, line: lines.start }) {
            return Ok(());
        }
        let content = self.bulks.lend(submission);
        while !lines.is_empty() && self.has_room() {
            let probed = lines.start..lines.end.min(lines.start + PROBED_LINES);
            self.probe(&content, probed.clone());
            for line in probed.clone() {
                if !self.has_room() {
                    break;
                }
                lines.start += 1;
                let sealed = self.sealed[line - probed.start];
                self.decide_line(Slot { submission, line }, &content, sealed)?;
            }
        }
        if !lines.is_empty() {
            self.queue.push_front(Queued { submission, lines });
        }
        self.spent.extend(self.bulks.give_back(content));
        Ok(())
    }

    /// Looks up the ids of some lines, and touches their users, all in one go: what one of them waits
    /// for from memory is fetched beside what the next ones wait for.
    fn probe(&mut self, content: &Content, lines: Range<usize>) {
        self.keys.clear();
        self.homes.clear();
        for line in lines {
            match &content.prepared[line] {
                Prepared::Sound(sound) => {
                    self.keys.push(sound.key);
                    if let Some(user) = content.commands[line].command.touches() {
                        let shard = usize::from(sound.shard);
                        self.homes.push((shard, self.states[shard].home(user)));
                    }
                }
                Prepared::Malformed(_) => self.keys.push(Fingerprint::from(0)), // nobody asks
            }
        }
        let known = self.homes.iter().filter(|(shard, home)| self.states[*shard].touch(*home)).count();
        std::hint::black_box(known); // or nothing would be touched
        self.lookup.index.probe(&self.keys, &mut self.sealed);
    }

    /// Whether anybody waits for a dispatch to be taken.
    pub(crate) fn has_waits(&self) -> bool {
        !self.flows.is_empty()
    }

    /// Answers everything that cannot go on: what is queued, and who waits for a dispatch that cannot
    /// be taken now. It is on the log; asked again later, the same id joins the wait or gets the outcome.
    pub(crate) fn refuse_all(&mut self, why: Unavailable) {
        for slot in self.flows.give_up() {
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

    /// Takes a dispatch from the committed log, unless it was taken before.
    pub(crate) fn take_dispatch(&mut self, untaken: &Untaken) -> Result<()> {
        self.look_at_clock();
        let Untaken { source, dispatch, command, .. } = untaken;
        let subject = command.check(OriginKind::Dispatch).expect("a dispatched command is well formed");
        let taken = self.states[usize::from(dispatch.target)].taken_from(*source);
        if dispatch.number <= taken {
            return Ok(());
        }
        assert_eq!(dispatch.number, taken + 1, "dispatches from {source} to {} are taken in order", dispatch.target);
        let id = dispatch_id(*source, dispatch.number);
        self.record_own(Incoming {
            shard: dispatch.target,
            digest: Digest::of(command, untaken.occurred_at),
            subject,
            origin: Origin::Dispatch,
            id: &id,
            occurred_at: untaken.occurred_at,
            actor: untaken.actor.clone(),
            on_behalf_of: untaken.on_behalf_of.clone(),
            client: None,
            command,
        })
    }

    /// Takes timers that are due.
    pub(crate) fn take_timers(&mut self) -> Result<()> {
        self.look_at_clock();
        for _ in 0..TIMER_CHUNK {
            if !self.has_room() || self.mistrust.is_some() {
                return Ok(());
            }
            let Some((id, command)) = self.timers.pop(self.now, &self.states) else { return Ok(()) };
            let subject = command.check(OriginKind::Timer).expect("a timer's command is well formed");
            self.record_own(Incoming {
                shard: subject.shard(self.shards()),
                digest: Digest::of(&command, None),
                subject,
                origin: Origin::Timer,
                id: &id,
                occurred_at: None,
                actor: None,
                on_behalf_of: None,
                client: None,
                command: &command,
            })?;
        }
        Ok(())
    }

    fn next_time(&self) -> Timestamp {
        self.now.max(Timestamp::from_nanos(self.time.nanos().saturating_add(1)))
    }

    /// Decides a command of the ledger's own and records it.
    fn record_own(&mut self, incoming: Incoming<'_>) -> Result<()> {
        let Incoming { subject, origin, id, command, .. } = &incoming;
        let prefetched = at_once(self.lookup.prefetch(Asker::AtOnce, subject, origin, id.as_str(), command))?;
        let record = self.decided(incoming, prefetched.as_deref()).expect("the ledger's own commands have no quota");
        if record.origin == Origin::Dispatch {
            self.dispatch_taken(&record);
        }
        if matches!(record.event(), Some(Event::ReferenceTaken(_))) {
            share_catalogue(&mut self.states, record.shard);
        }
        let key = self.lookup.fingerprint(&record.subject, &record.origin, record.id.as_str());
        self.lookup.push(&record, key);
        Ok(())
    }

    /// Decides a new command and applies the record of whatever comes of it. None if it is refused,
    /// and its subject has had too many refusals.
    fn decided(&mut self, incoming: Incoming<'_>, prefetched: Option<&Prefetched>) -> Option<Record> {
        let record = self.record_of(incoming, prefetched);
        let refused = matches!(record.body, Body::Rejection(_));
        if refused && record.origin.is_caller() && !self.quota.take(&record.subject, self.now) {
            return None;
        }
        let state = &mut self.states[usize::from(record.shard)];
        state.apply(&record);
        self.time = record.time;
        self.timers.note(&record, state);
        self.dispatches.extend(dispatches_of(&record));
        Some(record)
    }

    /// The record of whatever comes of a new command, as the next one of its shard.
    #[inline]
    fn record_of(&self, incoming: Incoming<'_>, prefetched: Option<&Prefetched>) -> Record {
        let time = self.next_time();
        let Incoming { id, occurred_at, command, .. } = incoming;
        let request = Request { subject: &incoming.subject, origin: &incoming.origin, id, occurred_at, command };
        let shard = incoming.shard;
        let state = &self.states[usize::from(shard)];
        let (body, moved) = match decide(state, prefetched.unwrap_or(&NOTHING), &request, time) {
            Ok(decided) => (Body::Event(Box::new(decided.event)), decided.moved),
            Err(rejection) => (Body::Rejection(rejection), Moved::new()),
        };
        let mut record = Record {
            shard,
            sequence: state.sequence() + 1,
            time,
            occurred_at,
            subject: incoming.subject,
            origin: incoming.origin,
            id: id.clone(),
            digest: incoming.digest,
            actor: incoming.actor,
            on_behalf_of: incoming.on_behalf_of,
            client: incoming.client,
            body,
            moved,
        };
        // The ledger's own commands cannot be refused; `decide::MAX_LOTS` bounds their records.
        if record.origin.is_caller() && record.may_be_large() && encoded_len(&record) > MAX_CALLERS_BYTES {
            record.moved.clear();
            let limit = MAX_CALLERS_BYTES.try_into().expect("half a megabyte");
            record.body = Body::Rejection(Rejection::TooLarge { limit });
        }
        record
    }

    /// Answers who waited for the dispatch, and lets the lines go on that waited behind them.
    fn dispatch_taken(&mut self, record: &Record) {
        let (source, number) = parse_dispatch_id(record.id.as_str()).expect("the dispatcher made this id");
        let Some((waiting, answer)) = self.flows.taken((source, record.shard, number), record) else { return };
        for slot in waiting {
            self.answer(slot, answer.clone());
        }
    }

    /// Answers a line, and queues what waited for it before all others.
    fn answer(&mut self, slot: Slot, answer: Answer) {
        if self.bulks.has_waits(slot) {
            for Slot { submission, line } in self.bulks.end_wait(slot, self.now) {
                self.queue.push_front(Queued { submission, lines: line..line + 1 });
            }
        }
        self.lookup.quests.forget(slot);
        self.replies.extend(self.bulks.answer(slot, answer));
    }

    fn shards(&self) -> Shard {
        self.states[0].shards()
    }
}

/// What was looked up without waiting for the finder.
fn at_once<T>(looked: Result<Option<T>, Miss>) -> Result<Option<T>> {
    match looked {
        Ok(found) => Ok(found),
        Err(Miss::Failed(error)) => Err(error),
        Err(Miss::Unclear) => unreachable!("whoever reads the disk need not wait for the finder"),
    }
}
