//! Typed Linux state, read from a dump with the layouts of its debug information.
//!
//! [`Kernel`] opens a dump and its vmlinux (a file, or one made from the dump itself by [`vmlinux_from_dump`]): where the kernel was loaded, its page tables, CPUs, modules and code.
//! [`Snapshot`] is what detectors and reports work on: tasks, run queues, registers and stacks as plain data.
//!
//! Layouts are never chosen by a version number: types, members and symbols are probed, the newest kernel's name first,
//! older ones as fall-backs with the commit that changed them. What cannot be read becomes a [`Gap`], and the rest goes
//! on.
//!
//! A dump is opened, its tasks are listed, one is unwound (`examples/stacks.rs` is the same as a program):
//!
//! ```
//! use std::path::Path;
//!
//! use vmcore_debuginfo::Vmlinux;
//! use vmcore_dump::Dump;
//! use vmcore_kernel::{Detail, Kernel, Snapshot, StackEnd};
//!
//! let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/6.1-cloud-amd64");
//! let dump = Dump::open(&files.join("thp-livelock.vmcore"))?;
//! let vmlinux = Vmlinux::open(&files.join("vmlinux.profile"))?;
//! let kernel = Kernel::open(&dump, &vmlinux)?;
//!
//! let snapshot = Snapshot::read(&kernel);
//! let splitter = snapshot.tasks.iter().position(|task| task.comm == "splitter").ok_or("no such task")?;
//! let stack = &snapshot.stacks(&kernel, &[splitter], Detail::Symbols)[0];
//! assert!(stack.frames.iter().any(|frame| frame.function() == Some("split_huge_page_to_list")));
//! assert_eq!(stack.end, StackEnd::UserMode);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod address_space;
mod arch;
mod calls;
mod code;
mod contents;
mod cpu_registers;
mod cpumask;
mod error;
mod fallback_tables;
mod followed;
mod frames;
mod ftrace;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod ground;
mod identity;
mod kernel;
mod layout;
mod list;
mod locks;
mod minimal;
mod modules;
mod names_in_memory;
mod opening;
mod other_class;
mod page;
pub mod paging;
mod panic;
mod percpu;
mod policy;
mod preempt_count;
mod preemption;
mod printk;
mod pte;
mod rcu;
mod runqueue;
mod scheduler;
mod sleeps_queued;
mod snapshot;
mod stack_words;
mod stacks;
mod system_calls;
mod task;
mod task_machine;
mod task_state;
mod tasks;
#[cfg(test)]
mod test_memory;
mod timekeeper;
mod tracers;
mod unwind_tables;
mod uptime;
mod utsname;
mod vmcoreinfo_scan;

pub use address_space::AddressSpace;
pub use calls::{PendingCall, PendingCalls};
pub use code::SymbolName;
pub use contents::Contents;
pub use cpu_registers::{CpuRegisters, RegisterSource};
pub use cpumask::CpuMask;
pub use error::{Build, Gap, KernelError, LayoutError};
pub use fallback_tables::{FallbackTablesError, KallsymsError, sections_from_dump, vmlinux_from_dump};
pub use followed::{Followed, StackSurvey, StacksFollowed, switches_tasks};
pub use frames::Sweep;
pub use ground::x86_64::location::{FoundBy, KernelChoice, KernelInMemory, Role, fit_memory_hole};
pub use identity::{hex, release_of};
pub use kernel::Kernel;
pub use layout::{Field, Resolver, Source};
pub use list::{Listed, list, rb_tree};
pub use locks::{
    AwaitedWork, Found, Lock, LockKind, LockWait, LockWord, Owner, PageWait, RwLock, RwLockWord, SpinLockWord,
    SpinNode, Waiter, WorkWait, sleeps_for_page, sleeps_for_work,
};
pub use minimal::{MinimalError, MinimalKernel};
pub use modules::{Module, ModuleSymbol};
pub use page::Page;
pub use panic::PanicInfo;
pub use percpu::PerCpu;
pub use policy::Policy;
pub use preempt_count::PreemptCount;
pub use preemption::{Model, Preemption};
pub use printk::{Caller, LogDevice, LogRecord};
pub use rcu::{GraceEnder, GraceHoldout, GracePeriod, GraceReader};
pub use runqueue::{Class, Queued, RunQueue};
pub use scheduler::{CpuGrants, FULL_LOAD, FairServer, SchedulerState, TaskCounters};
pub use snapshot::{Cpu, Detail, Location, Snapshot, Stack, StackEnd, StackFrame};
pub use stack_words::{saved_words_begin, words_between};
pub use system_calls::SystemCall;
pub use task::{Accounting, Task};
pub use task_state::TaskState;
pub use timekeeper::Timekeeper;
pub use tracers::is_tracer;
pub use utsname::Utsname;
pub use vmcore_debuginfo::SourceFrame;
pub use vmcore_unwind::{Interrupt, Segment, Trust};
pub use vmcoreinfo_scan::{
    FoundVmcoreinfo, find_vmcoreinfo, fit_memory_base, is_of_another_boot, is_of_this_boot, vmcoreinfo_of,
};
