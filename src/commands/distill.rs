//! `distill`: a small dump that holds only what the other commands read.
//!
//! Every command is run in memory once, through a recorder; what it read is written as an ELF core with the notes of the
//! original that such a run reads. Everything else in those pages is overwritten, and a note says which bytes were kept. Of the registers of
//! user code only where it was is kept.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use vmcore_debuginfo::Vmlinux;
use vmcore_diagnose::{FaultingAddresses, Options, collect, judge};
use vmcore_dump::{Dump, KeptRanges, RawNote, write_elf_core};
use vmcore_kernel::{Detail, Kernel, KernelChoice, Snapshot, Stack};
use vmcore_memory::{PAGE_SIZE, Pfn, PhysAddr, ReadMemory, ReadPhysical, ReadRecorder, Registers};
use vmcore_report::distill::{Distill, Kept, NotesLeftOut};

use crate::cli::{self, Redact};
use crate::context::Context;
use crate::failure::Failure;
use crate::files::Files;
use crate::output::Output;
use crate::status::Status;

/// What stands in place of a name: within eight bytes, of which all are kept where any is.
const REDACTED: &[u8] = b"hidden";
const LOG: &str = "the kernel's log, with the command line";
const STACKS: &str = "kernel stacks: return addresses, frame pointers, saved registers of kernel code";
/// What lies in the pages of kernel data and is not read.
const NEVER_KEPT: [&str; 5] = [
    "memory of processes and the page cache",
    "general registers of user code, and the state of its floating-point and vector units",
    "keys, credentials and environments",
    "network and file buffers",
    "the rest of every structure and of its neighbours in a page",
];

pub(crate) fn run(arguments: &cli::Distill, context: &Context, output: Output) -> Result<Status, Failure> {
    let output = output.for_binary()?;
    let manifest_goes_to = output.beside_the_file();
    let Files { dump, vmlinux, .. } = Files::open(&arguments.input, &context.run)?;
    let contents = context.run.step("reading what an analysis needs", || Contents::read(dump, vmlinux, arguments))?;
    let manifest = contents.manifest();
    context.run.step("writing the pages", || output.write_with(|out| contents.write(out)))?;
    if let Some(stdout) = manifest_goes_to {
        stdout.write(&manifest)?;
    }
    Ok(Status::NothingFound)
}

/// What the small dump is going to hold.
struct Contents<'d> {
    dump: &'d Dump,
    memory: ReadMemory,
    whole_pages: bool,
    redacted: Vec<Redact>,
    /// Bytes that are written in place of those in memory.
    blots: BTreeMap<PhysAddr, u8>,
    notes: Vec<RawNote>,
    /// Those of the original that nothing reads: nobody knows what is in them.
    notes_left_out: Vec<NotesLeftOut>,
    /// Bytes on the stacks that were read and are not kept: registers of user code.
    left_out: u64,
    /// Registers of user code, of which the kernel's own copies are overwritten as in the notes.
    user_registers: Vec<Vec<u8>>,
}

impl<'d> Contents<'d> {
    fn read(dump: &'d Dump, vmlinux: &Vmlinux, arguments: &cli::Distill) -> Result<Self, Failure> {
        let recorder = ReadRecorder::new(dump);
        let choice = arguments.input.more.kernel();
        let mut blots = BTreeMap::new();
        let user_code = ReadRecorder::new(dump);
        visit(dump, vmlinux, (&recorder, choice), (&arguments.redact, &mut blots, &user_code))?;
        let mut memory = recorder.into_memory();
        let left_out = if arguments.whole_pages { 0 } else { memory.remove(&user_code.into_memory()) };
        if arguments.redact.contains(&Redact::Log) {
            memory.remove(&log_only(dump, vmlinux, choice)?);
        }
        let whole_pages = arguments.whole_pages;
        let architecture = dump.architecture();
        let own = dump.raw_notes().iter().filter(|note| !KeptRanges::is_note(note));
        let (original, notes_left_out): (Vec<_>, Vec<_>) = own.partition(|note| note.is_read());
        let original = original
            .into_iter()
            .map(|note| if whole_pages { note.clone() } else { note.without_user_registers(architecture) });
        let kept = (!whole_pages).then(|| KeptRanges::new(memory.ranges()).to_note());
        let notes = original.chain(kept).collect();
        let registers = |note: &'d RawNote| note.user_registers(architecture);
        let in_notes = dump.raw_notes().iter().filter_map(registers).filter(|_| !whole_pages);
        let user_registers = in_notes.map(<[u8]>::to_vec).collect();
        Ok(Self {
            dump,
            memory,
            whole_pages,
            redacted: arguments.redact.clone(),
            blots,
            notes,
            notes_left_out: of_kinds(&notes_left_out),
            left_out,
            user_registers,
        })
    }

