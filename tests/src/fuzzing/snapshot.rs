//! Snapshot files.

use ledger::{
    Error, Snapshot,
    log::{
        Check, Disk, Reader,
        faulty::{Content, SimDisk},
    },
};

use super::{mend, story};

const FILE: &str = "any.snap";
const MENDED: u8 = 1;

/// Any bytes as a snapshot file, mended where the first byte is odd. What is read is written so that
/// it reads back equal.
///
/// # Panics
/// If it is not.
pub fn snapshot(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if how & MENDED != 0 {
        mend::snapshot(&mut bytes);
    }
    match read(&bytes) {
        Ok(snapshot) => {
            let again = written(&snapshot);
            let read = read(&again).expect("it was just written");
            assert_eq!(read, snapshot);
            assert_eq!(written(&read), again, "a snapshot has one form");
        }
        Err(error) => assert!(matches!(error, Error::Damaged { .. } | Error::NewerVersion { .. }), "{error:?}"),
    }
}

fn read(bytes: &[u8]) -> Result<Snapshot, Error> {
    Snapshot::read(&SimDisk::with(0, &Content::from([(FILE.to_owned(), bytes.to_vec())])), FILE)
}

fn written(snapshot: &Snapshot) -> Vec<u8> {
    let disk = SimDisk::new(0);
    snapshot.write(&disk, FILE).expect("a sound disk");
    disk.read(FILE).expect("it was just written")
}

/// What the corpus is grown from: the story at its end, in its middle, and before it.
pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let reader = Reader::open(std::sync::Arc::new(SimDisk::with(0, &story::content()))).expect("it is sound");
    let mut snapshot = Snapshot::beginning(&reader);
    snapshot.head.lineage = uuid::Uuid::from_bytes(mend::LINEAGE);
    let frames: Vec<_> = reader.frames(Check::Full).map(|frame| frame.expect("it is sound")).collect();
    let mut seeds = vec![("empty", [&[MENDED], &written(&snapshot)[..]].concat())];
    for (n, frame) in frames.iter().enumerate() {
        snapshot.take(frame);
        if n == 2 {
            seeds.push(("begun", [&[MENDED], &written(&snapshot)[..]].concat()));
        }
    }
    seeds.push(("sound", [&[0], &written(&snapshot)[..]].concat()));
    seeds.push(("whole", [&[MENDED], &written(&snapshot)[..]].concat()));
    seeds
}
