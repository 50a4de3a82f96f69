use std::sync::Arc;

use ledger::{
    Answer, Caller, Engine, Lines, SystemClock,
    log::{Disk, Log, Options, faulty::SimDisk},
};
use schemas::{
    Body, Captured, Coins, Dispatch, Event, GiftGiven, Lot, LotId, LotKind, Order, OrderId, OrderKind, Origin, Record,
    Returned, Source, Status, Subject, Timestamp, TopUpClaimed, TopUpCredited,
};

use super::*;

const SHARDS: Shard = 5;

type Forge<'a> = Box<dyn Fn(&mut Record) + 'a>;

fn options() -> Options {
    Options { shards: Some(SHARDS), segment_bytes: 0, max_frame_bytes: 64 << 10 }
}

/// A ledger with top-ups, gifts, refunds and holds of some users in all shards.
fn sound() -> Arc<dyn Disk> {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let (engine, _) = Engine::start(disk.clone(), &options(), Arc::new(SystemClock)).unwrap();
    let rose = r#"{"id":"p1","publish":{"version":1,"part":0,"last":true,"from":"2020-01-01T00:00:00Z","changes":[{"item":{"item":"rose","price":10,"value":10}}]}}"#;
    taken(&engine, &[rose.to_owned()]);
    engine.settle().unwrap();
    let paid = r#"{"currency":"CNY","amount":"10.00"}"#;
    let each = |command: &dyn Fn(usize) -> String| (0..40).map(command).collect::<Vec<_>>();
    taken(
        &engine,
        &each(&|n| {
            format!(
                r#"{{"id":"t{n}","top_up":{{"user":"u{n}","channel":"apple","transaction":"x{n}","coins":1000,"paid":{paid}}}}}"#
            )
        }),
    );
    taken(
        &engine,
        &each(&|n| {
            format!(
                r#"{{"id":"g{n}","gift":{{"user":"u{n}","item":"rose","quantity":2,"to":[{{"streamer":"s{}"}}]}}}}"#,
                n % 3
            )
        }),
    );
    taken(
        &engine,
        &each(&|n| {
            format!(
                r#"{{"id":"h{n}","hold":{{"user":"u{n}","provider":"games","coins":70,"deadline":"2100-01-01T00:00:00Z"}}}}"#
            )
        }),
    );
    engine.settle().unwrap();
    engine.close().unwrap();
    disk
}

fn taken(engine: &Engine, commands: &[String]) {
    let commands = commands.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for answer in engine.execute(&Caller::cli(), commands, Lines::Independent) {
        assert!(matches!(answer, Answer::Taken(_)), "{answer:?}");
    }
}

/// The same ledger with a record behind it that no decision made: `forge` is given the one that stands
/// last in `subject`'s shard.
fn forged(subject: &str, forge: impl FnOnce(&mut Record)) -> Reader {
    let disk = sound();
    let subject: Subject = subject.parse().unwrap();
    let shard = subject.shard(SHARDS);
    let (mut log, _) = Log::open(disk.clone(), &options()).unwrap();
    let last = log.head().shards[usize::from(shard)].sequence;
    let (_, mut record) = log.reader().find(shard, last).unwrap().unwrap();
    record.sequence += 1;
    record.time = record.time.plus_millis(1);
    record.subject = subject;
    record.id = format!("forged-{}", record.sequence).parse().unwrap();
    record.origin = Origin::Caller(Source::cli());
    record.moved.clear();
    forge(&mut record);
    let mut batch = vec![Vec::new(); usize::from(SHARDS)];
    batch[usize::from(shard)].push(record);
    log.ensure_room().unwrap();
    log.append(&ledger::log::Batch::of(&batch)).unwrap();
    log.close().unwrap();
    Reader::open(disk).unwrap()
}

fn coins(n: u64) -> Coins {
    Coins::new(n).unwrap()
}

fn lot(sequence: u64, n: u64) -> Lot {
    Lot { id: LotId { sequence, part: 0 }, kind: LotKind::Paid, coins: coins(n) }
}

#[test]
fn shards_at_once_prove_what_they_prove_in_order() {
    let reader = Reader::open(sound()).unwrap();
    let whole = prove_in_order(&reader, &mut |_| true);
    assert!(whole.ok, "{:?}", whole.fault);
    assert!(whole.checks.iter().all(|check| check.count > 0), "{:?}", whole.checks);
    for threads in [2, 3, 9] {
        let mut done = 0;
        assert_eq!(
            prove_at_once(&reader, threads, &mut |records| {
                done = records;
                true
            }),
            Some(whole.clone())
        );
        assert_eq!(done, whole.records);
    }
}

