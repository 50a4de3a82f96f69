//! Positions that somebody has reached and must never lose: `positions/<name>.json`.
//!
//! ```json
//! {"stated":{"position":{"lineage":"…","shards":[{"sequence":7,"hash":"…"}]},"former":["…"],"closed":true},"crc32c":"…"}
//! ```
//!
//! `former` are the lineages that the ledger had before, the oldest first: so a position says which ledger
//! it is of, even to a log that does not know its lineage. `closed` says that nothing was answered behind it:
//! the end of the log states it when it is closed, and takes it back before anything is written again.
//! The checksum is over the compact JSON of `stated`. Recovery cuts nothing that a position names.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Head, MAX_SEQUENCE,
    disk::{Disk, UNFINISHED},
    frame::crc32c,
};
use crate::{Error, Result};

/// The folder of the positions.
pub(crate) const FOLDER: &str = "positions";
/// The log's own position.
pub(super) const HEAD: &str = "head";

/// What somebody states of how far the ledger had come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stated {
    /// The position.
    #[serde(rename = "position")]
    pub head: Head,
    /// The lineages before its own, the oldest first.
    pub former: Vec<Uuid>,
    /// Whether nothing was answered behind it.
    pub closed: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    stated: Stated,
    crc32c: String,
}

fn checksum(stated: &Stated) -> String {
    let json = serde_json::to_vec(stated).expect("a position has a JSON form");
    format!("{:08x}", crc32c(&json))
}

/// The file of a position.
pub(super) fn file_of(name: &str) -> String {
    format!("{FOLDER}/{name}.json")
}

/// Stores a position, durably.
pub(super) fn store(disk: &dyn Disk, name: &str, stated: &Stated) -> Result<()> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    assert!(!name.is_empty() && name.bytes().all(plain), "{name:?} as a position's name: a-z, 0-9, - and _");
    let stored = Stored { stated: stated.clone(), crc32c: checksum(stated) };
    let mut json = serde_json::to_vec(&stored).expect("a position has a JSON form");
    json.push(b'\n');
    let name = file_of(name);
    disk.write_atomic(&name, &json).map_err(|source| Error::Io {
        doing: "storing a position in",
        path: disk.path(&name),
        source,
    })
}

/// Stores the end of a log that nobody writes, as a clean end does.
pub(crate) fn store_end(disk: &dyn Disk, head: &Head, former: Vec<Uuid>) -> Result<()> {
    store(disk, HEAD, &Stated { head: head.clone(), former, closed: true })
}

/// Every stored position with its file, or why it cannot be read. What else lies in the folder is none.
pub(super) fn all(disk: &dyn Disk) -> Result<Vec<(String, Result<Stated, String>)>> {
    let io = |doing, name: &str, source| Error::Io { doing, path: disk.path(name), source };
    let mut positions = Vec::new();
    for name in disk.list(FOLDER).map_err(|source| io("listing", FOLDER, source))? {
        if name.ends_with(UNFINISHED) {
            continue; // the old content still stands beside it
        }
        let file = format!("{FOLDER}/{name}");
        let stated = if name.strip_suffix(".json").is_some() {
            parse(&disk.read(&file).map_err(|source| io("reading the position in", &file, source))?)
        } else {
            Err("no position has such a name".to_owned())
        };
        positions.push((file, stated));
    }
    Ok(positions)
}

fn parse(bytes: &[u8]) -> Result<Stated, String> {
    let stored: Stored = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    // Compared as a whole, so that every byte counts, white space and spelling included.
    let mut canonical = serde_json::to_vec(&stored).expect("it was just read");
    canonical.push(b'\n');
    if checksum(&stored.stated) != stored.crc32c || canonical != bytes {
        return Err("the position and its checksum differ".to_owned());
    }
    if stored.stated.head.shards.iter().any(|head| head.sequence >= MAX_SEQUENCE) {
        return Err("the position names more records than there can be".to_owned());
    }
    Ok(stored.stated)
}
