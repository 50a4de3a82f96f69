//! Hands the rows of a file to the engine, and counts what becomes of them.
//!
//! A chunk's top-ups go first and are waited for, then its gifts, each only where its top-up was taken. Every
//! row that was read comes out as exactly one of the [`Counts`]. Only a row with an outcome counts as imported:
//! one that is malformed, or was not decided, holds the bookmark before its chunk, and is read again next time.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, anyhow};
use ledger::{Answer, Caller, Clock, Engine, Lines, Unavailable, log::Head};
use reconcile::Sum;
use schemas::{Coins, Envelope, Shard};
use serde::{Deserialize, Serialize};

use super::{
    bookmark::{Bookmark, BookmarkFile},
    rows::{Found, Row, Rows},
};
use crate::app::{Unit, Watch, Work};

/// Rows read and submitted at once.
const CHUNK: usize = 8_189;
/// Rows that are printed with what is wrong; the rest is counted.
const SHOWN: u64 = 20;
/// Line numbers that a summary lists of each kind.
const LISTED: usize = 100;
/// How far ahead of the clock a row may be: as far as any command.
const TOLERANCE_MS: i64 = 500;

/// What became of the rows that were read: each is counted once, so they add up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Rows that were read.
    pub rows: u64,
    /// Gifts that this import has put on the log.
    pub taken: u64,
    /// Gifts that were on the log already.
    pub already_there: u64,
    /// Rows with the id and the content of an earlier row of the file: the same gift.
    pub repeated: u64,
    /// Rows that the mapping leaves out.
    pub left_out: u64,
    /// Rows whose top-up or gift was refused, for ever.
    pub refused: u64,
    /// The same by code.
    pub refused_by_code: BTreeMap<String, u64>,
    /// Rows whose id stands for something else.
    pub conflicts: u64,
    /// Rows that could not become a command.
    pub malformed: u64,
    /// Rows without an outcome: they are read again next time.
    pub left_for_next_time: u64,
}

impl Counts {
    /// Whether every row is a gift now, or was left out on purpose.
    pub fn all_well(&self) -> bool {
        self.refused + self.conflicts + self.malformed + self.left_for_next_time == 0
    }
}

/// What an import did.
#[derive(Debug, Default, Serialize)]
pub struct Imported {
    /// The rows that were read now.
    #[serde(flatten)]
    pub counts: Counts,
    /// The coins of the gifts that were taken now.
    pub coins: Sum,
    /// Rows that an earlier import had read to their end.
    pub resumed_after: u64,
    /// Of these, refused ones and conflicts.
    pub refused_before: u64,
    /// Lines of malformed rows, the first 100.
    pub malformed_lines: Vec<u64>,
    /// Lines of rows without an outcome, the first 100.
    pub left_lines: Vec<u64>,
    /// Records that the log has gained.
    pub records_added: u64,
    #[serde(skip)]
    shown: u64,
}

/// Why an import ended before the file did.
#[derive(Debug, thiserror::Error)]
#[error("the import ended before line {line}; import again and it goes on from there")]
pub struct Stopped {
    line: u64,
    #[source]
    why: Unavailable,
}

/// What became of a command.
enum Outcome {
    Taken(Shard, u64),
    Refused { code: String, why: String },
    Conflict { why: String },
    Malformed { why: String },
    Undecided(Unavailable),
}

/// An import under way.
pub struct Importing<'a> {
    engine: &'a Engine,
    clock: &'a dyn Clock,
    watch: &'a dyn Watch,
    rows: Rows,
    bookmark: &'a BookmarkFile,
    /// Where the log stood when this began.
    begun: Head,
    imported: Imported,
    /// Of all rows up to the bookmark.
    total: Counts,
    /// Whether a row without an outcome holds the bookmark.
    held: bool,
}

