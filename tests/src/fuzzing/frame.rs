//! The log's reader and its recovery.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use ledger::{
    Error,
    log::{
        Batch, Check, Frame, Log, Options, Reader,
        faulty::{Content, SimDisk},
    },
};
use schemas::{Record, encode_record};

use super::{mend, story};

/// How the first byte asks for the others to be taken.
const MENDED: u8 = 1;
const TAIL: u8 = 2;

const FIRST: &str = "log/0000000000000000.seg";
const SHARDS: u16 = 3;

/// Any bytes as the end of a log, or as a whole one. See [`super`] for the first byte.
///
/// A reader and a start either say what is wrong or agree. What a start accepts is found again by
/// every way of reading, and a start after it finds nothing to do. What passes the full check makes
/// the same hashes when it is appended to a new log.
///
/// # Panics
/// If one of these does not hold.
pub fn frame(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let found = content(how, bytes);
    let disk = SimDisk::with(0, &found);
    let shown = Reader::open(Arc::new(disk.clone())).and_then(|reader| all(&reader, Check::Full));
    let opened = Log::open(Arc::new(disk.clone()), &options());
    let (mut log, recovery) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            explained(&error);
            let shown = shown.map(|frames| frames.len());
            return assert!(shown.is_err(), "{shown:?} frames were read, and a start says: {error}");
        }
    };
    let reader = log.reader();
    if let Some(cut) = &recovery.cut {
        let before = &found[&cut.segment];
        let at = usize::try_from(cut.offset).expect("a file in memory");
        let kept = &disk.snapshot()[&cut.kept];
        assert!(before[at..].starts_with(kept) && before[at + kept.len()..].iter().all(|&byte| byte == 0));
        assert!(shown.is_err(), "a full check passed over what a start cuts");
    } else if let Ok(shown) = &shown {
        assert_eq!(shown.len(), all(&reader, Check::Frame).expect("it was just read").len());
    }
    drop(reader.segments().map_err(|error| explained(&error)));
    if let Ok(frames) = all(&reader, Check::Frame).map_err(|error| explained(&error)) {
        looked_up(&reader, &frames);
        if all(&reader, Check::Full).map_err(|error| explained(&error)).is_ok() {
            written_again(log.shards(), &frames);
        }
    }
    goes_on(&mut log, &disk);
}

/// The files of a ledger with these bytes in it.
fn content(how: u8, bytes: &[u8]) -> Content {
    let mut bytes = bytes.to_vec();
    if how & TAIL == 0 {
        if how & MENDED != 0 {
            mend::Log::first_segment(&mut bytes);
        }
        return BTreeMap::from([(FIRST.to_owned(), bytes)]);
    }
    let (first, header, log) = begun();
    bytes.splice(..0, header.iter().copied());
    if how & MENDED != 0 {
        log.clone().frames(&mut bytes, header.len());
    }
    BTreeMap::from([(FIRST.to_owned(), first.clone()), (format!("log/{:016x}.seg", first.len()), bytes)])
}

/// A log that has just begun its second segment: the first one, the header, and what follows it.
fn begun() -> &'static (Vec<u8>, Vec<u8>, mend::Log) {
    static BEGUN: OnceLock<(Vec<u8>, Vec<u8>, mend::Log)> = OnceLock::new();
    BEGUN.get_or_init(|| {
        let mut log = mend::Log::new(SHARDS);
        let mut first = log.next_segment(0);
        let header = first.len();
        first.extend(frame_of(&story::records()[..8]));
        first.extend(frame_of(&story::records()[8..12]));
        log.frames(&mut first, header);
        let second = log.next_segment(first.len());
        (first, second, log)
    })
}

/// What the corpus is grown from, with the first byte: a log, and frames that go on with `begun`.
pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let records = story::records();
    let mut whole = mend::Log::new(SHARDS).next_segment(0);
    for frame in records.chunks(5) {
        whole.extend(frame_of(frame));
    }
    mend::Log::first_segment(&mut whole);
    let tail: Vec<u8> = records[12..].chunks(3).flat_map(frame_of).collect();
    let one = frame_of(&records[12..13]);
    let mut reserved = one.clone();
    reserved.extend([0; 64]);
    let mut torn = [one.clone(), one.clone()].concat();
    torn.truncate(one.len() + one.len() / 2);
    let (_, header, log) = begun();
    let mut sound = [&header[..], &tail].concat();
    log.clone().frames(&mut sound, header.len());
    let with = |how: u8, bytes: &[u8]| [&[how], bytes].concat();
    vec![
        ("whole", with(0, &whole)),
        ("whole-mended", with(MENDED, &whole)),
        ("written", with(0, &written(&records))),
        ("written-mended", with(MENDED, &written(&records))),
        ("tail", with(TAIL, &sound[header.len()..])),
        ("tail-mended", with(TAIL | MENDED, &tail)),
        ("tail-of-one", with(TAIL | MENDED, &one)),
        ("tail-with-reserve", with(TAIL | MENDED, &reserved)),
        ("tail-torn", with(TAIL | MENDED, &torn)),
    ]
}

