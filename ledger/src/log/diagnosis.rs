//! What is wrong with a log, in words: the one verdict that a start, a reader and a repair go by.
//!
//! [`Findings::of`] is a function of what a survey found and nothing else. A start acts on it where there is
//! nothing to do, or only a write that was never answered; else it refuses with it, and a repair does what it
//! says. What it names as lost is what is gone afterwards.
//!
//! The end of a log is *proven* by the reserve or the mark of its last segment (see `segment`), or by the
//! position that a clean end stored. Where it is not, records may be lost that nothing names.

use std::path::Path;

use schemas::Shard;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Head, ShardHead,
    ending::Ending,
    evidence::{Bearing, By, Claim},
    files::LogFile,
    salvage::{Salvage, Source},
};
use crate::Error;

/// What is wrong with a log, and what its repair comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnosis {
    /// What is wrong, in the order of the log. Empty: nothing.
    pub problems: Vec<Problem>,
    /// Records that had been answered and cannot be read any more.
    pub lost: Vec<Lost>,
    /// Whether more may be lost than is named: nothing that is left says how far the log had come.
    pub open_ended: bool,
    /// The lineage that the ledger has.
    pub lineage: Uuid,
    /// How far the ledger goes when it is repaired. Under a lineage of its own, if that differs.
    pub head: Head,
    /// What the repair does, in words and in order.
    pub actions: Vec<String>,
    /// Whether an earlier repair has begun with it.
    pub begun: bool,
}

/// Something wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// The file, below the ledger's folder.
    pub file: String,
    /// The byte in the file.
    pub offset: u64,
    /// What does not check out.
    pub what: String,
    /// What can be done.
    pub remedy: String,
}

/// Records of a shard that are lost, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lost {
    /// The shard.
    pub shard: Shard,
    /// The first sequence.
    pub from: u64,
    /// The last one that anything names.
    pub to: u64,
}

impl Diagnosis {
    /// Whether there is nothing to do.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether the repaired ledger has another lineage, since answered records are or may be lost.
    pub fn is_renewed(&self) -> bool {
        self.head.lineage != self.lineage
    }

    /// What is lost, in a sentence.
    pub fn loss(&self) -> String {
        loss(&self.lost, self.open_ended, &self.head.shards)
    }
}

/// What is lost behind the records that are left, in a sentence.
fn loss(lost: &[Lost], open_ended: bool, left: &[ShardHead]) -> String {
    let count: u128 = lost.iter().map(|lost| u128::from(lost.to - lost.from) + 1).sum();
    let left: u128 = left.iter().map(|head| u128::from(head.sequence)).sum();
    let which: Vec<String> = lost.iter().map(|l| format!("{} to {} of shard {}", l.from, l.to, l.shard)).collect();
    match (count, open_ended) {
        (0, false) => "No record is lost.".to_owned(),
        (0, true) => format!(
            "What was answered behind the first {left} records is lost, if anything was: nothing that is left says \
             how much."
        ),
        (_, false) => format!("{count} answered records are lost: {}.", which.join(", ")),
        (_, true) => format!("At least {count} answered records are lost: {}; there may be more.", which.join(", ")),
    }
}

/// What is made of a survey.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one finding, and any of them may come together")]
pub(super) struct Findings {
    pub problems: Vec<Problem>,
    pub lost: Vec<Lost>,
    pub open_ended: bool,
    /// Whether answered records are lost, or may be: the ledger then goes on under another lineage.
    pub renewed: bool,
    /// Files that say nothing that counts, and are moved aside.
    pub aside: Vec<String>,
    /// Whether the log's own position is among them and can be made again.
    pub head_again: bool,
    /// Whether the end is proven by a position and not by the file, which gets its mark again.
    pub mark_again: bool,
    /// The one thing wrong is a write that nobody was answered for.
    pub torn: bool,
}