impl<'a> Importing<'a> {
    /// Begins with the first row, or behind the bookmark; `anew` is the command that begins with the first.
    pub fn new(
        engine: &'a Engine,
        (clock, watch): (&'a dyn Clock, &'a dyn Watch),
        mut rows: Rows,
        bookmark: &'a BookmarkFile,
        read_before: Option<Bookmark>,
        anew: &str,
    ) -> Result<Self> {
        let (mut imported, mut total) = (Imported::default(), Counts::default());
        if let Some(read) = read_before {
            rows.resume(&read.position).map_err(|error| {
                anyhow!("{error:#}; to read it from its start, where no row is taken twice: {anew}")
            })?;
            imported.resumed_after = read.position.rows;
            imported.refused_before = read.counts.refused + read.counts.conflicts;
            total = read.counts;
        }
        let begun = engine.reader().head();
        Ok(Self { engine, clock, watch, rows, bookmark, begun, imported, total, held: false })
    }

    /// Imports the rows to the end of the file, or to where the ledger takes nothing more; whoever watches is told
    /// after each chunk, and can end it.
    pub fn run(mut self) -> Result<(Imported, Option<Stopped>)> {
        let bytes = self.rows.progress();
        let mut told = self.watch.begin(Work { doing: "importing", total: bytes.total(), unit: Unit::Bytes });
        let mut stopped = None;
        while stopped.is_none() {
            let chunk: Vec<Found> = self.rows.by_ref().take(CHUNK).collect::<Result<_>>()?;
            if chunk.is_empty() {
                break;
            }
            stopped = self.import_chunk(chunk);
            if !self.held {
                let reader = self.engine.reader();
                let head = reader.head();
                reader.store_position("import", &head)?;
                let mut total = self.total.clone();
                total.add(&self.imported.counts);
                self.bookmark.store(self.rows.reached(), &total, head)?;
            }
            told(bytes.read()).context("import again, and it goes on from here")?;
        }
        self.imported.records_added = records(&self.engine.reader().head()) - records(&self.begun);
        Ok((self.imported, stopped))
    }

