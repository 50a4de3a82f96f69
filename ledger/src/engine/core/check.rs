//! What would come of a command, without recording it.

use std::sync::Arc;

use schemas::{Key, Record};

use super::{Core, Incoming, at_once};
use crate::{
    Result,
    engine::{answer::Answer, bulk::Content, conflict::Conflict, lookup::Asker, prepare::Prepared},
};

/// What would come of a command now. Not looked at: the queue, the disk, its subject's quota of refusals, and lines
/// that wait for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// It is new: this would be recorded, an event or a refusal. Its place and time are those that it would have
    /// at this moment; whoever comes first may change all of it.
    New(Box<Record>),
    /// Its id has a record already, the first that it made: what comes of a top-up, a chargeback or a
    /// reinstatement is said by the one that takes its dispatch.
    Known(Arc<Record>),
    /// Nothing would be recorded: it is a conflict, malformed, or cannot be decided now.
    Nothing(Answer),
}

impl Core {
    /// Decides the one command as if it came now. What it names is read from the disk at once.
    pub(crate) fn check(&mut self, content: &Content) -> Result<Checked> {
        let (caller, envelope, prepared) = (&content.caller, &content.commands[0], &content.prepared[0]);
        self.look_at_clock();
        let sound = match prepared {
            Prepared::Sound(sound) => sound,
            Prepared::Malformed(malformed) => return Ok(Checked::Nothing(Answer::Malformed(malformed.clone()))),
        };
        let subject = envelope.command.subject().expect("it was found well formed");
        let own = Key::Command(subject.clone(), caller.origin().clone(), envelope.id.clone());
        if let Some(record) = at_once(self.lookup.newest(Asker::AtOnce, own))? {
            if record.digest == sound.digest {
                return Ok(Checked::Known(record));
            }
            let conflict = Conflict::of(&record, envelope, sound.digest);
            return Ok(Checked::Nothing(Answer::Conflict(Box::new(conflict))));
        }
        if let Some(why) = self.mistrust {
            return Ok(Checked::Nothing(Answer::Unavailable(why)));
        }
        let occurred_at = match self.timely(envelope) {
            Ok(occurred_at) => occurred_at,
            Err(malformed) => return Ok(Checked::Nothing(Answer::Malformed(Box::new(malformed)))),
        };
        let looked =
            self.lookup.prefetch(Asker::AtOnce, &subject, caller.origin(), envelope.id.as_str(), &envelope.command);
        let prefetched = at_once(looked)?;
        let incoming = Incoming::by_caller(caller, envelope, sound, subject, occurred_at);
        Ok(Checked::New(Box::new(self.record_of(incoming, prefetched.as_deref()))))
    }
}
