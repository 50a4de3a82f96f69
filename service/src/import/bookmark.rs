//! How far a file was imported. The bookmark lies in the ledger's folder and can be lost: rows that were
//! taken are not taken twice.
//!
//! It covers all that determines the commands of a row: what the file said up to there, the whole mapping,
//! and which importer read it. Under another mapping the rows behind the bookmark would become others than
//! those before it, so a mapping that was changed is refused until somebody says what is meant.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use ledger::{
    Engine,
    log::{Disk, Head},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{importing::Counts, mapping::Mapping, rows::Position};
use crate::{app::Watch, ledger_dir::LedgerDir};

/// Changes when the same row of the same mapping becomes another command.
const IMPORTER: u32 = 2;
const FOLDER: &str = "imports";

/// How far a file was imported, and where the ledger stood then.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bookmark {
    importer: u32,
    /// The file, for whoever reads this.
    file: String,
    mapping: Value,
    /// Up to where every row has an outcome.
    pub position: Position,
    /// What became of the rows up to there.
    pub counts: Counts,
    ledger: Head,
}

/// Where a file's bookmark lies: `imports/<hash of its path>.json` in the ledger's folder, so that a file may
/// have any name.
pub struct BookmarkFile {
    name: String,
    ledger: LedgerDir,
    file: String,
    mapping: Value,
}

impl BookmarkFile {
    /// The bookmark of `file` as `mapping` reads it.
    pub fn of(ledger: &LedgerDir, file: &Path, mapping: &Mapping) -> Result<Self> {
        let path = fs::canonicalize(file).with_context(|| format!("looking for {}", file.display()))?;
        let hash = xxhash_rust::xxh3::xxh3_128(path.as_os_str().as_encoded_bytes());
        Ok(Self {
            name: format!("{FOLDER}/{hash:032x}.json"),
            ledger: ledger.clone(),
            file: path.display().to_string(),
            mapping: serde_json::to_value(mapping)?,
        })
    }

    /// How far the file was read, if the ledger still has what was made of it.
    ///
    /// # Errors
    /// If another mapping read it; `anew` is the command that reads it from its start.
    pub fn read(&self, engine: &Engine, anew: &str, watch: &dyn Watch) -> Result<Option<Bookmark>> {
        let path = self.path();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let from_start = |why: &str| {
            watch.note(&format!("{why}; {} is read from its start, no row is taken twice", self.file));
            Ok(None)
        };
        let Ok(bookmark) = serde_json::from_slice::<Bookmark>(&text) else {
            return from_start(&format!("the bookmark {} cannot be read", path.display()));
        };
        if !still_holds(&bookmark.ledger, engine)? {
            return from_start("the ledger was cut or restored since the file was imported");
        }
        let differs = differences(&bookmark.mapping, &self.mapping);
        if bookmark.importer != IMPORTER || !differs.is_empty() {
            let differs = if differs.is_empty() {
                "another release of the importer read it".to_owned()
            } else {
                differs.join("; ")
            };
            bail!(
                "{} was imported up to line {} with another mapping: {differs}. Import it with the mapping that it had; \
                 or, if its rows are to be read anew, where one that was taken becomes a conflict if it is another \
                 command now: {anew}",
                self.file,
                bookmark.position.line
            );
        }
        Ok(Some(bookmark))
    }

    /// Stores it so that a crash leaves the old one or the new one.
    pub fn store(&self, position: Position, counts: &Counts, ledger: Head) -> Result<()> {
        let bookmark = Bookmark {
            importer: IMPORTER,
            file: self.file.clone(),
            mapping: self.mapping.clone(),
            position,
            counts: counts.clone(),
            ledger,
        };
        let disk = self.ledger.disk();
        disk.create_dir(FOLDER)
            .and_then(|()| disk.write_atomic(&self.name, &serde_json::to_vec(&bookmark)?))
            .with_context(|| format!("writing {}", self.path().display()))
    }

    fn path(&self) -> PathBuf {
        self.ledger.path().join(&self.name)
    }
}

/// Whether the ledger has what the bookmark saw.
fn still_holds(seen: &Head, engine: &Engine) -> Result<bool> {
    let mut reader = engine.reader();
    let head = reader.head();
    if seen.lineage != head.lineage || seen.shards.len() != head.shards.len() {
        return Ok(false);
    }
    for (shard, seen) in (0..).zip(&seen.shards) {
        if reader.hash_at(shard, seen.sequence)? != Some(seen.hash) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What two mappings say otherwise, key by key.
fn differences(old: &Value, new: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    collect(old, new, "", &mut differences);
    differences
}

fn collect(old: &Value, new: &Value, key: &str, differences: &mut Vec<String>) {
    if let (Value::Object(was), Value::Object(is)) = (old, new) {
        let mut keys: Vec<&String> = was.keys().chain(is.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        for name in keys {
            let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            collect(was.get(name).unwrap_or(&Value::Null), is.get(name).unwrap_or(&Value::Null), &key, differences);
        }
    } else if old != new {
        differences.push(format!("{key} was {old} and is {new}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_named_by_its_key() {
        let old = json!({"amount": {"decimals": 2, "signs": []}, "gift": {"item": "a"}, "top_up": null});
        let new = json!({"amount": {"decimals": 1, "signs": ["$"]}, "gift": {"item": "a"}, "top_up": {"channel": "c"}});
        let expected = [
            "amount.decimals was 2 and is 1",
            "amount.signs was [] and is [\"$\"]",
            "top_up was null and is {\"channel\":\"c\"}",
        ];
        assert_eq!(differences(&old, &new), expected);
        assert_eq!(differences(&old, &old), Vec::<String>::new());
    }
}
