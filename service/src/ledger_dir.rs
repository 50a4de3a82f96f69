//! The folder of a ledger, and how commands open it: to write through the engine, or to read beside one.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use chrono_tz::Tz;
use ledger::{
    Engine, SystemClock,
    log::{Options, OsDisk, Reader},
};
use projections::Reference;
use replay::{AsOf, fold};
use schemas::{Record, Shard};

use crate::output::Progress;

/// A ledger's folder.
#[derive(Debug, Clone)]
pub struct LedgerDir {
    path: PathBuf,
}

impl LedgerDir {
    /// The folder at `path`, which need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its disk.
    pub fn disk(&self) -> Arc<OsDisk> {
        Arc::new(OsDisk::new(&self.path))
    }

    /// Whether it holds a log.
    pub fn exists(&self) -> bool {
        self.path.join("log").is_dir()
    }

    /// Starts the engine on it, making a new ledger of `shards` where there is none.
    pub fn start(&self, shards: Option<Shard>) -> Result<Engine> {
        if let Some(shards) = shards.filter(|shards| !(1..=Options::MAX_SHARDS).contains(shards)) {
            bail!("a ledger has 1 to {} shards, not {shards}", Options::MAX_SHARDS);
        }
        let options = Options { shards, ..Options::default() };
        let (engine, recovery) = Engine::start(self.disk(), &options, Arc::new(SystemClock))?;
        if let Some(cut) = recovery.cut {
            eprintln!(
                "giftledger: the last write had not been finished nor answered; its {} bytes at {} of {} are kept in {}",
                cut.bytes, cut.offset, cut.segment, cut.kept
            );
        }
        Ok(engine)
    }

    /// Says what to do where there is no ledger.
    pub fn must_exist(&self) -> Result<()> {
        if !self.exists() {
            bail!(
                "there is no ledger in {}; name its folder with --data, or make one: giftledger demo --data {}",
                self.path.display(),
                self.path.display()
            );
        }
        Ok(())
    }

    /// Opens the log to read it, beside whoever writes it.
    pub fn read(&self) -> Result<Reader> {
        self.must_exist()?;
        Ok(Reader::open(self.disk())?)
    }

    /// Gives every record up to `as_of` to `visit`, in the order of their times.
    pub fn fold(&self, as_of: AsOf, mut visit: impl FnMut(&Record) -> Result<()>) -> Result<()> {
        let mut reader = self.read()?;
        let total = reader.head().shards.iter().map(|shard| shard.sequence).sum();
        let progress = Progress::records(total, "folding");
        fold(&mut reader, as_of, |record| {
            visit(record)?;
            progress.step();
            Ok(())
        })
    }

    /// The reference data as of a moment.
    pub fn reference(&self, as_of: AsOf) -> Result<Reference> {
        let mut reference = Reference::new();
        self.fold(as_of, |record| {
            reference.apply(record);
            Ok(())
        })?;
        Ok(reference)
    }

    /// The zone of the books: the entity's, or the one that was asked for.
    pub fn zone(&self, asked: Option<&str>) -> Result<Tz> {
        if let Some(name) = asked {
            return Ok(schemas::parse_zone(name)?);
        }
        let reference = self.reference(AsOf::End)?;
        let entity =
            reference.entity().context("no entity is published, so there is no time zone: name one with --zone")?;
        Ok(entity.zone.0)
    }
}
