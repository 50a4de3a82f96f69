//! The machine against a naive model: consumers that ack, nack and forget at random, restarts at any moment, in time
//! of the test's own.

use std::collections::HashSet;

use rand::seq::IndexedRandom;

use super::*;

const SHARDS: Shard = 3;

fn settings(max_in_flight: u32, max_tries: u32) -> Settings {
    Settings { ack_timeout_s: 30, max_in_flight, max_tries, push: None }
}

fn entry(shard: Shard, sequence: u64, subject: u64) -> Entry {
    Entry { shard, sequence, subject, json: Bytes::from_static(b"{}") }
}

fn place(entry: &Entry) -> Position {
    Position { shard: entry.shard, sequence: entry.sequence }
}

fn why() -> Failure {
    Failure { after: None, reason: "no".into(), time: Timestamp::from_nanos(1) }
}

/// What a consumer has been handed.
type Held = Vec<(Position, u64)>;

/// What is stored: as `service.db` has it.
#[derive(Clone)]
struct Stored {
    committed: Vec<u64>,
    progress: Progress,
    parked: BTreeMap<Position, bool>,
    /// What had been acked then.
    acked: HashSet<Position>,
}

struct Model {
    /// All entries in the order of the log.
    log: Vec<Entry>,
    /// Where each shard ends: behind entries that the filter left out.
    heads: Vec<u64>,
    machine: Delivery,
    settings: Settings,
    random: StdRng,
    now: Instant,
    /// How much of the log was read.
    read: usize,
    stored: Stored,
    acked: HashSet<Position>,
    /// Who has what, until when.
    in_flight: HashMap<Position, (usize, Instant)>,
    consumers: Vec<Held>,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut heads = vec![0; usize::from(SHARDS)];
        let subjects = random.random_range(1..20);
        let log = (0..random.random_range(50..400)).map(|_| {
            let subject = random.random_range(0..subjects);
            let shard = Shard::try_from(subject % u64::from(SHARDS)).unwrap();
            heads[usize::from(shard)] += random.random_range(1..3);
            entry(shard, heads[usize::from(shard)], subject)
        });
        let log = log.collect();
        let settings = settings(random.random_range(1..100), random.random_range(1..6));
        let (committed, progress, parked) = (vec![0; usize::from(SHARDS)], Progress::default(), BTreeMap::new());
        let machine = Delivery::new(&committed, progress.clone(), parked.clone(), seed);
        let stored = Stored { committed, progress, parked, acked: HashSet::new() };
        let consumers = vec![Vec::new(); random.random_range(1..5)];
        let (now, acked, in_flight) = (Instant::now(), HashSet::new(), HashMap::new());
        Self { log, heads, machine, settings, random, now, read: 0, stored, acked, in_flight, consumers }
    }

    fn read(&mut self) {
        let next = (self.read + self.random.random_range(1..40)).min(self.log.len());
        let entries = self.log[self.read..next].to_vec();
        let mut read = vec![0; usize::from(SHARDS)];
        for entry in &self.log[..next] {
            read[usize::from(entry.shard)] = entry.sequence;
        }
        if next == self.log.len() {
            read.clone_from(&self.heads);
        }
        self.machine.add(entries, &read, self.now);
        self.read = next;
    }

    fn take(&mut self, consumer: usize) {
        let (most, now) = (self.random.random_range(1..30), self.now);
        self.tick();
        let taken = self.machine.take(&self.settings, most, most, now);
        let mut batch: HashSet<Position> = HashSet::new();
        for one in taken {
            let own = self.log.iter().find(|entry| place(entry) == one.position).unwrap();
            let is_replay = self.stored.parked.get(&one.position) == Some(&true);
            assert!(!self.acked.contains(&one.position), "{:?} comes again after it was acked", one.position);
            for other in self.log.iter().filter(|other| other.subject == own.subject) {
                let other = place(other);
                let same = batch.contains(&other);
                assert!(same || !self.in_flight.contains_key(&other), "a subject at two consumers, {other:?}");
                let is_settled = self.acked.contains(&other) || self.machine.parked.get(&other) == Some(&false);
                assert!(
                    is_replay || other >= one.position || same || is_settled,
                    "{other:?} before {:?}",
                    one.position
                );
            }
            batch.insert(one.position);
            self.consumers[consumer].push((one.position, one.number));
            self.in_flight.insert(one.position, (consumer, now + self.settings.ack_timeout()));
        }
        assert!(self.in_flight.len() <= self.settings.max_in_flight as usize);
        assert_eq!(self.in_flight.len(), self.machine.in_flight());
    }

    fn tick(&mut self) {
        self.machine.tick(&self.settings, self.now, Timestamp::from_nanos(1));
        let now = self.now;
        self.in_flight.retain(|_, (_, until)| *until > now);
    }

    /// Acks some of what a consumer has, in any order, twice at times.
    fn ack(&mut self, consumer: usize) {
        self.tick();
        let all = std::mem::take(&mut self.consumers[consumer]);
        let keeps = self.random.random_bool(0.5);
        for (position, number) in all {
            if keeps && self.random.random_bool(0.5) {
                self.consumers[consumer].push((position, number));
                continue;
            }
            match self.machine.ack(position, number, self.now) {
                Acked::Done => {
                    self.acked.insert(position);
                    if self.in_flight.get(&position).is_some_and(|(own, _)| *own == consumer) {
                        self.in_flight.remove(&position);
                    }
                    assert_eq!(self.machine.ack(position, number, self.now), Acked::Done, "twice is fine");
                }
                Acked::Late => {} // it has timed out or was nacked, and came again or is parked
                Acked::Unknown => panic!("{position:?} was handed out"),
            }
        }
    }

    /// Nacks one: what is behind it of its subject is taken back too.
    fn nack(&mut self, consumer: usize) {
        self.tick();
        let Some(&(position, number)) = self.consumers[consumer].choose(&mut self.random) else { return };
        if self.machine.fail(position, number, why(), self.settings.max_tries, self.now) != Acked::Done {
            return;
        }
        let subject = |at: Position| self.log.iter().find(|entry| place(entry) == at).unwrap().subject;
        let own = subject(position);
        let behind = |at: &Position| subject(*at) == own && *at >= position;
        let back: Vec<Position> = self.in_flight.keys().copied().filter(behind).collect();
        for at in back {
            self.in_flight.remove(&at);
        }
    }

    fn store(&mut self) {
        let (committed, progress, changes) = self.machine.progress();
        if self.random.random_bool(0.2) {
            self.machine.keep(changes); // it could not be stored
            return;
        }
        let mut parked = self.stored.parked.clone();
        for change in changes {
            match change {
                Change::Parked { position, .. } => drop(parked.insert(position, false)),
                Change::Unparked(position) => drop(parked.remove(&position)),
            }
        }
        let progress = Progress::decode(&progress.encode()).unwrap();
        self.stored = Stored { committed, progress, parked, acked: self.acked.clone() };
    }

    /// As a crash leaves it: what was not stored comes again.
    fn restart(&mut self) {
        let Stored { committed, progress, parked, acked } = self.stored.clone();
        let seed = self.random.random();
        let replaying: HashSet<Position> = parked.iter().filter(|(_, again)| **again).map(|(at, _)| *at).collect();
        self.machine = Delivery::new(&committed, progress, parked, seed);
        let again = self.log.iter().filter(|entry| replaying.contains(&place(entry))).cloned().collect();
        self.machine.replay(again, self.now);
        self.acked = acked;
        self.in_flight.clear();
        self.read = 0; // the feed leaves out what is before the cursor, and so does the machine
    }

    fn replay(&mut self) {
        if self.machine.changes.is_empty() {
            let places = self.machine.parked(None);
            self.stored.parked.extend(places.iter().map(|at| (*at, true)));
            let entries = self.log.iter().filter(|entry| places.contains(&place(entry))).cloned().collect();
            assert_eq!(self.machine.replay(entries, self.now), places.len());
        }
    }

    fn step(&mut self) {
        let consumer = self.random.random_range(0..self.consumers.len());
        match self.random.random_range(0..100) {
            0..20 => self.read(),
            20..50 => self.take(consumer),
            50..75 => self.ack(consumer),
            75..83 => self.nack(consumer),
            83..85 => self.consumers[consumer].clear(), // it forgets them
            85..90 => self.store(),
            90..91 => self.restart(),
            91..92 => self.replay(),
            _ => self.now += Duration::from_millis(self.random.random_range(0..20_000)),
        }
    }

    /// Everything goes well from now on.
    fn end(&mut self) {
        self.settings.max_tries = u32::MAX;
        for _ in 0..10_000 {
            self.read();
            self.replay();
            self.take(0);
            let held = std::mem::take(&mut self.consumers[0]);
            for (position, number) in held {
                if self.machine.ack(position, number, self.now) == Acked::Done {
                    self.acked.insert(position);
                    self.in_flight.remove(&position);
                }
            }
            self.random.random_bool(0.1).then(|| self.store());
            self.now += Duration::from_secs(1);
        }
        while self.machine.is_changed() {
            self.store();
        }
    }
}

