//! What commands print: tables and sentences for people, objects one a line for programs.

use std::{
    cell::Cell,
    io::{self, BufWriter, IsTerminal, StdoutLock, Write},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemas::{visible, visible_lines};
use serde::Serialize;

use crate::{
    app::{Told, Unit, Watch, Work},
    signals::{self, Interrupted},
};

pub use crate::words::thousands;

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

/// Prints one object on a line.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    let mut out = stdout();
    json_line(&mut out, value)?;
    Ok(out.flush()?)
}

/// Says something beside the output. Where even that cannot be written, there is nobody to tell.
pub fn complain(text: &impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "giftledger: {text}");
}

/// Asks a person a question on the terminal; the line that is typed.
///
/// # Errors
/// [`Interrupted`] if a signal comes instead.
pub fn ask(question: &impl std::fmt::Display) -> Result<String> {
    let mut screen = io::stderr();
    write!(screen, "{question}").and_then(|()| screen.flush()).context("asking")?;
    let (typed, lines) = mpsc::channel();
    // A read cannot be called off, so a thread of its own waits for it.
    std::thread::spawn(move || typed.send(io::stdin().lines().next().transpose()));
    loop {
        match lines.recv_timeout(signals::NOTICE) {
            Ok(line) => return Ok(line.context("reading the answer")?.unwrap_or_default()),
            Err(RecvTimeoutError::Timeout) => signals::check(|| "nothing was changed".to_owned())?,
            Err(RecvTimeoutError::Disconnected) => return Ok(String::new()),
        }
    }
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

    /// Prints what has waited; rows behind it have its widths.
    pub fn show(&mut self, out: &mut impl Write) -> Result<()> {
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

/// How long work takes before it is worth a bar.
const SOON: Duration = Duration::from_secs(1);

/// How far something long is: a bar on standard error, where a person looks and work is not done at once; and
/// the place where it ends in order when it is asked to.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    what: &'static str,
    unit: &'static str,
    /// Since when, where there is somebody to see it and it is not shown yet.
    unseen_since: Cell<Option<Instant>>,
}

impl Progress {
    /// Counts records.
    pub fn records(total: u64, what: &'static str) -> Self {
        Self::new(total, what, "records", "{msg} {bar:30} {human_pos} of {human_len} records, {eta} left")
    }

    /// Counts gifts.
    pub fn gifts(total: u64, what: &'static str) -> Self {
        Self::new(total, what, "gifts", "{msg} {bar:30} {human_pos} of {human_len} gifts, {eta} left")
    }

    /// Counts bytes.
    pub fn bytes(total: u64, what: &'static str) -> Self {
        Self::new(total, what, "bytes", "{msg} {bar:30} {bytes} of {total_bytes}, {eta} left")
    }

    /// Counts bytes of which it is told how many there are with each step. Only for what can be ended anywhere,
    /// as by a crash, and repeated: asked to end, it says how far it was and ends the process.
    pub fn of_bytes(what: &'static str) -> impl FnMut(u64, u64) {
        let mut progress = None;
        move |done, total| {
            if let Err(ended) = progress.get_or_insert_with(|| Self::bytes(total, what)).set(done) {
                complain(&format_args!("{ended}; run the same command again"));
                std::process::exit(ended.exit_code().into());
            }
        }
    }

    fn new(total: u64, what: &'static str, unit: &'static str, template: &str) -> Self {
        signals::catch();
        let style = ProgressStyle::with_template(template).expect("the templates are ours");
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let unseen_since = io::stderr().is_terminal().then(Instant::now);
        Self { bar: bar.with_style(style).with_message(what), what, unit, unseen_since: Cell::new(unseen_since) }
    }

    /// So many.
    ///
    /// # Errors
    /// [`Interrupted`] if the command was asked to end.
    pub fn set(&self, done: u64) -> Result<(), Interrupted> {
        if self.unseen_since.get().is_some_and(|since| since.elapsed() > SOON) {
            self.unseen_since.set(None);
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(done);
        signals::check(|| {
            let total = self.bar.length().unwrap_or_default();
            format!("{} had come to {} of {} {}", self.what, thousands(done), thousands(total), self.unit)
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A person at a terminal, or a file that keeps what is said: a bar for what takes long, and notes beside the output.
#[derive(Debug, Clone, Copy)]
pub struct Bars;

impl Watch for Bars {
    fn begin(&self, Work { doing, total, unit }: Work) -> Told {
        let progress = match unit {
            Unit::Records => Progress::records(total, doing),
            Unit::Bytes => Progress::bytes(total, doing),
        };
        Box::new(move |done| progress.set(done))
    }

    fn note(&self, said: &str) {
        complain(&visible(said));
    }
}
