//! Who asks.

use axum::{extract::FromRequestParts, http::request::Parts};
use ledger::Caller;
use schemas::Source;

use super::{
    door::Door,
    problem::{Code, Problem},
};

/// Names the service that asks, where no token does.
pub const SOURCE: &str = "giftledger-source";

/// Who asks.
#[derive(Debug)]
pub struct Asker {
    pub caller: Caller,
}

impl FromRequestParts<Door> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Door) -> Result<Self, Problem> {
        let source = match parts.headers.get(SOURCE) {
            None => Source::http(),
            Some(name) => {
                let name = name.to_str().unwrap_or_default();
                name.parse().map_err(|error| Problem::new(Code::BadRequest, format!("{SOURCE}: {error}")))?
            }
        };
        Ok(Self { caller: Caller::of(source) })
    }
}
