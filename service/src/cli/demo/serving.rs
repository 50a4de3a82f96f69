//! The demo goes on: it is served with a token that is printed, and gifts come in now and then.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use ledger::{Answer, Caller, Clock, Engine, Lines, SystemClock};
use schemas::{Envelope, Source, UserId};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::{
    access::{
        name::Name,
        roles::Role,
        terms::{Holder, Terms},
        tokens,
    },
    config::Config,
    http::{self, Door},
    ledger_dir::LedgerDir,
    output::{print_json, say},
};

/// How often somebody gives something.
const PACE: Duration = Duration::from_millis(500);
/// What the token of the demo is called.
const TOKEN: &str = "demo";
/// Everything but managing tokens.
const ROLES: [Role; 6] = [Role::Read, Role::Append, Role::Payments, Role::Support, Role::Finance, Role::Operate];
/// Who receives.
const STREAMERS: u64 = 20;

/// Serves the ledger of a demo until it is asked to end.
pub fn serve(ledger: &LedgerDir, listen: SocketAddr, as_json: bool, payer: UserId) -> Result<()> {
    let is_free = std::net::TcpListener::bind(listen).is_ok();
    let listen = if is_free { listen } else { SocketAddr::new(listen.ip(), 0) };
    if !listen.ip().is_loopback() {
        bail!("the demo is served on this machine only: {listen} can be reached from others");
    }
    let config = Config { listen, ..Config::default() };
    let engine = ledger.start(None)?;
    http::run(&config, ledger, engine, async |address, door| {
        let token = token(door).await?;
        if as_json {
            print_json(&json!({ "listening": address, "token": token }))?;
        } else {
            tell(address, &token, &payer)?;
        }
        tokio::spawn(give(Arc::downgrade(&door.engine), payer, TOKEN.parse()?));
        Ok(())
    })
}

/// A new token, which ends the one of a demo before.
async fn token(door: &Door) -> Result<String> {
    let name: Name = TOKEN.parse().context("a name")?;
    let now = SystemClock.now();
    let terms = Terms {
        principal: TOKEN.parse()?,
        kind: Holder::Service,
        source: TOKEN.parse()?,
        roles: ROLES.to_vec(),
        allow: Vec::new(),
        channels: Vec::new(),
        providers: Vec::new(),
        daily_coins: None,
        per_second: None,
        expires: None,
    };
    // There is none before the first time.
    drop(tokens::revoke(&door.store, &name, now).await);
    let secret = tokens::create(&door.store, &name, &terms, now).await?;
    Ok(secret.expose().to_owned())
}

fn tell(address: &str, token: &str, payer: &UserId) -> Result<()> {
    let gift =
        format!(r#"{{"id":"my-1","gift":{{"user":"{payer}","item":"rose","to":[{{"streamer":"demo-streamer-1"}}]}}}}"#);
    say(&format_args!(
        "\nIt goes on: gifts come in twice a second, until Ctrl-C.\n\n  the documentation, to try in a browser: {address}/docs\n  the token of this demo, shown once: {token}\n\n\
         Three things to try:\n\n  TOKEN={token}\n  \
         curl -N \"{address}/v1/events?after=now&follow=true\" -H \"Authorization: Bearer $TOKEN\"\n  \
         curl {address}/v1/commands -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' -d '{gift}'\n  \
         curl {address}/v1/users/{payer} -H \"Authorization: Bearer $TOKEN\""
    ))
}

/// Somebody gives something now and then, as long as the server runs and the coins last.
async fn give(engine: Weak<Engine>, payer: UserId, source: Source) {
    let caller = Caller::of(source);
    let mut beat = interval(PACE);
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        beat.tick().await;
        let streamer: u64 = rand::random_range(1..=STREAMERS);
        let line = json!({
            "id": format!("live-{}", Uuid::now_v7()), "actor": "demo",
            "gift": { "user": payer, "item": "rose", "to": [{ "streamer": format!("demo-streamer-{streamer}") }] },
        });
        let Ok(gift) = Envelope::read(line.to_string().as_bytes()) else { return };
        let Some(answers) =
            engine.upgrade().and_then(|engine| engine.submit(&caller, vec![gift], Lines::Independent).ok())
        else {
            return;
        };
        if !matches!(answers.await.as_deref(), Ok([Answer::Taken(_)])) {
            tracing::info!("the demo's giver has no coins left");
            return;
        }
    }
}
