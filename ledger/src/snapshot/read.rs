//! From a snapshot's bytes to memory, and which of the files to trust.

use std::sync::Arc;

use schemas::{Hash, Shard, UserId};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{
    BLOCK_HEADER_BYTES, FIXED_BYTES, FOLDER, HASH_BYTES, Kind, MAGIC, Pending, SHARD_BYTES, Snapshot, VERSION,
    header_bytes, name, offset_of, pending::Number,
};
use crate::{
    Error, Result,
    log::{Disk, DiskFile, Head, Locator, Reader, ShardHead, crc32c},
    state::{State, User, share_catalogue},
};

/// What is read at once: a few blocks.
const CHUNK_BYTES: usize = 1 << 20;
/// The least bytes that a user takes: an id of one character, a lot, debt and orders.
const LEAST_USER_BYTES: u64 = 5;

/// What a snapshot's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its file.
    pub file: String,
    /// The position.
    pub head: Head,
    /// Where the next frame is.
    pub next: Locator,
    /// How many users it remembers.
    pub users: u64,
    /// The bytes of the file.
    pub bytes: u64,
}

impl Info {
    /// The newest snapshot whose header agrees with the log that `reader` reads. Its content is not
    /// looked at.
    ///
    /// # Errors
    /// As [`Snapshot::newest`].
    pub fn newest(reader: &Reader) -> Result<Option<Self>> {
        newest(reader, |_, info| Ok(info))
    }

    /// All snapshots that a start would trust by their headers, the oldest first.
    ///
    /// # Errors
    /// As [`Snapshot::newest`].
    pub fn all(reader: &Reader) -> Result<Vec<Self>> {
        let (disk, mut reader) = (reader.disk().clone(), reader.clone());
        let mut all = Vec::new();
        for offset in offsets(&*disk)?.into_iter().rev() {
            let header = Source::open(&*disk, &name(offset)).and_then(|mut source| source.header());
            // What cannot be read is passed over by a start, and reported there.
            if let Ok(info) = header
                && let Agrees::Yes = agrees(&mut reader, &info, offset)?
            {
                all.push(info);
            }
        }
        Ok(all)
    }

    /// How many records it is made of.
    pub fn records(&self) -> u64 {
        super::records(&self.head)
    }
}

impl Snapshot {
    /// The newest snapshot that checks out and agrees with the log that `reader` reads. One that does
    /// not is reported and passed over; none where none is good: then the log's beginning is.
    ///
    /// # Errors
    /// [`Error::BehindStored`] if a snapshot has seen more than the log holds, which has then lost its
    /// end; [`Error::Io`] and [`Error::Damaged`] of the log.
    pub fn newest(reader: &Reader) -> Result<Option<Self>> {
        newest(reader, |disk, info| Self::read(disk, &info.file))
    }

