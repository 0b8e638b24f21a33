//! What a line of the log is, by its text alone.
//!
//! Source: `lib/dump_stack.c`, `dump_stack_print_info()` (the line with CPU, task and release); `kernel/module/main.c`,
//! `print_modules()`; `arch/x86/kernel/dumpstack.c`, `show_trace_log_lvl()` (the trace and the stacks' names).

use crate::event::Event;
use crate::frame::{Entry, Marker};
use crate::registers::{Rip, Row};

/// A line of a report, or any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A report begins, or a new part of it: lockup, oops, warning, panic.
    Event(Event),
    /// `Modules linked in: …`
    Modules,
    /// More of them, when another CPU printed in between. [`module_names`] takes both apart.
    MoreModules,
    /// `CPU: 3 PID: 149 Comm: …`
    Cpu(CpuLine),
    /// `Tainted: [O]=OOT_MODULE, …`
    Taints,
    /// `Hardware name: …`, `Workqueue: …`
    Hardware,
    Rip(Rip),
    Code,
    Row(Row),
    /// Nothing: what is left of a line that was ended after another CPU had printed.
    Blank,
    CallTrace,
    Marker(Marker),
    Frame(Entry),
    /// `---[ end trace … ]---`
    End,
    Other,
}

/// Who printed a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuLine {
    pub(crate) cpu: Option<u32>,
    pub(crate) pid: Option<u32>,
    pub(crate) comm: Option<String>,
    pub(crate) taint: Option<String>,
    pub(crate) release: Option<String>,
    pub(crate) version: Option<String>,
}

impl Token {
    pub(crate) fn parse(text: &str) -> Self {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Self::Blank;
        }
        if let Some(event) = Event::parse(trimmed) {
            return Self::Event(event);
        }
        if let Some(line) = CpuLine::number(text) {
            return Self::Cpu(line);
        }
        dump_line(trimmed).or_else(|| trace_line(text, trimmed)).unwrap_or(Self::Other)
    }
}

/// A line of the part above the call trace.
fn dump_line(text: &str) -> Option<Token> {
    if text.starts_with("Modules linked in:") {
        return Some(Token::Modules);
    }
    if text.starts_with("Hardware name: ") || text.starts_with("Workqueue: ") {
        return Some(Token::Hardware);
    }
    if text.starts_with("Tainted: [") {
        return Some(Token::Taints);
    }
    if text.starts_with("Code: ") {
        return Some(Token::Code);
    }
    if let Some(line) = CpuLine::parse(text) {
        return Some(Token::Cpu(line));
    }
    Rip::parse(text).map(Token::Rip).or_else(|| Row::parse(text).map(Token::Row))
}

/// A line of the call trace.
fn trace_line(text: &str, trimmed: &str) -> Option<Token> {
    // Between 4.14 and 5.x some kernels printed "Call Trace:" and the first stack on one line; since 6.x an empty level.
    if matches!(trimmed, "Call Trace:" | "Call trace:" | "Backtrace:" | "Call Trace: (unreliable)") {
        return Some(Token::CallTrace);
    }
    if trimmed.starts_with("---[ end ") {
        return Some(Token::End);
    }
    let (markers, rest) = markers(trimmed);
    if let Some(entry) = Entry::parse(rest, &markers) {
        return Some(Token::Frame(entry));
    }
    if let Some(marker) = markers.into_iter().next_back().filter(|_| rest.is_empty()) {
        return Some(Token::Marker(marker));
    }
    is_modules(text, trimmed).then_some(Token::MoreModules)
}

/// More of them than stand on one line.
const MAX_MARKERS: usize = 4;

/// ` <<EOE>>  <IRQ>  [<ffffffff81000000>] f+0x1/0x2`: all that stand before an entry.
fn markers(text: &str) -> (Vec<Marker>, &str) {
    let (mut markers, mut rest) = (Vec::new(), text);
    while let (Some(found), behind) = marker(rest)
        && markers.len() < MAX_MARKERS
    {
        markers.push(found);
        rest = behind;
    }
    (markers, rest)
}

