//! One task's view of code, tables and stacks, for the unwinder.

use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};
use vmcore_unwind::{CfiRow, Machine, ReturnAddress, SavedReturn, StackRange, orc::OrcEntry};

use crate::Kernel;
use crate::arch::arm64;
use crate::layout::Resolver;
use crate::tracers::{Layouts, TaskRecords, Traced};

/// The stacks that a walk may cross, over the kernel's code and memory.
pub(crate) struct TaskMachine<'k, 'a> {
    pub(crate) kernel: &'k Kernel<'a>,
    pub(crate) stacks: Vec<StackRange>,
    pub(crate) task: VirtAddr,
    pub(crate) records: TaskRecords,
}

impl ReadVirtual for TaskMachine<'_, '_> {
    fn read_virtual(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.kernel.memory().read_virtual(address, buf)
    }

    fn reads_around(&self) -> bool {
        self.kernel.memory().reads_around()
    }
}

impl Machine for TaskMachine<'_, '_> {
    fn orc(&self, pc: VirtAddr) -> Option<OrcEntry> {
        self.kernel.code().orc(self.kernel.memory(), pc)
    }

    fn cfi(&self, pc: VirtAddr) -> Option<CfiRow> {
        self.kernel.code().cfi(pc)
    }

    fn is_text(&self, pc: VirtAddr) -> bool {
        self.kernel.code().is_text(self.kernel.memory(), pc)
    }

    fn is_entry(&self, pc: VirtAddr) -> bool {
        self.kernel.code().is_entry(pc)
    }

    fn is_same_function(&self, one: VirtAddr, other: VirtAddr) -> bool {
        let start = |pc: VirtAddr| {
            let symbol = self.kernel.code().symbol(self.kernel.memory(), pc, pc)?;
            Some(pc.wrapping_sub(symbol.offset))
        };
        start(one).is_some_and(|found| start(other) == Some(found))
    }

    fn is_first(&self, pc: VirtAddr) -> bool {
        let code = self.kernel.code();
        code.symbol(self.kernel.memory(), pc, pc)
            .is_some_and(|symbol| arm64::FIRST_CODE.contains(&symbol.name.as_str()))
    }

    fn pac_mask(&self) -> u64 {
        self.kernel.pac_mask()
    }

    fn frame_record_offset(&self) -> Option<u64> {
        self.kernel.frame_record_offset()
    }

    fn return_address(&self, saved: SavedReturn) -> ReturnAddress {
        let traced = Traced { memory: self.kernel.memory(), task: self.task, records: &self.records };
        let types = Resolver::new(self.kernel.vmlinux().types());
        let layouts = || Layouts::resolve(types, |name| self.kernel.symbol(name));
        let is_code = |original: VirtAddr| self.is_text(original.wrapping_sub(1));
        self.kernel.tracers.return_address(traced, saved, layouts, is_code)
    }

    fn stack(&self, sp: VirtAddr) -> Option<StackRange> {
        // A stack's top is the next one's guard page or bottom, so a pointer inside wins over one at the top.
        let inside = self.stacks.iter().find(|stack| stack.low <= sp && sp < stack.high);
        inside.or_else(|| self.stacks.iter().find(|stack| stack.contains(sp))).copied()
    }
}
