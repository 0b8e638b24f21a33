//! What the name of a crash's directory tells: whose it is, and when.

use std::path::Path;

use crate::clock;

/// The machine and the time in seconds since 1970, as far as the names of a file's directories have them, the innermost
/// first. The time is local to whoever named the directory, and is taken for UTC.
pub(crate) fn of(path: &Path) -> (Option<String>, Option<i64>) {
    for directory in path.ancestors().skip(1).take(3) {
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        if let Some((host, time)) = parse(&name) {
            return (host, Some(time));
        }
    }
    (None, None)
}

/// `HOST-2026-11-28-03:12:45`, `2026-11-28-03:12`, `HOST-202611280312`.
fn parse(name: &str) -> Option<(Option<String>, i64)> {
    let starts = std::iter::once(0).chain(name.match_indices(['-', '_']).map(|(at, _)| at + 1));
    for start in starts {
        let Some(time) = name.get(start..).and_then(time) else { continue };
        let host = name.get(..start).unwrap_or_default().trim_end_matches(['-', '_']);
        // What kdump calls a machine that dumps to its own disk.
        let host = Some(host).filter(|host| !["", "127.0.0.1", "localhost"].contains(host));
        return Some((host.map(str::to_owned), time));
    }
    None
}

fn time(text: &str) -> Option<i64> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let is_time = text.chars().all(|letter| letter.is_ascii_digit() || ['-', ':', '_', 'T'].contains(&letter));
    if !is_time || !matches!(digits.len(), 12 | 14) {
        return None;
    }
    let part = |from: usize| digits.get(from..from + 2)?.parse::<i8>().ok();
    let second = part(12).unwrap_or(0);
    clock::from_civil(digits.get(..4)?.parse().ok()?, [part(4)?, part(6)?, part(8)?, part(10)?, second])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_kdump_gives_them() {
        let at = |name: &str| {
            let (host, time) = of(&Path::new("/var/crash").join(name).join("vmcore"));
            (host.unwrap_or_default(), time.map(clock::utc).unwrap_or_default())
        };
        let is = |host: &str, time: &str| (host.to_owned(), time.to_owned());
        assert_eq!(at("10.0.0.7-2026-11-28-03:12:45"), is("10.0.0.7", "2026-11-28T03:12:45Z"));
        assert_eq!(at("127.0.0.1-2026-11-28-03:12:45"), is("", "2026-11-28T03:12:45Z"));
        assert_eq!(at("202611280312"), is("", "2026-11-28T03:12:00Z"));
        assert_eq!(at("web-1-202611280312"), is("web-1", "2026-11-28T03:12:00Z"));
        assert_eq!(at("2026-11-28-03:12"), is("", "2026-11-28T03:12:00Z"));
        assert_eq!(at("2026-99-28-03:12"), is("", ""));
        assert_eq!(at("2026-02-31-03:12"), is("", ""));
        assert_eq!(at("notes"), is("", ""));
    }
}
