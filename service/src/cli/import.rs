//! `import`: gifts of a CSV file, with the top-ups that the mapping lays before them.
//!
//! A chunk's top-ups go first and are waited for, then its gifts. Ids are made from the rows, so a
//! row that was taken is not taken twice; how far a file was read is stored with the ledger's
//! position, so that an interrupted import goes on from there.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use ledger::{Answer, Engine, Lines, log::Head};
use replay::AsOf;
use schemas::{Change, Envelope, ItemId, Shard, visible};
use serde::{Deserialize, Serialize};

use super::{
    Ended, Global,
    apply::{Pruning, apply},
};
use crate::{
    import::{Mapping, Position, Row, Rows},
    ledger_dir::{LedgerDir, shell_quoted},
    output::{Progress, json_line, say, stdout, thousands},
    platform_file,
};

/// Rows submitted at once.
const CHUNK: usize = 8_189;
/// Refused rows that are printed; the rest is counted.
const SHOWN: u64 = 20;

/// Import gifts from a CSV file, plain or gzipped. Can be interrupted and repeated.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// The file.
    file: PathBuf,
    /// How its columns become gifts (TOML).
    #[arg(long, value_name = "FILE")]
    mapping: PathBuf,
    /// Apply this platform file first.
    #[arg(long, value_name = "FILE")]
    platform: Option<PathBuf>,
    #[command(flatten)]
    pruning: Pruning,
    /// Read the file from its start, although it was read before: rows that were taken are not taken twice.
    #[arg(long)]
    from_start: bool,
    /// How many shards a new ledger has.
    #[arg(long)]
    shards: Option<Shard>,
}

/// What an import did.
#[derive(Debug, Default, Serialize)]
struct Imported {
    /// Rows of the file that were read now.
    rows: u64,
    /// Rows that an earlier import had read.
    resumed_after: u64,
    gifts: u64,
    /// Rows that were refused, those of an earlier import of the file included.
    refused: u64,
    /// Records that the log has gained.
    records_added: u64,
}

/// How far a file was imported, and where the ledger stood then.
#[derive(Debug, Serialize, Deserialize)]
struct Bookmark {
    file: Position,
    /// Rows up to there that were refused.
    refused: u64,
    ledger: Head,
}

impl Import {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let mapping = Mapping::read(&self.mapping)?;
        let rows = Rows::open(&self.file, &mapping)?;
        if self.platform.is_none() && self.pruning.is_asked() {
            bail!("--prune is about the items that a platform file does not name; name the file with --platform");
        }
        let wanted = self.platform.as_deref().map(platform_file::read).transpose()?;
        let ledger = global.ledger();
        let engine = if wanted.is_some() { ledger.start_or_make(self.shards)? } else { ledger.start(self.shards)? };
        let imported = self.import(&engine, &ledger, rows, &mapping.gift.item, wanted.as_deref());
        engine.close()?;
        let imported = imported?;
        if global.json {
            json_line(&mut stdout(), &imported)?;
        } else {
            say(&format_args!(
                "{} rows read, {} gifts on the log, {} refused, {} records added",
                thousands(imported.rows),
                thousands(imported.gifts),
                thousands(imported.refused),
                thousands(imported.records_added)
            ))?;
            if imported.resumed_after > 0 {
                say(&format_args!("{} rows were read by an earlier import", thousands(imported.resumed_after)))?;
            }
        }
        Ok(Ended::with(imported.refused == 0))
    }

    fn import(
        &self,
        engine: &Engine,
        ledger: &LedgerDir,
        mut rows: Rows,
        item: &ItemId,
        wanted: Option<&[Change]>,
    ) -> Result<Imported> {
        let before = records(&engine.reader().head());
        if let Some(wanted) = wanted {
            apply(engine, ledger, wanted, self.pruning, &self.typed(ledger), |_| Ok(()))?;
        }
        check_item(ledger, item)?;
        let bookmark = BookmarkFile::of(ledger, &self.file)?;
        let mut imported = Imported::default();
        if !self.from_start
            && let Some(read) = bookmark.read(engine)?
        {
            rows.resume(&read.file)?;
            imported.resumed_after = read.file.rows;
            imported.refused = read.refused;
        }
        let bytes = rows.progress();
        let progress = Progress::bytes(bytes.total(), "importing");
        loop {
            let chunk: Vec<Row> = rows.by_ref().take(CHUNK).collect::<Result<_>>()?;
            if chunk.is_empty() {
                break;
            }
            imported.rows += chunk.len() as u64;
            import_chunk(engine, chunk, &mut imported)?;
            let reader = engine.reader();
            let head = reader.head();
            reader.store_position("import", &head)?;
            bookmark.store(&Bookmark { file: rows.reached(), refused: imported.refused, ledger: head })?;
            progress.set(bytes.read());
        }
        imported.records_added = records(&engine.reader().head()) - before;
        Ok(imported)
    }
}

