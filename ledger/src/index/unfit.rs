//! Why an index that stands on the disk is not used.

use crate::Error;

/// Either it has to be rebuilt, or it cannot be told.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It is damaged, or of another log: it is rebuilt.
    Damaged(String),
    /// The disk or the log failed.
    Failed(Error),
}

impl From<Error> for Unfit {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
