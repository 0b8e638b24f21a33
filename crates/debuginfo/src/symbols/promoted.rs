//! Static symbols that link-time optimization made global, so that other parts of the kernel can use them: their names are the
//! source's with something behind it that no other has.
//!
//! ```text
//! NAME.llvm.1234         ThinLTO of LLVM
//! NAME$1234              the same, of older versions
//! NAME.lto_priv.0        GCC
//! ```
//! Source: `cleanup_symbol_name()` in `kernel/kallsyms.c`; `getGlobalNameForLocal()` in LLVM's `ModuleSummaryIndex.h`.

use memchr::{memchr, memmem};

use super::SymbolTable;
use crate::name_index::NameIndex;

const LLVM: &[u8] = b".llvm.";
const OLD_LLVM: u8 = b'$';
const GCC: &[u8] = b".lto_priv.";

/// The symbols with such names, by the source's name.
#[derive(Debug)]
pub(super) struct Promoted {
    /// Numbers of entries in the symbol table.
    entries: Vec<u32>,
    by_name: NameIndex,
}

impl Promoted {
    pub(super) fn find(table: &SymbolTable) -> Self {
        // Hardly any kernel has one: its names are not looked at one by one.
        let (entries, names): (Vec<_>, Vec<_>) = if may_have(&table.strings) {
            let definitions = table.entries_with_numbers().filter(|(_, entry)| entry.is_definition());
            definitions.filter_map(|(at, entry)| Some((at, source_name(table.name_bytes(&entry)?)?))).unzip()
        } else {
            (Vec::new(), Vec::new())
        };
        // Backwards, because the index finds first what came last.
        let names = (0u32..).zip(names).collect::<Vec<_>>();
        Self { by_name: NameIndex::build(entries.len(), names.into_iter().rev()), entries }
    }

    /// Entries that may be of the source's `name`, in the order of the table.
    pub(super) fn of(&self, name: &str) -> impl Iterator<Item = u32> + '_ {
        let places = self.by_name.candidates(name.as_bytes());
        places.filter_map(|place| self.entries.get(usize::try_from(place).ok()?).copied())
    }
}

/// Whether there is such a name among these strings, which are one behind the other.
fn may_have(strings: &[u8]) -> bool {
    // Names that begin so are others: `$x` and `$d` tell code from data on arm64.
    let inside_a_name =
        |at: usize| at.checked_sub(1).and_then(|before| strings.get(before)).is_some_and(|&byte| byte != 0);
    memchr::memchr_iter(OLD_LLVM, strings).any(inside_a_name)
        || [LLVM, GCC].iter().any(|suffix| memmem::find(strings, suffix).is_some())
}

/// The name in the source of what is called `name` since; `None` for other names.
pub(super) fn source_name(name: &[u8]) -> Option<&[u8]> {
    let end = memchr(OLD_LLVM, name).or_else(|| memmem::find(name, LLVM)).or_else(|| memmem::find(name, GCC))?;
    name.get(..end).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use vmcore_memory::VirtAddr;

    use super::*;
    use crate::fixture::Fixture;

    #[test]
    fn names_of_the_source() {
        for (name, expected) in [
            ("rcu_state.llvm.974640843467629774", Some("rcu_state")),
            ("rcu_state$5e91", Some("rcu_state")),
            ("nodes.lto_priv.12", Some("nodes")),
            ("rcu_state", None),
            ("schedule.isra.0", None),
            ("$x", None),
            (".llvm.1", None),
        ] {
            assert_eq!(source_name(name.as_bytes()), expected.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn strings_that_cannot_have_one_are_told_at_once() {
        assert!(!may_have(b"\0$x\0$d\0schedule.isra.0\0"));
        for name in ["$d\0foo$12", "foo.llvm.1", "foo.lto_priv.0"] {
            assert!(may_have(format!("\0{name}\0").as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_promoted_symbol_is_found_by_its_name_in_the_source() {
        let data = crate::fixture::RODATA;
        let vmlinux = Fixture::new()
            .with_objects(&[
                ("only.llvm.77", data + 0x10),
                ("same.llvm.1", data + 0x20),
                ("same.llvm.2", data + 0x20),
                ("twice.llvm.1", data + 0x30),
                ("twice.llvm.2", data + 0x40),
                ("old$1234", data + 0x50),
                ("gcc.lto_priv.0", data + 0x60),
                ("table.llvm.5", data + 0x70),
            ])
            .open();
        let symbols = vmlinux.symbols();
        let address = |name| symbols.address(name).map(|address| address.get() - data);
        assert_eq!(address("only"), Some(0x10));
        assert_eq!(symbols.size("only"), Some(8));
        assert_eq!(address("only.llvm.77"), Some(0x10));
        assert_eq!(address("same"), Some(0x20));
        assert_eq!(address("twice"), None, "nothing says which of them is meant");
        assert_eq!((address("old"), address("gcc")), (Some(0x50), Some(0x60)));
        assert_eq!(address("table"), Some(0x80), "one that has that very name comes first");
        assert_eq!(address("onl"), None);
        assert_eq!(symbols.address(""), None);
        let all = |name| symbols.addresses(name).map(|address| address.get() - data).collect::<Vec<_>>();
        assert_eq!((all("only"), all("twice"), all("table")), (vec![0x10], vec![0x30, 0x40], vec![0x80]));
        assert_eq!(symbols.lookup(VirtAddr::new(data + 0x11)).map(|symbol| symbol.name), Some("only.llvm.77"));
    }
}
