//! `events`: the records of the log.

use std::io::{BufWriter, StdoutLock, Write};

use anyhow::Result;
use chrono_tz::Tz;
use schemas::Record;

use super::{Ended, Global};
use crate::{
    app::questions::events::{Question, Seen},
    local_time::{local, titled},
    output::{Columns, json_line, stdout},
    words,
};

/// Print records of the log.
///
/// They come in the order in which they were recorded; with --json whole, one a line. Times are those
/// of recording, in the zone of the books; where something happened at another time, that is said.
#[derive(Debug, clap::Args)]
pub struct Events {
    #[command(flatten)]
    question: Question,
    /// Go on with what is recorded from now on, until Ctrl-C or the limit.
    #[arg(long, conflicts_with = "as_of")]
    follow: bool,
}

impl Events {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let home = global.home()?;
        let zone = if global.json { Tz::UTC } else { home.shown_zone(self.question.as_of)? };
        let mut printed = Printed::new(global.json, zone);
        if self.follow {
            home.follow(&self.question, |seen| match seen {
                Seen::Record(record) => printed.record(record),
                Seen::CaughtUp => printed.show(),
            })?;
        } else {
            home.each(&self.question, |record| printed.record(record))?;
        }
        printed.show()?;
        Ok(Ended::Well)
    }
}

/// What is printed, as objects or as a table.
struct Printed {
    out: BufWriter<StdoutLock<'static>>,
    json: bool,
    zone: Tz,
    columns: Columns<6>,
}

impl Printed {
    fn new(json: bool, zone: Tz) -> Self {
        let columns = Columns::new([&*titled("recorded", zone), "record", "whose", "what", "by", "command"]);
        Self { out: stdout(), json, zone, columns }
    }

    fn record(&mut self, record: &Record) -> Result<()> {
        if self.json {
            return json_line(&mut self.out, record);
        }
        for what in words::sentences(record, self.zone, |_, _| true) {
            let (time, place) = (local(record.time, self.zone), words::place(record));
            let (whose, by, command) = (record.subject.to_string(), words::actor(record), record.id.to_string());
            self.columns.row(&mut self.out, [time, place, whose, what, by, command])?;
        }
        Ok(())
    }

    /// What has waited reaches whoever looks.
    fn show(&mut self) -> Result<()> {
        self.columns.show(&mut self.out)?;
        Ok(self.out.flush()?)
    }
}
