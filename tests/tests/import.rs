//! Imports by the real binary: what a bookmark covers, how rows are counted, what a file may be called.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use giftledger_tests::binary::giftledger;
use serde_json::Value;
use tempfile::TempDir;

const DONE: i32 = 0;
const FAULT: i32 = 1;
const WRONG_USE: i32 = 2;

const HEADER: &str = "gift_id,campaign,occurred_at,sender,amount_usd,room,streamers";

/// A ledger that the shipped platform was applied to, and files beside it.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: TempDir::new().unwrap() };
        desk.run(&["apply", "-f", &shipped("platform.toml")], DONE);
        desk
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str], code: i32) -> Output {
        let output = giftledger().args(arguments).arg("--data").arg(self.data()).output().unwrap();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stdout}{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        output
    }

    fn import(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.run(&[&["import", "--json"], arguments].concat(), code);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {}", text(&output.stderr)))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shipped(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/marathon");
    docs.join(name).to_str().unwrap().to_owned()
}

fn csv(rows: &[&str]) -> String {
    format!("{HEADER}\n{}\n", rows.join("\n"))
}

fn counts(imported: &Value, names: [&str; 4]) -> [u64; 4] {
    names.map(|name| imported[name].as_u64().unwrap_or_else(|| panic!("{name}: {imported}")))
}

/// With `decimals` 1 in the place of 2 the file had "0 rows" and was done: its bookmark did not know of the mapping.
#[test]
fn another_mapping_is_refused_by_name() {
    let desk = Desk::new();
    let file = desk.file("gifts.csv", csv(&["1,c,2011-08-04T19:01:38Z,u1,5.50,r,s1"]));
    let mapping = fs::read_to_string(shipped("mapping.toml")).unwrap();
    let path = desk.file("mapping.toml", &mapping);
    let import = [file.as_str(), "--mapping", &path];
    let first = desk.import(&import, DONE);
    assert_eq!(counts(&first, ["rows", "taken", "resumed_after", "records_added"])[..3], [1, 1, 0]);
    let again = desk.import(&import, DONE);
    assert_eq!(counts(&again, ["rows", "taken", "resumed_after", "records_added"]), [0, 0, 1, 0]);

    for (old, new, said) in [
        ("decimals = 2", "decimals = 1", "amount.decimals was 2 and is 1"),
        (
            "item = \"donation\"",
            "item = \"donation\"\nid_prefix = \"x-\" #",
            "gift.id_prefix was \"gift-\" and is \"x-\"",
        ),
        ("room = \"room\"\n", "", "columns.room was \"room\" and is null"),
        ("actor = \"overlay\"", "actor = \"someone\"", "top_up.actor was \"overlay\" and is \"someone\""),
    ] {
        let changed = mapping.replacen(old, new, 1).replace("\nid_prefix = \"gift-\"", "\n");
        let changed = if new.contains("x-") { changed } else { mapping.replacen(old, new, 1) };
        assert_ne!(changed, mapping, "{old}");
        fs::write(&path, changed).unwrap();
        let refused = text(&desk.run(&[&["import"], &import[..]].concat(), WRONG_USE).stderr);
        let typed = format!("giftledger import {file} --mapping {path} --from-start --data {}", desk.data().display());
        for said in [said, "imported up to line 2 with another mapping", &typed] {
            assert!(refused.contains(said), "{refused}\nlacks {said}");
        }
    }
    fs::write(&path, mapping.replace("decimals = 2", "decimals = 1")).unwrap();
    let anew = desk.import(&[&import[..], &["--from-start"]].concat(), FAULT);
    assert_eq!(counts(&anew, ["rows", "taken", "conflicts", "records_added"]), [1, 0, 1, 0], "no row is taken twice");
    // A mapping that only looks otherwise is the same.
    fs::write(
        &path,
        format!(
            "# Of ours\n{}",
            mapping.replace("room = \"room\"\n", "").replace("[columns]", "[columns]\nroom = 'room'")
        ),
    )
    .unwrap();
    desk.import(&[&import[..], &["--from-start"]].concat(), DONE);
    assert_eq!(desk.import(&import, DONE)["resumed_after"], 1);
}

/// A file that was changed before its bookmark is another one; one that was corrected behind it is read on.
#[test]
fn a_file_that_was_changed_is_refused_and_one_that_was_corrected_is_read_on() {
    let desk = Desk::new();
    let (good, bad) = ("1,c,2011-08-04T19:01:38Z,u1,5.50,r,s1", "2,c,2011-08-04T19:01:38Z,u1,five,r,s1");
    let file = desk.file("gifts.csv", csv(&[good, bad]));
    let mapping = shipped("mapping.toml");
    let import = [file.as_str(), "--mapping", &mapping];
    let output = desk.run(&["import", &file, "--mapping", &mapping], FAULT);
    let (said, summary) = (text(&output.stderr), text(&output.stdout));
    assert!(said.contains("gifts.csv, line 3, column \"amount_usd\", value \"five\": not a decimal amount"), "{said}");
    for line in [
        "rows read                     2",
        "taken                         1   550 coins",
        "malformed                     1   line 3",
    ] {
        assert!(summary.contains(line), "{summary}\nlacks {line}");
    }
    fs::write(&file, csv(&[good, &bad.replace("five", "5")])).unwrap();
    let corrected = desk.import(&import, DONE);
    assert_eq!(counts(&corrected, ["rows", "taken", "already_there", "malformed"]), [2, 1, 1, 0]);
    fs::write(&file, csv(&[&good.replace("5.50", "6.50"), &bad.replace("five", "5")])).unwrap();
    let refused = text(&desk.run(&[&["import"], &import[..]].concat(), WRONG_USE).stderr);
    assert!(refused.contains("it is another file, or was changed"), "{refused}");
    let typed = format!("giftledger import {file} --mapping {mapping} --from-start --data {}", desk.data().display());
    assert!(refused.contains(&typed), "{refused}\nlacks {typed}");
}

