//! The routes: one row each, with its handler and with what the documentation says of it. To add one, add a row here;
//! `GIFTLEDGER_BLESS=1 cargo test -p service http` then writes the document, and its tests ask the route.

mod commands;
mod others;
mod questions;
mod subscriptions;

use super::operation::Operation;

/// Statuses of problems that can come wherever somebody asks.
const ANY: &[u16] = &[400, 401, 403, 500, 503];
/// The same where a body is read.
const WITH_BODY: &[u16] = &[408, 413, 415];

/// All of them, in the order of the documentation.
pub fn all() -> Vec<Operation> {
    [commands::routes(), questions::routes(), others::routes(), subscriptions::routes()].into_iter().flatten().collect()
}
