//! A clock that is wrong: what is new waits, what is known is answered, and nothing lapses by it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::Arc;

use giftledger_tests::world::{BEGIN, World, envelope};
use ledger::{
    Answer, Caller, Clock, Engine, Error, Lines, ManualClock, Unavailable,
    engine::Options,
    log::{Disk, faulty::SimDisk},
};
use schemas::Timestamp;

const DAY_MS: i64 = 86_400_000;

fn grant(id: &str, of: &str) -> String {
    format!(r#"{{"id":"{id}","grant":{{"user":"u1","coins":100{of},"reason":"reward"}}}}"#)
}

fn begin() -> Timestamp {
    BEGIN.parse().unwrap()
}

/// An engine on a clock that the test moves.
struct Watched {
    disk: Arc<dyn Disk>,
    clock: Arc<ManualClock>,
    engine: Engine,
}

impl Watched {
    fn start() -> Self {
        let (disk, clock) = (Arc::new(SimDisk::new(1)), Arc::new(ManualClock::at(begin())));
        let engine = started(disk.clone(), &clock, false).unwrap();
        Self { disk, clock, engine }
    }

    fn say(&self, line: &str) -> Answer {
        self.engine.execute(&Caller::cli(), vec![envelope(line)], Lines::InOrder).remove(0)
    }

    fn coins(&self) -> u128 {
        let now = self.clock.now();
        let user = "u1".parse().unwrap();
        self.engine
            .read(move |states| states.iter().filter_map(|s| s.user(&user)).map(|u| u.wallet().available(now)).sum())
            .unwrap()
    }

    fn records(&self) -> u64 {
        self.engine.reader().head().shards.iter().map(|shard| shard.sequence).sum()
    }
}

fn started(disk: Arc<dyn Disk>, clock: &Arc<ManualClock>, accept_clock: bool) -> Result<Engine, Error> {
    let options = Options { log: World::small(), accept_clock, ..Options::default() };
    Engine::start(disk, options, clock.clone()).map(|(engine, _)| engine)
}

/// The clock gets a century ahead for a moment: coins that have days to live are there when it is back.
#[test]
fn nothing_is_decided_nor_lapses_by_a_clock_that_jumped_ahead() {
    let world = Watched::start();
    let lapses = format!(r#","expires":"{}""#, begin().plus_millis(30 * DAY_MS));
    let first = world.say(&grant("a1", &lapses));
    assert!(matches!(first, Answer::Taken(_)));
    let records = world.records();

    world.clock.jump(begin().plus_millis(100 * 365 * DAY_MS));
    assert_eq!(world.say(&grant("a2", "")), Answer::Unavailable(Unavailable::ClockAhead));
    assert_eq!(world.say(&grant("a1", &lapses)), first, "a repetition needs no clock");
    assert!(matches!(world.say(&grant("a1", "")), Answer::Conflict { .. }), "nor does a conflict");
    world.engine.settle().unwrap();
    assert_eq!(world.records(), records, "no timer has fired");

    world.clock.jump(begin().plus_millis(1));
    assert_eq!(world.coins(), 100);
    assert!(matches!(world.say(&grant("a2", "")), Answer::Taken(_)), "the clock is back");
}

/// Time that passes is not a jump, however much of it.
#[test]
fn a_clock_that_runs_is_trusted() {
    let world = Watched::start();
    let lapses = format!(r#","expires":"{}""#, begin().plus_millis(30 * DAY_MS));
    world.say(&grant("a1", &lapses));
    world.clock.advance_millis(31 * DAY_MS);
    assert!(matches!(world.say(&grant("a2", "")), Answer::Taken(_)));
    world.engine.settle().unwrap();
    assert_eq!(world.coins(), 100, "what has lapsed has lapsed");
}

/// A clock that was set back, below the last record and below 1970 too.
#[test]
fn what_is_known_is_answered_by_a_clock_that_is_behind() {
    let world = Watched::start();
    let first = world.say(&grant("a1", ""));
    // Its time is ahead of the clock that is asked later.
    let dated = grant("a2", "").replace(r#""id""#, &format!(r#""occurred_at":"{}","id""#, begin()));
    let second = world.say(&dated);
    assert!(matches!(second, Answer::Taken(_)), "{second:?}");
    for now in [begin().plus_millis(-10_000), Timestamp::from_nanos(-3_600_000_000_000), Timestamp::MIN] {
        world.clock.jump(now);
        assert_eq!(world.say(&grant("a1", "")), first, "{now}");
        assert_eq!(world.say(&dated), second, "{now}");
        assert!(matches!(world.say(&grant("a1", r#","expires":"2030-01-01T00:00:00Z""#)), Answer::Conflict { .. }));
        assert_eq!(world.say(&grant("a3", "")), Answer::Unavailable(Unavailable::ClockBehind), "{now}");
        assert_eq!(world.coins(), 200);
    }
    world.clock.jump(begin().plus_millis(1));
    assert!(matches!(world.say(&grant("a3", "")), Answer::Taken(_)));
}

/// A top-up that the clock held up, then a gift of its coins: the gift would be refused for ever for want of them.
#[test]
fn no_line_passes_one_that_the_clock_held_up() {
    let world = Watched::start();
    world.clock.jump(begin().plus_millis(100 * 365 * DAY_MS));
    let gift = r#"{"id":"h1","hold":{"user":"u1","provider":"p","coins":50,"deadline":"2026-01-02T00:00:00Z"}}"#;
    let lines = || vec![envelope(&grant("a1", "")), envelope(gift)];
    let answers = world.engine.execute(&Caller::cli(), lines(), Lines::InOrder);
    assert!(answers.iter().all(|answer| *answer == Answer::Unavailable(Unavailable::ClockAhead)), "{answers:?}");
    world.clock.jump(begin().plus_millis(1));
    let answers = world.engine.execute(&Caller::cli(), lines(), Lines::InOrder);
    assert!(answers.iter().all(|answer| matches!(answer, Answer::Taken(_))), "{answers:?}");
}

/// What was claimed goes on to its user: the caller waits for an outcome, and only new decisions wait.
#[test]
fn a_dispatch_goes_on_without_the_clock() {
    let world = Watched::start();
    let top_up = |n: u32| {
        format!(
            r#"{{"id":"t{n}","top_up":{{"user":"u{n}","channel":"c","transaction":"x{n}","coins":7,"paid":{{"currency":"CNY","amount":"1.00"}}}}}}"#
        )
    };
    let answers: Vec<Answer> = (0..50).map(|n| world.say(&top_up(n))).collect();
    world.clock.jump(begin().plus_millis(100 * 365 * DAY_MS));
    for (n, answer) in (0..).zip(&answers) {
        assert_eq!(&world.say(&top_up(n)), answer);
    }
    world.engine.close().unwrap();
}

/// A machine whose battery is empty starts in another year.
#[test]
fn a_start_long_after_the_last_record_asks_a_person() {
    let Watched { disk, clock, engine } = Watched::start();
    engine.execute(&Caller::cli(), vec![envelope(&grant("a1", ""))], Lines::InOrder);
    engine.close().unwrap();
    clock.jump(begin().plus_millis(399 * DAY_MS));
    started(disk.clone(), &clock, false).unwrap().close().unwrap();
    clock.jump(begin().plus_millis(401 * DAY_MS));
    let refused = started(disk.clone(), &clock, false).unwrap_err();
    assert!(matches!(refused, Error::ClockFarAhead { .. }));
    let said = refused.to_string();
    assert!(said.contains("more than 400 days after the last record") && said.contains("--accept-clock"), "{said}");
    started(disk.clone(), &clock, true).unwrap().close().unwrap();

    for now in [Timestamp::from_nanos(-1), Timestamp::MIN, Timestamp::from_nanos(i64::MAX)] {
        clock.jump(now);
        let refused = started(disk.clone(), &clock, true).unwrap_err();
        assert!(matches!(refused, Error::ClockOutside { .. }), "{refused}");
        let empty = started(Arc::new(SimDisk::new(2)), &clock, true).unwrap_err();
        assert!(matches!(empty, Error::ClockOutside { .. }), "{empty}");
    }
}
