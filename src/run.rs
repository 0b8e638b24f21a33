//! How a run behaves, apart from what it does: its threads, its progress, its warnings.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::Instant;

use rayon::ThreadPoolBuilder;
use vmcore_kernel::{Gap, Sweep};
use vmcore_os::has_room_for;
use vmcore_report::Sanitized;

use crate::cli::Global;
use crate::failure::Failure;
use crate::progress;
use crate::secrets::without_secrets;

/// More warnings about missing data than this are only counted: the JSON has them all.
const MAX_GAPS_SHOWN: usize = 10;

/// The stack of a thread.
const STACK_BYTES: usize = 2 << 20;
/// What a thread takes of the process's addresses: its stack, that of its signal handlers, and pages that guard both.
const THREAD_BYTES: usize = STACK_BYTES + (64 << 10);

/// How the run behaves.
pub(crate) struct Run {
    quiet: bool,
    threads: Option<u16>,
}

impl Run {
    pub(crate) const fn new(options: &Global) -> Self {
        Self { quiet: options.quiet, threads: options.threads }
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
    pub(crate) fn warn(&self, message: impl Display) {
        if !self.quiet {
            // Nobody is left to be told when standard error is closed.
            let _ =
                writeln!(io::stderr().lock(), "warning: {}", Sanitized::new(&without_secrets(&message.to_string())));
        }
    }

    /// Says on standard error what the user may want to know. The text may come from the dump.
    pub(crate) fn note(&self, message: impl Display) {
        if !self.quiet {
            // Nobody is left to be told when standard error is closed.
            let _ = writeln!(io::stderr().lock(), "note: {}", Sanitized::new(&without_secrets(&message.to_string())));
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
    pub(crate) fn start_threads(&self) -> Result<(), Failure> {
        let Some(threads) = self.threads else { return Ok(()) };
        let failed = |why: &dyn Display| {
            Failure::new(format_args!("cannot start {threads} threads: {why}"))
                .hint("ask for fewer with --threads, or see `ulimit -u` and `ulimit -v`")
        };
        // A thread that has begun and gets no memory for its own needs ends the process with a signal.
        if threads > 1 && !has_room_for(usize::from(threads) * THREAD_BYTES) {
            return Err(failed(&"there is no room for their stacks").of_this_machine());
        }
        let mut pool = ThreadPoolBuilder::new().num_threads(threads.into()).stack_size(STACK_BYTES);
        if threads == 1 {
            // This thread is the one: it does all the work itself.
            pool = pool.use_current_thread();
        }
        pool.build_global().map_err(|error| failed(&error).of_this_machine())
    }
}
