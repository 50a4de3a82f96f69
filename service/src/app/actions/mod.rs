//! The actions: what changes the ledger.

pub mod append;
pub mod import;
pub mod reference;
pub mod support;
