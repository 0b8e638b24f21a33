//! `info`: what the dump is of. The text has the form of `crash`'s `sys`.

use std::fmt::Display;
use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_inspect::state::{Listing, Missing, TaintingModule, Unread};

use crate::duration::{Date, Uptime};
use crate::machine::{Dump, Kernel, Panic};
use crate::{Gap, Hex, Painted, Report, Sanitized, Theme};

/// What the dump is of.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Info")]
pub struct Info<'a> {
    /// The dump file.
    pub dump: Dump,
    /// The kernel.
    pub kernel: Kernel,
    /// What describes the kernel.
    pub debuginfo: DebugInfo,
    /// The panic.
    pub panic: Panic,
    /// How long the machine had been up.
    pub uptime_ns: Option<u64>,
    /// When it stopped, in seconds since 1970, by its own clock: as the kernel wrote it down when it crashed, else as its
    /// timekeeper and uptime tell.
    pub crash_time: Option<i64>,
    /// Tasks, idle tasks among them; null without debug information.
    pub tasks: Option<usize>,
    /// What else the machine was.
    pub machine: Machine,
    /// What could not be read.
    pub gaps: Vec<Gap<'a>>,
}

/// The machine as its kernel knew it. What could not be read is null.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Machine {
    /// The kernel's command line.
    pub command_line: Option<String>,
    /// The load average over 1, 5 and 15 minutes.
    pub load: Option<Vec<f64>>,
    /// Memory that the kernel manages, in bytes.
    pub memory_total: Option<u64>,
    /// Of that, what was free.
    pub memory_free: Option<u64>,
    /// The taint mask.
    pub taint: Option<Hex>,
    /// Its letters: `O` a module out of tree, `D` an oops before, `L` a soft lockup before, and so on; empty where the
    /// kernel is not tainted.
    pub taint_letters: Option<String>,
    /// The loaded modules that taint the kernel.
    pub tainting_modules: Listing<TaintingModule>,
    /// Vendor and product.
    pub hardware: Option<String>,
    /// The firmware's vendor, version and date.
    pub firmware: Option<String>,
    /// The model of the boot CPU.
    pub processor: Option<String>,
    /// What could not be read of the modules that taint the kernel.
    pub gaps: Vec<Missing>,
}

impl From<vmcore_inspect::Machine> for Machine {
    fn from(machine: vmcore_inspect::Machine) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a load average in hundredths is small")]
        let load = machine.load.map(|load| load.iter().map(|&hundredths| hundredths as f64 / 100.0).collect());
        Self {
            command_line: machine.command_line,
            load,
            memory_total: machine.memory_total,
            memory_free: machine.memory_free,
            taint: machine.taint.map(Hex),
            taint_letters: machine.taint_letters,
            tainting_modules: machine.tainting_modules,
            hardware: machine.hardware,
            firmware: machine.firmware,
            processor: machine.processor,
            gaps: machine.gaps,
        }
    }
}

/// More modules than anybody reads in a row.
const MAX_MODULES: usize = 8;

impl Machine {
    /// The load average.
    pub(crate) fn load_text(&self) -> Option<String> {
        self.load.as_ref().map(|load| load.iter().map(|one| format!("{one:.2}")).collect::<Vec<_>>().join(", "))
    }

    /// How much memory there is, and how much of it was free.
    pub(crate) fn memory_text(&self) -> Option<String> {
        let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
        let free = self.memory_free.map(|free| format!(", {} free", mib(free))).unwrap_or_default();
        self.memory_total.map(|total| format!("{}{free}", mib(total)))
    }

    /// The taint's letters and the modules that are the reason.
    pub(crate) fn taint_text(&self) -> Option<String> {
        let found = self.tainting_modules.found();
        let modules: Vec<_> =
            found.iter().take(MAX_MODULES).map(|one| format!("{} [{}]", one.name, one.taints)).collect();
        let more = found.len().saturating_sub(modules.len());
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let mut by = if modules.is_empty() { String::new() } else { format!(", by {}{more}", modules.join(", ")) };
        if let Some(Unread { first, .. }) = self.tainting_modules.unread() {
            by.push_str(&format!("; modules not read: {}: {}", first.what, first.why));
        }
        self.taint_letters.as_ref().map(|letters| match (letters.as_str(), self.taint) {
            ("", _) | (_, None) => "none".to_owned(),
            (letters, Some(mask)) => format!("{letters} ({mask}){by}"),
        })
    }

    /// Its rows: what cannot be read is said to be missing, not left out as if there were none.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let rows = [
            ("LOAD AVERAGE", self.load_text()),
            ("MEMORY", self.memory_text()),
            ("TAINT", self.taint_text()),
            ("HARDWARE", self.hardware.clone()),
            ("FIRMWARE", self.firmware.clone()),
            ("PROCESSOR", self.processor.clone()),
            ("CMDLINE", self.command_line.clone()),
        ];
        let missing = || "(unknown)".to_owned();
        rows.into_iter().map(|(name, value)| (name, value.unwrap_or_else(missing))).collect()
    }
}

