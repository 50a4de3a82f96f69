//! The command line: one file per command.

mod anchor;
mod append;
mod apply;
mod backup;
mod balance;
mod bench;
mod board;
mod config;
mod demo;
mod events;
mod export;
mod find;
mod import;
mod init;
mod log;
mod order;
mod orders;
mod reconcile;
mod restore;
mod serve;
mod settle;
mod snapshot;
mod status;
mod support;
mod token;
mod verify;
mod wallet;
mod why;

use std::{io::Write, path::PathBuf, sync::Arc};

use anyhow::Result;
use chrono_tz::Tz;
use clap::{CommandFactory, Parser, Subcommand};
use ledger::Caller;
use replay::AsOf;
use schemas::Source;
use serde::Serialize;

use crate::{
    app,
    ledger_dir::LedgerDir,
    logs,
    output::{Bars, json_line, stdout},
};

/// The event-sourced gift and settlement ledger of live-streaming platforms.
#[derive(Debug, Parser)]
#[command(name = "giftledger", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// The folder of the ledger.
    #[arg(long, global = true, value_name = "DIR", default_value = "giftledger-data", env = "GIFTLEDGER_DATA")]
    data: PathBuf,
    /// Print objects, one a line, instead of text for people.
    #[arg(long, global = true)]
    json: bool,
}

impl Global {
    fn ledger(&self) -> LedgerDir {
        LedgerDir::new(&self.data)
    }

    fn ledger_to_read(&self) -> app::Ledger {
        watched(&self.ledger())
    }

    fn ledger_to_write(&self, how: &ToWrite) -> LedgerDir {
        self.ledger().accepting_clock(how.accept_clock)
    }
}

/// A ledger whose folds show how far they are.
pub fn watched(ledger: &LedgerDir) -> app::Ledger {
    app::Ledger::of(ledger).watched_by(Arc::new(Bars))
}

/// What every command takes that opens the ledger to write.
#[derive(Debug, Clone, clap::Args)]
pub struct ToWrite {
    /// The service as which it is asked: command ids are its own, so two services may use the same id.
    #[arg(long, value_name = "SERVICE", default_value = "cli", value_parser = parse_source)]
    source: Source,
    /// The machine's clock is right, although the last record is more than 400 days old.
    #[arg(long)]
    accept_clock: bool,
}

impl ToWrite {
    /// Who asks.
    fn caller(&self) -> Caller {
        Caller::of(self.source.clone())
    }
}

/// A source that a service may have.
fn parse_source(text: &str) -> Result<Source, String> {
    let source: Source = text.parse().map_err(|error: schemas::IdError| error.to_string())?;
    if source.is_own() {
        Err(format!("{source} is a part of the ledger itself; take another name"))
    } else {
        Ok(source)
    }
}

/// Prints an answer: as an object, or for people, who are shown times in the zone of the books.
fn show<A: Serialize>(
    global: &Global,
    ledger: &app::Ledger,
    (answer, as_of): (&A, Option<AsOf>),
    print: impl FnOnce(&mut dyn Write, &A, Tz) -> Result<()>,
) -> Result<Ended> {
    let mut out = stdout();
    if global.json {
        json_line(&mut out, answer)?;
    } else {
        print(&mut out, answer, ledger.shown_zone(as_of.unwrap_or(AsOf::End))?)?;
    }
    out.flush()?;
    Ok(Ended::Well)
}

/// How a command ended that could be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing to complain about.
    Well,
    /// It found a fault, or something was refused.
    WithFault,
}

impl Ended {
    fn with(ok: bool) -> Self {
        if ok { Self::Well } else { Self::WithFault }
    }
}

/// What can be asked of it, in a few words each for the list; a command tells the rest itself.
#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Init(init::Init),
    Apply(apply::Apply),
    Append(append::Append),
    Import(import::Import),
    Events(events::Events),
    Order(order::Order),
    Orders(orders::Orders),
    Find(find::Find),
    Refund(support::Refund),
    RollBack(support::RollBack),
    Release(support::Release),
    Capture(support::Capture),
    Grant(support::Grant),
    Balance(balance::Balance),
    Why(why::Why),
    Wallet(wallet::Wallet),
    Board(board::Board),
    Serve(serve::Serve),
    Settle(settle::Settle),
    Status(status::Status),
    Verify(verify::Verify),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Anchor(anchor::Anchor),
    #[command(subcommand)]
    Reconcile(reconcile::Reconcile),
    Export(export::Export),
    Snapshot(snapshot::Snapshot),
    #[command(subcommand)]
    Config(config::Config),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Log(log::Log),
    Bench(bench::Bench),
    /// Print the completions of a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// Carries the command out.
    pub fn run(self) -> Result<Ended> {
        let global = &self.global;
        if !matches!(self.command, Command::Serve(_)) {
            logs::start(); // a server first reads how
        }
        match self.command {
            Command::Demo(command) => command.run(global),
            Command::Init(command) => command.run(global),
            Command::Apply(command) => command.run(global),
            Command::Append(command) => command.run(global),
            Command::Import(command) => command.run(global),
            Command::Events(command) => command.run(global),
            Command::Order(command) => command.run(global),
            Command::Orders(command) => command.run(global),
            Command::Find(command) => command.run(global),
            Command::Refund(command) => command.run(global),
            Command::RollBack(command) => command.run(global),
            Command::Release(command) => command.run(global),
            Command::Capture(command) => command.run(global),
            Command::Grant(command) => command.run(global),
            Command::Balance(command) => command.run(global),
            Command::Why(command) => command.run(global),
            Command::Wallet(command) => command.run(global),
            Command::Board(command) => command.run(global),
            Command::Serve(command) => command.run(global),
            Command::Settle(command) => command.run(global),
            Command::Status(command) => command.run(global),
            Command::Verify(command) => command.run(global),
            Command::Backup(command) => command.run(global),
            Command::Restore(command) => command.run(global),
            Command::Anchor(command) => command.run(global),
            Command::Reconcile(command) => command.run(global),
            Command::Export(command) => command.run(global),
            Command::Snapshot(command) => command.run(global),
            Command::Config(command) => command.run(global),
            Command::Token(command) => command.run(global),
            Command::Log(command) => command.run(global),
            Command::Bench(command) => command.run(global),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "giftledger", &mut script);
                let mut out = stdout();
                out.write_all(&script)?;
                out.flush()?;
                Ok(Ended::Well)
            }
        }
    }
}
