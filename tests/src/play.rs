//! One script, played by the ledger and by the model, and compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use ledger::{
    Answer, Caller, State,
    log::{Check, Frames},
    postings,
};
use projections::Accounts;
use schemas::{
    Account, Asset, Command, Digest, Envelope, Event, OrderId, OrderKind, Origin, Record, RefundRolledBack, Rejection,
    Shard, ShareHeld, ShareMoved, Source, Timestamp, UserId, encoded_len,
};
use serde::{Deserialize, Serialize};

use crate::{
    askers::Askers,
    model::{About, Due, Expected, Key, Model, Order, Piece, Purse, Share, content},
    world::World,
};

/// A line of a script. As JSON it can be played again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Commands that are submitted at once, a user's in their order.
    Say(Vec<Envelope>),
    /// The same of another service than the command line.
    SayAs(Source, Vec<Envelope>),
    /// The clock moves, and what is due is done.
    Advance(i64),
    /// The clock moves, and nobody is woken.
    AdvanceUnseen(i64),
    /// The ledger is closed and opened again.
    Reopen,
    /// The ledger ends where it is and is opened again.
    Crash,
}

/// What differed, in words.
pub type Differs = String;

/// Both sides of a comparison.
#[derive(Debug)]
pub struct Play {
    /// The ledger.
    pub world: World,
    /// The model.
    pub model: Model,
    /// What both were told, oldest first.
    pub script: Vec<Line>,
    /// How often what was met: answers, and what records tell beyond them.
    pub met: BTreeMap<String, u64>,
    shards: Shard,
    frames: Frames,
    /// For each command that made a record, what tells how it was written, and the first answer.
    answers: BTreeMap<Key, (Digest, Answer)>,
    /// By subject and id, the services that have asked.
    askers: Askers,
}

impl Play {
    /// A new ledger in memory, and a new model.
    pub fn new(shards: Shard) -> Self {
        Self::in_world(World::new(shards), shards)
    }

    /// A new ledger with so many shards, and a new model.
    pub fn in_world(world: World, shards: Shard) -> Self {
        let frames = world.engine().reader().frames(Check::Frame);
        let model = Model::new(shards);
        Self {
            world,
            model,
            script: Vec::new(),
            met: BTreeMap::new(),
            shards,
            frames,
            answers: BTreeMap::new(),
            askers: Askers::default(),
        }
    }

    /// The script as lines of JSON, to be played again.
    ///
    /// # Panics
    /// Never: every line has a form.
    pub fn script_as_json(&self) -> String {
        let mut text = format!("{{\"shards\":{}}}\n", self.shards);
        for line in &self.script {
            let line = serde_json::to_string(line).expect("every line has a form");
            writeln!(text, "{line}").expect("a text takes more");
        }
        text
    }

    /// Plays a script that [`Self::script_as_json`] made.
    ///
    /// # Errors
    /// The first difference.
    ///
    /// # Panics
    /// If it is no script.
    pub fn replay(script: &str) -> Result<(), Differs> {
        let mut lines = script.lines().filter(|line| !line.trim().is_empty());
        let head: BTreeMap<String, Shard> =
            serde_json::from_str(lines.next().expect("a script has a head")).expect("the head names the shards");
        let mut play = Self::new(head["shards"]);
        for line in lines {
            play.play(serde_json::from_str(line).expect("a line of a script"))?;
        }
        play.finish()
    }

    /// Plays one line.
    ///
    /// # Errors
    /// What differed.
    pub fn play(&mut self, line: Line) -> Result<(), Differs> {
        self.script.push(line.clone());
        match line {
            Line::Say(envelopes) => self.say(&Source::cli(), &envelopes),
            Line::SayAs(asker, envelopes) => self.say(&asker, &envelopes),
            Line::Advance(millis) => {
                if self.model.due(self.world.now()).is_empty() {
                    self.world.advance_millis(millis);
                    self.model.run_timers(self.world.now());
                    Ok(())
                } else {
                    self.world.advance_unseen(millis);
                    self.say_nothing()
                }
            }
            Line::AdvanceUnseen(millis) => {
                self.world.advance_unseen(millis);
                Ok(())
            }
            Line::Reopen => self.start_again("a new start", |world| drop(world.reopen())),
            Line::Crash => self.start_again("a new start after a crash", World::crash),
        }
    }

