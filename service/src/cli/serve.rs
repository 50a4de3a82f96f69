//! `serve`: the HTTP door.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use ledger::{Engine, SystemClock};
use serde_json::json;

use super::{Ended, Global, config::Given};
use crate::{
    access::{gate::Access, refused::Refusals},
    app::{self, OpenHolds},
    config::{Config, size},
    feed::Feed,
    files,
    http::{self, Door, Listening, Running, Tls},
    ledger_dir::LedgerDir,
    logs,
    output::{complain, print_json, say},
    signals,
    store::Store,
};

/// How long what reads the log may take to end.
const LAST_READS: Duration = Duration::from_secs(5);

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
        let tls = config.tls().map(|(certificate, key)| Tls::open(certificate, key)).transpose()?;
        signals::on_hang_up(); // from before anybody can know that it runs
        let (files, needed) = (files::open_more_files(), config.limits.files());
        if files < needed {
            complain(&format_args!(
                "limits.connections is {}, for which {needed} files are needed; the system lets this process open {files}: \
                 raise that (LimitNOFILE, ulimit -n), or lower limits.connections",
                config.limits.connections
            ));
        }
        let ledger = global.ledger().accepting_clock(config.accept_clock);
        let engine = Arc::new(ledger.start_or_make(config.shards)?);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the server")?;
        let served = runtime.block_on(serve(global, &config, tls, &ledger, &engine));
        // What still reads the log is asked to end, as everybody is.
        runtime.shutdown_timeout(LAST_READS);
        match Arc::into_inner(engine) {
            Some(engine) => drop(engine.close()?),
            None => complain(&"a question had not ended; the ledger is closed as it is, which the next start mends"),
        }
        served.map(|()| Ended::Well)
    }
}

async fn serve(
    global: &Global,
    config: &Config,
    tls: Option<Tls>,
    ledger: &LedgerDir,
    engine: &Arc<Engine>,
) -> Result<()> {
    let store = Store::open(ledger).await?;
    let access = Access::open(store.clone(), Arc::new(SystemClock)).await?;
    let (listen, limits) = (config.listen, config.limits);
    if !listen.ip().is_loopback() && !access.needs_tokens().await? {
        bail!(
            "{listen} can be reached from other machines, and no token was made: whoever reaches it could do anything. Make \
             one first: {}",
            ledger.typed("token create --name NAME --role admin --person YOU")
        );
    }
    let refusals = Refusals::start(store.clone());
    let feed = Feed::new(engine.reader(), size(limits.followers)).context("starting the feed")?;
    let holds = OpenHolds::start(engine).context("following open holds")?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let listening = Listening::on(listen, tls.map(Arc::new)).await.with_context(|| format!("listening on {listen}"))?;
    let address = format!("{scheme}://{}", listening.address);
    if global.json {
        print_json(&json!({ "listening": address }))?;
    } else {
        say(&format_args!("listening on {address}, until Ctrl-C"))?;
    }
    if scheme == "http" && !listen.ip().is_loopback() {
        complain(&"tokens come in unencrypted: set tls.certificate and tls.key, unless a proxy before this speaks TLS");
    }
    let asked = app::Ledger::running(ledger, Arc::clone(engine)).with_open_holds(holds);
    let door = Door::new(Running::new(Arc::clone(engine), asked, feed, (store, access, refusals), limits));
    http::serve(listening, &door, signals::asked_to_end()).await;
    if let Some(running) = door.alone(LAST_READS).await {
        running.access.close().await?;
        running.refusals.close().await;
        running.store.close().await;
    }
    Ok(())
}
