//! A log that refuses to start: what is said of it, what a repair keeps, and what it says is lost.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod records;

use std::sync::Arc;

use ledger::{
    Error,
    backup::{self, Lineage},
    log::{
        Diagnosis, Disk, Head, Log, Reader, diagnose,
        faulty::{Content, Fault, SimDisk},
        frames_of, inspect, repair,
    },
};
use records::{append, ledger, read_all, segments, small};
use schemas::Timestamp;

fn sim(content: &Content) -> Arc<dyn Disk> {
    Arc::new(SimDisk::with(1, content))
}

fn backup_of(content: &Content) -> SimDisk {
    let to = SimDisk::new(1);
    backup::back_up(&sim(content), &to, Timestamp::from_nanos(1), &mut |_, _| {}).unwrap();
    to
}

/// What is on disk, but for what may be there or not.
fn log_of(disk: &SimDisk) -> Content {
    let mut content = disk.snapshot();
    content.retain(|name, _| name.starts_with("log/"));
    content
}

/// Repairs, and expects what was diagnosed, a sound ledger that can be written, and that nothing changed
/// before.
fn repaired(disk: &SimDisk, from: Option<&dyn Disk>) -> (Diagnosis, Head) {
    let before = disk.snapshot();
    let said = diagnose(disk, from).unwrap();
    assert_eq!(disk.snapshot(), before, "a diagnosis changes nothing");
    let done = repair(disk, from).unwrap();
    let same_but_id = |d: &Diagnosis| {
        let actions = d.actions.iter().filter(|action| !action.contains("new lineage")).cloned().collect::<Vec<_>>();
        (d.problems.clone(), d.lost.clone(), d.head.shards.clone(), d.is_renewed(), actions)
    };
    assert_eq!(same_but_id(&said), same_but_id(&done), "it does what it said");
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let head = read_all(&shared).expect("a repaired ledger is sound");
    assert_eq!(head, done.head);
    assert!(diagnose(disk, None).unwrap().is_sound());
    let (mut log, recovery) = Log::open(shared.clone(), &small(2)).expect("a repaired ledger starts");
    assert_eq!(recovery.cut, None);
    append(&mut log, 5);
    log.close().unwrap();
    read_all(&shared).unwrap();
    (done, head)
}

/// Every byte that the log had is still there: its files are whole somewhere, or cut with the rest in `cut/`.
fn expect_kept(before: &Content, after: &SimDisk) {
    let after = after.snapshot();
    for (name, bytes) in before {
        let bytes = &bytes[..bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)];
        let base = name.trim_start_matches("log/").trim_end_matches(".seg");
        let whole = after.values().any(|kept| kept.starts_with(bytes));
        let cut = || {
            after.iter().filter(|(kept, _)| kept.starts_with("cut/") && kept.contains(&format!("{base}-"))).any(
                |(kept, rest)| {
                    let at = kept.rsplit_once('-').unwrap().1.trim_end_matches(".bin").parse::<usize>();
                    at.is_ok_and(|at| *rest == bytes[at..] && after[name].starts_with(&bytes[..at]))
                },
            )
        };
        assert!(whole || cut(), "the bytes of {name} are not all kept: {:?}", after.keys());
    }
}

fn total(head: &Head) -> u64 {
    head.shards.iter().map(|shard| shard.sequence).sum()
}

#[test]
fn a_sound_log_needs_nothing() {
    for closed in [true, false] {
        let content = ledger(40, closed);
        let disk = SimDisk::with(1, &content);
        let said = repair(&disk, None).unwrap();
        assert!(said.is_sound() && said.lost.is_empty() && !said.is_renewed());
        assert_eq!(said.actions, Vec::<String>::new());
        assert_eq!(log_of(&disk), log_of(&SimDisk::with(1, &content)));
    }
    assert!(matches!(diagnose(&SimDisk::new(1), None), Err(Error::NoLedger { .. })));
    let disk = SimDisk::new(1);
    let (log, _) = Log::open(Arc::new(disk.clone()), &small(2)).unwrap();
    assert!(matches!(diagnose(&disk, None), Err(Error::Locked { .. })));
    assert!(matches!(repair(&disk, None), Err(Error::Locked { .. })));
    drop(log);
}