    fn say(&mut self, asker: &Source, envelopes: &[Envelope]) -> Result<(), Differs> {
        let alone = envelopes.len() == 1 && self.model.due(self.world.now()).is_empty();
        if alone { self.say_one(asker, &envelopes[0]) } else { self.say_some(asker, envelopes) }
    }

    /// Only what is due happens.
    fn say_nothing(&mut self) -> Result<(), Differs> {
        self.say_some(&Source::cli(), &[])
    }

    /// The model foretells everything, sequences included.
    fn say_one(&mut self, asker: &Source, envelope: &Envelope) -> Result<(), Differs> {
        let now = self.world.now();
        let answer = self.world.execute_as(&Caller::of(asker.clone()), vec![envelope.clone()]).remove(0);
        // The clock moves in whole milliseconds; records put their own order behind those.
        let time = match &answer {
            Answer::Taken(taken) => taken.time.max(now),
            Answer::Refused(refused) => refused.time.max(now),
            _ => now,
        };
        let expected = match too_large(&answer) {
            Some(limit) => match self.model.hear_too_large(asker, envelope, limit, time) {
                Ok(_) => self.model.answer_again(asker, envelope, time),
                Err(unheard) => unheard,
            },
            None => self.model.say(asker, envelope, time),
        };
        self.compare_answer(asker, envelope, &expected, &answer)
    }

    /// The model follows the order of the ledger's records, and foretells what is in them.
    fn say_some(&mut self, asker: &Source, envelopes: &[Envelope]) -> Result<(), Differs> {
        // Whose turn comes before that of another line with its id is not known yet.
        let early = |envelope: &&Envelope| {
            let known = Model::key(asker, envelope).is_ok_and(|key| self.model.has_heard(&key));
            !known && Model::is_early(envelope, self.world.now())
        };
        let early: Vec<Envelope> = envelopes.iter().filter(early).cloned().collect();
        let answers = self.world.execute_as(&Caller::of(asker.clone()), envelopes.to_vec());
        self.world.rest();
        let mut records = self.new_records();
        records.retain(|record| record.sequence > self.model.sequences[usize::from(record.shard)]);
        records.sort_by_key(|record| (record.time, record.shard, record.sequence));
        let mut lines_of: BTreeMap<UserId, usize> = BTreeMap::new();
        for record in &records {
            let now = record.time;
            match &record.origin {
                Origin::Caller(source) => {
                    if source != asker {
                        return Err(format!("{asker} asks, and another is on {record:?}"));
                    }
                    let line = self.hear(asker, record, envelopes)?;
                    if let Some(user) = envelopes[line].command.touches() {
                        let before = lines_of.insert(user.clone(), line);
                        if before.is_some_and(|before| before >= line) {
                            return Err(format!("line {line} of {user} happened after line {before:?}"));
                        }
                    }
                }
                Origin::Dispatch => {
                    let parts =
                        record.id.as_str().split_once(':').map(|(s, n)| (s.parse().ok(), n.parse::<u64>().ok()));
                    let Some((Some(source), Some(number))) = parts else { return Err(format!("{record:?}")) };
                    if self.model.take_dispatch(source, record.shard, now) != number {
                        return Err(format!("a dispatch out of its order: {record:?}"));
                    }
                }
                Origin::Timer => self.timer(record, now)?,
            }
            if self.model.sequences[usize::from(record.shard)] != record.sequence {
                return Err(format!("another sequence than {:?}: {record:?}", self.model.sequences));
            }
        }
        let now = self.world.now();
        let (untaken, due) = (self.model.untaken(), self.model.due(now));
        if untaken > 0 || !due.is_empty() {
            return Err(format!("{untaken} dispatches and {due:?} were not done"));
        }
        for (envelope, answer) in envelopes.iter().zip(&answers) {
            let timely = !Model::is_early(envelope, now);
            if Model::key(asker, envelope).is_ok_and(|key| timely && !self.model.has_heard(&key)) {
                return Err(format!("no record of {envelope:?}, answered {answer:?}"));
            }
            let expected = match answer {
                Answer::Malformed { .. } if early.contains(envelope) => Expected::Malformed,
                _ => self.model.answer_again(asker, envelope, now),
            };
            self.compare_answer(asker, envelope, &expected, answer)?;
        }
        Ok(())
    }

