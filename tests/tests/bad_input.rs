//! Wrong input to the real binary: each ends with the right code and a message that says what is wrong,
//! where, and what to do; nothing is half-done and nothing panics.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crc_fast::CrcAlgorithm::Crc32Iscsi;
use flate2::{Compression, write::GzEncoder};
use giftledger_tests::binary::giftledger;
use serde_json::Value;
use tempfile::TempDir;

const DONE: i32 = 0;
/// It ran, and found a fault or was refused.
const FAULT: i32 = 1;
const WRONG_USE: i32 = 2;

const PLATFORM: &str = "[entity]\ncurrency = 'USD'\nzone = 'Asia/Shanghai'\ncoins_per_unit = 100\n\
                        [[item]]\nitem = 'rose'\nprice = 10\n\
                        [[item]]\nitem = 'donation'\nprice = 1\n\
                        [[streamer]]\nshare = '0.5'\nfrom = 2011-01-01\n";
const TOP_UP: &str = r#"{"id":"t1","top_up":{"user":"u1","channel":"apple","transaction":"x1","coins":1000,"paid":{"currency":"CNY","amount":"10.00"}}}"#;
const GIFT: &str = r#"{"id":"g1","gift":{"user":"u1","item":"rose","to":[{"streamer":"s1"}]}}"#;
const HEADER: &str = "gift_id,campaign,occurred_at,sender,amount_usd,room,streamers";
const ROW: &str = "1,c,2011-08-04T19:01:38Z,u1,5,r,s1";

