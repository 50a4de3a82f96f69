//! An id is one within its subject and its source: the service that asks.

use ledger::{Answer, Caller, Checked, Lines};
use schemas::{Body, Rejection, Status};

use super::{World, coins, publish, refused, scenario, taken, top_up};

fn say(world: &World, source: &str, line: &str) -> Answer {
    let caller = Caller::of(source.parse().unwrap());
    let envelope = giftledger_tests::world::envelope(line);
    world.engine().execute(&caller, vec![envelope], Lines::InOrder).remove(0)
}

fn gift(id: &str, quantity: u64) -> String {
    format!(r#"{{"id":"{id}","gift":{{"user":"u1","item":"rose","quantity":{quantity},"to":[{{"streamer":"s1"}}]}}}}"#)
}

fn refund(id: &str, name: &str, amount: u64) -> String {
    let order = format!(r#"{{"user":"u1","name":{name}}}"#);
    format!(r#"{{"id":"{id}","refund":{{"order":{order},"coins":{amount},"reason":"r"}}}}"#)
}

fn roll_back(id: &str, name: &str, of: &str) -> String {
    let order = format!(r#"{{"user":"u1","name":{name}}}"#);
    format!(r#"{{"id":"{id}","roll_back_refund":{{"order":{order},"refund":{of},"reason":"r"}}}}"#)
}

#[test]
fn one_id_of_two_services_is_two_commands() {
    scenario(|mut world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 1_000));
        let gifts = say(&world, "gifts", &gift("1001", 10));
        let vip = say(&world, "vip", &gift("1001", 20));
        assert_ne!(taken(&gifts), taken(&vip));
        world.reopen();
        // Each service gets its own answer again, and its own conflict.
        assert_eq!(say(&world, "gifts", &gift("1001", 10)), gifts);
        assert_eq!(say(&world, "vip", &gift("1001", 20)), vip);
        assert!(matches!(say(&world, "vip", &gift("1001", 10)), Answer::Conflict(_)));
        assert_eq!(world.available("u1"), 970);
        let sources: Vec<String> = world
            .records()
            .iter()
            .filter(|record| record.id.as_str() == "1001")
            .map(|record| record.origin.source().unwrap().to_string())
            .collect();
        assert_eq!(sources, ["gifts", "vip"]);
    });
}

#[test]
fn an_order_is_the_callers_own_unless_another_service_is_named() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 1_000));
        taken(&say(&world, "gifts", &gift("g", 10)));
        taken(&say(&world, "vip", &gift("g", 20)));
        taken(&say(&world, "vip", &refund("r1", r#"{"command":"g"}"#, 1)));
        taken(&say(&world, "vip", &refund("r2", r#"{"command":"g","source":"gifts"}"#, 2)));
        assert_eq!(refused(say(&world, "support", &refund("r3", r#"{"command":"g"}"#, 1))), Rejection::OrderNotFound);
        taken(&say(&world, "support", &refund("r4", r#"{"command":"g","source":"vip"}"#, 4)));
        let left: Vec<u64> = world.records().iter().flat_map(|r| r.moved.iter()).map(|o| o.left.get()).collect();
        assert_eq!(left, [19, 8, 15]);
    });
}

/// Saying one's own name means what saying none means.
#[test]
fn the_own_source_said_or_not_is_the_same_content() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 1_000));
        taken(&say(&world, "vip", &gift("g", 20)));
        let first = say(&world, "vip", &refund("r", r#"{"command":"g"}"#, 1));
        taken(&first);
        assert_eq!(say(&world, "vip", &refund("r", r#"{"command":"g","source":"vip"}"#, 1)), first);
        let other = refund("r", r#"{"command":"g","source":"gifts"}"#, 1);
        assert!(matches!(say(&world, "vip", &other), Answer::Conflict(_)));
    });
}

#[test]
fn refunds_of_two_services_under_one_id_are_rolled_back_apart() {
    scenario(|mut world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 1_000));
        taken(&say(&world, "gifts", &gift("g", 100)));
        let named = r#"{"command":"g","source":"gifts"}"#;
        taken(&say(&world, "a", &refund("r", named, 10)));
        taken(&say(&world, "b", &refund("r", named, 30)));
        taken(&say(&world, "a", &roll_back("back", named, r#""r""#)));
        assert_eq!(world.available("u1"), 930);
        let again = say(&world, "b", &roll_back("back-a", named, r#"{"command":"r","source":"a"}"#));
        assert!(matches!(refused(again), Rejection::AlreadyRolledBack { .. }));
        taken(&say(&world, "a", &roll_back("back-b", named, r#"{"command":"r","source":"b"}"#)));
        assert_eq!(world.available("u1"), 900);
        world.reopen();
        let again = say(&world, "b", &roll_back("back", named, r#""r""#));
        assert!(matches!(refused(again), Rejection::AlreadyRolledBack { .. }));
    });
}

/// In a group `{"command": <its own id>}` is the group; of another service it is that one's command.
#[test]
fn a_group_tells_its_own_id_from_another_services() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 1_000));
        taken(&say(&world, "gifts", &gift("x", 100)));
        let own = r#"{"user":"u1","name":{"command":"x"}}"#;
        let others = r#"{"user":"u1","name":{"command":"x","source":"gifts"}}"#;
        let line = format!(
            r#"{{"id":"x","group":[
                {{"gift":{{"user":"u1","item":"rose","quantity":7,"to":[]}}}},
                {{"refund":{{"order":{own},"coins":2,"reason":"r"}}}},
                {{"refund":{{"order":{others},"coins":30,"reason":"r"}}}},
                {{"roll_back_refund":{{"order":{others},"refund":{{"command":"x","part":2}},"reason":"r"}}}}]}}"#
        );
        taken(&say(&world, "vip", &line));
        let records = world.records();
        let group = records.last().unwrap();
        let moved: Vec<(u64, Status)> = group.moved.iter().map(|order| (order.left.get(), order.status)).collect();
        assert_eq!(moved, [(100, Status::Fulfilled), (5, Status::Fulfilled)]);
        assert_eq!(world.available("u1"), 895);
    });
}

#[test]
fn a_tokens_principal_is_who_acted_and_the_command_says_for_whom() {
    scenario(|world| {
        publish(&world);
        let principal = Caller::of("pay".parse().unwrap()).acting_as("token-owner".parse().unwrap());
        let line = |id: &str| {
            let paid = r#"{"currency":"CNY","amount":"1.00"}"#;
            let top_up = format!(r#"{{"user":"u1","channel":"apple","transaction":"{id}","coins":100,"paid":{paid}}}"#);
            giftledger_tests::world::envelope(&format!(r#"{{"id":"{id}","actor":"clerk","top_up":{top_up}}}"#))
        };
        taken(&world.engine().execute(&principal, vec![line("a")], Lines::InOrder).remove(0));
        taken(&world.engine().execute(&Caller::of("pay".parse().unwrap()), vec![line("b")], Lines::InOrder).remove(0));
        let of = |id: &str| {
            let records = world.records();
            let with = |record: &&schemas::Record| match record.event() {
                Some(schemas::Event::TopUpCredited(credited)) => credited.transaction.as_str() == id,
                Some(schemas::Event::TopUpClaimed(_)) => record.id.as_str() == id,
                _ => false,
            };
            let name = |actor: &Option<schemas::ActorId>| actor.as_ref().map(ToString::to_string).unwrap_or_default();
            let told = records.iter().filter(with).map(|r| (name(&r.actor), name(&r.on_behalf_of)));
            told.collect::<Vec<_>>()
        };
        let twice = |actor: &str, whom: &str| vec![(actor.to_owned(), whom.to_owned()); 2];
        assert_eq!(of("a"), twice("token-owner", "clerk"));
        assert_eq!(of("b"), twice("clerk", ""));
        // Whose token it is does not make it another command.
        let other = Caller::of("pay".parse().unwrap()).acting_as("successor".parse().unwrap());
        taken(&world.engine().execute(&other, vec![line("a")], Lines::InOrder).remove(0));
    });
}

#[test]
fn a_check_asks_as_the_caller() {
    scenario(|world| {
        publish(&world);
        taken(&top_up(&world, "u1", "P1", 1_000));
        taken(&say(&world, "gifts", &gift("g", 10)));
        let check = |source: &str, line: &str| {
            let caller = Caller::of(source.parse().unwrap());
            world.engine().check(&caller, giftledger_tests::world::envelope(line)).unwrap()
        };
        assert!(matches!(check("gifts", &gift("g", 10)), Checked::Known(_)));
        let Checked::New(record) = check("vip", &gift("g", 10)) else { panic!("it is the first of that service") };
        assert_eq!(record.origin.source().map(schemas::Source::as_str), Some("vip"));
        let Checked::New(record) = check("vip", &refund("r", r#"{"command":"g"}"#, 1)) else { panic!("it is new") };
        assert_eq!(record.body, Body::Rejection(Rejection::OrderNotFound));
        let named = refund("r", r#"{"command":"g","source":"gifts"}"#, 4);
        let Checked::New(record) = check("vip", &named) else { panic!("it is new") };
        assert_eq!(record.moved[0].left, coins(6));
    });
}
