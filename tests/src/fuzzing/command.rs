//! The command parser, and what becomes of a command that it reads.

use std::{collections::BTreeMap, sync::Arc};

use ledger::{Answer, log::faulty::SimDisk, postings};
use schemas::{Digest, Envelope, OriginKind};

use super::story;
use crate::world::World;

/// Any bytes as a command line. What cannot be read is explained in few words. What is read is written and read back equal, with the same digest. A
/// ledger answers it; a second time the same; its records balance, and can be read and folded again.
///
/// # Panics
/// If one of these does not hold.
pub fn command(bytes: &[u8]) {
    let envelope = match Envelope::read(bytes) {
        Ok(envelope) => envelope,
        Err(unread) => {
            assert!(unread.malformed.message.len() < 1_000, "{unread:?}");
            return;
        }
    };
    let json = serde_json::to_string(&envelope).expect("every command has a JSON form");
    let read: Envelope = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
    assert_eq!(read, envelope, "{json}");
    let digest = Digest::of(&envelope.command, envelope.occurred_at);
    assert_eq!(Digest::of(&read.command, read.occurred_at), digest, "{json}");
    if envelope.command.check(OriginKind::Caller).is_ok() {
        submitted(&envelope);
    }
}

fn submitted(envelope: &Envelope) {
    let disk = SimDisk::with(0, &story::content());
    let mut world = World::on(Arc::new(disk), story::options());
    let before = world.records().len();
    let answer = world.execute(vec![envelope.clone()]).remove(0);
    assert!(!matches!(answer, Answer::Unavailable(_)), "{envelope:?}: {answer:?}");
    assert_eq!(world.execute(vec![envelope.clone()]).remove(0), answer, "{envelope:?}");
    for record in world.records().split_off(before) {
        let mut sums: BTreeMap<_, i128> = BTreeMap::new();
        for posting in postings(&record) {
            *sums.entry(posting.asset).or_default() += i128::from(posting.amount);
        }
        assert!(sums.values().all(|&sum| sum == 0), "{record:?}");
    }
    let states = world.states();
    world.crash();
    assert_eq!(world.states(), states, "{envelope:?}");
    assert_eq!(world.execute(vec![envelope.clone()]).remove(0), answer, "{envelope:?}");
}