    fn import_chunk(&mut self, chunk: Vec<Found>) -> Option<Stopped> {
        let latest = self.clock.now().plus_millis(TOLERANCE_MS);
        let mut rows = Vec::with_capacity(chunk.len());
        for found in chunk {
            self.imported.counts.rows += 1;
            match found {
                Found::LeftOut { .. } => self.imported.counts.left_out += 1,
                Found::Malformed { line, why } => self.malformed(line, &why),
                Found::Gift(row) => match row.gift.occurred_at.filter(|&time| time > latest) {
                    None => rows.push(*row),
                    Some(time) => {
                        let why = format!("{time} is ahead of the clock; the row is imported when that time has come");
                        self.left(row.line, &why);
                    }
                },
            }
        }
        let before = self.engine.reader().head();
        let mut stopped = None;
        let rows = self.submit_top_ups(rows, &mut stopped);
        let (lines, gifts): (Vec<(u64, Coins)>, Vec<Envelope>) =
            rows.into_iter().map(|row| ((row.line, row.coins), row.gift)).unzip();
        let outcomes = self.submit(gifts);
        let mut new = HashSet::new();
        for ((line, coins), outcome) in lines.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Taken(shard, sequence) => {
                    let counts = &mut self.imported.counts;
                    if sequence <= at(&self.begun, shard) {
                        counts.already_there += 1;
                    } else if sequence <= at(&before, shard) || !new.insert((shard, sequence)) {
                        counts.repeated += 1;
                    } else {
                        counts.taken += 1;
                        self.imported.coins.add(coins.into());
                    }
                }
                other => self.not_taken(line, "", other, &mut stopped),
            }
        }
        stopped
    }

    /// The rows whose gifts can follow.
    fn submit_top_ups(&mut self, rows: Vec<Row>, stopped: &mut Option<Stopped>) -> Vec<Row> {
        let (top_ups, places): (Vec<Envelope>, Vec<usize>) =
            rows.iter().enumerate().filter_map(|(at, row)| Some((row.top_up.clone()?, at))).unzip();
        let mut outcomes: BTreeMap<usize, Outcome> = places.into_iter().zip(self.submit(top_ups)).collect();
        let mut paid = Vec::with_capacity(rows.len());
        for (at, row) in rows.into_iter().enumerate() {
            match outcomes.remove(&at) {
                None | Some(Outcome::Taken(..)) => paid.push(row),
                Some(other) => self.not_taken(row.line, "its top-up: ", other, stopped),
            }
        }
        paid
    }

    fn submit(&self, commands: Vec<Envelope>) -> Vec<Outcome> {
        let answers = self.engine.execute(&Caller::cli(), commands, Lines::Independent);
        let outcome = |answer| match answer {
            Answer::Taken(taken) => Outcome::Taken(taken.shard, taken.sequence),
            Answer::Refused(refused) => Outcome::Refused { code: refused.code.to_owned(), why: refused.message },
            Answer::Conflict(conflict) => Outcome::Conflict { why: conflict.message },
            Answer::Malformed(malformed) => Outcome::Malformed { why: malformed.message },
            Answer::Unavailable(why) => Outcome::Undecided(why),
        };
        answers.into_iter().map(outcome).collect()
    }

    fn not_taken(&mut self, line: u64, what: &str, outcome: Outcome, stopped: &mut Option<Stopped>) {
        match outcome {
            Outcome::Taken(..) => {}
            Outcome::Refused { code, why } => {
                self.imported.counts.refused += 1;
                *self.imported.counts.refused_by_code.entry(code).or_default() += 1;
                self.show(line, &format!("{what}{why}"));
            }
            Outcome::Conflict { why } => {
                self.imported.counts.conflicts += 1;
                self.show(line, &format!("{what}{why}"));
            }
            Outcome::Malformed { why } => {
                let why = format!("{}, line {line}: {what}{why}", self.rows.file());
                self.malformed(line, &why);
            }
            Outcome::Undecided(why) => {
                if ends_all(why) {
                    // One line says it for all.
                    self.hold(line);
                    stopped.get_or_insert(Stopped { line, why });
                } else {
                    self.left(line, &format!("{what}{why}"));
                }
            }
        }
    }

    fn malformed(&mut self, line: u64, why: &str) {
        self.imported.counts.malformed += 1;
        self.held = true;
        list(&mut self.imported.malformed_lines, line);
        self.tell(why);
    }

    fn left(&mut self, line: u64, why: &str) {
        self.hold(line);
        self.show(line, why);
    }

    fn hold(&mut self, line: u64) {
        self.imported.counts.left_for_next_time += 1;
        self.held = true;
        list(&mut self.imported.left_lines, line);
    }

    fn show(&mut self, line: u64, why: &str) {
        let why = format!("{}, line {line}: {why}", self.rows.file());
        self.tell(&why);
    }

    fn tell(&mut self, why: &str) {
        tell(self.watch, &mut self.imported.shown, why);
    }
}

/// Reads a file to its end and counts what its rows would be, without a ledger.
pub fn looked_at(rows: Rows, clock: &dyn Clock, watch: &dyn Watch) -> Result<Imported> {
    let mut imported = Imported::default();
    let latest = clock.now().plus_millis(TOLERANCE_MS);
    for found in rows {
        imported.counts.rows += 1;
        match found? {
            Found::LeftOut { .. } => imported.counts.left_out += 1,
            Found::Malformed { line, why } => {
                imported.counts.malformed += 1;
                list(&mut imported.malformed_lines, line);
                tell(watch, &mut imported.shown, &why);
            }
            Found::Gift(row) if row.gift.occurred_at.is_some_and(|time| time > latest) => {
                imported.counts.left_for_next_time += 1;
                list(&mut imported.left_lines, row.line);
            }
            Found::Gift(row) => {
                imported.counts.taken += 1;
                imported.coins.add(row.coins.into());
            }
        }
    }
    Ok(imported)
}

fn tell(watch: &dyn Watch, shown: &mut u64, why: &str) {
    *shown += 1;
    if *shown <= SHOWN {
        watch.note(why);
    } else if *shown == SHOWN + 1 {
        watch.note("… and more; the summary counts them");
    }
}

