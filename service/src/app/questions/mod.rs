//! The questions: one file each, with what is asked, what is answered, and how. The command line and query strings
//! read the same fields.

pub mod accounts;
mod address;
pub mod board;
pub mod events;
pub mod find;
pub mod order;
pub mod orders;
pub mod record;
pub mod reference;
pub mod settlement;
pub mod status;
pub mod wallet;
pub mod why;

pub use address::{Address, Asked};

/// How many entries of a list are shown where nobody says: as many as a person reads.
fn most() -> usize {
    50
}
