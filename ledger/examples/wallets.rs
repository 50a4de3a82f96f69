//! What a wallet of one paid lot costs: memory, a gift, and a snapshot's writing and loading.
//!
//! `cargo run --release -p ledger --example wallets -- [wallets] [shards]`; the worst case for memory is
//! right after the maps have grown: 917,505 wallets in 1 shard.
#![expect(clippy::cast_precision_loss, clippy::float_arithmetic, reason = "figures for people")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on panics")]

use std::{env, fs, sync::Arc, time::Instant};

use ledger::{
    Snapshot, State,
    log::{Disk, Log, Options, OsDisk},
};
use schemas::{Body, Coins, Event, GiftGiven, Lot, Origin, Record, ShareHeld, StreamerId, Subject, Timestamp, UserId};

fn main() {
    let mut arguments = env::args().skip(1).map(|argument| argument.parse::<u64>().unwrap());
    let wallets = arguments.next().unwrap_or(1_000_000);
    let shards = u16::try_from(arguments.next().unwrap_or(16)).unwrap();
    let mut states: Vec<State> = (0..shards).map(|shard| State::new(shard, shards)).collect();

    let before = resident_bytes();
    for n in 0..wallets {
        let subject = subject(n);
        let state = &mut states[usize::from(subject.shard(shards))];
        state.apply(&record(state, subject, credited()));
    }
    let grown = resident_bytes() - before;
    println!("{wallets} wallets in {shards} shards: {:.1} B each of resident memory", grown as f64 / wallets as f64);

    for touched in [false, true] {
        gifts(&mut states, wallets, touched);
    }

    let folder = tempfile::tempdir_in(env::current_dir().unwrap()).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(folder.path()));
    let (log, _) = Log::open(disk.clone(), &Options { shards: Some(shards), ..Options::default() }).unwrap();
    let mut snapshot = Snapshot::beginning(&log.reader());
    for (head, state) in snapshot.head.shards.iter_mut().zip(&states) {
        head.sequence = state.sequence();
    }
    snapshot.states = states;
    for _ in 0..3 {
        let start = Instant::now();
        let bytes = snapshot.write(&*disk, "wallets.snap").unwrap();
        println!("written in {:?}, {:.1} B each on disk", start.elapsed(), bytes as f64 / wallets as f64);
        let start = Instant::now();
        let loaded = Snapshot::read(&*disk, "wallets.snap").unwrap();
        println!("loaded in {:?}", start.elapsed());
        assert!(loaded == snapshot, "it is the same");
    }
}

/// Applies gifts of users in no order, in batches, as the engine does: what one costs.
fn gifts(states: &mut [State], wallets: u64, touched: bool) {
    let shards = states[0].shards();
    let (mut spent, mut known, mut random, batches) = (std::time::Duration::ZERO, 0, 1_u64, 100);
    for _ in 0..batches {
        let mut batch: Vec<Record> = Vec::new();
        let mut next: Vec<u64> = states.iter().map(State::sequence).collect();
        for _ in 0..8_192 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let subject = subject((random >> 33) % wallets);
            let state = &states[usize::from(subject.shard(shards))];
            let lot = state.user(subject.user().unwrap()).unwrap().wallet().lots().next().unwrap();
            let sequence = &mut next[usize::from(state.shard())];
            *sequence += 1;
            batch.push(Record { sequence: *sequence, ..record(state, subject, gift(lot)) });
        }
        // Out of the cache with what was just looked at.
        let flushed: u64 = (0..8_000_000_u64).collect::<Vec<_>>().iter().step_by(8).sum();
        let start = Instant::now();
        if touched {
            for record in &batch {
                let user = record.subject.user().unwrap();
                known += u64::from({
                    let state = &states[usize::from(record.shard)];
                    state.touch(state.home(user))
                });
            }
        }
        for record in &mut batch {
            record.time = Timestamp::from_nanos(i64::try_from(record.sequence).unwrap());
            states[usize::from(record.shard)].apply(record);
        }
        spent += start.elapsed();
        assert!(flushed > 0 && (!touched || known > 0));
    }
    let each = spent.as_nanos() as f64 / f64::from(batches * 8_192);
    println!("a gift of a user in no order, applied: {each:.0} ns{}", if touched { ", touched before" } else { "" });
}

fn subject(n: u64) -> Subject {
    Subject::User(format!("u{n:06}").parse::<UserId>().unwrap())
}

fn credited() -> Event {
    Event::TopUpCredited(schemas::TopUpCredited {
        source: 0,
        coins: Coins::new(1_000_000).unwrap(),
        debt_paid: Coins::ZERO,
        channel: "apple".parse().unwrap(),
        transaction: "t".parse().unwrap(),
    })
}

fn gift(lot: Lot) -> Event {
    let one = Coins::new(1).unwrap();
    let share = ShareHeld { streamer: StreamerId::house(), value: one, base: one };
    Event::GiftGiven(GiftGiven {
        item: "rose".parse().unwrap(),
        version: 1,
        quantity: 1,
        price: one,
        charged: one,
        used: [Lot { coins: one, ..lot }].into_iter().collect(),
        shares: [share].into_iter().collect(),
        room: None,
        combo: None,
        activity: None,
    })
}

fn record(state: &State, subject: Subject, event: Event) -> Record {
    let sequence = state.sequence() + 1;
    Record {
        shard: state.shard(),
        sequence,
        time: Timestamp::from_nanos(i64::try_from(sequence).unwrap()),
        occurred_at: None,
        subject,
        origin: Origin::Caller(schemas::Source::cli()),
        id: "c".parse().unwrap(),
        digest: "00000000000000000000000000000000".parse().unwrap(),
        actor: None,
        on_behalf_of: None,
        client: None,
        body: Body::Event(Box::new(event)),
        moved: schemas::Moved::new(),
    }
}

fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}