#[test]
fn a_torn_end_is_kept_and_cut_and_the_lineage_stays() {
    let content = ledger(11, false);
    let name = segments(&content).pop().unwrap();
    let lineage = read_all(&sim(&content)).unwrap().lineage;
    let last = frames_of(&*sim(&content), &name).unwrap().frames.pop().unwrap();
    let disk = SimDisk::with(1, &content);
    disk.flip(&name, last.offset + last.bytes - 3, 1);
    let before = log_of(&disk);
    let (done, head) = repaired(&disk, None);
    assert_eq!((done.problems.len(), done.lost.len(), head.lineage, total(&head)), (1, 0, lineage, 10));
    assert_eq!((&done.problems[0].file, done.problems[0].offset), (&name, last.offset));
    expect_kept(&before, &disk);
}

#[test]
fn every_flipped_byte_is_repaired_from_a_backup_and_nothing_is_lost() {
    let content = ledger(24, true);
    let original = log_of(&SimDisk::with(1, &content));
    let backup = backup_of(&content);
    for name in segments(&content) {
        for at in 0..content[&name].len() {
            let disk = SimDisk::with(1, &content);
            disk.flip(&name, at as u64, 1 << (at % 8));
            let done = repair(&disk, Some(&backup)).unwrap_or_else(|error| panic!("byte {at} of {name}: {error}"));
            assert!(!done.is_sound() && done.lost.is_empty() && !done.is_renewed(), "byte {at} of {name}: {done:?}");
            assert_eq!(log_of(&disk), original, "byte {at} of {name}");
        }
    }
}

#[test]
fn every_flipped_byte_is_repaired_without_one_and_what_is_lost_is_named() {
    let content = ledger(60, true);
    let names = segments(&content);
    assert!(names.len() > 2);
    for name in &names {
        for at in (0..content[name].len()).step_by(11) {
            let disk = SimDisk::with(1, &content);
            disk.flip(name, at as u64, 1 << (at % 8));
            let before = log_of(&disk);
            let said = match diagnose(&disk, None) {
                Err(error) => {
                    assert!(
                        matches!(error, Error::BeyondRepair { .. }) && *name == names[0],
                        "byte {at} of {name}: {error}"
                    );
                    continue;
                }
                Ok(said) => said,
            };
            let whole = content[name].len();
            if name == names.last().unwrap() && at >= whole - 32 {
                // The mark of an end in order: the log's own position says as much.
                assert!(
                    !said.is_renewed() && said.lost.is_empty() && !said.is_sound(),
                    "byte {at} of {name}: {said:?}"
                );
                repair(&disk, None).unwrap();
                assert_eq!(log_of(&disk), log_of(&SimDisk::with(1, &content)), "it is made again");
                continue;
            }
            assert!(said.is_renewed() && !said.open_ended, "byte {at} of {name}: {said:?}");
            let first = &said.problems[0];
            assert!(first.file <= *name && (first.file < *name || first.offset <= at as u64), "{first:?}");
            let done = repair(&disk, None).unwrap();
            let head = read_all(&(Arc::new(disk.clone()) as Arc<dyn Disk>)).unwrap();
            let lost: u64 = done.lost.iter().map(|lost| lost.to - lost.from + 1).sum();
            assert_eq!(total(&head) + lost, 60, "byte {at} of {name}: {:?}", done.lost);
            assert!(done.lost.iter().all(|lost| lost.from == head.shards[usize::from(lost.shard)].sequence + 1));
            expect_kept(&before, &disk);
        }
    }
}

#[test]
fn a_missing_segment_is_taken_from_a_backup_or_ends_the_log() {
    let content = ledger(60, true);
    let backup = backup_of(&content);
    let names = segments(&content);
    let head = read_all(&sim(&content)).unwrap();
    for (n, name) in names.iter().enumerate() {
        let mut without = content.clone();
        without.remove(name);
        assert!(read_all(&sim(&without)).is_err(), "{name} is missed");
        let disk = SimDisk::with(1, &without);
        let (done, _) = repaired(&disk, Some(&backup));
        assert_eq!((&done.head, done.lost.len()), (&head, 0));
        let disk = SimDisk::with(1, &without);
        if n == 0 {
            let refused = repair(&disk, None).unwrap_err();
            assert!(matches!(refused, Error::BeyondRepair { .. }), "{refused}");
            continue;
        }
        let before = log_of(&disk);
        let (done, kept) = repaired(&disk, None);
        let lost: u64 = done.lost.iter().map(|lost| lost.to - lost.from + 1).sum();
        assert!(done.is_renewed() && total(&kept) + lost == 60, "{done:?}");
        expect_kept(&before, &disk);
        let refused = Log::open(Arc::new(disk.clone()), &small(2)).map(drop);
        refused.expect("it starts");
        assert!(disk.snapshot().contains_key("cut/positions-head.json"), "what was said of the end is kept");
    }
}

