//! Submissions under way: what was answered, and which lines wait for an earlier one.
//!
//! In an ordered bulk a user's lines happen in their order. Most end in the record that they make,
//! so their place in the queue is order enough; only behind one that takes several records (a
//! top-up) or waits for the finder do the user's next lines have to wait. They go on one by one.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};
use schemas::{Envelope, Timestamp, UserId};
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::{
    answer::{Answer, Unavailable},
    caller::Caller,
    prepare::Prepared,
};

/// How long a line that is under way is waited for, before those behind it are given up, undecided.
const PATIENCE_MS: i64 = 5_000;

/// What stands for no answer yet; as an answer the core never gives it.
const UNANSWERED: Answer = Answer::Unavailable(Unavailable::Stopped);

/// One line of one submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot {
    pub(crate) submission: u64,
    pub(crate) line: usize,
}

/// Commands of a caller, and for each what was found out about it.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) caller: Caller,
    pub(crate) commands: Vec<Envelope>,
    pub(crate) prepared: Vec<Prepared>,
}

/// What a caller handed in at once.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) content: Content,
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
    /// Its lines; empty while they are lent out.
    content: Content,
    ordered: bool,
    /// Why an earlier line could not be decided: then no later one is, or a gift would be refused for ever
    /// because the top-up before it found the clock wrong.
    undecided: Option<Unavailable>,
    reply: oneshot::Sender<Vec<Answer>>,
    /// As far as they go; what is beyond has none yet.
    answers: Vec<Answer>,
    missing: usize,
    /// The lines that were known before.
    repeated: HashSet<usize>,
    /// By user: the line that is under way, and those that wait for it.
    parked: HashMap<UserId, Parked>,
    /// By line: the users whose next lines wait until it has ended. More than one only where it turns out
    /// late whom a chargeback touches.
    under_way: HashMap<usize, SmallVec<[UserId; 1]>>,
}

impl Open {
    /// Whether it is the line's first answer.
    fn answer(&mut self, line: usize, answer: Answer) -> bool {
        let known = self.answers.len();
        if line == known {
            self.answers.push(answer);
        } else {
            if line > known {
                self.answers.resize(line + 1, UNANSWERED);
            }
            let place = &mut self.answers[line];
            if !is_open(place) {
                return false;
            }
            *place = answer;
        }
        self.missing -= 1;
        true
    }
}

/// Whether that stands for no answer.
fn is_open(answer: &Answer) -> bool {
    matches!(answer, Answer::Unavailable(Unavailable::Stopped))
}

#[derive(Debug)]
struct Parked {
    since: Timestamp,
    /// The line that is under way.
    behind: usize,
    /// Those that wait until it has ended, in their order.
    lines: VecDeque<usize>,
}

/// All submissions that are not fully answered.
#[derive(Debug, Default)]
pub(crate) struct Bulks {
    open: HashMap<u64, Open>,
    /// The one whose lines are being decided: taken out of `open`, as nearly every question is about it.
    lent: Option<(u64, Open)>,
    next: u64,
    unanswered: usize,
    parked_lines: usize,
}

impl Bulks {
    /// Takes a submission in; its lines are the returned slots.
    pub(crate) fn open(&mut self, submission: Submission) -> (u64, usize) {
        let lines = submission.content.commands.len();
        self.next += 1;
        self.unanswered += lines;
        let Submission { content, ordered, reply } = submission;
        let open = Open {
            content,
            ordered,
            undecided: None,
            reply,
            answers: Vec::with_capacity(lines),
            missing: lines,
            repeated: HashSet::default(),
            parked: HashMap::default(),
            under_way: HashMap::default(),
        };
        self.open.insert(self.next, open);
        (self.next, lines)
    }

    /// Lends out the lines of a submission while some of them are decided; [`Self::give_back`] ends it.
    pub(crate) fn lend(&mut self, submission: u64) -> Content {
        self.lent = self.open.remove(&submission).map(|open| (submission, open));
        self.lent.as_mut().map(|(_, open)| std::mem::take(&mut open.content)).unwrap_or_default()
    }

    /// Takes them back; returns them once all are answered and nobody needs them.
    pub(crate) fn give_back(&mut self, content: Content) -> Option<Content> {
        match self.lent.take() {
            Some((submission, mut open)) => {
                open.content = content;
                self.open.insert(submission, open);
                None
            }
            None => Some(content),
        }
    }

    fn get(&self, submission: u64) -> Option<&Open> {
        match &self.lent {
            Some((lent, open)) if *lent == submission => Some(open),
            _ => self.open.get(&submission),
        }
    }

    fn get_mut(&mut self, submission: u64) -> Option<&mut Open> {
        match &mut self.lent {
            Some((lent, open)) if *lent == submission => Some(open),
            _ => self.open.get_mut(&submission),
        }
    }

    /// Whether the submission's lines wait for earlier ones of the same user.
    pub(crate) fn is_ordered(&self, slot: Slot) -> bool {
        self.get(slot.submission).is_some_and(|open| open.ordered)
    }

