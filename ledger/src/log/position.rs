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
    reader::DurableSegment,
    segment,
};
use crate::{Error, Result};

/// The folder of the positions.
pub(crate) const FOLDER: &str = "positions";
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

/// The file of a position.
pub(super) fn file_of(name: &str) -> String {
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

/// Stores the end of a log that nobody writes, as a clean end does.
pub(crate) fn store_end(disk: &dyn Disk, head: &Head) -> Result<()> {
    store(disk, AT_CLOSE, head)
}

/// Whether the ledger was closed where these durable segments end, and has not been opened since.
pub(crate) fn is_closed_at(disk: &dyn Disk, head: &Head, segments: &[DurableSegment]) -> Result<bool> {
    let io = |source| Error::Io { doing: "looking at", path: disk.path(""), source };
    let Some(last) = segments.last() else { return Ok(false) };
    let now = disk.list(segment::FOLDER).map_err(io)?.into_iter().filter(|name| segment::base_of(name).is_some());
    let length = disk.open(&last.name, false).and_then(|file| file.len()).map_err(io)?;
    let stored = all(disk)?.into_iter().any(|(name, position)| name == AT_CLOSE && position == *head);
    Ok(stored && length == last.length && now.count() == segments.len() && !disk.is_locked().map_err(io)?)
}

/// Every stored position with its name.
pub(super) fn all(disk: &dyn Disk) -> Result<Vec<(String, Head)>> {
    each(disk)?.into_iter().map(|(name, position)| Ok((name, position?))).collect()
}

/// Every stored position, or why it cannot be read, with its name.
pub(super) fn each(disk: &dyn Disk) -> Result<Vec<(String, Result<Head>)>> {
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
        positions.push((name.to_owned(), parse(disk, &path, &bytes)));
    }
    Ok(positions)
}

fn parse(disk: &dyn Disk, path: &str, bytes: &[u8]) -> Result<Head> {
    let stored: Stored = serde_json::from_slice(bytes).map_err(|error| damaged(disk, path, &error.to_string()))?;
    // Compared as a whole, so that every byte counts, white space and spelling included.
    let mut canonical = serde_json::to_vec(&stored).expect("it was just read");
    canonical.push(b'\n');
    if checksum(&stored.position) != stored.crc32c || canonical != bytes {
        return Err(damaged(disk, path, "the position and its checksum differ"));
    }
    Ok(stored.position)
}

fn damaged(disk: &dyn Disk, path: &str, what: &str) -> Error {
    Error::damaged(disk.path(path), 0, what)
}
