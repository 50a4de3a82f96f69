//! Payments that a channel gives back, before or after they come, and disputes that are won. On a real ledger,
//! with 1 and with 16 shards.

use giftledger_tests::{
    scenario::{coins, dispute, gift, happened, lots, refused, scenario, taken, top_up},
    world::World,
};
use schemas::{Asset, Rejection};

const TO_S1: &str = r#"[{"streamer":"s1"}]"#;

fn publish(world: &World) {
    taken(&world.say(
        r#"{"id":"v1","publish":{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z","changes":[
            {"item":{"item":"rose","price":1,"value":1}}]}}"#,
    ));
    world.advance_millis(1);
}

/// What the channel owes, in fen.
fn receivable(world: &World) -> i128 {
    -world.balance_in("channel:apple:receivable", Asset::Currency("CNY".parse().expect("a currency")))
}

/// A chargeback that came before its top-up was refused for ever, and the late top-up credited.
#[test]
fn a_chargeback_that_comes_first_is_remembered_and_wins() {
    scenario(|mut world| {
        assert_eq!(happened(&dispute(&world, "c", "chargeback", "P1")), "chargeback_remembered");
        let first = "c".parse().expect("an id");
        let again = dispute(&world, "c2", "chargeback", "P1");
        assert_eq!(refused(again), Rejection::AlreadyChargedBack { first });
        world.reopen();
        assert_eq!(happened(&top_up(&world, "u1", "P1", 1_000)), "top_up_reversed");
        assert_eq!((world.balance("user:u1"), world.wallet("u1").debt(), receivable(&world)), (0, 0, 0));
        let posted: Vec<i64> = world
            .records()
            .iter()
            .flat_map(|record| ledger::postings(record).into_iter())
            .filter(|posting| posting.account.to_string() == "channel:apple:receivable")
            .map(|posting| posting.amount)
            .collect();
        assert_eq!(posted.len(), 2, "the receivable and its reversal: {posted:?}");
        assert_eq!(posted.iter().sum::<i64>(), 0);
        let first = "top-P1-u1".parse().expect("an id");
        assert_eq!(refused(top_up(&world, "u2", "P1", 1_000)), Rejection::TransactionClaimed { first });
    });
}

/// The dispute is won after the top-up that credited nothing: its coins arrive, once.
#[test]
fn a_dispute_won_credits_what_was_reversed() {
    scenario(|world| {
        taken(&dispute(&world, "c", "chargeback", "P1"));
        taken(&top_up(&world, "u1", "P1", 1_000));
        assert_eq!(happened(&dispute(&world, "w", "reinstate", "P1")), "top_up_credited");
        assert_eq!((lots(&world, "u1"), receivable(&world)), (vec![1_000], 1_000));
        assert_eq!(refused(dispute(&world, "w2", "reinstate", "P1")), Rejection::NotChargedBack);
        assert_eq!(happened(&dispute(&world, "c2", "chargeback", "P1")), "charged_back");
        assert_eq!((lots(&world, "u1"), receivable(&world)), (vec![], 0));
    });
}

/// The dispute is won before the top-up comes: that is credited as any other.
#[test]
fn a_dispute_won_first_leaves_the_top_up_as_any_other() {
    scenario(|world| {
        assert_eq!(refused(dispute(&world, "w0", "reinstate", "P1")), Rejection::NotChargedBack);
        taken(&dispute(&world, "c", "chargeback", "P1"));
        assert_eq!(happened(&dispute(&world, "w", "reinstate", "P1")), "reinstate_remembered");
        assert_eq!(happened(&top_up(&world, "u1", "P1", 1_000)), "top_up_credited");
        assert_eq!(lots(&world, "u1"), [1_000]);
        assert_eq!(refused(dispute(&world, "w2", "reinstate", "P1")), Rejection::NotChargedBack);
    });
}

