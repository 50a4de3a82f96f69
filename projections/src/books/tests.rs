use std::process::Command;

use super::*;
use crate::sample::{Sample, at};

fn export(sample: &Sample, format: Format) -> String {
    let mut books = Books::new(Vec::new(), format, Tz::Asia__Shanghai).unwrap();
    sample.records().iter().for_each(|record| books.write(record).unwrap());
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
    let tools: [(Format, &str, &[&str]); 2] = [
        (Format::Beancount, "bean-check", &["--no-cache"]),
        (Format::Hledger, "hledger", &["check", "-f"]),
    ];
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

/// Writes a big journal, to be tried by hand.
#[test]
fn zz_big() {
    let Ok(dir) = std::env::var("GIFTLEDGER_BIG") else { return };
    let (n, users): (u64, u64) = (std::env::var("N").unwrap().parse().unwrap(), std::env::var("USERS").unwrap().parse().unwrap());
    let mut sample = Sample::new(16);
    let mut x = 88_172_645_463_325_252_u64;
    let mut random = |below: u64| { x ^= x << 13; x ^= x >> 7; x ^= x << 17; x % below };
    let mut gifts = Vec::new();
    for i in 0..n {
        let user = format!("u{}", random(users));
        match random(100) {
            0..=4 => sample.top_up(&user, random(1000) + 1, "10.00 CNY", &format!("t{i}")),
            5..=7 if !gifts.is_empty() => {
                let gift = gifts[usize::try_from(random(gifts.len() as u64)).unwrap()];
                sample.refund(gift, random(500), at(random(30) as i64 + 1, 0));
            }
            8..=9 => { sample.hold(&user, 5); }
            _ => {
                let streamer = format!("s{}", random(users / 10));
                let value = random(1000) + 1;
                gifts.push(sample.gift(&user, at(random(30) as i64 + 1, 3), &[(&streamer, value)], value, random(3)));
            }
        }
    }
    sample.capture_all();
    let records = sample.records();
    println!("{} records", records.len());
    let time = |what: &str, f: &mut dyn FnMut()| { let t = std::time::Instant::now(); f(); println!("{what}: {:?}", t.elapsed()); };
    for format in Format::ALL {
        time(&format.to_string(), &mut || {
            let file = std::io::BufWriter::new(std::fs::File::create(format!("{dir}/big.{format}")).unwrap());
            let mut books = Books::new(file, format, Tz::Asia__Shanghai).unwrap();
            records.iter().for_each(|record| books.write(record).unwrap());
            books.finish().unwrap();
        });
    }
    time("accounts", &mut || { let mut a = crate::Accounts::new(); records.iter().for_each(|r| a.apply(r)); println!("{}", a.len()); });
    time("boards", &mut || { let mut a = crate::Boards::new(Tz::Asia__Shanghai); records.iter().for_each(|r| a.apply(r)); println!("{}", a.windows().len()); });
    time("tallies", &mut || { let mut a = crate::Tallies::new(Tz::Asia__Shanghai); records.iter().for_each(|r| a.apply(r)); println!("{}", a.lines().count()); });

    let mut big = Sample::new(16);
    for i in 0..300_000_u64 { big.gift("u1", at((i % 30) as i64 + 1, 0), &[(&format!("s{}", i % 100_000), 777)], 700, 77); }
    big.publish(1, 0, true, [
        r#"{"entity": {"currency": "CNY", "zone": "Asia/Shanghai", "coins_per_unit": 100}}"#, r#"{"streamer": {"share": "0.45", "from": "2026-01-01"}}"#].map(crate::sample::change).to_vec());
    let mut tallies = crate::Tallies::new(Tz::Asia__Shanghai);
    let mut reference = crate::Reference::new();
    big.records().iter().for_each(|r| { tallies.apply(r); reference.apply(r); });
    time("payout", &mut || { let p = crate::payout("2026-11".parse().unwrap(), &tallies, &reference).unwrap(); println!("{} {:?}", p.streamers.len(), p.digest()); });
}
