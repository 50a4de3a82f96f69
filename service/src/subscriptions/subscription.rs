//! One subscription that runs: its machine, the log that it reads, and those who wait for entries.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use ledger::Clock;
use schemas::Timestamp;
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use super::{
    Error, Name, Result,
    commits::Commits,
    definition::{self, Definition, Secret},
    delivery::{Acked, Change, Delivery, Failure, Taken},
    push::Address,
    tables::{Kept, Progressed},
};
use crate::feed::{After, Cursor, Feed, Filter, Follower, Position};

/// Whoever could have some entries, and more, waits so long for each step of reading the log.
const FILL: Duration = Duration::from_millis(50);
/// So long the log is read for whoever would not wait, where it has what was not looked at yet.
const LOOK: Duration = Duration::from_secs(1);
/// The longest reason that is kept.
const MOST_REASON_LETTERS: usize = 500;
/// What one hand-out has at most, unless it is one large entry.
const MOST_BYTES: usize = 8 << 20;
/// So many entries are read again of the log at once.
const READ_AGAIN: usize = 256;

/// What all subscriptions have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub feed: Arc<Feed>,
    pub commits: Arc<Commits>,
    pub clock: Arc<dyn Clock>,
}

/// A subscription that runs.
#[derive(Debug)]
pub(super) struct Subscription {
    pub id: i64,
    pub name: Name,
    pub principal: Option<String>,
    pub created: Timestamp,
    /// Of the log that it follows; another one's, where it is broken by that.
    lineage: Uuid,
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// Tells whoever waits that something has changed.
    moved: watch::Sender<()>,
    /// Who reads the log; one at a time.
    reading: AsyncMutex<Option<Follower>>,
}

/// What may change of it.
#[derive(Debug)]
pub(super) struct State {
    pub definition: Definition,
    pub secret: Option<Secret>,
    pub delivery: Delivery,
    filter: Filter,
    /// Why it cannot go on.
    pub broken: Option<String>,
    /// Whether a task pushes.
    is_pushing: bool,
    is_being_stored: bool,
    ended: Option<Ended>,
}

/// Why nothing is delivered any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was deleted.
    Gone,
    /// The server ends.
    Stopping,
}

/// Entries that are handed out. Dropped without [`Handed::keep`] they are taken back, as if they had never been.
#[derive(Debug)]
pub(super) struct Handed {
    subscription: Arc<Subscription>,
    taken: Vec<Taken>,
}

