//! `serve`: the HTTP door.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use serde_json::json;

use super::{Ended, Global};
use crate::{
    http::{Door, Listening, Running, router, serve},
    output::{print_json, say},
};

/// Serve the ledger over HTTP, until Ctrl-C or SIGTERM.
///
/// What was accepted by then is answered, and the ledger closed in order.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8040", env = "GIFTLEDGER_LISTEN")]
    listen: SocketAddr,
    /// How many shards a new ledger has; 16 if not given.
    #[arg(long, value_name = "N")]
    shards: Option<u16>,
    /// The machine's clock is right, although the last record is more than 400 days old.
    #[arg(long)]
    accept_clock: bool,
}

impl Serve {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let ledger = global.ledger().accepting_clock(self.accept_clock);
        let engine = Arc::new(ledger.start_or_make(self.shards)?);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the server")?;
        let served = runtime.block_on(async {
            let listening =
                Listening::on(self.listen).await.with_context(|| format!("listening on {}", self.listen))?;
            let address = format!("http://{}", listening.address);
            if global.json {
                print_json(&json!({ "listening": address }))?;
            } else {
                say(&format_args!("listening on {address}, until Ctrl-C"))?;
            }
            let door = Door::new(Running { engine: Arc::clone(&engine) });
            serve(listening, router(door)).await;
            anyhow::Ok(())
        });
        drop(runtime);
        let engine = Arc::into_inner(engine).context("somebody still uses the ledger")?;
        engine.close()?;
        served.map(|()| Ended::Well)
    }
}
