//! A walk over the frames of one segment, in order, with large reads.

use std::{path::PathBuf, sync::Arc};

use super::{
    disk::DiskFile,
    frame::{self, HEADER_BYTES, Invalid, Meta},
};
use crate::{Error, Result};

/// What is read at once of whole frames: long enough that a walk is bound by memory, short enough for
/// the cache.
const CHUNK_BYTES: usize = 256 * 1024;
/// What is read at once where only tables count: many small frames, or little of a large one.
const TABLES_CHUNK_BYTES: usize = 16 * 1024;

/// How much of each frame a walk reads and checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Header and tables.
    Tables,
    /// The blocks too.
    Whole,
}

/// What stands where the walk is.
#[derive(Debug)]
pub(super) enum Step {
    /// The end that was set for it.
    End,
    /// A frame, which [`Scan::meta`] and [`Scan::frame`] now show.
    Frame,
    /// No valid frame. The walk does not move.
    Bad(Invalid),
}

/// The walk. Positions are in the file.
pub(super) struct Scan {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    /// The segment's offset in the log.
    base: u64,
    /// Where the next frame is expected.
    position: u64,
    /// The crc that it must name as its predecessor's.
    previous: Option<u32>,
    meta: Meta,
    /// What of the last frame was read.
    shown: usize,
    buffer: Vec<u8>,
    /// Where `buffer` stands in the file.
    buffer_at: u64,
    last_at: u64,
}

impl Scan {
    /// A walk from `position`, right behind something with the crc `previous` (or anything).
    pub fn new(file: Arc<dyn DiskFile>, path: PathBuf, base: u64, position: u64, previous: Option<u32>) -> Self {
        let (meta, buffer) = (Meta::default(), Vec::new());
        Self { file, path, base, position, previous, meta, shown: 0, buffer, buffer_at: position, last_at: position }
    }

    /// Where the next frame is expected.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The crc of the last frame, or what the walk began with.
    pub fn previous(&self) -> Option<u32> {
        self.previous
    }

    /// The last frame's tables.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The last frame's bytes, as far as they were read.
    pub fn frame(&self) -> &[u8] {
        let at = usize::try_from(self.last_at - self.buffer_at).expect("the buffer holds the last frame");
        &self.buffer[at..at + self.shown]
    }

    /// The segment's file as messages name it.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Takes the next frame that ends at `end` or before.
    pub fn next(&mut self, end: u64, depth: Depth) -> Result<Step> {
        if self.position >= end {
            return Ok(Step::End);
        }
        let chunk = if depth == Depth::Whole { CHUNK_BYTES } else { TABLES_CHUNK_BYTES };
        let Some(header) = self.fill(HEADER_BYTES, end, chunk)?.and_then(|bytes| bytes.first_chunk()) else {
            return Ok(Step::Bad("a frame's header is cut"));
        };
        let (head, length) = match frame::sizes(header) {
            Ok(sizes) => sizes,
            Err(invalid) => return Ok(Step::Bad(invalid)),
        };
        // Before any memory is asked for: a damaged length must not ask for 4 GiB.
        if length as u64 > end - self.position {
            return Ok(Step::Bad("a frame is longer than what follows"));
        }
        let shown = if depth == Depth::Whole { length } else { head };
        if self.fill(shown, end, chunk)?.is_none() {
            return Ok(Step::Bad("a frame is cut"));
        }
        let at = usize::try_from(self.position - self.buffer_at).expect("the buffer was just filled");
        let bytes = &self.buffer[at..at + shown];
        let checked = self.meta.read(bytes).and_then(|()| {
            if self.meta.offset != self.base + self.position {
                Err("a frame names another place than where it stands")
            } else if self.previous.is_some_and(|crc| crc != self.meta.previous) {
                Err("a frame does not follow the one before it")
            } else if depth == Depth::Whole {
                self.meta.blocks(bytes).try_for_each(|block| block.map(|_| ()))
            } else {
                Ok(())
            }
        });
        if let Err(invalid) = checked {
            return Ok(Step::Bad(invalid));
        }
        self.previous = Some(self.meta.crc);
        (self.last_at, self.shown) = (self.position, shown);
        self.position += length as u64;
        Ok(Step::Frame)
    }

    /// An error for what is not valid at the walk's position.
    pub fn damaged(&self, invalid: Invalid) -> Error {
        Error::damaged(self.path.clone(), self.position, invalid)
    }

    /// At least `len` bytes from the walk's position on, unless the file ends before.
    fn fill(&mut self, len: usize, end: u64, chunk: usize) -> Result<Option<&[u8]>> {
        let have = (self.buffer_at + self.buffer.len() as u64).saturating_sub(self.position);
        if have < len as u64 {
            let want = u64::try_from(len.max(chunk)).expect("sizes are below 2^64").min(end - self.position);
            self.buffer.resize(usize::try_from(want).expect("a chunk, or a frame below 4 GiB"), 0);
            self.buffer_at = self.position;
            let read = self.file.read_at(self.position, &mut self.buffer).map_err(|source| Error::Io {
                doing: "reading",
                path: self.path.clone(),
                source,
            })?;
            self.buffer.truncate(read);
        }
        let at = usize::try_from(self.position - self.buffer_at).expect("the buffer begins before the position");
        Ok(self.buffer.get(at..at + len))
    }
}
