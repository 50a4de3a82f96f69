/// Why a comparison could not be made, or a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read, or is not CSV.
    #[error("reading {file} after line {line}")]
    Read {
        /// The file as the caller named it.
        file: String,
        /// The last line that was read whole.
        line: u64,
        /// What went wrong.
        #[source]
        source: csv::Error,
    },
    /// The header lacks a column, or has it twice.
    #[error("{file} has {found} named {column:?}; its columns are {columns}")]
    Column {
        /// The file as the caller named it.
        file: String,
        /// The column that was asked for.
        column: String,
        /// `no column` or `two columns`.
        found: &'static str,
        /// What the header has.
        columns: String,
    },
    /// A row has more or fewer fields than the header.
    #[error("{file}, line {line}: {fields} fields where the header has {expected}; is a comma or a quote missing?")]
    Fields {
        /// The file as the caller named it.
        file: String,
        /// The row's line.
        line: u64,
        /// The fields of the row.
        fields: usize,
        /// The fields of the header.
        expected: usize,
    },
    /// A field is not what its column should hold.
    #[error("{file}, line {line}, column {column:?}, value {value:?}: {why}")]
    Value {
        /// The file as the caller named it.
        file: String,
        /// The row's line.
        line: u64,
        /// The column.
        column: String,
        /// What stands there, cut to what fits a message.
        value: String,
        /// What is wrong with it.
        why: String,
    },
}
