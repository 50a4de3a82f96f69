//! What must hold, whatever happens. The auditor sees what callers see, and the durable log:
//!
//! - Every durable record is the answer to something that its service asked and that is not yet answered
//!   otherwise, or takes the next dispatch of its source, or does what is due; it says what the model says,
//!   and who acted; and it stands for ever.
//! - Every answer is that of a durable record, and the same each time; only the first one is not called
//!   repeated. What was refused undecided has no record.
//! - The ledger's state is the fold of the durable log.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Answer, State, Unavailable};
use schemas::{Body, Command, Digest, Envelope, Event, Origin, Record, Shard, Source, Timestamp};

use crate::{
    askers::Askers,
    model::{Due, Key, Model, content},
    play::{
        Coming, Differs, compare_balances, compare_orders, compare_users, facts_of, one_of_two, same, shown, users_of,
    },
};

use super::{
    coverage::Coverage,
    greed::Refusals,
    services::{Acting, Identity},
};

/// How far ahead of the ledger's time a caller's may be.
const TOLERANCE_MS: i64 = 500;

/// One command of one submission.
pub type LineId = usize;

/// Watches one ledger.
#[derive(Debug)]
pub struct Auditor {
    /// What the durable log comes to.
    pub model: Model,
    /// What was met.
    pub coverage: Coverage,
    /// The latest time that the clock has shown.
    pub latest: Timestamp,
    shards: Shard,
    states: Vec<State>,
    records: Vec<Vec<Record>>,
    last_time: Timestamp,
    lines: Vec<Line>,
    /// Lines that may still get a record.
    open: BTreeMap<Key, Vec<LineId>>,
    /// By key, the lines that its record can have come of.
    causes: BTreeMap<Key, Vec<LineId>>,
    /// The first answer that came, and what tells how that line was written.
    first: BTreeMap<Key, (Digest, Answer)>,
    /// What was answered as not known before.
    unrepeated: BTreeSet<Key>,
    /// Who acted in what is dispatched: from, to, and its number there.
    dispatched: BTreeMap<(Shard, Shard, u64), Acting>,
    askers: Askers,
    /// All services.
    sources: BTreeSet<Source>,
    /// Lines without a record behind which later ones of their user have happened.
    passed_over: BTreeSet<LineId>,
    refusals: Refusals,
    version: Coming,
}

#[derive(Debug)]
struct Line {
    asker: Source,
    acting: Acting,
    envelope: Envelope,
    key: Option<Key>,
    digest: Digest,
    /// Whether its record was durable before it was asked.
    known: bool,
    /// The first line of its submission, and whether they happen in their order.
    submission: LineId,
    ordered: bool,
    /// The earliest time that the clock has shown since.
    earliest: Timestamp,
}

impl Auditor {
    /// Of a new ledger.
    pub fn new(shards: Shard, now: Timestamp) -> Self {
        Self {
            model: Model::new(shards),
            coverage: Coverage::default(),
            latest: now,
            shards,
            states: (0..shards).map(|shard| State::new(shard, shards)).collect(),
            records: vec![Vec::new(); shards.into()],
            last_time: Timestamp::MIN,
            lines: Vec::new(),
            open: BTreeMap::new(),
            causes: BTreeMap::new(),
            first: BTreeMap::new(),
            unrepeated: BTreeSet::new(),
            dispatched: BTreeMap::new(),
            askers: Askers::default(),
            sources: BTreeSet::new(),
            passed_over: BTreeSet::new(),
            refusals: Refusals::begin(now),
            version: Coming::default(),
        }
    }

    /// How many records are durable.
    pub fn count(&self) -> usize {
        self.records.iter().map(Vec::len).sum()
    }

    /// Each shard's last durable sequence.
    pub fn sequences(&self) -> &[u64] {
        &self.model.sequences
    }

    /// The bytes of each shard's state by the durable log.
    pub fn folded(&self) -> Vec<Vec<u8>> {
        self.states.iter().map(State::to_bytes).collect()
    }

