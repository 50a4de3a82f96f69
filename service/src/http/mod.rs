//! The HTTP door: `/v1`. Every handler parses what is asked, lets the app or the engine answer, and renders that.

mod asker;
mod body;
mod bulk;
mod commands;
mod door;
mod lines;
mod problem;
mod serve;
mod spool;

use axum::{
    Router,
    http::{Method, Uri},
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
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_like_this)
        .with_state(door)
}

async fn nothing_here(uri: Uri) -> Problem {
    Problem::new(Code::NotFound, format!("there is nothing at {}; the documentation is at /docs", uri.path()))
}

async fn not_like_this(method: Method, uri: Uri) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("{} takes no {method}; the documentation is at /docs", uri.path()))
}
