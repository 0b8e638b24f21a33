//! The kernel's description of itself for dumps whose writer left it out, or got it wrong.

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_kernel::{Sweep, find_vmcoreinfo, fit_memory_hole, vmcoreinfo_of};
use vmcore_memory::Architecture;

use crate::cli::Input;
use crate::failure::Failure;
use crate::run::Run;

/// Gives `dump` the text in the file that the user named; without one, what its memory holds, if it has no note.
pub(crate) fn complete(dump: &mut Dump, input: &Input, run: &Run) -> Result<(), Failure> {
    if let Some(file) = &input.more.vmcoreinfo {
        dump.set_vmcoreinfo(&Vmcoreinfo::read_text(file)?);
    } else if dump.vmcoreinfo().is_none() {
        // What is wrong with the vmlinux is said when it is opened for good.
        let vmlinux = input.vmlinux.as_deref().and_then(|path| Vmlinux::open(path).ok());
        let by_kernel = |vmlinux: &Vmlinux| {
            run.step("looking for VMCOREINFO", || vmcoreinfo_of(dump, vmlinux, input.more.kernel()))
        };
        let build_id = vmlinux.as_ref().and_then(Vmlinux::build_id);
        let sweep = Sweep::default();
        let search = || find_vmcoreinfo(dump, build_id, &sweep);
        let scan = || run.sweep("searching all memory for VMCOREINFO", &sweep, search);
        let found = vmlinux.as_ref().and_then(by_kernel).or_else(scan);
        match found {
            Some(found) => {
                let address = found.address;
                run.warn(format_args!("the dump has no VMCOREINFO note: the one at physical {address} is used"));
                dump.set_vmcoreinfo(&found.text);
            }
            None => {
                let next = match dump.architecture() {
                    Architecture::X86_64 => ": the kernel is searched for",
                    // Which is not known how to be done.
                    Architecture::Arm64 => "",
                };
                run.warn(format_args!("the dump has no VMCOREINFO, neither as a note nor in memory{next}"));
            }
        }
    }
    if let Some(info) = dump.vmcoreinfo().cloned()
        && let Some(hole) = fit_memory_hole(dump, &info)
    {
        run.note(format_args!("the image goes on at 4 GiB from {hole} on, as the page tables in it say"));
    }
    Ok(())
}