#[test]
fn subscriptions_deliver_everything_in_order_and_lose_nothing() {
    for seed in 0..40 {
        let mut model = Model::new(seed);
        println!("seed {seed}");
        for _ in 0..600 {
            model.step();
        }
        model.end();
        let all: HashSet<Position> = model.log.iter().map(place).collect();
        assert_eq!(model.stored.acked, all, "seed {seed}: every entry is acked in the end");
        assert_eq!(model.stored.committed, model.heads);
        assert!(model.stored.parked.is_empty());
        assert_eq!(model.stored.progress, Progress { beyond: vec![BTreeSet::new(); 3], failures: BTreeMap::new() });
        let machine = &model.machine;
        assert_eq!(machine.counts(), Counts::default());
        assert!(machine.subjects.is_empty() && machine.held_bytes == 0);
    }
}

fn machine() -> (Delivery, Instant) {
    (Delivery::new(&[0], Progress::default(), BTreeMap::new(), 7), Instant::now())
}

fn add(machine: &mut Delivery, entries: std::ops::RangeInclusive<u64>, subject: u64, now: Instant) {
    let last = *entries.end();
    machine.add(entries.map(|sequence| entry(0, sequence, subject)).collect(), &[last], now);
}

fn sequences(taken: &[Taken]) -> Vec<u64> {
    taken.iter().map(|one| one.position.sequence).collect()
}

