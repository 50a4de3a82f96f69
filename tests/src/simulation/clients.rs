//! Clients: each asks for its own commands, asks again where it got no outcome, repeats old ones, and
//! sometimes does not wait for its answer. Each belongs to a service; now and then one uses an id of another's.

use ledger::{Answer, Lines, Steps};
use schemas::{Command, Envelope, OriginKind, Source, Timestamp};
use tokio::sync::oneshot::{Receiver, error::TryRecvError};

use super::{
    auditor::{Auditor, LineId},
    author::Author,
    dice::{Concern, Dice},
    greed::Greed,
    services::{Identity, Services, in_full},
};
use crate::play::Differs;

/// How many submissions a client has under way at most.
const AT_ONCE: usize = 3;
/// How often in a thousand new requests an id of another service is used.
const COPIED: u32 = 90;
/// So many of the newest commands are under way for the most part.
const NEW: usize = 8;

/// All clients of a schedule.
#[derive(Debug)]
pub struct Clients {
    dice: Dice,
    author: Author,
    services: Services,
    number: usize,
    /// Everything that was ever asked for.
    commands: Vec<Asked>,
    waiting: Vec<Waiting>,
    reads: Vec<Receiver<Vec<u64>>>,
    opened: bool,
    greed: Option<Greed>,
    /// Whether somebody reads what they say.
    traced: bool,
}

#[derive(Debug)]
struct Asked {
    client: usize,
    /// Whose command it is, whoever asks for it.
    source: Source,
    envelope: Envelope,
    /// Whether it was asked for already.
    before: bool,
    /// Its last answer, where that is an outcome.
    ended: Option<Ended>,
}

/// How a command has ended so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    WithRecord,
    /// Malformed: which some are no more when their time has come.
    Malformed,
}

/// What is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Everything that has no outcome.
    Unended,
    /// Everything that was malformed.
    Malformed,
    /// Everything there ever was.
    All,
}

#[derive(Debug)]
struct Waiting {
    client: usize,
    commands: Vec<usize>,
    lines: Vec<LineId>,
    answers: Receiver<Vec<Answer>>,
}

impl Clients {
    /// Of a schedule.
    pub fn new(seed: u64, services: Services, clients: usize, greed: Option<Greed>, traced: bool) -> Self {
        Self {
            dice: Dice::of(seed, Concern::Clients),
            author: Author::new(seed),
            services,
            number: clients,
            commands: Vec::new(),
            waiting: Vec::new(),
            reads: Vec::new(),
            opened: false,
            greed,
            traced,
        }
    }

    /// The lines whose answers somebody waits for.
    pub fn unanswered(&self) -> impl Iterator<Item = &LineId> {
        self.waiting.iter().flat_map(|waiting| &waiting.lines)
    }

    /// How long they have to wait, in milliseconds, before they ask again for what had no outcome.
    pub fn patience(&self) -> Option<i64> {
        self.greed.is_some().then_some(Greed::PATIENCE_MS)
    }

    /// How many commands there were.
    pub fn count(&self) -> usize {
        self.commands.len()
    }

    /// One client does something. Says what.
    ///
    /// # Errors
    /// What must not be.
    pub fn act(&mut self, steps: &mut Steps, auditor: &mut Auditor, now: Timestamp) -> Result<String, Differs> {
        let client = self.dice.below(self.number);
        if !self.opened {
            self.opened = true;
            let opening = self.author.opening(now);
            let commands = opening.into_iter().map(|envelope| self.note(0, envelope)).collect();
            return self.ask(steps, auditor, 0, commands, Lines::InOrder, now);
        }
        let greed = self.greed.as_mut().map_or(0, Greed::asks);
        if greed > 0 {
            let first = self.commands.len();
            let commands = (first..first + greed)
                .map(|nth| {
                    let envelope = self.author.in_vain(nth);
                    self.note(0, envelope)
                })
                .collect();
            return self.ask(steps, auditor, 0, commands, Lines::Independent, now);
        }
        let under_way = self.waiting.iter().filter(|waiting| waiting.client == client).count();
        let lines = if self.dice.happens(650) { Lines::InOrder } else { Lines::Independent };
        let unended: Vec<usize> = (0..self.commands.len())
            .filter(|command| self.commands[*command].ended.is_none() && self.commands[*command].client == client)
            .collect();
        match self.dice.below(100) {
            0..6 => {
                // Reads are never behind what was durable when they were asked.
                self.reads.push(steps.read(|states| states.iter().map(ledger::State::sequence).collect()));
                Ok(format!("client {client} reads"))
            }
            6..11 => {
                let mine = self.waiting.iter().position(|waiting| waiting.client == client);
                let Some(mine) = mine else { return Ok("nobody gives up".to_owned()) };
                self.waiting.remove(mine);
                auditor.coverage.meet("clients", "do not wait for an answer");
                Ok(format!("client {client} does not wait"))
            }
            11..35 if !unended.is_empty() => {
                let count = self.dice.below(4) + 1;
                let again: Vec<usize> = (0..count).map(|_| *self.dice.one_of(&unended)).collect();
                auditor.coverage.meet("clients", "ask again");
                self.ask(steps, auditor, client, again, lines, now)
            }
            35..48 => {
                let count = self.dice.below(3) + 1;
                let all: Vec<usize> = (0..self.commands.len()).collect();
                let again = (0..count).map(|_| *self.dice.one_of(&all)).collect();
                auditor.coverage.meet("clients", "repeat anything");
                self.ask(steps, auditor, client, again, lines, now)
            }
            _ if under_way >= AT_ONCE => Ok(format!("client {client} waits")),
            _ => {
                let count = self.dice.weighed(&[(5, 1), (3, 2), (3, 4), (2, 12)]);
                let mut commands: Vec<usize> = (0..count).map(|_| self.write(client, auditor, now)).collect();
                commands.extend(self.copy(client, now));
                self.ask(steps, auditor, client, commands, lines, now)
            }
        }
    }