/// `<IRQ>`, `</IRQ>`, `<#DF>`; before 4.9 also `<<EOE>>` and `<EOI>`, with an entry behind them.
fn marker(text: &str) -> (Option<Marker>, &str) {
    let split = text.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    let Some((name, rest)) = split else { return (None, text) };
    let rest = rest.strip_prefix('>').unwrap_or(rest).trim_start();
    let (name, close) = name.strip_prefix('/').map_or((name, false), |name| (name, true));
    let name = name.strip_prefix('<').unwrap_or(name);
    let known = matches!(name, "IRQ" | "TASK" | "NMI" | "SOFTIRQ" | "ENTRY_TRAMPOLINE" | "EOI" | "EOE" | "UNK");
    // Exception stacks: `#DF`, `#DB`, `#MC`, `#VC`, `#VC2`.
    if !known && !name.starts_with('#') || name.len() > 16 {
        return (None, text);
    }
    let close = close || matches!(name, "EOI" | "EOE");
    (Some(if close { Marker::Close(name.to_owned()) } else { Marker::Open(name.to_owned()) }), rest)
}

/// The names of modules on a line of either kind, with their taint flags: `isst_if_common(OE)`.
pub(crate) fn module_names(text: &str) -> impl Iterator<Item = &str> {
    let names = text.trim().trim_start_matches("Modules linked in:");
    names.split("[last unloaded:").next().unwrap_or_default().split_ascii_whitespace()
}

/// Names of modules, indented by one blank: `print_modules()` prints each by itself.
fn is_modules(text: &str, trimmed: &str) -> bool {
    let name = |word: &str| {
        let (name, flags) = word.split_once('(').unwrap_or((word, ")"));
        let flags = flags.strip_suffix(')');
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        !name.is_empty()
            && name.chars().all(lower)
            && flags.is_some_and(|flags| flags.chars().all(|c| c.is_ascii_uppercase() || matches!(c, '+' | '-')))
    };
    text.starts_with(' ')
        && !text.starts_with("  ")
        && trimmed.split("[last unloaded:").next().is_some_and(|names| names.split_ascii_whitespace().all(name))
}

impl CpuLine {
    /// `CPU: 2 UID: 0 PID: 201 Comm: fstat/2 Kdump: loaded Tainted: G     OE   6.12.117 #1  Debian …`, to 3.9
    /// `Pid: 201, comm: fstat/2 Not tainted 2.6.32 #1` and `CPU 2`. A name may have any character in it: it ends where
    /// what must follow begins, the last time that is there.
    fn parse(text: &str) -> Option<Self> {
        if let Some((pid, rest)) = text.strip_prefix("Pid: ").and_then(|rest| rest.split_once(", comm: ")) {
            return Some(Self { pid: Some(pid.trim().parse().ok()?), ..Self::of_comm(rest) });
        }
        let (cpu, rest) = text.strip_prefix("CPU: ")?.split_once(' ')?;
        let cpu = Some(cpu.parse().ok()?);
        let rest = rest.trim_start();
        // ARM, to 3.10: `CPU: 0    Not tainted  (2.6.37 #1)`.
        if rest.starts_with("Not tainted") || rest.starts_with("Tainted: ") {
            let line = Self::of_comm(&format!(" {}", rest.replace(['(', ')'], " ")));
            return Some(Self { cpu, comm: None, ..line });
        }
        let rest = match rest.strip_prefix("UID: ") {
            Some(rest) => rest.split_once(' ')?.1,
            None => rest,
        };
        let (pid, rest) = rest.strip_prefix("PID: ")?.split_once(' ')?;
        let rest = rest.strip_prefix("Comm: ").or_else(|| rest.strip_prefix("comm: "))?;
        Some(Self { cpu, pid: Some(pid.parse().ok()?), ..Self::of_comm(rest) })
    }

    /// To 3.9 the CPU stands by itself.
    fn number(text: &str) -> Option<Self> {
        let cpu = text.strip_prefix("CPU ")?.trim_end().parse().ok()?;
        Some(Self { cpu: Some(cpu), ..Self::default() })
    }

