//! Kernel functions by what they mean to a detector. Names change between versions: newest first.

mod core_dump;
mod guest;
mod idling;

pub(crate) use core_dump::{dumps_core, ends_after_core};
pub(crate) use guest::runs_guest;
pub(crate) use idling::is_idling;
pub(crate) use vmcore_console::base_name;
use vmcore_kernel::{LockKind, Stack, StackFrame, is_tracer, switches_tasks};

/// Functions whose presence on a stack means that the task is splitting a huge page or a huge mapping.
const SPLIT: [&str; 13] = [
    // 7.2 (`split_huge_page_to_list_to_order()` is inline since), 6.16, 6.9, and before.
    "__split_huge_page_to_list_to_order",
    "folio_split_unmapped",
    "__folio_freeze_and_split_unmapped",
    "__folio_split",
    "folio_split",
    "split_huge_page_to_list_to_order",
    "split_huge_page_to_list",
    "split_folio_to_list",
    "deferred_split_scan",
    "__split_huge_page",
    "__split_huge_pmd",
    "__split_huge_pmd_locked",
    "split_huge_pmd_address",
];

/// Functions that move a page to another place: compaction, `move_pages()`, `mbind()`, memory that goes offline. While they do, migration
/// entries take the place of the page in the page tables, of a huge page that is mapped by PTEs also those of its tails.
///
/// Source: `mm/migrate.c`, `mm/migrate_device.c`. Pages of hugetlbfs are left out: their entries are about the head.
const MOVE: [&str; 17] = [
    // 7.3 has the code of `migrate_vma_*()` in functions of their own; 6.3 and later, 6.1, and before.
    "__migrate_device_pages",
    "__migrate_device_finalize",
    "migrate_vma_setup",
    "migrate_vma_pages",
    "migrate_vma_finalize",
    "migrate_pages",
    "migrate_pages_batch",
    "migrate_pages_sync",
    "migrate_folio_unmap",
    "migrate_folio_move",
    "move_to_new_folio",
    "unmap_and_move",
    "__unmap_and_move",
    "move_to_new_page",
    "migrate_device_pages",
    "migrate_device_unmap",
    "migrate_device_finalize",
];

/// Functions that fault a user address in by a look-up instead of an access, and try again.
const LOOKUP: [&str; 3] = ["fixup_user_fault", "faultin_page", "hmm_vma_fault"];

/// Functions that dispatch system calls, of x86-64 and of arm64; the frame below them is the call's own function.
const SYSCALL_DISPATCH: [&str; 8] = [
    "x64_sys_call",
    "do_syscall_64",
    "do_syscall_x64",
    "do_fast_syscall_32",
    "invoke_syscall",
    "el0_svc_common",
    "do_el0_svc",
    "el0_svc_naked",
];

/// Where a CPU waits for a queued spin lock: `native_…`, `__pv_…`, and `__cna_…` of kernels whose locks know NUMA nodes.
const SPIN_SLOW_PATH: &str = "queued_spin_lock_slowpath";
/// Functions in which a CPU waits until others have run what it asked them to.
const CALLING: [&str; 8] = [
    // 7.3: `smp_call_function_single()` and `smp_call_function_any()` only jump there.
    "__smp_call_function_single",
    "smp_call_function_many_cond",
    "smp_call_function_many",
    "smp_call_function_single",
    "smp_call_function_single_async",
    "csd_lock_wait",
    "__csd_lock_wait",
    "smp_call_function_any",
];
/// Functions that only put a task to sleep, besides those that switch tasks and those that sleep for a lock: what it sleeps for
/// is the first that is none of these. By the beginnings of their names.
const SLEEPING: [&str; 7] = [
    "bit_wait",
    "__wait_on_bit",
    "do_wait_for_common",
    "wait_for_completion",
    "__wait_for_common",
    "__flush_work",
    "flush_work",
];

/// The outermost function of a split on the stack, with the index of its frame: by symbol, so that it is the same with debug information and
/// without, or where there is none by inlined name.
pub(crate) fn split_function(frames: &[StackFrame]) -> Option<(usize, String)> {
    outermost(frames, &SPLIT)
}

/// The same of a page that is moved.
pub(crate) fn move_function(frames: &[StackFrame]) -> Option<(usize, String)> {
    outermost(frames, &MOVE)
}

/// Whether a function of which a page waits moves it, and does not split it.
pub(crate) fn moves_page(function: &str) -> bool {
    MOVE.contains(&base_name(function))
}

