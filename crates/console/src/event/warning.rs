//! What the kernel finds wrong with itself and mostly survives: warnings, lockdep, sanitizers, damaged memory, and
//! memory that ran out.
//!
//! Source: `kernel/panic.c`, `__warn()`; `kernel/locking/lockdep.c`; `mm/kasan/report.c`; `lib/ubsan.c`; `mm/slub.c`,
//! `slab_bug()`; `lib/list_debug.c`; `mm/oom_kill.c`; `mm/page_alloc.c`, `warn_alloc()`; `kernel/irq/spurious.c`.

use super::text::{between, number, number_after, task};
use super::{Event, Kind};
use crate::frame::Location;

pub(super) fn parse(text: &str) -> Option<Event> {
    if text.starts_with("------------[ cut here ]") {
        return Some(Event::new(Kind::CutHere, text));
    }
    warning(text)
        .or_else(|| sanitizer(text))
        .or_else(|| lockdep(text))
        .or_else(|| corruption(text))
        .or_else(|| out_of_memory(text))
        .or_else(|| allocation(text))
        .or_else(|| bpf_scheduler(text))
        .or_else(|| other_bug(text))
}

/// `WARNING: CPU: 1 PID: 2 at mm/x.c:12 f+0x1/0x2 [mod]`; to 3.10 `WARNING: at mm/x.c:12 f+0x1/0x2()`; since 6.17
/// `WARNING: mm/x.c:12 at f+0x1/0x2 [mod], CPU#1: comm/2`.
fn warning(text: &str) -> Option<Event> {
    let rest = text.strip_prefix("WARNING: ")?;
    let (before, place) = match rest.strip_prefix("at ") {
        Some(place) => ("", place),
        None => rest.split_once(" at ")?,
    };
    let is_warning =
        before.is_empty() || before.starts_with("CPU: ") || before.contains(".c:") || before.contains(".h:");
    let (place, by) = place.split_once(", CPU#").unwrap_or((place, ""));
    let mut event = Event::new(Kind::Warning, text).on_cpu(number_after(before, "CPU: ").or_else(|| number(by)));
    event.pid = number_after(before, "PID: ");
    if let Some((comm, pid)) = by.split_once(": ").and_then(|(_, who)| task(who, '/')) {
        event = event.of_task(comm, Some(pid));
    }
    let function =
        place.split_once(' ').map_or(place, |(file, function)| if file.contains("+0x") { place } else { function });
    event.function = Location::parse(function.trim().trim_end_matches("()"), None);
    (is_warning || event.function.is_some()).then_some(event)
}

/// `BUG: KASAN: slab-use-after-free in f+0x1/0x2`, `UBSAN: array-index-out-of-bounds in drivers/demo.c:310:16`.
fn sanitizer(text: &str) -> Option<Event> {
    let rest = text.strip_prefix("BUG: ").unwrap_or(text);
    let tool = ["KASAN: ", "KCSAN: ", "KFENCE: ", "KMSAN: "].iter().any(|tool| rest.starts_with(tool))
        && rest.len() < text.len();
    let ubsan = text.starts_with("UBSAN: ") && text.contains(" in ");
    if !tool && !ubsan {
        return None;
    }
    let mut event = Event::new(Kind::Sanitizer, text);
    let place = rest.rsplit_once(" in ").map(|(_, place)| place.split(" / ").next().unwrap_or(place));
    event.function = place.and_then(|place| Location::parse(place.trim(), None));
    Some(event)
}

fn lockdep(text: &str) -> Option<Event> {
    const WORDS: [&str; 19] = [
        "possible circular locking dependency",
        "possible recursive locking",
        "possible irq lock inversion",
        "possible reason: unannotated irqs",
        "possible filesystem deadlock",
        "inconsistent lock state",
        "inconsistent {",
        "suspicious RCU usage",
        "suspicious rcu_dereference",
        "bad unlock balance",
        "bad contention detected",
        "held lock freed",
        "lock held when returning to user space",
        "lock held at task exit",
        "still has locks held",
        "Nested lock was not taken",
        "lock order detected",
        "Invalid wait context",
        "key used before",
    ];
    let inside = text.strip_prefix("[ ").and_then(|rest| rest.trim_end().strip_suffix(']')).unwrap_or(text);
    let what = inside
        .strip_prefix("WARNING: ")
        .or_else(|| inside.strip_prefix("INFO: "))
        .or_else(|| inside.strip_prefix("BUG: "))?;
    let own = ["trying to register non-static key", "spinlock ", "rwlock ", "rwlock-", "MAX_LOCK"];
    let known = WORDS.iter().any(|word| what.contains(word)) || own.iter().any(|start| what.starts_with(start));
    let mut event = Event::new(Kind::Lockdep, inside.trim()).on_cpu(number_after(what, " on CPU#"));
    if let Some((comm, pid)) =
        what.split_once(" on CPU#").and_then(|(_, rest)| task(rest.split_once(", ")?.1.trim(), '/'))
    {
        event = event.of_task(comm, Some(pid));
    }
    known.then_some(event)
}