#[test]
fn an_end_below_a_stored_position_is_taken_from_a_backup_or_given_up() {
    let content = ledger(25, true);
    let head = read_all(&sim(&content)).unwrap();
    let backup = backup_of(&content);
    let name = segments(&content).pop().unwrap();
    let frames = frames_of(&*sim(&content), &name).unwrap().frames;
    for (n, frame) in frames.iter().enumerate() {
        let mut cut = content.clone();
        cut.get_mut(&name).unwrap().truncate(usize::try_from(frame.offset).unwrap());
        assert!(matches!(read_all(&sim(&cut)), Err(Error::Refused { .. })));
        let (done, _) = repaired(&SimDisk::with(1, &cut), Some(&backup));
        assert_eq!((&done.head, done.lost.len()), (&head, 0));
        let disk = SimDisk::with(1, &cut);
        let (done, kept) = repaired(&disk, None);
        let lost: u64 = done.lost.iter().map(|lost| lost.to - lost.from + 1).sum();
        assert!(done.is_renewed());
        assert_eq!((total(&kept) + lost, lost), (25, (frames.len() - n) as u64));
    }
}

/// Garbage in a position over a whole log was told to be restored from a backup, which has none, and repairing
/// it renewed the lineage. A log that proves its end says what a position says: nothing is lost.
#[test]
fn a_position_that_cannot_be_read_is_made_again_where_the_log_proves_its_end() {
    for closed in [true, false] {
        let content = ledger(20, closed);
        let lineage = read_all(&sim(&content)).unwrap().lineage;
        for name in ["head", "index", "view"] {
            for bytes in [&b"garbage"[..], b"", b"{}"] {
                let mut damaged = content.clone();
                let file = format!("positions/{name}.json");
                damaged.insert(file.clone(), bytes.to_vec());
                let refused = Log::open(sim(&damaged), &small(2)).map(drop).unwrap_err().to_string();
                assert!(refused.contains(&file) && refused.contains("No record is lost."), "{refused}");
                assert!(refused.contains("log repair --data") && !refused.contains("backup"), "{refused}");
                let disk = SimDisk::with(1, &damaged);
                let (done, head) = repaired(&disk, None);
                assert_eq!((head.lineage, total(&head), done.lost.len()), (lineage, 20, 0));
                assert!(done.problems[0].remedy.contains("the log proves itself"), "{done:?}");
                assert_eq!(disk.snapshot()[&format!("cut/positions-{name}.json")], bytes);
            }
        }
        // Where the log does not, what the position said cannot be told.
        let mut cut = content.clone();
        let last = segments(&content).pop().unwrap();
        let end = frames_of(&*sim(&content), &last).unwrap().frames.last().unwrap().offset;
        cut.get_mut(&last).unwrap().truncate(usize::try_from(end).unwrap());
        cut.insert("positions/head.json".to_owned(), b"garbage".to_vec());
        let (done, head) = repaired(&SimDisk::with(1, &cut), None);
        assert!(done.is_renewed() && done.open_ended && total(&head) == 19, "{done:?}");
    }
}

#[test]
fn another_ledgers_position_is_moved_aside() {
    let content = ledger(20, true);
    let lineage = read_all(&sim(&content)).unwrap().lineage;
    let mut foreign = content.clone();
    foreign.insert("positions/view.json".to_owned(), ledger(20, true)["positions/head.json"].clone());
    let disk = SimDisk::with(1, &foreign);
    let (done, head) = repaired(&disk, None);
    assert_eq!((head.lineage, done.problems.len(), done.lost.len()), (lineage, 1, 0));
    assert!(disk.snapshot().contains_key("cut/positions-view.json"));
}