impl Subscription {
    /// Goes on from what is kept.
    pub fn new(kept: Kept, shared: Arc<Shared>) -> Self {
        let Kept { id, name, definition, secret, principal, created, cursor, progress, parked } = kept;
        let resolved = shared.feed.resolve(&After::Cursor(cursor.clone())).map_err(|error| error.to_string());
        let filter = definition::filter(&shared.feed, &definition.filter).map_err(|error| error.to_string());
        let broken = resolved.as_ref().err().or(filter.as_ref().err()).cloned();
        let delivery = Delivery::new(cursor.sequences(), progress, parked, rand::random());
        let state = State {
            definition,
            secret,
            delivery,
            filter: filter.unwrap_or_default(),
            broken,
            is_pushing: false,
            is_being_stored: false,
            ended: None,
        };
        let (moved, _) = watch::channel(());
        let reading = AsyncMutex::new(None);
        let lineage = cursor.lineage();
        Self { id, name, principal, created, lineage, shared, state: Mutex::new(state), moved, reading }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its state, with everything that is over its time timed out.
    pub fn state_now(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let State { delivery, definition, .. } = &mut *state;
        delivery.tick(&definition.settings, Instant::now(), self.shared.clock.now());
        state
    }

    /// Hands out up to `most` entries, at most `run` of a subject at once; waits for the first until `until`.
    pub async fn take(self: &Arc<Self>, most: usize, run: usize, until: Instant, pushes: bool) -> Result<Handed> {
        let look = Instant::now() + LOOK;
        let mut fill = (0, look);
        let mut moved = self.moved.subscribe();
        loop {
            moved.borrow_and_update();
            let is_behind = self.is_behind();
            let (wakes_at, may_read) = {
                let mut state = self.state_now();
                state.may_go_on(self, pushes)?;
                let State { delivery, definition: Definition { settings, .. }, .. } = &mut *state;
                let now = Instant::now();
                let room = most.min((settings.max_in_flight as usize).saturating_sub(delivery.in_flight()));
                let may_read = room > 0 && delivery.has_room();
                let reads_on = may_read && is_behind;
                let ready = delivery.ready(room, run, now);
                let patience = match ready {
                    0 if reads_on => until.max(look),
                    0 => until,
                    // A run of one subject is handed out as a whole: so all of it is read before.
                    ready if ready < room && reads_on => {
                        if ready > fill.0 {
                            fill = (ready, now + FILL);
                        }
                        fill.1.min(look)
                    }
                    _ => now,
                };
                if now >= patience {
                    let taken = delivery.take(settings, most, run, now);
                    drop(state);
                    self.note_if_changed();
                    return Ok(Handed { subscription: Arc::clone(self), taken });
                }
                (delivery.next_due().map_or(patience, |due| due.min(patience)), may_read)
            };
            self.note_if_changed();
            tokio::select! {
                read = self.read_on(), if may_read => read?,
                _ = moved.changed() => {}
                () = sleep_until(wakes_at) => {}
            }
        }
    }

    /// Reads on in the log.
    async fn read_on(&self) -> Result<()> {
        let mut reading = self.reading.lock().await;
        let follower = match &mut *reading {
            Some(follower) => follower,
            none => none.insert(self.follow()?),
        };
        // What it has left out since it was dropped while it waited.
        self.state().delivery.add(Vec::new(), follower.cursor().sequences(), Instant::now());
        match follower.next().await {
            Ok(Some(batch)) => {
                let read = batch.cursor().sequences().to_vec();
                let mut state = self.state();
                if batch.entries.is_empty() {
                    state.delivery.touch();
                }
                state.delivery.add(batch.entries, &read, Instant::now());
                drop(state);
                self.moved.send_replace(());
                Ok(())
            }
            Ok(None) => Err(Error::Stopping), // never: it stays
            Err(error) => {
                *reading = None;
                Err(error.into())
            }
        }
    }

    fn follow(&self) -> Result<Follower> {
        let (cursor, filter) = {
            let state = self.state();
            (self.cursor(state.delivery.read().collect()), state.filter.clone())
        };
        Ok(self.shared.feed.follow(&After::Cursor(cursor), filter, true, None)?)
    }

    /// A cursor of the log that it follows.
    pub fn cursor(&self, sequences: Vec<u64>) -> Cursor {
        Cursor::new(self.lineage, sequences)
    }

    /// Whether the log has more than was read.
    fn is_behind(&self) -> bool {
        let head = self.shared.feed.head();
        let state = self.state();
        state.delivery.read().zip(&head.shards).any(|(read, head)| read < head.sequence)
    }

    /// Entries are done.
    pub fn ack(self: &Arc<Self>, answers: impl Iterator<Item = Option<(Position, u64)>>) -> Vec<Acked> {
        let mut state = self.state_now();
        let now = Instant::now();
        let ack = |id| match id {
            Some((position, number)) => state.delivery.ack(position, number, now),
            None => Acked::Unknown,
        };
        let acked = answers.map(ack).collect();
        drop(state);
        self.note_if_changed();
        self.moved.send_replace(());
        acked
    }

    /// Entries were not done.
    pub fn nack(
        self: &Arc<Self>,
        answers: impl Iterator<Item = Option<(Position, u64)>>,
        after: Option<Duration>,
        reason: &str,
    ) -> Vec<Acked> {
        let why = Failure { after, reason: shortened(reason), time: self.shared.clock.now() };
        let mut state = self.state_now();
        let now = Instant::now();
        let max_tries = state.definition.settings.max_tries;
        let fail = |id| match id {
            Some((position, number)) => state.delivery.fail(position, number, why.clone(), max_tries, now),
            None => Acked::Unknown,
        };
        let failed = answers.map(fail).collect();
        drop(state);
        self.note_if_changed();
        self.moved.send_replace(());
        failed
    }

    /// Hands out again what is parked at some places. How many that are.
    pub async fn replay(self: &Arc<Self>, places: Vec<Position>) -> Result<usize> {
        let mut replayed = 0;
        for places in places.chunks(READ_AGAIN) {
            let entries = self.shared.feed.read(places.to_vec()).await?;
            let entries = entries.into_iter().map(|(_, entry)| entry).collect();
            replayed += self.state().delivery.replay(entries, Instant::now());
            self.moved.send_replace(());
        }
        Ok(replayed)
    }

    fn give_back(&self, taken: &[Taken]) {
        let mut state = self.state();
        for one in taken {
            state.delivery.give_back(one.position, one.number, Instant::now());
        }
        drop(state);
        self.moved.send_replace(());
    }

    /// Another definition of the same filter and beginning. Whether a task is to be started that pushes.
    pub fn change(&self, definition: Definition, secret: Option<Secret>) -> bool {
        let mut state = self.state();
        state.definition = definition;
        state.secret = secret;
        drop(state);
        self.moved.send_replace(());
        self.begins_to_push()
    }

    /// Whether a task is to be started that pushes: it then counts as started.
    pub fn begins_to_push(&self) -> bool {
        let mut state = self.state();
        let pushes = state.definition.settings.push.is_some() && state.broken.is_none();
        pushes && !mem::replace(&mut state.is_pushing, true)
    }

    /// Where to push, and with which secret, if it does.
    pub fn target(&self) -> Option<(Address, Secret)> {
        self.state().target()
    }

    /// Whether the task that pushes goes on; if not, it counts as ended.
    pub fn goes_on_pushing(&self) -> bool {
        let mut state = self.state();
        state.is_pushing = state.target().is_some();
        state.is_pushing
    }

    /// It is deleted, or everything ends.
    pub fn end(&self, why: Ended) {
        self.state().ended = Some(why);
        self.moved.send_replace(());
    }

    pub fn is_to_be_stored(&self) -> bool {
        let state = self.state();
        state.is_being_stored || state.delivery.is_changed()
    }

    pub fn note_if_changed(self: &Arc<Self>) {
        if self.state().delivery.is_changed() {
            self.shared.commits.note(self);
        }
    }

    /// What is to be stored now.
    pub fn to_be_stored(&self) -> Progressed {
        let mut state = self.state();
        state.is_being_stored = true;
        let (committed, progress, changes) = state.delivery.progress();
        (self.cursor(committed), progress, changes)
    }

    /// It was stored, or these changes are left.
    pub fn was_stored(&self, left: Option<Vec<Change>>) {
        let mut state = self.state();
        state.is_being_stored = false;
        if let Some(left) = left {
            state.delivery.keep(left);
        }
    }
}

impl State {
    fn target(&self) -> Option<(Address, Secret)> {
        let push = self.definition.settings.push.as_ref().filter(|_| self.ended.is_none())?;
        Address::parse(&push.url).ok().zip(self.secret.clone())
    }

