//! `reconcile`: the log against somebody else's file.

use std::{io::Write, path::PathBuf};

use anyhow::Result;
use reconcile::gifts::{Comparison, FileColumns, Report};
use replay::AsOf;
use schemas::{CommandId, visible};

use super::{Ended, Global};
use crate::{
    import::open_source,
    output::{print_json, stdout, thousands},
};

/// Compare the log with somebody else's file.
#[derive(Debug, clap::Subcommand)]
pub enum Reconcile {
    /// Compare gifts by id and amount.
    Gifts(Gifts),
}

/// Compare a CSV of gift ids and amounts with the gifts on the log.
#[derive(Debug, clap::Args)]
pub struct Gifts {
    /// The file, plain or gzipped.
    file: PathBuf,
    /// The column of the gift's id.
    #[arg(long, default_value = "gift_id", value_name = "COLUMN")]
    id: String,
    /// The column of the amount.
    #[arg(long, default_value = "amount", value_name = "COLUMN")]
    amount: String,
    /// The decimals of one unit: 2 where the file has 12.34 and the ledger 1,234 coins.
    #[arg(long, default_value_t = 0)]
    decimals: u32,
    /// What stands before the file's id in the ledger's command ids.
    #[arg(long, default_value = "")]
    id_prefix: String,
}

impl Reconcile {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let Self::Gifts(gifts) = self;
        gifts.run(global)
    }
}

impl Gifts {
    fn run(self, global: &Global) -> Result<Ended> {
        let columns =
            FileColumns { id: self.id, amount: self.amount, decimals: self.decimals, id_prefix: self.id_prefix };
        let (source, _) = open_source(&self.file)?;
        let mut comparison = Comparison::with_file(source, &self.file.display().to_string(), &columns)?;
        global.ledger_to_read()?.fold(AsOf::End, |record| {
            comparison.take_record(record);
        })?;
        let report = comparison.finish();
        if global.json {
            print_json(&report)?;
        } else {
            print(&report)?;
        }
        Ok(Ended::with(report.ok))
    }
}

fn print(report: &Report) -> Result<()> {
    let mut out = stdout();
    let shown = |id: &CommandId| visible(id.as_str()).into_owned(); // their ids are any text
    for gift in &report.missing_there {
        writeln!(out, "only on the log: {} {}", shown(&gift.id), thousands(gift.coins))?;
    }
    for gift in &report.missing_here {
        writeln!(out, "only in the file: line {}, {} {}", gift.line, shown(&gift.id), thousands(gift.coins))?;
    }
    for gift in &report.differs {
        let (file, log) = (thousands(gift.file), thousands(gift.log));
        writeln!(out, "differs: line {}, {}: {file} in the file, {log} on the log", gift.line, shown(&gift.id))?;
    }
    for gift in &report.twice {
        writeln!(
            out,
            "more than once: {} ({} in the file, {} on the log)",
            shown(&gift.id),
            gift.file.len(),
            gift.log.len()
        )?;
    }
    for (side, what) in [(report.file, "file"), (report.log, "log"), (report.matched, "alike")] {
        writeln!(out, "{what:>6}: {} gifts, {} coins", thousands(side.count), thousands(side.coins))?;
    }
    out.flush()?;
    Ok(())
}
