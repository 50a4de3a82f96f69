use std::process::Command;

use super::*;
use crate::sample::{Sample, at};

fn export(sample: &Sample, format: Format) -> String {
    let mut books = Books::new(Vec::new(), format, Tz::Asia__Shanghai).unwrap();
    for record in &sample.records() {
        books.write(record).unwrap();
    }
    String::from_utf8(books.finish().unwrap()).unwrap()
}

/// One of each: a payment with an unpleasant number, a grant, a gift, its refund, a hold.
fn sample() -> Sample {
    let mut sample = Sample::new(1);
    sample.top_up("tom_2", 1_000, "10.00 CNY", r#"=1;date:x|"\"#);
    sample.grant("tom_2", 50);
    let gift = sample.gift("tom_2", at(30, 16 * 60), &[("s1", 300)], 200, 50);
    sample.refund(gift, 100, at(30, 15 * 60));
    sample.hold("tom_2", 70);
    sample.capture_all();
    sample.refusal("tom_2", schemas::Rejection::ItemNotFound);
    sample
}

#[test]
fn beancount_gets_entries_with_the_signs_of_books_and_an_assertion_for_every_account() {
    assert_eq!(export(&sample(), Format::Beancount), include_str!("golden/journal.beancount"));
}

#[test]
fn hledger_gets_declarations_and_assertions() {
    assert_eq!(export(&sample(), Format::Hledger), include_str!("golden/journal.hledger"));
}

#[test]
fn the_general_journal_has_a_row_per_posting() {
    assert_eq!(export(&sample(), Format::Csv), include_str!("golden/journal.csv"));
}

#[test]
fn ndjson_is_every_record_as_it_is() {
    let sample = sample();
    let lines = export(&sample, Format::Ndjson);
    let read: Vec<Record> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, sample.records());
}

#[test]
fn the_events_of_a_group_are_entries_of_their_own() {
    let mut sample = Sample::new(1);
    sample.gift("u1", at(1, 0), &[("s1", 5)], 5, 0);
    sample.gift("u1", at(1, 0), &[("s2", 7)], 7, 0);
    let mut records = sample.records();
    let events: Vec<Event> = records.iter().map(|record| record.event().unwrap().clone()).collect();
    records.truncate(1);
    records[0].body = schemas::Body::Event(Box::new(Event::Group(events)));
    let mut books = Books::new(Vec::new(), Format::Csv, Tz::UTC).unwrap();
    books.write(&records[0]).unwrap();
    let text = String::from_utf8(books.finish().unwrap()).unwrap();
    let ids: Vec<&str> = text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    assert_eq!(ids, ["0-1", "0-1", "0-1.1", "0-1.1"]);
}

#[test]
fn an_empty_journal_is_one() {
    for format in Format::ALL {
        let text = export(&Sample::new(1), format);
        assert!(text.lines().count() <= 3, "{format}: {text}");
        assert_eq!(format.to_string().parse(), Ok(format));
    }
}

/// What the tools of finance say of the journal; a tool that is not installed is left out.
#[test]
fn the_tools_take_the_journal_and_refuse_another_balance() {
    let dir = tempfile::tempdir().unwrap();
    let tools: [(Format, &str, &[&str]); 2] =
        [(Format::Beancount, "bean-check", &["--no-cache"]), (Format::Hledger, "hledger", &["check", "-f"])];
    for (format, tool, arguments) in tools {
        let path = dir.path().join(format.to_string());
        let run = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Command::new(tool).args(arguments).arg(&path).output()
        };
        let text = export(&sample(), format);
        let Ok(output) = run(&text) else {
            println!("left out: {tool} is not installed");
            continue;
        };
        assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
        let wrong = text.replace("-830", "-831"); // what the user is asserted to hold
        assert_ne!(wrong, text);
        assert!(!run(&wrong).unwrap().status.success(), "{tool} took {wrong}");
    }
}
