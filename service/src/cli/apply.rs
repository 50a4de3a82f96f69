//! `apply`: a platform file becomes the next version of the reference data.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use anyhow::{Result, bail};
use schemas::Shard;

use super::{Ended, Global, Start, ToWrite};
use crate::{
    app::actions::reference,
    ledger_dir::shell_quoted,
    output::{ask, print_json, say},
    platform_file::Difference,
};

/// Withdrawn items that a question names; the difference above it names all.
const NAMED: usize = 10;

/// Show what a platform file changes in the reference data, and append it as one version.
///
/// An apply that was interrupted goes on with the same file.
#[derive(Debug, clap::Args)]
pub struct Apply {
    /// The platform file (TOML, or JSON where its name ends in .json): entity, items, terms of streamers and guilds, memberships.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pruning: Pruning,
    /// How many shards a new ledger has.
    #[arg(long)]
    shards: Option<Shard>,
    #[command(flatten)]
    to_write: ToWrite,
}

/// What becomes of items that a file does not name.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Pruning {
    /// Withdraw the items that the file does not name.
    #[arg(long)]
    prune: bool,
    /// Withdraw them without asking.
    #[arg(long, requires = "prune")]
    yes: bool,
}

impl Pruning {
    /// Whether anything may be withdrawn.
    pub fn is_asked(self) -> bool {
        self.prune
    }

    /// Asks whether items shall be withdrawn, if any are; `typed` is the command that says so itself.
    pub fn confirm(self, difference: &Difference, typed: &str) -> Result<()> {
        let withdrawn: Vec<&str> = difference.withdrawn().map(schemas::ItemId::as_str).collect();
        if withdrawn.is_empty() || self.yes {
            return Ok(());
        }
        let count = withdrawn.len();
        let more = if count > NAMED { ", …" } else { "" };
        let named = format!("{}{more}", withdrawn[..count.min(NAMED)].join(", "));
        let what = if count == 1 { format!("item {named}") } else { format!("{count} items ({named})") };
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            bail!("it would withdraw {what}, and there is no terminal to ask; to do it: {typed}");
        }
        let answer = ask(&format_args!("Withdraw {what}? Nobody can give them any more. [y/N] "))?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            bail!("nothing was changed; without --prune the items that the file does not name stay");
        }
        Ok(())
    }
}

impl Apply {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let file = reference::read_file(&self.file)?;
        let home = global.home()?;
        if self.dry_run {
            let difference = home.difference(&file, self.pruning.is_asked())?;
            if global.json {
                difference.changes.iter().try_for_each(print_json)?;
            } else {
                say(&difference)?;
            }
            return Ok(Ended::Well);
        }
        let typed = home.typed(&format!("apply -f {} --prune --yes", shell_quoted(&self.file.display().to_string())));
        let applied = home.write(&self.to_write, Start::OrMake(self.shards), |ledger| {
            ledger.publish(&file, self.pruning.is_asked(), |difference| {
                if !global.json {
                    say(difference)?;
                }
                self.pruning.confirm(difference, &typed)
            })
        })?;
        if global.json {
            print_json(&applied)?;
        } else if applied.changes > 0 {
            say(&applied)?;
        }
        Ok(Ended::Well)
    }
}
