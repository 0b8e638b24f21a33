//! The date that stands before a line whose kernel printed no time, or whose time was taken for it: of a system log, of
//! `dmesg -T`, of `journalctl -o short-iso`.
//!
//! A system log's date has no year (RFC 3164, 4.1.2), so none is kept: what counts is how far two lines are apart.

const DAY: u32 = 24 * 3600;
/// Every month has as many days here as the longest, so that no year has to be known.
const MONTH: u32 = 31 * DAY;
/// Seconds in such a year.
const YEAR: u32 = 12 * MONTH;
/// The date begins within as many bytes: behind a level or the day of the week.
const MAX_BEFORE: usize = 12;

/// When in its year a line was written, in seconds, of months of 31 days.
pub(crate) fn second_of_year(line: &str) -> Option<u32> {
    let head = line.trim_start_matches(['[', ' ']);
    iso(head).or_else(|| named(head))
}

/// Seconds that passed between two dates; none where the second is a little earlier, as lines may be out of order.
#[must_use]
pub fn passed(before: u32, after: u32) -> u32 {
    let passed = (after % YEAR + YEAR - before % YEAR) % YEAR;
    if passed > YEAR - DAY { 0 } else { passed }
}

/// `2026-01-03T04:00:01…`, also with a blank.
fn iso(text: &str) -> Option<u32> {
    let (date, time) = text.split_at_checked(10)?;
    let time = time.strip_prefix(['T', ' '])?;
    let (year, date) = date.split_once('-')?;
    let (month, day) = date.split_once('-')?;
    (year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit())).then_some(())?;
    seconds(month.parse().ok()?, day, time)
}

/// `Jan  3 04:00:01 …`, `Sat Jan  3 04:00:01 2026`.
fn named(text: &str) -> Option<u32> {
    const MONTHS: [&str; 12] =
        ["Jan ", "Feb ", "Mar ", "Apr ", "May ", "Jun ", "Jul ", "Aug ", "Sep ", "Oct ", "Nov ", "Dec "];
    let starts = (0..=MAX_BEFORE).filter_map(|at| text.get(at..));
    let found = starts.filter_map(|rest| Some((MONTHS.iter().position(|month| rest.starts_with(month))?, rest)));
    let (month, rest) = found.into_iter().next()?;
    let (day, time) = rest.get(4..)?.trim_start().split_once(' ')?;
    seconds(u32::try_from(month).ok()? + 1, day, time)
}

fn seconds(month: u32, day: &str, time: &str) -> Option<u32> {
    let mut parts = time.get(..8)?.split(':').map(|part| part.parse::<u32>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let day: u32 = day.parse().ok()?;
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    is_date.then(|| (month - 1) * MONTH + (day - 1) * DAY + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_dates() {
        let expected = Some(2 * DAY + 4 * 3600 + 1);
        for line in [
            "Jan  3 04:00:01 web01 kernel: text",
            "<4>Jan 03 04:00:01 web01 kernel: text",
            "[Sat Jan  3 04:00:01 2026] text",
            "2026-01-03T04:00:01+0000 web01 kernel: text",
            "2026-01-03T04:00:01.123456+00:00 web01 kernel: text",
        ] {
            assert_eq!(second_of_year(line), expected, "{line}");
        }
        for line in ["[   14.957393] text", "text", "", "Jan", "Jan 33 04:00:01 x", "2026-13-03T04:00:01", "May I ask"]
        {
            assert_eq!(second_of_year(line), None, "{line}");
        }
    }

    #[test]
    fn how_far_dates_are_apart() {
        let at = |line: &str| second_of_year(line).unwrap();
        let (january, march) = (at("Jan  3 04:00:01 x"), at("Mar 20 11:04:00 x"));
        assert!(passed(january, march) > 70 * DAY);
        assert_eq!(passed(at("Dec 31 23:59:59 x"), at("Jan  1 00:00:01 x")), 2);
        assert_eq!(passed(january, january - 1), 0);
    }
}
