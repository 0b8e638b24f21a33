//! Opening a dump and the vmlinux that belongs to it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use vmcore_debuginfo::{OpenError, TypesOrigin, Vmlinux, VmlinuxKind};
use vmcore_dump::{Dump, OpenError as NotADump, Unpacking};
use vmcore_kernel::{Kernel, KernelChoice, Sweep, release_of, sections_from_dump, vmlinux_from_dump};
use vmcore_memory::Architecture;
use vmcore_os::UnfinishedFile;

use crate::cli::{Input, Search};
use crate::failure::Failure;
use crate::pasted::quoted;
use crate::run::Run;
use crate::unpack::UnpackView;
use crate::vmlinux_search::Build;
use crate::{debuginfod, profiles, remote, remote_debug, vmcoreinfo, vmlinux_search};

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
    pub(crate) fn open(input: &Input, run: &Run) -> Result<Self, Failure> {
        let (dump, input) = open_and_warn(input, run)?;
        Self::of(dump, &input, run)
    }

    /// The same with a dump that is open already.
    pub(crate) fn of(dump: &'static Dump, input: &Input, run: &Run) -> Result<Self, Failure> {
        let (vmlinux, vmlinux_path) = match (profiles::kept(dump, &input.search), &input.vmlinux) {
            (Some((profile, path)), _) => (supplied(profile, dump), path),
            (None, Some(path)) => (open_vmlinux(path, dump, input, run)?, remote::shown(path)),
            (None, None) => find_vmlinux(dump, input, run)?,
        };
        Ok(Self { dump, vmlinux: leak(vmlinux), vmcore_path: input.vmcore.clone(), vmlinux_path })
    }
}

/// Opens the dump and says what is wrong with it; with the input as it was meant.
pub(crate) fn open_and_warn(input: &Input, run: &Run) -> Result<(&'static Dump, Input), Failure> {
    run.start_threads()?;
    vmlinux_search::check_directories(&input.search)?;
    let (dump, input) = open_either_way(input, run)?;
    let dump: &'static Dump = leak(dump);
    for warning in dump.warnings() {
        run.warn(warning);
    }
    if let Some(incomplete) = dump.incomplete() {
        let others = if incomplete.missing_frames.is_empty() { "" } else { "; name the other files with --part" };
        run.warn(format_args!("the dump is incomplete: {incomplete}{others}"));
    }
    if dump.has_grown() {
        run.warn("the dump is still being written: this is about what it had when it was opened");
    }
    Ok((dump, input))
}

/// The vmlinux on this machine or a server, or else the one that the dump itself makes, with the path that it is from.
fn find_vmlinux(dump: &Dump, input: &Input, run: &Run) -> Result<(Vmlinux, PathBuf), Failure> {
    // Without VMCOREINFO the kernel's own tables alone say which vmlinux it needs.
    let (build, own) = match dump.vmcoreinfo() {
        Some(info) => (Build::by_vmcoreinfo(info), None),
        None => {
            let own = fallback_vmlinux(dump, input, run).map_err(|why| {
                Failure::new("the dump has no VMCOREINFO note, so it does not say which vmlinux it needs")
                    .hint("give the vmlinux after the dump")
                    .because(why)
            })?;
            (Build::by_fallback_tables(&own), Some(own))
        }
    };
    let accept = |path: &Path| {
        let vmlinux = open_vmlinux(path, dump, input, run)?;
        suffices(dump, &vmlinux, input.more.kernel()).map(|()| vmlinux)
    };
    let not_found = match vmlinux_search::find(&build, input, run, accept) {
        Ok(found) => return Ok(found),
        Err(not_found) => not_found,
    };
    let message = format!(
        "{}; using the symbols, types and unwind tables in the dump itself: no source lines",
        not_found.message()
    );
    let own = own.map_or_else(|| fallback_vmlinux(dump, input, run), Ok).map_err(|why| not_found.because(why))?;
    run.note(message);
    Ok((own, input.vmcore.clone()))
}

