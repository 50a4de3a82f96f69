//! Backups: a copy of the log up to a stated head, taken beside a running writer, and the way back.
//!
//! ```text
//! backup.json           what the folder holds: written last, so that what it says is there
//! backup.part.json      while a backup is under way: which segments it has copied already
//! log/<offset>.seg      the segments, as in the ledger, without reserve
//! beside/               what else whoever takes the backup keeps with it; neither read nor written here
//! (the folder itself)   locked while a backup is under way
//! ```
//!
//! ```json
//! {"backup":{"version":1,"time":"…","closed":false,"head":{"lineage":"…","shards":[{"sequence":7,"hash":"…"}]},
//!            "end":4711,"segments":[{"file":"log/….seg","length":4711,"blake3":"…"}]},"blake3":"…"}
//! ```
//!
//! The outer hash is over the compact JSON of `backup`; times, hashes and ids are text.
//!
//! Invariants. A backup is what `backup.json` says and nothing else: bytes behind a segment's length,
//! and segments that it does not name, belong to a backup that was interrupted. The next backup adds
//! segments and appends to the last one, and never writes below what `backup.json` names; so at each
//! moment the old backup is whole or the new one is. A folder takes only backups of one log: what is
//! there must be the beginning of what is backed up.
//!
//! Every frame is checked while it is copied (checksums, the chain of frames, the hash chain of the
//! records), both ways. What is there already is compared with the hashes that `backup.json` has, and copied again
//! where it differs: a backup that ends well is whole.
//!
//! A backup cannot know what was answered after it, even if it is of a closed ledger: that may have been opened
//! again. So what is restored has a lineage of its own, unless the old folder proves that nothing came later.
//!
//! Not copied is what the log gives again: `index/` and `snapshots/` are rebuilt from it; `positions/`
//! say how far something derived had come, which is then not there; `cut/` holds what was never
//! answered or was lost before, for people.

mod back_up;
mod manifest;
mod restore;

pub use back_up::{BackedUp, back_up};
pub use manifest::{Manifest, SegmentCopy};
pub use restore::{Lineage, Restored, check, restore};

/// The folder within a backup that is free for what else belongs to it.
pub const BESIDE: &str = "beside";

/// What is copied at once: large enough that a system call costs nothing beside it.
const CHUNK_BYTES: usize = 1 << 20;
