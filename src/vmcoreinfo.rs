//! The kernel's description of itself for dumps whose writer left it out, or got it wrong.

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_kernel::{find_vmcoreinfo, fit_memory_hole};

use crate::cli::Input;
use crate::failure::Failure;
use crate::session::Context;

/// Gives `dump` the text in the file that the user named; without one, what its memory holds, if it has no note.
pub(crate) fn complete(dump: &mut Dump, input: &Input, context: &Context) -> Result<(), Failure> {
    if let Some(file) = &input.more.vmcoreinfo {
        dump.set_vmcoreinfo(&Vmcoreinfo::read_text(file)?);
    } else if dump.vmcoreinfo().is_none() {
        // Another kernel's can be there too; what is wrong with the file is said when it is opened.
        let build_id = input.vmlinux.as_deref().and_then(|path| Vmlinux::build_id_of(path).ok().flatten());
        let found = context.step("searching all memory for VMCOREINFO", || find_vmcoreinfo(dump, build_id.as_deref()));
        match found {
            Some(found) => {
                let address = found.address;
                context.warn(format_args!("the dump has no VMCOREINFO note: the one at physical {address} is used"));
                dump.set_vmcoreinfo(&found.text);
            }
            None => {
                context.warn("the dump has no VMCOREINFO, neither as a note nor in memory: the kernel is searched for");
            }
        }
    }
    if let Some(info) = dump.vmcoreinfo().cloned()
        && let Some(hole) = fit_memory_hole(dump, &info)
    {
        context.note(format_args!("the image goes on at 4 GiB from {hole} on, as the page tables in it say"));
    }
    Ok(())
}
