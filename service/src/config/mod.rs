//! How a server runs: one typed value, checked as a whole before anything starts.
//!
//! Each setting comes from the last of these that has it: its default, the file, the variable `GIFTLEDGER_…`, the command
//! line. The file is the one of `--config` or `GIFTLEDGER_CONFIG`, else `giftledger.toml` in the ledger's folder, if that
//! is there. All that is wrong is said at once, each with where it stands, what was found and what is allowed.
//!
//! No secret is a setting: a key's file is named, not its content.

mod limits;
mod reading;
mod settings;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use schemas::Shard;

pub use limits::{Limits, size};
pub use settings::SETTINGS;
#[cfg(test)]
use settings::Setting;

use reading::Reading;

/// The file in the ledger's folder.
const FILE: &str = "giftledger.toml";
/// Names another file.
pub const FILE_VARIABLE: &str = "GIFTLEDGER_CONFIG";

/// How a server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How many shards a new ledger has.
    pub shards: Option<Shard>,
    /// A person has looked at the clock.
    pub accept_clock: bool,
    /// The file of the certificate; there is one of the key with it.
    pub tls_certificate: Option<PathBuf>,
    /// The file of its key.
    pub tls_key: Option<PathBuf>,
    /// What is logged.
    pub log_level: String,
    /// How.
    pub log_format: LogFormat,
    /// What clients may take.
    pub limits: Limits,
}

/// How it is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8040).into(),
            shards: None,
            accept_clock: false,
            tls_certificate: None,
            tls_key: None,
            log_level: "warn".to_owned(),
            log_format: LogFormat::Text,
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// The files of the certificate and its key, where it speaks TLS.
    pub fn tls(&self) -> Option<(&Path, &Path)> {
        self.tls_certificate.as_deref().zip(self.tls_key.as_deref())
    }
}

/// From where a setting has its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was not set.
    Default,
    /// A file, and the line.
    File(PathBuf, usize),
    /// A variable.
    Variable(String),
    /// What was typed: `--listen`.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}, line {line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A config, and from where it has what.
#[derive(Debug)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    origins: BTreeMap<&'static str, Origin>,
}

impl Loaded {
    /// From where a setting has its value.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}

/// All that is wrong with a config.
#[derive(Debug, thiserror::Error)]
pub struct Error(Vec<String>);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [only] => f.write_str(only),
            several => {
                write!(f, "{} things are wrong with the config:", several.len())?;
                several.iter().try_for_each(|wrong| write!(f, "\n  {wrong}"))
            }
        }
    }
}

/// What was said on the command line.
#[derive(Debug, Default)]
pub struct Typed {
    /// The file.
    pub file: Option<PathBuf>,
    /// Settings, each with its flag, in the order in which they count.
    pub settings: Vec<(&'static str, String, String)>,
}

/// The config of the ledger in `folder`.
///
/// # Errors
/// All that is wrong with it.
pub fn load(
    typed: &Typed,
    folder: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, Error> {
    let mut reading = Reading::default();
    let variables: BTreeMap<String, String> =
        variables.into_iter().filter(|(name, value)| name.starts_with("GIFTLEDGER_") && !value.is_empty()).collect();
    let named = typed.file.clone().or_else(|| variables.get(FILE_VARIABLE).map(PathBuf::from));
    let file = match named {
        Some(named) => Some(named),
        None => Some(folder.join(FILE)).filter(|usual| usual.exists()),
    };
    if let Some(file) = &file {
        reading.file(file);
    }
    reading.variables(&variables);
    for (flag, key, text) in &typed.settings {
        reading.flag(flag, key, text);
    }
    reading.finish(file)
}
