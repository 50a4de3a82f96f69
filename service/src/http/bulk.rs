//! Many commands: NDJSON in, an answer line each out, in order.
//!
//! Lines go into the engine as they arrive, without a copy of the whole body: what has come while the lines before were
//! decided goes in at once. A user's lines happen in their order, so nothing is handed in before all of the lines before
//! it are answered, unless the client says `order=none`. The answers spool, so that a client may send all before it
//! reads anything.

use std::{
    collections::{HashSet, VecDeque},
    io::Write,
    time::Duration,
};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use ledger::{Answer, Unavailable};
use schemars::JsonSchema;
use schemas::{Command, CommandId, Envelope, Unread, UserId};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use super::{
    asker::Asker,
    body::{self, Arriving},
    commands::{makes_nothing, told},
    door::Door,
    extract::Fields,
    lines::{Line, Lines, MAX_LINE_BYTES},
    metrics::Tally,
    problem::Problem,
    spool::{self, spool},
};
use crate::{
    access::{daily::Reserved, denied::Denied, gate::Token},
    app::asked,
    config::size,
};

/// Lines handed in at once, where so many have come.
const CHUNK: usize = 8_189;
/// So many chunks may be under way, where no line depends on another.
const CHUNKS_UNDER_WAY: usize = 4;
/// How long a bulk waits for room in the queue before its lines are given up, undecided.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);
/// So many lines are taken from a token's rate at once.
const RATED_AT_ONCE: u32 = 256;
/// How soon it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Whether a user's lines happen in their order.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "BulkOrder")]
pub enum Order {
    /// They do.
    #[default]
    PerUser,
    /// They are independent.
    None,
}

/// How a bulk is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct How {
    /// Whether the lines of one user happen in their order, or are independent.
    #[serde(default)]
    order: Order,
}

/// The last line of the answers.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "BulkEnd")]
pub struct End {
    #[serde(rename = "end")]
    is_last: bool,
    lines: u64,
    taken: u64,
    refused: u64,
    conflict: u64,
    malformed: u64,
    undecided: u64,
    pending: u64,
    unknown: u64,
    /// Why the rest was not looked at, where the bulk was larger than one may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<Cut>,
}

/// Why a bulk was not read to its end.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BulkCut")]
struct Cut {
    /// `too_many_lines` or `body_too_large`.
    code: &'static str,
    message: String,
}

/// Appends many commands.
pub async fn append(
    State(door): State<Door>,
    asker: Asker,
    Fields(fields): Fields,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let How { order } = asked::question(fields)?;
    body::check_media_type(&headers, &["application/x-ndjson", "application/ndjson", "application/jsonl"])?;
    body::refuse_larger(&headers, size(door.limits.bulk_bytes))?;
    let mut body = Arriving::new(body, &door.limits);
    let first = body.next().await?.unwrap_or_default();
    body::utf8(&first)?;
    let first = first.slice(first.len() - body::utf8(&first)?.len()..);
    let (writer, reader) = spool();
    let bulk = Bulk::new(door, asker, order, writer);
    tokio::spawn(bulk.run(first, body));
    let media_type = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((media_type, Body::new(reader)).into_response())
}

/// A line's place in the answers.
#[derive(Debug)]
enum Place {
    /// The next of the engine's answers.
    Asked(Asked),
    /// It was not a command.
    Unread(Box<Unread>),
    /// The token does not allow it: why not.
    Denied(CommandId, &'static str, String),
    /// An earlier line of its user has no outcome, so it has none either.
    Held(CommandId),
}

/// A command that the engine is asked.
#[derive(Debug)]
struct Asked {
    id: CommandId,
    kind: &'static str,
    /// Whose later lines wait for its outcome, where they happen in their order.
    user: Option<UserId>,
    reserved: Reserved,
}

/// Lines that were handed in.
#[derive(Debug)]
struct UnderWay {
    places: Vec<Place>,
    answers: Option<oneshot::Receiver<Vec<Answer>>>,
}

/// A bulk under way.
#[derive(Debug)]
struct Bulk {
    door: Door,
    asker: Asker,
    order: Order,
    writer: spool::Writer,
    /// Lines that have come and are not handed in.
    commands: Vec<Envelope>,
    places: Vec<Place>,
    under_way: VecDeque<UnderWay>,
    read: u64,
    /// Users with a line that has no outcome: where a user's lines happen in their order, none behind it is decided,
    /// or a gift would be refused for ever because the top-up before it could not be decided.
    held_up: HashSet<UserId>,
    end: End,
}

impl Bulk {
    fn new(door: Door, asker: Asker, order: Order, writer: spool::Writer) -> Self {
        let (commands, places, under_way) = (Vec::new(), Vec::new(), VecDeque::new());
        let end = End { is_last: true, ..End::default() };
        let held_up = HashSet::new();
        Self { door, asker, order, writer, commands, places, under_way, read: 0, held_up, end }
    }

