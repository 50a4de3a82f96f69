//! The HTTP door: `/v1`. Every handler parses what is asked, lets the app or the engine answer, and renders that.

mod around;
mod asker;
mod body;
mod bulk;
mod commands;
mod door;
mod feed;
mod lines;
mod metrics;
mod patience;
mod problem;
mod questions;
mod reference;
mod serve;
mod spool;
mod tickets;
mod watch;

use axum::{
    Router,
    http::{Method, Uri},
    middleware,
    routing::{get, post},
};

pub use door::{Door, Running};
pub use serve::{Listening, serve};

use problem::{Code, Problem};

/// All that can be asked for.
pub fn router(door: Door) -> Router {
    Router::new()
        .route("/v1/commands", post(commands::append))
        .route("/v1/commands/bulk", post(bulk::append))
        .route("/v1/commands/check", post(commands::check))
        .route("/v1/outcomes", get(commands::outcome))
        .route("/v1/reference", get(questions::reference).post(reference::apply))
        .route("/v1/users/{user}", get(questions::user))
        .route("/v1/users/{user}/lots", get(questions::lots))
        .route("/v1/users/{user}/history", get(questions::history))
        .route("/v1/orders", get(questions::orders))
        .route("/v1/orders/{order}", get(questions::order))
        .route("/v1/accounts", get(questions::accounts))
        .route("/v1/accounts/{account}", get(questions::account))
        .route("/v1/accounts/{account}/history", get(questions::account_history))
        .route("/v1/accounts/{account}/why", get(questions::account_why))
        .route("/v1/records", get(questions::records))
        .route("/v1/records/{record}", get(questions::record))
        .route("/v1/boards/{board}", get(questions::board))
        .route("/v1/settlements/{month}", get(questions::settlement))
        .route("/v1/find", get(questions::find))
        .route("/v1/status", get(questions::status))
        .route("/v1/events", get(feed::events))
        .route("/v1/stream-tickets", post(feed::ticket))
        .route("/metrics", get(watch::metrics))
        .route("/healthz", get(watch::healthz))
        .route("/readyz", get(watch::readyz))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_like_this)
        .layer(middleware::from_fn_with_state(door.clone(), around::around))
        .with_state(door)
}

async fn nothing_here(uri: Uri) -> Problem {
    Problem::new(Code::NotFound, format!("there is nothing at {}; the documentation is at /docs", uri.path()))
}

async fn not_like_this(method: Method, uri: Uri) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("{} takes no {method}; the documentation is at /docs", uri.path()))
}
