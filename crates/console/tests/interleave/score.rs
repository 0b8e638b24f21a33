//! What came out against what was recorded.

use std::collections::{BTreeMap, BTreeSet};

use vmcore_console::Log;

use crate::recorded::Line;
use crate::reports;

/// The lines of one log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Score {
    /// Lines of a CPU's report about itself.
    pub(crate) lines: u64,
    /// Those at their place in that CPU's text. Two CPUs that print the same line one after the other leave no trace of
    /// who was first, and with either answer both texts are as they were printed.
    pub(crate) in_place: u64,
    /// Those that are in that CPU's text with their own line number.
    pub(crate) exact: u64,
    /// Of the lines with a confidence of at least 0.9: how many there are, and how many are in place.
    pub(crate) sure: (u64, u64),
}

impl Score {
    /// Reads the lines without callers.
    pub(crate) fn of(lines: &[Line], timestamps: bool) -> Self {
        let shown = lines.iter().map(|line| match timestamps {
            true => format!("{} {}\n", line.time, line.text),
            false => format!("{}\n", line.text),
        });
        Self::compare(lines, &shown.collect::<String>())
    }

    /// Reads the lines as they are.
    pub(crate) fn with_callers(lines: &[Line]) -> Self {
        let shown = lines.iter().map(|line| format!("{}\n", line.whole));
        Self::compare(lines, &shown.collect::<String>())
    }

    fn compare(lines: &[Line], text: &str) -> Self {
        let log = Log::read(text.as_bytes()).unwrap();
        let mut found: BTreeMap<u64, (Option<u32>, f32)> = BTreeMap::new();
        for trace in &log.traces {
            found.extend(trace.lines.iter().map(|(line, confidence)| (*line, (trace.cpu, *confidence))));
        }
        let of_reports = reports::lines(lines);
        let numbered = || (0u64..).zip(lines).filter(|(number, _)| of_reports.contains(number));
        let cpus: BTreeSet<u32> = lines.iter().filter_map(|line| line.cpu).collect();
        let mut score = Self::default();
        for cpu in cpus {
            let printed: Vec<_> = numbered().filter(|(_, line)| line.cpu == Some(cpu)).collect();
            let given = |number: &u64| found.get(number).filter(|(to, _)| *to == Some(cpu));
            let rebuilt: Vec<_> = numbered().filter(|(number, _)| given(number).is_some()).collect();
            let in_place = common(&printed, &rebuilt);
            score.lines += printed.len() as u64;
            score.in_place += in_place.len() as u64;
            score.exact += printed.iter().filter(|(number, _)| given(number).is_some()).count() as u64;
            if std::env::var_os("VMCORE_CONSOLE_WRONG").is_some() {
                for (number, line) in printed.iter().filter(|(number, _)| given(number).is_none()) {
                    println!("  {number}: of {cpu}, given to {:?}: {}", found.get(number), line.text);
                }
            }
            for (number, line) in &rebuilt {
                let sure = given(number).is_some_and(|(_, confidence)| *confidence >= 0.9);
                score.sure.0 += u64::from(sure);
                score.sure.1 += u64::from(sure && in_place.contains(number));
                if std::env::var_os("VMCORE_CONSOLE_WRONG").is_some() && !in_place.contains(number) {
                    println!("  {number}: of {:?}, given to {cpu} {:?}: {}", line.cpu, given(number), line.text);
                }
            }
        }
        score
    }

    fn share(&self) -> f64 {
        self.in_place as f64 / self.lines as f64 * 100.0
    }

    fn exact_share(&self) -> f64 {
        self.exact as f64 / self.lines as f64 * 100.0
    }
}

/// The numbers of the lines of `rebuilt` in a longest common subsequence of texts.
fn common(printed: &[(u64, &Line)], rebuilt: &[(u64, &Line)]) -> BTreeSet<u64> {
    let (rows, columns) = (printed.len(), rebuilt.len());
    let mut length = vec![vec![0u32; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            length[row][column] = if printed[row].1.text == rebuilt[column].1.text {
                length[row + 1][column + 1] + 1
            } else {
                length[row + 1][column].max(length[row][column + 1])
            };
        }
    }
    let (mut row, mut column, mut numbers) = (0, 0, BTreeSet::new());
    while row < rows && column < columns {
        if printed[row].1.text == rebuilt[column].1.text {
            numbers.insert(rebuilt[column].0);
            (row, column) = (row + 1, column + 1);
        } else if length[row + 1][column] >= length[row][column + 1] {
            row += 1;
        } else {
            column += 1;
        }
    }
    numbers
}

/// The logs of one kind.
pub(crate) struct Total {
    kind: &'static str,
    logs: u64,
    sum: Score,
}

impl Total {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self { kind, logs: 0, sum: Score::default() }
    }

    pub(crate) fn add(&mut self, name: &str, score: Score) {
        println!(
            "{:6.2} % in place, {:6.2} % exact, of {:4} lines  {name}",
            score.share(),
            score.exact_share(),
            score.lines
        );
        self.logs += 1;
        self.sum.lines += score.lines;
        self.sum.in_place += score.in_place;
        self.sum.exact += score.exact;
        self.sum.sure.0 += score.sure.0;
        self.sum.sure.1 += score.sure.1;
    }

    /// Fails below these shares, in percent.
    pub(crate) fn require(&self, logs: u64, in_place: f64, exact: f64) {
        let Self { kind, logs: count, sum } = self;
        let (sure, sure_in_place) = sum.sure;
        println!(
            "{:6.2} % in place, {:6.2} % exact, of {} lines in {count} logs {kind}; of {sure} lines with confidence 0.9 or \
             more {:.2} % are in place",
            sum.share(),
            sum.exact_share(),
            sum.lines,
            sure_in_place as f64 / sure as f64 * 100.0
        );
        assert!(*count >= logs, "only {count} logs");
        assert!(sum.share() >= in_place, "{} of {} lines are in place", sum.in_place, sum.lines);
        assert!(sum.exact_share() >= exact, "{} of {} lines are given to whom printed them", sum.exact, sum.lines);
    }
}
