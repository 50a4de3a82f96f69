//! A run: sealed entries in order, in a file that never changes. All numbers are little-endian.
//!
//! ```text
//! header, 4,096 bytes
//!    0  magic     8  "GIFTRUN\n"
//!    8  crc       4  CRC-32C of the header from byte 12
//!   12  version   4  of the format: 1
//!   16  lineage  16  the ledger's UUID
//!   32  number    8  also in the file's name; rises
//!   40  level     4  0: sealed from memory; else merged from runs of the level below
//!   44  zero      4
//!   48  entries   8
//!   56  zero         up to 4,096
//! blocks of 4,096 bytes; all are full except the last
//!    0  crc       4  CRC-32C of the block from byte 4
//!    4  block     4  its number, from 0
//!    8  run       8  the run's number
//!   16  entries   255 × 16  place 8, fingerprint 8; rising by fingerprint, then place; zeros behind the last
//! sparse index    8 × blocks  the first fingerprint of each
//! filter         32 × filter blocks, 20 bits an entry
//! footer, 32 bytes
//!    0  magic     8  "giftrun\n"
//!    8  crc       4  CRC-32C of the footer from byte 12; the manifest has it too
//!   12  header    4  the header's crc
//!   16  sparse    4  CRC-32C of the sparse index
//!   20  filter    4  CRC-32C of the filter
//!   24  zero      8
//! ```
//!
//! The number of entries is known before the first is written, since nothing is ever left out, so
//! everything has its place from the start. Sparse index and filter are kept in memory.

use std::sync::Arc;

use crc_fast::{CrcAlgorithm::Crc32Iscsi, Digest};
use smallvec::SmallVec;
use uuid::Uuid;

use super::{
    Place, entry,
    filter::{self, Filter, Mask},
    folder::Folder,
    manifest::{RunEntry, VERSION},
    unfit::Unfit,
};
use crate::{
    Result,
    log::{DiskFile, crc32c},
};

/// The bytes of a block, and of the header: a page.
pub(super) const BLOCK_BYTES: usize = 4096;
/// Where a block's entries begin.
pub(super) const BLOCK_HEAD: usize = 16;
/// The most entries of a block.
pub(super) const BLOCK_ENTRIES: usize = (BLOCK_BYTES - BLOCK_HEAD) / entry::BYTES;
/// The bytes of the footer.
pub(super) const FOOTER_BYTES: usize = 32;

const HEADER_MAGIC: [u8; 8] = *b"GIFTRUN\n";
const FOOTER_MAGIC: [u8; 8] = *b"giftrun\n";

/// How much of a filter or a sparse index is read at once.
const READ_BYTES: usize = 1 << 20;

/// A run that is open to be read.
pub(super) struct Run {
    pub entry: RunEntry,
    name: String,
    file: Arc<dyn DiskFile>,
    /// The first fingerprint of each block.
    sparse: Vec<u64>,
    filter: Filter,
}

/// Where the parts of a run's file begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub blocks: u64,
    pub sparse: u64,
    pub filter: u64,
    pub footer: u64,
    pub length: u64,
}

impl Layout {
    pub fn of(entries: u64) -> Self {
        let blocks = entries.div_ceil(BLOCK_ENTRIES as u64);
        let sparse = (1 + blocks) * BLOCK_BYTES as u64;
        let filter = sparse + 8 * blocks;
        let footer = filter + filter::BLOCK_BYTES as u64 * Filter::blocks_for(entries);
        Self { blocks, sparse, filter, footer, length: footer + FOOTER_BYTES as u64 }
    }
}