    fn write(&mut self, client: usize, auditor: &Auditor, now: Timestamp) -> usize {
        let source = self.services.of(client).clone();
        let mut envelope = self.author.command((client, &source), self.commands.len(), &auditor.model, now);
        self.services.word(&mut envelope, &source);
        self.note(client, envelope)
    }

    /// Sometimes a client asks under an id of another service, for the same or for something else; sometimes
    /// that one asks again at the same time.
    fn copy(&mut self, client: usize, now: Timestamp) -> Vec<usize> {
        if !self.services.happens(COPIED) {
            return Vec::new();
        }
        let Some(copied) = self.copied() else { return Vec::new() };
        let Asked { source, envelope, .. } = &self.commands[copied];
        let (id, owner) = (envelope.id.clone(), source.clone());
        let Some(source) = self.services.other(&owner) else { return Vec::new() };
        let content = if self.services.happens(350) { self.instead_of(copied) } else { copied };
        let Asked { source: author, envelope, .. } = &self.commands[content];
        let (author, mut envelope) = (author.clone(), Envelope { id, ..envelope.clone() });
        if self.services.happens(700) {
            in_full(&mut envelope.command, &author);
        }
        if content == copied && self.services.happens(150) {
            envelope.occurred_at = Some(now.plus_millis(-1)); // that is other content too
        }
        self.commands.push(Asked { client, source, envelope, before: false, ended: None });
        let copy = self.commands.len() - 1;
        if self.services.happens(400) { vec![copied, copy] } else { vec![copy] }
    }

    /// Whose id is used: often a refund's or a group's, of which most can go wrong; mostly a new one's.
    fn copied(&mut self) -> Option<usize> {
        let of_many = self.services.happens(450);
        let is_one =
            |asked: &Asked| !of_many || matches!(asked.envelope.command, Command::Refund(_) | Command::Group(_));
        let some: Vec<usize> = (0..self.commands.len()).filter(|nth| is_one(&self.commands[*nth])).collect();
        let first = if self.services.happens(600) { some.len().saturating_sub(NEW) } else { 0 };
        (!some.is_empty()).then(|| some[first + self.services.below(some.len() - first)])
    }

    /// Another command of the same subject, if there is one.
    fn instead_of(&mut self, command: usize) -> usize {
        let subject = |command: usize| self.commands[command].envelope.command.check(OriginKind::Caller).ok();
        let own = subject(command);
        let others: Vec<usize> =
            (0..self.commands.len()).filter(|other| *other != command && subject(*other) == own).collect();
        if others.is_empty() { command } else { others[self.services.below(others.len())] }
    }

    fn note(&mut self, client: usize, envelope: Envelope) -> usize {
        let source = self.services.of(client).clone();
        self.commands.push(Asked { client, source, envelope, before: false, ended: None });
        self.commands.len() - 1
    }

    fn ask(
        &mut self,
        steps: &mut Steps,
        auditor: &mut Auditor,
        client: usize,
        commands: Vec<usize>,
        lines: Lines,
        now: Timestamp,
    ) -> Result<String, Differs> {
        let mut by_source: Vec<(Source, Vec<usize>)> = Vec::new();
        for command in commands {
            let source = &self.commands[command].source;
            match by_source.iter_mut().find(|(seen, _)| seen == source) {
                Some((_, some)) => some.push(command),
                None => by_source.push((source.clone(), vec![command])),
            }
        }
        let mut said = Vec::new();
        for (source, commands) in by_source {
            let identity = self.services.identity(client, &source);
            said.push(self.ask_as(&identity, steps, auditor, client, commands, lines, now)?);
        }
        Ok(said.join("; "))
    }

