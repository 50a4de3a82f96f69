//! Times as people read them: on the clocks of the books' zone, with the zone named once, in the head of
//! the column.

use chrono::{MappedLocalTime, TimeZone};
use chrono_tz::Tz;
use schemas::Timestamp;

/// A time on the clocks of a zone, to the millisecond: `2026-11-25 08:30:00.250`. In the hour that comes
/// twice when summer time ends, its offset says which one is meant.
pub fn local(time: Timestamp, zone: Tz) -> String {
    let time = time.to_utc().with_timezone(&zone);
    let shown = if time.timestamp_subsec_millis() == 0 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M:%S%.3f" };
    let twice = matches!(zone.from_local_datetime(&time.naive_local()), MappedLocalTime::Ambiguous(..));
    time.format(&format!("{shown}{}", if twice { " %:z" } else { "" })).to_string()
}

/// The head of a column of times: `time (Asia/Shanghai)`.
pub fn titled(title: &str, zone: Tz) -> String {
    format!("{title} ({})", zone.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_on_the_clocks_of_the_zone() {
        let cases = [
            ("2026-11-25T00:30:00Z", Tz::Asia__Shanghai, "2026-11-25 08:30:00"),
            ("2026-11-25T16:30:00.2501Z", Tz::Asia__Shanghai, "2026-11-26 00:30:00.250"),
            ("2026-11-25T00:30:00Z", Tz::UTC, "2026-11-25 00:30:00"),
            ("2026-11-01T05:30:00Z", Tz::America__New_York, "2026-11-01 01:30:00 -04:00"),
            ("2026-11-01T06:30:00Z", Tz::America__New_York, "2026-11-01 01:30:00 -05:00"),
        ];
        for (time, zone, expected) in cases {
            assert_eq!(local(time.parse().unwrap(), zone), expected);
        }
        assert_eq!(titled("time", Tz::Asia__Shanghai), "time (Asia/Shanghai)");
    }
}
