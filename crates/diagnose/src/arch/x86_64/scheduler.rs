//! Whether the scheduler asks for the CPU: the highest bit of the preemption count is clear then.
//!
//! Source: `arch/x86/include/asm/preempt.h` (`PREEMPT_NEED_RESCHED`, inverted): bit 31 of an `int`; bit 63 of an `unsigned long`
//! since `CONFIG_HAS_SEPARATE_PREEMPT_RESCHED_BITS`.

use vmcore_kernel::{Cpu, PreemptCount};

use crate::evidence::read_from;
use crate::{Evidence, Reader};

pub(crate) fn asked_for_cpu(reader: &dyn Reader, cpu: &Cpu) -> Option<(bool, Evidence)> {
    let (source, count) = reader.preempt_count(cpu.cpu)?;
    let (value, bit) = match count {
        PreemptCount::Bits32(count) => (count.into(), 31),
        PreemptCount::Bits64(count) => (count, 63),
    };
    let asked = value >> bit == 0;
    let meaning = if asked {
        format!(
            "bit {bit}, PREEMPT_NEED_RESCHED, is clear: the scheduler asks for this CPU, and would switch its task out on its \
             next way back to user mode"
        )
    } else {
        format!("bit {bit}, PREEMPT_NEED_RESCHED, is set: the scheduler does not ask for this CPU")
    };
    Some((asked, read_from(&source, value, meaning)))
}
