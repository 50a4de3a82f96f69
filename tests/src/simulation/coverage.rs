//! What a run has met: a simulation that meets little proves little.

use std::{collections::BTreeMap, fmt};

/// How often what was met, by kind: answers, faults, ends of processes and so on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<(&'static str, String), u64>);

impl Coverage {
    /// It was met once more.
    pub fn meet(&mut self, kind: &'static str, what: impl Into<String>) {
        self.meet_often(kind, what, 1);
    }

    /// It was met so many times more.
    pub fn meet_often(&mut self, kind: &'static str, what: impl Into<String>, times: u64) {
        if times > 0 {
            *self.0.entry((kind, what.into())).or_default() += times;
        }
    }

    /// Adds another run's.
    pub fn add(&mut self, other: Self) {
        for ((kind, what), times) in other.0 {
            self.meet_often(kind, what, times);
        }
    }

    /// How often it was met.
    pub fn times(&self, kind: &'static str, what: &str) -> u64 {
        self.0.get(&(kind, what.to_owned())).copied().unwrap_or(0)
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = "";
        for ((kind, what), times) in &self.0 {
            if *kind != last {
                writeln!(f, "{kind}")?;
                last = kind;
            }
            writeln!(f, "  {times:>9}  {what}")?;
        }
        Ok(())
    }
}
