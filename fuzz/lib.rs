//! What the targets share.

mod patch;

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::Dump;
use vmcore_memory::{Architecture, PhysAddr, ReadPhysical, VirtAddr};

pub use crate::patch::Patcher;

/// Gives `bytes` a path: the parsers of whole files map them. One file for each process, without a name, in memory
/// where there is such a place.
pub fn with_file(bytes: &[u8], parse: impl FnOnce(&Path)) {
    static FILE: OnceLock<(PathBuf, File)> = OnceLock::new();
    let (path, file) = FILE.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let directory = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let path = directory.join(format!("vmcore-fuzz.{}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).expect("a file can be made");
        std::fs::remove_file(&path).expect("its name can be removed");
        (PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())), file)
    });
    // The mapping of the run before is gone: its owner was dropped.
    file.set_len(bytes.len() as u64).expect("the file can be cut");
    file.write_all_at(bytes, 0).expect("the file can be written");
    parse(path);
}

/// `bytes` with their first ones replaced.
pub fn with_magic(bytes: &[u8], magic: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().max(magic.len()), 0);
    bytes[..magic.len()].copy_from_slice(magic);
    bytes
}

/// Opens a dump and reads some of all that it says it has.
pub fn open_dump(bytes: &[u8]) {
    with_file(bytes, |path| {
        let Ok(dump) = Dump::open(path) else { return };
        let _ = (dump.page_count(), dump.dump_level(), dump.warnings().len());
        let _ = dump.incomplete().map(ToString::to_string);
        let _ = dump.vmcoreinfo().map(|info| (info.build_id(), info.symbol("init_task"), info.number("phys_base")));
        let mut page = [0; 4096];
        for segment in dump.segments().iter().take(64) {
            for address in [segment.physical.get(), segment.physical.get().wrapping_add(segment.memory_size)] {
                let _ = dump.read_physical(PhysAddr::new(address), &mut page);
                let _ = dump.read_physical(PhysAddr::new(address.wrapping_sub(8)), &mut page[..16]);
            }
        }
    });
}

/// Opens debug information and asks it some of everything.
pub fn open_vmlinux(bytes: &[u8]) {
    with_file(bytes, |path| {
        let Ok(vmlinux) = Vmlinux::open(path) else { return };
        let _ = (vmlinux.build_id(), vmlinux.banner(), vmlinux.btf_problem());
        let symbols = vmlinux.symbols();
        let first = symbols.address("_text");
        let addresses = [first.unwrap_or_default(), VirtAddr::new(0xffff_ffff_8100_0010), VirtAddr::new(u64::MAX)];
        for address in addresses {
            let _ = symbols.lookup(address);
            let _ = vmlinux.read_static(address, 64);
        }
        let _ = symbols.addresses("_text").count();
        let _ = vmlinux.types().member("task_struct", "sched_info.last_arrival");
        if let Some(types) = vmlinux.dwarf_types() {
            let _ = (types.member("task_struct", "se.load"), types.enumerator("PG_locked"));
        }
        let _ = vmlinux.source_frames(&addresses);
        for name in [".debug_frame", ".orc_unwind", ".orc_unwind_ip", ".notes"] {
            let _ = vmlinux.section(name);
        }
        if let Some(frames) = vmlinux.call_frames(Architecture::X86_64) {
            let _ = frames.find(addresses[1]);
        }
    });
}

/// Where in an ELF core the first bytes of memory are: `p_offset` of its first `PT_LOAD`.
pub fn memory_at(core: &[u8]) -> usize {
    let number =
        |at: usize, len: usize| core[at..at + len].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (table, count) = (number(32, 8), number(56, 2));
    let headers = (0..count).map(|index| table + 56 * index);
    headers.filter(|&at| number(at, 4) == 1).map(|at| number(at + 8, 8)).min().expect("a core has memory")
}