#[test]
fn what_no_decision_made_is_found_with_its_place() {
    let subject = "user:u7";
    let shard = subject.parse::<Subject>().unwrap().shard(SHARDS);
    let other = (shard + 1) % SHARDS;
    let event = |record: &mut Record, event| record.body = Body::Event(Box::new(event));
    let gift = |used| {
        Event::GiftGiven(GiftGiven {
            item: "rose".parse().unwrap(),
            version: 1,
            quantity: 1,
            price: coins(10),
            charged: coins(10),
            shares: std::iter::empty().collect(),
            used,
            room: None,
            combo: None,
            activity: None,
        })
    };
    let credited = |source| {
        let (channel, transaction) = ("apple".parse().unwrap(), "x".parse().unwrap());
        Event::TopUpCredited(TopUpCredited { source, coins: coins(5), debt_paid: Coins::ZERO, channel, transaction })
    };
    let captured = |record: &mut Record, charged| {
        let order = OrderId { shard, sequence: 9_999, part: 0 };
        record.moved.push(Order {
            id: order,
            status: Status::Fulfilled,
            kind: OrderKind::Game {
                provider: "games".parse().unwrap(),
                deadline: Timestamp::from_nanos(0),
                attempts: 0,
            },
            placed_at: Timestamp::from_nanos(0),
            charged: coins(charged),
            left: coins(charged),
            used: [lot(1, charged)].into_iter().collect(),
        });
        let captured = Captured { order, coins: coins(charged), released: Returned::default() };
        event(record, Event::Captured(Box::new(captured)));
    };
    let dispatched = |id: String, source| -> Forge<'_> {
        Box::new(move |record| {
            record.origin = Origin::Dispatch;
            record.id = id.parse().unwrap();
            event(record, credited(source));
        })
    };
    let cases: Vec<(&str, Forge<'_>, &str)> = vec![
        (subject, Box::new(|r| event(r, gift([lot(9_999, 10)].into_iter().collect()))), "it takes what is not there"),
        (subject, Box::new(|r| event(r, gift(std::iter::empty().collect()))), "user:u7 holds "),
        (subject, Box::new(|r| captured(r, 30)), "held:"),
        (subject, Box::new(|r| r.subject = "user:u7x".parse().unwrap()), "user:u7x belongs to shard"),
        (subject, Box::new(|r| r.subject = Subject::Reference), "belongs to shard"),
        (subject, dispatched("x".to_owned(), other), "x is no dispatch"),
        (subject, dispatched("99:1".to_owned(), other), "99:1 is no dispatch"),
        (subject, dispatched(format!("{other}:9999"), other), "dispatch 9999 was taken after "),
        (
            "claim:transaction:apple/forged",
            Box::new(|record| {
                let dispatch = Dispatch { target: other, number: 9_999 };
                let paid = schemas::Money::from_minor("CNY".parse().unwrap(), 1);
                let claimed = TopUpClaimed { user: "u7".parse().unwrap(), coins: coins(1), paid, dispatch };
                event(record, Event::TopUpClaimed(claimed));
            }),
            "dispatch 9999 follows ",
        ),
    ];
    for (subject, forge, fault) in cases {
        let reader = forged(subject, forge);
        assert_eq!(prove_at_once(&reader, 2, &mut |_| true), None, "{fault}");
        let proof = prove(&reader, |_| true).unwrap();
        let said = proof.fault.clone().unwrap_or_default();
        assert!(!proof.ok && said.contains(fault), "{said:?} is not {fault:?}");
        assert_eq!(proof, prove_in_order(&reader, &mut |_| true));
    }
}

#[test]
fn a_dispatch_that_nobody_issued_is_found() {
    // The next number of each pair, so that only the missing record tells.
    let subject = "user:u7";
    let shard = subject.parse::<Subject>().unwrap().shard(SHARDS);
    let reader = Reader::open(sound()).unwrap();
    let mut states: Vec<_> = (0..SHARDS).map(|shard| ledger::State::new(shard, SHARDS)).collect();
    for frame in reader.frames(ledger::log::Check::Frame) {
        frame.unwrap().records.iter().for_each(|record| states[usize::from(record.shard)].apply(record));
    }
    for source in 0..SHARDS {
        let number = states[usize::from(shard)].taken_from(source) + 1;
        let reader = forged(subject, |record| {
            record.origin = Origin::Dispatch;
            record.id = format!("{source}:{number}").parse().unwrap();
            let (channel, transaction) = ("apple".parse().unwrap(), "x".parse().unwrap());
            let credited = TopUpCredited { source, coins: coins(5), debt_paid: Coins::ZERO, channel, transaction };
            record.body = Body::Event(Box::new(Event::TopUpCredited(credited)));
        });
        assert_eq!(prove_at_once(&reader, 2, &mut |_| true), None, "from shard {source}");
        let said = prove(&reader, |_| true).unwrap().fault.unwrap();
        assert!(said.ends_with(&format!("no record issued dispatch {source}:{number}")), "{said}");
    }
}
