//! What a subscription is: what somebody asks for, and what is kept of that.

use std::{fmt, ops::RangeInclusive, time::Duration};

use data_encoding::BASE64;
use rand::TryRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Error, Result,
    push::{self, Address},
};
use crate::feed::{After, Feed, Filter, Words};

const ACK_TIMEOUT_S: RangeInclusive<u32> = 1..=3_600;
const MAX_IN_FLIGHT: RangeInclusive<u32> = 1..=10_000;
const MAX_TRIES: RangeInclusive<u32> = 1..=1_000;
/// Where one begins that does not say: whoever wants the past asks for it.
const FROM: &str = "now";

/// What somebody asks for with `PUT`. What is not named is as usual, except for `from` of one that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Wanted {
    /// Which records: the words of the feed's filter.
    pub filter: Words,
    /// Where it begins: a cursor, `start` or `now`; `now` for a new one that does not say.
    pub from: Option<String>,
    /// How long a consumer may take, 1 to 3,600 s; 30 s.
    pub ack_timeout_s: Option<u32>,
    /// How many entries are handed out at most and not answered, 1 to 10,000; 1,000.
    pub max_in_flight: Option<u32>,
    /// How often an entry is tried before it is parked, 1 to 1,000; 10.
    pub max_tries: Option<u32>,
    /// Where to push; without it consumers pull.
    pub push: Option<WantedPush>,
}

/// Where to push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedPush {
    /// An `http` or `https` address.
    pub url: String,
}

/// What is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Which records.
    pub filter: Words,
    /// Where it began, in the words of who asked.
    pub from: String,
    /// How it delivers.
    #[serde(flatten)]
    pub settings: Settings,
}

/// What may change of a subscription without another beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How long a consumer may take.
    pub ack_timeout_s: u32,
    /// How many entries are handed out at most and not answered.
    pub max_in_flight: u32,
    /// How often an entry is tried before it is parked.
    pub max_tries: u32,
    /// Where to push.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<WantedPush>,
}

/// What signs what is pushed: `whsec_` and the base64 of 32 random bytes, as Standard Webhooks writes it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(super) [u8; 32]);

impl Wanted {
    /// The definition that it asks for, where `exists` is the one that there is.
    ///
    /// # Errors
    /// [`Error::BadFilter`], [`Error::BadFrom`] and [`Error::BadSetting`] say what is not allowed.
    pub(super) fn definition(&self, feed: &Feed, exists: Option<&Definition>) -> Result<Definition> {
        filter(feed, &self.filter)?;
        let from = match (&self.from, exists) {
            (Some(from), exists) => {
                let after: After = from.parse().map_err(Error::BadFrom)?;
                let is_the_same = |exists: &&Definition| exists.from.parse().ok().as_ref() == Some(&after);
                exists.filter(is_the_same).map_or(from, |exists| &exists.from).clone() // 0 and start are one
            }
            (None, Some(exists)) => exists.from.clone(),
            (None, None) => FROM.to_owned(),
        };
        if let Some(push) = &self.push {
            Address::parse(&push.url)?;
        }
        let settings = Settings {
            ack_timeout_s: within("ack_timeout_s", self.ack_timeout_s, 30, &ACK_TIMEOUT_S)?,
            max_in_flight: within("max_in_flight", self.max_in_flight, 1_000, &MAX_IN_FLIGHT)?,
            max_tries: within("max_tries", self.max_tries, 10, &MAX_TRIES)?,
            push: self.push.clone(),
        };
        Ok(Definition { filter: self.filter.clone(), from, settings })
    }
}

/// The feed's filter of some words.
pub(super) fn filter(feed: &Feed, words: &Words) -> Result<Filter> {
    Filter::parse(words, feed.shards()).map_err(Error::BadFilter)
}

fn within(path: &'static str, asked: Option<u32>, usual: u32, allowed: &RangeInclusive<u32>) -> Result<u32> {
    let value = asked.unwrap_or(usual);
    if allowed.contains(&value) {
        return Ok(value);
    }
    let what = format!("{value} is not within {} to {}", allowed.start(), allowed.end());
    Err(Error::BadSetting { path, what })
}

impl Settings {
    /// How long a consumer may take. What is pushed has the time-out of a request, and is answered by then.
    pub(super) fn ack_timeout(&self) -> Duration {
        if self.push.is_some() { 2 * push::TIMEOUT } else { Duration::from_secs(self.ack_timeout_s.into()) }
    }
}

impl Secret {
    /// A new one, of the system's randomness.
    ///
    /// # Errors
    /// If the system has none.
    pub(super) fn random() -> Result<Self> {
        let mut bytes = [0; 32];
        rand::rngs::SysRng
            .try_fill_bytes(&mut bytes)
            .map_err(|source| Error::NoRandomness(std::io::Error::other(source)))?;
        Ok(Self(bytes))
    }

    /// The secret itself, for whom it was made, once.
    pub fn expose(&self) -> String {
        format!("whsec_{}", BASE64.encode(&self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
