//! `config`: how a server would run here, and whether it could.

use std::{io::Write, net::SocketAddr, path::PathBuf};

use anyhow::Result;
use serde_json::json;

use super::{Ended, Global};
use crate::{
    config::{self, FILE_VARIABLE, Loaded, SETTINGS, Typed},
    http::Tls,
    output::{json_line, print_json, say, stdout, table},
};

/// Look at how a server would run: from defaults, a file, variables and what is typed here.
///
/// The file is giftledger.toml in the ledger's folder, unless --config or its variable names another one.
#[derive(Debug, clap::Subcommand)]
pub enum Config {
    /// Say what is wrong with it, all at once; the files of a certificate too.
    Check(Given),
    /// Show every setting, its value, and from where it has that.
    Show(Given),
}

/// How a server is to run, as it is typed.
#[derive(Debug, Default, clap::Args)]
pub struct Given {
    /// A file with settings [default: giftledger.toml in the ledger's folder, if it is there]
    #[arg(long, value_name = "FILE", env = FILE_VARIABLE)]
    config: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8040]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// How many shards a new ledger has [default: 16]
    #[arg(long, value_name = "N")]
    shards: Option<u16>,
    /// The machine's clock is right, although the last record is more than 400 days old.
    #[arg(long)]
    accept_clock: bool,
    /// The file of a certificate, in PEM: with it the server speaks TLS.
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<String>,
    /// The file of its key, in PEM, which nobody else can read.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// How it is logged: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Any setting: --set limits.connections=2000. `giftledger config show` names them.
    #[arg(long = "set", value_name = "SETTING=VALUE", value_parser = parse_pair)]
    set: Vec<(String, String)>,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let pair =
        text.split_once('=').ok_or_else(|| "write a setting and its value: limits.connections=2000".to_owned())?;
    Ok((pair.0.trim().to_owned(), pair.1.trim().to_owned()))
}

impl Given {
    /// The whole config.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn load(&self, global: &Global) -> Result<Loaded> {
        let set = self.set.iter().map(|(key, value)| ("--set", key.clone(), value.clone()));
        let named = [
            ("--listen", "listen", self.listen.map(|address| address.to_string())),
            ("--shards", "shards", self.shards.map(|shards| shards.to_string())),
            ("--accept-clock", "accept_clock", self.accept_clock.then(|| "true".to_owned())),
            ("--tls-certificate", "tls.certificate", self.tls_certificate.clone()),
            ("--tls-key", "tls.key", self.tls_key.clone()),
            ("--log-format", "log.format", self.log_format.clone()),
        ];
        let named = named.into_iter().filter_map(|(flag, key, value)| Some((flag, key.to_owned(), value?)));
        let typed = Typed { file: self.config.clone(), settings: set.chain(named).collect() };
        let readable =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(config::load(&typed, global.ledger()?.path(), readable)?)
    }
}

impl Config {
    pub fn run(self, global: &Global) -> Result<Ended> {
        match self {
            Self::Check(given) => {
                let loaded = given.load(global)?;
                if let Some((certificate, key)) = loaded.config.tls() {
                    Tls::open(certificate, key)?;
                }
                let file = loaded.file.as_ref().map(|file| file.display().to_string());
                if global.json {
                    print_json(&json!({ "ok": true, "file": file }))?;
                } else {
                    say(&format_args!(
                        "Nothing is wrong with {}.",
                        file.as_deref().unwrap_or("the config; no file is read")
                    ))?;
                }
            }
            Self::Show(given) => show(&given.load(global)?, global.json)?,
        }
        Ok(Ended::Well)
    }
}

fn show(loaded: &Loaded, as_json: bool) -> Result<()> {
    let mut out = stdout();
    let mut rows = Vec::new();
    for setting in SETTINGS {
        let (key, origin, value) = (setting.key, loaded.origin(setting.key).to_string(), setting.value(&loaded.config));
        if as_json {
            let (variable, allowed) = (setting.variable(), setting.allowed());
            json_line(
                &mut out,
                &json!({ "setting": key, "value": value, "from": origin, "variable": variable, "allowed": allowed, "help": setting.help }),
            )?;
        } else {
            let shown = if value.is_null() {
                String::new()
            } else {
                value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            };
            rows.push(vec![key.to_owned(), shown, origin]);
        }
    }
    if !as_json {
        writeln!(out, "{}", table(&["setting", "value", "from"], &[], rows))?;
        writeln!(out, "A setting's variable is its name: limits.folds is GIFTLEDGER_LIMITS_FOLDS; --json names all.")?;
    }
    out.flush()?;
    Ok(())
}
