//! Whether the scheduler asks for the CPU of a task: beside its preemption count stands a word that is 0 then.
//!
//! Source: `arch/arm64/include/asm/thread_info.h`, `preempt.h` (`set_preempt_need_resched`).

use vmcore_kernel::Task;
use vmcore_memory::le_u32;

use crate::evidence::read_from;
use crate::{Evidence, Reader};

pub(crate) fn asked_for_cpu(reader: &dyn Reader, task: &Task) -> Option<(bool, Evidence)> {
    let source = reader.member(task.address, "task_struct", "thread_info.preempt.need_resched")?;
    let mut word = [0; 4];
    reader.read(source.address, &mut word).ok()?;
    let word = le_u32(&word, 0)?;
    let asked = word == 0;
    let meaning = if asked {
        "0: the scheduler asks for this CPU, and would switch its task out on its next way back to user mode"
    } else {
        "not 0: the scheduler does not ask for this CPU"
    };
    Some((asked, read_from(&source, word.into(), meaning)))
}
