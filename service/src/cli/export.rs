//! `export`: the journal for finance.

use std::{
    io::{BufWriter, Write},
    ops::{Range, RangeInclusive},
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use chrono::NaiveDate;
use projections::{Accounts, Books, Format};
use replay::AsOf;

use super::{Ended, Global};
use crate::{files, output::stdout};

/// What times of records can be.
const YEARS: RangeInclusive<i32> = 1678..=2261;

/// Write the journal for finance.
///
/// Every record that moves something, as entries of double-entry books.
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
    /// The books of this year of that zone: opened with what accounts held by all that happened before, then
    /// what happened in it.
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
            // What stands there stays until the new journal is whole.
            Some(path) => files::write_whole(path, |file| self.write(global, BufWriter::with_capacity(1 << 20, file)))?,
        }
        Ok(Ended::Well)
    }

    fn write(&self, global: &Global, out: impl Write) -> Result<()> {
        let (ledger, as_of) = (global.ledger_to_read()?, self.as_of.unwrap_or(AsOf::End));
        let zone = match (self.format, &self.zone) {
            (Format::Ndjson, None) if self.year.is_none() => chrono_tz::UTC, // has no dates of its own
            (_, zone) => ledger.zone(zone.as_deref(), as_of)?,
        };
        let days = self.year.map(days_of).transpose()?;
        let mut books = Books::new(out, self.format, zone)?;
        let mut reader = ledger.read()?; // one for both passes: what is appended meanwhile is in neither
        if let Some(days) = &days {
            // By when it happened, so all of it must be seen before the first entry.
            let mut before = Accounts::new();
            ledger.fold_with(&mut reader, as_of, |record| {
                if record.happened_at().day_in(zone) < days.start {
                    before.apply(record);
                }
                anyhow::Ok(())
            })?;
            books.open(days.start, &before)?;
        }
        ledger.fold_with(&mut reader, as_of, |record| {
            if days.as_ref().is_none_or(|days| days.contains(&record.happened_at().day_in(zone))) {
                books.write(record)?;
            }
            anyhow::Ok(())
        })?;
        books.finish()?.flush()?;
        Ok(())
    }
}

/// From the first day of a year to the first of the next one.
fn days_of(year: i32) -> Result<Range<NaiveDate>> {
    if !YEARS.contains(&year) {
        bail!("{year} is not a year of any record: {} to {}", YEARS.start(), YEARS.end());
    }
    let first_day = |year| NaiveDate::from_ymd_opt(year, 1, 1).context("every year begins");
    Ok(first_day(year)?..first_day(year + 1)?)
}
