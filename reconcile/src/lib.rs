//! Our records against what others say: today a file of gifts, in time the statements of channels
//! and providers.

mod amount;
pub mod anchors;
mod error;
pub mod gifts;
pub mod proofs;
mod table;

pub use amount::{Sum, coins_from_decimal, sum_from_decimal};
pub use error::Error;
pub use table::{Layout, Line, Table};
