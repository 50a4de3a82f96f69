//! The real binary, killed with SIGKILL at random moments, started again in the same folder, and then
//! audited through what it prints: no answered command is lost, none has two records.
//!
//! `GIFTLEDGER_KILLS` says how often, where that is not 60 times. `GIFTLEDGER_SEED` plays other moments than the usual ones; a failure prints the seed that it had.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use giftledger_tests::binary::giftledger;
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::Value;
use tempfile::TempDir;

/// How often `append` is killed, unless `GIFTLEDGER_KILLS` says otherwise: about a minute on two cores
/// that nobody else uses. `tests/run --all` kills it 200 times.
const KILLS: usize = 60;
/// Kills after which all is looked at.
const KILLS_PER_CHECK: usize = 20;
/// Three times there is so much to do before a kill that a table of the index (three quarters of 2^20
/// entries) fills up and is being sealed, and the log begins another segment. Each of these lines has
/// three keys.
const LONG_RUN: usize = 262_000;
/// The most answers that are read before any other kill.
const ANSWERS_BEFORE_KILL: usize = 3_000;
/// Lines asked again between kills.
const ASKED_AGAIN: usize = 2_000;
/// The most lines before the first unanswered one that are said again after a kill.
const OVERLAP: usize = 1_500;
/// What lies unanswered in the pipe, so that the next lines are there when some are answered: bursts.
const BURSTS_AHEAD: usize = 3;
const PRICE: u64 = 10;
/// More than a bulk has, so that its top-ups need not wait for each other.
const USERS: u32 = 10_000;

const PLATFORM: &str = "[entity]\ncurrency = 'CNY'\nzone = 'Asia/Shanghai'\ncoins_per_unit = 100\n\
                        [[item]]\nitem = 'rose'\nprice = 10\nvalue = 9\n\
                        [[streamer]]\nshare = '0.5'\nfrom = 2020-01-01\n";

/// The rows of the file, as in the real one; about eight chunks of an import.
const ROWS: u32 = 60_000;
const IMPORT_KILLS: u64 = 3;

