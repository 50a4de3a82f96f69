//! `apply`: a platform file becomes the next version of the reference data.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use ledger::{Answer, Clock, Engine, Lines, SystemClock};
use schemas::{ActorId, Change, Command, CommandId, Envelope, MAX_CHANGES_A_PART, Publish, Shard, Timestamp};
use serde::Serialize;

use super::{Ended, Global};
use crate::{
    ledger_dir::LedgerDir,
    output::{json_line, say, stdout},
    platform_file::{self, Current},
};

/// How far ahead a version holds: long enough for every shard to take it first.
const AHEAD_MS: i64 = 200;

/// Show what a platform file changes, and append it as one version.
#[derive(Debug, clap::Args)]
pub struct Apply {
    /// The platform file (TOML): entity, items, terms of streamers and guilds, memberships.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
    /// How many shards a new ledger has.
    #[arg(long)]
    shards: Option<Shard>,
}

/// What was applied.
#[derive(Debug, Serialize)]
struct Applied {
    version: u64,
    changes: usize,
    from: Option<Timestamp>,
}

impl Apply {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let wanted = platform_file::read(&self.file)?;
        let ledger = global.ledger();
        if self.dry_run {
            let current = if ledger.exists() { current(&ledger)?.0 } else { Current::default() };
            let difference = platform_file::difference(&current, &wanted);
            if global.json {
                difference.changes.iter().try_for_each(|change| json_line(&mut stdout(), change))?;
            } else {
                say(&difference)?;
            }
            return Ok(Ended::Well);
        }
        let engine = ledger.start(self.shards)?;
        let applied = apply(&engine, &ledger, &wanted, !global.json);
        engine.close()?;
        let applied = applied?;
        if global.json {
            json_line(&mut stdout(), &applied)?;
        } else if applied.changes > 0 {
            say(&format_args!("version {} holds in every shard: {} changes", applied.version, applied.changes))?;
        }
        Ok(Ended::Well)
    }
}

fn current(ledger: &LedgerDir) -> Result<(Current, u64)> {
    let reference = ledger.reference(replay::AsOf::End)?;
    Ok((Current::of(&reference), reference.version()))
}

/// Appends what differs, and returns once every shard has taken it and it holds.
pub fn apply_changes(engine: &Engine, ledger: &LedgerDir, wanted: &[Change]) -> Result<()> {
    apply(engine, ledger, wanted, false).map(drop)
}

fn apply(engine: &Engine, ledger: &LedgerDir, wanted: &[Change], show: bool) -> Result<Applied> {
    let (current, version) = current(ledger)?;
    let difference = platform_file::difference(&current, wanted);
    let entity = difference.changes.iter().any(|change| matches!(change, Change::Entity(_)));
    if entity && current.entity.is_some() {
        bail!(
            "the entity's currency, zone and coins_per_unit are published and cannot change: every past month would \
             be valued anew; keep them, or begin another ledger"
        );
    }
    if show {
        say(&difference)?;
    }
    if difference.is_empty() {
        return Ok(Applied { version, changes: 0, from: None });
    }
    let version = version + 1;
    let from = SystemClock.now().plus_millis(AHEAD_MS);
    let parts: Vec<&[Change]> = difference.changes.chunks(MAX_CHANGES_A_PART).collect();
    for (part, changes) in (0_u32..).zip(&parts) {
        let last = usize::try_from(part).is_ok_and(|part| part + 1 == parts.len());
        publish(engine, Publish { version, part, last, from, changes: changes.to_vec() })?;
    }
    let wait = from.nanos().saturating_sub(SystemClock.now().nanos());
    std::thread::sleep(Duration::from_nanos(u64::try_from(wait).unwrap_or(0)));
    Ok(Applied { version, changes: difference.changes.len(), from: Some(from) })
}

fn publish(engine: &Engine, publish: Publish) -> Result<()> {
    let id = format!("apply:{}:{}:{}", publish.version, publish.part, publish.from);
    let (version, part) = (publish.version, publish.part);
    let envelope = Envelope {
        id: CommandId::new(&id).context("naming the version")?,
        occurred_at: None,
        actor: Some(ActorId::new("apply")?),
        client: None,
        command: Command::Publish(publish),
    };
    match engine.execute(vec![envelope], Lines::Independent).pop() {
        Some(Answer::Taken(_)) => Ok(()),
        Some(Answer::Refused(refused)) => Err(refused.rejection)
            .with_context(|| format!("part {part} of version {version} was refused; run it again to see what changed")),
        Some(Answer::Malformed { message }) => bail!("part {part} of version {version}: {message}"),
        Some(Answer::Unavailable(why)) => Err(why).with_context(|| format!("part {part} of version {version}")),
        other => bail!("part {part} of version {version}: {other:?}"),
    }
}
