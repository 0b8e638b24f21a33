//! CPUs as people name several of them, in `crash`'s way: `3`, `1,8`, `1-23`, `1,8,9-14`, `a` or `all`.

use std::str::FromStr;

/// More CPUs no kernel is built for: `NR_CPUS_RANGE_END` of arch/x86/Kconfig, which is the largest of all machines.
const MAX_CPUS: u32 = 8192;

/// Some CPUs of a machine, or all of them.
///
/// ```
/// use vmcore_inspect::CpuList;
///
/// assert_eq!("1,8-10".parse::<CpuList>()?.numbers(), Some(&[1, 8, 9, 10][..]));
/// assert_eq!("all".parse::<CpuList>()?.numbers(), None);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList(Option<Vec<u32>>);

impl CpuList {
    /// Those that are named, each once, in the order in which they are; `None` for all that the machine has.
    #[must_use]
    pub fn numbers(&self) -> Option<&[u32]> {
        self.0.as_deref()
    }
}

impl FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_all(text) {
            return Ok(Self(None));
        }
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
            let (first, last) =
                range.ok_or_else(|| format!("expected CPUs such as 3, 1,8, 1-23 or all (up to {})", MAX_CPUS - 1))?;
            numbers.extend(first..=last);
            if numbers.len() > MAX_CPUS as usize {
                return Err(format!("expected at most {MAX_CPUS} CPUs"));
            }
        }
        let mut known = std::collections::HashSet::new();
        numbers.retain(|number| known.insert(*number));
        Ok(Self(Some(numbers)))
    }
}

/// Whether a word means all CPUs.
pub(crate) fn is_all(word: &str) -> bool {
    matches!(word, "a" | "all")
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number < MAX_CPUS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_cpu_is_named_once_and_in_order() {
        let numbers = |text: &str| text.parse::<CpuList>().map(|list| list.numbers().map(<[u32]>::to_vec));
        assert_eq!(numbers("3"), Ok(Some(vec![3])));
        assert_eq!(numbers("8,1,0-2"), Ok(Some(vec![8, 1, 0, 2])));
        assert_eq!((numbers("a"), numbers("all")), (Ok(None), Ok(None)));
        for wrong in ["", ",", "1,", "-1", "2-1", "1-", "x", "+1", "8192", "0-99999999", "1 2"] {
            assert!(numbers(wrong).is_err(), "{wrong}");
        }
        let long = ["0-8191"; 3].join(",");
        assert!(numbers(&long).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_list_that_is_too_long(text in "[0-9,a-]{0,40}") {
            if let Ok(list) = text.parse::<CpuList>() {
                prop_assert!(list.numbers().is_none_or(|numbers| numbers.len() <= MAX_CPUS as usize));
            }
        }
    }
}
