//! Wall-clock times, as seconds since 1970 in UTC, and their dates.
//!
//! The calendar is the proleptic Gregorian one, computed as Howard Hinnant describes in "chrono-Compatible Low-Level
//! Date Algorithms" (`civil_from_days`).

use std::time::{SystemTime, UNIX_EPOCH};

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
    let (year, month, day) = civil(seconds.div_euclid(86400));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2026-11-28T14:05:09Z`.
#[must_use]
pub fn utc(seconds: i64) -> String {
    let second = seconds.rem_euclid(86400);
    format!("{}T{:02}:{:02}:{:02}Z", day(seconds), second / 3600, second / 60 % 60, second % 60)
}

fn civil(days: i64) -> (i64, i64, i64) {
    // Days from 0000-03-01, so that the leap day is a year's last.
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era.saturating_add(era.saturating_mul(400)) + i64::from(month <= 2);
    (year, month, day)
}

/// The seconds of a date and time in UTC; `None` for one that no calendar has.
pub(crate) fn from_civil(year: i64, month: i64, day: i64, time: [i64; 3]) -> Option<i64> {
    let [hour, minute, second] = time;
    let valid = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !valid {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let of_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + of_year;
    let days = year / 400 * 146_097 + of_era - 719_468;
    Some(days * 86400 + hour * 3600 + minute * 60 + second)
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
        }
        assert_eq!(from_civil(2026, 11, 28, [14, 5, 9]), Some(1_795_874_709));
        assert_eq!(from_civil(2000, 2, 29, [0, 0, 0]), Some(951_782_400));
        assert_eq!(from_civil(2026, 13, 1, [0, 0, 0]), None);
        // No time makes it panic.
        for extreme in [i64::MIN, i64::MAX] {
            assert!(!utc(extreme).is_empty());
        }
    }
}
