//! Refunds and their roll-backs: who holds what of a gift, where lapsed coins come from, and what can be
//! named. On a real ledger, with 1 and with 16 shards.

use giftledger_tests::{
    scenario::{coins, gift, lots, refused, scenario, shares, shortfall, step, step_of, taken, top_up},
    world::World,
};
use ledger::Answer;
use schemas::{Rejection, Status};

/// A rose for 1, a box for 100; a half, which is worth half its price; a third, which is worth more.
fn publish(world: &World) {
    taken(&world.say(
        r#"{"id":"v1","publish":{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z","changes":[
            {"item":{"item":"rose","price":1,"value":1}},{"item":{"item":"box","price":100,"value":100}},
            {"item":{"item":"half","price":2,"value":1}},{"item":{"item":"third","price":3,"value":4}}]}}"#,
    ));
    world.advance_millis(1);
}

fn grant(world: &World, id: &str, coins: u64, expires: Option<&str>) {
    let expires = expires.map_or_else(String::new, |at| format!(r#","expires":"{at}""#));
    taken(
        &world.say(&format!(r#"{{"id":"{id}","grant":{{"user":"u1","coins":{coins},"reason":"goodwill"{expires}}}}}"#)),
    );
}

fn refund(world: &World, id: &str, of: &str, coins: u64) -> Answer {
    step(world, id, "refund", of, &format!(r#""coins":{coins},"reason":"sorry""#))
}

fn roll_back(world: &World, id: &str, of: &str, refund: &str) -> Answer {
    step(world, id, "roll_back_refund", of, &format!(r#""refund":{refund},"reason":"mistake""#))
}

const TO_S1: &str = r#"[{"streamer":"s1"}]"#;

/// The base was split equally where it had been none: 34, 33, 33 of which C, with weight 0, had no part.
#[test]
fn a_base_that_comes_with_other_coins_follows_the_values() {
    scenario(|world| {
        publish(&world);
        grant(&world, "b", 100, None);
        let to = r#"[{"streamer":"a","weight":9},{"streamer":"b","weight":1},{"streamer":"c","weight":0}]"#;
        let order = taken(&gift(&world, "g", "u1", "box", 1, to));
        assert_eq!(shares(&world, &order), [(90, 0), (10, 0), (0, 0)], "bonus coins pay nothing out");
        taken(&refund(&world, "r", "g", 100));
        taken(&gift(&world, "g2", "u1", "box", 1, TO_S1));
        taken(&top_up(&world, "u1", "P1", 100));
        assert_eq!(shortfall(&roll_back(&world, "rb", "g", r#""r""#)), 0);
        assert_eq!(shares(&world, &order), [(90, 90), (10, 10), (0, 0)]);
    });
}

/// A recipient of weight 0 was given a coin of each roll-back's rounding: Z had 5 in the end.
#[test]
fn what_rounding_moves_by_refunds_their_roll_backs_move_back() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 200));
        let to = r#"[{"streamer":"z","weight":0},{"streamer":"a","weight":1}]"#;
        let order = taken(&gift(&world, "g", "u1", "half", 100, to));
        for n in 0..5 {
            let [first, second] = [1, 2].map(|of| format!("r{n}-{of}"));
            taken(&refund(&world, &first, "g", 1));
            taken(&refund(&world, &second, "g", 1));
            taken(&roll_back(&world, &format!("b{n}-1"), "g", &format!("\"{first}\"")));
            taken(&roll_back(&world, &format!("b{n}-2"), "g", &format!("\"{second}\"")));
        }
        assert_eq!(shares(&world, &order), [(0, 0), (100, 100)]);
        assert_eq!((world.balance("streamer:z:turnover"), world.balance("streamer:a:turnover")), (0, 100));
    });
}

/// A base stood where there was no value: values 1, 0, 1 with bases 0, 1, 0.
#[test]
fn no_base_is_above_its_value() {
    scenario(|world| {
        publish(&world);
        grant(&world, "b", 1, None);
        taken(&top_up(&world, "u1", "P1", 2));
        let to = r#"[{"streamer":"a"},{"streamer":"b"},{"streamer":"c"}]"#;
        let order = taken(&gift(&world, "g", "u1", "third", 1, to));
        assert_eq!(shares(&world, &order), [(2, 1), (1, 1), (1, 0)], "4, of which 2 of 3 coins pay for 2");
        taken(&refund(&world, "r", "g", 1));
        assert_eq!(shares(&world, &order), [(1, 1), (0, 0), (1, 0)]);
    });
}

/// Rolled back, a refund took paid coins for bonus coins that had lapsed after it: the gift had base 100.
#[test]
fn coins_that_lapsed_since_the_refund_come_from_what_lapsed() {
    for unseen in [false, true] {
        scenario(|world| {
            publish(&world);
            grant(&world, "b", 100, Some("2026-01-01T00:00:03Z"));
            let order = taken(&gift(&world, "g", "u1", "box", 1, TO_S1));
            taken(&refund(&world, "r", "g", 100));
            taken(&top_up(&world, "u1", "P1", 100));
            if unseen {
                world.advance_unseen(3_000); // its timer may not have run when the roll-back is decided
            } else {
                world.advance_millis(3_000);
                assert_eq!(world.balance("platform:expired"), 100);
            }
            assert_eq!(shortfall(&roll_back(&world, "rb", "g", r#""r""#)), 0);
            world.rest();
            assert_eq!(lots(&world, "u1"), [100], "the paid coins stay");
            assert_eq!(shares(&world, &order), [(100, 0)]);
            assert_eq!(world.balance("platform:expired"), 0);
        });
    }
}

/// What lapsed with a lot is charged again once: of two refunds into it, the second finds what the first has left.
#[test]
fn what_lapsed_is_charged_again_once() {
    scenario(|world| {
        publish(&world);
        grant(&world, "b", 100, Some("2026-01-01T00:00:03Z"));
        for n in 1..=2 {
            taken(&gift(&world, &format!("g{n}"), "u1", "rose", 50, TO_S1));
            taken(&top_up(&world, "u1", &format!("P{n}"), 100));
        }
        for n in 1..=2 {
            taken(&refund(&world, &format!("r{n}"), &format!("g{n}"), 50));
        }
        taken(&gift(&world, "g3", "u1", "rose", 30, TO_S1)); // of the 100 that came back 70 lapse
        world.advance_millis(3_000);
        assert_eq!((lots(&world, "u1"), world.balance("platform:expired")), (vec![100, 100], 70));
        assert_eq!(shortfall(&roll_back(&world, "b1", "g1", r#""r1""#)), 0);
        assert_eq!((lots(&world, "u1"), world.balance("platform:expired")), (vec![100, 100], 20));
        assert_eq!(shortfall(&roll_back(&world, "b2", "g2", r#""r2""#)), 0);
        assert_eq!((lots(&world, "u1"), world.balance("platform:expired")), (vec![70, 100], 0));
    });
}

/// Only the first of a group's refunds could be rolled back: its parts had no names.
#[test]
fn each_refund_of_a_group_is_rolled_back_by_its_part() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 100));
        let order = taken(&gift(&world, "g", "u1", "rose", 100, TO_S1));
        let member = |coins: u64| {
            let rest = format!(r#""coins":{coins},"reason":"sorry""#);
            format!("{{{}}}", step_of("refund", r#"{"command":"g"}"#, &rest))
        };
        taken(&world.say(&format!(r#"{{"id":"rr","group":[{},{}]}}"#, member(10), member(30))));
        assert_eq!(lots(&world, "u1"), [40]);
        taken(&roll_back(&world, "b1", "g", r#"{"command":"rr","part":1}"#));
        assert_eq!(lots(&world, "u1"), [10], "the 30 of part 1");
        let first = "b1".parse().expect("an id");
        let again = roll_back(&world, "b2", "g", r#"{"command":"rr","part":1}"#);
        assert_eq!(refused(again), Rejection::AlreadyRolledBack { first });
        taken(&roll_back(&world, "b3", "g", r#"{"command":"rr","part":0}"#));
        assert_eq!((lots(&world, "u1"), world.order(&order).map(|o| o.left)), (vec![], Some(coins(100))));
        assert_eq!(refused(roll_back(&world, "b4", "g", r#"{"command":"rr","part":2}"#)), Rejection::RefundNotFound);
        let first = "b3".parse().expect("an id");
        let plain = roll_back(&world, "b5", "g", r#""rr""#);
        assert_eq!(refused(plain), Rejection::AlreadyRolledBack { first }, "without a part it is the first");
    });
}

/// One refund, rolled back twice at once: the whole group is refused.
#[test]
fn a_group_rolls_a_refund_back_once() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 100));
        taken(&gift(&world, "g", "u1", "rose", 100, TO_S1));
        taken(&refund(&world, "r", "g", 10));
        let member =
            format!("{{{}}}", step_of("roll_back_refund", r#"{"command":"g"}"#, r#""refund":"r","reason":"x""#));
        let answer = world.say(&format!(r#"{{"id":"bb","group":[{member},{member}]}}"#));
        let first = "bb".parse().expect("an id");
        let rejection = Box::new(Rejection::AlreadyRolledBack { first });
        assert_eq!(refused(answer), Rejection::Member { member: 1, rejection });
        assert_eq!(lots(&world, "u1"), [10], "nothing of it has happened");
    });
}

/// What a group places could not be named in the same group.
#[test]
fn a_hold_is_placed_and_captured_in_one_group() {
    scenario(|world| {
        taken(&top_up(&world, "u1", "P1", 100));
        let hold = r#"{"hold":{"user":"u1","provider":"arcade","coins":60,"deadline":"2026-01-01T01:00:00Z"}}"#;
        let capture = |part: &str, coins: u64| {
            let name = format!(r#"{{"command":"h"{part}}}"#);
            format!("{{{}}}", step_of("capture", name, &format!(r#""coins":{coins}"#)))
        };
        let group = format!(r#"{{"id":"h","group":[{hold},{hold},{}]}}"#, capture(r#","part":1"#, 25));
        assert_eq!(refused(world.say(&group)).code(), "insufficient_funds");
        let group = format!(r#"{{"id":"h","group":[{hold},{},{hold}]}}"#, capture("", 25)).replace("\"h\"", "\"h2\"");
        let order = taken(&world.say(&group));
        assert_eq!(world.order(&order).map(|o| (o.status, o.charged)), Some((Status::Fulfilled, coins(25))));
        assert_eq!(world.balance("provider:arcade:payable"), 25);
        assert_eq!(world.balance("user:u1"), 15, "35 came back, and the second hold took 60");
    });
}

/// A refund dated before its gift moved another month. What is said of an order happens after it, to a nanosecond.
#[test]
fn a_step_is_not_dated_before_its_order_nor_a_roll_back_before_its_refund() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 100));
        let dated =
            |id: &str, at: &str, what: &str| world.say(&format!(r#"{{"id":"{id}","occurred_at":"{at}",{what}}}"#));
        let gift = format!(r#""gift":{{"user":"u1","item":"rose","quantity":100,"to":{TO_S1}}}"#);
        taken(&dated("g", "2025-11-05T00:00:00Z", &gift));
        let refund = step_of("refund", r#"{"command":"g"}"#, r#""coins":10,"reason":"sorry""#);
        let happened_at = "2025-11-05T00:00:00Z".parse().expect("a time");
        let before = dated("r1", "2025-11-04T23:59:59.999Z", &refund);
        assert_eq!(refused(before), Rejection::DatedBefore { happened_at });
        taken(&dated("r2", "2025-11-05T00:00:00Z", &refund));
        taken(&dated("r3", "2025-11-06T00:00:00Z", &refund));
        let roll_back = step_of("roll_back_refund", r#"{"command":"g"}"#, r#""refund":"r3","reason":"mistake""#);
        let happened_at = "2025-11-06T00:00:00Z".parse().expect("a time");
        let before = dated("b1", "2025-11-05T12:00:00Z", &roll_back);
        assert_eq!(refused(before), Rejection::DatedBefore { happened_at });
        taken(&dated("b2", "2025-11-06T00:00:00Z", &roll_back));
        let hold = r#""hold":{"user":"u1","provider":"arcade","coins":10,"deadline":"2026-01-01T01:00:00Z"}"#;
        taken(&dated("h", "2025-12-01T00:00:00Z", hold));
        for (id, what, rest) in [("s", "send", ""), ("c", "capture", ""), ("l", "release", r#""reason":"x""#)] {
            let step = step_of(what, r#"{"command":"h"}"#, rest);
            assert_eq!(refused(dated(id, "2025-11-30T00:00:00Z", &step)).code(), "dated_before", "{what}");
        }
    });
}
