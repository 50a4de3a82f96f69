//! `bench` over HTTP: callers with a connection each, over loopback, at a server that it starts on a fresh folder, or at
//! one that runs. The client speaks HTTP/1.1 on bare sockets, so that it takes little of the processors that both share.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    ops::Range,
    path::Path,
    process::{Child, Command, Stdio},
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use super::{
    Bench, Figures,
    gifts::Gifts,
    load::{Caller, Supply},
    machine,
};
use crate::{
    cli::Ended,
    ledger_dir::LedgerDir,
    output::{Progress, print_json, say},
};

/// Lines of one request that prepares the ledger.
const PREPARED: u64 = 8_189;

/// Where a server is: `http://127.0.0.1:8040`.
#[derive(Debug, Clone)]
pub struct Url {
    address: String,
}

impl Url {
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl FromStr for Url {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        match address.filter(|address| !address.contains('/') && address.contains(':')) {
            Some(address) => Ok(Self { address: address.to_owned() }),
            None => Err(format!("{text} is not the address of a server; allowed is http://HOST:PORT")),
        }
    }
}

/// What was measured.
#[derive(Debug, Serialize)]
struct OverHttp {
    #[serde(flatten)]
    figures: Figures,
    /// Of that, the server's and the client's share; absent where the server is not ours.
    server_cpu_us_per_command: Option<f64>,
    client_cpu_us_per_command: f64,
    /// The server's, before the first gift.
    idle_rss_mib: Option<u64>,
}

impl Bench {
    pub(super) fn over_http(&self, folder: &Path, json: bool) -> Result<Ended> {
        let syncs_before = machine::fdatasync_per_s(folder)?;
        let gifts = self.gifts()?;
        let server = self.server_on(folder)?;
        let idle_rss_mib = server.rss_mib()?;
        self.prepare_over_http(&server.url, &gifts)?;
        let count = self.count();
        let progress = Progress::gifts(count, "giving");
        let (written, cpu, own_cpu) = (server.written()?, server.cpu_time()?, machine::cpu_time());
        let one = self.batch == 1;
        let path = match (one, self.unordered) {
            (true, _) => "/v1/commands",
            (false, false) => "/v1/commands/bulk",
            (false, true) => "/v1/commands/bulk?order=none",
        };
        let begin = || Ok(Giver { gifts: &gifts, connection: Connection::to(&server.url)?, path, body: Vec::new() });
        let started = Instant::now();
        let given = self.callers().give(&begin, &Supply::of(0..count), |done| progress.set(done))?;
        let elapsed = started.elapsed();
        drop(progress);
        let client = machine::cpu_time().saturating_sub(own_cpu);
        let each_us = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
        let of_server = match (server.cpu_time()?, cpu) {
            (Some(now), Some(before)) => Some(each_us(now.saturating_sub(before))),
            _ => None,
        };
        let written = match (server.written()?, written) {
            (Some(now), Some(before)) => (now - before) as f64 / count as f64,
            _ => f64::NAN,
        };
        let rss_mib = server.rss_mib()?.unwrap_or(0);
        server.stop()?;
        let figures = Figures {
            accepted_per_s: machine::per_second(count, elapsed),
            p1_ms: given.latency_ms(1.0),
            p50_ms: given.latency_ms(50.0),
            p99_ms: given.latency_ms(99.0),
            p100_ms: given.latency_ms(100.0),
            cpu_us_per_command: of_server.unwrap_or(0.0) + each_us(client),
            written_bytes_per_command: written,
            rss_mib,
            fdatasync_per_s: u64::midpoint(syncs_before, machine::fdatasync_per_s(folder)?),
        };
        let measured = OverHttp {
            figures,
            server_cpu_us_per_command: of_server,
            client_cpu_us_per_command: each_us(client),
            idle_rss_mib,
        };
        if json {
            print_json(&measured)?;
        } else {
            super::print(&measured.figures)?;
            let server = of_server.map(|us| format!("{us:.2} µs the server's, ")).unwrap_or_default();
            say(&format_args!("                  of which {server}{:.2} the client's", each_us(client)))?;
            if let Some(idle) = idle_rss_mib {
                say(&format_args!("memory when idle  {idle:>12} MiB"))?;
            }
        }
        Ok(Ended::Well)
    }

    /// The server that was named, or one of its own.
    pub(super) fn server_on(&self, folder: &Path) -> Result<Server> {
        if let Some(url) = &self.server {
            return Ok(Server { url: url.clone(), process: None });
        }
        let ledger = LedgerDir::new(&folder.join("ledger"));
        ledger.make(Some(self.shards))?.close()?;
        Server::start(ledger.path())
    }

    /// Publishes a gift of price 1 where there is none, and gives everybody enough coins.
    pub(super) fn prepare_over_http(&self, url: &Url, gifts: &Gifts) -> Result<()> {
        let mut connection = Connection::to(url)?;
        let rose = r#"{"id":"bench-v1","publish":{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z","changes":[{"item":{"item":"rose","price":1,"value":1}}]}}"#;
        let answer = connection.post("/v1/commands", "application/json", rose.as_bytes())?;
        if self.server.is_none() {
            ensure!(answer.status == 200, "the catalogue was not taken: {}", answer.text());
        }
        let mut body = Vec::new();
        let mut next = 0;
        while next < gifts.accounts() {
            let end = gifts.accounts().min(next + PREPARED);
            body.clear();
            Gifts::write_top_ups(next..end, &mut body);
            connection.post("/v1/commands/bulk?order=none", NDJSON, &body)?.all_taken(end - next)?;
            next = end;
        }
        // The version holds from an instant a little ahead.
        std::thread::sleep(Duration::from_millis(50));
        Ok(())
    }
}

pub(super) const NDJSON: &str = "application/x-ndjson";

