//! `verify`: the proofs of the books.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use ledger::{log::Reader, snapshot};
use reconcile::{
    anchors::{self, Anchor, Holds, PublicKey, SecretKey},
    proofs::{self, Checked, Proof},
};

use schemas::{visible, visible_lines};

use super::{Ended, Global};
use crate::{
    app, files,
    ledger_dir::LedgerDir,
    output::{Progress, complain, print_json, say, stdout, table, thousands},
};

/// Prove the books: hashes, sequences, balances, views.
///
/// Every byte of the log, hashes, sequences, times, balances, views against state; and
/// with anchors that nothing was cut off or rewritten.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// Print only the verdict, on one line.
    #[arg(long, short)]
    quiet: bool,
    /// Also check the anchors in a file, one a line.
    #[arg(long, value_name = "FILE")]
    anchor: Vec<PathBuf>,
    /// Who must have signed the anchors: 64 hex digits, or a file with them or with the key.
    #[arg(long, value_name = "HEX|FILE", requires = "anchor")]
    public_key: Option<String>,
}

impl Verify {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let ledger = global.ledger()?;
        let key = self.public_key.as_deref().map(public_key).transpose()?;
        let mut lines = Vec::new();
        for path in &self.anchor {
            let text =
                fs::read_to_string(path).with_context(|| format!("reading the anchors in {}", path.display()))?;
            let numbered = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
            lines.extend(numbered.map(|(n, line)| (format!("{}, line {n}", path.display()), line.to_owned())));
        }
        if lines.is_empty() && !self.anchor.is_empty() {
            let make = ledger.typed("anchor --key KEY");
            bail!("there is no anchor in {}; one is made with: {make}", self.anchor[0].display());
        }
        let mut proof = prove(&ledger)?;
        let mut notes = Vec::new();
        if !lines.is_empty() {
            check_anchors(&ledger, &lines, key.as_ref(), &mut proof, &mut notes);
        }
        if global.json {
            print_json(&proof)?;
            for note in &notes {
                complain(&visible(note));
            }
        } else if self.quiet {
            say(&verdict(&proof))?;
        } else {
            print(&proof)?;
            let mut out = stdout();
            notes.iter().try_for_each(|note| writeln!(out, "{}", visible(note)))?;
            out.flush()?;
        }
        Ok(Ended::with(proof.ok))
    }
}

/// Reads a public key, or the file that holds it.
fn public_key(named: &str) -> Result<PublicKey> {
    if let Some(key) = PublicKey::parse(named) {
        return Ok(key);
    }
    let text = fs::read_to_string(named);
    let text = text.with_context(|| format!("{named} is neither a public key of 64 hex digits nor a file with one"))?;
    if SecretKey::parse(&text).is_some() {
        files::read_secret(Path::new(named))?;
    }
    PublicKey::parse(&text).with_context(|| format!("{named} holds no public key: 64 hex digits, or a key file"))
}

/// Adds to a proof that the log has what the anchors say. All are looked at; the first fault is told.
fn check_anchors(
    ledger: &LedgerDir,
    lines: &[(String, String)],
    key: Option<&PublicKey>,
    proof: &mut Proof,
    notes: &mut Vec<String>,
) {
    let mut fault = None;
    let mut reader = app::Ledger::of(ledger).read().map_err(|error| format!("{:#}", anyhow::Error::from(error)));
    for (place, line) in lines {
        let checked = match &mut reader {
            Ok(reader) => check_anchor(reader, line, key, notes, place),
            Err(why) => Err(why.clone()),
        };
        if let Err(why) = checked {
            fault.get_or_insert(format!("the anchor in {place}: {why}"));
        }
    }
    proof.checks.push(Checked { name: anchors::ANCHORS, count: lines.len() as u64, ok: fault.is_none() });
    proof.ok &= fault.is_none();
    if proof.fault.is_none() {
        proof.fault = fault;
    }
}

fn check_anchor(
    reader: &mut Reader,
    line: &str,
    key: Option<&PublicKey>,
    notes: &mut Vec<String>,
    place: &str,
) -> Result<(), String> {
    let anchor = Anchor::parse(line).map_err(|fault| fault.to_string())?;
    let signer = anchor.check_signature(key).map_err(|fault| fault.to_string())?;
    let holds = anchor.check_log(reader).map_err(|fault| fault.to_string())?;
    let records: u64 = anchor.shards.iter().map(|shard| shard.sequence).sum();
    notes.push(format!(
        "The anchor of {} in {place} holds: the log still has its {} records, as they were",
        anchor.time,
        thousands(records)
    ));
    if holds == Holds::BeforeTheCut {
        let said =
            "  It is from before the ledger's end was cut by a restore or a repair, and does not say what was lost";
        notes.push(said.to_owned());
    }
    if key.is_none() {
        notes.push(format!("  It is signed with {signer}; whose key that is, is unproven without --public-key"));
    }
    Ok(())
}

/// Proves the books of a folder.
pub fn prove(ledger: &LedgerDir) -> Result<Proof> {
    let reader = match app::Ledger::of(ledger).read() {
        Ok(reader) => reader,
        // A log that cannot be opened is a finding, not a wrong call.
        Err(app::Error::Ledger(error)) => {
            return Ok(Proof::unreadable(format!("{:#}", anyhow::Error::from(error))));
        }
        Err(error) => return Err(error.into()),
    };
    let total = reader.head().shards.iter().map(|shard| shard.sequence).sum();
    let progress = Progress::records(total, "verifying");
    let mut ended = None;
    let proof = proofs::prove(&reader, |done| {
        ended = progress.set(done).err();
        ended.is_none()
    });
    match (proof, ended) {
        (Some(proof), _) => Ok(set_aside(&reader, proof)),
        (None, ended) => Err(ended.context("the proof was not carried out")?.into()),
    }
}

/// Moves snapshots that the log contradicts out of the way of the next start.
fn set_aside(reader: &Reader, mut proof: Proof) -> Proof {
    for file in &proof.forged_snapshots {
        let done = match snapshot::set_aside(reader, file) {
            Ok(aside) => format!("{file} was moved to {aside}, so no start uses it"),
            Err(error) => format!("delete {file} before the next start ({error})"),
        };
        let fault = proof.fault.get_or_insert_default();
        *fault = format!("{fault}; {done}, and a process that runs since it was made has to be started again");
    }
    proof
}

/// What was checked, and what came of it.
pub fn print(proof: &Proof) -> Result<()> {
    let mut out = stdout();
    let rows = proof.checks.iter().map(|check| {
        let state = if check.ok { "ok" } else { "FAULT" };
        vec![check.name.to_owned(), thousands(check.count), state.to_owned()]
    });
    writeln!(out, "{}", table(&["check", "count", ""], &[1], rows))?;
    writeln!(out, "{}", verdict(proof))?;
    out.flush()?;
    Ok(())
}

fn verdict(proof: &Proof) -> String {
    match &proof.fault {
        None => format!("{} records: the books are proven", thousands(proof.records)),
        Some(fault) => format!("FAULT: {}", visible_lines(fault)),
    }
}
