//! The reference data becomes what a platform file says, as one version.
//!
//! A door reads the file, or the text in its place, with [`read`]; [`preview`] says what would change, [`publish`]
//! appends that, on an engine that runs, and goes on with what an interrupted one has begun. What is published already
//! the caller gives: [`Published::read`] folds it from the log, and whoever follows the log keeps one by
//! [`Published::apply`] and asks with it as of now, [`Published::at`].
//!
//! Two at once would take each other's version for one that was left open: a door lets one in after the other.

use std::{fs, path::Path};

use ledger::{Caller, Engine};
use schemars::JsonSchema;
use schemas::Change;
use serde::{Deserialize, Serialize};

use crate::{
    app::{Error, Ledger, Result},
    platform_file::{self, Applied, Difference, Parts, Published, Unnamed},
};

/// How a platform file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As people write it.
    Toml,
    /// As programs do.
    Json,
}

/// A platform file that was read.
#[derive(Debug)]
pub struct PlatformFile {
    /// As it stands.
    pub text: String,
    /// How it is written.
    pub form: Form,
    /// All that it says.
    pub wanted: Vec<Change>,
}

/// How a platform file is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct How {
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// Withdraw the items that the file does not name.
    #[serde(default)]
    pub prune: bool,
}

/// What a platform file changes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReferenceApplied")]
pub struct Answer {
    /// What differed.
    pub difference: Difference,
    /// The version that holds now; absent where it was only looked at.
    pub applied: Option<Applied>,
}

/// Reads a platform file from its text; in messages `name` is the text.
///
/// # Errors
/// [`Error::Malformed`] with the path of what is wrong in JSON; [`Error::File`] with its line in TOML.
pub fn read(text: &str, form: Form, name: &str) -> Result<Vec<Change>> {
    match form {
        Form::Toml => Ok(platform_file::read_toml(text, name)?),
        Form::Json => platform_file::read_json(text).map_err(|malformed| Error::Malformed(Box::new(malformed))),
    }
}

/// Reads a platform file: one whose name ends in `.json` as that, any other as TOML.
///
/// # Errors
/// [`Error::Io`] if there is none; as [`read`].
pub fn read_file(path: &Path) -> Result<PlatformFile> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| Error::Io { doing: format!("reading {name}"), source })?;
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let form = if is_json { Form::Json } else { Form::Toml };
    let wanted = read(&text, form, &name).map_err(|error| match error {
        Error::Malformed(malformed) => Error::File(anyhow::anyhow!("{name}: {malformed}")),
        other => other,
    })?;
    Ok(PlatformFile { text, form, wanted })
}

/// What would have to change so that `wanted`, all of a file, holds.
///
/// # Errors
/// [`Error::Unasked`] if it would change the entity, whose past months would be valued anew.
pub fn preview(published: &Published, wanted: &[Change], prune: bool) -> Result<Difference> {
    let current = published.current();
    let unnamed = if prune { Unnamed::IsWithdrawn } else { Unnamed::Stays };
    let difference = platform_file::difference(&current, wanted, unnamed);
    if current.entity.is_some() && difference.is_about_the_entity() {
        return Err(Error::Unasked(
            "the entity's currency, zone and coins_per_unit are published and cannot change: every past month would be \
             valued anew; keep them, or begin another ledger"
                .to_owned(),
        ));
    }
    Ok(difference)
}

/// Appends what differs, and returns once every shard has taken it and it holds: 0 changes where nothing differs.
///
/// # Errors
/// [`Error::Refused`], [`Error::Undecided`] or [`Error::Interrupted`] between two parts: asked again with the same
/// difference, it goes on behind the parts that are there.
pub fn publish(engine: &Engine, caller: &Caller, published: &Published, difference: &Difference) -> Result<Applied> {
    if difference.is_empty() {
        let version = published.reference.at(published.clock).version();
        return Ok(Applied { version, changes: 0, from: None, resumed_at_part: None, given_up: None });
    }
    platform_file::publish(engine, caller, published, &difference.changes, Parts::default())
}

/// Looks, and publishes unless it is to look only.
///
/// # Errors
/// As [`preview`] and [`publish`].
pub fn apply(engine: &Engine, caller: &Caller, published: &Published, wanted: &[Change], how: How) -> Result<Answer> {
    let difference = preview(published, wanted, how.prune)?;
    let applied = if how.dry_run { None } else { Some(publish(engine, caller, published, &difference)?) };
    Ok(Answer { difference, applied })
}