/// Whether it will be the same for every command behind this one.
fn ends_all(why: Unavailable) -> bool {
    match why {
        Unavailable::Busy
        | Unavailable::DiskFull
        | Unavailable::ClockBehind
        | Unavailable::ClockAhead
        | Unavailable::Stopped => true,
        Unavailable::Unfinished | Unavailable::EarlierLineUnfinished | Unavailable::OverQuota => false,
    }
}

impl Counts {
    /// Adds what another run has counted.
    fn add(&mut self, other: &Self) {
        let Self { rows, taken, already_there, repeated, left_out, refused, refused_by_code, .. } = other;
        self.rows += rows;
        self.taken += taken;
        self.already_there += already_there;
        self.repeated += repeated;
        self.left_out += left_out;
        self.refused += refused;
        for (code, count) in refused_by_code {
            *self.refused_by_code.entry(code.clone()).or_default() += count;
        }
        self.conflicts += other.conflicts;
        self.malformed += other.malformed;
        self.left_for_next_time += other.left_for_next_time;
    }
}

fn list(lines: &mut Vec<u64>, line: u64) {
    if lines.len() < LISTED {
        lines.push(line);
    }
}

fn at(head: &Head, shard: Shard) -> u64 {
    head.shards.get(usize::from(shard)).map_or(0, |shard| shard.sequence)
}

