//! A ledger in which everything has happened that a command can name: what fuzzing begins with.

use std::sync::OnceLock;

use ledger::{
    Answer,
    log::{
        Disk,
        faulty::{Content, SimDisk},
    },
};
use schemas::Record;

use crate::world::World;

/// The shards of that ledger.
pub(super) const SHARDS: u16 = 3;

/// One command of each kind that a caller may submit, and what the others name.
pub(super) const LINES: &[&str] = &[
    r#"{"id":"v1","publish":{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z","changes":[{"entity":{"currency":"CNY","zone":"Asia/Shanghai","coins_per_unit":100}},{"item":{"item":"rose","price":10,"value":9}},{"streamer":{"streamer":null,"share":"0.45","from":"2026-01-01"}},{"guild":{"guild":"g1","share":"0.1","from":"2026-01-01"}},{"membership":{"streamer":"s1","guild":"g1","from":"2026-01-01"}},{"withdraw_item":"tulip"}]}}"#,
    r#"{"id":"t1","actor":"pay","client":{"device":"ios","package":"app","version":"1.2"},"top_up":{"user":"u1","channel":"apple","transaction":"T/1:a","coins":1000,"paid":{"currency":"CNY","amount":"10.00"}}}"#,
    r#"{"id":"b1","grant":{"user":"u1","coins":50,"expires":"2026-01-01T00:10:00Z","reason":"newcomer"}}"#,
    r#"{"id":"g1","gift":{"user":"u1","item":"rose","quantity":6,"room":"r1","activity":"spring","combo":{"id":"c1","count":3},"to":[{"streamer":"s1","weight":6},{"streamer":"s2","weight":2}]}}"#,
    r#"{"id":"r1","refund":{"order":{"user":"u1","name":{"command":"g1"}},"coins":20,"reason":"offline"}}"#,
    r#"{"id":"r2","refund":{"order":{"user":"u1","name":{"command":"g1"}},"coins":7,"reason":"offline"}}"#,
    r#"{"id":"rb1","roll_back_refund":{"order":{"user":"u1","name":{"command":"g1"}},"refund":"r1","reason":"mistake"}}"#,
    r#"{"id":"h1","hold":{"user":"u1","provider":"arcade","coins":100,"deadline":"2026-01-02T00:00:00Z"}}"#,
    r#"{"id":"s1","send":{"order":{"user":"u1","name":{"command":"h1"}}}}"#,
    r#"{"id":"q1","query":{"order":{"user":"u1","name":{"command":"h1"}}}}"#,
    r#"{"id":"n1","unresolved":{"order":{"user":"u1","name":{"command":"h1"}},"reason":"timeout"}}"#,
    r#"{"id":"h2","hold":{"user":"u1","provider":"arcade","coins":100,"deadline":"2026-01-02T00:00:00Z"}}"#,
    r#"{"id":"l1","release":{"order":{"user":"u1","name":{"command":"h2"}},"reason":"provider_rejected"}}"#,
    r#"{"id":"h3","hold":{"user":"u1","provider":"arcade","coins":30,"deadline":"2026-01-02T00:00:00Z"}}"#,
    r#"{"id":"t2","top_up":{"user":"u2","channel":"apple","transaction":"T/2","coins":40,"paid":{"currency":"CNY","amount":"0.40"}}}"#,
    r#"{"id":"g2","gift":{"user":"u2","item":"rose","to":[],"quantity":3}}"#,
    r#"{"id":"k1","chargeback":{"channel":"apple","transaction":"T/2"}}"#,
    r#"{"id":"x1","group":[{"gift":{"user":"u1","item":"rose","to":[]}},{"grant":{"user":"u1","coins":1,"reason":"r"}},{"hold":{"user":"u1","provider":"arcade","coins":5,"deadline":"2026-01-02T00:00:00Z"}}]}"#,
];

/// The files of that ledger, closed in order.
pub(super) fn content() -> Content {
    static CONTENT: OnceLock<Content> = OnceLock::new();
    CONTENT.get_or_init(|| told().0).clone()
}

/// Its records, in the order of the log.
pub(super) fn records() -> Vec<Record> {
    static RECORDS: OnceLock<Vec<Record>> = OnceLock::new();
    RECORDS.get_or_init(|| told().1).clone()
}

fn told() -> (Content, Vec<Record>) {
    let disk = SimDisk::new(0);
    let mut world = World::on(std::sync::Arc::new(disk.clone()), options());
    for line in LINES {
        let answer = world.say(line);
        assert!(matches!(answer, Answer::Taken(_)), "{line}: {answer:?}");
        world.advance_millis(1);
    }
    let records = world.records();
    world.reopen();
    drop(world);
    disk.kill();
    assert!(!disk.is_locked().expect("a sound disk"));
    (disk.snapshot(), records)
}

/// Options under which it begins.
pub(super) fn options() -> ledger::log::Options {
    ledger::log::Options { shards: Some(SHARDS), ..World::small() }
}
