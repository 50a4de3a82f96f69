//! A table in a CSV file of others: a header line, then rows, read one by one in constant memory.
//!
//! UTF-8, with or without a byte-order mark; fields may be quoted and then contain line ends; LF, CRLF or CR;
//! empty lines are passed over; a [`Layout`] says the rest. A row may have empty fields behind those of the
//! header. A row is at most [`MAX_ROW_BYTES`] long, so that a
//! quote which is never closed is found before it has taken the memory. Lines are counted as an
//! editor counts them, from 1, and a row that spans several is named by its first.

mod layout;
mod line_ends;

use std::{
    collections::VecDeque,
    io::{self, Read},
};

pub use layout::Layout;
use line_ends::LineEnds;

use crate::Error;

/// The longest row: some thousand times what a statement's row takes.
const MAX_ROW_BYTES: u64 = 1 << 20;
/// What is read at once.
const BUFFER_BYTES: usize = 1 << 16;
/// How much of a value a message shows.
const SHOWN_CHARS: usize = 80;
/// How many columns a message lists.
const SHOWN_COLUMNS: usize = 40;

/// A CSV file with a header, read row by row.
pub struct Table<R> {
    csv: csv::Reader<Lines<LineEnds<R>>>,
    name: String,
    layout: Layout,
    header: Vec<String>,
    row: csv::ByteRecord,
    text: csv::StringRecord,
    last_line: u64,
    /// Nothing comes any more.
    ended: bool,
}

/// One row, as long as the next one is not read.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    name: &'a str,
    layout: &'a Layout,
    header: &'a [String],
    /// The line on which it begins.
    pub number: u64,
    fields: &'a csv::StringRecord,
}

impl<R: Read> Table<R> {
    /// Reads the header of `reader`, called `name` in messages.
    pub fn open(reader: R, name: &str) -> Result<Self, Error> {
        Self::open_with(reader, name, Layout::default())
    }

    /// Reads the header of `reader`, which is laid out so.
    pub fn open_with(reader: R, name: &str, layout: Layout) -> Result<Self, Error> {
        let lines = Lines {
            reader: LineEnds::new(reader, layout.skip_lines),
            newlines: VecDeque::new(),
            read: 0,
            passed: layout.skip_lines,
            budget: MAX_ROW_BYTES,
            begun: false,
        };
        let csv = csv::ReaderBuilder::new()
            .flexible(true)
            .has_headers(false)
            .delimiter(layout.delimiter)
            .quoting(layout.quote.is_some())
            .quote(layout.quote.unwrap_or(b'"'))
            .comment(layout.comment)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(lines);
        let mut table = Self {
            csv,
            name: name.to_owned(),
            layout,
            header: Vec::new(),
            row: csv::ByteRecord::new(),
            text: csv::StringRecord::new(),
            last_line: 0,
            ended: false,
        };
        if table.read_row()?.is_some() {
            let title = |title: &[u8]| table.layout.trimmed(&String::from_utf8_lossy(title)).to_owned();
            table.header = table.row.iter().map(title).collect();
        }
        Ok(table)
    }

