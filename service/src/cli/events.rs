//! `events`: the records of the log.

use std::io::Write;

use anyhow::Result;
use replay::AsOf;

use super::{Ended, Global};
use crate::{
    app::questions::events::Question,
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
}

impl Events {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let ledger = global.ledger_to_read();
        let as_of = self.question.as_of.unwrap_or(AsOf::End);
        let zone = if global.json { chrono_tz::UTC } else { ledger.shown_zone(as_of)? };
        let mut out = stdout();
        let mut columns = Columns::new([&*titled("recorded", zone), "record", "whose", "what", "by", "command"]);
        self.question.each(&ledger, |record| {
            if global.json {
                return json_line(&mut out, record);
            }
            for what in words::sentences(record, zone, |_, _| true) {
                let (time, place) = (local(record.time, zone), words::place(record));
                let (whose, by, command) = (record.subject.to_string(), words::actor(record), record.id.to_string());
                columns.row(&mut out, [time, place, whose, what, by, command])?;
            }
            Ok(())
        })?;
        columns.finish(&mut out)?;
        out.flush()?;
        Ok(Ended::Well)
    }
}
