//! Subscriptions over real logs and real files.

mod definitions;
mod delivering;
mod parking;
mod pushing;
mod receiver;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    thread,
    time::Duration,
};

use ledger::{
    Answer, Clock, Engine, Lines, ManualClock,
    log::{Options, faulty::SimDisk},
};
use schemas::{Envelope, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::{feed::Words, ledger_dir::LedgerDir};

/// A ledger that is written, and its subscriptions.
struct World {
    engine: Engine,
    feed: Arc<Feed>,
    clock: Arc<ManualClock>,
    folder: TempDir,
    subscriptions: Arc<Subscriptions>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("log")).unwrap();
        Self::over(folder).await
    }

    /// A new ledger whose `service.db` lies there already.
    async fn over(folder: TempDir) -> Self {
        let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Arc::new(ManualClock::at(begin));
        let options = Options { shards: Some(4), segment_bytes: 0, max_frame_bytes: 16 << 10 };
        let (engine, _) =
            Engine::start(Arc::new(SimDisk::new(0)), &options, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        let feed = Feed::new(engine.reader(), 4_096).unwrap();
        let subscriptions = open(&folder, &feed, &clock).await;
        Self { engine, feed, clock, folder, subscriptions }
    }

    /// What is in memory is gone, in order or not.
    async fn restart(&mut self, in_order: bool) {
        if in_order {
            self.subscriptions.close().await;
        }
        self.subscriptions = open(&self.folder, &self.feed, &self.clock).await;
    }

    /// Grants each user a coin, so many times.
    fn grant(&self, users: usize, rounds: usize) {
        let first = self.feed.now().total();
        let line = |n| {
            let user = n % users;
            format!(r#"{{"id":"{first}-{n}","grant":{{"user":"u{user}","coins":1,"reason":"goodwill"}}}}"#)
        };
        let lines: Vec<String> = (0..users * rounds).map(line).collect();
        for lines in lines.chunks(500) {
            let envelopes = lines.iter().map(|line| Envelope::read(line.as_bytes()).unwrap()).collect();
            let execute = || self.engine.execute(&ledger::Caller::cli(), envelopes, Lines::InOrder);
            // On a thread that is none of the runtime's, which must not wait.
            let answers = thread::scope(|scope| scope.spawn(execute).join().unwrap());
            assert!(answers.iter().all(|answer| matches!(answer, Answer::Taken(_))), "{answers:?}");
            self.clock.advance_millis(1);
        }
    }

    async fn put(&self, name: &str, wanted: &Wanted) -> Put {
        self.subscriptions.put(&named(name), wanted, Some("ann")).await.unwrap()
    }

    async fn pull(&self, name: &str, max: usize) -> Vec<Pulled> {
        self.subscriptions.pull(&named(name), max, Duration::ZERO).await.unwrap()
    }

    async fn ack(&self, name: &str, pulled: &[Pulled]) -> Vec<Answered> {
        self.subscriptions.ack(&named(name), &ids(pulled)).await.unwrap()
    }

    async fn status(&self, name: &str) -> Status {
        self.subscriptions.get(&named(name)).await.unwrap().status
    }
}

async fn open(folder: &TempDir, feed: &Arc<Feed>, clock: &Arc<ManualClock>) -> Arc<Subscriptions> {
    let store = Store::open(&LedgerDir::new(folder.path())).await.unwrap();
    Subscriptions::open(store, Arc::clone(feed), Arc::clone(clock) as Arc<dyn Clock>).await.unwrap()
}

fn named(text: &str) -> Name {
    text.parse().unwrap()
}

fn from_start() -> Wanted {
    Wanted { from: Some("start".into()), ..Wanted::default() }
}

fn ids(pulled: &[Pulled]) -> Vec<String> {
    pulled.iter().map(|one| one.ack.clone()).collect()
}

/// The subject of an entry.
fn subject(json: &[u8]) -> String {
    let entry: serde_json::Value = serde_json::from_slice(json).unwrap();
    entry["subject"].as_str().unwrap().to_owned()
}

/// Waits for something that happens in another task.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come to be: {what}");
}
