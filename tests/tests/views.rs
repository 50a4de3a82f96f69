//! What people and programs are shown: answers about the past by the past's clock, versions of the
//! reference data from their own time on, sums of any width, and text of others that steers nothing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use giftledger_tests::{binary::giftledger, world::World};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const DONE: i32 = 0;
const FAULT: i32 = 1;

/// A ledger's folder, and the binary that looks at it.
struct Books {
    data: PathBuf,
    scratch: TempDir,
}

impl Books {
    /// What the world left behind: its clock stood in January 2026, and nobody has written since.
    fn of(world: &World, lines: &[&str]) -> Self {
        for line in lines {
            let answer = world.say(line);
            assert!(matches!(answer, ledger::Answer::Taken(_)), "{line}: {answer:?}");
        }
        world.rest();
        Self { data: world.folder().unwrap().to_owned(), scratch: TempDir::new().unwrap() }
    }

    /// A ledger that the binary itself writes.
    fn empty() -> Self {
        let scratch = TempDir::new().unwrap();
        Self { data: scratch.path().join("ledger"), scratch }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.scratch.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn append(&self, lines: &[&str]) {
        // A folder becomes a ledger by a platform file.
        let platform = self.file("platform.toml", PLATFORM);
        self.run(&["apply", "-f", &platform], DONE);
        let file = self.file("commands.ndjson", &lines.join("\n"));
        self.run(&["append", &file], DONE);
    }

    fn output(&self, arguments: &[&str]) -> Output {
        giftledger().arg("--data").arg(&self.data).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// What a command prints.
    fn run(&self, arguments: &[&str], code: i32) -> String {
        let output = self.output(arguments);
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
        if code == DONE { out } else { out + &err }
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[arguments, &["--json"]].concat(), DONE)).unwrap()
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

const PLATFORM: &str = "
[entity]
currency = 'CNY'
zone = 'Asia/Shanghai'
coins_per_unit = 100
[[item]]
item = 'rose'
price = 1
[[streamer]]
share = 0.45
from = 2026-01-01
";

const VERSION_1: &str = r#"{"id":"v1","publish":{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z","changes":[
    {"entity":{"currency":"CNY","zone":"Asia/Shanghai","coins_per_unit":100}},
    {"item":{"item":"rose","price":1,"value":1}},
    {"streamer":{"share":"0.45","from":"2026-01-01"}}]}}"#;

fn top_up(n: &str, user: &str, coins: u64) -> String {
    format!(
        r#"{{"id":"t-{n}","top_up":{{"user":"{user}","channel":"apple","transaction":"GPA.{n}","coins":{coins},"paid":{{"currency":"CNY","amount":"1.00"}}}}}}"#
    )
}

#[test]
fn a_wallet_is_shown_by_the_clock_of_the_answer() {
    let world = World::in_folder(4);
    let books = Books::of(
        &world,
        &[
            r#"{"id":"g1","grant":{"user":"u1","coins":100,"expires":"2026-02-01T00:00:00Z","reason":"welcome"}}"#,
            &top_up("1", "u1", 50),
            r#"{"id":"h1","hold":{"user":"u1","provider":"arcade","coins":30,"deadline":"2026-01-20T00:00:00Z"}}"#,
        ],
    );
    let wallet = |arguments: &[&str]| books.json(&[&["wallet", "u1"], arguments].concat());
    // Of the past, the coins that could be spent then, though they have lapsed since.
    let then = wallet(&["--as-of", "2026-01-15T00:00:00Z"]);
    assert_eq!((&then["spendable"], &then["as_of"]), (&"120".into(), &"2026-01-15T00:00:00Z".into()));
    assert_eq!(then["lots"][0]["lapsed"], false);
    assert_eq!(then["open_orders"][0]["past_deadline"], false);
    // A position is answered by its record's time: that of the last one, which is still in January.
    let order = books.json(&["order", "--user", "u1", "--command", "h1"])["order"]["id"].as_str().unwrap().to_owned();
    assert_eq!(wallet(&["--as-of", &order])["spendable"], "120");
    // Asked now, nobody has recorded that the lot has lapsed and the hold was not sent; both are so.
    let now = wallet(&[]);
    assert_eq!((&now["spendable"], &now["balance"]), (&"50".into(), &"120".into()));
    assert_eq!((&now["lots"][0]["lapsed"], &now["lots"][1]["lapsed"]), (&true.into(), &false.into()));
    assert_eq!(now["open_orders"][0]["past_deadline"], true);
    assert_eq!(books.json(&["order", &order])["past_deadline"], true);
    assert_eq!(books.json(&["order", &order, "--as-of", "2026-01-15T00:00:00Z"])["past_deadline"], false);
    let shown = books.run(&["wallet", "u1"], DONE);
    for said in ["bonus, lapsed", "to spend 50", "not sent to arcade by its deadline", "its coins come back"] {
        assert!(shown.contains(said), "{said} is not in\n{shown}");
    }
    let shown = books.run(&["wallet", "u1", "--as-of", "2026-01-15T00:00:00Z"], DONE);
    assert!(shown.contains("to spend 120") && shown.contains("held for arcade until"), "{shown}");
    // And of a moment ahead, by what is known.
    assert_eq!(books.json(&["order", &order])["order"]["status"], "held");
}