/// A log as the ledger writes it, compressed where that helps.
fn written(records: &[Record]) -> Vec<u8> {
    let disk = SimDisk::new(0);
    let (mut log, _) =
        Log::open(Arc::new(disk.clone()), &Options { shards: Some(SHARDS), ..options() }).expect("opens");
    for frame in records.chunks(9) {
        log.append(&batch(SHARDS, frame)).expect("a sound disk");
    }
    log.close().expect("a sound disk");
    disk.snapshot().remove(FIRST).expect("its first segment")
}

/// A frame of these records in one block that is not compressed. What [`mend`] fills in is missing.
fn frame_of(records: &[Record]) -> Vec<u8> {
    let mut shards: BTreeMap<u16, Vec<&Record>> = BTreeMap::new();
    for record in records {
        shards.entry(record.shard).or_default().push(record);
    }
    let (mut block, mut lengths) = (Vec::new(), Vec::new());
    for record in shards.values().flatten() {
        let start = block.len();
        encode_record(record, &mut block);
        lengths.extend(u16::try_from(block.len() - start).expect("a small record").to_le_bytes());
    }
    if records.len() > 1 {
        block.extend(lengths);
    }
    let mut bytes = [&b"GLfr"[..], &[0; 20]].concat();
    bytes.extend(u16::try_from(shards.len()).expect("a few").to_le_bytes());
    bytes.extend([1, 0, 1, 0, 0, 0]);
    for (shard, records) in &shards {
        bytes.extend(u32::from(*shard).to_le_bytes());
        bytes.extend(u32::try_from(records.len()).expect("a few").to_le_bytes());
        bytes.extend(records[0].sequence.to_le_bytes());
        bytes.extend([0; 32]);
    }
    let length = u32::try_from(block.len()).expect("a small block").to_le_bytes();
    bytes.extend(u32::try_from(records.len()).expect("a few").to_le_bytes());
    bytes.extend([length, length, [0; 4]].concat());
    bytes.extend(block);
    bytes
}

fn options() -> Options {
    Options { shards: None, segment_bytes: 0, max_frame_bytes: 1 << 20 }
}

fn all(reader: &Reader, check: Check) -> Result<Vec<Frame>, Error> {
    reader.frames(check).collect()
}

/// The disk is sound, and so is whoever writes: it is the bytes that are wrong.
fn explained(error: &Error) {
    assert!(!matches!(error, Error::Io { .. } | Error::Full { .. } | Error::Stopped { .. }), "{error:?}");
}

/// Each record by its place and by its sequence, and the hash behind each frame.
fn looked_up(reader: &Reader, frames: &[Frame]) {
    let mut reader = reader.clone();
    for frame in frames {
        for (n, record) in (0..).zip(&frame.records) {
            let at = frame.first.nth(n);
            assert_eq!(reader.record(at).expect("a frame has it"), *record);
            let found = reader.find(record.shard, record.sequence).expect("a frame has it");
            assert_eq!(found, Some((at, record.clone())));
        }
        for (shard, head) in &frame.heads {
            assert_eq!(reader.hash_at(*shard, head.sequence).expect("a frame ends there"), Some(head.hash));
        }
    }
}

/// The same records in a new log have the same hashes.
fn written_again(shards: u16, frames: &[Frame]) {
    let disk = SimDisk::new(0);
    let (mut log, _) = Log::open(Arc::new(disk), &Options { shards: Some(shards), ..options() }).expect("it is empty");
    for frame in frames {
        let batch = batch(shards, &frame.records);
        if batch.bytes() > options().max_frame_bytes {
            return; // compressed, more fits into a small file than this log takes at once
        }
        log.append(&batch).expect("a sound disk");
        for (shard, head) in &frame.heads {
            assert_eq!(log.head().shards[usize::from(*shard)], *head);
        }
    }
    let again = all(&log.reader(), Check::Full).expect("it was just written");
    assert!(again.iter().map(|frame| &frame.records).eq(frames.iter().map(|frame| &frame.records)));
}

/// A log that was opened can be written, and the next start finds what was.
fn goes_on(log: &mut Log, disk: &SimDisk) {
    let mut next = story::records()[0].clone();
    let head = log.head();
    (next.shard, next.sequence) = (0, head.shards[0].sequence + 1);
    let at = log.append(&batch(log.shards(), &[next.clone()])).expect("a sound disk");
    let head = log.head();
    log.close().expect("a sound disk");
    let (log, recovery) = Log::open(Arc::new(disk.clone()), &options()).expect("it was closed in order");
    assert_eq!((recovery.cut, log.head()), (None, head));
    assert_eq!(log.reader().record(at).expect("it was just written"), next);
}

fn batch(shards: u16, records: &[Record]) -> Batch {
    let mut batch = Batch::new(shards);
    let mut records: Vec<&Record> = records.iter().collect();
    records.sort_by_key(|record| record.shard);
    for record in records {
        batch.push(record);
    }
    batch
}
