//! Catching up: reading the log from a cursor, a step at a time, so that many take turns on a few threads.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ledger::log::{Locator, Reader};

use super::{
    Cursor, Entry, Feed, Result,
    follower::{BATCH_BYTES, BATCH_ENTRIES},
    interest::Interest,
    live::Seat,
    pages::Page,
};

/// So long does a step read where little matches; then others have their turn.
const STEP: Duration = Duration::from_millis(50);

/// Where a follower is who reads the log.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub interest: Arc<Interest>,
    pub cursor: Cursor,
    /// The page that comes next, once it is known.
    pub page: Option<Locator>,
    /// Where it ends, if it does not stay.
    pub until: Option<Cursor>,
    /// So many entries at most.
    pub most: usize,
}

/// What a step found.
#[derive(Debug)]
pub(super) struct Step {
    pub entries: Vec<Entry>,
    pub cursor: Cursor,
    pub page: Option<Locator>,
    pub then: Then,
}

/// How it goes on after a step.
#[derive(Debug)]
pub(super) enum Then {
    /// There may be more.
    More,
    /// Everything up to where it was to end has been read.
    End,
    /// At the head of the log.
    Live(Seat),
}

/// Reads on from a place.
pub(super) fn step(feed: &Feed, place: Place) -> Result<Step> {
    let mut reader = feed.take_reader();
    let step = read(feed, &mut reader, place);
    feed.put_reader(reader);
    step
}

fn read(feed: &Feed, reader: &mut Reader, place: Place) -> Result<Step> {
    let Place { interest, mut cursor, page, until, most } = place;
    let ends = Instant::now() + STEP;
    let mut at = match page {
        Some(at) => at,
        None => first_page(reader, &cursor)?,
    };
    let mut found = Found { entries: Vec::new(), bytes: 0, most: most.min(BATCH_ENTRIES) };
    let then = loop {
        if until.as_ref().is_some_and(|until| until.ahead_of(&cursor).is_none()) {
            break Then::End;
        }
        let Some(page) = feed.pages.at(reader, at)? else {
            if until.is_some() {
                break Then::End; // never: what was durable then is so now
            }
            if feed.live.is_stopped() {
                break Then::More;
            }
            match feed.live.sit(&interest, &cursor, at) {
                Some(seat) => break Then::Live(seat),
                None => continue, // the log has grown meanwhile
            }
        };
        if !found.take(feed, &page, &interest, &mut cursor, until.as_ref()) {
            break Then::More;
        }
        for &(shard, sequence) in &page.ends {
            let last = until.as_ref().map_or(u64::MAX, |until| until.sequences()[usize::from(shard)]);
            cursor.take(shard, sequence.min(last));
        }
        at = page.next;
        if found.entries.len() >= found.most || Instant::now() >= ends {
            break Then::More;
        }
    };
    Ok(Step { entries: found.entries, cursor, page: Some(at), then })
}

struct Found {
    entries: Vec<Entry>,
    bytes: usize,
    most: usize,
}

impl Found {
    /// Takes what is wanted of a page, as long as there is room; `cursor` moves with it. Whether that was all.
    fn take(
        &mut self,
        feed: &Feed,
        page: &Page,
        interest: &Interest,
        cursor: &mut Cursor,
        until: Option<&Cursor>,
    ) -> bool {
        for n in page.hits(interest) {
            let record = page.record(n);
            let (shard, sequence) = (record.shard, record.sequence);
            let is_over = until.is_some_and(|until| !until.has(shard, sequence));
            if cursor.has(shard, sequence) || is_over || !interest.filter.matches(record) {
                continue;
            }
            if self.entries.len() >= self.most {
                return false;
            }
            let entry = feed.pages.entry(page, n);
            if !self.entries.is_empty() && self.bytes + entry.json.len() > BATCH_BYTES {
                return false;
            }
            self.bytes += entry.json.len();
            self.entries.push(entry);
            cursor.take(shard, sequence);
        }
        true
    }
}

/// The page of the first record behind a cursor, in the order of the log.
fn first_page(reader: &mut Reader, cursor: &Cursor) -> Result<Locator> {
    let mut first = reader.end(); // before looking what there is: behind it comes only what is not there
    for (shard, sequence) in (0..).zip(cursor.sequences()) {
        if let Some((at, _)) = reader.find(shard, sequence + 1)? {
            first = first.min(at);
        }
    }
    Ok(first)
}
