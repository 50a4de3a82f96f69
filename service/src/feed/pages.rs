//! What was read of the log and serialised, kept for those who come by next: those who catch up near the head, and
//! those who begin again together after a restart, find it here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use ledger::log::{Locator, Reader};
use schemas::{Record, Shard};
use uuid::Uuid;

use super::{
    Entry, Result, entry,
    interest::{Hasher, Interest, KeyHash},
};

/// What the kept pages may weigh: some seconds of a log that is written fast.
const MOST_BYTES: usize = 64 << 20;
/// So many pages are kept; the one to go is found by looking through all.
const MOST_PAGES: usize = 512;
/// A record's JSON is about so many times as long as its canonical bytes, and its form in memory half of that.
const WEIGHT_PER_RAW_BYTE: usize = 12;
/// What an entry's attributes and a record's fields take at least.
const WEIGHT_PER_RECORD: usize = 512;

/// The pages of one log.
#[derive(Debug)]
pub(super) struct Pages {
    /// The entries' `source`.
    source: String,
    hasher: Hasher,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By place, with when it was last used.
    pages: HashMap<u64, (Arc<Page>, u64)>,
    bytes: usize,
    uses: u64,
}

/// Some neighbouring records, at most those of 64 KiB of the log or one.
#[derive(Debug)]
pub(super) struct Page {
    /// Where the next one begins.
    pub next: Locator,
    /// Each shard's last sequence in it.
    pub ends: Vec<(Shard, u64)>,
    records: Vec<(Record, OnceLock<Entry>)>,
    /// The keys of the records, each with the record's number; in order.
    keys: Vec<(KeyHash, u32)>,
    weight: usize,
}

impl Pages {
    pub fn new(lineage: Uuid, hasher: Hasher) -> Self {
        Self { source: format!("/giftledger/{lineage}"), hasher, kept: Mutex::default() }
    }

    /// The page at a place; `None` at the durable end.
    pub fn at(&self, reader: &mut Reader, at: Locator) -> Result<Option<Arc<Page>>> {
        if let Some(page) = self.with(|kept| kept.find(at)) {
            return Ok(Some(page));
        }
        let Some(read) = reader.page(at)? else { return Ok(None) };
        // A place inside a page is only asked for by who begins there; one before a segment's header, by all.
        let place = if read.first.offset() == at.offset() { read.first } else { at };
        let page = Arc::new(Page::new(read, &self.hasher));
        self.with(|kept| kept.insert(place, &page));
        Ok(Some(page))
    }

    /// The entry of a record of a page, serialised now if nobody has asked for it before.
    pub fn entry(&self, page: &Page, n: u32) -> Entry {
        let (record, entry) = &page.records[n as usize];
        entry.get_or_init(|| self.made_of(record)).clone()
    }

    /// The entry of a record.
    pub fn made_of(&self, record: &Record) -> Entry {
        Entry {
            shard: record.shard,
            sequence: record.sequence,
            subject: self.hasher.subject(&record.subject),
            json: entry::json(record, &self.source),
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Kept) -> T) -> T {
        f(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    fn find(&mut self, at: Locator) -> Option<Arc<Page>> {
        self.uses += 1;
        let (page, used) = self.pages.get_mut(&at.into())?;
        *used = self.uses;
        Some(Arc::clone(page))
    }

    fn insert(&mut self, at: Locator, page: &Arc<Page>) {
        self.bytes += page.weight;
        if let Some((replaced, _)) = self.pages.insert(at.into(), (Arc::clone(page), self.uses)) {
            self.bytes -= replaced.weight;
        }
        while self.bytes > MOST_BYTES || self.pages.len() > MOST_PAGES {
            let Some((&oldest, _)) = self.pages.iter().min_by_key(|(_, (_, used))| *used) else { return };
            let (gone, _) = self.pages.remove(&oldest).expect("it was just found");
            self.bytes -= gone.weight;
        }
    }
}

impl Page {
    fn new(read: ledger::log::Page, hasher: &Hasher) -> Self {
        let mut keys = Vec::with_capacity(read.records.len() * 8);
        let mut ends: Vec<(Shard, u64)> = Vec::new();
        for (n, record) in (0..).zip(&read.records) {
            hasher.keys(record, |key| keys.push((key, n)));
            match ends.last_mut() {
                Some((shard, sequence)) if *shard == record.shard => *sequence = record.sequence,
                _ => ends.push((record.shard, record.sequence)),
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys.shrink_to_fit();
        let keys_bytes = size_of_val(&keys[..]);
        let records: Vec<_> = read.records.into_iter().map(|record| (record, OnceLock::new())).collect();
        let records_bytes = size_of_val(&records[..]) + records.len() * WEIGHT_PER_RECORD;
        let weight = records_bytes + keys_bytes + read.raw_bytes * WEIGHT_PER_RAW_BYTE;
        Self { next: read.next, ends, records, keys, weight }
    }

    /// How many records it has.
    pub fn len(&self) -> u32 {
        u32::try_from(self.records.len()).expect("a page has at most 64 KiB or one record")
    }

    /// A record.
    pub fn record(&self, n: u32) -> &Record {
        &self.records[n as usize].0
    }

    /// The records behind each key, in order.
    pub fn by_key(&self) -> impl Iterator<Item = (KeyHash, &[(KeyHash, u32)])> {
        self.keys.chunk_by(|a, b| a.0 == b.0).map(|chunk| (chunk[0].0, chunk))
    }

    /// The numbers of the records that an interest may want, in order.
    pub fn hits(&self, interest: &Interest) -> Vec<u32> {
        let Some(keys) = &interest.keys else { return (0..self.len()).collect() };
        let mut hits: Vec<u32> = Vec::new();
        for &key in keys {
            let first = self.keys.partition_point(|(own, _)| *own < key);
            hits.extend(self.keys[first..].iter().take_while(|(own, _)| *own == key).map(|(_, n)| n));
        }
        in_order(hits)
    }
}

/// Numbers of records in the order of the log, each once.
pub(super) fn in_order(mut numbers: Vec<u32>) -> Vec<u32> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
