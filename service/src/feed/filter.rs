//! Which records somebody wants.
//!
//! Several values of one filter are alternatives; several filters hold together. A record matches
//!
//! | filter | if |
//! |---|---|
//! | `kind` | it is such an event, has one as a part of its group, or is `refused` |
//! | `account` | it posts to the account |
//! | `user` | the user is its subject, or a claim in it is for the user |
//! | `subject` | it changed that subject's state |
//! | `shards` | it stands in one of them: `3`, `0-3`, `0,2,8-15` |

use ledger::each_posting;
use schemars::JsonSchema;
use schemas::{Account, Body, Event, Record, Shard, Subject, UserId, nearest, visible};
use serde::{Deserialize, Serialize};

use super::{Error, Result};

/// The kind of a record that refused its command.
pub(super) const REFUSED: &str = "refused";
/// So many values may a filter have: each is a place in the index of the live stream.
const MOST_VALUES: usize = 100;

/// A filter as it was written: each name's values, which commas may part too, except for subjects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Words {
    /// `kind`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kind: Vec<String>,
    /// `account`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub account: Vec<String>,
    /// `user`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user: Vec<String>,
    /// `subject`; a transaction's may have commas in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject: Vec<String>,
    /// `shards`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<String>,
}

/// Which records somebody wants; all of them, if nothing is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub(super) kinds: Vec<&'static str>,
    pub(super) accounts: Vec<Account>,
    pub(super) users: Vec<UserId>,
    pub(super) subjects: Vec<Subject>,
    /// In order; empty for all.
    shards: Vec<Shard>,
}

impl Filter {
    /// Reads a filter for a ledger of `shards`.
    ///
    /// # Errors
    /// [`Error::Filter`] says which value is none, and what is allowed.
    pub fn parse(words: &Words, shards: Shard) -> Result<Self> {
        let said = |error: String, text: &str| format!("{:?}: {error}", visible(text));
        let mut wanted: Vec<Shard> = Vec::new();
        for ranges in each("shards", &words.shards, true, |text| range(text, shards))? {
            wanted.extend(ranges);
        }
        wanted.sort_unstable();
        wanted.dedup();
        Ok(Self {
            kinds: each("kind", &words.kind, true, kind)?,
            accounts: each("account", &words.account, true, str::parse)?,
            users: each("user", &words.user, true, |text| {
                text.parse().map_err(|error: schemas::IdError| said(error.to_string(), text))
            })?,
            subjects: each("subject", &words.subject, false, |text| {
                text.parse().map_err(|error: String| if error.contains(text) { error } else { said(error, text) })
            })?,
            shards: wanted,
        })
    }

    /// Whether it lets a record through.
    pub fn matches(&self, record: &Record) -> bool {
        self.is_in_shards(record)
            && (self.subjects.is_empty() || self.subjects.contains(&record.subject))
            && (self.kinds.is_empty() || any(|visit| kinds(record, visit), |kind| self.kinds.contains(kind)))
            && (self.users.is_empty() || any(|visit| users(record, visit), |user| self.users.contains(user)))
            && (self.accounts.is_empty()
                || any(|visit| accounts(record, visit), |account| self.accounts.contains(account)))
    }

    fn is_in_shards(&self, record: &Record) -> bool {
        self.shards.is_empty() || self.shards.binary_search(&record.shard).is_ok()
    }
}

/// Gives every kind that a record is of to `visit`.
pub(super) fn kinds(record: &Record, visit: &mut dyn FnMut(&&'static str)) {
    match &record.body {
        Body::Rejection(_) => visit(&REFUSED),
        Body::Event(event) => {
            visit(&event.kind());
            if let Event::Group(parts) = &**event {
                for part in parts {
                    visit(&part.kind());
                }
            }
        }
    }
}

/// Gives every user whom a record is about to `visit`.
pub(super) fn users(record: &Record, visit: &mut dyn FnMut(&UserId)) {
    record.subject.user().into_iter().for_each(&mut *visit);
    record.events().filter_map(|(_, event)| event.claimed_for()).for_each(|(user, _)| visit(user));
}

/// Gives every account that a record posts to to `visit`.
pub(super) fn accounts(record: &Record, visit: &mut dyn FnMut(&Account)) {
    each_posting(record, |posting| visit(&posting.account));
}

/// Whether one of the values that `all` visits `is` it.
fn any<T>(all: impl FnOnce(&mut dyn FnMut(&T)), is: impl Fn(&T) -> bool) -> bool {
    let mut found = false;
    all(&mut |value| found = found || is(value));
    found
}

/// Reads each value of a filter.
fn each<T: PartialEq>(
    name: &'static str,
    texts: &[String],
    commas: bool,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>> {
    let mut values = Vec::new();
    for text in texts {
        let parts: Vec<&str> = if commas { text.split(',').collect() } else { vec![text] };
        for part in parts {
            let value = parse(part).map_err(|what| Error::Filter { name, what })?;
            if !values.contains(&value) {
                values.push(value);
            }
            if values.len() > MOST_VALUES {
                return Err(Error::Filter { name, what: format!("more than {MOST_VALUES} values") });
            }
        }
    }
    Ok(values)
}

fn kind(text: &str) -> Result<&'static str, String> {
    let all = || Event::KINDS.into_iter().chain([REFUSED]);
    all().find(|kind| *kind == text).ok_or_else(|| {
        let meant = nearest(text, all()).map(|near| format!("; {near} was probably meant")).unwrap_or_default();
        let allowed = all().collect::<Vec<_>>().join(", ");
        format!("{:?} is no kind of event{meant}. Allowed are {allowed}", visible(text))
    })
}

fn range(text: &str, shards: Shard) -> Result<Vec<Shard>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = first.parse().ok().zip(last.parse::<Shard>().ok());
    let range = range.filter(|(first, last)| first <= last && *last < shards);
    range.map(|(first, last)| (first..=last).collect()).ok_or_else(|| {
        format!(
            "{:?} names no shards; allowed are numbers and ranges of 0 to {}, such as 0-3",
            visible(text),
            shards - 1
        )
    })
}
