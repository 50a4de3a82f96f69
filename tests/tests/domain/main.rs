//! DOMAIN's worked figures, on a real ledger, with 1 and with 16 shards.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod looking;
mod sources;

use giftledger_tests::world::World;
use ledger::{Answer, Caller, Checked, Taken};
use projections::claw_back_candidate;
use schemas::{Body, Coins, Envelope, OrderKind, Rejection, Status};

/// Runs a scenario with 1 and with 16 shards.
fn scenario(play: impl Fn(World)) {
    for shards in [1, 16] {
        play(World::new(shards));
    }
}

fn taken(answer: &Answer) -> String {
    match answer {
        Answer::Taken(taken) => taken.order.map(|order| order.to_string()).unwrap_or_default(),
        other => panic!("not taken: {other:?}"),
    }
}

fn refused(answer: Answer) -> Rejection {
    match answer {
        Answer::Refused(refused) => refused.rejection,
        other => panic!("not refused: {other:?}"),
    }
}

fn coins(n: u64) -> Coins {
    Coins::new(n).unwrap()
}

/// The catalogue of these scenarios: a rose for 1, a box for 100 that reveals 300.
fn publish(world: &World) {
    taken(&world.say(
        r#"{"id":"v1","publish":{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z","changes":[
            {"item":{"item":"rose","price":1,"value":1}},{"item":{"item":"box","price":100,"value":300}},
            {"item":{"item":"quad","price":4,"value":4}}]}}"#,
    ));
    world.advance_millis(1);
}

fn top_up(world: &World, user: &str, transaction: &str, coins: u64) -> Answer {
    world.say(&format!(
        r#"{{"id":"top-{transaction}-{user}","top_up":{{"user":"{user}","channel":"apple","transaction":"{transaction}",
            "coins":{coins},"paid":{{"currency":"CNY","amount":"{}.00"}}}}}}"#,
        coins / 100
    ))
}

fn gift(world: &World, id: &str, user: &str, quantity: u64) -> Answer {
    world.say(&format!(
        r#"{{"id":"{id}","gift":{{"user":"{user}","item":"rose","quantity":{quantity},"to":[{{"streamer":"s1"}}]}}}}"#
    ))
}

/// What each lot of a user holds, in burn order.
fn lots(world: &World, user: &str) -> Vec<u64> {
    world.wallet(user).lots().map(|lot| lot.coins.get()).collect()
}

fn base(world: &World, order: &str) -> u64 {
    let order = world.order(order).unwrap();
    assert!(matches!(order.kind, OrderKind::Gift { .. }), "{order:?}");
    order.shares().iter().map(|share| share.base.get()).sum()
}

