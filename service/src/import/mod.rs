//! Files of others become commands.

mod mapping;
mod rows;

pub use mapping::Mapping;
pub use rows::{Position, Row, Rows, open_source};
