use std::process::Command;

use super::*;
use crate::sample::{Sample, at, day};

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

/// The books of the days from `first` on, opened with what was held before.
fn export_from(sample: &Sample, format: Format, first: &str) -> String {
    let first = day(first);
    let mut books = Books::new(Vec::new(), format, Tz::UTC).unwrap();
    let mut before = Accounts::new();
    let (earlier, own): (Vec<Record>, Vec<Record>) =
        sample.records().into_iter().partition(|record| record.happened_at().day_in(Tz::UTC) < first);
    for record in &earlier {
        before.apply(record);
    }
    books.open(first, &before).unwrap();
    for record in &own {
        books.write(record).unwrap();
    }
    String::from_utf8(books.finish().unwrap()).unwrap()
}

/// 1,000 coins bought on day 40, and gifts of 30 before (as if owed) and 20 behind: day 41 opens at 970.
fn two_years() -> Sample {
    let mut sample = Sample::new(2);
    sample.top_up("u1", 1_000, "10.00 CNY", "t1");
    sample.gift("u1", at(5, 0), &[("s1", 30)], 30, 0);
    sample.gift("u1", at(60, 0), &[("s1", 20)], 20, 0);
    sample
}

#[test]
fn books_begin_with_what_accounts_held_and_close_at_what_they_hold() {
    let sample = two_years();
    let beancount = export_from(&sample, Format::Beancount, "2026-12-20");
    for line in [
        "2026-12-19 * \"opening_balance\" ^opening-",
        "  Liabilities:Users:U-u1  -970 COIN\n  Equity:Opening-Balances  970 COIN\n",
        "  Assets:Channels:C-apple:Receivable  10.00 CNY\n  Equity:Opening-Balances  -10.00 CNY\n",
        "balance Liabilities:Users:U-u1  -950 ~ 0 COIN",
        "balance Liabilities:Streamers:S-s1:Turnover  -50 ~ 0 COIN",
        "balance Equity:Opening-Balances  0 ~ 0 COIN",
    ] {
        assert!(beancount.contains(line), "{line} is not in\n{beancount}");
    }
    assert_eq!(beancount.matches("open Liabilities:Users:U-u1").count(), 1, "each account is opened once");
    let hledger = export_from(&sample, Format::Hledger, "2026-12-20");
    assert!(hledger.contains("    Liabilities:Users:U-u1  0 COIN = -950 COIN"), "{hledger}");
    let csv = export_from(&sample, Format::Csv, "2026-12-20");
    assert!(csv.contains(",user:u1,,970,COIN,,opening_balance\n"), "{csv}");
    assert!(csv.contains(",equity:opening-balances,970,,COIN,,opening_balance\n"), "{csv}");
    // Whatever the first day, the closing balances are those of all records.
    let closing = |text: &str| {
        let told = |line: &&str| line.contains(" balance ") && !line.contains("Opening") && !line.contains("  0 ");
        let lines = text.lines().filter(told); // what holds nothing need not be opened
        lines.map(|line| line.split_once(" balance ").unwrap().1.to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    let whole = export(&sample, Format::Beancount);
    for first in ["2026-11-06", "2026-12-20", "2027-12-01"] {
        assert_eq!(closing(&export_from(&sample, Format::Beancount, first)), closing(&whole), "from {first}");
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
        // What the user is asserted to hold, and another balance.
        let opened = |first| (export_from(&two_years(), format, first), "-950", "-951");
        for (text, held, other) in
            [(export(&sample(), format), "-830", "-831"), opened("2026-12-20"), opened("2027-12-01")]
        {
            let Ok(output) = run(&text) else {
                println!("left out: {tool} is not installed");
                continue;
            };
            assert!(output.status.success(), "{tool}: {}\n{text}", String::from_utf8_lossy(&output.stderr));
            let at = text.rfind(held).unwrap();
            let wrong = format!("{}{other}{}", &text[..at], &text[at + held.len()..]);
            assert!(!run(&wrong).unwrap().status.success(), "{tool} took {wrong}");
        }
    }
}
