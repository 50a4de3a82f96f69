//! `apply` by the real binary, killed between the parts of a version.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    fs,
    path::PathBuf,
    process::{Child, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use giftledger_tests::binary::giftledger;
use serde_json::Value;
use tempfile::TempDir;

/// Items of a version: eight parts. `GIFTLEDGER_ITEMS=20000` makes it 20, killed at more points.
const ITEMS: usize = 8_000;
const ITEMS_A_PART: usize = 1_000;
/// How long a part may take to come before the test gives up.
const PATIENCE: Duration = Duration::from_mins(2);

struct Desk {
    folder: TempDir,
    items: usize,
}

impl Desk {
    fn new() -> Self {
        let items = std::env::var("GIFTLEDGER_ITEMS").map_or(ITEMS, |items| items.parse().expect("a number"));
        let desk = Self { folder: TempDir::new().unwrap(), items };
        desk.run(&["init", "--shards", "4"], 0);
        desk
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    fn catalogue(&self, name: &str, price: usize) -> String {
        let item = |n: usize| format!("[[item]]\nitem = 'item-{n}'\nprice = {price}\n");
        let path = self.folder.path().join(name);
        fs::write(&path, (0..self.items).map(item).collect::<String>()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str], code: i32) -> Output {
        let output = giftledger().args(arguments).arg("--data").arg(self.data()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        output
    }

    fn applied(&self, file: &str) -> Value {
        serde_json::from_slice(&self.run(&["apply", "-f", file, "--json"], 0).stdout).unwrap()
    }

    /// Parts of versions that are on the log, as the subject `reference` has them.
    fn parts(&self) -> usize {
        let events = self.run(&["events", "--subject", "reference", "--json", "--limit", "1000"], 0);
        String::from_utf8_lossy(&events.stdout).lines().count()
    }

    /// Applies the file and kills that once the log has a further `parts` parts; whether it was killed in time.
    fn killed(&self, file: &str, parts: usize) -> bool {
        let enough = self.parts() + parts;
        let mut command = giftledger();
        command.args(["apply", "-f", file, "--json"]).arg("--data").arg(self.data());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        self.await_parts(enough, &mut child);
        child.kill().unwrap();
        child.wait().unwrap().code().is_none()
    }

    fn await_parts(&self, enough: usize, child: &mut Child) {
        let begun = Instant::now();
        while self.parts() < enough && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "the log did not come to {enough} parts");
            thread::yield_now();
        }
    }

    fn sold(&self, price: usize) -> usize {
        let file = self.folder.path().join("none.toml");
        fs::write(&file, "").unwrap();
        let difference = self.run(&["apply", "-f", file.to_str().unwrap(), "--prune", "--dry-run", "--json"], 0);
        let withdrawn = String::from_utf8_lossy(&difference.stdout).lines().count();
        let repriced = self.run(&["apply", "-f", &self.catalogue("same.toml", price), "--dry-run", "--json"], 0);
        withdrawn - String::from_utf8_lossy(&repriced.stdout).lines().count()
    }
}

/// After a kill each later `apply` was refused with "run it again".
#[test]
fn a_killed_apply_goes_on_or_is_given_up() {
    let desk = Desk::new();
    let parts = desk.items / ITEMS_A_PART;
    let (first, second) = (desk.catalogue("first.toml", 5), desk.catalogue("second.toml", 6));
    let mut killed = 0;
    for after in [1, 2, 1] {
        killed += usize::from(desk.killed(&first, after));
    }
    let before = desk.parts();
    let applied = desk.applied(&first);
    if killed > 0 && before < parts {
        assert_eq!((applied["version"].as_u64(), applied["resumed_at_part"].as_u64()), (Some(1), Some(before as u64)));
    }
    assert_eq!((desk.parts(), desk.sold(5)), (parts, desk.items), "each part is there once");

    let was_killed = desk.killed(&second, 2);
    let opened = desk.parts() - parts;
    let third = desk.catalogue("third.toml", 7);
    let applied = desk.applied(&third);
    if was_killed && opened < parts {
        assert_eq!(
            (applied["version"].as_u64(), applied["given_up"]["parts"].as_u64()),
            (Some(2), Some(opened as u64))
        );
        assert_eq!((&applied["given_up"]["of"], &applied["resumed_at_part"]), (&parts.into(), &Value::Null));
    }
    assert_eq!(desk.sold(7), desk.items);
    desk.run(&["verify", "-q"], 0);
}