/// The wallet table to its chargebacks: P2 700 of which 300 were of P1's, and 300 owed.
fn charged_back_twice(world: &World) {
    publish(world);
    taken(&world.say(r#"{"id":"b","grant":{"user":"u1","coins":300,"reason":"newcomer"}}"#));
    taken(&top_up(world, "u1", "P1", 500));
    taken(&top_up(world, "u1", "P2", 1_000));
    taken(&gift(world, "g", "u1", "rose", 1_200, TO_S1));
    taken(&world.say(r#"{"id":"r","refund":{"order":{"user":"u1","name":{"command":"g"}},"coins":600,"reason":"x"}}"#));
    taken(&dispute(world, "c1", "chargeback", "P1"));
    assert_eq!((lots(world, "u1"), world.wallet("u1").debt()), (vec![700], 0), "200 of P1, 300 of P2");
    taken(&dispute(world, "c2", "chargeback", "P2"));
    assert_eq!((lots(world, "u1"), world.wallet("u1").debt()), (vec![], 300));
}

#[test]
fn a_dispute_won_pays_the_debt_first_then_fills_the_lots() {
    scenario(|world| {
        charged_back_twice(&world);
        let answer = gift(&world, "g2", "u1", "rose", 1, TO_S1);
        assert_eq!(refused(answer), Rejection::InDebt { debt: coins(300) });
        assert_eq!(happened(&dispute(&world, "w2", "reinstate", "P2")), "reinstated");
        assert_eq!((lots(&world, "u1"), world.wallet("u1").debt()), (vec![700], 0), "300 pay the debt, P2 has 700");
        taken(&dispute(&world, "w1", "reinstate", "P1"));
        assert_eq!(lots(&world, "u1"), [200, 1_000], "the last one taken first: P2 300, then P1 200");
        taken(&gift(&world, "g3", "u1", "rose", 1_200, TO_S1));
        assert_eq!(receivable(&world), 1_500);
    });
}

/// What had become debt is paid by a later top-up: it is a lot of its own, so no lot exceeds what it began with.
#[test]
fn a_dispute_won_after_the_debt_was_paid_makes_a_lot_of_it() {
    scenario(|world| {
        charged_back_twice(&world);
        taken(&top_up(&world, "u1", "P3", 1_000));
        assert_eq!((lots(&world, "u1"), world.wallet("u1").debt()), (vec![700], 0), "a top-up pays the debt first");
        taken(&dispute(&world, "w2", "reinstate", "P2"));
        assert_eq!(lots(&world, "u1"), [700, 700, 300], "P2 what was taken of it, P3, what had been owed");
        assert_eq!((world.balance("user:u1"), world.wallet("u1").debt()), (1_700, 0));
    });
}

/// A debt that is larger than what comes back stays, and no lot is filled.
#[test]
fn a_dispute_won_pays_the_debt_of_other_chargebacks_too() {
    scenario(|world| {
        publish(&world);
        for payment in ["P1", "P2"] {
            taken(&top_up(&world, "u1", payment, 100));
        }
        taken(&gift(&world, "g", "u1", "rose", 200, TO_S1));
        for payment in ["P1", "P2"] {
            taken(&dispute(&world, &format!("c-{payment}"), "chargeback", payment));
        }
        assert_eq!(world.wallet("u1").debt(), 200);
        taken(&dispute(&world, "w1", "reinstate", "P1"));
        assert_eq!((lots(&world, "u1"), world.wallet("u1").debt()), (vec![], 100));
        taken(&dispute(&world, "w2", "reinstate", "P2"));
        assert_eq!((lots(&world, "u1"), world.wallet("u1").debt()), (vec![], 0));
        assert_eq!(world.balance("user:u1"), 0);
    });
}

/// All of one payment in one ordered bulk, the chargeback in front.
#[test]
fn a_payments_lines_happen_in_their_order() {
    scenario(|world| {
        let top_up = r#"{"id":"t","top_up":{"user":"u1","channel":"apple","transaction":"A1","coins":100,
            "paid":{"currency":"CNY","amount":"1.00"}}}"#;
        let dispute =
            |id: &str, what: &str| format!(r#"{{"id":"{id}","{what}":{{"channel":"apple","transaction":"A1"}}}}"#);
        let lines = [
            &dispute("c1", "chargeback"),
            top_up,
            &dispute("w1", "reinstate"),
            &dispute("c2", "chargeback"),
            &dispute("w2", "reinstate"),
        ];
        let answers = world.say_all(&lines);
        let events: Vec<&str> = answers.iter().map(happened).collect();
        let expected = ["chargeback_remembered", "top_up_reversed", "top_up_credited", "charged_back", "reinstated"];
        assert_eq!(events, expected);
        assert_eq!(lots(&world, "u1"), [100]);
    });
}
