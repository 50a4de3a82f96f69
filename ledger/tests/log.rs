//! The log from outside: one contract for both homes, then damage, torn ends and failing disks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{sync::Arc, time::Duration};

use ledger::{
    Error,
    log::{
        Batch, Check, Disk, Head, Locator, Log, Options, OsDisk, Reader, ShardHead,
        faulty::{Content, Fault, SimDisk},
    },
};
use proptest::prelude::*;
use schemas::{
    Body, Chain, ChargedBack, Coins, Event, Granted, Hash, Lot, LotId, LotKind, Moved, Origin, Record, Shard, Subject,
    Timestamp,
};

type Records = Vec<Vec<Record>>;

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    schemas::encode_record(record, &mut bytes);
    bytes
}

/// Makes records, and keeps what was answered for.
struct Ledger {
    next: Vec<u64>,
    time: i64,
    /// Each batch whose append returned.
    answered: Vec<(Locator, Records)>,
}

impl Ledger {
    fn new(shards: Shard) -> Self {
        Self { next: vec![1; usize::from(shards)], time: 1_700_000_000_000_000_000, answered: Vec::new() }
    }

    /// A record of about `bytes` bytes, or the least.
    fn record(&mut self, shard: usize, bytes: usize) -> Record {
        let sequence = self.next[shard];
        self.next[shard] += 1;
        self.time += 1_000_003;
        // Numbers without a pattern, so that blocks compress a little, like real ones.
        let mixed = |n: u64| (sequence * 1_000 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12;
        let coins = |n: u64| Coins::new(mixed(n)).unwrap();
        // Each lot takes 19 bytes.
        let lot = |n| Lot { id: LotId { sequence: 1 << 56, part: 0 }, kind: LotKind::Paid, coins: coins(n) };
        let event = match u64::try_from(bytes / 19).unwrap() {
            0 => Event::Granted(Granted { coins: coins(0), expires: None, reason: "goodwill".parse().unwrap() }),
            lots => Event::ChargedBack(ChargedBack {
                source: u16::try_from(shard).unwrap(),
                taken: (0..lots).map(lot).collect(),
                debt: Coins::ZERO,
                channel: "apple".parse().unwrap(),
                transaction: "t".parse().unwrap(),
            }),
        };
        Record {
            shard: u16::try_from(shard).unwrap(),
            sequence,
            time: Timestamp::from_nanos(self.time),
            occurred_at: None,
            subject: Subject::User(format!("u{}", self.time % 9_973).parse().unwrap()),
            origin: Origin::Caller(schemas::Source::cli()),
            id: format!("c-{shard}-{sequence}").parse().unwrap(),
            digest: format!("{:016x}{:016x}", mixed(7), mixed(8)).parse().unwrap(),
            actor: None,
            on_behalf_of: None,
            client: None,
            body: Body::Event(Box::new(event)),
            moved: Moved::new(),
        }
    }

    /// A batch with so many records for each shard.
    fn batch(&mut self, counts: &[usize]) -> Records {
        counts.iter().enumerate().map(|(shard, &count)| (0..count).map(|_| self.record(shard, 0)).collect()).collect()
    }

    fn append(&mut self, log: &mut Log, batch: Records) -> ledger::Result<Locator> {
        log.ensure_room()?;
        let at = log.append(&Batch::of(&batch))?;
        self.answered.push((at, batch));
        Ok(at)
    }

    fn records(&self) -> impl Iterator<Item = (Locator, &Record)> {
        self.answered
            .iter()
            .flat_map(|(at, batch)| batch.iter().flatten().zip(0..).map(|(record, n)| (at.nth(n), record)))
    }

    /// The head by the vocabulary's own chain.
    fn heads(&self) -> Vec<ShardHead> {
        let mut chains = vec![(Chain::new(), 0); self.next.len()];
        for (_, record) in self.records() {
            let (chain, sequence) = &mut chains[usize::from(record.shard)];
            chain.push(&encoded(record), 1);
            *sequence = record.sequence;
        }
        chains.into_iter().map(|(chain, sequence)| ShardHead { sequence, hash: chain.hash() }).collect()
    }

    /// Everything that was answered for is there, and nothing else.
    fn expect(&self, reader: &mut Reader) {
        assert_eq!(reader.head().shards, self.heads());
        for check in [Check::Frame, Check::Full] {
            let frames: Vec<_> = reader.frames(check).map(|frame| frame.expect("a sound log")).collect();
            let found = frames.iter().flat_map(|f| f.records.iter().zip(0..).map(|(r, n)| (f.first.nth(n), r)));
            assert!(found.eq(self.records()), "the records read in order are not those that were appended");
        }
        for (at, record) in self.records() {
            assert_eq!(&reader.record(at).unwrap(), record);
            assert_eq!(reader.find(record.shard, record.sequence).unwrap(), Some((at, record.clone())));
        }
        for (shard, head) in (0..).zip(self.heads()) {
            assert_eq!(reader.find(shard, head.sequence + 1).unwrap(), None);
            assert_eq!(reader.find(shard, 0).unwrap(), None);
        }
    }
}

fn small(shards: Shard) -> Options {
    Options { shards: Some(shards), segment_bytes: 0, max_frame_bytes: 4096 }
}

fn large(shards: Shard) -> Options {
    Options { shards: Some(shards), segment_bytes: 4 << 20, max_frame_bytes: 1 << 20 }
}

/// Runs a test on a real folder and on a simulated disk.
fn on_both_homes(test: impl Fn(Arc<dyn Disk>)) {
    let folder = tempfile::tempdir().unwrap();
    test(Arc::new(OsDisk::new(folder.path().join("ledger"))));
    test(Arc::new(SimDisk::new(1)));
}

fn open(disk: &Arc<dyn Disk>, options: &Options) -> Log {
    let (log, recovery) = Log::open(disk.clone(), options).expect("a sound ledger");
    assert_eq!(recovery.cut, None);
    log
}

#[test]
fn what_is_appended_is_there_in_order_by_place_and_by_sequence() {
    for shards in [1, 16] {
        on_both_homes(|disk| {
            let mut ledger = Ledger::new(shards);
            let mut log = open(&disk, &small(shards));
            assert_eq!(log.append(&Batch::of(&[])).unwrap(), log.append(&Batch::new(shards)).unwrap());
            let syncs = log.stats().syncs;
            assert_eq!(syncs, 0, "an empty batch touches nothing");
            for n in 0..240 {
                let counts: Vec<usize> = (0..usize::from(shards)).map(|shard| (n + shard) % 4).collect();
                let batch = ledger.batch(&counts);
                ledger.append(&mut log, batch).unwrap();
            }
            let mut beside = log.reader();
            ledger.expect(&mut beside);
            assert_eq!(log.head(), beside.head());
            ledger.expect(&mut Reader::open(disk.clone()).unwrap());

            log.close().unwrap();
            ledger.expect(&mut Reader::open(disk.clone()).unwrap());
            let mut log = open(&disk, &small(shards));
            ledger.expect(&mut log.reader());
            let batch = ledger.batch(&vec![1; shards.into()]);
            ledger.append(&mut log, batch).unwrap();
            ledger.expect(&mut log.reader().clone());

            drop(log); // as if killed
            let log = open(&disk, &small(shards));
            ledger.expect(&mut log.reader());
            assert!(log.reader().segments().unwrap().len() > 2, "small segments roll over");
        });
    }
}

#[test]
fn records_of_all_sizes() {
    on_both_homes(|disk| {
        let mut ledger = Ledger::new(2);
        let mut log = open(&disk, &large(2));
        for bytes in [10, 60_000, 65_000, 66_000, 130_000, 500_000, 10, 10] {
            let batch = vec![
                vec![ledger.record(0, 0), ledger.record(0, bytes)],
                vec![ledger.record(1, bytes), ledger.record(1, 0)],
            ];
            ledger.append(&mut log, batch).unwrap();
        }
        ledger.expect(&mut log.reader());
        log.close().unwrap();
        ledger.expect(&mut open(&disk, &large(2)).reader());
    });
}

#[test]
fn a_batch_beyond_the_limit_stops_the_log_and_writes_nothing() {
    on_both_homes(|disk| {
        let mut ledger = Ledger::new(1);
        let mut log = open(&disk, &small(1));
        let batch = ledger.batch(&[3]);
        ledger.append(&mut log, batch).unwrap();
        let before = log.head();
        let batch = Ledger { next: ledger.next.clone(), ..Ledger::new(1) }.batch(&[200]);
        assert!(matches!(log.append(&Batch::of(&batch)), Err(Error::TooLarge { what: "a batch", .. })));
        assert!(matches!(log.append(&Batch::of(&[])), Err(Error::Stopped { .. })));
        assert!(matches!(log.ensure_room(), Err(Error::Stopped { .. })));
        assert_eq!(log.head(), before);
        drop(log);
        ledger.expect(&mut open(&disk, &small(1)).reader());
    });
}

#[test]
fn a_reader_of_the_writer_follows_it_and_another_shows_what_was_whole() {
    on_both_homes(|disk| {
        let mut ledger = Ledger::new(4);
        let mut log = open(&disk, &small(4));
        let reader = log.reader();
        let mut frames = reader.frames(Check::Full);
        assert!(frames.next().is_none());
        std::thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::channel();
            let follower = scope.spawn(move || {
                let mut seen = Vec::new();
                while let Ok(total) = receiver.recv_timeout(Duration::from_secs(30)) {
                    while seen.len() < total {
                        let frame = frames.next().expect("it was appended").expect("a sound log");
                        seen.extend(frame.records);
                    }
                }
                seen
            });
            let mut total = 0;
            for _ in 0..40 {
                let batch = ledger.batch(&[2, 0, 1, 3]);
                total += 6;
                ledger.append(&mut log, batch).unwrap();
                sender.send(total).unwrap();
                assert_eq!(Reader::open(disk.clone()).unwrap().head(), log.head());
            }
            drop(sender);
            let seen = follower.join().unwrap();
            assert!(seen.iter().eq(ledger.records().map(|(_, record)| record)));
        });
        let (at, _) = ledger.answered[17];
        let rest: usize = reader.frames_from(at.nth(3)).map(|frame| frame.unwrap().records.len()).sum();
        assert_eq!(rest, 6 * (40 - 17));
        let mut from_end = reader.frames_from(reader.end());
        assert!(from_end.next().is_none());
        let batch = ledger.batch(&[1, 0, 0, 0]);
        let at = ledger.append(&mut log, batch).unwrap();
        assert_eq!(from_end.next().unwrap().unwrap().first, at);
    });
}

