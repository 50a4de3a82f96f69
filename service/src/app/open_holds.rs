//! Orders whose coins are on hold, by their age. A ledger that runs keeps them up to date: once it looks into the state
//! of all users, then it follows the log, so that nobody who asks makes the decider wait.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ledger::{
    Engine,
    log::{Locator, Reader},
    state::State,
};
use schemars::JsonSchema;
use schemas::{Event, Order, OrderId, Record, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::{runtime::Builder, sync::Notify, time::sleep};

const SECOND_NANOS: i64 = 1_000_000_000;
/// From which age on, in seconds, a hold is not of a class any more; the last class has no end.
const AGES: [(&str, i64); 4] =
    [("under_1_min", 60), ("1_to_10_min", 600), ("10_to_60_min", 3_600), ("over_60_min", i64::MAX)];
/// Whoever follows the log rests so many times as long as it has read: on a machine that writes as fast as it can, it
/// takes a quarter of a processor, and is behind for a while.
const REST: u32 = 3;
/// It reads so long before it rests, and rests at least so long: frames that are written meanwhile are read together.
const TURN: Duration = Duration::from_millis(20);

/// Holds of one class of age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Class {
    /// `under_1_min`, `1_to_10_min`, `10_to_60_min`, `over_60_min`.
    pub age: Cow<'static, str>,
    pub holds: u64,
    /// On hold in them: a sum, so a decimal string.
    #[serde(serialize_with = "schemas::serialize_sum", deserialize_with = "schemas::deserialize_sum")]
    #[schemars(with = "String")]
    pub coins: u128,
}

/// The holds that are open.
#[derive(Debug, Default)]
pub struct Holds {
    /// In which second each was placed, and how many coins it holds.
    orders: HashMap<OrderId, (i64, u64)>,
    /// By that second: how many, and their coins. So who asks looks at an hour's seconds, not at all orders.
    by_second: BTreeMap<i64, (u64, u128)>,
    coins: u128,
}

impl Holds {
    /// Notes what became of the orders of the next record.
    pub fn note(&mut self, record: &Record) {
        // Most records are gifts alone: none of their orders is worth putting together.
        let is_gift = |(_, event): (u8, &Event)| matches!(event, Event::GiftGiven(_));
        if record.moved.is_empty() && record.events().all(is_gift) {
            return;
        }
        for order in record.orders() {
            self.note_order(&order);
        }
    }

    /// Notes how an order is now.
    pub fn note_order(&mut self, order: &Order) {
        if let Some((second, coins)) = self.orders.remove(&order.id)
            && let Some((holds, sum)) = self.by_second.get_mut(&second)
        {
            (*holds, *sum, self.coins) = (*holds - 1, *sum - u128::from(coins), self.coins - u128::from(coins));
            if *holds == 0 {
                self.by_second.remove(&second);
            }
        }
        if order.status.is_open() {
            self.put(order.id, order.placed_at, order.left.get());
        }
    }

    fn put(&mut self, id: OrderId, placed_at: Timestamp, coins: u64) {
        let second = placed_at.nanos().div_euclid(SECOND_NANOS);
        self.orders.insert(id, (second, coins));
        let (holds, sum) = self.by_second.entry(second).or_default();
        (*holds, *sum, self.coins) = (*holds + 1, *sum + u128::from(coins), self.coins + u128::from(coins));
    }

    /// How many there are of each age, to the second.
    pub fn by_age(&self, clock: Timestamp) -> [Class; AGES.len()] {
        let now = clock.nanos().div_euclid(SECOND_NANOS);
        let mut classes = AGES.map(|(age, _)| Class { age: age.into(), holds: 0, coins: 0 });
        let [young @ .., old] = &mut classes;
        let mut rest = (self.orders.len() as u64, self.coins);
        // The youngest first, as they stand last. What is older than an hour is what is left.
        let mut seconds = self.by_second.iter().rev().peekable();
        for (class, (_, until)) in young.iter_mut().zip(AGES) {
            while let Some((_, (holds, coins))) = seconds.next_if(|(second, _)| now.saturating_sub(**second) < until) {
                (class.holds, class.coins) = (class.holds + holds, class.coins + coins);
                rest = (rest.0 - holds, rest.1 - coins);
            }
        }
        (old.holds, old.coins) = rest;
        classes
    }
}

/// The holds of a ledger that runs here. Its thread ends when it is dropped, or the engine closes.
#[derive(Debug)]
pub struct OpenHolds(Arc<Followed>);

#[derive(Debug)]
struct Followed {
    /// None until the state was looked into, and once the log could not be read.
    known: Mutex<Option<Known>>,
    stopped: AtomicBool,
    wake: Notify,
}

#[derive(Debug)]
struct Known {
    holds: Holds,
    /// Up to which sequence of each shard.
    sequences: Vec<u64>,
}