/// Whether a vmlinux that nobody named has what an analysis needs, and is of the dump's kernel. What is wrong with the dump
/// itself does not speak against it.
fn suffices(dump: &Dump, vmlinux: &Vmlinux, choice: KernelChoice) -> Result<(), Failure> {
    // On arm64 stacks are records of frames: tables add little to them.
    let has_tables = || {
        let of_stacks = vmlinux.section(".orc_unwind").is_some() || vmlinux.has_call_frames();
        of_stacks || dump.architecture() != Architecture::X86_64
    };
    match Kernel::open_through(dump, vmlinux, dump, choice) {
        Ok(_) if !has_tables() => Err(Failure::new("it has no tables to unwind stacks with")),
        Err(error) if error.is_of_vmlinux() => Err(error.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Opens a vmlinux with its debug file; what they leave to the kernel's memory comes from there.
fn open_vmlinux(path: &Path, dump: &Dump, input: &Input, run: &Run) -> Result<Vmlinux, Failure> {
    let directories = vmlinux_search::directories(&input.search);
    // One on a server is open when the temporary file goes away.
    let copy = remote_debug::download(path, run)?;
    let file = copy.as_ref().map_or(path, UnfinishedFile::path);
    let opened = run.step("opening the vmlinux", || Vmlinux::open_with(file, &directories));
    let vmlinux = match opened {
        Err(OpenError::NoSymbols { .. }) => match downloaded(file, &input.search, run)? {
            Some(debug_file) => Vmlinux::open(&debug_file)?,
            None => opened?,
        },
        opened => opened?,
    };
    if let Some(debug_file) = vmlinux.debug_file() {
        tracing::info!("its debug file is {}", debug_file.display());
    }
    for why in vmlinux.rejected_debug_files() {
        run.warn(why);
    }
    if let Some(problem) = vmlinux.btf_problem()
        && vmlinux.types().origin() == TypesOrigin::Dwarf
    {
        run.warn(format_args!("{}: {problem}; the types are read from its DWARF", path.display()));
    }
    // Before anything of the dump is added to it: a profile is for all dumps of a kernel.
    let vmlinux = profiles::keep(&vmlinux, path, input, run).unwrap_or(vmlinux);
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
fn downloaded(stripped: &Path, search: &Search, run: &Run) -> Result<Option<PathBuf>, Failure> {
    let Some(build_id) = Vmlinux::build_id_of(stripped)? else { return Ok(None) };
    debuginfod::vmlinux(&build_id, search, run).map_err(|error| {
        Failure::new(format_args!("{} has no symbol table; debuginfod: {error}", stripped.display()))
            .hint("give the vmlinux of the kernel's debug package")
    })
}

/// Opens the dump, also where the two files are named in the other order; with the input as it was meant.
fn open_either_way(input: &Input, run: &Run) -> Result<(Dump, Input), Failure> {
    let error = match open_dump(input, run) {
        Ok(dump) => return Ok((dump, Input { vmcore: remote::shown(&input.vmcore), ..input.clone() })),
        Err(error) => error,
    };
    let swapped = match (&error, &input.vmlinux) {
        (DumpFailure::Open(NotADump::NotACore { .. }), Some(vmlinux)) => {
            Input { vmcore: vmlinux.clone(), vmlinux: Some(input.vmcore.clone()), ..input.clone() }
        }
        (DumpFailure::Open(NotADump::NotACore { .. }), None) => {
            return Err(without_dump(&input.vmcore).unwrap_or_else(|| error.into()));
        }
        _ => return Err(error.into()),
    };
    let Ok(dump) = open_dump(&swapped, run) else { return Err(error.into()) };
    run.note(format_args!(
        "{} is the dump, and {} the vmlinux: the arguments were swapped",
        remote::shown(&swapped.vmcore).display(),
        remote::shown(&input.vmcore).display()
    ));
    Ok((dump, Input { vmcore: remote::shown(&swapped.vmcore), ..swapped }))
}

/// That a vmlinux or a profile was named and no dump; `None` where it is neither.
fn without_dump(path: &Path) -> Option<Failure> {
    let vmlinux = Vmlinux::open(path).ok()?;
    let banner = vmlinux.banner();
    let release = release_of(banner.as_deref()?)?;
    let what = match vmlinux.kind() {
        VmlinuxKind::Profile => "a profile, the debug information",
        VmlinuxKind::File | VmlinuxKind::Parts => "the vmlinux",
    };
    let shown = remote::shown(path);
    Some(
        Failure::new(format_args!("{} is {what} of {release}, not a dump", shown.display()))
            .hint(format_args!("name the dump first, then this file: `VMCORE {}`", quoted(&shown))),
    )
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
fn open_dump(input: &Input, run: &Run) -> Result<Dump, DumpFailure> {
    let file = |path: &Path| remote::dump_file(path, &input.search, run).map_err(DumpFailure::Complete);
    let first = file(&input.vmcore)?;
    let parts: Vec<_> = input.more.part.iter().map(|part| file(part)).collect::<Result<_, _>>()?;
    let start = Instant::now();
    let mut view = UnpackView::new(run.is_quiet());
    let unpacking = Unpacking {
        directory: Unpacking::default_directory(),
        limit: Unpacking::DEFAULT_LIMIT,
        watch: &mut |progress| view.show(progress),
    };
    let mut dump = Dump::open_files(&first, &parts, unpacking).map_err(DumpFailure::Open)?;
    tracing::info!("opening the dump: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    vmcoreinfo::complete(&mut dump, input, run).map_err(DumpFailure::Complete)?;
    Ok(dump)
}

/// The vmlinux that the dump itself makes, for want of a file; or why it makes none.
fn fallback_vmlinux(dump: &Dump, input: &Input, run: &Run) -> Result<Vmlinux, String> {
    let sweep = Sweep::default();
    run.sweep("reading the kernel's own tables", &sweep, || vmlinux_from_dump(dump, input.more.kernel(), &sweep))
        .map_err(|why| format!("the dump's own tables cannot stand in for it: {why}"))
}

/// Dumps are open until the process ends: giving hundreds of megabytes of mappings back would only delay that.
pub(crate) fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}
