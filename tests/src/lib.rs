//! What proves the ledger from outside.
//!
//! - [`binary`]: the real program, as its users run it.
//! - [`fuzzing`]: what must hold for any bytes, for the fuzzer in `tests/fuzz`.
//! - [`model`]: the rules once more, naively, to compare the ledger with.
//! - [`play`]: a script for both, compared line by line and as a whole.
//! - [`scenario`]: words for scenarios.
//! - [`scenes`]: groups that tell a whole story.
//! - [`simulation`]: the whole core in one thread, driven by a seed, with everything that can go wrong.
//! - [`world`]: a small ledger in memory with a clock that is moved by hand, to play scenarios in.

mod askers;
pub mod binary;
pub mod fuzzing;
pub mod model;
pub mod play;
pub mod scenario;
pub mod scenes;
pub mod simulation;
pub mod world;
