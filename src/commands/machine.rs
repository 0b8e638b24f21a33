//! The parts of `info` and `analyze` that come from the files themselves.

use std::path::Path;

use vmcore_dump::Dump;
use vmcore_kernel::{Kernel, Snapshot, StacksFollowed, Utsname, hex};
use vmcore_report::machine;

use crate::minimal::Minimal;
use crate::session::Session;

/// The dump file.
pub(crate) fn dump(session: &Session, snapshot: &Snapshot) -> machine::Dump {
    let registers = snapshot.cpus.iter().filter(|cpu| cpu.registers.is_some()).map(|cpu| cpu.cpu).collect();
    dump_file(session.kernel.dump(), &session.vmcore, registers)
}

/// The dump file, of which it is not known which CPU's its registers are.
pub(crate) fn minimal_dump(minimal: &Minimal) -> machine::Dump {
    dump_file(minimal.dump, &minimal.vmcore, Vec::new())
}

fn dump_file(dump: &Dump, path: &Path, cpus_with_registers: Vec<u32>) -> machine::Dump {
    let pages = dump.page_count();
    machine::Dump {
        path: display(path),
        format: dump.format().to_string(),
        source: dump.source().to_string(),
        pages: pages.present,
        excluded_pages: pages.excluded,
        dump_level: dump.dump_level(),
        incomplete: dump.incomplete().is_some(),
        incomplete_reason: dump.incomplete().map(ToString::to_string),
        cpus_with_registers,
    }
}

/// The kernel.
pub(crate) fn kernel(kernel: &Kernel<'_>, snapshot: &Snapshot, followed: StacksFollowed) -> machine::Kernel {
    let names = kernel.utsname();
    let name = |name: fn(&Utsname) -> &String| names.as_ref().map(name).filter(|name| !name.is_empty()).cloned();
    let more_modules = !kernel.modules_unread().is_empty();
    machine::Kernel {
        release: kernel.release().map(str::to_owned).or_else(|| name(|names| &names.release)),
        version: name(|names| &names.version),
        nodename: name(|names| &names.nodename),
        build_id: kernel.build_id().map(hex),
        arch: kernel.architecture().utsname_machine(),
        kaslr_offset: kernel.kaslr_offset().into(),
        page_levels: kernel.page_levels(),
        cpus: kernel.percpu().is_complete().then_some(snapshot.cpus.len()),
        modules: Some(kernel.modules().len()).filter(|found| *found > 0 || !more_modules),
        more_modules,
        stacks: Some(followed.into()),
    }
}

/// The kernel, as far as VMCOREINFO says.
pub(crate) fn minimal_kernel(minimal: &Minimal) -> machine::Kernel {
    let Minimal { kernel, .. } = minimal;
    let info = kernel.vmcoreinfo();
    let names = kernel.utsname();
    let name = |name: fn(&Utsname) -> &String| names.as_ref().map(name).filter(|name| !name.is_empty()).cloned();
    machine::Kernel {
        release: info.osrelease().map(str::to_owned),
        version: name(|names| &names.version),
        nodename: name(|names| &names.nodename),
        build_id: kernel.build_id(),
        arch: minimal.dump.architecture().utsname_machine(),
        kaslr_offset: info.kerneloffset().unwrap_or_default().into(),
        page_levels: kernel.page_levels(),
        cpus: None,
        modules: None,
        more_modules: false,
        stacks: None,
    }
}

/// `Linux version RELEASE (BUILDER) (COMPILER) VERSION`, from the dump's memory.
pub(crate) fn banner(kernel: &Kernel<'_>) -> Option<String> {
    kernel.string_variable("linux_banner", 512).map(|banner| banner.trim_end().to_owned())
}

pub(crate) fn display(path: &Path) -> String {
    path.display().to_string()
}
