//! Every setting: its name, what it takes, and where it stands in the [`Config`]. A file, a variable, the command line and
//! the documentation go by this one list.

use std::{net::SocketAddr, path::PathBuf};

use ledger::log::Options;
use schemas::Shard;
use serde_json::Value;
use tracing_subscriber::EnvFilter;

use super::{Config, LogFormat};
use crate::http::MAX_COMMAND_BYTES;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// In a file: `limits.connections` is `connections` of the table `limits`.
    pub key: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// What it takes.
    pub takes: Takes,
}

/// What a setting takes, and where it is kept.
#[derive(Debug)]
pub enum Takes {
    /// A whole number from the first to the second.
    Whole(u64, u64, fn(&mut Config) -> &mut u64),
    /// How many shards.
    Shards(fn(&mut Config) -> &mut Option<Shard>),
    /// Yes or no.
    Truth(fn(&mut Config) -> &mut bool),
    /// The path of a file.
    File(fn(&mut Config) -> &mut Option<PathBuf>),
    /// An address with a port.
    Address(fn(&mut Config) -> &mut SocketAddr),
    /// What is logged.
    Level(fn(&mut Config) -> &mut String),
    /// How it is logged.
    Format(fn(&mut Config) -> &mut LogFormat),
}

/// A value as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// Text in quotes, in a file.
    Text(&'a str),
    /// A number, in a file.
    Number(&'a str),
    /// `true` or `false`, in a file.
    Truth(bool),
    /// Characters, on the command line or in a variable, which have no type.
    Typed(&'a str),
}

const DAY_MS: u64 = 86_400_000;

/// All of them.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "listen",
        help: "Where to listen; port 0 takes a free one",
        takes: Takes::Address(|c| &mut c.listen),
    },
    Setting {
        key: "shards",
        help: "How many shards a new ledger has; 16 if not given",
        takes: Takes::Shards(|c| &mut c.shards),
    },
    Setting {
        key: "accept_clock",
        help: "The machine's clock is right, although the last record is more than 400 days old",
        takes: Takes::Truth(|c| &mut c.accept_clock),
    },
    Setting {
        key: "tls.certificate",
        help: "The certificate and those that sign it, in PEM; with it the server speaks TLS",
        takes: Takes::File(|c| &mut c.tls_certificate),
    },
    Setting {
        key: "tls.key",
        help: "The certificate's key, in PEM, in a file that nobody else can read",
        takes: Takes::File(|c| &mut c.tls_key),
    },
    Setting { key: "log.level", help: "What is logged", takes: Takes::Level(|c| &mut c.log_level) },
    Setting { key: "log.format", help: "How it is logged", takes: Takes::Format(|c| &mut c.log_format) },
    whole("limits.connections", "Connections at once", 1, 1_000_000, |c| &mut c.limits.connections),
    whole("limits.followers", "Followers of the feed at once", 1, 1_000_000, |c| &mut c.limits.followers),
    whole("limits.folds", "Questions that fold the log at once", 1, 1_024, |c| &mut c.limits.folds),
    whole("limits.fold_wait_ms", "How long a question waits for its turn to fold", 0, DAY_MS, |c| {
        &mut c.limits.fold_wait_ms
    }),
    whole("limits.head_bytes", "Bytes of a request's head", 1_024, 256 << 10, |c| &mut c.limits.head_bytes),
    whole("limits.head_timeout_ms", "How long a request's head may take", 10, DAY_MS, |c| {
        &mut c.limits.head_timeout_ms
    }),
    whole("limits.idle_timeout_ms", "How long a connection may be idle between requests", 10, DAY_MS, |c| {
        &mut c.limits.idle_timeout_ms
    }),
    whole("limits.body_timeout_ms", "How long a body, or a pause between its pieces, may take", 10, DAY_MS, |c| {
        &mut c.limits.body_timeout_ms
    }),
    whole("limits.body_bytes_per_s", "The slowest that a bulk may come", 1, u32::MAX as u64, |c| {
        &mut c.limits.body_bytes_per_s
    }),
    whole("limits.read_timeout_ms", "How long a client may read nothing of an answer", 10, DAY_MS, |c| {
        &mut c.limits.read_timeout_ms
    }),
    whole("limits.handshake_timeout_ms", "How long a TLS handshake may take", 10, DAY_MS, |c| {
        &mut c.limits.handshake_timeout_ms
    }),
    whole("limits.end_timeout_ms", "How long requests may go on when the server is to end", 0, DAY_MS, |c| {
        &mut c.limits.end_timeout_ms
    }),
    whole("limits.command_bytes", "Bytes of one command", 256, MAX_COMMAND_BYTES, |c| &mut c.limits.command_bytes),
    whole("limits.bulk_lines", "Lines of a bulk", 1, 10_000_000, |c| &mut c.limits.bulk_lines),
    whole("limits.bulk_bytes", "Bytes of a bulk", 1_024, 4 << 30, |c| &mut c.limits.bulk_bytes),
];

