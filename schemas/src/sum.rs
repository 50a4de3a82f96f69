//! How sums of coins are shown in JSON.
//!
//! An amount of one event is a whole number below 2^53, which every JSON reader holds exactly. A sum has
//! no such bound, so a field that holds sums holds decimal strings, small ones too: readers never meet
//! two kinds of value in one field.

use std::{fmt::Display, str::FromStr};

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// A sum as a decimal string, for `#[serde(serialize_with = "…")]`.
///
/// # Errors
/// What the serializer says.
pub fn serialize_sum<S: Serializer>(sum: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(sum)
}

/// The same read back, for `#[serde(deserialize_with = "…")]`.
///
/// # Errors
/// What the deserializer says; what is wrong with the text.
pub fn deserialize_sum<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}
