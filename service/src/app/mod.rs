//! What every door offers: actions and questions, typed, with one error. A door parses what is asked and renders the
//! answer; in here nothing is printed. Whoever wants to know how far something long has come gives a [`Watch`].

pub mod actions;
pub mod asked;
mod error;
mod ledger;
mod open_holds;
pub mod questions;
mod said;
mod watch;

pub use error::{Error, Result, is_fault};
pub use ledger::Ledger;
pub use open_holds::{Class, Holds, OpenHolds};
pub use questions::orders::{Age, parse_coins};
pub use said::Said;
pub use watch::{Told, Unit, Unwatched, Watch, Work};
