//! `import`: gifts of a CSV file, with the top-ups that the mapping lays before them.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use schemas::Shard;

use super::{Ended, Global, ToWrite, Writing, apply::Pruning, watched};
use crate::{
    app::actions::{
        import::{self, Begin, Imported},
        reference,
    },
    import::Mapping,
    ledger_dir::{LedgerDir, shell_quoted, working},
    output::{Bars, print_json, say, thousands},
};

/// Import gifts from a CSV file.
///
/// The file may be plain or gzipped. An import can be interrupted and repeated.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// The file.
    file: PathBuf,
    /// How its columns become gifts (TOML).
    #[arg(long, value_name = "FILE")]
    mapping: PathBuf,
    /// What stands before each gift's id, in the place of the mapping's.
    #[arg(long, value_name = "PREFIX")]
    id_prefix: Option<String>,
    /// Only read the file, and say what its rows would be.
    #[arg(long)]
    dry_run: bool,
    /// Apply this platform file first.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    platform: Option<PathBuf>,
    #[command(flatten)]
    pruning: Pruning,
    /// Read the file from its start, although it was read before: rows that were taken are not taken twice.
    #[arg(long)]
    from_start: bool,
    /// How many shards a new ledger has.
    #[arg(long)]
    shards: Option<Shard>,
    #[command(flatten)]
    to_write: ToWrite,
}

impl Import {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let mapping = Mapping::read(&self.mapping, self.id_prefix.as_deref())?;
        let import = import::Import::open(&self.file, mapping)?;
        if self.dry_run {
            let imported = import.preview(&Bars)?;
            print(&imported, true, global.json)?;
            return Ok(Ended::with(imported.counts.all_well()));
        }
        if self.platform.is_none() && self.pruning.is_asked() {
            bail!("--prune is about the items that a platform file does not name; name the file with --platform");
        }
        let wanted = self.platform.as_deref().map(reference::read_file).transpose()?;
        let ledger = global.ledger_to_write(&self.to_write)?;
        let engine = if wanted.is_some() { ledger.start_or_make(self.shards)? } else { ledger.start(self.shards)? };
        let asked = watched(&ledger);
        let begin = Begin { from_start: self.from_start, anew: self.typed(&ledger, " --from-start") };
        let import::Ended { imported, stopped } = working(engine, |engine| {
            if let Some(wanted) = &wanted {
                let typed = self.typed(&ledger, " --prune --yes");
                let writing = Writing::Engine { engine, ledger: &asked, caller: self.to_write.caller() };
                writing
                    .publish(wanted, self.pruning.is_asked(), |difference| self.pruning.confirm(difference, &typed))?;
            }
            Ok(import.run(engine, &asked, &begin)?)
        })?;
        print(&imported, false, global.json)?;
        if let Some(stopped) = stopped {
            return Err(stopped.into());
        }
        Ok(Ended::with(imported.counts.all_well() && imported.refused_before == 0))
    }

    /// The same command with something more.
    fn typed(&self, ledger: &LedgerDir, more: &str) -> String {
        let quoted = |path: &Path| shell_quoted(&path.display().to_string());
        let platform = self.platform.as_deref().map(|path| format!(" --platform {}", quoted(path))).unwrap_or_default();
        let prefix = self.id_prefix.as_deref().map(|prefix| format!(" --id-prefix {}", shell_quoted(prefix)));
        ledger.typed(&format!(
            "import {} --mapping {}{}{platform}{more}",
            quoted(&self.file),
            quoted(&self.mapping),
            prefix.unwrap_or_default()
        ))
    }
}

fn print(imported: &Imported, dry_run: bool, json: bool) -> Result<()> {
    if json {
        return print_json(imported);
    }
    let counts = &imported.counts;
    let codes: Vec<String> =
        counts.refused_by_code.iter().map(|(code, count)| format!("{} {code}", thousands(count))).collect();
    let lines = |lines: &[u64], all: u64| {
        let more = if (lines.len() as u64) < all { ", …" } else { "" };
        let lines: Vec<String> = lines.iter().map(u64::to_string).collect();
        format!("line {}{more}", lines.join(", "))
    };
    let taken = if dry_run { "gifts" } else { "taken" };
    let rows = [
        ("rows read", counts.rows, String::new()),
        (taken, counts.taken, format!("{} coins", thousands(imported.coins))),
        ("already there", counts.already_there, "on the log before".to_owned()),
        ("repeated", counts.repeated, "the id and content of an earlier row: the same gift".to_owned()),
        ("left out", counts.left_out, "by the mapping".to_owned()),
        ("refused", counts.refused, codes.join(", ")),
        ("conflicts", counts.conflicts, "their ids stand for something else".to_owned()),
        ("malformed", counts.malformed, lines(&imported.malformed_lines, counts.malformed)),
        ("left for next time", counts.left_for_next_time, lines(&imported.left_lines, counts.left_for_next_time)),
    ];
    let mut told = Vec::new();
    for (what, count, detail) in rows {
        if count > 0 || what == "rows read" || what == taken {
            let detail = if count > 0 && !detail.is_empty() { format!("   {detail}") } else { String::new() };
            told.push(format!("{what:<18} {:>12}{detail}", thousands(count)));
        }
    }
    if imported.resumed_after > 0 {
        let refused = match imported.refused_before {
            0 => String::new(),
            refused => format!(", of which {} were refused", thousands(refused)),
        };
        told.push(format!("{} rows were read by an earlier import{refused}", thousands(imported.resumed_after)));
    }
    if !dry_run {
        told.push(format!("{} records were added", thousands(imported.records_added)));
    }
    if counts.malformed > 0 {
        let advice = "Correct the file, or the mapping, and import it again; rows that were taken are not taken twice";
        told.push(advice.to_owned());
    }
    say(&told.join("\n"))
}
