//! A disk that fails at every step of the write path, of the dispatcher and of a start; then a full
//! disk, a restart between a claim and its credit, and commands that arrive at once.
//!
//! The clock stands still unless a step moves it and commands come one after the other, so one script
//! makes one log, byte for byte the same records. So after any fault the log must be a beginning of
//! that log which ends where a batch ended, and saying everything again must complete it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, Barrier, Mutex, mpsc},
    thread,
    time::Duration,
};

use giftledger_tests::binary::giftledger;
use giftledger_tests::world::{BEGIN, World, envelope};
use ledger::{
    Answer, Caller, Clock, Engine, Lines, ManualClock, State, Unavailable,
    log::{
        Check, Disk, DiskFile, Log, Options, Reader,
        disk::{FileId, LockGuard},
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
    Step::Say(&[r#"{"id":"g2","gift":{"user":"u2","item":"car","to":[]}}"#]),
    Step::Say(&[
        r#"{"id":"t2","top_up":{"user":"u2","channel":"apple","transaction":"x1","coins":5000,"paid":{"currency":"CNY","amount":"50.00"}}}"#,
    ]),
    Step::Say(&[
        r#"{"id":"t4","top_up":{"user":"u3","channel":"apple","transaction":"x4","coins":300,"paid":{"currency":"CNY","amount":"3.00"}}}"#,
        r#"{"id":"g4","gift":{"user":"u3","item":"rose","to":[]}}"#,
    ]),
    Step::Say(&[
        r#"{"id":"t3","top_up":{"user":"u2","channel":"apple","transaction":"x3","coins":1000,"paid":{"currency":"CNY","amount":"10.00"}}}"#,
        r#"{"id":"g3","gift":{"user":"u2","item":"car","to":[{"streamer":"s1"},{"streamer":"s2","weight":2}]}}"#,
    ]),
    // In the order of their users' shards, in which a start takes what is under way: so times are the same.
    Step::Say(&[
        r#"{"id":"t5","top_up":{"user":"u3","channel":"apple","transaction":"x5","coins":40,"paid":{"currency":"CNY","amount":"0.40"}}}"#,
        r#"{"id":"t6","top_up":{"user":"u2","channel":"apple","transaction":"x6","coins":50,"paid":{"currency":"CNY","amount":"0.50"}}}"#,
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
        r#"{"id":"group","group":[{"gift":{"user":"u1","item":"rose","to":[],"quantity":2}},{"hold":{"user":"u1","provider":"p","coins":40,"deadline":"2026-01-01T02:00:00Z"}},{"grant":{"user":"u1","coins":5,"reason":"goodwill"}}]}"#,
    ]),
    Step::Say(&[
        r#"{"id":"group2","group":[{"gift":{"user":"u3","item":"rose","to":[],"quantity":2}},{"gift":{"user":"u3","item":"car","to":[]}}]}"#,
    ]),
    Step::Say(&[r#"{"id":"c2","capture":{"order":{"user":"u1","name":{"command":"h2"}},"coins":200}}"#]),
    Step::Say(&[
        r#"{"id":"r1","refund":{"order":{"user":"u1","name":{"command":"g1"}},"coins":20,"reason":"mistake"}}"#,
    ]),
    Step::Say(&[
        r#"{"id":"rr1","roll_back_refund":{"order":{"user":"u1","name":{"command":"g1"}},"refund":"r1","reason":"mistake"}}"#,
    ]),
    Step::Fill(5),
    Step::Fill(6),
    Step::Fill(9),
    Step::Fill(10),
    Step::Say(&[r#"{"id":"cb3","chargeback":{"channel":"apple","transaction":"x3"}}"#]),
    Step::At(10),
    Step::Say(&[r#"{"id":"g5","gift":{"user":"u2","item":"rose","to":[]}}"#]),
    Step::At(20),
    Step::Fill(7),
    Step::Fill(8),
    Step::Fill(11),
    Step::Fill(12),
    Step::Say(&[
        r#"{"id":"v2","publish":{"version":2,"part":0,"last":true,"from":"2026-01-01T00:00:20Z","changes":[{"withdraw_item":"car"},{"item":{"item":"rose","price":20,"value":18}}]}}"#,
    ]),
    Step::Say(&[
        r#"{"id":"g6","gift":{"user":"u1","item":"rose","to":[]}}"#,
        r#"{"id":"g7","gift":{"user":"u1","item":"car","to":[]}}"#,
    ]),
    Step::Restart,
    Step::Say(&[
        r#"{"id":"t1","top_up":{"user":"u1","channel":"apple","transaction":"x1","coins":5000,"paid":{"currency":"CNY","amount":"50.00"}}}"#,
        r#"{"id":"t1","top_up":{"user":"u1","channel":"apple","transaction":"x1","coins":5001,"paid":{"currency":"CNY","amount":"50.00"}}}"#,
        r#"{"id":"g2","gift":{"user":"u2","item":"car","to":[]}}"#,
        r#"{"id":"group","group":[{"gift":{"user":"u1","item":"rose","to":[],"quantity":2}},{"hold":{"user":"u1","provider":"p","coins":40,"deadline":"2026-01-01T02:00:00Z"}},{"grant":{"user":"u1","coins":5,"reason":"goodwill"}}]}"#,
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

/// A disk without room for the next segment refuses at the door, and goes on once it has some.
#[test]
fn a_full_disk_refuses_until_there_is_space() {
    let disk = SimDisk::new(1);
    let world = World::on(Arc::new(disk.clone()), options());
    disk.set_capacity(disk.used());
    let grant = |n: u32| format!(r#"{{"id":"g{n}","grant":{{"user":"u","coins":1,"reason":"filler"}}}}"#);
    let full = Answer::Unavailable(Unavailable::DiskFull);
    let fitting = (0..1000).find(|&n| world.say(&grant(n)) == full).expect("the segment fills up");
    let records = world.records();
    assert_eq!(records.len(), fitting as usize, "what was refused left no record");
    assert_eq!(world.say_all(&[&top_up(1), &grant(fitting)]), [full.clone(), full.clone()]);
    assert_eq!(world.balance("user:u"), i128::from(fitting), "what is there can still be read");
    world.rest();
    assert_eq!(world.records(), records);

    disk.set_capacity(u64::MAX);
    let taken = (0..100).find_map(|_| Some(world.say(&grant(fitting))).filter(|answer| *answer != full));
    assert!(matches!(taken, Some(Answer::Taken(_))), "there is space again: {taken:?}");
    assert!(matches!(world.say(&top_up(1)), Answer::Taken(_)));
    assert_eq!(world.balance("user:u1"), 40);
    check_books(world.engine(), "after the space came back");
}

/// A top-up whose claim took the last of the space: nobody waits for the credit without a word, the
/// ledger can be closed, and once there is space the credit comes, once.
#[test]
fn a_full_disk_leaves_nobody_waiting() {
    let mut under_way = 0;
    for before in 0..60 {
        let disk = SimDisk::new(1);
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(BEGIN.parse().unwrap()));
        let start = || Engine::start(Arc::new(disk.clone()), &options(), clock.clone()).unwrap().0;
        let say = |engine: &Engine, line: &str| {
            engine.execute(&Caller::cli(), vec![envelope(line)], Lines::InOrder).remove(0)
        };
        let engine = start();
        say(&engine, r#"{"id":"g","grant":{"user":"u","coins":1,"reason":"filler"}}"#);
        disk.set_capacity(disk.used());
        for n in 0..before {
            say(&engine, &format!(r#"{{"id":"g{n}","grant":{{"user":"u","coins":1,"reason":"filler"}}}}"#));
        }
        let (answer, closed) = within_a_minute("a top-up on a full disk", move || {
            let answer = say(&engine, &top_up(1));
            (answer, engine.close())
        });
        closed.unwrap_or_else(|error| panic!("{error}, after {before} grants"));
        disk.set_capacity(u64::MAX);
        let engine = start();
        engine.settle().unwrap();
        let records = by_shard(&engine.reader());
        let claimed = records.iter().flatten().any(|r| matches!(r.event(), Some(Event::TopUpClaimed(_))));
        under_way += u32::from(claimed && !matches!(answer, Answer::Taken(_)));
        let again = say(&engine, &top_up(1));
        assert!(matches!(again, Answer::Taken(_)), "{again:?}, after {before} grants");
        if matches!(answer, Answer::Taken(_)) {
            assert_eq!(answer, again);
        }
        let records = by_shard(&engine.reader());
        check_dispatches(&records);
        assert_eq!(credits(&records).len(), 1, "after {before} grants");
        check_books(&engine, "after the space came back");
    }
    println!("{under_way} of 60 claims were under way when the disk was full");
}

/// The disk fails while it reserves space, and the next batch is decided already: whoever waits for
/// that one is let go without an answer.
#[test]
fn a_disk_that_fails_between_two_batches_leaves_nobody_waiting() {
    let (began, reserving) = mpsc::channel();
    let (fail, failing) = mpsc::channel();
    let disk = StickyDisk { disk: SimDisk::new(1), began, failing: Arc::new(Mutex::new(failing)) };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(BEGIN.parse().unwrap()));
    let engine = Engine::start(Arc::new(disk), &options(), clock).unwrap().0;
    let grant =
        |n: u32| vec![envelope(&format!(r#"{{"id":"g{n}","grant":{{"user":"u","coins":1,"reason":"filler"}}}}"#))];
    // One after the other, until the writer reserves the next segment.
    let submit = |n| engine.submit(&Caller::cli(), grant(n), Lines::InOrder).unwrap();
    let (mut last, mut answers) = (0, submit(0));
    while reserving.try_recv().is_err() {
        if answers.try_recv().is_ok() {
            last += 1;
            answers = submit(last);
        }
        thread::yield_now();
    }
    if answers.try_recv().is_ok() {
        last += 1;
        answers = submit(last);
    }
    // Time for the decider to hand the batch over; without it, the test shows less.
    (0..100_000).for_each(|_| thread::yield_now());
    fail.send(()).unwrap();
    let answers = within_a_minute("the wait for an answer", || answers.blocking_recv());
    assert!(answers.is_err(), "{answers:?}");
    assert!(matches!(
        engine.execute(&Caller::cli(), grant(last), Lines::InOrder)[..],
        [Answer::Unavailable(Unavailable::Stopped)]
    ));
    let closed = engine.close();
    assert!(matches!(closed, Err(ledger::Error::Io { doing: "reserving space for", .. })), "{closed:?}");
}

/// The ledger ends between a claim and the taking of its dispatch.
#[test]
fn a_credit_under_way_survives_a_restart() {
    let mut found = 0;
    for step in 1..40 {
        let disk = SimDisk::new(step);
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(BEGIN.parse().unwrap()));
        let start = || Engine::start(Arc::new(disk.clone()), &options(), clock.clone()).map(|(engine, _)| engine);
        disk.inject(step, Fault::PowerCut);
        if let Ok(engine) = start() {
            engine.execute(&Caller::cli(), vec![envelope(&top_up(1))], Lines::InOrder);
        }
        disk.crash();
        let copy = Arc::new(SimDisk::with(0, &disk.snapshot()));
        let records = by_shard(&Log::open(copy, &options()).unwrap().0.reader());
        if records.iter().flatten().count() != 1 {
            continue; // neither, or both
        }
        found += 1;
        let engine = start().unwrap();
        let other = top_up(1).replace("40", "41");
        // Duplicates at once: some are there before the dispatch is taken.
        let lines = [&top_up(1), &top_up(1), &other, &top_up(1)].map(|line| envelope(line));
        let answers = engine.execute(&Caller::cli(), lines.to_vec(), Lines::Independent);
        let records = by_shard(&engine.reader());
        let [credit] = credits(&records)[..] else { panic!("{records:?}") };
        let outcome = Answer::of(credit);
        assert!(matches!(&outcome, Answer::Taken(taken) if taken.event == "top_up_credited"), "{outcome:?}");
        assert!(matches!(answers[2], Answer::Conflict { .. }), "{answers:?}");
        for answer in [&answers[0], &answers[1], &answers[3]] {
            assert_eq!(*answer, outcome, "a duplicate joins the wait");
        }
        engine.settle().unwrap();
        check_dispatches(&by_shard(&engine.reader()));
        check_books(&engine, "after the restart");
    }
    assert!(found > 0, "some step lies between the claim and its credit");
}

#[test]
fn of_two_captures_at_once_one_wins() {
    let world = World::new(4);
    world.say(&top_up(1).replace("40", "9000"));
    for round in 0..100 {
        let deadline = "2026-01-01T01:00:00Z";
        let hold =
            format!(r#"{{"id":"h{round}","hold":{{"user":"u1","provider":"p","coins":50,"deadline":"{deadline}"}}}}"#);
        assert!(matches!(world.say(&hold), Answer::Taken(_)));
        let capture = |n: usize| {
            let order = format!(r#"{{"user":"u1","name":{{"command":"h{round}"}}}}"#);
            envelope(&format!(r#"{{"id":"c{round}-{n}","capture":{{"order":{order}}}}}"#))
        };
        let answers = at_once(&world, 2, capture);
        let won = answers.iter().filter(|answer| matches!(answer, Answer::Taken(_))).count();
        let lost = answers.iter().any(|answer| matches!(answer, Answer::Refused(r) if r.code == "order_status"));
        assert!(won == 1 && lost, "{answers:?}");
    }
    assert_eq!(world.balance("user:u1"), 9000 - 100 * 50);
    check_books(world.engine(), "after the captures");
}

#[test]
fn one_id_from_many_threads_has_one_outcome() {
    let world = World::new(4);
    for round in 0..100 {
        let lines = [
            top_up(round),
            format!(r#"{{"id":"b{round}","grant":{{"user":"u{round}","coins":5,"reason":"goodwill"}}}}"#),
            format!(r#"{{"id":"g{round}","gift":{{"user":"u{round}","item":"unicorn","to":[]}}}}"#),
        ];
        for line in lines {
            let before = world.records().len();
            let answers = at_once(&world, 16, |_| envelope(&line));
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
            assert!(matches!(answers[0], Answer::Taken(_) | Answer::Refused(_)), "{answers:?}");
            let claims = usize::from(line.contains("top_up"));
            assert_eq!(world.records().len(), before + 1 + claims, "{line}");
        }
    }
    assert_eq!(world.accounts().totals().values().filter(|sum| **sum != 0).count(), 0);
    check_books(world.engine(), "after the duplicates");
}

/// A disk that is full from the start, with the real binary.
#[test]
fn the_binary_says_that_the_disk_is_full() {
    let Some(disk) = SmallDisk::mount("100m") else { return };
    let made = disk.run(&["init"]);
    assert_eq!(made.status.code(), Some(0), "an empty ledger has its reserve later: {}", said(&made.stderr));
    disk.file("ballast", &vec![0; 60 << 20]);
    let platform = disk.file("platform.toml", b"[[item]]\nitem = 'rose'\nprice = 10\n");
    let commands = disk.file("commands.ndjson", top_up(1).as_bytes());
    let header = "gift_id,campaign,occurred_at,sender,amount_usd,room,streamers";
    let csv = disk.file("gifts.csv", format!("{header}\n1,c,2011-08-04T19:01:38Z,u,5,r,s\n").as_bytes());
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/marathon");
    let (mapping, marathon) = (docs.join("mapping.toml"), docs.join("platform.toml"));
    let (mapping, marathon) = (mapping.to_str().unwrap(), marathon.to_str().unwrap());
    let full = "the disk is full: make room";

    let appended = disk.run(&["append", &commands]);
    assert_eq!(
        said(&appended.stdout),
        "{\"line\":1,\"id\":\"t1\",\"state\":\"undecided\",\"code\":\"disk_full\",\"message\":\"the disk is full: make room, then ask again\"}\n"
    );
    assert_eq!(appended.status.code(), Some(1));
    let import = ["import", &csv, "--mapping", mapping, "--platform", marathon];
    for arguments in [&["apply", "-f", &platform][..], &import] {
        let refused = disk.run(arguments);
        assert!(said(&refused.stderr).contains(full), "{arguments:?}: {}", said(&refused.stderr));
        assert_eq!(refused.status.code(), Some(1), "it ran and was refused: {arguments:?}: {refused:?}");
    }
    assert!(said(&disk.run(&["verify", "--json"]).stdout).contains(r#""ok":true,"records":0,"#));

    disk.remove("ballast");
    for arguments in
        [&["apply", "-f", marathon][..], &["append", &commands], &["import", &csv, "--mapping", mapping], &["verify"]]
    {
        let done = disk.run(arguments);
        assert_eq!(done.status.code(), Some(0), "{arguments:?}: {}{}", said(&done.stdout), said(&done.stderr));
    }
}

/// A disk that becomes full while top-ups are on their way, with the real binary: it ends, says so,
/// and after room was made the same file completes.
#[test]
fn the_binary_ends_when_the_disk_fills_up() {
    let Some(disk) = SmallDisk::mount("140m") else { return };
    let ballast = disk.file("ballast", &vec![0; 40 << 20]);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let lines: String = (0..320_000)
        .map(|n| {
            let id = random_id(&mut random);
            let of = format!(r#""user":"u{}","channel":"apple","transaction":"{id}""#, n % 1000);
            let paid = r#"{"currency":"CNY","amount":"0.40"}"#;
            format!(r#"{{"id":"{id}","top_up":{{{of},"coins":40,"paid":{paid}}}}}"#) + "\n"
        })
        .collect();
    let elsewhere = TempDir::new().unwrap();
    let commands = elsewhere.path().join("commands.ndjson");
    std::fs::write(&commands, lines).unwrap();
    let commands = commands.to_str().unwrap().to_owned();

    assert_eq!(disk.run(&["init"]).status.code(), Some(0));
    let append = || {
        let (commands, mut command) = (commands.clone(), disk.command(&["append"]));
        within_a_minute("append on a disk that fills up", move || command.arg(commands).output().unwrap())
    };
    let first = append();
    let refused = said(&first.stdout).matches(r#""code":"disk_full""#).count();
    assert!(refused > 0 && refused < 320_000, "{refused} were refused");
    assert_eq!(first.status.code(), Some(1));
    std::fs::remove_file(ballast).unwrap();
    let second = append();
    assert_eq!(second.status.code(), Some(0), "{}", said(&second.stderr));
    let proof = said(&disk.run(&["verify", "--json"]).stdout);
    assert!(proof.contains(r#""ok":true,"records":640000,"#), "{proof}");
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
            let answers = self.engine().execute(&Caller::cli(), envelopes, Lines::InOrder);
            let later = [Unavailable::DiskFull, Unavailable::Unfinished].map(Answer::Unavailable);
            let full = answers.iter().any(|answer| later.contains(answer));
            for (line, answer) in answers.into_iter().enumerate() {
                match answer {
                    Answer::Unavailable(Unavailable::DiskFull | Unavailable::Unfinished) => continue,
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
        let proof = proofs::prove(&reader, |_| true).unwrap();
        assert!(proof.ok, "{:?}: {at}", proof.fault);
    }

    fn records(&self) -> Vec<Vec<Record>> {
        by_shard(&self.engine().reader())
    }
}

fn grants(number: u64) -> Vec<String> {
    let mut random = ChaCha8Rng::seed_from_u64(number);
    let grant = |user| {
        let id = random_id(&mut random);
        format!(r#"{{"id":"{id}","grant":{{"user":"full{user}","coins":1,"reason":"filler"}}}}"#)
    };
    (0..20).map(grant).collect()
}

/// 64 bytes that do not compress below 32.
fn random_id(random: &mut ChaCha8Rng) -> String {
    let [high, low] = [(); 2].map(|()| random.random::<u128>());
    format!("{high:032x}{low:032x}")
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

/// What `say` gives for each number, all handed in at the same moment by threads of their own.
fn at_once(world: &World, threads: usize, say: impl Fn(usize) -> Envelope + Sync) -> Vec<Answer> {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let (barrier, say) = (&barrier, &say);
        let spawn = |n| {
            scope.spawn(move || {
                barrier.wait();
                world.execute(vec![say(n)]).remove(0)
            })
        };
        let spawned: Vec<_> = (0..threads).map(spawn).collect();
        spawned.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Turns something that would wait for ever into a failure.
fn within_a_minute<T: Send + 'static>(what: &str, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(run()));
    ended.recv_timeout(Duration::from_mins(1)).unwrap_or_else(|_| panic!("{what} does not end"))
}

fn top_up(n: usize) -> String {
    let of = format!(r#""user":"u{n}","channel":"apple","transaction":"x{n}""#);
    format!(r#"{{"id":"t{n}","top_up":{{{of},"coins":40,"paid":{{"currency":"CNY","amount":"9.99"}}}}}}"#)
}

fn credits(records: &[Vec<Record>]) -> Vec<&Record> {
    let credited = |record: &&Record| matches!(record.event(), Some(Event::TopUpCredited(_)));
    records.iter().flatten().filter(credited).collect()
}

/// A disk on which reserving the next segment takes until it is told to fail.
#[derive(Debug)]
struct StickyDisk {
    disk: SimDisk,
    began: mpsc::Sender<()>,
    failing: Arc<Mutex<mpsc::Receiver<()>>>,
}

struct StickyFile {
    file: Arc<dyn DiskFile>,
    began: mpsc::Sender<()>,
    failing: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Disk for StickyDisk {
    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }
    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn open(&self, name: &str, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(name, create)?;
        if name != "log/next.tmp" {
            return Ok(file);
        }
        Ok(Arc::new(StickyFile { file, began: self.began.clone(), failing: self.failing.clone() }))
    }
    fn open_existing(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open_existing(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        self.disk.id_of(name)
    }
    fn lock(&self) -> io::Result<LockGuard> {
        self.disk.lock()
    }
    fn lock_holder(&self) -> Option<u32> {
        self.disk.lock_holder()
    }
    fn is_locked(&self) -> io::Result<bool> {
        self.disk.is_locked()
    }
}

impl DiskFile for StickyFile {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, bytes)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn allocate(&self, _: u64) -> io::Result<()> {
        self.began.send(()).unwrap();
        self.failing.lock().unwrap().recv().unwrap();
        Err(io::Error::other("the disk is gone"))
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
    fn id(&self) -> io::Result<FileId> {
        self.file.id()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

/// A small disk of memory, where this machine lets us mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("no small disk can be mounted here, so a full one is only shown on the simulated disk");
        None
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.0.path().join(name)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = giftledger();
        command.args(arguments).arg("--data").arg(self.0.path().join("ledger"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().unwrap();
        assert!(!said(&output.stderr).contains("panicked"), "{}", said(&output.stderr));
        output
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.0.path()).status());
    }
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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
        Answer::Conflict(first) => (first.shard, first.sequence),
        _ => panic!("{answer:?} has no record"),
    }
}
