//! What every door offers: actions and questions, typed and serialisable, with one error. A door parses what is asked and
//! renders the answer; nothing in here prints, and no question knows who asks.

pub mod actions;
mod error;
mod ledger;
pub mod questions;

pub use error::{Error, Result};
pub use ledger::Ledger;
pub use questions::orders::parse_coins;