impl OpenHolds {
    /// Begins to follow. It knows nothing until it has looked into the state of all users, which it waits for by itself.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(engine: &Arc<Engine>) -> io::Result<Self> {
        let (known, stopped, wake) = (Mutex::default(), AtomicBool::new(false), Notify::new());
        let followed = Arc::new(Followed { known, stopped, wake });
        let (own, asked) = (Arc::clone(&followed), Arc::downgrade(engine));
        thread::Builder::new().name("open-holds".to_owned()).spawn(move || {
            let Some(engine) = asked.upgrade() else { return };
            let reader = engine.reader();
            let next = reader.end(); // before looking: what comes between is read, and known not to be new
            let Ok(known) = engine.read(look) else { return };
            drop(engine); // who closes it is alone with it
            own.set(Some(known));
            if let Err(error) = own.follow(reader, next) {
                tracing::error!(%error, "open holds cannot be followed any more");
                own.set(None);
            }
        })?;
        Ok(Self(followed))
    }

    /// How many there are of each age; none where that is not known.
    pub fn by_age(&self, clock: Timestamp) -> Option<[Class; AGES.len()]> {
        self.0.known().as_ref().map(|known| known.holds.by_age(clock))
    }

    /// How many records they are made of; none where that is not known.
    pub fn records(&self) -> Option<u64> {
        self.0.known().as_ref().map(|known| known.sequences.iter().sum())
    }
}

impl Drop for OpenHolds {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
        self.0.wake.notify_one();
    }
}

fn look(states: &[State]) -> Known {
    let mut holds = Holds::default();
    for (_, user) in states.iter().flat_map(State::users) {
        for order in user.open_orders() {
            holds.put(order.id, order.placed_at, order.left.get());
        }
    }
    Known { holds, sequences: states.iter().map(State::sequence).collect() }
}

impl Followed {
    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, known: Option<Known>) {
        *self.known() = known;
    }

    /// Page by page, until it is stopped or nobody writes any more.
    fn follow(&self, mut reader: Reader, mut next: Locator) -> Result<(), ledger::Error> {
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime without IO needs nothing of the system");
        let mut moved = reader.watch();
        runtime.block_on(async {
            loop {
                moved.borrow_and_update(); // before looking, so that nothing is slept through
                let begun = Instant::now();
                let mut is_at_end = false;
                while !is_at_end && begun.elapsed() < TURN {
                    match reader.page(next)? {
                        Some(page) => {
                            next = page.next;
                            self.take(&page.records);
                        }
                        None => is_at_end = true,
                    }
                }
                if is_at_end {
                    tokio::select! {
                        more = moved.changed() => if more.is_err() { return Ok(()) },
                        () = self.wake.notified() => {}
                    }
                }
                let rest = (begun.elapsed().min(2 * TURN) * REST).max(TURN);
                tokio::select! {
                    () = sleep(rest) => {}
                    () = self.wake.notified() => {}
                }
                if self.stopped.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
        })
    }

    fn take(&self, records: &[Record]) {
        let mut known = self.known();
        let Some(Known { holds, sequences }) = &mut *known else { return };
        for record in records {
            let sequence = &mut sequences[usize::from(record.shard)];
            if record.sequence > *sequence {
                *sequence = record.sequence;
                holds.note(record);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::{Coins, Lots, OrderKind, Status};

    use super::*;

    fn order(sequence: u64, placed_at: Timestamp, coins: u64, status: Status) -> Order {
        let coins = Coins::new(coins).unwrap();
        let kind = OrderKind::Game { provider: "p".parse().unwrap(), deadline: placed_at, attempts: 0 };
        let id = OrderId { shard: 0, sequence, part: 0 };
        Order { id, status, kind, placed_at, charged: coins, left: coins, used: Lots::new() }
    }

    #[test]
    fn holds_are_classed_by_their_age() {
        let clock = Timestamp::from_nanos(6_000 * SECOND_NANOS);
        let mut holds = Holds::default();
        let placed = |minutes: i64| Timestamp::from_nanos(clock.nanos() - minutes * 60 * SECOND_NANOS);
        for (sequence, minutes) in (1..).zip([0, 1, 9, 10, 59, 60, 100]) {
            holds.note_order(&order(sequence, placed(minutes), 5, Status::Held));
        }
        let classes =
            |holds: &Holds| holds.by_age(clock).map(|class| (class.age.into_owned(), class.holds, class.coins));
        let owned = |(age, holds, coins): (&str, u64, u128)| (age.to_owned(), holds, coins);
        let expected = [("under_1_min", 1, 5), ("1_to_10_min", 2, 10), ("10_to_60_min", 2, 10), ("over_60_min", 2, 10)];
        assert_eq!(classes(&holds), expected.map(owned));
        holds.note_order(&order(2, placed(1), 3, Status::Unknown));
        holds.note_order(&order(6, placed(60), 5, Status::Released));
        holds.note_order(&order(9, placed(60), 5, Status::Fulfilled));
        let expected = [("under_1_min", 1, 5), ("1_to_10_min", 2, 8), ("10_to_60_min", 2, 10), ("over_60_min", 1, 5)];
        assert_eq!(classes(&holds), expected.map(owned));
        let before = Timestamp::from_nanos(0);
        assert_eq!(holds.by_age(before)[0].holds, 6, "a clock that is behind finds them young");
    }
}
