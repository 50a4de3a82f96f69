//! The ledger: what is decided ([`decide`]), what it changes ([`State`]), and the log that keeps it.

mod error;
pub mod log;
mod postings;

pub use error::{Error, Result};
pub use postings::{postings, postings_of};
