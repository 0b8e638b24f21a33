//! The matrix as a table for people: what was expected of each row, what was found, whether that is the same.

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::row::Row;

/// The words of a row, in the order of [`HEADINGS`].
type Line = [String; 6];

const HEADINGS: [&str; 6] = ["SCENARIO", "KERNEL", "FORM", "EXPECTED", "FOUND", "OK"];

/// Runs all rows and prints them in their order. It fails where one is not as expected.
pub(crate) fn print(rows: &[Row]) -> ExitCode {
    let lines = run_all(rows);
    let widths = HEADINGS.map(str::len);
    let widths = lines
        .iter()
        .fold(widths, |widths, line| std::array::from_fn(|column| widths[column].max(line[column].chars().count())));
    print_line(&HEADINGS.map(str::to_owned), &widths);
    lines.iter().for_each(|line| print_line(line, &widths));
    let wrong = lines.iter().filter(|line| line[5] != "yes").count();
    println!("\n{} rows, {} as expected, {wrong} not", lines.len(), lines.len() - wrong);
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_line(line: &Line, widths: &[usize; 6]) {
    let cells: Vec<_> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    println!("{}", cells.join("  ").trim_end());
}

/// All rows, several at a time.
fn run_all(rows: &[Row]) -> Vec<Line> {
    let next = AtomicUsize::new(0);
    let lines = Mutex::new(Vec::new());
    let work = || {
        while let Some((index, row)) = take(rows, &next) {
            let line = run(row);
            lines.lock().unwrap_or_else(PoisonError::into_inner).push((index, line));
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let mut lines = lines.into_inner().unwrap_or_else(PoisonError::into_inner);
    lines.sort_by_key(|(index, _)| *index);
    lines.into_iter().map(|(_, line)| line).collect()
}

fn take<'r>(rows: &'r [Row], next: &AtomicUsize) -> Option<(usize, &'r Row)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    rows.get(index).map(|row| (index, row))
}

fn run(row: &Row) -> Line {
    let (expected, found, ok) = match row.run() {
        Ok(outcome) if outcome.is_as_expected() => (outcome.expected.to_string(), "the same".to_owned(), "yes"),
        Ok(outcome) => (outcome.expected.to_string(), outcome.found.to_string(), "NO"),
        Err(error) => (String::new(), error.to_string(), "NO"),
    };
    [row.scenario.to_owned(), row.kernel.to_owned(), row.form.to_owned(), expected, found, ok.to_owned()]
}