impl Import {
    /// The command that withdraws items without asking.
    fn typed(&self, ledger: &LedgerDir) -> String {
        let quoted = |path: &std::path::Path| shell_quoted(&path.display().to_string());
        let platform = self.platform.as_deref().map(|path| format!(" --platform {}", quoted(path))).unwrap_or_default();
        ledger.typed(&format!(
            "import {} --mapping {}{platform} --prune --yes",
            quoted(&self.file),
            quoted(&self.mapping)
        ))
    }
}

/// A refusal uses an id up, so what every row needs must be there before the first.
fn check_item(ledger: &LedgerDir, item: &ItemId) -> Result<()> {
    let (reference, clock) = ledger.reference(AsOf::End)?;
    if reference.at(clock).on_sale(item).is_some() {
        return Ok(());
    }
    let scheduled = reference.scheduled(clock);
    let next = scheduled.iter().find(|next| matches!(next.change, Change::Item(new) if new.item == *item));
    if let Some(next) = next {
        bail!(
            "item {item}, which the mapping names, is not on sale before {}, when version {} of the reference data \
             holds: import then, or apply a platform that sells it now",
            next.from,
            next.version
        );
    }
    bail!("item {item}, which the mapping names, is not on sale: apply the platform first, or name it with --platform");
}

fn import_chunk(engine: &Engine, chunk: Vec<Row>, imported: &mut Imported) -> Result<()> {
    let mut top_ups: Vec<(u64, Envelope)> = Vec::new();
    let mut gifts: Vec<(u64, Envelope)> = Vec::with_capacity(chunk.len());
    for row in chunk {
        top_ups.extend(row.top_up.map(|top_up| (row.line, top_up)));
        gifts.push((row.line, row.gift));
    }
    submit(engine, top_ups, imported)?;
    imported.gifts += submit(engine, gifts, imported)?;
    Ok(())
}

/// How many were taken.
fn submit(engine: &Engine, lines: Vec<(u64, Envelope)>, imported: &mut Imported) -> Result<u64> {
    let (numbers, commands): (Vec<u64>, Vec<Envelope>) = lines.into_iter().unzip();
    let ids: Vec<_> = commands.iter().map(|command| command.id.clone()).collect();
    let mut taken = 0;
    for ((line, id), answer) in numbers.into_iter().zip(ids).zip(engine.execute(commands, Lines::Independent)) {
        let why = match answer {
            Answer::Taken(_) => {
                taken += 1;
                continue;
            }
            Answer::Unavailable(why) => {
                return Err(why).with_context(|| format!("line {line}; import again and it goes on from here"));
            }
            Answer::Refused(refused) => refused.message,
            Answer::Conflict { shard, sequence } => {
                format!("the id stands for another command, in record {shard}-{sequence}")
            }
            Answer::Malformed { message } => message,
        };
        imported.refused += 1;
        if imported.refused <= SHOWN {
            eprintln!("giftledger: line {line}, {}: {}", visible(id.as_str()), visible(&why));
        }
    }
    Ok(taken)
}

fn records(head: &Head) -> u64 {
    head.shards.iter().map(|shard| shard.sequence).sum()
}

/// Where a file's bookmark lies: `imports/<name>.json` in the ledger's folder.
struct BookmarkFile(PathBuf);

impl BookmarkFile {
    fn of(ledger: &LedgerDir, file: &std::path::Path) -> Result<Self> {
        let name = file.file_name().with_context(|| format!("{} is not a file", file.display()))?;
        let folder = ledger.path().join("imports");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let mut name = name.to_owned();
        name.push(".json");
        Ok(Self(folder.join(name)))
    }

    /// How far the file was read, if the ledger still has what was made of it.
    fn read(&self, engine: &Engine) -> Result<Option<Bookmark>> {
        let path = self.0.display();
        let text = match fs::read(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {path}")),
        };
        let bookmark: Bookmark = serde_json::from_slice(&text)
            .with_context(|| format!("{path} is damaged; import with --from-start, no row is taken twice"))?;
        let mut reader = engine.reader();
        if bookmark.ledger.lineage != reader.head().lineage {
            let (expected, found) = (reader.head().lineage, bookmark.ledger.lineage);
            return Err(ledger::Error::ForeignLineage { path: self.0.clone(), expected, found })
                .context("remove the bookmark and import again, no row is taken twice");
        }
        for (shard, stored) in (0..).zip(&bookmark.ledger.shards) {
            if reader.hash_at(shard, stored.sequence)? != Some(stored.hash) {
                let (name, sequence) = (path.to_string(), stored.sequence);
                return Err(ledger::Error::HashMismatch { name, shard, sequence }.into());
            }
        }
        Ok(Some(bookmark))
    }

    /// Stores it so that a crash leaves the old one or the new one.
    fn store(&self, bookmark: &Bookmark) -> Result<()> {
        let draft = self.0.with_extension("draft");
        fs::write(&draft, serde_json::to_vec(bookmark)?)
            .and_then(|()| fs::File::open(&draft)?.sync_all())
            .and_then(|()| fs::rename(&draft, &self.0))
            .with_context(|| format!("writing {}", self.0.display()))
    }
}
