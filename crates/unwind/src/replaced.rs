//! Return addresses that tracers replaced.
//!
//! To see a function return, a tracer writes the address of its own code over the return address of the call, and remembers
//! what was there. Whoever follows the stack has to ask it, as the kernel's own unwinders do.
//!
//! Sources: `arch/x86/include/asm/unwind.h`, `unwind_recover_ret_addr()`; `arch/arm64/kernel/stacktrace.c`,
//! `kunwind_recover_return_address()`.

use vmcore_memory::VirtAddr;

use crate::{Machine, ReturnAddress, SavedReturn};

/// A return address that was read from a stack.
#[derive(Clone, Copy)]
pub(crate) struct Return {
    /// That of the call. Where that is lost, the tracer's.
    pub(crate) pc: VirtAddr,
    /// What is on the stack instead, where a tracer has put it there.
    pub(crate) tracer: Option<VirtAddr>,
}

impl Return {
    /// Whether who called is not known.
    pub(crate) fn is_lost(self) -> bool {
        self.tracer == Some(self.pc)
    }
}

/// What a walk has come across so far.
#[derive(Default)]
pub(crate) struct Tracers {
    /// What was on the stack instead of return addresses.
    seen: Vec<VirtAddr>,
    /// Whether there may be some that it has passed over.
    guessed: bool,
}

impl Tracers {
    /// The walk goes on with a frame that was returned to so.
    pub(crate) fn went_on(&mut self, tracer: Option<VirtAddr>, guessed: bool) {
        self.seen.extend(tracer);
        self.guessed |= guessed;
    }

    /// Undoes what a tracer did to the return address `pc`. `counts` where that is certainly the next one on the stack.
    pub(crate) fn undo<M: Machine + ?Sized>(
        &self,
        machine: &M,
        pc: VirtAddr,
        places: [Option<VirtAddr>; 2],
        counts: bool,
    ) -> Return {
        let count = || self.seen.iter().filter(|seen| **seen == pc).count();
        let before = (counts && !self.guessed).then(count);
        match machine.return_address(SavedReturn { pc, places, before }) {
            ReturnAddress::OfCall => Return { pc, tracer: None },
            ReturnAddress::Replaced(original) => Return { pc: original, tracer: Some(pc) },
            ReturnAddress::Lost => Return { pc, tracer: Some(pc) },
        }
    }
}