    /// Reads and checks the bytes of a file.
    ///
    /// # Errors
    /// [`Error::Damaged`] if they are not those of a snapshot; [`Error::NewerVersion`]; [`Error::Io`].
    pub fn read(disk: &dyn Disk, name: &str) -> Result<Self> {
        let mut source = Source::open(disk, name)?;
        let info = source.header()?;
        let mut states: Vec<State> = Vec::with_capacity(info.head.shards.len());
        let mut pending = Pending::default();
        let mut users: Vec<(UserId, User)> = Vec::new();
        // How many users of the last shard are still to come.
        let mut missing = 0;
        loop {
            let (kind, shard, items) = source.block()?;
            let number = u16::try_from(states.len()).unwrap_or(Shard::MAX);
            match kind {
                Kind::Shard if missing == 0 && shard == number && states.len() < info.head.shards.len() => {
                    let own = source.value()?;
                    let room = u64::from(items).min(source.left() / LEAST_USER_BYTES);
                    let room = usize::try_from(room).expect("what fits in a file that is read fits in memory");
                    let state = State::restore(own, room).filter(|state| {
                        let sequence = info.head.shards[states.len()].sequence;
                        (state.shard(), usize::from(state.shards())) == (shard, info.head.shards.len())
                            && state.sequence() == sequence
                    });
                    states.push(state.ok_or_else(|| source.damaged("a shard is not the one of the header"))?);
                    share_catalogue(&mut states, shard);
                    missing = items;
                }
                Kind::Users if items > 0 && items <= missing && number.checked_sub(1) == Some(shard) => {
                    let state = states.last_mut().expect("their shard came before");
                    for _ in 0..items {
                        users.push(source.value()?);
                    }
                    let new = state.restore_users(&mut users);
                    new.ok_or_else(|| source.damaged("a user stands in it twice, or without anything"))?;
                    missing -= items;
                }
                Kind::Pending if missing == 0 && states.len() == info.head.shards.len() => {
                    for _ in 0..items {
                        let (origin, target, number, sequence): (Shard, Shard, u64, u64) = source.value()?;
                        let number: Number = (origin, target, number);
                        let issued = info.head.shards.get(usize::from(origin));
                        let rises = issued
                            .filter(|head| sequence <= head.sequence)
                            .and_then(|_| pending.restore(number, sequence));
                        rises.ok_or_else(|| source.damaged("the dispatches are not in order"))?;
                    }
                }
                Kind::End if missing == 0 && states.len() == info.head.shards.len() && items == 0 => {
                    source.end_of_block()?;
                    break;
                }
                _ => return Err(source.damaged("the blocks are not in order")),
            }
            source.end_of_block()?;
        }
        source.hash()?;
        let users: usize = states.iter().map(|state| state.users().len()).sum();
        if users as u64 != info.users {
            return Err(source.damaged("it has not as many users as its header says"));
        }
        Ok(Self { head: info.head, next: info.next, states, pending })
    }
}

/// What `read` makes of the newest snapshot that agrees with the log and that it can read.
fn newest<T>(reader: &Reader, read: impl Fn(&dyn Disk, Info) -> Result<T>) -> Result<Option<T>> {
    let disk = reader.disk();
    let mut reader = reader.clone();
    for offset in offsets(&**disk)? {
        let name = name(offset);
        let info = match Source::open(&**disk, &name).and_then(|mut source| source.header()) {
            Ok(info) => info,
            Err(error) => {
                pass_over(&name, &error);
                continue;
            }
        };
        let good = match agrees(&mut reader, &info, offset)? {
            Agrees::Yes => read(&**disk, info),
            Agrees::Not(error) => Err(error),
            Agrees::LaterThanReader => continue,
        };
        match good {
            Ok(good) => return Ok(Some(good)),
            Err(error) => pass_over(&name, &error),
        }
    }
    Ok(None)
}

/// Where the snapshots are that are there, the newest first.
fn offsets(disk: &dyn Disk) -> Result<Vec<u64>> {
    let listed = disk.list(FOLDER).map_err(|source| Error::Io { doing: "listing", path: disk.path(FOLDER), source })?;
    let mut offsets: Vec<u64> = listed.iter().filter_map(|file| offset_of(file)).collect();
    offsets.sort_unstable_by(|a, b| b.cmp(a));
    Ok(offsets)
}

/// What the header of each snapshot says, or why it cannot be read, with its file.
pub(crate) fn stated(disk: &dyn Disk) -> Result<Vec<(String, Result<Head, String>)>> {
    let mut stated = Vec::new();
    for file in offsets(disk)?.into_iter().map(name) {
        let header = match Source::open(disk, &file).and_then(|mut source| source.header()) {
            Ok(info) => Ok(info.head),
            // Beside a writer, an old one is removed between two looks.
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error @ Error::Io { .. }) => return Err(error),
            Err(error) => Err(error.to_string()),
        };
        stated.push((file, header));
    }
    Ok(stated)
}

fn pass_over(name: &str, error: &Error) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(file = name, %error, cause, "passed over a snapshot: an older one, or the log, is folded instead");
}

/// Whether a snapshot belongs to a log.
enum Agrees {
    Yes,
    Not(Error),
    /// It was stored after this reader was opened, which does not follow the writer.
    LaterThanReader,
}

