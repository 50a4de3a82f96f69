//! No well-formed command is too large to be answered, and the engine goes on behind it: a record that would
//! be too large is a refusal. See also `any_group_is_answered` in `properties.rs`.

use std::{fmt::Write, iter::repeat_n};

use giftledger_tests::{
    scenario::{gift, lots, refused, step_of, taken, top_up},
    world::World,
};
use schemas::{MAX_RECORD_BYTES, Rejection, encoded_len};

fn publish(world: &World) {
    taken(&world.say(
        r#"{"id":"v1","publish":{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z","changes":[
            {"item":{"item":"rose","price":1,"value":1}},{"item":{"item":"box","price":100,"value":100}}]}}"#,
    ));
    world.advance_millis(1);
}

/// A group of the same refund of each of these gifts.
fn refunds(id: &str, gifts: impl Iterator<Item = usize>, rest: &str) -> String {
    let members: Vec<String> =
        gifts.map(|n| format!("{{{}}}", step_of("refund", format!(r#"{{"command":"g{n}"}}"#), rest))).collect();
    format!(r#"{{"id":"{id}","group":[{}]}}"#, members.join(","))
}

fn largest_record(world: &World) -> usize {
    world.records().iter().map(encoded_len).max().unwrap_or(0)
}

/// 64 orders, each with 64 recipients of long names: the writer stopped at `a record of 551532 bytes`.
#[test]
fn a_group_of_refunds_of_gifts_to_many_is_answered() {
    let world = World::with_usual_frames(1);
    publish(&world);
    taken(&top_up(&world, "u1", "P1", 64 * 100));
    let mut to = String::new();
    for n in 0..64 {
        write!(to, r#"{}{{"streamer":"{n:0>64}"}}"#, if n > 0 { "," } else { "" }).expect("a text takes more");
    }
    for n in 0..64 {
        taken(&gift(&world, &format!("g{n}"), "u1", "box", 1, &format!("[{to}]")));
    }
    let half = r#""coins":50,"reason":"sorry""#;
    let answer = refused(world.say(&refunds("all", 0..64, half)));
    assert!(matches!(answer, Rejection::TooLarge { .. }), "{answer:?}");
    assert_eq!(lots(&world, "u1"), [0; 0], "nothing of it has happened");
    taken(&world.say(&refunds("some", 0..32, half)));
    taken(&world.say(&refunds("others", 32..64, half)));
    assert_eq!(lots(&world, "u1"), [3_200]);
    assert!(largest_record(&world) <= MAX_RECORD_BYTES);
}

/// Twelve gifts of 4,000 lots of one coin each; all of them lapse, and come back in one record.
#[test]
fn a_group_of_refunds_of_gifts_from_many_lots_is_answered() {
    let world = World::with_usual_frames(1);
    publish(&world);
    let grant = r#"{"grant":{"user":"u1","coins":1,"reason":"goodwill","expires":"2026-01-01T01:00:00Z"}}"#;
    for n in 0..12 {
        for part in 0..63 {
            let members = if part < 62 { 64 } else { 4_000 - 62 * 64 };
            let grants: Vec<&str> = repeat_n(grant, members).collect();
            taken(&world.say(&format!(r#"{{"id":"b{n}-{part}","group":[{}]}}"#, grants.join(","))));
        }
        taken(&gift(&world, &format!("g{n}"), "u1", "rose", 4_000, r#"[{"streamer":"s1"}]"#));
    }
    world.advance_millis(3_600_000);
    let answer = refused(world.say(&refunds("all", 0..12, r#""reason":"sorry""#)));
    assert!(matches!(answer, Rejection::TooLarge { .. }), "{answer:?}");
    for n in 0..3 {
        taken(&world.say(&refunds(&format!("some{n}"), n * 4..n * 4 + 4, r#""reason":"sorry""#)));
    }
    assert_eq!((lots(&world, "u1"), world.balance("platform:expired")), (vec![], 48_000));
    assert!(largest_record(&world) <= MAX_RECORD_BYTES);
}
