//! What commands print: tables and sentences for people, objects one a line for programs.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Standard output, buffered.
pub fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(1 << 16, io::stdout().lock())
}

/// Writes a sentence or several lines for a person.
pub fn say(text: &impl std::fmt::Display) -> Result<()> {
    let text = format!("{text}");
    writeln!(io::stdout(), "{}", text.trim_end_matches('\n'))?;
    Ok(())
}

/// Writes one object on a line.
pub fn json_line(out: &mut impl Write, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Whether the reader of our output went away, as `head` does.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(broken)
            || cause
                .downcast_ref::<serde_json::Error>()
                .is_some_and(|e| e.io_error_kind() == Some(io::ErrorKind::BrokenPipe))
    })
}

/// A table for people; columns named in `right` are aligned to the right.
pub fn table(header: &[&str], right: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header);
    table.add_rows(rows);
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A number with its thousands apart: `1,234,567`.
pub fn thousands(number: impl std::fmt::Display) -> String {
    let text = format!("{number}");
    let (sign, rest) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, fraction) = rest.find('.').map_or((rest, ""), |dot| rest.split_at(dot));
    let mut grouped = String::from(sign);
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

/// A bar on standard error while something long is under way; nothing where no person looks.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Counts records.
    pub fn records(total: u64, what: &'static str) -> Self {
        Self::new(total, what, "{msg} {bar:30} {human_pos} of {human_len} records, {per_sec}")
    }

    /// Counts gifts.
    pub fn gifts(total: u64, what: &'static str) -> Self {
        Self::new(total, what, "{msg} {bar:30} {human_pos} of {human_len} gifts, {per_sec}, {eta} left")
    }

    /// Counts bytes.
    pub fn bytes(total: u64, what: &'static str) -> Self {
        Self::new(total, what, "{msg} {bar:30} {bytes} of {total_bytes}, {eta} left")
    }

    /// Counts bytes of which it is told how many there are with each step.
    pub fn of_bytes(what: &'static str) -> impl FnMut(u64, u64) {
        let mut progress = None;
        move |done, total| progress.get_or_insert_with(|| Self::bytes(total, what)).set(done)
    }

    fn new(total: u64, what: &'static str, template: &str) -> Self {
        if !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template(template).expect("the templates are ours");
        Self(ProgressBar::new(total).with_style(style).with_message(what))
    }

    /// One more.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// So many.
    pub fn set(&self, done: u64) {
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        for (number, text) in [("0", "0"), ("999", "999"), ("1000", "1,000"), ("-1234567.80", "-1,234,567.80")] {
            assert_eq!(thousands(number), text);
        }
    }
}
