//! What every door offers: actions and questions, typed, with one error. A door parses what is asked and renders the
//! answer; in here nothing is printed but how far a fold has come.

pub mod actions;
mod error;
mod ledger;
pub mod questions;

pub use error::{Error, Result};
pub use ledger::Ledger;
pub use questions::orders::{parse_age, parse_coins};
