//! Named subscriptions: the feed for those who would rather not keep a cursor. Consumers pull entries and ack them,
//! or an address is pushed to; what fails comes again, and what fails too often is parked.
//!
//! ```text
//!                             ┌─ pull ◄── consumers ──► ack, nack ─┐
//! feed ─► window of a ─► delivery (who gets what, when)            ├─► commits ─► service.db
//!         subscription        └─ push ──► an address ──► 2xx, or ──┘
//! ```
//!
//! | file here | its story |
//! |---|---|
//! | `definition`, `name` | what somebody asks for, and what is kept of that |
//! | `delivery` | the machine: order by subject, runs, time-outs, tries, parking; no IO |
//! | `subscription` | the machine with the log that it reads and those who wait for it |
//! | `commits`, `tables` | group commit into `service.db` |
//! | `push` | requests, signed by Standard Webhooks |
//! | `status`, `ack_id` | how a subscription is, as it is shown; what an entry is acked by |
//!
//! **Delivery.** Each entry that the filter lets through is delivered until it is acked, or parked: at least once.
//! Entries of one subject come in order, and to one consumer at a time: a run of them in one pull, of whatever length
//! there is room for, and the next run once all of that is acked. A consumer acks a run's entries in order or all at
//! once. A nack or a time-out takes back that entry and the run behind it. Subjects are independent of each other.
//! An entry that has failed `max_tries` times is parked with the last reason, and those behind it go on; replayed, it
//! comes again before the others of its subject that wait, with its tries counted anew.
//!
//! **Durability.** An ack is on disk before it is answered, with the place up to which everything is done, and what is
//! done beyond. Entries stand on the log alone. Who has what in flight is known to memory only: after a restart it
//! is handed out again, and an ack of before is late. How often an entry has failed is kept.
//!
//! **Limits.** [`Subscriptions::MOST`] subscriptions, each with a window of 16,384 entries beyond its committed place,
//! 50,000 parked ones, and a follower of the feed: some 12 MiB at most. Where the window is full, the status says which
//! subject holds it up; `max_tries` ends that. Where that many are parked, what fails is tried on, every five minutes.
//!
//! **Another log.** A place of another lineage, or ahead of the log (a backup of the log that is older than that of
//! `service.db`), makes a subscription broken: it says so and delivers nothing until it is `PUT` with `from`.
//!
//! One process has the subscriptions of a ledger open: the one that has its engine.

mod ack_id;
mod commits;
mod definition;
mod delivery;
mod error;
mod name;
mod push;
mod status;
mod subscription;
mod tables;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use ledger::Clock;
use serde::Serialize;
use tokio::{
    sync::Mutex as AsyncMutex,
    task::{JoinHandle, JoinSet},
    time::Instant,
};

pub use definition::{Definition, Secret, Settings, Wanted, WantedPush};
pub use error::{Error, Result};
pub use name::{Name, NameError};
pub use status::{Lag, Parked, ParkedPage, Shown, Status};

use crate::{
    feed::{After, Feed, Position},
    store::Store,
};
use ack_id::AckId;
use commits::Commits;
use delivery::{Acked, Progress};
use subscription::{Ended, Shared, Subscription};
use tables::Kept;

/// The named subscriptions of one ledger.
pub struct Subscriptions {
    shared: Arc<Shared>,
    all: Mutex<BTreeMap<Name, Arc<Subscription>>>,
    /// Whoever makes, changes or removes one.
    changing: AsyncMutex<()>,
    client: push::Client,
    pushing: Mutex<JoinSet<()>>,
    committing: Mutex<Option<JoinHandle<()>>>,
}

/// What a `PUT` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is new, or begins anew where it was broken: 201.
    Created,
    /// Its settings are others now: 200.
    Changed,
    /// It is as it was: 200.
    Unchanged,
}

/// What a `PUT` did, and what is shown once.
#[derive(Debug)]
pub struct Put {
    /// What it did.
    pub outcome: Outcome,
    /// How it is now.
    pub subscription: Shown,
    /// The secret that signs what is pushed, where it was just made. It is shown now and never again.
    pub secret: Option<Secret>,
}

