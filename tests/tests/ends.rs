//! How commands end when they are asked to, and what they say where nobody listens.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{
        fs::{PermissionsExt, symlink},
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
};

use giftledger_tests::binary::giftledger;
use rstest::rstest;
use rustix::process::{Pid, Signal, getuid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Sends a signal to a process of ours.
fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn grant(id: u32) -> String {
    format!(r#"{{"id":"a-{id}","grant":{{"user":"u{}","coins":100,"reason":"reward"}}}}"#, id % 50)
}

struct Ledger(TempDir);

impl Ledger {
    /// With a few records on it.
    fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    fn within(folder: &Path) -> Self {
        let ledger = Self(TempDir::new_in(folder).unwrap());
        fs::write(ledger.path("platform.toml"), PLATFORM).unwrap();
        let made = ledger.run(&["apply", "-f", ledger.path("platform.toml").to_str().unwrap()]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        ledger
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = giftledger();
        command.args(arguments).arg("--data").arg(self.path("ledger")).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Appends some records, so that a reader has something to read.
    fn fill(&self, records: u32) {
        let lines: String = (0..records).map(|n| grant(n) + "\n").collect();
        fs::write(self.path("grants.ndjson"), lines).unwrap();
        let filled = self.run(&["append", self.path("grants.ndjson").to_str().unwrap()]);
        assert!(filled.status.success(), "{}", text(&filled.stderr));
    }

    /// Whether the next backup finds that the ledger was closed.
    fn was_closed(&self, backup: &str) -> bool {
        let done = self.run(&["backup", "--json", "--to", self.path(backup).to_str().unwrap()]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        serde_json::from_slice::<Value>(&done.stdout).unwrap()["closed"].as_bool().unwrap()
    }
}

/// An `append` that has answered one line and waits for the next.
struct Appending {
    child: Child,
    input: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Appending {
    fn begin(ledger: &Ledger) -> Self {
        let mut command = ledger.command(&["append"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        writeln!(input, "{}", grant(1_000_000)).unwrap();
        let mut answers = BufReader::new(output);
        let mut first = String::new();
        answers.read_line(&mut first).unwrap();
        assert!(first.contains(r#""state":"taken""#), "{first}");
        Self { child, input, answers }
    }
}

/// A ledger whose writer is asked to end is closed: no record of it is in doubt for the next backup.
#[rstest]
fn a_writer_that_is_asked_to_end_closes_the_ledger(#[values(Signal::TERM, Signal::INT)] asked: Signal) {
    let ledger = Ledger::new();
    let Appending { mut child, input, mut answers } = Appending::begin(&ledger);
    assert!(!ledger.was_closed("while"), "somebody writes");
    signal(&child, asked);
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(128 + asked.as_raw()), "{said}");
    let name = if asked == Signal::TERM { "SIGTERM" } else { "Ctrl-C" };
    assert!(said.contains(&format!("ended by {name}: lines up to 1 are answered")), "{said}");
    drop(input);
    let mut rest = String::new();
    answers.read_to_string(&mut rest).unwrap();
    assert!(ledger.was_closed("after"), "{said}");
    assert!(ledger.run(&["verify"]).status.success());
}

/// Whoever cannot wait asks twice.
#[test]
fn a_second_signal_ends_at_once() {
    let ledger = Ledger::new();
    // A pipe that nobody reads: what is asked first is never noticed.
    ledger.fill(20_000);
    let mut command = ledger.command(&["events", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = [0; 1];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    signal(&child, Signal::TERM);
    while child.try_wait().unwrap().is_none() {
        signal(&child, Signal::TERM);
    }
    let status = child.wait().unwrap();
    assert!(status.code() == Some(143) || status.signal() == Some(15), "{status}");
}

/// Long reading ends with a line that says how far it had come, and leaves no file half made.
#[rstest]
#[case::verify(&["verify"])]
#[case::export(&["export", "--format", "csv", "-o"])]
#[case::balance(&["balance", "--all"])]
fn a_reader_that_is_asked_to_end_says_how_far_it_was(#[case] arguments: &[&str]) {
    let ledger = Ledger::new();
    ledger.fill(60_000);
    let books = ledger.path("books/books.csv");
    fs::create_dir(books.parent().unwrap()).unwrap();
    let file = arguments.ends_with(&["-o"]).then(|| books.to_str().unwrap());
    let arguments: Vec<&str> = arguments.iter().copied().chain(file).collect();
    let mut command = ledger.command(&arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // Handlers are set before the first record is read: wait until they are.
    let status = format!("/proc/{}/status", child.id());
    let catches = |status: &str| {
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
        u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << 14) != 0
    };
    while !fs::read_to_string(&status).is_ok_and(|status| catches(&status)) {
        assert!(child.try_wait().unwrap().is_none(), "it was through before it could be asked");
    }
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(143), "{said}");
    assert!(said.contains("ended by SIGTERM: ") && said.contains(" records"), "{said}");
    assert_eq!(fs::read_dir(books.parent().unwrap()).unwrap().count(), 0, "no draft is left");
}

/// Nobody can be told that nobody listens: that is no reason to panic.
#[rstest]
#[case::wrong_use(&["wallet"], 2)]
#[case::no_such_item(&["apply", "-f", "no-such-file.toml"], 2)]
#[case::malformed(&["append", "COMMANDS"], 1)]
fn where_nothing_can_be_said_nothing_panics(#[case] arguments: &[&str], #[case] code: i32) {
    let ledger = Ledger::new();
    let commands = ledger.path("commands");
    fs::write(&commands, "{}\n").unwrap();
    let arguments: Vec<&str> =
        arguments.iter().map(|&word| if word == "COMMANDS" { commands.to_str().unwrap() } else { word }).collect();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = ledger.command(&arguments);
    let status = command.env("GIFTLEDGER_LOG", "trace").stderr(full()).stdout(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(code), "{arguments:?}");
}

/// Output that could not be written is not done.
#[rstest]
#[case(&["verify", "--json"])]
#[case(&["verify"])]
#[case(&["events", "--json"])]
#[case(&["balance", "--all", "--json"])]
#[case(&["settle", "--dry-run", "2026-11", "--json"])]
#[case(&["export", "--format", "csv"])]
#[case(&["completions", "bash"])]
fn a_full_disk_behind_the_output_is_a_fault(#[case] arguments: &[&str]) {
    let ledger = Ledger::new();
    ledger.fill(3);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = ledger.command(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
}

/// Under `ulimit -f` a write fails like one on a full disk: what was answered stands, and the process lives.
#[test]
fn a_limit_of_file_sizes_reads_like_a_full_disk() {
    let ledger = Ledger::new();
    let limited = ledger.command(&["append"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -f 64; exec \"$0\" \"$@\""]).arg(limited.get_program()).args(limited.get_args());
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    child.stdin.take().unwrap().write_all((grant(1) + "\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (answer, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{} {said}", output.status);
    assert!(answer.contains("disk_full"), "{answer}");
    assert!(ledger.run(&["verify"]).status.success());
}

/// A folder that is closed to us is not an empty one.
#[test]
fn a_folder_without_permission_is_not_called_empty() {
    let ledger = Ledger::within(Path::new("/tmp")); // where every user may look
    let folder = ledger.path("ledger");
    // As root nothing is closed: then another user asks.
    let binary = ledger.path("giftledger");
    fs::copy(giftledger().get_program(), &binary).unwrap();
    fs::set_permissions(ledger.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&binary);
    command.args(["wallet", "u1", "--data"]).arg(&folder).current_dir("/");
    if getuid().is_root() {
        command.uid(65_534).gid(65_534);
    } else {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let output = command.output().unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    let said = text(&output.stderr);
    assert!(said.contains("Permission denied") && said.contains(folder.to_str().unwrap()), "{said}");
    assert!(!said.contains("there is no ledger") && !said.contains("make one"), "{said}");
}

fn modes(folder: &Path, wrong: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.metadata().unwrap();
        let (mode, right) = (kind.permissions().mode() & 0o777, if kind.is_dir() { 0o700 } else { 0o600 });
        if mode != right {
            wrong.push(format!("{} {mode:04o}", entry.path().display()));
        }
        if kind.is_dir() {
            modes(&entry.path(), wrong);
        }
    }
}

/// Whatever is made is for its owner only: the books say what everybody earns.
#[test]
fn what_is_made_is_for_its_owner_only() {
    let ledger = Ledger::new();
    ledger.fill(100);
    let made = ledger.path("made");
    fs::create_dir(&made).unwrap();
    let path = |name: &str| made.join(name).to_str().unwrap().to_owned();
    let (key, anchors, books, backup) = (path("key"), path("anchors"), path("books"), path("backup"));
    let restored = path("restored");
    let csv = ledger.path("gifts.csv");
    fs::write(&csv, "id,at,who,how_much\n").unwrap();
    for arguments in [
        &["snapshot"][..],
        &["anchor", "--new-key", &key],
        &["anchor", "--key", &key, "--out", &anchors],
        &["export", "--format", "csv", "-o", &books],
        &["backup", "--to", &backup],
    ] {
        let output = ledger.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    }
    let output = giftledger().args(["restore", "--from", &backup, "--data", &restored]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut wrong = Vec::new();
    modes(&made, &mut wrong);
    modes(&ledger.path("ledger"), &mut wrong);
    let mode = fs::metadata(ledger.path("ledger")).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode, wrong), (0o700, vec![]));

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    for arguments in [&["anchor", "--key", &key][..], &["verify", "--anchor", &anchors, "--public-key", &key, "--json"]]
    {
        let refused = ledger.run(arguments);
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && said.contains(&format!("chmod 600 {key}")), "{arguments:?}: {said}");
    }
}

/// A name that somebody laid out is not written through.
#[test]
fn an_export_writes_through_no_link() {
    let ledger = Ledger::new();
    let (victim, books) = (ledger.path("victim"), ledger.path("books"));
    fs::write(&victim, "precious").unwrap();
    for name in ["books", "books.draft"] {
        symlink(&victim, ledger.path(name)).unwrap();
    }
    let output = ledger.run(&["export", "--format", "csv", "-o", books.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert!(fs::read_to_string(&books).unwrap().starts_with("date,"));
}

const PLATFORM: &str = r#"
[entity]
currency = "CNY"
zone = "Asia/Shanghai"
coins_per_unit = 100
"#;
