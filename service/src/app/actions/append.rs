//! `append`: lines of commands, an answer to each.
//!
//! [`Reading`] makes lines of bytes, [`decide`] answers some of them; [`append`] does both for an input that blocks,
//! and answers what is there before it waits for more.

use std::{
    error::Error as StdError,
    io::{self, BufRead, BufReader, ErrorKind, Read},
    sync::mpsc::{self, RecvTimeoutError},
};

use ledger::{Answer, Caller, Engine, Lines};
use schemas::{CommandId, Envelope, Unread};
use serde::Serialize;

use crate::{
    app::{Error, Result},
    signals,
};

/// The longest line: twice what a record may have.
pub const MAX_LINE_BYTES: u64 = 1 << 20;
/// Lines submitted at once, when so many are there.
const CHUNK: usize = 8_189;

/// A line as it was read.
#[derive(Debug)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// What it says, or why it cannot be read.
    pub command: Result<Envelope, Box<Unread>>,
}

/// A line as it stands.
#[derive(Debug)]
pub struct Text<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// What it says, without its end and a byte-order mark; why not, where it is too long.
    pub text: Result<&'a [u8], Box<Unread>>,
}

/// The answer to a line.
#[derive(Debug, Serialize)]
pub struct Answered {
    /// Its number, from 1.
    pub line: u64,
    /// The command's id, where it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    #[serde(flatten)]
    pub answer: Answer,
}

/// What was appended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Appended {
    /// Lines that were answered.
    pub lines: u64,
    /// Those of them that were taken.
    pub taken: u64,
}

/// Submits what is there, up to a chunk, and gives its answers to `answered` before it takes more.
///
/// # Errors
/// [`Error::Unanswered`] if `answered` fails; [`Error::Interrupted`] between two chunks; [`Error::Io`] if the input
/// cannot be read on, or is in another encoding.
pub fn append<E: Into<Box<dyn StdError + Send + Sync>>>(
    engine: &Engine,
    caller: &Caller,
    input: impl Read + Send + 'static,
    order: Lines,
    mut answered: impl FnMut(&[Answered]) -> Result<(), E>,
) -> Result<Appended> {
    let (sender, receiver) = mpsc::sync_channel(CHUNK);
    // A read cannot be called off, so a thread of its own waits for it.
    let reader = std::thread::spawn(move || {
        for line in Reading::new(BufReader::new(input)) {
            if sender.send(line?).is_err() {
                break; // who asked has stopped
            }
        }
        Ok(())
    });
    let (mut done, mut last) = (Appended::default(), 0);
    loop {
        signals::check(|| format!("lines up to {last} are answered, what comes behind was not looked at"))?;
        let first = match receiver.recv_timeout(signals::NOTICE) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let mut lines = vec![first];
        lines.extend(receiver.try_iter().take(CHUNK - 1));
        last = lines.last().map_or(0, |line: &Line| line.number);
        let answers = decide(engine, caller, lines, order);
        done.lines += answers.len() as u64;
        done.taken += answers.iter().filter(|one| matches!(one.answer, Answer::Taken(_))).count() as u64;
        answered(&answers).map_err(|source| Error::Unanswered { last, source: source.into() })?;
    }
    let read: io::Result<()> = reader.join().expect("reading lines does not panic");
    read.map_err(|source| Error::Io { doing: "reading the commands".to_owned(), source })?;
    Ok(done)
}

/// The answers to some lines, in their order, once they are durable.
pub fn decide(engine: &Engine, caller: &Caller, lines: Vec<Line>, order: Lines) -> Vec<Answered> {
    let mut commands = Vec::with_capacity(lines.len());
    let mut places = Vec::with_capacity(lines.len());
    for Line { number, command } in lines {
        match command {
            Ok(envelope) => {
                places.push((number, Ok(envelope.id.clone())));
                commands.push(envelope);
            }
            Err(unread) => places.push((number, Err(unread))),
        }
    }
    let mut answers = engine.execute(caller, commands, order).into_iter();
    let answered = |(line, place): (u64, Result<CommandId, Box<Unread>>)| match place {
        Ok(id) => Answered { line, id: Some(id), answer: answers.next().expect("each command has an answer") },
        Err(unread) => Answered { line, id: unread.id, answer: Answer::Malformed(Box::new(unread.malformed)) },
    };
    places.into_iter().map(answered).collect()
}

