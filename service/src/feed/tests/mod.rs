//! The feed over real logs: an engine on a simulated disk writes them.

mod cursors;
mod entries;
mod filters;
mod following;
mod slow;

use std::{io, sync::Arc, thread, time::Duration};

use ledger::{
    Answer, Clock, Engine, Lines, ManualClock,
    log::{Check, Options, Reader, faulty::SimDisk},
};
use schemas::{Envelope, Record, Shard, Timestamp};
use tokio::time::timeout;

use super::{After, Batch, Cursor, Feed, Filter, Follower, Limits, Result, Words};

/// A ledger that is written, and its feed.
struct World {
    engine: Engine,
    feed: Arc<Feed>,
    clock: Arc<ManualClock>,
}

/// A record of the feed: where it stands.
type At = (Shard, u64);

impl World {
    /// A ledger with segments so small that there are several, and frames of one page each.
    fn new(shards: Shard) -> Self {
        Self::with_frames(shards, 16 << 10)
    }

    fn with_frames(shards: Shard, max_frame_bytes: usize) -> Self {
        Self::with(shards, max_frame_bytes, |reader| Feed::new(reader, 4_096))
    }

    fn with(shards: Shard, max_frame_bytes: usize, feed: impl FnOnce(Reader) -> io::Result<Arc<Feed>>) -> Self {
        let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Arc::new(ManualClock::at(begin));
        let options = Options { shards: Some(shards), segment_bytes: 0, max_frame_bytes };
        let disk = Arc::new(SimDisk::new(0));
        let (engine, _) = Engine::start(disk, &options, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        let feed = feed(engine.reader()).unwrap();
        let world = Self { engine, feed, clock };
        world.say(&[r#"{"id":"v1","publish":{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z",
            "changes":[{"item":{"item":"rose","price":1,"value":1}}]}}"#
            .to_owned()]);
        world.clock.advance_millis(10);
        world.engine.settle().unwrap();
        world
    }

    /// Says some commands, in their order, and waits for the answers.
    fn say(&self, lines: &[String]) {
        let read =
            |line: &String| Envelope::read(line.as_bytes()).unwrap_or_else(|unread| panic!("{line}: {unread:?}"));
        let envelopes: Vec<Envelope> = lines.iter().map(read).collect();
        // On a thread that is none of the runtime's, which must not wait.
        let execute = || self.engine.execute(&ledger::Caller::cli(), envelopes, Lines::InOrder);
        let answers = thread::scope(|scope| scope.spawn(execute).join().unwrap());
        let decided = |answer: &Answer| matches!(answer, Answer::Taken(_) | Answer::Refused(_));
        assert!(answers.iter().all(decided), "{answers:?}");
    }

    /// Some of everything, of a round of its own: `users` top up, give, are refused, are refunded, lose a payment.
    fn play(&self, round: usize, users: usize) {
        let mut lines = Vec::new();
        for user in 0..users {
            let (id, s) = (format!("{round}-{user}"), user % 5);
            let channel = ["apple", "google"][user % 2];
            let rose =
                format!(r#""gift":{{"user":"u{user}","item":"rose","quantity":2,"to":[{{"streamer":"s{s}"}}]}}"#);
            lines.push(format!(
                r#"{{"id":"t{id}","top_up":{{"user":"u{user}","channel":"{channel}","transaction":"T{id}","coins":100,
                    "paid":{{"currency":"CNY","amount":"1.00"}}}}}}"#
            ));
            lines.push(format!(r#"{{"id":"g{id}",{rose}}}"#));
            lines.push(format!(
                r#"{{"id":"x{id}","group":[{{{rose}}},{{"grant":{{"user":"u{user}","coins":3,
                "reason":"goodwill"}}}}]}}"#
            ));
            lines.push(format!(r#"{{"id":"n{id}",{}}}"#, rose.replace(":2,", ":1000000,")));
            lines.push(format!(
                r#"{{"id":"r{id}","refund":{{"order":{{"user":"u{user}","name":{{"command":"g{id}"}}}},"coins":1,
                    "reason":"sorry"}}}}"#
            ));
            if user % 3 == 0 {
                lines.push(format!(r#"{{"id":"c{id}","chargeback":{{"channel":"{channel}","transaction":"T{id}"}}}}"#));
            }
        }
        // Frames of one record and of many.
        for chunk in lines.chunks(1 + round * 7 % 40) {
            self.say(chunk);
            self.clock.advance_millis(1);
        }
    }

    /// So many rounds that there are three segments.
    fn play_over_segments(&self, users: usize) {
        let mut round = 0;
        while self.engine.reader().segments().unwrap().len() < 3 {
            self.play(round, users);
            round += 1;
        }
    }

    /// Every record, in the order of the log.
    fn records(&self) -> Vec<Record> {
        let frames = self.engine.reader().frames(Check::Frame);
        frames.flat_map(|frame| frame.unwrap().records).collect()
    }

    fn places(&self) -> Vec<At> {
        self.records().iter().map(place).collect()
    }

    fn follow(&self, after: impl Into<After>, filter: &[(&str, &str)], stay: bool) -> Follower {
        let filter = self.filter(filter).unwrap();
        self.feed.follow(&after.into(), filter, stay, None).unwrap()
    }

    fn filter(&self, filter: &[(&str, &str)]) -> Result<Filter> {
        Filter::parse(&words(filter), self.feed.shards())
    }
}

fn words(filter: &[(&str, &str)]) -> Words {
    let mut words = Words::default();
    for (name, value) in filter {
        let values = match *name {
            "kind" => &mut words.kind,
            "account" => &mut words.account,
            "user" => &mut words.user,
            "subject" => &mut words.subject,
            "shards" => &mut words.shards,
            other => panic!("{other} is no filter"),
        };
        values.push((*value).to_owned());
    }
    words
}

fn place(record: &Record) -> At {
    (record.shard, record.sequence)
}

fn places_of(batch: &Batch) -> Vec<At> {
    batch.entries.iter().map(|entry| (entry.shard, entry.sequence)).collect()
}

/// The next batch of a follower who should have one soon.
async fn next(follower: &mut Follower) -> Option<Batch> {
    timeout(Duration::from_mins(1), follower.next()).await.expect("something comes soon").unwrap()
}

/// The places of the next batch, unless there is none soon: then whoever waited for it has gone, as a client may.
async fn soon(follower: &mut Follower) -> Vec<At> {
    let batch = timeout(Duration::from_millis(20), follower.next()).await;
    batch.map_or(Vec::new(), |batch| places_of(&batch.unwrap().expect("it stays")))
}

/// Everything that a follower gets who does not stay, and the last cursor.
async fn all(follower: &mut Follower) -> (Vec<At>, Cursor) {
    let mut places = Vec::new();
    while let Some(batch) = next(follower).await {
        places.extend(places_of(&batch));
    }
    (places, follower.cursor().clone())
}

/// So many records that a follower gets who stays.
async fn some(follower: &mut Follower, count: usize) -> Vec<At> {
    let mut places = Vec::new();
    while places.len() < count {
        places.extend(places_of(&next(follower).await.expect("it stays")));
    }
    places
}