    /// Reads the body and answers it. Where the body breaks off, so do the answers.
    async fn run(mut self, first: Bytes, mut body: Arriving) {
        let most = self.door.limits.bulk_bytes;
        let (mut lines, mut bytes, mut piece) = (Lines::default(), 0, Some(first));
        while let Some(arrived) = piece {
            bytes += arrived.len() as u64;
            if bytes > most {
                let message =
                    format!("a bulk has at most {most} bytes; what came behind line {} was not looked at", self.read);
                self.end.cut = Some(Cut { code: "body_too_large", message });
                break;
            }
            if !lines.take(&arrived, |line| self.take(&line)) {
                break;
            }
            self.hand_in().await;
            piece = match self.next(&mut body).await {
                Ok(piece) => piece,
                Err(Some(cut)) => {
                    self.end.cut = Some(cut);
                    break;
                }
                Err(None) => return, // whole lines were handed in, and nobody hears of them
            };
        }
        if self.end.cut.is_none() {
            lines.finish(|line| self.take(&line));
        }
        while !self.places.is_empty() || !self.under_way.is_empty() {
            self.hand_in().await;
            if self.answer_next().await.is_err() {
                return;
            }
        }
        let mut last = serde_json::to_vec(&self.end).unwrap_or_default();
        last.push(b'\n');
        if self.writer.write(last).is_ok() {
            self.writer.finish();
        }
    }

    /// The next piece of the body. Until it comes, answers leave; and where more has come than may wait, they leave first.
    /// Where there is none, it says what the last line says of that, or nothing if nobody hears it.
    async fn next(&mut self, body: &mut Arriving) -> Result<Option<Bytes>, Option<Cut>> {
        let read = self.read;
        let cut = |broken| match broken {
            body::Broken::TooSlow => {
                let message = format!("{broken}; what came behind line {read} was not looked at");
                Some(Cut { code: "body_timeout", message })
            }
            body::Broken::Off(_) => None,
        };
        loop {
            if self.writer.is_deserted() {
                return Err(None);
            }
            let is_full = self.places.len() >= CHUNK;
            if self.under_way.is_empty() && !is_full {
                return body.next().await.map_err(cut);
            }
            tokio::select! {
                piece = body.next(), if !is_full => return piece.map_err(cut),
                answered = answered(&mut self.under_way) => {
                    self.write(answered).await.map_err(|Broken| None)?;
                    self.hand_in().await;
                }
            }
        }
    }

    /// Takes a line; says whether more may come.
    fn take(&mut self, line: &Line<'_>) -> bool {
        let read = match line {
            Line::Whole(text) if text.trim_ascii().is_empty() => return true,
            Line::Whole(text) => Envelope::read(text),
            Line::TooLong(beginning) => Err(Box::new(Unread::too_long(beginning, MAX_LINE_BYTES as u64))),
        };
        let most = self.door.limits.bulk_lines;
        if self.read == most {
            let message = format!("a bulk has at most {most} lines; the rest was not looked at");
            self.end.cut = Some(Cut { code: "too_many_lines", message });
            return false;
        }
        self.read += 1;
        let place = match read {
            Ok(envelope) => {
                let user = envelope.command.touches().filter(|_| self.is_ordered()).cloned();
                let asked =
                    Asked { id: envelope.id.clone(), kind: envelope.command.kind(), user, reserved: Reserved::NONE };
                self.commands.push(envelope);
                Place::Asked(asked)
            }
            Err(unread) => Place::Unread(unread),
        };
        self.places.push(place);
        true
    }