#[test]
fn appending_survives_kills() {
    let kills = std::env::var("GIFTLEDGER_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let mut random = seeded(1);
    let folder = Folder::new();
    let platform = folder.file("platform.toml", PLATFORM);
    folder.run(&["apply", "-f", &platform], 0);
    let mut script = Vec::new();
    let mut answers: Vec<String> = Vec::new();

    for kill in 0..kills {
        let from = answers.len() - random.random_range(0..=OVERLAP.min(answers.len()));
        let is_long = kill % kills.div_ceil(3) == 0;
        let burst = if is_long { 2_500 } else { *[5, 60, 400, 2_500].choose(&mut random).unwrap() };
        let enough = if is_long { LONG_RUN } else { random.random_range(1..=ANSWERS_BEFORE_KILL) };
        let wanted = from + enough + (BURSTS_AHEAD + 1) * burst;
        extend(&mut script, wanted, if is_long { top_up } else { mixed }, &mut random);
        println!("kill {kill}: from line {from} in bursts of {burst}, after {enough} answers");
        let run = append(&folder.data(), &script[from..], burst, Some(enough));
        assert_eq!(run.status.code(), None, "it was not killed: {run:?}");
        assert!(run.answers.len() >= enough, "{} of {enough} answers", run.answers.len());
        note(&mut answers, &script, from, run.answers);
        if kill % KILLS_PER_CHECK == KILLS_PER_CHECK - 1 {
            let from = random.random_range(0..answers.len().saturating_sub(ASKED_AGAIN).max(1));
            let asked = from..answers.len().min(from + ASKED_AGAIN);
            let run = append(&folder.data(), &script[asked.clone()], 500, None);
            assert_eq!(run.answers.len(), asked.len(), "{run:?}");
            note(&mut answers, &script, from, run.answers);
            folder.verify();
        }
        if is_long || kill % KILLS_PER_CHECK == KILLS_PER_CHECK - 1 {
            folder.run(&["snapshot"], 0);
        }
    }
    let answered = answers.len();
    let wanted = script.len() + ANSWERS_BEFORE_KILL;
    extend(&mut script, wanted, mixed, &mut random);
    let run = append(&folder.data(), &script[answered..], 8_000, None);
    assert_eq!(run.status.code(), Some(1), "some were refused: {run:?}");
    note(&mut answers, &script, answered, run.answers);
    assert_eq!(answers.len(), script.len(), "each line was answered");

    let heads = folder.verify();
    let run = append(&folder.data(), &script, 8_000, None);
    assert_eq!(run.answers.len(), script.len(), "{run:?}");
    note(&mut answers, &script, 0, run.answers);
    assert_eq!(folder.verify(), heads, "asking again adds nothing");
    let answers: Vec<Answered> = answers.iter().map(|answer| serde_json::from_str(answer).unwrap()).collect();
    audit_answers(&script, &answers, &folder);
    audit_balances(&folder, &script, &answers);
    let files = ["log", "index", "snapshots"].map(|kind| fs::read_dir(folder.data().join(kind)).unwrap().count());
    println!("{} lines; files of log, index and snapshots: {files:?}", script.len());
    let least = [2, 2, 1]; // a sealed segment, a run and the manifest, a snapshot
    assert!(files.iter().zip(least).all(|(files, least)| *files >= least), "too little was sealed: {files:?}");
}

#[test]
fn importing_survives_kills() {
    let mut random = seeded(2);
    let folder = Folder::new();
    let (rows, cents) = gifts_csv(&mut random);
    let file = folder.file("gifts.csv", &rows);
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/marathon");
    let docs = |name: &str| project.join(name).to_str().unwrap().to_owned();
    folder.run(&["apply", "-f", &docs("platform.toml")], 0);
    let mapping = docs("mapping.toml");
    let import = ["import", &file, "--mapping", &mapping, "--json"];

    for kill in 0..IMPORT_KILLS {
        let enough = log_end(&folder.data()) + random.random_range(800_000..2_200_000);
        let mut child = folder.command(&import).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        await_growth(&folder.data(), enough, &mut child);
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_quiet(&output.stderr);
        assert_eq!(output.status.code(), None, "kill {kill} came too late: {output:?}");
        println!("kill {kill}: wanted byte {enough}, was at {}", log_end(&folder.data()));
    }
    let rest = json(&folder.run(&import, 0));
    println!("{rest}, the log ends at {}", log_end(&folder.data()));
    let all = |rest: &Value| rest["rows"].as_u64().unwrap() + rest["resumed_after"].as_u64().unwrap();
    assert_eq!((all(&rest), rest["refused"].as_u64()), (ROWS.into(), Some(0)), "{rest}");
    assert!(rest["resumed_after"].as_u64() > Some(0), "three kills came before the first chunk's end: {rest}");

    let (mut gifts, mut sum, mut topped_up) = (BTreeSet::new(), 0, 0);
    folder.each_record(|record: Value| {
        let event = &record["body"]["event"];
        if let Some(gift) = event.get("gift_given") {
            assert!(gifts.insert(text(&record, "id")), "twice: {record}");
            sum += gift["charged"].as_u64().unwrap();
        }
        topped_up += event.get("top_up_credited").map_or(0, |credit| credit["coins"].as_u64().unwrap());
        assert_eq!(record["body"]["rejection"], Value::Null);
    });
    assert_eq!((gifts.len(), sum, topped_up), (ROWS as usize, cents, cents));
    let wanted: BTreeSet<String> = (1..=ROWS).map(|row| format!("gift-{row}")).collect();
    assert_eq!(gifts, wanted);

    for option in [&[][..], &["--from-start"]] {
        let again = json(&folder.run(&[&import[..], option].concat(), 0));
        assert_eq!((again["records_added"].as_u64(), all(&again)), (Some(0), ROWS.into()), "{again}");
    }
    let columns = ["--amount", "amount_usd", "--decimals", "2", "--id-prefix", "gift-"];
    folder.run(&[&["reconcile", "gifts", &file][..], &columns].concat(), 0);
    folder.verify();
}

/// A line of the script and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    id: String,
    user: u32,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    TopUp { transaction: usize, coins: u64 },
    Gift { item: &'static str, quantity: u64, streamer: u32 },
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, user, what } = self;
        match what {
            What::TopUp { transaction, coins } => {
                let (yuan, fen) = (coins / 100, coins % 100);
                let of = format!(r#""user":"u{user}","channel":"apple","transaction":"x{transaction}""#);
                let paid = format!(r#"{{"currency":"CNY","amount":"{yuan}.{fen:02}"}}"#);
                write!(f, r#"{{"id":"{id}","top_up":{{{of},"coins":{coins},"paid":{paid}}}}}"#)
            }
            What::Gift { item, quantity, streamer } => {
                let to = format!(r#"[{{"streamer":"s{streamer}"}}]"#);
                write!(
                    f,
                    r#"{{"id":"{id}","gift":{{"user":"u{user}","item":"{item}","quantity":{quantity},"to":{to}}}}}"#
                )
            }
        }
    }
}

/// Makes the script longer, up to `wanted` lines of a kind.
fn extend(script: &mut Vec<Line>, wanted: usize, kind: fn(&[Line], &mut ChaCha8Rng) -> Line, random: &mut ChaCha8Rng) {
    while script.len() < wanted {
        script.push(kind(script, random));
    }
}

/// A top-up with an id of its own.
fn top_up(script: &[Line], random: &mut ChaCha8Rng) -> Line {
    let (at, user) = (script.len(), random.random_range(0..USERS));
    Line { id: format!("c{at}"), user, what: What::TopUp { transaction: at, coins: random.random_range(1..500) } }
}

/// Top-ups and gifts, most with ids of their own; some said again, some claiming a payment again, some
/// with the id of another, some of what nobody sells.
fn mixed(script: &[Line], random: &mut ChaCha8Rng) -> Line {
    let (at, user) = (script.len(), random.random_range(0..USERS));
    let fresh = |what| Line { id: format!("c{at}"), user, what };
    let gift = What::Gift { item: "rose", quantity: random.random_range(1..=20), streamer: random.random_range(0..50) };
    let earlier = script.choose(random).cloned();
    match (random.random_range(0..100), earlier) {
        (0..7, Some(earlier)) => earlier,
        (7..10, Some(Line { user, what: What::TopUp { transaction, .. }, .. })) => {
            Line { user, ..fresh(What::TopUp { transaction, coins: 1 }) }
        }
        (10..13, Some(Line { id, user, what: What::Gift { item, quantity, streamer } })) => {
            Line { id, user, what: What::Gift { item, quantity: quantity + 20, streamer } }
        }
        (13..15, _) => fresh(What::Gift { item: "unicorn", quantity: 1, streamer: 1 }),
        (15..55, _) => top_up(script, random),
        _ => fresh(gift),
    }
}

/// What a run of `append` said before it ended.
struct Run {
    /// As they were printed, without the number of the line.
    answers: Vec<String>,
    status: ExitStatus,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} after {} answers", self.status, self.answers.len())
    }
}

/// Streams lines through `append` and kills it once it has answered `enough`; what it has answered
/// by the time it is dead counts too.
fn append(data: &Path, lines: &[Line], burst: usize, enough: Option<usize>) -> Run {
    let mut command = giftledger();
    command.arg("append").arg("--data").arg(data);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut answers = Vec::new();
    thread::scope(|scope| {
        let (permits, permitted) = mpsc::channel::<()>();
        scope.spawn(move || {
            for (nth, lines) in lines.chunks(burst).enumerate() {
                let text: String = lines.iter().fold(String::new(), |mut text, line| {
                    writeln!(text, "{line}").unwrap();
                    text
                });
                let permitted = nth < BURSTS_AHEAD || permitted.recv().is_ok();
                if !permitted || stdin.write_all(text.as_bytes()).is_err() {
                    return; // it is dead
                }
            }
        });
        while let Some(answer) = answer(&mut stdout, answers.len()) {
            answers.push(answer);
            if answers.len() % burst == 0 {
                let _ = permits.send(()); // the last lines may have been written
            }
            if enough == Some(answers.len()) {
                child.kill().unwrap();
            }
        }
        drop(permits);
    });
    let output = child.wait_with_output().unwrap();
    assert_quiet(&output.stderr);
    Run { answers, status: output.status }
}

/// The next whole line that the pipe holds; what a kill has cut is no answer.
fn answer(stdout: &mut impl BufRead, nth: usize) -> Option<String> {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    if !line.ends_with('\n') {
        return None;
    }
    let number = format!(r#"{{"line":{},"#, nth + 1);
    let rest = line.strip_prefix(&number).unwrap_or_else(|| panic!("answers come in the order of the lines: {line}"));
    Some(format!("{{{}", rest.trim_end()))
}

/// Takes the answers to the lines from `from` on, each like the one that the line had before.
fn note(answers: &mut Vec<String>, script: &[Line], from: usize, new: Vec<String>) {
    for (line, new) in (from..).zip(new) {
        let id = format!(r#"{{"id":"{}","#, script[line].id);
        assert!(new.starts_with(&id), "line {line}, {}: {new}", script[line]);
        match answers.get(line) {
            // That it is said again is all that it may say besides.
            Some(old) => {
                let again = new.replace(r#","replayed":true}"#, "}");
                assert_eq!(
                    old.replace(r#","replayed":true}"#, "}"),
                    again,
                    "line {line}, answered before: {}",
                    script[line]
                );
            }
            None => answers.push(new),
        }
    }
}

/// An answer as far as it is checked against the log.
#[derive(Debug, Deserialize)]
struct Answered {
    state: String,
    position: String,
    #[serde(default)]
    code: String,
    rejection: Option<Value>,
}

impl Answered {
    /// The shard and sequence of its record.
    fn place(&self) -> (u64, u64) {
        let (shard, sequence) = self.position.split_once('-').unwrap();
        (shard.parse().unwrap(), sequence.parse().unwrap())
    }
}

/// The kind of an origin: it stands alone, or names the service that asked.
fn kind<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let origin = Value::deserialize(deserializer)?;
    let named = origin.as_object().and_then(|origin| origin.keys().next().cloned());
    Ok(named.unwrap_or_else(|| origin.as_str().unwrap_or_default().to_owned()))
}

/// A record as far as answers are checked against it.
#[derive(Debug, Deserialize)]
struct Recorded {
    shard: u64,
    sequence: u64,
    subject: String,
    /// `caller`, `dispatch` or `timer`.
    #[serde(deserialize_with = "kind")]
    origin: String,
    id: String,
    body: Body,
}

#[derive(Debug, Deserialize)]
struct Body {
    event: Option<Event>,
    rejection: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Event {
    top_up_credited: Option<Paid>,
    top_up_claimed: Option<Paid>,
    gift_given: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Paid {
    #[serde(default)]
    transaction: String,
    coins: u64,
}

/// Every answer names a record that says the same, and there are no more records than commands.
fn audit_answers(script: &[Line], answers: &[Answered], folder: &Folder) {
    let mut places: HashMap<(u64, u64), Recorded> = HashMap::new();
    let mut commands: HashMap<(String, String, String), (u64, u64)> = HashMap::new();
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    folder.each_record(|record: Recorded| {
        let place @ (shard, sequence) = (record.shard, record.sequence);
        let before = last.insert(shard, sequence).unwrap_or(0);
        assert_eq!(before + 1, sequence, "sequences have no gap: {record:?}");
        let key = (record.subject.clone(), record.origin.clone(), record.id.clone());
        assert_eq!(commands.insert(key, place), None, "one record an id: {record:?}");
        places.insert(place, record);
    });
    let mut said = BTreeSet::new();
    let mut codes: BTreeMap<String, usize> = BTreeMap::new();
    let mut contents: HashMap<&str, BTreeSet<String>> = HashMap::new();
    for line in script {
        contents.entry(&line.id).or_default().insert(line.to_string());
    }
    for (line, answer) in script.iter().zip(answers) {
        let Line { id, user, what } = line;
        let record = places.get(&answer.place());
        let record = record.unwrap_or_else(|| panic!("no record for {answer:?} to {line}"));
        let user = format!("user:u{user}");
        let subject = match what {
            What::TopUp { transaction, .. } => format!("claim:transaction:apple/x{transaction}"),
            What::Gift { .. } => user.clone(),
        };
        let event = record.body.event.as_ref();
        match (answer.state.as_str(), what) {
            ("taken", What::TopUp { transaction, coins }) => {
                let credit = event.and_then(|event| event.top_up_credited.as_ref()).expect("a credit");
                assert_eq!((&record.subject, record.origin.as_str()), (&user, "dispatch"), "{line}");
                assert_eq!(credit.transaction, format!("x{transaction}"), "{line}: {record:?}");
                assert_eq!(credit.coins, *coins, "{line}: {record:?}");
                let claim = &places[&commands[&(subject.clone(), "caller".to_owned(), id.clone())]];
                let claimed = claim.body.event.as_ref().and_then(|event| event.top_up_claimed.as_ref());
                assert_eq!(claimed.map(|claimed| claimed.coins), Some(*coins), "{line}: {claim:?}");
            }
            (outcome, _) => {
                assert_eq!(record.id, *id, "{line}");
                assert_eq!((&record.subject, record.origin.as_str()), (&subject, "caller"), "{line}");
                match outcome {
                    "taken" => assert!(event.is_some_and(|event| event.gift_given.is_some()), "{line}: {record:?}"),
                    "refused" => assert_eq!(record.body.rejection, answer.rejection, "{line}"),
                    "conflict" => assert!(contents[id.as_str()].len() > 1, "{line}"),
                    _ => panic!("{answer:?} to {line}"),
                }
            }
        }
        *codes.entry(format!("{}{}", answer.state, answer.code)).or_default() += 1;
        said.insert((subject, id.clone()));
    }
    println!("{codes:?}");
    let wanted = ["taken", "conflictconflict", "refusedtransaction_claimed", "refuseditem_not_found"];
    assert!(wanted.iter().all(|kind| codes.contains_key(*kind)), "the script shows every kind: {codes:?}");
    let recorded: BTreeSet<(String, String)> = commands
        .into_keys()
        .filter(|(_, origin, id)| origin == "caller" && !id.starts_with("apply:"))
        .map(|(subject, _, id)| (subject, id))
        .collect();
    assert!(said == recorded, "{} commands were said, {} are recorded", said.len(), recorded.len());
}

/// What each user holds is what the answers add up to.
fn audit_balances(folder: &Folder, script: &[Line], answers: &[Answered]) {
    let mut wanted: BTreeMap<String, i64> = BTreeMap::new();
    let mut counted = BTreeSet::new();
    for (line, answer) in script.iter().zip(answers) {
        if answer.state == "taken" && counted.insert(&line.id) {
            let coins = match line.what {
                What::TopUp { coins, .. } => coins.cast_signed(),
                What::Gift { quantity, .. } => -(quantity * PRICE).cast_signed(),
            };
            *wanted.entry(format!("user:u{}", line.user)).or_default() += coins;
        }
    }
    let balances = folder.run(&["balance", "--all", "--json"], 0);
    let held: BTreeMap<String, i64> = lines(&balances.stdout)
        .map(|line| (text(&line, "account"), text(&line, "balance").parse().unwrap_or_default()))
        .filter(|(account, _)| account.starts_with("user:"))
        .collect();
    wanted.retain(|_, coins| *coins != 0);
    assert_eq!(held, wanted);
}

/// A file like the real one, and the cents in it.
fn gifts_csv(random: &mut ChaCha8Rng) -> (String, u64) {
    let mut text = String::from("gift_id,campaign,occurred_at,sender,amount_usd,room,streamers\n");
    let mut sum = 0;
    for row in 1..=ROWS {
        let cents: u64 = random.random_range(1..20_000);
        let (minute, second) = (row / 60 % 60, row % 60);
        let (sender, room) = (random.random_range(0..5_000), random.random_range(0..40));
        let streamers = ["", "s_1", "s_2|s_3", "s_4|s_5|s_6"].choose(random).unwrap();
        let time = format!("2011-08-04T19:{minute:02}:{second:02}.000Z");
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        writeln!(text, "{row},SGDQ2011,{time},u_{sender},{amount},room-{room},{streamers}").unwrap();
        sum += cents;
    }
    (text, sum)
}

/// Looks at the log until its frames end beyond `enough`.
fn await_growth(data: &Path, enough: u64, child: &mut Child) {
    const LOOKS: u32 = 60_000;
    for _ in 0..LOOKS {
        if log_end(data) >= enough {
            return;
        }
        assert_eq!(child.try_wait().unwrap(), None, "it ended before the log had {enough} bytes");
        thread::sleep(Duration::from_millis(1));
    }
    panic!("the log did not grow to {enough} bytes within {LOOKS} looks");
}

/// Where the frames of the log's first segment end. Behind them stand zeros.
fn log_end(data: &Path) -> u64 {
    use std::os::unix::fs::FileExt;
    let Ok(file) = fs::File::open(data.join("log/0000000000000000.seg")) else { return 0 };
    let number = |at: u64| {
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, at).map_or(0, |()| u32::from_le_bytes(bytes))
    };
    let mut end = u64::from(number(16));
    while number(end) == u32::from_le_bytes(*b"GLfr") {
        end += u64::from(number(end + 8));
    }
    end
}

/// A folder with a ledger and the files that go into it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("ledger")
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = giftledger();
        command.args(arguments).arg("--data").arg(self.data());
        command
    }

    fn run(&self, arguments: &[&str], code: i32) -> Output {
        let output = self.command(arguments).output().unwrap();
        assert_quiet(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Gives every record of the log to `visit`.
    fn each_record<T: DeserializeOwned>(&self, mut visit: impl FnMut(T)) {
        let mut child = self.command(&["events", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            visit(serde_json::from_str(&line.unwrap()).unwrap());
        }
        assert!(child.wait().unwrap().success());
    }

    /// Proves the books; how far each shard is, with its hash.
    fn verify(&self) -> Value {
        let mut proof = json(&self.run(&["verify", "--json"], 0));
        assert_eq!((&proof["ok"], &proof["fault"]), (&Value::Bool(true), &Value::Null), "{proof}");
        proof["shards"].take()
    }
}

fn assert_quiet(stderr: &[u8]) {
    let stderr = String::from_utf8_lossy(stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
}

fn lines(text: &[u8]) -> impl Iterator<Item = Value> {
    serde_json::Deserializer::from_slice(text).into_iter().map(|line| line.unwrap())
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(of: &Value, field: &str) -> String {
    of[field].as_str().unwrap_or_else(|| panic!("no {field} in {of}")).to_owned()
}

fn seeded(test: u64) -> ChaCha8Rng {
    let seed = std::env::var("GIFTLEDGER_SEED").map_or(20_261_121, |seed| seed.parse().expect("a number"));
    println!("GIFTLEDGER_SEED={seed}");
    ChaCha8Rng::seed_from_u64(seed + test)
}
