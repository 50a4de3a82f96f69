//! The command line through a server: what it prints is what it prints of the folder, byte for byte, and where it fails
//! it says what to do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
};

use giftledger_tests::binary::giftledger;
use serde_json::Value;
use tempfile::TempDir;

const PLATFORM: &str = "[entity]\ncurrency = 'CNY'\nzone = 'Asia/Shanghai'\ncoins_per_unit = 100\n\
                        [[item]]\nitem = 'rose'\nprice = 10\n\
                        [[streamer]]\nshare = '0.5'\nfrom = 2011-01-01\n";
const LINES: &str = r#"{"id":"t1","top_up":{"user":"u1","channel":"apple","transaction":"x1","coins":1000,"paid":{"currency":"CNY","amount":"10.00"}}}

{"id":"g1","gift":{"user":"u1","item":"rose","to":[{"streamer":"s1"}],"room":"7"}}
gift
{"id":"h1","hold":{"user":"u1","provider":"p1","coins":30,"deadline":"2036-01-01T00:00:00Z"}}
{"id":"g2","gift":{"user":"u1","item":"nope","to":[{"streamer":"s1"}]}}
{"id":"g1","gift":{"user":"u1","item":"rose","to":[{"streamer":"s2"}]}}
"#;
const QUESTIONS: &[&str] = &[
    "wallet u1",
    "wallet nobody",
    "order --user u1 --command h1",
    "order 9-9",
    "orders",
    "orders --user u1 --state open --limit 1",
    "orders --from 2026-01-02T00:00:00Z --until 2026-01-01T00:00:00Z",
    "find g1",
    "find u1",
    "find x1 --limit 1",
    "balance user:u1 streamer:s1:turnover",
    "balance --all",
    "balance --all --zeros",
    "balance user:u1 --history",
    "why user:u1 --limit 1",
    "board --all-time",
    "board --all-time --members senders --top 1",
    "board --month 2026-11 --zone Nowhere/Land",
    "settle 2020-01 --dry-run",
    "events",
    "events --kind gift_given",
    "events --subject user:u1 --limit 2",
];

struct Served {
    child: Child,
    url: String,
}

struct Ledger {
    folder: TempDir,
}

impl Ledger {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("platform.toml"), PLATFORM).unwrap();
        fs::write(folder.path().join("lines"), LINES).unwrap();
        Self { folder }
    }

    fn command(&self, words: &str) -> Command {
        let mut command = giftledger();
        for name in ["GIFTLEDGER_SERVER", "GIFTLEDGER_TOKEN", "GIFTLEDGER_TOKEN_FILE"] {
            command.env_remove(name);
        }
        command.current_dir(self.folder.path()).args(words.split(' ')).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn serve(&self) -> Served {
        let mut serve = self.command("serve --data ledger --listen 127.0.0.1:0 --json");
        let mut child = serve.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        Served { child, url: said["listening"].as_str().unwrap().to_owned() }
    }
}

/// Ends with its test, however that ends.
impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn stop(mut self) {
        let stopped = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(stopped.success() && self.child.wait().unwrap().success());
    }
}