#[test]
fn a_log_can_move_to_its_writer_thread() {
    fn moves<T: Send + 'static>() {}
    moves::<Log>();
    moves::<Reader>();
    assert_eq!(u64::from(Locator::from(5 << 20 | 3)), (5 << 20) + 3);
    assert_eq!((Locator::from(5 << 20).nth(3).offset(), Locator::from(5 << 20).nth(3).ordinal()), (5, 3));
}

#[test]
fn there_is_one_writer() {
    on_both_homes(|disk| {
        let mut log = open(&disk, &small(1));
        let refused = Log::open(disk.clone(), &small(1)).unwrap_err();
        assert!(matches!(refused, Error::Locked { .. }), "{refused}");
        log.close().unwrap();
        open(&disk, &small(1));
    });
}

#[test]
fn the_hash_at_any_sequence_is_that_of_the_records_before_it() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(3));
    let mut ledger = Ledger::new(2);
    let mut log = open(&disk, &small(2));
    for _ in 0..60 {
        let batch = ledger.batch(&[7, 13]);
        ledger.append(&mut log, batch).unwrap();
    }
    let mut chain = Chain::new();
    let mut reader = log.reader();
    assert_eq!(reader.hash_at(1, 0).unwrap(), Some(Hash::default()));
    for (_, record) in ledger.records().filter(|(_, record)| record.shard == 1) {
        chain.push(&encoded(record), 1);
        assert_eq!(reader.hash_at(1, record.sequence).unwrap(), Some(chain.hash()), "at {}", record.sequence);
    }
    assert_eq!(reader.hash_at(1, 781).unwrap(), None);
    assert_eq!(reader.hash_at(9, 1).unwrap(), None);
    assert!(matches!(reader.record(reader.end()), Err(Error::NoRecord { .. })));
    assert!(matches!(reader.record(ledger.answered[0].0.nth(20)), Err(Error::NoRecord { .. })));
}

