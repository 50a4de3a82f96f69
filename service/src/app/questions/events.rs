//! The records of the log, one after the other.
//!
//! All records have one order. Behind a moment come those that were recorded later: behind a time those of later
//! times, behind a position those that the log has behind it. Whoever gives the position of the last record that they
//! have seen misses none, and sees none twice.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use ledger::log::{Check, Frame, Frames, Reader};
use replay::{AsOf, as_of::Cut};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use schemas::{Body, Event, Record, Subject, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    app::{Error, Ledger, Result, asked},
    signals,
};

/// How soon a follower looks again: each look reads the log's last segment, and costs a sync of it.
const AGAIN: Duration = Duration::from_millis(250);
/// Records of an answer where nobody says how many: some hundred KiB.
const MOST: u64 = 1_000;
/// What a refusal is called among the kinds of records.
const REFUSED: &str = "refused";

/// Records in the order in which they were recorded.
#[derive(Debug, clap::Args, Deserialize, JsonSchema, Clone)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Only this subject's, such as `user:u1` or `claim:transaction:apple/t1`.
    #[arg(long)]
    pub subject: Option<Subject>,
    /// Only this kind.
    #[arg(long, value_parser = PossibleValuesParser::new(Event::KINDS.into_iter().chain([REFUSED])))]
    #[schemars(schema_with = "kinds")]
    pub kind: Option<String>,
    /// Only what was recorded later than this time of recording, or behind this position `<shard>-<sequence>`.
    #[arg(long, value_name = "TIME|POSITION")]
    #[serde(default, deserialize_with = "asked::optional")]
    #[schemars(with = "Option<asked::Moment>")]
    pub after: Option<AsOf>,
    /// Up to a time of recording or a position `<shard>-<sequence>`, with it.
    #[arg(long, value_name = "MOMENT")]
    #[serde(default, deserialize_with = "asked::optional")]
    #[schemars(with = "Option<asked::Moment>")]
    pub as_of: Option<AsOf>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

/// The kinds that there are.
fn kinds(_: &mut SchemaGenerator) -> Schema {
    let kinds: Vec<&str> = Event::KINDS.into_iter().chain([REFUSED]).collect();
    json_schema!({ "type": "string", "enum": kinds })
}

/// Records, and where to go on.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RecordPage")]
pub struct Answer {
    /// The clock of the answer.
    pub as_of: Timestamp,
    /// In the order of recording.
    pub records: Vec<Record>,
    /// The position of the last one, `<shard>-<sequence>`: asked for what is `after` it, the rest comes.
    pub last: Option<String>,
    /// Whether there are more.
    pub more: bool,
}

/// What a follower is shown.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// The next record that is asked for.
    Record(&'a Record),
    /// There is none for now: what was shown should reach whoever looks.
    CaughtUp,
}

impl Question {
    /// The first records that are asked for: a page, at most 1,000 unless it says how many.
    ///
    /// # Errors
    /// [`Error::Unasked`] if there are no records of that kind; as [`Self::each`].
    pub fn ask(&self, ledger: &Ledger) -> Result<Answer> {
        let most = self.limit.unwrap_or(MOST);
        let clock = Ledger::clock(&mut ledger.read()?, self.as_of.unwrap_or(AsOf::End))?;
        let (mut records, mut more) = (Vec::new(), false);
        self.pass(ledger, |record| {
            more = records.len() as u64 >= most;
            if !more {
                records.push(record.clone());
            }
            Ok::<_, Error>(!more)
        })?;
        let last = records.last().map(|record| format!("{}-{}", record.shard, record.sequence));
        Ok(Answer { as_of: clock, records, last, more })
    }

    /// Gives each record that is asked for to `visit`.
    ///
    /// # Errors
    /// [`Error::Ledger`] where a position names no record; what `visit` ends it with.
    pub fn each<E: From<Error>>(
        &self,
        ledger: &Ledger,
        mut visit: impl FnMut(&Record) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut left = self.limit.unwrap_or(u64::MAX);
        if left == 0 {
            return Ok(());
        }
        self.pass(ledger, |record| {
            left -= 1;
            visit(record)?;
            Ok(left > 0)
        })
    }