    fn is_ordered(&self) -> bool {
        matches!(self.order, Order::PerUser)
    }

    /// Keeps back what the token does not allow, and what stands behind a line of its user without an outcome. Waits
    /// until the token may send so many, and counts what they make.
    async fn admit(&mut self, places: &mut [Place], commands: &mut Vec<Envelope>) {
        if self.asker.token.is_none() && self.held_up.is_empty() {
            return;
        }
        let token = self.asker.token.clone();
        let ended = match &token {
            Some(token) => self.door.access.still(token).await.err(),
            None => None,
        };
        let mut admitted = Vec::with_capacity(commands.len());
        let mut waiting = std::mem::take(commands).into_iter();
        for place in places {
            let Place::Asked(asked) = place else { continue };
            let Some(envelope) = waiting.next() else { break };
            if asked.user.as_ref().is_some_and(|user| self.held_up.contains(user)) {
                *place = Place::Held(asked.id.clone());
                continue;
            }
            let denied = match (&token, &ended) {
                (_, Some(denied)) => Some((denied.code(), denied.to_string())),
                (Some(token), None) => match self.may_make(token, &envelope.command).await {
                    Ok(reserved) => {
                        asked.reserved = reserved;
                        None
                    }
                    Err(denied) => {
                        self.asker.deny(&self.door, &denied);
                        Some((denied.code(), denied.to_string()))
                    }
                },
                (None, None) => None,
            };
            match denied {
                None => admitted.push(envelope),
                Some((code, said)) => {
                    self.held_up.extend(asked.user.take());
                    *place = Place::Denied(asked.id.clone(), code, said);
                }
            }
        }
        if let Some(token) = &token {
            let mut left = u32::try_from(admitted.len()).unwrap_or(u32::MAX);
            while left > 0 {
                let some = left.min(RATED_AT_ONCE);
                match self.door.access.take(token, some) {
                    Ok(()) => left -= some,
                    Err(denied) => sleep(denied.retry_after().unwrap_or(LOOK_AGAIN)).await,
                }
            }
        }
        *commands = admitted;
    }

    async fn may_make(&self, token: &Token, command: &Command) -> Result<Reserved, Denied> {
        token.may(command)?;
        self.door.access.reserve(token, command).await
    }

    /// Hands in what has come, unless it has to wait for what is under way.
    async fn hand_in(&mut self) {
        let most = match self.order {
            Order::PerUser => 1,
            Order::None => CHUNKS_UNDER_WAY,
        };
        if self.places.is_empty() || self.under_way.len() >= most {
            return;
        }
        // What comes next is as much, more or less.
        let mut places = std::mem::take(&mut self.places);
        let mut commands = std::mem::take(&mut self.commands);
        self.places.reserve(places.len());
        self.commands.reserve(commands.len());
        self.admit(&mut places, &mut commands).await;
        let lines = match self.order {
            Order::PerUser => ledger::Lines::InOrder,
            Order::None => ledger::Lines::Independent,
        };
        let given_up = Instant::now() + QUEUE_PATIENCE;
        let answers = loop {
            if commands.is_empty() {
                break None;
            }
            let count = commands.len();
            let undecided = |why| {
                let (reply, answers) = oneshot::channel();
                // The receiver is here.
                let _ = reply.send(vec![Answer::Unavailable(why); count]);
                Some(answers)
            };
            match self.door.engine.submit(&self.asker.caller, commands, lines) {
                Ok(answers) => break Some(answers),
                Err((Unavailable::Busy, refused)) if Instant::now() < given_up => {
                    commands = refused;
                    sleep(LOOK_AGAIN).await;
                }
                Err((why, _)) => break undecided(why),
            }
        };
        self.under_way.push_back(UnderWay { places, answers });
    }