#[test]
fn what_is_not_this_ledger_is_refused_by_name() {
    let sound = || closed(1, 60);
    let refused = |content: &Content| {
        let disk = SimDisk::with(0, content);
        Log::open(Arc::new(disk), &small(1)).unwrap_err().to_string()
    };
    let foreign = Content::from([("photos.zip".to_owned(), vec![1])]);
    assert_eq!(
        refused(&foreign),
        "opening the ledger: /simulated/photos.zip is not of a ledger; name another folder, or move it away"
    );
    let mut stray = sound();
    stray.insert("log/notes.txt".to_owned(), vec![1]);
    let said = refused(&stray);
    assert!(said.starts_with("opening the ledger: /simulated/log/notes.txt at byte 0: the file is not of a ledger"));
    assert!(said.contains("No record is lost."), "{said}");

    let disk = Arc::new(SimDisk::with(0, &sound()));
    let message = Log::open(disk, &small(7)).unwrap_err().to_string();
    assert_eq!(message, "opening /simulated/: it has 1 shards, not 7; leave the number out, or make a new ledger");
    let missing = Reader::open(Arc::new(SimDisk::new(0))).unwrap_err().to_string();
    assert!(missing.starts_with("opening the ledger: there is none in /simulated/"), "{missing}");

    let segments: Vec<String> = sound().keys().filter(|name| name.starts_with("log/")).cloned().collect();
    assert!(segments.len() >= 3, "{segments:?}");
    let without = |n: usize| {
        let mut content = sound();
        content.remove(&segments[n]);
        refused(&content)
    };
    assert!(without(0).contains("the log's first segment is missing"), "{}", without(0));
    assert!(without(1).contains("one was cut"), "{}", without(1));
    let last = without(segments.len() - 1);
    assert!(last.contains("positions/head.json: it knows record 60 of shard 0"), "{last}");
    let mut none = sound();
    none.retain(|name, _| !name.starts_with("log/"));
    assert!(refused(&none).contains("60 answered records are lost: 1 to 60 of shard 0."), "{}", refused(&none));

    // Two ledgers with the same records differ in their lineage, hence in every checksum.
    let (mut mixed, other) = (sound(), sound());
    mixed.insert(segments[2].clone(), other[&segments[2]].clone());
    let message = refused(&mixed);
    assert!(message.contains("the segment is of another ledger"), "{message}");
    let mut position = sound();
    position.insert("positions/head.json".to_owned(), other["positions/head.json"].clone());
    let message = refused(&position);
    assert!(message.contains("positions/head.json at byte 0: the position is another ledger's"), "{message}");
}

