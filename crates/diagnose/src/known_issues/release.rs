//! Kernel releases (`uname -r`), taken apart and compared as the packages that they name are.
//!
//! ```text
//! 4.19.91-19.1.al7.x86_64      5.10.0-30-cloud-amd64      5.10.46
//! base    build tag arch       base   build flavour       base
//! ```
//!
//! Numbers compare as numbers, and a longer build that begins like a shorter one is newer: 19 < 19.1 < 23 < 100.

/// A release, taken apart. From the dump: untrusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Release<'a> {
    /// The upstream version: `[4, 19, 91]`.
    pub(super) base: Vec<u32>,
    /// The distribution's own count: `[19, 1]`. Empty where there is none.
    pub(super) build: Vec<u32>,
    /// What follows the count, without its separator: `al7.x86_64`, `cloud-amd64`.
    pub(super) suffix: &'a str,
}

impl<'a> Release<'a> {
    pub(super) fn parse(release: &'a str) -> Option<Self> {
        let (base, rest) = match release.split_once('-') {
            Some((base, rest)) => (base, rest),
            None => (release, ""),
        };
        let (base, after_base) = numbers(base);
        let (build, suffix) = numbers(rest);
        let whole = base.len() >= 2 && (after_base.is_empty() || rest.is_empty());
        whole.then_some(Self { base, build, suffix: if rest.is_empty() { after_base } else { suffix } })
    }

    /// Whether the release is one of upstream's own, with nothing added.
    pub(super) fn is_upstream(&self) -> bool {
        self.build.is_empty() && self.suffix.is_empty()
    }

    /// The distribution's tag: `al7` of `al7.x86_64`.
    pub(super) fn tag(&self) -> &'a str {
        self.suffix.split('.').next().unwrap_or_default()
    }

    /// The stable series: `[5, 10]`.
    pub(super) fn series(&self) -> Option<[u32; 2]> {
        Some([*self.base.first()?, *self.base.get(1)?])
    }

    /// What orders two releases of one distribution.
    pub(super) fn order(&self) -> (&[u32], &[u32]) {
        (&self.base, &self.build)
    }
}

/// The numbers at the beginning of a text, separated by dots, and what follows them and a separator.
fn numbers(text: &str) -> (Vec<u32>, &str) {
    let mut numbers = Vec::new();
    let mut rest = text;
    loop {
        let digits = rest.len() - rest.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        let (number, after) = rest.split_at_checked(digits).unwrap_or((rest, ""));
        // `4.19.91-2a` has no count of its own.
        let ends = after.is_empty() || after.starts_with(['.', '-', '_', '+']);
        let Some(number) = number.parse().ok().filter(|_| ends) else { break };
        numbers.push(number);
        match after.strip_prefix('.') {
            Some(next) if next.starts_with(|letter: char| letter.is_ascii_digit()) => rest = next,
            _ => {
                rest = after;
                break;
            }
        }
    }
    (numbers, rest.trim_start_matches(['.', '-', '_', '+']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(release: &str) -> (Vec<u32>, Vec<u32>, &str) {
        let Release { base, build, suffix } = Release::parse(release).unwrap();
        (base, build, suffix)
    }

    #[test]
    fn releases_taken_apart() {
        assert_eq!(parse("4.19.91-19.1.al7.x86_64"), (vec![4, 19, 91], vec![19, 1], "al7.x86_64"));
        assert_eq!(parse("5.10.0-30-cloud-amd64"), (vec![5, 10, 0], vec![30], "cloud-amd64"));
        assert_eq!(parse("4.18.0-553.16.1.el8_10.x86_64"), (vec![4, 18, 0], vec![553, 16, 1], "el8_10.x86_64"));
        assert_eq!(parse("5.10.46"), (vec![5, 10, 46], vec![], ""));
        assert_eq!(parse("6.1.0-rc3"), (vec![6, 1, 0], vec![], "rc3"));
        assert_eq!(parse("5.4.129+"), (vec![5, 4, 129], vec![], ""));
        for odd in ["", "nonsense", "6", "6-1", "-1.2", ".", "99999999999.1"] {
            assert_eq!(Release::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn builds_compare_as_numbers() {
        let order = ["19", "19.1", "19.10", "22", "22.2", "23", "23.1", "100"];
        for pair in order.windows(2) {
            let [older, newer] = [&pair[0], &pair[1]].map(|build| format!("4.19.91-{build}.al7.x86_64"));
            let (older, newer) = (Release::parse(&older).unwrap(), Release::parse(&newer).unwrap());
            assert!(older.order() < newer.order(), "{older:?} {newer:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,40}") {
            let _ = Release::parse(&text);
        }
    }
}
