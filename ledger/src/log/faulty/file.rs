//! A file of the simulated disk: what processes see, what would survive a power cut, and the pages
//! in which the two may differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rand::{Rng, RngExt};

/// What the page cache writes back as a whole, if at all.
const PAGE_BYTES: usize = 4096;
/// What a disk writes as a whole.
const SECTOR_BYTES: usize = 512;

type Page = Arc<[u8; PAGE_BYTES]>;

/// Content without the pages that hold only zeros, so that reserved space costs nothing.
#[derive(Debug, Clone, Default)]
struct Content {
    len: u64,
    pages: BTreeMap<u64, Page>,
}

/// A file.
#[derive(Debug, Clone, Default)]
pub(super) struct SimFile {
    seen: Content,
    durable: Content,
    /// Written since the last sync.
    dirty: BTreeSet<u64>,
}

impl SimFile {
    /// A file that is all durable.
    pub fn durable(bytes: &[u8]) -> Self {
        let mut file = Self::default();
        file.write(0, bytes);
        file.sync();
        file
    }

    pub fn len(&self) -> u64 {
        self.seen.len
    }

    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> usize {
        let left = self.seen.len.saturating_sub(offset);
        let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        for_pages(offset, count, |number, within, part| {
            let target = &mut bytes[part.clone()];
            match self.seen.pages.get(&number) {
                Some(page) => target.copy_from_slice(&page[within..within + part.len()]),
                None => target.fill(0),
            }
        });
        count
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        for_pages(offset, bytes.len(), |number, within, part| {
            let source = &bytes[part];
            self.dirty.insert(number);
            if self.seen.pages.contains_key(&number) || source.iter().any(|&byte| byte != 0) {
                let page = self.seen.pages.entry(number).or_insert_with(|| Arc::new([0; PAGE_BYTES]));
                Arc::make_mut(page)[within..within + source.len()].copy_from_slice(source);
            }
        });
        self.seen.len = self.seen.len.max(offset + bytes.len() as u64);
    }

    pub fn set_len(&mut self, len: u64) {
        self.dirty.extend(self.seen.set_len(len));
    }

    pub fn sync(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            self.durable.put(number, self.seen.pages.get(&number).cloned());
        }
        self.durable.set_len(self.seen.len);
    }

    /// A sync that failed as Linux fails: what was not written counts as clean from then on.
    pub fn lose_sync(&mut self) {
        self.dirty.clear();
    }

    /// Flips bits of one byte, in the cache and below it.
    pub fn flip(&mut self, offset: u64, bits: u8) {
        let (number, within) = (offset / PAGE_BYTES as u64, offset % PAGE_BYTES as u64);
        let within = usize::try_from(within).expect("below a page");
        for content in [&mut self.seen, &mut self.durable] {
            if offset < content.len {
                let mut page = content.page(number);
                Arc::make_mut(&mut page)[within] ^= bits;
                content.put(number, Some(page));
            }
        }
    }

    /// What is left after a power cut: of each page that was not synced the old, the new, or some
    /// sectors of either; and the old length or the new.
    pub fn lose_power(&mut self, random: &mut impl Rng) {
        for number in std::mem::take(&mut self.dirty) {
            let (old, new) = (self.durable.page(number), self.seen.page(number));
            let mut mixed = *old;
            let choice = random.random_range(0..3);
            for at in (0..PAGE_BYTES).step_by(SECTOR_BYTES) {
                if choice == 1 || choice == 2 && random.random_bool(0.5) {
                    mixed[at..at + SECTOR_BYTES].copy_from_slice(&new[at..at + SECTOR_BYTES]);
                }
            }
            self.durable.put(number, Some(Arc::new(mixed)));
        }
        let len = if random.random_bool(0.5) { self.seen.len } else { self.durable.len };
        self.durable.set_len(len);
        self.seen = self.durable.clone();
    }
}

impl Content {
    fn page(&self, number: u64) -> Page {
        self.pages.get(&number).cloned().unwrap_or_else(|| Arc::new([0; PAGE_BYTES]))
    }

    fn put(&mut self, number: u64, page: Option<Page>) {
        match page {
            Some(page) if page.iter().any(|&byte| byte != 0) => drop(self.pages.insert(number, page)),
            _ => drop(self.pages.remove(&number)),
        }
    }

    /// Returns the pages that change. What is cut is zero if the file grows again.
    fn set_len(&mut self, len: u64) -> Vec<u64> {
        let whole = len.div_ceil(PAGE_BYTES as u64);
        let mut changed: Vec<u64> = self.pages.split_off(&whole).into_keys().collect();
        let within = usize::try_from(len % PAGE_BYTES as u64).expect("below a page");
        if within > 0
            && let Some(page) = self.pages.get_mut(&(whole - 1))
            && page[within..].iter().any(|&byte| byte != 0)
        {
            Arc::make_mut(page)[within..].fill(0);
            changed.push(whole - 1);
        }
        self.len = len;
        changed
    }
}

/// Calls `f` with each page's number, the offset in it, and the part of the `count` bytes.
fn for_pages(offset: u64, count: usize, mut f: impl FnMut(u64, usize, std::ops::Range<usize>)) {
    let mut done = 0;
    while done < count {
        let at = offset + done as u64;
        let within = usize::try_from(at % PAGE_BYTES as u64).expect("below a page");
        let step = (PAGE_BYTES - within).min(count - done);
        f(at / PAGE_BYTES as u64, within, done..done + step);
        done += step;
    }
}
