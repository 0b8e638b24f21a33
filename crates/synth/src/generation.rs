//! Kernel generations: what differs between the kernels that dumps come from, as data.
//!
//! `generations/NAME.types` has the structures, `generations/NAME.toml` everything else: names of functions, the form of
//! unwind entries and of the log, the numbering of swap types.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::SynthError;
use crate::types::TypeTable;

const SOURCES: [(&str, &str, &str); 4] = [
    ("4.19", include_str!("../generations/4.19.toml"), include_str!("../generations/4.19.types")),
    ("5.10", include_str!("../generations/5.10.toml"), include_str!("../generations/5.10.types")),
    ("6.1", include_str!("../generations/6.1.toml"), include_str!("../generations/6.1.types")),
    ("6.12", include_str!("../generations/6.12.toml"), include_str!("../generations/6.12.types")),
];

/// One kind of kernel.
#[derive(Debug)]
pub struct Generation {
    pub(crate) facts: Facts,
    types: TypeTable,
}

/// The text form of everything but the types.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    pub(crate) name: String,
    /// `uname -r`.
    pub(crate) release: String,
    /// `uname -v`, without the time.
    pub(crate) version: String,
    /// Whether VMCOREINFO carries a build-id.
    pub(crate) build_id: bool,
    /// Whether the vmlinux has BTF besides DWARF.
    pub(crate) btf: bool,
    pub(crate) orc: OrcForm,
    /// Whether the vmlinux has them in the order of its object files (before kernel commit 57fa18994285, 5.6); the
    /// kernel sorts them when it boots.
    #[serde(default)]
    pub(crate) orc_link_order: bool,
    /// The contents of `.orc_header`, by which readers know the form.
    pub(crate) orc_header: Option<[u8; 20]>,
    pub(crate) log: LogForm,
    /// The length of `swap_info`.
    pub(crate) max_swapfiles: u64,
    /// Whether a swap type means a poisoned page.
    pub(crate) hwpoison: bool,
    /// Whether there is a migration type for pages of one process alone.
    pub(crate) read_exclusive: bool,
    pub(crate) preemption: PreemptionForm,
    pub(crate) irq_stack: IrqStackVariable,
    pub(crate) functions: SpecialFunctions,
    /// Functions that call one another, outermost first, by what they are for.
    chains: BTreeMap<String, Vec<String>>,
}

/// The bits of ORC entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OrcForm {
    /// `type:2 end:1`, up to 6.2.
    End,
    /// `type:3 signal:1`, since 6.4.
    Type3,
}

/// The kernel log's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogForm {
    /// `struct printk_ringbuffer`, since 5.10.
    Ring,
    /// `struct printk_log` one after the other, before.
    Records,
}

/// Where the preemption model shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PreemptionForm {
    /// `preempt_dynamic_mode`.
    Dynamic,
    /// Built without preemption: no `preempt_schedule`.
    None,
}

/// Which per-CPU variable has the interrupt stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IrqStackVariable {
    /// `struct pcpu_hot`, 6.2 to 6.14.
    PcpuHot,
    /// Since 5.8.
    HardirqStackPtr,
    /// Before.
    IrqStackPtr,
}

/// Functions whose frames or code are not those of ordinary C functions.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SpecialFunctions {
    /// Nothing called them.
    pub(crate) outermost: Vec<String>,
    /// `struct pt_regs` of what they interrupted lies where their stack begins.
    pub(crate) exception: Vec<String>,
    /// The same, and what they call runs on the interrupt stack, where the old stack pointer is the topmost word.
    pub(crate) switch_in_entry: Vec<String>,
    /// C functions that call on the interrupt stack, where the old stack pointer is the topmost word.
    pub(crate) switch_by_sp: Vec<String>,
    /// Functions that call on the interrupt stack and keep the old stack in RBP.
    pub(crate) switch_by_bp: Vec<String>,
    /// Functions that copy to or from user space with `rep movsb`.
    pub(crate) copy: Vec<String>,
    /// Functions that read the word at RDI again and again.
    pub(crate) poll: Vec<String>,
    /// Functions that the kernel has although no stack goes through them.
    pub(crate) present: Vec<String>,
}

impl Generation {
    /// The names of all generations, oldest first.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SOURCES.iter().map(|(name, _, _)| *name)
    }

    /// The generation with this name.
    ///
    /// # Errors
    ///
    /// [`SynthError::Scenario`] where there is none; [`SynthError::Text`] where its data is damaged.
    pub fn named(name: &str) -> Result<Self, SynthError> {
        let source = SOURCES.iter().find(|(known, _, _)| *known == name);
        let (_, facts, types) = source.ok_or_else(|| {
            let known: Vec<_> = Self::names().collect();
            SynthError::scenario(format!("there is no kernel generation '{name}'; hint: one of {}", known.join(", ")))
        })?;
        let text = |why: toml::de::Error| SynthError::Text { what: format!("generation {name}"), why: why.to_string() };
        Ok(Self { facts: toml::from_str(facts).map_err(text)?, types: TypeTable::parse(name, types)? })
    }

    /// All generations, oldest first.
    ///
    /// # Errors
    ///
    /// As [`Generation::named`].
    pub fn all() -> Result<Vec<Self>, SynthError> {
        Self::names().map(Self::named).collect()
    }

    /// Its name: the first two numbers of its version.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.facts.name
    }

    pub(crate) fn types(&self) -> &TypeTable {
        &self.types
    }

    /// The functions of a chain, outermost first.
    pub(crate) fn chain(&self, name: &str) -> Result<&[String], SynthError> {
        let chain = self.facts.chains.get(name).ok_or_else(|| self.lacks(format!("the chain {name}")))?;
        Ok(chain)
    }

    pub(crate) fn chains(&self) -> impl Iterator<Item = &[String]> {
        self.facts.chains.values().map(Vec::as_slice)
    }

    /// `sizeof(struct name)`.
    pub(crate) fn size_of(&self, name: &str) -> Result<u64, SynthError> {
        self.types.size_of(name).ok_or_else(|| self.lacks(format!("struct {name}")))
    }

    pub(crate) fn lacks(&self, missing: String) -> SynthError {
        SynthError::Generation { generation: self.facts.name.clone(), missing }
    }
}
