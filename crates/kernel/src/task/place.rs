//! Which CPU a task is on, and whether it has it.
//!
//! Up to 6.16 (kernel commit cac5cefbade9, which made the scheduler of a kernel for one CPU that of one for many), `struct task_struct`
//! has neither without `CONFIG_SMP`: there is CPU 0 alone, and the run queue says who has it (`task_on_cpu()` in `kernel/sched/sched.h`).

use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};

use super::Task;
use crate::LayoutError;
use crate::layout::{Field, Resolver};

/// Offsets in `struct task_struct`; `None` in a kernel for one CPU.
pub(crate) struct PlaceLayout(Option<Members>);

struct Members {
    cpu: Field,
    on_cpu: Field,
}

impl PlaceLayout {
    pub(crate) fn resolve(types: Resolver<'_>) -> Result<Self, LayoutError> {
        // Moved into thread_info by kernel commit bcf9033e5449 (5.16).
        let cpu = types.first(&[("task_struct", "thread_info.cpu"), ("task_struct", "cpu")]);
        let on_cpu = types.field("task_struct", "on_cpu");
        // A kernel for many CPUs has both.
        if cpu.is_err() && on_cpu.is_err() && types.types().has_type("struct task_struct") {
            return Ok(Self(None));
        }
        Ok(Self(Some(Members { cpu: cpu?, on_cpu: on_cpu? })))
    }

    /// The CPU of `task`, and whether it has it: see [`PlaceLayout::complete`].
    pub(crate) fn read<M: ReadVirtual + ?Sized>(&self, memory: &M, task: VirtAddr) -> Result<(u32, bool), ReadError> {
        let Some(Members { cpu, on_cpu }) = &self.0 else { return Ok((0, false)) };
        let on_cpu = on_cpu.read(memory, task)? != 0;
        Ok((u32::try_from(cpu.read(memory, task)?).unwrap_or(u32::MAX), on_cpu))
    }

    /// Says of each task whether it has a CPU by the run queues, where tasks do not say so themselves.
    pub(crate) fn complete(&self, tasks: &mut [Task], has_cpu: impl Fn(VirtAddr) -> bool) {
        if self.0.is_none() {
            tasks.iter_mut().for_each(|task| task.on_cpu = has_cpu(task.address));
        }
    }

    #[cfg(test)]
    pub(crate) const fn for_tests(cpu: Field, on_cpu: Field) -> Self {
        Self(Some(Members { cpu, on_cpu }))
    }
}

#[cfg(test)]
mod tests {
    use vmcore_debuginfo::Types;

    use super::*;
    use crate::test_memory::TestMemory;

    /// `struct task_struct` with these members, each an `int`, one behind the other.
    fn resolve(members: &[&str]) -> Result<PlaceLayout, LayoutError> {
        let names = ["int", "task_struct"].iter().chain(members);
        let mut strings = vec![0];
        let mut places = names.map(|name| {
            let place = u32::try_from(strings.len()).unwrap();
            strings.extend(name.bytes().chain([0]));
            place
        });
        let (int, task) = (places.next().unwrap(), places.next().unwrap());
        let count = u32::try_from(members.len()).unwrap();
        let mut types = vec![int, 1 << 24, 4, 32, task, 4 << 24 | count, count * 4];
        types.extend(places.zip((0..).step_by(32)).flat_map(|(name, bits)| [name, 1, bits]));
        let [types_len, strings_len] = [types.len() * 4, strings.len()].map(|len| u32::try_from(len).unwrap());
        let words = [0x0001_eb9f, 24, 0, types_len, types_len, strings_len].into_iter().chain(types);
        let blob = words.flat_map(u32::to_le_bytes).chain(strings).collect();
        PlaceLayout::resolve(Resolver::new(&Types::from_btf(blob).unwrap()))
    }

    const TASK: VirtAddr = VirtAddr::new(0x1000);

    #[test]
    fn a_task_says_where_it_is() {
        let mut memory = TestMemory::default();
        memory.put_u32(0x1000, 3);
        memory.put_u32(0x1004, 1);
        let layout = resolve(&["cpu", "on_cpu", "pid"]).unwrap();
        assert_eq!(layout.read(&memory, TASK).unwrap(), (3, true));
        memory.remove_page(0x1000);
        assert!(layout.read(&memory, TASK).is_err());
    }

    /// One of them alone is no sign of a kernel for one CPU.
    #[test]
    fn a_kernel_for_one_cpu_has_neither() {
        let layout = resolve(&["pid"]).unwrap();
        assert_eq!(layout.read(&TestMemory::default(), TASK).unwrap(), (0, false));
        assert!(resolve(&["cpu", "pid"]).is_err());
        assert!(resolve(&["on_cpu", "pid"]).is_err());
        let nothing = [0x0001_eb9f_u32, 24, 0, 0, 0, 1].into_iter().flat_map(u32::to_le_bytes).chain([0]).collect();
        assert!(PlaceLayout::resolve(Resolver::new(&Types::from_btf(nothing).unwrap())).is_err());
    }
}
