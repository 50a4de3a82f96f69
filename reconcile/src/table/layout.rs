//! How a file lays its table out, where that is not the usual way.

/// Where the table of a file begins and ends, and how its fields are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What stands between two fields.
    pub delimiter: u8,
    /// What stands around a field that contains a delimiter; nothing where none does.
    pub quote: Option<u8>,
    /// Lines before the header.
    pub skip_lines: u64,
    /// Lines that begin with it are passed over.
    pub comment: Option<u8>,
    /// The table ends before a row whose first field begins with one of these.
    pub end: Vec<String>,
    /// Characters that are taken from both ends of each field, and of each title.
    pub trim: String,
    /// The encoding as messages name it; the bytes themselves are in UTF-8, or anything that is not
    /// where the file's own were wrong.
    pub encoding: String,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            skip_lines: 0,
            comment: None,
            end: Vec::new(),
            trim: " \t".to_owned(),
            encoding: "UTF-8".to_owned(),
        }
    }
}

impl Layout {
    pub(super) fn trimmed<'a>(&self, field: &'a str) -> &'a str {
        field.trim_matches(|c| self.trim.contains(c))
    }

    pub(super) fn ends_before(&self, first: &str) -> bool {
        let first = self.trimmed(first);
        self.end.iter().any(|end| first.starts_with(end.as_str()))
    }
}
