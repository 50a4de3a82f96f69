//! Merging the runs of a level into one of the next, a piece at a time.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    folder::Folder,
    run::{BLOCK_BYTES, BLOCK_ENTRIES, Run},
    run_writer::RunWriter,
};
use crate::Result;

/// What is read of a run at once: a quarter of a megabyte.
const READ_BLOCKS: usize = 64;

/// A merge under way. Dropped before its end, it leaves nothing.
pub(super) struct Merge {
    folder: Arc<Folder>,
    pub level: u32,
    sources: Vec<Source>,
    writer: RunWriter,
    raw: Vec<u8>,
    batch: Vec<u128>,
}

/// A run, and what was read of it and not yet merged.
struct Source {
    run: Arc<Run>,
    next_block: usize,
    entries: Vec<u128>,
}

impl Merge {
    /// Begins to merge `runs`, all of one level, into run `number` of the next.
    pub fn begin(folder: &Arc<Folder>, lineage: Uuid, number: u64, level: u32, runs: Vec<Arc<Run>>) -> Result<Self> {
        let entries = runs.iter().map(|run| run.entry.entries).sum();
        let writer = RunWriter::begin(folder, lineage, number, level + 1, entries)?;
        let room = 2 * READ_BLOCKS * BLOCK_ENTRIES;
        let source = |run| Source { run, next_block: 0, entries: Vec::with_capacity(room) };
        let sources: Vec<Source> = runs.into_iter().map(source).collect();
        let batch = Vec::with_capacity(room * sources.len());
        let raw = vec![0; READ_BLOCKS * BLOCK_BYTES];
        Ok(Self { folder: Arc::clone(folder), level, sources, writer, raw, batch })
    }

    /// The runs that are merged.
    pub fn sources(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.sources.iter().map(|source| &source.run)
    }

    /// Merges some hundred blocks; false at the end.
    pub fn step(&mut self) -> Result<bool> {
        for source in &mut self.sources {
            source.fill(&self.folder, &mut self.raw)?;
        }
        // Whatever is still to be read of a run lies at or behind the last entry that was read of it.
        let bound = self.sources.iter().filter_map(Source::bound).min();
        self.batch.clear();
        for source in &mut self.sources {
            let count = bound.map_or(source.entries.len(), |bound| source.entries.partition_point(|&e| e <= bound));
            self.batch.extend(source.entries.drain(..count));
        }
        #[expect(
            clippy::stable_sort_primitive,
            reason = "it finds the sorted pieces and merges them, the other does not"
        )]
        self.batch.sort();
        self.writer.push(&self.batch)?;
        Ok(bound.is_some())
    }

    /// Makes the merged run durable.
    pub fn finish(self) -> Result<Run> {
        self.writer.finish()
    }
}

impl Source {
    fn fill(&mut self, folder: &Folder, raw: &mut [u8]) -> Result<()> {
        if self.entries.len() < READ_BLOCKS * BLOCK_ENTRIES && self.next_block < self.run.blocks() {
            self.run.entries(folder, self.next_block, raw, &mut self.entries)?;
            self.next_block = (self.next_block + READ_BLOCKS).min(self.run.blocks());
        }
        Ok(())
    }

    /// The last entry that was read, if there is more to read.
    fn bound(&self) -> Option<u128> {
        if self.next_block < self.run.blocks() { self.entries.last().copied() } else { None }
    }
}
