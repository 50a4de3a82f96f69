//! Instants in nanoseconds and settlement months.

use std::{borrow::Cow, fmt, str::FromStr};

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::TextVisitor;

/// An instant: nanoseconds since 1970-01-01T00:00:00Z, good for the years 1678 to 2261.
/// JSON shows it as RFC 3339 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not RFC 3339, or outside the years 1678 to 2261.
    #[error("{0:?} is not a time of RFC 3339, from 1678 to 2261, such as 2026-11-21T08:30:00.5Z")]
    Timestamp(String),
    /// Not a month.
    #[error("{0:?} is not a month such as 2026-11")]
    Month(String),
    /// Not in the time zone database.
    #[error("{0:?} is not a time zone such as Asia/Shanghai or UTC")]
    Zone(String),
}

impl Timestamp {
    /// Before every other instant.
    pub const MIN: Self = Self(i64::MIN);

    /// From nanoseconds since 1970.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since 1970.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// `millis` later; stops at the last instant there is.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1_000_000)))
    }

    /// As a chrono time in UTC.
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.0)
    }

    /// The calendar day on which this instant falls in `zone`.
    pub fn day_in(self, zone: Tz) -> NaiveDate {
        self.to_utc().with_timezone(&zone).date_naive()
    }

    /// The month in which this instant falls in `zone`.
    pub fn month_in(self, zone: Tz) -> Month {
        let day = self.day_in(zone);
        Month { year: day.year(), month: day.month() }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}
impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Timestamp {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .and_then(|time| time.timestamp_nanos_opt())
            .map(Self)
            .ok_or_else(|| TimeError::Timestamp(text.to_owned()))
    }
}
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(TextVisitor { expected: "time of RFC 3339", parse: str::parse })
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}
impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time", "description": "RFC 3339, up to nanoseconds."})
    }
}

/// A calendar month, `2026-11`. In which instants it begins and ends depends on a time zone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i32,
    month: u32,
}

impl Month {
    /// The first instant of the month in `zone`, and the first one after it.
    pub fn bounds(self, zone: Tz) -> (Timestamp, Timestamp) {
        (first_instant(self.first_day(), zone), first_instant(self.next().first_day(), zone))
    }

    /// The first day.
    pub fn first_day(self) -> NaiveDate {
        NaiveDate::from_ymd_opt(self.year, self.month, 1).expect("a month was checked when it was made")
    }

    /// The month after this one.
    #[must_use]
    pub fn next(self) -> Self {
        if self.month == 12 { Self { year: self.year + 1, month: 1 } } else { Self { month: self.month + 1, ..self } }
    }
}

/// Midnight, or the first instant of a day whose midnight daylight saving skips.
fn first_instant(day: NaiveDate, zone: Tz) -> Timestamp {
    let mut clock = day.and_time(chrono::NaiveTime::MIN);
    loop {
        if let Some(instant) = zone.from_local_datetime(&clock).earliest() {
            let nanos = instant.timestamp_nanos_opt().expect("a month lies within the years 1678 to 2261");
            return Timestamp(nanos);
        }
        clock += chrono::TimeDelta::minutes(15);
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}
impl fmt::Debug for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Month {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let parse = || {
            let (year, month) = text.split_once('-')?;
            if year.len() != 4 || month.len() != 2 || !text.bytes().all(|b| b == b'-' || b.is_ascii_digit()) {
                return None;
            }
            let (year, month) = (year.parse().ok()?, month.parse().ok()?);
            ((1..=12).contains(&month) && (1700..2261).contains(&year)).then_some(Self { year, month })
        };
        parse().ok_or_else(|| TimeError::Month(text.to_owned()))
    }
}

/// Reads the name of a time zone.
pub fn parse_zone(text: &str) -> Result<Tz, TimeError> {
    text.parse().map_err(|_| TimeError::Zone(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_they_print() {
        for text in ["2026-11-21T08:30:00Z", "2011-08-04T19:01:38.500Z", "1969-12-31T23:59:59.999999999Z"] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
        let east: Timestamp = "2026-11-21T08:30:00+08:00".parse().unwrap();
        assert_eq!(east.to_string(), "2026-11-21T00:30:00Z");
        for bad in ["2026-11-21", "2026-11-21 08:30", "2500-01-01T00:00:00Z", "yesterday"] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad:?} was read as a time");
        }
    }

    #[test]
    fn months_begin_at_local_midnight() {
        let month: Month = "2026-11".parse().unwrap();
        let (from, until) = month.bounds(parse_zone("Asia/Shanghai").unwrap());
        assert_eq!(from.to_string(), "2026-10-31T16:00:00Z");
        assert_eq!(until.to_string(), "2026-11-30T16:00:00Z");
        assert_eq!("2026-12".parse::<Month>().unwrap().next().to_string(), "2027-01");
        for bad in ["2026-13", "2026-00", "26-11", "2026-1", "2026/11", "+026-11"] {
            assert!(bad.parse::<Month>().is_err(), "{bad:?} was read as a month");
        }
    }

    #[test]
    fn a_midnight_that_does_not_exist_is_the_first_instant_after_it() {
        // São Paulo's clocks went from 23:59:59 on the 3rd to 01:00 on 4 November 2018.
        let day = NaiveDate::from_ymd_opt(2018, 11, 4).unwrap();
        let zone = parse_zone("America/Sao_Paulo").unwrap();
        assert_eq!(first_instant(day, zone).to_string(), "2018-11-04T03:00:00Z");
    }
}
