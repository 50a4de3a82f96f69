//! `giftledger`: the one binary. Commands go to the engine, questions to folds of the log; nothing
//! is decided here.

mod cli;
mod import;
mod ledger_dir;
mod local_time;
mod output;
mod platform_file;
mod toml_text;
mod words;

use std::{
    io::{ErrorKind, IsTerminal},
    process::ExitCode,
};

use clap::Parser;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Warnings and errors, unless `GIFTLEDGER_LOG` asks for more or less.
fn log_filter() -> EnvFilter {
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).with_env_var("GIFTLEDGER_LOG");
    builder.from_env_lossy()
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(log_filter())
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let cli = cli::Cli::parse();
    match cli.run() {
        Ok(cli::Ended::Well) => ExitCode::SUCCESS,
        Ok(cli::Ended::WithFault) => ExitCode::from(1),
        // A reader may have seen enough; whoever appends has not been told everything.
        Err(error) if output::is_closed_pipe(&error) && !error.is::<cli::Unanswered>() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("giftledger: {}", schemas::visible_lines(&format!("{error:#}")));
            // What the ledger found wrong or refused is a fault; the rest is a matter of how it was called.
            let fault = error.is::<cli::Unanswered>()
                || error.chain().any(|cause| {
                    cause.is::<ledger::Error>()
                        || cause.is::<ledger::Unavailable>()
                        || cause.is::<schemas::Rejection>()
                        || cause.is::<cli::NotFound>()
                        || cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::StorageFull)
                });
            ExitCode::from(if fault { 1 } else { 2 })
        }
    }
}
