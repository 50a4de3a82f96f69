//! At the head of the log: one thread passes each new page on to the queues of those who want something in it.
//!
//! Whoever has read the log to its durable end takes a seat. From then on the thread's next page is the first that the
//! follower has not seen; where the follower is further than the thread, its queue leaves out what it has had.
//! A queue that is full, or the fullest where all together hold too much, is emptied and left: its follower reads the
//! log again, from what it took, and needs no memory for that. While nobody has a seat, the thread sleeps, and begins anew where the next one sits down.
//!
//! Lock order: `hub` before `published`; a queue's own lock is taken alone.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use ledger::log::{Locator, Reader};
use schemas::Shard;
use tokio::{runtime::Builder, sync::Notify};

use super::{
    Cursor, Entry,
    interest::{Interest, KeyHash},
    pages::{Page, Pages, in_order},
};

/// What queues may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The bytes of a queue: a slow network's hiccup of about a second.
    pub queue_bytes: usize,
    /// The entries of a queue, which bound it where they are small.
    pub queue_entries: usize,
    /// The bytes of all queues together; an entry that many of them share counts in each.
    pub all_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue_bytes: 1 << 20, queue_entries: 2_048, all_bytes: 128 << 20 }
    }
}

/// The head of the log, and who is there.
#[derive(Debug)]
pub(super) struct Live {
    pages: Arc<Pages>,
    limits: Limits,
    hub: Mutex<Hub>,
    /// Everything up to these sequences is in the queues of those who want it.
    published: Mutex<Arc<[u64]>>,
    queued: AtomicUsize,
    stopped: AtomicBool,
    /// Somebody took a seat, or the feed ends.
    wake: Notify,
}

#[derive(Debug)]
struct Hub {
    /// The page that comes next.
    next: Locator,
    /// The last sequences before it.
    at: Vec<u64>,
    /// Counts how often the thread began anew.
    begun: u64,
    last_id: u64,
    queues: HashMap<u64, Arc<Queue>>,
    by_key: HashMap<KeyHash, Vec<u64>>,
    /// Those who may want any record.
    all: Vec<u64>,
}

/// A follower's place at the head; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    live: Arc<Live>,
    id: u64,
    queue: Arc<Queue>,
}

#[derive(Debug)]
struct Queue {
    interest: Arc<Interest>,
    /// What the follower had when it took its seat.
    had: Cursor,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// It was full once.
    lost: bool,
}

/// What a seat has for its follower.
#[derive(Debug)]
pub(super) enum Taken {
    /// Entries; if that was all, everything up to these sequences was handed out or left out.
    Entries(Vec<Entry>, Option<Arc<[u64]>>),
    /// It was too slow: the log has what it missed.
    Lost,
}

enum Turn {
    Moved,
    AtEnd,
    NobodyHere,
    Stopped,
}

impl Live {
    pub fn new(pages: Arc<Pages>, shards: Shard, limits: Limits) -> Self {
        let at = vec![0; usize::from(shards)];
        let hub = Hub {
            next: Locator::from(0),
            at: at.clone(),
            begun: 0,
            last_id: 0,
            queues: HashMap::new(),
            by_key: HashMap::new(),
            all: Vec::new(),
        };
        Self {
            pages,
            limits,
            hub: Mutex::new(hub),
            published: Mutex::new(at.into()),
            queued: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// The thread: page by page until the feed stops.
    pub fn run(&self, mut reader: Reader) {
        struct StopAtEnd<'a>(&'a Live);
        impl Drop for StopAtEnd<'_> {
            fn drop(&mut self) {
                self.0.stop(); // should this thread panic, nobody waits for it
            }
        }
        let _stop = StopAtEnd(self);
        let runtime = Builder::new_current_thread().build().expect("a runtime without IO needs nothing of the system");
        let mut moved = reader.watch();
        runtime.block_on(async {
            loop {
                moved.borrow_and_update(); // before looking, so that nothing is slept through
                match self.turn(&mut reader) {
                    Turn::Moved => {}
                    Turn::NobodyHere => self.wake.notified().await,
                    Turn::AtEnd => tokio::select! {
                        _ = moved.changed() => {}
                        () = self.wake.notified() => {}
                    },
                    Turn::Stopped => return,
                }
            }
        });
    }