/// An entry that was pulled.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// By which it is acked; opaque.
    pub ack: String,
    /// How often it was handed out, this time included.
    pub tries: u32,
    /// Where it stands.
    pub position: Position,
    /// The `CloudEvent`, as the feed gives it.
    pub json: Bytes,
}

/// What came of an ack or a nack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// An ack: the entry is done, now or before; it will not come again.
    Acked,
    /// A nack: the entry comes again, or is parked.
    Nacked,
    /// Nothing has changed: the entry timed out and was handed out again or parked, or was acked before a nack, or the
    /// server has started since.
    Late,
    /// Nothing has changed: this subscription gave out no such id.
    Unknown,
}

impl Subscriptions {
    /// So many may be: at 12 MiB each, 1.5 GiB if all of them are stuck at once.
    pub const MOST: usize = 128;
    /// The most entries of a pull, or of an ack.
    pub const MOST_AT_ONCE: usize = 1_000;
    /// The longest wait of a pull.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

    /// Goes on with those that a store has, and begins to push. Needs a runtime of tokio with time and IO.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn open(store: Store, feed: Arc<Feed>, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let kept = tables::load(&store).await?;
        let commits = Arc::new(Commits::new(store));
        let client = push::Client::new(feed.lineage(), Arc::clone(&clock));
        let shared = Arc::new(Shared { feed, commits: Arc::clone(&commits), clock });
        let mut all = BTreeMap::new();
        for kept in kept {
            let replaying = kept.parked.iter().filter(|(_, replaying)| **replaying).map(|(place, _)| *place).collect();
            let one = Arc::new(Subscription::new(kept, Arc::clone(&shared)));
            if one.state().broken.is_none() {
                one.replay(replaying).await?;
            }
            all.insert(one.name.clone(), one);
        }
        let committing = tokio::spawn(commits.run());
        let own = Self {
            shared,
            all: Mutex::new(all),
            changing: AsyncMutex::new(()),
            client,
            pushing: Mutex::default(),
            committing: Mutex::new(Some(committing)),
        };
        let all: Vec<_> = own.all().values().cloned().collect();
        for one in &all {
            own.begin_to_push(one);
        }
        Ok(Arc::new(own))
    }

    /// Ends what waits and pushes, and stores what was acked. The feed and the store may be closed after it.
    pub async fn close(&self) {
        let all: Vec<_> = self.all().values().cloned().collect();
        for one in &all {
            one.end(Ended::Stopping);
        }
        let mut pushing = std::mem::take(&mut *self.pushing.lock().unwrap_or_else(PoisonError::into_inner));
        while pushing.join_next().await.is_some() {}
        all.iter().for_each(Subscription::note_if_changed);
        self.shared.commits.stop();
        let committing = self.committing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(committing) = committing {
            let _ = committing.await; // it only ends, or the runtime does
        }
    }

    /// Makes a subscription, or changes its settings. The same again changes nothing.
    ///
    /// # Errors
    /// [`Error::Differs`] where it exists with another filter or beginning; [`Error::Broken`] where it is so and `from`
    /// is not named; [`Error::BadFilter`], [`Error::BadFrom`], [`Error::BadSetting`]; [`Error::TooMany`].
    pub async fn put(self: &Arc<Self>, name: &Name, wanted: &Wanted, principal: Option<&str>) -> Result<Put> {
        let (own, name, wanted) = (Arc::clone(self), name.clone(), wanted.clone());
        let principal = principal.map(str::to_owned);
        whole(async move { own.put_whole(&name, &wanted, principal).await }).await
    }

    async fn put_whole(&self, name: &Name, wanted: &Wanted, principal: Option<String>) -> Result<Put> {
        let _one_at_a_time = self.changing.lock().await;
        let Some(exists) = self.all().get(name).cloned() else {
            if self.all().len() >= Self::MOST {
                return Err(Error::TooMany { most: Self::MOST });
            }
            return self.create(name, wanted, principal, None).await;
        };
        let (is_now, secret, broken) = {
            let state = exists.state();
            (state.definition.clone(), state.secret.clone(), state.broken.clone())
        };
        if let Some(why) = broken {
            if wanted.from.is_none() {
                return Err(Error::Broken { name: name.clone(), why });
            }
            return self.create(name, wanted, principal, Some(&exists)).await;
        }
        let definition = wanted.definition(&self.shared.feed, Some(&is_now))?;
        let differs = |what, found: String| Err(Error::Differs { name: name.clone(), what, found });
        if definition.filter != is_now.filter {
            return differs("filter", serde_json::to_string(&is_now.filter).expect("a filter is JSON"));
        }
        if definition.from != is_now.from {
            return differs("from", is_now.from);
        }
        if definition == is_now {
            return Ok(Put { outcome: Outcome::Unchanged, subscription: self.show(&exists).await?, secret: None });
        }
        let keeps = secret.filter(|_| definition.settings.push.is_some());
        let made = match (&definition.settings.push, &keeps) {
            (Some(_), None) => Some(Secret::random()?),
            _ => None,
        };
        let secret = keeps.or_else(|| made.clone());
        tables::change(&self.shared.commits.store, exists.id, &definition, secret.as_ref()).await?;
        exists.change(definition, secret);
        self.begin_to_push(&exists);
        Ok(Put { outcome: Outcome::Changed, subscription: self.show(&exists).await?, secret: made })
    }

    async fn create(
        &self,
        name: &Name,
        wanted: &Wanted,
        principal: Option<String>,
        old: Option<&Arc<Subscription>>,
    ) -> Result<Put> {
        let feed = &self.shared.feed;
        let definition = wanted.definition(feed, None)?;
        let after: After = definition.from.parse().map_err(Error::BadFrom)?;
        let secret = definition.settings.push.is_some().then(Secret::random).transpose()?;
        let mut kept = Kept {
            id: 0,
            name: name.clone(),
            definition,
            secret: secret.clone(),
            principal,
            created: self.shared.clock.now(),
            cursor: feed.resolve(&after).map_err(Error::BadFrom)?,
            progress: Progress::default(),
            parked: BTreeMap::new(),
        };
        kept.id = tables::create(&self.shared.commits.store, &kept, old.map(|old| old.id)).await?;
        let one = Arc::new(Subscription::new(kept, Arc::clone(&self.shared)));
        if let Some(old) = self.all().insert(name.clone(), Arc::clone(&one)) {
            old.end(Ended::Gone);
        }
        self.begin_to_push(&one);
        Ok(Put { outcome: Outcome::Created, subscription: self.show(&one).await?, secret })
    }

    /// Forgets a subscription, its progress and what it parked.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete(self: &Arc<Self>, name: &Name) -> Result<()> {
        let (own, name) = (Arc::clone(self), name.clone());
        let delete = async move {
            let _one_at_a_time = own.changing.lock().await;
            let one = own.find(&name)?;
            tables::delete(&own.shared.commits.store, one.id).await?;
            own.all().remove(&name);
            one.end(Ended::Gone);
            Ok(())
        };
        whole(delete).await
    }

    /// Hands out up to `max` entries, and waits for the first of them at most `wait`, or a second where the log has what
    /// was not looked at yet. Fewer than `max`, or none, say nothing of whether there are more.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Broken`], [`Error::Pushes`], [`Error::BadSetting`] where `max` is not within 1 to
    /// [`Self::MOST_AT_ONCE`], [`Error::Feed`].
    pub async fn pull(&self, name: &Name, max: usize, wait: Duration) -> Result<Vec<Pulled>> {
        if !(1..=Self::MOST_AT_ONCE).contains(&max) {
            let what = format!("{max} is not within 1 to {}", Self::MOST_AT_ONCE);
            return Err(Error::BadSetting { path: "max", what });
        }
        let one = self.find(name)?;
        let until = Instant::now() + wait.min(Self::LONGEST_WAIT);
        let handed = one.take(max, max, until, false).await?;
        let entries = handed.keep().await?.into_iter().map(|(taken, json)| {
            let (position, number) = (taken.position, taken.number);
            let ack = AckId { subscription: one.id, number, position }.to_string();
            Pulled { ack, tries: taken.tries, position, json }
        });
        Ok(entries.collect())
    }

    /// Entries are done; each id's answer, in their order, once that is durable.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::BadSetting`] where there are more than [`Self::MOST_AT_ONCE`]; [`Error::Store`]
    /// where it could not be stored: ask again.
    pub async fn ack(&self, name: &Name, ids: &[String]) -> Result<Vec<Answered>> {
        let one = self.find(name)?;
        few("ids", ids.len())?;
        let acked = one.ack(ids.iter().map(|id| AckId::place(id, one.id)));
        self.shared.commits.stored(&one).await?;
        Ok(acked.into_iter().map(|acked| Answered::of(acked, Answered::Acked)).collect())
    }

    /// Entries were not done: they come again after `delay`, at most five minutes, or after a while that grows with
    /// each failure. `reason` is kept if one is parked.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub async fn nack(
        &self,
        name: &Name,
        ids: &[String],
        delay: Option<Duration>,
        reason: Option<&str>,
    ) -> Result<Vec<Answered>> {
        let one = self.find(name)?;
        few("ids", ids.len())?;
        let ids = ids.iter().map(|id| AckId::place(id, one.id));
        let nacked = one.nack(ids, delay, reason.unwrap_or("nacked without a reason"));
        self.shared.commits.stored(&one).await?;
        Ok(nacked.into_iter().map(|nacked| Answered::of(nacked, Answered::Nacked)).collect())
    }

    /// Delivers parked entries again: those at some places, or all. How many of them were parked and not being
    /// replayed already.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Broken`]; [`Error::BadSetting`] where more than [`Self::MOST_AT_ONCE`] are named;
    /// [`Error::Store`], [`Error::Feed`]: ask again.
    pub async fn replay(self: &Arc<Self>, name: &Name, places: Option<&[Position]>) -> Result<usize> {
        let one = self.find(name)?;
        few("ids", places.map_or(0, <[_]>::len))?;
        let (own, places) = (Arc::clone(self), places.map(<[_]>::to_vec));
        let replay = async move {
            let _one_at_a_time = own.changing.lock().await;
            own.shared.commits.stored(&one).await?;
            let places = {
                let state = one.state();
                if let Some(why) = &state.broken {
                    return Err(Error::Broken { name: one.name.clone(), why: why.clone() });
                }
                state.delivery.parked(places.as_deref())
            };
            tables::replay(&own.shared.commits.store, one.id, &places).await?;
            one.replay(places).await
        };
        whole(replay).await
    }

    /// The subscription of a name.
    fn find(&self, name: &Name) -> Result<Arc<Subscription>> {
        self.all().get(name).cloned().ok_or_else(|| Error::NotFound(name.clone()))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Subscription>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the task that pushes, where one should and none does.
    fn begin_to_push(&self, one: &Arc<Subscription>) {
        if one.begins_to_push() {
            let mut pushing = self.pushing.lock().unwrap_or_else(PoisonError::into_inner);
            while pushing.try_join_next().is_some() {}
            pushing.spawn(push::run(Arc::clone(one), self.client.clone()));
        }
    }
}

impl Answered {
    fn of(acked: Acked, done: Self) -> Self {
        match acked {
            Acked::Done => done,
            Acked::Late => Self::Late,
            Acked::Unknown => Self::Unknown,
        }
    }
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriptions").field("names", &self.all().keys()).finish_non_exhaustive()
    }
}

/// Refuses more than may be named at once.
fn few(path: &'static str, count: usize) -> Result<()> {
    let most = Subscriptions::MOST_AT_ONCE;
    let what = || format!("{count} are named, and at most {most} may be");
    if count > most { Err(Error::BadSetting { path, what: what() }) } else { Ok(()) }
}

/// Does something to its end, also where nobody waits for that any more.
async fn whole<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Stopping),
        },
    }
}
