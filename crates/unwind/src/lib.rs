//! Registers, memory and unwind tables to stack frames.
//!
//! An [`Unwinder`] starts from a set of registers and walks outwards: through calls, across exceptions, interrupts and
//! NMIs (each on a stack of its own), up to the user boundary or the thread's entry. ORC tables say how; where they are
//! silent (retpoline thunks, entry code, generated code) or wrong (objtool does not follow every instruction) DWARF
//! call-frame information, a frame pointer or a bounded scan of the stack is tried, and each [`Frame`] says by its [`Trust`] how it was found.
//!
//! That is x86-64; stacks of arm64 are followed by call-frame information and frame records.
//!
//! The crate knows nothing of symbols, tasks or dump files: text, stacks and tables come through the [`Machine`] trait.
//!
//! Sources: `arch/x86/kernel/unwind_orc.c`, `arch/x86/include/asm/orc_types.h`, `Documentation/arch/x86/orc-unwinder.rst`
//! of the Linux kernel.
//!
//! ```
//! use vmcore_memory::arch::x86_64::Registers;
//! use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};
//! use vmcore_unwind::orc::{Base, Kind, OrcEntry};
//! use vmcore_unwind::{CfiRow, End, Machine, Segment, StackRange, Start, Trust, Unwinder};
//!
//! const TEXT: u64 = 0xffff_ffff_8100_0000;
//! const STACK: u64 = 0xffff_c900_0000_0000;
//!
//! /// A function that was just entered, and the outermost one, which called it.
//! struct Called;
//!
//! impl ReadVirtual for Called {
//!     fn read_virtual(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
//!         let return_address = (TEXT + 0x105).to_le_bytes();
//!         for (at, byte) in (address.get()..).zip(buf) {
//!             *byte = at.checked_sub(STACK).and_then(|at| return_address.get(at as usize)).copied().unwrap_or_default();
//!         }
//!         Ok(())
//!     }
//! }
//!
//! impl Machine for Called {
//!     fn orc(&self, pc: VirtAddr) -> Option<OrcEntry> {
//!         let entered = OrcEntry::at_function_entry();
//!         let outermost = OrcEntry { sp_base: Base::Undefined, kind: Kind::EndOfStack, ..entered };
//!         Some(if pc.get() < TEXT + 0x100 { entered } else { outermost })
//!     }
//!
//!     fn cfi(&self, _: VirtAddr) -> Option<CfiRow> {
//!         None
//!     }
//!
//!     fn is_text(&self, pc: VirtAddr) -> bool {
//!         (TEXT..TEXT + 0x1000).contains(&pc.get())
//!     }
//!
//!     fn stack(&self, _: VirtAddr) -> Option<StackRange> {
//!         Some(StackRange { segment: Segment::Task, low: VirtAddr::new(STACK), high: VirtAddr::new(STACK + 0x100) })
//!     }
//! }
//!
//! let registers = Registers { rip: TEXT + 0x10, rsp: STACK, cs: 0x10, ..Registers::default() };
//! let unwound = Unwinder::new(&Called).unwind(Start { registers: registers.into(), exact: true, complete: true });
//! let frames: Vec<_> = unwound.frames.iter().map(|frame| (frame.pc.get(), frame.trust)).collect();
//! assert_eq!(frames, [(TEXT + 0x10, Trust::Context), (TEXT + 0x105, Trust::Orc)]);
//! assert_eq!(unwound.end, End::Outermost);
//! ```

#![forbid(unsafe_code)]

mod arch;
mod frame;
mod machine;
pub mod orc;
mod replaced;
mod stack_memory;
mod unwinder;

pub use frame::{End, Frame, Interrupt, MAX_FRAMES, Problem, Segment, Start, Trust, Unwound};
pub use machine::{CfiRow, Machine, ReturnAddress, SavedReturn, StackRange};
pub use unwinder::Unwinder;
