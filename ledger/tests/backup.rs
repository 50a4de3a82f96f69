//! Backups: taken in rounds beside a writer, interrupted at every step, damaged in every byte, restored.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod records;

use std::sync::Arc;

use ledger::{
    Error,
    backup::{self, BackedUp, Lineage, Manifest, Restored},
    log::{
        Disk, Head, Log, OsDisk, Reader,
        faulty::{Content, Fault, SimDisk},
    },
};
use records::{append, ledger, read_all, segments, small};
use schemas::Timestamp;

fn back_up(from: &Arc<dyn Disk>, to: &dyn Disk) -> ledger::Result<BackedUp> {
    backup::back_up(from, to, Timestamp::from_nanos(1_800_000_000_000_000_000), &mut |_, _| {})
}

fn restore(from: &dyn Disk, to: &dyn Disk) -> ledger::Result<Restored> {
    backup::restore(from, to, Lineage::New, &mut |_, _| {})
}

fn check(disk: &dyn Disk) -> ledger::Result<Manifest> {
    backup::check(disk, &mut |_, _| {})
}

fn sim(content: &Content) -> Arc<dyn Disk> {
    Arc::new(SimDisk::with(1, content))
}

/// Restores a backup and expects a sound ledger with the backup's records, that can be written.
fn expect_restorable(from: &dyn Disk, closed: bool) {
    let manifest = check(from).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(2));
    let restored = restore(from, &*disk).unwrap();
    assert_eq!(restored.manifest, manifest);
    assert_eq!((restored.is_renewed(), manifest.closed), (true, closed));
    let head = read_all(&disk).unwrap();
    assert_eq!(head, restored.head);
    assert_eq!(head.shards, manifest.head.shards);
    let (mut log, recovery) = Log::open(disk.clone(), &small(2)).unwrap();
    assert_eq!((recovery.created, recovery.cut), (false, None));
    append(&mut log, 40);
    log.close().unwrap();
    assert_eq!(read_all(&disk).unwrap().lineage, head.lineage);
}

#[test]
fn rounds_beside_a_writer_copy_what_is_new_and_each_can_be_restored() {
    let folder = tempfile::tempdir().unwrap();
    let homes: [(Arc<dyn Disk>, Arc<dyn Disk>); 2] = [
        (Arc::new(SimDisk::new(3)), Arc::new(SimDisk::new(4))),
        (Arc::new(OsDisk::new(folder.path().join("ledger"))), Arc::new(OsDisk::new(folder.path().join("backup")))),
    ];
    for (disk, to) in homes {
        let (mut log, _) = Log::open(disk.clone(), &small(2)).unwrap();
        let mut total = 0;
        for round in 0..6 {
            let done = back_up(&disk, &*to).unwrap();
            assert_eq!((&done.manifest.head, done.manifest.closed), (&log.head(), false));
            assert_eq!(total + done.written, done.manifest.bytes(), "round {round} writes only what is new");
            total = done.manifest.bytes();
            assert_eq!(done.kept > 1, round > 2, "{} sealed segments were kept in round {round}", done.kept);
            expect_restorable(&*to, false);
            append(&mut log, 25);
        }
        log.close().unwrap();
        let done = back_up(&disk, &*to).unwrap();
        assert!(done.manifest.closed && total + done.written == done.manifest.bytes());
        expect_restorable(&*to, true);
        let again = back_up(&disk, &*to).unwrap();
        assert_eq!((again.written, again.manifest), (0, done.manifest));
    }
}

#[test]
fn an_empty_ledger_can_be_backed_up_and_restored() {
    let disk = sim(&ledger(0, false));
    let to = SimDisk::new(1);
    back_up(&disk, &to).unwrap();
    expect_restorable(&to, true);
}

#[test]
fn a_restored_ledger_goes_on_with_its_backup_and_can_be_restored_again() {
    let disk = sim(&ledger(30, false));
    let to = SimDisk::new(1);
    back_up(&disk, &to).unwrap();
    let mut lineages = vec![check(&to).unwrap().head.lineage];
    for round in 0..3 {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(round));
        lineages.push(restore(&to, &*disk).unwrap().head.lineage);
        let (mut log, _) = Log::open(disk.clone(), &small(2)).unwrap();
        append(&mut log, 30);
        drop(log);
        back_up(&disk, &to).unwrap();
        let inspected = ledger::log::inspect(&*disk).unwrap();
        let former: Vec<_> = inspected.former_lineages.iter().map(|former| former.lineage).collect();
        assert_eq!(
            (former.as_slice(), &inspected.head.lineage),
            (&lineages[..=usize::try_from(round).unwrap()], &lineages[lineages.len() - 1])
        );
    }
    expect_restorable(&to, false);
}

