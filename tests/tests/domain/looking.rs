//! What a running ledger finds through its index: the records of an order, and what became of a command.

use ledger::{Answer, Caller, Lines, Outcome};
use schemas::{Key, Order, OrderId, Source, Subject};

use super::{World, gift, publish, scenario, taken, top_up};

fn outcome(world: &World, subject: &str, id: &str) -> Outcome {
    let subject: Subject = subject.parse().unwrap();
    world.engine().outcome(&subject, &Source::cli(), &id.parse().unwrap()).unwrap()
}

#[test]
fn an_outcome_is_the_answer_that_the_command_had() {
    scenario(|mut world| {
        publish(&world);
        let paid = top_up(&world, "u1", "P1", 100);
        let given = gift(&world, "g1", "u1", 30);
        let refused = gift(&world, "g2", "u1", 71);
        for _ in 0..2 {
            assert_eq!(outcome(&world, "claim:transaction:apple/P1", "top-P1-u1"), Outcome::Known(paid.clone()));
            assert_eq!(outcome(&world, "user:u1", "g1"), Outcome::Known(given.clone()));
            assert_eq!(outcome(&world, "user:u1", "g2"), Outcome::Known(refused.clone()));
            assert!(matches!(outcome(&world, "reference", "v1"), Outcome::Known(Answer::Taken(_))));
            assert!(matches!(outcome(&world, "user:u1", "g3"), Outcome::Unknown { sequence: 1.., .. }));
            // Another user's id, and another service's, are others.
            assert!(matches!(outcome(&world, "user:u2", "g1"), Outcome::Unknown { .. }));
            let (subject, vip) = ("user:u1".parse().unwrap(), "vip".parse().unwrap());
            let others = world.engine().outcome(&subject, &vip, &"g1".parse().unwrap()).unwrap();
            assert!(matches!(others, Outcome::Unknown { .. }));
            world.reopen();
        }
    });
}

#[test]
fn every_record_of_an_order_is_found_newest_first() {
    scenario(|mut world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 100_000));
        let order: OrderId = taken(&gift(&world, "g1", "u1", 5_000)).parse().unwrap();
        for n in 1..=40 {
            let refund = format!(
                r#"{{"id":"r{n}","refund":{{"order":{{"user":"u1","name":{{"number":"{order}"}}}},"coins":{n},"reason":"r"}}}}"#
            );
            taken(&world.say(&refund));
            taken(&gift(&world, &format!("other-{n}"), "u1", 1)); // between them
            if n == 20 {
                world.reopen();
            }
        }
        let left = |order: Option<Order>| order.unwrap().left.get();
        let records = world.engine().records_of(&Key::Order(order), usize::MAX).unwrap();
        let found: Vec<u64> = records.iter().map(|record| left(record.order(order))).collect();
        let expected: Vec<u64> = (1..=40).map(|n| 5_000 - n * (n + 1) / 2).rev().collect();
        assert_eq!(found, expected);
        let newest = world.engine().records_of(&Key::Order(order), 3).unwrap();
        assert_eq!(newest, records[..3]);
        assert_eq!(world.engine().newest(&Key::Order(order)).unwrap().as_ref(), records.first());
    });
}

/// An answer that repeats says so, and is the same.
#[test]
fn a_repetition_says_that_it_is_one() {
    scenario(|mut world| {
        publish(&world);
        let say = |world: &World| {
            let lines = [
                r#"{"id":"t","top_up":{"user":"u1","channel":"apple","transaction":"P","coins":10,"paid":{"currency":"CNY","amount":"0.10"}}}"#,
                r#"{"id":"g","gift":{"user":"u1","item":"rose","quantity":4,"to":[]}}"#,
                r#"{"id":"x","gift":{"user":"u1","item":"rose","quantity":40,"to":[]}}"#,
            ];
            let envelopes = lines.map(giftledger_tests::world::envelope).to_vec();
            world.engine().execute(&Caller::cli(), envelopes, Lines::InOrder)
        };
        let first = say(&world);
        assert!(first.iter().all(|answer| !answer.is_repeated()), "{first:?}");
        for _ in 0..2 {
            let again = say(&world);
            assert_eq!(again, first);
            assert!(again.iter().all(Answer::is_repeated), "{again:?}");
            world.reopen();
        }
    });
}
