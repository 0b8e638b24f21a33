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
    fn clocks() {
        assert_eq!(LogTime(27_123_456_789).to_string(), "   27.123456");
        assert_eq!(Uptime(27_123_456_789).to_string(), "00:00:27");
        assert_eq!(Uptime((3 * 86_400 + 4 * 3600 + 5 * 60 + 6) * NS_PER_S).to_string(), "3 days, 04:05:06");
    }
}