#[test]
fn a_backup_that_fails_at_any_step_leaves_the_old_one_or_the_new_one() {
    let (old, new) = {
        let disk = SimDisk::with(5, &ledger(20, false));
        let old = disk.snapshot();
        let (mut log, _) = Log::open(Arc::new(disk.clone()), &small(2)).unwrap();
        append(&mut log, 30);
        (old, disk.snapshot())
    };
    let heads = [&old, &new].map(|content| read_all(&sim(content)).unwrap());
    for first in [true, false] {
        for fault in [Fault::PowerCut, Fault::ShortWrite, Fault::SyncError, Fault::NoSpace] {
            let mut struck = 0;
            for step in 1.. {
                let to = SimDisk::new(step * 7 + u64::from(first));
                if !first {
                    back_up(&sim(&old), &to).unwrap();
                }
                to.inject(step, fault);
                let outcome = back_up(&sim(&new), &to);
                if to.waiting_faults() > 0 {
                    outcome.expect("without a fault it works");
                    break;
                }
                struck += 1;
                outcome.expect_err("a fault is an error");
                to.crash();
                eprintln!("{fault:?} at step {step}, first: {first}");
                match check(&to) {
                    Ok(manifest) => assert!(heads[usize::from(first)..].contains(&manifest.head)),
                    Err(error) => assert!(first && matches!(error, Error::NoBackup { .. }), "{error}"),
                }
                if !first {
                    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(2));
                    restore(&to, &*disk).unwrap();
                    read_all(&disk).unwrap();
                }
                let done = back_up(&sim(&new), &to).expect("an interrupted backup can be continued");
                assert_eq!(done.manifest.head, heads[1]);
                expect_restorable(&to, false);
            }
            assert!(struck >= 5, "{fault:?} struck {struck} times");
        }
    }
}

#[test]
fn an_interrupted_backup_does_not_copy_whole_segments_again() {
    let disk = sim(&ledger(60, false));
    let whole = {
        let to = SimDisk::new(1);
        let done = back_up(&disk, &to).unwrap();
        assert_eq!(done.kept, 0);
        to.changes()
    };
    let to = SimDisk::new(1);
    to.inject(whole - 4, Fault::PowerCut);
    back_up(&disk, &to).unwrap_err();
    to.crash();
    let refused = Reader::open(Arc::new(to.clone())).unwrap_err();
    assert!(matches!(refused, Error::Unfinished { .. }), "{refused}");
    let done = back_up(&disk, &to).unwrap();
    assert!(done.kept + 1 >= done.manifest.segments.len(), "{} of {}", done.kept, done.manifest.segments.len());
    expect_restorable(&to, false);
}

#[test]
fn a_restore_that_fails_at_any_step_is_no_ledger_and_can_be_repeated() {
    let from = SimDisk::new(1);
    back_up(&sim(&ledger(40, false)), &from).unwrap();
    for fault in [Fault::PowerCut, Fault::ShortWrite, Fault::SyncError, Fault::NoSpace] {
        let mut struck = 0;
        for step in 1.. {
            let to = SimDisk::new(step);
            let disk: Arc<dyn Disk> = Arc::new(to.clone());
            to.inject(step, fault);
            let outcome = restore(&from, &to);
            if to.waiting_faults() > 0 {
                outcome.expect("without a fault it works");
                break;
            }
            struck += 1;
            outcome.expect_err("a fault is an error");
            to.crash();
            eprintln!("{fault:?} at step {step}");
            match read_all(&disk) {
                Ok(head) => {
                    assert_eq!(head.shards, check(&from).unwrap().head.shards);
                    assert_ne!(head.lineage, check(&from).unwrap().head.lineage);
                    continue; // only the marker's end was not durable
                }
                Err(Error::Unfinished { .. } | Error::NoLedger { .. }) => {}
                Err(other) => panic!("{other}"),
            }
            restore(&from, &to).expect("it can be repeated");
            read_all(&disk).unwrap();
        }
        assert!(struck >= 5, "{fault:?} struck {struck} times");
    }
}

