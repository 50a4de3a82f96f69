//! The log up to a moment.
//!
//! All records have one order, (time, shard, sequence), whatever frames they came in; a moment cuts
//! all shards alike.

use std::{fmt, str::FromStr};

use ledger::{
    Result,
    log::{Check, Frames, Reader},
};
use schemas::{Record, Shard, Timestamp};

/// A moment to fold the log up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// Everything there is.
    End,
    /// Up to and with a time of the ledger's clock.
    Time(Timestamp),
    /// Up to and with a record, in the order of all shards.
    Position {
        /// The record's shard.
        shard: Shard,
        /// Its sequence.
        sequence: u64,
    },
}

impl AsOf {
    /// The clock of an answer about this moment: what is due by then counts as due, whether a timer
    /// has recorded it or not, and what was published counts if it holds by then.
    ///
    /// The past is answered by its own clock, and the end of the log by `now`, though never by a time
    /// before its newest record.
    ///
    /// # Errors
    /// If the position names no record, or the log cannot be read.
    pub fn clock(self, reader: &mut Reader, now: Timestamp) -> Result<Timestamp> {
        match self {
            Self::Time(time) => Ok(time),
            Self::Position { shard, sequence } => Ok(record_at(reader, shard, sequence)?.time),
            Self::End => {
                let heads = (0..).zip(reader.head().shards).filter(|(_, head)| head.sequence > 0);
                heads
                    .map(|(shard, head)| Ok(record_at(reader, shard, head.sequence)?.time))
                    .try_fold(now, |clock, newest: Result<Timestamp>| Ok(clock.max(newest?)))
            }
        }
    }
}

/// The record at a place that somebody named.
fn record_at(reader: &mut Reader, shard: Shard, sequence: u64) -> Result<Record> {
    let found = if shard < reader.shards() { reader.find(shard, sequence)? } else { None };
    let (_, record) = found.ok_or_else(|| ledger::Error::NoRecord { place: format!("{shard}-{sequence}") })?;
    Ok(record)
}

impl FromStr for AsOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse() {
            return Ok(Self::Time(time));
        }
        let position = text.split_once('-').and_then(|(shard, sequence)| {
            Some(Self::Position { shard: shard.parse().ok()?, sequence: sequence.parse().ok()? })
        });
        position.ok_or_else(|| {
            format!("{text:?} is neither a time such as 2026-11-21T08:30:00Z nor a position such as 3-17")
        })
    }
}

impl fmt::Display for AsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the end of the log"),
            Self::Time(time) => time.fmt(f),
            Self::Position { shard, sequence } => write!(f, "record {shard}-{sequence}"),
        }
    }
}

/// The place in the order of all records behind which nothing counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut(Timestamp, Shard, u64);

impl Cut {
    /// The cut that `as_of` names on this log; none for its end.
    ///
    /// # Errors
    /// If the position names no record, or the log cannot be read.
    pub fn at(as_of: AsOf, reader: &mut Reader) -> Result<Option<Self>> {
        match as_of {
            AsOf::End => Ok(None),
            AsOf::Time(time) => Ok(Some(Self(time, Shard::MAX, u64::MAX))),
            AsOf::Position { shard, sequence } => {
                Ok(Some(Self(record_at(reader, shard, sequence)?.time, shard, sequence)))
            }
        }
    }

    /// Whether a record lies at or before it.
    pub fn has(&self, record: &Record) -> bool {
        Self(record.time, record.shard, record.sequence) <= *self
    }
}

/// The records up to a moment, in the order of their times.
///
/// # Errors
/// If the moment names no record; the iterator ends with an error where the log cannot be read.
pub fn records(reader: &mut Reader, as_of: AsOf) -> Result<Records> {
    let cut = Cut::at(as_of, reader)?;
    Ok(Records { frames: reader.frames(Check::Frame), ready: Vec::new().into_iter(), cut, ended: false })
}

/// Gives every record up to a moment to `visit`, in the order of their times, while the next ones are
/// read on another thread.
///
/// # Errors
/// If the moment names no record, where the log cannot be read, and what `visit` ends it with.
pub fn fold<E: From<ledger::Error>>(
    reader: &mut Reader,
    as_of: AsOf,
    mut visit: impl FnMut(&Record) -> Result<(), E>,
) -> Result<(), E> {
    let cut = Cut::at(as_of, reader)?;
    let mut order = Vec::new();
    let folded = reader.frames(Check::Frame).ahead(|frame| {
        order.clear();
        order.extend(0..frame.records.len());
        // As `Records` orders them.
        order.sort_unstable_by_key(|&at| (frame.records[at].time, frame.records[at].shard));
        for record in order.iter().map(|&at| &frame.records[at]) {
            if cut.is_some_and(|cut| !cut.has(record)) {
                return Err(Ended::AtCut);
            }
            visit(record).map_err(Ended::Failed)?;
        }
        Ok(())
    });
    match folded {
        Ok(()) | Err(Ended::AtCut) => Ok(()),
        Err(Ended::Failed(error)) => Err(error),
    }
}

/// Why a fold went no further.
enum Ended<E> {
    AtCut,
    Failed(E),
}

impl<E: From<ledger::Error>> From<ledger::Error> for Ended<E> {
    fn from(error: ledger::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// See [`records`].
pub struct Records {
    frames: Frames,
    ready: std::vec::IntoIter<Record>,
    cut: Option<Cut>,
    ended: bool,
}

impl Iterator for Records {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.ready.next() {
                return Some(Ok(record));
            }
            if self.ended {
                return None;
            }
            match self.frames.next() {
                None => self.ended = true,
                Some(Err(error)) => {
                    self.ended = true;
                    return Some(Err(error));
                }
                Some(Ok(frame)) => {
                    let mut records = frame.records;
                    // A frame groups its records by shard, and no frame holds an earlier time than the one before.
                    records.sort_unstable_by_key(|record| (record.time, record.shard));
                    if let Some(cut) = self.cut {
                        let whole = records.len();
                        records.retain(|record| cut.has(record));
                        self.ended = records.len() < whole;
                    }
                    self.ready = records.into_iter();
                }
            }
        }
    }
}