    /// Asks for commands of one service.
    #[expect(clippy::too_many_arguments, reason = "who asks whom for what, how and when")]
    fn ask_as(
        &mut self,
        identity: &Identity,
        steps: &mut Steps,
        auditor: &mut Auditor,
        client: usize,
        commands: Vec<usize>,
        lines: Lines,
        now: Timestamp,
    ) -> Result<String, Differs> {
        let envelopes: Vec<Envelope> = commands.iter().map(|command| self.said(*command)).collect();
        let said = if self.traced {
            let Identity { source, principal } = identity;
            let principal = principal.as_ref().map(|principal| format!("/{principal}")).unwrap_or_default();
            format!("client {client} asks as {source}{principal}, {lines:?}: {}", shown(&envelopes))
        } else {
            String::new()
        };
        let asked = auditor.asked(identity, &envelopes, lines == Lines::InOrder, now);
        match steps.submit(&identity.caller(), envelopes, lines) {
            Ok(answers) => self.waiting.push(Waiting { client, commands, lines: asked, answers }),
            Err((why, _)) => {
                auditor.coverage.meet("answers", why.code());
                asked.into_iter().try_for_each(|line| auditor.undecided(line))?;
            }
        }
        Ok(said)
    }

    /// A command as it is said this time: again it may be worded otherwise.
    fn said(&mut self, command: usize) -> Envelope {
        let Asked { source, envelope, before, .. } = &mut self.commands[command];
        let mut said = envelope.clone();
        if std::mem::replace(before, true) {
            self.services.reword(&mut said, source);
        }
        said
    }

    /// Asks again, a few dozen commands at once. Says how many.
    ///
    /// # Errors
    /// What must not be.
    pub fn ask_again(
        &mut self,
        steps: &mut Steps,
        auditor: &mut Auditor,
        again: Again,
        now: Timestamp,
    ) -> Result<usize, Differs> {
        let is_asked = |ended: Option<Ended>| match again {
            Again::Unended => ended.is_none(),
            Again::Malformed => ended == Some(Ended::Malformed),
            Again::All => true,
        };
        let commands: Vec<usize> = (0..self.commands.len()).filter(|c| is_asked(self.commands[*c].ended)).collect();
        for some in commands.chunks(40) {
            self.ask(steps, auditor, 0, some.to_vec(), Lines::Independent, now)?;
        }
        Ok(commands.len())
    }

    /// Takes the answers that have come.
    ///
    /// # Errors
    /// What must not be: also if an answer was dropped by a ledger that runs.
    pub fn hear(&mut self, auditor: &mut Auditor, runs: bool) -> Result<(), Differs> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut result = Ok(());
        waiting.retain_mut(|asked| match asked.answers.try_recv() {
            Ok(answers) => {
                let checked = auditor.answered(&asked.lines, &answers);
                if result.is_ok() {
                    result = checked;
                }
                for (command, answer) in asked.commands.iter().zip(&answers) {
                    self.commands[*command].ended = match answer {
                        Answer::Unavailable(_) => None,
                        Answer::Malformed { .. } => Some(Ended::Malformed),
                        _ => Some(Ended::WithRecord),
                    };
                }
                false
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Closed) => {
                if runs && result.is_ok() {
                    result = Err(format!("a ledger that runs gives no answer to {:?}", asked.commands));
                }
                auditor.coverage.meet("clients", "are left without an answer");
                false
            }
        });
        self.waiting = waiting;
        let durable = auditor.sequences().to_vec();
        self.reads.retain_mut(|read| match read.try_recv() {
            Ok(seen) => {
                if result.is_ok() && seen.iter().zip(&durable).any(|(seen, durable)| seen > durable) {
                    result = Err(format!("a read saw {seen:?}, durable is {durable:?}"));
                }
                auditor.coverage.meet("clients", "read");
                false
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Closed) => false,
        });
        result
    }

    /// Whether somebody waits for something.
    pub fn wait(&self) -> bool {
        !self.waiting.is_empty() || !self.reads.is_empty()
    }
}

fn shown(envelopes: &[Envelope]) -> String {
    let lines: Vec<String> =
        envelopes.iter().map(|envelope| serde_json::to_string(envelope).unwrap_or_default()).collect();
    lines.join(" ")
}
