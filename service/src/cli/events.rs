//! `events`: the records of the log.

use std::io::Write;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use replay::AsOf;
use schemas::{Body, Event, Record, Subject};

use super::{Ended, Global};
use crate::{
    local_time::{local, titled},
    output::{Columns, json_line, stdout},
    words,
};

/// Print records in the order in which they were recorded; with --json whole, one a line. Times are those
/// of recording, in the zone of the books; where something happened at another time, that is said.
#[derive(Debug, clap::Args)]
pub struct Events {
    /// Only this subject's, such as `user:u1` or `claim:transaction:apple/t1`.
    #[arg(long)]
    subject: Option<Subject>,
    /// Only this kind.
    #[arg(long, value_parser = PossibleValuesParser::new(Event::KINDS.into_iter().chain(["refused"])))]
    kind: Option<String>,
    /// Up to a time of recording or a position `<shard>-<sequence>`, with it.
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<AsOf>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

impl Events {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let as_of = self.as_of.unwrap_or(AsOf::End);
        let zone = if global.json { chrono_tz::UTC } else { global.ledger().shown_zone(as_of)? };
        let mut reader = global.ledger().read()?;
        let mut out = stdout();
        let mut columns = Columns::new([&*titled("recorded", zone), "record", "whose", "what", "by", "command"]);
        let mut left = self.limit.unwrap_or(u64::MAX);
        for record in replay::records(&mut reader, as_of)? {
            let record = record?;
            if left == 0 {
                break;
            }
            if !self.wants(&record) {
                continue;
            }
            left -= 1;
            if global.json {
                json_line(&mut out, &record)?;
                continue;
            }
            for what in words::sentences(&record, zone, |_, _| true) {
                let (time, place) = (local(record.time, zone), words::place(&record));
                let (whose, by, command) = (record.subject.to_string(), words::actor(&record), record.id.to_string());
                columns.row(&mut out, [time, place, whose, what, by, command])?;
            }
        }
        columns.finish(&mut out)?;
        out.flush()?;
        Ok(Ended::Well)
    }

    fn wants(&self, record: &Record) -> bool {
        self.subject.as_ref().is_none_or(|subject| *subject == record.subject)
            && self.kind.as_deref().is_none_or(|kind| match &record.body {
                Body::Rejection(_) => kind == "refused",
                Body::Event(event) => event.kind() == kind || event.parts().iter().any(|part| part.kind() == kind),
            })
    }
}