/// The header of a run, with its crc at byte 8.
pub(super) fn header(lineage: Uuid, number: u64, level: u32, entries: u64) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK_BYTES];
    bytes[..8].copy_from_slice(&HEADER_MAGIC);
    bytes[12..16].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..32].copy_from_slice(lineage.as_bytes());
    bytes[32..40].copy_from_slice(&number.to_le_bytes());
    bytes[40..44].copy_from_slice(&level.to_le_bytes());
    bytes[48..56].copy_from_slice(&entries.to_le_bytes());
    let crc = crc32c(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The footer of a run, with its crc at byte 8, from the crcs of the other parts.
pub(super) fn footer(header: u32, sparse: u32, filter: u32) -> [u8; FOOTER_BYTES] {
    let mut bytes = [0; FOOTER_BYTES];
    bytes[..8].copy_from_slice(&FOOTER_MAGIC);
    bytes[12..16].copy_from_slice(&header.to_le_bytes());
    bytes[16..20].copy_from_slice(&sparse.to_le_bytes());
    bytes[20..24].copy_from_slice(&filter.to_le_bytes());
    let crc = crc32c(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The crc at byte 8 of a header or a footer.
pub(super) fn crc_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(*bytes[8..].first_chunk().expect("longer than 12 bytes"))
}

/// The CRC-32C of parts.
pub(super) fn crc_digest() -> Digest {
    Digest::new(Crc32Iscsi)
}
pub(super) fn crc_value(digest: &Digest) -> u32 {
    u32::try_from(digest.finalize()).expect("a CRC-32C has 32 bits")
}

impl Run {
    /// A run that was just written.
    pub fn written(entry: RunEntry, file: Arc<dyn DiskFile>, sparse: Vec<u64>, filter: Filter) -> Self {
        Self { entry, name: Folder::run(entry.number), file, sparse, filter }
    }

    /// Opens a run that the manifest names, and checks everything but its blocks.
    pub fn open(folder: &Folder, lineage: Uuid, entry: RunEntry) -> Result<Self, Unfit> {
        let name = Folder::run(entry.number);
        let unfit = |what: &str| Unfit::Damaged(format!("{name}: {what}"));
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => unfit("it is missing"),
            _ => Unfit::Failed(folder.failed("reading", &name, 0, source)),
        };
        let layout = Layout::of(entry.entries);
        let file = folder.disk.open(&name, false).map_err(failed)?;
        if file.len().map_err(failed)? != entry.length || layout.length != entry.length {
            return Err(unfit("it has another length than in the manifest"));
        }
        let read = |at: u64, bytes: &mut [u8]| match file.read_at(at, bytes) {
            Ok(read) if read == bytes.len() => Ok(()),
            Ok(_) => Err(unfit("it is cut")),
            Err(source) => Err(failed(source)),
        };
        let head = header(lineage, entry.number, entry.level, entry.entries);
        let mut found = vec![0; BLOCK_BYTES];
        read(0, &mut found)?;
        if found != head {
            return Err(unfit("its header is not the one that belongs to the manifest"));
        }
        let mut sparse = Vec::with_capacity(usize::try_from(layout.blocks).expect("fits in memory"));
        let mut filter = Filter::new(entry.entries);
        let mut part = |from: u64, to: u64, take: &mut dyn FnMut(&[u8])| {
            let mut crc = crc_digest();
            let mut at = from;
            while at < to {
                let step = (to - at).min(READ_BYTES as u64);
                found.resize(usize::try_from(step).expect("at most READ_BYTES"), 0);
                read(at, &mut found)?;
                crc.update(&found);
                take(&found);
                at += step;
            }
            Ok::<u32, Unfit>(crc_value(&crc))
        };
        let of_sparse = part(layout.sparse, layout.filter, &mut |bytes| {
            sparse.extend(bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)));
        })?;
        let mut filled = 0;
        let of_filter = part(layout.filter, layout.footer, &mut |bytes| {
            filter.read(filled, bytes);
            filled += bytes.len() / filter::BLOCK_BYTES;
        })?;
        let foot = footer(crc_of(&head), of_sparse, of_filter);
        let mut found = [0; FOOTER_BYTES];
        read(layout.footer, &mut found)?;
        if found != foot || crc_of(&foot) != entry.crc {
            return Err(unfit("its filter or sparse index and the checksums differ"));
        }
        Ok(Self { entry, name, file, sparse, filter })
    }

    /// Whether a fingerprint may be in it.
    pub fn may_contain(&self, fingerprint: u64, mask: &Mask) -> bool {
        self.filter.may_contain(fingerprint, mask)
    }

    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes that it holds in memory.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.sparse) + size_of_val(self.filter.blocks())
    }

    pub fn blocks(&self) -> usize {
        self.sparse.len()
    }

    /// Appends the places of a fingerprint, newest first, until there are `most`: from the last block that may
    /// have some back to the first.
    pub fn places(&self, folder: &Folder, fingerprint: u64, most: usize, out: &mut SmallVec<[Place; 2]>) -> Result<()> {
        // Equal fingerprints may begin at the end of the block before the first that begins with them.
        let first = self.sparse.partition_point(|&first| first < fingerprint).saturating_sub(1);
        let end = self.sparse.partition_point(|&first| first <= fingerprint);
        let mut bytes = [0; BLOCK_BYTES];
        for block in (first..end).rev() {
            if out.len() >= most {
                break;
            }
            self.read(folder, block, &mut bytes)?;
            let (entries, _) = bytes[BLOCK_HEAD..].as_chunks();
            let entries = &entries[..self.entries_in(block)];
            let of = |bytes: &[u8; entry::BYTES]| entry::fingerprint(u128::from_le_bytes(*bytes));
            let from = entries.partition_point(|bytes| of(bytes) < fingerprint);
            let upto = entries.partition_point(|bytes| of(bytes) <= fingerprint);
            let newest = entries[from..upto].iter().rev().map(|bytes| entry::place(u128::from_le_bytes(*bytes)));
            out.extend(newest.take(most - out.len()));
        }
        Ok(())
    }

    /// Reads blocks from the `first` on, as many as `raw` has room for and there are, checks them and
    /// appends their entries.
    pub fn entries(&self, folder: &Folder, first: usize, raw: &mut [u8], out: &mut Vec<u128>) -> Result<()> {
        let count = (raw.len() / BLOCK_BYTES).min(self.blocks() - first);
        let raw = &mut raw[..count * BLOCK_BYTES];
        self.read(folder, first, raw)?;
        for (block, bytes) in (first..).zip(raw.chunks_exact(BLOCK_BYTES)) {
            let (entries, _) = bytes[BLOCK_HEAD..].as_chunks();
            out.extend(entries[..self.entries_in(block)].iter().map(|bytes| u128::from_le_bytes(*bytes)));
        }
        Ok(())
    }

    fn entries_in(&self, block: usize) -> usize {
        let before = block * BLOCK_ENTRIES;
        usize::try_from(self.entry.entries).expect("fits in memory").saturating_sub(before).min(BLOCK_ENTRIES)
    }

    /// Reads whole blocks, and checks them.
    fn read(&self, folder: &Folder, first: usize, bytes: &mut [u8]) -> Result<()> {
        let at = |block: usize| ((1 + block) * BLOCK_BYTES) as u64;
        let read = self.file.read_at(at(first), bytes);
        let read = read.map_err(|source| folder.failed("looking up in", &self.name, 0, source))?;
        for (block, bytes) in (first..).zip(bytes.chunks_exact(BLOCK_BYTES)) {
            let there = read >= (block - first + 1) * BLOCK_BYTES;
            if !there || !is_sound(bytes, self.entry.number, block) {
                let what = format!("block {block} and its checksum differ");
                return Err(folder.condemn(&self.name, at(block), what));
            }
        }
        Ok(())
    }
}

/// Writes the head of a block around its entries.
pub(super) fn close_block(bytes: &mut [u8], run: u64, block: usize) {
    bytes[4..8].copy_from_slice(&number(block).to_le_bytes());
    bytes[8..16].copy_from_slice(&run.to_le_bytes());
    let crc = crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
}

fn is_sound(bytes: &[u8], run: u64, block: usize) -> bool {
    bytes[..4] == crc32c(&bytes[4..]).to_le_bytes()
        && bytes[4..8] == number(block).to_le_bytes()
        && bytes[8..16] == run.to_le_bytes()
}

fn number(block: usize) -> u32 {
    u32::try_from(block).expect("a run of less than 16 TiB")
}