#[test]
fn a_lot_says_where_its_coins_came_from() {
    let world = World::in_folder(2);
    let books = Books::of(
        &world,
        &[r#"{"id":"g1","grant":{"user":"u1","coins":5,"reason":"sorry_for_the_lag"}}"#, &top_up("7", "u1", 50)],
    );
    let shown = books.run(&["wallet", "u1"], DONE);
    assert!(shown.contains("grant: sorry_for_the_lag") && shown.contains("top-up apple/GPA.7"), "{shown}");
    let lots = &books.json(&["wallet", "u1"])["lots"];
    assert_eq!(lots[0]["origin"]["grant"]["reason"], "sorry_for_the_lag");
    assert_eq!(lots[1]["origin"]["top_up"]["transaction"], "GPA.7");
    assert_eq!(lots[1]["coins"], 50, "the coins of one lot are a whole number");
}

#[test]
fn a_version_that_is_scheduled_does_not_count_before_its_time() {
    let world = World::in_folder(2);
    let books = Books::of(
        &world,
        &[
            VERSION_1,
            &top_up("1", "u1", 1_000),
            r#"{"id":"g1","gift":{"user":"u1","item":"rose","quantity":1000,"to":[{"streamer":"s1"}]}}"#,
            r#"{"id":"v2","publish":{"version":2,"part":0,"last":true,"from":"2200-01-01T00:00:00Z","changes":[
                {"item":{"item":"rose","price":20,"value":20}},
                {"item":{"item":"comet","price":500,"value":500}},
                {"streamer":{"share":"0.90","from":"2026-01-01"}}]}}"#,
        ],
    );
    let paid = |arguments: &[&str]| {
        let payout = books.json(&[&["settle", "--dry-run", "2026-01"], arguments].concat());
        (payout["streamers"][0]["amount"]["amount"].as_str().unwrap().to_owned(), payout["reference_version"].clone())
    };
    assert_eq!(paid(&[]), ("4.50".to_owned(), 1.into()), "by the share that holds");
    assert_eq!(paid(&["--as-of", "2200-01-01T00:00:00Z"]), ("9.00".to_owned(), 2.into()), "by that of its time");
    // The platform file that holds changes nothing; what is scheduled is shown, and stays.
    let platform = books.file("platform.toml", PLATFORM);
    let shown = books.run(&["apply", "--dry-run", "-f", &platform], DONE);
    assert!(shown.starts_with("nothing changes\n"), "{shown}");
    let scheduled = "item rose price 20 value 20 is scheduled for 2200-01-01T00:00:00Z by version 2; it stays";
    assert!(shown.contains(scheduled), "{shown}");
    // A price that holds sooner replaces the scheduled one, and says so.
    let dearer = books.file("dearer.toml", &PLATFORM.replace("price = 1", "price = 2"));
    let shown = books.run(&["apply", "--dry-run", "-f", &dearer], DONE);
    assert!(shown.contains("~ item rose price 2 value 2 (was price 1 value 1)"), "{shown}");
    assert!(shown.contains("is scheduled for 2200-01-01T00:00:00Z by version 2; this version REPLACES it"), "{shown}");
    assert!(shown.contains("item comet price 500 value 500 is scheduled"), "{shown}");
}

#[test]
fn a_zone_that_is_scheduled_is_not_the_books_zone_yet() {
    let world = World::in_folder(1);
    let scheduled = VERSION_1.replace("2026-01-01T00:00:00Z", "2200-01-01T00:00:00Z");
    let books = Books::of(&world, &[&scheduled]);
    for question in [&["board", "--month", "2026-01"][..], &["settle", "--dry-run", "2026-01"]] {
        let output = books.output(question);
        assert_ne!(output.status.code(), Some(DONE), "{question:?}");
        assert!(text(output.stderr).contains("no entity is published that holds at"), "{question:?}");
        books.run(&[question, &["--as-of", "2200-01-02T00:00:00Z"]].concat(), DONE);
    }
    let shown = books.run(&["events"], DONE);
    assert!(shown.starts_with("recorded (UTC)"), "{shown}");
}

#[test]
fn an_import_does_not_begin_before_its_item_is_sold() {
    let books = Books::empty();
    books.append(&[
        r#"{"id":"v2","publish":{"version":2,"part":0,"last":true,"from":"2200-01-01T00:00:00Z","changes":[{"item":{"item":"comet","price":5,"value":5}}]}}"#,
    ]);
    let mapping =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/marathon/mapping.toml")).unwrap();
    let mapping = books.file("mapping.toml", &mapping.replace("item = \"donation\"", "item = \"comet\""));
    let csv = books.file(
        "gifts.csv",
        "gift_id,campaign,occurred_at,sender,amount_usd,room,streamers\n1,c,2026-01-01T00:00:00Z,u1,0.05,r,s1\n",
    );
    let said = books.run(&["import", &csv, "--mapping", &mapping], 2);
    assert!(said.contains("item comet, which the mapping names, is not on sale before 2200-01-01T00:00:00Z"), "{said}");
    assert!(!books.run(&["events"], DONE).contains("u1"), "no id was used up");
}

