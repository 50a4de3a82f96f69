//! A disk that fails at every step of the write path, of the dispatcher and of a start; then a full
//! disk, a restart between a claim and its credit, and commands that arrive at once.
//!
//! The clock stands still unless a step moves it and commands come one after the other, so one script
//! makes one log, byte for byte the same records. So after any fault the log must be a beginning of
//! that log which ends where a batch ended, and saying everything again must complete it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Command, Output},
    sync::{Arc, Barrier},
    thread,
};

use giftledger_tests::world::{BEGIN, World, envelope};
use ledger::{
    Answer, Clock, Engine, Lines, ManualClock, State, Unavailable,
    log::{
        Check, Disk, Log, Options, Reader,
        faulty::{Fault, SimDisk},
    },
};
use projections::Accounts;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reconcile::proofs;
use schemas::{Account, Envelope, Event, Record};
use tempfile::TempDir;

/// What happens, in order.
enum Step {
    /// Commands said at once, a user's in their order.
    Say(&'static [&'static str]),
    /// Twenty grants at once with ids that do not compress, from a number: they fill segments.
    Fill(u64),
    /// The clock moves to so many seconds after the beginning, and what is due is done.
    At(i64),
    /// The ledger is closed and opened again.
    Restart,
}

/// A little of everything that takes several records, or moves coins in several ways.
const SCRIPT: &[Step] = &[
    Step::Say(&[
        r#"{"id":"v1","publish":{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z","changes":[{"item":{"item":"rose","price":10,"value":9}},{"item":{"item":"car","price":1000,"value":900}}]}}"#,
    ]),
    Step::At(1),
    Step::Fill(1),
    Step::Fill(2),
    Step::Say(&[
        r#"{"id":"t1","top_up":{"user":"u1","channel":"apple","transaction":"x1","coins":5000,"paid":{"currency":"CNY","amount":"50.00"}}}"#,
    ]),
    Step::Say(&[r#"{"id":"g1","gift":{"user":"u1","item":"rose","quantity":3,"to":[{"streamer":"s1"}]}}"#]),
    Step::Say(&[r#"{"id":"g2","gift":{"user":"u2","item":"car"}}"#]),
    Step::Say(&[
        r#"{"id":"t2","top_up":{"user":"u2","channel":"apple","transaction":"x1","coins":5000,"paid":{"currency":"CNY","amount":"50.00"}}}"#,
    ]),
    Step::Say(&[
        // In the order of their users' shards, in which a start takes what is under way: so times are the same.
        r#"{"id":"t4","top_up":{"user":"u3","channel":"apple","transaction":"x4","coins":300,"paid":{"currency":"CNY","amount":"3.00"}}}"#,
        r#"{"id":"g4","gift":{"user":"u3","item":"rose"}}"#,
        r#"{"id":"t3","top_up":{"user":"u2","channel":"apple","transaction":"x3","coins":1000,"paid":{"currency":"CNY","amount":"10.00"}}}"#,
        r#"{"id":"g3","gift":{"user":"u2","item":"car","to":[{"streamer":"s1"},{"streamer":"s2","weight":2}]}}"#,
    ]),
    Step::Fill(3),
    Step::Fill(4),
    Step::Say(&[r#"{"id":"h1","hold":{"user":"u1","provider":"p","coins":1000,"deadline":"2026-01-01T00:00:10Z"}}"#]),
    Step::Say(&[r#"{"id":"h2","hold":{"user":"u1","provider":"p","coins":500,"deadline":"2026-01-01T01:00:00Z"}}"#]),
    Step::Say(&[r#"{"id":"s2","send":{"order":{"user":"u1","name":{"command":"h2"}}}}"#]),
    Step::Say(&[
        r#"{"id":"b1","grant":{"user":"u3","coins":70,"expires":"2026-01-01T00:00:20Z","reason":"goodwill"}}"#,
    ]),
    Step::Restart,
    Step::Say(&[
        r#"{"id":"group","group":[{"gift":{"user":"u1","item":"rose","quantity":2}},{"hold":{"user":"u1","provider":"p","coins":40,"deadline":"2026-01-01T02:00:00Z"}},{"grant":{"user":"u1","coins":5,"reason":"goodwill"}}]}"#,
    ]),
    Step::Say(&[
        r#"{"id":"group2","group":[{"gift":{"user":"u3","item":"rose","quantity":2}},{"gift":{"user":"u3","item":"car"}}]}"#,
    ]),
    Step::Say(&[r#"{"id":"c2","capture":{"order":{"user":"u1","name":{"command":"h2"}},"coins":200}}"#]),
    Step::Say(&[r#"{"id":"r1","refund":{"order":{"user":"u1","name":{"command":"g1"}},"coins":20,"reason":"mistake"}}"#]),
    Step::Say(&[
        r#"{"id":"rr1","roll_back_refund":{"order":{"user":"u1","name":{"command":"g1"}},"refund":"r1","reason":"mistake"}}"#,
    ]),
    Step::Fill(5),
    Step::Fill(6),
    Step::Fill(9),
    Step::Fill(10),
    Step::Say(&[r#"{"id":"cb3","chargeback":{"channel":"apple","transaction":"x3"}}"#]),
    Step::At(10),
    Step::Say(&[r#"{"id":"g5","gift":{"user":"u2","item":"rose"}}"#]),
    Step::At(20),
    Step::Fill(7),
    Step::Fill(8),
    Step::Fill(11),
    Step::Fill(12),
    Step::Say(&[
        r#"{"id":"v2","publish":{"version":2,"part":0,"last":true,"from":"2026-01-01T00:00:20Z","changes":[{"withdraw_item":"car"},{"item":{"item":"rose","price":20,"value":18}}]}}"#,
    ]),
    Step::Say(&[r#"{"id":"g6","gift":{"user":"u1","item":"rose"}}"#, r#"{"id":"g7","gift":{"user":"u1","item":"car"}}"#]),
    Step::Restart,
    Step::Say(&[
        r#"{"id":"t1","top_up":{"user":"u1","channel":"apple","transaction":"x1","coins":5000,"paid":{"currency":"CNY","amount":"50.00"}}}"#,
        r#"{"id":"t1","top_up":{"user":"u1","channel":"apple","transaction":"x1","coins":5001,"paid":{"currency":"CNY","amount":"50.00"}}}"#,
        r#"{"id":"g2","gift":{"user":"u2","item":"car"}}"#,
        r#"{"id":"group","group":[{"gift":{"user":"u1","item":"rose","quantity":2}},{"hold":{"user":"u1","provider":"p","coins":40,"deadline":"2026-01-01T02:00:00Z"}},{"grant":{"user":"u1","coins":5,"reason":"goodwill"}}]}"#,
    ]),
    Step::Say(&[r#"{"id":"cb1","chargeback":{"channel":"apple","transaction":"x1"}}"#]),
];

/// How the machine comes back after the fault.
#[derive(Debug, Clone, Copy)]
enum Comeback {
    /// The power went: what was not synced is lost in part or whole.
    Crash,
    /// Only the process ended.
    Kill,
}

#[test]
fn the_power_goes_at_every_step() {
    let steps = fail_at_every_step(Fault::PowerCut, Comeback::Crash);
    assert!(steps > 100, "{steps} steps");
}

#[test]
fn the_process_ends_at_every_step() {
    fail_at_every_step(Fault::PowerCut, Comeback::Kill);
}

#[test]
fn every_write_is_cut_short() {
    fail_at_every_step(Fault::ShortWrite, Comeback::Crash);
    fail_at_every_step(Fault::ShortWrite, Comeback::Kill);
}

#[test]
fn every_sync_fails() {
    fail_at_every_step(Fault::SyncError, Comeback::Crash);
    fail_at_every_step(Fault::SyncError, Comeback::Kill);
}

#[test]
fn every_growth_finds_no_space() {
    fail_at_every_step(Fault::NoSpace, Comeback::Crash);
}

#[test]
fn every_read_fails() {
    fail_at_every_step(Fault::ReadError, Comeback::Crash);
}

#[test]
fn every_read_has_a_wrong_bit() {
    fail_at_every_step(Fault::BitFlip, Comeback::Crash);
}

/// Plays the script with the fault at the first call that it can hit, then at the second, until it
/// hits none any more. Each time the machine comes back, and everything is said again.
fn fail_at_every_step(fault: Fault, comeback: Comeback) -> u64 {
    let reference = Reference::new();
    for step in 1.. {
        let at = format!("{fault:?} at step {step}, then {comeback:?}");
        let mut run = Run::new(step);
        run.disk.inject(step, fault);
        let played = run.play(Some(&reference));
        if run.disk.waiting_faults() > 0 {
            assert_eq!(played, Ok(()), "nothing has failed: {at}");
            assert!(step > 1, "the fault has hit nothing");
            return step - 1;
        }
        run.stop();
        match comeback {
            Comeback::Crash => run.disk.crash(),
            Comeback::Kill => run.disk.kill(),
        }
        run.check_recovered(&reference, &at);
        assert_eq!(run.play(Some(&reference)), Ok(()), "no fault is left: {at}");
        run.check_complete(&reference, &at);
        run.stop();
        run.disk.crash();
        run.start().unwrap_or_else(|error| panic!("{error}: {at}"));
        run.check_complete(&reference, &at);
    }
    unreachable!("the script has an end")
}

/// The script on a disk without faults.
struct Reference {
    /// By shard.
    records: Vec<Vec<Record>>,
    /// How far the shards were after each batch.
    batches: BTreeSet<Vec<u64>>,
    answers: BTreeMap<(usize, usize), Answer>,
    /// How many records there were after each step.
    after_step: Vec<u64>,
}

impl Reference {
    fn new() -> Self {
        let mut run = Run::new(0);
        assert_eq!(run.play(None), Ok(()));
        let records = run.records();
        let events: BTreeSet<&str> = records.iter().flatten().filter_map(Record::event).map(Event::kind).collect();
        for kind in ["top_up_credited", "charged_back", "lot_expired", "released", "reference_taken", "group"] {
            assert!(events.contains(kind), "the script shows {kind}: {events:?}");
        }
        let segments = run.engine().reader().segments().unwrap().len();
        assert!(segments >= 3, "the script begins {segments} segments");
        Self { records, batches: batches(&run.engine().reader()), answers: run.answers, after_step: run.after_step }
    }
}

/// A ledger on a disk, and what it has answered.
struct Run {
    disk: SimDisk,
    clock: Arc<ManualClock>,
    engine: Option<Engine>,
    answers: BTreeMap<(usize, usize), Answer>,
    after_step: Vec<u64>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::at(BEGIN.parse().unwrap()));
        Self { disk: SimDisk::new(seed), clock, engine: None, answers: BTreeMap::new(), after_step: Vec::new() }
    }

    fn start(&mut self) -> ledger::Result<()> {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (engine, _) = Engine::start(Arc::new(self.disk.clone()), &options(), clock)?;
        self.engine = Some(engine);
        Ok(())
    }

    fn stop(&mut self) {
        self.engine = None;
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    /// Plays the whole script, however far an earlier run has come; ends where the ledger stops.
    fn play(&mut self, reference: Option<&Reference>) -> Result<(), ()> {
        if self.engine.is_none() {
            self.start().map_err(drop)?;
        }
        self.after_step.clear();
        for (nth, step) in SCRIPT.iter().enumerate() {
            match step {
                Step::Say(lines) => self.say(nth, lines, reference)?,
                Step::Fill(number) => {
                    let lines = grants(*number);
                    self.say(nth, &lines.iter().map(String::as_str).collect::<Vec<_>>(), reference)?;
                }
                Step::At(seconds) => {
                    let begin: schemas::Timestamp = BEGIN.parse().unwrap();
                    self.clock.set(self.clock.now().max(begin.plus_millis(1000 * seconds)));
                    self.rest(reference.map(|reference| reference.after_step[nth]))?;
                }
                Step::Restart => {
                    self.engine.take().unwrap().close().map_err(drop)?;
                    self.start().map_err(drop)?;
                }
            }
            self.after_step.push(count(self.engine()));
        }
        Ok(())
    }

    /// Says lines until they are answered: a full disk is asked again.
    fn say(&mut self, step: usize, lines: &[&str], reference: Option<&Reference>) -> Result<(), ()> {
        const PATIENCE: usize = 100;
        for _ in 0..PATIENCE {
            let envelopes = lines.iter().map(|line| envelope(line)).collect();
            let answers = self.engine().execute(envelopes, Lines::InOrder);
            let full = answers.contains(&Answer::Unavailable(Unavailable::DiskFull));
            for (line, answer) in answers.into_iter().enumerate() {
                match answer {
                    Answer::Unavailable(Unavailable::DiskFull) => continue,
                    Answer::Unavailable(Unavailable::Stopped) => return Err(()),
                    Answer::Unavailable(_) | Answer::Malformed { .. } => panic!("{answer:?} to {}", lines[line]),
                    _ => {}
                }
                if let Some(reference) = reference {
                    assert_eq!(answer, reference.answers[&(step, line)], "{}", lines[line]);
                }
                self.answers.insert((step, line), answer);
            }
            if !full {
                return Ok(());
            }
        }
        panic!("the disk stays full, at step {step}");
    }

    /// Waits until what is due and under way is done: until there are as many records as there must be.
    fn rest(&self, wanted: Option<u64>) -> Result<(), ()> {
        const PATIENCE: usize = 100;
        for _ in 0..PATIENCE {
            self.engine().read(|_| ()).map_err(drop)?;
            self.engine().settle().map_err(drop)?;
            if wanted.is_none_or(|wanted| count(self.engine()) >= wanted) {
                return Ok(());
            }
        }
        panic!("{} records, {wanted:?} are wanted", count(self.engine()));
    }

    /// What is left after the fault: all that was answered, whole batches, and a start that goes on with
    /// what was under way.
    fn check_recovered(&mut self, reference: &Reference, at: &str) {
        let copy = SimDisk::with(0, &self.disk.snapshot());
        let (log, _) = Log::open(Arc::new(copy), &options()).unwrap_or_else(|error| panic!("{error}: {at}"));
        let heads: Vec<u64> = log.head().shards.iter().map(|head| head.sequence).collect();
        assert!(reference.batches.contains(&heads), "{heads:?} is not the end of a batch: {at}");
        for (place, answer) in &self.answers {
            let (shard, sequence) = place_of(answer);
            assert!(sequence <= heads[usize::from(shard)], "{place:?} was answered {answer:?} and is lost: {at}");
        }
        drop(log);
        self.start().unwrap_or_else(|error| panic!("{error}: {at}"));
        self.rest(None).unwrap_or_else(|()| panic!("it stops: {at}"));
        let records = self.records();
        for (ours, whole) in records.iter().zip(&reference.records) {
            for (ours, whole) in ours.iter().zip(whole) {
                assert_eq!(ours, whole, "{at}");
            }
        }
        self.check_books(at);
    }

    /// The log is the one that would have been without the fault.
    fn check_complete(&self, reference: &Reference, at: &str) {
        self.rest(None).unwrap_or_else(|()| panic!("it stops: {at}"));
        assert_eq!(self.records(), reference.records, "{at}");
        self.check_books(at);
    }

    fn check_books(&self, at: &str) {
        let reader = self.engine().reader();
        check_dispatches(&self.records());
        check_books(self.engine(), at);
        let proof = proofs::prove(&reader, || ());
        assert!(proof.ok, "{:?}: {at}", proof.fault);
    }

    fn records(&self) -> Vec<Vec<Record>> {
        by_shard(&self.engine().reader())
    }
}

fn grants(number: u64) -> Vec<String> {
    let mut random = ChaCha8Rng::seed_from_u64(number);
    let grant = |user| {
        let id: String = (0..4).map(|_| format!("{:016x}", random.random::<u64>())).collect();
        format!(r#"{{"id":"{id}","grant":{{"user":"full{user}","coins":1,"reason":"filler"}}}}"#)
    };
    (0..20).map(grant).collect()
}

/// A fold equals the live state, all accounts sum to zero, and nothing is under way.
fn check_books(engine: &Engine, at: &str) {
    let mut accounts = Accounts::new();
    let mut states: Vec<State> = (0..engine.shards()).map(|shard| State::new(shard, engine.shards())).collect();
    for record in by_shard(&engine.reader()).iter().flatten() {
        accounts.apply(record);
        states[usize::from(record.shard)].apply(record);
    }
    let folded: Vec<Vec<u8>> = states.iter().map(State::to_bytes).collect();
    let live = engine.read(|states| states.iter().map(State::to_bytes).collect::<Vec<_>>()).unwrap();
    assert_eq!(folded, live, "{at}");
    assert!(accounts.totals().values().all(|sum| *sum == 0), "{:?}: {at}", accounts.totals());
    for (account, asset, balance) in accounts.iter() {
        let under_way = matches!(account, Account::Transit { .. }) && balance != 0;
        assert!(!under_way, "{account} holds {balance} {asset}: {at}");
    }
}

/// Every dispatch was taken by its target, once, in the order of its numbers.
fn check_dispatches(records: &[Vec<Record>]) {
    for (target, taken) in (0..).zip(records) {
        let taken: Vec<&str> =
            taken.iter().filter(|r| r.origin == schemas::Origin::Dispatch).map(|r| r.id.as_str()).collect();
        for (source, issued) in records.iter().enumerate() {
            let numbers = issued.iter().flat_map(Record::dispatches).map(|(dispatch, _)| dispatch);
            let issued: Vec<String> =
                numbers.filter(|d| d.target == target).map(|d| format!("{source}:{}", d.number)).collect();
            let prefix = format!("{source}:");
            let from_source: Vec<&str> = taken.iter().copied().filter(|id| id.starts_with(&prefix)).collect();
            assert_eq!(from_source, issued, "from {source} to {target}");
        }
    }
}

/// Segments so small that the script begins several.
fn options() -> Options {
    Options { shards: Some(3), segment_bytes: 1, max_frame_bytes: 4096 }
}

fn by_shard(reader: &Reader) -> Vec<Vec<Record>> {
    let mut records = vec![Vec::new(); reader.shards().into()];
    for frame in reader.frames(Check::Full) {
        for record in frame.expect("the log is sound").records {
            records[usize::from(record.shard)].push(record);
        }
    }
    records
}

fn batches(reader: &Reader) -> BTreeSet<Vec<u64>> {
    let mut heads = vec![0; reader.shards().into()];
    let mut batches = BTreeSet::from([heads.clone()]);
    for frame in reader.frames(Check::Full) {
        for record in frame.expect("the log is sound").records {
            heads[usize::from(record.shard)] = record.sequence;
        }
        batches.insert(heads.clone());
    }
    batches
}

fn count(engine: &Engine) -> u64 {
    engine.reader().head().shards.iter().map(|head| head.sequence).sum()
}

fn place_of(answer: &Answer) -> (schemas::Shard, u64) {
    match answer {
        Answer::Taken(taken) => (taken.shard, taken.sequence),
        Answer::Refused(refused) => (refused.shard, refused.sequence),
        Answer::Conflict { shard, sequence } => (*shard, *sequence),
        _ => panic!("{answer:?} has no record"),
    }
}