fn outermost(frames: &[StackFrame], names: &[&str]) -> Option<(usize, String)> {
    let is_one = |name: &&str| names.contains(&base_name(name));
    let mut outermost_first = frames.iter().enumerate().rev();
    let by_symbol = outermost_first.clone().find_map(|(index, frame)| Some((index, frame.function().filter(is_one)?)));
    let found =
        by_symbol.or_else(|| outermost_first.find_map(|(index, frame)| Some((index, functions(frame).find(is_one)?))));
    found.map(|(index, name)| (index, name.to_owned()))
}

/// The frame of code that finds an entry which it has to wait for, and that of the look-up which it does so for, if there is no access behind
/// it.
pub(crate) fn lookup_that_waits(frames: &[StackFrame]) -> Option<(usize, usize)> {
    let waits = |name: &str| {
        let name = base_name(name);
        name.contains("migration_entry_wait") || name.contains("softleaf_entry_wait")
    };
    let waits = frames.iter().position(|frame| functions(frame).any(waits))?;
    let looks_up = |frame: &StackFrame| functions(frame).any(|name| LOOKUP.contains(&base_name(name)));
    let looks_up = frames.iter().skip(waits).position(looks_up)?;
    Some((waits, waits + looks_up))
}

/// The system call's own function.
pub(crate) fn syscall_function(frames: &[StackFrame]) -> Option<String> {
    let dispatch =
        frames.iter().position(|frame| functions(frame).any(|name| SYSCALL_DISPATCH.contains(&base_name(name))))?;
    let function = frames.get(dispatch.checked_sub(1)?)?.function()?;
    Some(function.to_owned())
}

/// All functions of a frame: the symbol, and those inlined into it.
pub(crate) fn functions(frame: &StackFrame) -> impl Iterator<Item = &str> {
    let inlined = frame.location.source.iter().filter_map(|source| source.function.as_deref());
    frame.function().into_iter().chain(inlined)
}

fn is_sleeping(name: &str) -> bool {
    let name = base_name(name);
    let only_sleeps = || SLEEPING.iter().any(|begin| name.starts_with(begin));
    switches_tasks(name) || only_sleeps() || LockKind::of_sleeper(name).is_some()
}

/// The innermost function that is not about sleeping itself; `None` where it is not known, because a tracer stands in its place.
pub(crate) fn sleeps_in(stack: &Stack) -> Option<&str> {
    awake(stack).filter(|name| !is_tracer(name))
}

/// Whether that function is not known because a tracer stands in its place: then it may be one that sleeps for a lock.
pub(crate) fn is_hidden(stack: &Stack) -> bool {
    awake(stack).is_some_and(is_tracer)
}

fn awake(stack: &Stack) -> Option<&str> {
    stack.frames.iter().filter_map(StackFrame::function).find(|name| !is_sleeping(name))
}

/// Whether the task of this stack sleeps for a lock, by the functions on it.
pub(crate) fn sleeps_for_lock(stack: &Stack) -> bool {
    let is_lock = |name: &str| LockKind::of_sleeper(base_name(name)).is_some();
    let asleep = stack.frames.iter().filter_map(StackFrame::function).take_while(|name| is_sleeping(name));
    asleep.into_iter().any(is_lock)
}

/// Whether it is of the watchdog of work queues: `kernel/workqueue.c`.
pub(crate) fn is_workqueue_watchdog(symbol: &str) -> bool {
    let name = base_name(symbol);
    name.starts_with("wq_watchdog_") || name == "panic_on_wq_watchdog"
}

/// Whether it is where a CPU waits for a spin lock.
pub(crate) fn is_spin_slow_path(symbol: &str) -> bool {
    base_name(symbol).ends_with(SPIN_SLOW_PATH)
}

/// Whether it is where a CPU waits for a reader-writer lock to read.
pub(crate) fn is_read_slow_path(symbol: &str) -> bool {
    base_name(symbol) == "queued_read_lock_slowpath"
}

/// Whether it is where a CPU waits for a reader-writer lock to write.
pub(crate) fn is_write_slow_path(symbol: &str) -> bool {
    base_name(symbol) == "queued_write_lock_slowpath"
}

/// Whether it is where a CPU waits until others have run what it asked them to.
#[must_use]
pub fn is_calling(symbol: &str) -> bool {
    CALLING.contains(&base_name(symbol))
}

/// Whether the task of this stack waits for an answer.
pub(crate) fn waits_for_answer(stack: &Stack) -> bool {
    stack.frames.iter().any(|frame| frame.function().is_some_and(is_calling))
}