#[test]
fn a_newer_format_asks_for_a_newer_release() {
    let mut content = closed(1, 3);
    let header = content.get_mut("log/0000000000000000.seg").unwrap();
    header[12] = 2;
    let length = usize::from(header[16]);
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &header[12..length]);
    header[8..12].copy_from_slice(&u32::try_from(crc).unwrap().to_le_bytes());
    let refused = Log::open(Arc::new(SimDisk::with(0, &content)), &small(1)).unwrap_err().to_string();
    assert_eq!(
        refused,
        "opening /simulated/log/0000000000000000.seg: it has format version 2, this release reads up to 1; use a newer release"
    );
}

/// The files of a ledger of one record a frame that was closed.
fn closed(shards: Shard, records: usize) -> Content {
    ledger_of(shards, records).1
}

fn ledger_of(shards: Shard, records: usize) -> (Ledger, Content) {
    let sim = SimDisk::new(5);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let mut ledger = Ledger::new(shards);
    let mut log = open(&disk, &small(shards));
    for n in 0..records {
        let shard = n % usize::from(shards);
        // Some are long, so that there are compressed blocks and several segments.
        let record = ledger.record(shard, if n % 3 == 0 { 3000 } else { 0 });
        let mut batch = vec![Vec::new(); shards.into()];
        batch[shard].push(record);
        ledger.append(&mut log, batch).unwrap();
    }
    log.close().unwrap();
    (ledger, sim.snapshot())
}

/// Opens a ledger of which the records are known, and expects exactly those.
fn reopen(content: &Content, shards: Shard, ledger: &Ledger) -> ledger::Result<ledger::log::Recovery> {
    let (log, recovery) = Log::open(Arc::new(SimDisk::with(0, content)), &small(shards))?;
    ledger.expect(&mut log.reader());
    Ok(recovery)
}

fn read_all(content: &Content) -> ledger::Result<usize> {
    let reader = Reader::open(Arc::new(SimDisk::with(0, content)))?;
    reader.frames(Check::Full).map(|frame| frame.map(|frame| frame.records.len())).sum()
}

/// Where the header and each frame of each segment begin, and which segment is the last.
fn places(ledger: &Ledger, content: &Content) -> (Vec<(String, u64)>, String) {
    let segments: Vec<&String> = content.keys().filter(|name| name.starts_with("log/")).collect();
    let base = |name: &String| u64::from_str_radix(&name[4..20], 16).unwrap();
    let mut places: Vec<(String, u64)> = segments.iter().map(|name| ((*name).clone(), 0)).collect();
    for (at, _) in &ledger.answered {
        let name = segments.iter().rfind(|name| base(name) <= at.offset()).unwrap();
        places.push(((*name).clone(), at.offset() - base(name)));
    }
    (places, segments[segments.len() - 1].clone())
}

#[test]
fn every_flipped_byte_of_a_closed_log_is_found_and_never_served() {
    let (ledger, content) = ledger_of(2, 24);
    let (places, last) = places(&ledger, &content);
    let segments = places.iter().filter(|(_, offset)| *offset == 0).count();
    assert!(segments >= 2 && read_all(&content).unwrap() == 24, "{segments} segments");
    for (name, bytes) in &content {
        for at in 0..bytes.len() {
            let mut flipped = content.clone();
            flipped.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            let opened = reopen_or_say(&flipped, 2);
            if name.starts_with("positions/") {
                let message = opened.expect_err("a damaged position must be refused");
                assert!(message.contains(name), "{message}");
                continue;
            }
            // A full read names the file and the frame, or the header.
            let begin = places.iter().filter(|(file, offset)| file == name && *offset <= at as u64);
            let begin = begin.map(|(_, offset)| *offset).max().unwrap();
            match read_all(&flipped).expect_err("a full read must find it") {
                Error::Damaged { path, offset, .. } | Error::Refused { path, offset, .. } => {
                    assert_eq!(path, std::path::Path::new("/simulated").join(name));
                    assert!((begin..=at as u64 + 8).contains(&offset), "byte {at} of {name}: said {offset}");
                }
                other => panic!("byte {at} of {name}: {other}"),
            }
            // A start reads only the last segment, and what the chains need before it.
            let header = at < 20;
            if *name == last || header {
                let message = opened.expect_err("damage in the last segment must be refused");
                assert!(message.contains(name), "{message}");
            }
            if *name != last {
                continue;
            }
            // The segment was closed: it says by itself that its end was answered.
            flipped.retain(|file, _| !file.starts_with("positions/"));
            let error = reopen_or_say(&flipped, 2).expect_err("the end was answered");
            assert!(error.contains(name), "byte {at} of {name}: {error}");
        }
    }
}