fn corruption(text: &str) -> Option<Event> {
    // `BUG kmalloc-64 (Tainted: G    B  ): Poison overwritten`, before 3.x without the taint.
    let slab = text.strip_prefix("BUG ").filter(|rest| !leaks(rest)).is_some_and(|rest| {
        rest.contains("): ") || rest.split_once(": ").is_some_and(|(cache, _)| !cache.contains(' '))
    });
    let list = ["list_add corruption", "list_del corruption", "list_add double add"];
    let list = list.iter().any(|start| text.starts_with(start));
    // `get_swap_device: Bad swap file entry 3ff7ffffffffff`, `mm/swapfile.c`; `mm/pgtable-generic.c:50: bad pmd ...`.
    let entry = [": Bad swap file entry ", ": Bad swap offset entry ", ": Unused swap offset entry "]
        .iter()
        .any(|what| text.split_once(what).is_some_and(|(function, _)| !function.contains(' ')))
        || text.split_once(": bad p").is_some_and(|(place, rest)| {
            place.contains(".c:") && ["gd ", "4d ", "ud ", "md "].iter().any(|level| rest.starts_with(level))
        });
    let bad = [
        // `lib/refcount.c`: a `WARNING:` follows, of memory that is freed while it is used.
        "refcount_t: ",
        "BUG: Bad page ",
        "BUG: Bad rss-counter",
        "BUG: non-zero pgtables_bytes",
        "BUG: Dentry ",
        "slab error in ",
        "stack-protector: ",
    ];
    let bad = bad.iter().any(|start| text.starts_with(start));
    let mut event = Event::new(Kind::Corruption, text);
    if let Some(comm) = text.strip_prefix("BUG: Bad page").and_then(|rest| between(rest, " in process ", " pfn:")) {
        event.comm = Some(comm.trim().to_owned());
    }
    (slab || list || entry || bad).then_some(event)
}

/// `BUG demo_cache (Tainted: G): Objects remaining in demo_cache on __kmem_cache_shutdown()`: whose cache it is has not freed them.
fn leaks(text: &str) -> bool {
    text.contains(": Objects remaining ")
}

/// `Out of memory: Killed process 12 (comm) total-vm:…`, `comm invoked oom-killer: gfp_mask=…`.
fn out_of_memory(text: &str) -> Option<Event> {
    let (kind, rest) = match text.strip_prefix("Memory cgroup out of memory: Kill") {
        Some(rest) => (Kind::CgroupOutOfMemory, rest),
        None => match text
            .strip_prefix("Out of memory: Kill")
            .or_else(|| text.strip_prefix("Out of memory (oom_kill_allocating_task): Kill"))
        {
            Some(rest) => (Kind::OutOfMemory, rest),
            None => {
                let (comm, _) = text.split_once(" invoked oom-killer: ")?;
                let mut event = Event::new(Kind::OutOfMemory, text);
                event.details.push(format!("{comm} asked for the memory"));
                return Some(event);
            }
        },
    };
    let pid = number_after(rest, "process ");
    let comm = rest
        .split_once(" (")
        .and_then(|(_, rest)| rest.split_once(") ").or_else(|| rest.split_once(')')))
        .map(|(comm, _)| comm);
    let event = Event::new(kind, text);
    Some(match comm {
        Some(comm) => event.of_task(comm, pid),
        None => event,
    })
}

/// `swapper/3: page allocation failure: order:4, mode:0x40a20(GFP_ATOMIC)`; before 3.11 `failure. order:4`.
fn allocation(text: &str) -> Option<Event> {
    if let Some(event) = allocation_loop(text) {
        return Some(event);
    }
    // Of 4.9 to 4.14 it says from 10 s on, and again and again, that it still tries (kernel commit 63f53dea0c98).
    const SAYS: [&str; 3] =
        [": page allocation failure", ": vmalloc: allocation failure", ": page allocation stalls for "];
    let (comm, _) = SAYS.iter().find_map(|says| text.split_once(*says))?;
    (comm.len() <= 16).then(|| Event { comm: Some(comm.to_owned()), ..Event::new(Kind::AllocationFailure, text) })
}

/// `XFS: java(4123) possible memory allocation deadlock size 65552 in kmem_realloc (mode:0x250)`: `fs/xfs/kmem.c` to 6.8 and
/// `xfs_buf.c`, of no device, before 3.x without the task. It is tried for ever.
pub(super) fn allocation_loop(text: &str) -> Option<Event> {
    let (who, _) = text.strip_prefix("XFS")?.split_once("possible memory allocation deadlock")?;
    let event = Event::new(Kind::AllocationFailure, text);
    let task = who.trim_end().rsplit_once(": ").and_then(|(_, who)| who.strip_suffix(')')?.rsplit_once('('));
    Some(match task.and_then(|(comm, pid)| Some((comm, pid.parse().ok()?))) {
        Some((comm, pid)) => event.of_task(comm, Some(pid)),
        None => event,
    })
}

