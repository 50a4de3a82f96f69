//! The driver against a provider that loses, delays and garbles answers; and the log as of a moment.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use giftledger_tests::world::World;
use ledger::Answer;
use projections::Accounts;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use replay::{
    AsOf, Driver, Schedule,
    driver::{Behaviour, Simulator, Verdict},
};
use schemas::{Order, Status, UserId};

const SCHEDULE: Schedule = Schedule { first_ms: 5_000, longest_ms: 60_000, calls: 6 };
const BAD: Behaviour = Behaviour { refuses: 30, delivers_part: 20, silent: 10, loses: 35, late: 20, wrong: 15 };

fn hold_orders(world: &World, count: usize) -> Vec<(UserId, Order)> {
    let mut held = Vec::new();
    for n in 0..count {
        let user = format!("u{}", n % 7);
        world.say(&format!(
            r#"{{"id":"t{n}","top_up":{{"user":"{user}","channel":"c","transaction":"t{n}","coins":100,
                "paid":{{"currency":"CNY","amount":"1.00"}}}}}}"#
        ));
        let hold = world.say(&format!(
            r#"{{"id":"h{n}","hold":{{"user":"{user}","provider":"arcade","coins":100,"deadline":"2026-01-01T00:05:00Z"}}}}"#
        ));
        let Answer::Taken(taken) = hold else { panic!("{hold:?}") };
        let order = world.order(&taken.order.unwrap().to_string()).unwrap();
        held.push((user.parse().unwrap(), order));
    }
    held
}

/// Lets the schedule run to its end; the driver is replaced by a new one at every `stop`.
fn drive(world: &World, simulator: Simulator, held: &[(UserId, Order)], mut stop: impl FnMut() -> bool) -> Simulator {
    let reader = world.engine().reader();
    let mut driver = Driver::new(simulator, SCHEDULE, &reader);
    for (user, order) in held {
        driver.send(world.engine(), user, order);
    }
    driver.follow().unwrap();
    while let Some(due) = driver.next_due() {
        if due > world.now() {
            world.advance_millis((due.nanos() - world.now().nanos()) / 1_000_000 + 1);
        }
        driver.ask_due(world.engine(), world.now());
        if stop() {
            driver = Driver::new(driver.into_partner(), SCHEDULE, &reader);
        }
        driver.follow().unwrap();
    }
    driver.into_partner()
}

/// Every order has come to what the provider did with it; where it never said, a person has it.
fn check(world: &World, simulator: &Simulator, held: &[(UserId, Order)]) {
    let (mut with_a_person, mut captured) = (0, 0);
    for (_, order) in held {
        let now = world.order(&order.id.to_string()).unwrap();
        match (now.status, simulator.verdict(order.id).unwrap()) {
            (Status::Fulfilled, Verdict::Delivered(coins)) => {
                assert_eq!(now.charged, coins);
                captured += coins.get();
            }
            (Status::Released, Verdict::Rejected) => {}
            (Status::Manual, _) => {
                assert_eq!(now.left, order.left, "nothing is given back on a guess");
                with_a_person += 1;
            }
            (status, verdict) => panic!("order {} is {status:?}, the provider says {verdict:?}", order.id),
        }
        assert!(!simulator.is_silent(order.id) || now.status == Status::Manual);
    }
    assert!(with_a_person < held.len() / 2, "{with_a_person} of {} with a person", held.len());
    assert_eq!(world.balance("provider:arcade:payable"), captured.into());
}

#[test]
fn orders_come_to_what_the_provider_did() {
    for seed in 0..6 {
        let world = World::new(if seed % 2 == 0 { 1 } else { 16 });
        let held = hold_orders(&world, 40);
        let simulator = drive(&world, Simulator::new(seed, BAD), &held, || false);
        check(&world, &simulator, &held);
    }
}

#[test]
fn a_driver_that_is_replaced_at_any_point_comes_to_the_same() {
    for seed in 0..6 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let world = World::new(16);
        let held = hold_orders(&world, 40);
        let simulator = drive(&world, Simulator::new(seed, BAD), &held, || rng.random_range(0..2) == 0);
        check(&world, &simulator, &held);
    }
}

#[test]
fn a_deadline_leaves_what_was_sent_to_the_driver() {
    let world = World::new(16);
    let held = hold_orders(&world, 10);
    let simulator = Simulator::new(1, Behaviour { loses: 100, ..BAD });
    let mut driver = Driver::new(simulator, SCHEDULE, &world.engine().reader());
    for (user, order) in &held[..5] {
        driver.send(world.engine(), user, order);
    }
    world.advance_to("2026-01-01T00:05:00Z");
    for (n, (_, order)) in held.iter().enumerate() {
        let status = world.order(&order.id.to_string()).unwrap().status;
        assert_eq!(status, if n < 5 { Status::Unknown } else { Status::Released });
    }
}

#[test]
fn a_moment_cuts_all_shards_alike() {
    let world = World::new(16);
    hold_orders(&world, 30);
    let mut all = world.records();
    all.sort_by_key(|record| record.time);
    let mut reader = world.engine().reader();
    for cut in [0, 1, 17, all.len() / 2, all.len() - 1] {
        let last = &all[cut];
        let position = AsOf::Position { shard: last.shard, sequence: last.sequence };
        for as_of in [position, AsOf::Time(last.time)] {
            let prefix: Vec<_> = replay::records(&mut reader, as_of).unwrap().map(Result::unwrap).collect();
            assert_eq!(prefix, all[..=cut], "as of {as_of}");
            let mut folded = Vec::new();
            let fold = replay::fold(&mut reader, as_of, |record| {
                folded.push(record.clone());
                Ok::<_, ledger::Error>(())
            });
            assert!(fold.is_ok() && folded == prefix, "as of {as_of}");
            let mut accounts = Accounts::new();
            for record in &prefix {
                accounts.apply(record);
            }
            assert!(accounts.totals().values().all(|total| *total == 0));
        }
    }
    let nowhere = AsOf::Position { shard: 3, sequence: 1_000 };
    let error = replay::records(&mut reader, nowhere).err().unwrap().to_string();
    assert!(error.contains("3-1000"), "{error}");
}
