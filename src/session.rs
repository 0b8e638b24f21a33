//! An opened dump with its kernel.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use vmcore_debuginfo::ModuleFiles;
use vmcore_kernel::{FoundBy, Kernel, KernelChoice, KernelError, KernelInMemory, Role, Snapshot};
use vmcore_report::Sanitized;

use crate::cli::Input;
use crate::failure::Failure;
use crate::files::{Files, leak, open_and_warn};
use crate::minimal::Minimal;
use crate::run::Run;
use crate::vmlinux_search;

/// What a dump could be opened as.
pub(crate) enum Opened {
    /// With all that describes its kernel.
    Whole(&'static Session),
    /// With VMCOREINFO alone.
    Minimal(Minimal),
}

/// A dump, its vmlinux and the kernel they make. They live until the process ends: giving hundreds of megabytes of
/// mappings back one by one would only delay that.
pub(crate) struct Session {
    pub(crate) vmcore: PathBuf,
    pub(crate) vmlinux: PathBuf,
    pub(crate) kernel: &'static Kernel<'static>,
    snapshot: OnceLock<Snapshot>,
}

impl Session {
    /// Opens the dump and the vmlinux that are named, or the vmlinux that is found.
    pub(crate) fn open(input: &Input, run: &Run) -> Result<Self, Failure> {
        Self::of(Files::open(input, run)?, input, run)
    }

    /// As [`Session::open`]; where no vmlinux is named and nothing describes the kernel, what VMCOREINFO alone tells.
    pub(crate) fn open_or_minimal(input: &Input, run: &Run) -> Result<Opened, Failure> {
        let (dump, input) = open_and_warn(input, run)?;
        let whole = Files::of(dump, &input, run).and_then(|files| Self::of(files, &input, run));
        match whole {
            Ok(session) => Ok(Opened::Whole(leak(session))),
            Err(failure) if input.vmlinux.is_none() && !failure.is_inconclusive() => {
                Minimal::open(dump, &input, failure, run).map(Opened::Minimal)
            }
            Err(failure) => Err(failure),
        }
    }

    fn of(files: Files, input: &Input, run: &Run) -> Result<Self, Failure> {
        let Files { dump, vmlinux, vmcore_path, vmlinux_path } = files;
        let mut kernel = run
            .step("opening the kernel", || Kernel::open_through(dump, vmlinux, dump, input.more.kernel()))
            .map_err(|error| of_file(error, &vmlinux_path))?;
        kernel.set_module_files(ModuleFiles::new(vmlinux_search::directories(&input.search), kernel.release()));
        match kernel.found_by() {
            FoundBy::Vmcoreinfo => {}
            FoundBy::Registers => run.note("the kernel was found by the CPUs' page tables and descriptors"),
            FoundBy::Banner => run.note("the kernel was found by its banner in memory"),
        }
        tell_kernels(&kernel, input.more.kernel(), run)?;
        if let bit @ 1.. = kernel.physical_mask().encryption_bit() {
            run.note(format_args!("page-table entries have bit {} set for encrypted memory", bit.trailing_zeros()));
        }
        Ok(Self { vmcore: vmcore_path, vmlinux: vmlinux_path, kernel: leak(kernel), snapshot: OnceLock::new() })
    }

    /// Does the last work of the process, which looks at nothing of the dump any more. The memory that the dump takes is given
    /// back meanwhile: for that of a hundred thousand tasks, the end of a process takes as long as a tenth of its work.
    pub(crate) fn last<T>(&self, work: impl FnOnce() -> T) -> T {
        rayon::in_place_scope(|scope| {
            scope.spawn(|_| self.kernel.dump().give_back());
            work()
        })
    }

    /// Says with `-v` which files source lines of modules came from.
    pub(crate) fn tell_module_files(&self) {
        for module in self.kernel.modules() {
            let name = Sanitized::new(&module.name).to_string();
            if let Some(file) = module.debug_file() {
                tracing::info!("module {name}: source lines from {}", file.display());
            }
            for why in module.rejected_files() {
                tracing::info!("module {name}: not used: {}", Sanitized::new(why));
            }
        }
    }

    /// The snapshot, if something has asked for it.
    pub(crate) fn snapshot_if_read(&self) -> Option<&Snapshot> {
        self.snapshot.get()
    }

    /// Tasks, run queues and registers, read when they are first asked for.
    pub(crate) fn snapshot(&self, run: &Run) -> &Snapshot {
        self.snapshot.get_or_init(|| run.step("reading tasks and run queues", || Snapshot::read(self.kernel)))
    }
}

/// Which vmlinux it is that an error is about, where it is about that.
fn of_file(error: KernelError, vmlinux: &Path) -> Failure {
    let is_of_vmlinux = error.is_of_vmlinux();
    let failure = Failure::from(error);
    if is_of_vmlinux { failure.about(vmlinux.display()) } else { failure }
}

/// Says which kernel is analyzed where there are others. A crash kernel is not judged in place of the one that crashed,
/// unless the user asks for it.
fn tell_kernels(kernel: &Kernel<'_>, choice: KernelChoice, run: &Run) -> Result<(), Failure> {
    let kernels = kernel.kernels_in_memory();
    if let [_, _, ..] = kernels {
        let line = |it: &KernelInMemory| {
            let chosen = if it.chosen { " (analyzed)" } else { "" };
            format!("{} at physical {}: {}{chosen}", it.number, it.image, it.role)
        };
        let all: Vec<_> = kernels.iter().map(line).collect();
        run.note(format_args!("{} kernels are in memory: {}; --which N takes another", all.len(), all.join("; ")));
    }
    if kernel.role() == Role::Capture && choice == KernelChoice::Best {
        let hint = "give the vmlinux of the kernel that crashed, if it is of another build; --which 1 takes this one";
        let message = "the kernel in memory is a crash kernel, and the one that crashed was not found";
        return Err(Failure::inconclusive(message).hint(hint));
    }
    Ok(())
}