fn said(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

/// An answer without the time at which it was given.
fn timeless(output: &Output) -> (String, String, Option<i32>) {
    let (out, err, code) = said(output);
    let without = |text: &str| {
        let lines = text.lines().map(|line| match line.find("as of ").or_else(|| line.find("which holds at ")) {
            Some(at) => line[..at].to_owned(),
            None => match line.find(r#""as_of":""#) {
                Some(at) => format!("{}{}", &line[..at], &line[at..].split_once("Z\"").unwrap().1),
                None => line.to_owned(),
            },
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    (without(&out), without(&err), code)
}

#[test]
fn every_question_is_answered_alike() {
    let ledger = Ledger::new();
    let served = ledger.serve();
    let at = format!("--server {}", served.url);
    let (shown, _, code) = said(&ledger.run(&format!("apply -f platform.toml --dry-run {at}")));
    assert_eq!((shown.lines().count(), code), (3, Some(0)), "{shown}");
    let (applied, ..) = said(&ledger.run(&format!("apply -f platform.toml {at}")));
    assert_eq!(applied, format!("{shown}version 1 holds in every shard: 3 changes\n"));
    let (answers, _, code) = said(&ledger.run(&format!("append lines {at}")));
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<(u64, &str)> =
        answers.iter().map(|one| (one["line"].as_u64().unwrap(), one["state"].as_str().unwrap())).collect();
    let expected = [(1, "taken"), (3, "taken"), (4, "malformed"), (5, "taken"), (6, "refused"), (7, "conflict")];
    assert_eq!((told, code), (expected.to_vec(), Some(1)));
    let refund = format!("refund --user u1 --command g1 --reason r --id r1 {at}");
    let (preview, _, code) = said(&ledger.run(&format!("{refund} --dry-run")));
    assert!(preview.starts_with("would be: 10 coins refunded: r") && code == Some(0), "{preview}");
    let (_, asked, code) = said(&ledger.run(&refund));
    assert!(asked.contains("say --yes, or --dry-run to only look") && code == Some(2), "{asked}");
    let (done, _, code) = said(&ledger.run(&format!("{refund} --yes")));
    assert!(done.starts_with("done: refunded, record ") && code == Some(0), "{done}");
    let through: Vec<[Output; 2]> =
        QUESTIONS.iter().map(|q| [ledger.run(&format!("{q} {at}")), ledger.run(&format!("{q} --json {at}"))]).collect();
    served.stop();
    // What is to be typed next names where the ledger is; all else is the same.
    let here = |output: &Output| {
        let (out, err, code) = timeless(output);
        (out.replace(&at, "--data ledger"), err.replace(&at, "--data ledger"), code)
    };
    for (question, [text, json]) in QUESTIONS.iter().zip(&through) {
        assert_eq!(here(text), timeless(&ledger.run(&format!("{question} --data ledger"))), "{question}");
        assert_eq!(here(json), timeless(&ledger.run(&format!("{question} --json --data ledger"))), "{question}");
    }
    // Said again, to the folder: the ids are those of the same service.
    let (again, _, code) = said(&ledger.run("append lines --data ledger"));
    let again: Vec<Value> = again.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((again[0]["replayed"].as_bool(), code), (Some(true), Some(1)));
    assert_eq!(again[0]["position"], answers[0]["position"]);
    let (preview, _, _) = said(&ledger.run("refund --user u1 --command g1 --reason r --id r1 --dry-run --data ledger"));
    assert!(preview.starts_with("command r1 was decided before"), "{preview}");
}

/// Passes connections on; the first few break off once the answer has so many bytes.
fn breaking(url: &str, breaks: usize, after: usize) -> String {
    let upstream = url.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for (count, client) in listener.incoming().enumerate() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(&upstream).unwrap());
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
            let mut left = if count < breaks { after } else { usize::MAX };
            let mut buffer = [0; 4_096];
            while left > 0 {
                let read = server.read(&mut buffer).unwrap_or(0).min(left);
                if read == 0 || client.write_all(&buffer[..read]).is_err() {
                    break;
                }
                left -= read;
            }
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        }
    });
    address
}

