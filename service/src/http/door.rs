//! What every request has at hand.

use std::{ops::Deref, sync::Arc, time::Duration};

use ledger::Engine;
use tokio::{
    sync::{Mutex, Semaphore},
    time::{Instant, sleep, timeout},
};

use super::{
    metrics::Metrics,
    problem::{Code, Problem},
    tickets::Tickets,
};
use crate::{
    access::{gate::Access, refused::Refusals},
    app,
    config::{Limits, size},
    feed::Feed,
    store::Store,
    subscriptions::Subscriptions,
};

/// How soon it looks again whether requests have ended.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A ledger that runs, as requests see it.
#[derive(Debug, Clone)]
pub struct Door(Arc<Running>);

/// What runs.
#[derive(Debug)]
pub struct Running {
    pub engine: Arc<Engine>,
    /// The same, to be asked.
    pub ledger: app::Ledger,
    pub feed: Arc<Feed>,
    pub subscriptions: Arc<Subscriptions>,
    pub store: Store,
    pub access: Access,
    pub refusals: Refusals,
    pub metrics: Metrics,
    pub tickets: Tickets,
    /// One platform file is published after the other.
    pub publishing: Mutex<()>,
    folds: Semaphore,
    pub limits: Limits,
}

impl Running {
    pub fn new(
        engine: Arc<Engine>,
        ledger: app::Ledger,
        (feed, subscriptions): (Arc<Feed>, Arc<Subscriptions>),
        (store, access, refusals): (Store, Access, Refusals),
        limits: Limits,
    ) -> Self {
        Self {
            engine,
            ledger,
            feed,
            subscriptions,
            store,
            access,
            refusals,
            metrics: Metrics::new(),
            tickets: Tickets::default(),
            publishing: Mutex::default(),
            folds: Semaphore::new(size(limits.folds)),
            limits,
        }
    }
}

impl Door {
    pub fn new(running: Running) -> Self {
        Self(Arc::new(running))
    }

    /// What runs, once no request has it any more; none if one has it for longer than that.
    pub async fn alone(self, within: Duration) -> Option<Running> {
        let (mut shared, deadline) = (self.0, Instant::now() + within);
        loop {
            match Arc::try_unwrap(shared) {
                Ok(running) => return Some(running),
                Err(_) if Instant::now() > deadline => return None,
                Err(others) => shared = others,
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Does what waits or reads the disk, where no other request waits for it.
    ///
    /// # Errors
    /// What it says.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let door = self.clone();
        match tokio::task::spawn_blocking(move || work(&door)).await {
            Ok(done) => done,
            Err(stopped) if stopped.is_panic() => std::panic::resume_unwind(stopped.into_panic()),
            Err(_) => Err(Problem::new(Code::Closing, "the server ends").retry_after(2)),
        }
    }

    /// The same for what folds the log: a few at once.
    ///
    /// # Errors
    /// [`Code::Busy`] if others take too long; what it says.
    pub async fn folding<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let Ok(Ok(_turn)) = timeout(Duration::from_millis(self.limits.fold_wait_ms), self.folds.acquire()).await else {
            let folds = self.limits.folds;
            let detail = format!("{folds} questions fold the log already, and have not ended in time: ask again later");
            return Err(Problem::new(Code::Busy, detail).retry_after(10));
        };
        self.blocking(work).await
    }
}

impl Deref for Door {
    type Target = Running;
    fn deref(&self) -> &Running {
        &self.0
    }
}
