//! The records of a server: page by page up to now, and from then on through the feed.

use std::collections::HashMap;

use hyper::header::{self, HeaderValue};
use replay::AsOf;
use schemas::{Record, Shard};
use serde::Deserialize;

use super::{AGAIN_FOR_LONG, Asking, Error, Result, Server};
use crate::{
    app::questions::{
        Address,
        events::{Question, Seen},
    },
    signals,
};

/// Records of a page: some hundred KiB.
const PAGE: u64 = 1_000;

/// An entry of the feed.
#[derive(Deserialize)]
struct Entry {
    data: Record,
}

/// The last line of a feed that does not stay, and the last word of one that does.
#[derive(Deserialize)]
struct End {
    cursor: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// How far somebody has been shown what they asked for.
#[derive(Debug, Default)]
struct Shown {
    /// The last sequence of each shard.
    sequences: HashMap<Shard, u64>,
    last: Option<String>,
}

impl Shown {
    fn note(&mut self, record: &Record) {
        self.sequences.insert(record.shard, record.sequence);
        self.last = Some(format!("{}-{}", record.shard, record.sequence));
    }

    fn has(&self, record: &Record) -> bool {
        self.sequences.get(&record.shard).is_some_and(|last| record.sequence <= *last)
    }

    fn told(&self) -> String {
        match &self.last {
            Some(last) => format!("the last record that was shown is {last}, and the next ones come after it"),
            None => "no record had come".to_owned(),
        }
    }
}

impl Server {
    /// Gives each record that is asked for to `visit`.
    ///
    /// # Errors
    /// Why the server does not answer; what `visit` ends it with.
    pub fn each<E: From<Error>>(
        &self,
        question: &Question,
        visit: impl FnMut(&Record) -> Result<(), E>,
    ) -> Result<(), E> {
        self.pages(question, &mut Shown::default(), visit).map(drop)
    }

    /// The pages of a question. Returns how many more records may come.
    fn pages<E: From<Error>>(
        &self,
        question: &Question,
        shown: &mut Shown,
        mut visit: impl FnMut(&Record) -> Result<(), E>,
    ) -> Result<Option<u64>, E> {
        let mut left = question.limit;
        let mut page = question.clone();
        while left != Some(0) {
            page.limit = Some(left.map_or(PAGE, |left| left.min(PAGE)));
            let answer = self.ask(&page)?;
            for record in &answer.records {
                visit(record)?;
                shown.note(record);
            }
            left = left.map(|left| left.saturating_sub(answer.records.len() as u64));
            let Some(last) = answer.last.filter(|_| answer.more) else { break };
            page.after = Some(last.parse::<AsOf>().map_err(Error::Unusable)?);
            // All pages end where the first one did, unless a moment was named.
            page.as_of = page.as_of.or(Some(AsOf::Time(answer.as_of)));
        }
        Ok(left)
    }

    /// Gives each record that is asked for to `visit`, and those that come, until the limit or the end that somebody
    /// asks for.
    ///
    /// # Errors
    /// [`Error::Interrupted`] says where to go on; as [`Self::each`].
    pub fn follow<E: From<Error>>(
        &self,
        question: &Question,
        mut visit: impl FnMut(Seen<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        signals::catch();
        let mut shown = Shown::default();
        // What comes while pages are read is behind this cursor, and told by both: it is shown once.
        let mut cursor = self.now()?;
        let mut left = self.pages(question, &mut shown, |record| visit(Seen::Record(record)))?;
        visit(Seen::CaughtUp)?;
        let mut waits = AGAIN_FOR_LONG.iter();
        while left != Some(0) {
            let before = cursor.clone();
            let ended = self.stay(question, (&mut cursor, &mut shown, &mut left), &mut visit);
            let error = match ended {
                Ok(()) => continue,
                Err(Ended::Visit(error)) => return Err(error),
                Err(Ended::Server(error)) => error,
            };
            if cursor != before {
                waits = AGAIN_FOR_LONG.iter();
            }
            let again =
                error.may_help_after().or_else(|| matches!(error, Error::Unreachable { .. }).then(Default::default));
            let (Some(wait), Some(&usual)) = (again, waits.next()) else { return Err(error.into()) };
            signals::pause(wait.max(usual), || shown.told()).map_err(Error::from)?;
        }
        Ok(())
    }

    /// The cursor at the head of the log.
    fn now(&self) -> Result<String> {
        let asking = Asking::get(&Address::of(&["events"]).with("after", Some("now")).to_string());
        let done = || "no record had come".to_owned();
        let (_, body) = self.insist(&asking, done)?;
        let last = body.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        Ok(self.read::<End>(last)?.cursor)
    }

    /// Follows the feed as long as it goes.
    fn stay<E: From<Error>>(
        &self,
        question: &Question,
        (cursor, shown, left): (&mut String, &mut Shown, &mut Option<u64>),
        visit: &mut impl FnMut(Seen<'_>) -> Result<(), E>,
    ) -> Result<(), Ended<E>> {
        let Question { subject, kind, .. } = question;
        let address = Address::of(&["events"]).with("after", Some(&*cursor)).flag("follow", true);
        let address = address.with("subject", subject.as_ref()).with("kind", kind.as_ref());
        let mut asking = Asking::get(&address.to_string());
        asking.headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        let mut stream = self.stream(asking, || shown.told())?;
        let (mut is_end, mut next) = (false, None);
        while let Some(line) = stream.line(|| shown.told())? {
            let (field, value) = field(&line);
            match field {
                // It stands before its entry, and holds once that was shown.
                b"id" => next = Some(String::from_utf8_lossy(value).into_owned()),
                b"" => *cursor = next.take().unwrap_or_else(|| std::mem::take(cursor)),
                b"event" => is_end = value == b"end",
                b"data" if is_end => {
                    let End { code, message, .. } = self.read(value)?;
                    let said = [message, code].into_iter().flatten().collect::<Vec<_>>().join(", ");
                    return Err(self.broken(said).into());
                }
                b"data" => {
                    let Entry { data } = self.read(value)?;
                    if !shown.has(&data) {
                        visit(Seen::Record(&data)).map_err(Ended::Visit)?;
                        shown.note(&data);
                        *left = left.map(|left| left - 1);
                        if *left == Some(0) {
                            break;
                        }
                    }
                }
                _ => {}
            }
            if !stream.is_ready() {
                visit(Seen::CaughtUp).map_err(Ended::Visit)?;
            }
        }
        if *left == Some(0) { Ok(()) } else { Err(self.broken("the feed ended").into()) }
    }
}

/// Why following ended.
enum Ended<E> {
    Visit(E),
    Server(Error),
}

impl<E> From<Error> for Ended<E> {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

/// A line of server-sent events: its field and value.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return (line, b"") };
    let value = &line[colon + 1..];
    (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
}