    /// The line of a caller's record.
    fn hear(&mut self, asker: &Source, record: &Record, envelopes: &[Envelope]) -> Result<usize, Differs> {
        let key = (record.subject.clone(), asker.clone(), record.id.clone());
        let line = envelopes.iter().position(|envelope| {
            Model::key(asker, envelope).as_ref() == Ok(&key) && content(asker, envelope) == record.digest
        });
        let line = line.ok_or_else(|| format!("nobody said what is in {record:?}"))?;
        if self.model.has_heard(&key) {
            return Err(format!("a second record for one id: {record:?}"));
        }
        let heard = self.model.hear_record(asker, &envelopes[line], record);
        heard.map_err(|unheard| format!("{unheard:?} has {record:?}"))?;
        Ok(line)
    }

    fn timer(&mut self, record: &Record, now: Timestamp) -> Result<(), Differs> {
        let due = match record.id.as_str().split_once(':') {
            Some(("lot", lot)) => lot.parse().ok().map(Due::Lot),
            Some(("hold", order)) => order.parse().ok().map(Due::Hold),
            _ => None,
        };
        let Some((due, user)) = due.zip(record.subject.user().cloned()) else {
            return Err(format!("not a timer's record: {record:?}"));
        };
        if !self.model.due(now).contains(&(user.clone(), due.clone())) {
            return Err(format!("nothing is due for {record:?}"));
        }
        self.model.run_timer(&user, &due, now);
        Ok(())
    }

    fn compare_answer(
        &mut self,
        asker: &Source,
        envelope: &Envelope,
        expected: &Expected,
        answer: &Answer,
    ) -> Result<(), Differs> {
        let said = || serde_json::to_string(envelope).unwrap_or_default();
        if shown(answer).as_ref() != Some(expected) {
            return Err(format!("{}\nis answered {answer:?}\nexpected was {expected:?}", said()));
        }
        let (time, what) = match answer {
            Answer::Taken(taken) => (taken.time, taken.event),
            Answer::Refused(refused) => (refused.time, refused.code),
            Answer::Malformed { .. } => {
                self.meet("malformed");
                return Ok(());
            }
            _ => {
                self.meet("conflict");
                if Model::key(asker, envelope).is_ok_and(|key| self.askers.others_have(&key)) {
                    self.meet("a conflict under an id that another service has");
                }
                return Ok(());
            }
        };
        self.meet(what);
        let now = self.world.now();
        let key = Model::key(asker, envelope).map_err(|_| "a malformed command was recorded".to_owned())?;
        let first = self.answers.get(&key);
        if answer.is_repeated() != first.is_some() {
            return Err(format!("{}\nis answered {answer:?}\nbefore that {first:?}", said()));
        }
        match first {
            Some((_, first)) if first != answer => {
                Err(format!("{}\nis answered {answer:?}\nwas answered {first:?}", said()))
            }
            Some((written, _)) => {
                let facts = [
                    ("the same again", true),
                    (
                        "the same again with the own service said, or not",
                        *written != Digest::of(&envelope.command, None),
                    ),
                ];
                facts.into_iter().filter(|(_, is_so)| *is_so).for_each(|(fact, _)| self.meet(fact));
                Ok(())
            }
            None if time < now || time >= now.plus_millis(1) => Err(format!("{} has time {time:?} at {now:?}", said())),
            None => {
                let written = Digest::of(&envelope.command, None);
                self.meet_command(&key, &envelope.command, answer);
                self.answers.insert(key, (written, answer.clone()));
                Ok(())
            }
        }
    }

    fn meet(&mut self, what: &str) {
        *self.met.entry(what.to_owned()).or_default() += 1;
    }

    /// What a command that has its first answer tells about services.
    fn meet_command(&mut self, key: &Key, command: &Command, answer: &Answer) {
        let facts = self.askers.facts_of(key, command, matches!(answer, Answer::Taken(_)));
        self.askers.note(key);
        for fact in facts {
            self.meet(fact);
        }
    }

    /// What cannot be told from answers.
    fn meet_record(&mut self, record: &Record) {
        for fact in facts_of(record).into_iter().chain(one_of_two(&self.model, record)) {
            self.meet(fact);
        }
    }

    fn new_records(&mut self) -> Vec<Record> {
        let frames = std::iter::from_fn(|| self.frames.next());
        frames.flat_map(|frame| frame.expect("the log is sound").records).collect()
    }

    fn start_again(&mut self, what: &str, how: fn(&mut World)) -> Result<(), Differs> {
        self.say_nothing()?;
        self.meet(what);
        let before = self.world.states();
        how(&mut self.world);
        self.world.rest();
        self.frames = self.world.engine().reader().frames(Check::Frame);
        if self.world.states() == before { Ok(()) } else { Err("another state after a new start".to_owned()) }
    }

