//! Opens a dump, lists its tasks, and prints the stack of one.
//!
//!     cargo run -p vmcore-kernel --example stacks -- VMCORE VMLINUX [PID]
//!
//! Without a PID: the task that CPU 0 was executing. Names in a dump are untrusted: a program that shows them to people
//! escapes what a terminal would act on, as `vmcore_report::Sanitized` does; here `{:?}` does.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::Dump;
use vmcore_kernel::{Detail, Kernel, Snapshot};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (vmcore, vmlinux, pid) = match arguments.as_slice() {
        [vmcore, vmlinux] => (vmcore, vmlinux, None),
        [vmcore, vmlinux, pid] => (vmcore, vmlinux, Some(pid.parse()?)),
        _ => return Err("usage: stacks VMCORE VMLINUX [PID]".into()),
    };
    let text = stacks(Path::new(vmcore), Path::new(vmlinux), pid)?;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// The tasks of a dump, and the stack of one of them.
fn stacks(vmcore: &Path, vmlinux: &Path, pid: Option<i32>) -> Result<String, Box<dyn Error>> {
    // The two files, each checked as it is read: neither is trusted.
    let dump = Dump::open(vmcore)?;
    let vmlinux = Vmlinux::open(vmlinux)?;
    // Where the kernel was loaded, its page tables, its per-CPU areas.
    let kernel = Kernel::open(&dump, &vmlinux)?;
    // Tasks, run queues and registers as plain data. What could not be read is among its gaps.
    let snapshot = Snapshot::read(&kernel);
    let mut text = String::new();
    for task in &snapshot.tasks {
        writeln!(text, "{:>7} {} CPU {} {:?}", task.pid, task.state.letter(), task.cpu, task.comm)?;
    }
    for gap in &snapshot.gaps {
        writeln!(text, "could not be read: {gap}")?;
    }

    let wanted = match pid {
        Some(pid) => snapshot.tasks.iter().position(|task| task.pid == pid),
        None => snapshot.cpu(0).and_then(|cpu| snapshot.task_index(cpu.run_queue.as_ref()?.current)),
    };
    let wanted = wanted.ok_or("there is no such task")?;
    for stack in snapshot.stacks(&kernel, &[wanted], Detail::Symbols) {
        writeln!(text)?;
        for frame in &stack.frames {
            let function = frame.function().unwrap_or("?");
            writeln!(text, "{} {function} ({})", frame.pc, frame.trust.name())?;
        }
        writeln!(
            text,
            "ends at: {}{}",
            stack.end.name(),
            stack.error.map(|why| format!(", {why}")).unwrap_or_default()
        )?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The dump of a real machine that comes with the sources.
    #[test]
    fn the_spinner_of_a_livelock_is_unwound_to_user_mode() {
        let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/6.1-cloud-amd64");
        let text = stacks(&testdata.join("thp-livelock.vmcore"), &testdata.join("vmlinux.profile"), None).unwrap();
        assert!(text.contains("\"splitter\"") && text.contains(" asm_exc_page_fault (orc)"), "{text}");
        assert!(text.ends_with("ends at: user_mode\n"), "{text}");
    }
}