/// A log that was being written when its process was killed: of its last frame nothing tells whether it was
/// answered, of all others the next one does.
#[test]
fn only_the_last_frame_of_a_log_that_was_not_closed_is_taken_for_torn() {
    let sim = SimDisk::new(5);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let mut ledger = Ledger::new(2);
    let mut log = open(&disk, &small(2));
    for n in 0..24 {
        let mut batch = vec![Vec::new(); 2];
        batch[n % 2].push(ledger.record(n % 2, if n % 3 == 0 { 3000 } else { 0 }));
        ledger.append(&mut log, batch).unwrap();
    }
    drop(log);
    let content = sim.snapshot();
    let (places, last) = places(&ledger, &content);
    let at_last: Vec<u64> = places.iter().filter(|(name, _)| *name == last).map(|(_, offset)| *offset).collect();
    let end = *at_last.iter().max().unwrap();
    for at in 0..content[&last].iter().rposition(|&byte| byte != 0).unwrap() {
        let mut flipped = content.clone();
        flipped.get_mut(&last).unwrap()[at] ^= 1 << (at % 8);
        match Log::open(Arc::new(SimDisk::with(0, &flipped)), &small(2)) {
            Ok((log, recovery)) => {
                assert!(at as u64 >= end, "byte {at} was taken off, which is not in the last frame");
                assert_eq!(recovery.cut.unwrap().offset, end);
                assert_eq!(log.head().shards.iter().map(|head| head.sequence).sum::<u64>(), 23);
            }
            Err(error) => {
                assert!((at as u64) < end, "byte {at}, in the last frame: {error}");
                assert!(error.to_string().contains(&last), "{error}");
            }
        }
    }
}

fn reopen_or_say(content: &Content, shards: Shard) -> Result<(), String> {
    let opened = Log::open(Arc::new(SimDisk::with(0, content)), &small(shards));
    let (_, recovery) = opened.map_err(|error| error.to_string())?;
    assert_eq!(recovery.cut, None, "a closed log has no torn end");
    Ok(())
}

#[test]
fn every_flipped_byte_of_the_reserve_is_found_and_kept() {
    let sim = SimDisk::new(6);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let mut ledger = Ledger::new(1);
    let mut log = open(&disk, &small(1));
    let batch = ledger.batch(&[5]);
    ledger.append(&mut log, batch).unwrap();
    let end = log.reader().segments().unwrap()[0].bytes;
    drop(log);
    let content = sim.snapshot();
    let (name, bytes) = content.iter().next().unwrap();
    assert!(bytes.len() as u64 > end + 8192, "there is a reserve");
    for at in (end..bytes.len() as u64).step_by(7) {
        let mut flipped = content.clone();
        flipped.get_mut(name).unwrap()[usize::try_from(at).unwrap()] = 0x47;
        let found = read_all(&flipped).unwrap_err();
        assert!(matches!(found, Error::Damaged { offset, .. } if offset == at), "{found}");
        let cut = reopen(&flipped, 1, &ledger).unwrap().cut.unwrap();
        assert_eq!((cut.offset, cut.bytes), (end, at - end + 1));
    }
}

/// A crashed log that something else has cut, at any byte, was taken for one with an unfinished write: many
/// answered records went in silence. Its reserve says how long it was.
#[test]
fn a_last_segment_that_was_cut_anywhere_is_refused_closed_or_not() {
    let (ledger, closed) = ledger_of(2, 24);
    let (places, last) = places(&ledger, &closed);
    let starts: Vec<u64> = places.iter().filter(|(name, _)| *name == last).map(|(_, offset)| *offset).collect();
    let crashed = {
        let sim = SimDisk::with(1, &closed);
        let (mut log, _) = Log::open(Arc::new(sim.clone()), &small(2)).unwrap();
        log.ensure_room().unwrap();
        log.append(&Batch::of(&[
            vec![],
            Ledger { next: ledger.next.clone(), ..Ledger::new(2) }.batch(&[0, 1]).remove(1),
        ]))
        .unwrap();
        drop(log);
        sim.snapshot()
    };
    for content in [&closed, &crashed] {
        let whole = content[&last].len();
        for length in (0..whole.min(9000))
            .step_by(13)
            .chain(starts.iter().map(|&start| usize::try_from(start).unwrap()))
            .chain(whole - 3..whole)
        {
            let mut cut = content.clone();
            cut.get_mut(&last).unwrap().truncate(length);
            let refused = reopen_or_say(&cut, 2).expect_err("with its position");
            assert!(refused.contains(&last), "cut at {length}: {refused}");
            cut.retain(|file, _| !file.starts_with("positions/"));
            let refused = reopen_or_say(&cut, 2).expect_err("without its position");
            assert!(refused.contains(&last), "cut at {length}: {refused}");
            let kept = starts.iter().skip(1).filter(|&&start| start <= length as u64).count();
            assert!(refused.contains("lost"), "cut at {length}, {kept} frames begin before: {refused}");
        }
    }
}

