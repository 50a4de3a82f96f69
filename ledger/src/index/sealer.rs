//! What happens to entries on the disk: frozen tables become runs, full levels become one run.

use std::sync::Arc;

use super::{Frozen, Options, Runs, folder::Folder, manifest::Manifest, merge::Merge, run::Run, run_writer::RunWriter};
use crate::{
    Error, Result,
    error::no_room,
    log::{Head, Reader, ShardHead},
};

/// The name of the position that the index stores with the log.
const POSITION: &str = "index";

/// Writes the index's files. It shares nothing with the index but what never changes, so it can work
/// on a thread of its own, or in steps of a simulation.
///
/// After an error nothing is lost and the call can be repeated: entries stay in the frozen table or
/// in the runs that they were in, and a file that was half written is removed.
pub struct Sealer {
    folder: Arc<Folder>,
    log: Reader,
    fan_out: usize,
    manifest: Manifest,
    runs: Arc<Runs>,
    /// Whether the folder is known to be there.
    made: bool,
    /// At most one for each level, the lowest level first.
    merges: Vec<Merge>,
}

/// What [`Sealer::merge`] did.
#[derive(Debug)]
pub enum Merged {
    /// No level is full.
    Nothing,
    /// A piece; there is more to do.
    Piece,
    /// The last piece of a level: [`Index::adopt`](super::Index::adopt) these.
    Level(Arc<Runs>),
}

impl Sealer {
    pub(super) fn new(
        folder: Arc<Folder>,
        log: Reader,
        options: &Options,
        manifest: Manifest,
        runs: Arc<Runs>,
    ) -> Self {
        let made = runs.count() > 0;
        Self { folder, log, fan_out: options.fan_out, manifest, runs, made, merges: Vec::new() }
    }

    /// Writes a frozen table's run, and the manifest with it. All records up to [`Frozen::upto`] must
    /// be durable.
    ///
    /// # Errors
    /// [`Error::Full`] without room on the disk; [`Error::Io`]; [`Error::Damaged`] if a look-up has
    /// found a damaged run meanwhile.
    pub fn seal(&mut self, frozen: &Frozen) -> Result<Arc<Runs>> {
        assert_eq!(frozen.number, self.runs.sealed + 1, "each frozen table is sealed once, in their order");
        let head = self.head(&frozen.upto)?;
        if !self.made {
            self.folder.create()?;
            self.made = true;
        }
        let mut runs = self.runs.runs().to_vec();
        let mut written = None;
        if frozen.table.len() > 0 {
            let entries = frozen.table.sorted();
            let number = self.next_number();
            let lineage = self.manifest.head.lineage;
            let mut writer = RunWriter::begin(&self.folder, lineage, number, 0, entries.len() as u64)?;
            writer.push(&entries)?;
            let run = Arc::new(writer.finish()?);
            written = Some(Arc::clone(&run));
            runs.push(run);
        }
        let stored = self.store_position(&head).and_then(|()| self.store(&runs, &head));
        stored.map_err(|error| self.undo(written.as_deref(), error))?;
        self.runs = Arc::new(self.runs.next(runs, frozen.upto.clone(), frozen.number));
        Ok(Arc::clone(&self.runs))
    }

    /// Goes on with a merge of the lowest level that has as many runs as the fan-out, some hundred
    /// blocks at a time (some milliseconds), so that no frozen table waits for a large merge.
    ///
    /// # Errors
    /// As [`Self::seal`]; the merge then begins anew.
    pub fn merge(&mut self) -> Result<Merged> {
        let Some(at) = self.next_merge()? else { return Ok(Merged::Nothing) };
        match self.merges[at].step() {
            Ok(true) => return Ok(Merged::Piece),
            Ok(false) => {}
            Err(error) => {
                self.merges.remove(at);
                return Err(error);
            }
        }
        let merge = self.merges.remove(at);
        let sources: Vec<Arc<Run>> = merge.sources().cloned().collect();
        let merged = Arc::new(merge.finish()?);
        let is_source = |run: &Arc<Run>| sources.iter().any(|source| Arc::ptr_eq(source, run));
        let mut runs: Vec<Arc<Run>> = self.runs.runs().iter().filter(|run| !is_source(run)).cloned().collect();
        runs.push(Arc::clone(&merged));
        let stored = self.store(&runs, &self.manifest.head.clone());
        stored.map_err(|error| self.undo(Some(&merged), error))?;
        for source in sources {
            self.folder.discard(source.name());
        }
        self.runs = Arc::new(self.runs.next(runs, self.runs.covered.clone(), self.runs.sealed));
        Ok(Merged::Level(Arc::clone(&self.runs)))
    }

    /// The merge of the lowest level that has one under way or is full.
    fn next_merge(&mut self) -> Result<Option<usize>> {
        let highest = self.runs.runs().last().map_or(0, |run| run.entry.level);
        for level in 0..=highest {
            if let Some(at) = self.merges.iter().position(|merge| merge.level == level) {
                return Ok(Some(at));
            }
            let runs: Vec<Arc<Run>> = self.runs.runs().iter().filter(|run| run.entry.level == level).cloned().collect();
            if runs.len() >= self.fan_out {
                let oldest = runs[runs.len() - self.fan_out..].to_vec();
                let number = self.next_number();
                let merge = Merge::begin(&self.folder, self.manifest.head.lineage, number, level, oldest)?;
                self.merges.push(merge);
                return Ok(Some(self.merges.len() - 1));
            }
        }
        Ok(None)
    }

    /// The log's own word for a position.
    fn head(&mut self, upto: &[u64]) -> Result<Head> {
        let mut shards = Vec::with_capacity(upto.len());
        for (shard, &sequence) in (0..).zip(upto) {
            let hash = self.log.hash_at(shard, sequence)?;
            let hash = hash.expect("a table is sealed once its records are durable");
            shards.push(ShardHead { sequence, hash });
        }
        Ok(Head { lineage: self.manifest.head.lineage, shards })
    }

    /// Before the manifest: the log is never cut below what the runs cover.
    fn store_position(&self, head: &Head) -> Result<()> {
        self.log.store_position(POSITION, head).map_err(|error| match error {
            Error::Io { path, source, .. } if no_room(&source) => Error::Full { path, needed: 0, source },
            other => other,
        })
    }

    fn store(&mut self, runs: &[Arc<Run>], head: &Head) -> Result<()> {
        let runs = runs.iter().map(|run| run.entry).collect();
        let manifest = Manifest { head: head.clone(), runs, ..self.manifest };
        self.folder.store_manifest(&manifest.write())?;
        self.manifest = manifest;
        Ok(())
    }

    /// Gives the space of a run back that no manifest names. After other errors than a full disk the
    /// manifest may name it, and the next start finds out.
    fn undo(&self, written: Option<&Run>, error: Error) -> Error {
        if let (Some(run), Error::Full { .. }) = (written, &error) {
            self.folder.discard(run.name());
        }
        error
    }

    /// No number is used twice, not even after an error.
    fn next_number(&mut self) -> u64 {
        let number = self.manifest.next;
        self.manifest.next += 1;
        number
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("runs", &self.runs).field("merges", &self.merges.len()).finish_non_exhaustive()
    }
}