    fn turn(&self, reader: &mut Reader) -> Turn {
        if self.is_stopped() {
            return Turn::Stopped;
        }
        let (next, begun) = {
            let hub = self.hub();
            if hub.queues.is_empty() {
                return Turn::NobodyHere;
            }
            (hub.next, hub.begun)
        };
        match self.pages.at(reader, next) {
            Ok(Some(page)) => self.pass(&page, begun),
            Ok(None) => return Turn::AtEnd,
            Err(_) => self.lose_all(), // each of them reads on by itself, and meets the same
        }
        Turn::Moved
    }

    /// Passes a page on.
    fn pass(&self, page: &Page, begun: u64) {
        let (hits, at) = {
            let mut hub = self.hub();
            if hub.begun != begun {
                return;
            }
            hub.next = page.next;
            for &(shard, sequence) in &page.ends {
                hub.at[usize::from(shard)] = sequence;
            }
            (hub.hits(page), hub.at.clone())
        };
        // Without the lock of the hub: serialising takes longest, and who takes a seat meanwhile has read this page.
        let mut lost = Vec::new();
        for (id, queue, numbers) in hits {
            let wanted = |n: &u32| {
                let record = page.record(*n);
                !queue.had.has(record.shard, record.sequence) && queue.interest.filter.matches(record)
            };
            let entries: Vec<Entry> = numbers.into_iter().filter(wanted).map(|n| self.pages.entry(page, n)).collect();
            if entries.is_empty() {
                continue;
            }
            let bytes = entries.iter().map(|entry| entry.json.len()).sum();
            self.make_room(bytes);
            if !queue.push(entries, bytes, &self.limits, &self.queued) {
                lost.push(id);
            }
        }
        let mut hub = self.hub();
        for id in lost {
            hub.remove(id);
        }
        if hub.begun == begun {
            *self.published.lock().unwrap_or_else(PoisonError::into_inner) = at.into();
        }
    }

    /// Takes seats away, the one with the fullest queue first, until so many bytes fit in: those who stall make way
    /// for those who read.
    fn make_room(&self, bytes: usize) {
        while self.queued.load(Ordering::Relaxed) + bytes > self.limits.all_bytes {
            let queues: Vec<(u64, Arc<Queue>)> =
                self.hub().queues.iter().map(|(id, queue)| (*id, Arc::clone(queue))).collect();
            let held: Vec<usize> = queues.iter().map(|(_, queue)| queue.waiting().bytes).collect();
            let fullest = queues.into_iter().zip(held).max_by_key(|(_, held)| *held);
            let Some(((id, queue), 1..)) = fullest else { return };
            queue.lose(&self.queued);
            self.hub().remove(id);
        }
    }

    /// Gives a seat to a follower who has read everything before `next`, which is to say up to `cursor`; `None` if
    /// there is more by now, or the feed has stopped.
    pub fn sit(self: &Arc<Self>, interest: &Arc<Interest>, cursor: &Cursor, next: Locator) -> Option<Seat> {
        let queue = Arc::new(Queue {
            interest: Arc::clone(interest),
            had: cursor.clone(),
            waiting: Mutex::default(),
            wake: Notify::new(),
        });
        let mut hub = self.hub();
        if self.is_stopped() {
            return None; // whoever stops it takes all seats away under the same lock, and does not come again
        }
        if hub.queues.is_empty() {
            hub.next = next;
            hub.at = cursor.sequences().to_vec();
            hub.begun += 1;
            *self.published.lock().unwrap_or_else(PoisonError::into_inner) = hub.at.clone().into();
        } else if cursor.total() < hub.at.iter().sum() {
            return None;
        }
        let id = hub.add(Arc::clone(&queue));
        drop(hub);
        self.wake.notify_one();
        Some(Seat { live: Arc::clone(self), id, queue })
    }

    /// Ends it for good.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wake.notify_one();
        self.lose_all();
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// How many have a seat, and what their queues hold.
    #[cfg(test)]
    pub fn load(&self) -> (usize, usize) {
        (self.hub().queues.len(), self.queued.load(Ordering::Relaxed))
    }