    async fn answer_next(&mut self) -> Result<(), Broken> {
        if self.under_way.is_empty() {
            return Ok(());
        }
        let answered = answered(&mut self.under_way).await;
        self.write(answered).await
    }

    /// Puts the answers to some lines behind the others.
    async fn write(&mut self, (places, answers): (Vec<Place>, Vec<Answer>)) -> Result<(), Broken> {
        let mut tally = Tally::default();
        let mut text = Vec::with_capacity(places.len() * 224);
        let mut answers = answers.into_iter();
        for place in places {
            self.end.lines += 1;
            let (id, answer) = match place {
                Place::Asked(Asked { id, kind, user, reserved }) => {
                    let answer = answers.next().unwrap_or(Answer::Unavailable(Unavailable::Stopped));
                    told(&id, kind, &answer);
                    if reserved != Reserved::NONE && makes_nothing(&answer) {
                        self.asker.give_back(&self.door, reserved).await;
                    }
                    if matches!(answer, Answer::Unavailable(_)) {
                        self.held_up.extend(user);
                    }
                    tally.note(kind, &answer);
                    (Some(id), answer)
                }
                Place::Held(id) => (Some(id), Answer::Unavailable(Unavailable::EarlierLineUnfinished)),
                Place::Unread(unread) => {
                    let Unread { id, malformed } = *unread;
                    (id, Answer::Malformed(Box::new(malformed)))
                }
                Place::Denied(id, code, said) => {
                    self.end.undecided += 1;
                    write_denied(&mut text, self.end.lines, &id, code, &said);
                    continue;
                }
            };
            self.end.count(&answer);
            write_answer(&mut text, self.end.lines, id.as_ref(), &answer);
        }
        self.door.metrics.add(tally);
        self.writer.write(text).map_err(|error| {
            tracing::error!(%error, "the answers of a bulk could not be kept for its client; it breaks off");
            Broken
        })
    }
}

/// The client has gone, or its answers could not be kept.
#[derive(Debug)]
struct Broken;

/// The answers to the first lines that are under way. Can be given up and called again.
async fn answered(under_way: &mut VecDeque<UnderWay>) -> (Vec<Place>, Vec<Answer>) {
    let Some(first) = under_way.front_mut() else { return std::future::pending().await };
    let answers = match &mut first.answers {
        // Whoever is left without answers does not know.
        Some(answers) => answers.await.unwrap_or_default(),
        None => Vec::new(),
    };
    let places = under_way.pop_front().map(|first| first.places).unwrap_or_default();
    (places, answers)
}

impl End {
    fn count(&mut self, answer: &Answer) {
        *match answer {
            Answer::Taken(_) => &mut self.taken,
            Answer::Refused(_) => &mut self.refused,
            Answer::Conflict(_) => &mut self.conflict,
            Answer::Malformed(_) => &mut self.malformed,
            Answer::Unavailable(Unavailable::Unfinished) => &mut self.pending,
            Answer::Unavailable(Unavailable::Stopped) => &mut self.unknown,
            Answer::Unavailable(_) => &mut self.undecided,
        } += 1;
    }
}

/// `{"line":1,"id":"g-1",` and the answer's own fields.
fn write_answer(text: &mut Vec<u8>, line: u64, id: Option<&CommandId>, answer: &Answer) {
    // A vector takes everything.
    let _ = write!(text, "{{\"line\":{line}");
    if let Some(id) = id {
        text.extend_from_slice(b",\"id\":");
        let _ = serde_json::to_writer(&mut *text, id);
    }
    let at = text.len();
    let _ = serde_json::to_writer(&mut *text, answer);
    text[at] = b',';
    text.push(b'\n');
}

/// The same of a line that the token does not allow: nothing was decided.
fn write_denied(text: &mut Vec<u8>, line: u64, id: &CommandId, code: &str, said: &str) {
    let said = serde_json::json!({
        "line": line, "id": id, "state": "undecided", "code": code, "message": said,
    });
    let _ = writeln!(text, "{said}");
}
