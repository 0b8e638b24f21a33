//! The kernel's description of itself for dumps whose writer left it out, or got it wrong.

use std::path::Path;

use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_kernel::find_vmcoreinfo;

use crate::failure::Failure;
use crate::session::Context;

/// Gives `dump` the text in `file`; without one, what its memory holds, if it has no note.
pub(crate) fn complete(dump: &mut Dump, file: Option<&Path>, context: &Context) -> Result<(), Failure> {
    if let Some(file) = file {
        dump.set_vmcoreinfo(&Vmcoreinfo::read_text(file)?);
    } else if dump.vmcoreinfo().is_none() {
        let found = context.step("searching all memory for VMCOREINFO", || find_vmcoreinfo(dump));
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
    Ok(())
}