#[test]
fn sums_are_wider_than_coins_and_decimal_strings() {
    let most = (1_u64 << 53) - 1;
    let world = World::in_folder(2);
    let gift = format!(r#"{{"gift":{{"user":"u1","item":"rose","quantity":{most},"to":[{{"streamer":"s1"}}]}}}}"#);
    let books = Books::of(
        &world,
        &[
            VERSION_1,
            &top_up("1", "u1", most),
            &top_up("2", "u1", most),
            &format!(r#"{{"id":"both","group":[{gift},{gift}]}}"#),
            &top_up("3", "u2", 7),
        ],
    );
    let sum = (2 * u128::from(most)).to_string();
    // A group of two gifts of the largest amount, which are compared as one sum.
    let csv = books.file("theirs.csv", &format!("gift_id,amount\nboth,{sum}\n"));
    let report = books.json(&["reconcile", "gifts", &csv]);
    assert_eq!((&report["ok"], &report["matched"]["coins"]), (&true.into(), &(*sum).into()));
    let other = books.file("other.csv", "gift_id,amount\nboth,1\n");
    let report: Value = serde_json::from_str(&books.run(&["reconcile", "gifts", &other, "--json"], FAULT)).unwrap();
    assert_eq!((&report["differs"][0]["log"], &report["differs"][0]["file"]), (&(*sum).into(), &"1".into()));
    // One kind of value for one field, whether the sum is large or small.
    let balance = |account: &str| books.json(&["balance", account])["balance"].clone();
    assert_eq!(balance("streamer:s1:turnover"), *sum);
    assert_eq!((balance("user:u2"), balance("user:nobody")), ("7".into(), "0".into()));
    assert_eq!(books.json(&["wallet", "u2"])["balance"], "7");
    assert_eq!(books.json(&["board", "--all-time"])["score"], *sum);
    let payout = books.json(&["settle", "--dry-run", "2026-01"]);
    assert_eq!((&payout["streamers"][0]["base"], &payout["house"]["base"]), (&(*sum).into(), &"0".into()));
    let history = books.run(&["balance", "user:u1", "--history", "--json"], DONE);
    let last: Value = serde_json::from_str(history.lines().next_back().unwrap()).unwrap();
    assert_eq!((&last["balance"], &last["amount"]), (&"0".into(), &(*format!("-{most}")).into()));
}

#[test]
fn two_refunds_in_one_second_by_two_agents_are_told_apart() {
    let world = World::in_folder(2);
    let refund = |id: &str, actor: &str, reason: &str| {
        format!(
            r#"{{"id":"{id}","actor":"{actor}","refund":{{"order":{{"user":"u1","name":{{"command":"g1"}}}},"coins":10,"reason":"{reason}"}}}}"#
        )
    };
    let books = Books::of(
        &world,
        &[
            VERSION_1,
            &top_up("1", "u1", 100),
            r#"{"id":"g1","client":{"device":"ios","version":"5.2"},"gift":{"user":"u1","item":"rose","quantity":100,"to":[{"streamer":"s1"}],"room":"r7"}}"#,
            &refund("r1", "support-ann", "wrong_gift"),
            &refund("r2", "support-bob", "double_tap"),
        ],
    );
    for shown in [
        books.run(&["order", "--user", "u1", "--command", "g1"], DONE),
        books.run(&["events", "--subject", "user:u1"], DONE),
    ] {
        let line = |id: &str| shown.lines().find(|line| line.contains(id)).unwrap_or_else(|| panic!("{id}: {shown}"));
        let (ann, bob) = (line("support-ann"), line("support-bob"));
        assert!(ann.contains("10 coins refunded: wrong_gift") && ann.contains("r1"), "{ann}");
        assert!(bob.contains("10 coins refunded: double_tap") && bob.contains("r2"), "{bob}");
        let place = |line: &str| {
            line.split(['│', '┆', ' ']).find(|word| word.contains('-') && !word.contains("2026")).map(str::to_owned)
        };
        assert_ne!(place(ann), place(bob), "each with its sequence");
        // In the zone of the books, which is named, and in words.
        assert!(shown.contains("recorded (Asia/Shanghai)") && shown.contains("2026-01-01 08:00:"), "{shown}");
        assert!(shown.contains("100 rose for 100 coins to s1, room r7"), "{shown}");
        assert!(!shown.contains("Refunded") && !shown.contains("GiftGiven") && !shown.contains("Fulfilled"), "{shown}");
    }
}

#[test]
fn an_order_says_what_each_recipient_holds_and_from_which_app_it_came() {
    let world = World::in_folder(2);
    let books = Books::of(
        &world,
        &[
            VERSION_1,
            &top_up("1", "u1", 4),
            r#"{"id":"g1","client":{"device":"ios","version":"5.2"},"gift":{"user":"u1","item":"rose","quantity":4,"to":[{"streamer":"s1","weight":6},{"streamer":"s2","weight":6},{"streamer":"s3","weight":2}]}}"#,
            r#"{"id":"r1","actor":"ann","refund":{"order":{"user":"u1","name":{"command":"g1"}},"coins":1,"reason":"wrong_gift"}}"#,
        ],
    );
    // DOMAIN: 6 : 6 : 2 of 4 is 2, 2, 0; and of the 3 that are left 1, 2, 0.
    let order = ["order", "--user", "u1", "--command", "g1"];
    let values: Vec<Value> =
        books.json(&order)["held"].as_array().unwrap().iter().map(|share| share["value"].clone()).collect();
    assert_eq!(values, [1, 2, 0].map(Value::from));
    let shown = books.run(&order, DONE);
    assert!(shown.contains("s2 holds 2 of its value, of which 2 pay out"), "{shown}");
    assert!(shown.contains("ios 5.2") && shown.contains("4 rose for 4 coins to s1 (2), s2 (2), s3 (0)"), "{shown}");
}

#[test]
fn an_order_of_a_group_is_found_by_its_part() {
    let world = World::in_folder(1);
    let gift = |quantity: u32| {
        format!(r#"{{"gift":{{"user":"u1","item":"rose","quantity":{quantity},"to":[{{"streamer":"s1"}}]}}}}"#)
    };
    let group = format!(r#"{{"id":"g","group":[{},{}]}}"#, gift(1), gift(2));
    let books = Books::of(&world, &[VERSION_1, &top_up("1", "u1", 9), &group]);
    let charged = |part: &[&str]| {
        books.json(&[&["order", "--user", "u1", "--command", "g"], part].concat())["order"]["charged"].clone()
    };
    assert_eq!((charged(&[]), charged(&["--part", "0"]), charged(&["--part", "1"])), (1.into(), 1.into(), 2.into()));
    let none = books.run(&["order", "--user", "u1", "--command", "g", "--part", "2"], FAULT);
    assert!(none.contains("no part 2 of command g of user u1 placed an order"), "{none}");
    // Only what happened to it, and not to its neighbours in the group.
    let shown = books.run(&["order", "--user", "u1", "--command", "g", "--part", "1"], DONE);
    assert!(shown.contains("2 rose for 2 coins") && !shown.contains("1 rose for 1 coin"), "{shown}");
}

#[test]
fn text_of_others_steers_no_terminal() {
    let world = World::in_folder(1);
    let unseen = "a\\nb\\u001b[2J\\u202ec\\u009b1m\\u007f";
    let books = Books::of(
        &world,
        &[
            VERSION_1,
            &top_up("1", "u1", 100),
            &format!(
                r#"{{"id":"{unseen}","gift":{{"user":"u1","item":"rose","to":[{{"streamer":"s1"}}],"combo":{{"id":"{unseen}","count":1}}}}}}"#
            ),
            &format!(
                r#"{{"id":"x{unseen}","refund":{{"order":{{"user":"u1","name":{{"command":"{unseen}"}}}},"reason":"r"}}}}"#
            ),
            &format!(
                r#"{{"id":"y{unseen}","roll_back_refund":{{"order":{{"user":"u1","name":{{"command":"{unseen}"}}}},"refund":"x{unseen}","reason":"r"}}}}"#
            ),
        ],
    );
    let id: String = serde_json::from_str(&format!("\"{unseen}\"")).unwrap();
    let csv = books.file("theirs.csv", &format!("gift_id,amount\n\"z{id}\",1\n"));
    let head = books.file("head.csv", "gift_id,\u{1b}[31m\n1,1\n");
    let rows = books.file("rows.csv", "gift_id,amount\n1,\u{9b}31m\u{202e}\n");
    let questions: [&[&str]; 14] = [
        &["events"],
        &["events", "--json"],
        &["order", "--user", "u1", "--command", &id],
        &["order", "--user", "u1", "--command", &id, "--json"],
        &["order", "--user", "u1", "--command", &format!("no{id}")],
        &["reconcile", "gifts", &csv],
        &["reconcile", "gifts", &csv, "--json"],
        &["reconcile", "gifts", &head],
        &["reconcile", "gifts", &rows],
        &["reconcile", "gifts", &format!("none{}", id.replace('\n', ""))],
        &["wallet", "u1"],
        &["balance", "--all"],
        &["export", "--format", "ndjson"],
        &["export", "--format", "csv"],
    ];
    for question in questions {
        let output = books.output(question);
        for shown in [text(output.stdout), text(output.stderr)] {
            let stray = shown.chars().find(|c| c.is_control() && *c != '\n' || ('\u{202a}'..='\u{202e}').contains(c));
            assert_eq!(stray, None, "{question:?}: {shown:?}");
            assert!(!shown.lines().any(|line| line.starts_with(r"b\u")), "a line was forged: {question:?}: {shown}");
        }
    }
    assert!(books.run(&["events"], DONE).contains(r"a\nb\u{1b}[2J\u{202e}c"), "it is shown for what it is");
    // For programs the text is whole.
    let lines = books.run(&["events", "--kind", "gift_given", "--json"], DONE);
    assert_eq!(serde_json::from_str::<Value>(&lines).unwrap()["id"], *id);
}

#[test]
fn a_history_shows_when_it_was_recorded_and_when_it_happened() {
    let world = World::in_folder(1);
    let books = Books::of(
        &world,
        &[
            VERSION_1,
            r#"{"id":"g1","occurred_at":"2025-12-24T10:00:00Z","grant":{"user":"u1","coins":5,"reason":"r"}}"#,
        ],
    );
    let shown = books.run(&["balance", "user:u1", "--history"], DONE);
    for said in
        ["recorded (Asia/Shanghai)", "happened", "2026-01-01 08:00:00", "2025-12-24 18:00:00", "which --as-of goes by"]
    {
        assert!(shown.contains(said), "{said} is not in\n{shown}");
    }
    let line = books.json(&["balance", "user:u1", "--history"]);
    assert_eq!(line["occurred_at"], "2025-12-24T10:00:00Z");
    assert!(line["time"].as_str().unwrap().starts_with("2026-01-01T00:00:00"), "{line}");
    // As of a moment goes by recording: on Christmas it was not recorded yet.
    let christmas = ["balance", "user:u1", "--as-of", "2025-12-25T00:00:00Z"];
    assert_eq!(books.json(&christmas)["balance"], "0");
    assert!(books.run(&christmas, DONE).contains("by when it was recorded"));
    assert!(books.run(&["events"], DONE).contains("(happened 2025-12-24 18:00:00)"));
}

#[test]
fn the_books_of_a_year_begin_with_opening_balances() {
    let world = World::in_folder(2);
    let bought = top_up("1", "u1", 100).replacen('{', r#"{"occurred_at":"2025-06-01T00:00:00Z","#, 1);
    let books = Books::of(
        &world,
        &[
            r#"{"id":"g0","occurred_at":"2025-03-01T00:00:00Z","grant":{"user":"u2","coins":7,"reason":"r"}}"#,
            &bought,
            VERSION_1,
            r#"{"id":"g1","gift":{"user":"u1","item":"rose","quantity":30,"to":[{"streamer":"s1"}]}}"#,
        ],
    );
    let year = |format: &str, year: &str| books.run(&["export", "--format", format, "--year", year], DONE);
    let of_2026 = year("beancount", "2026");
    for line in [
        "balance Liabilities:Users:U-u1  -70 ~ 0 COIN",
        "balance Liabilities:Users:U-u2  -7 ~ 0 COIN",
        "balance Assets:Channels:C-apple:Receivable  1.00 ~ 0 CNY",
        "balance Liabilities:Streamers:S-s1:Turnover  -30 ~ 0 COIN",
    ] {
        assert!(of_2026.contains(line), "{line} is not in\n{of_2026}");
    }
    assert!(!of_2026.contains("top_up"), "what happened in 2025 is no entry of 2026");
    let of_2025 = year("beancount", "2025");
    assert!(
        of_2025.contains("balance Liabilities:Users:U-u1  -100 ~ 0 COIN") && !of_2025.contains("opening"),
        "{of_2025}"
    );
    // A year in which nothing happened opens and closes at the same.
    assert!(year("beancount", "2027").contains("balance Liabilities:Users:U-u1  -70 ~ 0 COIN"));
    assert!(year("hledger", "2026").contains("Liabilities:Users:U-u1  0 COIN = -70 COIN"));
    let csv = year("csv", "2026");
    let sum: i64 = csv
        .lines()
        .filter(|line| line.contains(",user:u1,"))
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            cells[4].parse().unwrap_or(0) - cells[3].parse().unwrap_or(0)
        })
        .sum();
    assert_eq!(sum, 70, "{csv}");
    assert!(books.run(&["export", "--format", "csv", "--year", "99999"], 2).contains("is not a year of any record"));
}

#[test]
fn what_is_not_found_is_a_fault_and_a_quiet_proof_is_its_verdict() {
    let world = World::in_folder(1);
    let books = Books::of(&world, &[VERSION_1]);
    assert!(books.run(&["order", "0-99"], FAULT).contains("there is no order 0-99"));
    assert!(books.run(&["order", "--user", "u1", "--command", "no"], FAULT).contains("no command no of user u1"));
    let quiet = books.run(&["verify", "-q"], DONE);
    assert_eq!(quiet, "2 records: the books are proven\n");
}

/// "I sent a rose last night in room 7 and it did not show."
#[test]
fn support_finds_orders_by_what_the_user_knows() {
    let world = World::in_folder(4);
    let say = |lines: &[&str]| {
        for line in lines {
            let answer = world.say(line);
            assert!(matches!(answer, ledger::Answer::Taken(_)), "{line}: {answer:?}");
        }
    };
    let gift = |id: &str, user: &str, quantity: u32, room: &str| {
        format!(
            r#"{{"id":"{id}","gift":{{"user":"{user}","item":"rose","quantity":{quantity},"to":[{{"streamer":"s1"}}],"room":"{room}"}}}}"#
        )
    };
    say(&[VERSION_1, &top_up("1", "u1", 900), &top_up("2", "u2", 900)]);
    say(&[&gift("g1", "u1", 1, "7"), &gift("g2", "u1", 20, "8"), &gift("g3", "u2", 300, "7")]);
    say(&[
        r#"{"id":"h1","hold":{"user":"u1","provider":"arcade","coins":30,"deadline":"2027-01-20T00:00:00Z"}}"#,
        r#"{"id":"h2","hold":{"user":"u2","provider":"poker","coins":31,"deadline":"2027-01-20T00:00:00Z"}}"#,
    ]);
    world.advance_millis(3_600_000);
    let noon = world.now();
    say(&[
        r#"{"id":"r3","refund":{"order":{"user":"u2","name":{"command":"g3"}},"reason":"not_shown"}}"#,
        r#"{"id":"s2","send":{"order":{"user":"u2","name":{"command":"h2"}}}}"#,
        &gift("g4", "u1", 4, "7"),
    ]);
    let books = Books::of(&world, &[]);
    let charged = |conditions: &[&str]| -> Vec<String> {
        let found = books.run(&[&["orders", "--json"], conditions].concat(), DONE);
        let order = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        found
            .lines()
            .map(order)
            .map(|order| format!("{} {}", order["charged"], order["status"].as_str().unwrap()))
            .collect()
    };
    // The newest first; an order is what its newest record says.
    let all = ["4 fulfilled", "31 sent", "30 held", "300 refunded", "20 fulfilled", "1 fulfilled"];
    assert_eq!(charged(&[]), all);
    let noon = noon.to_string();
    let cases: [(&[&str], &[&str]); 12] = [
        (&["--user", "u1"], &["4 fulfilled", "30 held", "20 fulfilled", "1 fulfilled"]),
        (&["--room", "7"], &["4 fulfilled", "300 refunded", "1 fulfilled"]),
        (&["--room", "7", "--user", "u1", "--until", &noon], &["1 fulfilled"]),
        (&["--from", &noon], &["4 fulfilled"]),
        (&["--item", "rose", "--at-least", "20"], &["300 refunded", "20 fulfilled"]),
        (&["--at-most", "4"], &["4 fulfilled", "1 fulfilled"]),
        (&["--provider", "poker"], &["31 sent"]),
        (&["--state", "open"], &["31 sent", "30 held"]),
        (&["--state", "refunded"], &["300 refunded"]),
        (&["--state", "open", "--as-of", &noon], &["31 held", "30 held"]),
        (&["--limit", "2"], &["4 fulfilled", "31 sent"]),
        (&["--item", "moon"], &[]),
    ];
    for (conditions, expected) in cases {
        assert_eq!(charged(conditions), expected, "{conditions:?}");
    }
    // Asked by the world's clock: the hold has stood for an hour, the one that was sent has not.
    let idle = ["--state", "open", "--idle", "30m", "--as-of"];
    let last =
        books.json(&["order", "--user", "u1", "--command", "g4"])["records"][0]["time"].as_str().unwrap().to_owned();
    assert_eq!(charged(&[&idle[..], &[&last]].concat()), ["30 held"]);

    let shown = books.run(&["orders", "--room", "7", "--limit", "1"], DONE);
    assert!(shown.contains("rose in room 7") && shown.contains("and 2 older ones"), "{shown}");
    for (wrong, said) in [
        (&["orders", "--idle", "soon"][..], "is no age"),
        (&["orders", "--at-least", "1.5"], "is no amount of coins"),
        (&["orders", "--from", &noon, "--until", &noon], "so no order is meant"),
    ] {
        let output = books.output(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(text(output.stderr).contains(said), "{wrong:?}");
    }
}

#[test]
fn whatever_has_an_id_is_found() {
    let world = World::in_folder(4);
    let books = Books::of(
        &world,
        &[
            VERSION_1,
            &top_up("1", "u1", 900),
            r#"{"id":"g1","gift":{"user":"u1","item":"rose","quantity":5,"to":[{"streamer":"s1"}]}}"#,
            r#"{"id":"r1","refund":{"order":{"user":"u1","name":{"command":"g1"}},"coins":1,"reason":"not_shown"}}"#,
        ],
    );
    let named = |id: &str| -> Vec<String> {
        let found = books.json(&["find", id])["found"].clone();
        let one =
            |found: &Value| format!("{} {}", found["named"].as_str().unwrap(), found["record"]["id"].as_str().unwrap());
        found.as_array().unwrap().iter().map(one).collect()
    };
    let order = books.json(&["order", "--user", "u1", "--command", "g1"])["order"]["id"].as_str().unwrap().to_owned();
    assert_eq!(named("g1"), ["command g1"]);
    assert_eq!(named(&order), ["order g1", "order r1"]);
    for transaction in ["GPA.1", "apple/GPA.1"] {
        let found = named(transaction);
        assert_eq!(found.len(), 2, "the claim and the credit: {found:?}");
        assert_eq!(found[0], "transaction t-1");
    }
    assert_eq!(named("u1"), Vec::<String>::new());
    assert!(books.run(&["find", "u1"], DONE).contains("it is a user: giftledger wallet u1 --data"));
    let shown = books.run(&["find", &order, "--limit", "1"], DONE);
    assert!(shown.contains("1 coin refunded: not_shown") && shown.contains("older ones are left out (1)"), "{shown}");
    let none = books.run(&["find", "no\u{1b}[2J"], FAULT);
    assert!(none.contains("nothing has the id") && !none.contains('\u{1b}'), "{none}");
}

/// The gift did not show: part of it is given back, and taken again when it turns out that it did.
#[test]
fn support_sees_what_it_does_before_it_is_done() {
    let books = Books::empty();
    books.append(&[
        &top_up("1", "u1", 900),
        r#"{"id":"g1","gift":{"user":"u1","item":"rose","quantity":50,"to":[{"streamer":"s1"}]}}"#,
        r#"{"id":"h1","hold":{"user":"u1","provider":"arcade","coins":30,"deadline":"2200-01-20T00:00:00Z"}}"#,
        r#"{"id":"h2","hold":{"user":"u1","provider":"arcade","coins":40,"deadline":"2200-01-20T00:00:00Z"}}"#,
    ]);
    let number = books.json(&["order", "--user", "u1", "--command", "g1"])["order"]["id"].as_str().unwrap().to_owned();
    let records = || books.run(&["events", "--json"], DONE).lines().count();
    let spendable = || books.json(&["wallet", "u1"])["spendable"].as_str().unwrap().to_owned();
    let before = records();

    // Looking records nothing, and neither does an answer that nobody can give.
    let refund = ["refund", &number, "--coins", "20", "--reason", "not_shown", "--actor", "ann", "--id", "case-7"];
    let looked = books.run(&[&refund[..], &["--dry-run"]].concat(), DONE);
    assert!(looked.contains("would be: 20 coins refunded: not_shown"), "{looked}");
    assert!(looked.contains("30 of 50 left") && looked.contains("s1 holds 30 of its value"), "{looked}");
    let unasked = books.output(&refund);
    assert_eq!(unasked.status.code(), Some(2));
    assert!(text(unasked.stderr).contains("say --yes, or --dry-run"));
    assert_eq!((records(), &*spendable()), (before, "780"));

    let done = books.run(&[&refund[..], &["--yes"]].concat(), DONE);
    assert!(done.contains("done: refunded, record"), "{done}");
    assert_eq!((records(), &*spendable()), (before + 1, "800"));
    let order = books.run(&["order", &number], DONE);
    assert!(order.contains("ann") && order.contains("not_shown"), "{order}");
    // The same id is not done twice, and says what it did.
    let again = books.run(&[&refund[..], &["--yes"]].concat(), DONE);
    assert_eq!(again, done);
    assert!(books.run(&refund, DONE).contains("command case-7 was decided before"));
    let other = ["refund", &number, "--coins", "21", "--reason", "not_shown", "--id", "case-7", "--yes"];
    assert!(books.run(&other, FAULT).contains("the id case-7 stands for another command"));
    assert_eq!(records(), before + 1);

    // What would be refused is not done; asked for in earnest, the refusal is recorded as any other.
    let much = ["refund", &number, "--coins", "31", "--reason", "not_shown"];
    let refused = books.run(&much, FAULT);
    assert!(refused.contains("would be: refused") && refused.contains("nothing was done"), "{refused}");
    assert_eq!(records(), before + 1);
    let refused = books.run(&[&much[..], &["--yes"]].concat(), FAULT);
    assert!(refused.contains("exceeds_left") && refused.contains("recorded as"), "{refused}");
    assert_eq!(records(), before + 2);
    let escape = ["grant", "u1", "5", "--reason", "x", "--id", "a\u{1b}[31mb", "--dry-run"];
    assert!(!books.run(&escape, DONE).contains('\u{1b}'));
    assert!(books.run(&["refund", "0-999", "--reason", "x", "--yes"], FAULT).contains("there is no order 0-999"));
    assert!(books.run(&["refund", "999-1", "--reason", "x", "--yes"], FAULT).contains("there is no order 999-1"));
    assert_eq!(books.output(&["refund", "--reason", "x"]).status.code(), Some(2));

    let back = ["roll-back", &number, "--refund", "case-7", "--reason", "it_did_show", "--yes", "--json"];
    let back = books.json(&back[..7]);
    assert_eq!((&back["state"], &back["event"]), (&"taken".into(), &"refund_rolled_back".into()), "{back}");
    assert!(back["id"].as_str().is_some_and(|id| id.len() == 36), "an id was made: {back}");
    assert_eq!(spendable(), "780");

    let by_command = |command| ["--user", "u1", "--command", command, "--yes"];
    let released = books.run(&[&["release", "--reason", "never_delivered"], &by_command("h1")[..]].concat(), DONE);
    assert!(released.contains("done: released"), "{released}");
    let captured = books.run(&[&["capture", "--coins", "10"], &by_command("h2")[..]].concat(), DONE);
    assert!(captured.contains("done: captured"), "{captured}");
    let granted = ["grant", "u1", "5", "--reason", "goodwill", "--yes"];
    assert!(books.run(&granted, DONE).contains("done: granted"));
    assert_eq!(spendable(), (780 + 30 + 30 + 5).to_string());
    books.run(&["verify", "-q"], DONE);
}

fn lines(shown: &str) -> Vec<Value> {
    shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn place(record: &Value) -> String {
    format!("{}-{}", record["shard"], record["sequence"])
}

/// What a user's coins, a streamer's turnover and a channel's money came from, each with what was left.
#[test]
fn an_account_says_why_it_holds_what_it_holds() {
    let world = World::in_folder(4);
    let books = Books::of(
        &world,
        &[
            VERSION_1,
            &top_up("1", "u1", 1_100),
            r#"{"id":"g1","gift":{"user":"u1","item":"rose","quantity":30,"to":[{"streamer":"s1"}]}}"#,
            r#"{"id":"r1","actor":"ann","refund":{"order":{"user":"u1","name":{"command":"g1"}},"coins":10,"reason":"not_shown"}}"#,
        ],
    );
    let why = |account: &str, more: &[&str]| books.json(&[&["why", account], more].concat());
    let each = |answer: &Value, field: &str| -> Vec<String> {
        answer["changes"].as_array().unwrap().iter().map(|change| change[field].as_str().unwrap().to_owned()).collect()
    };
    let user = why("user:u1", &[]);
    assert_eq!(each(&user, "amount"), ["1100", "-30", "10"]);
    assert_eq!(each(&user, "balance"), ["1100", "1070", "1080"]);
    assert_eq!(each(&user, "command")[1..], ["g1", "r1"]);
    assert_eq!(user["balances"], serde_json::json!([{"asset": "coin", "balance": "1080"}]));
    let (gift, refund) = (&user["changes"][1], &user["changes"][2]);
    let order = books.json(&["order", "--user", "u1", "--command", "g1"])["order"]["id"].clone();
    assert_eq!((&gift["order"], &refund["order"]), (&order, &order));
    assert_eq!((&gift["actor"], &refund["actor"]), (&Value::Null, &"ann".into()));
    assert!(refund["what"].as_str().unwrap().contains("10 coins refunded: not_shown"), "{refund}");
    assert!(each(&user, "what")[0].contains("apple/GPA.1"), "{user}");
    // The streamer gained the value of the gift, and lost that of the refund.
    assert_eq!(each(&why("streamer:s1:turnover", &[]), "balance"), ["30", "20"]);
    // The channel owes what was paid: minus, and money.
    let channel = why("channel:apple:receivable", &[]);
    assert_eq!((&channel["changes"][0]["amount"], &channel["changes"][0]["asset"]), (&"-1.00".into(), &"CNY".into()));
    // The newest, whose balances count what is left out; and of the past.
    let last = why("user:u1", &["--limit", "1"]);
    assert_eq!((each(&last, "balance"), &last["more"]), (vec!["1080".to_owned()], &2.into()));
    let then = why("user:u1", &["--as-of", gift["record"].as_str().unwrap()]);
    assert_eq!((each(&then, "balance").len(), &then["balances"][0]["balance"]), (2, &"1070".into()));
    assert_eq!(why("user:nobody", &[])["changes"], serde_json::json!([]));

    let shown = books.run(&["why", "user:u1", "--limit", "2"], DONE);
    for said in ["older changes are left out (1)", "by ann", "not_shown", "1,070", "user:u1 holds 1,080 coin"] {
        assert!(shown.contains(said), "{said} is not in\n{shown}");
    }
    assert!(books.run(&["why", "user:nobody"], DONE).contains("nothing was ever posted to user:nobody"));
}

/// How large it is, how far it is, and what hangs in it.
#[test]
fn a_ledger_says_how_it_is() {
    let world = World::in_folder(4);
    let hold = |id: &str, coins: u32| {
        format!(
            r#"{{"id":"{id}","hold":{{"user":"u1","provider":"arcade","coins":{coins},"deadline":"2200-01-20T00:00:00Z"}}}}"#
        )
    };
    let books = Books::of(
        &world,
        &[
            VERSION_1,
            &top_up("1", "u1", 1_000),
            &hold("h1", 30),
            &hold("h2", 31),
            &hold("h3", 500),
            r#"{"id":"e3","release":{"order":{"user":"u1","name":{"command":"h3"}},"reason":"never_delivered"}}"#,
        ],
    );
    let records = lines(&books.run(&["events", "--json"], DONE));
    let status = books.json(&["status"]);
    assert_eq!(status["records"], records.len());
    let of_shards = status["shards"].as_array().unwrap();
    let sum: u64 = of_shards.iter().map(|shard| shard["records"].as_u64().unwrap()).sum();
    assert_eq!((of_shards.len(), sum), (4, records.len() as u64));
    let last = records.last().unwrap();
    assert_eq!(status["last_record"]["record"], place(last));
    assert_eq!(status["last_record"]["time"], last["time"]);
    // The world's clock stood in January 2026.
    assert!(status["last_record"]["clock_ahead_ms"].as_i64().unwrap() > 86_400_000, "{status}");
    let holds: Vec<String> = status["open_holds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|class| format!("{} {} {}", class["age"].as_str().unwrap(), class["holds"], class["coins"]))
        .collect();
    let expected = ["under_1_min 0 \"0\"", "1_to_10_min 0 \"0\"", "10_to_60_min 0 \"0\"", "over_60_min 2 \"61\""];
    assert_eq!(holds, expected, "what was released is open no more");
    assert_eq!((&status["untaken_dispatches"], &status["is_open"]), (&0.into(), &true.into()), "the world has it open");
    assert_eq!((&status["backup"], &status["version"]), (&Value::Null, &env!("CARGO_PKG_VERSION").into()));
    let on_disk: u64 =
        fs::read_dir(books.data.join("log")).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(status["bytes"]["log"], on_disk);

    books.run(&["snapshot"], DONE);
    let status = books.json(&["status"]);
    assert_eq!(
        (&status["snapshot"]["records"], &status["snapshot"]["records_since"]),
        (&records.len().into(), &0.into())
    );
    let shown = books.run(&["status"], DONE);
    for said in ["over 60 min", "61", "in 4 shards", "a writer has it open", "0 records since"] {
        assert!(shown.contains(said), "{said} is not in\n{shown}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");

    let new = Books::empty();
    new.run(&["init", "--shards", "2"], DONE);
    let status = new.json(&["status"]);
    assert_eq!((&status["last_record"], &status["snapshot"]), (&Value::Null, &Value::Null));
    assert_eq!((&status["records"], &status["is_open"]), (&0.into(), &false.into()));
    assert!(new.run(&["status"], DONE).contains("no record yet"));
}

/// Behind any record come all others, once; behind a time those of later times.
#[test]
fn events_go_on_behind_a_position_or_a_time() {
    let world = World::in_folder(4);
    let commands: Vec<String> = (0..12).map(|n| top_up(&n.to_string(), &format!("u{}", n % 5), 10)).collect();
    let books = Books::of(&world, &commands.iter().map(String::as_str).collect::<Vec<_>>());
    let events = |after: &str| lines(&books.run(&["events", "--json", "--after", after], DONE));
    let all = lines(&books.run(&["events", "--json"], DONE));
    for (nth, record) in all.iter().enumerate() {
        assert_eq!(events(&place(record)), all[nth + 1..], "behind {}", place(record));
    }
    let time = |record: &Value| record["time"].as_str().unwrap().parse::<schemas::Timestamp>().unwrap();
    let later: Vec<Value> = all.iter().filter(|record| time(record) > time(&all[5])).cloned().collect();
    assert_eq!(events(&time(&all[5]).to_string()), later);
    let limited = books.run(&["events", "--json", "--after", &place(&all[2]), "--limit", "2"], DONE);
    assert_eq!(lines(&limited), all[3..5]);
    assert!(books.run(&["events", "--after", "0-999"], FAULT).contains("0-999"));
}

/// A follower sees what others append, and ends when it is asked to, or has seen enough.
#[test]
fn events_are_followed_beside_the_writer() {
    let books = Books::empty();
    books.append(&[&top_up("1", "u1", 10)]);
    let all = || lines(&books.run(&["events", "--json"], DONE));
    let last = place(all().last().unwrap());
    let follow = |more: &[&str]| {
        let mut command = giftledger();
        command.arg("--data").arg(&books.data).args(["events", "--json", "--follow", "--after", &last]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (mut endless, enough) = (follow(&["--subject", "user:u2"]), follow(&["--limit", "2"]));
    let mut shown = BufReader::new(endless.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&shown.next().unwrap().unwrap()).unwrap();
    for id in ["a", "b", "c"] {
        let grant = format!(r#"{{"id":"{id}","grant":{{"user":"u2","coins":1,"reason":"r"}}}}"#);
        books.append(&[&grant]);
        assert_eq!(next()["id"], id, "it is shown before the next one comes");
    }
    let output = enough.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(DONE));
    let ids: Vec<Value> = lines(&text(output.stdout)).iter().map(|record| record["id"].clone()).collect();
    assert_eq!(ids, ["a", "b"]);

    kill_process(Pid::from_child(&endless), Signal::INT).unwrap();
    let output = endless.wait_with_output().unwrap();
    let said = text(output.stderr);
    let last = place(all().last().unwrap());
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains(&format!("ended by Ctrl-C: the last record that was shown is {last}")), "{said}");
    assert_eq!(books.output(&["events", "--follow", "--as-of", "0-1"]).status.code(), Some(2));
}

/// What a program writes and what a person writes are the same platform.
#[test]
fn a_platform_file_may_be_json() {
    let books = Books::empty();
    let toml = books.file("platform.toml", PLATFORM);
    let json = books.file(
        "platform.json",
        r#"{"entity": {"currency": "CNY", "zone": "Asia/Shanghai", "coins_per_unit": 100},
            "item": [{"item": "rose", "price": 1}], "streamer": [{"share": "0.45", "from": "2026-01-01"}]}"#,
    );
    assert_eq!(books.json(&["apply", "-f", &json])["changes"], 3);
    assert_eq!(books.json(&["apply", "-f", &toml])["changes"], 0, "it says the same");
    let wrong = books.file("wrong.json", r#"{"item": [{"item": "rose", "price": 1, "colour": "red"}]}"#);
    let said = books.run(&["apply", "-f", &wrong], 2);
    assert!(said.contains("wrong.json: item[0].colour: nothing is known by the name `colour`"), "{said}");
}
