//! `serve`: the HTTP door.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use ledger::{Engine, SystemClock};
use serde_json::json;

use super::{Ended, Global};
use crate::{
    access::{gate::Access, refused::Refusals},
    app,
    feed::Feed,
    http::{Door, Listening, Running, serve},
    ledger_dir::LedgerDir,
    output::{complain, print_json, say},
    store::Store,
};

/// How long what reads the log may take to end.
const LAST_READS: Duration = Duration::from_secs(5);

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
        let ledger = global.ledger()?.accepting_clock(self.accept_clock);
        let engine = Arc::new(ledger.start_or_make(self.shards)?);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the server")?;
        let served = runtime.block_on(self.serve(global, &ledger, &engine));
        // What still reads the log is asked to end, as everybody is.
        runtime.shutdown_timeout(LAST_READS);
        match Arc::into_inner(engine) {
            Some(engine) => drop(engine.close()?),
            None => complain(&"a question had not ended; the ledger is closed as it is, which the next start mends"),
        }
        served.map(|()| Ended::Well)
    }

    async fn serve(&self, global: &Global, ledger: &LedgerDir, engine: &Arc<Engine>) -> Result<()> {
        let store = Store::open(ledger).await?;
        let access = Access::open(store.clone(), Arc::new(SystemClock)).await?;
        if !self.listen.ip().is_loopback() && !access.needs_tokens().await? {
            bail!(
                "{} can be reached from other machines, and no token was made: whoever reaches it could do anything. Make \
                 one first: {}",
                self.listen,
                ledger.typed("token create --name NAME --role admin --person YOU")
            );
        }
        let refusals = Refusals::start(store.clone());
        let feed = Feed::new(engine.reader()).context("starting the feed")?;
        let listening = Listening::on(self.listen).await.with_context(|| format!("listening on {}", self.listen))?;
        let address = format!("http://{}", listening.address);
        if global.json {
            print_json(&json!({ "listening": address }))?;
        } else {
            say(&format_args!("listening on {address}, until Ctrl-C"))?;
        }
        let asked = app::Ledger::running(ledger, Arc::clone(engine));
        let door = Door::new(Running::new(Arc::clone(engine), asked, feed, (store, access, refusals)));
        serve(listening, &door).await;
        if let Some(running) = door.into_inner() {
            running.access.close().await?;
            running.refusals.close().await;
            running.store.close().await;
        }
        Ok(())
    }
}