#[test]
fn the_wallet_table() {
    scenario(|world| {
        publish(&world);
        taken(&world.say(r#"{"id":"b","grant":{"user":"u1","coins":300,"reason":"newcomer"}}"#));
        taken(&top_up(&world, "u1", "P1", 500));
        taken(&top_up(&world, "u1", "P2", 1_000));
        assert_eq!(lots(&world, "u1"), [300, 500, 1_000]);

        let order = taken(&gift(&world, "g", "u1", 1_200));
        let used: Vec<u64> = world.order(&order).unwrap().used.iter().map(|lot| lot.coins.get()).collect();
        assert_eq!(used, [300, 500, 400], "burns bonus 300, P1 500, P2 400");
        assert_eq!(base(&world, &order), 900);

        taken(
            &world
                .say(r#"{"id":"r","refund":{"order":{"user":"u1","name":{"command":"g"}},"coins":600,"reason":"x"}}"#),
        );
        assert_eq!(lots(&world, "u1"), [200, 1_000], "P2 +400, P1 +200");
        assert_eq!(base(&world, &order), 300);

        taken(&world.say(r#"{"id":"c1","chargeback":{"channel":"apple","transaction":"P1"}}"#));
        assert_eq!((lots(&world, "u1"), world.wallet("u1").debt()), (vec![700], 0), "200 of P1, 300 of P2");

        taken(&world.say(r#"{"id":"c2","chargeback":{"channel":"apple","transaction":"P2"}}"#));
        assert_eq!((lots(&world, "u1"), world.wallet("u1").debt()), (vec![], 300));
        assert_eq!(refused(gift(&world, "g2", "u1", 1)), Rejection::InDebt { debt: coins(300) });
        assert_eq!(claw_back_candidate(coins(300), "0.45".parse().unwrap()), coins(135));

        taken(&top_up(&world, "u1", "P3", 1_000));
        assert_eq!((lots(&world, "u1"), world.wallet("u1").debt()), (vec![700], 0), "a top-up pays the debt first");
        assert_eq!(world.balance("user:u1"), 700);
        assert_eq!(world.balance("streamer:s1:turnover"), 600);
    });
}

#[test]
fn the_paid_base_counts_paid_coins_only() {
    scenario(|world| {
        publish(&world);
        taken(&world.say(r#"{"id":"b","grant":{"user":"u1","coins":40,"reason":"newcomer"}}"#));
        taken(&top_up(&world, "u1", "P1", 60));
        let box_ = r#"{"id":"g","gift":{"user":"u1","item":"box","to":[{"streamer":"s1"}]}}"#;
        let order = taken(&world.say(box_));
        assert_eq!(base(&world, &order), 180, "charged 100 of which 40 bonus, revealed 300");
        assert_eq!(world.balance("streamer:s1:turnover"), 300);
        assert_eq!(world.balance("platform:gifts"), -200);
        // 50 of the 60 paid coins come back: value left floor(300 × 50 ÷ 100), base floor(150 × 10 ÷ 50).
        taken(
            &world.say(r#"{"id":"r","refund":{"order":{"user":"u1","name":{"command":"g"}},"coins":50,"reason":"x"}}"#),
        );
        assert_eq!((base(&world, &order), world.balance("streamer:s1:turnover")), (30, 150));
    });
}

#[test]
fn a_refund_in_part_lets_no_share_rise() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 4));
        let shared = r#"{"id":"g","gift":{"user":"u1","item":"quad","to":[
            {"streamer":"a","weight":6},{"streamer":"b","weight":6},{"streamer":"c","weight":2}]}}"#;
        taken(&world.say(shared));
        let turnover = || ["a", "b", "c"].map(|s| world.balance(&format!("streamer:{s}:turnover")));
        assert_eq!(turnover(), [2, 2, 0], "weights 6 : 6 : 2 of 4");
        taken(
            &world.say(r#"{"id":"r","refund":{"order":{"user":"u1","name":{"command":"g"}},"coins":1,"reason":"x"}}"#),
        );
        assert_eq!(turnover(), [1, 2, 0], "never the fresh split of 3");
    });
}

fn hold(world: &World, id: &str, coins: u64) -> Answer {
    world.say(&format!(
        r#"{{"id":"{id}","hold":{{"user":"u1","provider":"arcade","coins":{coins},"deadline":"2026-01-01T01:00:00Z"}}}}"#
    ))
}

#[test]
fn the_sixth_hold_of_1000_on_5000_is_refused() {
    scenario(|world| {
        taken(&top_up(&world, "u1", "P1", 5_000));
        for n in 0..5 {
            taken(&hold(&world, &format!("h{n}"), 1_000));
        }
        assert_eq!(refused(hold(&world, "h5", 1_000)), Rejection::InsufficientFunds { available: Coins::ZERO });
        assert_eq!(world.balance("user:u1"), 0);
    });
}

#[test]
fn of_two_captures_at_once_one_wins() {
    scenario(|world| {
        taken(&top_up(&world, "u1", "P1", 100));
        taken(&hold(&world, "h", 100));
        let capture = |id: &str| {
            format!(r#"{{"id":"{id}","capture":{{"order":{{"user":"u1","name":{{"command":"h"}}}},"coins":60}}}}"#)
        };
        let answers = world.say_all(&[&capture("c1"), &capture("c2")]);
        taken(&answers[0]);
        assert_eq!(refused(answers[1].clone()), Rejection::OrderStatus { status: Status::Fulfilled });
        assert_eq!(world.balance("provider:arcade:payable"), 60);
        assert_eq!(world.balance("user:u1"), 40, "what was not captured is released");
    });
}

#[test]
fn the_same_refund_twice_has_one_effect() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 100));
        taken(&gift(&world, "g", "u1", 100));
        let refund = r#"{"id":"r","refund":{"order":{"user":"u1","name":{"command":"g"}},"coins":30,"reason":"x"}}"#;
        assert_eq!(world.say(refund), world.say(refund));
        assert_eq!(world.balance("user:u1"), 30);
    });
}

