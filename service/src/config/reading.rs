//! Reading settings from everywhere, and noting all that is wrong with them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemas::visible;
use toml::de::{DeTable, DeValue};

use super::{
    Config, Error, FILE_VARIABLE, Loaded, Origin,
    settings::{Found, SETTINGS, Setting, Takes},
};
use crate::toml_text::TomlText;

/// A word with so many edits was meant to be another one.
const NEAR: usize = 3;
/// Variables of the program that are no settings.
const OTHER_VARIABLES: [&str; 2] = [FILE_VARIABLE, "GIFTLEDGER_DATA"];

/// What was read by now.
#[derive(Debug, Default)]
pub struct Reading {
    config: Config,
    origins: BTreeMap<&'static str, Origin>,
    wrong: Vec<String>,
}

impl Reading {
    /// Takes what a file says.
    pub fn file(&mut self, path: &Path) {
        let text = match TomlText::read(path, "") {
            Ok(text) => text,
            Err(error) => return self.wrong.push(format!("{error:#}")),
        };
        let (table, errors) = DeTable::parse_recoverable(text.text());
        for error in errors {
            let place = error.span().map_or_else(|| path.display().to_string(), |place| text.at(&place));
            self.wrong.push(format!("{place}: {}", error.message().trim_end().replace('\n', ", ")));
        }
        self.table(path, &text, "", table.get_ref());
    }

    fn table(&mut self, path: &Path, text: &TomlText, within: &str, table: &DeTable<'_>) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let key =
                if within.is_empty() { name.get_ref().to_string() } else { format!("{within}.{}", name.get_ref()) };
            let line = text.line(&name.span());
            let origin = Origin::File(path.to_owned(), line);
            let is_group =
                SETTINGS.iter().any(|known| known.key.strip_prefix(&*key).is_some_and(|rest| rest.starts_with('.')));
            match (find(&key), value.get_ref()) {
                (None, DeValue::Table(inner)) if is_group => self.table(path, text, &key, inner),
                (None, _) => self.wrong.push(format!("{origin}: {}", unknown(&key))),
                (Some(setting), found) => {
                    let place = value.span();
                    let number;
                    let found = match found {
                        DeValue::String(value) => Some(Found::Text(value)),
                        DeValue::Boolean(value) => Some(Found::Truth(*value)),
                        DeValue::Integer(value) if value.radix() == 10 => {
                            number = value.as_str().replace('_', "");
                            Some(Found::Number(&number))
                        }
                        _ => None,
                    };
                    let shown = text.text()[place].lines().next().unwrap_or_default();
                    self.set(setting, found, shown, origin);
                }
            }
        }
    }

    /// Takes what variables say. Others that begin alike are not ours: Kubernetes makes some for a service that is called
    /// giftledger. But one that is nearly ours was meant to be it.
    pub fn variables(&mut self, variables: &BTreeMap<String, String>) {
        let names: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
        for (setting, name) in SETTINGS.iter().zip(&names) {
            if let Some(text) = variables.get(name) {
                self.set(setting, Some(Found::Typed(text)), text, Origin::Variable(name.clone()));
            }
        }
        let known = |name: &str| names.iter().any(|known| known == name) || OTHER_VARIABLES.contains(&name);
        for name in variables.keys().filter(|name| !known(name)) {
            let near = names.iter().map(|known| (strsim::osa_distance(name, known), known)).min();
            if let Some((..=2, near)) = near {
                self.wrong.push(format!("{}: there is no such variable; did you mean {near}?", visible(name)));
            }
        }
    }

    /// Takes what was typed.
    pub fn flag(&mut self, flag: &'static str, key: &str, text: &str) {
        match find(key) {
            Some(setting) => self.set(setting, Some(Found::Typed(text)), text, Origin::Flag(flag)),
            None => self.wrong.push(format!("{flag}: {}", unknown(key))),
        }
    }

    fn set(&mut self, setting: &'static Setting, found: Option<Found<'_>>, shown: &str, origin: Origin) {
        if !found.is_some_and(|found| setting.set(&mut self.config, found)) {
            let (key, allowed, shown) = (setting.key, setting.allowed(), visible(shown));
            self.wrong.push(format!("{origin}: {key}: found {shown}; allowed is {allowed}"));
            return;
        }
        // What a file names lies beside it; what is typed lies where it is typed.
        if let (Takes::File(at), Origin::File(file, _)) = (&setting.takes, &origin)
            && let (Some(path), Some(folder)) = (at(&mut self.config), file.parent())
        {
            *path = folder.join(&*path);
        }
        self.origins.insert(setting.key, origin);
    }

    /// What came of it.
    pub fn finish(mut self, file: Option<PathBuf>) -> Result<Loaded, Error> {
        let origin = |key| self.origins.get(key).unwrap_or(&Origin::Default);
        match (&self.config.tls_certificate, &self.config.tls_key) {
            (Some(_), None) => {
                let place = origin("tls.certificate");
                self.wrong
                    .push(format!("{place}: tls.certificate is set, and tls.key is not: a certificate needs its key"));
            }
            (None, Some(_)) => {
                let place = origin("tls.key");
                self.wrong
                    .push(format!("{place}: tls.key is set, and tls.certificate is not: a key needs its certificate"));
            }
            _ => {}
        }
        if self.wrong.is_empty() {
            Ok(Loaded { config: self.config, file, origins: self.origins })
        } else {
            Err(Error(self.wrong))
        }
    }
}

fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// Says what may have been meant.
fn unknown(key: &str) -> String {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let apart = |known: &Setting| {
        // Its name may be right and its table wrong.
        strsim::osa_distance(key, known.key).min(strsim::osa_distance(&last(key), &last(known.key)))
    };
    let key = visible(key);
    match SETTINGS.iter().map(|known| (apart(known), known.key)).min() {
        Some((..=NEAR, near)) => format!("{key}: there is no such setting; did you mean {near}?"),
        _ => format!("{key}: there is no such setting; giftledger config show names them all"),
    }
}
