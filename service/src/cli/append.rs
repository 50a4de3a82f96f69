//! `append`: NDJSON in, an answer line each out.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
};

use anyhow::{Context, Result};
use ledger::{Answer, Caller, Engine, Lines};
use schemas::{CommandId, Envelope, Unread};
use serde::Serialize;

use super::{Ended, Global, ToWrite};
use crate::{
    ledger_dir::working,
    output::{json_line, stdout},
    signals,
};

/// The longest line: twice what a record may have.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// Lines submitted at once, when so many are there.
const CHUNK: usize = 8_189;

/// Append commands: NDJSON in, an answer line each out.
///
/// Each line is one JSON object, such as
/// {"id": "g-1", "gift": {"user": "u1", "item": "rose", "to": [{"streamer": "s1"}]}}
#[derive(Debug, clap::Args)]
pub struct Append {
    /// The file of commands; standard input where absent or `-`.
    file: Option<PathBuf>,
    #[command(flatten)]
    to_write: ToWrite,
    /// Let the lines of a user run independently instead of one after the other.
    #[arg(long)]
    unordered: bool,
}

/// The answer to a line.
#[derive(Debug, Serialize)]
struct Answered<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a CommandId>,
    #[serde(flatten)]
    answer: &'a Answer,
}

/// Nobody took the answers.
#[derive(Debug, thiserror::Error)]
#[error("answers could not be written; lines up to {last} may have been taken, the rest was not looked at")]
pub struct Unanswered {
    last: u64,
}

/// A line as it was read.
struct Input {
    line: u64,
    command: Result<Envelope, Box<Unread>>,
}

impl Append {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let input = open(self.file.as_deref())?;
        let lines = if self.unordered { Lines::Independent } else { Lines::InOrder };
        let engine = global.ledger_to_write(&self.to_write).start(None)?;
        let caller = self.to_write.caller();
        let well = working(engine, |engine| append(engine, &caller, input, lines, &mut stdout()))?;
        Ok(Ended::with(well))
    }
}

fn open(file: Option<&Path>) -> Result<Box<dyn Read + Send>> {
    match file {
        None => Ok(Box::new(io::stdin())),
        Some(path) if path == Path::new("-") => Ok(Box::new(io::stdin())),
        Some(path) => Ok(Box::new(File::open(path).with_context(|| format!("opening {}", path.display()))?)),
    }
}

/// Submits what is there, up to a chunk, and answers it before it takes more. Whether all were taken.
fn append(
    engine: &Engine,
    caller: &Caller,
    input: Box<dyn Read + Send>,
    lines: Lines,
    out: &mut impl Write,
) -> Result<bool> {
    let (sender, receiver) = mpsc::sync_channel(CHUNK);
    let reader = std::thread::spawn(move || read_lines(BufReader::new(input), &sender));
    let (mut well, mut last) = (true, 0);
    loop {
        signals::check(|| format!("lines up to {last} are answered, what comes behind was not looked at"))?;
        let first = match receiver.recv_timeout(signals::NOTICE) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let mut inputs = vec![first];
        inputs.extend(receiver.try_iter().take(CHUNK - 1));
        last = inputs.last().map_or(0, |input| input.line);
        let answered = answer(engine, caller, inputs, lines, out).and_then(|well| Ok(out.flush().map(|()| well)?));
        well &= answered.context(Unanswered { last })?;
    }
    reader.join().expect("reading lines does not panic").context("reading the commands")?;
    Ok(well)
}

fn answer(engine: &Engine, caller: &Caller, inputs: Vec<Input>, lines: Lines, out: &mut impl Write) -> Result<bool> {
    let mut commands = Vec::with_capacity(inputs.len());
    let mut places = Vec::with_capacity(inputs.len());
    for Input { line, command } in inputs {
        match command {
            Ok(envelope) => {
                places.push((line, Ok(envelope.id.clone())));
                commands.push(envelope);
            }
            Err(unread) => places.push((line, Err(unread))),
        }
    }
    let mut answers = engine.execute(caller, commands, lines).into_iter();
    let mut well = true;
    for (line, place) in places {
        let (id, answer) = match place {
            Ok(id) => (Some(id), answers.next().expect("each command has an answer")),
            Err(unread) => (unread.id, Answer::Malformed(Box::new(unread.malformed))),
        };
        well &= matches!(answer, Answer::Taken(_));
        json_line(out, &Answered { line, id: id.as_ref(), answer: &answer })?;
    }
    Ok(well)
}

/// Reads lines and hands them on. Commands are UTF-8; a byte-order mark before a line is passed over.
///
/// # Errors
/// If the input is UTF-16 or UTF-32, before any line is handed on.
fn read_lines(mut input: impl BufRead, sender: &mpsc::SyncSender<Input>) -> io::Result<()> {
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        if input.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        if let Some(encoding) = other_encoding(&bytes).filter(|_| line == 1) {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!(
                    "they are in {encoding}, and commands are UTF-8; nothing was taken. \
                     Convert them first: iconv -f {encoding} -t UTF-8"
                ),
            ));
        }
        let whole = bytes.last() == Some(&b'\n') || (bytes.len() as u64) < MAX_LINE_BYTES;
        let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes).trim_ascii_end();
        let command = if !whole {
            input.skip_until(b'\n')?;
            Err(Box::new(Unread::too_long(text, MAX_LINE_BYTES)))
        } else if text.trim_ascii().is_empty() {
            continue;
        } else {
            Envelope::read(text)
        };
        if sender.send(Input { line, command }).is_err() {
            break; // who asked has stopped
        }
    }
    Ok(())
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

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