/// Third parties make long ids: a purchase token of Google has about 150 bytes. The longest ones work from
/// end to end: the payment counts once, the order is found, and a restart knows them.
#[test]
fn ids_of_200_bytes_are_as_good_as_short_ones() {
    scenario(|mut world| {
        let long = |what: &str| format!("{what}{}", "x".repeat(200 - what.len()));
        let (user, item, streamer) = (long("user"), long("item"), long("streamer"));
        let catalogue = format!(
            r#"{{"id":"{}","publish":{{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z",
                "changes":[{{"item":{{"item":"{item}","price":10,"value":9}}}}]}}}}"#,
            long("v")
        );
        taken(&world.say(&catalogue));
        let top_up = |id: &str| {
            format!(
                r#"{{"id":"{}","top_up":{{"user":"{user}","channel":"{}","transaction":"{}","coins":100,
                    "paid":{{"currency":"CNY","amount":"1.00"}}}}}}"#,
                long(id),
                long("google"),
                long("token")
            )
        };
        let first = world.say(&top_up("t1"));
        taken(&first);
        let second = refused(world.say(&top_up("t2")));
        assert_eq!(second, Rejection::TransactionClaimed { first: long("t1").parse().unwrap() });
        let of =
            format!(r#""room":"{}","activity":"{}","combo":{{"id":"{}","count":1}}"#, long("r"), long("a"), long("c"));
        let gift = format!(
            r#"{{"id":"{}","actor":"{}","gift":{{"user":"{user}","item":"{item}","to":[{{"streamer":"{streamer}"}}],{of}}}}}"#,
            long("g"),
            long("actor")
        );
        let refund = format!(
            r#"{{"id":"{}","refund":{{"order":{{"user":"{user}","name":{{"command":"{}"}}}},"coins":4,"reason":"{}"}}}}"#,
            long("refund"),
            long("g"),
            long("reason")
        );
        let answers = [&gift, &refund].map(|line| world.say(line));
        for answer in &answers {
            taken(answer);
        }
        world.reopen();
        assert_eq!([&gift, &refund].map(|line| world.say(line)), answers);
        assert_eq!(world.say(&top_up("t1")), first);
        assert_eq!(world.balance(&format!("user:{user}")), 94);
        // Of the value 9, 5 are left for 6 of 10 coins.
        assert_eq!(world.balance(&format!("streamer:{streamer}:turnover")), 5);
        let longer = Envelope::read(gift.replace(&long("g"), &(long("g") + "x")).as_bytes()).unwrap_err();
        assert!(longer.malformed.message.contains("at most 200 bytes, this one has 201"), "{longer:?}");
    });
}