/// The bookmark's name came from the file's, and was too long after the rows had been taken.
#[test]
fn a_file_may_have_any_name() {
    let desk = Desk::new();
    let mapping = shipped("mapping.toml");
    let long = "g".repeat(246) + ".csv";
    for (nth, name) in [long.as_str(), "金 'gifts'.csv", "-", "gifts"].into_iter().enumerate() {
        let row = format!("{nth},c,2011-08-04T19:01:38Z,u1,5.50,r,s1");
        let file = desk.file(name, csv(&[&row]));
        let import = [file.as_str(), "--mapping", &mapping];
        assert_eq!(desk.import(&import, DONE)["taken"], 1, "{name}");
        assert_eq!(desk.import(&import, DONE)["resumed_after"], 1, "{name}");
    }
    let inside = desk.folder.path().join("other");
    fs::create_dir(&inside).unwrap();
    let same_name = inside.join("gifts");
    fs::write(&same_name, csv(&["9,c,2011-08-04T19:01:38Z,u1,5.50,r,s1"])).unwrap();
    let imported = desk.import(&[same_name.to_str().unwrap(), "--mapping", &mapping], DONE);
    assert_eq!(
        (&imported["taken"], &imported["resumed_after"]),
        (&1.into(), &0.into()),
        "another folder's is another file"
    );
}

/// Rows without ids are called by their number, so rows alike are gifts of their own, and the file of another month
/// needs a prefix of its own.
#[test]
fn rows_without_ids_are_numbered() {
    let desk = Desk::new();
    let mapping = fs::read_to_string(shipped("mapping.toml")).unwrap();
    let mapping = mapping.replace("gift = \"gift_id\"\n", "").replace("id_prefix = \"gift-\"", "number_rows = true");
    let mapping = desk.file("mapping.toml", mapping);
    let row = "x,c,2011-08-04T19:01:38Z,u1,5.50,r,s1";
    let file = desk.file("gifts.csv", csv(&[row, row]));
    let refused = text(&desk.run(&["import", &file, "--mapping", &mapping], WRONG_USE).stderr);
    assert!(refused.contains("[gift] id_prefix is missing") && refused.contains("--id-prefix"), "{refused}");
    let named = |prefix: &str, code| desk.import(&[&file, "--mapping", &mapping, "--id-prefix", prefix], code);
    assert_eq!(counts(&named("2011-08-", DONE), ["rows", "taken", "repeated", "refused"]), [2, 2, 0, 0]);
    let order = text(&desk.run(&["order", "--user", "u1", "--command", "2011-08-2"], DONE).stdout);
    assert!(order.contains("550"), "{order}");
    // The next month's file, whose first row another user gave, with the prefix of the last: nothing is lost in silence.
    fs::write(&file, csv(&[&row.replace("5.50", "7"), row])).unwrap();
    let clash = desk.import(&[&file, "--mapping", &mapping, "--id-prefix", "2011-08-", "--from-start"], FAULT);
    assert_eq!(counts(&clash, ["taken", "conflicts", "already_there", "repeated"]), [0, 1, 1, 0]);
}

/// What every row needs is looked at before the first: a refusal uses its id up.
#[test]
fn what_every_row_needs_is_checked_before_the_first() {
    let desk = Desk::new();
    let file = desk.file("gifts.csv", csv(&["1,c,2011-08-04T19:01:38Z,u1,5.50,r,s1"]));
    let mapping = fs::read_to_string(shipped("mapping.toml")).unwrap();
    let more = desk.file(
        "more.toml",
        "[[item]]\nitem = 'car'\nprice = 100\n[[item]]\nitem = 'old'\nprice = 1\nuntil = 2020-01-01T00:00:00Z\n",
    );
    desk.run(&["apply", "-f", &more], DONE);
    for (changed, said) in [
        (mapping.replace("\"donation\"", "\"unicorn\""), "item unicorn, which the mapping names, is not on sale"),
        (mapping.replace("\"donation\"", "\"old\""), "item old, which the mapping names, is not on sale"),
        (mapping.replace("\"donation\"", "\"car\""), "costs 100 coins: an item of 1 coin is needed"),
        (
            mapping.replace("\"USD\"", "\"EUR\""),
            "the mapping's amounts are in EUR ([amount] currency), and the entity's books in USD",
        ),
    ] {
        assert_ne!(changed, mapping);
        let changed = desk.file("mapping.toml", changed);
        let refused = text(&desk.run(&["import", &file, "--mapping", &changed], WRONG_USE).stderr);
        assert!(refused.contains(said), "{refused}\nlacks {said}");
    }
    let proof: Value = serde_json::from_slice(&desk.run(&["verify", "--json"], DONE).stdout).unwrap();
    let versions = 2 * 17; // a version, taken by each of 16 shards
    assert_eq!(proof["records"], versions, "no row was handed in");
    let looked = desk.import(&[&file, "--mapping", &desk.file("mapping.toml", &mapping), "--dry-run"], DONE);
    assert_eq!((&looked["taken"], &looked["coins"]), (&1.into(), &"550".into()));
}
