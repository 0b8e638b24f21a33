//! Wall-clock times, as seconds since 1970 in UTC, and their dates.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Now.
#[must_use]
pub fn now() -> i64 {
    seconds(SystemTime::now())
}

/// A file's time.
pub(crate) fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    }
}

/// `2026-11-28`.
#[must_use]
pub fn day(seconds: i64) -> String {
    TimeZone::UTC.to_datetime(timestamp(seconds)).date().to_string()
}

/// `2026-11-28T14:05:09Z`.
#[must_use]
pub fn utc(seconds: i64) -> String {
    timestamp(seconds).to_string()
}

/// The first or last that a calendar has for times that are beyond it: files may have any.
fn timestamp(seconds: i64) -> Timestamp {
    let limits = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
    Timestamp::from_second(seconds.clamp(*limits.start(), *limits.end())).unwrap_or_default()
}

/// The seconds of a date and time in UTC; `None` for one that no calendar has, and for those before 1970.
pub(crate) fn from_civil(year: i16, [month, day, hour, minute, second]: [i8; 5]) -> Option<i64> {
    // A leap second is the one before it.
    let second = if second == 60 { 59 } else { second };
    let date = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let at = TimeZone::UTC.to_timestamp(date).ok()?.as_second();
    (at >= 0).then_some(at)
}

/// The seconds of `2026-11-28T14:05:09.000Z`; `None` for what is no time of RFC 3339.
pub(crate) fn from_rfc3339(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_there_and_back() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_874_709, "2026-11-28T14:05:09Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(seconds), text);
            assert_eq!(from_rfc3339(text), Some(seconds));
        }
        assert_eq!(day(-1), "1969-12-31");
        assert_eq!(from_civil(2026, [11, 28, 14, 5, 9]), Some(1_795_874_709));
        assert_eq!(from_civil(2000, [2, 29, 0, 0, 0]), Some(951_782_400));
        for no_date in [[2, 31, 0, 0, 0], [2, 29, 0, 0, 0], [13, 1, 0, 0, 0], [1, 1, 24, 0, 0]] {
            assert_eq!(from_civil(2026, no_date), None, "{no_date:?}");
        }
        assert_eq!((from_civil(1969, [12, 31, 0, 0, 0]), from_rfc3339("yesterday")), (None, None));
    }

    #[test]
    fn no_time_makes_it_panic() {
        for extreme in [i64::MIN, i64::MAX] {
            assert!(!utc(extreme).is_empty() && !day(extreme).is_empty());
        }
    }
}