/// Whoever sends something else under an id is told what stands there, where, and in what theirs differs.
#[test]
fn a_conflict_says_what_differs_and_where_the_first_stands() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 1_000));
        let order = |name: &str| format!(r#""order":{{"user":"u1","name":{{"command":"{name}"}}}}"#);
        let refund = |of: &str| format!(r#"{{"id":"r","refund":{{{},"reason":"offline"{of}}}}}"#, order("g"));
        let gift = |of: &str| {
            format!(r#"{{"id":"g","gift":{{"user":"u1","item":"rose","quantity":10,"to":[{{"streamer":"s1"}}]{of}}}}}"#)
        };
        let grant = |coins: u32| format!(r#"{{"grant":{{"user":"u1","coins":{coins},"reason":"r"}}}}"#);
        let group = |coins: [u32; 2]| format!(r#"{{"id":"x","group":[{},{}]}}"#, grant(coins[0]), grant(coins[1]));
        let hold =
            r#"{"id":"h","hold":{"user":"u1","provider":"arcade","coins":50,"deadline":"2030-01-01T00:00:00Z"}}"#;
        let poor = r#"{"id":"p","gift":{"user":"u2","item":"rose","to":[]}}"#;
        let again = |line: &str| line.replace(r#"{"id""#, r#"{"occurred_at":"2025-11-30T00:00:00Z","id""#);
        let firsts = [gift(r#","room":"r1""#), refund(r#","coins":3"#), group([1, 2]), hold.to_owned()];
        let say = |line: &String| match world.say(line) {
            Answer::Taken(taken) => taken,
            other => panic!("{line}: {other:?}"),
        };
        let records: Vec<Taken> = firsts.iter().map(say).collect();
        let refused = world.say(poor);
        for (line, event, message) in [
            (
                gift("").replace("rose", "box"),
                "gift_given",
                "gift.item was rose and is box, gift.room was r1 and is absent",
            ),
            (gift(r#","room":"r1""#).replace(r#"{"streamer":"s1"}"#, ""), "gift_given", "gift.to was s1 and is house"),
            (again(&firsts[0]), "gift_given", "occurred_at was absent and is 2025-11-30T00:00:00Z"),
            (refund(r#","coins":4"#), "refunded", "refund.coins was 3 and is 4"),
            (refund(""), "refunded", "which is all that can be told"),
            (group([1, 3]), "group", "group[1].grant.coins was 2 and is 3"),
            (hold.replace("50", "60"), "held", "hold.coins was 50 and is 60"),
            (grant(7).replacen('{', r#"{"id":"h","#, 1), "held", "the command was hold and is grant"),
        ] {
            let Answer::Conflict(conflict) = world.say(&line) else { panic!("{line} is no conflict") };
            let first =
                records.iter().find(|first| (first.shard, first.sequence) == (conflict.shard, conflict.sequence));
            let first = first.expect("it stands where the first was taken");
            assert_eq!((conflict.time, conflict.outcome, conflict.event), (first.time, "taken", Some(event)));
            assert!(conflict.message.contains(message), "{line}: {}\nlacks {message}", conflict.message);
            assert!(conflict.message.contains(&format!("taken as {event} in {}-{}", first.shard, first.sequence)));
            assert_ne!(conflict.first_digest, conflict.this_digest);
        }
        let Answer::Refused(refused) = refused else { panic!("{refused:?}") };
        let Answer::Conflict(conflict) = world.say(&poor.replace("rose", "box")) else { panic!("no conflict") };
        assert_eq!(
            (conflict.sequence, conflict.outcome, conflict.code),
            (refused.sequence, "refused", Some(refused.code))
        );
        assert!(conflict.message.contains("refused as insufficient_funds") && conflict.differs.is_empty());
    });
}

#[test]
fn a_refused_gift_stays_refused_and_other_content_is_a_conflict() {
    scenario(|mut world| {
        publish(&world);
        let first = gift(&world, "g", "u1", 10);
        assert_eq!(refused(first.clone()), Rejection::InsufficientFunds { available: Coins::ZERO });
        taken(&top_up(&world, "u1", "P1", 100));
        assert_eq!(gift(&world, "g", "u1", 10), first, "a late duplicate never charges");
        assert!(matches!(gift(&world, "g", "u1", 11), Answer::Conflict { .. }));
        world.reopen();
        assert_eq!(gift(&world, "g", "u1", 10), first, "after a restart neither");
        assert!(matches!(gift(&world, "g", "u1", 11), Answer::Conflict { .. }));
        taken(&gift(&world, "g2", "u1", 10));
        assert_eq!(world.balance("user:u1"), 90);
    });
}

#[test]
fn a_default_that_is_spelled_out_is_no_conflict() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 100));
        let short = world.say(r#"{"id":"g","gift":{"user":"u1","item":"rose","to":[{"streamer":"s1"}]}}"#);
        let long = r#"{"actor":"other","gift":{"to":[{"weight":1,"streamer":"s1"}],"quantity":1,"item":"rose",
            "user":"u1","room":null},"id":"g"}"#;
        assert_eq!(world.say(long), short);
    });
}

#[test]
fn one_transaction_for_two_users_credits_one() {
    scenario(|world| {
        taken(&top_up(&world, "u1", "P1", 100));
        let first = "top-P1-u1".parse().unwrap();
        assert_eq!(refused(top_up(&world, "u2", "P1", 100)), Rejection::TransactionClaimed { first });
        assert_eq!((world.balance("user:u1"), world.balance("user:u2")), (100, 0));
    });
}

#[test]
fn a_top_up_and_a_gift_that_needs_it_in_one_bulk() {
    scenario(|world| {
        publish(&world);
        let top_up = r#"{"id":"t","top_up":{"user":"u1","channel":"apple","transaction":"P1","coins":10,
            "paid":{"currency":"CNY","amount":"0.10"}}}"#;
        let gift = r#"{"id":"g","gift":{"user":"u1","item":"rose","quantity":10,"to":[{"streamer":"s1"}]}}"#;
        let too_much = r#"{"id":"g2","gift":{"user":"u1","item":"rose","to":[{"streamer":"s1"}]}}"#;
        let answers = world.say_all(&[top_up, gift, too_much]);
        taken(&answers[0]);
        taken(&answers[1]);
        assert_eq!(refused(answers[2].clone()), Rejection::InsufficientFunds { available: Coins::ZERO });
    });
}

/// Whom a chargeback touches only its top-up says, and that waits here behind another one.
#[test]
fn a_chargeback_waits_for_its_top_up_in_the_same_bulk() {
    scenario(|world| {
        let top_up = |id: &str, transaction: &str| {
            format!(
                r#"{{"id":"{id}","top_up":{{"user":"u1","channel":"apple","transaction":"{transaction}","coins":100,"paid":{{"currency":"CNY","amount":"1.00"}}}}}}"#
            )
        };
        let chargeback = r#"{"id":"b2","chargeback":{"channel":"apple","transaction":"A2"}}"#;
        let lines = [&top_up("t1", "A1"), &top_up("t2", "A2"), chargeback];
        let answers = world.say_all(&lines);
        for answer in &answers {
            taken(answer);
        }
        assert_eq!(lots(&world, "u1"), [100]);
    });
}

#[test]
fn a_deadline_ends_only_what_was_not_sent() {
    scenario(|mut world| {
        taken(&top_up(&world, "u1", "P1", 100));
        let sent = taken(&hold(&world, "sent", 30));
        let forgotten = taken(&hold(&world, "forgotten", 70));
        taken(&world.say(r#"{"id":"s","send":{"order":{"user":"u1","name":{"command":"sent"}}}}"#));
        world.advance_to("2026-01-01T01:00:00Z");
        assert_eq!(world.order(&sent).unwrap().status, Status::Sent);
        assert_eq!(world.order(&forgotten).unwrap().status, Status::Released);
        assert_eq!(world.balance("user:u1"), 70);
        let late = r#"{"id":"s2","send":{"order":{"user":"u1","name":{"command":"forgotten"}}}}"#;
        assert_eq!(refused(world.say(late)), Rejection::OrderStatus { status: Status::Released });
        world.reopen();
        let capture = r#"{"id":"c","capture":{"order":{"user":"u1","name":{"command":"sent"}}}}"#;
        taken(&world.say(capture));
        assert_eq!(world.balance("provider:arcade:payable"), 30);
    });
}

#[test]
fn a_lapsed_hold_can_neither_be_sent_nor_captured_before_its_timer_has_run() {
    scenario(|world| {
        taken(&top_up(&world, "u1", "P1", 100));
        taken(&hold(&world, "h", 100));
        world.advance_unseen(3_600_000);
        let deadline = "2026-01-01T01:00:00Z".parse().unwrap();
        let late = r#"{"id":"s","send":{"order":{"user":"u1","name":{"command":"h"}}}}"#;
        let answer = refused(world.say(late));
        let by_timer = Rejection::OrderStatus { status: Status::Released };
        assert!(answer == Rejection::DeadlinePassed { deadline } || answer == by_timer, "{answer:?}");
        world.rest();
        assert_eq!(world.balance("user:u1"), 100);
    });
}

#[test]
fn a_step_of_a_combo_counts_once() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 100));
        let step = |id: &str, count: u32| {
            world.say(&format!(
                r#"{{"id":"{id}","gift":{{"user":"u1","item":"rose","to":[],"combo":{{"id":"c","count":{count}}}}}}}"#
            ))
        };
        let order = taken(&step("a", 1)).parse().unwrap();
        assert_eq!(refused(step("b", 1)), Rejection::ComboCounted { order });
        taken(&step("c", 2));
        assert_eq!(world.balance("streamer:house:turnover"), 2);
    });
}

