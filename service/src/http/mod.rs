//! The HTTP door: `/v1`. Every handler parses what is asked, lets the app or the engine answer, and renders that.

mod around;
mod asker;
mod body;
mod bulk;
mod commands;
mod docs;
mod door;
mod extract;
mod feed;
mod lines;
mod metrics;
mod operation;
mod patience;
mod problem;
mod questions;
mod reference;
mod routes;
mod run;
mod serve;
mod spool;
mod subscriptions;
#[cfg(test)]
mod tests;
mod tickets;
mod tls;
mod watch;

use axum::{
    Router,
    http::{Method, Uri},
    middleware,
};

pub use door::{Door, Running};
pub use run::run;
pub use serve::{Listening, serve};
pub use tls::Tls;

/// The most that a command may have.
pub const MAX_COMMAND_BYTES: u64 = lines::MAX_LINE_BYTES as u64;

use problem::{Code, Problem};

/// All that can be asked for.
pub fn router(door: Door) -> Router {
    let routes = routes::all().into_iter();
    routes
        .fold(docs::page(), |router, operation| router.route(operation.path, operation.route))
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
