//! Per-CPU variables: BTF says how far each is from the first, and those that are exported where that is.

use vmcore_debuginfo::Types;
use vmcore_memory::VirtAddr;

use super::exports::Exports;

/// The section that they are in.
const SECTION: &str = ".data..percpu";
/// Exported variables that have to agree.
const MIN_EXPORTED: usize = 2;

/// The per-CPU variables of `types`, by run-time addresses, with the section's start and end; none where it is not known where
/// the section is.
pub(super) fn find(types: &Types, exports: &Exports<'_>) -> Vec<(String, VirtAddr)> {
    let Some((size, variables)) = types.section_variables(SECTION) else { return Vec::new() };
    let start = |(name, offset): &(String, u64)| Some(exports.get(name.as_bytes())?.wrapping_sub(*offset));
    let starts: Vec<VirtAddr> = variables.iter().filter_map(start).collect();
    let Some(&start) = starts.first().filter(|_| starts.len() >= MIN_EXPORTED) else { return Vec::new() };
    if starts.iter().any(|other| *other != start) {
        return Vec::new();
    }
    let bounds = [("__per_cpu_start", 0), ("__per_cpu_end", size)].map(|(name, offset)| (name.to_owned(), offset));
    bounds.into_iter().chain(variables).map(|(name, offset)| (name, start.wrapping_add(offset))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 0xffff_8000_094b_8000;

    /// A section of three variables of the type `int`.
    fn types() -> Types {
        let strings = b"\0.data..percpu\0runqueues\0cpu_number\0numa_node\0";
        let at = |name: &str| u32::try_from(strings.windows(name.len()).position(|it| it == name.as_bytes()).unwrap());
        let variable = |name| [at(name).unwrap(), 14 << 24, 0, 1];
        let mut types: Vec<u32> = ["runqueues", "cpu_number", "numa_node"].into_iter().flat_map(variable).collect();
        types.extend([1, 15 << 24 | 3, 0x80]);
        types.extend([[1, 0x40, 4], [2, 0x8, 4], [3, 0x10, 4]].concat());
        let lengths = (u32::try_from(types.len() * 4).unwrap(), u32::try_from(strings.len()).unwrap());
        let words = [0x0001_eb9f, 24, 0, lengths.0, lengths.0, lengths.1].into_iter().chain(types);
        Types::from_btf(words.flat_map(u32::to_le_bytes).chain(strings.iter().copied()).collect()).unwrap()
    }

    fn found(exports: &[(&str, u64)]) -> Vec<(String, u64)> {
        let exports = exports.iter().map(|(name, at)| (name.as_bytes(), VirtAddr::new(START + at))).collect();
        find(&types(), &exports).into_iter().map(|(name, at)| (name, at.get().wrapping_sub(START))).collect()
    }

    #[test]
    fn all_are_found_by_those_that_are_exported() {
        let expected = [("__per_cpu_start", 0), ("__per_cpu_end", 0x80), ("runqueues", 0x40), ("cpu_number", 8)];
        let found = found(&[("cpu_number", 8), ("numa_node", 0x10), ("init_task", 0x1000)]);
        assert_eq!(found[..4], expected.map(|(name, at)| (name.to_owned(), at)));
        assert_eq!(found.len(), 5);
    }

    #[test]
    fn what_is_not_certain_is_not_taken() {
        assert_eq!(found(&[("cpu_number", 8)]), []);
        assert_eq!(found(&[("cpu_number", 8), ("numa_node", 0x18)]), []);
        assert_eq!(found(&[]), []);
    }
}