#[test]
fn an_expired_bonus_is_not_spent_and_a_refund_does_not_revive_it() {
    scenario(|world| {
        publish(&world);
        let grant = r#"{"id":"b","grant":{"user":"u1","coins":50,"reason":"r","expires":"2026-01-01T00:10:00Z"}}"#;
        taken(&world.say(grant));
        taken(&top_up(&world, "u1", "P1", 50));
        taken(&gift(&world, "g", "u1", 60));
        world.advance_unseen(600_000);
        taken(&world.say(r#"{"id":"r","refund":{"order":{"user":"u1","name":{"command":"g"}},"reason":"x"}}"#));
        assert_eq!(lots(&world, "u1"), [50]);
        assert_eq!(world.balance("platform:expired"), 50);
        // The roll-back takes the 10 paid coins, and charges the lapsed 50 again.
        let back = r#"{"id":"rb","roll_back_refund":{"order":{"user":"u1","name":{"command":"g"}},"refund":"r",
            "reason":"mistake"}}"#;
        let Answer::Taken(answer) = world.say(back) else { panic!("not taken") };
        assert_eq!(answer.shortfall, Some(Coins::ZERO));
        assert_eq!((lots(&world, "u1"), world.balance("platform:expired")), (vec![40], 0));
        assert_eq!(world.balance("streamer:s1:turnover"), 60);
        let first = "rb".parse().unwrap();
        let again = back.replace("\"rb\"", "\"rb2\"");
        assert_eq!(refused(world.say(&again)), Rejection::AlreadyRolledBack { first });
    });
}

