//! The kernel's description of itself for dumps whose writer left it out, or got it wrong.

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_kernel::{
    FoundVmcoreinfo, Sweep, find_vmcoreinfo, fit_memory_base, fit_memory_hole, is_of_another_boot, is_of_this_boot,
    vmcoreinfo_of,
};
use vmcore_memory::Architecture;

use crate::cli::Input;
use crate::failure::Failure;
use crate::run::Run;

/// Gives `dump` the text in the file that the user named; without one, what its memory holds, if it has no note or one of another boot.
pub(crate) fn complete(dump: &mut Dump, input: &Input, run: &Run) -> Result<(), Failure> {
    let is_supplied = input.more.vmcoreinfo.is_none() && dump.vmcoreinfo().is_none();
    if let Some(file) = &input.more.vmcoreinfo {
        dump.set_vmcoreinfo(&Vmcoreinfo::read_text(file)?);
    } else if is_supplied {
        supply(dump, input, run);
    } else if is_of_another_boot(dump) {
        replace(dump, "the VMCOREINFO note", run);
    }
    lay_out(dump, run);
    // Which of several fits a raw image of arm64 shows only where that begins.
    if is_supplied && is_of_another_boot(dump) {
        replace(dump, "the VMCOREINFO that was found first", run);
    }
    Ok(())
}

/// For a dump without a note.
fn supply(dump: &mut Dump, input: &Input, run: &Run) {
    // What is wrong with the vmlinux is said when it is opened for good.
    let vmlinux = input.vmlinux.as_deref().and_then(|path| Vmlinux::open(path).ok());
    let by_kernel =
        |vmlinux: &Vmlinux| run.step("looking for VMCOREINFO", || vmcoreinfo_of(dump, vmlinux, input.more.kernel()));
    let build_id = vmlinux.as_ref().and_then(Vmlinux::build_id);
    if let Some(found) = vmlinux.as_ref().and_then(by_kernel).or_else(|| scan(dump, build_id, run)) {
        let address = found.address;
        run.warn(format_args!("the dump has no VMCOREINFO note: the one at physical {address} is used"));
        return dump.set_vmcoreinfo(&found.text);
    }
    if let Some(vmlinux) = &vmlinux {
        dump.assume_architecture(vmlinux.architecture());
    }
    let next = match dump.architecture() {
        Architecture::X86_64 => ": the kernel is searched for",
        // Which is not known how to be done.
        Architecture::Arm64 => "",
    };
    run.warn(format_args!("the dump has no VMCOREINFO, neither as a note nor in memory{next}"));
}

/// For a dump of arm64 whose VMCOREINFO, which is `which`, is of another boot.
fn replace(dump: &mut Dump, which: &str, run: &Run) {
    let found = scan(dump, dump.vmcoreinfo().and_then(Vmcoreinfo::build_id).as_deref(), run);
    let Some(found) = found.filter(|found| is_of_this_boot(dump, &found.text)) else { return };
    let address = found.address;
    run.warn(format_args!("{which} is of another boot of the machine: the one at physical {address} is used"));
    dump.set_vmcoreinfo(&found.text);
}

fn scan(dump: &Dump, build_id: Option<&[u8]>, run: &Run) -> Option<FoundVmcoreinfo> {
    let sweep = Sweep::default();
    run.sweep("searching all memory for VMCOREINFO", &sweep, || find_vmcoreinfo(dump, build_id, &sweep))
}

/// Where the memory of a raw image is.
fn lay_out(dump: &mut Dump, run: &Run) {
    let Some(info) = dump.vmcoreinfo().cloned() else { return };
    if let Some(base) = fit_memory_base(dump, &info) {
        run.note(format_args!("the image begins at physical {base}, as the kernel's name in it says"));
    }
    if let Some(hole) = fit_memory_hole(dump, &info) {
        run.note(format_args!("the image goes on at 4 GiB from {hole} on, as the page tables in it say"));
    }
}
