//! One stream of batches.

use std::{sync::Arc, time::Duration};

use ledger::log::Locator;
use tokio::{
    sync::OwnedSemaphorePermit,
    task::{JoinError, JoinHandle, spawn_blocking},
    time::{Instant, timeout_at},
};

use super::{
    Cursor, Entry, Error, Feed, Result,
    catch_up::{self, Place, Step, Then},
    interest::Interest,
    live::{Seat, Taken},
};

/// What a batch has at most, unless it is one large record.
pub(super) const BATCH_BYTES: usize = 64 << 10;
/// So many entries has a batch at most.
pub(super) const BATCH_ENTRIES: usize = 256;

const _: () = assert!(Follower::STALLED.as_secs() > 2 * Follower::HEARTBEAT.as_secs());

/// A stream of batches behind a cursor. Whoever drops it gives everything back at once.
#[derive(Debug)]
pub struct Follower {
    feed: Arc<Feed>,
    _admission: OwnedSemaphorePermit,
    interest: Arc<Interest>,
    cursor: Cursor,
    /// Where it ends, if it does not stay.
    until: Option<Cursor>,
    /// How many entries it may still give.
    left: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Reads the log: the page that comes next, and the step that is under way.
    Reading(Option<Locator>, Option<JoinHandle<Result<Step>>>),
    /// At the head.
    Live(Seat),
    Ended,
}

/// Some entries, and where they stand.
#[derive(Debug)]
pub struct Batch {
    /// In the order of the log. None, where only the cursor has moved: a heartbeat.
    pub entries: Vec<Entry>,
    /// Before the first.
    before: Cursor,
    /// Behind the last, and behind what the filter left out.
    behind: Cursor,
}

impl Batch {
    /// From where to go on after it.
    pub fn cursor(&self) -> &Cursor {
        &self.behind
    }

    /// Gives each entry, with the cursor behind it, to `visit`. A cursor becomes text only if it is shown.
    pub fn each(&self, mut visit: impl FnMut(&Entry, &Cursor)) {
        let mut cursor = self.before.clone();
        for (n, entry) in (1..).zip(&self.entries) {
            cursor.take(entry.shard, entry.sequence);
            visit(entry, if n == self.entries.len() { &self.behind } else { &cursor });
        }
    }
}

impl Follower {
    /// A batch, empty or not, comes at least so often to whoever stays. A client that hears nothing for twice as long
    /// may begin again.
    pub const HEARTBEAT: Duration = Duration::from_secs(15);

    /// A client that has taken nothing at all for so long is cut off by the door that writes to it, with
    /// [`Self::cursor`] of the last batch that it took as the last word, if it can still be said. Until then a stalled
    /// one costs no more than one batch and what the module's head says of queues.
    pub const STALLED: Duration = Duration::from_mins(1);

    pub(super) fn new(
        feed: Arc<Feed>,
        admission: OwnedSemaphorePermit,
        interest: Arc<Interest>,
        cursor: Cursor,
        until: Option<Cursor>,
        limit: Option<u64>,
    ) -> Self {
        let (left, state) = (limit.unwrap_or(u64::MAX), State::Reading(None, None));
        Self { feed, _admission: admission, interest, cursor, until, left, state }
    }

    /// Behind what was handed out so far.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The next batch: entries, or after [`Self::HEARTBEAT`] none and a cursor. `None` at the end, where it has one.
    /// It may be dropped while it waits, and loses nothing. It needs a runtime of tokio with time.
    ///
    /// # Errors
    /// [`Error::Stopping`] when the server ends, [`Error::Log`]; there is nothing more after either.
    pub async fn next(&mut self) -> Result<Option<Batch>> {
        let heartbeat = Instant::now() + Self::HEARTBEAT;
        let before = self.cursor.clone();
        loop {
            if self.left == 0 {
                self.state = State::Ended;
            }
            let is_due = Instant::now() >= heartbeat; // before looking, so that a heartbeat's cursor is fresh
            let entries = match &self.state {
                State::Ended => return Ok(None),
                State::Reading(..) => self.read_on(heartbeat).await?,
                State::Live(_) => self.take_live(heartbeat).await?,
            };
            if !entries.is_empty() || is_due && !matches!(self.state, State::Ended) {
                self.left -= entries.len() as u64;
                return Ok(Some(Batch { entries, before, behind: self.cursor.clone() }));
            }
        }
    }

    /// What the next step of reading finds; nothing if it takes longer, and then it goes on.
    async fn read_on(&mut self, deadline: Instant) -> Result<Vec<Entry>> {
        let State::Reading(page, under_way) = &mut self.state else { return Ok(Vec::new()) };
        let reading = under_way.get_or_insert_with(|| {
            let place = Place {
                interest: Arc::clone(&self.interest),
                cursor: self.cursor.clone(),
                page: *page,
                until: self.until.clone(),
                most: usize::try_from(self.left).unwrap_or(usize::MAX),
            };
            tokio::spawn(read(Arc::clone(&self.feed), place))
        });
        match timeout_at(deadline, reading).await {
            Err(_) => Ok(Vec::new()),
            Ok(step) => self.take_step(step.unwrap_or_else(|end| Err(ended(end)))),
        }
    }

    /// What is in the queue. If nothing is, it waits a while; whoever asks again may find more.
    async fn take_live(&mut self, deadline: Instant) -> Result<Vec<Entry>> {
        let State::Live(seat) = &self.state else { return Ok(Vec::new()) };
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(BATCH_ENTRIES);
        match seat.take(most, BATCH_BYTES) {
            Taken::Lost => {
                self.state = State::Reading(None, None);
                self.stop_if_asked()?;
                Ok(Vec::new())
            }
            Taken::Entries(entries, published) => {
                for entry in &entries {
                    self.cursor.take(entry.shard, entry.sequence);
                }
                if let Some(published) = published {
                    self.cursor.take_all(&published);
                }
                if entries.is_empty() {
                    let _more_or_late = timeout_at(deadline, seat.wait()).await;
                }
                Ok(entries)
            }
        }
    }

    /// Moves to where a step has come. Its entries.
    fn take_step(&mut self, step: Result<Step>) -> Result<Vec<Entry>> {
        self.state = State::Ended; // where it failed
        self.stop_if_asked()?; // before the cursor moves: what the step found is not handed out
        let Step { entries, cursor, page, then } = step?;
        self.cursor = cursor;
        self.state = match then {
            Then::More => State::Reading(page, None),
            Then::Live(seat) => State::Live(seat),
            Then::End => State::Ended,
        };
        Ok(entries)
    }

    fn stop_if_asked(&mut self) -> Result<()> {
        if !self.feed.live.is_stopped() {
            return Ok(());
        }
        self.state = State::Ended;
        Err(Error::Stopping)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let State::Reading(_, Some(under_way)) = &self.state {
            under_way.abort();
        }
    }
}

/// Waits for its turn and reads.
async fn read(feed: Arc<Feed>, place: Place) -> Result<Step> {
    let turn = Arc::clone(&feed.reading).acquire_owned().await.expect("nobody closes it");
    let step = spawn_blocking(move || {
        let step = catch_up::step(&feed, place);
        drop(turn);
        step
    });
    step.await.unwrap_or_else(|end| Err(ended(end)))
}

/// A task that gave nothing: its runtime ends, or it panicked, which goes on here.
fn ended(task: JoinError) -> Error {
    match task.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Error::Stopping,
    }
}
