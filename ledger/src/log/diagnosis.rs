//! What is wrong with a log, in words: what a repair finds before it does anything.

use schemas::Shard;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Head, position,
    salvage::{Behind, Salvage},
};

/// What is wrong with a log, and what its repair comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnosis {
    /// What is wrong, in the order of the log. Empty: nothing.
    pub problems: Vec<Problem>,
    /// Records that had been answered and cannot be read any more.
    pub lost: Vec<Lost>,
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
    /// The last one that anything names. There may have been more.
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
}

/// What the stored positions and the bytes behind the sound part make of it.
pub(super) struct Findings {
    pub problems: Vec<Problem>,
    pub lost: Vec<Lost>,
    /// Whether answered records are lost, or may be.
    pub renewed: bool,
    /// The names of positions that are not of what is left.
    pub astray: Vec<String>,
}

const CUTS: &str = "the ledger ends here; what stands behind is kept in cut/, and answered records are lost";
const MENDS: &str = "the backup has these bytes, and they continue the log: taken from there";
const TORN: &str = "nothing says that it was ever answered: it is kept in cut/ and cut off, as the next start does";

impl Findings {
    pub fn of(salvage: &Salvage) -> Self {
        let mut found = Self { problems: Vec::new(), lost: Vec::new(), renewed: false, astray: Vec::new() };
        let mut named = salvage.named.clone();
        let positions = found.positions(salvage, &mut named);
        let tips = &salvage.walk.running.tips;
        for (shard, (tip, to)) in (0..).zip(tips.iter().zip(named)) {
            if to > tip.head.sequence {
                found.lost.push(Lost { shard, from: tip.head.sequence + 1, to });
            }
        }
        let taken = |behind: &&Behind| salvage.segments.iter().any(|segment| segment.name == behind.name);
        // A whole segment, or whole frames, that cannot be joined on: what they hold had been answered.
        let apart = salvage.behind.iter().any(|behind| !taken(&behind) || behind.frames > 0);
        found.renewed |= apart || !found.lost.is_empty();
        found.log(salvage);
        found.problems.extend(positions);
        found
    }

    /// What is wrong in the log's own files.
    fn log(&mut self, salvage: &Salvage) {
        let end = if self.renewed { CUTS } else { TORN };
        for at in &salvage.breaks {
            let remedy = if at.mended { MENDS } else { end };
            self.problem(&at.file, at.offset, at.what.clone(), remedy);
        }
        let last = salvage.segments.last();
        for segment in &salvage.segments[..salvage.segments.len().saturating_sub(1)] {
            let length = segment.length();
            if !segment.is_mended() && segment.file_length.is_some_and(|own| own != length) {
                let what = "the segment goes on behind where the next one begins".to_owned();
                self.problem(&segment.name, length, what, "the rest is kept in cut/ and cut off; no record is lost");
            }
        }
        let broken = salvage.breaks.last().is_some_and(|at| !at.mended);
        if let Some(last) = last.filter(|_| !broken && self.renewed) {
            let base = salvage.behind.iter().find(|b| b.from == 0 && b.name > last.name).map(|b| &b.name);
            let what = match base {
                Some(next) => format!("the segment ends here, and the next is {next}: one was cut or is missing"),
                None => "the log ends here, and more had been answered".to_owned(),
            };
            self.problem(&last.name, last.length(), what, CUTS);
        }
        for behind in salvage.behind.iter().filter(|behind| behind.frames > 0) {
            let what = format!(
                "behind that stand {} valid frames with {} records, which nothing joins to the sound part",
                behind.frames, behind.records
            );
            self.problem(&behind.name, behind.from, what, "kept in cut/; a backup can join them: --from BACKUP");
        }
    }

    /// What is wrong with the stored positions.
    fn positions(&mut self, salvage: &Salvage, named: &mut [u64]) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, stored) in &salvage.positions {
            let file = position::file_of(name);
            let mut problem = |what: String, remedy: &str| {
                problems.push(Problem { file: file.clone(), offset: 0, what, remedy: remedy.to_owned() });
            };
            let head = match stored {
                Ok(head) => head,
                Err(error) => {
                    problem(
                        format!("the position cannot be read: {error}"),
                        "moved to cut/; what it said had been reached cannot be told, so the lineage is renewed",
                    );
                    self.renewed = true;
                    self.astray.push(name.clone());
                    continue;
                }
            };
            if head.lineage != salvage.lineage {
                let former = salvage.cuts.iter().any(|cut| cut.lineage == head.lineage);
                let whose = if former { "this ledger's before its end was cut" } else { "another ledger's" };
                problem(
                    format!("the position is {whose}, {}", head.lineage),
                    "moved to cut/; it says nothing of this log",
                );
                self.astray.push(name.clone());
                continue;
            }
            let mut astray = false;
            for (shard, stored) in (0_u16..).zip(&head.shards) {
                let number = usize::from(shard);
                let Some(tip) = salvage.walk.running.tips.get(number) else {
                    problem(format!("the position names shard {shard}"), "moved to cut/; the lineage is renewed");
                    astray = true;
                    break;
                };
                if stored.sequence > tip.head.sequence {
                    let (to, on_log) = (stored.sequence, tip.head.sequence);
                    named[number] = named[number].max(to);
                    problem(
                        format!("shard {shard} had reached {to}, and the log can be read up to {on_log}"),
                        "moved to cut/; the records between are lost",
                    );
                    astray = true;
                } else if salvage.hash_at(shard, stored.sequence) != Some(stored.hash) {
                    problem(
                        format!("shard {shard} had other records up to {}", stored.sequence),
                        "moved to cut/; the log or the position was replaced, so the lineage is renewed",
                    );
                    astray = true;
                }
            }
            if astray {
                self.renewed = true;
                self.astray.push(name.clone());
            }
        }
        problems
    }

    fn problem(&mut self, file: &str, offset: u64, what: String, remedy: &str) {
        self.problems.push(Problem { file: file.to_owned(), offset, what, remedy: remedy.to_owned() });
    }
}
