//! Loaded modules, as `mod` lists them.
//!
//! Source: `struct module` and `enum module_state` in `include/linux/module.h`.

use vmcore_kernel::{Field, Kernel, Module, Resolver};
use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::taint;

/// Bytes of a version string.
const MAX_VERSION: usize = 64;

/// A module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedModule {
    /// The address of its `struct module`.
    pub address: VirtAddr,
    /// Its name. From the dump: untrusted.
    pub name: String,
    /// Bytes of memory that it has, code and data.
    pub size: Option<u64>,
    /// Where its code is.
    pub text: Vec<(VirtAddr, VirtAddr)>,
    /// `MODULE_STATE_*` without the prefix, in lower case: `live`, `coming`, `going`, `unformed`.
    pub state: Option<String>,
    /// How many use it.
    pub references: Option<i64>,
    /// Why it taints the kernel, by letter.
    pub taints: Option<String>,
    /// Its version, where it has one.
    pub version: Option<String>,
    /// The file that its source lines come from.
    pub debug_file: Option<String>,
    /// Why files that were found do not serve.
    pub rejected_files: Vec<String>,
}

/// The modules, by the address of their code.
#[must_use]
pub fn loaded_modules(kernel: &Kernel<'_>) -> Vec<LoadedModule> {
    let layout = Layout::resolve(Resolver::new(kernel.vmlinux().types()));
    kernel.modules().iter().map(|module| read(kernel, &layout, module)).collect()
}

fn read(kernel: &Kernel<'_>, layout: &Layout, module: &Module) -> LoadedModule {
    let at = module.address;
    let number = |field: Option<Field>| field?.read(kernel.memory(), at).ok();
    let text: Vec<_> = module.text().to_vec();
    // The file is looked for when a line of it is asked for.
    let _ = text.first().map(|(start, _)| kernel.source_frames(&[*start]));
    let sizes: Option<Vec<u64>> = layout.sizes.iter().map(|field| number(Some(*field))).collect();
    let version = || {
        let text = layout.version?.read_pointer(kernel.memory(), at).ok().filter(|text| !text.is_null())?;
        let bytes = kernel.memory().read_c_string(text, MAX_VERSION).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let types = kernel.vmlinux().types();
    let state = number(layout.state).and_then(|value| {
        let all = types.find("enum module_state")?.enumerators();
        let (name, _) = all.into_iter().find(|(_, known)| known.cast_unsigned() == value)?;
        Some(name.trim_start_matches("MODULE_STATE_").to_lowercase())
    });
    // `MODULE_REF_BASE`: one reference is the module's own (kernel commit 2f35c41f58a9, 3.19).
    let references = layout.references.and_then(|field| field.read_i32(kernel.memory(), at).ok());
    LoadedModule {
        address: at,
        name: module.name.clone(),
        size: sizes.filter(|sizes| !sizes.is_empty()).map(|sizes| sizes.into_iter().fold(0, u64::saturating_add)),
        text,
        state,
        references: references.map(|count| i64::from(count) - 1),
        taints: number(layout.taints).map(taint::letters),
        version: version(),
        debug_file: module.debug_file().map(|path| path.display().to_string()),
        rejected_files: module.rejected_files().to_vec(),
    }
}

struct Layout {
    sizes: Vec<Field>,
    state: Option<Field>,
    references: Option<Field>,
    taints: Option<Field>,
    version: Option<Field>,
}

impl Layout {
    fn resolve(types: Resolver<'_>) -> Self {
        let field = |path: &str| types.optional("module", path);
        // Since 6.4 (kernel commit ac3b43283923) an array by kind of memory; since 4.5 (7523e4dc5057) two layouts.
        let kinds = types.types().enumerator("MOD_MEM_NUM_TYPES").unwrap_or_default();
        let mem: Vec<_> = (0..kinds.clamp(0, 16)).filter_map(|kind| field(&format!("mem[{kind}].size"))).collect();
        let sizes = if mem.is_empty() {
            ["core_layout.size", "init_layout.size"].into_iter().filter_map(field).collect()
        } else {
            mem
        };
        Self {
            sizes,
            state: field("state"),
            references: field("refcnt.counter").or_else(|| field("refcnt")),
            taints: field("taints"),
            version: field("version"),
        }
    }
}