    fn write(&self, mut out: &mut dyn io::Write) -> io::Result<()> {
        // A part of the last page may be all that there is of it.
        let pages = self.memory.frames().filter_map(|frame| Some((frame.phys_addr()?, self.page(frame)?)));
        write_elf_core(&mut out, self.dump.architecture(), &self.notes, pages)
    }

    /// The contents of a page as they are written.
    fn page(&self, frame: Pfn) -> Option<Vec<u8>> {
        let mut page = self.dump.stored_page(frame)?;
        if !self.whole_pages {
            self.memory.blank_the_rest(frame, &mut page);
        }
        let start = frame.phys_addr()?;
        for (address, value) in self.blots.range(start..start.checked_add(PAGE_SIZE)?) {
            let offset = usize::try_from(address.get() - start.get()).ok()?;
            if let Some(byte) = page.get_mut(offset) {
                *byte = *value;
            }
        }
        // `crash_notes` never lie across two pages.
        for registers in &self.user_registers {
            while let Some(at) = memchr::memmem::find(&page, registers) {
                page.get_mut(at..at + registers.len())?.fill(0);
            }
        }
        Some(page)
    }

    fn kept_of(&self, purpose: &str, read: u64) -> u64 {
        if purpose == STACKS { read.saturating_sub(self.left_out) } else { read }
    }

    fn manifest(&self) -> Distill {
        let is_redacted = |what| self.redacted.contains(&what);
        let kept = self.memory.purposes().iter().filter(|(purpose, _)| *purpose != LOG || !is_redacted(Redact::Log));
        let names = [(Redact::Names, "names of tasks"), (Redact::Log, LOG), (Redact::Host, "the name of the host")];
        Distill {
            pages: self.memory.frames().count() as u64,
            of_pages: self.dump.page_count().present,
            whole_pages: self.whole_pages,
            kept: kept.map(|&(purpose, bytes)| Kept { purpose, bytes: self.kept_of(purpose, bytes) }).collect(),
            notes_left_out: self.notes_left_out.clone(),
            note_bytes: self.notes.iter().map(|note| note.desc.len() as u64).sum(),
            redacted: names.into_iter().filter(|(what, _)| is_redacted(*what)).map(|(_, name)| name).collect(),
            never_kept: if self.whole_pages { Vec::new() } else { NEVER_KEPT.to_vec() },
        }
    }
}

/// Notes by their owner and type.
fn of_kinds(notes: &[&RawNote]) -> Vec<NotesLeftOut> {
    let mut kinds: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for note in notes {
        let (count, bytes) = kinds.entry((&note.name, note.kind)).or_default();
        *count += 1;
        *bytes += note.desc.len() as u64;
    }
    let named = |((name, kind), (count, bytes)): ((&Vec<u8>, u32), _)| NotesLeftOut {
        owner: String::from_utf8_lossy(name).into_owned(),
        kind,
        count,
        bytes,
    };
    kinds.into_iter().map(named).collect()
}

