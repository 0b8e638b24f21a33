//! The splitter of the bundled dumps with tracers on its functions: what they replaced is put back, and the verdict stays.

use std::collections::BTreeMap;

use vmcore_debuginfo::Vmlinux;
use vmcore_diagnose::{Confidence, Diagnosis, Issue, Options, collect, judge};
use vmcore_dump::Dump;
use vmcore_kernel::{Detail, Kernel, KernelChoice, Snapshot, Stack, Task};
use vmcore_memory::{PhysAddr, ReadError, ReadPhysical, ReadVirtual, VirtAddr};

use super::file_of;

const X86: &str = "6.1-cloud-amd64";
const ARM64: &str = "6.12-cloud-arm64";

/// A dump with other words in some places. It was reduced to what was read of it: around them may be nothing else.
struct Patched<'d> {
    dump: &'d Dump,
    words: BTreeMap<u64, u64>,
}

impl ReadPhysical for Patched<'_> {
    fn read_physical(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let whole = self.dump.read_physical(address, buf);
        for (at, byte) in (address.get()..).zip(buf) {
            match self.words.get(&(at & !7)) {
                Some(word) => *byte = word.to_le_bytes()[(at & 7) as usize],
                None if whole.is_err() => self.dump.read_physical(PhysAddr::new(at), std::slice::from_mut(byte))?,
                None => {}
            }
        }
        Ok(())
    }

    fn reads_around(&self) -> bool {
        self.dump.reads_around()
    }
}

/// What a tracer does to a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracer {
    /// A return probe.
    Probe,
    /// The function graph tracer.
    Graph,
    /// A return probe whose record is not to be found.
    Lost,
}

/// The dump, with the return address replaced of these functions of the splitter.
struct Machine<'k> {
    kernel: &'k Kernel<'k>,
    task: &'k Task,
    stack: &'k Stack,
    words: BTreeMap<u64, u64>,
}

impl Machine<'_> {
    fn put(&mut self, at: VirtAddr, word: u64) {
        let at = self.kernel.memory().translate(at).expect("it is in the dump");
        assert!(at.get().is_multiple_of(8), "the words are aligned");
        self.words.insert(at.get(), word);
    }

    fn offset(&self, type_name: &str, member: &str) -> u64 {
        let member = self.kernel.vmlinux().types().member(type_name, member);
        member.expect("the type has a member of that name").offset
    }

    /// Where the return address of `function` is, what it is, and by what a tracer knows the place.
    fn return_of(&self, function: &str, is_arm64: bool) -> (VirtAddr, u64, u64) {
        let frames = &self.stack.frames;
        let inner = frames.iter().position(|frame| frame.function() == Some(function)).expect("it is on the stack");
        let (inner, caller) = (&frames[inner], &frames[inner + 1]);
        if !is_arm64 {
            let slot = caller.sp.wrapping_sub(8);
            return (slot, caller.pc.get(), slot.get());
        }
        // In a frame record, behind the caller's frame pointer; the address may have an authentication code.
        const CODE: u64 = (1 << 48) - 1;
        let word = |at: VirtAddr| self.kernel.memory().read_pointer(at).expect("the stack is in the dump").get();
        let words = (inner.sp.get()..inner.sp.get() + 0x400).step_by(8).map(VirtAddr::new);
        let mut slots = words.filter(|at| word(*at) & CODE == caller.pc.get() & CODE);
        let slot = slots.next().expect("the return address is on the stack");
        (slot, caller.pc.get(), word(slot.wrapping_sub(8)))
    }

    fn trace(&mut self, functions: &[&str], tracer: Tracer, is_arm64: bool) {
        let task = self.task.address;
        // The end of a task has registers that nothing here looks at.
        let size = self.kernel.vmlinux().types().size_of("task_struct").expect("the type is known");
        let spare = task.wrapping_add((size - 0x200) & !7);
        let code = match (tracer, is_arm64) {
            (Tracer::Graph, _) => "return_to_handler",
            (_, false) => "arch_rethook_trampoline",
            (_, true) => "__kretprobe_trampoline",
        };
        let code = self.kernel.symbol(code).expect("the kernel can trace").get();
        let (head, record, place) = match is_arm64 {
            false => ("rethooks", "rethook_node", "frame"),
            true => ("kretprobe_instances", "kretprobe_instance", "fp"),
        };
        let mut used = 0;
        for (index, function) in (0..).zip(functions) {
            let (slot, original, known_by) = self.return_of(function, is_arm64);
            self.put(slot, code);
            match tracer {
                Tracer::Lost => {}
                Tracer::Probe => {
                    let node = spare.wrapping_add(index * 0x80);
                    let link = self.offset(record, "llist");
                    let before = node.wrapping_sub(0x80).wrapping_add(link);
                    let first = task.wrapping_add(self.offset("task_struct", head));
                    self.put(if index == 0 { first } else { before }, node.wrapping_add(link).get());
                    self.put(node.wrapping_add(link), 0);
                    self.put(node.wrapping_add(self.offset(record, "ret_addr")), original);
                    self.put(node.wrapping_add(self.offset(record, place)), known_by);
                }
                Tracer::Graph => {
                    let size = self.kernel.vmlinux().types().size_of("ftrace_ret_stack").expect("the type is known");
                    let entry = spare.wrapping_add(used * 8);
                    self.put(entry.wrapping_add(self.offset("ftrace_ret_stack", "ret")), original);
                    self.put(entry.wrapping_add(self.offset("ftrace_ret_stack", "retp")), known_by);
                    used += size / 8;
                    // Since 6.11 a word behind it says where it begins.
                    if is_arm64 {
                        self.put(spare.wrapping_add(used * 8), (1 << 10) | (size / 8));
                        used += 1;
                    }
                    let top = if is_arm64 { used } else { index };
                    self.put_int(task.wrapping_add(self.offset("task_struct", "curr_ret_stack")), top);
                    self.put(task.wrapping_add(self.offset("task_struct", "ret_stack")), spare.get());
                }
            }
        }
    }

    /// A C `int`, and the four bytes next to it as they were, if they are in the dump.
    fn put_int(&mut self, at: VirtAddr, value: u64) {
        let word = VirtAddr::new(at.get() & !7);
        let shift = (at.get() & 7) * 8;
        let other = self.kernel.memory().read_pointer(word).map_or(0, VirtAddr::get);
        self.put(word, other & !(0xffff_ffff << shift) | value << shift);
    }
}

