//! Files of others become commands.

mod amount;
mod bookmark;
mod importing;
mod mapping;
mod rows;
mod source;
mod time;

pub use bookmark::BookmarkFile;
pub use importing::{Imported, Importing, Stopped, looked_at};
pub use mapping::Mapping;
pub use rows::Rows;
pub use source::open_source;