    /// Compares everything.
    ///
    /// # Errors
    /// What differed.
    pub fn finish(&mut self) -> Result<(), Differs> {
        self.say_nothing()?;
        let records = self.world.records();
        let mut version = Coming::default();
        for record in &records {
            self.meet_record(record);
            version.fact_of(record).into_iter().for_each(|fact| self.meet(fact));
        }
        compare_users(&self.model, &self.world.read(users_of))?;
        compare_orders(&self.model, &records)?;
        compare_balances(&self.model, &records)?;
        let mut folded: Vec<State> = (0..self.shards).map(|shard| State::new(shard, self.shards)).collect();
        for record in &records {
            folded[usize::from(record.shard)].apply(record);
        }
        let sequences: Vec<u64> = folded.iter().map(State::sequence).collect();
        same("sequences", &sequences, &self.model.sequences)?;
        let folded: Vec<Vec<u8>> = folded.iter().map(State::to_bytes).collect();
        if folded == self.world.states() { Ok(()) } else { Err("the log folds to another state".to_owned()) }
    }
}

fn refunded(event: &Event) -> Option<OrderId> {
    match event {
        Event::Refunded(refund) => Some(refund.order),
        _ => None,
    }
}

fn leaves_some(rolled_back: &RefundRolledBack) -> bool {
    rolled_back.unlapsed.iter().any(|unlapsed| !unlapsed.left.is_zero())
}

fn too_large(answer: &Answer) -> Option<u32> {
    match answer {
        Answer::Refused(refused) => match refused.rejection {
            Rejection::TooLarge { limit } => Some(limit),
            _ => None,
        },
        _ => None,
    }
}

/// Whether parts of a version have come, and not the last.
#[derive(Debug, Default)]
pub(crate) struct Coming(bool);

impl Coming {
    /// What a record does with it that its kind does not tell.
    pub(crate) fn fact_of(&mut self, record: &Record) -> Option<&'static str> {
        let Some(Event::ReferencePublished(published)) = record.event() else { return None };
        let came = std::mem::replace(&mut self.0, !published.last);
        match published.part {
            0 => came.then_some("a version is given up"),
            _ => Some("a version goes on"),
        }
    }
}

/// What a record did that its kind does not tell.
pub(crate) fn facts_of(record: &Record) -> Vec<&'static str> {
    let mut met = Vec::new();
    let here = |order: OrderId| (order.shard, order.sequence) == (record.shard, record.sequence);
    let grouped = matches!(record.event(), Some(Event::Group(_)));
    let refunds: Vec<OrderId> = record.events().filter_map(|(_, event)| refunded(event)).collect();
    let whole = [
        ("an order is moved in the group that places it", record.moved.iter().any(|order| here(order.id))),
        (
            "two refunds of one order in a group",
            refunds.iter().enumerate().any(|(nth, order)| refunds[..nth].contains(order)),
        ),
        ("a record of more than 64 KiB", record.may_be_large() && encoded_len(record) > 64 << 10),
    ];
    met.extend(whole.into_iter().filter(|(_, is_so)| *is_so).map(|(fact, _)| fact));
    for (_, event) in record.events() {
        let returned = match event {
            Event::Captured(e) => Some(&e.released),
            Event::Released(e) => Some(&e.released),
            Event::Refunded(e) => Some(&e.returned),
            _ => None,
        };
        let rolled_back = match event {
            Event::RefundRolledBack(e) => Some(e),
            _ => None,
        };
        let facts = [
            ("lapsed coins come back", returned.is_some_and(|back| !back.expired.is_empty())),
            ("coming back pays debt", returned.is_some_and(|back| !back.debt_paid.is_empty())),
            ("a lot lapses", matches!(event, Event::LotExpired(_))),
            ("a hold is too late", record.origin == Origin::Timer && matches!(event, Event::Released(_))),
            ("a chargeback makes debt", matches!(event, Event::ChargedBack(e) if !e.debt.is_zero())),
            ("a top-up pays debt", matches!(event, Event::TopUpCredited(e) if !e.debt_paid.is_zero())),
            ("a shortfall", rolled_back.is_some_and(|e| !e.shortfall.is_zero())),
            ("lapsed coins are charged again", rolled_back.is_some_and(|e| !e.unexpired.is_empty())),
            (
                "coins that lapsed since the refund are charged again",
                rolled_back.is_some_and(|e| !e.unlapsed.is_empty()),
            ),
            ("some of what lapsed with a lot is left", rolled_back.is_some_and(|e| leaves_some(e))),
            ("a refund is rolled back by its part", rolled_back.is_some_and(|e| e.part > 0)),
            ("a refund is rolled back in a group", grouped && rolled_back.is_some()),
            (
                "a refund is rolled back in the group that made it",
                grouped && rolled_back.is_some_and(|e| e.refund == record.id),
            ),
            ("a reinstatement pays debt", matches!(event, Event::Reinstated(e) if !e.debt_paid.is_zero())),
            ("a reinstatement fills lots", matches!(event, Event::Reinstated(e) if !e.restored.is_empty())),
            (
                "a reinstatement credits for the first time",
                matches!(event, Event::ReinstateClaimed(e) if e.take_back.is_none()),
            ),
        ];
        met.extend(facts.into_iter().filter(|(_, is_so)| *is_so).map(|(fact, _)| fact));
    }
    met
}

