//! Values on the command line that have a form of their own.

/// A duration in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nanoseconds(pub(crate) u64);

/// Parses `1s`, `1.5s`, `500ms`, `20us`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Nanoseconds, String> {
    let (number, unit_ns) = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)]
        .into_iter()
        .find_map(|(unit, ns)| Some((text.strip_suffix(unit)?, ns)))
        .unwrap_or((text, 1_000_000_000));
    parse_decimal(number, unit_ns).map(Nanoseconds).ok_or_else(|| "expected a duration such as 1s or 500ms".to_owned())
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

/// Parses an address: hexadecimal, with or without `0x`.
pub(crate) fn address(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    if digits.starts_with('+') {
        return Err("expected a hexadecimal address".to_owned());
    }
    u64::from_str_radix(digits, 16).map_err(|_| "expected a hexadecimal address of at most 64 bits".to_owned())
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
        for wrong in ["", "s", "-1s", "1h", "1.", ".5", "1e3", "99999999999999s", "+1"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
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
