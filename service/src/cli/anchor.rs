//! `anchor`: a signed statement of how far the ledger is.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use ledger::{Clock, SystemClock};
use reconcile::anchors::{Anchor as Statement, SecretKey};
use serde_json::json;

use super::{Ended, Global};
use crate::{
    files,
    output::{print_json, say},
};

/// Sign how far the ledger is, to keep elsewhere.
///
/// An anchor is for `verify --anchor`. Keep anchors where whoever can write the ledger
/// cannot: they show if its log was cut or rewritten.
#[derive(Debug, clap::Args)]
pub struct Anchor {
    /// The key to sign with.
    #[arg(long, value_name = "FILE", required_unless_present = "new_key", conflicts_with = "new_key")]
    key: Option<PathBuf>,
    /// Make a key instead: the file is for this user only; prints the public key.
    #[arg(long, value_name = "FILE")]
    new_key: Option<PathBuf>,
    /// Append the anchor to a file instead of printing it.
    #[arg(long, value_name = "FILE", requires = "key")]
    out: Option<PathBuf>,
}

impl Anchor {
    pub fn run(self, global: &Global) -> Result<Ended> {
        match (self.new_key, self.key) {
            (Some(file), _) => make_key(global, &file)?,
            (None, Some(file)) => {
                let key = SecretKey::parse(&files::read_secret(&file)?).with_context(|| {
                    format!("{} is no key: one is made with: giftledger anchor --new-key FILE", file.display())
                })?;
                let head = global.ledger_to_read()?.read()?.head();
                let anchor = Statement::sign(&head, SystemClock.now(), &key);
                match self.out {
                    None => print_json(&anchor)?,
                    Some(out) => files::append_line(&out, &serde_json::to_vec(&anchor)?)?,
                }
            }
            (None, None) => unreachable!("the command line asks for one of them"),
        }
        Ok(Ended::Well)
    }
}

/// Makes a key file that nobody else can read; an existing one is never replaced.
fn make_key(global: &Global, path: &Path) -> Result<()> {
    let key = SecretKey::generate().context("asking the system for randomness")?;
    let making = || format!("making the key {}", path.display());
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(files::PRIVATE).open(path).with_context(making)?;
    file.write_all(key.to_file().as_bytes()).and_then(|()| file.sync_all()).with_context(making)?;
    let public_key = key.public_key();
    if global.json { print_json(&json!({ "public_key": public_key })) } else { say(&public_key) }
}
