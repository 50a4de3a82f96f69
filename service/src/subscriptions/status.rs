//! How subscriptions are, as it is shown.

use std::sync::Arc;

use bytes::Bytes;
use schemas::{Subject, Timestamp};
use serde::Serialize;

use super::{
    Definition, Name, Result, Subscriptions,
    delivery::{Counts, MOST_PARKED},
    subscription::Subscription,
    tables,
};
use crate::feed::Position;

/// A page of what is parked has so many at most.
const MOST_LISTED: u32 = 100;
/// And so many bytes, unless the first has more.
const MOST_BYTES: usize = 8 << 20;

/// A subscription as it is shown: everything but its secret.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// What it is called.
    pub name: Name,
    /// What it is.
    #[serde(flatten)]
    pub definition: Definition,
    /// Who made it.
    pub principal: Option<String>,
    /// When.
    pub created: Timestamp,
    /// How it is.
    pub status: Status,
}

/// How a subscription is.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// `active`, `blocked` where something must be done or parked before it reads on, `broken`.
    pub state: &'static str,
    /// Why it is broken, or what blocks it.
    pub reason: Option<String>,
    /// Everything before it is done or parked: a cursor of the feed.
    pub cursor: String,
    /// How many records of the log are behind that, whether the filter lets them through or not.
    pub records_behind: u64,
    /// Entries that are handed out and not answered.
    pub in_flight: usize,
    /// Entries that were read and wait: for their turn, or to be tried again.
    pub waiting: usize,
    /// Entries that are parked.
    pub parked: usize,
    /// Entries that were parked and are being delivered again.
    pub replaying: usize,
    /// The oldest entry that was read and is not done.
    pub oldest: Option<Oldest>,
}

/// The oldest entry that is not done.
#[derive(Debug, Clone, Serialize)]
pub struct Oldest {
    /// Where it stands.
    pub position: String,
    /// Of what it is.
    pub subject: Subject,
    /// When it was recorded.
    pub recorded: Timestamp,
}

/// How far behind a subscription is, for those who measure.
#[derive(Debug, Clone)]
pub struct Lag {
    /// Which one.
    pub name: Name,
    /// As [`Status::records_behind`].
    pub records_behind: u64,
    /// Entries in flight.
    pub in_flight: usize,
    /// Entries that are parked.
    pub parked: usize,
    /// Whether it reads no further until something is done or parked.
    pub blocked: bool,
    /// Whether it is broken.
    pub broken: bool,
}

/// An entry that is parked.
#[derive(Debug, Clone)]
pub struct Parked {
    /// Where it stands, and what it is replayed by.
    pub position: Position,
    /// How often it has failed.
    pub tries: u32,
    /// Why, the last time.
    pub reason: String,
    /// When that was.
    pub time: Timestamp,
    /// Whether it is being delivered again.
    pub replaying: bool,
    /// The `CloudEvent`. None, where the log has no such record any more: a broken subscription's.
    pub json: Option<Bytes>,
}

/// Some of what is parked, by place.
#[derive(Debug, Clone)]
pub struct ParkedPage {
    /// In order.
    pub entries: Vec<Parked>,
    /// From where to go on, if there may be more.
    pub next: Option<Position>,
}

