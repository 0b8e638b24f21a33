//! Whether the scheduler asks for the CPU: bit 31 of the preemption count is clear then.
//!
//! Source: `arch/x86/include/asm/preempt.h` (`PREEMPT_NEED_RESCHED`, inverted).

use vmcore_kernel::Cpu;

use crate::evidence::read_from;
use crate::{Evidence, Reader};

pub(crate) fn asked_for_cpu(reader: &dyn Reader, cpu: &Cpu) -> Option<(bool, Evidence)> {
    let (source, count) = reader.preempt_count(cpu.cpu)?;
    let asked = count >> 31 == 0;
    let meaning = if asked {
        "bit 31, PREEMPT_NEED_RESCHED, is clear: the scheduler asks for this CPU, and would switch its task out on its next \
         way back to user mode"
    } else {
        "bit 31, PREEMPT_NEED_RESCHED, is set: the scheduler does not ask for this CPU"
    };
    Some((asked, read_from(&source, count.into(), meaning)))
}
