//! The ledger, on the one path from a command to a durable record:
//! [`decide`] (pure) → [`engine`] (threads around it) → [`log`] (durable) → [`state`] (a fold).

pub mod backup;
mod clock;
pub mod decide;
pub mod engine;
mod error;
mod index;
pub mod log;
mod postings;
pub mod state;

pub use clock::{Clock, ManualClock, SystemClock};
pub use engine::{Answer, Engine, Lines, Refused, Taken, Unavailable};
pub use error::{Error, Result};
pub use postings::{postings, postings_of};
pub use state::State;