/// Restored under a new lineage, one command answered, the newest segment deleted: the position names a lineage
/// that the log does not know. That was taken for another ledger's, and the loss for none.
#[test]
fn a_lineage_that_only_a_position_knows_is_lost_and_not_foreign() {
    for (frames, closed) in [(1, true), (1, false), (7, true)] {
        let backup = backup_of(&ledger(21, true));
        let disk = SimDisk::new(9);
        let head = backup::restore(&backup, &disk, Lineage::New, &mut |_, _| {}).unwrap().head;
        let (mut log, _) = Log::open(Arc::new(disk.clone()), &small(2)).unwrap();
        append(&mut log, frames);
        if closed {
            log.close().unwrap();
        }
        drop(log);
        disk.kill();
        disk.lose(&segments(&disk.snapshot()).pop().unwrap());
        let refused = Log::open(Arc::new(disk.clone()), &small(2)).map(drop).unwrap_err().to_string();
        assert!(refused.contains("under lineage") && !refused.contains("No record is lost"), "{refused}");
        let (done, kept) = repaired(&disk, None);
        assert!(done.is_renewed() && kept.lineage != head.lineage, "{done:?}");
        assert_eq!(total(&kept), 21);
        let lost: u64 = done.lost.iter().map(|lost| lost.to - lost.from + 1).sum();
        assert_eq!((lost, done.open_ended), if closed { (frames as u64, false) } else { (0, true) });
    }
}

/// The first segment of another ledger copied over ours: its records were kept, and ours moved aside.
#[test]
fn a_strangers_segment_is_refused_by_name_and_never_kept() {
    let stranger = ledger(60, true);
    for (records, closed) in [(60, true), (60, false), (3, true), (3, false)] {
        let content = ledger(records, closed);
        let backup = backup_of(&content);
        let names = segments(&content);
        for name in names.iter().filter(|name| stranger.contains_key(*name)) {
            let mut mixed = content.clone();
            mixed.insert(name.clone(), stranger[name].clone());
            let theirs = read_all(&sim(&stranger)).unwrap().lineage.to_string();
            let refused = Log::open(sim(&mixed), &small(2)).map(drop).unwrap_err().to_string();
            assert!(refused.contains(name) && refused.contains(&theirs), "{name}: {refused}");
            // One file says this and one that: nothing is done. Else what is ours is known.
            match repair(&SimDisk::with(1, &mixed), None) {
                Err(Error::BeyondRepair { what, .. }) => {
                    assert!(*name == names[0] && what.contains(name) && what.contains(&theirs), "{name}: {what}");
                }
                other => assert!(*name != names[0] && other.unwrap().is_renewed()),
            }
            if names.len() > 1 {
                let disk = SimDisk::with(1, &mixed);
                let (done, head) = repaired(&disk, Some(&backup));
                assert_eq!((total(&head), done.lost.len()), (records as u64, 0), "{name}: {done:?}");
            }
        }
    }
}

/// A lost last segment that the backup has whole; and all of them.
#[test]
fn segments_that_the_backup_has_whole_are_taken_back() {
    let content = ledger(60, true);
    let backup = backup_of(&content);
    let head = read_all(&sim(&content)).unwrap();
    let names = segments(&content);
    for lost in [&names[names.len() - 1..], &names[1..], &names[..]] {
        let mut left = content.clone();
        for name in lost {
            left.remove(name);
        }
        let refused = Reader::open(sim(&left)).map(drop).unwrap_err().to_string();
        assert!(refused.contains("answered records are lost") && refused.contains("log repair --data"), "{refused}");
        let disk = SimDisk::with(1, &left);
        let (done, kept) = repaired(&disk, Some(&backup));
        assert_eq!((&kept, done.lost.len(), done.open_ended), (&head, 0, false), "{done:?}");
    }
    // A backup of another ledger is none of this one.
    let mut left = content.clone();
    left.retain(|name, _| name.starts_with("positions/"));
    let refused = repair(&SimDisk::with(1, &left), Some(&backup_of(&ledger(60, true)))).unwrap_err();
    assert!(matches!(refused, Error::ForeignLineage { .. }), "{refused}");
}

