//! Every scenario on every generation of kernels: the program must come to the verdict that the scenario says.
//!
//! One test for each row, `SCENARIO on KERNEL`, and one for each form of dump; `--list` prints them. Where the log of a row
//! says something, `dmesg | log` must not say more than `analyze`, and members of structures that evidence names have their
//! addresses. As a table, with what
//! was expected and what was found:
//!
//! ```text
//! cargo test --test matrix -- table
//! ```

// All of this is test code, which clippy does not see in helpers.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "../support/agreement.rs"]
mod agreement;
mod alone;
mod evidence;
mod guide;
mod logs;
mod row;
mod table;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use row::Row;

fn main() -> ExitCode {
    if std::env::args().skip(1).eq(["table".to_owned()]) {
        return table::print(&Row::all());
    }
    let arguments = Arguments::from_args();
    let mut trials: Vec<_> =
        Row::all().into_iter().map(|row| Trial::test(row.to_string(), move || check(&row))).collect();
    trials.extend(logs::trials());
    trials.extend(alone::trials());
    trials.push(Trial::test("the user guide has every scenario", guide::check));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn check(row: &Row) -> Result<(), Failed> {
    let outcome = row.run()?;
    if let Some(why) = outcome.disagreement {
        return Err(format!("the log says what the dump does not: {why}").into());
    }
    if !outcome.without_address.is_empty() {
        return Err(format!("evidence without an address: {}", outcome.without_address.join(", ")).into());
    }
    if outcome.is_as_expected() {
        return Ok(());
    }
    Err(format!("expected {}\nfound    {}\n{}", outcome.expected, outcome.found, outcome.why).into())
}
