//! A file in TOML of the user's: what is wrong with it is said with its file and line.

use std::{ops::Range, path::Path};

use anyhow::{Context, Result, anyhow};
use serde::de::DeserializeOwned;

/// The longest line that a message shows.
const SHOWN_CHARS: usize = 80;

/// The text of a file, and where its lines begin.
#[derive(Debug)]
pub struct TomlText {
    file: String,
    text: String,
    /// The offsets of the line feeds, so that naming the line of each of many entries stays cheap.
    newlines: Vec<usize>,
}

impl TomlText {
    /// Reads the file at `path`, which `what` it is.
    pub fn read(path: &Path, what: &str) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {what}{}", path.display()))?;
        Ok(Self::new(text, format!("{what}{}", path.display())))
    }

    /// The `text` of `file`.
    pub fn new(text: impl Into<String>, file: impl Into<String>) -> Self {
        let text = text.into();
        // A byte-order mark says nothing in UTF-8.
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { file: file.into(), text, newlines }
    }

    /// What it says.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        toml::from_str(&self.text).map_err(|error| {
            let why = error.message().trim_end().replace('\n', ", ");
            let Some(place) = error.span() else { return anyhow!("{}: {why}", self.file) };
            let line = self.text.lines().nth(self.line(&place) - 1).unwrap_or_default().trim();
            let shown: String = line.chars().take(SHOWN_CHARS).collect();
            anyhow!("{} ({shown}): {why}", self.at(&place))
        })
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The characters at a place, without their quotes.
    pub fn characters(&self, place: &Range<usize>) -> &str {
        let text = &self.text[place.clone()];
        let quoted = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
        quoted('"').or_else(|| quoted('\'')).unwrap_or(text)
    }

    /// The line of a place, from 1.
    pub fn line(&self, place: &Range<usize>) -> usize {
        1 + self.newlines.partition_point(|&newline| newline < place.start)
    }

    /// File and line of a place.
    pub fn at(&self, place: &Range<usize>) -> String {
        format!("{}, line {}", self.file, self.line(place))
    }
}
