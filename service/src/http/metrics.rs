//! What is watched: counted as requests come and go, and asked of the engine when somebody scrapes. Text in the
//! `OpenMetrics` form. `docs/deploy` has a dashboard and alert rules over these names.
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "what is watched; no money here")]

use std::{sync::atomic::AtomicU64, time::Duration};

use ledger::engine::{Health, Latencies};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet, text::encode},
    metrics::{
        MetricType, TypedMetric,
        counter::{ConstCounter, Counter},
        family::{Family, MetricConstructor},
        gauge::{ConstGauge, Gauge},
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use smallvec::SmallVec;

use crate::{app::Class, subscriptions::Lag};

/// Methods that are counted by their name.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

/// What is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    commands: Family<OfCommand, Counter>,
    requests: Family<OfRequest, Counter>,
    request_seconds: Family<OfPath, Histogram, Buckets>,
    /// Connections that are open.
    pub connections: Gauge,
    /// Followers of the feed.
    pub followers: Gauge,
}

/// What neither the engine nor the counters know.
#[derive(Debug, Clone)]
pub struct Others {
    pub disk_free_bytes: Option<u64>,
    pub subscriptions: Vec<Lag>,
    pub missed_attempts: u64,
    /// Orders whose coins are on hold, and of how many records that is known.
    pub open_holds: Option<([Class; 4], u64)>,
}

/// Labels of a command that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCommand {
    kind: &'static str,
    state: &'static str,
    /// Why, where it was not taken.
    code: &'static str,
}

/// Labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    method: String,
    path: String,
    status: u16,
}

/// The class of age of a hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAge {
    age: String,
}

/// A view that follows the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfView {
    view: &'static str,
}

/// The route of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPath {
    path: String,
}

/// The name of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSubscription {
    subscription: String,
}

/// From 0.1 ms to 26 s, each the double of the one before.
#[derive(Debug, Clone)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.000_1, 2.0, 18))
    }
}

/// Answers to some commands, counted before they are added.
#[derive(Debug, Default)]
pub struct Tally(SmallVec<[(OfCommand, u64); 4]>);

impl Tally {
    /// One command was answered.
    pub fn note(&mut self, kind: &'static str, answer: &ledger::Answer) {
        let (state, code) = (answer.state(), answer.code().unwrap_or_default());
        let known = self.0.iter_mut().find(|(of, _)| of.kind == kind && of.state == state && of.code == code);
        match known {
            Some((_, count)) => *count += 1,
            None => self.0.push((OfCommand { kind, state, code }, 1)),
        }
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("giftledger");
        let commands = Family::default();
        let requests = Family::default();
        let request_seconds = Family::new_with_constructor(Buckets);
        let (connections, followers) = (Gauge::default(), Gauge::default());
        registry.register("commands", "Commands that were answered", commands.clone());
        registry.register("http_requests", "Requests that were answered", requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "From the head of a request to the head of its answer",
            Unit::Seconds,
            request_seconds.clone(),
        );
        registry.register("http_connections", "Connections that are open", connections.clone());
        registry.register("feed_followers", "Followers of the feed", followers.clone());
        Self { registry, commands, requests, request_seconds, connections, followers }
    }

    /// Commands were answered.
    pub fn add(&self, tally: Tally) {
        for (of, count) in tally.0 {
            self.commands.get_or_create_owned(&of).inc_by(count);
        }
    }

    /// A request was answered.
    pub fn request(&self, method: &str, path: &str, status: u16, time: Duration) {
        // A client may make methods up, without end.
        let is_known = METHODS.contains(&method);
        let (method, path) = (if is_known { method } else { "other" }.to_owned(), path.to_owned());
        self.request_seconds.get_or_create(&OfPath { path: path.clone() }).observe(time.as_secs_f64());
        self.requests.get_or_create_owned(&OfRequest { method, path, status }).inc();
    }

    /// All of it as text, with what the engine says of itself.
    ///
    /// # Errors
    /// None: a text takes everything.
    pub fn text(&self, health: &Health, others: &Others) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        let end = text.trim_end().trim_end_matches("# EOF").trim_end().len();
        text.truncate(end);
        text.push('\n');
        let mut engine = Registry::with_prefix("giftledger");
        describe(&mut engine, health, others);
        encode(&mut text, &engine)?;
        Ok(text)
    }
}

