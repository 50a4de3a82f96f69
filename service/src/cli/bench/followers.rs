//! `bench --followers`: many who follow the feed as server-sent events, each what one streamer receives, while gifts are
//! given at a steady rate. Each delivery is counted, and some are timed from their record to their arrival.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use ledger::{Clock, SystemClock};
use schemas::Timestamp;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use super::{
    Bench,
    gifts::STREAMERS,
    http::{Connection, NDJSON},
    machine,
};
use crate::{
    cli::Ended,
    output::{Progress, print_json, say, thousands},
};

/// How often a bulk of gifts is given.
const BEATS_A_SECOND: u64 = 50;
/// One delivery of so many is timed.
const TIMED: u64 = 16;
/// How long the last deliveries may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was measured.
#[derive(Debug, Serialize)]
struct Figures {
    followers: u64,
    gifts_per_s: u64,
    deliveries: u64,
    expected: u64,
    deliveries_per_s: u64,
    /// From a record to its arrival.
    p50_ms: f64,
    p99_ms: f64,
    p100_ms: f64,
    server_cpu_us_per_delivery: Option<f64>,
    rss_mib: Option<u64>,
    fdatasync_per_s: u64,
    ok: bool,
}

/// What followers count together.
#[derive(Debug, Default)]
struct Counted {
    deliveries: AtomicU64,
    stopped: AtomicBool,
}

impl Bench {
    pub(super) fn follow(&self, followers: u64, folder: &Path, json: bool) -> Result<Ended> {
        ensure!(followers <= STREAMERS as u64, "there are {STREAMERS} streamers to follow");
        let gifts = self.gifts()?;
        let server = self.server_on(folder)?;
        self.prepare_over_http(server.url(), &gifts)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let counted = Arc::new(Counted::default());
        let (timed, mut times) = mpsc::unbounded_channel();
        for nth in 0..followers {
            let (address, counted, timed) = (server.url().address().to_owned(), Arc::clone(&counted), timed.clone());
            let stream = runtime.block_on(connect(&address, nth))?;
            runtime.spawn(follow(stream, counted, timed));
        }
        drop(timed);
        let count = self.count();
        let rate = self.rate.unwrap_or(count);
        let each = (rate / BEATS_A_SECOND).max(1);
        let progress = Progress::gifts(count, "giving");
        let (cpu, begun) = (server.cpu_time()?, Instant::now());
        let mut connection = Connection::to(server.url())?;
        let (mut given, mut expected, mut body, mut late) = (0, 0, Vec::new(), Duration::ZERO);
        while given < count {
            let end = count.min(given + each);
            body.clear();
            for number in given..end {
                gifts.write_line(number, &mut body);
                expected += u64::from(gifts.streamer_of(number) < followers);
            }
            let due = Duration::from_nanos(1_000_000_000 / BEATS_A_SECOND * (given / each));
            match due.checked_sub(begun.elapsed()) {
                Some(early) => std::thread::sleep(early),
                None => late = late.max(begun.elapsed().saturating_sub(due)),
            }
            connection.post("/v1/commands/bulk?order=none", NDJSON, &body)?.all_taken(end - given)?;
            given = end;
            progress.set(given)?;
        }
        let gave = begun.elapsed();
        while counted.deliveries.load(Ordering::Relaxed) < expected && begun.elapsed() < gave + PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        let took = begun.elapsed();
        drop(progress);
        let cpu = server.cpu_time()?.zip(cpu).map(|(now, before)| now.saturating_sub(before));
        let rss_mib = server.rss_mib()?;
        counted.stopped.store(true, Ordering::Relaxed);
        let deliveries = counted.deliveries.load(Ordering::Relaxed);
        runtime.shutdown_timeout(Duration::from_secs(1));
        server.stop()?;
        let mut latencies = Histogram::<u64>::new(3).context("three digits")?;
        while let Ok(us) = times.try_recv() {
            latencies.saturating_record(us);
        }
        let ms = |percent: f64| latencies.value_at_quantile(percent / 100.0) as f64 / 1000.0;
        let figures = Figures {
            followers,
            gifts_per_s: machine::per_second(count, gave),
            deliveries,
            expected,
            deliveries_per_s: machine::per_second(deliveries, took),
            p50_ms: ms(50.0),
            p99_ms: ms(99.0),
            p100_ms: ms(100.0),
            server_cpu_us_per_delivery: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / deliveries.max(1) as f64),
            rss_mib,
            fdatasync_per_s: machine::fdatasync_per_s(folder)?,
            ok: deliveries == expected,
        };
        if json {
            print_json(&figures)?;
        } else {
            say(&format_args!("followers         {:>12}, of {} gifts/s", followers, thousands(figures.gifts_per_s)))?;
            say(&format_args!(
                "delivered         {:>12}/s, {} of {expected}",
                thousands(figures.deliveries_per_s),
                thousands(deliveries)
            ))?;
            say(&format_args!(
                "from the record   {:>12} ms p50, {} p99, {} p100",
                figures.p50_ms, figures.p99_ms, figures.p100_ms
            ))?;
            say(&format_args!("late at most      {:>12} ms behind the rate", late.as_millis()))?;
        }
        Ok(Ended::with(figures.ok))
    }
}

/// A connection on which a streamer's gifts will come; the head of the answer has come.
async fn connect(address: &str, streamer: u64) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET /v1/events?after=now&account=streamer:s{streamer}:turnover HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 200") {
        bail!("a follower was answered {}", String::from_utf8_lossy(&head));
    }
    Ok(stream)
}

/// Counts what comes: each entry has its time once.
async fn follow(mut stream: TcpStream, counted: Arc<Counted>, timed: mpsc::UnboundedSender<u64>) {
    const MARK: &[u8] = b"\"recordedtime\":\"";
    let (mut text, mut mine) = (Vec::with_capacity(1 << 16), 0_u64);
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 || counted.stopped.load(Ordering::Relaxed) {
            break;
        }
        text.extend_from_slice(&buffer[..count]);
        let mut done = 0;
        while let Some(at) = find(&text[done..], MARK) {
            let begin = done + at + MARK.len();
            let Some(end) = text[begin..].iter().position(|byte| *byte == b'"') else { break };
            mine += 1;
            if mine.is_multiple_of(TIMED)
                && let Some(time) =
                    std::str::from_utf8(&text[begin..begin + end]).ok().and_then(|time| time.parse::<Timestamp>().ok())
            {
                let us = SystemClock.now().nanos().saturating_sub(time.nanos()) / 1_000;
                let _ = timed.send(us.unsigned_abs());
            }
            counted.deliveries.fetch_add(1, Ordering::Relaxed);
            done = begin + end;
        }
        // A mark that is not whole yet is looked for again.
        let keep = text.len().min(MARK.len() + 64);
        let from = done.max(text.len() - keep);
        text.drain(..from);
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == wanted[0]) {
        if text[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
