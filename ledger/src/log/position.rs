//! Positions that somebody has reached and must never lose: `positions/<name>.json`.
//!
//! ```json
//! {"position":{"lineage":"…","shards":[{"sequence":7,"hash":"…"}]},"crc32c":"…"}
//! ```
//!
//! The checksum is over the compact JSON of `position`. Recovery cuts nothing that a position names.

use serde::{Deserialize, Serialize};

use super::{
    Head,
    disk::{Disk, UNFINISHED},
    frame::crc32c,
};
use crate::{Error, Result};

/// The folder of the positions.
pub(super) const FOLDER: &str = "positions";
/// The position that a clean end stores.
pub(super) const AT_CLOSE: &str = "head";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    position: Head,
    crc32c: String,
}

fn checksum(position: &Head) -> String {
    let json = serde_json::to_vec(position).expect("a position has a JSON form");
    format!("{:08x}", crc32c(&json))
}

fn file_of(name: &str) -> String {
    format!("{FOLDER}/{name}.json")
}

/// Stores a position, durably.
pub(super) fn store(disk: &dyn Disk, name: &str, position: &Head) -> Result<()> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    assert!(!name.is_empty() && name.bytes().all(plain), "{name:?} as a position's name: a-z, 0-9, - and _");
    let stored = Stored { position: position.clone(), crc32c: checksum(position) };
    let mut json = serde_json::to_vec(&stored).expect("a position has a JSON form");
    json.push(b'\n');
    let name = file_of(name);
    disk.write_atomic(&name, &json).map_err(|source| Error::Io {
        doing: "storing a position in",
        path: disk.path(&name),
        source,
    })
}

/// Every stored position with its name.
pub(super) fn all(disk: &dyn Disk) -> Result<Vec<(String, Head)>> {
    let io = |doing, name: &str, source| Error::Io { doing, path: disk.path(name), source };
    let mut positions = Vec::new();
    for file in disk.list(FOLDER).map_err(|source| io("listing", FOLDER, source))? {
        let path = format!("{FOLDER}/{file}");
        if file.ends_with(UNFINISHED) {
            continue; // the old content still stands beside it
        }
        let Some(name) = file.strip_suffix(".json") else {
            return Err(Error::NotALedger { path: disk.path(&path) });
        };
        let bytes = disk.read(&path).map_err(|source| io("reading the position in", &path, source))?;
        let stored: Stored =
            serde_json::from_slice(&bytes).map_err(|error| damaged(disk, &path, &error.to_string()))?;
        // Compared as a whole, so that every byte counts, white space and spelling included.
        let mut canonical = serde_json::to_vec(&stored).expect("it was just read");
        canonical.push(b'\n');
        if checksum(&stored.position) != stored.crc32c || canonical != bytes {
            return Err(damaged(disk, &path, "the position and its checksum differ"));
        }
        positions.push((name.to_owned(), stored.position));
    }
    Ok(positions)
}

fn damaged(disk: &dyn Disk, path: &str, what: &str) -> Error {
    Error::damaged(disk.path(path), 0, what)
}
