//! From memory to a snapshot's bytes, block by block, and to the place where a start finds it.

use std::{io, sync::Arc};

use schemas::Shard;
use serde::Serialize;

use super::{
    BLOCK_BYTES, BLOCK_HEADER_BYTES, FOLDER, Info, KEPT, Kind, MAGIC, POSITION, Snapshot, VERSION, header_bytes, name,
    offset_of,
};
use crate::{
    Error, Result,
    error::no_room,
    log::{Disk, DiskFile, Reader, crc32c},
};

impl Snapshot {
    /// Stores it, durably, as the newest of the log that `reader` reads, and removes those that nobody
    /// needs any more.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::Io`], with what there was before left as it was;
    /// [`Error::ForeignLineage`] or [`Error::BehindStored`] if it is no position of that log.
    pub fn store(&self, reader: &Reader) -> Result<Info> {
        let disk = &**reader.disk();
        let io = |doing, name: &str, source| Error::Io { doing, path: disk.path(name), source };
        let made = disk.create_dir(FOLDER).and_then(|()| disk.sync_dir(""));
        made.map_err(|source| refused(disk, FOLDER, 0, source))?;
        let name = name(self.next.offset());
        // Another process may store the same one at the same time.
        let beside = format!("{name}.{}.tmp", std::process::id());
        let stored = self.write(disk, &beside).and_then(|bytes| {
            reader.store_position(POSITION, &self.head)?;
            let named = disk.rename(&beside, &name).and_then(|()| disk.sync_dir(FOLDER));
            named.map_err(|source| io("giving its name to", &name, source))?;
            Ok(bytes)
        });
        match stored {
            Ok(bytes) => {
                remove_old(disk, self.next.offset())?;
                let (head, next) = (self.head.clone(), self.next);
                Ok(Info { file: name, head, next, users: self.users(), bytes })
            }
            Err(error) => {
                // Gives its space back. If even that fails, a start removes what is unfinished.
                drop(disk.remove(&beside));
                Err(error)
            }
        }
    }

    /// Writes its bytes to a file and syncs that; returns how many there are.
    pub fn write(&self, disk: &dyn Disk, name: &str) -> Result<u64> {
        let opened = disk.open(name, true).and_then(|file| file.set_len(0).map(|()| file));
        let file = opened.map_err(|source| refused(disk, name, 0, source))?;
        let mut sink = Sink { disk, name, file, at: 0, hasher: blake3::Hasher::new() };
        sink.write(&self.header())?;
        let mut block = Block::new();
        for (shard, state) in (0..).zip(&self.states) {
            block.value(&state.own());
            block.items = u32::try_from(state.users().len()).expect("a shard has fewer than 2^32 users");
            block.end(Kind::Shard, shard, &mut sink)?;
            for user in state.users_in_order() {
                block.push(&user, Kind::Users, shard, &mut sink)?;
            }
            block.end(Kind::Users, shard, &mut sink)?;
        }
        for ((source, target, number), sequence) in self.pending.iter() {
            block.push(&(source, target, number, sequence), Kind::Pending, 0, &mut sink)?;
        }
        block.end(Kind::Pending, 0, &mut sink)?;
        block.end(Kind::End, 0, &mut sink)?;
        let hash = sink.hasher.finalize();
        sink.write(hash.as_bytes())?;
        sink.file.sync().map_err(|source| refused(disk, name, 0, source))?;
        Ok(sink.at)
    }

    fn header(&self) -> Vec<u8> {
        let shards = Shard::try_from(self.states.len()).expect("a ledger has at most 1,024 shards");
        let length = header_bytes(shards);
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(length).expect("at most 1,024 shards of 40 bytes").to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(self.head.lineage.as_bytes());
        bytes.extend_from_slice(&self.next.offset().to_le_bytes());
        bytes.extend_from_slice(&self.users().to_le_bytes());
        bytes.extend_from_slice(&shards.to_le_bytes());
        bytes.extend_from_slice(&[0; 6]);
        for shard in &self.head.shards {
            bytes.extend_from_slice(&shard.sequence.to_le_bytes());
            bytes.extend_from_slice(&shard.hash.0);
        }
        let crc = crc32c(&bytes[12..]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

/// The block that is being filled.
struct Block {
    /// Its header, and the content so far.
    bytes: Vec<u8>,
    items: u32,
}

impl Block {
    fn new() -> Self {
        // Rarely does an item take more than a few bytes beyond what fills a block.
        let mut bytes = Vec::with_capacity(BLOCK_HEADER_BYTES + BLOCK_BYTES + 4096);
        bytes.resize(BLOCK_HEADER_BYTES, 0);
        Self { bytes, items: 0 }
    }

    fn value(&mut self, value: &impl Serialize) {
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(value, bytes).expect("every part of a state has a postcard form");
        self.items += 1;
    }

    /// Adds an item, and ends the block if that fills it.
    fn push(&mut self, value: &impl Serialize, kind: Kind, shard: Shard, sink: &mut Sink<'_>) -> Result<()> {
        self.value(value);
        if self.bytes.len() < BLOCK_HEADER_BYTES + BLOCK_BYTES { Ok(()) } else { self.end(kind, shard, sink) }
    }

    /// Writes the block, unless it is one of a list and empty.
    fn end(&mut self, kind: Kind, shard: Shard, sink: &mut Sink<'_>) -> Result<()> {
        if self.items == 0 && matches!(kind, Kind::Users | Kind::Pending) {
            return Ok(());
        }
        let content = self.bytes.len() - BLOCK_HEADER_BYTES;
        let content = u32::try_from(content).expect("what one user or one catalogue takes is below 4 GiB");
        self.bytes[..4].copy_from_slice(&content.to_le_bytes());
        self.bytes[8..12].copy_from_slice(&self.items.to_le_bytes());
        self.bytes[12..14].copy_from_slice(&shard.to_le_bytes());
        self.bytes[14] = kind as u8;
        let crc = crc32c(&self.bytes[8..]);
        self.bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        sink.write(&self.bytes)?;
        self.bytes.truncate(BLOCK_HEADER_BYTES);
        self.items = 0;
        Ok(())
    }
}

/// A file that is written from its beginning to its end.
struct Sink<'a> {
    disk: &'a dyn Disk,
    name: &'a str,
    file: Arc<dyn DiskFile>,
    at: u64,
    hasher: blake3::Hasher,
}

impl Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        let written = self.file.write_at(self.at, bytes);
        written.map_err(|source| refused(self.disk, self.name, bytes.len() as u64, source))?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// Removes the snapshots that are older than the one just stored and not among the newest. One that
/// is newer stays: another process may just have stored it.
fn remove_old(disk: &dyn Disk, stored: u64) -> Result<()> {
    let io = |doing, name: &str, source| Error::Io { doing, path: disk.path(name), source };
    let files = disk.list(FOLDER).map_err(|source| io("listing", FOLDER, source))?;
    let mut offsets: Vec<u64> = files.iter().filter_map(|file| offset_of(file)).collect();
    offsets.sort_unstable();
    offsets.truncate(offsets.len().saturating_sub(KEPT));
    for offset in offsets.into_iter().filter(|&offset| offset < stored) {
        let name = name(offset);
        match disk.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("removing", &name, error)),
            _ => {}
        }
    }
    disk.sync_dir(FOLDER).map_err(|source| io("syncing the folder", FOLDER, source))
}

fn refused(disk: &dyn Disk, name: &str, needed: u64, source: io::Error) -> Error {
    let path = disk.path(name);
    if no_room(&source) { Error::Full { path, needed, source } } else { Error::Io { doing: "writing", path, source } }
}
