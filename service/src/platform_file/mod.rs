//! `platform.toml`: the reference data as one file, and what applying it would change.
//!
//! ```toml
//! [entity]
//! currency = "CNY"
//! zone = "Asia/Shanghai"
//! coins_per_unit = 100
//!
//! [[item]]
//! item = "rose"
//! price = 10
//! value = 9                        # to the recipient; the price where absent
//! from = 2026-11-01T00:00:00Z      # on sale from; at once where absent
//! until = 2026-12-01T00:00:00Z     # on sale until; without an end where absent
//!
//! [[streamer]]
//! streamer = "s1"                  # every streamer without terms of their own where absent
//! share = "0.45"
//! from = 2026-11-01                # a day of the entity's zone
//!
//! [[guild]]
//! guild = "g1"
//! share = "0.10"
//! from = 2026-11-01
//!
//! [[membership]]
//! streamer = "s1"
//! guild = "g1"                     # none where absent: the streamer leaves
//! from = 2026-11-01
//! ```
//!
//! What a file does not name stays as it is: another file may have named it. Pruned, the file says
//! what is sold, and an item that it does not name is withdrawn. Terms and memberships have a history that
//! settlements were calculated from: they are added or replaced, by key and day, and never taken away by
//! leaving them out.

mod difference;
mod json;
mod parsing;
mod publishing;

pub use difference::{Current, Difference, Unnamed, difference};
pub use json::{Sections, changes as read_json};
pub use parsing::read_toml;
pub use publishing::{Applied, Parts, Published, publish};