impl Subscriptions {
    /// A subscription.
    ///
    /// # Errors
    /// [`super::Error::NotFound`]; [`super::Error::Feed`] if the log cannot be read.
    pub async fn get(&self, name: &Name) -> Result<Shown> {
        self.show(&self.find(name)?).await
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// [`super::Error::Feed`] if the log cannot be read.
    pub async fn list(&self) -> Result<Vec<Shown>> {
        let all: Vec<_> = self.all().values().cloned().collect();
        let mut shown = Vec::with_capacity(all.len());
        for one in all {
            shown.push(self.show(&one).await?);
        }
        Ok(shown)
    }

    /// How far each is behind. Reads only memory.
    pub fn lags(&self) -> Vec<Lag> {
        let head = self.shared.feed.now().total();
        let all: Vec<_> = self.all().values().cloned().collect();
        let lag = |one: Arc<Subscription>| {
            let state = one.state_now();
            let Counts { in_flight, parked, .. } = state.delivery.counts();
            let lag = Lag {
                name: one.name.clone(),
                records_behind: head.saturating_sub(state.delivery.committed().iter().sum()),
                in_flight,
                parked,
                blocked: state.delivery.blocked_by().is_some(),
                broken: state.broken.is_some(),
            };
            drop(state);
            one.note_if_changed(); // some may have timed out
            lag
        };
        all.into_iter().map(lag).collect()
    }

    /// What a subscription has parked, behind a place, at most `limit` and 100.
    ///
    /// # Errors
    /// [`super::Error::NotFound`]; [`super::Error::Store`], [`super::Error::Feed`].
    pub async fn parked(&self, name: &Name, after: Option<Position>, limit: u32) -> Result<ParkedPage> {
        let one = self.find(name)?;
        self.shared.commits.stored(&one).await?;
        let limit = limit.clamp(1, MOST_LISTED);
        let rows = tables::parked(&self.shared.commits.store, one.id, after, limit).await?;
        let is_broken = one.state().broken.is_some();
        let mut next = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.position);
        let mut entries: Vec<Parked> = Vec::with_capacity(rows.len());
        let mut bytes = 0;
        for row in rows {
            let read = if is_broken { Vec::new() } else { self.shared.feed.read(vec![row.position]).await? };
            let json = read.into_iter().next().map(|(_, entry)| entry.json);
            bytes += json.as_ref().map_or(0, Bytes::len);
            if let (Some(last), true) = (entries.last(), bytes > MOST_BYTES) {
                next = Some(last.position);
                break;
            }
            let tables::ParkedRow { position, tries, reason, time, replaying } = row;
            entries.push(Parked { position, tries, reason, time, replaying, json });
        }
        Ok(ParkedPage { entries, next })
    }

    pub(super) async fn show(&self, one: &Arc<Subscription>) -> Result<Shown> {
        let feed = &self.shared.feed;
        let (definition, counts, committed, oldest, blocked_by, broken) = {
            let state = one.state_now();
            let delivery = &state.delivery;
            let places = (delivery.oldest(), delivery.blocked_by());
            (
                state.definition.clone(),
                delivery.counts(),
                delivery.committed(),
                places.0,
                places.1,
                state.broken.clone(),
            )
        };
        one.note_if_changed();
        let places = oldest.into_iter().chain(blocked_by).collect();
        let read = feed.read(places).await?;
        let found = |place: Position| read.iter().map(|(record, _)| record).find(|record| place_of(record) == place);
        let blocks = blocked_by.and_then(found).map(|record| {
            format!("{} of {} is the first that is not done, and the window is full", place_of(record), record.subject)
        });
        let is_full = counts.parked + counts.replaying >= MOST_PARKED;
        let full = is_full.then(|| format!("{MOST_PARKED} entries are parked, and no more may be: replay them"));
        let reason = broken.clone().or(full).or(blocks);
        let state = match (&broken, &reason) {
            (Some(_), _) => "broken",
            (None, Some(_)) => "blocked",
            (None, None) => "active",
        };
        let oldest = oldest.and_then(|place| {
            let record = found(place)?;
            Some(Oldest { position: place.to_string(), subject: record.subject.clone(), recorded: record.time })
        });
        let cursor = one.cursor(committed);
        let status = Status {
            state,
            reason,
            records_behind: feed.now().total().saturating_sub(cursor.total()),
            cursor: cursor.to_string(),
            in_flight: counts.in_flight,
            waiting: counts.open - counts.in_flight,
            parked: counts.parked,
            replaying: counts.replaying,
            oldest,
        };
        let (name, principal, created) = (one.name.clone(), one.principal.clone(), one.created);
        Ok(Shown { name, definition, principal, created, status })
    }
}

fn place_of(record: &schemas::Record) -> Position {
    Position { shard: record.shard, sequence: record.sequence }
}
