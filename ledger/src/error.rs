//! The one error of the crate. A refusal of a command is no error: that is `schemas::Rejection`.

use std::{
    io,
    path::{Path, PathBuf},
};

use schemas::{Shard, Timestamp};
use uuid::Uuid;

/// What can go wrong around the decisions: the disk, and what stands on it.
///
/// `Display` says what was being done, where, and what to do about it; the cause is the `source`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused. The log takes nothing more after it; a new start finds out what was written.
    #[error("{doing} {} failed; look at the cause, then start again", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No space, or no quota, before anything was decided: nothing was changed, and it can be tried again.
    #[error("reserving {needed} bytes for {} failed; free some space on its disk and try again", path.display())]
    Full {
        /// The file that was to hold them.
        path: PathBuf,
        /// How many bytes were to be reserved.
        needed: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process writes this ledger.
    #[error(
        "opening the ledger: {} is held by {}; wait until it has ended, or stop it",
        path.display(),
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The folder that it holds.
        path: PathBuf,
        /// Its number, where that is known.
        pid: Option<u32>,
    },
    /// What is being written is no longer what stands under its name.
    #[error(
        "writing to the ledger: {} is not the file that this process has opened: it was moved, removed or replaced. \
         Nothing more is written; find out who did that, put back what belongs there, and start again",
        path.display()
    )]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later release.
    #[error("opening {}: it has format version {found}, this release reads up to {supported}; use a newer release", path.display())]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this release knows.
        supported: u32,
    },
    /// Bytes that are not what was written.
    #[error("reading {} at byte {offset}: {what}; {advice}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What does not check out.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// The clock shows what no clock can.
    #[error(
        "opening the ledger: the machine's clock shows {now}, and a ledger's clock shows 1970 to 2261; set it right"
    )]
    ClockOutside {
        /// What it shows.
        now: Timestamp,
    },
    /// The clock is so far ahead of the last record that nobody but a person can say whether it is right.
    #[error(
        "opening the ledger: the machine's clock shows {now}, more than 400 days after the last record, of {last}. If \
         it is wrong, set it right: what expires by it is gone for good. If it is right, say so with --accept-clock"
    )]
    ClockFarAhead {
        /// The time of the last record.
        last: Timestamp,
        /// What the clock shows.
        now: Timestamp,
    },
    /// A log that is not what was once answered for. Nothing was changed.
    #[error(
        "opening the ledger: {} at byte {offset}: {what}. {loss} Nothing was changed; what can be done: {}",
        path.display(),
        typed(&["log", "repair"], folder)
    )]
    Refused {
        /// The first file with which something is wrong.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong.
        what: String,
        /// What is lost, in a sentence.
        loss: String,
        /// The ledger's folder.
        folder: PathBuf,
    },
    /// Somebody has stored a position that the log does not reach any more, so its end is lost.
    #[error(
        "opening the ledger: the log ends at {on_log} in shard {shard}, but \"{name}\" has stored that it reached \
         {stored}; its end is lost: restore the log from a backup, do not delete the position"
    )]
    BehindStored {
        /// Who stored the position.
        name: String,
        /// The shard.
        shard: Shard,
        /// The sequence that was reached.
        stored: u64,
        /// The last sequence on the log.
        on_log: u64,
    },
    /// A file or a position of another ledger.
    #[error("opening {}: it belongs to ledger {found}, this one is {expected}; put back the file that belongs here", path.display())]
    ForeignLineage {
        /// The file.
        path: PathBuf,
        /// The lineage of this ledger.
        expected: Uuid,
        /// The lineage in the file.
        found: Uuid,
    },
    /// A position from before this ledger's end was cut.
    #[error(
        "opening {}: it has the lineage {found} that this ledger had before it was restored from a backup or repaired; \
         it is {expected} since, and what lay behind the cut is not on it: derive the file again, do not edit it",
        path.display()
    )]
    FormerLineage {
        /// The file.
        path: PathBuf,
        /// The lineage of this ledger.
        expected: Uuid,
        /// The former lineage in the file.
        found: Uuid,
    },
    /// A restore or a repair that has not come to its end.
    #[error("opening the ledger: {what} was begun and not ended, as {} says; run the same command again", path.display())]
    Unfinished {
        /// The file that says so.
        path: PathBuf,
        /// What was begun.
        what: &'static str,
    },
    /// A folder that holds a backup and is to be written as a ledger.
    #[error(
        "opening the ledger: {} holds a backup, which nobody writes to; restore it into another folder: \
         giftledger restore --from {} --data NEW",
        path.display(),
        quoted(path)
    )]
    IsABackup {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that was to be filled and is not empty.
    #[error("{doing}: {} holds something else; name a folder that is missing or empty", path.display())]
    NotEmpty {
        /// What was being done.
        doing: &'static str,
        /// The folder.
        path: PathBuf,
    },
    /// There is no backup to read.
    #[error("opening the backup: there is none in {}; name the folder that holds backup.json", path.display())]
    NoBackup {
        /// The folder.
        path: PathBuf,
    },
    /// A backup that this ledger does not continue.
    #[error(
        "backing up to {}: the backup there is not of the beginning of this ledger: {what}; \
         name another folder, and keep this one",
        path.display()
    )]
    OtherBackup {
        /// The backup's folder.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// A log of which nothing can be kept.
    #[error(
        "looking at the log in {}: {what}; a backup may help: {} --from BACKUP",
        path.display(),
        typed(&["log", "repair"], path)
    )]
    BeyondRepair {
        /// The ledger's folder.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// A position of this ledger's name with other records before it.
    #[error(
        "checking \"{name}\" against the log: the records up to {sequence} of shard {shard} have another hash; \
         the log, or what goes with the position, was replaced: restore both from one backup"
    )]
    HashMismatch {
        /// Who stored the position.
        name: String,
        /// The shard.
        shard: Shard,
        /// The sequence whose hash differs.
        sequence: u64,
    },
    /// A record that the state before it contradicts.
    #[error(
        "folding record {shard}-{sequence}: it takes what is not there ({what}); the log, or the snapshot that the fold \
         began with, is not what this ledger wrote: find out with giftledger verify"
    )]
    Contradiction {
        /// The record's shard.
        shard: Shard,
        /// The record's sequence.
        sequence: u64,
        /// What does not fit.
        what: String,
    },
    /// A folder with other things in it, or a file among ours that is not ours.
    #[error("opening the ledger: {} is not of a ledger; name another folder, or move it away", path.display())]
    NotALedger {
        /// What does not belong.
        path: PathBuf,
    },
    /// There is no ledger to read.
    #[error("opening the ledger: there is none in {}; name its folder, or make one with a command that writes", path.display())]
    NoLedger {
        /// The folder.
        path: PathBuf,
    },
    /// The number of shards of a ledger never changes.
    #[error("opening {}: it has {found} shards, not {asked}; leave the number out, or make a new ledger", path.display())]
    OtherShards {
        /// The folder.
        path: PathBuf,
        /// How many were asked for.
        asked: Shard,
        /// How many there are.
        found: Shard,
    },
    /// Options that cannot work.
    #[error("opening the log: {what}; the limits stand at ledger::log::Options")]
    BadOptions {
        /// Why not.
        what: String,
    },
    /// A batch or a record beyond its limit. The engine's own limits lie below, so this is a mistake there.
    #[error("writing {what} of {bytes} bytes: the limit is {limit}; nothing of it was written")]
    TooLarge {
        /// A batch, or a record.
        what: &'static str,
        /// Its bytes.
        bytes: usize,
        /// The most there may be.
        limit: usize,
    },
    /// A place that holds no record.
    #[error("there is no record {place} on this log")]
    NoRecord {
        /// The place that was named.
        place: String,
    },
    /// The log failed before and takes nothing more.
    #[error("writing to the log in {}: an earlier write failed; start again", path.display())]
    Stopped {
        /// The folder.
        path: PathBuf,
    },
    /// The engine has ended, and why was said to whoever asked first.
    #[error("the ledger has stopped; start it again and ask with the same ids")]
    EngineStopped,
    /// The system gave no thread.
    #[error("starting a thread of the ledger failed")]
    Thread(#[source] io::Error),
}

/// A result with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What to do about most damage.
    pub(crate) const RESTORE: &'static str = "restore this file from a backup, do not delete it";

    pub(crate) fn damaged(path: PathBuf, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { path, offset, what: what.into(), advice: Self::RESTORE }
    }
}

/// A command for a ledger as it is typed in a shell, whole.
fn typed(words: &[&str], data: &Path) -> String {
    format!("giftledger {} --data {}", words.join(" "), quoted(data))
}

/// A path as it is typed in a shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%=,".contains(c) || c > '\u{7f}' && c.is_alphanumeric();
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Whether the system said that there is no room: on the disk, in a quota, or below `ulimit -f`.
pub(crate) fn no_room(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};

    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
