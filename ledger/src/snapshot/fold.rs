//! Making the next snapshot from the newest one and the log, beside whoever writes the log.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use super::{Info, Snapshot, name, set_aside};
use crate::{
    Error, Result,
    log::{Locator, Reader},
};

/// How far a snapshot is to go, and when it is worth its making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How far.
    pub until: Until,
    /// At least so many records must have come since the newest one.
    pub records: u64,
    /// And so many for each user in that one, or for each [`Plan::USER_BYTES`] of it: a user may have many lots.
    pub records_per_user: u64,
    /// While at most so many records are not in a snapshot, it works an eighth of the time only and
    /// leaves the cores to those who write.
    pub unhurried: u64,
}

/// How far a snapshot goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// All segments but the last: nobody writes there any more, so folding disturbs nobody's cache or
    /// disk for the newest records, and every process makes its snapshots at the same positions.
    Sealed,
    /// Everything durable.
    Durable,
}

impl Plan {
    /// A start folds about two million records a second: these take it less than two of its five
    /// seconds.
    pub const RECORDS: u64 = 3_000_000;
    /// From here on it hurries: what comes while it works is left for a start as well.
    pub const UNHURRIED: u64 = 6_000_000;
    /// A user takes up to half a microsecond to write and 40 bytes; at two records a user that is at
    /// most a quarter of what it takes to fold a record, and a fifth of the bytes of one on the log.
    pub const RECORDS_PER_USER: u64 = 2;
    /// What a user takes in a snapshot; one with many lots or holds takes it that often.
    pub const USER_BYTES: u64 = 40;

    /// Everything durable, if anything has come at all.
    pub const NOW: Self = Self { until: Until::Durable, records: 1, records_per_user: 0, unhurried: 0 };
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            until: Until::Sealed,
            records: Self::RECORDS,
            records_per_user: Self::RECORDS_PER_USER,
            unhurried: Self::UNHURRIED,
        }
    }
}

/// Makes the next snapshot of the log that `reader` reads, if that is worth it by the plan; ends
/// without one once `stop` is set. While it runs it holds a state of its own.
///
/// # Errors
/// As [`Snapshot::newest`] and [`Snapshot::store`]; [`crate::Error::Damaged`] if the log is.
pub fn fold(reader: &Reader, plan: &Plan, stop: &AtomicBool) -> Result<Option<Info>> {
    let (end, records) = match plan.until {
        Until::Sealed => reader.sealed(),
        Until::Durable => (reader.end(), super::records(&reader.head())),
    };
    let newest = Info::newest(reader)?;
    let users = |newest: &Info| newest.users.max(newest.bytes / Plan::USER_BYTES);
    let (folded, users) = newest.map_or((0, 0), |newest| (newest.records(), users(&newest)));
    let least = plan.records.max(plan.records_per_user.saturating_mul(users));
    if records.saturating_sub(folded) < least.max(1) {
        return Ok(None);
    }
    loop {
        let newest = Snapshot::newest(reader)?;
        let file = newest.as_ref().map(|newest| name(newest.next.offset()));
        match (fold_from(newest, reader, plan, stop, end, folded), file) {
            (Ok(snapshot), _) => return snapshot.map(|snapshot| snapshot.store(reader)).transpose(),
            // Nobody is to start from what the log contradicts.
            (Err(error @ Error::Contradiction { .. }), Some(file)) => {
                tracing::error!(file, %error, "a snapshot contradicts the log, and is moved aside");
                set_aside(reader, &file)?;
            }
            (Err(error), _) => return Err(error),
        }
    }
}

/// Folds the log from a snapshot, or from its beginning; `None` if nothing has come or it is not wanted any
/// more.
fn fold_from(
    newest: Option<Snapshot>,
    reader: &Reader,
    plan: &Plan,
    stop: &AtomicBool,
    end: Locator,
    folded: u64,
) -> Result<Option<Snapshot>> {
    let mut snapshot = newest.unwrap_or_else(|| Snapshot::beginning(reader));
    let before = snapshot.next;
    let mut frames = reader.frames_from(snapshot.next);
    while snapshot.next < end {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let begun = Instant::now();
        let Some(frame) = frames.next() else { break };
        let frame = frame?;
        snapshot.follow(&frame)?;
        frames.recycle(frame);
        if super::records(&reader.head()).saturating_sub(folded) < plan.unhurried {
            std::thread::sleep(begun.elapsed() * 7);
        }
    }
    Ok((snapshot.next != before).then_some(snapshot))
}
