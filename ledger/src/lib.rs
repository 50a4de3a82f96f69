//! The ledger, on the one path from a command to a durable record:
//! [`decide`] (pure) → [`engine`] (threads around it) → [`log`] (durable) → [`state`] (a fold), kept in a [`snapshot`] now and then.

pub mod backup;
mod caught;
mod clock;
pub mod decide;
pub mod engine;
mod error;
pub mod index;
pub mod log;
mod postings;
pub mod snapshot;
pub mod state;

pub use caught::{caught, is_catching};
pub use clock::{Clock, ManualClock, SystemClock};
pub use engine::{
    Answer, Caller, Checked, Conflict, Difference, Engine, Lines, Outcome, Refused, Step, Steps, Taken, Unavailable,
};
pub use error::{Error, Result};
pub use postings::{each_posting, postings, postings_of};
pub use snapshot::Snapshot;
pub use state::State;