/// Whether it is where a CPU waits for others, or what leads there: by the name alone, as a log or a fault's frames show it.
pub(crate) fn leads_to_call(symbol: &str) -> bool {
    const STARTS: [&str; 5] =
        ["smp_call_function", "on_each_cpu", "flush_tlb", "native_flush_tlb", "native_send_call_func"];
    is_calling(symbol) || STARTS.iter().any(|start| symbol.starts_with(start))
}

/// Whether it is where a CPU waits for a lock that spins, or what leads there: by the name alone, as a log or a fault's frames show it.
///
/// Source: `kernel/locking/spinlock.c`, `kernel/locking/qrwlock.c`; up to 2.6.37 without `raw`, and up to 3.15 with slow paths in
/// `arch/x86/lib/rwlock.S`.
pub(crate) fn leads_to_spin_lock(symbol: &str) -> bool {
    const STARTS: [&str; 14] = [
        "_raw_spin_lock",
        "_raw_read_lock",
        "_raw_write_lock",
        "do_raw_spin_lock",
        "do_raw_read_lock",
        "do_raw_write_lock",
        "_spin_lock",
        "_read_lock",
        "_write_lock",
        "__ticket_spin_lock",
        "__read_lock_failed",
        "__write_lock_failed",
        "queued_read_lock",
        "queued_write_lock",
    ];
    let name = base_name(symbol);
    is_spin_slow_path(name) || is_lock_halt(name) || STARTS.iter().any(|start| name.starts_with(start))
}

/// Whether the task of this stack sleeps for input or output.
pub(crate) fn waits_for_io(stack: &Stack) -> bool {
    stack.frames.iter().filter_map(StackFrame::function).any(|name| name.starts_with("io_schedule"))
}

/// Whether that sleep ends by itself and is begun anew, before the kernel's watchdog could complain of it: `submit_bio_wait()`,
/// `blk_execute_rq()` and, since 5.9 (kernel commit e6249cdd46e4), `blk_io_schedule()`. Nothing tells for how long such a task has
/// been waiting.
pub(crate) fn begins_anew(stack: &Stack) -> bool {
    has_any(stack, &["io_schedule_timeout"])
}

/// Whether one of these functions is on a stack, by symbol or inlined.
pub(crate) fn has_any(stack: &Stack, names: &[&str]) -> bool {
    stack.frames.iter().flat_map(functions).any(|name| names.contains(&base_name(name)))
}

/// Whether a task is frozen for a suspend or by a cgroup. Since 6.1 (kernel commit f5d39b020809) its state says so.
pub(crate) fn is_frozen(stack: &Stack) -> bool {
    has_any(stack, &["__refrigerator"])
}

/// Whether a task waits until its child of `vfork()` has called `execve()` or ended. `wait_for_vfork_done()` is usually
/// inlined, which only a vmlinux shows; nothing else that creates a process waits for a completion. Of the names of the
/// system call, which have one address, the kernel's own table may give any.
pub(crate) fn waits_for_vfork(stack: &Stack) -> bool {
    const VFORK: [&str; 5] =
        ["wait_for_vfork_done", "__do_sys_vfork", "__x64_sys_vfork", "__ia32_sys_vfork", "__arm64_sys_vfork"];
    // `_do_fork` up to 5.9.
    const CREATES: [&str; 2] = ["kernel_clone", "_do_fork"];
    let calls = |callee: &StackFrame, caller: &StackFrame| {
        let name = |frame: &StackFrame| frame.function().map(base_name).map(str::to_owned);
        name(callee).is_some_and(|name| name.starts_with("wait_for_completion"))
            && name(caller).is_some_and(|name| CREATES.contains(&name.as_str()))
    };
    has_any(stack, &VFORK)
        || stack.frames.iter().zip(stack.frames.iter().skip(1)).any(|(callee, caller)| calls(callee, caller))
}

/// Functions in which a CPU ends that another CPU's panic stopped.
const STOPPED: [&str; 12] = [
    "stop_this_cpu",
    "smp_stop_nmi_callback",
    "crash_nmi_callback",
    "kdump_nmi_callback",
    "panic_smp_self_stop",
    "nmi_panic_self_stop",
    "halt_current_cpu",
    "local_cpu_stop",
    "arm64_nmi_cpu_stop",
    "cpu_park_loop",
    "ipi_cpu_stop",
    "ipi_cpu_crash_stop",
];

/// Whether another CPU's panic stopped this one.
pub(crate) fn is_stopped_by_panic(stack: &Stack) -> bool {
    has_any(stack, &STOPPED)
}