/// `sched_ext: BPF scheduler "simple" disabled (runnable task stall)`: not where somebody took it away.
fn bpf_scheduler(text: &str) -> Option<Event> {
    const BY_ERROR: [&str; 3] = ["(runnable task stall)", "(runtime error)", "(scx_bpf_error)"];
    let rest = text.strip_prefix("sched_ext: BPF ")?;
    let fails = rest.contains(" disabled ") && BY_ERROR.iter().any(|why| rest.contains(why));
    fails.then(|| Event::new(Kind::Warning, text))
}

/// What else the kernel calls a bug of its own, and an interrupt that nobody wants.
fn other_bug(text: &str) -> Option<Event> {
    let nobody = text.strip_prefix("irq ").is_some_and(|rest| rest.contains(": nobody cared"));
    if nobody {
        return Some(Event::new(Kind::Warning, text));
    }
    let mut event = Event::new(Kind::Warning, text);
    if text.strip_prefix("BUG ").is_some_and(leaks) {
        return Some(event);
    }
    let what = text.strip_prefix("BUG: ")?;
    // `scheduling while atomic: comm/pid/0x00000002`.
    let who = what.strip_prefix("scheduling while atomic: ").and_then(|who| task(who.rsplit_once('/')?.0, '/'));
    if let Some((comm, pid)) = who {
        event = event.of_task(comm, Some(pid));
    }
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::super::event;
    use super::*;

    #[test]
    fn warnings_of_all_times() {
        for (line, cpu, pid) in [
            ("WARNING: CPU: 1 PID: 2 at mm/demo.c:12 demo_vmalloc+0x44c/0x584 [demo]", Some(1), Some(2)),
            ("WARNING: at mm/demo.c:12 demo_vmalloc+0x44c/0x584()", None, None),
            ("WARNING: mm/demo.c:12 at demo_vmalloc+0x44c/0x584 [demo], CPU#3: who/77", Some(3), Some(77)),
        ] {
            let warning = event(line);
            let function = warning.function.and_then(|function| function.symbol);
            assert_eq!((warning.kind, warning.cpus.first().copied(), warning.pid), (Kind::Warning, cpu, pid), "{line}");
            assert_eq!(function.as_deref(), Some("demo_vmalloc"), "{line}");
        }
        assert_eq!(Event::parse("WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks"), None);
    }

    #[test]
    fn kinds() {
        for (line, kind) in [
            ("BUG: KASAN: slab-use-after-free in demo_read+0x21/0x90", Kind::Sanitizer),
            ("BUG: KFENCE: out-of-bounds read in demo+0x1/0x2", Kind::Sanitizer),
            ("UBSAN: array-index-out-of-bounds in drivers/demo/demo.c:310:16", Kind::Sanitizer),
            ("UBSAN: Undefined behaviour in drivers/demo/demo.c:310:16", Kind::Sanitizer),
            ("WARNING: possible circular locking dependency detected", Kind::Lockdep),
            ("[ INFO: possible recursive locking detected ]", Kind::Lockdep),
            ("[ BUG: bad unlock balance detected! ]", Kind::Lockdep),
            ("WARNING: suspicious RCU usage", Kind::Lockdep),
            ("BUG: spinlock lockup suspected on CPU#3, demo/77", Kind::Lockdep),
            ("BUG kmalloc-64 (Tainted: G    B             ): Poison overwritten", Kind::Corruption),
            ("list_del corruption. prev->next should be ffff, but was dead", Kind::Corruption),
            ("BUG: Bad page state in process demo  pfn:12345", Kind::Corruption),
            ("Out of memory: Killed process 1 (a)", Kind::OutOfMemory),
            ("Memory cgroup out of memory: Killed process 12 (a b) total-vm:1kB", Kind::CgroupOutOfMemory),
            ("swapper/3: page allocation failure: order:4, mode:0x40a20(GFP_ATOMIC)", Kind::AllocationFailure),
            (
                "java: page allocation stalls for 10014ms, order:0, mode:0x24201ca(GFP_HIGHUSER)",
                Kind::AllocationFailure,
            ),
            (
                "XFS: java(4123) possible memory allocation deadlock size 65552 in f (mode:0x250)",
                Kind::AllocationFailure,
            ),
            ("refcount_t: underflow; use-after-free.", Kind::Corruption),
            ("sched_ext: BPF scheduler \"simple\" disabled (runnable task stall)", Kind::Warning),
            ("BUG: scheduling while atomic: demo/12/0x00000002", Kind::Warning),
            ("irq 16: nobody cared (try booting with the \"irqpoll\" option)", Kind::Warning),
            ("------------[ cut here ]------------", Kind::CutHere),
        ] {
            assert_eq!(event(line).kind, kind, "{line}");
        }
        let killed = event("Memory cgroup out of memory: Killed process 12 (a b) total-vm:1kB");
        assert_eq!((killed.comm.as_deref(), killed.pid), (Some("a b"), Some(12)));
        assert_eq!(event("BUG: spinlock lockup suspected on CPU#3, demo/77").pid, Some(77));
        for line in ["INFO: NMI handler took too long to run: 1.2 msecs", "BUG", "INFO: lockdep is turned off."] {
            assert_eq!(Event::parse(line), None, "{line}");
        }
    }
}
