//! The tables of what modules may use (`EXPORT_SYMBOL`), found by their shape: they name functions and variables.
//!
//! ```text
//! struct kernel_symbol   i32 value | i32 name | i32 namespace     each counts from its own place
//!                        the last one since 5.4 (kernel commit 8651ec01daed)
//! ```
//!
//! `__ksymtab` and `__ksymtab_gpl` are in the order of their names. What tells them from other numbers is that, and that
//! what they say of functions is what kallsyms says.
//!
//! Source: `include/linux/export-internal.h`, `kernel/module/internal.h`, `scripts/module.lds.S`.

use std::collections::{HashMap, HashSet};

use vmcore_memory::VirtAddr;

use super::contents::Contents;

/// Bytes of an entry with a namespace, and of one without.
const SIZES: [u64; 2] = [12, 8];
/// `KSYM_NAME_LEN`.
const MAX_NAME: usize = 512;
/// Fewer entries than any table of a kernel has.
const MIN_ENTRIES: usize = 64;
/// Fewer functions of a table than are compared with kallsyms.
const MIN_COMPARED: usize = 16;

/// What is exported, with its run-time address.
pub(super) type Exports<'a> = HashMap<&'a [u8], VirtAddr>;

/// All that the tables in `contents` name. `functions` are some of the image, with their run-time addresses.
pub(super) fn find<'a>(contents: &'a Contents, functions: &Functions<'_>) -> Exports<'a> {
    let mut exports = Exports::new();
    let mut next = VirtAddr::default();
    let mut runs = Runs::default();
    for (at, _) in contents.words() {
        if at < next {
            continue;
        }
        for size in SIZES {
            if runs.has(at, size) {
                continue;
            }
            let table = table(contents, at, size);
            let end = at.wrapping_add(size * table.len() as u64);
            if functions.agree_with(&table) {
                next = end;
                exports.extend(table);
                break;
            }
            runs.add(at, size, end);
        }
    }
    exports
}

/// Where runs of entries that are no table end, by the size of their entries and the place of the first: what begins within one
/// is the rest of it, and is not gone through again.
#[derive(Default)]
struct Runs(HashMap<(u64, u64), VirtAddr>);

impl Runs {
    fn has(&self, at: VirtAddr, size: u64) -> bool {
        self.0.get(&(size, at.get() % size)).is_some_and(|&end| at < end)
    }

    fn add(&mut self, at: VirtAddr, size: u64, end: VirtAddr) {
        self.0.insert((size, at.get() % size), end);
    }
}

/// The entries of `size` bytes from `at` on, as long as they are in the order of their names.
fn table(contents: &Contents, at: VirtAddr, size: u64) -> Vec<(&[u8], VirtAddr)> {
    let mut entries: Vec<(&[u8], VirtAddr)> = Vec::new();
    let places = (0..).step_by(usize::try_from(size).unwrap_or(1)).map(|offset| at.wrapping_add(offset));
    for (name, value) in places.map_while(|at| entry(contents, at)) {
        if entries.last().is_some_and(|(last, _)| *last >= name) {
            break;
        }
        entries.push((name, value));
    }
    entries
}

fn entry(contents: &Contents, at: VirtAddr) -> Option<(&[u8], VirtAddr)> {
    let relative = |at: VirtAddr| {
        let offset = contents.word(at)?.cast_signed();
        // What counts from its own place and is 0 leads nowhere.
        (offset != 0).then(|| VirtAddr::new(at.get().wrapping_add_signed(offset.into())))
    };
    let name = contents.c_string(relative(at.wrapping_add(4))?, MAX_NAME)?;
    let is_identifier = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$');
    let value = relative(at)?;
    (!name.is_empty() && name.iter().all(is_identifier)).then_some((name, value))
}

/// Functions with their run-time addresses; several may have one name.
pub(super) struct Functions<'a> {
    names: HashSet<&'a [u8]>,
    places: HashSet<(&'a [u8], VirtAddr)>,
}

impl<'a> Functions<'a> {
    pub(super) fn new(functions: impl Iterator<Item = (&'a [u8], VirtAddr)>) -> Self {
        let places: HashSet<_> = functions.collect();
        Self { names: places.iter().map(|(name, _)| *name).collect(), places }
    }

    /// Whether this is a table of exports: nine of ten functions in it are where they are known to be. (An alias of a weak
    /// function may not be.)
    fn agree_with(&self, table: &[(&[u8], VirtAddr)]) -> bool {
        if table.len() < MIN_ENTRIES {
            return false;
        }
        let compared = table.iter().filter(|(name, _)| self.names.contains(name)).count();
        let same = table.iter().filter(|entry| self.places.contains(*entry)).count();
        compared >= MIN_COMPARED && same * 10 >= compared * 9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 0xffff_a1f4_6b80_0000;
    const FIRST: u64 = START + 0x1_0000;
    const VARIABLE: u64 = START + 0x20_0000;

    /// A table of `count` functions and one variable from `0x100` on, its names behind it.
    fn bytes(count: u32, size: u64) -> Vec<u8> {
        let mut bytes = vec![0xcc; 0x100];
        let mut names: Vec<(String, u64)> =
            (0..count).map(|number| (format!("function_{number:04}"), FIRST + u64::from(number) * 16)).collect();
        names.push(("init_task".to_owned(), VARIABLE));
        names.sort();
        let mut strings = Vec::new();
        let strings_at = START + 0x100 + names.len() as u64 * size;
        for (name, value) in names {
            let place = START + bytes.len() as u64;
            let offset = |to: u64, from: u64| (to.wrapping_sub(from) as u32).to_le_bytes();
            bytes.extend(offset(value, place));
            bytes.extend(offset(strings_at + strings.len() as u64, place + 4));
            bytes.resize(bytes.len() + size as usize - 8, 0x11);
            strings.extend(name.bytes().chain([0]));
        }
        bytes.extend(strings);
        bytes
    }

    /// The variable, if the kernel's functions are `moved` from where the table has them.
    fn variable(bytes: Vec<u8>, moved: u64) -> Option<u64> {
        let contents = Contents::new(VirtAddr::new(START), bytes);
        let names: Vec<String> = (0..500u32).map(|number| format!("function_{number:04}")).collect();
        let known = names.iter().zip((FIRST + moved..).step_by(16));
        let functions = Functions::new(known.map(|(name, at)| (name.as_bytes(), VirtAddr::new(at))));
        find(&contents, &functions).get(&b"init_task"[..]).map(|at| at.get())
    }

    #[test]
    fn entries_of_either_size() {
        for size in SIZES {
            assert_eq!(variable(bytes(100, size), 0), Some(VARIABLE), "{size}");
        }
    }

    #[test]
    fn what_contradicts_kallsyms_or_is_short_is_no_table() {
        assert_eq!(variable(bytes(100, 12), 16), None);
        assert_eq!(variable(bytes(40, 12), 0), None);
        assert_eq!(variable(Vec::new(), 0), None);
        // One name out of order ends the table before there is enough of it.
        let mut damaged = bytes(100, 12);
        let at = damaged.windows(13).position(|name| name == b"function_0050").unwrap();
        damaged[at] = b'a';
        assert_eq!(variable(damaged, 0), None);
    }

    /// Each entry is looked at once for each size and place, however long a run is that is no table.
    #[test]
    fn a_long_run_that_is_no_table_takes_linear_time() {
        let started = std::time::Instant::now();
        assert_eq!(variable(bytes(60_000, 8), 16), None);
        assert!(started.elapsed().as_secs() < 30);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2000)) {
            variable(bytes, 0);
        }
    }
}
