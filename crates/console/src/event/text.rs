//! Pieces of lines that many reports have in common.

/// The number that a text begins with.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let text = text.trim_start();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// What stands between two texts.
pub(super) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(inside, _)| inside)
}

/// The number that follows a text.
pub(super) fn number_after<T: std::str::FromStr>(text: &str, before: &str) -> Option<T> {
    number(text.split_once(before)?.1)
}

/// The word that a text begins with, without the punctuation that ends it.
pub(super) fn word(text: &str) -> Option<&str> {
    let word = text.split_whitespace().next()?.trim_end_matches([',', ':', ';', '.', ')', ']']);
    (!word.is_empty()).then_some(word)
}

/// `name:12` or `name/12`, as the kernel names a task: the name may itself hold the separator.
pub(super) fn task(text: &str, separator: char) -> Option<(&str, i32)> {
    let (comm, pid) = text.rsplit_once(separator)?;
    Some((comm, pid.parse().ok()?))
}

/// A list of CPUs as `%*pbl` prints it: `0-3,7`. No more than are worth naming.
pub(super) fn cpu_list(text: &str) -> Vec<u32> {
    /// More are not named.
    const MAX_CPUS: usize = 1024;
    let ranges = text.trim().split(',').map_while(|part| {
        let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
        Some(number::<u32>(first)?..=number::<u32>(last)?)
    });
    ranges.flatten().take(MAX_CPUS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(cpu_list("0-2,7"), [0, 1, 2, 7]);
        assert_eq!(cpu_list("5"), [5]);
        assert_eq!(cpu_list("x"), [0u32; 0]);
        assert_eq!(cpu_list("0-4294967295").len(), 1024);
    }

    #[test]
    fn pieces() {
        assert_eq!(number::<u32>(" 12s!"), Some(12));
        assert_eq!(number::<u32>("99999999999"), None);
        assert_eq!(between("a (b) c", "(", ")"), Some("b"));
        assert_eq!(task("kworker/0:1:17", ':'), Some(("kworker/0:1", 17)));
        assert_eq!(word("sda, sector"), Some("sda"));
    }
}