#[test]
fn a_roll_back_takes_what_is_there_and_names_the_rest() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 100));
        taken(&gift(&world, "g", "u1", 100));
        taken(&world.say(r#"{"id":"r","refund":{"order":{"user":"u1","name":{"command":"g"}},"reason":"x"}}"#));
        taken(&gift(&world, "g2", "u1", 70));
        let back = r#"{"id":"rb","roll_back_refund":{"order":{"user":"u1","name":{"command":"g"}},"refund":"r",
            "reason":"mistake"}}"#;
        let Answer::Taken(answer) = world.say(back) else { panic!("not taken") };
        assert_eq!(answer.shortfall, Some(coins(70)));
        assert_eq!(world.balance("user:u1"), 0);
        assert_eq!(world.balance("streamer:s1:turnover"), 100);
    });
}

#[test]
fn a_group_is_taken_as_a_whole_or_not_at_all() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 10));
        let rose = |n: u64| format!(r#"{{"gift":{{"user":"u1","item":"rose","to":[],"quantity":{n}}}}}"#);
        let group =
            |id: &str, a: u64, b: u64| world.say(&format!(r#"{{"id":"{id}","group":[{},{}]}}"#, rose(a), rose(b)));
        let rejection = Box::new(Rejection::InsufficientFunds { available: coins(4) });
        assert_eq!(refused(group("x", 6, 6)), Rejection::Member { member: 1, rejection });
        assert_eq!(world.balance("user:u1"), 10);
        taken(&group("y", 6, 4));
        assert_eq!(world.balance("user:u1"), 0);
        let second = format!("{}.1", world.records().last().map(|r| r.order_id(0).to_string()).unwrap());
        assert_eq!(world.order(&second).unwrap().charged, coins(4));
    });
}

#[test]
fn prices_are_those_in_force_when_a_gift_is_accepted() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 100));
        taken(&world.say(
            r#"{"id":"v2","publish":{"version":2,"part":0,"last":true,"from":"2026-01-01T02:00:00Z","changes":[
                {"item":{"item":"rose","price":5,"value":4}},{"withdraw_item":"box"}]}}"#,
        ));
        taken(&gift(&world, "before", "u1", 1));
        world.advance_to("2026-01-01T02:00:00Z");
        taken(&gift(&world, "after", "u1", 1));
        assert_eq!((world.balance("user:u1"), world.balance("streamer:s1:turnover")), (94, 5));
        let expected = r#"{"id":"e","gift":{"user":"u1","item":"rose","to":[],"expected_price":1}}"#;
        assert_eq!(refused(world.say(expected)), Rejection::PriceChanged { price: coins(5) });
        let gone = r#"{"id":"w","gift":{"user":"u1","item":"box","to":[]}}"#;
        assert_eq!(refused(world.say(gone)), Rejection::ItemNotOnSale);
        let unknown = r#"{"id":"n","gift":{"user":"u1","item":"yacht","to":[]}}"#;
        assert_eq!(refused(world.say(unknown)), Rejection::ItemNotFound);
        let stale =
            r#"{"id":"v4","publish":{"version":4,"part":0,"last":true,"from":"2026-01-01T02:00:00Z","changes":[]}}"#;
        assert_eq!(refused(world.say(stale)), Rejection::VersionNotNext { version: 3, part: 0 });
    });
}

