//! What becomes of a caller's line: it waits behind an earlier one of its user, or for the finder; it is
//! known already, or new, and then decided; it is answered from its record, or once others follow.

use std::sync::Arc;

use schemas::{Command, Dispatch, Envelope, Event, Key, Malformed, Origin, Record, Subject, Timestamp, UserId};

use super::{Core, Incoming, at_once};
use crate::{
    Result,
    clock::TOLERANCE_MS,
    decide::Prefetched,
    engine::{
        answer::{Answer, Unavailable},
        bulk::{Content, Slot},
        conflict::Conflict,
        lookup::{Asker, Miss},
        prepare::Prepared,
    },
    index::Fingerprint,
    state::dispatch_id,
};

impl Core {
    /// `sealed`: whether a sealed run may know its id.
    pub(super) fn decide_line(&mut self, slot: Slot, content: &Content, sealed: bool) -> Result<()> {
        let (origin, envelope) = (content.caller.origin(), &content.commands[slot.line]);
        let sound = match &content.prepared[slot.line] {
            Prepared::Sound(sound) => sound,
            Prepared::Malformed(malformed) => {
                self.answer(slot, Answer::Malformed(malformed.clone()));
                return Ok(());
            }
        };
        let subject = envelope.command.subject().expect("it was found well formed");
        if self.bulks.has_waits(slot)
            && let Some(user) = self.touched(slot, &subject, content)?
            && self.bulks.park(slot, &user)
        {
            // What it needs may as well be looked up while it waits; it is looked at again in its turn.
            let looked = match self.known(slot, &subject, origin, envelope, sound.key, sealed) {
                Ok(None) => self.prefetch(slot, &subject, origin, envelope).map(drop),
                known => known.map(drop),
            };
            self.lookup.quests.parked(slot);
            return at_once_or_later(looked);
        }
        self.lookup.quests.unparked(slot);
        let known = match self.known(slot, &subject, origin, envelope, sound.key, sealed) {
            Ok(Some(record)) if record.digest != sound.digest => {
                let conflict = Conflict::of(&record, envelope, sound.digest);
                self.answer(slot, Answer::Conflict(Box::new(conflict)));
                return Ok(());
            }
            Ok(Some(record)) => {
                self.bulks.repeats(slot);
                return self.answer_from(slot, &record, envelope.command.touches());
            }
            Ok(None) => Ok(()),
            Err(miss) => Err(miss),
        };
        // What is known was answered by now; the clock matters for what is new.
        let undecided = if known.is_ok() { self.bulks.undecided(slot, self.mistrust) } else { None };
        let occurred_at = match (&known, undecided) {
            (Ok(()), Some(why)) => {
                self.answer(slot, Answer::Unavailable(why));
                return Ok(());
            }
            (Ok(()), None) => match self.timely(envelope) {
                Ok(occurred_at) => occurred_at,
                Err(malformed) => {
                    self.answer(slot, Answer::Malformed(Box::new(malformed)));
                    return Ok(());
                }
            },
            (Err(_), _) => None,
        };
        let prefetched = match known.and_then(|()| self.prefetch(slot, &subject, origin, envelope)) {
            Ok(prefetched) => prefetched,
            Err(Miss::Unclear) => {
                // It goes on when the finder has come back; later lines of its user wait for it.
                if let Some(user) = envelope.command.touches() {
                    self.bulks.begin_wait(slot, user, self.now);
                }
                return Ok(());
            }
            Err(Miss::Failed(error)) => return Err(error),
        };
        let incoming = Incoming::by_caller(&content.caller, envelope, sound, subject, occurred_at);
        match self.decided(incoming, prefetched.as_deref()) {
            Some(record) => {
                self.answer_from(slot, &record, envelope.command.touches())?;
                self.lookup.push(&record, sound.key);
            }
            None => self.answer(slot, Answer::Unavailable(Unavailable::OverQuota)),
        }
        Ok(())
    }

    /// The record of a line's own id, if it came before.
    fn known(
        &mut self,
        slot: Slot,
        subject: &Subject,
        origin: &Origin,
        envelope: &Envelope,
        key: Fingerprint,
        sealed: bool,
    ) -> Result<Option<Arc<Record>>, Miss> {
        let own = || Key::Command(subject.clone(), origin.clone(), envelope.id.clone());
        self.lookup.newest_of(self.asker(slot, &envelope.command), key, sealed, own)
    }

    /// What a line's command names.
    fn prefetch(
        &mut self,
        slot: Slot,
        subject: &Subject,
        origin: &Origin,
        envelope: &Envelope,
    ) -> Result<Option<Box<Prefetched>>, Miss> {
        let Envelope { id, command, .. } = envelope;
        self.lookup.prefetch(self.asker(slot, command), subject, origin, id.as_str(), command)
    }

