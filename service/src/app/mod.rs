//! What every door offers: questions, typed and serialisable, with one error. A door parses what is asked and
//! renders the answer; nothing in here prints, and no question knows who asks.

mod error;
mod ledger;
pub mod questions;

pub use error::{Error, Result};
pub use ledger::Ledger;