/// Reads what `analyze`, `bt --all`, `ps`, `runq`, `dmesg` and `info` read.
fn visit(
    dump: &Dump,
    vmlinux: &Vmlinux,
    (recorder, choice): (&ReadRecorder<'_>, KernelChoice),
    (redact, blots, user_code): (&[Redact], &mut BTreeMap<PhysAddr, u8>, &ReadRecorder<'_>),
) -> Result<(), Failure> {
    recorder.purpose("what kernel it is, its page tables, per-CPU areas and modules");
    let kernel = Kernel::open_through(dump, vmlinux, recorder, choice)?;
    let names = (kernel.utsname(), super::machine::banner(&kernel));
    recorder.purpose(LOG);
    let log = kernel.log(&mut Vec::new());
    recorder.purpose("tasks and run queues: names, states, times, links");
    let snapshot = Snapshot::read(&kernel);
    recorder.purpose(STACKS);
    let everyone: Vec<usize> = (0..snapshot.tasks.len()).collect();
    let stacks = snapshot.stacks(&kernel, &everyone, Detail::Symbols);
    let faults = FaultingAddresses::of_kernel_code(&stacks, &kernel);
    recorder.purpose("what the diagnosis looks at: locks, waiters, page-table entries, struct page, code");
    let facts = collect(&kernel, &snapshot);
    let diagnosis = judge(&facts, &kernel, &Options::default());
    let uptime_ns = kernel.uptime_ns(&log);
    let death = (kernel.panic(&snapshot, &log), kernel.crash_time(uptime_ns));
    for (what, ranges) in [(Redact::Names, kernel.task_names(&snapshot)), (Redact::Host, kernel.host_names())] {
        if redact.contains(&what) {
            ranges.chunk_by(|one, next| one.end == next.start).for_each(|run| blot(run, blots));
        }
    }
    saved_by_user_code(&kernel, &stacks, user_code);
    // Only the reading counts here.
    std::hint::black_box((stacks, faults, diagnosis, names, death));
    Ok(())
}

/// Reads, through `recorder`, the general registers that user code left on the stacks: where it was lies behind them.
fn saved_by_user_code(kernel: &Kernel<'_>, stacks: &[Stack], recorder: &ReadRecorder<'_>) {
    let saved = stacks.iter().flat_map(|stack| &stack.interrupts).filter(|saved| saved.registers.user_mode());
    let words = saved.flat_map(|saved| data_words(&saved.registers).map(|word| saved.address.wrapping_add(word * 8)));
    for word in words {
        if let Ok(at) = kernel.memory().translate(word) {
            // What the dump does not have is not kept either.
            let _ = recorder.read_physical(at, &mut [0; 8]);
        }
    }
}

/// The words of the saved registers that hold data of the interrupted code, counted from where they begin.
fn data_words(registers: &Registers) -> impl Iterator<Item = u64> {
    let (general, first_argument) = match registers {
        // `r15` to `di`, before `orig_ax`.
        Registers::X86_64(_) => (15, None),
        // `x0` to `x30`, and `orig_x0` behind the stack pointer, the place in the code and its state.
        Registers::Arm64(_) => (31, Some(34)),
    };
    (0..general).chain(first_argument)
}

/// Puts another name in place of the bytes of one.
fn blot(bytes: &[Range<PhysAddr>], blots: &mut BTreeMap<PhysAddr, u8>) {
    let name = REDACTED.iter().copied().chain(std::iter::repeat(0));
    blots.extend(bytes.iter().map(|byte| byte.start).zip(name));
}

/// What is read of the log alone.
fn log_only(dump: &Dump, vmlinux: &Vmlinux, choice: KernelChoice) -> Result<ReadMemory, Failure> {
    let (without, with) = (ReadRecorder::new(dump), ReadRecorder::new(dump));
    Kernel::open_through(dump, vmlinux, &without, choice)?;
    let kernel = Kernel::open_through(dump, vmlinux, &with, choice)?;
    let _read = kernel.log(&mut Vec::new());
    drop(kernel);
    let mut log = with.into_memory();
    log.remove(&without.into_memory());
    Ok(log)
}