const CUTS: &str = "the ledger ends here; what stands behind is kept in cut/";
const MENDS: &str = "the backup has these bytes, and they continue the log: taken from there";
const TORN: &str = "nothing says that it was ever answered: it is kept in cut/ and taken off, as the next start does";
const MARKS: &str =
    "the log's own position says that it was closed right here: no record is lost, the mark is made again";

impl Findings {
    pub fn of(salvage: &Salvage) -> Self {
        let closed_by = |claim: &Claim| claim.stated.as_ref().is_ok_and(|stated| stated.closed);
        let is_closed = |(claim, bearing): &(Claim, Bearing)| {
            closed_by(claim) && matches!(bearing, Bearing::Holds { at_end: true })
        };
        let was_closed_further = |(claim, bearing): &(Claim, Bearing)| {
            closed_by(claim) && matches!(bearing, Bearing::Ahead { .. } | Bearing::Later)
        };
        let broken = salvage.breaks.iter().any(|at| !at.mended);
        let closed = salvage.claims.iter().any(is_closed);
        let behind = salvage.behind.iter().any(|behind| behind.frames > 0);
        let whole = !behind && (closed || !broken && salvage.ending.is_proven() && salvage.ends_here);

        let left: Vec<ShardHead> = salvage.walk.running.tips.iter().map(|tip| tip.head).collect();
        let (named, claimed) = named(salvage);
        let lost = lost(&named, &left);
        let replaced =
            |(claim, bearing): &(Claim, Bearing)| claim.by != By::Derived && matches!(bearing, Bearing::Differs { .. });
        let replaced = salvage.claims.iter().any(replaced);
        let later = salvage.claims.iter().any(|(_, bearing)| *bearing == Bearing::Later);
        let unread =
            |(claim, bearing): &(Claim, Bearing)| claim.by != By::Derived && matches!(bearing, Bearing::Unreadable);
        let unread = salvage.claims.iter().any(unread);
        let only_the_end = salvage.breaks.iter().filter(|at| !at.mended).count() <= 1
            && salvage.behind.iter().all(|b| salvage.segments.last().is_some_and(|last| last.name == b.name));
        let torn = salvage.ending == Ending::Torn && only_the_end && !behind && !unread;
        let renewed = !lost.is_empty() || replaced || later || behind || !(whole || torn);
        let counted = salvage.claims.iter().any(was_closed_further) || salvage.ends_here && !claimed;
        let mut found = Self {
            problems: Vec::new(),
            open_ended: renewed && (lost.is_empty() || !counted),
            lost,
            renewed,
            aside: Vec::new(),
            head_again: false,
            mark_again: whole && !salvage.ending.is_proven() && salvage.ending != Ending::Torn,
            torn: false,
        };
        found.strangers(salvage);
        found.log(salvage, whole);
        found.strays(salvage);
        found.claims(salvage);
        found.torn = torn && !renewed && found.problems.len() == 1;
        found
    }