fn agrees(reader: &mut Reader, info: &Info, offset: u64) -> Result<Agrees> {
    let (head, path) = (reader.head(), reader.disk().path(&info.file));
    if info.head.lineage != head.lineage {
        let (expected, found) = (head.lineage, info.head.lineage);
        return Ok(Agrees::Not(Error::ForeignLineage { path, expected, found }));
    }
    if info.head.shards.len() != head.shards.len() || info.next.offset() != offset {
        return Ok(Agrees::Not(damaged(path, 40, "it has another number of shards, or another place in its name")));
    }
    for (shard, stored) in (0..).zip(&info.head.shards) {
        match reader.hash_at(shard, stored.sequence)? {
            Some(hash) if hash == stored.hash => {}
            Some(_) => {
                let (name, sequence) = (info.file.clone(), stored.sequence);
                return Ok(Agrees::Not(Error::HashMismatch { name, shard, sequence }));
            }
            None => {
                let now = Reader::open(Arc::clone(reader.disk()))?.head();
                let on_log = now.shards.get(usize::from(shard)).map_or(0, |head| head.sequence);
                if on_log >= stored.sequence {
                    return Ok(Agrees::LaterThanReader);
                }
                let (name, stored) = (info.file.clone(), stored.sequence);
                return Err(Error::BehindStored { name, shard, stored, on_log });
            }
        }
    }
    Ok(Agrees::Yes)
}

/// A file that is read from its beginning to its end.
struct Source<'a> {
    disk: &'a dyn Disk,
    name: &'a str,
    file: Arc<dyn DiskFile>,
    /// The file's length.
    length: u64,
    /// How far it was given out and hashed.
    at: u64,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    /// Where `buffer` stands in the file.
    buffer_at: u64,
    /// What of the current block is left to be parsed: from there to there in the buffer.
    content: std::ops::Range<usize>,
}

impl<'a> Source<'a> {
    fn open(disk: &'a dyn Disk, name: &'a str) -> Result<Self> {
        let opened = disk.open(name, false).and_then(|file| Ok((file.len()?, file)));
        let (length, file) = opened.map_err(|source| Error::Io { doing: "opening", path: disk.path(name), source })?;
        let (hasher, buffer) = (blake3::Hasher::new(), Vec::new());
        Ok(Self { disk, name, file, length, at: 0, hasher, buffer, buffer_at: 0, content: 0..0 })
    }

    /// Reads the header.
    fn header(&mut self) -> Result<Info> {
        let cut = |source: &Self| source.damaged("the snapshot's header is cut");
        let start = self.peek(20)?.ok_or_else(|| cut(self))?;
        if self.buffer[start.clone()][..8] != MAGIC {
            return Err(self.damaged("no snapshot begins here"));
        }
        let (version, length) = (self.u32(start.start + 12), self.u32(start.start + 16) as usize);
        if length < FIXED_BYTES || length > header_bytes(Shard::MAX) {
            return Err(self.damaged("the header's length makes no sense"));
        }
        let range = self.peek(length)?.ok_or_else(|| cut(self))?;
        let bytes = &self.buffer[range];
        if crc32c(&bytes[12..]) != u32_at(bytes, 8) {
            return Err(self.damaged("the snapshot's header and its checksum differ"));
        }
        if version > VERSION {
            let path = self.disk.path(self.name);
            return Err(Error::NewerVersion { path, found: version, supported: VERSION });
        }
        if version < VERSION {
            return Err(self.damaged("the snapshot has the layout of an earlier release"));
        }
        let shards = Shard::from_le_bytes([bytes[56], bytes[57]]);
        let (offset, users) = (u64_at(bytes, 40), u64_at(bytes, 48));
        if shards == 0 || length != header_bytes(shards) || Locator::checked(offset).is_none() {
            return Err(self.damaged("the snapshot's header makes no sense"));
        }
        let head = |bytes: &[u8]| {
            let hash = bytes[8..].first_chunk().expect("40 bytes hold a sequence and a hash");
            ShardHead { sequence: u64_at(bytes, 0), hash: Hash(*hash) }
        };
        let lineage = Uuid::from_bytes(*bytes[24..].first_chunk().expect("the header is longer"));
        let head = Head { lineage, shards: bytes[FIXED_BYTES..].chunks_exact(SHARD_BYTES).map(head).collect() };
        self.skip(length);
        let next = Locator::new(offset);
        Ok(Info { file: self.name.to_owned(), head, next, users, bytes: self.length })
    }