/// Publishes data that names all it needs, by what the log says.
///
/// # Errors
/// As [`apply`]; where the log cannot be read.
pub fn publish_changes(engine: &Engine, ledger: &Ledger, wanted: &[Change]) -> Result<Answer> {
    apply(engine, &Caller::cli(), &Published::read(ledger)?, wanted, How::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger_dir::LedgerDir;

    /// On an engine that runs, by what its own log says; looking changes nothing.
    #[test]
    fn a_text_becomes_a_version_of_a_running_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let dir = LedgerDir::new(&folder.path().join("ledger"));
        let engine = dir.make(Some(2)).unwrap();
        let ledger = Ledger::of(&dir);
        let wanted = read(r#"{"item": [{"item": "rose", "price": 5}]}"#, Form::Json, "the body").unwrap();
        let ask =
            |wanted: &[Change], how| apply(&engine, &Caller::cli(), &Published::read(&ledger).unwrap(), wanted, how);
        let looked = ask(&wanted, How { dry_run: true, prune: false }).unwrap();
        assert_eq!(looked.difference.lines, ["+ item rose price 5 value 5"]);
        assert!(looked.applied.is_none());
        let applied = ask(&wanted, How::default()).unwrap().applied.unwrap();
        assert_eq!((applied.version, applied.changes), (1, 1));
        let again = serde_json::to_value(ask(&wanted, How::default()).unwrap()).unwrap();
        assert_eq!(
            (&again["applied"]["changes"], &again["difference"]["changes"]),
            (&0.into(), &serde_json::json!([]))
        );
        let pruned = ask(&[], How { dry_run: false, prune: true }).unwrap();
        assert_eq!((pruned.difference.lines, pruned.applied.unwrap().version), (vec!["- item rose".to_owned()], 2));
        let entity = "[entity]\ncurrency = 'CNY'\nzone = 'UTC'\ncoins_per_unit = 100\n";
        ask(&read(entity, Form::Toml, "the body").unwrap(), How::default()).unwrap();
        let other = read(&entity.replace("100", "10"), Form::Toml, "the body").unwrap();
        assert!(matches!(ask(&other, How::default()), Err(Error::Unasked(said)) if said.contains("cannot change")));
        let wrong = read("[entity]\ncurrency = 'CNY'\n", Form::Toml, "the body").unwrap_err().to_string();
        assert!(wrong.contains("the body, line 1"), "{wrong}");
        engine.close().unwrap();
    }

    #[test]
    fn a_file_is_read_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            read_file(&path)
        };
        let toml = file("p.toml", "[[item]]\nitem = 'rose'\nprice = 5\n").unwrap().wanted;
        assert_eq!(file("p.json", r#"{"item": [{"item": "rose", "price": 5}]}"#).unwrap().wanted, toml);
        let wrong = file("q.json", r#"{"item": [{"item": "rose"}]}"#).unwrap_err().to_string();
        assert!(wrong.contains("q.json: item[0].price is missing"), "{wrong}");
        let none = anyhow::Error::from(read_file(Path::new("no/such.toml")).unwrap_err());
        assert!(format!("{none:#}").starts_with("reading no/such.toml: "), "{none:#}");
    }

    /// Whoever follows the log keeps what is published, and reads no log to ask.
    #[test]
    fn what_is_published_can_be_kept_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        let dir = LedgerDir::new(&folder.path().join("ledger"));
        let engine = dir.make(Some(1)).unwrap();
        let wanted = read("[[item]]\nitem = 'rose'\nprice = 5\n", Form::Toml, "text").unwrap();
        let applied =
            apply(&engine, &Caller::cli(), &Published::default(), &wanted, How::default()).unwrap().applied.unwrap();
        engine.close().unwrap();
        let mut kept = Published::default();
        for record in replay::records(&mut Ledger::of(&dir).read().unwrap(), replay::AsOf::End).unwrap() {
            kept.apply(&record.unwrap());
        }
        kept.clock = applied.from.unwrap();
        assert!(preview(&kept, &wanted, false).unwrap().is_empty());
    }
}