#[test]
fn a_version_in_parts_holds_once_its_last_part_is_there() {
    scenario(|world| {
        let part = |part: u32, last: bool, item: &str| {
            world.say(&format!(
                r#"{{"id":"v1-{part}","publish":{{"version":1,"part":{part},"last":{last},"from":"2026-01-01T00:00:00Z",
                    "changes":[{{"item":{{"item":"{item}","price":1,"value":1}}}}]}}}}"#
            ))
        };
        taken(&part(0, false, "rose"));
        taken(&top_up(&world, "u1", "P1", 10));
        assert_eq!(refused(gift(&world, "early", "u1", 1)), Rejection::ItemNotFound);
        taken(&part(1, true, "tulip"));
        world.advance_millis(1);
        taken(&gift(&world, "late", "u1", 1));
    });
}

/// All months were valued by the entity: another one is refused at every door, not only by `apply`.
#[test]
fn the_entity_never_changes() {
    scenario(|world| {
        let publish = |id: &str, version: u64, part: u32, last: bool, coins_per_unit: u32| {
            world.say(&format!(
                r#"{{"id":"{id}","publish":{{"version":{version},"part":{part},"last":{last},"from":"2026-01-01T00:00:00Z",
                    "changes":[{{"entity":{{"currency":"CNY","zone":"Asia/Shanghai","coins_per_unit":{coins_per_unit}}}}}]}}}}"#
            ))
        };
        taken(&publish("given up", 1, 0, false, 10));
        assert_eq!(refused(publish("a", 1, 1, true, 100)).code(), "entity_fixed", "one version sets one entity");
        taken(&publish("anew", 1, 0, true, 100));
        assert_eq!(refused(publish("b", 2, 0, true, 10)).code(), "entity_fixed");
        assert_eq!(refused(publish("c", 2, 0, false, 10)).code(), "entity_fixed");
        taken(&publish("the same", 2, 0, true, 100));
    });
}

/// A killed `apply` was refused for ever: its parts go on where they stopped, or begin anew and give up the rest.
#[test]
fn a_version_goes_on_or_begins_anew() {
    scenario(|world| {
        let part = |id: &str, part: u32, last: bool, item: &str| {
            world.say(&format!(
                r#"{{"id":"{id}","publish":{{"version":1,"part":{part},"last":{last},"from":"2026-01-01T00:00:00Z",
                    "changes":[{{"item":{{"item":"{item}","price":1,"value":1}}}}]}}}}"#
            ))
        };
        taken(&part("a0", 0, false, "tulip"));
        taken(&part("a1", 1, false, "lily"));
        assert_eq!(refused(part("a3", 3, false, "rose")), Rejection::VersionNotNext { version: 1, part: 2 });
        taken(&part("b0", 0, false, "aster"));
        assert_eq!(refused(part("a2", 2, true, "rose")), Rejection::VersionNotNext { version: 1, part: 1 });
        taken(&part("b1", 1, true, "rose"));
        world.advance_millis(1);
        taken(&top_up(&world, "u1", "P1", 10));
        let gift =
            |item: &str| world.say(&format!(r#"{{"id":"{item}","gift":{{"user":"u1","item":"{item}","to":[]}}}}"#));
        taken(&gift("aster"));
        taken(&gift("rose"));
        assert_eq!(refused(gift("tulip")), Rejection::ItemNotFound, "it was given up");
        assert_eq!(refused(gift("lily")), Rejection::ItemNotFound, "it was given up");
    });
}

#[test]
fn what_happened_cannot_be_ahead_of_the_clock() {
    scenario(|world| {
        let at = |id: &str, time: &str| {
            world.say(&format!(
                r#"{{"id":"{id}","occurred_at":"{time}","grant":{{"user":"u1","coins":1,"reason":"r"}}}}"#
            ))
        };
        taken(&at("a", "2026-01-01T00:00:00.4Z"));
        let Answer::Malformed(malformed) = at("b", "2026-01-01T00:00:01Z") else { panic!("taken") };
        assert_eq!(malformed.path.as_deref(), Some("occurred_at"));
        assert!(malformed.message.contains("ahead of the ledger's"), "{malformed}");
        taken(&at("c", "2011-08-04T19:01:38Z"));
        let times: Vec<_> = world.records().iter().map(|r| r.occurred_at.map(|at| at.to_string())).collect();
        assert_eq!(times, [None, Some("2011-08-04T19:01:38Z".to_owned())]);
    });
}