    /// What is wrong in the segments themselves.
    fn log(&mut self, salvage: &Salvage, whole: bool) {
        let end = match () {
            () if self.renewed => CUTS,
            () if whole => MARKS,
            () => TORN,
        };
        for at in &salvage.breaks {
            let remedy = if at.mended { MENDS } else { end };
            self.problem(&at.file, at.offset, at.what.clone(), remedy);
        }
        let broken = salvage.breaks.last().is_some_and(|at| !at.mended);
        for segment in &salvage.segments[..salvage.segments.len().saturating_sub(1)] {
            if let Some(rest) = salvage.behind.iter().find(|behind| behind.name == segment.name) {
                let what = "the segment goes on behind where the next one begins".to_owned();
                self.problem(&segment.name, rest.from, what, "the rest is kept in cut/ and cut off; no record is lost");
            }
        }
        let next = |name: &str| salvage.behind.iter().find(|b| b.from == 0 && *b.name > *name).map(|b| &b.name);
        let ends = |name: &str| salvage.ending.is_proven() && self.lost.is_empty() && next(name).is_none();
        if let Some(last) = salvage.segments.last().filter(|last| !broken && !ends(&last.name)) {
            let next = next(&last.name);
            let what = match (next, salvage.ending) {
                (Some(next), _) => format!("the segment ends here, and the next is {next}: one was cut or is missing"),
                (None, Ending::Short { reserved }) => format!(
                    "the segment ends here, without the mark of an end in order and with less than the {reserved} bytes \
                     that were reserved: its end, or the segment behind it, is gone"
                ),
                (None, Ending::BrokenMark) => "the mark of an end in order is damaged".to_owned(),
                (None, Ending::Missing) => "the log goes on in no file from here: its last segment is gone".to_owned(),
                (None, _) => "the log ends here, and more had been answered".to_owned(),
            };
            self.problem(&last.name, last.length(), what, end);
        }
        for behind in salvage.behind.iter().filter(|behind| behind.frames > 0) {
            let what = format!(
                "behind that stand {} valid frames with {} records, which nothing joins to the sound part",
                behind.frames, behind.records
            );
            self.problem(&behind.name, behind.from, what, "kept in cut/; a backup may join them: --from BACKUP");
        }
    }

    /// Segments of another ledger.
    fn strangers(&mut self, salvage: &Salvage) {
        for file in &salvage.files {
            if let Ok((header, _)) = &file.header
                && header.origin() != salvage.origin
            {
                let what =
                    format!("the segment is of another ledger, {}; this one is {}", header.origin(), salvage.origin);
                let remedy =
                    "moved to cut/; put back the file that belongs here, or take it from a backup: --from BACKUP";
                self.problem(&file.name, 0, what, remedy);
            }
        }
    }

    /// Files in the log's folder that do not belong there, or not under their names.
    fn strays(&mut self, salvage: &Salvage) {
        for (number, file) in salvage.files.iter().enumerate() {
            let used = salvage.segments.iter().flat_map(|segment| &segment.pieces);
            let used = used.into_iter().any(|piece| piece.source == Source::Own(number));
            let (what, remedy) = match &file.header {
                Ok((header, _)) if header.origin() != salvage.origin => continue,
                Err(_) if file.named().is_none() => {
                    ("the file is not of a ledger".to_owned(), "moved to cut/; no record is lost by that")
                }
                Ok((header, _)) if !file.is_in_place() && used => (
                    format!("the file was renamed: it is {}", super::segment::name(header.base)),
                    "it gets its name again",
                ),
                _ if !used && !self.speaks_of(file) => {
                    ("the log goes on without it".to_owned(), "moved to cut/; no record of it is missing in the log")
                }
                _ => continue,
            };
            self.problem(&file.name, 0, what, remedy);
        }
    }

    fn speaks_of(&self, file: &LogFile) -> bool {
        self.problems.iter().any(|problem| problem.file == file.name)
    }

