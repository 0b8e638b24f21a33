//! Values on the command line that have a form of their own.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};
use vmcore_inspect::CpuList;
use vmcore_remote::is_address;

/// A file or directory on this machine, which an address would silently become: `https:` makes a fine directory.
pub(crate) fn local_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        if is_address(&path) { Err("expected a file or directory on this machine, not an address") } else { Ok(path) }
    })
}

/// A duration in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nanoseconds(pub(crate) u64);

/// Parses `1.5s`, `500ms`, `20us`, `5m`, `1h30m`, `2days`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Nanoseconds, String> {
    let seconds = text.ends_with(|last: char| last.is_ascii_digit()).then(|| format!("{text}s"));
    let duration = humantime::parse_duration(seconds.as_deref().unwrap_or(text)).ok();
    duration
        .and_then(|duration| u64::try_from(duration.as_nanos()).ok())
        .map(Nanoseconds)
        .ok_or_else(|| "expected a duration such as 1s, 500ms, 5m or 1h30m".to_owned())
}

/// `number * unit`, exactly; `number` may have a decimal point.
fn parse_decimal(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let scale = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction = fraction.parse::<u64>().ok()?.checked_mul(unit)? / scale;
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(fraction)
}

/// Parses a number of bytes: `512M`, `1.5G`, `2GiB`; a bare number is bytes. Units are powers of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix("iB").or_else(|| text.strip_suffix('B')).unwrap_or(text);
    let (number, unit) = [('K', 10), ('M', 20), ('G', 30), ('T', 40)]
        .into_iter()
        .find_map(|(unit, shift)| Some((number.strip_suffix([unit, unit.to_ascii_lowercase()])?, 1 << shift)))
        .unwrap_or((number, 1));
    let bytes = parse_decimal(number, unit).filter(|&bytes| bytes > 0);
    bytes.ok_or_else(|| "expected a size such as 512M or 2G".to_owned())
}

/// As [`size`], where 0 means nothing at all.
pub(crate) fn size_or_nothing(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { size(text) }
}

/// Parses letters of task states, such as `D` or `R,D`.
pub(crate) fn states(text: &str) -> Result<String, String> {
    const LETTERS: &str = "RSDITtPXZ";
    let letters: String = text.chars().filter(|letter| !matches!(letter, ',' | ' ')).collect();
    let known = !letters.is_empty() && letters.chars().all(|letter| LETTERS.contains(letter));
    known.then_some(letters).ok_or_else(|| format!("expected letters of {LETTERS}, as `ps` shows them"))
}

/// Parses an address: hexadecimal, with or without `0x`.
pub(crate) fn address(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    if digits.starts_with('+') {
        return Err("expected a hexadecimal address".to_owned());
    }
    u64::from_str_radix(digits, 16).map_err(|_| "expected a hexadecimal address of at most 64 bits".to_owned())
}

/// Parses CPUs: `3`, `1,4-7`, `all`.
pub(crate) fn cpus(text: &str) -> Result<CpuList, String> {
    text.parse()
}

/// A share `I/N`, counted from 1.
pub(crate) fn shard(text: &str) -> Result<(u64, u64), String> {
    let parse = || {
        let (number, of) = text.split_once('/')?;
        Some((number.parse().ok()?, of.parse().ok()?))
    };
    parse()
        .filter(|&(number, of)| number >= 1 && number <= of)
        .ok_or_else(|| "expected I/N, such as 1/8 to 8/8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("1s"), Ok(Nanoseconds(1_000_000_000)));
        assert_eq!(duration("1.5"), Ok(Nanoseconds(1_500_000_000)));
        assert_eq!(duration("20us"), Ok(Nanoseconds(20_000)));
        assert_eq!(duration("0.25ms"), Ok(Nanoseconds(250_000)));
        assert_eq!(duration("5m"), Ok(Nanoseconds(300_000_000_000)));
        assert_eq!(duration("1h30m"), Ok(Nanoseconds(5_400_000_000_000)));
        assert_eq!(duration("1h 30min 5s"), Ok(Nanoseconds(5_405_000_000_000)));
        for wrong in ["", "s", "-1s", "h", "1x", "9999years", "1.", ".5", "1e3", "99999999999999s", "+1"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("512M"), Ok(512 << 20));
        assert_eq!(size("1.5G"), Ok(3 << 29));
        assert_eq!((size("2GiB"), size("2g"), size("2GB")), (Ok(2 << 30), Ok(2 << 30), Ok(2 << 30)));
        for wrong in ["", "M", "-1", "1X", "0", "1e9", "iB", "99999999999999999999", "999999999T"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert_eq!((size_or_nothing("0"), size_or_nothing("1K")), (Ok(0), Ok(1024)));
        assert!(size_or_nothing("00M").is_err());
    }

    #[test]
    fn addresses() {
        assert_eq!(address("0x7f3b64603140"), Ok(0x7f3b_6460_3140));
        assert_eq!(address("ffff888000000000"), Ok(0xffff_8880_0000_0000));
        for wrong in ["", "0x", "-1", "+1", "xyz", "10000000000000000"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