#[test]
fn every_flipped_byte_of_a_backup_is_found_and_named() {
    let to = SimDisk::new(1);
    back_up(&sim(&ledger(12, false)), &to).unwrap();
    let content = to.snapshot();
    for (name, bytes) in &content {
        for at in 0..bytes.len() {
            let mut flipped = content.clone();
            flipped.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            let disk = SimDisk::with(1, &flipped);
            let refused = check(&disk).expect_err("damage must be found");
            assert!(refused.to_string().contains(name.as_str()), "byte {at} of {name}: {refused}");
            let target = SimDisk::new(2);
            assert_eq!(restore(&disk, &target).unwrap_err().to_string(), refused.to_string());
            Reader::open(Arc::new(target)).expect_err("a restore that failed is no ledger");
        }
        let mut without = content.clone();
        without.remove(name);
        let refused = check(&SimDisk::with(1, &without)).unwrap_err().to_string();
        assert!(refused.contains(name.as_str()), "without {name}: {refused}");
    }
}

#[test]
fn damage_in_the_ledger_ends_a_backup_and_leaves_the_old_one() {
    let content = ledger(40, true);
    let name = &segments(&content)[1];
    let to = SimDisk::new(1);
    let disk = SimDisk::with(1, &content);
    disk.flip(name, content[name].len() as u64 / 2, 4);
    let refused = back_up(&(Arc::new(disk) as Arc<dyn Disk>), &to).unwrap_err();
    assert!(refused.to_string().contains(name.as_str()), "{refused}");
    assert!(matches!(check(&to), Err(Error::NoBackup { .. })));
    back_up(&sim(&content), &to).unwrap();
    expect_restorable(&to, true);
}

#[test]
fn folders_that_hold_something_else_are_refused() {
    let content = ledger(10, true);
    let to = SimDisk::new(1);
    back_up(&sim(&content), &to).unwrap();
    let refused = restore(&to, &SimDisk::with(1, &content)).unwrap_err();
    assert!(matches!(refused, Error::NotEmpty { .. }), "{refused}");
    let photos = Content::from([("photos.zip".to_owned(), vec![1])]);
    for content in [&content, &photos] {
        let refused = back_up(&sim(content), &SimDisk::with(1, content));
        let refused = refused.expect_err("neither a ledger nor other files are written over");
        assert!(matches!(refused, Error::NotEmpty { .. } | Error::NoLedger { .. }), "{refused}");
    }
    let refused = Log::open(Arc::new(to.clone()), &small(2)).unwrap_err();
    assert!(matches!(refused, Error::IsABackup { .. }), "{refused}");
    assert!(matches!(restore(&SimDisk::new(1), &SimDisk::new(2)), Err(Error::NoBackup { .. })));

    // Another ledger, and one that has less than its backup.
    let refused = back_up(&sim(&ledger(10, true)), &to).unwrap_err();
    assert!(matches!(refused, Error::OtherBackup { .. }), "{refused}");
    let disk = SimDisk::with(1, &content);
    let (mut log, _) = Log::open(Arc::new(disk.clone()), &small(2)).unwrap();
    append(&mut log, 30);
    drop(log);
    disk.kill();
    back_up(&(Arc::new(disk) as Arc<dyn Disk>), &to).unwrap();
    let refused = back_up(&sim(&content), &to).unwrap_err();
    assert!(matches!(refused, Error::OtherBackup { .. }), "{refused}");
    expect_restorable(&to, false);
}

