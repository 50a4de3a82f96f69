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
mod home;
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

use anyhow::{Result, bail};
use chrono_tz::Tz;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};
use ledger::Caller;
use replay::AsOf;
use schemas::Source;
use serde::Serialize;

use crate::{
    app,
    client::{Server, ServerAddress},
    files,
    ledger_dir::LedgerDir,
    logs,
    output::{Bars, complain, json_line, stdout},
};

pub use home::{Home, Start, Writing};

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
    /// The server of the ledger, http://HOST:PORT or https://HOST:PORT, in place of its folder.
    #[arg(long, global = true, value_name = "URL", env = "GIFTLEDGER_SERVER")]
    server: Option<String>,
    /// Who asks the server. Others on this machine can see it here: --token-file keeps it to yourself.
    #[arg(long, global = true, value_name = "TOKEN", env = "GIFTLEDGER_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A file with the token, which nobody else may read.
    #[arg(long, global = true, value_name = "FILE", env = "GIFTLEDGER_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Print objects, one a line, instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    /// How it was called.
    #[arg(skip)]
    called: Called,
}

/// How a command was called.
#[derive(Debug, Default)]
struct Called {
    /// Its name.
    command: String,
    /// What was typed of where the ledger is and who asks.
    typed: Vec<&'static str>,
    /// What of it the environment says.
    set: Vec<&'static str>,
}

impl Called {
    fn of(matches: &ArgMatches) -> Self {
        let from = |source| {
            let names = ["data", "server", "token", "token_file"].into_iter();
            names.filter(|name| matches.value_source(name) == Some(source)).collect()
        };
        let command = matches.subcommand_name().unwrap_or_default().to_owned();
        Self { command, typed: from(ValueSource::CommandLine), set: from(ValueSource::EnvVariable) }
    }

    fn is_typed(&self, name: &str) -> bool {
        self.typed.contains(&name)
    }
}

impl Global {
    /// The server, where the ledger is behind one. What is typed goes before what is set.
    fn chosen_server(&self) -> Result<Option<&str>> {
        let (data, server) = (self.called.is_typed("data"), self.called.is_typed("server"));
        let data_set = self.called.set.contains(&"data");
        match (&self.server, server, data) {
            (Some(_), true, true) => bail!("--data names a folder and --server a server: name one of them"),
            (Some(_), false, false) if data_set => {
                bail!("GIFTLEDGER_DATA and GIFTLEDGER_SERVER are both set: name one of them with --data or --server")
            }
            (_, false, true) | (None, ..) => Ok(None),
            (Some(server), ..) => Ok(Some(server)),
        }
    }

    /// The server that was typed.
    fn typed_server(&self) -> Option<&str> {
        self.server.as_deref().filter(|_| self.called.is_typed("server"))
    }

    /// Where the ledger is, for what can be asked and done in both places.
    fn home(&self) -> Result<Home> {
        match self.chosen_server()? {
            None => Ok(Home::Folder(self.ledger_to_read()?)),
            Some(server) => {
                let address: ServerAddress = server.parse().map_err(anyhow::Error::msg)?;
                let token = self.token()?;
                if token.is_some() && !address.is_secure() && !address.is_local() {
                    complain(&format_args!("{address} is asked without TLS: whoever is on the way can read the token"));
                }
                Ok(Home::Server(Box::new(Server::at(address, token.as_deref())?)))
            }
        }
    }

    /// The token; what is typed goes before what is set.
    fn token(&self) -> Result<Option<String>> {
        let (token, token_file) = (self.called.is_typed("token"), self.called.is_typed("token_file"));
        match (&self.token, &self.token_file) {
            (Some(_), Some(_)) if token == token_file => {
                bail!(
                    "there are two tokens: name one of --token and --token-file (GIFTLEDGER_TOKEN, GIFTLEDGER_TOKEN_FILE)"
                )
            }
            (Some(text), file) if token || file.is_none() => Ok(Some(text.clone())),
            (_, Some(file)) => Ok(Some(files::read_secret(file)?.trim().to_owned())),
            _ => Ok(None),
        }
    }

    /// The folder, for what works on one.
    fn ledger(&self) -> Result<LedgerDir> {
        if let Some(server) = self.chosen_server()? {
            bail!(
                "giftledger {} works on the folder of a ledger, not through a server: on the machine of {} name the folder \
                 with --data DIR",
                self.called.command,
                schemas::visible(server)
            );
        }
        if self.called.is_typed("token") || self.called.is_typed("token_file") {
            bail!("a token is for a server: name it with --server URL, or leave the token out");
        }
        Ok(LedgerDir::new(&self.data))
    }

    fn ledger_to_read(&self) -> Result<app::Ledger> {
        Ok(watched(&self.ledger()?))
    }

    fn ledger_to_write(&self, how: &ToWrite) -> Result<LedgerDir> {
        Ok(self.ledger()?.accepting_clock(how.accept_clock))
    }
}

/// A ledger whose folds show how far they are.
pub fn watched(ledger: &LedgerDir) -> app::Ledger {
    app::Ledger::of(ledger).watched_by(Arc::new(Bars))
}

/// What every command takes that opens the ledger to write.
#[derive(Debug, Clone, clap::Args)]
pub struct ToWrite {
    /// The service as which it is asked: command ids are its own, so two services may use the same id. With a token it
    /// is the token's [default: cli]
    #[arg(long, value_name = "SERVICE", value_parser = parse_source)]
    source: Option<Source>,
    /// The machine's clock is right, although the last record is more than 400 days old.
    #[arg(long)]
    accept_clock: bool,
}

impl ToWrite {
    /// Who asks.
    fn caller(&self) -> Caller {
        Caller::of(self.source.clone().unwrap_or_else(Source::cli))
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
    home: &Home,
    (answer, as_of): (&A, Option<AsOf>),
    print: impl FnOnce(&mut dyn Write, &A, Tz) -> Result<()>,
) -> Result<Ended> {
    let mut out = stdout();
    if global.json {
        json_line(&mut out, answer)?;
    } else {
        print(&mut out, answer, home.shown_zone(as_of)?)?;
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
    /// What was typed. Ends the process where that is nothing that can be.
    pub fn read() -> Self {
        let matches = Self::command().get_matches();
        match Self::from_arg_matches(&matches) {
            Ok(mut cli) => {
                cli.global.called = Called::of(&matches);
                cli
            }
            Err(error) => error.format(&mut Self::command()).exit(),
        }
    }

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
