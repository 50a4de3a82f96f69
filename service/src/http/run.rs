//! A server on a ledger: all that runs beside its engine is started, serves until it is asked to end, and is ended in
//! order.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use ledger::{Engine, SystemClock};

use super::{Door, Listening, Running, Tls, serve};
use crate::{
    access::{gate::Access, refused::Refusals},
    app::{self, OpenHolds},
    config::{Config, Limits, size},
    feed::Feed,
    ledger_dir::LedgerDir,
    output::complain,
    signals,
    store::Store,
    subscriptions::Subscriptions,
};

/// How long what reads the log may take to end.
const LAST_READS: Duration = Duration::from_secs(5);

/// Serves a ledger until Ctrl-C or SIGTERM, and closes it. `ready` is told the address, before the first request.
///
/// # Errors
/// If it cannot start, or the ledger cannot be closed.
pub fn run(
    config: &Config,
    ledger: &LedgerDir,
    engine: Engine,
    ready: impl AsyncFnOnce(&str, &Door) -> Result<()>,
) -> Result<()> {
    let engine = Arc::new(engine);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the server")?;
    let served = runtime.block_on(serve_until_asked(config, ledger, &engine, ready));
    // What still reads the log is asked to end, as everybody is.
    runtime.shutdown_timeout(LAST_READS);
    match Arc::into_inner(engine) {
        Some(engine) => drop(engine.close()?),
        None => complain(&"a question had not ended; the ledger is closed as it is, which the next start mends"),
    }
    served
}

async fn serve_until_asked(
    config: &Config,
    ledger: &LedgerDir,
    engine: &Arc<Engine>,
    ready: impl AsyncFnOnce(&str, &Door) -> Result<()>,
) -> Result<()> {
    let tls = config.tls().map(|(certificate, key)| Tls::open(certificate, key)).transpose()?;
    let door = door(ledger, engine, config.limits).await?;
    let listen = config.listen;
    if !listen.ip().is_loopback() && !door.access.needs_tokens().await? {
        bail!(
            "{listen} can be reached from other machines, and no token was made: whoever reaches it could do anything. Make \
             one first: {}",
            ledger.typed("token create --name NAME --role admin --person YOU")
        );
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    let listening = Listening::on(listen, tls.map(Arc::new)).with_context(|| format!("listening on {listen}"))?;
    if scheme == "http" && !listen.ip().is_loopback() {
        complain(&"tokens come in unencrypted: set tls.certificate and tls.key, unless a proxy before this speaks TLS");
    }
    ready(&format!("{scheme}://{}", listening.address), &door).await?;
    serve(listening, &door, signals::asked_to_end()).await;
    if let Some(running) = door.alone(LAST_READS).await {
        running.access.close().await?;
        running.refusals.close().await;
        running.store.close().await;
    }
    Ok(())
}

/// All that runs beside an engine, and answers for it.
///
/// # Errors
/// If some of it cannot start.
pub async fn door(ledger: &LedgerDir, engine: &Arc<Engine>, limits: Limits) -> Result<Door> {
    let store = Store::open(ledger).await?;
    let access = Access::open(store.clone(), Arc::new(SystemClock)).await?;
    let refusals = Refusals::start(store.clone());
    let feed = Feed::new(engine.reader(), size(limits.followers)).context("starting the feed")?;
    let subscriptions = Subscriptions::open(store.clone(), Arc::clone(&feed), Arc::new(SystemClock)).await?;
    let holds = OpenHolds::start(engine).context("following open holds")?;
    let asked = app::Ledger::running(ledger, Arc::clone(engine)).with_open_holds(holds);
    let parts = (store, access, refusals);
    Ok(Door::new(Running::new(Arc::clone(engine), asked, (feed, subscriptions), parts, limits)))
}