    /// Why a new line cannot be decided: as the clock is not trusted now, or was not when an earlier one of an
    /// ordered submission had its turn.
    pub(crate) fn undecided(&mut self, slot: Slot, mistrust: Option<Unavailable>) -> Option<Unavailable> {
        match self.get_mut(slot.submission) {
            Some(open) if open.ordered => {
                open.undecided = open.undecided.or(mistrust);
                open.undecided
            }
            _ => mistrust,
        }
    }

    /// Whether any line of the submission waits, so that users have to be looked at.
    pub(crate) fn has_waits(&self, slot: Slot) -> bool {
        self.get(slot.submission).is_some_and(|open| !open.parked.is_empty())
    }

    /// Whether the line has no answer yet.
    pub(crate) fn is_unanswered(&self, slot: Slot) -> bool {
        self.get(slot.submission).is_some_and(|open| open.answers.get(slot.line).is_none_or(is_open))
    }

    /// How many lines have no answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Parks the line if an earlier one of `user` is under way.
    pub(crate) fn park(&mut self, slot: Slot, user: &UserId) -> bool {
        let parked = self.get_mut(slot.submission).and_then(|open| open.parked.get_mut(user));
        // Only behind an earlier one: so nothing waits for itself, and no two for each other.
        let Some(parked) = parked.filter(|parked| parked.behind < slot.line) else { return false };
        let place = parked.lines.partition_point(|line| *line < slot.line);
        parked.lines.insert(place, slot.line);
        self.parked_lines += 1;
        true
    }

    /// The line takes several records, or waits for the finder: later ones of `user` wait for it.
    pub(crate) fn begin_wait(&mut self, slot: Slot, user: &UserId, now: Timestamp) {
        let Some(open) = self.get_mut(slot.submission) else { return };
        if open.ordered && !open.parked.contains_key(user) {
            open.parked.insert(user.clone(), Parked { since: now, behind: slot.line, lines: VecDeque::new() });
            open.under_way.entry(slot.line).or_default().push(user.clone());
        }
    }

    /// The lines of a submission that are under way or wait for one that is.
    pub(crate) fn waiting(&self, submission: u64) -> impl Iterator<Item = usize> {
        let parked = self.get(submission).into_iter().flat_map(|open| open.parked.values());
        parked.flat_map(|parked| std::iter::once(parked.behind).chain(parked.lines.iter().copied()))
    }

    /// The line has ended: of each user whose lines waited for it the next one, which the others wait for
    /// from now on.
    pub(crate) fn end_wait(&mut self, slot: Slot, now: Timestamp) -> SmallVec<[Slot; 1]> {
        let mut next = SmallVec::new();
        let Some(open) = self.get_mut(slot.submission) else { return next };
        for user in open.under_way.remove(&slot.line).unwrap_or_default() {
            let parked = open.parked.get_mut(&user).expect("what is under way is waited for");
            let Some(line) = parked.lines.pop_front() else {
                open.parked.remove(&user);
                continue;
            };
            (parked.behind, parked.since) = (line, now);
            open.under_way.entry(line).or_default().push(user);
            next.push(Slot { line, ..slot });
        }
        self.parked_lines -= next.len();
        next
    }

    /// The line repeats a command that was known before.
    pub(crate) fn repeats(&mut self, slot: Slot) {
        if let Some(open) = self.get_mut(slot.submission) {
            open.repeated.insert(slot.line);
        }
    }

    /// Answers a line; the reply, if it was the last one.
    pub(crate) fn answer(&mut self, slot: Slot, answer: Answer) -> Option<Reply> {
        let open = self.get_mut(slot.submission)?;
        let is_repeated = !open.repeated.is_empty() && open.repeated.contains(&slot.line);
        let answer = if is_repeated { answer.repeated() } else { answer };
        if !open.answer(slot.line, answer) {
            return None;
        }
        let missing = open.missing;
        self.unanswered -= 1;
        if missing > 0 {
            return None;
        }
        let lent = self.lent.take_if(|(lent, _)| *lent == slot.submission).map(|(_, open)| open);
        let open = lent.or_else(|| self.open.remove(&slot.submission))?;
        Some(Reply { to: open.reply, answers: open.answers })
    }

    /// Lines that have waited too long; they wait no more.
    pub(crate) fn give_up(&mut self, now: Timestamp) -> Vec<Slot> {
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
        late.sort_unstable(); // the same for the same schedule
        late
    }

    /// When the first waiting lines have waited long enough.
    pub(crate) fn gives_up_at(&self) -> Option<Timestamp> {
        if self.parked_lines == 0 {
            return None;
        }
        let parked = self.open.values().flat_map(|open| open.parked.values());
        parked.filter(|parked| !parked.lines.is_empty()).map(|parked| parked.since.plus_millis(PATIENCE_MS)).min()
    }
}
