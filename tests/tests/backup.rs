//! Backups, repairs and anchors from outside: an engine under load, and the real program.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Output,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use crc_fast::CrcAlgorithm::Crc32Iscsi;
use giftledger_tests::{
    binary::giftledger,
    world::{World, envelope},
};
use ledger::{
    Answer,
    backup::{self, Lineage},
    log::{Batch, Check, Disk, Log, Options, OsDisk, Reader},
};
use reconcile::proofs;
use schemas::{Body, Coins, Event, Timestamp};
use serde_json::Value;
use tempfile::TempDir;

const ROUNDS: usize = 4;
const CALLERS: usize = 3;
/// Answers between two rounds: somewhat more than a segment of this size holds.
const ANSWERS: usize = 16_000;

/// Stops the callers, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn backups_beside_an_engine_under_load_restore_to_what_was_answered() {
    let world = World::in_folder(4);
    let folder = TempDir::new().unwrap();
    let to = OsDisk::new(folder.path().join("backup"));
    let answered: Mutex<BTreeMap<String, Answer>> = Mutex::default();
    let stop = AtomicBool::new(false);
    let (count, counts) = mpsc::channel();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (world, answered, stop, count) = (&world, &answered, &stop, count.clone());
            scope.spawn(move || {
                for bulk in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let ids: Vec<String> = (0..400).map(|n| format!("c{caller}-{bulk}-{n}")).collect();
                    let answers = world.execute(ids.iter().map(|id| envelope(&grant(id))).collect());
                    answered.lock().unwrap().extend(ids.into_iter().zip(answers));
                    count.send(400).unwrap();
                }
            });
        }
        let _stop = Stop(&stop);
        let (mut before, mut kept, mut seen) = (0, 0, 0);
        for round in 0..ROUNDS {
            while seen < (round + 1) * ANSWERS {
                seen += counts.recv().unwrap();
            }
            let known = answered.lock().unwrap().clone();
            let now = Timestamp::from_nanos(1_800_000_000_000_000_000);
            let done = backup::back_up(world.disk(), &to, now, &mut |_, _| {}).unwrap();
            assert!(!done.manifest.closed && done.manifest.records() > before);
            kept += done.kept;
            before = done.manifest.records();

            let target: Arc<dyn Disk> = Arc::new(OsDisk::new(folder.path().join(format!("restored-{round}"))));
            let restored = backup::restore(&to, &*target, Lineage::New, &mut |_, _| {}).unwrap();
            assert!(restored.is_renewed());
            let reader = Reader::open(target.clone()).unwrap();
            assert_eq!((&reader.head(), &reader.head().shards), (&restored.head, &done.manifest.head.shards));
            let proof = proofs::prove(&reader, |_| true).unwrap();
            assert_eq!((proof.fault, proof.records), (None, done.manifest.records()));
            // What was answered before the backup began is in it: asking again gets the same answers.
            let again = World::on(target, World::small());
            let (ids, first): (Vec<String>, Vec<Answer>) = known.into_iter().unzip();
            assert_eq!(again.execute(ids.iter().map(|id| envelope(&grant(id))).collect()), first);
            assert_eq!(again.engine().reader().head().shards, done.manifest.head.shards, "nothing was added");
        }
        assert!(kept > 0, "no segment was sealed between the rounds");
    });
}

