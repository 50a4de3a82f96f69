//! `export`: the journal for finance.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::PathBuf,
};

use anyhow::{Context, Result};
use projections::{Books, Format};
use replay::AsOf;

use super::{Ended, Global};
use crate::output::stdout;

/// Write the books: every record that moves something, as entries of double-entry books.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// beancount, hledger, csv or ndjson.
    #[arg(long)]
    format: Format,
    /// Where to; standard output where absent.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The zone of the dates; the entity's where absent.
    #[arg(long)]
    zone: Option<String>,
    /// Only what happened in this year of that zone.
    #[arg(long)]
    year: Option<i32>,
    /// As of a time or a position `<shard>-<sequence>`.
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<AsOf>,
}

impl Export {
    pub fn run(self, global: &Global) -> Result<Ended> {
        match &self.output {
            None => self.write(global, stdout())?,
            Some(path) => {
                // What stands there stays until the new journal is whole.
                let mut draft = path.clone().into_os_string();
                draft.push(".draft");
                let file = File::create(&draft).with_context(|| format!("making {}", draft.display()))?;
                let written = self.write(global, BufWriter::with_capacity(1 << 20, file));
                let kept = written.and_then(|()| {
                    File::open(&draft)?.sync_all()?;
                    fs::rename(&draft, path).with_context(|| format!("putting {} in place", path.display()))
                });
                if kept.is_err() {
                    fs::remove_file(&draft).with_context(|| format!("removing {}", draft.display()))?;
                }
                kept?;
            }
        }
        Ok(Ended::Well)
    }

    fn write(&self, global: &Global, out: impl Write) -> Result<()> {
        use chrono::Datelike;

        let (ledger, as_of) = (global.ledger(), self.as_of.unwrap_or(AsOf::End));
        let zone = match (self.format, &self.zone) {
            (Format::Ndjson, None) if self.year.is_none() => chrono_tz::UTC, // has no dates of its own
            (_, zone) => ledger.zone(zone.as_deref(), as_of)?,
        };
        let mut books = Books::new(out, self.format, zone)?;
        ledger.fold(as_of, |record| {
            if self.year.is_none_or(|year| record.happened_at().day_in(zone).year() == year) {
                books.write(record)?;
            }
            Ok(())
        })?;
        books.finish()?.flush()?;
        Ok(())
    }
}
