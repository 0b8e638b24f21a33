//! One crashed kernel: its memory, layouts and code, found once and used by everything else.

mod cpus;
mod names;
mod pages;

use vmcore_debuginfo::{ModuleFiles, Vmlinux};
use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_memory::{Architecture, ReadPhysical};

use crate::address_space::AddressSpace;
use crate::code::Code;
use crate::ground::x86_64::boot::Regions;
use crate::ground::x86_64::location::{FoundBy, KernelChoice, KernelInMemory, Role};
use crate::layout::Resolver;
use crate::modules::{Module, ModuleLayout, ModuleTypes, Modules};
use crate::opening::{self, Opened};
use crate::page::PageLayout;
use crate::paging::{PageFormat, SwapLayout};
use crate::runqueue::RunQueueLayout;
use crate::stacks::{Stacks, TaskStart};
use crate::task::TaskLayout;
use crate::tracers::Tracers;
use crate::unwind_tables::UnwindTables;
use crate::{Gap, KernelError, PerCpu, identity};

/// An opened kernel. Everything it hands out is read from the dump when asked for.
pub struct Kernel<'a> {
    dump: &'a Dump,
    vmlinux: &'a Vmlinux,
    found_by: FoundBy,
    kernels: Vec<KernelInMemory>,
    role: Role,
    release: Option<String>,
    build_id: Option<Vec<u8>>,
    memory: AddressSpace<'a>,
    regions: Regions,
    kaslr_offset: u64,
    format: PageFormat,
    pac_mask: u64,
    frame_record: Option<crate::layout::Field>,
    pub(crate) tracers: Tracers,
    percpu: PerCpu,
    code: Code<'a>,
    module_types: ModuleTypes,
    swap: SwapLayout,
    pub(crate) task_layout: TaskLayout,
    run_queue_layout: RunQueueLayout,
    page_layout: PageLayout,
    pgd: crate::layout::Field,
    pub(crate) stack_layout: Stacks,
    pub(crate) start_layout: TaskStart,
    gaps: Vec<Gap>,
}

impl<'a> Kernel<'a> {
    /// Opens the kernel whose memory is in `dump` and whose debug information is `vmlinux`.
    ///
    /// # Errors
    ///
    /// [`KernelError`] where the two do not belong together, or where nothing could be found without what is missing.
    pub fn open(dump: &'a Dump, vmlinux: &'a Vmlinux) -> Result<Self, KernelError> {
        Self::open_through(dump, vmlinux, dump, KernelChoice::Best)
    }

    /// As [`Kernel::open`], with all memory read through `physical`, which stands in front of the dump, and with a choice
    /// where several kernels are in memory.
    ///
    /// # Errors
    ///
    /// As [`Kernel::open`].
    pub fn open_through(
        dump: &'a Dump,
        vmlinux: &'a Vmlinux,
        physical: &'a dyn ReadPhysical,
        choice: KernelChoice,
    ) -> Result<Self, KernelError> {
        let opened = Self::open_with_types(dump, vmlinux, physical, choice);
        opened.map_err(|error| error.with_problem_of(vmlinux))
    }

    fn open_with_types(
        dump: &'a Dump,
        vmlinux: &'a Vmlinux,
        physical: &'a dyn ReadPhysical,
        choice: KernelChoice,
    ) -> Result<Self, KernelError> {
        let mut gaps = Vec::new();
        let opened = opening::open(dump, vmlinux, physical, choice, &mut gaps)?;
        let Opened { memory, regions, kaslr_offset, format, pac_mask, found_by, kernels, role } = opened;
        for other in kernels.iter().filter(|kernel| !kernel.chosen) {
            let what = format!("another kernel at physical {}", other.image);
            gaps.push(Gap::new(what, format!("{}; it is not analyzed", other.role)));
        }
        let symbols = vmlinux.symbols();
        let runtime = |name| symbols.address(name).map(|address| address.wrapping_add(kaslr_offset));
        let info = dump.vmcoreinfo().filter(|_| found_by == FoundBy::Vmcoreinfo);
        let build_id = info
            .and_then(Vmcoreinfo::build_id)
            .or_else(|| identity::build_id_in_memory(&memory, runtime("__start_notes")?, runtime("__stop_notes")?));
        let same_build = identity::check_build_id(build_id.as_deref(), info.and_then(Vmcoreinfo::osrelease), vmlinux)?;
        if let (Some(info), false, Some(banner)) = (info, same_build, runtime("linux_banner")) {
            identity::check_banner(&memory, banner, info, vmlinux)?;
        }
        let banner = vmlinux.banner().unwrap_or_default();
        let release = info.and_then(Vmcoreinfo::osrelease).or_else(|| identity::release_of(&banner));
        let types = Resolver::new(vmlinux.types());
        let percpu = PerCpu::read(&memory, vmlinux, kaslr_offset, &mut gaps)?;
        gaps.extend(opening::what_has_no_name(vmlinux));
        let architecture = dump.architecture();
        let orc = match architecture {
            Architecture::X86_64 => UnwindTables::read(vmlinux, &mut gaps),
            Architecture::Arm64 => {
                gaps.extend(opening::what_unwinds(vmlinux));
                UnwindTables::default()
            }
        };
        // The one is not named where kallsyms has no variables, the other is for modules to use.
        let is_modular = ["modules", "register_module_notifier"].iter().any(|name| symbols.address(name).is_some());
        let modules = if is_modular {
            Modules::read(&memory, runtime("modules"), ModuleLayout::resolve(types), &mut gaps)
        } else {
            Modules::default()
        };
        Ok(Self {
            dump,
            vmlinux,
            found_by,
            kernels,
            role,
            release: release.map(str::to_owned),
            build_id,
            code: Code::new(vmlinux, kaslr_offset, architecture, modules, orc),
            module_types: ModuleTypes::default(),
            swap: opening::swap_layout(dump, vmlinux, &memory, kaslr_offset, format, &mut gaps),
            task_layout: TaskLayout::resolve(types)?,
            run_queue_layout: RunQueueLayout::resolve(types)?,
            page_layout: PageLayout::resolve(types)?,
            pgd: types.field("mm_struct", "pgd")?,
            stack_layout: Stacks::resolve(architecture, types, symbols, 1 << format.page_shift()),
            start_layout: TaskStart::resolve(architecture, types, symbols)?,
            memory,
            regions,
            kaslr_offset,
            format,
            pac_mask,
            frame_record: types.optional("pt_regs", "stackframe"),
            tracers: Tracers::new(runtime),
            percpu,
            gaps,
        })
    }