/// Whether it rolls a refund back whose id another service's refund of the order has too.
pub(crate) fn one_of_two(model: &Model, record: &Record) -> Option<&'static str> {
    let is_one = |event: &Event| match event {
        Event::RefundRolledBack(back) => model.orders[&back.order].is_refunded_by_others(&back.source, &back.refund),
        _ => false,
    };
    let is_so = record.events().any(|(_, event)| is_one(event));
    is_so.then_some("a refund is rolled back whose id another service's has too")
}

/// What the states know of users.
pub(crate) fn users_of(states: &[State]) -> Users {
    let users = states.iter().flat_map(State::users);
    let seen = users.map(|(user, known)| {
        let lots = known.wallet().lots().map(|lot| Piece::of(&lot)).collect();
        let debt = i128::try_from(known.wallet().debt()).expect("a debt is a sum of coins");
        let open = known.open_orders().map(|order| (order.id, plain(order, user))).collect();
        (user.clone(), (Purse { lots, debt }, open))
    });
    seen.collect()
}

/// Compares wallets and open orders.
pub(crate) fn compare_users(model: &Model, live: &Users) -> Result<(), Differs> {
    let mut expected: Users = BTreeMap::new();
    for (user, purse) in &model.users {
        expected.insert(user.clone(), (purse.clone(), BTreeMap::new()));
    }
    for (id, order) in model.orders.iter().filter(|(_, order)| order.status.is_open()) {
        let (_, open) = expected.get_mut(&order.user).expect("who has an order is known");
        open.insert(*id, order.without_history());
    }
    let nobody = (Purse::default(), BTreeMap::new());
    for user in expected.keys().chain(live.keys()) {
        let (live, expected) = (live.get(user).unwrap_or(&nobody), expected.get(user).unwrap_or(&nobody));
        same(user.as_str(), live, expected)?;
    }
    Ok(())
}

/// Compares every order there ever was: as records carry it, and as its events tell it.
pub(crate) fn compare_orders(model: &Model, records: &[Record]) -> Result<(), Differs> {
    let mut live: BTreeMap<OrderId, Order> = BTreeMap::new();
    let mut held: BTreeMap<OrderId, Vec<Share>> = BTreeMap::new();
    let mut told: BTreeMap<OrderId, Vec<Share>> = BTreeMap::new();
    for record in records {
        carries_what_it_moved(record)?;
        for order in record.orders() {
            let user = record.subject.user().ok_or_else(|| format!("an order of nobody: {record:?}"))?;
            live.insert(order.id, plain(&order, user));
            held.insert(order.id, order.shares().iter().map(plain_share).collect());
        }
        for (part, event) in record.events() {
            let order = record.order_of(part, event);
            match (event, order) {
                (Event::GiftGiven(gift), Some(order)) => {
                    told.insert(order, gift.shares.iter().map(plain_share).collect());
                }
                (Event::Refunded(refund), Some(order)) => move_shares(&mut told, order, &refund.taken, -1),
                (Event::RefundRolledBack(back), Some(order)) => move_shares(&mut told, order, &back.given, 1),
                _ => {}
            }
        }
    }
    let expected: Vec<OrderId> = model.orders.keys().copied().collect();
    same("orders", &live.keys().copied().collect::<Vec<_>>(), &expected)?;
    for (id, order) in &model.orders {
        same(&id.to_string(), &live[id], &order.without_history())?;
        same(&format!("what is held of {id}"), &held[id], &order.shares())?;
        same(&format!("what is told of {id}"), &told.remove(id).unwrap_or_default(), &order.shares())?;
    }
    Ok(())
}

