//! Instants in nanoseconds and settlement months.

use std::{borrow::Cow, fmt, str::FromStr};

use chrono::{DateTime, Datelike, NaiveDate, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ids::TextVisitor;

/// An instant: nanoseconds since 1970-01-01T00:00:00Z. What comes from outside lies between then and
/// [`Timestamp::LAST`]. JSON shows it as RFC 3339 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not RFC 3339.
    #[error("{0:?} is not a time of RFC 3339 such as 2026-11-21T08:30:00.5Z or 2026-11-21T16:30:00+08:00")]
    Timestamp(String),
    /// Before 1970.
    #[error("{0} is too early: a time is at least {FIRST}")]
    TooEarly(String),
    /// After what 64 bits of nanoseconds hold.
    #[error("{0} is too late: a time is at most {last}", last = Timestamp::LAST)]
    TooLate(String),
    /// Not a day.
    #[error("{0:?} is not a day from 1970-01-01 to 2261-12-31 such as 2026-11-21")]
    Day(String),
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
    /// 2262-04-11T23:47:16.854775807Z: what 64 bits of nanoseconds hold.
    pub const LAST: Self = Self(i64::MAX);

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
        // As chrono's `SecondsFormat::AutoSi`, without a text of its own: an answer has one for each line of a bulk.
        let utc = self.to_utc();
        let (date, time) = (utc.date_naive(), utc.time());
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        let mut put = |at: std::ops::Range<usize>, mut number: u32| {
            for digit in text[at].iter_mut().rev() {
                *digit = b'0' + u8::try_from(number % 10).expect("a digit");
                number /= 10;
            }
        };
        put(0..4, date.year().unsigned_abs()); // 64 bits of nanoseconds reach from 1677 to 2262
        put(5..7, date.month());
        put(8..10, date.day());
        put(11..13, time.hour());
        put(14..16, time.minute());
        put(17..19, time.second());
        put(20..29, time.nanosecond());
        let digits = match time.nanosecond() {
            0 => 0,
            nanos if nanos % 1_000_000 == 0 => 4,
            nanos if nanos % 1_000 == 0 => 7,
            _ => 10,
        };
        text[19 + digits] = b'Z';
        f.write_str(std::str::from_utf8(&text[..20 + digits]).expect("digits"))
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
        let wrong = || TimeError::Timestamp(text.to_owned());
        if !is_rfc3339(text.as_bytes()) {
            return Err(wrong());
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| wrong())?;
        // By the year that is written, as the schema has it: a few hours around its beginning are no loss.
        if time.year() < 1970 || time.timestamp() < 0 {
            return Err(TimeError::TooEarly(text.to_owned()));
        }
        time.timestamp_nanos_opt().map(Self).ok_or_else(|| TimeError::TooLate(text.to_owned()))
    }
}

/// The first instant that comes from outside.
const FIRST: &str = "1970-01-01T00:00:00Z";
const DAY_PATTERN: &str = "(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])";

/// Whether it has the form of a time, of the many that are read as one: `T` and `Z` are capitals, a fraction
/// has 1 to 9 digits, and no minute has 61 seconds.
fn is_rfc3339(text: &[u8]) -> bool {
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let Some((clock, rest)) = text.split_at_checked(19) else { return false };
    let form = clock.iter().zip(b"0000-00-00T00:00:00");
    let well =
        form.fold(true, |well, (byte, form)| well & (if *form == b'0' { byte.is_ascii_digit() } else { byte == form }));
    let zone = match rest.strip_prefix(b".") {
        None => rest,
        Some(fraction) => {
            let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&length) {
                return false;
            }
            &fraction[length..]
        }
    };
    let offset = |zone: &[u8]| matches!(zone, [b'+' | b'-', h1, h2, b':', m1, m2] if digits(&[*h1, *h2, *m1, *m2]));
    well && clock[17] < b'6' && (zone == b"Z" || offset(zone))
}

/// Reads a day in its one form, `2026-11-21`.
pub fn parse_day(text: &str) -> Result<NaiveDate, TimeError> {
    let form = text.bytes().zip(*b"0000-00-00");
    let well =
        text.len() == 10 && form.fold(true, |well, (byte, form)| well & (byte.is_ascii_digit() == (form == b'0')));
    let day = well.then(|| text.parse().ok()).flatten();
    day.filter(|day| is_kept(*day)).ok_or_else(|| TimeError::Day(text.to_owned()))
}

/// Whether a day's instants are all in the range of [`Timestamp`] in every time zone.
pub(crate) fn is_kept(day: NaiveDate) -> bool {
    (1970..2262).contains(&day.year())
}

/// For the fields of days.
pub(crate) fn read_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveDate, D::Error> {
    if !deserializer.is_human_readable() {
        // That it has one form is looked after there.
        let day = NaiveDate::deserialize(deserializer)?;
        return if is_kept(day) { Ok(day) } else { Err(de::Error::custom(TimeError::Day(day.to_string()))) };
    }
    let expected = "a day from 1970-01-01 to 2261-12-31, as a text such as \"2026-11-21\"";
    deserializer.deserialize_str(TextVisitor { expected, parse: parse_day })
}

