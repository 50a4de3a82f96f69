//! `giftledger`: the one binary. Commands go to the engine, questions to folds of the log; nothing
//! is decided here.

mod cli;
mod import;
mod ledger_dir;
mod output;
mod platform_file;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("GIFTLEDGER_LOG"))
        .with_writer(std::io::stderr)
        .init();
    let cli = cli::Cli::parse();
    match cli.run() {
        Ok(cli::Ended::Well) => ExitCode::SUCCESS,
        Ok(cli::Ended::WithFault) => ExitCode::from(1),
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("giftledger: {error:#}");
            // What the ledger found wrong or refused is a fault; the rest is a matter of how it was called.
            let fault = error.chain().any(|cause| {
                cause.is::<ledger::Error>() || cause.is::<ledger::Unavailable>() || cause.is::<schemas::Rejection>()
            });
            ExitCode::from(if fault { 1 } else { 2 })
        }
    }
}
