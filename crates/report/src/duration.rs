//! Times in text.

use std::fmt;

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;
const NS_PER_US: u64 = 1_000;

/// Nanoseconds in a unit that suits them, with three digits after the point: `9.943 s`. Honours width and alignment.
#[derive(Clone, Copy, Debug)]
pub struct Duration(pub u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        let (unit, name) = match ns {
            NS_PER_S.. => (NS_PER_S, "s"),
            NS_PER_MS.. => (NS_PER_MS, "ms"),
            _ => (NS_PER_US, "us"),
        };
        f.pad(&format!("{}.{:03} {name}", ns / unit, ns % unit / (unit / 1000)))
    }
}

/// A duration, or `?` where it is not known.
pub(crate) fn or_unknown(ns: Option<u64>) -> String {
    ns.map_or_else(|| "?".to_owned(), |ns| Duration(ns).to_string())
}

/// Nanoseconds since boot as the kernel log shows them: seconds and microseconds, `   27.123456`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogTime(pub(crate) u64);

impl fmt::Display for LogTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:5}.{:06}", self.0 / NS_PER_S, self.0 % NS_PER_S / NS_PER_US)
    }
}

/// Nanoseconds as days and a clock, as `crash` shows an uptime: `00:00:27` or `3 days, 04:05:06`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uptime(pub(crate) u64);

impl fmt::Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / NS_PER_S;
        match seconds / 86_400 {
            0 => {}
            1 => f.write_str("1 day, ")?,
            days => write!(f, "{days} days, ")?,
        }
        write!(f, "{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
    }
}

/// Seconds since 1970 as a date and time in UTC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Date(pub(crate) i64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Howard Hinnant's `civil_from_days`: years start in March, so that the leap day is the last of one; an era is
        // the 400 years after which the calendar repeats.
        let (days, second) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = era * 400 + year_of_era + next;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(Duration(9_943_789_885).to_string(), "9.943 s");
        assert_eq!(Duration(12_259_830).to_string(), "12.259 ms");
        assert_eq!(Duration(1_500).to_string(), "1.500 us");
        assert_eq!(Duration(7).to_string(), "0.007 us");
        assert_eq!(Duration(u64::MAX).to_string(), "18446744073.709 s");
        assert_eq!(format!("{:>9}|", Duration(0)), " 0.000 us|");
    }

    #[test]
    fn dates() {
        assert_eq!(Date(0).to_string(), "1970-01-01 00:00:00 UTC");
        assert_eq!(Date(-1).to_string(), "1969-12-31 23:59:59 UTC");
        assert_eq!(Date(951_782_400).to_string(), "2000-02-29 00:00:00 UTC");
        assert_eq!(Date(1_763_841_601).to_string(), "2025-11-22 20:00:01 UTC");
        // A damaged note may say anything.
        for seconds in [i64::MIN, i64::MAX] {
            assert!(Date(seconds).to_string().ends_with(" UTC"));
        }
    }

    #[test]
    fn clocks() {
        assert_eq!(LogTime(27_123_456_789).to_string(), "   27.123456");
        assert_eq!(Uptime(27_123_456_789).to_string(), "00:00:27");
        assert_eq!(Uptime((3 * 86_400 + 4 * 3600 + 5 * 60 + 6) * NS_PER_S).to_string(), "3 days, 04:05:06");
    }
}