    /// Whether entries may be handed out to those who ask.
    pub fn may_go_on(&self, own: &Subscription, pushes: bool) -> Result<()> {
        match self.ended {
            Some(Ended::Gone) => return Err(Error::NotFound(own.name.clone())),
            Some(Ended::Stopping) => return Err(Error::Stopping),
            None => {}
        }
        if let Some(why) = &self.broken {
            return Err(Error::Broken { name: own.name.clone(), why: why.clone() });
        }
        if self.definition.settings.push.is_some() != pushes {
            return Err(Error::Pushes(own.name.clone()));
        }
        Ok(())
    }
}

impl Handed {
    /// The entries, with what was not kept of them read again. They stay handed out, save what would be too much at
    /// once.
    pub async fn keep(mut self) -> Result<Vec<(Taken, Bytes)>> {
        let mut kept = Vec::with_capacity(self.taken.len());
        let mut bytes = 0;
        let mut again: HashMap<Position, Bytes> = HashMap::new();
        let feed = Arc::clone(&self.subscription.shared.feed);
        for (n, one) in self.taken.iter().enumerate() {
            if one.json.is_none() && !again.contains_key(&one.position) {
                let missing = self.taken[n..].iter().filter(|one| one.json.is_none()).map(|one| one.position);
                let read = feed.read(missing.take(READ_AGAIN).collect()).await?;
                again = read.into_iter().map(|(_, entry)| (place(&entry), entry.json)).collect();
            }
            let json = one.json.clone().or_else(|| again.remove(&one.position));
            let json = json.expect("what was read of the log stays on it");
            bytes += json.len();
            if bytes > MOST_BYTES && !kept.is_empty() {
                break;
            }
            kept.push((one.clone(), json));
        }
        self.taken.drain(..kept.len());
        Ok(kept) // what is left is given back
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if !self.taken.is_empty() {
            self.subscription.give_back(&self.taken);
        }
    }
}

fn place(entry: &crate::feed::Entry) -> Position {
    Position { shard: entry.shard, sequence: entry.sequence }
}

fn shortened(reason: &str) -> String {
    schemas::visible(reason).chars().take(MOST_REASON_LETTERS).collect()
}