    /// When it happened, if its record can say so; absent where that is now.
    pub(super) fn timely(&self, envelope: &Envelope) -> Result<Option<Timestamp>, Malformed> {
        let Some(at) = envelope.occurred_at else { return Ok(None) };
        let now = self.next_time();
        if at > now.plus_millis(TOLERANCE_MS) {
            let allowed = format!("a time at most {TOLERANCE_MS} ms ahead of the ledger's clock, {now}");
            return Err(Malformed::value("occurred_at", at, allowed));
        }
        Ok((at < now).then_some(at))
    }

    /// The user whose later lines must wait for this one. Whom a chargeback or its reinstatement touches only the
    /// log says, or an earlier top-up that waits itself.
    fn touched(&mut self, slot: Slot, subject: &Subject, content: &Content) -> Result<Option<UserId>> {
        let (origin, command) = (content.caller.origin(), &content.commands[slot.line].command);
        if let Some(user) = command.touches() {
            return Ok(Some(user.clone()));
        }
        let found = at_once(self.lookup.prefetch(Asker::AtOnce, subject, origin, "", command))?;
        let user = found.and_then(|found| found.transaction).and_then(|claim| match claim.event {
            Event::TopUpReversed(reversed) => Some(reversed.user),
            event => event.claimed_for().map(|(user, _)| user.clone()),
        });
        if user.is_some() {
            return Ok(user);
        }
        let Subject::Transaction { channel, transaction } = subject else { return Ok(None) };
        let claim = |line: usize| match &content.commands[line].command {
            Command::TopUp(paid)
                if line < slot.line && (&paid.channel, &paid.transaction) == (channel, transaction) =>
            {
                Some((line, &paid.user))
            }
            _ => None,
        };
        let first = self.bulks.waiting(slot.submission).filter_map(claim).min_by_key(|(line, _)| *line);
        Ok(first.map(|(_, user)| user.clone()))
    }

    /// A chargeback or reinstatement in an ordered bulk is decided where it stands: until then nobody knows whom
    /// it touches, so no later line could tell whether to wait for it.
    fn asker(&self, slot: Slot, command: &Command) -> Asker {
        match command {
            Command::Chargeback(_) | Command::Reinstate(_) if self.bulks.is_ordered(slot) => Asker::AtOnce,
            _ => Asker::Line(slot),
        }
    }

    /// Answers from the command's first record, or waits for those that follow from it.
    fn answer_from(&mut self, slot: Slot, record: &Record, touches: Option<&UserId>) -> Result<()> {
        let claimed = record.event().and_then(Event::claimed_for);
        let dispatches: &[Dispatch] = match (record.event(), &claimed) {
            (Some(Event::ReferencePublished(published)), _) => &published.dispatches,
            (_, Some((_, dispatch))) => std::slice::from_ref(dispatch),
            _ => {
                self.answer(slot, Answer::of(record));
                return Ok(());
            }
        };
        let taken = |d: &Dispatch| self.states[usize::from(d.target)].taken_from(record.shard) >= d.number;
        let untaken: Vec<Dispatch> = dispatches.iter().filter(|d| !taken(d)).copied().collect();
        if untaken.is_empty() {
            return self.answer_from_last(slot, record, touches);
        }
        self.flows.wait(record, &untaken, slot);
        if let Some(user) = claimed.map(|(user, _)| user).or(touches) {
            self.bulks.begin_wait(slot, user, self.now);
        }
        Ok(())
    }

    /// Answers a claim from the record that took its dispatch, and anything else from its own.
    fn answer_from_last(&mut self, slot: Slot, record: &Record, touches: Option<&UserId>) -> Result<()> {
        let Some((user, dispatch)) = record.event().and_then(Event::claimed_for) else {
            self.answer(slot, Answer::of(record));
            return Ok(());
        };
        let id = dispatch_id(record.shard, dispatch.number);
        let taking = Key::Command(Subject::User(user.clone()), Origin::Dispatch, id);
        match self.lookup.newest(Asker::Line(slot), taking) {
            Ok(Some(last)) => self.answer(slot, Answer::of(&last)),
            Ok(None) => panic!("a dispatch that the state has taken has a record"),
            Err(Miss::Unclear) => {
                if let Some(user) = touches {
                    self.bulks.begin_wait(slot, user, self.now);
                }
            }
            Err(Miss::Failed(error)) => return Err(error),
        }
        Ok(())
    }
}

/// What is looked up later is no failure.
fn at_once_or_later(looked: Result<(), Miss>) -> Result<()> {
    match looked {
        Err(Miss::Failed(error)) => Err(error),
        Ok(()) | Err(Miss::Unclear) => Ok(()),
    }
}
