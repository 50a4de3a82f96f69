//! Group commit: while one transaction is being written, what is acked meanwhile gathers for the next, of all
//! subscriptions together. So an ack waits for a sync of the disk or two, and thousands wait for the same.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::sleep,
};

use super::{Error, Result, subscription::Subscription, tables};
use crate::store::{self, Store};

/// After a transaction that failed, the next is tried so much later.
const AGAIN: Duration = Duration::from_secs(1);

/// What is to be written.
#[derive(Debug)]
pub(super) struct Commits {
    pub store: Store,
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    changed: HashMap<i64, Arc<Subscription>>,
    waiting: Vec<oneshot::Sender<Result<(), Arc<store::Error>>>>,
    is_stopped: bool,
}

impl Commits {
    pub fn new(store: Store) -> Self {
        Self { store, queue: Mutex::default(), wake: Notify::new() }
    }

    /// A subscription has changed; it is written soon.
    pub fn note(&self, subscription: &Arc<Subscription>) {
        self.queue().changed.insert(subscription.id, Arc::clone(subscription));
        self.wake.notify_one();
    }

    /// Waits until a subscription is written as it is now.
    pub async fn stored(&self, subscription: &Arc<Subscription>) -> Result<()> {
        if !subscription.is_to_be_stored() {
            return Ok(());
        }
        let (done, stored) = oneshot::channel();
        {
            let mut queue = self.queue();
            if queue.is_stopped {
                return Err(Error::Stopping);
            }
            queue.changed.insert(subscription.id, Arc::clone(subscription));
            queue.waiting.push(done);
        }
        self.wake.notify_one();
        stored.await.map_err(|_| Error::Stopping)?.map_err(Error::Store)
    }

    /// The task that writes, until it is stopped and everything is written.
    pub async fn run(self: Arc<Self>) {
        loop {
            let (changed, waiting, is_stopped) = {
                let mut queue = self.queue();
                (mem::take(&mut queue.changed), mem::take(&mut queue.waiting), queue.is_stopped)
            };
            if changed.is_empty() && waiting.is_empty() {
                if is_stopped {
                    return;
                }
                self.wake.notified().await;
                continue;
            }
            let written = self.write(&changed).await.map_err(Arc::new);
            for waits in waiting {
                let _ = waits.send(written.clone()); // who does not wait any more need not know
            }
            if let Err(error) = written {
                if is_stopped {
                    tracing::error!(%error, "acks were not stored; their entries will come again");
                    return;
                }
                self.queue().changed.extend(changed);
                sleep(AGAIN).await;
            }
        }
    }

    /// Lets the task write what is left, and end.
    pub fn stop(&self) {
        self.queue().is_stopped = true;
        self.wake.notify_one();
    }

    async fn write(&self, changed: &HashMap<i64, Arc<Subscription>>) -> store::Result<()> {
        let taken: Vec<_> = changed.values().map(|one| (one, one.to_be_stored())).collect();
        let written = self.write_all(&taken).await;
        for (one, (_, _, changes)) in taken {
            one.was_stored(if written.is_ok() { None } else { Some(changes) });
        }
        written
    }

    async fn write_all(&self, taken: &[(&Arc<Subscription>, tables::Progressed)]) -> store::Result<()> {
        let mut change = self.store.begin().await?;
        for (one, progressed) in taken {
            tables::write(&self.store, &mut change, one.id, progressed).await?;
        }
        change.commit().await.map_err(self.store.failed("writing the progress of subscriptions to"))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
