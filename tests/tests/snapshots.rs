//! Snapshots: the state from one and the rest of the log is the state from all of the log, wherever the
//! cut is; and whatever happens to the files, a start comes to the same state or says what is lost.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    io::Write,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use giftledger_tests::{
    binary::giftledger,
    world::{World, envelope},
};
use ledger::{
    Error, Snapshot, State,
    log::{
        Check, Disk, Head, Log, Options, Reader,
        faulty::{Content, Fault, SimDisk},
    },
    snapshot::{Info, Plan, Until, fold},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tempfile::TempDir;

static GO_ON: AtomicBool = AtomicBool::new(false);

fn options(shards: u16) -> Options {
    Options { shards: Some(shards), segment_bytes: 0, max_frame_bytes: 4 << 10 }
}

/// A ledger in which a little of everything has happened, as chance will have it.
fn played(disk: &SimDisk, shards: u16, seed: u64, commands: u32) -> World {
    let world = World::on(Arc::new(disk.clone()), options(shards));
    world.say(
        r#"{"id":"v1","publish":{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z","changes":[{"item":{"item":"rose","price":10,"value":9}}]}}"#,
    );
    go_on(&world, seed, commands);
    world
}

fn go_on(world: &World, seed: u64, commands: u32) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut payments = vec!["none".to_owned()];
    for n in 0..commands {
        let user = format!("u{}", random.random_range(0..6));
        let earlier = random.random_range(0..=n);
        let (id, coins) = (format!("{seed}-{n}"), random.random_range(1..200));
        let order = format!(r#""order":{{"user":"{user}","name":{{"command":"{seed}-{earlier}"}}}}"#);
        let command = match random.random_range(0..12) {
            0 | 1 => {
                payments.push(id.clone());
                format!(
                    r#""top_up":{{"user":"{user}","channel":"c","transaction":"{id}","coins":{coins},"paid":{{"currency":"CNY","amount":"1.00"}}}}"#
                )
            }
            2 => format!(r#""grant":{{"user":"{user}","coins":{coins},"reason":"r"}}"#),
            3 => {
                let at = world.now().plus_millis(random.random_range(1_000..60_000));
                format!(r#""grant":{{"user":"{user}","coins":{coins},"expires":"{at}","reason":"r"}}"#)
            }
            4 | 5 => {
                format!(r#""gift":{{"user":"{user}","item":"rose","to":[],"quantity":{}}}"#, random.random_range(1..9))
            }
            6 | 7 => {
                let at = world.now().plus_millis(random.random_range(1_000..60_000));
                format!(r#""hold":{{"user":"{user}","provider":"p","coins":{coins},"deadline":"{at}"}}"#)
            }
            8 => format!(r#""send":{{{order}}}"#),
            9 => format!(r#""capture":{{{order}}}"#),
            10 => format!(r#""refund":{{{order},"reason":"r"}}"#),
            _ => {
                let payment = &payments[random.random_range(0..payments.len())];
                format!(r#""chargeback":{{"channel":"c","transaction":"{payment}"}}"#)
            }
        };
        world.say(&format!(r#"{{"id":"{id}",{command}}}"#));
        world.advance_millis(random.random_range(0..3_000));
    }
}

fn bytes(states: &[State]) -> Vec<Vec<u8>> {
    states.iter().map(State::to_bytes).collect()
}

/// All of the log, folded without any snapshot.
fn whole(reader: &Reader) -> Snapshot {
    let mut whole = Snapshot::beginning(reader);
    reader.frames(Check::Full).for_each(|frame| whole.take(&frame.unwrap()));
    whole
}

fn with(mut snapshot: Snapshot, reader: &Reader) -> Snapshot {
    reader.frames_from(snapshot.next).for_each(|frame| snapshot.take(&frame.unwrap()));
    snapshot
}

fn files(disk: &SimDisk) -> Vec<String> {
    disk.list("snapshots").unwrap()
}

fn is_finished(file: &str) -> bool {
    file.strip_suffix(".snap").is_some_and(|offset| offset.len() == 16)
}

#[test]
fn a_snapshot_and_the_rest_are_the_whole_wherever_the_cut_is() {
    let (mut cuts, mut under_way, mut in_debt, mut open) = (0, 0, 0, 0);
    for (seed, shards) in [(1, 1), (2, 3), (3, 16)] {
        let disk = SimDisk::new(seed);
        let mut world = played(&disk, shards, seed, 120);
        let reader = world.engine().reader();
        let whole = whole(&reader);
        assert_eq!(bytes(&whole.states), world.states());
        let mut snapshot = Snapshot::beginning(&reader);
        for frame in reader.frames(Check::Frame) {
            snapshot.take(&frame.unwrap());
            let info = snapshot.store(&reader).unwrap();
            assert_eq!(Info::newest(&reader).unwrap(), Some(info));
            let loaded = Snapshot::newest(&reader).unwrap().unwrap();
            assert_eq!(loaded, snapshot);
            assert_eq!(bytes(&loaded.states), bytes(&snapshot.states));
            under_way += usize::from(!loaded.pending.is_empty());
            let users = || loaded.states.iter().flat_map(State::users).map(|(_, user)| user);
            in_debt += users().filter(|user| user.wallet().debt() > 0).count();
            open += users().filter(|user| user.open_orders().next().is_some()).count();
            let folded = with(loaded, &reader);
            assert_eq!(folded, whole);
            assert_eq!(bytes(&folded.states), bytes(&whole.states));
            cuts += 1;
        }
        world.reopen();
        assert_eq!(world.states(), bytes(&whole.states), "a start from a snapshot");
    }
    let least = [cuts, under_way, in_debt, open].into_iter().min().unwrap();
    assert!(
        least > 20,
        "{cuts} cuts, {under_way} with dispatches under way, {in_debt} in debt, {open} with open orders"
    );
}

#[test]
fn dispatches_under_way_are_taken_after_a_start_from_a_snapshot() {
    let disk = SimDisk::new(5);
    let world = World::on(Arc::new(disk.clone()), Options { shards: Some(4), ..World::small() });
    go_on(&world, 5, 80);
    let reader = world.engine().reader();
    let mut snapshot = Snapshot::beginning(&reader);
    let mut found = 0;
    for frame in reader.frames(Check::Frame) {
        snapshot.take(&frame.unwrap());
        if snapshot.pending.is_empty() {
            continue;
        }
        found += 1;
        // The log as a crash right here would leave it: with its reserve.
        let mut content = disk.snapshot();
        content.retain(|name, _| name.starts_with("log/") && *name != *"log/next.tmp");
        let [log] = &mut content.values_mut().collect::<Vec<_>>()[..] else { panic!("one segment") };
        log[usize::try_from(snapshot.next.offset()).unwrap()..].fill(0);
        let started = [true, false].map(|from_snapshot| {
            let disk = Arc::new(SimDisk::with(1, &content));
            if from_snapshot {
                snapshot.store(&Reader::open(disk.clone()).unwrap()).unwrap();
            }
            let world = World::on(disk, World::small());
            world.rest();
            let folded = whole(&world.engine().reader());
            assert!(folded.pending.is_empty(), "what was under way is taken");
            assert_eq!(bytes(&folded.states), world.states());
            world.states()
        });
        assert_eq!(started[0], started[1]);
    }
    assert!(found > 5, "{found} cuts between a claim and its credit");
}

/// A ledger with two snapshots and a few records behind the newer one.
fn with_two_snapshots() -> (SimDisk, World, [Info; 2]) {
    let disk = SimDisk::new(7);
    let world = played(&disk, 2, 7, 15);
    let reader = world.engine().reader();
    let older = fold(&reader, &Plan::NOW, &GO_ON).unwrap().unwrap();
    go_on(&world, 8, 5);
    let newer = fold(&reader, &Plan::NOW, &GO_ON).unwrap().unwrap();
    go_on(&world, 9, 3);
    (disk, world, [older, newer])
}

#[test]
fn a_snapshot_with_any_byte_changed_or_missing_is_not_used() {
    let (disk, world, [older, newer]) = with_two_snapshots();
    let reader = world.engine().reader();
    let (head, states) = (reader.head(), world.states());
    drop(world);
    disk.kill();
    let sound = disk.snapshot();
    let start = |content: &Content, at: &str| {
        let world = World::on(Arc::new(SimDisk::with(0, content)), options(2));
        assert_eq!((world.engine().reader().head(), world.states()), (head.clone(), states.clone()), "{at}");
    };
    let used = |content: &Content| {
        let reader = Reader::open(Arc::new(SimDisk::with(0, content))).unwrap();
        Snapshot::newest(&reader).unwrap().map(|snapshot| snapshot.head)
    };
    assert_eq!(used(&sound), Some(newer.head.clone()));
    let file = &sound[&newer.file];
    for at in 0..file.len() {
        let mut content = sound.clone();
        content.get_mut(&newer.file).unwrap()[at] ^= 1 << (at % 8);
        assert_eq!(used(&content), Some(older.head.clone()), "byte {at} changed");
        if at % 16 == 0 {
            start(&content, &format!("byte {at} changed"));
        }
        let cut = content.get_mut(&newer.file).unwrap();
        *cut = file[..at].to_vec();
        assert_eq!(used(&content), Some(older.head.clone()), "cut at {at}");
        content.get_mut(&older.file).unwrap()[at % sound[&older.file].len()] ^= 0x10;
        assert_eq!(used(&content), None, "both damaged at {at}");
        if at % 64 == 0 {
            start(&content, &format!("both damaged at {at}"));
        }
    }
    let mut content = sound.clone();
    content.get_mut(&newer.file).unwrap().push(0);
    assert_eq!(used(&content), Some(older.head.clone()), "a byte behind it");
    // The same bytes under the name of another place.
    let mut content = sound.clone();
    let bytes = content.remove(&newer.file).unwrap();
    content.insert(format!("snapshots/{:016x}.snap", newer.next.offset() + 1), bytes);
    assert_eq!(used(&content), Some(older.head), "another name");
}

#[test]
fn whatever_fails_while_a_snapshot_is_stored_a_start_comes_to_the_same_state() {
    let (disk, world, [older, newer]) = with_two_snapshots();
    let (reader, states) = (world.engine().reader(), world.states());
    let head = reader.head();
    drop(world);
    disk.kill();
    let content = disk.snapshot();
    for fault in
        [Fault::PowerCut, Fault::ShortWrite, Fault::SyncError, Fault::NoSpace, Fault::ReadError, Fault::BitFlip]
    {
        let mut steps = 0;
        for step in 1.. {
            let at = format!("{fault:?} at step {step}");
            let disk = SimDisk::with(step, &content);
            let log = Log::open(Arc::new(disk.clone()), &options(2)).unwrap().0;
            disk.inject(step, fault);
            let folded = fold(&log.reader(), &Plan::NOW, &GO_ON);
            if disk.waiting_faults() > 0 {
                assert_eq!(folded.unwrap().unwrap().head, head, "{at}");
                break;
            }
            steps += 1;
            if fault != Fault::PowerCut {
                let unfinished = files(&disk).into_iter().any(|file| !is_finished(&file));
                assert!(!unfinished, "{:?}: {at}", files(&disk));
            }
            drop(log);
            if step % 2 == 0 {
                disk.crash();
            } else {
                disk.kill();
            }
            let world = World::on(Arc::new(disk.clone()), options(2));
            assert_eq!(world.states(), states, "{at}");
            assert!(files(&disk).iter().all(|file| is_finished(file)), "{:?}: {at}", files(&disk));
            let reader = world.engine().reader();
            let found = Snapshot::newest(&reader).unwrap().unwrap().head;
            let stored: [&Head; 3] = [&older.head, &newer.head, &head];
            assert!(stored.contains(&&found), "{at}");
            assert!(found != older.head, "the newer one was whole: {at}");
            // And the next attempt goes through.
            let again = fold(&reader, &Plan::NOW, &GO_ON).unwrap();
            assert_eq!(again.is_some(), found != head, "{at}");
            assert_eq!(Snapshot::newest(&reader).unwrap().unwrap(), whole(&reader), "{at}");
        }
        assert!(steps >= 3, "{steps} steps at which {fault:?} strikes");
    }
}

#[test]
fn a_full_disk_refuses_a_snapshot_and_nothing_is_lost() {
    let (disk, world, [_, newer]) = with_two_snapshots();
    let reader = world.engine().reader();
    let before = files(&disk);
    for room in [0, 100, 300] {
        disk.set_capacity(disk.used() + room);
        let refused = fold(&reader, &Plan::NOW, &GO_ON);
        assert!(matches!(refused, Err(Error::Full { .. })), "{refused:?}");
        assert_eq!(files(&disk), before, "with room for {room} bytes");
        assert_eq!(Snapshot::newest(&reader).unwrap().unwrap().head, newer.head);
    }
    disk.set_capacity(u64::MAX);
    assert_eq!(fold(&reader, &Plan::NOW, &GO_ON).unwrap().unwrap().head, reader.head());
}

#[test]
fn a_snapshot_of_another_ledger_or_of_other_records_is_passed_over() {
    let (disk, world, [_, newer]) = with_two_snapshots();
    let reader = world.engine().reader();
    let good = Snapshot::newest(&reader).unwrap().unwrap();
    let name = format!("snapshots/{:016x}.snap", newer.next.offset() + 1);
    let mut foreign = good.clone();
    foreign.head.lineage = played(&SimDisk::new(1), 2, 1, 1).engine().reader().head().lineage;
    let mut other = good.clone();
    other.head.shards[1].hash = other.head.shards[0].hash;
    for mut bad in [foreign, other] {
        bad.next = u64::from(bad.next).wrapping_add(1 << 20).into();
        bad.write(&disk, &name).unwrap();
        assert_eq!(Snapshot::newest(&reader).unwrap().unwrap(), good);
        assert_eq!(Info::newest(&reader).unwrap().unwrap(), newer);
    }
}

#[test]
fn a_snapshot_that_has_seen_more_than_the_log_holds_is_refused() {
    let disk = SimDisk::new(3);
    let world = played(&disk, 2, 3, 10);
    let reader = world.engine().reader();
    let info = fold(&reader, &Plan::NOW, &GO_ON).unwrap().unwrap();
    let frames: Vec<_> = reader.frames(Check::Frame).map(Result::unwrap).collect();
    drop(world);
    disk.kill();
    let mut content = disk.snapshot();
    content.retain(|name, _| !name.starts_with("positions/") && *name != *"log/next.tmp");
    let (name, log) = content.iter_mut().rfind(|(name, _)| name.starts_with("log/")).unwrap();
    let base = u64::from_str_radix(&name["log/".len()..][..16], 16).unwrap();
    log.truncate(usize::try_from(frames.last().unwrap().first.offset() - base).unwrap());
    let disk = Arc::new(SimDisk::with(0, &content));
    let shown = Reader::open(disk.clone()).map(drop).unwrap_err();
    assert!(matches!(&shown, Error::Refused { what, .. } if what.contains(&info.file)), "{shown}");
    let clock = Arc::new(ledger::ManualClock::at(giftledger_tests::world::BEGIN.parse().unwrap()));
    let started = ledger::Engine::start(disk, &options(2), clock);
    assert!(matches!(started, Err(Error::Refused { .. })), "{:?}", started.err());
}

#[test]
fn a_reader_that_was_opened_before_a_snapshot_was_stored_uses_an_older_one() {
    let (_disk, world, [_, newer]) = with_two_snapshots();
    let early = Reader::open(Arc::clone(world.disk())).unwrap();
    go_on(&world, 10, 5);
    let later = fold(&world.engine().reader(), &Plan::NOW, &GO_ON).unwrap().unwrap();
    assert_eq!(Snapshot::newest(&early).unwrap().unwrap().head, newer.head);
    assert_eq!(Snapshot::newest(&Reader::open(Arc::clone(world.disk())).unwrap()).unwrap().unwrap().head, later.head);
}

#[test]
fn folding_takes_sealed_segments_once_that_is_worth_it_and_keeps_two() {
    let disk = SimDisk::new(4);
    let world = played(&disk, 3, 4, 300);
    let reader = world.engine().reader();
    let (end, records) = reader.sealed();
    assert!(reader.segments().unwrap().len() > 2 && records > 20, "{records} records in sealed segments");
    let plan = |records, records_per_user| Plan { until: Until::Sealed, records, records_per_user, unhurried: 0 };
    assert_eq!(fold(&reader, &plan(records + 1, 0), &GO_ON).unwrap(), None, "too few records");
    let stop = AtomicBool::new(true);
    assert_eq!(fold(&reader, &plan(records, 0), &stop).unwrap(), None, "stopped");
    assert!(files(&disk).is_empty());
    stop.store(false, Ordering::Relaxed);
    let info = fold(&reader, &plan(records, 0), &stop).unwrap().unwrap();
    assert_eq!((info.next, info.records()), (end, records));
    assert!(info.users > 0);
    assert_eq!(fold(&reader, &plan(1, 0), &GO_ON).unwrap(), None, "nothing was sealed since");

    for round in 0..4 {
        go_on(&world, 20 + round, 150);
        let folded = Info::newest(&reader).unwrap().unwrap();
        let new = reader.sealed().1 - folded.records();
        assert!(new > 0, "a segment was sealed");
        // A user with many lots counts as often as those take the place of one.
        let users = folded.users.max(folded.bytes / Plan::USER_BYTES);
        assert_eq!(fold(&reader, &plan(1, new / users + 1), &GO_ON).unwrap(), None, "too few for the users");
        let info = fold(&reader, &plan(1, new / users), &GO_ON).unwrap().unwrap();
        let loaded = Snapshot::newest(&reader).unwrap().unwrap();
        assert_eq!((loaded.next, loaded.records(), loaded.users()), (info.next, reader.sealed().1, info.users));
        assert_eq!(with(loaded, &reader), whole(&reader));
        assert_eq!(files(&disk).len(), 2);
    }
}

#[test]
fn the_same_position_gives_the_same_bytes() {
    let (disk, world, _) = with_two_snapshots();
    let reader = world.engine().reader();
    whole(&reader).write(&disk, "snapshots/one").unwrap();
    with(Snapshot::newest(&reader).unwrap().unwrap(), &reader).write(&disk, "snapshots/other").unwrap();
    let content = disk.snapshot();
    assert!(content["snapshots/one"] == content["snapshots/other"]);
}

#[test]
fn the_command_stores_a_snapshot_and_says_where_it_stands() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("ledger");
    let run = |arguments: &[&str], input: &str| {
        let mut command = giftledger();
        command.arg("--data").arg(&data).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let grant = |n: u32| format!(r#"{{"id":"g{n}","grant":{{"user":"u{n}","coins":5,"reason":"r"}}}}"#);
    assert_eq!(serde_json::to_value(envelope(&grant(1))).unwrap()["id"], "g1");
    let snapshot = || -> Value { serde_json::from_str(&run(&["snapshot", "--json"], "")).unwrap() };
    run(&["init"], "");
    run(&["append", "-"], &(0..40).map(grant).collect::<Vec<_>>().join("\n"));
    let first = snapshot();
    assert_eq!((&first["written"], &first["records"], &first["users"]), (&true.into(), &40.into(), &40.into()));
    let shards = first["shards"].as_array().unwrap();
    assert_eq!(shards.iter().map(|shard| shard["sequence"].as_u64().unwrap()).sum::<u64>(), 40);
    assert!(data.join(first["file"].as_str().unwrap()).is_file());
    let again = snapshot();
    assert_eq!((&again["written"], &again["file"]), (&false.into(), &first["file"]));
    run(&["append", "-"], &grant(41));
    let next = snapshot();
    assert_eq!((&next["written"], &next["records"]), (&true.into(), &41.into()));
    assert!(run(&["snapshot"], "").contains("nothing has come since"));
    assert!(run(&["verify", "--json"], "").contains(r#""ok":true"#));
}

/// What a ledger of these grants to u1 and then these gifts of hers is, and its newest snapshot, made between.
fn granted(coins: u32, gifts: u32) -> (World, String, Snapshot) {
    let world = World::in_folder(1);
    world.say(
        r#"{"id":"v1","publish":{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z","changes":[{"item":{"item":"rose","price":10,"value":10}}]}}"#,
    );
    world.advance_millis(1);
    world.say(&format!(r#"{{"id":"a1","grant":{{"user":"u1","coins":{coins},"reason":"reward"}}}}"#));
    let reader = world.engine().reader();
    let made = fold(&reader, &Plan::NOW, &GO_ON).unwrap().unwrap();
    let snapshot = Snapshot::newest(&reader).unwrap().unwrap();
    for n in 0..gifts {
        world.advance_millis(1);
        let gift = format!(r#"{{"id":"g{n}","gift":{{"user":"u1","item":"rose","to":[{{"streamer":"s1"}}]}}}}"#);
        assert!(matches!(world.say(&gift), ledger::Answer::Taken(_)));
    }
    (world, made.file, snapshot)
}

/// A ledger of 300 coins whose snapshot says otherwise, with good checksums and the log's own hash.
fn forged(coins: u32, gifts: u32) -> (TempDir, String) {
    let (world, file, genuine) = granted(300, gifts);
    let (_other, _, of_other) = granted(coins, 0);
    let forged = Snapshot { head: genuine.head, next: genuine.next, ..of_other };
    forged.write(&**world.disk(), &file).unwrap();
    let folder = TempDir::new().unwrap();
    let mut copy = std::process::Command::new("cp");
    assert!(copy.arg("-r").arg(world.folder().unwrap()).arg(folder.path().join("l")).status().unwrap().success());
    (folder, file)
}

fn ask(folder: &TempDir, arguments: &[&str]) -> std::process::Output {
    giftledger().args(arguments).arg("--data").arg(folder.path().join("l")).stdin(Stdio::null()).output().unwrap()
}

/// Nobody spends what a forged snapshot gives: `verify` proves each snapshot against the log.
#[test]
fn a_forged_snapshot_is_found_named_and_not_used() {
    let (folder, file) = forged(16_000, 0);
    let found = ask(&folder, &["verify", "--json"]);
    assert_eq!(found.status.code(), Some(1));
    let proof: Value = serde_json::from_slice(&found.stdout).unwrap();
    let fault = proof["fault"].as_str().unwrap();
    assert!(
        fault.starts_with(&format!(
            "{file} is not what the log folds to: user u1 has 16000 coins in it and 300 by the log"
        )),
        "{fault}"
    );
    assert_eq!(proof["forged_snapshots"], serde_json::json!([file]));
    assert!(!folder.path().join("l").join(&file).exists() && folder.path().join("l").join(file + ".forged").exists());
    let again = ask(&folder, &["verify", "--json"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
}

/// A record that takes what the state does not have is told from a bug, and does not end the process.
#[test]
fn a_snapshot_that_the_log_contradicts_is_moved_aside_by_a_start() {
    let (folder, file) = forged(20, 10);
    let started = ask(&folder, &["append"]);
    let said = String::from_utf8_lossy(&started.stderr);
    assert!(started.status.success(), "{said}");
    assert!(said.contains(&file) && said.contains("contradicts the log") && !said.contains("mistake"), "{said}");
    assert!(folder.path().join("l").join(file + ".forged").exists());
    let wallet = ask(&folder, &["wallet", "u1", "--json"]);
    assert!(String::from_utf8_lossy(&wallet.stdout).contains("200"), "{}", String::from_utf8_lossy(&wallet.stdout));
    assert!(ask(&folder, &["verify"]).status.success());
}