fn grant(id: &str) -> String {
    let user = id.rsplit('-').next().unwrap();
    format!(r#"{{"id":"{id}","grant":{{"user":"u{user}","coins":5,"reason":"goodwill"}}}}"#)
}

/// A folder with ledgers in it.
struct Place(TempDir);

impl Place {
    /// With a ledger `a` of some records, closed.
    fn new() -> Self {
        let place = Self(TempDir::new().unwrap());
        place.grant("a", 0..300);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &str, code: i32) -> Output {
        let output = giftledger().current_dir(self.0.path()).args(arguments.split(' ')).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {said}{}", String::from_utf8_lossy(&output.stdout));
        assert!(!said.contains("panicked"), "{arguments}: {said}");
        output
    }

    fn out(&self, arguments: &str, code: i32) -> String {
        String::from_utf8(self.run(arguments, code).stdout).unwrap()
    }

    fn said(&self, arguments: &str, code: i32) -> String {
        String::from_utf8(self.run(arguments, code).stderr).unwrap()
    }

    /// Runs the command that something printed behind some words, as a shell does.
    fn typed(&self, said: &str, behind: &str, code: i32) -> String {
        let line = said.lines().find_map(|line| line.split_once(behind)).expect(said).1;
        let binary = giftledger().get_program().to_string_lossy().into_owned();
        let script = line.replacen("giftledger", &binary, 1);
        let output =
            std::process::Command::new("sh").current_dir(self.0.path()).args(["-c", &script]).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {out}");
        out
    }

    fn json(&self, arguments: &str, code: i32) -> Value {
        let out = self.out(&format!("{arguments} --json"), code);
        serde_json::from_str(out.lines().last().unwrap()).unwrap_or_else(|error| panic!("{arguments}: {error}: {out}"))
    }

    fn grant(&self, data: &str, ids: std::ops::Range<u32>) {
        let lines: Vec<String> = ids.map(|n| grant(&format!("g-{n}")) + "\n").collect();
        fs::write(self.path("commands.ndjson"), lines.concat()).unwrap();
        if !self.path(data).exists() {
            self.run(&format!("init --data {data}"), 0);
        }
        self.run(&format!("append commands.ndjson --data {data}"), 0);
    }

    fn heads(&self, data: &str) -> Value {
        let proof = self.json(&format!("verify --data {data}"), 0);
        let shards = proof["shards"].as_array().unwrap();
        shards.iter().map(|shard| (shard["sequence"].clone(), shard["hash"].clone())).map(|(s, h)| vec![s, h]).collect()
    }
}

fn heads_of(said: &Value) -> Value {
    let shards = said["shards"].as_array().unwrap();
    shards.iter().map(|shard| vec![shard["sequence"].clone(), shard["hash"].clone()]).collect()
}

#[test]
fn backup_check_and_restore_on_the_command_line() {
    let place = Place::new();
    let done = place.json("backup --to b --data a", 0);
    assert_eq!((heads_of(&done), &done["closed"]), (place.heads("a"), &Value::Bool(true)));
    let said = place.out("restore --from b --data r --in-place-of a", 0);
    assert!(said.contains("as before: the old folder says that it was closed where the backup ends"), "{said}");
    assert_eq!(place.heads("r"), place.heads("a"));
    place.grant("r", 300..310);
    assert!(place.said("restore --from b --data r", 1).contains("name a folder that is missing or empty"));
    assert!(place.said("append commands.ndjson --data b", 1).contains("holds a backup, which nobody writes to"));
    assert!(place.said("backup --to a --data r", 1).contains("name a folder that is missing or empty"));
    place.run("backup --data a", 2);
    place.run("restore --data new", 2);
    assert!(place.said("backup --to b --data nothing", 2).contains("there is no ledger in nothing"));
    assert!(place.said("restore --from nothing --data new", 1).contains("there is none in nothing"));

    // Nothing says that the ledger did not go on after its backup: the lineage is another one.
    let restored = place.json("restore --from b --data n", 0);
    assert!(restored["why"].as_str().unwrap().contains("nothing says whether it was opened again"), "{restored}");
    assert_eq!((heads_of(&restored), &restored["former_lineage"]), (place.heads("a"), &done["lineage"]));
    assert_ne!(restored["lineage"], done["lineage"]);
    assert_eq!(place.heads("n"), place.heads("a"));
    let inspected = place.out("log inspect --data n", 0);
    assert!(inspected.contains(&format!("lineage {} until", done["lineage"].as_str().unwrap())), "{inspected}");

    let checked = place.out("backup --check b", 0);
    assert!(checked.contains("is sound: 300 records"), "{checked}");
    let segment = place.path("b/log/0000000000000000.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    for arguments in ["backup --check b", "restore --from b --data m"] {
        let said = place.said(arguments, 1);
        assert!(said.contains("b/log/0000000000000000.seg at byte"), "{said}");
    }
    assert!(place.json("verify --data m", 1)["fault"].as_str().unwrap().contains("a restore from a backup was begun"));
}

#[test]
fn a_log_that_refuses_to_start_is_explained_and_repaired() {
    let place = Place::new();
    place.run("backup --to b --data a", 0);
    let sound = place.heads("a");
    let segment = place.path("a/log/0000000000000000.seg");
    let whole = fs::read(&segment).unwrap();
    let frames = place.out("log inspect --segment 0000000000000000.seg --data a --json", 0);
    let last: Value = serde_json::from_str(frames.lines().last().unwrap()).unwrap();
    let mut damaged = whole.clone();
    damaged[usize::try_from(last["offset"].as_u64().unwrap()).unwrap() + 60] ^= 1;
    fs::write(&segment, &damaged).unwrap();

    place.run("append commands.ndjson --data a", 1);
    let inspected = place.out("log inspect --data a", 1);
    let place_of = format!("log/0000000000000000.seg at byte {}", last["offset"]);
    assert!(inspected.contains(&format!("DAMAGE: {place_of}")) && inspected.contains("DAMAGED"), "{inspected}");
    let said = place.out("log repair --data a", 1);
    let with_backup = "giftledger log repair --from BACKUP --data a";
    for part in [&place_of, "answered records are lost", "gets a new lineage", "Nothing was changed", with_backup] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(fs::read(&segment).unwrap(), damaged);
    let said = place.out("log repair --from b --data a", 1);
    assert!(said.contains("No record is lost.") && said.contains("from the backup"), "{said}");

    // Typed as it is printed: without the backup, what it has would be given up.
    place.typed(&said, "To do it: ", 0);
    assert_eq!((place.heads("a"), fs::read(&segment).unwrap()), (sound, whole));
    assert!(place.out("log repair --data a", 0).contains("there is nothing to repair"));

    // And without one.
    fs::write(&segment, &damaged).unwrap();
    let diagnosis = place.json("log repair --apply --data a", 0);
    let lost = diagnosis["diagnosis"]["lost"].as_array().unwrap();
    let lost: u64 = lost.iter().map(|lost| lost["to"].as_u64().unwrap() - lost["from"].as_u64().unwrap() + 1).sum();
    let left = place.json("verify --data a", 0)["records"].as_u64().unwrap();
    assert_eq!((left + lost, lost), (300, last["records"].as_u64().unwrap()));
    place.grant("a", 0..300);
    assert_eq!(place.json("verify --data a", 0)["records"], 300, "asked again, they are taken");
}

/// Every command that is printed to be typed is whole: it names the folder and the backup, however they are
/// spelt.
#[test]
fn what_is_printed_to_be_typed_runs_and_does_what_was_shown() {
    let place = Place::new();
    let (data, bk) = ("the ledger's folder", "a backup");
    fs::rename(place.path("a"), place.path(data)).unwrap();
    let run = |arguments: &[&str], code: i32| {
        let output = giftledger().current_dir(place.0.path()).args(arguments).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}");
        out
    };
    run(&["backup", "--to", bk, "--data", data], 0);
    let log = place.path(data).join("log/0000000000000000.seg");
    let whole = fs::read(&log).unwrap();

    // The log is lost, and nobody is told to make a new one in its place.
    fs::remove_file(&log).unwrap();
    for folder in [true, false] {
        if !folder {
            fs::remove_dir(log.parent().unwrap()).unwrap();
        }
        for arguments in [&["wallet", "u1"][..], &["append", "/dev/null"], &["verify"], &["backup", "--to", "other"]] {
            let said = run(&[arguments, &["--data", data]].concat(), 1);
            assert!(said.contains("300 answered records are lost"), "{arguments:?}: {said}");
            assert!(!said.contains("make one") && !said.contains("demo") && !said.contains("init"), "{said}");
            place.typed(&said.replace('\n', " \n"), "what can be done: ", 1);
        }
    }
    let said = run(&["log", "repair", "--from", bk, "--data", data], 1);
    assert!(said.contains("No record is lost."), "{said}");
    place.typed(&said, "To do it: ", 0);
    assert_eq!(fs::read(&log).unwrap(), whole);
    run(&["verify", "--data", data], 0);

    // What `log inspect` and a refused start print.
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&log, &damaged).unwrap();
    place.typed(&run(&["log", "inspect", "--data", data], 1), "What can be done about it: ", 1);
    place.typed(&run(&["append", "/dev/null", "--data", data], 1), "what can be done: ", 1);
    let said = run(&["log", "repair", "--data", data], 1);
    place.typed(&said.replace("BACKUP", "'a backup'"), "A backup may have what is missing: ", 1);
    let said = run(&["log", "repair", "--from", bk, "--data", data], 1);
    place.typed(&said, "To do it: ", 0);
    assert_eq!(fs::read(&log).unwrap(), whole, "nothing was given up");

    // And what says that a backup holds no ledger to write to.
    let said = run(&["append", "/dev/null", "--data", bk], 1);
    place.typed(&said.replace("NEW", "restored"), "restore it into another folder: ", 0);
    run(&["verify", "--data", "restored"], 0);
}

