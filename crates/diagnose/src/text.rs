//! Small pieces of wording.

/// A duration in seconds with one digit, or in milliseconds below one second.
pub(crate) fn seconds(ns: u64) -> String {
    let tenths = ns / 100_000_000;
    if ns < 1_000_000_000 {
        return format!("{} ms", ns / 1_000_000);
    }
    format!("{}.{} s", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(seconds(9_943_789_885), "9.9 s");
        assert_eq!(seconds(12_259_830), "12 ms");
        assert_eq!(seconds(u64::MAX), "18446744073.7 s");
    }
}
