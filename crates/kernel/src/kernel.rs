//! One crashed kernel: its memory, layouts and code, found once and used by everything else.

use std::collections::BTreeMap;

use vmcore_debuginfo::{ModuleFiles, SourceFrame, Type, Vmlinux};
use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_memory::{Architecture, Pfn, PhysAddr, ReadError, ReadPhysical, ReadVirtual, VirtAddr};
use vmcore_unwind::Start;

use crate::address_space::AddressSpace;
use crate::arch::x86_64::boot::Regions;
use crate::arch::x86_64::location::{FoundBy, KernelChoice, KernelInMemory, Role};
use crate::code::{Code, SymbolName};
use crate::layout::Resolver;
use crate::list::Places;
use crate::modules::{self, Module, ModuleLayout, ModuleTypes, Modules};
use crate::opening::{self, Opened};
use crate::page::{Page, PageLayout};
use crate::paging::{PageFormat, PageTables, PhysicalMask, SwapLayout, Walk};
use crate::runqueue::{NodesLeft, RunQueue, RunQueueLayout, RunQueueReader};
use crate::stacks::{CpuRegisters, Stacks, TaskStart};
use crate::task::{Task, TaskLayout};
use crate::unwind_tables::UnwindTables;
use crate::{Gap, KernelError, PerCpu, frames, identity};

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
        let same_build = identity::check_build_id(build_id.as_deref(), vmlinux)?;
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
            Architecture::Arm64 => UnwindTables::default(),
        };
        let modules = Modules::read(&memory, runtime("modules"), ModuleLayout::resolve(types)?, &mut gaps);
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
            percpu,
            gaps,
        })
    }

    /// Whether `vmlinux` has the symbols and layouts without which [`Kernel::open`] fails, whatever the dump.
    ///
    /// # Errors
    ///
    /// [`KernelError::MissingSymbol`] or [`KernelError::Layout`] with the first that is missing.
    pub fn check_debug_info(vmlinux: &Vmlinux) -> Result<(), KernelError> {
        let (types, symbols) = (Resolver::new(vmlinux.types()), vmlinux.symbols());
        for name in ["_stext", "init_task", "modules", "runqueues", "__per_cpu_offset"] {
            symbols.address(name).ok_or(KernelError::MissingSymbol(name))?;
        }
        ModuleLayout::resolve(types)?;
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

    /// How many levels the page tables have.
    #[must_use]
    pub fn page_levels(&self) -> u8 {
        self.format.levels()
    }

    /// Which bits of page-table entries are addresses.
    #[must_use]
    pub fn physical_mask(&self) -> PhysicalMask {
        match self.format {
            PageFormat::X86_64 { mask, .. } => mask,
            PageFormat::Arm64(_) => PhysicalMask::ALL,
        }
    }

    /// The CPUs.
    #[must_use]
    pub fn percpu(&self) -> &PerCpu {
        &self.percpu
    }

    /// The loaded modules.
    #[must_use]
    pub fn modules(&self) -> &[Module] {
        self.code.modules.all()
    }

    /// The definition of `type_name` in the first module that has one, from the BTF that the kernel keeps of its modules.
    #[must_use]
    pub fn module_type(&self, type_name: &str) -> Option<Type<'_>> {
        let symbol = |name| self.symbol(name);
        let places = || {
            let base = (symbol("__start_BTF")?, symbol("__stop_BTF")?);
            Some(modules::Places { list: symbol("btf_modules")?, base })
        };
        self.module_types.find(&self.memory, Resolver::new(self.vmlinux.types()), places().as_ref(), type_name)
    }

    /// What could not be read while the kernel was opened.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    pub(crate) fn code(&self) -> &Code<'a> {
        &self.code
    }

    /// The run-time address of a symbol of the image. For a per-CPU variable use [`Kernel::percpu_symbol`].
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<VirtAddr> {
        self.vmlinux.symbols().address(name).map(|address| address.wrapping_add(self.kaslr_offset))
    }

    /// The address of a per-CPU variable on one CPU.
    #[must_use]
    pub fn percpu_symbol(&self, name: &str, cpu: u32) -> Option<VirtAddr> {
        self.percpu.address(self.vmlinux.symbols().address(name)?, cpu)
    }

    /// Whether a link-time address is that of a per-CPU variable of the image.
    #[must_use]
    pub fn is_percpu_symbol(&self, link_address: VirtAddr) -> bool {
        let symbols = self.vmlinux.symbols();
        let bounds = symbols.address("__per_cpu_start").zip(symbols.address("__per_cpu_end"));
        bounds.is_some_and(|(start, end)| (start..end).contains(&link_address))
    }

    /// The code of modules called `name`, each with the name of its module.
    #[must_use]
    pub fn module_symbols(&self, name: &str) -> Vec<(VirtAddr, String)> {
        self.code.modules.named(&self.memory, name)
    }

    /// Whether the address is code: of the image, of a module, or generated by the kernel.
    #[must_use]
    pub fn is_code(&self, address: VirtAddr) -> bool {
        self.code.is_text(&self.memory, address)
    }

    /// Visits pages of memory in parallel and collects what `visit` finds in each, by physical address, until there is
    /// more than `limit`; with the number of pages that were looked at.
    #[must_use]
    pub fn scan_pages<T: Send>(&self, limit: usize, visit: impl Fn(PhysAddr, &[u8]) -> Vec<T> + Sync) -> (Vec<T>, u64) {
        frames::scan(self.dump, limit, visit)
    }

    /// The link-time address of a run-time address in the image.
    #[must_use]
    pub fn link_address(&self, address: VirtAddr) -> VirtAddr {
        self.code.link_address(address)
    }

    /// Names a code address. `lookup` is inside the instruction that `pc` belongs to: one below for a return address.
    #[must_use]
    pub fn name_code(&self, pc: VirtAddr, lookup: VirtAddr) -> Option<SymbolName> {
        self.code.symbol(&self.memory, pc, lookup)
    }

    /// Whether the address is code of the kernel image itself, for which the vmlinux has source lines.
    #[must_use]
    pub fn is_image_text(&self, pc: VirtAddr) -> bool {
        self.code.is_image_text(pc)
    }

    /// The source frames of run-time code addresses, each inside the instruction that is meant: one answer per address
    /// and in their order, empty where nothing is known. Of the image the vmlinux knows them, of a module its file.
    #[must_use]
    pub fn source_frames(&self, addresses: &[VirtAddr]) -> Vec<Vec<SourceFrame>> {
        self.code.source_frames(&self.memory, addresses)
    }

    /// The `struct rq` of a CPU.
    #[must_use]
    pub fn run_queue_address(&self, cpu: u32) -> Option<VirtAddr> {
        self.percpu_symbol("runqueues", cpu)
    }

    /// Every CPU's run queue; `tasks` are all known tasks.
    #[must_use]
    pub fn run_queues(&self, tasks: &[Task], gaps: &mut Vec<Gap>) -> Vec<RunQueue> {
        let by_address: Places = tasks.iter().enumerate().map(|(index, task)| (task.address, index)).collect();
        let reader = RunQueueReader {
            memory: &self.memory,
            layout: &self.run_queue_layout,
            task_layout: &self.task_layout,
            tasks: &by_address,
            nodes: NodesLeft::default(),
        };
        let mut queues = Vec::new();
        for cpu in self.percpu.cpus() {
            let Some(address) = self.run_queue_address(cpu) else { continue };
            match reader.read(cpu, address, gaps) {
                Ok(queue) => queues.push(queue),
                Err(error) => gaps.push(Gap::new(format!("run queue of CPU {cpu}"), error)),
            }
        }
        queues
    }

    pub(crate) fn idle_task(&self, cpu: u32) -> Result<VirtAddr, ReadError> {
        let queue = self.run_queue_address(cpu).ok_or(ReadError::NonCanonical { address: VirtAddr::default() })?;
        self.run_queue_layout.idle(&self.memory, queue)
    }

    /// The registers of each CPU that the dump has some for; `current` gives the task that ran there.
    #[must_use]
    pub fn cpu_registers<'t>(&self, current: impl Fn(u32) -> Option<&'t Task>) -> BTreeMap<u32, CpuRegisters> {
        let crash_notes = self.symbol("crash_notes");
        let stacks = |cpu: u32| {
            let task = current(cpu).and_then(|task| self.stack_layout.task_stack(task.stack));
            task.into_iter().chain(self.stack_layout.cpu_stacks(&self.memory, &self.percpu, cpu)).collect()
        };
        let current_pid = |cpu: u32| current(cpu).map(|task| task.pid);
        crate::stacks::attribute(self.dump, &self.memory, &self.percpu, crash_notes, current_pid, stacks)
    }

    /// Where the walk of a task's stack begins that is not running.
    pub(crate) fn task_start(&self, task: VirtAddr) -> Result<Start, ReadError> {
        self.start_layout.read(&self.memory, &self.task_layout, task, self.kaslr_offset)
    }

    /// The bits of a code address that may hold an authentication code.
    pub(crate) const fn pac_mask(&self) -> u64 {
        self.pac_mask
    }

    /// Where in a `struct pt_regs` the frame record is that entry code makes; on arm64 alone.
    pub(crate) fn frame_record_offset(&self) -> Option<u64> {
        self.frame_record.map(|field| field.offset)
    }

    /// log2 of the size of the kernel's base pages: 12, on arm64 also 14 or 16.
    #[must_use]
    pub const fn page_shift(&self) -> u32 {
        self.format.page_shift()
    }

    /// Bytes that so many base pages have.
    #[must_use]
    pub const fn bytes_of_pages(&self, pages: u64) -> u64 {
        pages.saturating_mul(1 << self.page_shift())
    }

    /// The machine's architecture.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.dump.architecture()
    }

    /// The page tables of a process.
    ///
    /// # Errors
    ///
    /// As [`AddressSpace::translate`], where the `mm_struct` cannot be read.
    pub fn user_tables(&self, mm: VirtAddr) -> Result<PageTables, ReadError> {
        let pgd = self.pgd.read_pointer(&self.memory, mm)?;
        let root: PhysAddr = self.memory.translate(pgd)?;
        Ok(PageTables { root, format: self.format.of_user() })
    }

    /// Walks a process's page tables to a user address.
    ///
    /// # Errors
    ///
    /// As [`Kernel::user_tables`].
    pub fn walk_user(&self, mm: VirtAddr, address: VirtAddr) -> Result<Walk, ReadError> {
        Ok(self.user_tables(mm)?.walk(self.memory.physical(), address, &self.swap))
    }

    /// Walks the kernel's page tables.
    #[must_use]
    pub fn walk_kernel(&self, address: VirtAddr) -> Option<Walk> {
        Some(self.memory.tables()?.walk(self.memory.physical(), address, &self.swap))
    }

    /// How this kernel numbers swap types.
    #[must_use]
    pub fn swap_layout(&self) -> &SwapLayout {
        &self.swap
    }

    /// The address of the `struct page` of a frame, by the kernel's own number.
    #[must_use]
    pub fn page_address(&self, pfn: Pfn) -> Option<VirtAddr> {
        self.page_layout.address(self.regions.vmemmap?, pfn)
    }

    /// Reads the `struct page` at `address`.
    ///
    /// # Errors
    ///
    /// As [`ReadVirtual::read_virtual`].
    pub fn page(&self, address: VirtAddr) -> Result<Page, ReadError> {
        self.page_layout.read(&self.memory, self.regions.vmemmap, address)
    }

    /// A C string variable of the image, such as `linux_banner`, without control over what it holds.
    #[must_use]
    pub fn string_variable(&self, name: &str, max: usize) -> Option<String> {
        let bytes = self.memory.read_c_string(self.symbol(name)?, max).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}