#[test]
fn a_position_is_never_lost_and_must_be_of_this_log() {
    let sim = SimDisk::new(7);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let mut ledger = Ledger::new(1);
    let mut log = open(&disk, &small(1));
    let batch = ledger.batch(&[3]);
    ledger.append(&mut log, batch).unwrap();
    log.store_position("index", &log.head()).unwrap();
    let beyond = Head { shards: vec![ShardHead { sequence: 4, ..log.head().shards[0] }], ..log.head() };
    let refused = log.store_position("index", &beyond).unwrap_err();
    assert!(matches!(refused, Error::BehindStored { stored: 4, on_log: 3, .. }), "{refused}");
    let batch = ledger.batch(&[1]);
    let last = ledger.append(&mut log, batch).unwrap();
    drop(log);

    // The frame behind the position may go, the one that it covers may not.
    let name = "log/0000000000000000.seg";
    let content = sim.snapshot();
    sim.flip(name, last.offset() + 40, 1);
    let (log, recovery) = Log::open(disk.clone(), &small(1)).unwrap();
    assert_eq!((log.head().shards[0].sequence, recovery.cut.map(|cut| cut.offset)), (3, Some(last.offset())));
    drop(log);
    sim.flip(name, last.offset() - 1, 1);
    let refused = Log::open(disk.clone(), &small(1)).unwrap_err().to_string();
    assert!(refused.contains(&format!("/simulated/{name} at byte 136: ")), "{refused}");
    assert!(refused.contains("positions/index.json: it knows record 3 of shard 0"), "{refused}");
    // A position with the right numbers and other records.
    sim.restore(&content);
    let (log, _) = Log::open(disk.clone(), &small(1)).unwrap();
    let mut head = log.head();
    head.shards[0].hash.0[0] ^= 1;
    log.store_position("view", &head).unwrap();
    drop(log);
    let refused = Log::open(disk, &small(1)).unwrap_err();
    let said = refused.to_string();
    assert!(said.contains("positions/view.json at byte 0: the log has other records up to 4 of shard 0"), "{said}");
}

#[test]
fn a_full_disk_refuses_before_anything_is_decided_and_later_works() {
    let sim = SimDisk::new(8);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let mut ledger = Ledger::new(1);
    let mut log = open(&disk, &small(1));
    let mut refusals = 0;
    for _ in 0..300 {
        // Nothing more than what is used, until it has refused.
        sim.set_capacity(sim.used());
        if let Err(error) = log.ensure_room() {
            assert!(matches!(error, Error::Full { .. }), "{error}");
            assert!(matches!(log.ensure_room(), Err(Error::Full { .. })));
            refusals += 1;
            sim.set_capacity(u64::MAX);
            log.ensure_room().unwrap();
            sim.set_capacity(sim.used());
        }
        // Two of the largest batches fit now, whatever happens.
        let batch = ledger.batch(&[20]);
        let at = log.append(&Batch::of(&batch)).unwrap();
        ledger.answered.push((at, batch));
    }
    assert!(refusals > 10, "{refusals} refusals");
    ledger.expect(&mut log.reader());
    sim.crash();
    ledger.expect(&mut open(&disk, &small(1)).reader());
}

/// Opens, appends and closes until something fails. What was under way then is returned.
fn work(disk: &Arc<dyn Disk>, ledger: &mut Ledger) -> (ledger::Result<()>, Option<Records>) {
    let mut under_way = None;
    let mut run = || {
        let (mut log, _) = Log::open(disk.clone(), &small(2))?;
        for n in 0..40 {
            log.ensure_room()?;
            let batch = under_way.insert(ledger.batch(&[n % 3, 1 + n % 7]));
            let at = log.append(&Batch::of(batch))?;
            ledger.answered.push((at, under_way.take().expect("it was just put there")));
            if n % 8 == 5 {
                log.store_position("index", &log.head())?;
            }
        }
        log.close()
    };
    (run(), under_way)
}

/// After a failure: everything that was answered is there, and of what was under way all or nothing.
fn expect_after(disk: &Arc<dyn Disk>, ledger: &mut Ledger, under_way: Option<Records>) {
    let (log, _) = Log::open(disk.clone(), &small(2)).expect("a start after a failure");
    let mut reader = log.reader();
    if let Some(batch) = under_way {
        let last = batch.iter().flatten().last().expect("no batch is empty");
        match reader.find(last.shard, last.sequence).unwrap() {
            Some((at, _)) => ledger.answered.push((Locator::from(u64::from(at) & !0xf_ffff), batch)),
            None => batch.iter().flatten().for_each(|r| ledger.next[usize::from(r.shard)] -= 1),
        }
    }
    ledger.expect(&mut reader);
}

