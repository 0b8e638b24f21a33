//! `struct cpumask`: a bit for each CPU.
//!
//! Source: `include/linux/cpumask.h`. Its size is that of the kernel's `NR_CPUS`.

use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};

/// `NR_CPUS` of the largest machines.
pub(crate) const MAX_CPUS: u32 = 8192;

/// CPUs, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuMask(Vec<u8>);

impl CpuMask {
    /// The mask with these CPUs, without those that no machine has.
    #[must_use]
    pub fn of(cpus: &[u32]) -> Self {
        let mut mask = Self::default();
        for &cpu in cpus.iter().filter(|cpu| **cpu < MAX_CPUS) {
            let byte = (cpu / 8) as usize;
            mask.0.resize(mask.0.len().max(byte + 1), 0);
            if let Some(byte) = mask.0.get_mut(byte) {
                *byte |= 1 << (cpu % 8);
            }
        }
        mask
    }

    /// The mask of `size` bytes at an address.
    ///
    /// # Errors
    ///
    /// As the memory.
    pub(crate) fn read<M: ReadVirtual + ?Sized>(memory: &M, address: VirtAddr, size: u64) -> Result<Self, ReadError> {
        memory.read_bytes(address, size.clamp(1, u64::from(MAX_CPUS) / 8)).map(Self)
    }

    /// Whether a CPU is in it.
    #[must_use]
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.get((cpu / 8) as usize).is_some_and(|byte| byte & 1 << (cpu % 8) != 0)
    }

    /// The CPUs in it, in order.
    pub fn cpus(&self) -> impl Iterator<Item = u32> + '_ {
        (0..MAX_CPUS).filter(|cpu| self.contains(*cpu))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    #[test]
    fn a_mask_has_the_cpus_that_were_put_in_and_no_others() {
        let mask = CpuMask::of(&[0, 9, 64, u32::MAX]);
        assert_eq!(mask.cpus().collect::<Vec<_>>(), [0, 9, 64]);
        assert!(!mask.contains(u32::MAX));
        let mut memory = TestMemory::default();
        memory.put(0x1000, &[1, 2, 0, 0, 0, 0, 0, 0, 1]);
        let read = CpuMask::read(&memory, VirtAddr::new(0x1000), 9).unwrap();
        assert_eq!(read.cpus().collect::<Vec<_>>(), [0, 9, 64]);
    }
}
