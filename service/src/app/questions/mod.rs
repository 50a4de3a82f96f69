//! The questions: one file each, with what is asked, what is answered, and how.

pub mod accounts;
pub mod board;
pub mod events;
pub mod find;
pub mod order;
pub mod orders;
pub mod settlement;
pub mod wallet;
