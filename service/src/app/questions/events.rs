//! The records of the log, one after the other.

use clap::builder::PossibleValuesParser;
use replay::AsOf;
use schemas::{Body, Event, Record, Subject};

use crate::app::{Error, Ledger, Result};

/// Records in the order in which they were recorded.
#[derive(Debug, clap::Args)]
pub struct Question {
    /// Only this subject's, such as `user:u1` or `claim:transaction:apple/t1`.
    #[arg(long)]
    pub subject: Option<Subject>,
    /// Only this kind.
    #[arg(long, value_parser = PossibleValuesParser::new(Event::KINDS.into_iter().chain(["refused"])))]
    pub kind: Option<String>,
    /// Up to a time of recording or a position `<shard>-<sequence>`, with it.
    #[arg(long, value_name = "MOMENT")]
    pub as_of: Option<AsOf>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

impl Question {
    /// Gives each record that is asked for to `visit`.
    pub fn each<E: From<Error>>(
        &self,
        ledger: &Ledger,
        mut visit: impl FnMut(&Record) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = ledger.read()?;
        let as_of = self.as_of.unwrap_or(AsOf::End);
        let mut left = self.limit.unwrap_or(u64::MAX);
        let records = replay::records(&mut reader, as_of).map_err(Error::from)?;
        for record in records {
            let record = record.map_err(Error::from)?;
            if left == 0 {
                break;
            }
            if self.wants(&record) {
                left -= 1;
                visit(&record)?;
            }
        }
        Ok(())
    }

    fn wants(&self, record: &Record) -> bool {
        self.subject.as_ref().is_none_or(|subject| *subject == record.subject)
            && self.kind.as_deref().is_none_or(|kind| match &record.body {
                Body::Rejection(_) => kind == "refused",
                Body::Event(event) => event.kind() == kind || event.parts().iter().any(|part| part.kind() == kind),
            })
    }
}
