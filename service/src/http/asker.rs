//! Who asks: whose token it is, or whoever is on this machine, as long as no token was made.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Method, StatusCode, Uri, header, request::Parts},
};
use ledger::{Caller, Clock, SystemClock};
use schemas::{Command, Source};

use super::{
    door::Door,
    problem::{Code, Problem},
};
use crate::access::{daily::Reserved, denied::Denied, gate::Token, roles::Right};

/// Names the service that asks, where no token does.
pub const SOURCE: &str = "giftledger-source";

/// From where a request came.
#[derive(Debug, Clone, Copy)]
pub struct Remote(pub SocketAddr);

/// Who asks.
#[derive(Debug)]
pub struct Asker {
    pub caller: Caller,
    /// None where none is needed.
    pub token: Option<Arc<Token>>,
    tried: Tried,
}

/// What was asked for, for whoever looks later who was turned away.
#[derive(Debug, Clone)]
struct Tried {
    method: Method,
    uri: Uri,
    remote: Option<Remote>,
}

impl FromRequestParts<Door> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Problem> {
        let tried = Tried::of(parts);
        match parts.headers.get(header::AUTHORIZATION) {
            Some(authorization) => {
                let token = door.access.authenticate(Some(authorization.as_bytes())).await;
                let token = token.map_err(|denied| tried.deny(door, &denied))?;
                Ok(Self { caller: token.caller(), token: Some(token), tried })
            }
            None if door.access.needs_tokens().await.map_err(|denied| tried.deny(door, &denied))? => {
                Err(tried.deny(door, &Denied::Missing))
            }
            None => Ok(Self { caller: Caller::of(source(parts)?), token: None, tried }),
        }
    }
}

impl Asker {
    /// Whoever presents a ticket that was given to `token`.
    pub fn with_ticket(parts: &Parts, token: Option<Arc<Token>>) -> Self {
        let caller = token.as_ref().map_or_else(|| Caller::of(Source::http()), |token| token.caller());
        Self { caller, token, tried: Tried::of(parts) }
    }

    /// Whether they may do something other than send a command.
    ///
    /// # Errors
    /// 403, and it is noted.
    pub fn has(&self, door: &Door, right: Right) -> Result<(), Problem> {
        let has = self.token.as_ref().map_or(Ok(()), |token| token.has(right));
        has.map_err(|denied| self.deny(door, &denied))
    }

    /// Whether they may send a command now; what it makes is counted, until it is known whether it did.
    ///
    /// # Errors
    /// Why not.
    pub async fn may_send(&self, door: &Door, command: &Command) -> Result<Reserved, Denied> {
        let Some(token) = &self.token else { return Ok(Reserved::NONE) };
        token.may(command)?;
        door.access.take(token, 1)?;
        door.access.reserve(token, command).await
    }

    /// Takes back what was counted for a command that made nothing.
    pub async fn give_back(&self, door: &Door, reserved: Reserved) {
        if let Some(token) = &self.token {
            door.access.give_back(token, reserved).await;
        }
    }

    /// Takes note that it was refused.
    pub fn deny(&self, door: &Door, denied: &Denied) -> Problem {
        self.tried.deny(door, denied)
    }
}

impl Tried {
    fn of(parts: &Parts) -> Self {
        let remote = parts.extensions.get::<Remote>().copied();
        Self { method: parts.method.clone(), uri: parts.uri.clone(), remote }
    }

    fn deny(&self, door: &Door, denied: &Denied) -> Problem {
        let remote = self.remote.map(|Remote(address)| address.ip().to_string()).unwrap_or_default();
        let tried = (self.method.as_str(), self.uri.path());
        door.refusals.note(SystemClock.now(), denied.token(), tried, denied.code(), &remote);
        Problem::from(denied)
    }
}

impl From<&Denied> for Problem {
    fn from(denied: &Denied) -> Self {
        let status = match denied {
            Denied::Missing
            | Denied::Unknown
            | Denied::Expired { .. }
            | Denied::Replaced { .. }
            | Denied::Revoked { .. } => StatusCode::UNAUTHORIZED,
            Denied::NotAllowed { .. } => StatusCode::FORBIDDEN,
            Denied::TooMany { .. } | Denied::DailyCoins { .. } => StatusCode::TOO_MANY_REQUESTS,
            Denied::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let problem = Self::with(status, denied.code(), denied).state("undecided");
        match denied.retry_after() {
            Some(time) => problem.retry_after(time.as_secs() + u64::from(time.subsec_nanos() > 0)),
            None => problem,
        }
    }
}

/// The service that a request names, where no token does.
fn source(parts: &Parts) -> Result<Source, Problem> {
    check_host(&parts.uri, &parts.headers)?;
    let Some(name) = parts.headers.get(SOURCE) else { return Ok(Source::http()) };
    let name = name.to_str().unwrap_or_default();
    let wrong = |what: String| Problem::new(Code::BadRequest, format!("the header {SOURCE}: {what}"));
    let source: Source = name.parse().map_err(|error: schemas::IdError| wrong(error.to_string()))?;
    if source.is_own() {
        return Err(wrong(format!("{source} is a part of the ledger itself; take another name")));
    }
    Ok(source)
}

/// Without tokens only this machine may ask, and no page of another site that a browser on it shows: neither one that
/// says whose it is, nor one whose name was made to lead here.
fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.to_str().unwrap_or("?"));
    // An address with a host in it goes before the header (RFC 9112, 3.2.2).
    let host = uri.authority().map_or_else(|| text(header::HOST).unwrap_or_default(), |host| host.as_str());
    if !is_local(host) {
        let detail = format!("the request is for {host:?}; without tokens only localhost is answered");
        return Err(Problem::new(Code::ForeignHost, detail));
    }
    if let Some(origin) = text(header::ORIGIN)
        && origin.split_once("://").is_none_or(|(_, origin)| origin != host)
    {
        let detail =
            format!("the request comes from a page of {origin:?}; without tokens only pages of {host} may ask");
        return Err(Problem::new(Code::ForeignHost, detail));
    }
    Ok(())
}

/// Whether a host, with or without a port, names this machine to itself.
fn is_local(host: &str) -> bool {
    if host.is_empty() {
        return true; // a client that names none is no browser
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tokens_only_this_machine_asks() {
        for host in ["", "localhost", "LOCALHOST:8040", "127.0.0.1:1", "127.9.9.9", "[::1]:80", "[::1]"] {
            assert!(is_local(host), "{host}");
        }
        for host in
            ["evil.example", "evil.example:8040", "127.0.0.1.evil.example", "10.0.0.1:8040", "localhost.evil", "?"]
        {
            assert!(!is_local(host), "{host}");
        }
    }
}