/// A server, ours or another.
pub(super) struct Server {
    url: Url,
    process: Option<Child>,
}

impl Server {
    fn start(ledger: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("finding the program itself")?;
        let mut command = Command::new(program);
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--data"]).arg(ledger);
        let mut child = command.stdout(Stdio::piped()).spawn().context("starting a server")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("a server has an output")?).read_line(&mut line)?;
        let said: serde_json::Value = serde_json::from_str(&line).with_context(|| format!("a server says {line:?}"))?;
        let url = said["listening"].as_str().unwrap_or_default().parse().map_err(anyhow::Error::msg)?;
        Ok(Self { url, process: Some(child) })
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Processor time of all its threads.
    pub fn cpu_time(&self) -> Result<Option<Duration>> {
        let Some(child) = &self.process else { return Ok(None) };
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).context("reading the server's time")?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap_or(0)).sum();
        Ok(Some(Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second())))
    }

    pub fn rss_mib(&self) -> Result<Option<u64>> {
        self.process.as_ref().map(|child| machine::rss_mib_of(&child.id().to_string())).transpose()
    }

    /// What it has sent to the disk.
    fn written(&self) -> Result<Option<u64>> {
        let Some(child) = &self.process else { return Ok(None) };
        let text = fs::read_to_string(format!("/proc/{}/io", child.id())).context("reading what the server wrote")?;
        let bytes = text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok());
        Ok(Some(bytes.context("/proc says no write_bytes")?))
    }

    /// Ends it in order, if it is ours.
    pub fn stop(mut self) -> Result<()> {
        let Some(mut child) = self.process.take() else { return Ok(()) };
        if let Some(pid) = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default()) {
            kill_process(pid, Signal::TERM).context("ending the server")?;
        }
        let ended = child.wait().context("waiting for the server")?;
        ensure!(ended.success(), "the server did not end in order: {ended}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A caller with a connection.
struct Giver<'a> {
    gifts: &'a Gifts,
    connection: Connection,
    path: &'static str,
    body: Vec<u8>,
}

impl Caller for Giver<'_> {
    fn give(&mut self, numbers: Range<u64>) -> Result<()> {
        self.body.clear();
        let count = numbers.end - numbers.start;
        numbers.for_each(|number| self.gifts.write_line(number, &mut self.body));
        if self.path == "/v1/commands" {
            let answer = self.connection.post(self.path, "application/json", &self.body)?;
            ensure!(answer.status == 200, "a command of the bench was not taken: {}", answer.text());
            return Ok(());
        }
        self.connection.post(self.path, NDJSON, &self.body)?.all_taken(count)
    }
}

/// A connection that is kept.
pub(super) struct Connection {
    stream: TcpStream,
    host: String,
    /// What was read and not looked at.
    read: Vec<u8>,
}

/// What a server answered. Of a long body the end.
pub(super) struct Answered {
    status: u16,
    body: Vec<u8>,
}

impl Answered {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the last line of a bulk says that all lines were taken.
    pub fn all_taken(&self, count: u64) -> Result<()> {
        let text = self.text();
        let last = text.trim_end().lines().last().unwrap_or_default();
        if self.status != 200 || !last.starts_with(&format!(r#"{{"end":true,"lines":{count},"taken":{count},"#)) {
            bail!("a command of the bench was not taken: {} {text}", self.status);
        }
        Ok(())
    }
}

/// So much of a long answer is kept.
const KEPT: usize = 4096;

impl Connection {
    pub fn to(url: &Url) -> Result<Self> {
        let stream = TcpStream::connect(&url.address).with_context(|| format!("connecting to {}", url.address))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host: url.address.clone(), read: Vec::with_capacity(1 << 16) })
    }

    pub fn post(&mut self, path: &str, media_type: &str, body: &[u8]) -> Result<Answered> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        if body.len() < 1 << 14 {
            self.stream.write_all(&[head.as_bytes(), body].concat())?;
        } else {
            self.stream.write_all(head.as_bytes())?;
            self.stream.write_all(body)?;
        }
        self.answer().context("reading an answer")
    }

    /// Reads more; whole so far is what `self.read` holds.
    fn more(&mut self) -> Result<()> {
        let begin = self.read.len();
        self.read.resize(begin + (64 << 10), 0);
        let count = self.stream.read(&mut self.read[begin..])?;
        self.read.truncate(begin + count);
        ensure!(count > 0, "the server has closed the connection");
        Ok(())
    }

    fn until(&mut self, begin: usize, end: &[u8]) -> Result<usize> {
        let mut from = begin;
        loop {
            if let Some(at) = self.read[from..].windows(end.len()).position(|window| window == end) {
                return Ok(from + at);
            }
            from = self.read.len().saturating_sub(end.len() - 1).max(begin);
            self.more()?;
        }
    }

    fn answer(&mut self) -> Result<Answered> {
        let end = self.until(0, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&self.read[..end])?.to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("a status")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        self.read.drain(..end + 4);
        let mut body = Vec::new();
        if let Some(length) = length {
            while self.read.len() < length {
                self.more()?;
            }
            body.extend(self.read.drain(..length));
            return Ok(Answered { status, body });
        }
        loop {
            let end = self.until(0, b"\r\n")?;
            let size = usize::from_str_radix(std::str::from_utf8(&self.read[..end])?, 16).context("a chunk's size")?;
            while self.read.len() < end + 2 + size + 2 {
                self.more()?;
            }
            body.extend_from_slice(&self.read[end + 2..end + 2 + size]);
            self.read.drain(..end + 2 + size + 2);
            if size == 0 {
                return Ok(Answered { status, body });
            }
            if body.len() > 2 * KEPT {
                body.drain(..body.len() - KEPT);
            }
        }
    }
}
