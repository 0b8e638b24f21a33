//! Where the members of `struct module` lie that are read.

use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};

use super::identity::IdentityLayout;
use crate::layout::{Field, Resolver};

/// Offsets in `struct module`.
pub(crate) struct ModuleLayout {
    pub(super) list: Field,
    pub(super) name: Field,
    /// Base and size members of the regions that may hold code.
    pub(super) regions: Vec<(Field, Field)>,
    pub(super) kallsyms: Option<KallsymsLayout>,
    pub(super) num_orcs: Option<Field>,
    pub(super) orc_unwind_ip: Option<Field>,
    pub(super) orc_unwind: Option<Field>,
    pub(super) identity: IdentityLayout,
}

/// `module.kallsyms`, which kernels with `CONFIG_KALLSYMS` have, and offsets in `struct mod_kallsyms`.
pub(super) struct KallsymsLayout {
    pub(super) pointer: Field,
    pub(super) symtab: Field,
    num_symtab: Field,
    pub(super) strtab: Field,
}

impl ModuleLayout {
    /// `None` where the kernel has no modules: up to 6.12 `struct module` has no members then.
    pub(crate) fn resolve(types: Resolver<'_>) -> Option<Self> {
        let module = |path| types.optional("module", path);
        Some(Self {
            list: module("list")?,
            name: module("name")?,
            regions: text_regions(types),
            kallsyms: KallsymsLayout::resolve(types),
            num_orcs: module("arch.num_orcs"),
            orc_unwind_ip: module("arch.orc_unwind_ip"),
            orc_unwind: module("arch.orc_unwind"),
            identity: IdentityLayout::resolve(types),
        })
    }
}

impl KallsymsLayout {
    fn resolve(types: Resolver<'_>) -> Option<Self> {
        let table = |path| types.optional("mod_kallsyms", path);
        Some(Self {
            pointer: types.optional("module", "kallsyms")?,
            symtab: table("symtab")?,
            num_symtab: table("num_symtab")?,
            strtab: table("strtab")?,
        })
    }

    /// How many symbols the module at `module` has.
    pub(super) fn count<M: ReadVirtual + ?Sized>(&self, memory: &M, module: VirtAddr) -> Result<u64, ReadError> {
        self.num_symtab.read(memory, self.pointer.read_pointer(memory, module)?)
    }
}

/// Base and size members of the regions that may hold code.
fn text_regions(types: Resolver<'_>) -> Vec<(Field, Field)> {
    let pair = |base: &str, size: &str| Some((types.optional("module", base)?, types.optional("module", size)?));
    // Since 6.4 (kernel commit ac3b43283923): `mem[]`, indexed by `enum mod_mem_type`, MOD_TEXT and MOD_INIT_TEXT.
    let by_type = |name| {
        let index = types.types().enumerator(name)?;
        pair(&format!("mem[{index}].base"), &format!("mem[{index}].size"))
    };
    let new: Vec<_> = ["MOD_TEXT", "MOD_INIT_TEXT"].into_iter().filter_map(by_type).collect();
    if !new.is_empty() {
        return new;
    }
    // Since 4.5 (kernel commit 7523e4dc5057).
    [("core_layout.base", "core_layout.text_size"), ("init_layout.base", "init_layout.text_size")]
        .into_iter()
        .filter_map(|(base, size)| pair(base, size))
        .collect()
}

#[cfg(test)]
impl ModuleLayout {
    /// One of a kernel without kallsyms: a list, a name and one region.
    pub(super) fn for_tests() -> Self {
        /// BTF without types.
        const EMPTY: [u8; 25] = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        let field = |offset| Field { offset, size: 8 };
        let types = vmcore_debuginfo::Types::from_btf(EMPTY.into()).unwrap();
        Self {
            list: field(8),
            name: field(0x18),
            regions: vec![(field(0x50), field(0x58))],
            kallsyms: None,
            num_orcs: None,
            orc_unwind_ip: None,
            orc_unwind: None,
            identity: IdentityLayout::resolve(Resolver::new(&types)),
        }
    }
}