/// For the schemas of days.
pub(crate) fn day_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "format": "date",
        "pattern": format!("^(19[7-9][0-9]|2[01][0-9]{{2}}|22[0-5][0-9]|226[01])-{DAY_PATTERN}$"),
        "description": "A day from 1970-01-01 to 2261-12-31.",
    })
}
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(TextVisitor {
                expected: "a time of RFC 3339 from 1970-01-01T00:00:00Z to 2262-04-11T23:47:16.854775807Z",
                parse: str::parse,
            })
        } else {
            // `MIN` is the time of a state before its first record.
            match i64::deserialize(deserializer)? {
                nanos if nanos >= 0 || nanos == i64::MIN => Ok(Self(nanos)),
                nanos => Err(de::Error::custom(TimeError::TooEarly(Self(nanos).to_string()))),
            }
        }
    }
}
impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let clock = "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
        json_schema!({
            "type": "string", "format": "date-time",
            "pattern": format!("^(19[7-9][0-9]|2[01][0-9]{{2}}|22[0-5][0-9]|226[0-2])-{DAY_PATTERN}{clock}$"),
            "description": format!("RFC 3339, up to nanoseconds; from {FIRST} to {}.", Self::LAST),
        })
    }
}

/// A calendar month, `2026-11`. In which instants it begins and ends depends on a time zone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i32,
    month: u32,
}

impl JsonSchema for Month {
    fn schema_name() -> Cow<'static, str> {
        "Month".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$",
            "description": "A calendar month, such as 2026-11.",
        })
    }
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
            let nanos = instant.timestamp_nanos_opt().expect("a month lies within the years 1970 to 2261");
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
            ((1..=12).contains(&month) && (1970..2262).contains(&year)).then_some(Self { year, month })
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
    use chrono::SecondsFormat;

    use super::*;

    #[test]
    fn times_print_as_chrono_prints_them() {
        let some = (0..200_000_i64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed()));
        for nanos in some.chain([0, 1, -1, i64::MIN, i64::MAX, 1_000, 1_000_000, 1_000_000_000, -1_000_000_000]) {
            for nanos in
                [nanos, nanos / 1_000 * 1_000, nanos / 1_000_000 * 1_000_000, nanos / 1_000_000_000 * 1_000_000_000]
            {
                let time = Timestamp::from_nanos(nanos);
                assert_eq!(time.to_string(), time.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true));
            }
        }
    }

    #[test]
    fn times_read_as_they_print() {
        for text in [
            "2026-11-21T08:30:00Z",
            "2011-08-04T19:01:38.500Z",
            "1970-01-01T00:00:00Z",
            "2262-04-11T23:47:16.854775807Z",
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
        let east: Timestamp = "2026-11-21T08:30:00+08:00".parse().unwrap();
        assert_eq!(east.to_string(), "2026-11-21T00:30:00Z");
        for bad in [
            "",
            "2026-11-21",
            "2026-11-21 08:30",
            "yesterday",
            "2026-11-21 08:30:00Z",
            "2026-11-21t08:30:00Z",
            "2026-11-21T08:30:00z",
            "2026-11-21T08:30:00.Z",
            "2026-11-21T08:30:00.0123456789Z",
            "2026-11-21T08:30:60Z",
            "2026-02-30T08:30:00Z",
            "2026-11-21T08:30:00",
            "2026-11-21T08:30:00+0800",
            "2026-11-21T08:30:00−08:00",
            "2026-11-21T24:00:00Z",
            "2026-11-21T08:30:00+24:00",
            " 2026-11-21T08:30:00Z",
        ] {
            assert!(matches!(bad.parse::<Timestamp>(), Err(TimeError::Timestamp(_))), "{bad:?} was read as a time");
        }
    }

    /// What people write for “never” is no time; they are told the range.
    #[test]
    fn times_beyond_the_range_say_the_range() {
        let last = "a time is at most 2262-04-11T23:47:16.854775807Z";
        for (text, said) in [
            ("9999-12-31T23:59:59Z", last),
            ("2262-04-11T23:47:16.854775808Z", last),
            ("2262-04-11T23:47:16.854775807-00:01", last),
            ("1969-12-31T23:59:59.999999999Z", "a time is at least 1970-01-01T00:00:00Z"),
            ("1970-01-01T00:00:00+08:00", "a time is at least 1970-01-01T00:00:00Z"),
            ("0000-01-01T00:00:00Z", "a time is at least 1970-01-01T00:00:00Z"),
        ] {
            let error = text.parse::<Timestamp>().unwrap_err().to_string();
            assert!(error.contains(said) && error.contains(text), "{error}");
        }
    }

    #[test]
    fn days_have_one_form() {
        for good in ["1970-01-01", "2026-11-21", "2024-02-29", "2261-12-31"] {
            assert_eq!(parse_day(good).unwrap().to_string(), good);
        }
        for bad in ["2026-1-1", "2026-02-29", "+2026-11-21", "1969-12-31", "2262-01-01", "9999-12-31", "2026/11/21", ""]
        {
            assert!(parse_day(bad).is_err(), "{bad:?} was read as a day");
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
