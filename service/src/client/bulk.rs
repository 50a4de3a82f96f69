//! Lines of commands, a bulk after the other, an answer to each. What has come while a bulk was answered is the next
//! one, so whoever types lines reads their answers at once, and a file goes in bulks that are as large as may be.
//!
//! Where the connection breaks, what is left without an answer is sent again: a command that was taken is known by its
//! id, and answered as it was.

use std::{
    collections::VecDeque,
    io::{self, BufReader, Read, Write},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::Duration,
};

use schemas::{Source, Unread};
use serde::Deserialize;

use super::{AGAIN_FOR_LONG, Asking, Counter, Error, Result, Server};
use crate::{
    app::{
        self, Said,
        actions::append::{Answered, Appended, Reading, Text},
        questions::Address,
    },
    output::{complain, json_line},
    signals,
};

/// The most lines of a bulk.
const MAX_LINES: usize = 100_000;
/// The most bytes of a bulk; the longest line fits behind what was counted.
const MAX_BYTES: usize = (32 << 20) - (1 << 20) - 1;
/// Lines that wait to be sent, read while others are answered: a tenth of a bulk.
const READ_AHEAD: usize = 10_000;

/// A line that was read.
struct Line {
    number: u64,
    text: Result<Vec<u8>, Box<Unread>>,
}

/// What of an answer's line is looked at.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    end: bool,
    #[serde(default)]
    cut: Option<Cut>,
}

#[derive(Deserialize)]
struct Cut {
    message: String,
}

impl Server {
    /// Appends lines of commands; their answers are written to `out`, each with its line's number in the input.
    ///
    /// # Errors
    /// [`Error::Unanswered`] where it goes on too badly; [`app::Error::Unanswered`] where the answers cannot be written.
    pub fn append(
        &self,
        source: Option<&Source>,
        input: impl Read + Send + 'static,
        in_order: bool,
        out: &mut impl Write,
    ) -> Result<Appended> {
        let (lines, reader) = read(input);
        let source = source.filter(|_| !self.has_token());
        let (mut done, mut bulk) = (Appended::default(), Bulk::new(self, source, in_order));
        while let Some(first) = bulk.first(&lines)? {
            bulk.fill(first, &lines);
            bulk.answer(&mut done, out)?;
        }
        let read: io::Result<()> = reader.join().expect("reading lines does not panic");
        read.map_err(|source| app::Error::Io { doing: "reading the commands".to_owned(), source })?;
        Ok(done)
    }
}

/// A thread reads lines, as a read cannot be called off.
fn read(input: impl Read + Send + 'static) -> (Receiver<Line>, std::thread::JoinHandle<io::Result<()>>) {
    let (sender, lines) = mpsc::sync_channel(READ_AHEAD);
    let reader = std::thread::spawn(move || {
        let mut reading = Reading::new(BufReader::new(input));
        while let Some(Text { number, text }) = reading.next_text()? {
            if sender.send(Line { number, text: text.map(<[u8]>::to_vec) }).is_err() {
                break; // who asked has stopped
            }
        }
        Ok(())
    });
    (lines, reader)
}

/// Lines that are sent at once.
struct Bulk<'a> {
    server: &'a Server,
    source: Option<&'a Source>,
    target: String,
    /// Those without an answer.
    waiting: VecDeque<Line>,
    /// The last line that was answered, and that was sent.
    answered: Counter,
    sent: Counter,
}

impl<'a> Bulk<'a> {
    fn new(server: &'a Server, source: Option<&'a Source>, in_order: bool) -> Self {
        let target = Address::of(&["commands", "bulk"]).with("order", (!in_order).then_some("none")).to_string();
        let (answered, sent) = (Counter::default(), Counter::default());
        Self { server, source, target, waiting: VecDeque::new(), answered, sent }
    }

    /// What is done so far, where it ends.
    fn done(&self) -> String {
        let (answered, sent) = (self.answered.get(), self.sent.get());
        if sent > answered {
            format!(
                "lines up to {answered} are answered, those up to {sent} may have been taken, the rest was not sent"
            )
        } else {
            format!("lines up to {answered} are answered, what comes behind was not looked at")
        }
    }