/// The next round onto a backup that rots on its disk.
#[test]
fn a_rotten_backup_is_made_whole_by_the_next_round_which_says_so() {
    let place = Place::new();
    place.run("backup --to b --data a", 0);
    let segment = place.path("b/log/0000000000000000.seg");
    let whole = fs::read(&segment).unwrap();
    let mut rotten = whole.clone();
    rotten[whole.len() / 2] ^= 1;
    fs::write(&segment, rotten).unwrap();
    place.grant("a", 300..301);
    let said = place.out("backup --to b --data a", 0);
    assert!(said.contains("had rotten, and was made whole again: log/0000000000000000.seg"), "{said}");
    place.run("backup --check b", 0);
    assert!(fs::read(&segment).unwrap().starts_with(&whole));
}

#[test]
fn anchors_find_what_was_cut_forged_or_exchanged() {
    let place = Place::new();
    let public = place.out("anchor --new-key key", 0).trim().to_owned();
    assert_eq!(fs::metadata(place.path("key")).unwrap().permissions(), {
        use std::os::unix::fs::PermissionsExt;
        fs::Permissions::from_mode(0o100_600)
    });
    place.run("anchor --new-key key", 2);
    let other = place.out("anchor --new-key other-key", 0).trim().to_owned();
    place.run("anchor --key key --out anchors --data a", 0);
    place.run("backup --to early --data a", 0);
    place.run("restore --from early --data cut --in-place-of a", 0);
    place.grant("a", 300..600);
    place.run("anchor --key key --out anchors --data a", 0);
    let verify =
        |data: &str, rest: &str, code: i32| place.json(&format!("verify --anchor anchors --data {data}{rest}"), code);
    let fault = |data: &str, rest: &str| verify(data, rest, 1)["fault"].as_str().unwrap().to_owned();

    // Good, and by whom.
    let proof = verify("a", &format!(" --public-key {public}"), 0);
    let check = proof["checks"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(check, serde_json::json!({"name": "anchors", "count": 2, "ok": true}));
    place.grant("a", 600..700);
    verify("a", " --public-key key", 0);
    let said = place.out("verify --anchor anchors --data a", 0);
    assert!(said.contains("unproven without --public-key") && said.contains(&public), "{said}");
    for wrong in [other.as_str(), "other-key"] {
        assert!(fault("a", &format!(" --public-key {wrong}")).contains("not with"));
    }
    assert!(place.said("verify --anchor anchors --public-key nobody --data a", 2).contains("neither a public key"));
    place.run("verify --anchor nothing --data a", 2);

    // Changed, unsigned, or no anchor.
    let anchors = fs::read_to_string(place.path("anchors")).unwrap();
    for (from, to, why) in [
        ("\"sequence\":1", "\"sequence\":2", "line 1: its signature is not of what it says"),
        ("\"signature\"", "\"signed\"", "it is no anchor"),
        ("{\"anchor\":1", "{\"anchor\":7", "use a newer release"),
    ] {
        assert!(anchors.contains(from), "{anchors}");
        fs::write(place.path("changed"), anchors.replacen(from, to, 1)).unwrap();
        let proof = place.json("verify --anchor changed --data a", 1);
        assert!(proof["fault"].as_str().unwrap().contains(why), "{why}: {proof}");
    }
    let mut unsigned: Value = serde_json::from_str(anchors.lines().next().unwrap()).unwrap();
    unsigned.as_object_mut().unwrap().remove("signature");
    fs::write(place.path("unsigned"), unsigned.to_string()).unwrap();
    assert!(place.json("verify --anchor unsigned --data a", 1)["fault"].as_str().unwrap().contains("is not signed"));

    // Of another ledger.
    place.grant("foreign", 0..10);
    assert!(fault("foreign", "").contains("line 1: it is of ledger"));

    // Cut: an older copy of the files looks sound by itself.
    assert!(fault("cut", "").contains("line 2: shard"), "{}", fault("cut", ""));
    assert!(fault("cut", "").contains("its end was cut off"));
    // Restored openly: the first anchor holds up to the cut, the second names records that are lost.
    place.run("restore --from early --data restored", 0);
    assert!(fault("restored", "").contains("line 2: shard") && fault("restored", "").contains("restore or a repair"));
    fs::write(place.path("first"), anchors.lines().next().unwrap()).unwrap();
    let said = place.out("verify --anchor first --data restored", 0);
    assert!(said.contains("from before the ledger's end was cut"), "{said}");

    // Forged from some record on, with all hashes, sums and checksums right.
    forge(&place.path("a"), &place.path("forged"));
    assert_eq!(place.json("verify --data forged", 0)["records"], 700, "by itself it is sound");
    assert!(fault("forged", "").contains("line 2: the records of shard"), "{}", fault("forged", ""));
    assert!(fault("forged", "").contains("the log was rewritten"));
    let proof = place.json("verify --anchor first --data forged", 0);
    assert_eq!(proof["ok"], true, "what the first anchor covers was not touched");
}

/// Copies a ledger with more coins in its 500th record, under the same lineage, consistent in itself.
fn forge(from: &Path, to: &Path) {
    let reader = Reader::open(Arc::new(OsDisk::new(from))).unwrap();
    let shards = reader.shards();
    let (mut log, _) =
        Log::open(Arc::new(OsDisk::new(to)), &Options { shards: Some(shards), ..World::small() }).unwrap();
    let mut number = 0;
    for frame in reader.frames(Check::Full) {
        let mut batch = vec![Vec::new(); shards.into()];
        for mut record in frame.unwrap().records {
            number += 1;
            if let Body::Event(event) = &mut record.body
                && let Event::Granted(granted) = &mut **event
                && number == 500
            {
                granted.coins = Coins::new(1_000_000).unwrap();
            }
            batch[usize::from(record.shard)].push(record);
        }
        log.ensure_room().unwrap();
        log.append(&Batch::of(&batch)).unwrap();
    }
    log.close().unwrap();
    fs::remove_file(to.join("positions/head.json")).unwrap();
    let mut segments = fs::read_dir(to.join("log")).unwrap();
    let segment = segments.next().unwrap().unwrap().path();
    assert!(segments.next().is_none(), "so small a log has one segment");
    let mut bytes = fs::read(&segment).unwrap();
    rename_lineage(&mut bytes, reader.head().lineage.as_bytes());
    fs::write(&segment, bytes).unwrap();
}

/// Writes another lineage into a segment's header, and all checksums that follow from it.
fn rename_lineage(bytes: &mut [u8], lineage: &[u8]) {
    let number = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let crc = |bytes: &[u8]| u32::try_from(crc_fast::checksum(Crc32Iscsi, bytes)).unwrap().to_le_bytes();
    let mut at = number(bytes, 16) as usize;
    bytes[24..40].copy_from_slice(lineage);
    let header = crc(&bytes[12..at]);
    bytes[8..12].copy_from_slice(&header);
    let mut previous = header;
    while bytes[at..at + 8] != *b"GLended\n" {
        let sections = usize::from(u16::from_le_bytes([bytes[at + 24], bytes[at + 25]]));
        let tables = 32 + 48 * sections + 16 * number(bytes, at + 28) as usize;
        bytes[at + 12..at + 16].copy_from_slice(&previous);
        previous = crc(&bytes[at + 8..at + tables]);
        bytes[at + 4..at + 8].copy_from_slice(&previous);
        at += number(bytes, at + 8) as usize;
    }
    bytes[at + 8..at + 12].copy_from_slice(&previous);
    bytes[at + 12..at + 16].fill(0);
    let mark = crc(&bytes[at..]);
    bytes[at + 12..at + 16].copy_from_slice(&mark);
}
