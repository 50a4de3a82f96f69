//! `verify`: the proofs of the books.

use std::io::Write;

use anyhow::Result;
use reconcile::proofs::{self, Proof};

use super::{Ended, Global};
use crate::{
    ledger_dir::LedgerDir,
    output::{Progress, json_line, stdout, table, thousands},
};

/// Prove the books: every byte of the log, hashes, sequences, times, balances, views against state.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// Print only the outcome.
    #[arg(long, short)]
    quiet: bool,
}

impl Verify {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let proof = prove(&global.ledger())?;
        if global.json {
            json_line(&mut stdout(), &proof)?;
        } else if !self.quiet || !proof.ok {
            print(&proof)?;
        }
        Ok(Ended::with(proof.ok))
    }
}

/// Proves the books of a folder.
pub fn prove(ledger: &LedgerDir) -> Result<Proof> {
    let reader = match ledger.read() {
        Ok(reader) => reader,
        // A log that cannot be opened is a finding, not a wrong call.
        Err(error) if error.is::<ledger::Error>() => return Ok(Proof::unreadable(format!("{error:#}"))),
        Err(error) => return Err(error),
    };
    let total = reader.head().shards.iter().map(|shard| shard.sequence).sum();
    let progress = Progress::records(total, "verifying");
    Ok(proofs::prove(&reader, |done| progress.set(done)))
}

/// What was checked, and what came of it.
pub fn print(proof: &Proof) -> Result<()> {
    let mut out = stdout();
    let rows = proof.checks.iter().map(|check| {
        let state = if check.ok { "ok" } else { "FAULT" };
        vec![check.name.to_owned(), thousands(check.count), state.to_owned()]
    });
    writeln!(out, "{}", table(&["check", "count", ""], &[1], rows))?;
    match &proof.fault {
        None => writeln!(out, "{} records: the books are proven", thousands(proof.records))?,
        Some(fault) => writeln!(out, "FAULT: {fault}")?,
    }
    out.flush()?;
    Ok(())
}
