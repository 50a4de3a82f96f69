//! Reading from any place on, a block at a time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[expect(dead_code, reason = "of what makes ledgers, only the records are used here")]
mod records;

use std::sync::Arc;

use ledger::log::{Batch, Check, Locator, Log, Page, Reader, faulty::SimDisk};
use records::{append, record, small};
use schemas::Record;

/// All pages from a place on.
fn walk(reader: &mut Reader, mut at: Locator) -> Vec<Page> {
    let mut pages = Vec::new();
    while let Some(page) = reader.page(at).unwrap() {
        at = page.next;
        pages.push(page);
    }
    pages
}

fn records(pages: &[Page]) -> Vec<&Record> {
    pages.iter().flat_map(|page| &page.records).collect()
}

#[test]
fn pages_have_what_frames_have_from_every_record_on() {
    let (mut log, _) = Log::open(Arc::new(SimDisk::new(5)), &small(3)).unwrap();
    append(&mut log, 150);
    let mut reader = log.reader();
    let frames: Vec<Record> = reader.frames(Check::Full).flat_map(|frame| frame.unwrap().records).collect();
    assert!(reader.segments().unwrap().len() > 2, "there is more than one segment");
    let pages = walk(&mut reader, Locator::from(0));
    assert_eq!(records(&pages), frames.iter().collect::<Vec<_>>());
    for (n, found) in frames.iter().enumerate() {
        let (at, _) = reader.find(found.shard, found.sequence).unwrap().unwrap();
        assert_eq!(records(&walk(&mut reader, at)), frames[n..].iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_large_frame_has_several_pages_and_each_place_in_it_its_own() {
    let options = ledger::log::Options { max_frame_bytes: 1 << 20, ..small(2) };
    let (mut log, _) = Log::open(Arc::new(SimDisk::new(5)), &options).unwrap();
    let own = |shard| (1..=600).map(|sequence| record(shard, sequence, 200)).collect::<Vec<_>>();
    log.ensure_room().unwrap();
    log.append(&Batch::of(&[own(0), own(1)])).unwrap();
    let mut reader = log.reader();
    let pages = walk(&mut reader, Locator::from(0));
    assert!(pages.len() > 2, "{} pages", pages.len());
    assert!(pages.iter().all(|page| page.raw_bytes <= 64 << 10));
    assert_eq!(records(&pages).len(), 1_200);
    for page in &pages {
        let last = page.first.nth(u32::try_from(page.records.len()).unwrap() - 1);
        let again = reader.page(last).unwrap().unwrap();
        assert_eq!((again.first, again.next, &again.records), (page.first, page.next, &page.records));
    }
}

/// What waits at the end sees the next record, also where a segment begins in between.
#[test]
fn the_end_moves_for_who_watches_it() {
    let (mut log, _) = Log::open(Arc::new(SimDisk::new(5)), &small(1)).unwrap();
    let mut reader = log.reader();
    let mut moved = reader.watch();
    let mut at = reader.end();
    for sequence in 1..=30 {
        assert!(reader.page(at).unwrap().is_none());
        moved.borrow_and_update();
        append(&mut log, 1);
        assert!(moved.has_changed().unwrap());
        let page = reader.page(at).unwrap().expect("a frame came");
        assert_eq!(page.records[0].sequence, sequence);
        at = page.next;
    }
    assert!(reader.segments().unwrap().len() > 1, "a segment began meanwhile");
}
