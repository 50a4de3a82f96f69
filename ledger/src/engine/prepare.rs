//! What can be found out about a command without any state: whether it is well formed, its shard,
//! its digest, the fingerprint of its id. Done by the thread that hands it in, so that the decider,
//! of which there is one, need not.

use schemas::{Digest, Envelope, Malformed, OriginKind, Shard};

use super::{bulk::Content, caller::Caller};
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
    /// Of its id within its subject and source.
    pub(crate) key: Fingerprint,
}

/// Prepares commands for a ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Preparer {
    pub(crate) shards: Shard,
    pub(crate) fingerprinter: Fingerprinter,
}

impl Preparer {
    /// Commands of a caller, each looked at.
    pub(crate) fn content(self, caller: &Caller, mut commands: Vec<Envelope>) -> Content {
        let prepared = commands.iter_mut().map(|envelope| self.prepare(caller, envelope)).collect();
        Content { caller: caller.clone(), commands, prepared }
    }

    fn prepare(self, caller: &Caller, envelope: &mut Envelope) -> Prepared {
        let Envelope { id, occurred_at, command, .. } = envelope;
        command.leave_out_source(caller.source());
        match command.check(OriginKind::Caller) {
            Ok(subject) => Prepared::Sound(Sound {
                shard: subject.shard(self.shards),
                digest: Digest::of(command, *occurred_at),
                key: self.fingerprinter.of_command(&subject, caller.origin(), id.as_str()),
            }),
            Err(malformed) => Prepared::Malformed(Box::new(malformed)),
        }
    }
}
