//! What can be found out about a command without any state: whether it is well formed, its shard,
//! its digest, the fingerprint of its id. Done by the thread that hands it in, so that the decider,
//! of which there is one, need not.

use schemas::{Digest, Envelope, Malformed, Origin, Shard};

use crate::index::{Fingerprint, Fingerprinter};

/// A command, looked at.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// It can be decided.
    Sound(Sound),
    /// What is wrong with it.
    Malformed(Box<Malformed>),
}

/// What a well-formed command is known by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sound {
    pub(crate) shard: Shard,
    pub(crate) digest: Digest,
    /// Of its id within its subject.
    pub(crate) key: Fingerprint,
}

/// Prepares commands for a ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Preparer {
    pub(crate) shards: Shard,
    pub(crate) fingerprinter: Fingerprinter,
}

impl Preparer {
    pub(crate) fn prepare(self, envelope: &Envelope) -> Prepared {
        let Envelope { id, occurred_at, command, .. } = envelope;
        match command.check(Origin::Caller) {
            Ok(subject) => Prepared::Sound(Sound {
                shard: subject.shard(self.shards),
                digest: Digest::of(command, *occurred_at),
                key: self.fingerprinter.of_command(&subject, Origin::Caller, id.as_str()),
            }),
            Err(malformed) => Prepared::Malformed(Box::new(malformed)),
        }
    }
}
