//! The real binary on dumps of real kernels, against what the guests said before they died.
//!
//! ```text
//! VMCORE_LAB_DUMPS=DIR cargo test --release --features lab-tests --test lab
//! ```
//!
//! `DIR` has one directory for each dump, as `scripts/lab/lab dump -o DIR/NAME` makes them. Every dump gets the same
//! checks; the expected answers come from its `truth.json` alone. Part of a name (`livelock`, `/verdict`) as argument
//! runs only what has it in its own.

// All of this is test code, which clippy does not see in helpers.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod agreement;
mod arm64;
mod damage;
mod debug_files;
mod fallback_tables;
mod granted;
#[path = "../support/healthy.rs"]
mod healthy;
#[path = "../support/holed.rs"]
mod holed;
mod kernels_table;
mod lab_dump;
mod module_files;
mod no_vmcoreinfo;
mod omission;
mod other_problems;
mod program;
mod reduced;
mod secrets;
mod stacks;
mod state;
mod storage;
mod verdict;

use std::process::ExitCode;
use std::sync::Arc;

use lab_dump::{LabDump, Scenario};
use libtest_mimic::{Arguments, Trial};

type Check = fn(&LabDump);

/// What every dump must show.
const CHECKS: [(&str, Check); 18] = [
    ("verdict", verdict::is_the_truth),
    ("verdict_text", verdict::text_says_the_same),
    ("other_problems", other_problems::are_not_invented),
    ("stacks", stacks::are_whole),
    ("threads", stacks::do_not_depend_on_threads),
    ("tasks", state::tasks),
    ("run_queues", state::run_queues),
    ("log", state::log),
    ("log_and_dump", agreement::of_log_and_dump),
    ("info", state::info),
    ("storage", storage::is_told),
    ("wait_queues", state::wait_queues),
    ("left_out", omission::is_named),
    ("holes", omission::makes_no_hang_healthy),
    ("without_debug_file", fallback_tables::without_debug_file),
    ("truncated", damage::truncated),
    ("reduced", reduced::gets_the_same_verdict),
    ("secrets", secrets::are_not_distilled),
];

/// What every dump of an x86-64 machine must show besides.
const X86_64_CHECKS: [(&str, Check); 2] =
    [("without_vmcoreinfo", no_vmcoreinfo::same_answers), ("kernels_table", kernels_table::is_as_in_the_guide)];

/// What every dump of an arm64 machine must show besides.
const ARM64_CHECKS: [(&str, Check); 4] = [
    ("without_vmcoreinfo", arm64::without_vmcoreinfo),
    ("code_is_shown", arm64::code_is_shown),
    ("spinners_fault", arm64::spinners_fault),
    ("kernel_addresses", arm64::kernel_addresses),
];

fn main() -> ExitCode {
    if std::env::args().skip(1).eq(["table".to_owned()]) {
        return kernels_table::print();
    }
    let arguments = Arguments::from_args();
    let dumps = lab_dump::all().into_iter().map(Arc::new);
    let (of_arm64, dumps): (Vec<_>, Vec<_>) = dumps.partition(|dump| dump.is_of_arm64());
    let mut trials: Vec<_> = dumps.iter().flat_map(trials_of).collect();
    trials.extend(
        of_arm64.iter().flat_map(|dump| CHECKS.into_iter().chain(ARM64_CHECKS).map(|check| trial(dump, check))),
    );
    trials.extend(of_arm64.iter().filter_map(|dump| Some(trial(dump, with_module_files(dump)?))));
    trials.extend(of_arm64.iter().filter_map(other_forms));
    trials.push(other_kernel(&dumps));
    trials.extend(debug_files::one_of_each_kernel(&dumps).into_iter().map(|dump| {
        let name = format!("{}/debug_files", dump.name);
        Trial::test(name, move || {
            debug_files::of_all_forms(&dump);
            Ok(())
        })
    }));
    trials.extend(lab_dump::without_vmlinux().into_iter().map(|dump| {
        Trial::test(format!("{}/verdict_without_vmlinux", dump.name), move || {
            verdict::is_the_truth(&dump);
            kernels_table::is_as_in_the_guide(&dump);
            Ok(())
        })
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials_of(dump: &Arc<LabDump>) -> Vec<Trial> {
    let mut checks = [CHECKS.as_slice(), &X86_64_CHECKS].concat();
    if dump.truth.scenario == Scenario::ThpLivelock {
        checks.push(("fault_address", state::fault_address));
    }
    checks.extend(with_module_files(dump));
    if granted::is(dump) {
        checks.retain(|(name, _)| !granted::NOT_OF_SUCH.contains(name));
        checks.push(("granted", granted::is_the_livelock));
    }
    checks.into_iter().map(|check| trial(dump, check)).chain(other_forms(dump)).collect()
}

/// Dumps that were made before the lab kept modules have none.
fn with_module_files(dump: &LabDump) -> Option<(&'static str, Check)> {
    let has_files = dump.truth.scenario == Scenario::SoftLockup && module_files::directory(dump).is_some();
    has_files.then_some(("module_files", module_files::give_lines as Check))
}

fn other_forms(dump: &Arc<LabDump>) -> Option<Trial> {
    (!dump.others.is_empty()).then(|| trial(dump, ("other_forms", verdict::other_forms_say_the_same)))
}

fn trial(dump: &Arc<LabDump>, (name, check): (&str, Check)) -> Trial {
    let name = format!("{}/{name}", dump.name);
    let dump = Arc::clone(dump);
    Trial::test(name, move || {
        check(&dump);
        Ok(())
    })
}

/// A dump with the vmlinux of another kernel. Shown as ignored where all dumps are of one kernel.
fn other_kernel(dumps: &[Arc<LabDump>]) -> Trial {
    let pair = dumps.iter().find_map(|dump| {
        let other = dumps.iter().find(|other| other.truth.release != dump.truth.release)?;
        Some((Arc::clone(dump), Arc::clone(other)))
    });
    let ignored = pair.is_none();
    let test = move || {
        let (dump, other) = pair.ok_or("all dumps are of one kernel")?;
        damage::other_kernel(&dump, &other);
        Ok(())
    };
    Trial::test("vmlinux_of_another_kernel", test).with_ignored_flag(ignored)
}