    /// From the name on.
    fn of_comm(text: &str) -> Self {
        let (comm, taint, rest) = split_comm(text);
        let (release, version) = release(rest);
        // The line may have been cut in the middle of what follows the name.
        let comm = comm.rsplit_once(" Kdump: ").map_or(comm, |(comm, _)| comm).trim_end();
        Self { comm: (!comm.is_empty()).then(|| comm.to_owned()), taint, release, version, ..Self::default() }
    }
}

/// The name, the taint flags, and what follows them.
fn split_comm(text: &str) -> (&str, Option<String>, &str) {
    if let Some((comm, rest)) = text.rsplit_once(" Not tainted ") {
        return (comm, Some(String::new()), rest);
    }
    let Some((comm, rest)) = text.rsplit_once(" Tainted: ") else { return (text, None, "") };
    let (flags, rest) = flags(rest);
    (comm, Some(flags), rest)
}

/// The letters, and what follows them. Red Hat's kernels print dashes for the flags of theirs that are not set.
fn flags(mut rest: &str) -> (String, &str) {
    let mut flags = String::new();
    loop {
        let line = rest.trim_start();
        // A line without a release ends with them.
        let (word, after) = line.split_once(' ').unwrap_or((line, ""));
        if word.is_empty() || !word.chars().all(|letter| letter.is_ascii_uppercase() || letter == '-') {
            break;
        }
        flags.extend(word.chars().filter(char::is_ascii_uppercase));
        rest = after;
    }
    (flags, rest.trim_start())
}

/// `uname -r`, which begins with a digit, and the build.
fn release(text: &str) -> (Option<String>, Option<String>) {
    let text = text.trim_start_matches(['-', ' ']);
    let mut words = text.splitn(2, ' ').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty());
    let release = words.next().filter(|release| release.starts_with(|letter: char| letter.is_ascii_digit()));
    let version = release.is_some().then(|| words.next()).flatten();
    (release, version)
}

/// What a line without a task tells of the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NamedKernel {
    /// `uname -r`.
    pub(crate) release: Option<String>,
    /// The build, from its `#` on.
    pub(crate) version: Option<String>,
    /// The taint flags; empty where it is not tainted.
    pub(crate) taint: Option<String>,
}