/// A start refused these, and a repair found nothing to do, or lost what was whole.
#[test]
fn start_and_repair_agree_on_what_is_wrong_in_the_folder() {
    let content = ledger(60, true);
    let names = segments(&content);
    let last = &names[names.len() - 1];
    let end = u64::from_str_radix(&last[4..20], 16).unwrap() + content[last].len() as u64 - 32;
    let changed = |change: &dyn Fn(&mut Content)| {
        let mut changed = content.clone();
        change(&mut changed);
        changed
    };
    let cases: [(&str, Content, u64); 6] = [
        ("a stray file", changed(&|files| drop(files.insert("log/notes.txt".into(), vec![1]))), 60),
        (
            "an empty segment behind the end",
            changed(&|files| drop(files.insert(format!("log/{end:016x}.seg"), vec![]))),
            60,
        ),
        (
            "a segment renamed",
            changed(&|files| {
                let bytes = files.remove(&names[1]).unwrap();
                files.insert(format!("{}.bak", names[1]), bytes);
            }),
            60,
        ),
        (
            "the last segment renamed",
            changed(&|files| {
                let bytes = files.remove(last).unwrap();
                files.insert("log/0000000000abcdef.seg".into(), bytes);
            }),
            60,
        ),
        (
            "two segments exchanged",
            changed(&|files| {
                let (one, two) = (files[&names[1]].clone(), files[last].clone());
                files.extend([(names[1].clone(), two), (last.clone(), one)]);
            }),
            60,
        ),
        ("something that is no position", changed(&|files| drop(files.insert("positions/notes".into(), vec![1]))), 60),
    ];
    for (what, content, records) in cases {
        let refused = Log::open(sim(&content), &small(2)).map(drop).unwrap_err().to_string();
        assert!(refused.contains("No record is lost."), "{what}: {refused}");
        let disk = SimDisk::with(1, &content);
        let (done, head) = repaired(&disk, None);
        assert!(!done.is_renewed() && total(&head) == records, "{what}: {done:?}");
    }
}

#[test]
fn what_was_derived_from_a_lost_end_is_moved_aside() {
    let mut content = ledger(60, true);
    let name = segments(&content).pop().unwrap();
    content.get_mut(&name).unwrap().truncate(300);
    for derived in ["index/1.run", "index/manifest", "snapshots/0000000000000400.snap"] {
        content.insert(derived.to_owned(), derived.as_bytes().to_vec());
    }
    let disk = SimDisk::with(1, &content);
    let inspected = inspect(&disk).unwrap();
    assert_eq!(
        inspected.derived.iter().map(|folder| (folder.folder.as_str(), folder.files)).collect::<Vec<_>>(),
        [("index", 2), ("snapshots", 1)]
    );
    assert!(!inspected.problems.is_empty() && inspected.segments.iter().any(|segment| segment.sound));
    let (done, _) = repaired(&disk, None);
    assert!(done.is_renewed());
    let after = disk.snapshot();
    assert!(!after.keys().any(|name| name.starts_with("index/") || name.starts_with("snapshots/")));
    assert_eq!(after["cut/index-1.run"], b"index/1.run");
}

#[test]
fn a_backup_from_before_a_cut_gives_only_what_lies_before_it() {
    let content = ledger(20, true);
    let name = segments(&content).pop().unwrap();
    let backup = backup_of(&content);
    // The end is lost and given up; then the ledger goes on.
    let mut cut = content.clone();
    let frames = frames_of(&*sim(&content), &name).unwrap().frames;
    cut.get_mut(&name).unwrap().truncate(usize::try_from(frames[frames.len() - 2].offset).unwrap());
    let disk = SimDisk::with(1, &cut);
    let (_, head) = repaired(&disk, None);
    let sound = log_of(&disk);
    // Its first segment is damaged: the backup has it. Its last one is: the backup has other records there.
    disk.flip(&segments(&sound)[0], 300, 1);
    let done = repair(&disk, Some(&backup)).unwrap();
    assert_eq!((done.lost.len(), done.head.lineage), (0, head.lineage));
    assert_eq!(log_of(&disk), sound);
    let last = segments(&sound).pop().unwrap();
    let first = frames_of(&disk, &last).unwrap().frames[0].offset;
    disk.flip(&last, first + 10, 1);
    let done = repair(&disk, Some(&backup)).unwrap();
    assert!(done.is_renewed() && total(&done.head) == 18, "{done:?}");
    let refused = repair(&disk, Some(&backup_of(&ledger(3, true)))).unwrap_err();
    assert!(matches!(refused, Error::ForeignLineage { .. }), "{refused}");
}