    fn lose_all(&self) {
        let queues = {
            let mut hub = self.hub();
            (hub.by_key, hub.all) = (HashMap::new(), Vec::new());
            std::mem::take(&mut hub.queues)
        };
        for queue in queues.values() {
            queue.lose(&self.queued);
        }
    }

    fn published(&self) -> Arc<[u64]> {
        Arc::clone(&self.published.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Who may want what of a page.
    fn hits(&self, page: &Page) -> Vec<(u64, Arc<Queue>, Vec<u32>)> {
        let mut by_follower: HashMap<u64, Vec<u32>> = HashMap::new();
        if !self.by_key.is_empty() {
            for (key, numbers) in page.by_key() {
                for id in self.by_key.get(&key).into_iter().flatten() {
                    by_follower.entry(*id).or_default().extend(numbers.iter().map(|(_, n)| n));
                }
            }
        }
        let keyed = by_follower.into_iter().map(|(id, numbers)| (id, in_order(numbers)));
        let all = self.all.iter().map(|id| (*id, (0..page.len()).collect()));
        keyed.chain(all).map(|(id, numbers)| (id, Arc::clone(&self.queues[&id]), numbers)).collect()
    }

    fn add(&mut self, queue: Arc<Queue>) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        match &queue.interest.keys {
            None => self.all.push(id),
            Some(keys) => keys.iter().for_each(|key| self.by_key.entry(*key).or_default().push(id)),
        }
        self.queues.insert(id, queue);
        id
    }

    fn remove(&mut self, id: u64) {
        let Some(queue) = self.queues.remove(&id) else { return };
        match &queue.interest.keys {
            None => self.all.retain(|other| *other != id),
            Some(keys) => {
                for key in keys {
                    let Some(ids) = self.by_key.get_mut(key) else { continue };
                    ids.retain(|other| *other != id);
                    if ids.is_empty() {
                        self.by_key.remove(key);
                    }
                }
            }
        }
    }
}

impl Queue {
    /// Adds entries, or gives up: whether the follower keeps its seat.
    fn push(&self, entries: Vec<Entry>, bytes: usize, limits: &Limits, queued: &AtomicUsize) -> bool {
        let keeps = {
            let mut waiting = self.waiting();
            let fits = !waiting.lost
                && waiting.entries.len() + entries.len() <= limits.queue_entries
                && waiting.bytes + bytes <= limits.queue_bytes;
            if fits {
                waiting.entries.extend(entries);
                waiting.bytes += bytes;
                queued.fetch_add(bytes, Ordering::Relaxed);
            }
            fits
        };
        if !keeps {
            self.lose(queued);
        }
        self.wake.notify_one();
        keeps
    }

    /// Gives up: it holds nothing more, and its follower finds that out.
    fn lose(&self, queued: &AtomicUsize) {
        let mut waiting = self.waiting();
        queued.fetch_sub(waiting.bytes, Ordering::Relaxed);
        *waiting = Waiting { lost: true, ..Waiting::default() };
        drop(waiting);
        self.wake.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// What is there now, at most `most` entries and `most_bytes` of them, or one.
    pub fn take(&self, most: usize, most_bytes: usize) -> Taken {
        let published = self.live.published(); // before looking: what was published is in the queue by then
        let mut waiting = self.queue.waiting();
        if waiting.lost {
            return Taken::Lost;
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some(entry) = waiting.entries.front() {
            if entries.len() >= most || !entries.is_empty() && bytes + entry.json.len() > most_bytes {
                break;
            }
            bytes += entry.json.len();
            entries.extend(waiting.entries.pop_front());
        }
        waiting.bytes -= bytes;
        self.live.queued.fetch_sub(bytes, Ordering::Relaxed);
        let is_all = waiting.entries.is_empty();
        Taken::Entries(entries, is_all.then_some(published))
    }

    /// Waits until there is something to take.
    pub async fn wait(&self) {
        self.queue.wake.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.live.hub().remove(self.id);
        self.queue.lose(&self.live.queued);
    }
}