    /// The titles of the columns.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// The place of the column titled `column`.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub fn column(&self, column: &str) -> Result<usize, Error> {
        let mut places = self.header.iter().enumerate().filter(|(_, title)| *title == column).map(|(i, _)| i);
        let found = match (places.next(), places.next()) {
            (Some(place), None) => return Ok(place),
            (None, _) => "no column",
            (Some(_), Some(_)) => "two columns",
        };
        let mut columns = self
            .header
            .iter()
            .take(SHOWN_COLUMNS)
            .map(|title| schemas::visible(&shown(title)).into_owned())
            .collect::<Vec<_>>()
            .join(", ");
        if self.header.len() > SHOWN_COLUMNS {
            columns += ", …";
        }
        if columns.is_empty() {
            "none: the file is empty".clone_into(&mut columns);
        }
        Err(Error::Column { file: self.name.clone(), column: column.to_owned(), found, columns })
    }

    /// The next row; nothing at the end of the file. Behind a file that could not be read on there
    /// is nothing either; behind a row that was wrong there is the next one.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, Error> {
        let Some(number) = self.read_row()? else { return Ok(None) };
        let first = String::from_utf8_lossy(self.row.get(0).unwrap_or_default());
        if self.layout.ends_before(&first) {
            self.ended = true;
            return Ok(None);
        }
        let is_blank = |field: &[u8]| field.trim_ascii().is_empty();
        if self.row.len() > self.header.len() && self.row.iter().skip(self.header.len()).all(is_blank) {
            self.row.truncate(self.header.len());
        }
        if self.row.len() != self.header.len() {
            let (file, fields) = (self.name.clone(), self.row.len());
            return Err(Error::Fields { file, line: number, fields, expected: self.header.len() });
        }
        let bytes = std::mem::take(&mut self.row);
        let spare = std::mem::take(&mut self.text);
        match csv::StringRecord::from_byte_record(bytes) {
            Ok(text) => {
                self.text = text;
                self.row = spare.into_byte_record();
            }
            Err(e) => {
                let place = e.utf8_error().field();
                self.row = e.into_byte_record();
                let value = String::from_utf8_lossy(&self.row[place]).into_owned();
                let why = format!("not {}; save the file in that encoding", self.layout.encoding);
                let column = self.header[place].clone();
                return Err(Error::Value { file: self.name.clone(), line: number, column, value: shown(&value), why });
            }
        }
        Ok(Some(Line { name: &self.name, layout: &self.layout, header: &self.header, number, fields: &self.text }))
    }

    /// The line on which the row that was read last began; 0 before the header.
    pub fn line(&self) -> u64 {
        self.last_line
    }

    /// Reads the next row into `row` and gives the line on which it begins.
    fn read_row(&mut self) -> Result<Option<u64>, Error> {
        if self.ended {
            return Ok(None);
        }
        self.csv.get_mut().budget = MAX_ROW_BYTES;
        let read = self.csv.read_byte_record(&mut self.row).map_err(|source| {
            self.ended = true;
            Error::Read { file: self.name.clone(), line: self.last_line, source }
        })?;
        if !read {
            return Ok(None);
        }
        let end = self.csv.position().byte();
        let within = self.row.iter().flatten().filter(|&&byte| byte == b'\n').count();
        self.last_line = self.csv.get_mut().line_of_row_before(end, within);
        Ok(Some(self.last_line))
    }
}

impl<'a> Line<'a> {
    /// The file as the caller named it.
    pub fn file(&self) -> &'a str {
        self.name
    }

    /// The field in the column at `place`.
    pub fn field(&self, place: usize) -> &'a str {
        self.layout.trimmed(&self.fields[place])
    }

    /// All fields, in the order of the columns, as they stand there.
    pub fn fields(&self) -> impl Iterator<Item = &'a str> {
        self.fields.iter()
    }

    /// Says that the field at `place` is not what it should be.
    pub fn wrong(&self, place: usize, why: impl Into<String>) -> Error {
        Error::Value {
            file: self.name.to_owned(),
            line: self.number,
            column: self.header[place].clone(),
            value: shown(self.field(place)),
            why: why.into(),
        }
    }
}

fn shown(value: &str) -> String {
    let mut shown: String = value.chars().take(SHOWN_CHARS).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    shown
}

/// Passes bytes on, remembers where lines end, drops a byte-order mark, and stops at a row that is
/// too long. (The csv crate counts lines too, but takes the LF of a CRLF, and empty lines, for the
/// beginning of the next row.)
struct Lines<R> {
    reader: R,
    /// Offsets of the line feeds that were read and not yet passed by a row.
    newlines: VecDeque<u64>,
    read: u64,
    passed: u64,
    budget: u64,
    begun: bool,
}

