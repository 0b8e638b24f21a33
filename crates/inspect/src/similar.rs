//! Names that are nearly the one that was asked for.

use strsim::osa_distance;

/// Longer names are not compared: no symbol that people type is that long.
const MAX_NAME: usize = 64;

/// The name with the fewest slips between it and `wanted`, where those are few: letters that are missing, too many, wrong or in
/// the wrong order. Of several the first in the alphabet.
pub(crate) fn similar<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Option<String> {
    let most = match wanted.len() {
        0..=2 => return None,
        3..=5 => 1,
        6..=MAX_NAME => 2,
        _ => return None,
    };
    let close = names.filter(|name| name.len().abs_diff(wanted.len()) <= most);
    let ranked = close.map(|name| (osa_distance(wanted, name), name));
    ranked.filter(|(slips, _)| *slips <= most).min().map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (one, other, count) in [
            ("schedule", "schedule", 0),
            ("schdule", "schedule", 1),
            ("scheduele", "schedule", 1),
            ("schedulr", "schedule", 1),
            ("shcedule", "schedule", 1),
            ("jiffies", "schedule", 8),
            ("", "abc", 3),
            ("abc", "", 3),
        ] {
            assert_eq!(osa_distance(one, other), count, "{one} {other}");
        }
    }

    #[test]
    fn the_nearest_is_meant_and_nothing_far_away() {
        let names = ["schedule_tail", "schedule", "reschedule", "jiffies", "jiffies_64", "pid"];
        let similar = |wanted| similar(wanted, names.into_iter());
        assert_eq!(similar("schdule").as_deref(), Some("schedule"));
        assert_eq!(similar("jifies").as_deref(), Some("jiffies"));
        assert_eq!(similar("task_struct"), None);
        // Of short names everything would be close.
        assert_eq!(similar("pd"), None);
        assert_eq!(super::similar(&"a".repeat(100), ["a".repeat(100).as_str()].into_iter()), None);
    }
}