#[test]
fn a_repair_that_fails_at_any_step_can_be_repeated_and_is_never_taken_for_a_sound_log() {
    let content = ledger(90, true);
    let names = segments(&content);
    let backup = backup_of(&content);
    let mut missing = content.clone();
    missing.remove(&names[names.len() - 2]);
    let mut flipped = content.clone();
    flipped.get_mut(&names[1]).unwrap()[700] ^= 4;
    for (damaged, with_backup) in [(&missing, false), (&flipped, false), (&missing, true), (&flipped, true)] {
        let from: Option<&dyn Disk> = if with_backup { Some(&backup) } else { None };
        let said = diagnose(&SimDisk::with(1, damaged), from).unwrap();
        for fault in [Fault::PowerCut, Fault::ShortWrite, Fault::SyncError, Fault::NoSpace] {
            let mut struck = 0;
            for step in 1.. {
                let disk = SimDisk::with(step, damaged);
                disk.inject(step, fault);
                let outcome = repair(&disk, from);
                if disk.waiting_faults() > 0 {
                    outcome.expect("without a fault it works");
                    break;
                }
                struck += 1;
                outcome.expect_err("a fault is an error");
                disk.crash();
                let shared: Arc<dyn Disk> = Arc::new(disk.clone());
                if let Ok(head) = read_all(&shared) {
                    assert_eq!(head.shards, said.head.shards, "{fault:?} at {step}: half a repair looks sound");
                    assert_eq!(head.lineage != said.lineage, said.is_renewed());
                }
                let again = repair(&disk, from).expect("it can be repeated");
                assert!(again.is_sound() || (&again.lost, &again.head.shards) == (&said.lost, &said.head.shards));
                let head = read_all(&shared).unwrap();
                assert_eq!((&head.shards, head.lineage != said.lineage), (&said.head.shards, said.is_renewed()));
                expect_kept(&log_of(&SimDisk::with(1, damaged)), &disk);
                let report = disk.snapshot().into_iter().find(|(name, _)| name.starts_with("cut/repair-"));
                let report: Diagnosis = serde_json::from_slice(&report.expect("what was done is kept").1).unwrap();
                assert_eq!(report.lost, said.lost);
            }
            assert!(struck >= 3, "{fault:?} struck {struck} times");
        }
    }
}

#[test]
fn an_interrupted_repair_is_refused_and_described() {
    let mut content = ledger(60, true);
    content.remove(&segments(&content)[1]);
    let disk = SimDisk::with(1, &content);
    let changes = {
        let disk = SimDisk::with(1, &content);
        repair(&disk, None).unwrap();
        disk.changes()
    };
    disk.inject(changes - 6, Fault::PowerCut);
    repair(&disk, None).unwrap_err();
    disk.crash();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    for refused in [Reader::open(shared.clone()).map(drop), Log::open(shared, &small(2)).map(drop)] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, Error::Unfinished { what: "a repair of the log", .. }), "{refused}");
    }
    assert!(diagnose(&disk, None).unwrap().begun);
    repaired_after(&disk);
}

fn repaired_after(disk: &SimDisk) {
    let done = repair(disk, None).unwrap();
    assert!(!done.lost.is_empty());
    read_all(&(Arc::new(disk.clone()) as Arc<dyn Disk>)).unwrap();
}

#[test]
fn an_inspection_shows_what_can_be_read_and_where_the_damage_is() {
    let content = ledger(60, true);
    let names = segments(&content);
    let sound = inspect(&*sim(&content)).unwrap();
    assert_eq!(sound.problems, []);
    assert_eq!(sound.segments.iter().map(|s| s.info.records).sum::<u64>(), 60);
    assert!(sound.segments.iter().all(|segment| segment.sound && segment.reserve_bytes == 0));
    assert_eq!(sound.segments.iter().filter(|segment| !segment.sealed).count(), 1);
    assert_eq!(sound.positions, [("head".to_owned(), Some(sound.head.clone()))]);
    let killed = inspect(&*sim(&ledger(60, false))).unwrap();
    assert!(killed.segments.last().unwrap().reserve_bytes > 0);

    let disk = SimDisk::with(1, &content);
    let frames = frames_of(&disk, &names[1]).unwrap();
    assert_eq!(frames.damaged, []);
    let hit = &frames.frames[1];
    disk.flip(&names[1], hit.offset + 40, 1);
    let inspected = inspect(&disk).unwrap();
    let at = &inspected.problems[0];
    assert_eq!((&at.file, at.offset), (&names[1], hit.offset));
    assert_eq!(
        inspected.segments.iter().map(|segment| segment.sound).collect::<Vec<_>>(),
        [true, false],
        "the rest cannot be joined"
    );
    let damaged = frames_of(&disk, names[1].trim_start_matches("log/")).unwrap();
    assert_eq!(damaged.damaged, [(hit.offset, hit.offset + hit.bytes)]);
    assert_eq!(damaged.frames.len() + 1, frames.frames.len());
    assert!(matches!(frames_of(&disk, "notes.txt"), Err(Error::NotALedger { .. })));
}
