//! Synthetic dumps: a scenario becomes the memory of a crashed machine, the vmlinux of its kernel, and the verdict that
//! an analysis must come to.
//!
//! A scenario says what a machine was doing; a [`Generation`] says what its kernel looks like. [`build`] joins them, so
//! that every scenario can be had on every kernel, without having one. What comes out is consistent to the last pointer
//! that a reader follows: page tables, per-CPU areas, tasks, run queues, huge pages, the log, stacks that unwind by ORC,
//! types in BTF and DWARF.
//!
//! | module | what it makes |
//! |---|---|
//! | `scenario`, `plan` | what the machine was doing, and which functions that puts on a stack |
//! | `generation`, `types` | kernels as data |
//! | `vmlinux` | code, unwind tables, symbols, debug information |
//! | `memory`, `machine`, `stack` | pages, page tables, kernel objects, stacks |
//! | `formats` | files |
//!
//! A machine that never was:
//!
//! ```
//! use vmcore_synth::{Generation, build, scenario};
//!
//! let (scenario, generation) = (scenario::named("thp-livelock")?, Generation::named("6.1")?);
//! let synthetic = build(&scenario, &generation, 1)?;
//! // The same seed gives the same bytes.
//! assert_eq!(synthetic.vmlinux, build(&scenario, &generation, 1)?.vmlinux);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod arch;
mod build;
mod error;
mod formats;
mod generation;
mod machine;
mod memory;
mod plan;
mod random;
pub mod scenario;
mod stack;
mod types;
mod vmlinux;

pub use build::{MAX_CPUS, Synthetic, build};
pub use error::SynthError;
pub use formats::DumpForm;
pub use generation::Generation;
pub use memory::physical::Physical;
