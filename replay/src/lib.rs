//! Replay: the log folded up to a moment, and the driver that brings unfinished orders to an end.

pub mod as_of;
pub mod driver;

pub use as_of::{AsOf, Cut, fold, records};
pub use driver::{Driver, Partner, Schedule};