#[test]
fn subscriptions_hand_out_a_thousand_of_one_subject_at_once() {
    let (mut machine, now) = machine();
    add(&mut machine, 1..=1_500, 1, now);
    let taken = machine.take(&settings(10_000, 10), 1_000, 1_000, now);
    assert_eq!(sequences(&taken), (1..=1_000).collect::<Vec<_>>());
    assert!(machine.take(&settings(10_000, 10), 1_000, 1_000, now).is_empty(), "the rest waits for these");
    for one in taken {
        assert_eq!(machine.ack(one.position, one.number, now), Acked::Done);
    }
    assert_eq!(machine.take(&settings(10_000, 10), 1_000, 1_000, now).len(), 500);
}

/// A consumer that dies of one entry of a thousand does not get innocent ones parked.
#[test]
fn subscriptions_find_the_entry_that_kills_its_consumer() {
    let (mut machine, mut now) = machine();
    let (all, poison) = (settings(10_000, 10), 700);
    add(&mut machine, 1..=1_000, 1, now);
    let mut deaths = 0;
    while machine.counts().open > 0 {
        machine.tick(&all, now, Timestamp::from_nanos(1));
        let taken = machine.take(&all, 1_000, 1_000, now);
        if sequences(&taken).contains(&poison) {
            deaths += 1;
        } else {
            for one in taken {
                assert_eq!(machine.ack(one.position, one.number, now), Acked::Done);
            }
        }
        now += Duration::from_secs(31);
    }
    assert_eq!(machine.parked(None), [Position { shard: 0, sequence: poison }]);
    assert!(deaths <= 25, "{deaths}");
}

#[test]
fn subscriptions_read_no_further_than_their_window() {
    let (mut machine, now) = machine();
    let few = settings(10, 10);
    add(&mut machine, 1..=1, 1, now);
    let stuck = machine.take(&few, 1, 1, now);
    let mut next = 2;
    while machine.has_room() {
        add(&mut machine, next..=next, next, now);
        for one in machine.take(&few, 1, 1, now) {
            machine.ack(one.position, one.number, now);
        }
        next += 1;
    }
    assert_eq!(next, WINDOW as u64 + 1);
    assert_eq!(machine.blocked_by(), Some(Position { shard: 0, sequence: 1 }));
    assert_eq!(machine.committed(), [0]);
    let encoded = machine.progress().1.encode();
    assert!(encoded.len() < 40 << 10, "{}", encoded.len());
    machine.ack(stuck[0].position, stuck[0].number, now);
    assert_eq!((machine.committed(), machine.blocked_by()), (vec![WINDOW as u64], None));
}

#[test]
fn subscriptions_wait_longer_with_each_failure() {
    let mut random = StdRng::seed_from_u64(1);
    let delays: Vec<u64> = (1..14).map(|failures| delay(failures, &mut random).as_secs()).collect();
    assert!(delays[0] <= 1 && delays.last().unwrap() >= &150, "{delays:?}");
    for failures in [1, 9, 10, 17, 18, 64, u32::MAX] {
        assert!(delay(failures, &mut random) <= MOST_DELAY);
    }
}

#[test]
fn subscriptions_read_no_progress_that_nobody_wrote() {
    let progress = Progress {
        beyond: vec![BTreeSet::from([3, 4, 900]), BTreeSet::new()],
        failures: BTreeMap::from([(Position { shard: 1, sequence: 7 }, 2)]),
    };
    let bytes = progress.encode();
    assert_eq!(Progress::decode(&bytes), Some(progress));
    assert_eq!(Progress::decode(&bytes[..bytes.len() - 1]), None);
    assert_eq!(Progress::decode(&[2, 0, 0]), None);
}
