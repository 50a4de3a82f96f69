//! What commands print: tables and sentences for people, objects one a line for programs.

use std::{
    cell::Cell,
    io::{self, BufWriter, IsTerminal, StdoutLock, Write},
    time::{Duration, Instant},
};

use anyhow::Result;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemas::{visible, visible_lines};
use serde::Serialize;

/// Standard output, buffered.
pub fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(1 << 16, io::stdout().lock())
}

/// Writes a sentence or several lines for a person.
pub fn say(text: &impl std::fmt::Display) -> Result<()> {
    let text = format!("{text}");
    writeln!(io::stdout(), "{}", visible_lines(text.trim_end_matches('\n')))?;
    Ok(())
}

/// Writes one object on a line.
pub fn json_line(out: &mut impl Write, value: &impl Serialize) -> Result<()> {
    schemas::write_json(out, value)?;
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

/// A table for people; columns named in `right` are aligned to the right. On a terminal it is as wide as
/// that at most. Cells may hold text of others: nothing in it reaches the terminal unseen.
pub fn table(header: &[&str], right: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    let seen = |row: Vec<String>| row.into_iter().map(|cell| visible(&cell).into_owned()).collect::<Vec<_>>();
    table.add_rows(rows.into_iter().map(seen));
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A table for people that is too long to hold: the first rows say how wide its columns are.
#[derive(Debug)]
pub struct Columns<const N: usize> {
    widths: [usize; N],
    /// The head and the first rows, until there are enough of them; empty from then on.
    waiting: Vec<[String; N]>,
}

/// Rows that are looked at before the first is printed.
const LOOKED_AT: usize = 200;
/// What one long cell may make a column wide.
const WIDEST: usize = 60;

impl<const N: usize> Columns<N> {
    /// A table without rows.
    pub fn new(header: [&str; N]) -> Self {
        Self { widths: [0; N], waiting: vec![header.map(str::to_owned)] }
    }

    /// Takes the next row, whose cells may hold text of others.
    pub fn row(&mut self, out: &mut impl Write, row: [String; N]) -> Result<()> {
        let row = row.map(|cell| visible(&cell).into_owned());
        if self.waiting.is_empty() {
            return self.print(out, &row);
        }
        self.waiting.push(row);
        if self.waiting.len() > LOOKED_AT { self.let_go(out) } else { Ok(()) }
    }

    /// Prints what has waited.
    pub fn finish(mut self, out: &mut impl Write) -> Result<()> {
        // A head without rows says nothing.
        if self.waiting.len() > 1 { self.let_go(out) } else { Ok(()) }
    }

    fn let_go(&mut self, out: &mut impl Write) -> Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.chars().count().min(WIDEST).max(*width);
            }
        }
        rows.iter().try_for_each(|row| self.print(out, row))
    }

    fn print(&self, out: &mut impl Write, row: &[String; N]) -> Result<()> {
        let line: Vec<String> = row.iter().zip(self.widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
        Ok(())
    }
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

/// How long work takes before it is worth a bar.
const SOON: Duration = Duration::from_secs(1);

/// A bar on standard error while something long is under way; nothing where no person looks, nor for
/// work that is done at once.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// Since when, where there is somebody to see it and it is not shown yet.
    unseen_since: Cell<Option<Instant>>,
    steps: Cell<u64>,
}

impl Progress {
    /// Counts records.
    pub fn records(total: u64, what: &'static str) -> Self {
        Self::new(total, what, "{msg} {bar:30} {human_pos} of {human_len} records, {eta} left")
    }

    /// Counts gifts.
    pub fn gifts(total: u64, what: &'static str) -> Self {
        Self::new(total, what, "{msg} {bar:30} {human_pos} of {human_len} gifts, {eta} left")
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
        let style = ProgressStyle::with_template(template).expect("the templates are ours");
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let unseen_since = io::stderr().is_terminal().then(Instant::now);
        Self {
            bar: bar.with_style(style).with_message(what),
            unseen_since: Cell::new(unseen_since),
            steps: Cell::new(0),
        }
    }

    /// One more.
    pub fn step(&self) {
        self.steps.set(self.steps.get() + 1);
        // Looking at the clock costs as much as folding a record.
        if self.steps.get().is_multiple_of(1024) {
            self.set(self.steps.get());
        }
    }

    /// So many.
    pub fn set(&self, done: u64) {
        if self.unseen_since.get().is_some_and(|since| since.elapsed() > SOON) {
            self.unseen_since.set(None);
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
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