#[test]
fn a_bonus_without_an_end_burns_after_those_that_lapse() {
    scenario(|world| {
        taken(
            &world.say(r#"{"id":"a","grant":{"user":"u1","coins":1,"expires":"2026-02-01T00:00:00Z","reason":"r"}}"#),
        );
        taken(&world.say(r#"{"id":"b","grant":{"user":"u1","coins":2,"reason":"r"}}"#));
        taken(
            &world.say(r#"{"id":"c","grant":{"user":"u1","coins":3,"expires":"2026-01-15T00:00:00Z","reason":"r"}}"#),
        );
        assert_eq!(lots(&world, "u1"), [3, 1, 2]);
    });
}

#[test]
fn a_transaction_stays_with_its_first_command_after_a_chargeback() {
    scenario(|world| {
        taken(&top_up(&world, "u1", "P1", 100));
        taken(&world.say(r#"{"id":"c","chargeback":{"channel":"apple","transaction":"P1"}}"#));
        let first = "top-P1-u1".parse().unwrap();
        assert_eq!(refused(top_up(&world, "u2", "P1", 100)), Rejection::TransactionClaimed { first });
    });
}

/// Found by the model: the refund restores one lot in two pieces, and only their sum is more than is left of it.
#[test]
fn a_roll_back_counts_a_lot_once_that_was_restored_in_pieces() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 1_000));
        taken(&gift(&world, "g", "u1", 70));
        let step = |id: &str, what: &str, rest: &str| {
            let order = r#""order":{"user":"u1","name":{"command":"g"}},"reason":"r""#;
            world.say(&format!(r#"{{"id":"{id}","{what}":{{{order}{rest}}}}}"#))
        };
        taken(&step("r1", "refund", r#","coins":1"#));
        taken(&step("b1", "roll_back_refund", r#","refund":"r1""#));
        taken(&step("r2", "refund", ""));
        taken(&hold(&world, "h", 950));
        let Answer::Taken(answer) = step("b2", "roll_back_refund", r#","refund":"r2""#) else { panic!("not taken") };
        assert_eq!(answer.shortfall, Some(coins(20)));
        assert_eq!(world.balance("user:u1"), 0);
    });
}

/// A check says what would come of a command, and leaves no trace.
#[test]
fn a_check_decides_and_records_nothing() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "t1", 100));
        let check = |line: &str| world.engine().check(&Caller::cli(), giftledger_tests::world::envelope(line)).unwrap();
        let line = |id: &str, quantity: u64| {
            format!(
                r#"{{"id":"{id}","gift":{{"user":"u1","item":"rose","quantity":{quantity},"to":[{{"streamer":"s1"}}]}}}}"#
            )
        };
        let before = world.records().len();
        let Checked::New(would_be) = check(&line("g1", 60)) else { panic!("it is new") };
        let Checked::New(refused) = check(&line("g2", 101)) else { panic!("it is new") };
        assert_eq!(refused.body, Body::Rejection(Rejection::InsufficientFunds { available: coins(100) }));
        // Nothing was spent by the one before.
        assert!(matches!(check(&line("g3", 60)), Checked::New(record) if record.event().is_some()));
        assert_eq!(world.records().len(), before);

        let order = taken(&gift(&world, "g1", "u1", 60));
        let records = world.records();
        let recorded = records.last().unwrap();
        assert_eq!((recorded.shard, recorded.sequence), (would_be.shard, would_be.sequence));
        assert_eq!((&recorded.body, &recorded.digest), (&would_be.body, &would_be.digest));

        let Checked::Known(known) = check(&line("g1", 60)) else { panic!("it is known") };
        assert_eq!(&*known, recorded);
        assert!(matches!(check(&line("g1", 61)), Checked::Nothing(Answer::Conflict(_))));
        assert!(matches!(check(&line("g4", 60)), Checked::New(record) if record.event().is_none()));
        // What a command names is looked up, the order of a finished gift too, and shown as it would be left.
        let refund = format!(
            r#"{{"id":"r1","refund":{{"order":{{"user":"u1","name":{{"number":"{order}"}}}},"coins":20,"reason":"not_shown"}}}}"#
        );
        let Checked::New(refund) = check(&refund) else { panic!("it is new") };
        assert_eq!(refund.moved.iter().map(|order| order.left).collect::<Vec<_>>(), [coins(40)]);
        assert_eq!((world.records().len(), world.available("u1")), (before + 1, 40));
    });
}
