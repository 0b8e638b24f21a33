//! Kernel generations: what differs between the kernels that dumps come from, as data.
//!
//! `generations/NAME.types` has the structures, `generations/NAME.toml` everything else: names of functions, the form of
//! unwind entries and of the log, the numbering of swap types.

use std::collections::BTreeMap;

use serde::Deserialize;
use vmcore_memory::Architecture;

use crate::SynthError;
use crate::arch::Target;
use crate::types::TypeTable;

const SOURCES: [(&str, &str, &str); 6] = [
    ("4.19", include_str!("../generations/4.19.toml"), include_str!("../generations/4.19.types")),
    ("5.10", include_str!("../generations/5.10.toml"), include_str!("../generations/5.10.types")),
    ("6.1", include_str!("../generations/6.1.toml"), include_str!("../generations/6.1.types")),
    ("6.12", include_str!("../generations/6.12.toml"), include_str!("../generations/6.12.types")),
    ("arm64-6.1", include_str!("../generations/arm64-6.1.toml"), include_str!("../generations/arm64-6.1.types")),
    ("arm64-6.12", include_str!("../generations/arm64-6.12.toml"), include_str!("../generations/arm64-6.12.types")),
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
    pub(crate) log: LogForm,
    /// The length of `swap_info`.
    pub(crate) max_swapfiles: u64,
    /// Whether a swap type means a poisoned page.
    pub(crate) hwpoison: bool,
    /// Whether there is a migration type for pages of one process alone.
    pub(crate) read_exclusive: bool,
    pub(crate) preemption: PreemptionForm,
    /// RCU's variables: its state, and its data of each CPU.
    #[serde(default = "rcu_variables")]
    pub(crate) rcu: [String; 2],
    /// The machine that it is for.
    pub(crate) target: Target,
    pub(crate) functions: SpecialFunctions,
    /// Functions that call one another, outermost first, by what they are for.
    chains: BTreeMap<String, Vec<String>>,
}

/// Since 4.20 there is one flavour.
fn rcu_variables() -> [String; 2] {
    ["rcu_state", "rcu_data"].map(str::to_owned)
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
    /// Functions that call on the interrupt stack and keep the old stack in the frame pointer.
    pub(crate) switch_by_bp: Vec<String>,
    /// Functions that copy to user space.
    pub(crate) copy: Vec<String>,
    /// Functions that read the word that their first argument points to again and again.
    pub(crate) poll: Vec<String>,
    /// Functions that the kernel has although no stack goes through them.
    pub(crate) present: Vec<String>,
}

impl Generation {
    /// The names of all generations, those of each machine oldest first.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SOURCES.iter().map(|(name, _, _)| *name)
    }

    /// Those of kernels of x86-64.
    #[cfg(test)]
    pub(crate) fn of_x86_64() -> impl Iterator<Item = Self> {
        let all = Self::all().unwrap().into_iter();
        all.filter(|generation| generation.architecture() == Architecture::X86_64)
    }

    /// The machine that the generation with this name is for.
    #[must_use]
    pub fn architecture_of(name: &str) -> Architecture {
        if name.starts_with("arm64-") { Architecture::Arm64 } else { Architecture::X86_64 }
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

    /// The same kernel on a CPU with FRED: all that comes over kernel code has one entry, and so have system calls.
    #[must_use]
    pub fn with_fred(mut self) -> Self {
        const NAMES: [(&str, &str); 6] = [
            ("entry_SYSCALL_64_after_hwframe", "asm_fred_entrypoint_user"),
            ("asm_exc_page_fault", "asm_fred_entrypoint_kernel"),
            ("asm_sysvec_apic_timer_interrupt", "asm_fred_entrypoint_kernel"),
            ("asm_exc_nmi", "asm_fred_entrypoint_kernel"),
            ("sysvec_apic_timer_interrupt", "fred_sysvec_apic_timer_interrupt"),
            ("exc_nmi", "fred_exc_nmi"),
        ];
        let Facts { functions, chains, .. } = &mut self.facts;
        let special = [&mut functions.exception, &mut functions.switch_in_entry, &mut functions.switch_by_sp];
        for name in special.into_iter().chain(chains.values_mut()).flatten() {
            if let Some((_, with_fred)) = NAMES.iter().find(|(plain, _)| plain == name) {
                *name = (*with_fred).to_owned();
            }
        }
        functions.exception.sort_unstable();
        functions.exception.dedup();
        self
    }

    /// All generations, in the order of [`Generation::names`].
    ///
    /// # Errors
    ///
    /// As [`Generation::named`].
    pub fn all() -> Result<Vec<Self>, SynthError> {
        Self::names().map(Self::named).collect()
    }

    /// Its name: the first two numbers of its version, with the machine before them where that is not x86-64.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.facts.name
    }

    /// The machine that it is for.
    #[must_use]
    pub const fn architecture(&self) -> Architecture {
        self.facts.target.architecture()
    }

    pub(crate) const fn target(&self) -> &Target {
        &self.facts.target
    }

    pub(crate) fn types(&self) -> &TypeTable {
        &self.types
    }

    /// The functions of a chain, outermost first.
    pub(crate) fn chain(&self, name: &str) -> Result<&[String], SynthError> {
        let chain = self.facts.chains.get(name).ok_or_else(|| self.lacks(format!("the chain {name}")))?;
        Ok(chain)
    }

    pub(crate) fn has_chain(&self, name: &str) -> bool {
        self.facts.chains.contains_key(name)
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
