//! `serve`: the HTTP door.

use anyhow::Result;
use serde_json::json;

use super::{Ended, Global, config::Given};
use crate::{
    files, http, logs,
    output::{complain, print_json, say},
    signals,
};

/// Serve the ledger over HTTP, until Ctrl-C or SIGTERM.
///
/// What was accepted by then is answered, and the ledger closed in order.
#[derive(Debug, clap::Args)]
pub struct Serve {
    #[command(flatten)]
    given: Given,
}

impl Serve {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let config = self.given.load(global)?.config;
        logs::start_as(&config.log_level, config.log_format);
        signals::on_hang_up(); // from before anybody can know that it runs
        let (files, needed) = (files::open_more_files(), config.limits.files());
        if files < needed {
            complain(&format_args!(
                "limits.connections is {}, for which {needed} files are needed; the system lets this process open {files}: \
                 raise that (LimitNOFILE, ulimit -n), or lower limits.connections",
                config.limits.connections
            ));
        }
        let ledger = global.ledger()?.accepting_clock(config.accept_clock);
        let engine = ledger.start_or_make(config.shards)?;
        http::run(&config, &ledger, engine, async |address, _| {
            if global.json {
                print_json(&json!({ "listening": address }))
            } else {
                say(&format_args!("listening on {address}, until Ctrl-C"))
            }
        })?;
        Ok(Ended::Well)
    }
}
