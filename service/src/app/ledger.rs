//! A ledger to be asked: where the answers come from. One that runs answers from state and index where it can; all else
//! is a fold of the log, up to where it stood when it was asked.

use std::sync::Arc;

use chrono_tz::Tz;
use ledger::{Clock, Engine, SystemClock, log::Reader};
use projections::Reference;
use replay::AsOf;
use schemas::{Record, Subject, Timestamp};

use super::{Error, OpenHolds, Result, Unit, Unwatched, Watch, Work};
use crate::ledger_dir::LedgerDir;

/// How many records are folded between two looks at the clock, which cost as much as folding one.
const TOLD_EACH: u64 = 1_024;

/// A ledger's records, read beside whoever writes them.
#[derive(Debug, Clone)]
pub struct Ledger {
    folder: LedgerDir,
    /// Where this process is the one that writes them.
    engine: Option<Arc<Engine>>,
    /// What it has on hold, where that is followed.
    open_holds: Option<Arc<OpenHolds>>,
    watch: Arc<dyn Watch>,
}

impl Ledger {
    /// The one in a folder.
    pub fn of(folder: &LedgerDir) -> Self {
        Self { folder: folder.clone(), engine: None, open_holds: None, watch: Arc::new(Unwatched) }
    }

    /// The one that runs on a folder.
    pub fn running(folder: &LedgerDir, engine: Arc<Engine>) -> Self {
        Self { engine: Some(engine), ..Self::of(folder) }
    }

    /// The same, with its open holds.
    #[must_use]
    pub fn with_open_holds(self, open_holds: OpenHolds) -> Self {
        Self { open_holds: Some(Arc::new(open_holds)), ..self }
    }

    /// What it has on hold, where that is followed.
    pub fn open_holds(&self) -> Option<&OpenHolds> {
        self.open_holds.as_deref()
    }

    /// The engine, where it runs here and is asked about now: it answers from memory and index.
    pub fn engine(&self, as_of: Option<AsOf>) -> Option<&Engine> {
        self.engine.as_deref().filter(|_| matches!(as_of, None | Some(AsOf::End)))
    }

    /// The same, with somebody who is told how far folds have come.
    #[must_use]
    pub fn watched_by(self, watch: Arc<dyn Watch>) -> Self {
        Self { watch, ..self }
    }

    /// Where it is.
    pub fn folder(&self) -> &LedgerDir {
        &self.folder
    }

    /// Who is told.
    pub fn watch(&self) -> &dyn Watch {
        &*self.watch
    }

    /// Opens the log. What it shows does not change while it is read.
    pub fn read(&self) -> Result<Reader> {
        if let Some(engine) = &self.engine {
            return Ok(engine.reader().standing_still());
        }
        self.folder.must_exist()?;
        Ok(Reader::open(self.folder.disk())?)
    }

    /// The clock of an answer about a moment: the one place where a question asks for the time.
    pub fn clock(reader: &mut Reader, as_of: AsOf) -> Result<Timestamp> {
        Ok(as_of.clock(reader, SystemClock.now())?)
    }

    /// Gives every record up to `as_of` to `visit`, in the order of their times. Returns the clock of
    /// the answer that is made of them.
    pub fn fold(&self, as_of: AsOf, mut visit: impl FnMut(&Record)) -> Result<Timestamp> {
        self.fold_with(&mut self.read()?, as_of, |record| {
            visit(record);
            Ok::<(), Error>(())
        })
    }

    /// As [`Self::fold`], for several passes over the same records, which may end early.
    pub fn fold_with<E: From<Error>>(
        &self,
        reader: &mut Reader,
        as_of: AsOf,
        mut visit: impl FnMut(&Record) -> Result<(), E>,
    ) -> Result<Timestamp, E> {
        let clock = Self::clock(reader, as_of)?;
        let total = reader.head().shards.iter().map(|shard| shard.sequence).sum();
        let mut told = self.watch.begin(Work { doing: "folding", total, unit: Unit::Records });
        let mut done: u64 = 0;
        let folded = replay::fold(reader, as_of, |record| {
            visit(record).map_err(Stopped::Visit)?;
            done += 1;
            if !done.is_multiple_of(TOLD_EACH) {
                return Ok(());
            }
            told(done).map_err(|interrupted| Stopped::Error(interrupted.into()))
        });
        match folded {
            Ok(()) => Ok(clock),
            Err(Stopped::Visit(error)) => Err(error),
            Err(Stopped::Error(error)) => Err(error.into()),
        }
    }

    /// The versions of the reference data that were published up to a moment, and that moment's clock.
    pub fn reference(&self, as_of: AsOf) -> Result<(Reference, Timestamp)> {
        let mut reference = Reference::new();
        let clock = self.fold(as_of, |record| {
            reference.apply(record);
        })?;
        Ok((reference, clock))
    }

    /// The zone in which people are shown times: the entity's, UTC before there is one. An entity does not
    /// change, so the log is read up to where it was published, which is near its start.
    pub fn shown_zone(&self, as_of: AsOf) -> Result<Tz> {
        let mut reader = self.read()?;
        let clock = Self::clock(&mut reader, as_of)?;
        let mut reference = Reference::new();
        for record in replay::records(&mut reader, as_of)? {
            let record = record?;
            if matches!(record.subject, Subject::Reference) {
                reference.apply(&record);
                if let Some(entity) = reference.at(clock).entity() {
                    return Ok(entity.zone.0);
                }
            }
        }
        Ok(Tz::UTC)
    }

    /// The zone of the books as of a moment: the entity's, or the one that was asked for.
    pub fn zone(&self, asked: Option<&str>, as_of: AsOf) -> Result<Tz> {
        if let Some(name) = asked {
            return Ok(schemas::parse_zone(name)?);
        }
        let (reference, clock) = self.reference(as_of)?;
        let entity = reference.at(clock).entity().map(|entity| entity.zone.0);
        entity.ok_or_else(|| {
            Error::Unasked(format!(
                "no entity is published that holds at {clock}, so there is no time zone: name one as `zone`"
            ))
        })
    }
}

/// Why a fold did not come to its end.
enum Stopped<E> {
    Visit(E),
    Error(Error),
}

impl<E> From<ledger::Error> for Stopped<E> {
    fn from(error: ledger::Error) -> Self {
        Self::Error(error.into())
    }
}
