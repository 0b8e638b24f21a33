//! Single lines of an oops, and of any report that begins with who printed it.
//!
//! Source: `kernel/panic.c`; `arch/x86/kernel/dumpstack.c`, `__die_header()`; `arch/x86/mm/fault.c`, `show_fault_oops()`;
//! `lib/dump_stack.c`, `dump_stack_print_info()`.

use crate::token::Token;

/// The number that `die` gives each oops, as in `Oops: 0002 [#1] PREEMPT SMP`: 1 for the first.
#[must_use]
pub fn oops_number(line: &str) -> Option<u32> {
    line.split_once("[#")?.1.split_once(']')?.0.parse().ok()
}

/// What follows `Kernel panic - not syncing: `.
#[must_use]
pub fn panic_message(text: &str) -> Option<&str> {
    text.strip_prefix("Kernel panic - not syncing: ")
}

/// Whether an oops's headline is that of a page fault.
#[must_use]
pub fn is_page_fault_report(headline: &str) -> bool {
    let begins = ["BUG: kernel NULL pointer dereference", "BUG: unable to handle "];
    begins.iter().any(|begin| headline.starts_with(begin))
}

/// CPU and process id of the line that says who printed a report: `CPU: 0 UID: 0 PID: 201 Comm: fstat/0 …`.
#[must_use]
pub fn cpu_and_pid(line: &str) -> Option<(u32, i32)> {
    match Token::parse(line) {
        Token::Cpu(line) => Some((line.cpu?, i32::try_from(line.pid?).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_an_oops() {
        assert_eq!(oops_number("Oops: 0002 [#12] SMP"), Some(12));
        for line in ["", "[#] ", "[#x]", "[#1", "[1]"] {
            assert_eq!(oops_number(line), None, "{line}");
        }
        assert!(is_page_fault_report("BUG: unable to handle page fault for address: ffff"));
        assert_eq!(cpu_and_pid("CPU: 0 UID: 0 PID: 201 Comm: fstat/0 Kdump: loaded"), Some((0, 201)));
        assert_eq!(cpu_and_pid("CPU: x PID: 201 Comm:"), None);
    }
}
