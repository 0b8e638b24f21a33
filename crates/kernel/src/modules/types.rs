//! Types of modules: the kernel keeps the BTF of each in memory, so that no file of it is needed.
//!
//! ```text
//! btf_modules  a list of struct btf_module: .list, .btf (CONFIG_DEBUG_INFO_BTF_MODULES, since 5.11: kernel commit 36e68442d1af)
//! btf          .data, .data_size: split BTF, which continues that from __start_BTF to __stop_BTF
//! ```
//! The distilled base that modules may bring along since 6.11 (kernel commit 8646db238997) is resolved when they are loaded: what is
//! in memory continues the kernel's own. Source: `kernel/bpf/btf.c`.

use std::sync::OnceLock;

use vmcore_debuginfo::{NameInSplitBtf, Type, Types};
use vmcore_memory::{ReadVirtual, VirtAddr};

use super::MAX_MODULES;
use crate::layout::{Field, Resolver};
use crate::list::list;

/// The largest kernel's BTF is below 10 MiB, a module's below 1 MiB.
const MAX_BASE: u64 = 64 << 20;
/// For all modules together.
const MAX_ALL: u64 = 64 << 20;
/// Each is read with a copy of the kernel's.
const MAX_READ: usize = 16;

/// The types of all modules, each read when a name of it is first asked for.
#[derive(Default)]
pub(crate) struct ModuleTypes {
    base: OnceLock<Option<Vec<u8>>>,
    modules: OnceLock<Vec<OfModule>>,
}

struct OfModule {
    split: Vec<u8>,
    types: OnceLock<Option<Types>>,
}

/// Where the kernel keeps it all: run-time addresses.
pub(crate) struct Places {
    /// `btf_modules`.
    pub(crate) list: VirtAddr,
    /// `__start_BTF` and `__stop_BTF`.
    pub(crate) base: (VirtAddr, VirtAddr),
}

impl ModuleTypes {
    /// The definition of `type_name` in the first module that has one.
    pub(crate) fn find<M: ReadVirtual + ?Sized>(
        &self,
        memory: &M,
        types: Resolver<'_>,
        places: Option<&Places>,
        type_name: &str,
    ) -> Option<Type<'_>> {
        let places = places?;
        let name = type_name.rsplit(' ').next()?;
        let modules = self.modules.get_or_init(|| read(memory, types, places.list).unwrap_or_default());
        if modules.is_empty() {
            return None;
        }
        let base = self.base.get_or_init(|| read_base(memory, places)).as_ref()?;
        let name = NameInSplitBtf::new(base, name).ok()?;
        let candidates = modules.iter().filter(|module| name.is_defined_in(&module.split));
        candidates.take(MAX_READ).find_map(|module| module.types(base)?.find(type_name))
    }
}

impl OfModule {
    fn types(&self, base: &[u8]) -> Option<&Types> {
        self.types.get_or_init(|| Types::from_split_btf(base, &self.split).ok()).as_ref()
    }
}

fn read_base<M: ReadVirtual + ?Sized>(memory: &M, places: &Places) -> Option<Vec<u8>> {
    let (start, end) = places.base;
    let length = end.get().checked_sub(start.get()).filter(|length| *length <= MAX_BASE)?;
    memory.read_bytes(start, length).ok()
}

fn read<M: ReadVirtual + ?Sized>(memory: &M, types: Resolver<'_>, head: VirtAddr) -> Option<Vec<OfModule>> {
    let link = types.optional("btf_module", "list")?;
    let btf = types.optional("btf_module", "btf")?;
    let (data, size) = (types.optional("btf", "data")?, types.optional("btf", "data_size")?);
    let mut left = MAX_ALL;
    let mut all = Vec::new();
    for node in list(memory, head, MAX_MODULES, "BTF of modules").nodes {
        let blob = |field: Field| field.read_pointer(memory, link.container(node)).ok();
        let Some(split) = blob(btf).and_then(|btf| {
            let size = size.read(memory, btf).ok()?;
            left = left.checked_sub(size)?;
            memory.read_bytes(data.read_pointer(memory, btf).ok()?, size).ok()
        }) else {
            continue;
        };
        all.push(OfModule { split, types: OnceLock::new() });
    }
    Some(all)
}
