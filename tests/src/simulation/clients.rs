//! Clients: each asks for its own commands, asks again where it got no outcome, repeats old ones, and
//! sometimes does not wait for its answer.

use ledger::{Answer, Caller, Lines, Steps};
use schemas::{Envelope, Timestamp};
use tokio::sync::oneshot::{Receiver, error::TryRecvError};

use super::{
    auditor::{Auditor, LineId},
    author::Author,
    dice::{Concern, Dice},
    greed::Greed,
};
use crate::play::Differs;

/// How many submissions a client has under way at most.
const AT_ONCE: usize = 3;

/// All clients of a schedule.
#[derive(Debug)]
pub struct Clients {
    dice: Dice,
    author: Author,
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
    envelope: Envelope,
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
    pub fn new(seed: u64, clients: usize, greed: Option<Greed>, traced: bool) -> Self {
        Self {
            dice: Dice::of(seed, Concern::Clients),
            author: Author::new(seed),
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
                let commands = (0..count).map(|_| self.write(client, auditor, now)).collect();
                self.ask(steps, auditor, client, commands, lines, now)
            }
        }
    }

    fn write(&mut self, client: usize, auditor: &Auditor, now: Timestamp) -> usize {
        let envelope = self.author.command(client, self.commands.len(), &auditor.model, now);
        self.note(client, envelope)
    }

    fn note(&mut self, client: usize, envelope: Envelope) -> usize {
        self.commands.push(Asked { client, envelope, ended: None });
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
        let envelopes: Vec<Envelope> = commands.iter().map(|c| self.commands[*c].envelope.clone()).collect();
        let said =
            if self.traced { format!("client {client} asks, {lines:?}: {}", shown(&envelopes)) } else { String::new() };
        let asked = auditor.asked(&envelopes, lines == Lines::InOrder, now);
        match steps.submit(&Caller::cli(), envelopes, lines) {
            Ok(answers) => self.waiting.push(Waiting { client, commands, lines: asked, answers }),
            Err((why, _)) => {
                auditor.coverage.meet("answers", why.code());
                asked.into_iter().try_for_each(|line| auditor.undecided(line))?;
            }
        }
        Ok(said)
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