#[test]
fn malformed_lines_are_answered_and_not_recorded() {
    let ledger = Ledger::new();
    let grant = |coins: &str| format!(r#"{{"id":"a","grant":{{"user":"u1","coins":{coins},"reason":"r"}}}}"#);
    let gift = |of: &str| format!(r#"{{"id":"a","gift":{{"user":"u1","item":"rose","to":[]{of}}}}}"#);
    let paid = |paid: &str| TOP_UP.replace("t1", "a").replace("x1", "x9").replace("10.00", paid);
    let long_id = "i".repeat(201);
    let whole_number = "a whole number of coins from 0 to 9007199254740991";
    let table: &[(&str, Vec<u8>, &str)] = &[
        ("cut off", r#"{"id":"a","gift":{"user":"u1""#.into(), "the line ends too early: EOF while parsing an object"),
        ("no JSON", "gift u1 a rose".into(), "expected value, at column 1"),
        ("no object", "[1]".into(), "an object with an id and one command"),
        ("two objects", format!("{GIFT}{GIFT}").into(), "trailing characters, at column"),
        ("no id", GIFT.replace(r#""id":"g1","#, "").into(), "id is missing"),
        ("no command", r#"{"id":"a"}"#.into(), "there is no command; one of publish, top_up"),
        ("unknown command", gift("").replace("gift", "gfit").into(), "the name `gfit`; did you mean `gift`?"),
        ("two commands", gift("").replace("}}", r#"},"group":[]}"#).into(), "gift and group: a line has one command"),
        (
            "unknown field",
            gift(r#","colour":"red""#).into(),
            "gift.colour: nothing is known by the name `colour`; known",
        ),
        ("missing field", gift("").replace(r#","item":"rose""#, "").into(), "gift.item is missing"),
        ("no recipients", gift("").replace(r#","to":[]"#, "").into(), "gift.to is missing: name the streamers"),
        ("the house by name", gift("").replace("[]", r#"[{"streamer":"house"}]"#).into(), "`house` is reserved"),
        ("an array for an object", r#"{"id":"a","gift":["u1","rose",1,[]]}"#.into(), "an object with user, item"),
        ("a field twice", gift(r#","item":"car""#).into(), "gift.item: it is there twice"),
        ("negative coins", grant("-1").into(), whole_number),
        ("zero coins", grant("0").into(), "grant.coins: found 0; allowed is at least 1"),
        ("a fraction of a coin", grant("1.5").into(), whole_number),
        ("coins in words", grant(r#""many""#).into(), whole_number),
        (
            "too many coins",
            grant("9007199254740992").into(),
            "are more than 9007199254740991, the most an amount can be",
        ),
        ("beyond 64 bits", grant("99999999999999999999").into(), whole_number),
        ("beyond any number", grant("1e999").into(), "number out of range"),
        ("quantity 0", gift(r#","quantity":0"#).into(), "gift.quantity: found 0; allowed is at least 1"),
        ("quantity -1", gift(r#","quantity":-1"#).into(), "gift.quantity: found -1; allowed is a whole number from 0"),
        ("a negative price", paid("-10.00").into(), "top_up.paid.amount: found -10.00 CNY; allowed is an amount of at"),
        ("too many decimals", paid("10.001").into(), "10.001 has more decimals than CNY, which has 2"),
        ("an amount with marks", paid("1__0").into(), r#"top_up.paid.amount: "1__0" is not a decimal amount"#),
        ("no currency", TOP_UP.replace("CNY", "CNX").into(), r#""CNX" is not a currency code of ISO 4217"#),
        ("an empty id", grant("1").replace(r#""a""#, r#""""#).into(), "a command id must not be empty"),
        (
            "a long id",
            grant("1").replace(r#""a""#, &format!("{long_id:?}")).into(),
            "at most 200 bytes, this one has 201",
        ),
        ("a long user", grant("1").replace("u1", &long_id).into(), "at most 200 bytes, this one has 201"),
        ("a space in an id", grant("1").replace("u1", "u 1").into(), "may contain ASCII letters, digits and"),
        (
            "the future",
            gift("").replace(r#"{"id""#, r#"{"occurred_at":"2199-01-01T00:00:00Z","id""#).into(),
            "ahead of",
        ),
        (
            "never",
            grant("1").replace(r#""coins""#, r#""expires":"9999-12-31T23:59:59Z","coins""#).into(),
            "a time is at most 2262-04-11T23:47:16.854775807Z; leave `expires` out for never",
        ),
        ("no time", gift("").replace(r#"{"id""#, r#"{"occurred_at":"now","id""#).into(), "is not a time of RFC 3339"),
        ("not the caller's", r#"{"id":"a","expire_lot":{"user":"u1","lot":"1"}}"#.into(), "the name `expire_lot`"),
        ("an empty group", r#"{"id":"a","group":[]}"#.into(), "group: found 0 commands; allowed is 1 to 64"),
        ("not UTF-8", b"{\"id\":\"a\",\"\xff\":[]}".into(), "not UTF-8, at column 12"),
        ("NUL bytes", vec![0; 100], "expected value, at column 1"),
        ("a deep nest", "[".repeat(100_000).into(), "nested deeper than 32"),
        ("a line too long", vec![b' '; (1 << 20) + 1], "a line of more than 1048576 bytes"),
        ("a very deep nest", "[".repeat(10_000_000).into(), "a line of more than 1048576 bytes"),
    ];
    for (what, line, said) in table {
        // The line behind it is answered all the same.
        let input = [line, b"\n".as_slice(), GIFT.as_bytes()].concat();
        let output = ledger.run_with(&["append"], &input);
        let answers = text(&output.stdout);
        let malformed: Value = serde_json::from_str(answers.lines().next().unwrap()).unwrap();
        assert_eq!((&malformed["line"], &malformed["state"]), (&1.into(), &"malformed".into()), "{what}: {answers}");
        assert!(malformed["message"].as_str().unwrap().contains(said), "{what}: {answers}\nlacks {said}");
        let begins_with_id = line.starts_with(br#"{"id":"a""#);
        assert!(!begins_with_id || malformed["id"] == "a", "the id that could be read comes back: {what}: {answers}");
        assert!(answers.lines().nth(1).unwrap().contains(r#""line":2,"id":"g1","state":"taken""#), "{what}: {answers}");
        assert_eq!(output.status.code(), Some(FAULT), "{what}");
        ledger.assert_unchanged(what);
    }
}

#[test]
fn nothing_to_append_is_no_fault() {
    let ledger = Ledger::new();
    for (what, input, answers) in [
        ("an empty file", String::new(), 0),
        ("blank lines", "\n\n \t\n\r\n".to_owned(), 0),
        ("blank lines between", format!("\n\n{GIFT}\n\n{TOP_UP}\n"), 2),
        ("no line end at the end", GIFT.to_owned(), 1),
        ("line ends of Windows", format!("{GIFT}\r\n{TOP_UP}\r\n"), 2),
        ("a byte-order mark", format!("\u{feff}{TOP_UP}\n{GIFT}\n"), 2),
        ("a byte-order mark and line ends of Windows", format!("\u{feff}{TOP_UP}\r\n{GIFT}"), 2),
        ("a byte-order mark alone", "\u{feff}\r\n".to_owned(), 0),
        ("two files with marks, one behind the other", format!("\u{feff}{TOP_UP}\n\u{feff}{GIFT}\n"), 2),
    ] {
        let output = ledger.run_with(&["append"], input.as_bytes());
        assert_eq!((text(&output.stdout).lines().count(), output.status.code()), (answers, Some(DONE)), "{what}");
        ledger.assert_unchanged(what);
    }
    let numbered = text(&ledger.run_with(&["append"], format!("\n\n{GIFT}\n").as_bytes()).stdout);
    assert!(numbered.starts_with(r#"{"line":3,"id":"g1","#), "lines count as an editor counts them: {numbered}");
}

/// The first line would be malformed and the gift behind it refused for ever for want of coins.
#[test]
fn commands_in_another_encoding_are_refused_before_any_is_taken() {
    let ledger = Ledger::new();
    let text = format!("{}\n{}\n", TOP_UP.replace("t1", "t2").replace("x1", "x2"), GIFT.replace("g1", "g2"));
    let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let (little, big) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
    for (encoding, input) in [
        ("UTF-16LE", [&b"\xff\xfe"[..], &little].concat()),
        ("UTF-16BE", [&b"\xfe\xff"[..], &big].concat()),
        ("UTF-16LE", little),
        ("UTF-16BE", big),
        (
            "UTF-32LE",
            [&b"\xff\xfe\0\0"[..], &text.as_bytes().iter().flat_map(|b| [*b, 0, 0, 0]).collect::<Vec<_>>()].concat(),
        ),
    ] {
        let output = ledger.run_with(&["append"], &input);
        let said = ["reading the commands", "nothing was taken", &format!("iconv -f {encoding} -t UTF-8")];
        assert_says(&output, &said, encoding);
        assert_eq!((output.status.code(), &*output.stdout), (Some(WRONG_USE), &b""[..]), "{encoding}");
        ledger.assert_unchanged(encoding);
    }
}

#[test]
fn refusals_are_recorded_once_and_conflicts_not() {
    let ledger = Ledger::new();
    let records = ledger.records();
    let gift = |id: &str, of: &str| format!(r#"{{"id":"{id}","gift":{{"user":"u1","to":[],{of}}}}}"#);
    let table = [
        (gift("r1", r#""item":"unicorn""#), "item_not_found", "the catalogue has no such item"),
        (gift("r2", r#""item":"rose","quantity":1000"#), "insufficient_funds", "the wallet has 990 coins to spend"),
        (gift("r3", r#""item":"rose","quantity":18446744073709551615"#), "insufficient_funds", "990 coins"),
        (gift("r4", r#""item":"rose","expected_price":9"#), "price_changed", "one costs 10 coins"),
        (TOP_UP.replace("t1", "r5"), "transaction_claimed", r#"claimed by command \"t1\""#),
    ];
    for (nth, (line, code, said)) in (1..).zip(&table) {
        let [first, again] = [(); 2].map(|()| ledger.run_with(&["append"], line.as_bytes()));
        let answer = text(&first.stdout);
        assert!(answer.contains(r#""state":"refused""#) && answer.contains(&format!(r#""code":"{code}""#)));
        assert!(answer.contains(said), "{answer}\nlacks {said}");
        let repeated = text(&again.stdout).replace(r#","replayed":true"#, "");
        assert_eq!((answer, first.status.code()), (repeated, again.status.code()), "the same answer again");
        assert_eq!(first.status.code(), Some(FAULT));
        assert_eq!(ledger.records(), records + nth, "{line}");
    }
    let records = ledger.records();
    let conflict = ledger.run_with(&["append"], GIFT.replace("s1", "s2").as_bytes());
    assert!(text(&conflict.stdout).contains(r#""state":"conflict""#), "{conflict:?}");
    assert_eq!((conflict.status.code(), ledger.records()), (Some(FAULT), records));
}

/// What it is, the file, the mapping, and what must be said.
type Case<'a> = (&'a str, Vec<u8>, Vec<u8>, &'a [&'a str]);

#[test]
fn a_wrong_file_of_gifts_is_refused() {
    let ledger = Ledger::new();
    let shipped = shipped_mapping();
    let mapping = |change: &dyn Fn(&str) -> String| change(&shipped).into_bytes();
    let good = || mapping(&str::to_owned);
    let csv = |row: &str| format!("{HEADER}\n{row}\n").into_bytes();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&csv(&format!("{ROW}\n").repeat(500))).unwrap();
    let gzip = gzip.finish().unwrap();
    // What is wrong with a row is a finding, told with the summary; with the mapping, or the file as a whole, a wrong use.
    let advice = "";
    let is_row = |said: &[&str]| said.contains(&advice);
    let table: &[Case<'_>] = &[
        (
            "no column",
            format!("{}\n{ROW}\n", HEADER.replace("sender", "who")).into(),
            good(),
            &[
                "does not fit: ",
                r#"has no column named "sender" ([columns] sender)"#,
                "its columns are gift_id, campaign, occurred_at, who",
            ],
        ),
        (
            "a column twice",
            format!("{HEADER},sender\n{ROW},u\n").into(),
            good(),
            &[r#"has two columns named "sender""#],
        ),
        ("no header", Vec::new(), good(), &["the file is empty"]),
        ("a negative amount", csv(&ROW.replace(",5,", ",-5,")), good(), &["must not be negative", advice]),
        ("nothing", csv(&ROW.replace(",5,", ",0.00,")), good(), &["a gift of nothing", "leave the row out", advice]),
        (
            "half a cent",
            csv(&ROW.replace(",5,", ",5.005,")),
            good(),
            &[r#"line 2, column "amount_usd", value "5.005""#, advice],
        ),
        ("no amount", csv(&ROW.replace(",5,", ",five,")), good(), &["not a decimal amount such as 12.34", advice]),
        ("too much", csv(&ROW.replace(",5,", ",1e30,")), good(), &["not a decimal amount such as 12.34", advice]),
        ("too many", csv(&ROW.replace(",5,", ",90071992547409.92,")), good(), &["the most an amount can be", advice]),
        ("no time", csv(&ROW.replace("2011-08-04T", "")), good(), &[r#"column "occurred_at""#, "RFC 3339", advice]),
        ("no day", csv(&ROW.replace("2011-08-04", "2011-02-30")), good(), &["is not a time of RFC 3339", advice]),
        ("no id", csv(&ROW[1..]), good(), &[r#"column "gift_id""#, "must not be empty", advice]),
        ("a long id", csv(&format!("{}{ROW}", "9".repeat(200))), good(), &["at most 200 bytes, this one has", advice]),
        ("a sender in words", csv(&ROW.replace("u1", "you and me")), good(), &["a user id may contain", advice]),
        (
            "few fields",
            csv("1,c"),
            good(),
            &["line 2: 2 fields where the header has 7; is a comma or a quote missing?", advice],
        ),
        (
            "not UTF-8",
            [&csv(&ROW.replace(",5,", ",five,"))[..], b"2,c,2011-08-04T19:01:38Z,u1,5,\xff,s1\n"].concat(),
            good(),
            &["line 3, column \"room\"", "not UTF-8; save the file in that encoding", advice],
        ),
        ("gzip cut off", gzip[..gzip.len() / 2].to_vec(), good(), &["the file is cut off, get it whole"]),
        ("gzip damaged", [&gzip[..20], &[0xff; 2000][..]].concat(), good(), &["its gzip data is damaged"]),
        (
            "a mapping's unknown key",
            csv(ROW),
            mapping(&|m| m.replace("[gift]", "[gift]\ncolour = 1")),
            &["the mapping", "line 23", "unknown field `colour`, expected one of `item`"],
        ),
        (
            "a mapping without a key",
            csv(ROW),
            mapping(&|m| m.replace("item = ", "# ")),
            &["the mapping", "it lacks [gift] item"],
        ),
        (
            "a mapping of a missing column",
            csv(ROW),
            mapping(&|m| m.replace("\"room\"", "\"studio\"")),
            &["does not fit", r#"has no column named "studio" ([columns] room)"#],
        ),
        ("too many decimals", csv(ROW), mapping(&|m| m.replace("decimals = 2", "decimals = 3")), &["and USD has 2"]),
        ("no TOML", csv(ROW), b"columns".to_vec(), &["the mapping", "line 1"]),
        ("no text", csv(ROW), vec![0xff; 9], &["reading the mapping", "valid UTF-8"]),
    ];
    for (what, csv, mapping, said) in table {
        let (csv, mapping) = (ledger.file("gifts.csv", csv), ledger.file("mapping.toml", mapping));
        let code = if is_row(said) { FAULT } else { WRONG_USE };
        let output = ledger.run(&["import", &csv, "--mapping", &mapping], code, what);
        assert_says(&output, said, what);
        let summary = text(&output.stdout);
        let advice = "Correct the file, or the mapping, and import it again; rows that were taken are not taken twice";
        assert_eq!(summary.contains(advice), is_row(said), "{what}: {summary}");
        ledger.assert_unchanged(what);
    }
    let (csv, mapping) = (ledger.file("gifts.csv", csv(ROW)), ledger.file("mapping.toml", good()));
    for (csv, mapping) in [("no/such.csv", &*mapping), (&csv, "no/such.toml")] {
        let output = ledger.run(&["import", csv, "--mapping", mapping], WRONG_USE, "a missing file");
        assert_says(&output, &["no/such", "No such file or directory"], "a missing file");
    }
    ledger.assert_unchanged("missing files");
    ledger.run(&["import", &csv, "--mapping", &mapping], DONE, "the same file, right");
}

#[test]
fn a_wrong_platform_file_is_refused() {
    let ledger = Ledger::new();
    let item = |of: &str| format!("{PLATFORM}[[item]]\nitem = 'car'\n{of}\n");
    let table = [
        ("an unknown key", item("price = 1\ncolour = 2"), "unknown field `colour`, expected one of `item`, `price`"),
        ("an unknown table", format!("{PLATFORM}[[gift]]\n"), "unknown field `gift`"),
        ("a negative price", item("price = -1"), "line 16: price: coins must not be negative"),
        ("no price", item("value = 1"), "missing field `price`"),
        ("price 0", item("price = 0"), "line 16: item car: price must be at least 1"),
        ("a fraction", item("price = 1.5"), "floating point `1.5`, expected i64"),
        ("a huge price", item("price = 9007199254740992"), "line 16: price: 9007199254740992 coins are more than"),
        ("beyond 64 bits", item("price = 99999999999999999999"), "line 16"),
        ("an item twice", item("price = 1").replace("car", "rose"), "item rose stands here and on line 6"),
        ("no item's name", item("price = 1").replace("car", "red car"), "an item id may contain"),
        (
            "sold backwards",
            item("price = 1\nfrom = 2026-01-02T00:00:00Z\nuntil = 2026-01-01T00:00:00Z"),
            "is not after",
        ),
        ("a share above 1", PLATFORM.replace("0.5", "1.5"), "is not a share from 0 to 1"),
        ("no day", PLATFORM.replace("2011-01-01", "2011-02-30"), "line 1"),
        ("no zone", PLATFORM.replace("Asia/Shanghai", "Mars/Base"), r#""Mars/Base" is not a time zone such as"#),
        ("no currency", PLATFORM.replace("USD", "YUAN"), "is not a currency code"),
        ("no coins", PLATFORM.replace("= 100", "= 0"), "coins_per_unit must be at least 1"),
        ("no TOML", "item".to_owned(), "line 1"),
    ];
    for (what, platform, said) in &table {
        let file = ledger.file("platform.toml", platform);
        for dry_run in [&[][..], &["--dry-run"]] {
            let output = ledger.run(&[&["apply", "-f", &file][..], dry_run].concat(), WRONG_USE, what);
            assert_says(&output, &[&file, said], what);
        }
        ledger.assert_unchanged(what);
    }
    let output = ledger.run(&["apply", "-f", "no/such.toml"], WRONG_USE, "a missing file");
    assert_says(&output, &["no/such.toml", "No such file or directory"], "a missing file");
    ledger.assert_unchanged("a missing file");
}

/// Whoever applies a file with one more item, or imports with a small platform, must not withdraw the catalogue.
#[test]
fn nothing_is_withdrawn_unless_somebody_says_so() {
    let ledger = Ledger::new();
    let one_more = ledger.file("one more.toml", "[[item]]\nitem = 'car'\nprice = 100\n");
    let csv = ledger.file("gifts.csv", format!("{HEADER}\n"));
    let mapping = ledger.file("mapping.toml", shipped_mapping());
    let import = ["import", &csv, "--mapping", &mapping, "--platform", &one_more];
    let sold = || -> Vec<String> {
        let all = text(&ledger.run(&["apply", "-f", &one_more, "--prune", "--dry-run"], DONE, "what is sold").stdout);
        all.lines().filter_map(|line| line.strip_prefix("- item ")).map(str::to_owned).collect()
    };

    let applied = text(&ledger.run(&["apply", "-f", &one_more], DONE, "one more item").stdout);
    let stays = "2 items are not in the file; they stay as they are (item donation, item rose); pruning withdraws";
    assert!(applied.contains("+ item car price 100") && applied.contains(stays), "{applied}");
    ledger.run(&import, DONE, "with a small platform");
    assert_eq!(sold(), ["donation", "rose"], "they are still there to be withdrawn");

    let records = ledger.records();
    let data = ledger.data();
    for (arguments, command) in [
        (&["apply", "-f", &one_more][..], format!("giftledger apply -f '{one_more}' --prune --yes")),
        (&import, format!("giftledger import {csv} --mapping {mapping} --platform '{one_more}' --prune --yes")),
    ] {
        let asked = ledger.run(&[arguments, &["--prune"]].concat(), WRONG_USE, "nobody can be asked");
        let typed = format!("{command} --data {}", data.display());
        assert_says(
            &asked,
            &["would withdraw 2 items (donation, rose), and there is no terminal", &typed],
            command.as_str(),
        );
        assert_eq!(ledger.records(), records);
    }
    let said = ledger.run(&["import", &csv, "--mapping", &mapping, "--prune"], WRONG_USE, "prune what?");
    assert_says(&said, &["--prune is about the items that a platform file does not name"], "prune what?");
    ledger.run(&["apply", "-f", &one_more, "--yes"], WRONG_USE, "yes to what?");

    let pruned = text(&ledger.run(&["apply", "-f", &one_more, "--prune", "--yes"], DONE, "they are withdrawn").stdout);
    assert!(pruned.contains("- item donation\n- item rose\n"), "{pruned}");
    assert_eq!(sold(), Vec::<String>::new());
}

#[test]
fn wrong_questions_are_refused() {
    let ledger = Ledger::new();
    let csv = ledger.file("gifts.csv", format!("{HEADER}\n{ROW}\n"));
    let platform = ledger.file("platform.toml", PLATFORM);
    let table: &[(&[&str], i32, &str)] = &[
        (&[], WRONG_USE, "requires a subcommand"),
        (&["sing"], WRONG_USE, "unrecognized subcommand 'sing'"),
        (&["events", "--sing"], WRONG_USE, "unexpected argument '--sing'"),
        (&["events", "--as-of", "yesterday"], WRONG_USE, "neither a time such as 2026-11-21T08:30:00Z nor a position"),
        (&["balance", "--all", "--as-of", "3"], WRONG_USE, "nor a position such as 3-17"),
        (&["events", "--as-of", "0-99999"], FAULT, "there is no record 0-99999 on this log"),
        (&["events", "--as-of", "999-1"], FAULT, "there is no record 999-1 on this log"),
        (&["events", "--subject", "u1"], WRONG_USE, "is not a subject such as user:<id>"),
        (&["events", "--limit", "many"], WRONG_USE, "invalid value 'many' for '--limit <N>'"),
        (&["board"], WRONG_USE, "--month <MONTH>|--activity <ID>|--all-time"),
        (&["board", "--month", "2026-13"], WRONG_USE, r#""2026-13" is not a month such as 2026-11"#),
        (&["board", "--month", "2026-11", "--all-time"], WRONG_USE, "cannot be used with"),
        (
            &["board", "--month", "2026-11", "--zone", "Mars/Base"],
            WRONG_USE,
            "is not a time zone such as Asia/Shanghai",
        ),
        (&["settle", "--dry-run", "November"], WRONG_USE, r#""November" is not a month such as 2026-11"#),
        (&["settle", "2026-11"], WRONG_USE, "--dry-run"),
        (&["balance"], WRONG_USE, "name an account, such as user:u1, or ask for `all`"),
        (&["balance", "u1"], WRONG_USE, r#""u1" is not an account: user:<id>"#),
        (&["wallet"], WRONG_USE, "<USER>"),
        (&["order"], WRONG_USE, "<NUMBER>"),
        (&["order", "seven"], WRONG_USE, "seven"),
        (&["order", "0-99"], FAULT, "there is no order 0-99"),
        (&["order", "--user", "u1", "--command", "no"], FAULT, "no command no of user u1 placed an order"),
        (&["export", "--format", "xls"], WRONG_USE, "is not a form of the journal: beancount, hledger, csv or ndjson"),
        (&["reconcile", "gifts", &csv, "--amount", "euros"], WRONG_USE, r#"has no column named "euros""#),
        (&["reconcile", "gifts", "no/such.csv"], WRONG_USE, "no/such.csv: No such file or directory"),
        (&["append", "no/such.ndjson"], WRONG_USE, "no/such.ndjson: No such file or directory"),
        (&["append", "--shards", "8"], WRONG_USE, "unexpected argument '--shards'"),
        (&["init", "--shards", "0"], WRONG_USE, "there is a ledger in"),
        (&["apply", "-f", &platform, "--shards", "0"], WRONG_USE, "a ledger has 1 to 1024 shards, not 0"),
        (&["apply", "-f", &platform, "--shards", "65536"], WRONG_USE, "65536"),
        (&["apply", "-f", &platform, "--shards", "8"], FAULT, "it has 4 shards, not 8; leave the number out"),
        (&["import", &csv], WRONG_USE, "--mapping <FILE>"),
        (&["demo"], WRONG_USE, "there is a ledger in"),
        (&["completions", "basic"], WRONG_USE, "invalid value 'basic'"),
    ];
    for (arguments, code, said) in table {
        let what = format!("{arguments:?}");
        let output = ledger.run(arguments, *code, &what);
        assert_says(&output, &[said], &what);
        assert!(output.stdout.is_empty(), "{what}: {}", text(&output.stdout));
        ledger.assert_unchanged(&what);
    }
}

/// Only `init`, `demo`, `apply`, `import --platform` and `restore` make a ledger; a folder that is named wrongly
/// must not become one in silence.
#[test]
fn a_folder_that_is_no_ledger_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (missing, file, other) = (path("missing"), path("file"), path("other"));
    fs::write(&file, "a file").unwrap();
    fs::create_dir(&other).unwrap();
    fs::write(folder.path().join("other/holiday.jpg"), "a picture").unwrap();
    let csv = path("gifts.csv");
    fs::write(&csv, format!("{HEADER}\n{ROW}\n")).unwrap();
    let platform = path("platform.toml");
    fs::write(&platform, PLATFORM).unwrap();
    let mapping = project().join("docs/marathon/mapping.toml");
    let mapping = mapping.to_str().unwrap();

    let commands: &[&[&str]] = &[
        &["append"],
        &["import", &csv, "--mapping", mapping],
        &["snapshot"],
        &["events"],
        &["verify"],
        &["verify", "--json"],
        &["balance", "--all"],
        &["wallet", "u1"],
        &["order", "0-1"],
        &["board", "--all-time"],
        &["settle", "--dry-run", "2026-11"],
        &["export", "--format", "csv"],
        &["log", "inspect"],
        &["reconcile", "gifts", &csv, "--amount", "amount_usd", "--decimals", "2"],
    ];
    let refused = |data: &str, said: &[&str]| {
        for arguments in commands {
            let output = run(&[arguments, &["--data", data][..]].concat(), GIFT.as_bytes());
            let what = format!("{arguments:?} of {data}");
            let make = format!("or make one: giftledger init --data {data}");
            let always = ["there is no ledger in", data, "name its folder with --data", &make];
            assert_says(&output, &[&always, said].concat(), &what);
            assert_eq!(output.status.code(), Some(WRONG_USE), "{what}");
        }
    };
    for data in [&missing, &file, &other] {
        refused(data, &[]);
    }
    for (data, said) in [(&file, "File exists"), (&other, "holiday.jpg is not of a ledger; name another folder")] {
        for arguments in [&["init"][..], &["apply", "-f", &platform]] {
            let output = run(&[arguments, &["--data", data]].concat(), b"");
            assert_says(&output, &[data, said], data);
            assert_eq!(output.status.code(), Some(FAULT), "{data}");
        }
    }
    assert!(!Path::new(&missing).exists(), "a question makes no folder");
    assert_eq!(fs::read_to_string(&file).unwrap(), "a file");
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);

    // One that was meant, perhaps, is named.
    let made = run(&["init", "--shards", "2", "--data", &path("mising"), "--json"], b"");
    let told: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!((&told["shards"], &told["data"]), (&2.into(), &path("mising").into()));
    refused(&missing, &[&format!("(there is one in {})", path("mising"))]);
    let again = run(&["init", "--data", &path("mising")], b"");
    assert_says(&again, &["there is a ledger in", "already; name another folder"], "init twice");
    assert_eq!(again.status.code(), Some(WRONG_USE));
    let proof = run(&["verify", "--json", "--data", &path("mising")], b"");
    assert!(text(&proof.stdout).starts_with(r#"{"ok":true,"records":0,"#), "{proof:?}");
}

#[test]
fn a_second_writer_is_refused() {
    let ledger = Ledger::new();
    let mut command = ledger.command(&["append"]);
    let mut first = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut answers = BufReader::new(first.stdout.take().unwrap());
    let mut stdin = first.stdin.take().unwrap();
    let mut say = |line: &str| {
        writeln!(stdin, "{line}").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        answer
    };
    assert!(say(GIFT).contains(r#""state":"taken""#));

    let platform = ledger.file("platform.toml", PLATFORM.replace("rose", "tulip"));
    let csv = ledger.file("gifts.csv", format!("{HEADER}\n{ROW}\n"));
    let mapping = project().join("docs/marathon/mapping.toml");
    let holder = format!("ledger is held by process {}; wait until it has ended, or stop it", first.id());
    let writers: [&[&str]; 3] =
        [&["append"], &["apply", "-f", &platform], &["import", &csv, "--mapping", mapping.to_str().unwrap()]];
    for arguments in writers {
        let output = ledger.run(arguments, FAULT, "a second writer");
        assert_says(&output, &[&holder, ledger.data().to_str().unwrap()], "a second writer");
        ledger.assert_unchanged("a second writer");
    }
    ledger.run(&["events"], DONE, "a reader beside the writer");

    assert!(say(&GIFT.replace("g1", "g2")).contains(r#""state":"taken""#), "the first goes on");
    drop(stdin);
    assert_eq!(first.wait().unwrap().code(), Some(DONE));
    ledger.run_with(&["append"], GIFT.replace("g1", "g3").as_bytes());
    ledger.run(&["verify"], DONE, "after both");
}

/// What a second start finds is the folder, whatever became of the files in it.
#[test]
fn nothing_in_the_folder_decides_who_writes() {
    let ledger = Ledger::new();
    let mut first = ledger.command(&["append"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut answers = BufReader::new(first.stdout.take().unwrap());
    let mut stdin = first.stdin.take().unwrap();
    let mut say = |line: &str| {
        let mut answer = String::new();
        // Whoever has stopped hears nothing.
        drop(writeln!(stdin, "{line}"));
        answers.read_line(&mut answer).unwrap();
        answer
    };
    assert!(say(GIFT).contains(r#""state":"taken""#));
    let lock = ledger.data().join("LOCK");
    drop(fs::remove_file(&lock));
    let victim = ledger.file("victim", "precious");
    std::os::unix::fs::symlink(&victim, &lock).unwrap();
    let second = ledger.run_with(&["append"], GIFT.replace("g1", "g2").as_bytes());
    assert_eq!(second.status.code(), Some(FAULT));
    assert_says(&second, &[&format!("is held by process {}", first.id())], "a second writer");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");

    // Who moves the log away under its writer stops that writer: nobody would find what it wrote.
    fs::rename(ledger.data().join("log"), ledger.data().join("old")).unwrap();
    fs::create_dir(ledger.data().join("log")).unwrap();
    for entry in fs::read_dir(ledger.data().join("old")).unwrap() {
        let from = entry.unwrap().path();
        fs::copy(&from, ledger.data().join("log").join(from.file_name().unwrap())).unwrap();
    }
    let answer = say(&GIFT.replace("g1", "g3"));
    assert!(answer.contains(r#""code":"stopped""#), "{answer}");
    drop(stdin);
    let output = first.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(FAULT));
    let third = ledger.run_with(&["append"], GIFT.replace("g1", "g3").as_bytes());
    assert!(text(&third.stdout).contains(r#""state":"taken""#), "{}", text(&third.stderr));
    ledger.run(&["verify"], DONE, "after all");
}

#[test]
fn a_log_of_a_newer_version_is_left_alone() {
    let ledger = Ledger::new();
    let segment = ledger.data().join("log/0000000000000000.seg");
    let mut bytes = fs::read(&segment).unwrap();
    // The version stands at byte 12; the header's length at 16, its checksum, from byte 12 on, at 8.
    bytes[12..16].copy_from_slice(&2_u32.to_le_bytes());
    let length = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
    let crc = u32::try_from(crc_fast::checksum(Crc32Iscsi, &bytes[12..length])).unwrap();
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    fs::write(&segment, &bytes).unwrap();

    let said = [segment.to_str().unwrap(), "it has format version 2, this release reads up to 1; use a newer release"];
    let platform = ledger.file("platform.toml", PLATFORM);
    for arguments in
        [&["append"][..], &["apply", "-f", &platform], &["events"], &["balance", "--all"], &["log", "inspect"]]
    {
        assert_says(&ledger.run(arguments, FAULT, "a newer version"), &said, "a newer version");
    }
    let proof = text(&ledger.run(&["verify", "--json"], FAULT, "a newer version").stdout);
    assert!(proof.starts_with(r#"{"ok":false,"#) && proof.contains(said[1]), "{proof}");
    assert_eq!(fs::read(&segment).unwrap(), bytes, "nothing was touched");
}

/// As with `| head -1`: who reads our output goes away, and that is no fault.
#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let ledger = Ledger::new();
    // Of several users: one alone would be over the quota of recorded refusals.
    let gift = |n: u32| GIFT.replace("g1", &format!("many-{n}")).replace("u1", &format!("u{}", n % 10)) + "\n";
    let lines: String = (0..5_000).map(gift).collect();
    ledger.run_with(&["append"], lines.as_bytes());
    let commands = ledger.file("commands.ndjson", &lines);
    let (proof, many) = (ledger.proof(), ledger.records());
    assert!(many > 5_000);

    for (arguments, code, last_words) in [
        (&["events"][..], DONE, ""),
        (&["events", "--json"], DONE, ""),
        (&["export", "--format", "beancount"], DONE, ""),
        // Who appends has not been told of every line.
        (&["append", &commands], FAULT, "answers could not be written; lines up to"),
    ] {
        let mut child = ledger
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.ends_with('\n'));
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(last_words) && said.is_empty() == last_words.is_empty(), "{arguments:?}: {said}");
    }

    // And with nobody there from the beginning.
    let csv = ledger.file("gifts.csv", format!("{HEADER}\n"));
    let platform = ledger.file("platform.toml", PLATFORM.replace("rose", "tulip"));
    let mapping = project().join("docs/marathon/mapping.toml");
    let commands: &[&[&str]] = &[
        &["events"],
        &["events", "--json"],
        &["balance", "--all"],
        &["balance", "--all", "--json"],
        &["balance", "user:u1", "--history"],
        &["wallet", "u1"],
        &["board", "--all-time"],
        &["settle", "--dry-run", "2026-11"],
        &["settle", "--dry-run", "2026-11", "--json"],
        &["verify"],
        &["verify", "--json"],
        &["export", "--format", "csv"],
        &["export", "--format", "ndjson"],
        &["export", "--format", "hledger"],
        &["log", "inspect"],
        &["import", &csv, "--mapping", mapping.to_str().unwrap()],
        &["import", &csv, "--mapping", mapping.to_str().unwrap(), "--json"],
        &["apply", "-f", &platform, "--dry-run"],
        &["completions", "bash"],
        &["--help"],
    ];
    let mut loud = Vec::new();
    for arguments in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = ledger.command(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        if output.status.code() != Some(DONE) || !output.stderr.is_empty() {
            let first: String = text(&output.stderr).lines().take(3).collect();
            loud.push(format!("{arguments:?}: {}: {first}", output.status));
        }
    }
    assert!(loud.is_empty(), "{}", loud.join("\n"));
    assert_eq!(ledger.proof(), proof);
}

/// A ledger with a catalogue, a top-up and a gift.
struct Ledger {
    folder: TempDir,
    proof: String,
}

impl Ledger {
    fn new() -> Self {
        let mut ledger = Self { folder: TempDir::new().unwrap(), proof: String::new() };
        let platform = ledger.file("platform.toml", PLATFORM);
        ledger.run(&["apply", "-f", &platform, "--shards", "4"], DONE, "the catalogue");
        let taken = ledger.run_with(&["append"], format!("{TOP_UP}\n{GIFT}\n").as_bytes());
        assert_eq!(taken.status.code(), Some(DONE), "{taken:?}");
        ledger.proof = ledger.proof();
        ledger
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = giftledger();
        command.args(arguments).env("GIFTLEDGER_DATA", self.data());
        command
    }

    fn run(&self, arguments: &[&str], code: i32, what: &str) -> Output {
        let output = self.run_with(arguments, b"");
        assert_eq!(output.status.code(), Some(code), "{what}: {}{}", text(&output.stdout), text(&output.stderr));
        output
    }

    fn run_with(&self, arguments: &[&str], input: &[u8]) -> Output {
        feed(self.command(arguments), input)
    }

    /// The proof of the books, with the hash of each shard: it changes with any record.
    fn proof(&self) -> String {
        text(&self.run(&["verify", "--json"], DONE, "verify").stdout)
    }

    fn records(&self) -> u64 {
        serde_json::from_str::<Value>(&self.proof()).unwrap()["records"].as_u64().unwrap()
    }

    fn assert_unchanged(&self, what: &str) {
        assert_eq!(self.proof(), self.proof, "no record was added: {what}");
    }
}

fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = giftledger();
    command.args(arguments);
    feed(command, input)
}

fn feed(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = stdin.write_all(input); // who does not read it may have gone
        });
        child.wait_with_output().unwrap()
    });
    assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
    output
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn shipped_mapping() -> String {
    fs::read_to_string(project().join("docs/marathon/mapping.toml")).unwrap()
}

fn assert_says(output: &Output, said: &[&str], what: &str) {
    let stderr = text(&output.stderr);
    for said in said {
        assert!(stderr.contains(said), "{what}: {stderr}\nlacks {said:?}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
