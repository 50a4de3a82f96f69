//! What must hold whatever the bytes: called by the fuzzer (`tests/fuzz`) with bytes that it makes up,
//! and by a plain test with those that it found worth keeping (`tests/fuzz/corpus`).
//!
//! Files begin with a checksum that nearly every change breaks. So an input for one begins with a byte
//! that says whether the checksums are to be made right first; the rest is the file.
//!
//! | target | first byte | the rest |
//! |---|---|---|
//! | [`command`] | | a line of JSON |
//! | [`record`] | | canonical bytes |
//! | [`frame`] | +1: mended, +2: tail | a log's only segment; with +2 what follows the second one's header |
//! | [`snapshot`] | +1: mended | a snapshot |

mod command;
mod frame;
mod mend;
mod record;
mod snapshot;
mod story;

pub use command::command;
pub use frame::frame;
pub use record::record;
pub use snapshot::snapshot;

/// What panics unless what must hold for these bytes does.
pub type Target = fn(&[u8]);

/// Each target by its name.
pub const TARGETS: [(&str, Target); 4] =
    [("command", command), ("frame", frame), ("record", record), ("snapshot", snapshot)];

/// What the corpora began with: (target, name, bytes).
pub fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let mut add = |target, name: &str, bytes| seeds.push((target, format!("seed-{name}"), bytes));
    for line in story::LINES {
        let id = line.split('"').nth(3).expect("its id");
        add("command", id, line.as_bytes().to_vec());
    }
    for (name, bytes) in frame::seeds() {
        add("frame", name, bytes);
    }
    for record in story::records() {
        let mut bytes = Vec::new();
        schemas::encode_record(&record, &mut bytes);
        add("record", &format!("{}-{}", record.shard, record.sequence), bytes);
    }
    for (name, bytes) in snapshot::seeds() {
        add("snapshot", name, bytes);
    }
    seeds
}