#[test]
fn what_broke_off_is_sent_again_with_its_ids() {
    let ledger = Ledger::new();
    let served = ledger.serve();
    let grant = |n| format!(r#"{{"id":"n{n}","grant":{{"user":"u{}","coins":1,"reason":"r"}}}}"#, n % 7) + "\n";
    let lines: String = (0..500).map(grant).collect();
    fs::write(ledger.path("grants"), lines).unwrap();
    let at = breaking(&served.url, 2, 9_000);
    let (answers, complaints, code) = said(&ledger.run(&format!("append grants --server {at}")));
    assert_eq!(code, Some(0), "{complaints}");
    assert_eq!(complaints.matches("are sent once more, with the same ids").count(), 2, "{complaints}");
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<u64> = answers.iter().map(|answer| answer["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=500).collect::<Vec<_>>(), "each line is answered once");
    assert!(answers.iter().any(|answer| answer["replayed"] == true), "some had been taken");
    let at = breaking(&served.url, 1, 40);
    let (wallet, complaints, code) = said(&ledger.run(&format!("wallet u1 --server {at}")));
    assert!(wallet.contains("balance 72") && code == Some(0), "{wallet}{complaints}");
    let at = breaking(&served.url, usize::MAX, 40);
    let (_, complaints, code) = said(&ledger.run(&format!("wallet u1 --server {at}")));
    assert!(complaints.contains("broke off; ask again") && code == Some(1), "{complaints}");
    served.stop();
}

#[test]
fn what_goes_wrong_says_what_to_do() {
    let ledger = Ledger::new();
    let served = ledger.serve();
    let url = served.url.clone();
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let strange = format!("http://{}", stranger.local_addr().unwrap());
    thread::spawn(move || {
        for client in stranger.incoming() {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 4_096]);
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi");
        }
    });
    let secure = url.replace("http://", "https://");
    for (words, expected, code) in [
        (format!("wallet u1 --server {strange}"), "is no giftledger", 1),
        (format!("wallet u1 --server {secure}"), "does not speak TLS; try --server http://", 1),
        ("wallet u1 --server 127.0.0.1:8040".to_owned(), "has no scheme; allowed is http://HOST:PORT", 2),
        (format!("wallet u1 --server {url} --data ledger"), "name one of them", 2),
        (format!("verify --server {url}"), "giftledger verify works on the folder of a ledger", 2),
        (format!("backup --to b --server {url}"), "giftledger backup works on the folder of a ledger", 2),
        ("verify --token gl_x --data ledger".to_owned(), "a token is for a server", 2),
        (format!("append lines --server {url} --accept-clock"), "say it to giftledger serve", 2),
        (format!("orders --server {url} --from 2026-01-02T00:00:00Z --until 2026-01-01T00:00:00Z"), "`until`", 2),
        (format!("find nothing --server {url}"), "nothing has the id nothing", 1),
    ] {
        let (out, complaint, ended) = said(&ledger.run(&words));
        assert!(complaint.contains(expected) && ended == Some(code), "{words}: {ended:?} {complaint}{out}");
    }
    served.stop();
    let made = said(&ledger.run("token create --name ann --role read --json --data ledger")).0;
    let token = serde_json::from_str::<Value>(&made).unwrap()["token"].as_str().unwrap().to_owned();
    fs::write(ledger.path("token"), format!("{token}\n")).unwrap();
    let served = ledger.serve();
    let url = served.url.clone();
    let with = |mode: u32, words: &str| {
        fs::set_permissions(ledger.path("token"), fs::Permissions::from_mode(mode)).unwrap();
        said(&ledger.run(&format!("{words} --server {url} --token-file token")))
    };
    let (_, complaint, code) = said(&ledger.run(&format!("wallet u1 --server {url}")));
    assert!(complaint.contains("say --token-file FILE, or set GIFTLEDGER_TOKEN") && code == Some(1), "{complaint}");
    let (_, complaint, code) = with(0o644, "wallet u1");
    assert!(complaint.contains("chmod 600 token") && code == Some(2), "{complaint}");
    let (wallet, complaint, code) = with(0o600, "wallet u1");
    assert!(wallet.contains("balance 0") && code == Some(0), "{complaint}");
    let (_, complaint, code) = with(0o600, "grant u1 5 --reason r --yes");
    assert!(complaint.contains("ask with another token, or have one made for it") && code == Some(1), "{complaint}");
    let by_hand = ledger.command("status").env("GIFTLEDGER_SERVER", &url).env("GIFTLEDGER_TOKEN", &token).output();
    let (_, complaint, code) = said(&by_hand.unwrap());
    assert!(complaint.contains("token ann may not") && code == Some(1), "{complaint}");
    served.stop();
    let (_, complaint, code) = said(&ledger.run(&format!("wallet u1 --server {url}")));
    assert!(complaint.contains("is it running") && code == Some(1), "{complaint}");
}

#[test]
fn who_follows_is_shown_each_record_once() {
    let ledger = Ledger::new();
    let served = ledger.serve();
    let at = format!("--server {}", served.url);
    let grant = |user: &str, id: &str| {
        let done = said(&ledger.run(&format!("grant {user} 1 --reason r --id {id} --yes {at}")));
        assert_eq!(done.2, Some(0), "{done:?}");
    };
    (0..3).for_each(|n| grant("u1", &format!("before-{n}")));
    let mut follow = ledger.command(&format!("events --follow --json --kind granted --limit 5 {at}"));
    let mut follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut ids: Vec<String> = Vec::new();
    let mut next = |ids: &mut Vec<String>| {
        let record: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        ids.push(record["id"].as_str().unwrap().to_owned());
    };
    (0..3).for_each(|_| next(&mut ids));
    grant("u2", "behind-0");
    next(&mut ids);
    grant("u3", "behind-1");
    next(&mut ids);
    assert!(follow.wait().unwrap().success());
    assert_eq!(ids, ["before-0", "before-1", "before-2", "behind-0", "behind-1"]);
    served.stop();
}
