//! `events`: the records of the log.

use std::io::Write;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use replay::AsOf;
use schemas::{Body, Event, Record, Subject};

use super::{Ended, Global};
use crate::output::{json_line, stdout};

/// Print records in the order of their times; with --json whole, one a line.
#[derive(Debug, clap::Args)]
pub struct Events {
    /// Only this subject's, such as `user:u1` or `claim:transaction:apple/t1`.
    #[arg(long)]
    subject: Option<Subject>,
    /// Only this kind.
    #[arg(long, value_parser = PossibleValuesParser::new(Event::KINDS.into_iter().chain(["refused"])))]
    kind: Option<String>,
    /// Up to a time or a position `<shard>-<sequence>`, with it.
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<AsOf>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

impl Events {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let mut reader = global.ledger().read()?;
        let mut out = stdout();
        let mut left = self.limit.unwrap_or(u64::MAX);
        for record in replay::records(&mut reader, self.as_of.unwrap_or(AsOf::End))? {
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
            } else {
                print(&mut out, &record)?;
            }
        }
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

/// One line for a person: where, when, whose, what, and what it moved.
pub fn print(out: &mut impl Write, record: &Record) -> Result<()> {
    let place = format!("{}-{}", record.shard, record.sequence);
    write!(out, "{place:<10} {:<30} {:<24} ", record.happened_at(), record.subject)?;
    match &record.body {
        Body::Rejection(rejection) => write!(out, "refused: {rejection}")?,
        Body::Event(event) => write!(out, "{}", event.kind())?,
    }
    for posting in ledger::postings(record) {
        let amount = posting.asset.show(posting.amount.into());
        write!(out, "  {} {amount} {}", posting.account, posting.asset)?;
    }
    writeln!(out, "  [{}]", record.id)?;
    Ok(())
}
