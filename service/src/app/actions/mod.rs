//! The actions: what changes the ledger.

pub mod support;