    /// Gives each record that is asked for to `visit`, and those that come while it looks, beside the writer, until
    /// the limit or the end that somebody asks for.
    ///
    /// # Errors
    /// [`Error::Interrupted`] says where to go on; as [`Self::each`].
    pub fn follow<E: From<Error>>(
        &self,
        ledger: &Ledger,
        mut visit: impl FnMut(Seen<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.as_of.is_some() {
            return Err(
                Error::Unasked("what is up to `as_of` is there already: it cannot be followed".to_owned()).into()
            );
        }
        self.check()?;
        signals::catch();
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut last: Option<String> = None;
        let mut reader = ledger.read()?;
        let lineage = reader.head().lineage;
        let mut behind = self.behind(&mut reader)?;
        loop {
            for record in behind {
                let record = record?;
                if left == 0 {
                    return Ok(());
                }
                if self.wants(&record) {
                    left -= 1;
                    last = Some(format!("{}-{}", record.shard, record.sequence));
                    visit(Seen::Record(&record))?;
                }
            }
            visit(Seen::CaughtUp)?;
            let end = reader.end();
            while reader.end() == end {
                signals::pause(AGAIN, || match &last {
                    Some(last) => format!("the last record that was shown is {last}, and the next ones come after it"),
                    None => "no record had come".to_owned(),
                })
                .map_err(Error::from)?;
                reader = ledger.read()?;
            }
            if reader.end() < end || reader.head().lineage != lineage {
                return Err(Error::Unasked("the log was cut behind what was shown: begin anew".to_owned()).into());
            }
            behind = Behind::the_frames(reader.frames_from(end));
        }
    }

    /// Gives what is asked for to `visit`, as long as that wants more.
    fn pass<E: From<Error>>(
        &self,
        ledger: &Ledger,
        mut visit: impl FnMut(&Record) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.check()?;
        let mut reader = ledger.read()?;
        let until = Cut::at(self.as_of.unwrap_or(AsOf::End), &mut reader).map_err(Error::from)?;
        for record in self.behind(&mut reader)? {
            let record = record?;
            if until.is_some_and(|until| !until.has(&record)) || self.wants(&record) && !visit(&record)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether there can be such records.
    fn check(&self) -> Result<()> {
        match self.kind.as_deref() {
            Some(kind) if kind != REFUSED && !Event::KINDS.contains(&kind) => Err(Error::Unasked(format!(
                "`{}` is no kind of record; there are {}, {REFUSED}",
                schemas::visible(kind),
                Event::KINDS.join(", ")
            ))),
            _ => Ok(()),
        }
    }

    /// The records behind the moment that it names, or all.
    fn behind(&self, reader: &mut Reader) -> Result<Behind> {
        let after = self.after.unwrap_or(AsOf::End);
        let cut = Cut::at(after, reader)?;
        let at = match after {
            AsOf::Position { shard, sequence } => reader.find(shard, sequence)?.map(|(at, _)| at),
            AsOf::End | AsOf::Time(_) => None,
        };
        // Behind a position comes what its frame has behind it, and all further frames.
        let frames = at.map_or_else(|| reader.frames(Check::Frame), |at| reader.frames_from(at));
        Ok(Behind { frames, ready: Vec::new().into_iter(), cut, only_first: at.is_some() })
    }

    fn wants(&self, record: &Record) -> bool {
        self.subject.as_ref().is_none_or(|subject| *subject == record.subject)
            && self.kind.as_deref().is_none_or(|kind| match &record.body {
                Body::Rejection(_) => kind == REFUSED,
                Body::Event(event) => event.kind() == kind || event.parts().iter().any(|part| part.kind() == kind),
            })
    }
}

/// Records behind a place, in the order of all records.
struct Behind {
    frames: Frames,
    ready: std::vec::IntoIter<Record>,
    /// Up to which nothing counts.
    cut: Option<Cut>,
    /// Whether only the first frame has such records.
    only_first: bool,
}

impl Behind {
    fn the_frames(frames: Frames) -> Self {
        Self { frames, ready: Vec::new().into_iter(), cut: None, only_first: false }
    }

    fn sorted(&mut self, frame: Frame) -> Vec<Record> {
        let mut records = frame.records;
        // As `replay` orders them: a frame groups its records by shard.
        records.sort_unstable_by_key(|record| (record.time, record.shard, record.sequence));
        if let Some(cut) = self.cut {
            records.retain(|record| !cut.has(record));
            if self.only_first {
                self.cut = None;
            }
        }
        records
    }
}

impl Iterator for Behind {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Result<Record>> {
        loop {
            if let Some(record) = self.ready.next() {
                return Some(Ok(record));
            }
            match self.frames.next()? {
                Ok(frame) => self.ready = self.sorted(frame).into_iter(),
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ledger::Lines;
    use schemas::Envelope;

    use super::*;
    use crate::{app::asked::question, ledger_dir::LedgerDir};

    /// Page by page, each behind the last record of the one before, every record comes once.
    #[test]
    fn pages_come_to_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let dir = LedgerDir::new(&folder.path().join("ledger"));
        let engine = dir.make(Some(4)).unwrap();
        let grants = (0..40).map(|n| {
            let line = format!(r#"{{"id":"g{n}","grant":{{"user":"u{}","coins":1,"reason":"r"}}}}"#, n % 7);
            Envelope::read(line.as_bytes()).unwrap()
        });
        for chunk in grants.collect::<Vec<_>>().chunks(13) {
            engine.execute(&ledger::Caller::cli(), chunk.to_vec(), Lines::InOrder);
        }
        engine.close().unwrap();
        let ledger = Ledger::of(&dir);
        let ask = |fields: &[(&str, &str)]| {
            let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
            question::<Question>(fields)?.ask(&ledger)
        };
        let whole = ask(&[]).unwrap();
        assert_eq!((whole.records.len(), whole.more), (40, false));
        for limit in ["1", "3", "39", "40"] {
            let (mut pages, mut after) = (Vec::new(), None::<String>);
            loop {
                let from: Vec<(&str, &str)> = after.iter().map(|after| ("after", &**after)).collect();
                let page = ask(&[&from[..], &[("limit", limit)]].concat()).unwrap();
                pages.extend(page.records);
                after = page.last;
                if !page.more {
                    break;
                }
            }
            assert_eq!(pages, whole.records, "by {limit}");
        }
        let time = whole.records[20].time;
        let later: Vec<Record> = whole.records.iter().filter(|record| record.time > time).cloned().collect();
        assert_eq!(ask(&[("after", &time.to_string())]).unwrap().records, later);
        let unknown = ask(&[("kind", "gift")]).unwrap_err().to_string();
        assert!(unknown.contains("`gift` is no kind of record; there are"), "{unknown}");
        assert!(ask(&[("after", "9-1")]).unwrap_err().is_fault(), "there is no such record");
    }
}
