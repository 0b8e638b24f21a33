//! Loaded modules, as `mod` lists them, and those that taint the kernel.
//!
//! Source: `struct module` and `enum module_state` in `include/linux/module.h`.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Field, Kernel, Resolver};
use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};

use super::{Collector, Listing, Missing, state};
use crate::{Hex, taint};

/// Bytes of a version string.
const MAX_VERSION: usize = 64;

/// The loaded modules.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Mod")]
pub struct Modules {
    /// The modules, by the address of their code.
    pub modules: Listing<Module>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}
state!(Modules, modules);

/// One module. What could not be read of it is null.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Module")]
pub struct Module {
    /// Its name. From the dump: untrusted.
    pub name: String,
    /// The address of its `struct module`.
    pub module: Hex,
    /// Where its code begins.
    pub text: Option<Hex>,
    /// Bytes of memory that it has, code and data.
    pub size: Option<u64>,
    /// `MODULE_STATE_*` without the prefix, in lower case: `live`, `coming`, `going` or `unformed`.
    pub state: Option<String>,
    /// How many use it.
    pub references: Option<i64>,
    /// Why it taints the kernel, by letter: `P` proprietary, `O` out of tree, `E` unsigned and so on.
    pub taints: Option<String>,
    /// Its version, where it has one.
    pub version: Option<String>,
    /// The file that its source lines come from.
    pub debug_file: Option<String>,
    /// Why files that were found do not serve.
    pub rejected_files: Vec<String>,
}

/// The modules that taint the kernel.
#[derive(Clone, Debug)]
pub struct TaintingModules {
    /// The modules, by the address of their code.
    pub modules: Listing<TaintingModule>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}

/// A module that taints the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "TaintingModule")]
pub struct TaintingModule {
    /// Its name. From the dump: untrusted.
    pub name: String,
    /// Why, by letter: `P` proprietary, `O` out of tree, `E` unsigned and so on.
    pub taints: String,
}

/// Reads all modules.
#[must_use]
pub fn modules(kernel: &Kernel<'_>) -> Modules {
    let mut missing = Collector::default();
    let layout = Layout::resolve(Resolver::new(kernel.vmlinux().types()));
    let modules = missing.list("loaded modules", |missing| {
        missing.note_gaps(kernel.modules_unread());
        let mut of_module = |module| Reader { kernel, module, missing: &mut *missing }.read(&layout);
        Ok(kernel.modules().iter().map(&mut of_module).collect())
    });
    Modules { modules, gaps: missing.into_gaps() }
}

/// Reads which modules taint the kernel.
#[must_use]
pub fn tainting_modules(kernel: &Kernel<'_>) -> TaintingModules {
    let mut missing = Collector::default();
    let taints = Resolver::new(kernel.vmlinux().types()).optional("module", "taints");
    let modules = missing.list("modules that taint the kernel", |missing| {
        missing.note_gaps(kernel.modules_unread());
        if taints.is_none() && !kernel.modules().is_empty() {
            missing.note("taints of modules", "the debug information does not say where they are");
        }
        let mut tainting = |module: &vmcore_kernel::Module| {
            let taints = Reader { kernel, module, missing: &mut *missing }.taints(taints)?;
            (!taints.is_empty()).then(|| TaintingModule { name: module.name.clone(), taints })
        };
        Ok(kernel.modules().iter().filter_map(&mut tainting).collect())
    });
    TaintingModules { modules, gaps: missing.into_gaps() }
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

/// Reads one module, and notes what cannot be read of it.
struct Reader<'r, 'a> {
    kernel: &'r Kernel<'a>,
    module: &'r vmcore_kernel::Module,
    missing: &'r mut Collector,
}

impl Reader<'_, '_> {
    fn read(&mut self, layout: &Layout) -> Module {
        let text = self.module.text().first().map(|(start, _)| *start);
        // The file is looked for when a line of it is asked for.
        let _ = text.map(|start| self.kernel.source_frames(&[start]));
        Module {
            name: self.module.name.clone(),
            module: self.module.address.into(),
            text: text.map(Into::into),
            size: self.size(&layout.sizes),
            state: self.state(layout.state),
            references: self.references(layout.references),
            taints: self.taints(layout.taints),
            version: self.version(layout.version),
            debug_file: self.module.debug_file().map(|path| path.display().to_string()),
            rejected_files: self.module.rejected_files().to_vec(),
        }
    }

    fn noted<T>(&mut self, what: &str, answer: Result<T, ReadError>) -> Option<T> {
        answer.map_err(|why| self.note(what, why.to_string())).ok()
    }

    fn note(&mut self, what: &str, why: String) {
        self.missing.note(format!("{what} of module {}", self.module.name), why);
    }

    fn number(&mut self, what: &str, field: Option<Field>) -> Option<u64> {
        let answer = field?.read(self.kernel.memory(), self.module.address);
        self.noted(what, answer)
    }

    fn size(&mut self, sizes: &[Field]) -> Option<u64> {
        let sizes: Option<Vec<u64>> = sizes.iter().map(|field| self.number("the size", Some(*field))).collect();
        sizes.filter(|sizes| !sizes.is_empty()).map(|sizes| sizes.into_iter().fold(0, u64::saturating_add))
    }

    fn state(&mut self, field: Option<Field>) -> Option<String> {
        let value = self.number("the state", field)?;
        let all = self.kernel.vmlinux().types().find("enum module_state")?.enumerators();
        let name = all.into_iter().find(|(_, known)| known.cast_unsigned() == value).map(|(name, _)| name);
        if name.is_none() {
            self.note("the state", format!("{value} is none"));
        }
        name.map(|name| name.trim_start_matches("MODULE_STATE_").to_lowercase())
    }

    fn references(&mut self, field: Option<Field>) -> Option<i64> {
        let answer = field?.read_i32(self.kernel.memory(), self.module.address);
        // `MODULE_REF_BASE`: one reference is the module's own (kernel commit 2f35c41f58a9, 3.19).
        self.noted("the count of references", answer).map(|count| i64::from(count) - 1)
    }

    fn taints(&mut self, field: Option<Field>) -> Option<String> {
        self.number("taints", field).map(taint::letters)
    }

    fn version(&mut self, field: Option<Field>) -> Option<String> {
        let memory = self.kernel.memory();
        let pointer = field?.read_pointer(memory, self.module.address);
        let text: VirtAddr = self.noted("the version", pointer).filter(|text: &VirtAddr| !text.is_null())?;
        let bytes = self.noted("the version", memory.read_c_string(text, MAX_VERSION))?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}