/// The kernel that a line without a task names: of hung tasks `      Tainted: P  OE  6.8.0-86-generic #87`, of
/// lockdep `6.1.0-rc1 #1 Not tainted`.
pub(crate) fn named_kernel(text: &str) -> Option<NamedKernel> {
    let text = text.trim();
    if text.starts_with("Tainted: ") || text.starts_with("Not tainted ") {
        let line = CpuLine::of_comm(&format!(" {text}"));
        let CpuLine { release, version, taint, .. } = line;
        return release.is_some().then_some(NamedKernel { release, version, taint });
    }
    let (release, rest) = text.split_once(" #")?;
    let is_release = release.starts_with(|letter: char| letter.is_ascii_digit()) && !release.contains(' ');
    let (build, taint) = rest.split_once(' ')?;
    let taint = match taint.trim().strip_prefix("Tainted: ") {
        Some(letters) => flags(&format!("{letters} ")).0,
        None => taint.trim().eq("Not tainted").then(String::new)?,
    };
    (is_release && build.bytes().all(|byte| byte.is_ascii_digit())).then(|| NamedKernel {
        release: Some(release.to_owned()),
        version: Some(format!("#{build}")),
        taint: Some(taint),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(text: &str) -> CpuLine {
        let Token::Cpu(line) = Token::parse(text) else { panic!("{text}") };
        line
    }

    #[test]
    fn who_printed() {
        let line =
            cpu("CPU: 6 PID: 28355 Comm: split_v2 Kdump: loaded Tainted: G             L    4.19.91-19.1.al7 #1");
        assert_eq!((line.cpu, line.pid, line.comm.as_deref()), (Some(6), Some(28355), Some("split_v2")));
        assert_eq!((line.taint.as_deref(), line.release.as_deref()), (Some("GL"), Some("4.19.91-19.1.al7")));
        let line = cpu("CPU: 2 UID: 0 PID: 201 Comm: a b: c Not tainted 6.12.1 #1  Debian 6.12");
        let comm = |line: &CpuLine| line.comm.clone().unwrap_or_default();
        assert_eq!(
            (line.pid, comm(&line).as_str(), line.version.as_deref()),
            (Some(201), "a b: c", Some("#1  Debian 6.12"))
        );
        assert_eq!(comm(&cpu("CPU: 2 PID: 1 Comm: cut off")), "cut off");
        assert_eq!(comm(&cpu("CPU: 2 PID: 1 Comm: cut off Kdump: loa")), "cut off");
        assert_eq!(cpu("CPU 20 "), CpuLine { cpu: Some(20), ..CpuLine::default() });
        let arm = cpu("CPU: 0    Not tainted  (2.6.37 #1)");
        assert_eq!((arm.cpu, arm.release.as_deref(), arm.comm), (Some(0), Some("2.6.37"), None));
    }

    #[test]
    fn dashes_are_no_release() {
        for (tail, flags, release) in [
            ("Tainted: G           --L------------    2.6.32-642.el6.x86_64 #1", "GL", "2.6.32-642.el6.x86_64"),
            ("Tainted: G           OE  ------------   3.10.0-957.el7.x86_64 #1", "GOE", "3.10.0-957.el7.x86_64"),
            ("Tainted: G        W      ------------ T 3.10.0-693.el7.x86_64 #1", "GWT", "3.10.0-693.el7.x86_64"),
            (
                "Tainted: G           OE    --------- -  - 4.18.0-193.13.2.el8_2.x86_64 #1",
                "GOE",
                "4.18.0-193.13.2.el8_2.x86_64",
            ),
            // Some vendors print nothing after the flags.
            ("Tainted: G           OE     ", "GOE", ""),
            ("Not tainted ------------   3.10.0-957.el7.x86_64 #1", "", "3.10.0-957.el7.x86_64"),
        ] {
            let line = cpu(&format!("CPU: 3 PID: 4242 Comm: worker Kdump: loaded {tail}"));
            let release = Some(release).filter(|release| !release.is_empty());
            assert_eq!((line.taint.as_deref(), line.release.as_deref()), (Some(flags), release), "{tail}");
            let line = cpu(&format!("Pid: 4242, comm: worker {tail}"));
            assert_eq!(
                (line.pid, line.comm.as_deref(), line.release.as_deref()),
                (Some(4242), Some("worker"), release)
            );
        }
        let kernel = |text| {
            named_kernel(text).map(|kernel| (kernel.release.unwrap_or_default(), kernel.taint.unwrap_or_default()))
        };
        assert_eq!(
            kernel("      Tainted: P           OE      6.8.0-86-generic #87-Ubuntu"),
            Some(("6.8.0-86-generic".to_owned(), "POE".to_owned()))
        );
        assert_eq!(kernel("6.1.0-rc1 #1 Not tainted"), Some(("6.1.0-rc1".to_owned(), String::new())));
        assert_eq!(kernel("6.1.0-rc1 #1 Tainted: G        W"), Some(("6.1.0-rc1".to_owned(), "GW".to_owned())));
        assert_eq!(kernel("6 apples #1 of a list"), None);
    }

    #[test]
    fn names_of_modules() {
        let names = |text| module_names(text).collect::<Vec<_>>();
        assert_eq!(names("Modules linked in: a_b c(OE) [last unloaded: d]"), ["a_b", "c(OE)"]);
        assert_eq!(names(" mousedev usbhid"), ["mousedev", "usbhid"]);
        assert_eq!(names("Modules linked in:"), [""; 0]);
    }

    #[test]
    fn lines_of_a_trace() {
        assert_eq!(Token::parse("Call Trace:"), Token::CallTrace);
        assert_eq!(Token::parse(" <IRQ>"), Token::Marker(Marker::Open("IRQ".to_owned())));
        assert_eq!(Token::parse(" </TASK>"), Token::Marker(Marker::Close("TASK".to_owned())));
        assert!(matches!(Token::parse(" <IRQ>  [<ffffffff81000000>] f+0x1/0x2"), Token::Frame(_)));
        assert_eq!(Token::parse(" mousedev isst_if_common(OE) usbhid"), Token::MoreModules);
        for other in ["  with arguments:", "    HOME=/", "<not a stack>", "free text", " CPU 3"] {
            assert_eq!(Token::parse(other), Token::Other, "{other}");
        }
    }
}
