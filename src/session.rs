//! An opened dump with its kernel.

use std::cell::RefCell;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

use rayon::ThreadPoolBuilder;
use vmcore_debuginfo::{ModuleFiles, OpenError, Vmlinux};
use vmcore_dump::{Dump, OpenError as NotADump, Unpacking};
use vmcore_kernel::{
    FoundBy, Gap, Kernel, KernelChoice, KernelInMemory, Role, Snapshot, Sweep, sections_from_dump, vmlinux_from_dump,
};
use vmcore_report::Sanitized;

use crate::cli::{Global, Input, Search};
use crate::failure::Failure;
use crate::minimal::{Minimal, Opened};
use crate::output::Output;
use crate::unpack::UnpackView;
use crate::vmlinux_search::Build;
use crate::{debuginfod, profiles, progress, vmcoreinfo, vmlinux_search};

/// More warnings about missing data than this are only counted: the JSON has them all.
const MAX_GAPS_SHOWN: usize = 10;

/// Where a vmlinux says how to unwind stacks.
const UNWIND_TABLES: [&str; 3] = [".orc_unwind", ".debug_frame", ".eh_frame"];

/// How the run behaves, apart from what it does.
pub(crate) struct Context {
    quiet: bool,
    threads: Option<u16>,
    session: OnceLock<&'static Session>,
    /// Where the next output goes in place of standard output, and whether in colour.
    redirection: RefCell<Option<(Box<dyn Write>, bool)>>,
}

impl Context {
    pub(crate) fn new(options: &Global) -> Self {
        Self {
            quiet: options.quiet,
            threads: options.threads,
            session: OnceLock::new(),
            redirection: RefCell::default(),
        }
    }

