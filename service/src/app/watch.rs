//! Who is told how far something long has come.

use std::fmt;

use crate::signals::{self, Interrupted};

/// Something that takes long.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// What is done: `folding`.
    pub doing: &'static str,
    /// How much there is of it.
    pub total: u64,
    /// What is counted.
    pub unit: Unit,
}

/// What is counted of something long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Records of the log.
    Records,
    /// Bytes of a file.
    Bytes,
}

/// Is told how much is done by now; it may say that the work is to end.
pub type Told = Box<dyn FnMut(u64) -> Result<(), Interrupted>>;

/// A door's eye on what takes long.
pub trait Watch: fmt::Debug + Send + Sync {
    /// Something long begins.
    fn begin(&self, work: Work) -> Told;

    /// What whoever asked should know at once; the answer counts it, where it counts.
    fn note(&self, said: &str);
}

/// Nobody looks. What is under way ends when the process is asked to.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn begin(&self, Work { doing, total, .. }: Work) -> Told {
        Box::new(move |done| signals::check(|| format!("{doing} had come to {done} of {total}")))
    }

    fn note(&self, _: &str) {}
}