#[test]
fn a_failure_at_any_step_loses_nothing_that_was_answered() {
    for fault in [Fault::PowerCut, Fault::ShortWrite, Fault::SyncError, Fault::NoSpace] {
        for power in [true, false] {
            let mut struck = 0;
            for step in 1.. {
                let seed = step * 31 + u64::from(power);
                let sim = SimDisk::new(seed);
                let disk: Arc<dyn Disk> = Arc::new(sim.clone());
                let mut ledger = Ledger::new(2);
                sim.inject(step, fault);
                let (outcome, under_way) = work(&disk, &mut ledger);
                if sim.waiting_faults() > 0 {
                    outcome.expect("without a fault it works");
                    break;
                }
                struck += 1;
                outcome.expect_err("a fault is an error");
                let restart = || if power { sim.crash() } else { sim.kill() };
                restart();
                eprintln!("{fault:?} at step {step}, power cut: {power}, seed {seed}");
                expect_after(&disk, &mut ledger, under_way);
                // What a start has shown must not go either.
                sim.crash();
                expect_after(&disk, &mut ledger, None);
                sim.crash();
                let (outcome, _) = work(&disk, &mut ledger);
                outcome.expect("it works again");
                sim.crash();
                expect_after(&disk, &mut ledger, None);
            }
            assert!(struck >= 40, "{fault:?} struck {struck} times");
        }
    }
}

/// A segment that was closed so full that the next frame begins another one must not keep its mark: the power may
/// go before it has lost its reserve.
#[test]
fn a_closed_log_goes_on_in_another_segment_whenever_the_power_goes() {
    let mut begun = 0;
    for records in 1..40 {
        let (_, content) = ledger_of(2, records);
        for step in 1.. {
            let (mut ledger, _) = ledger_of(2, records);
            let sim = SimDisk::with(step, &content);
            let disk: Arc<dyn Disk> = Arc::new(sim.clone());
            sim.inject(step, Fault::PowerCut);
            let mut go_on = || {
                let (mut log, _) = Log::open(disk.clone(), &small(2))?;
                log.ensure_room()?;
                let long = vec![vec![ledger.record(0, 3000)], Vec::new()];
                log.append(&Batch::of(&long))?;
                Ok::<u64, ledger::Error>(log.stats().segments)
            };
            let outcome = go_on();
            if sim.waiting_faults() > 0 {
                begun += outcome.expect("without a fault it works");
                break;
            }
            outcome.expect_err("a power cut is an error");
            sim.crash();
            let (log, _) = Log::open(disk, &small(2)).unwrap_or_else(|error| panic!("{records}, {step}: {error}"));
            let read: usize = log.reader().frames(Check::Full).map(|frame| frame.unwrap().records.len()).sum();
            assert!(read == records || read == records + 1, "{read} of {records} records");
        }
    }
    assert!(begun >= 3, "{begun} segments were begun");
}

