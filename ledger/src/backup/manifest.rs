//! What `backup.json` says.

use std::io::ErrorKind;

use schemas::{Hash, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Error, Result,
    log::{BACKUP, BACKUP_PART, Disk, Head},
};

/// The version of the layout that this release writes, and the newest that it reads.
const VERSION: u32 = 1;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of the layout.
    pub version: u32,
    /// When the backup was finished.
    pub time: Timestamp,
    /// Whether the ledger had been closed at this head: no record was answered behind it up to then.
    pub closed: bool,
    /// How far it goes.
    pub head: Head,
    /// The offset behind its last frame.
    pub end: u64,
    /// The log's segments in order.
    pub segments: Vec<SegmentCopy>,
}

/// A segment in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentCopy {
    /// Its file.
    pub file: String,
    /// How many bytes of the file belong to the backup.
    pub length: u64,
    /// BLAKE3 of those.
    pub blake3: Hash,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<T> {
    backup: T,
    blake3: Hash,
}

impl Manifest {
    pub(super) fn new(time: Timestamp, closed: bool, head: Head, end: u64, segments: Vec<SegmentCopy>) -> Self {
        Self { version: VERSION, time, closed, head, end, segments }
    }

    /// How many records it holds.
    pub fn records(&self) -> u64 {
        self.head.shards.iter().map(|shard| shard.sequence).sum()
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// Reads the folder's.
    ///
    /// # Errors
    /// [`Error::NoBackup`], [`Error::Damaged`], [`Error::NewerVersion`], [`Error::Io`].
    pub fn read(disk: &dyn Disk) -> Result<Self> {
        Self::find(disk)?.ok_or_else(|| Error::NoBackup { path: disk.path("") })
    }

    /// The folder's, if there is one.
    pub(super) fn find(disk: &dyn Disk) -> Result<Option<Self>> {
        let Some(bytes) = read_if_there(disk, BACKUP)? else { return Ok(None) };
        if let Some(found) = newer_version(&bytes) {
            return Err(Error::NewerVersion { path: disk.path(BACKUP), found, supported: VERSION });
        }
        parse(&bytes).map(Some).ok_or_else(|| Error::Damaged {
            path: disk.path(BACKUP),
            offset: 0,
            what: "the list of the backup and its hash differ".to_owned(),
            advice: "nothing says what this backup is: use another one, and back up to another folder",
        })
    }

    /// Makes this what the folder holds.
    pub(super) fn store(&self, disk: &dyn Disk) -> Result<()> {
        store(disk, BACKUP, self)
    }
}

/// The segments that an interrupted backup has copied whole. What does not read is as if it were not
/// there: they are copied again.
pub(super) fn copied_before(disk: &dyn Disk) -> Result<Vec<SegmentCopy>> {
    Ok(read_if_there(disk, BACKUP_PART)?.and_then(|bytes| parse(&bytes)).unwrap_or_default())
}

/// Notes which segments are copied whole.
pub(super) fn note_copied(disk: &dyn Disk, segments: &[SegmentCopy]) -> Result<()> {
    store(disk, BACKUP_PART, &segments)
}

fn read_if_there(disk: &dyn Disk, name: &str) -> Result<Option<Vec<u8>>> {
    match disk.read(name) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { doing: "reading", path: disk.path(name), source }),
    }
}

fn parse<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let stored: Stored<T> = serde_json::from_slice(bytes).ok()?;
    // Compared as a whole, so that every byte counts, white space and spelling included.
    (bytes == render(&stored.backup)).then_some(stored.backup)
}

/// The version, where it is newer than what this release reads.
fn newer_version(bytes: &[u8]) -> Option<u32> {
    let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let version = value.get("backup")?.get("version")?.as_u64()?;
    u32::try_from(version).ok().filter(|&version| version > VERSION)
}

fn render<T: Serialize>(backup: &T) -> Vec<u8> {
    let json = serde_json::to_vec(backup).expect("a backup's list has a JSON form");
    let stored = Stored { backup, blake3: Hash(*blake3::hash(&json).as_bytes()) };
    let mut bytes = serde_json::to_vec(&stored).expect("a backup's list has a JSON form");
    bytes.push(b'\n');
    bytes
}

fn store<T: Serialize>(disk: &dyn Disk, name: &str, backup: &T) -> Result<()> {
    let stored = disk.write_atomic(name, &render(backup));
    stored.map_err(|source| Error::Io { doing: "writing", path: disk.path(name), source })
}