    /// The next line, once there is one.
    fn first(&self, lines: &Receiver<Line>) -> Result<Option<Line>> {
        loop {
            signals::check(|| self.done())?;
            match lines.recv_timeout(signals::NOTICE) {
                Ok(first) => return Ok(Some(first)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    /// Takes what is there, as long as it fits.
    fn fill(&mut self, first: Line, lines: &Receiver<Line>) {
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(line) = next {
            bytes += line.text.as_ref().map_or(0, |text| text.len() + 1);
            self.waiting.push_back(line);
            next = if bytes < MAX_BYTES && self.waiting.len() < MAX_LINES { lines.try_recv().ok() } else { None };
        }
    }

    /// Sends what waits until all of it is answered, or the connection breaks too often without an answer.
    fn answer(&mut self, done: &mut Appended, out: &mut impl Write) -> Result<()> {
        self.tell_unread(done, out)?;
        let mut waits = AGAIN_FOR_LONG.iter();
        while !self.waiting.is_empty() {
            let before = self.answered.get();
            let error = match self.send(done, out) {
                Ok(()) => continue,
                Err(error) => error,
            };
            if self.answered.get() > before {
                waits = AGAIN_FOR_LONG.iter();
            }
            let is_gone = matches!(error, Error::Unreachable { .. }) && before > 0;
            let again = error.may_help_after().or(is_gone.then_some(Duration::ZERO));
            let (Some(wait), Some(&usual)) = (again, waits.next()) else {
                return Err(self.ended(error));
            };
            let first = self.waiting.front().map_or(0, |line| line.number);
            complain(&format_args!("{error}; lines from {first} on are sent once more, with the same ids"));
            signals::pause(wait.max(usual), || self.done())?;
        }
        out.flush().map_err(|source| self.unwritten(source.into()))
    }

    /// What is to be said of lines that were sent and have no answer.
    fn ended(&self, error: Error) -> Error {
        let (answered, sent) = (self.answered.get(), self.sent.get());
        match error {
            Error::Broken { .. } | Error::Silent { .. } | Error::Unreachable { .. } if sent > answered => {
                Error::Unanswered { answered, sent, source: Box::new(error) }
            }
            error => error,
        }
    }

    /// Sends what waits, once, and tells the answers that come.
    fn send(&mut self, done: &mut Appended, out: &mut impl Write) -> Result<()> {
        let lines = self.waiting.iter().filter_map(|line| line.text.as_ref().ok());
        let mut body = Vec::with_capacity(lines.clone().map(|text| text.len() + 1).sum());
        for text in lines {
            body.extend_from_slice(text);
            body.push(b'\n');
        }
        let asking = Asking::post(&self.target, "application/x-ndjson", self.source, body.into());
        self.sent.set(self.waiting.back().map_or(0, |line| line.number));
        let before = self.answered.get();
        let mut answers = self.server.stream(asking, || self.done())?;
        loop {
            let Some(text) = answers.line(|| self.done())? else {
                out.flush().map_err(|source| self.unwritten(source.into()))?;
                return Err(self.server.broken("the answers ended before their last line"));
            };
            let Head { end, cut } = self.server.read(&text)?;
            if end {
                out.flush().map_err(|source| self.unwritten(source.into()))?;
                return match cut {
                    // It takes less at once than we thought; the rest goes next, if there was room for any.
                    Some(cut) if self.answered.get() == before => Err(Error::Unusable(cut.message)),
                    Some(_) => Ok(()),
                    None if self.waiting.is_empty() => Ok(()),
                    None => Err(self.server.broken("some lines were left without an answer")),
                };
            }
            let said: Said = self.server.read(&text)?;
            let Some(line) = self.waiting.pop_front() else {
                return Err(self.server.broken("there are more answers than lines"));
            };
            done.lines += 1;
            done.taken += u64::from(said.is_taken());
            json_line(out, &said.with("line", line.number)).map_err(|error| self.unwritten(error))?;
            self.answered.set(line.number);
            self.tell_unread(done, out)?;
            if !answers.is_ready() {
                out.flush().map_err(|source| self.unwritten(source.into()))?;
            }
        }
    }

    /// Lines that are too long are not sent; they are answered in their place.
    fn tell_unread(&mut self, done: &mut Appended, out: &mut impl Write) -> Result<()> {
        while let Some(Line { text: Err(_), .. }) = self.waiting.front() {
            let Some(Line { number, text: Err(unread) }) = self.waiting.pop_front() else { break };
            let answer = ledger::Answer::Malformed(Box::new(unread.malformed));
            done.lines += 1;
            let answered = Answered { line: number, id: unread.id, answer };
            json_line(out, &answered).map_err(|error| self.unwritten(error))?;
            self.answered.set(number);
        }
        Ok(())
    }

    fn unwritten(&self, source: anyhow::Error) -> Error {
        app::Error::Unanswered { last: self.sent.get(), source: source.into() }.into()
    }
}
