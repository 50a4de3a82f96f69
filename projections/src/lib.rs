//! Views of the log. Each is a fold of records: `apply` is total, and however the shards
//! interleave, the result is the same; within a shard records come in their sequence.
//!
//! - [`Accounts`], [`AccountHistory`]: what every account holds, and how one came to it.
//! - [`Reference`]: the versions of catalogue, books and terms; [`InForce`] what holds at an instant.
//! - [`Boards`]: leaderboards, exact after refunds.
//! - [`Tallies`]: what each streamer was given, by day: what a settlement needs.
//! - [`payout`], [`Debts`]: the arithmetic of the month-end.
//! - [`Books`]: the journal as beancount, hledger, CSV or NDJSON.

mod accounts;
mod boards;
mod books;
mod error;
mod gift;
mod reference;
#[cfg(test)]
mod sample;
mod settlement;
mod tallies;

pub use accounts::{AccountHistory, Accounts, HistoryLine};
pub use boards::{Board, BoardKey, Boards, Member, Members, Ranking, Row, Window};
pub use books::{Books, Format};
pub use error::{Error, Result};
pub use reference::{InForce, Reference, Scheduled};
pub use settlement::{
    Check, Debt, Debts, GuildLine, House, Payout, StreamerLine, claw_back_candidate, payout, share_towards_zero,
    worth_floor,
};
pub use tallies::{Tallies, Tally, TallyLine};