#[test]
fn a_bad_read_is_refused_or_changes_nothing() {
    let (ledger, content) = {
        let sim = SimDisk::new(9);
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let mut ledger = Ledger::new(2);
        let mut log = open(&disk, &small(2));
        for n in 0..30 {
            let batch = ledger.batch(&[1, n % 9]);
            ledger.append(&mut log, batch).unwrap();
        }
        log.store_position("index", &log.head()).unwrap();
        let batch = ledger.batch(&[1, 1]);
        ledger.append(&mut log, batch).unwrap();
        (ledger, sim.snapshot())
    };
    for fault in [Fault::ReadError, Fault::BitFlip] {
        let mut refused = 0;
        for seed in 0..40 {
            for read in 1.. {
                let sim = SimDisk::with(seed, &content);
                sim.inject(read, fault);
                let opened = Log::open(Arc::new(sim.clone()), &small(2));
                let struck = sim.waiting_faults() == 0;
                refused += usize::from(opened.is_err());
                drop(opened);
                sim.kill();
                ledger.expect(&mut Log::open(Arc::new(sim), &small(2)).expect("the disk itself is sound").0.reader());
                if !struck {
                    break;
                }
            }
        }
        assert!(refused > 0, "{fault:?} was never noticed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any batches, with a clean end, a kill or a power cut between them, read back as appended.
    #[test]
    fn any_batches_read_back(
        seed: u64,
        shards in 1_usize..5,
        lives in prop::collection::vec((0_u8..3, prop::collection::vec(
            prop::collection::vec((0_usize..4, 0_usize..200), 1..5), 0..12)), 1..5),
    ) {
        let sim = SimDisk::new(seed);
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let options = small(u16::try_from(shards).unwrap());
        let mut ledger = Ledger::new(options.shards.unwrap());
        for (end, batches) in lives {
            let mut log = open(&disk, &options);
            for counts in batches {
                let records = |(shard, (count, bytes)): (usize, (usize, usize))| {
                    (0..count).map(|_| ledger.record(shard, bytes)).collect()
                };
                let batch: Records = counts.into_iter().take(shards).enumerate().map(records).collect();
                if batch.iter().all(Vec::is_empty) {
                    log.append(&Batch::of(&batch)).unwrap();
                } else {
                    ledger.append(&mut log, batch).unwrap();
                }
            }
            match end {
                0 => log.close().unwrap(),
                1 => { drop(log); sim.kill(); }
                _ => { drop(log); sim.crash(); }
            }
        }
        ledger.expect(&mut open(&disk, &options).reader());
    }
}

/// What a reader gave: the records, and how it ended.
type Given = (Vec<Record>, Option<String>);

fn in_order(reader: &Reader, check: Check) -> Given {
    let mut records = Vec::new();
    for frame in reader.frames(check) {
        match frame {
            Ok(frame) => records.extend(frame.records),
            Err(error) => return (records, Some(error.to_string())),
        }
    }
    (records, None)
}

fn ahead(reader: &Reader, check: Check) -> Given {
    let mut records = Vec::new();
    let read = reader.frames(check).ahead(|frame| {
        records.extend(frame.records.iter().cloned());
        Ok::<_, Error>(())
    });
    (records, read.err().map(|error| error.to_string()))
}

/// The records shard by shard; on an error, nothing but the error.
fn by_shards(reader: &Reader, check: Check, parts: usize) -> Given {
    let folds = reader.runs_of_shards(parts).into_iter().map(|run| (run, Vec::new())).collect();
    let folded = reader.fold_by_shards(check, None, folds, |records, frame| {
        for (n, record) in (0..).zip(&frame.records) {
            assert_eq!(reader.clone().record(frame.first.nth(n)).as_ref().ok(), Some(record), "the place of a record");
        }
        records.extend(frame.records.iter().cloned());
        Ok(())
    });
    match folded {
        Ok(records) => (records.concat(), None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    }
}

fn by_shard((mut records, error): Given) -> Given {
    records.sort_by_key(|record| record.shard);
    if error.is_some() {
        records.clear();
    }
    (records, error)
}

#[test]
fn reading_ahead_or_by_shards_gives_what_reading_in_order_does() {
    let shards = 5;
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(8));
    let mut ledger = Ledger::new(shards);
    let mut log = open(&disk, &small(shards));
    for n in 0..200 {
        // Frames of one shard, of some, and of several blocks.
        let counts: [usize; 5] = std::array::from_fn(|shard| if (n + shard) % 3 == 0 { n % 11 } else { 0 });
        if counts.iter().sum::<usize>() > 0 {
            let batch = ledger.batch(&counts);
            ledger.append(&mut log, batch).unwrap();
        }
    }
    let reader = log.reader();
    assert!(reader.segments().unwrap().len() > 2);
    for check in [Check::Frame, Check::Full] {
        let whole = in_order(&reader, check);
        assert_eq!(whole, (ledger.records().map(|(_, record)| record.clone()).collect(), None));
        assert_eq!(ahead(&reader, check), whole);
        for parts in [1, 2, 3, 9] {
            let runs = reader.runs_of_shards(parts);
            assert_eq!(runs.len(), parts.min(5));
            assert!(runs.iter().cloned().flatten().eq(0..5), "{runs:?}");
            assert_eq!(by_shard(by_shards(&reader, check, parts)), by_shard(whole.clone()));
        }
    }
    // From a place on, which need not have a record of each shard.
    let (at, _) = ledger.answered[100];
    let rest: Vec<Record> = reader.frames_from(at).flat_map(|frame| frame.unwrap().records).collect();
    let folds = reader.runs_of_shards(2).into_iter().map(|run| (run, Vec::new())).collect();
    let folded = reader.fold_by_shards(Check::Frame, Some(at), folds, |records, frame| {
        records.extend(frame.records.iter().cloned());
        Ok(())
    });
    assert_eq!(by_shard((folded.unwrap().concat(), None)), by_shard((rest, None)));
    // Who is given the frames may end it.
    let mut frames = 0;
    let ended = reader.frames(Check::Frame).ahead(|frame| {
        frames += 1;
        if frames < 7 { Ok(()) } else { Err(Error::NoRecord { place: frame.first.to_string() }) }
    });
    assert!(matches!(ended, Err(Error::NoRecord { .. })) && frames == 7, "{frames} frames");
    log.close().unwrap();
}

#[test]
fn damage_ends_reading_ahead_or_by_shards_where_it_ends_reading_in_order() {
    // More than the 255 records of a shard that a start reads before the last segment.
    let (ledger, content) = ledger_of(2, 540);
    let (_, last) = places(&ledger, &content);
    let (mut found, mut early) = (0, 0);
    for (name, bytes) in content.iter().filter(|(name, _)| name.starts_with("log/") && **name != last) {
        for at in (0..bytes.len()).step_by(2_503) {
            let mut flipped = content.clone();
            flipped.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            // What a start reads of it, it may refuse already.
            let Ok(reader) = Reader::open(Arc::new(SimDisk::with(0, &flipped))) else { continue };
            for check in [Check::Frame, Check::Full] {
                let given = in_order(&reader, check);
                found += usize::from(given.1.is_some());
                early += usize::from(!given.0.is_empty());
                assert_eq!(ahead(&reader, check), given, "byte {at} of {name}");
                assert_eq!(by_shard(by_shards(&reader, check, 2)), by_shard(given), "byte {at} of {name}");
            }
        }
    }
    assert!(found > 50 && early > 25, "{found} faults, {early} with records before them");
}