/// A record carries each order that it moved once, and no other, by number.
fn carries_what_it_moved(record: &Record) -> Result<(), Differs> {
    let moved: BTreeSet<OrderId> = record.events().filter_map(|(_, event)| event.moved_order()).collect();
    let carried: Vec<OrderId> = record.moved.iter().map(|order| order.id).collect();
    same("the orders that a record carries", &carried, &moved.into_iter().collect())
}

fn move_shares(told: &mut BTreeMap<OrderId, Vec<Share>>, order: OrderId, by: &[ShareMoved], sign: i128) {
    for moved in by {
        let shares = told.entry(order).or_default();
        let Some(share) = shares.iter_mut().find(|share| share.streamer == moved.streamer) else { continue };
        share.value += sign * i128::from(moved.value.get());
        share.base += sign * i128::from(moved.base.get());
    }
}

/// Compares all accounts, at rest.
pub(crate) fn compare_balances(model: &Model, records: &[Record]) -> Result<(), Differs> {
    let mut accounts = Accounts::new();
    for record in records {
        let mut sums: BTreeMap<Asset, i128> = BTreeMap::new();
        for posting in postings(record) {
            *sums.entry(posting.asset).or_default() += i128::from(posting.amount);
        }
        if sums.values().any(|sum| *sum != 0) {
            return Err(format!("a record that does not balance: {record:?}"));
        }
        accounts.apply(record);
    }
    if accounts.totals().values().any(|total| *total != 0) {
        return Err(format!("the accounts do not sum to zero: {:?}", accounts.totals()));
    }
    let live: Balances = accounts
        .iter()
        .filter(|(.., balance)| *balance != 0)
        .map(|(account, asset, balance)| ((account.clone(), asset), balance))
        .collect();
    let expected: Balances = model.balances.clone().into_iter().filter(|(_, balance)| *balance != 0).collect();
    same("accounts", &live, &expected)?;
    for ((account, _), balance) in &live {
        match account {
            Account::Transit { .. } => return Err(format!("{account} holds {balance} at rest")),
            Account::User(user) => {
                let purse = model.users.get(user).cloned().unwrap_or_default();
                same(&format!("{account}"), balance, &purse.balance())?;
                if *balance < 0 && purse.debt == 0 {
                    return Err(format!("{account} is overdrawn: {balance}"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

pub(crate) type Users = BTreeMap<UserId, (Purse, BTreeMap<OrderId, Order>)>;
type Balances = BTreeMap<(Account, Asset), i128>;

pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, live: &T, expected: &T) -> Result<(), Differs> {
    if live == expected { Ok(()) } else { Err(format!("{what}\nis {live:?}\nexpected was {expected:?}")) }
}

/// An answer as the model tells it.
pub(crate) fn shown(answer: &Answer) -> Option<Expected> {
    match answer {
        Answer::Taken(taken) => Some(Expected::Taken {
            shard: taken.shard,
            sequence: taken.sequence,
            event: taken.event,
            order: taken.order,
            shortfall: taken.shortfall.map(|coins| i128::from(coins.get())),
        }),
        Answer::Refused(refused) if refused.code == refused.rejection.code() => Some(Expected::Refused {
            shard: refused.shard,
            sequence: refused.sequence,
            rejection: refused.rejection.clone(),
        }),
        Answer::Conflict(first) => Some(Expected::Conflict { shard: first.shard, sequence: first.sequence }),
        Answer::Malformed { .. } => Some(Expected::Malformed),
        Answer::Refused(_) | Answer::Unavailable(_) => None,
    }
}

/// An order of the ledger as the model has it.
fn plain(order: &schemas::Order, user: &UserId) -> Order {
    let about = match &order.kind {
        OrderKind::Gift { item, shares, room, activity } => About::Gift {
            item: item.clone(),
            first: shares.iter().map(|share| (share.streamer.clone(), share.value.get().into())).collect(),
            room: room.clone(),
            activity: activity.clone(),
        },
        OrderKind::Game { provider, deadline, attempts } => {
            About::Game { provider: provider.clone(), deadline: *deadline, attempts: *attempts }
        }
    };
    Order::seen(user.clone(), order, about)
}

fn plain_share(share: &ShareHeld) -> Share {
    Share { streamer: share.streamer.clone(), value: share.value.get().into(), base: share.base.get().into() }
}