/// The splitter's stack as it is, as it is when these functions are traced, and the verdict then.
fn traced(of: &str, functions: &[&str], tracer: Tracer) -> (Stack, Stack, Diagnosis) {
    let dump = Dump::open(&file_of(of, "thp-livelock.vmcore")).expect("the dump opens");
    let vmlinux = Vmlinux::open(&file_of(of, "vmlinux.profile")).expect("the profile opens");
    let kernel = Kernel::open(&dump, &vmlinux).expect("the kernel opens");
    let snapshot = Snapshot::read(&kernel);
    let index = snapshot.tasks.iter().position(|task| task.comm == "splitter").expect("there is a splitter");
    let stack = |kernel: &Kernel<'_>, snapshot: &Snapshot| {
        snapshot.stacks(kernel, &[index], Detail::Symbols).pop().expect("there is a stack")
    };
    let whole = stack(&kernel, &snapshot);
    let task = &snapshot.tasks[index];
    let mut machine = Machine { kernel: &kernel, task, stack: &whole, words: BTreeMap::new() };
    machine.trace(functions, tracer, of == ARM64);
    let patched = Patched { dump: &dump, words: machine.words };
    let kernel = Kernel::open_through(&dump, &vmlinux, &patched, KernelChoice::default()).expect("it still opens");
    let snapshot = Snapshot::read(&kernel);
    let facts = collect(&kernel, &snapshot);
    let found = stack(&kernel, &snapshot);
    (whole, found, judge(&facts, &kernel, &Options::default()))
}

const FUNCTIONS: [(&str, &[&str]); 2] = [
    (X86, &["rmap_walk_anon", "remove_migration_ptes", "remap_page.part.0", "madvise_free_huge_pmd"]),
    (ARM64, &["rmap_walk_anon", "try_to_migrate", "split_huge_page_to_list_to_order", "madvise_free_huge_pmd"]),
];

#[test]
fn what_tracers_replaced_is_put_back() {
    for (of, functions) in FUNCTIONS {
        for tracer in [Tracer::Probe, Tracer::Graph] {
            let (whole, found, diagnosis) = traced(of, functions, tracer);
            assert_eq!(found, whole, "{of} {tracer:?}");
            assert_eq!(diagnosis.verdict.issue, Some(Issue::ThpLivelock), "{of} {tracer:?}");
            assert_eq!(diagnosis.verdict.confidence, Confidence::Confirmed, "{of} {tracer:?}");
            assert!(diagnosis.unknown.is_empty(), "{of} {tracer:?}: {:?}", diagnosis.unknown);
        }
    }
}

#[test]
fn a_caller_that_a_tracer_hides_is_not_another_function() {
    for (of, functions) in FUNCTIONS {
        let (whole, found, diagnosis) = traced(of, &functions[..1], Tracer::Lost);
        let frame = found.frames.iter().find(|frame| frame.function().is_some_and(vmcore_kernel::is_tracer));
        let frame = frame.unwrap_or_else(|| panic!("{of}: the tracer is on the stack: {found:?}"));
        assert_eq!(frame.location.symbol.as_ref().map(|symbol| symbol.offset), Some(0), "{of}");
        assert!(found.error.as_deref().is_some_and(|error| error.contains("traced")) && !found.has_end(), "{of}");
        assert!(diagnosis.unknown.iter().any(|unknown| unknown.contains("is traced")), "{of}: {:?}", diagnosis.unknown);
        if of == X86 {
            // What a scan would find is not in the dump.
            continue;
        }
        let outer = |stack: &Stack| stack.frames.iter().rev().take(8).map(|frame| frame.pc).collect::<Vec<_>>();
        assert_eq!(outer(&found), outer(&whole), "what is above is found by its records");
    }
}