/// What the engine says of itself.
fn describe(registry: &mut Registry, health: &Health, others: &Others) {
    let mut gauge = |name: &str, help: &str, value: f64| {
        registry.register(name, help, ConstGauge::new(value));
    };
    let seconds = |nanos: i64| Duration::from_nanos(nanos.unsigned_abs()).as_secs_f64() * nanos.signum() as f64;
    let since = |at: schemas::Timestamp| seconds(health.now.nanos().saturating_sub(at.nanos()));
    gauge("queue_commands", "Commands that are handed in and not answered", health.queued as f64);
    gauge(
        "disk_has_room",
        "Whether the disk has room for what is decided next",
        f64::from(u8::from(health.has_room != Some(false))),
    );
    if let Some(bytes) = others.disk_free_bytes {
        gauge("disk_free_bytes", "Free on the disk of the ledger", bytes as f64);
    }
    gauge("users", "Users with a wallet or an open order", health.users as f64);
    gauge("records", "Records of the log", health.sequences.iter().sum::<u64>() as f64);
    gauge(
        "clock_offset_seconds",
        "How far the clock is ahead of the time that has passed since the start",
        seconds(health.clock_offset_ns),
    );
    gauge(
        "clock_trusted",
        "Whether new commands are decided by the clock",
        f64::from(u8::from(!health.clock_is_ahead)),
    );
    gauge("last_record_age_seconds", "Since the last record", since(health.last_record).max(0.0));
    gauge("timer_lag_seconds", "How late the first due lot or hold is", health.next_due.map_or(0.0, since).max(0.0));
    gauge("transit_dispatches", "Dispatches on their way between shards", health.untaken as f64);
    gauge(
        "transit_age_seconds",
        "How long the first of them is on its way",
        health.oldest_untaken.map_or(0.0, since).max(0.0),
    );
    gauge("index_memory_bytes", "What the index holds in memory", health.index_bytes as f64);
    gauge("refused_attempts_missed", "Refused attempts that came too fast to be kept", others.missed_attempts as f64);
    let mut each = |name: &str, help: &str, value: fn(&Lag) -> u64| {
        let family = Family::<OfSubscription, Gauge>::default();
        for lag in &others.subscriptions {
            let of = OfSubscription { subscription: lag.name.to_string() };
            family.get_or_create_owned(&of).set(i64::try_from(value(lag)).unwrap_or(i64::MAX));
        }
        registry.register(name, help, family);
    };
    each("subscription_records_behind", "Records between a subscription and the head of the log", |lag| {
        lag.records_behind
    });
    each("subscription_in_flight", "Entries that are taken and not acknowledged", |lag| lag.in_flight as u64);
    each("subscription_parked", "Entries that failed too often", |lag| lag.parked as u64);
    each("subscription_stuck", "Whether one is broken, or waits for an entry to be done or parked", |lag| {
        u64::from(lag.blocked || lag.broken)
    });
    if let Some((classes, known)) = &others.open_holds {
        let (holds, coins, lag) = (Family::default(), Family::default(), Family::default());
        for class in classes {
            let of = OfAge { age: class.age.to_string() };
            gauge_of(&holds, &of).set(class.holds as f64);
            gauge_of(&coins, &of).set(class.coins as f64);
        }
        let records = health.sequences.iter().sum::<u64>();
        gauge_of(&lag, &OfView { view: "open_holds" }).set(records.saturating_sub(*known) as f64);
        registry.register("open_holds", "Orders whose coins are on hold, by the time since they were placed", holds);
        registry.register("open_holds_coins", "Coins on hold in them", coins);
        registry.register("view_lag_records", "Records that a view has not seen yet", lag);
    }
    let mut counter = |name: &str, help: &str, value: u64| {
        registry.register(name, help, ConstCounter::new(value));
    };
    counter("log_written_bytes", "Written to the log, zeros included", health.stats.bytes);
    counter("log_syncs", "Syncs of files and folders", health.stats.syncs);
    counter("log_segments_sealed", "Segments that were sealed", health.stats.segments);
    registry.register_with_unit(
        "log_write_duration",
        "Until a batch was durable",
        Unit::Seconds,
        Writes(health.writes),
    );
}

type Gauges<L> = Family<L, Gauge<f64, AtomicU64>>;

fn gauge_of<L: Clone + Eq + std::hash::Hash>(gauges: &Gauges<L>, of: &L) -> Gauge<f64, AtomicU64> {
    gauges.get_or_create(of).clone()
}

/// How long batches took to become durable.
#[derive(Debug)]
struct Writes(Latencies);

impl TypedMetric for Writes {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Writes {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Self(Latencies { counts, longer, total }) = self;
        let bounds = Latencies::BOUNDS_US.iter().map(|us| Duration::from_micros(*us).as_secs_f64());
        let buckets: Vec<(f64, u64)> = bounds.chain([f64::MAX]).zip(counts.iter().chain([longer]).copied()).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(total.as_secs_f64(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