    /// Goes to the next block: its kind, shard and how many items it says.
    fn block(&mut self) -> Result<(Kind, Shard, u32)> {
        let cut = |source: &Self| source.damaged("a block is cut");
        let header = self.peek(BLOCK_HEADER_BYTES)?.ok_or_else(|| cut(self))?;
        let length = BLOCK_HEADER_BYTES + self.u32(header.start) as usize;
        let range = self.peek(length)?.ok_or_else(|| cut(self))?;
        let bytes = &self.buffer[range.clone()];
        if crc32c(&bytes[8..]) != u32_at(bytes, 4) {
            return Err(self.damaged("a block and its checksum differ"));
        }
        let (items, shard) = (u32_at(bytes, 8), Shard::from_le_bytes([bytes[12], bytes[13]]));
        let kind = match bytes[14..16] {
            [1, 0] => Kind::Shard,
            [2, 0] => Kind::Users,
            [3, 0] => Kind::Pending,
            [4, 0] => Kind::End,
            _ => return Err(self.damaged("a block of no known kind")),
        };
        self.skip(length);
        self.content = range.start + BLOCK_HEADER_BYTES..range.end;
        Ok((kind, shard, items))
    }

    /// The next value of the block.
    fn value<T: DeserializeOwned>(&mut self) -> Result<T> {
        match postcard::take_from_bytes(&self.buffer[self.content.clone()]) {
            Ok((value, rest)) => {
                self.content.start = self.content.end - rest.len();
                Ok(value)
            }
            Err(error) => Err(self.damaged(&format!("a block holds something else: {error}"))),
        }
    }

    fn end_of_block(&self) -> Result<()> {
        if self.content.is_empty() { Ok(()) } else { Err(self.damaged("a block holds more than it says")) }
    }

    /// Checks the hash, and that nothing follows it.
    fn hash(&mut self) -> Result<()> {
        let hash = self.hasher.finalize();
        let stored = self.peek(HASH_BYTES)?.ok_or_else(|| self.damaged("the snapshot's hash is cut"))?;
        // Hashes are no secrets here: the comparison need not take the same time.
        if self.buffer[stored] != *hash.as_bytes() {
            return Err(self.damaged("the snapshot and its hash differ"));
        }
        self.at += HASH_BYTES as u64;
        if self.left() > 0 { Err(self.damaged("something stands behind the snapshot")) } else { Ok(()) }
    }

    /// How many bytes have not been given out.
    fn left(&self) -> u64 {
        self.length.saturating_sub(self.at)
    }

    /// Where the next `length` bytes stand in the buffer; `None` if the file ends before.
    fn peek(&mut self, length: usize) -> Result<Option<std::ops::Range<usize>>> {
        // Before any memory is asked for: a damaged length must not ask for 4 GiB.
        if length as u64 > self.left() {
            return Ok(None);
        }
        let mut start = usize::try_from(self.at - self.buffer_at).expect("the buffer holds what comes next");
        if self.buffer.len() < start + length {
            let want = self.left().min(length.max(CHUNK_BYTES) as u64);
            self.buffer.resize(usize::try_from(want).expect("a chunk, or a block below 4 GiB"), 0);
            let read = self.file.read_at(self.at, &mut self.buffer).map_err(|source| Error::Io {
                doing: "reading",
                path: self.disk.path(self.name),
                source,
            })?;
            self.buffer.truncate(read);
            self.buffer_at = self.at;
            start = 0;
        }
        Ok((self.buffer.len() >= start + length).then_some(start..start + length))
    }

    /// Hashes and passes what was peeked at.
    fn skip(&mut self, length: usize) {
        let start = usize::try_from(self.at - self.buffer_at).expect("the buffer holds what was peeked at");
        self.hasher.update(&self.buffer[start..start + length]);
        self.at += length as u64;
    }

    fn u32(&self, at: usize) -> u32 {
        u32_at(&self.buffer, at)
    }

    fn damaged(&self, what: &str) -> Error {
        damaged(self.disk.path(self.name), self.at, what)
    }
}

fn damaged(path: std::path::PathBuf, offset: u64, what: &str) -> Error {
    Error::Damaged { path, offset, what: what.to_owned(), advice: "nothing is lost: the log makes another one" }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the caller checked the length"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the caller checked the length"))
}