const fn whole(
    key: &'static str,
    help: &'static str,
    least: u64,
    most: u64,
    at: fn(&mut Config) -> &mut u64,
) -> Setting {
    Setting { key, help, takes: Takes::Whole(least, most, at) }
}

impl Setting {
    /// The variable that sets it. `log.level` has the name that it always had.
    pub fn variable(&self) -> String {
        let name = if self.key == "log.level" { "log" } else { self.key };
        format!("GIFTLEDGER_{}", name.replace('.', "_").to_ascii_uppercase())
    }

    /// What it takes, in words.
    pub fn allowed(&self) -> String {
        match self.takes {
            Takes::Whole(least, most, _) => format!("a whole number from {least} to {most}"),
            Takes::Shards(_) => format!("a whole number from 1 to {}", Options::MAX_SHARDS),
            Takes::Truth(_) => "true or false".to_owned(),
            Takes::File(_) => "the path of a file".to_owned(),
            Takes::Address(_) => "an address and a port, such as 127.0.0.1:8040 or [::]:8040".to_owned(),
            Takes::Level(_) => {
                "off, error, warn, info, debug, trace, or a list such as warn,giftledger=debug".to_owned()
            }
            Takes::Format(_) => "text or json".to_owned(),
        }
    }

    /// Sets it; false where that is no value of it.
    pub fn set(&self, config: &mut Config, found: Found<'_>) -> bool {
        match self.takes {
            Takes::Whole(least, most, at) => {
                let number = found.number().and_then(|number| number.parse().ok());
                put(at(config), number.filter(|number| (least..=most).contains(number)))
            }
            Takes::Shards(at) => {
                let shards: Option<Shard> = found.number().and_then(|number| number.parse().ok());
                put(at(config), shards.filter(|shards| (1..=Options::MAX_SHARDS).contains(shards)).map(Some))
            }
            Takes::Truth(at) => put(at(config), found.truth()),
            Takes::File(at) => {
                put(at(config), found.text().filter(|path| !path.is_empty()).map(|path| Some(path.into())))
            }
            Takes::Address(at) => put(at(config), found.text().and_then(|address| address.parse().ok())),
            Takes::Level(at) => put(at(config), found.text().filter(|text| is_filter(text)).map(str::to_owned)),
            Takes::Format(at) => put(
                at(config),
                match found.text() {
                    Some("text") => Some(LogFormat::Text),
                    Some("json") => Some(LogFormat::Json),
                    _ => None,
                },
            ),
        }
    }

    /// What it is set to; null where it is not.
    pub fn value(&self, config: &Config) -> Value {
        let config = &mut config.clone();
        match self.takes {
            Takes::Whole(_, _, at) => (*at(config)).into(),
            Takes::Shards(at) => (*at(config)).into(),
            Takes::Truth(at) => (*at(config)).into(),
            Takes::File(at) => at(config).as_ref().map(|path| path.display().to_string()).into(),
            Takes::Address(at) => at(config).to_string().into(),
            Takes::Level(at) => at(config).as_str().into(),
            Takes::Format(at) => match at(config) {
                LogFormat::Text => "text".into(),
                LogFormat::Json => "json".into(),
            },
        }
    }
}

fn put<T>(place: &mut T, value: Option<T>) -> bool {
    value.map(|value| *place = value).is_some()
}

impl<'a> Found<'a> {
    fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) | Self::Typed(text) => Some(text),
            Self::Number(_) | Self::Truth(_) => None,
        }
    }

    fn number(self) -> Option<&'a str> {
        match self {
            Self::Number(text) | Self::Typed(text) => Some(text),
            Self::Text(_) | Self::Truth(_) => None,
        }
    }

    fn truth(self) -> Option<bool> {
        match self {
            Self::Truth(truth) => Some(truth),
            Self::Typed("true") => Some(true),
            Self::Typed("false") => Some(false),
            Self::Text(_) | Self::Number(_) | Self::Typed(_) => None,
        }
    }
}

/// Whether it says what is logged. A bare word must be a level: as the name of a part of the program, a misspelt level
/// would log everything of nothing.
fn is_filter(text: &str) -> bool {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let is_known = |word: &str| levels.iter().any(|level| word.eq_ignore_ascii_case(level));
    let words = text.split(',').map(str::trim);
    let mut bare = words.filter(|word| !word.contains(['=', '[']));
    !text.trim().is_empty() && bare.all(is_known) && EnvFilter::try_new(text).is_ok()
}
