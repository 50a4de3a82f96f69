//! The tokens in memory, and what a server asks of them with each request.
//!
//! The database says when another process has changed it (`PRAGMA data_version`). It is asked when a request comes
//! and nobody has asked for half a second, and before a secret that is not known is refused: so a token that was
//! made a moment ago works at once, and one that was revoked stops within a second. If it cannot be asked, nobody is
//! let in.

use std::{
    collections::HashMap,
    fmt,
    ops::Deref,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ledger::Clock;
use schemas::{Coins, Command, Timestamp};
use sqlx::SqliteConnection;
use tokio::sync::Mutex;

use super::{
    daily::{Daily, Reserved},
    denied::Denied,
    kinds::counted,
    rate::Rate,
    secret::{Secret, Sha256Hash},
    terms::Grants,
    tokens,
};
use crate::store::{self, Store};

/// How old what is in memory may be: half of the second within which a token that was revoked stops.
const STALE: Duration = Duration::from_millis(500);
/// How often at most the database is asked since somebody presents what is not known: whoever guesses costs 50
/// questions a second, however many guess.
const GUESS_GAP: Duration = Duration::from_millis(20);
/// Longer than `Bearer` and a secret need. What is longer is not looked at.
const MAX_HEADER_BYTES: usize = 256;

/// Who may ask this server for what.
#[derive(Debug)]
pub struct Access {
    store: Store,
    clock: Arc<dyn Clock>,
    known: RwLock<Arc<Known>>,
    watch: Mutex<Watch>,
    began: Instant,
    /// Nanoseconds since it began: what is in memory is as new as that at least.
    as_of: AtomicU64,
}

/// The tokens, by what their secrets hash to.
#[derive(Default)]
struct Known {
    tokens: HashMap<Sha256Hash, Arc<Token>>,
}

/// The connection that is asked for changes, and what it said last. Without one it is opened anew.
#[derive(Debug, Default)]
struct Watch {
    seen: Option<(SqliteConnection, i64)>,
    /// When it was asked last, in the time that this has run, whether it answered or not.
    tried: Duration,
}

/// A token as one of its secrets presents it. What it may do is in its [`Grants`].
pub struct Token {
    id: i64,
    sha256: Sha256Hash,
    grants: Grants,
    /// Until when this secret works.
    until: Option<Timestamp>,
    revoked: Option<Timestamp>,
    meter: Arc<Meter>,
}

/// How much was done with a token, whichever secret presented it.
#[derive(Debug)]
struct Meter {
    rate: Option<Rate>,
    daily: Option<Daily>,
}

impl Access {
    /// Reads the tokens of `store`.
    pub async fn open(store: Store, clock: Arc<dyn Clock>) -> store::Result<Self> {
        let access = Self {
            store,
            clock,
            known: RwLock::default(),
            watch: Mutex::default(),
            began: Instant::now(),
            as_of: AtomicU64::new(0),
        };
        let now = access.running();
        access.make_as_new_as(now).await?;
        Ok(access)
    }

    /// Whether any token was ever made: from then on every request needs one.
    pub async fn needs_tokens(&self) -> Result<bool, Denied> {
        self.make_as_new_as(self.running().saturating_sub(STALE)).await?;
        Ok(!self.known().tokens.is_empty())
    }

    /// The token that a request presents in its `Authorization` header, as the bytes that came.
    pub async fn authenticate(&self, authorization: Option<&[u8]>) -> Result<Arc<Token>, Denied> {
        let sha256 = bearer(authorization.ok_or(Denied::Missing)?)?.sha256();
        let came = self.running();
        self.make_as_new_as(came.saturating_sub(STALE)).await?;
        if let Some(token) = self.find(&sha256) {
            return token.in_force(self.clock.now());
        }
        self.make_as_new_as(came).await?;
        self.find(&sha256).ok_or(Denied::Unknown)?.in_force(self.clock.now())
    }

    /// The same token as it is now: for an answer that goes on for long, such as the feed or a bulk, to ask again
    /// every second.
    pub async fn still(&self, token: &Token) -> Result<Arc<Token>, Denied> {
        self.make_as_new_as(self.running().saturating_sub(STALE)).await?;
        self.find(&token.sha256).ok_or(Denied::Unknown)?.in_force(self.clock.now())
    }

    /// Takes `commands` of those that a token may send a second. A bulk takes its lines as it reads them, some
    /// hundreds at once, and waits for as long as [`Denied::TooMany`] says.
    pub fn take(&self, token: &Token, commands: u32) -> Result<(), Denied> {
        let Some(rate) = &token.meter.rate else { return Ok(()) };
        rate.take(commands, self.clock.running()).map_err(|retry_after| Denied::TooMany {
            name: token.name().clone(),
            per_second: rate.per_second(),
            retry_after,
        })
    }

    /// Counts the coins that `command` makes, durably, before it is decided.
    pub async fn reserve(&self, token: &Token, command: &Command) -> Result<Reserved, Denied> {
        let Some(daily) = &token.meter.daily else { return Ok(Reserved::NONE) };
        let now = self.clock.now();
        match counted(command) {
            Ok(Coins::ZERO) => Ok(Reserved::NONE),
            Ok(coins) => daily.reserve(&self.store, token.name(), coins, now).await,
            Err(_) => Err(daily.denied(token.name(), daily.limit(), Coins::MAX, now)),
        }
    }

    /// Takes back what was reserved for a command that made nothing: it was refused, malformed, not decided, or a
    /// repetition. Of one whose outcome is not known, nothing is given back.
    pub async fn give_back(&self, token: &Token, reserved: Reserved) {
        if let Some(daily) = token.meter.daily.as_ref().filter(|_| reserved != Reserved::NONE) {
            daily.give_back(reserved).await;
        }
    }

    /// Ends in order: daily coins that were counted ahead are given back. Nothing may be reserved any more.
    pub async fn close(&self) -> store::Result<()> {
        let known = self.known();
        for token in known.tokens.values() {
            if let Some(daily) = &token.meter.daily {
                daily.close(&self.store).await?;
            }
        }
        Ok(())
    }

    fn running(&self) -> Duration {
        self.began.elapsed()
    }

    fn known(&self) -> Arc<Known> {
        // Nothing can panic while it is held.
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn find(&self, sha256: &Sha256Hash) -> Option<Arc<Token>> {
        self.known().tokens.get(sha256).cloned()
    }

    fn is_as_new_as(&self, moment: Duration) -> bool {
        // Never asked is older than anything.
        let as_of = self.as_of.load(Ordering::Acquire);
        as_of > 0 && Duration::from_nanos(as_of) >= moment
    }

    /// Sees to it that what is in memory is as new as `moment`, of the time that this has run. Those who wait for
    /// one question to the database share its answer.
    async fn make_as_new_as(&self, moment: Duration) -> store::Result<()> {
        if self.is_as_new_as(moment) {
            return Ok(());
        }
        let mut watch = self.watch.lock().await;
        if self.is_as_new_as(moment) {
            return Ok(());
        }
        if watch.tried > Duration::ZERO {
            tokio::time::sleep((watch.tried + GUESS_GAP).saturating_sub(self.running())).await;
        }
        let asked = self.running();
        watch.tried = asked;
        // Whoever gives up in between leaves none behind, and the next one begins anew.
        let (mut connection, seen) = match watch.seen.take() {
            Some((connection, seen)) => (connection, Some(seen)),
            None => (self.store.connection().await?, None),
        };
        let version: i64 = sqlx::query_scalar("PRAGMA data_version")
            .fetch_one(&mut connection)
            .await
            .map_err(self.store.failed("asking for changes of"))?;
        if seen != Some(version) {
            // A change that comes in between is in what is read, or makes another version the next time.
            let loaded = tokens::load(&self.store, &mut connection).await?;
            let known = Arc::new(self.known().renewed(loaded));
            *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        }
        watch.seen = Some((connection, version));
        let nanos = u64::try_from(asked.as_nanos()).unwrap_or(u64::MAX);
        self.as_of.store(nanos.max(1), Ordering::Release);
        Ok(())
    }
}

impl Known {
    /// The tokens that were loaded; what was done with them so far still counts.
    fn renewed(&self, loaded: Vec<tokens::Loaded>) -> Self {
        let mut meters: HashMap<i64, Arc<Meter>> =
            self.tokens.values().map(|token| (token.id, token.meter.clone())).collect();
        let tokens = loaded.into_iter().map(|tokens::Loaded { id, sha256, until, name, terms, revoked }| {
            let new = || {
                let rate = terms.per_second.map(Rate::new);
                Arc::new(Meter { rate, daily: terms.daily_coins.map(|limit| Daily::new(id, limit)) })
            };
            let meter = meters.entry(id).or_insert_with(new).clone();
            (sha256, Arc::new(Token { id, sha256, grants: Grants::new(name, terms), until, revoked, meter }))
        });
        Self { tokens: tokens.collect() }
    }
}

impl Token {
    fn in_force(self: Arc<Self>, now: Timestamp) -> Result<Arc<Self>, Denied> {
        let name = || self.name().clone();
        if let Some(at) = self.revoked {
            return Err(Denied::Revoked { name: name(), at });
        }
        if let Some(at) = self.grants.terms().expires.filter(|at| *at <= now) {
            return Err(Denied::Expired { name: name(), at });
        }
        if let Some(at) = self.until.filter(|at| *at <= now) {
            return Err(Denied::Replaced { name: name(), at });
        }
        Ok(self)
    }
}

impl Deref for Token {
    type Target = Grants;

    fn deref(&self) -> &Grants {
        &self.grants
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name().as_str()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.tokens.len())
    }
}

/// The secret in an `Authorization` header.
fn bearer(header: &[u8]) -> Result<Secret, Denied> {
    if header.len() > MAX_HEADER_BYTES {
        return Err(Denied::Unknown);
    }
    let (scheme, rest) = header.split_at_checked("Bearer ".len()).ok_or(Denied::Unknown)?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return Err(Denied::Unknown);
    }
    Secret::presented(rest.trim_ascii()).ok_or(Denied::Unknown)
}

#[cfg(test)]
pub(super) mod tests;
