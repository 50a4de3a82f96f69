//! The folder of a ledger, and how commands open it to write through the engine.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use ledger::{
    Engine, SystemClock, engine,
    log::{Options, OsDisk},
};
use schemas::Shard;

use crate::{app, output::complain, signals};

/// A ledger's folder.
#[derive(Debug, Clone)]
pub struct LedgerDir {
    path: PathBuf,
    accept_clock: bool,
}

impl LedgerDir {
    /// The folder at `path`, which need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), accept_clock: false }
    }

    /// Whether a person says that the clock is right, however old the last record is.
    #[must_use]
    pub fn accepting_clock(self, accept_clock: bool) -> Self {
        Self { accept_clock, ..self }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its disk.
    pub fn disk(&self) -> Arc<OsDisk> {
        Arc::new(OsDisk::new(&self.path))
    }

    /// Whether it holds a log.
    ///
    /// # Errors
    /// If nobody can know, as the folder is closed to us.
    pub fn exists(&self) -> Result<bool> {
        match fs::metadata(self.path.join("log")) {
            Ok(log) => Ok(log.is_dir()),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
            Err(error) => Err(error).with_context(|| {
                format!("looking for a ledger in {}; ask as the user whom it belongs to", self.path.display())
            }),
        }
    }

    /// Starts the engine on the ledger that is there.
    ///
    /// # Errors
    /// If there is none: a folder that is named wrongly must not become another ledger.
    pub fn start(&self, shards: Option<Shard>) -> Result<Engine> {
        self.must_exist()?;
        self.open(shards)
    }

    /// Starts the engine, making a new ledger of `shards` where there is none.
    pub fn start_or_make(&self, shards: Option<Shard>) -> Result<Engine> {
        self.open(shards)
    }

    /// Makes a new ledger of `shards` and starts the engine on it.
    ///
    /// # Errors
    /// If there is one.
    pub fn make(&self, shards: Option<Shard>) -> Result<Engine> {
        if self.exists()? {
            bail!("there is a ledger in {} already; name another folder with --data", self.path.display());
        }
        self.open(shards)
    }

    fn open(&self, shards: Option<Shard>) -> Result<Engine> {
        signals::catch();
        if let Some(shards) = shards.filter(|shards| !(1..=Options::MAX_SHARDS).contains(shards)) {
            bail!("a ledger has 1 to {} shards, not {shards}", Options::MAX_SHARDS);
        }
        let log = Options { shards, ..Options::default() };
        let options = engine::Options { log, accept_clock: self.accept_clock, ..engine::Options::default() };
        let (engine, recovery) = Engine::start(self.disk(), options, Arc::new(SystemClock))?;
        if let Some(cut) = recovery.cut {
            complain(&format_args!(
                "the last write had not been finished nor answered; its {} bytes at {} of {} are kept in {}",
                cut.bytes, cut.offset, cut.segment, cut.kept
            ));
        }
        Ok(engine)
    }

    /// Says what to do where there is no ledger.
    pub fn must_exist(&self) -> app::Result<()> {
        match fs::read_dir(self.path.join("log")) {
            Ok(_) => return Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(source) => {
                return Err(app::Error::Io { doing: format!("looking into {}", self.path.display()), source });
            }
        }
        // The log is gone, and something says that there was one: that is no place for a new ledger.
        if ["positions", "index", "snapshots", "cut"].iter().any(|left| self.path.join(left).is_dir()) {
            return Ok(());
        }
        let mut said = format!("there is no ledger in {}; name its folder with --data", self.path.display());
        let near = nearest(&self.path);
        if !near.is_empty() {
            let near: Vec<String> = near.iter().map(|path| path.display().to_string()).collect();
            said = format!("{said} (there is one in {})", near.join(", in "));
        }
        Err(app::Error::NoLedger(format!("{said}, or make one: {}", self.typed("init"))))
    }

    /// A command on this ledger as it is typed.
    pub fn typed(&self, command: &str) -> String {
        format!("giftledger {command} --data {}", shell_quoted(&self.path.display().to_string()))
    }
}

/// The most ledgers that are named to whoever may have mistyped one.
const MOST_NEAR: usize = 3;

/// Lets `work` use an engine, and closes the ledger whatever came of that: in order, if a signal asks for the end.
pub fn working<T>(engine: Engine, work: impl FnOnce(&Engine) -> Result<T>) -> Result<T> {
    let done = work(&engine);
    engine.close()?;
    done
}

fn holds_log(path: &Path) -> bool {
    path.join("log").is_dir()
}

/// Ledgers that may have been meant by `path`: the one that it lies in or that lies in it, and those beside it,
/// the likeliest names first.
fn nearest(path: &Path) -> Vec<PathBuf> {
    let Ok(path) = std::path::absolute(path) else { return Vec::new() };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let within = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| holds_log(path)).collect()
    };
    let parent = path.parent().unwrap_or(&path);
    let mut beside = within(parent);
    beside.sort_by_cached_key(|path| {
        let other = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (edits(&name, &other), other)
    });
    let around = path.ancestors().skip(1).take(2).filter(|path| holds_log(path)).map(Path::to_owned);
    let mut near: Vec<PathBuf> = around.collect();
    let mut inside = within(&path);
    inside.sort();
    near.extend(inside);
    near.extend(beside);
    near.truncate(MOST_NEAR);
    near
}

/// How many letters must be put in, taken out or changed to make one name of the other.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.iter().enumerate() {
            let changed = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// A word of a command as a shell must be given it.
pub fn shell_quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_ledgers_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["giftledger-data/log", "marathon/log", "other/stuff", "outer/inner/log", "marathon-2/log", "z/log"]
        {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for (asked, expected) in [
            ("marathno", vec!["marathon", "marathon-2", "z"]),
            ("marathon/log", vec!["marathon"]),
            ("marathon/log/segments", vec!["marathon"]),
            ("outer", vec!["outer/inner", "z", "marathon"]),
            ("other/typo", vec![]),
        ] {
            let found = nearest(&folder.path().join(asked));
            let expected: Vec<PathBuf> = expected.iter().map(|name| folder.path().join(name)).collect();
            assert_eq!(found, expected, "{asked}");
        }
    }

    #[test]
    fn names_are_as_far_apart_as_edits() {
        for (a, b, expected) in [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("礼物", "礼品", 1)] {
            assert_eq!((edits(a, b), edits(b, a)), (expected, expected), "{a} {b}");
        }
    }

    #[test]
    fn what_is_printed_to_be_typed_is_one_word() {
        for (word, typed) in [("data", "data"), ("my data", "'my data'"), ("it's", r"'it'\''s'"), ("", "''")] {
            assert_eq!(shell_quoted(word), typed);
        }
    }
}