/// The lines of an input, without those that are empty. Commands are UTF-8; a byte-order mark before a line is passed
/// over. It ends with an error if the input is UTF-16 or UTF-32, before any line, or cannot be read on.
#[derive(Debug)]
pub struct Reading<R> {
    input: R,
    bytes: Vec<u8>,
    /// The number of the line that was read last.
    number: u64,
    ended: bool,
}

impl<R: BufRead> Reading<R> {
    /// Before the first line.
    pub fn new(input: R) -> Self {
        Self { input, bytes: Vec::new(), number: 0, ended: false }
    }

    /// The next line that says something, as it stands; nothing at the end.
    ///
    /// # Errors
    /// As the lines themselves.
    pub fn next_text(&mut self) -> io::Result<Option<Text<'_>>> {
        loop {
            self.bytes.clear();
            if self.input.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut self.bytes)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if let Some(encoding) = other_encoding(&self.bytes).filter(|_| self.number == 1) {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    format!(
                        "they are in {encoding}, and commands are UTF-8; nothing was taken. \
                         Convert them first: iconv -f {encoding} -t UTF-8"
                    ),
                ));
            }
            let whole = self.bytes.last() == Some(&b'\n') || (self.bytes.len() as u64) < MAX_LINE_BYTES;
            if !whole {
                self.input.skip_until(b'\n')?;
            } else if is_empty(&self.bytes) {
                continue;
            }
            let text = self.bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.bytes).trim_ascii_end();
            let text = if whole { Ok(text) } else { Err(Box::new(Unread::too_long(text, MAX_LINE_BYTES))) };
            return Ok(Some(Text { number: self.number, text }));
        }
    }

    /// The next line that says something; nothing at the end.
    fn next_line(&mut self) -> io::Result<Option<Line>> {
        let line = self.next_text()?;
        Ok(line.map(|Text { number, text }| Line { number, command: text.and_then(Envelope::read) }))
    }
}

impl<R: BufRead> Iterator for Reading<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<io::Result<Line>> {
        if self.ended {
            return None;
        }
        let line = self.next_line();
        self.ended = !matches!(line, Ok(Some(_)));
        line.transpose()
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn is_empty(line: &[u8]) -> bool {
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii().is_empty()
}

/// Which other encoding the beginning of an input betrays: by its mark, or by the zeros that ASCII has there.
pub fn other_encoding(start: &[u8]) -> Option<&'static str> {
    match start {
        [0xff, 0xfe, 0, 0, ..] => Some("UTF-32LE"),
        [0, 0, 0xfe, 0xff, ..] => Some("UTF-32BE"),
        [0xff, 0xfe, ..] => Some("UTF-16LE"),
        [0xfe, 0xff, ..] => Some("UTF-16BE"),
        [first, 0, ..] if *first != 0 => Some("UTF-16LE"),
        [0, second, ..] if *second != 0 => Some("UTF-16BE"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_numbers_and_say_what_is_wrong_with_them() {
        let grant = r#"{"id":"a","grant":{"user":"u","coins":1,"reason":"r"}}"#;
        let text = format!("\u{feff}{grant}\n\n  \r\n{{}}\n{grant}");
        let lines: Vec<Line> = Reading::new(text.as_bytes()).map(Result::unwrap).collect();
        let told: Vec<(u64, bool)> = lines.iter().map(|line| (line.number, line.command.is_ok())).collect();
        assert_eq!(told, [(1, true), (4, false), (5, true)]);
        let long = [vec![b' '; 1 << 20], b"x\n{}".to_vec()].concat();
        let lines: Vec<Line> = Reading::new(&*long).map(Result::unwrap).collect();
        let said = lines[0].command.as_ref().unwrap_err().malformed.to_string();
        assert!(said.contains("more than 1048576 bytes") && lines[1].number == 2, "{said}");
        let wide: Vec<u8> = grant.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut lines = Reading::new(&*wide);
        assert!(lines.next().unwrap().unwrap_err().to_string().contains("UTF-16LE"));
        assert!(lines.next().is_none());
    }
}