fn records(head: &Head) -> u64 {
    head.shards.iter().map(|shard| shard.sequence).sum()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use ledger::{ManualClock, SystemClock};
    use tempfile::TempDir;

    use super::{super::mapping::Mapping, *};
    use crate::{
        app::{Ledger, Unwatched, actions::reference::publish_changes},
        ledger_dir::LedgerDir,
    };

    const MAPPING: &str = "[columns]\ngift = 'id'\ntime = 'time'\nsender = 'user'\namount = 'amount'\n\
                           [streamers]\nnone = 'house'\n\
                           [[only]]\ncolumn = 'user'\nnot = 'nobody'\n\
                           [amount]\ncurrency = 'USD'\n[gift]\nitem = 'donation'\nactor = 'import'\nid_prefix = 'g-'\n";
    const TOP_UP: &str = "[top_up]\nchannel = 'overlay'\nactor = 'overlay'\nid_prefix = 't-'\n";

    /// A ledger that sells donations, and a file beside it.
    struct Desk {
        folder: TempDir,
        dir: LedgerDir,
        engine: Engine,
        mapping: Mapping,
    }

    impl Desk {
        fn new(mapping: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let dir = LedgerDir::new(&folder.path().join("ledger"));
            let engine = dir.make(Some(3)).unwrap();
            let one = Coins::new(1).unwrap();
            let item = "donation".parse().unwrap();
            let donation = schemas::GiftItem { item, price: one, value: one, from: None, until: None };
            publish_changes(&engine, &Ledger::of(&dir), &[schemas::Change::Item(donation)]).unwrap();
            Self { folder, dir, engine, mapping: Mapping::parse(mapping, "m.toml").unwrap() }
        }

        /// Imports the rows, at the time that the clock shows.
        fn import(&self, rows: &[&str], clock: &dyn Clock) -> Imported {
            let file = self.file();
            fs::write(&file, format!("id,time,user,amount\n{}\n", rows.join("\n"))).unwrap();
            let bookmark = BookmarkFile::of(&self.dir, &file, &self.mapping).unwrap();
            let read_before = bookmark.read(&self.engine, "", &Unwatched).unwrap();
            let rows = Rows::open(&file, &self.mapping).unwrap();
            let importing =
                Importing::new(&self.engine, (clock, &Unwatched), rows, &bookmark, read_before, "").unwrap();
            let (imported, stopped) = importing.run().unwrap();
            assert!(stopped.is_none());
            let counts = &imported.counts;
            let sum = counts.taken
                + counts.already_there
                + counts.repeated
                + counts.left_out
                + counts.refused
                + counts.conflicts
                + counts.malformed
                + counts.left_for_next_time;
            assert_eq!(counts.rows, sum, "they add up: {counts:?}");
            assert_eq!(counts.refused, counts.refused_by_code.values().sum::<u64>());
            imported
        }

        fn file(&self) -> PathBuf {
            self.folder.path().join("gifts.csv")
        }
    }

    const T: &str = "2026-01-01T00:00:00Z";

    /// Each row is counted once, whatever becomes of it: a row whose top-up and gift are both refused was
    /// counted twice, and a repeated one as another gift.
    #[test]
    fn every_row_is_counted_once() {
        let desk = Desk::new(&(MAPPING.to_owned() + TOP_UP));
        let rows = [
            &format!("1,{T},u1,5"),
            &format!("2,{T},u2,6"),
            &format!("1,{T},u1,5"),     // the first again
            &format!("2,{T},u2,7"),     // its id with another amount
            &format!("3,{T},u3,1.234"), // malformed
            &format!("4,{T},nobody,1"), // left out
            &format!("5,{T},u5"),       // malformed
            &format!("1,{T},u9,5"),     // another user claims the first one's payment
        ];
        let rows: Vec<&str> = rows.iter().map(|row| row.as_str()).collect();
        let first = desk.import(&rows, &SystemClock);
        let Counts { taken, already_there, repeated, left_out, refused, conflicts, malformed, .. } = first.counts;
        assert_eq!((taken, repeated, left_out, malformed), (2, 1, 1, 2));
        assert_eq!((already_there, refused, conflicts), (0, 0, 2));
        assert_eq!((first.malformed_lines, first.coins.get()), (vec![6, 8], 1_100));
        // Nothing of it is read as done, since two rows have no outcome; all of it is found again.
        let again = desk.import(&rows, &SystemClock);
        assert_eq!((again.counts.taken, again.counts.already_there, again.counts.conflicts), (0, 3, 2));
        assert_eq!((again.resumed_after, again.records_added), (0, 0));
    }

    /// A gift that its payer cannot pay is refused under a code, for ever, and once.
    #[test]
    fn refusals_are_counted_by_code() {
        let desk = Desk::new(MAPPING);
        let rows = [format!("1,{T},u1,5"), format!("2,{T},u2,6")];
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let imported = desk.import(&rows, &SystemClock);
        assert_eq!(imported.counts.refused_by_code, BTreeMap::from([("insufficient_funds".to_owned(), 2)]));
        let again = desk.import(&rows, &SystemClock);
        assert_eq!((again.counts.rows, again.resumed_after, again.refused_before), (0, 2, 2), "an outcome is one");
    }

    /// A row ahead of the clock was malformed, the bookmark passed it, and it never came.
    #[test]
    fn a_row_ahead_of_the_clock_comes_next_time() {
        let desk = Desk::new(&(MAPPING.to_owned() + TOP_UP));
        let rows = [format!("1,{T},u1,5"), "2,2026-03-01T00:00:04Z,u2,6".to_owned(), format!("3,{T},u3,7")];
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let clock = ManualClock::at("2026-03-01T00:00:00Z".parse().unwrap());
        let first = desk.import(&rows, &clock);
        assert_eq!((first.counts.taken, first.counts.left_for_next_time, first.left_lines), (2, 1, vec![3]));
        clock.advance_millis(3_500);
        let second = desk.import(&rows, &clock);
        assert_eq!((second.counts.taken, second.counts.already_there), (1, 2), "half a second ahead is taken");
        let third = desk.import(&rows, &clock);
        assert_eq!((third.counts.rows, third.resumed_after), (0, 3));
    }

    /// Rows behind those that were read come next time, in a file that grows.
    #[test]
    fn a_file_that_grows_is_read_on() {
        let desk = Desk::new(&(MAPPING.to_owned() + TOP_UP));
        let rows = [format!("1,{T},u1,5"), format!("2,{T},u2,6"), format!("3,{T},u3,7")];
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        assert_eq!(desk.import(&rows[..2], &SystemClock).counts.taken, 2);
        let more = desk.import(&rows, &SystemClock);
        assert_eq!((more.resumed_after, more.counts.rows, more.counts.taken), (2, 1, 1));
    }
}
