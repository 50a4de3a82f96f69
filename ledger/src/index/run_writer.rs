//! Writing a run: sequentially, in large pieces, with a sync for every 64 MiB.
//!
//! A run sealed from memory is smaller than that, so it has one sync, at its end. One that is merged
//! would have gigabytes to sync there, and the log's own syncs, and the next table, would wait for it.

use std::{mem, sync::Arc};

use uuid::Uuid;

use super::{
    entry,
    filter::Filter,
    folder::Folder,
    manifest::RunEntry,
    run::{self, BLOCK_BYTES, BLOCK_ENTRIES, BLOCK_HEAD, Layout, Run, close_block, crc_digest, crc_of, crc_value},
};
use crate::{Result, log::DiskFile};

/// What is written at once.
const WRITE_BYTES: usize = 256 * BLOCK_BYTES;

/// What may be unsynced: a disk of 500 MB/s writes it in an eighth of a second.
const UNSYNCED_BYTES: u64 = 64 << 20;

/// A run being written. Dropped before it is finished, it removes its file.
pub(super) struct RunWriter {
    folder: Arc<Folder>,
    name: String,
    number: u64,
    level: u32,
    entries: u64,
    header: u32,
    layout: Layout,
    file: Option<Arc<dyn DiskFile>>,
    /// Blocks that are not written yet, and where they belong in the file.
    buffer: Vec<u8>,
    at: u64,
    /// Up to where it is synced.
    synced: u64,
    /// How many entries the last block of the buffer has.
    in_block: usize,
    sparse: Vec<u64>,
    filter: Filter,
}

impl RunWriter {
    /// Begins a run that will have exactly so many entries, and reserves its space.
    pub fn begin(folder: &Arc<Folder>, lineage: Uuid, number: u64, level: u32, entries: u64) -> Result<Self> {
        let layout = Layout::of(entries);
        let name = Folder::run(number);
        let file = folder.disk.open(&name, true);
        let file = file.map_err(|source| folder.failed("making", &name, layout.length, source))?;
        let header = run::header(lineage, number, level, entries);
        let mut writer = Self {
            folder: Arc::clone(folder),
            name,
            number,
            level,
            entries,
            header: crc_of(&header),
            layout,
            file: Some(file),
            buffer: Vec::with_capacity(WRITE_BYTES + BLOCK_BYTES),
            at: 0,
            synced: 0,
            in_block: 0,
            sparse: Vec::with_capacity(usize::try_from(layout.blocks).expect("fits in memory")),
            filter: Filter::new(entries),
        };
        let reserved = writer.file().allocate(layout.length);
        reserved.map_err(|source| folder.failed("reserving", &writer.name, layout.length, source))?;
        writer.buffer.extend_from_slice(&header);
        Ok(writer)
    }

    /// Takes the next entries, which are in order and not before those that it has.
    pub fn push(&mut self, mut entries: &[u128]) -> Result<()> {
        while let Some(&first) = entries.first() {
            if self.in_block == 0 {
                self.sparse.push(entry::fingerprint(first));
                self.buffer.resize(self.buffer.len() + BLOCK_BYTES, 0);
            }
            let (now, later) = entries.split_at(entries.len().min(BLOCK_ENTRIES - self.in_block));
            let block = self.buffer.len() - BLOCK_BYTES;
            let (slots, _) = self.buffer[block + BLOCK_HEAD..].as_chunks_mut();
            for (slot, &entry) in slots[self.in_block..].iter_mut().zip(now) {
                *slot = entry.to_le_bytes();
                self.filter.insert(entry::fingerprint(entry));
            }
            self.in_block += now.len();
            if self.in_block == BLOCK_ENTRIES {
                self.close_block()?;
            }
            entries = later;
        }
        Ok(())
    }

    /// Writes what is left and makes the file durable; its name is not yet.
    pub fn finish(mut self) -> Result<Run> {
        if self.in_block > 0 {
            self.close_block()?;
        }
        assert_eq!(self.sparse.len() as u64, self.layout.blocks, "a run has the entries that it was begun for");
        self.write()?;
        let mut crc = crc_digest();
        let mut buffer = mem::take(&mut self.buffer);
        for first in &self.sparse {
            buffer.extend_from_slice(&first.to_le_bytes());
        }
        crc.update(&buffer);
        let of_sparse = crc_value(&crc);
        self.buffer = buffer;
        self.write()?;
        let mut crc = crc_digest();
        let filter = mem::replace(&mut self.filter, Filter::new(0));
        for blocks in filter.blocks().chunks(WRITE_BYTES / super::filter::BLOCK_BYTES) {
            Filter::write(blocks, &mut self.buffer);
            crc.update(&self.buffer);
            self.write()?;
        }
        let footer = run::footer(self.header, of_sparse, crc_value(&crc));
        self.buffer.extend_from_slice(&footer);
        self.write()?;
        self.sync()?;
        let entry = RunEntry {
            number: self.number,
            level: self.level,
            entries: self.entries,
            length: self.layout.length,
            crc: crc_of(&footer),
        };
        let file = self.file.take().expect("it is open until it is finished");
        Ok(Run::written(entry, file, mem::take(&mut self.sparse), filter))
    }

    fn close_block(&mut self) -> Result<()> {
        let block = self.buffer.len() - BLOCK_BYTES;
        close_block(&mut self.buffer[block..], self.number, self.sparse.len() - 1);
        self.in_block = 0;
        if self.buffer.len() >= WRITE_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        let written = self.file().write_at(self.at, &self.buffer);
        written.map_err(|source| self.folder.failed("writing", &self.name, self.layout.length, source))?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        if self.at - self.synced >= UNSYNCED_BYTES { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<()> {
        let synced = self.file().sync();
        synced.map_err(|source| self.folder.failed("syncing", &self.name, self.layout.length, source))?;
        self.synced = self.at;
        Ok(())
    }

    fn file(&self) -> &dyn DiskFile {
        &**self.file.as_ref().expect("it is open until it is finished")
    }
}

impl Drop for RunWriter {
    fn drop(&mut self) {
        if self.file.is_some() {
            self.folder.discard(&self.name);
        }
    }
}