#[test]
fn positions_from_before_the_cut_are_refused() {
    let disk = sim(&ledger(10, false));
    let old = read_all(&disk).unwrap();
    let to = SimDisk::new(1);
    back_up(&disk, &to).unwrap();
    let restored = SimDisk::new(2);
    let head = restore(&to, &restored).unwrap().head;
    let (mut log, _) = Log::open(Arc::new(restored.clone()), &small(2)).unwrap();
    let beyond = Head { shards: old.shards.clone(), ..old };
    let refused = log.store_position("view", &beyond).unwrap_err();
    assert!(matches!(refused, Error::FormerLineage { expected, .. } if expected == head.lineage), "{refused}");
    assert!(refused.to_string().contains("restored from a backup"), "{refused}");
    log.close().unwrap();
    // A file that somebody kept and put back.
    let mut content = restored.snapshot();
    let theirs = {
        let (log, _) = Log::open(disk.clone(), &small(2)).unwrap();
        log.store_position("view", &log.head()).unwrap();
        disk.read("positions/view.json").unwrap()
    };
    content.insert("positions/view.json".to_owned(), theirs);
    for refused in
        [Log::open(sim(&content), &small(2)).map(drop).unwrap_err(), Reader::open(sim(&content)).map(drop).unwrap_err()]
    {
        assert!(matches!(&refused, Error::Refused { path, .. } if path.ends_with("positions/view.json")), "{refused}");
        assert!(refused.to_string().contains("from before its end was cut. No record is lost."), "{refused}");
    }
}

/// A backup of a closed ledger that was opened again later: what was answered then is not in it, and nobody's
/// position behind it may name other records under the same lineage.
#[test]
fn a_backup_of_a_closed_ledger_is_restored_under_its_lineage_only_if_the_old_folder_proves_the_end() {
    let content = ledger(10, true);
    let to = SimDisk::new(4);
    assert!(back_up(&sim(&content), &to).unwrap().manifest.closed);
    let restored = restore(&to, &SimDisk::new(5)).unwrap();
    assert!(restored.is_renewed() && restored.why.contains("whether it was opened again"), "{}", restored.why);

    let proven = |old: &SimDisk| {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(6));
        let restored = backup::restore(&to, &*disk, Lineage::Proven(old), &mut |_, _| {}).unwrap();
        assert_eq!(read_all(&disk).unwrap(), restored.head);
        let (mut log, _) = Log::open(disk.clone(), &small(2)).unwrap();
        append(&mut log, 3);
        log.close().unwrap();
        (restored.is_renewed(), restored.why)
    };
    assert!(!proven(&SimDisk::with(1, &content)).0);
    // The log may be lost, as long as its position is there.
    let mut lost = content.clone();
    lost.retain(|name, _| name.starts_with("positions/"));
    assert!(!proven(&SimDisk::with(1, &lost)).0);
    // Opened again and written, closed or not; without its position; another ledger.
    for closed in [true, false] {
        let old = SimDisk::with(1, &content);
        let (mut log, _) = Log::open(Arc::new(old.clone()), &small(2)).unwrap();
        append(&mut log, 1);
        if closed {
            log.close().unwrap();
        }
        drop(log);
        let (renewed, why) = proven(&old);
        assert!(renewed && why.contains(if closed { "elsewhere" } else { "was not closed" }), "{why}");
    }
    lost.clear();
    for old in [SimDisk::with(1, &lost), SimDisk::with(1, &ledger(10, true))] {
        assert!(proven(&old).0);
    }
}

/// A backup that rots on its disk: the next round finds it, copies it again and says so.
#[test]
fn backing_up_onto_a_rotten_backup_makes_it_whole_and_says_so() {
    let disk = sim(&ledger(60, false));
    let to = SimDisk::new(1);
    back_up(&disk, &to).unwrap();
    let sound = to.snapshot();
    assert!(segments(&sound).len() > 2);
    for name in segments(&sound) {
        for at in (0..sound[&name].len()).step_by(97) {
            let to = SimDisk::with(1, &sound);
            to.flip(&name, at as u64, 4);
            let done = back_up(&disk, &to).unwrap();
            assert_eq!(done.mended, std::slice::from_ref(&name), "byte {at}");
            assert_eq!(to.snapshot(), sound, "byte {at} of {name}");
            assert_eq!(back_up(&disk, &to).unwrap().mended, [""; 0]);
        }
        let to = SimDisk::with(1, &sound);
        to.lose(&name);
        assert_eq!(back_up(&disk, &to).unwrap().mended, [name]);
        expect_restorable(&to, false);
    }
    let to = SimDisk::with(1, &sound);
    to.flip("backup.json", 40, 1);
    let refused = back_up(&disk, &to).unwrap_err().to_string();
    assert!(refused.contains("use another one, and back up to another folder"), "{refused}");
}