/// Functions that end a kernel: after an exception, by a panic, and into the crash kernel.
const DYING: [&str; 11] = [
    "oops_end",
    "die",
    "__die",
    "die_addr",
    "page_fault_oops",
    "no_context",
    "panic",
    "vpanic",
    "nmi_panic",
    "crash_kexec",
    "__crash_kexec",
];

/// Whether the kernel dies in these frames.
pub(crate) fn is_dying(frames: &[StackFrame]) -> bool {
    frames.iter().flat_map(functions).any(|name| DYING.contains(&base_name(name)))
}

/// The outermost frame of how a CPU was stopped, or died.
pub(crate) fn stopped_at(stack: &Stack) -> Option<usize> {
    let ends = |name: &str| STOPPED.contains(&base_name(name)) || DYING.contains(&base_name(name));
    stack.frames.iter().rposition(|frame| functions(frame).any(ends))
}

/// The innermost frame of what a CPU did before it was stopped, or died.
pub(crate) fn own_frame(stack: &Stack) -> usize {
    let before = |stopped: usize| {
        let interrupted = stack.interrupts.iter().map(|found| found.frame).find(|&frame| frame > stopped);
        let called = |(_, frame): &(usize, &StackFrame)| frame.function().is_some_and(guest::is_called_entry);
        let behind_call = stack.frames.iter().enumerate().skip(stopped).find(called).map(|(at, _)| at + 1);
        interrupted.into_iter().chain(behind_call).min()
    };
    stopped_at(stack).and_then(before).unwrap_or_default()
}

/// Whether it is where a virtual CPU halts until its turn for a spin lock comes, and its host wakes it: `kernel/locking/qspinlock_paravirt.h`,
/// `arch/x86/kernel/kvm.c`, `arch/x86/xen/spinlock.c`, `arch/x86/hyperv/hv_spinlock.c`.
pub(crate) fn is_lock_halt(symbol: &str) -> bool {
    const NAMES: [&str; 7] = [
        "kvm_wait",
        "xen_qlock_wait",
        "xen_poll_irq",
        "xen_poll_irq_timeout",
        "hv_qlock_wait",
        "pv_wait",
        "pv_wait_node",
    ];
    NAMES.contains(&base_name(symbol)) || symbol.starts_with("pv_wait_head")
}

/// Whether the stopper thread of this stack waits until those of other CPUs have come.
pub(crate) fn is_stopper_waiting(stack: &Stack) -> bool {
    has_any(stack, &["multi_cpu_stop"])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vmcore_kernel::{Location, SourceFrame, SymbolName, Trust};
    use vmcore_memory::VirtAddr;

    use super::*;

    /// A frame of this function, with what is inlined into it.
    fn frame(symbol: &str, inlined: &[&str]) -> StackFrame {
        let source = |name: &&str| SourceFrame { function: Some((*name).to_owned()), file: None, line: None };
        let symbol = SymbolName { name: symbol.to_owned(), offset: 0x10, module: None };
        let location = Location { symbol: Some(symbol), source: inlined.iter().map(source).collect() };
        let address = VirtAddr::new(0xffff_ffff_8100_0000);
        let location = Arc::new(location);
        StackFrame { pc: address, sp: address, exact: false, trust: Trust::Orc, segment: None, location }
    }

    /// As in 7.2, where `madvise_free_huge_pmd()` has all that leads to the split inlined.
    #[test]
    fn a_split_is_the_same_with_debug_information_and_without() {
        let leads = ["split_folio_to_list", "madvise_free_huge_pmd"];
        let with = [frame("__folio_split", &[]), frame("madvise_free_huge_pmd", &leads)];
        let without = [frame("__folio_split", &[]), frame("madvise_free_huge_pmd", &[])];
        assert_eq!(split_function(&with), Some((0, "__folio_split".to_owned())));
        assert_eq!(split_function(&with), split_function(&without));
        assert_eq!(split_function(&with[1..]), Some((0, "split_folio_to_list".to_owned())));
    }

    #[test]
    fn who_waits_for_other_cpus_is_known_on_any_kernel() {
        for name in [
            "__smp_call_function_single",
            "__smp_call_function_single.constprop.0",
            "smp_call_function_single",
            "smp_call_function_many_cond",
        ] {
            assert!(is_calling(name) && leads_to_call(name), "{name}");
        }
        assert!(!is_calling("flush_smp_call_function_queue") && !leads_to_call("generic_exec_single"));
    }
}