impl<R> Lines<R> {
    /// The line on which the row began that ended before the byte at `end` and has `within` line
    /// feeds inside its fields.
    fn line_of_row_before(&mut self, end: u64, within: usize) -> u64 {
        let mut own = within as u64;
        while let Some(&newline) = self.newlines.front().filter(|&&newline| newline < end) {
            self.newlines.pop_front();
            self.passed += 1;
            own += u64::from(newline + 1 == end); // the one that ended it
        }
        (1 + self.passed).saturating_sub(own)
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.budget == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the next row has more than {MAX_ROW_BYTES} bytes; is a quote missing?"),
            ));
        }
        let mut length = self.reader.read(buffer)?;
        if !self.begun {
            self.begun = true;
            while length < 3 && BYTE_ORDER_MARK.starts_with(&buffer[..length]) {
                match self.reader.read(&mut buffer[length..])? {
                    0 => break,
                    more => length += more,
                }
            }
            if buffer[..length].starts_with(BYTE_ORDER_MARK) {
                buffer.copy_within(3..length, 0);
                length -= 3;
                if length == 0 {
                    return self.read(buffer);
                }
            }
        }
        let newlines = buffer[..length].iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        self.newlines.extend(newlines.map(|(i, _)| self.read + i as u64));
        self.read += length as u64;
        self.budget = self.budget.saturating_sub(length as u64);
        Ok(length)
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out one byte at a time.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            buffer[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn rows(reader: impl Read) -> Result<Vec<(u64, Vec<String>)>, String> {
        let mut table = Table::open(reader, "f.csv").map_err(|e| e.to_string())?;
        let mut rows = Vec::new();
        while let Some(line) = table.next_line().map_err(|e| e.to_string())? {
            rows.push((line.number, line.fields().map(str::to_owned).collect()));
        }
        Ok(rows)
    }

    #[test]
    fn lines_are_those_of_an_editor() {
        for (text, expected) in [
            ("a,b\n1,2\n3,4\n", vec![2, 3]),
            ("a,b\n1,2\n3,4", vec![2, 3]),
            ("a,b\r\n1,2\r\n3,4\r\n", vec![2, 3]),
            ("\u{feff}a,b\r\n1,2\r\n3,4", vec![2, 3]),
            ("\n\na,b\n\n1,2\n\n\n3,4\n\n", vec![5, 8]),
            ("a,b\r\n\r\n1,2\r\n\r\n3,4\r\n", vec![3, 5]),
            ("a,b\n\"1\n\n\",2\n3,4\n", vec![2, 5]),
            ("a,b\r\n\"1\r\n\r\n\",\"\n\"\r\n3,4\r\n", vec![2, 6]),
            ("a,b\n1,2\r\n3,4\n5,6\r\n7,8", vec![2, 3, 4, 5]),
            ("a,b", vec![]),
        ] {
            let of = |rows: Vec<(u64, Vec<String>)>| rows.into_iter().map(|(line, _)| line).collect::<Vec<_>>();
            assert_eq!(of(rows(text.as_bytes()).unwrap()), expected, "{text:?}");
            assert_eq!(of(rows(Drip(text.as_bytes())).unwrap()), expected, "{text:?}, byte by byte");
        }
    }

    type Laid = (Vec<String>, Vec<(u64, Vec<String>)>);

    fn laid_out(text: &str, layout: Layout) -> Result<Laid, String> {
        let mut table = Table::open_with(text.as_bytes(), "f.csv", layout).map_err(|e| e.to_string())?;
        let header = table.header().to_vec();
        let mut rows = Vec::new();
        while let Some(line) = table.next_line().map_err(|e| e.to_string())? {
            rows.push((line.number, (0..header.len()).map(|place| line.field(place).to_owned()).collect()));
        }
        Ok((header, rows))
    }

    /// Statements have lines before their header and behind their table, marks around their fields, other
    /// delimiters and line ends.
    #[test]
    fn a_layout_finds_the_table_in_a_statement() {
        let usual = Layout::default;
        let expected = |lines: [u64; 2]| {
            let fields = |n: &str| vec![n.to_owned(), format!("v{n}")];
            let rows = vec![(lines[0], fields("1")), (lines[1], fields("2"))];
            (vec!["a".to_owned(), "b".to_owned()], rows)
        };
        for (what, text, layout, lines) in [
            ("tabs and spaces", "a\t, b \n\t1,v1\t\n2 ,v2\n", usual(), [2, 3]),
            ("a preamble", "A \"bill\nof, x\n\na,b\n1,v1\n2,v2\n", Layout { skip_lines: 3, ..usual() }, [5, 6]),
            (
                "a trailer",
                "a,b\n1,v1\n2,v2\nTotal,2,3,4\n9,9\n",
                Layout { end: vec!["Total".into()], ..usual() },
                [2, 3],
            ),
            ("comments", "#x\na,b\n#y,z,\"\n1,v1\n2,v2\n", Layout { comment: Some(b'#'), ..usual() }, [4, 5]),
            ("semicolons", "a;b\n1;v1\n\"2\";\"v2\"\n", Layout { delimiter: b';', ..usual() }, [2, 3]),
            ("nothing quoted", "a,b\n1,v1\n2,\"v2\n", Layout { quote: None, trim: "\"".into(), ..usual() }, [2, 3]),
            ("backticks", "a,b\n`1,`v1\n`2,`v2\n", Layout { trim: "` ".into(), ..usual() }, [2, 3]),
            ("CR alone", "a,b\r1,v1\r2,v2\r", usual(), [2, 3]),
            ("CR and a preamble", "x\r\ra,b\r1,v1\r2,v2", Layout { skip_lines: 2, ..usual() }, [4, 5]),
            ("empty fields behind", "a,b\n1,v1,\n2,v2,\t, \n", usual(), [2, 3]),
        ] {
            assert_eq!(laid_out(text, layout).unwrap(), expected(lines), "{what}");
        }
        let error = laid_out("a,b\n1,2,x\n", usual()).unwrap_err();
        assert!(error.contains("line 2: 3 fields where the header has 2"), "{error}");
    }

    #[test]
    fn lines_stay_right_beyond_the_buffer() {
        let text = "a,b\r\n".to_owned() + &"1234567,\"x\ny\"\r\n\r\n".repeat(50_000);
        let rows = rows(text.as_bytes()).unwrap();
        assert_eq!(rows.len(), 50_000);
        assert!(rows.iter().enumerate().all(|(i, (line, _))| *line == 2 + 3 * i as u64));
    }

    #[test]
    fn fields_keep_quotes_and_marks_apart() {
        let read = rows("\u{feff}a,\"b\"\n\"1,\"\"x\"\"\",送\n".as_bytes()).unwrap();
        assert_eq!(read, [(2, vec!["1,\"x\"".to_owned(), "送".to_owned()])]);
        let table = Table::open("\u{feff}a,b\n".as_bytes(), "f.csv").unwrap();
        assert_eq!(table.column("a").unwrap(), 0);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (bytes, said) in [
            (&b"a,b\n1,\xff\n"[..], "f.csv, line 2, column \"b\", value \"\u{fffd}\": not UTF-8"),
            (b"a,b\n1\n", "f.csv, line 2: 1 fields where the header has 2"),
            (b"a,b\r\n1,2\r\n\r\n1,2,3\r\n", "f.csv, line 4: 3 fields where the header has 2"),
        ] {
            let error = rows(bytes).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        let none = Table::open(&b""[..], "f.csv").unwrap().column("a").unwrap_err().to_string();
        assert_eq!(none, "f.csv has no column named \"a\"; its columns are none: the file is empty");
    }

    #[test]
    fn a_wrong_row_does_not_hide_the_next() {
        let mut table = Table::open(&b"a,b\n1\n\xff,2\n3,4\n"[..], "f.csv").unwrap();
        assert!(table.next_line().is_err());
        assert!(table.next_line().is_err());
        assert_eq!(table.next_line().unwrap().unwrap().field(1), "4");
        assert!(table.next_line().unwrap().is_none());
    }

    #[test]
    fn a_quote_that_is_never_closed_ends_the_reading() {
        let text = "a,b\n1,2\n\"3,4\n".to_owned() + &"5,6\n".repeat(1 << 19);
        let mut table = Table::open(text.as_bytes(), "f.csv").unwrap();
        table.next_line().unwrap().unwrap();
        let error = table.next_line().err().unwrap();
        assert_eq!(error.to_string(), "reading f.csv after line 2");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("the next row has more than 1048576 bytes; is a quote missing?"), "{cause}");
        assert!(table.next_line().unwrap().is_none());
    }
}