    /// Whether `vmlinux` has the symbols and layouts without which [`Kernel::open`] fails, whatever the dump.
    ///
    /// # Errors
    ///
    /// [`KernelError::MissingSymbol`], [`KernelError::Layout`] or [`KernelError::RefusedBtf`] with the first that is missing.
    pub fn check_debug_info(vmlinux: &Vmlinux) -> Result<(), KernelError> {
        Self::check_layouts(vmlinux).map_err(|error| error.with_problem_of(vmlinux))
    }

    fn check_layouts(vmlinux: &Vmlinux) -> Result<(), KernelError> {
        let (types, symbols) = (Resolver::new(vmlinux.types()), vmlinux.symbols());
        for name in ["_stext", "init_task", "runqueues"] {
            symbols.address(name).ok_or(KernelError::MissingSymbol(name))?;
        }
        PerCpu::check(vmlinux)?;
        TaskLayout::resolve(types)?;
        RunQueueLayout::resolve(types)?;
        PageLayout::resolve(types)?;
        types.field("mm_struct", "pgd")?;
        // Of one machine or the other.
        let start = |architecture| TaskStart::resolve(architecture, types, symbols);
        start(Architecture::X86_64).or_else(|error| start(Architecture::Arm64).map_err(|_| error))?;
        Ok(())
    }

    /// Says where files of modules may be found. They are looked for when source lines of a module are asked for.
    pub fn set_module_files(&mut self, files: ModuleFiles) {
        self.code.modules.set_files(files);
    }

    /// The dump.
    #[must_use]
    pub fn dump(&self) -> &'a Dump {
        self.dump
    }

    /// The debug information.
    #[must_use]
    pub fn vmlinux(&self) -> &'a Vmlinux {
        self.vmlinux
    }

    /// The kernel's virtual memory.
    #[must_use]
    pub fn memory(&self) -> &AddressSpace<'a> {
        &self.memory
    }

    /// The dump's VMCOREINFO; `None` where there is none, or it is not that of the kernel in memory.
    #[must_use]
    pub fn vmcoreinfo(&self) -> Option<&'a Vmcoreinfo> {
        self.dump.vmcoreinfo().filter(|_| self.found_by == FoundBy::Vmcoreinfo)
    }

    /// How it is known where the kernel is.
    #[must_use]
    pub fn found_by(&self) -> FoundBy {
        self.found_by
    }

    /// All kernels of this build in memory, this one among them; empty where no other was looked for.
    #[must_use]
    pub fn kernels_in_memory(&self) -> &[KernelInMemory] {
        &self.kernels
    }

    /// What this kernel was doing.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// `uname -r`.
    #[must_use]
    pub fn release(&self) -> Option<&str> {
        self.release.as_deref()
    }

    /// The build-id of the kernel in the dump: from VMCOREINFO, or from the notes in its memory.
    #[must_use]
    pub fn build_id(&self) -> Option<&[u8]> {
        self.build_id.as_deref()
    }

    /// Run-time minus link-time address of the kernel image, in bytes.
    #[must_use]
    pub fn kaslr_offset(&self) -> u64 {
        self.kaslr_offset
    }

    /// The CPUs.
    #[must_use]
    pub fn percpu(&self) -> &PerCpu {
        &self.percpu
    }

    /// The loaded modules, as far as their list could be read: see [`Kernel::modules_unread`].
    #[must_use]
    pub fn modules(&self) -> &[Module] {
        self.code.modules.all()
    }

    /// Why modules may be missing from [`Kernel::modules`]; empty where the whole list was read.
    #[must_use]
    pub fn modules_unread(&self) -> &[Gap] {
        self.code.modules.unread()
    }

    /// What could not be read while the kernel was opened.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    pub(crate) fn code(&self) -> &Code<'a> {
        &self.code
    }

    /// The machine's architecture.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.dump.architecture()
    }
}
