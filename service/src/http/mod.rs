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
mod serve;
mod spool;
mod tickets;
mod watch;

use axum::{
    Router,
    http::{Method, Uri},
    middleware,
};

pub use door::{Door, Running};
pub use serve::{Listening, serve};

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
