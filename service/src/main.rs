//! `giftledger`: the one binary. Commands go to the engine, questions to folds of the log; nothing
//! is decided here.

mod access;
mod app;
mod cli;
mod client;
mod config;
mod feed;
mod files;
mod http;
mod import;
mod ledger_dir;
mod local_time;
mod logs;
mod output;
mod platform_file;
mod signals;
mod store;
mod subscriptions;
mod toml_text;
mod words;

use std::{
    panic::{self, PanicHookInfo},
    process::ExitCode,
};

/// A mistake of ours ends a command with a sentence, not with the inside of the program.
fn say_whose_mistake(panic: &PanicHookInfo<'_>) {
    if ledger::is_catching() {
        return; // whoever catches it says what it means
    }
    let what = panic.payload_as_str().unwrap_or("no reason is known");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    output::complain(&format_args!(
        "this is a mistake in giftledger, not in what you asked: {what} ({place}). What was answered stands; run \
         giftledger verify, and report this line"
    ));
}

fn main() -> ExitCode {
    signals::let_large_files_fail();
    panic::set_hook(Box::new(say_whose_mistake));
    panic::catch_unwind(run).unwrap_or(ExitCode::from(1)) // what it was has been said
}

fn run() -> ExitCode {
    let cli = cli::Cli::read();
    match cli.run() {
        Ok(cli::Ended::Well) => ExitCode::SUCCESS,
        Ok(cli::Ended::WithFault) => ExitCode::from(1),
        // A reader may have seen enough; whoever appends has not been told everything.
        Err(error) if output::is_closed_pipe(&error) && !is_unanswered(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&schemas::visible_lines(&format!("{error:#}")));
            let of_app = error.downcast_ref::<app::Error>().and_then(app::Error::interrupted);
            let of_client = error.downcast_ref::<client::Error>().and_then(client::Error::interrupted);
            let interrupted = of_app.or(of_client).or_else(|| error.downcast_ref::<signals::Interrupted>());
            if let Some(interrupted) = interrupted {
                return ExitCode::from(interrupted.exit_code());
            }
            // What the ledger found wrong or refused is a fault; the rest is a matter of how it was called.
            ExitCode::from(if error.chain().any(|cause| app::is_fault(cause) || client::is_fault(cause)) {
                1
            } else {
                2
            })
        }
    }
}

fn is_unanswered(error: &anyhow::Error) -> bool {
    let of_client = error.downcast_ref().is_some_and(client::Error::is_unanswered);
    of_client || matches!(error.downcast_ref(), Some(app::Error::Unanswered { .. }))
}
