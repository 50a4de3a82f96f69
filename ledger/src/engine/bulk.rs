//! Submissions under way: what was answered, and which lines wait for an earlier one.
//!
//! In an ordered bulk a user's lines happen in their order. Most end in the record that they make,
//! so their place in the queue is order enough; only after one that takes several records (a
//! top-up) do the user's next lines have to wait.

use std::collections::VecDeque;

use hashbrown::HashMap;
use schemas::{Envelope, Timestamp, UserId};
use tokio::sync::oneshot;

use super::answer::{Answer, Unavailable};

/// How long a line waits for an earlier one of its user before it is given up, undecided.
const PATIENCE_MS: i64 = 5_000;

/// One line of one submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) submission: u64,
    pub(crate) line: usize,
}

/// What a caller handed in at once.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) commands: Vec<Envelope>,
    /// Whether a user's lines wait for earlier ones of the same user.
    pub(crate) ordered: bool,
    pub(crate) reply: oneshot::Sender<Vec<Answer>>,
}

/// A reply that may leave once the batch that it belongs to is durable.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) to: oneshot::Sender<Vec<Answer>>,
    pub(crate) answers: Vec<Answer>,
}

#[derive(Debug)]
struct Open {
    /// A line's command, until it is decided.
    commands: Vec<Option<Envelope>>,
    ordered: bool,
    reply: oneshot::Sender<Vec<Answer>>,
    answers: Vec<Option<Answer>>,
    missing: usize,
    /// By user: lines that wait, and for how many earlier ones.
    parked: HashMap<UserId, Parked>,
}

#[derive(Debug)]
struct Parked {
    since: Timestamp,
    /// The line that takes several records.
    behind: usize,
    lines: VecDeque<usize>,
}

/// All submissions that are not fully answered.
#[derive(Debug, Default)]
pub(crate) struct Bulks {
    open: HashMap<u64, Open>,
    next: u64,
    unanswered: usize,
    parked_lines: usize,
}

impl Bulks {
    /// Takes a submission in; its lines are the returned slots.
    pub(crate) fn open(&mut self, submission: Submission) -> (u64, usize) {
        let lines = submission.commands.len();
        self.next += 1;
        self.unanswered += lines;
        let Submission { commands, ordered, reply } = submission;
        let open = Open {
            commands: commands.into_iter().map(Some).collect(),
            ordered,
            reply,
            answers: vec![None; lines],
            missing: lines,
            parked: HashMap::default(),
        };
        self.open.insert(self.next, open);
        (self.next, lines)
    }

    /// Takes the command of a line, which is about to be decided.
    pub(crate) fn take_command(&mut self, slot: Slot) -> Envelope {
        let open = self.open.get_mut(&slot.submission).expect("a queued line's submission is open");
        open.commands[slot.line].take().expect("a line is decided once")
    }

    /// Whether any line of the submission waits, so that users have to be looked at.
    pub(crate) fn has_waits(&self, slot: Slot) -> bool {
        !self.open[&slot.submission].parked.is_empty()
    }

    /// How many lines have no answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Parks the line if an earlier one of `user` is under way; otherwise gives its command back.
    pub(crate) fn park(&mut self, slot: Slot, user: &UserId, envelope: Envelope) -> Option<Envelope> {
        let Some(open) = self.open.get_mut(&slot.submission) else { return Some(envelope) };
        let Some(parked) = open.parked.get_mut(user) else { return Some(envelope) };
        open.commands[slot.line] = Some(envelope);
        parked.lines.push_back(slot.line);
        self.parked_lines += 1;
        None
    }

    /// The line takes several records: later ones of `user` wait for it.
    pub(crate) fn begin_wait(&mut self, slot: Slot, user: &UserId, now: Timestamp) {
        let Some(open) = self.open.get_mut(&slot.submission) else { return };
        if open.ordered {
            open.parked.entry(user.clone()).or_insert(Parked { since: now, behind: slot.line, lines: VecDeque::new() });
        }
    }

    /// The line has ended: the lines that waited for it, in their order.
    pub(crate) fn end_wait(&mut self, slot: Slot) -> Vec<Slot> {
        let Some(open) = self.open.get_mut(&slot.submission) else { return Vec::new() };
        let ended: Vec<UserId> =
            open.parked.iter().filter(|(_, parked)| parked.behind == slot.line).map(|(user, _)| user.clone()).collect();
        let mut released = Vec::new();
        for user in ended {
            let parked = open.parked.remove(&user).expect("it was just found");
            self.parked_lines -= parked.lines.len();
            released.extend(parked.lines.into_iter().map(|line| Slot { line, ..slot }));
        }
        released
    }

    /// Answers a line; the reply, if it was the last one.
    pub(crate) fn answer(&mut self, slot: Slot, answer: Answer) -> Option<Reply> {
        let open = self.open.get_mut(&slot.submission)?;
        if open.answers[slot.line].replace(answer).is_none() {
            open.missing -= 1;
            self.unanswered -= 1;
        }
        if open.missing > 0 {
            return None;
        }
        let open = self.open.remove(&slot.submission)?;
        let answers = open.answers.into_iter().map(|answer| answer.expect("none is missing")).collect();
        Some(Reply { to: open.reply, answers })
    }

    /// Gives up lines that have waited too long: replies of what is complete by that.
    pub(crate) fn give_up(&mut self, now: Timestamp) -> Vec<Reply> {
        if self.parked_lines == 0 {
            return Vec::new();
        }
        let mut late = Vec::new();
        for (&submission, open) in &mut self.open {
            for parked in open.parked.values_mut().filter(|p| p.since.plus_millis(PATIENCE_MS) <= now) {
                late.extend(parked.lines.drain(..).map(|line| Slot { submission, line }));
            }
        }
        self.parked_lines -= late.len();
        let unfinished = Answer::Unavailable(Unavailable::EarlierLineUnfinished);
        late.into_iter().filter_map(|slot| self.answer(slot, unfinished.clone())).collect()
    }

    /// Whether lines wait that have to be given up some day.
    pub(crate) fn has_parked_lines(&self) -> bool {
        self.parked_lines > 0
    }
}