/// What describes the kernel.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DebugInfo {
    /// Its kind: `vmlinux`, `profile`, `dump` where no file was found and the dump's own tables serve, or `none` where
    /// those do not either and only VMCOREINFO is left.
    pub source: &'static str,
    /// The file; with `dump` and `none` the dump itself.
    pub path: String,
    /// Its build-id, in hexadecimal.
    pub build_id: Option<String>,
    /// Whether it is of the dump's kernel, by build-id or else by banner; null where neither could be compared.
    pub matches: Option<bool>,
}

impl Report for Info<'_> {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let Self { dump, kernel, debuginfo, panic, .. } = self;
        let unknown = || "(unknown)".to_owned();
        let count = |count: Option<usize>| count.map_or_else(unknown, |count| count.to_string());
        let text = |text: &Option<String>| text.clone().unwrap_or_else(unknown);
        let mut rows = vec![
            ("DEBUGINFO", debuginfo_file(debuginfo)),
            ("DUMPFILE", format!("{}  [{} from {}]", dump.path, dump.format, dump.source)),
            ("PAGES", pages(dump)),
            ("REGISTERS", registers(dump, kernel)),
            ("CPUS", count(kernel.cpus)),
        ];
        if let Some(seconds) = self.crash_time {
            rows.push(("DATE", Date(seconds).to_string()));
        }
        rows.extend([
            ("UPTIME", self.uptime_ns.map_or_else(unknown, |ns| Uptime(ns).to_string())),
            ("TASKS", count(self.tasks)),
            ("STACKS", kernel.stacks.as_ref().map_or_else(unknown, ToString::to_string)),
            ("MODULES", modules(kernel)),
            ("NODENAME", text(&kernel.nodename)),
            ("RELEASE", text(&kernel.release)),
            ("VERSION", text(&kernel.version)),
            ("MACHINE", kernel.arch.to_owned()),
            ("BUILD-ID", build_id(kernel, debuginfo)),
            ("KASLR", format!("{} ({} page-table levels)", kernel.kaslr_offset, kernel.page_levels)),
        ]);
        rows.extend(self.machine.rows());
        rows.push(("PANIC", panic_line(panic)));
        rows.iter().try_for_each(|(name, value)| write_row(name, value, out, theme))
    }
}

fn write_row(name: &str, value: impl Display, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let name = format_args!("{name:>12}");
    writeln!(out, "{}: {}", Painted(theme.heading, name), Sanitized::new(&value.to_string()))
}

fn debuginfo_file(debuginfo: &DebugInfo) -> String {
    match debuginfo.source {
        "dump" => format!("{}  [the dump's own tables: no source lines]", debuginfo.path),
        "none" => format!("{}  [VMCOREINFO alone: no stacks, no tasks, no modules]", debuginfo.path),
        _ => debuginfo.path.clone(),
    }
}

fn pages(dump: &Dump) -> String {
    let mut text = format!("{} ({} MiB)", dump.pages, dump.pages / 256);
    if let Some(excluded @ 1..) = dump.excluded_pages {
        text.push_str(&format!(", {excluded} left out by its writer"));
    }
    if let Some(level) = dump.dump_level {
        text.push_str(&format!(" (dump level {level})"));
    }
    if let Some(reason) = &dump.incomplete_reason {
        text.push_str(&format!("  [INCOMPLETE: {reason}]"));
    }
    text
}

fn registers(dump: &Dump, kernel: &Kernel) -> String {
    let cpus: Vec<_> = dump.cpus_with_registers.iter().map(u32::to_string).collect();
    match (cpus.len(), kernel.cpus) {
        (_, None) => "(unknown)".to_owned(),
        (0, _) => "of no CPU".to_owned(),
        (some, Some(all)) if some == all => "of all CPUs".to_owned(),
        (some, Some(all)) => format!("of {some} of {all} CPUs: {}", cpus.join(", ")),
    }
}

fn modules(kernel: &Kernel) -> String {
    match kernel.modules {
        None => "(unknown)".to_owned(),
        Some(found) if kernel.more_modules => format!("{found} or more"),
        Some(all) => all.to_string(),
    }
}

fn build_id(kernel: &Kernel, debuginfo: &DebugInfo) -> String {
    let id = kernel.build_id.as_deref().or(debuginfo.build_id.as_deref()).unwrap_or("(none)");
    let comparison = match debuginfo.matches {
        Some(true) => "the debug information matches",
        Some(false) => "the debug information does NOT match",
        None => "whether the debug information matches cannot be told",
    };
    format!("{id} ({comparison})")
}

fn panic_line(panic: &Panic) -> String {
    let Some(message) = &panic.message else { return "(none found)".to_owned() };
    let first = message.lines().next().unwrap_or_default();
    match (panic.cpu, panic.pid) {
        (Some(cpu), Some(pid)) => format!("\"{first}\" (CPU {cpu}, pid {pid})"),
        (Some(cpu), None) => format!("\"{first}\" (CPU {cpu})"),
        _ => format!("\"{first}\""),
    }
}