    /// What is wrong with those who say how far the log had come.
    fn claims(&mut self, salvage: &Salvage) {
        for (claim, bearing) in &salvage.claims {
            let again =
                if claim.by == By::Head { "moved to cut/ and made again from the log" } else { "moved to cut/" };
            let derived = claim.by == By::Derived;
            let (what, remedy) = match bearing {
                Bearing::Holds { .. } => continue,
                // The index is then rebuilt, and another snapshot taken.
                Bearing::Unreadable | Bearing::Stranger | Bearing::Former | Bearing::Differs { .. } if derived => {
                    continue;
                }
                Bearing::Ahead { shard, stated } => {
                    let on_log = salvage.walk.running.tips.get(usize::from(*shard)).map_or(0, |tip| tip.head.sequence);
                    let what =
                        format!("it knows record {stated} of shard {shard}, and the log can be read up to {on_log}");
                    (what, "moved to cut/; the records between are lost".to_owned())
                }
                Bearing::Later => {
                    let lineage = claim.stated.as_ref().map_or(salvage.lineage, |stated| stated.head.lineage);
                    let what = format!(
                        "it is of this ledger under lineage {lineage}, of which no segment is left: the newest is {}",
                        salvage.lineage
                    );
                    (what, "moved to cut/; what was answered under that lineage is lost".to_owned())
                }
                Bearing::Differs { shard, sequence } => (
                    format!("the log has other records up to {sequence} of shard {shard}: one of them was replaced"),
                    "moved to cut/; answered records may be lost, so the lineage is renewed".to_owned(),
                ),
                Bearing::Former => (
                    "the position is this ledger's from before its end was cut".to_owned(),
                    format!("{again}; nothing is lost by that"),
                ),
                Bearing::Stranger => {
                    let ledger = claim.stated.as_ref().map(|stated| stated.head.lineage).unwrap_or_default();
                    let what = format!("the position is another ledger's, {ledger}; this one is {}", salvage.lineage);
                    (what, format!("{again}; it says nothing of this log"))
                }
                Bearing::Unreadable => {
                    let why = claim.stated.as_ref().err().cloned().unwrap_or_default();
                    let remedy = if self.renewed {
                        "moved to cut/; what it said cannot be told".to_owned()
                    } else {
                        format!("{again}; the log proves itself, and no record is lost")
                    };
                    (format!("the position cannot be read: {why}"), remedy)
                }
            };
            self.problem(&claim.file, 0, what, &remedy);
            self.aside.push(claim.file.clone());
            self.head_again |= claim.by == By::Head;
        }
    }

    fn problem(&mut self, file: &str, offset: u64, what: String, remedy: &str) {
        self.problems.push(Problem { file: file.to_owned(), offset, what, remedy: remedy.to_owned() });
    }

    /// The refusal of a start or a reader.
    pub fn refusal(&self, salvage: &Salvage, folder: &Path) -> Option<Error> {
        let first = self.problems.first()?;
        let left: Vec<ShardHead> = salvage.walk.running.tips.iter().map(|tip| tip.head).collect();
        let more = match self.problems.len() - 1 {
            0 => String::new(),
            1 => format!("; besides, {}: {}", self.problems[1].file, self.problems[1].what),
            more => format!("; besides, {}: {}, and {} more", self.problems[1].file, self.problems[1].what, more - 1),
        };
        Some(Error::Refused {
            path: folder.join(&first.file),
            offset: first.offset,
            what: format!("{}{more}", first.what),
            loss: loss(&self.lost, self.open_ended, &left),
            folder: folder.to_owned(),
        })
    }
}

/// Each shard's highest sequence that anything names, and whether claims name more than the log's own files do.
fn named(salvage: &Salvage) -> (Vec<u64>, bool) {
    let mut named = salvage.named.clone();
    let mut claimed = false;
    for (claim, bearing) in &salvage.claims {
        let known = matches!(bearing, Bearing::Ahead { .. } | Bearing::Later)
            || matches!(bearing, Bearing::Differs { .. }) && claim.by != By::Derived;
        let (Ok(stated), true) = (&claim.stated, known) else { continue };
        if named.is_empty() {
            named.resize(stated.head.shards.len(), 0); // nothing is left of the log
        }
        for (named, head) in named.iter_mut().zip(&stated.head.shards) {
            claimed |= head.sequence > *named;
            *named = (*named).max(head.sequence);
        }
    }
    (named, claimed)
}

fn lost(named: &[u64], left: &[ShardHead]) -> Vec<Lost> {
    let mut lost = Vec::new();
    for (number, &to) in named.iter().enumerate() {
        let last = left.get(number).map_or(0, |head| head.sequence);
        if to > last {
            lost.push(Lost { shard: Shard::try_from(number).unwrap_or(Shard::MAX), from: last + 1, to });
        }
    }
    lost
}
