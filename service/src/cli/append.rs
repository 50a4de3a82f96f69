//! `append`: NDJSON in, an answer line each out.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use ledger::Lines;

use super::{Ended, Global, Start, ToWrite};
use crate::output::stdout;

/// Append commands: NDJSON in, an answer line each out.
///
/// Each line is one JSON object, such as
/// {"id": "g-1", "gift": {"user": "u1", "item": "rose", "to": [{"streamer": "s1"}]}}
#[derive(Debug, clap::Args)]
pub struct Append {
    /// The file of commands; standard input where absent or `-`.
    file: Option<PathBuf>,
    #[command(flatten)]
    to_write: ToWrite,
    /// Let the lines of a user run independently instead of one after the other.
    #[arg(long)]
    unordered: bool,
}

impl Append {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let input = open(self.file.as_deref())?;
        let order = if self.unordered { Lines::Independent } else { Lines::InOrder };
        let home = global.home()?;
        let appended =
            home.write(&self.to_write, Start::Existing, |ledger| ledger.append(input, order, &mut stdout()))?;
        Ok(Ended::with(appended.taken == appended.lines))
    }
}

fn open(file: Option<&Path>) -> Result<Box<dyn Read + Send>> {
    match file {
        None => Ok(Box::new(io::stdin())),
        Some(path) if path == Path::new("-") => Ok(Box::new(io::stdin())),
        Some(path) => Ok(Box::new(File::open(path).with_context(|| format!("opening {}", path.display()))?)),
    }
}
