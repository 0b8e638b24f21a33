//! Who used the memory when none was left, by the table that the kernel prints before it kills or panics.
//!
//! ```text
//! [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
//! [    188]     0   188   219898   219532    1798144        0             0 eater
//! ```
//!
//! Columns are found by their names: newer kernels split `rss` up, too.
//!
//! Source: `mm/oom_kill.c`.

use crate::{Evidence, Facts, Value};

/// More processes than one machine's log has room for.
const MAX_ROWS: usize = 1 << 16;
const PAGE_KIB: u64 = 4;

/// The process with the most memory of its own.
pub(crate) struct Eater {
    pub(crate) pid: i32,
    pub(crate) comm: String,
    pub(crate) resident_mib: u64,
    pub(crate) evidence: Evidence,
}

/// The largest process of the last table in the log.
pub(crate) fn largest(facts: &Facts<'_>) -> Option<Eater> {
    let header = facts.log.iter().rposition(|line| cells(&line.text).is_some_and(|(pid, _)| pid == "pid"))?;
    let (_, columns) = cells(&facts.log.get(header)?.text)?;
    let columns: Vec<_> = columns.split_ascii_whitespace().collect();
    let rss = columns.iter().position(|column| *column == "rss")?;
    let rows = facts.log.iter().skip(header.saturating_add(1)).take(MAX_ROWS);
    let rows = rows.filter_map(|line| Some((row(&line.text, rss, columns.len())?, line)));
    let ((pid, pages, comm), line) = rows.max_by_key(|((pid, pages, _), _)| (*pages, std::cmp::Reverse(*pid)))?;
    let resident_mib = pages.saturating_mul(PAGE_KIB) / 1024;
    let meaning = format!("pid {pid} had the most memory: {pages} pages");
    let evidence = Evidence::new("kernel log", meaning).value(Value::Text(line.text.clone()));
    Some(Eater { pid, comm, resident_mib, evidence })
}

/// What is in the brackets that a line begins with, and what follows.
fn cells(text: &str) -> Option<(&str, &str)> {
    let (first, rest) = text.strip_prefix('[')?.split_once(']')?;
    Some((first.trim(), rest))
}

/// Process id, resident pages and name of one row; the name is last and may have spaces.
fn row(text: &str, rss: usize, columns: usize) -> Option<(i32, u64, String)> {
    let (pid, rest) = cells(text)?;
    let words: Vec<_> = rest.split_ascii_whitespace().collect();
    let name = words.get(columns.checked_sub(1)?..)?;
    Some((pid.parse().ok()?, words.get(rss)?.parse().ok()?, name.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_by_the_headers_columns() {
        let (pid, columns) = cells("[  pid  ]   uid  tgid total_vm      rss pgtables_bytes name").unwrap();
        let columns: Vec<_> = columns.split_ascii_whitespace().collect();
        assert_eq!((pid, columns.len(), columns[3]), ("pid", 6, "rss"));
        assert_eq!(
            row("[    188]     0   188   219898   219532    1798144 my eater", 3, 6).unwrap(),
            (188, 219_532, "my eater".to_owned())
        );
        for odd in ["[188] 0 188 1", "[x] 0 1 2 3 4 name", "Out of memory: [1]", "", "[1"] {
            assert_eq!(row(odd, 3, 6), None, "{odd}");
        }
    }
}
