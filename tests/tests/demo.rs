//! The demo as somebody who has just built the binary meets it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::process::{Command, Output};

use giftledger_tests::binary::giftledger;
use serde_json::Value;
use tempfile::TempDir;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn demo(data: &str, more: &[&str]) -> Output {
    let demo = giftledger().args(["demo", "--once", "--users", "120", "--data", data]).args(more).output().unwrap();
    assert_eq!(demo.status.code(), Some(0), "{}{}", text(&demo.stdout), text(&demo.stderr));
    demo
}

fn shell(line: &str) -> Output {
    Command::new("sh").arg("-c").arg(line).output().unwrap()
}

/// Each command that the demo prints to be typed is typed, in a folder whose name needs quotes.
#[test]
fn every_hint_works_as_it_is_printed() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("my demo's data");
    let told = text(&demo(data.to_str().unwrap(), &[]).stdout);
    let hints: Vec<&str> =
        told.lines().skip_while(|line| !line.starts_with("Try next")).skip(1).map(str::trim).collect();
    assert!(hints.len() >= 7, "{told}");
    let has_hledger = shell("command -v hledger").status.success();
    for hint in hints {
        let hint = if has_hledger { hint } else { hint.split(" | hledger").next().unwrap() };
        let output = shell(hint);
        let said = format!("{hint}\n{}{}", text(&output.stdout), text(&output.stderr));
        assert!(output.status.success() && !output.stdout.is_empty(), "{said}");
        assert!(!said.contains(r#""state":"refused""#), "{said}");
    }
}

/// Of every balance and of the payout; a refund and its roll-back were in one unordered bulk.
#[test]
fn the_same_seed_gives_the_same_digest() {
    let folder = TempDir::new().unwrap();
    let digest = |name: &str, more: &[&str]| {
        let told = demo(folder.path().join(name).to_str().unwrap(), &[&["--json"], more].concat());
        let summary: Value = serde_json::from_slice(&told.stdout).unwrap();
        summary["digest"].as_str().unwrap().to_owned()
    };
    let first = digest("first", &[]);
    assert_eq!(digest("second", &[]), first);
    assert_ne!(digest("another seed", &["--seed", "2"]), first);
}
