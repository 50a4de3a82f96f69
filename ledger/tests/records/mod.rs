//! Records for logs that are backed up, cut and repaired.

use std::sync::Arc;

use ledger::log::{
    Check, Disk, Head, Log, Options, Reader,
    faulty::{Content, SimDisk},
};
use schemas::{
    Body, ChargedBack, Coins, Event, Granted, Lot, LotId, LotKind, Moved, Origin, Record, Shard, Subject, Timestamp,
};

/// Segments of a few KiB, so that there are several.
pub fn small(shards: Shard) -> Options {
    Options { shards: Some(shards), segment_bytes: 0, max_frame_bytes: 4096 }
}

/// The record of a shard with a sequence, about `bytes` long or the least; always the same.
pub fn record(shard: Shard, sequence: u64, bytes: usize) -> Record {
    let mixed = |n: u64| (sequence * 1_000 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12;
    let coins = |n: u64| Coins::new(mixed(n)).unwrap();
    // Each lot takes 19 bytes.
    let lot = |n| Lot { id: LotId { sequence: 1 << 56, part: 0 }, kind: LotKind::Paid, coins: coins(n) };
    let event = match u64::try_from(bytes / 19).unwrap() {
        0 => Event::Granted(Granted { coins: coins(0), expires: None, reason: "goodwill".parse().unwrap() }),
        lots => Event::ChargedBack(ChargedBack {
            source: shard,
            taken: (0..lots).map(lot).collect(),
            debt: Coins::ZERO,
            channel: "apple".parse().unwrap(),
            transaction: "t".parse().unwrap(),
        }),
    };
    Record {
        shard,
        sequence,
        time: Timestamp::from_nanos(1_700_000_000_000_000_000 + i64::try_from(sequence).unwrap() * 1_000_003),
        occurred_at: None,
        subject: Subject::User(format!("u{sequence}").parse().unwrap()),
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

/// Appends so many records, one a frame, of alternating shards; every third is long.
pub fn append(log: &mut Log, records: usize) {
    let shards = usize::from(log.shards());
    for _ in 0..records {
        log.ensure_room().unwrap();
        let heads = log.head().shards;
        let total: u64 = heads.iter().map(|head| head.sequence).sum();
        let shard = usize::try_from(total).unwrap() % shards;
        let bytes = if total.is_multiple_of(3) { 3000 } else { 0 };
        let mut batch = vec![Vec::new(); shards];
        batch[shard].push(record(u16::try_from(shard).unwrap(), heads[shard].sequence + 1, bytes));
        log.append(&ledger::log::Batch::of(&batch)).unwrap();
    }
}

/// A ledger of two shards with so many records, as it stands on its disk: closed, or as if killed.
pub fn ledger(records: usize, closed: bool) -> Content {
    let disk = SimDisk::new(5);
    let (mut log, _) = Log::open(Arc::new(disk.clone()), &small(2)).unwrap();
    append(&mut log, records);
    if closed {
        log.close().unwrap();
    } else {
        drop(log);
        disk.kill();
    }
    disk.snapshot()
}

/// Opens a ledger, reads all of it with every check, and says how far it goes.
pub fn read_all(disk: &Arc<dyn Disk>) -> ledger::Result<Head> {
    let reader = Reader::open(disk.clone())?;
    let mut sequences = vec![0; usize::from(reader.shards())];
    for frame in reader.frames(Check::Full) {
        for found in frame?.records {
            let sequence = &mut sequences[usize::from(found.shard)];
            *sequence += 1;
            let bytes = if matches!(&found.body, Body::Event(event) if matches!(**event, Event::ChargedBack(_))) {
                3000
            } else {
                0
            };
            assert_eq!(found, record(found.shard, *sequence, bytes));
        }
    }
    let head = reader.head();
    assert!(head.shards.iter().map(|head| head.sequence).eq(sequences), "the head is that of the records");
    Ok(head)
}

/// The segments of a ledger.
pub fn segments(content: &Content) -> Vec<String> {
    content.keys().filter(|name| name.starts_with("log/0")).cloned().collect()
}