    /// The clock shows another time, while these lines are not answered.
    pub fn clock_moves<'a>(&mut self, now: Timestamp, unanswered: impl Iterator<Item = &'a LineId>) {
        self.latest = self.latest.max(now);
        self.refusals.clock_moves(now);
        for line in unanswered {
            let line = &mut self.lines[*line];
            line.earliest = line.earliest.min(now);
        }
    }

    /// Something is asked: the lines of the submission.
    pub fn asked(&mut self, identity: &Identity, envelopes: &[Envelope], ordered: bool, now: Timestamp) -> Vec<LineId> {
        let submission = self.lines.len();
        let asker = &identity.source;
        self.sources.insert(asker.clone());
        for envelope in envelopes {
            let key = Model::key(asker, envelope).ok();
            let known = key.as_ref().is_some_and(|key| self.model.has_heard(key));
            if let Some(key) = &key {
                self.open.entry(key.clone()).or_default().push(self.lines.len());
            }
            let (acting, digest) = (identity.acting(envelope.actor.as_ref()), content(asker, envelope));
            let (asker, envelope) = (asker.clone(), envelope.clone());
            self.lines.push(Line { asker, acting, envelope, key, digest, known, submission, ordered, earliest: now });
        }
        (submission..self.lines.len()).collect()
    }

    /// A durable record that was not seen before, in the order of their times.
    ///
    /// # Errors
    /// What must not be.
    pub fn record(&mut self, record: &Record) -> Result<(), Differs> {
        if record.time <= self.last_time || record.time > self.latest.plus_millis(1) {
            return Err(format!("a record behind {} and before {}: {record:?}", self.last_time, self.latest));
        }
        self.last_time = record.time;
        self.refusals.record(record)?;
        match &record.origin {
            Origin::Caller(source) => self.callers_record(source, record)?,
            Origin::Dispatch => {
                let parts = record.id.as_str().split_once(':').map(|(s, n)| (s.parse().ok(), n.parse::<u64>().ok()));
                let Some((Some(source), Some(number))) = parts else { return Err(format!("{record:?}")) };
                if self.model.take_dispatch(source, record.shard, record.time) != number {
                    return Err(format!("a dispatch out of its order: {record:?}"));
                }
                let acting = self.dispatched.remove(&(source, record.shard, number)).unwrap_or_default();
                same("who acted", &Acting::of(record), &acting)?;
                if acting.on_behalf_of.is_some() {
                    self.coverage.meet("services", "a dispatch of a principal's for somebody");
                }
            }
            Origin::Timer => {
                same("who acted", &Acting::of(record), &Acting::default())?;
                self.timer(record)?;
            }
        }
        for (dispatch, _) in record.dispatches() {
            self.dispatched.insert((record.shard, dispatch.target, dispatch.number), Acting::of(record));
        }
        let shard = usize::from(record.shard);
        same("the sequence", &record.sequence, &self.model.sequences[shard])?;
        self.states[shard].apply(record);
        let what = record.event().map_or("refused", |event| event.kind());
        self.coverage.meet("records", what);
        for fact in facts_of(record).into_iter().chain(self.version.fact_of(record)) {
            self.coverage.meet("facts", fact);
        }
        self.records[shard].push(record.clone());
        Ok(())
    }

    fn callers_record(&mut self, asker: &Source, record: &Record) -> Result<(), Differs> {
        let key: Key = (record.subject.clone(), asker.clone(), record.id.clone());
        if self.model.has_heard(&key) {
            return Err(format!("a second record for one id: {record:?}"));
        }
        let open = self.open.get(&key).into_iter().flatten();
        let acting = Acting::of(record);
        let is_it = |line: &Line| line.digest == record.digest && line.acting == acting;
        let causes: Vec<LineId> = open.copied().filter(|line| is_it(&self.lines[*line])).collect();
        let Some(&first) = causes.first() else { return Err(format!("nobody asks so for what is in {record:?}")) };
        if let [line] = causes[..] {
            self.check_order(line, record)?;
        }
        let envelope = &self.lines[first].envelope;
        self.model.hear_record(asker, envelope, record).map_err(|unheard| format!("{unheard:?} has {record:?}"))?;
        if self.model.has_ended(&key) {
            let expected = self.model.answer_again(asker, envelope, record.time);
            same("the outcome", &shown(&Answer::of(record)), &Some(expected))?;
        }
        self.meet_services(&key, first, record);
        self.causes.insert(key, causes);
        Ok(())
    }

    /// What a record tells about services, made by that line.
    fn meet_services(&mut self, key: &Key, line: LineId, record: &Record) {
        let envelope = &self.lines[line].envelope;
        let (subject, asker, id) = key;
        let is_open = |source: &Source| {
            let same_id = (subject.clone(), source.clone(), id.clone());
            source != asker && self.open.get(&same_id).is_some_and(|lines| !lines.is_empty())
        };
        let facts = [
            ("two ask under one id at once", self.sources.iter().any(is_open)),
            ("a principal acts", record.actor.is_some() && envelope.actor.is_none()),
            ("a principal acts for somebody", record.on_behalf_of.is_some()),
            ("an actor is named without a principal", record.actor.is_some() && record.actor == envelope.actor),
        ];
        let facts = facts.into_iter().filter(|(_, is_so)| *is_so).map(|(fact, _)| fact);
        let named = self.askers.facts_of(key, &envelope.command, record.event().is_some());
        for fact in facts.chain(named).chain(one_of_two(&self.model, record)) {
            self.coverage.meet("services", fact);
        }
        self.askers.note(key);
    }

    /// In an ordered submission, everything before of the same user has ended, or was given up.
    fn check_order(&mut self, line: LineId, record: &Record) -> Result<(), Differs> {
        let this = &self.lines[line];
        if !this.ordered {
            return Ok(());
        }
        for (at, earlier) in (this.submission..line).zip(&self.lines[this.submission..line]) {
            let goes_first = goes_first(&earlier.envelope.command, &this.envelope.command, record);
            let Some(key) = earlier.key.as_ref().filter(|_| goes_first) else { continue };
            match self.model.heard_content(key) {
                // It has waited too long, or its time was malformed: its answer will say so.
                None => drop(self.passed_over.insert(at)),
                Some(other) if other != earlier.digest => {} // a conflict
                Some(_) if self.model.has_ended(key) => {}
                // Asked again meanwhile, it was taken there; here it was given up.
                Some(_) if self.open.get(key).is_some_and(|lines| lines.iter().any(|line| *line != at)) => {
                    self.passed_over.insert(at);
                }
                Some(_) => return Err(format!("{:?} happened before {:?} has ended", this.envelope, earlier.envelope)),
            }
        }
        Ok(())
    }

    fn timer(&mut self, record: &Record) -> Result<(), Differs> {
        let due = match record.id.as_str().split_once(':') {
            Some(("lot", lot)) => lot.parse().ok().map(Due::Lot),
            Some(("hold", order)) => order.parse().ok().map(Due::Hold),
            _ => None,
        };
        let Some((due, user)) = due.zip(record.subject.user().cloned()) else {
            return Err(format!("not a timer's record: {record:?}"));
        };
        if !self.model.due(record.time).contains(&(user.clone(), due.clone())) {
            return Err(format!("nothing is due for {record:?}"));
        }
        self.model.run_timer(&user, &due, record.time);
        Ok(())
    }

    /// The answers to a submission have come; everything that they can have seen is durable.
    ///
    /// # Errors
    /// What must not be.
    pub fn answered(&mut self, lines: &[LineId], answers: &[Answer]) -> Result<(), Differs> {
        same("the number of answers", &answers.len(), &lines.len())?;
        for (line, answer) in lines.iter().zip(answers) {
            self.check_answer(*line, answer).map_err(|why| {
                let envelope = serde_json::to_string(&self.lines[*line].envelope).unwrap_or_default();
                format!("{envelope}\nis answered {answer:?}\n{why}")
            })?;
            self.close(*line);
        }
        Ok(())
    }

    fn check_answer(&mut self, line: LineId, answer: &Answer) -> Result<(), Differs> {
        let Line { asker, envelope, key, earliest, .. } = &self.lines[line];
        let kind = match answer {
            Answer::Taken(taken) => taken.event,
            Answer::Refused(refused) => refused.code,
            Answer::Conflict { .. } => "conflict",
            Answer::Malformed { .. } => "malformed",
            Answer::Unavailable(why) => why.code(),
        };
        self.coverage.meet("answers", kind);
        let given_up = matches!(
            answer,
            Answer::Malformed { .. } | Answer::Unavailable(Unavailable::EarlierLineUnfinished | Unavailable::OverQuota)
        );
        if self.passed_over.contains(&line) && !given_up {
            return Err("a later line of the same user happened before it".to_owned());
        }
        if let Answer::Malformed { .. } = answer {
            let too_early = envelope.occurred_at.is_some_and(|at| at > earliest.plus_millis(TOLERANCE_MS));
            let malformed = key.is_none() || too_early;
            return if malformed { self.undecided(line) } else { Err("it is well formed".to_owned()) };
        }
        match answer {
            Answer::Unavailable(Unavailable::Unfinished) => {}
            Answer::Unavailable(Unavailable::OverQuota) => {
                let key = key.as_ref().ok_or("it is malformed")?;
                self.refusals.used_up(&key.0)?;
                return self.undecided(line);
            }
            Answer::Unavailable(Unavailable::Stopped) => return Err("nobody is answered that it stopped".to_owned()),
            Answer::Unavailable(_) => return self.undecided(line),
            _ => {}
        }
        let Some(key) = key else { return Err("it is malformed".to_owned()) };
        let heard = self.model.has_heard(key);
        match answer {
            Answer::Unavailable(_) if heard => Ok(()),
            _ if !heard => Err("there is no durable record of it".to_owned()),
            Answer::Conflict { .. } => {
                if self.askers.others_have(key) {
                    self.coverage.meet("services", "a conflict under an id that another service has");
                }
                let expected = self.model.answer_again(asker, envelope, self.latest.plus_millis(TOLERANCE_MS));
                same("the answer", &shown(answer), &Some(expected))
            }
            Answer::Taken(_) | Answer::Refused(_) if !self.model.has_ended(key) => {
                Err("what follows from it is not durable".to_owned())
            }
            Answer::Taken(_) | Answer::Refused(_) => {
                let expected = self.model.answer_again(asker, envelope, self.latest.plus_millis(TOLERANCE_MS));
                same("the answer", &shown(answer), &Some(expected))?;
                self.check_place(answer)?;
                let (key, written) = (key.clone(), Digest::of(&envelope.command, None));
                self.check_repeated(line, &key, answer.is_repeated())?;
                match self.first.get(&key) {
                    Some((_, first)) if first != answer => return Err(format!("was answered {first:?}")),
                    Some((before, _)) => {
                        self.coverage.meet("answers", "the same again");
                        if *before != written {
                            self.coverage.meet("services", "the same again with the own service said, or not");
                        }
                        if self.askers.others_have(&key) {
                            self.coverage.meet("services", "the same again under an id that another service has");
                        }
                    }
                    None => drop(self.first.insert(key, (written, answer.clone()))),
                }
                Ok(())
            }
            Answer::Unavailable(_) | Answer::Malformed { .. } => unreachable!("it was looked at above"),
        }
    }

    /// An answer is called repeated where the command was known when the line had its turn: one of all is not.
    fn check_repeated(&mut self, line: LineId, key: &Key, repeated: bool) -> Result<(), Differs> {
        let causes = self.causes.get(key).map_or(&[][..], Vec::as_slice);
        let may_be_first = causes.contains(&line);
        let (must_be, what) = match causes {
            _ if self.lines[line].known => (Some(true), "of what was durable before it was asked"),
            _ if !may_be_first => (Some(true), "of what another line has made"),
            [_] => (Some(false), "of what the line has made"),
            _ => (None, "of what one of several lines has made"),
        };
        if must_be.is_some_and(|must_be| must_be != repeated) {
            return Err(format!("an answer {what} says that it is repeated: {repeated}"));
        }
        if !repeated && !self.unrepeated.insert(key.clone()) {
            return Err("two answers say that they are not repeated".to_owned());
        }
        self.coverage.meet("repeated", what);
        Ok(())
    }

    /// The answer shows the time of the record that it names.
    fn check_place(&self, answer: &Answer) -> Result<(), Differs> {
        let (shard, sequence, time) = match answer {
            Answer::Taken(taken) => (taken.shard, taken.sequence, taken.time),
            Answer::Refused(refused) => (refused.shard, refused.sequence, refused.time),
            _ => return Ok(()),
        };
        let at = usize::try_from(sequence - 1).expect("a log in memory");
        same("the time", &time, &self.records[usize::from(shard)][at].time)
    }

    /// The line was refused and nothing was decided: no record can have come of it.
    ///
    /// # Errors
    /// If one did.
    pub fn undecided(&mut self, line: LineId) -> Result<(), Differs> {
        self.close(line);
        let Some(key) = self.lines[line].key.clone() else { return Ok(()) };
        let Some(causes) = self.causes.get_mut(&key).filter(|causes| causes.contains(&line)) else { return Ok(()) };
        causes.retain(|cause| *cause != line);
        if causes.is_empty() { Err("it was refused undecided, and has a record".to_owned()) } else { Ok(()) }
    }

    fn close(&mut self, line: LineId) {
        if let Some(key) = &self.lines[line].key
            && let Some(open) = self.open.get_mut(key)
        {
            open.retain(|other| *other != line);
        }
    }

    /// A new process runs on this log: all that was seen durable is there as it was; what is more is
    /// new, and nothing of the old process comes any more. `records` are all of the log, in its order.
    ///
    /// # Errors
    /// What must not be.
    pub fn started(&mut self, records: Vec<Record>, live: &[Vec<u8>], now: Timestamp) -> Result<(), Differs> {
        let mut seen = vec![0; usize::from(self.shards)];
        let mut more = Vec::new();
        for record in records {
            let shard = usize::from(record.shard);
            match self.records[shard].get(seen[shard]) {
                Some(known) if *known != record => return Err(format!("{known:?}\nhas become {record:?}")),
                Some(_) => seen[shard] += 1,
                None => more.push(record),
            }
        }
        for (shard, records) in self.records.iter().enumerate() {
            same(&format!("the durable records of shard {shard}"), &seen[shard], &records.len())?;
        }
        self.coverage.meet_often("facts", "a record survives unanswered", more.len() as u64);
        more.sort_by_key(|record| record.time);
        for record in &more {
            self.record(record)?;
        }
        self.open.clear();
        self.refusals = Refusals::begin(now);
        self.compare_live(live)
    }

    /// At rest, and after a start, the live state is the fold of the log.
    ///
    /// # Errors
    /// If it is not.
    pub fn compare_live(&self, live: &[Vec<u8>]) -> Result<(), Differs> {
        let differs = self.folded().iter().zip(live).position(|(folded, live)| folded != live);
        differs.map_or(Ok(()), |shard| Err(format!("the live state of shard {shard} is not the fold of the log")))
    }

    /// At the end, at rest: everything is as the model has it.
    ///
    /// # Errors
    /// What is not.
    pub fn finish(&self) -> Result<(), Differs> {
        let due = self.model.due(self.latest);
        if self.model.untaken() > 0 || !due.is_empty() {
            return Err(format!("{} dispatches and {due:?} were not done", self.model.untaken()));
        }
        let records: Vec<Record> = self.records.iter().flatten().cloned().collect();
        compare_users(&self.model, &users_of(&self.states))?;
        compare_orders(&self.model, &records)?;
        compare_balances(&self.model, &records)
    }
}

/// Whether the earlier of two lines of an ordered submission has to end before the record of the later one:
/// they touch the same user, or one pays what the other found unpaid.
fn goes_first(earlier: &Command, later: &Command, record: &Record) -> bool {
    match (&record.body, earlier, later) {
        (Body::Event(event), Command::TopUp(paid), Command::Chargeback(back))
            if matches!(**event, Event::ChargebackRemembered(_)) =>
        {
            (&paid.channel, &paid.transaction) == (&back.channel, &back.transaction)
        }
        (Body::Event(event), ..) => {
            let claimed = match &**event {
                Event::ChargebackClaimed(claimed) => Some(&claimed.user),
                _ => later.touches(),
            };
            claimed.is_some() && earlier.touches() == claimed
        }
        _ => earlier.touches().is_some() && earlier.touches() == later.touches(),
    }
}