    /// The dump that is open, or `input` opened. It stays open until the process ends.
    pub(crate) fn session(&self, input: &Input) -> Result<&'static Session, Failure> {
        if let Some(session) = self.session.get() {
            return match &input.vmlinux {
                None => Ok(session),
                Some(word) => Err(Failure::new(format_args!("'{}' has no meaning there", word.display()))
                    .hint("the dump is open already; --help shows what the command takes")),
            };
        }
        let session = leak(Session::open(input, self)?);
        Ok(self.session.get_or_init(|| session))
    }

    /// As [`Context::session`]; where no vmlinux is named and nothing describes the kernel, what VMCOREINFO alone tells.
    pub(crate) fn session_or_minimal(&self, input: &Input) -> Result<Opened, Failure> {
        if self.has_session() {
            return self.session(input).map(Opened::Whole);
        }
        let opened = Session::open_or_minimal(input, self)?;
        if let Opened::Whole(session) = opened {
            return Ok(Opened::Whole(self.session.get_or_init(|| session)));
        }
        Ok(opened)
    }

    /// Has the next output go to `writer`, in colour if the user wants colours at all; or again to standard output.
    pub(crate) fn redirect(&self, writer: Option<Box<dyn Write>>, colored: bool) {
        self.redirection.replace(writer.map(|writer| (writer, colored)));
    }

    /// `output`, where it does not go to a file sent to where it was redirected.
    pub(crate) fn redirected(&self, output: Output) -> Output {
        match self.redirection.take() {
            Some((writer, colored)) => output.with_writer(writer, colored),
            None => output,
        }
    }

    /// Whether a dump is open: every command is about it, whatever input it names.
    pub(crate) fn has_session(&self) -> bool {
        self.session.get().is_some()
    }

    /// Whether to say no more than what went wrong.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Runs one step of the work, with progress for who watches and its time for `-v`.
    pub(crate) fn step<T>(&self, message: &'static str, work: impl FnOnce() -> T) -> T {
        self.step_of(message, None, work)
    }

    /// The same of a step of which the length may be known.
    pub(crate) fn step_of<T>(
        &self,
        message: &'static str,
        extent: Option<&progress::Extent>,
        work: impl FnOnce() -> T,
    ) -> T {
        let start = Instant::now();
        let share = || extent.map(progress::Extent::share);
        let share: progress::Share<'_> = &share;
        let result = progress::during(message, self.quiet, extent.map(|_| share), work);
        tracing::info!("{message}: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
        result
    }

    /// The same of a search through all memory.
    pub(crate) fn sweep<T>(&self, message: &'static str, sweep: &Sweep, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = progress::during(message, self.quiet, Some(&|| sweep.share()), work);
        tracing::info!("{message}: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
        result
    }

    /// Warns on standard error. The text may come from the dump.
    pub(crate) fn warn(&self, message: impl std::fmt::Display) {
        if !self.quiet {
            // Nobody is left to be told when standard error is closed.
            let _ = writeln!(io::stderr().lock(), "warning: {}", Sanitized::new(&message.to_string()));
        }
    }

    /// Says on standard error what the user may want to know. The text may come from the dump.
    pub(crate) fn note(&self, message: impl std::fmt::Display) {
        if !self.quiet {
            // Nobody is left to be told when standard error is closed.
            let _ = writeln!(io::stderr().lock(), "note: {}", Sanitized::new(&message.to_string()));
        }
    }

    /// Warns of what could not be read.
    pub(crate) fn warn_gaps(&self, gaps: &[Gap]) {
        for gap in gaps.iter().take(MAX_GAPS_SHOWN) {
            self.warn(gap);
        }
        if let Some(more @ 1..) = gaps.len().checked_sub(MAX_GAPS_SHOWN) {
            self.warn(format_args!("{more} more things could not be read; --format json names them all"));
        }
    }

    /// Sets the thread pool up; left to itself it has one thread for each CPU.
    fn start_threads(&self) -> Result<(), Failure> {
        let Some(threads) = self.threads else { return Ok(()) };
        let mut pool = ThreadPoolBuilder::new().num_threads(threads.into());
        if threads == 1 {
            // This thread is the one: it does all the work itself.
            pool = pool.use_current_thread();
        }
        pool.build_global().map_err(|error| {
            Failure::new(format_args!("cannot start {threads} threads: {error}"))
                .hint("ask for fewer with --threads, or see `ulimit -u` and `ulimit -v`")
        })
    }
}

/// A dump and its vmlinux, opened but not yet put together.
pub(crate) struct Files {
    pub(crate) dump: &'static Dump,
    pub(crate) vmlinux: &'static Vmlinux,
    pub(crate) vmcore_path: PathBuf,
    /// The dump itself where the vmlinux was made from it.
    pub(crate) vmlinux_path: PathBuf,
}

impl Files {
    /// Opens the dump and the vmlinux that are named, or the vmlinux that is found.
    pub(crate) fn open(input: &Input, context: &Context) -> Result<Self, Failure> {
        let (dump, input) = open_and_warn(input, context)?;
        Self::of(dump, &input, context)
    }

    /// The same with a dump that is open already.
    fn of(dump: &'static Dump, input: &Input, context: &Context) -> Result<Self, Failure> {
        let (vmlinux, vmlinux_path) = match (profiles::kept(dump, &input.search), &input.vmlinux) {
            (Some((profile, path)), _) => (supplied(profile, dump), path),
            (None, Some(path)) => (open_vmlinux(path, dump, input, context)?, path.clone()),
            (None, None) => find_vmlinux(dump, input, context)?,
        };
        Ok(Self { dump, vmlinux: leak(vmlinux), vmcore_path: input.vmcore.clone(), vmlinux_path })
    }
}

/// Opens the dump and says what is wrong with it; with the input as it was meant.
fn open_and_warn(input: &Input, context: &Context) -> Result<(&'static Dump, Input), Failure> {
    context.start_threads()?;
    vmlinux_search::check_directories(&input.search)?;
    let (dump, input) = open_either_way(input, context)?;
    let dump: &'static Dump = leak(dump);
    for warning in dump.warnings() {
        context.warn(warning);
    }
    if let Some(incomplete) = dump.incomplete() {
        let others = if incomplete.missing_frames.is_empty() { "" } else { "; name the other files with --part" };
        context.warn(format_args!("the dump is incomplete: {incomplete}{others}"));
    }
    if dump.has_grown() {
        context.warn("the dump is still being written: this is about what it had when it was opened");
    }
    Ok((dump, input))
}

/// The vmlinux on this machine or a server, or else the one that the dump itself makes, with the path that it is from.
fn find_vmlinux(dump: &Dump, input: &Input, context: &Context) -> Result<(Vmlinux, PathBuf), Failure> {
    // Without VMCOREINFO the kernel's own tables alone say which vmlinux it needs.
    let (build, own) = match dump.vmcoreinfo() {
        Some(info) => (Build::by_vmcoreinfo(info), None),
        None => {
            let own = own_tables(dump, input, context).map_err(|why| {
                Failure::new("the dump has no VMCOREINFO note, so it does not say which vmlinux it needs")
                    .hint("name the vmlinux after the dump")
                    .because(why)
            })?;
            (Build::by_own_tables(&own), Some(own))
        }
    };
    let accept = |path: &Path| {
        let vmlinux = open_vmlinux(path, dump, input, context)?;
        suffices(dump, &vmlinux, input.more.kernel()).map(|()| vmlinux)
    };
    let not_found = match vmlinux_search::find(&build, &input.search, context, accept) {
        Ok(found) => return Ok(found),
        Err(not_found) => not_found,
    };
    let message = format!(
        "{}; using the symbols, types and unwind tables in the dump itself: no source lines",
        not_found.message()
    );
    let own = own.map_or_else(|| own_tables(dump, input, context), Ok).map_err(|why| not_found.because(why))?;
    context.note(message);
    Ok((own, input.vmcore.clone()))
}

/// Whether a vmlinux that nobody named has what an analysis needs, and is of the dump's kernel. What is wrong with the dump
/// itself does not speak against it.
fn suffices(dump: &Dump, vmlinux: &Vmlinux, choice: KernelChoice) -> Result<(), Failure> {
    match Kernel::open_through(dump, vmlinux, dump, choice) {
        Ok(_) if UNWIND_TABLES.iter().all(|name| vmlinux.section(name).is_none()) => {
            Err(Failure::new("it has no tables to unwind stacks with"))
        }
        Err(error) if error.is_of_vmlinux() => Err(error.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Opens a vmlinux with its debug file; what they leave to the kernel's memory comes from there.
fn open_vmlinux(path: &Path, dump: &Dump, input: &Input, context: &Context) -> Result<Vmlinux, Failure> {
    let directories = vmlinux_search::directories(&input.search);
    let opened = context.step("opening the vmlinux", || Vmlinux::open_with(path, &directories));
    let vmlinux = match opened {
        Err(OpenError::NoSymbols { .. }) => match downloaded(path, &input.search, context)? {
            Some(debug_file) => Vmlinux::open(&debug_file)?,
            None => opened?,
        },
        opened => opened?,
    };
    if let Some(debug_file) = vmlinux.debug_file() {
        tracing::info!("its debug file is {}", debug_file.display());
    }
    for why in vmlinux.rejected_debug_files() {
        context.warn(why);
    }
    // Before anything of the dump is added to it: a profile is for all dumps of a kernel.
    let vmlinux = profiles::keep(&vmlinux, path, input, context).unwrap_or(vmlinux);
    Ok(supplied(vmlinux, dump))
}

/// The vmlinux with what its files leave to the kernel's memory.
fn supplied(vmlinux: Vmlinux, dump: &Dump) -> Vmlinux {
    let supplied = sections_from_dump(dump, &vmlinux);
    for section in &supplied {
        tracing::info!("{} is taken from the dump: {} bytes", section.name, section.data.len());
    }
    vmlinux.with_supplied(supplied)
}

/// The debug file of a stripped vmlinux from a server; `None` where there is nobody to ask.
fn downloaded(stripped: &Path, search: &Search, context: &Context) -> Result<Option<PathBuf>, Failure> {
    let Some(build_id) = Vmlinux::build_id_of(stripped)? else { return Ok(None) };
    debuginfod::vmlinux(&build_id, search, context).map_err(|error| {
        Failure::new(format_args!("{} has no symbol table; debuginfod: {error}", stripped.display()))
            .hint("give the vmlinux of the kernel's debug package")
    })
}

/// Opens the dump, also where the two files are named in the other order; with the input as it was meant.
fn open_either_way(input: &Input, context: &Context) -> Result<(Dump, Input), Failure> {
    let error = match open_dump(input, context) {
        Ok(dump) => return Ok((dump, input.clone())),
        Err(error) => error,
    };
    let swapped = match (&error, &input.vmlinux) {
        (DumpFailure::Open(NotADump::NotACore { .. }), Some(vmlinux)) => {
            Input { vmcore: vmlinux.clone(), vmlinux: Some(input.vmcore.clone()), ..input.clone() }
        }
        _ => return Err(error.into()),
    };
    let Ok(dump) = open_dump(&swapped, context) else { return Err(error.into()) };
    context.note(format_args!(
        "{} is the dump, and {} the vmlinux: they were named the other way round",
        swapped.vmcore.display(),
        input.vmcore.display()
    ));
    Ok((dump, swapped))
}

/// Why there is no dump to read.
enum DumpFailure {
    Open(NotADump),
    Complete(Failure),
}

impl From<DumpFailure> for Failure {
    fn from(failure: DumpFailure) -> Self {
        match failure {
            DumpFailure::Open(error) => error.into(),
            DumpFailure::Complete(failure) => failure,
        }
    }
}

/// Opens the dump; one that is compressed as a whole is unpacked first.
fn open_dump(input: &Input, context: &Context) -> Result<Dump, DumpFailure> {
    let start = Instant::now();
    let mut view = UnpackView::new(context.quiet);
    let unpacking = Unpacking {
        directory: Unpacking::default_directory(),
        limit: Unpacking::DEFAULT_LIMIT,
        watch: &mut |progress| view.show(progress),
    };
    let mut dump = Dump::open_unpacking(&input.vmcore, &input.more.part, unpacking).map_err(DumpFailure::Open)?;
    tracing::info!("opening the dump: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    vmcoreinfo::complete(&mut dump, input, context).map_err(DumpFailure::Complete)?;
    Ok(dump)
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
    fn open(input: &Input, context: &Context) -> Result<Self, Failure> {
        Self::of(Files::open(input, context)?, input, context)
    }

    /// As [`Session::open`]; where no vmlinux is named and nothing describes the kernel, what VMCOREINFO alone tells.
    fn open_or_minimal(input: &Input, context: &Context) -> Result<Opened, Failure> {
        let (dump, input) = open_and_warn(input, context)?;
        let whole = Files::of(dump, &input, context).and_then(|files| Self::of(files, &input, context));
        match whole {
            Ok(session) => Ok(Opened::Whole(leak(session))),
            Err(failure) if input.vmlinux.is_none() && !failure.is_inconclusive() => {
                Minimal::open(dump, &input, failure, context).map(Opened::Minimal)
            }
            Err(failure) => Err(failure),
        }
    }

    fn of(files: Files, input: &Input, context: &Context) -> Result<Self, Failure> {
        let Files { dump, vmlinux, vmcore_path, vmlinux_path } = files;
        let mut kernel =
            context.step("opening the kernel", || Kernel::open_through(dump, vmlinux, dump, input.more.kernel()))?;
        kernel.set_module_files(ModuleFiles::new(vmlinux_search::directories(&input.search), kernel.release()));
        match kernel.found_by() {
            FoundBy::Vmcoreinfo => {}
            FoundBy::Registers => context.note("the kernel was found by the CPUs' page tables and descriptors"),
            FoundBy::Banner => context.note("the kernel was found by its banner in memory"),
        }
        tell_kernels(&kernel, input.more.kernel(), context)?;
        if let bit @ 1.. = kernel.physical_mask().encryption_bit() {
            context.note(format_args!("page-table entries have bit {} set for encrypted memory", bit.trailing_zeros()));
        }
        Ok(Self { vmcore: vmcore_path, vmlinux: vmlinux_path, kernel: leak(kernel), snapshot: OnceLock::new() })
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
    pub(crate) fn snapshot(&self, context: &Context) -> &Snapshot {
        self.snapshot.get_or_init(|| context.step("reading tasks and run queues", || Snapshot::read(self.kernel)))
    }
}

/// Says which kernel is analyzed where there are others. A crash kernel is not judged in place of the one that crashed,
/// unless the user asks for it.
fn tell_kernels(kernel: &Kernel<'_>, choice: KernelChoice, context: &Context) -> Result<(), Failure> {
    let kernels = kernel.kernels_in_memory();
    if let [_, _, ..] = kernels {
        let line = |it: &KernelInMemory| {
            let chosen = if it.chosen { " (analyzed)" } else { "" };
            format!("{} at physical {}: {}{chosen}", it.number, it.image, it.role)
        };
        let all: Vec<_> = kernels.iter().map(line).collect();
        context.note(format_args!("{} kernels are in memory: {}; --which N takes another", all.len(), all.join("; ")));
    }
    if kernel.role() == Role::Capture && choice == KernelChoice::Best {
        let hint = "give the vmlinux of the kernel that crashed, if it is of another build; --which 1 takes this one";
        let message = "the kernel in memory is a crash kernel, and the one that crashed was not found";
        return Err(Failure::inconclusive(message).hint(hint));
    }
    Ok(())
}

/// The vmlinux that the dump itself makes, for want of a file; or why it makes none.
fn own_tables(dump: &Dump, input: &Input, context: &Context) -> Result<Vmlinux, String> {
    let sweep = Sweep::default();
    context
        .sweep("reading the kernel's own tables", &sweep, || vmlinux_from_dump(dump, input.more.kernel(), &sweep))
        .map_err(|why| format!("the dump's own tables cannot stand in for it: {why}"))
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}
