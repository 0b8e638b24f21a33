//! `distill`: a small dump that holds only the pages that the other commands read.
//!
//! Every command is run in memory once, through a recorder of pages; what it read is written as an ELF core with the
//! notes of the original. The result still holds whatever those pages hold: kernel data, stacks, the kernel log.

use std::io;

use vmcore_debuginfo::Vmlinux;
use vmcore_diagnose::{Options, collect, judge};
use vmcore_dump::{Dump, write_elf_core};
use vmcore_kernel::{Detail, Kernel, Snapshot};
use vmcore_memory::{PageRecorder, Pfn, PhysAddr, read_page};

use crate::cli;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Context, Files};
use crate::status::Status;

pub(crate) fn run(input: &cli::Input, context: &Context, output: Output) -> Result<Status, Failure> {
    let output = output.for_binary()?;
    let Files { dump, vmlinux, .. } = Files::open(input, context)?;
    let recorder = PageRecorder::new(dump);
    context.step("reading what an analysis needs", || visit(dump, vmlinux, &recorder))?;
    let pages = recorder.pages();
    context.step("writing the pages", || output.write_with(|out| write(dump, &pages, out)))?;
    tracing::info!("kept {} of {} pages", pages.len(), dump.page_count().present);
    Ok(Status::NothingFound)
}

/// Reads what `analyze`, `bt --all`, `ps`, `runq`, `dmesg` and `info` read.
fn visit(dump: &Dump, vmlinux: &Vmlinux, recorder: &PageRecorder<'_>) -> Result<(), Failure> {
    let kernel = Kernel::open_through(dump, vmlinux, recorder)?;
    let snapshot = Snapshot::read(&kernel);
    let everyone: Vec<usize> = (0..snapshot.tasks.len()).collect();
    let stacks = snapshot.stacks(&kernel, &everyone, Detail::Symbols);
    let facts = collect(&kernel, &snapshot);
    let diagnosis = judge(&facts, &kernel, &Options::default());
    let log = kernel.log(&mut Vec::new());
    let names = (kernel.utsname(), super::machine::banner(&kernel));
    let death = (kernel.panic(&snapshot, &log), kernel.uptime_ns(&log));
    // Only the reading counts here.
    std::hint::black_box((stacks, diagnosis, names, death));
    Ok(())
}

fn write(dump: &Dump, pages: &[Pfn], mut out: &mut dyn io::Write) -> io::Result<()> {
    // The recorder keeps a page of which any part was read; at the end of memory the whole of it may not be there.
    let kept: Vec<(PhysAddr, Vec<u8>)> =
        pages.iter().filter_map(|&pfn| Some((pfn.phys_addr()?, read_page(dump, pfn)?))).collect();
    write_elf_core(&mut out, dump.raw_notes(), kept.iter().map(|(start, bytes)| (*start, bytes.as_slice())))
}
