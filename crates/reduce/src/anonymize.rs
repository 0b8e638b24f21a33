//! The same scenario without names: of tasks, modules and their functions, and whatever else the log's lines say besides what
//! they report. Addresses are others: of user space with the same place in their huge page, of the kernel in the log with the
//! same place in their stack. Thread ids, CPUs and times stay: without them there is no verdict.

use std::collections::BTreeMap;

use vmcore_synth::scenario::{Doing, LogLine, Scenario, Word};

use crate::nameless::without_names;

/// Where user addresses are put.
const FIRST_ADDRESS: u64 = 0x7f00_0000_0000;
/// Functions of this module tell what a CPU does: it runs a guest. They are the kernel's own.
const WELL_KNOWN_MODULE: &str = "kvm";

/// A scenario without names.
#[must_use]
pub fn anonymize(mut scenario: Scenario) -> Scenario {
    let comms = names(scenario.task.iter().map(|task| task.comm.as_str()), "task_");
    let modules = scenario.module.iter().filter(|module| !module.name.starts_with(WELL_KNOWN_MODULE));
    let functions = names(modules.flat_map(|module| module.functions.iter().map(String::as_str)), "module_function_");
    let mut addresses = Addresses::of_pages(huge_page(scenario.page_kib));
    for task in &mut scenario.task {
        rename(&mut task.comm, &comms);
        rename_doing(&mut task.doing, &functions, &mut addresses);
    }
    for mapping in scenario.process.iter_mut().flat_map(|process| &mut process.map) {
        mapping.at = addresses.place(mapping.at);
    }
    for (number, module) in (1..).zip(&mut scenario.module) {
        if !module.name.starts_with(WELL_KNOWN_MODULE) {
            module.name = format!("module_{number}");
            module.functions.iter_mut().for_each(|function| rename(function, &functions));
        }
    }
    for object in &mut scenario.object {
        object.on.iter_mut().for_each(|frame| rename(&mut frame.function, &functions));
        object.set.values_mut().for_each(|word| rename_word(word, &functions));
    }
    scenario.change.iter_mut().for_each(|change| rename_word(&mut change.value, &functions));
    let lines: Vec<LogLine> = std::mem::take(&mut scenario.log);
    scenario.log = without_names(lines, &comms, |address| addresses.place(address));
    scenario
}

/// A new name for each of these, in their order.
fn names<'n>(old: impl Iterator<Item = &'n str>, prefix: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for name in old {
        let next = format!("{prefix}{}", names.len() + 1);
        names.entry(name.to_owned()).or_insert(next);
    }
    names
}

fn rename(name: &mut String, names: &BTreeMap<String, String>) {
    if let Some(new) = names.get(name) {
        new.clone_into(name);
    }
}

fn rename_word(word: &mut Word, functions: &BTreeMap<String, String>) {
    if let Word::Address(reference) = word {
        reference.function.iter_mut().for_each(|function| rename(function, functions));
    }
}

fn rename_doing(doing: &mut Doing, functions: &BTreeMap<String, String>, addresses: &mut Addresses) {
    match doing {
        Doing::Fault { address, calls } | Doing::BetweenFaults { address, calls } => {
            *address = addresses.place(*address);
            calls.iter_mut().for_each(|function| rename(function, functions));
        }
        Doing::UserFault { address } | Doing::WaitOnPage { address } => *address = addresses.place(*address),
        Doing::Exception { calls, handler } => {
            calls.iter_mut().chain(handler).for_each(|function| rename(function, functions));
        }
        Doing::Spin { calls, .. } | Doing::Stack { calls, .. } => {
            calls.iter_mut().for_each(|function| rename(function, functions));
        }
        Doing::Split { .. } | Doing::User | Doing::Sleep | Doing::Loop => {}
    }
}

/// The size of a huge page of a kernel with base pages of so many KiB: what a table of the last level maps.
fn huge_page(page_kib: Option<u32>) -> u64 {
    let page = u64::from(page_kib.unwrap_or(4)) << 10;
    page * page / 8
}

/// New places of huge pages, by the old ones.
struct Addresses {
    huge_page: u64,
    places: BTreeMap<u64, u64>,
}

impl Addresses {
    const fn of_pages(huge_page: u64) -> Self {
        Self { huge_page, places: BTreeMap::new() }
    }

    /// The new address, as far from the start of its huge page as the old one. The pages are not neighbours.
    fn place(&mut self, address: u64) -> u64 {
        let next = FIRST_ADDRESS + self.places.len() as u64 * 2 * self.huge_page;
        let within = address % self.huge_page;
        *self.places.entry(address - within).or_insert(next) + within
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log;

    const SECRETS: &str = r#"
cpus = 2
uptime = 60.0
panicked = 0
log = [
    "Command line: root=/dev/mapper/acme password=hunter2",
    "acme-billing.example.com is up, 10.11.12.13",
    "watchdog: BUG: soft lockup - CPU#0 stuck for 23s! [billing:4711]",
    { at = 59.0, cpu = 0, text = "CPU: 0 PID: 4711 Comm: billing Not tainted 5.14.0-acme #1" },
    { at = 59.0, cpu = 0, text = "Hardware name: AcmeCorp Model-9/SERIAL123, BIOS 1.2" },
    { at = 59.0, cpu = 0, text = "RIP: 0010:acme_poll+0x10/0x20 [acmefs]" },
    { at = 59.0, cpu = 0, text = "RSP: 0018:ffffb1c2c0123e48 EFLAGS: 00000246 RAX: ffff9c8d41234568" },
    { at = 60.0, text = "Kernel panic - not syncing: softlockup: hung tasks" },
]
[[module]]
name = "acmefs"
functions = ["acme_poll"]
[[process]]
name = "process-4711"
map = [{ at = 0x7f2c40000000, entry = "unread" }]
[[task]]
pid = 4711
comm = "billing"
process = "process-4711"
state = "running"
seconds = 23.0
doing = { stack = { calls = ["vfs_ioctl", "acme_poll"] } }
under = "tick"
[[object]]
name = "work-1"
type = "work_struct"
set = { func = { function = "acme_poll" } }
[expect]
issue = "soft-lockup"
confidence = "confirmed"
"#;

    #[test]
    fn no_name_and_no_address_survives() {
        let original = Scenario::parse(SECRETS).unwrap();
        let text = anonymize(original.clone()).to_text().unwrap();
        for secret in [
            "billing", "acme", "Acme", "hunter2", "mapper", "example", "10.11", "SERIAL", "BIOS", "5.14", "ffffb1c2",
            "41234568", "7f2c4", "password",
        ] {
            assert!(!text.contains(secret), "{secret} in\n{text}");
        }
        let kept = Scenario::parse(&text).unwrap();
        assert_eq!(log::reported(&kept.log), log::reported(&original.log), "{text}");
        assert_eq!((kept.task[0].pid, kept.expect), (4711, original.expect));
    }
}
