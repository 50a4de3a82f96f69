//! Times as a file writes them.

use anyhow::{Context, Result, bail};
use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc, format};
use schemas::{Timestamp, Zone, parse_zone};
use serde::Serialize;

/// How a file writes its times.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TimeMapping {
    /// As strftime says it, tried one after the other; RFC 3339 where there is none.
    pub formats: Vec<String>,
    /// The zone of times that do not say theirs.
    pub zone: Option<Zone>,
}

/// What a format says of where its times hold.
fn has_offset(items: &[format::Item<'_>]) -> bool {
    use format::{Fixed, Item, Numeric};
    items.iter().any(|item| {
        let Item::Fixed(fixed) = item else { return matches!(item, Item::Numeric(Numeric::Timestamp, _)) };
        matches!(
            fixed,
            Fixed::TimezoneOffset
                | Fixed::TimezoneOffsetColon
                | Fixed::TimezoneOffsetDoubleColon
                | Fixed::TimezoneOffsetColonZ
                | Fixed::TimezoneOffsetZ
                | Fixed::RFC2822
                | Fixed::RFC3339
                | Fixed::Internal(_)
        )
    })
}

impl TimeMapping {
    /// Checks that the formats are some, and that each says where its times hold, or the zone does.
    pub fn new(formats: Vec<String>, zone: Option<&str>) -> Result<Self> {
        let zone = zone.map(parse_zone).transpose().context("[time] zone")?.map(Zone);
        for text in &formats {
            let items: Vec<_> = format::StrftimeItems::new(text).collect();
            if items.iter().any(|item| matches!(item, format::Item::Error)) {
                bail!("[time] format {text:?} is none of strftime, such as \"%d.%m.%Y %H:%M:%S\"");
            }
            if !has_offset(&items) && zone.is_none() {
                bail!("[time] zone is missing: format {text:?} does not say where its times hold");
            }
        }
        if formats.is_empty() && zone.is_some() {
            bail!("[time] format is missing: times of RFC 3339 say their offset themselves");
        }
        Ok(Self { formats, zone })
    }

    /// Reads a time.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(&self, text: &str) -> Result<Timestamp, String> {
        if self.formats.is_empty() {
            return text.parse().map_err(|error: schemas::TimeError| error.to_string());
        }
        let mut said = None;
        for format in &self.formats {
            match self.read_as(text, format) {
                Some(Ok(time)) => {
                    let nanos = time.timestamp_nanos_opt().ok_or("beyond the years 1678 to 2261")?;
                    return Ok(Timestamp::from_nanos(nanos));
                }
                Some(Err(why)) => said = Some(why),
                None => {}
            }
        }
        let formats = self.formats.iter().map(|format| format!("{format:?}")).collect::<Vec<_>>().join(" or ");
        Err(said.unwrap_or_else(|| format!("not a time as {formats}")))
    }

    /// Nothing where the text is not of the format.
    fn read_as(&self, text: &str, format: &str) -> Option<Result<DateTime<Utc>, String>> {
        let items = format::StrftimeItems::new(format);
        if has_offset(&items.clone().collect::<Vec<_>>()) {
            let mut parsed = format::Parsed::new();
            format::parse(&mut parsed, text, items).ok()?;
            // Seconds since 1970 have no offset of their own.
            let time = parsed
                .to_datetime()
                .ok()
                .or_else(|| parsed.to_naive_datetime_with_offset(0).ok()?.and_utc().fixed_offset().into());
            return time.map(|time| Ok(time.to_utc()));
        }
        let Zone(zone) = self.zone?;
        if let Ok(clock) = NaiveDateTime::parse_from_str(text, format) {
            return Some(match zone.from_local_datetime(&clock) {
                LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Ok(time.to_utc()),
                LocalResult::None => {
                    Err(format!("there is no such time in {zone}: its clocks are put forward over it"))
                }
            });
        }
        let mut clock = NaiveDate::parse_from_str(text, format).ok()?.and_time(NaiveTime::MIN);
        loop {
            if let Some(time) = zone.from_local_datetime(&clock).earliest() {
                return Some(Ok(time.to_utc()));
            }
            clock = clock.checked_add_signed(TimeDelta::minutes(15))?; // a day may begin later than at midnight
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        let (shanghai, berlin, saint) = ("Asia/Shanghai", "Europe/Berlin", "America/Sao_Paulo");
        for (format, zone, text, expected) in [
            ("", "", "2026-11-21T08:30:00+08:00", "2026-11-21T00:30:00Z"),
            ("%Y-%m-%d %H:%M:%S", shanghai, "2026-11-21 08:30:00", "2026-11-21T00:30:00Z"),
            ("%Y/%m/%d %H:%M", shanghai, "2026/1/2 8:05", "2026-01-02T00:05:00Z"),
            ("%d.%m.%Y", berlin, "24.12.2026", "2026-12-23T23:00:00Z"),
            ("%d.%m.%Y %H:%M:%S%.f", berlin, "24.07.2026 02:00:00.25", "2026-07-24T00:00:00.250Z"),
            ("%m/%d/%Y %I:%M:%S %p", "UTC", "7/4/2026 1:02:03 PM", "2026-07-04T13:02:03Z"),
            ("%d.%m.%Y %H:%M %z", "", "24.12.2026 02:00 +0100", "2026-12-24T01:00:00Z"),
            ("%s", "", "1700000000", "2023-11-14T22:13:20Z"),
            // Twice that day: the first of them. And a day whose midnight is skipped.
            ("%d.%m.%Y %H:%M", berlin, "25.10.2026 02:30", "2026-10-25T00:30:00Z"),
            ("%Y-%m-%d", saint, "2018-11-04", "2018-11-04T03:00:00Z"),
        ] {
            let formats = if format.is_empty() { vec![] } else { vec![format.to_owned()] };
            let mapping = TimeMapping::new(formats, Some(zone).filter(|zone| !zone.is_empty())).unwrap();
            assert_eq!(mapping.read(text).unwrap().to_string(), expected, "{text:?} as {format:?}");
        }
        let both = ["%Y-%m-%d %H:%M:%S".to_owned(), "%d.%m.%Y".to_owned()].to_vec();
        let both = TimeMapping::new(both, Some(berlin)).unwrap();
        assert_eq!(both.read("24.12.2026").unwrap().to_string(), "2026-12-23T23:00:00Z");
        for (text, said) in [
            ("24/12/2026", "not a time as \"%Y-%m-%d %H:%M:%S\" or \"%d.%m.%Y\""),
            ("2026-02-30 00:00:00", "not a time as"),
            ("2026-03-29 02:30:00", "there is no such time in Europe/Berlin"),
            ("2500-03-29 02:30:00", "beyond the years"),
        ] {
            let error = both.read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_format_says_where_its_times_hold() {
        for (formats, zone, said) in [
            (vec!["%Y-%m-%d"], None, "[time] zone is missing: format \"%Y-%m-%d\""),
            (vec!["%Y-%!"], Some("UTC"), "[time] format \"%Y-%!\" is none of strftime"),
            (vec!["%Y-%m-%d"], Some("Mars/Base"), "[time] zone: \"Mars/Base\" is not a time zone"),
            (vec![], Some("UTC"), "[time] format is missing"),
        ] {
            let error = TimeMapping::new(formats.into_iter().map(str::to_owned).collect(), zone).unwrap_err();
            assert!(format!("{error:#}").contains(said), "{error:#}");
        }
    }
}
