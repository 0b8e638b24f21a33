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

/// More processes than one machine's log has room for.
const MAX_ROWS: usize = 1 << 16;

/// A process of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomRow {
    /// Its id.
    pub pid: i32,
    /// Its name: untrusted.
    pub comm: String,
    /// Its resident pages.
    pub pages: u64,
    /// The line that says so, counted from 0.
    pub line: usize,
}

/// The process with the most memory of its own in the last table of a log.
#[must_use]
pub fn largest_process(lines: &[&str]) -> Option<OomRow> {
    let header = lines.iter().rposition(|line| cells(line).is_some_and(|(pid, _)| pid == "pid"))?;
    let (_, columns) = cells(lines.get(header)?)?;
    let columns: Vec<_> = columns.split_ascii_whitespace().collect();
    let rss = columns.iter().position(|column| *column == "rss")?;
    let rows = lines.iter().enumerate().skip(header.saturating_add(1)).take(MAX_ROWS);
    let rows = rows.filter_map(|(line, text)| {
        let (pid, pages, comm) = row(text, rss, columns.len())?;
        Some(OomRow { pid, comm, pages, line })
    });
    rows.max_by_key(|row| (row.pages, std::cmp::Reverse(row.pid)))
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
