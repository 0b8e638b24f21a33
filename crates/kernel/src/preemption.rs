//! Whether the kernel takes the CPU away from kernel code.
//!
//! | model | kernel code gives up its CPU |
//! |---|---|
//! | none | in `cond_resched` only |
//! | voluntary | in `might_sleep` too |
//! | full | at the end of any interrupt or critical section |
//! | lazy | to a task of its own class at the next tick, to one of a higher class as with full |
//!
//! A kernel with `CONFIG_PREEMPT_DYNAMIC` (5.12, kernel commit 826bfeb37bb4) chooses at boot and keeps the choice in
//! `preempt_dynamic_mode`; lazy came with 6.13 (kernel commit 7c70cb94d29c). For others it was chosen when they were
//! built, which their code shows: only a preemptible kernel has `preempt_schedule`, and only a voluntary one calls
//! `cond_resched` where `mutex_lock` says that it might sleep.
//!
//! Source: `kernel/sched/core.c`, `include/linux/kernel.h`.

use vmcore_debuginfo::Types;
use vmcore_memory::{Architecture, ReadVirtual, VirtAddr};

use crate::Kernel;
use crate::arch::{arm64, x86_64};

/// More code than a function has that is looked through for a call, in bytes.
const MAX_CODE: u64 = 1 << 12;

/// A preemption model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// `preempt=none`, `CONFIG_PREEMPT_NONE`.
    None,
    /// `preempt=voluntary`, `CONFIG_PREEMPT_VOLUNTARY`.
    Voluntary,
    /// `preempt=full`, `CONFIG_PREEMPT`, `CONFIG_PREEMPT_RT`. A kernel that was built with `CONFIG_PREEMPT_LAZY` and
    /// without `CONFIG_PREEMPT_DYNAMIC` cannot be told from these.
    Full,
    /// `preempt=lazy`.
    Lazy,
    /// Not known.
    Unknown,
}

impl Model {
    /// The name used in output: that of the boot parameter's value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Voluntary => "voluntary",
            Self::Full => "full",
            Self::Lazy => "lazy",
            Self::Unknown => "unknown",
        }
    }
}

/// The kernel's preemption model and how it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preemption {
    /// The model.
    pub model: Model,
    /// What tells it.
    pub evidence: String,
    /// Where that is: the run-time address of a variable or function.
    pub address: Option<VirtAddr>,
    /// The variable's value.
    pub value: Option<i32>,
}

impl Preemption {
    /// Whether kernel code that never sleeps and never offers to reschedule loses its CPU to another runnable task of
    /// its own scheduling class, as long as it does not turn preemption off; `None` where that is not known.
    #[must_use]
    pub const fn preempts_kernel_code(&self) -> Option<bool> {
        match self.model {
            Model::None | Model::Voluntary => Some(false),
            Model::Full | Model::Lazy => Some(true),
            Model::Unknown => None,
        }
    }
}

impl Kernel<'_> {
    /// The preemption model.
    #[must_use]
    pub fn preemption(&self) -> Preemption {
        if let Some(variable) = self.symbol("preempt_dynamic_mode") {
            let value = self.memory().read_u32(variable).map(u32::cast_signed);
            return match value {
                Ok(value) => dynamic(self.vmlinux().types(), variable, value),
                Err(error) => Preemption {
                    model: Model::Unknown,
                    evidence: format!("preempt_dynamic_mode cannot be read: {error}"),
                    address: Some(variable),
                    value: None,
                },
            };
        }
        let (model, evidence, function) = self.built();
        let address = function.map(|function| function.wrapping_add(self.kaslr_offset()));
        Preemption { model, evidence, address, value: None }
    }

    /// The model that the kernel was built with, what tells it, and the link-time address of the function that does.
    fn built(&self) -> (Model, String, Option<VirtAddr>) {
        let symbols = self.vmlinux().symbols();
        if let Some(function) = symbols.address("preempt_schedule") {
            return (
                Model::Full,
                "the kernel has preempt_schedule: it was built preemptible".to_owned(),
                Some(function),
            );
        }
        // `_cond_resched` up to 5.11.
        let resched =
            ["__cond_resched", "_cond_resched"].into_iter().find_map(|name| Some((name, symbols.address(name)?)));
        let Some((name, resched)) = resched else {
            let (model, words) = of_banner(&self.vmlinux().banner().unwrap_or_default());
            return (model, format!("the version banner says {words}"), symbols.address("linux_banner"));
        };
        match self.calls("mutex_lock", resched) {
            Some((at, true)) => {
                let evidence = format!("the kernel has no preempt_schedule, and mutex_lock calls {name}");
                (Model::Voluntary, evidence, Some(at))
            }
            Some((at, false)) => {
                let evidence = format!("the kernel has no preempt_schedule, and mutex_lock does not call {name}");
                (Model::None, evidence, Some(at))
            }
            None => (Model::None, format!("the kernel has {name} but no preempt_schedule"), Some(resched)),
        }
    }

    /// Whether the code of `function` has a direct call to `target`; with it, where the function is. Both link-time.
    fn calls(&self, function: &str, target: VirtAddr) -> Option<(VirtAddr, bool)> {
        let vmlinux = self.vmlinux();
        let start = vmlinux.symbols().address(function)?;
        // Up to the next symbol where the table has no sizes, as the kernel's own.
        let size = vmlinux.symbols().lookup(start)?.size.min(MAX_CODE);
        // A debug file that was split from its vmlinux has no code.
        let in_memory = self.memory().read_bytes(start.wrapping_add(self.kaslr_offset()), size).ok();
        let code = in_memory.or_else(|| vmlinux.read_static(start, size).map(<[u8]>::to_vec))?;
        let has_call = match self.architecture() {
            Architecture::X86_64 => x86_64::calls::has_call,
            Architecture::Arm64 => arm64::calls::has_call,
        };
        Some((start, has_call(&code, start, target)))
    }
}

/// The model by the value of `preempt_dynamic_mode`.
fn dynamic(types: &Types, variable: VirtAddr, value: i32) -> Preemption {
    // The numbers as in the kernels that have them all, for the debug information may leave out the enumeration.
    let models = [
        ("preempt_dynamic_none", 0, Model::None),
        ("preempt_dynamic_voluntary", 1, Model::Voluntary),
        ("preempt_dynamic_full", 2, Model::Full),
        ("preempt_dynamic_lazy", 3, Model::Lazy),
    ];
    let number = |name, usual| types.enumerator(name).unwrap_or(usual);
    let found = models.into_iter().find(|(name, usual, _)| number(name, *usual) == i64::from(value));
    let (model, meaning) = found.map_or((Model::Unknown, "no known mode"), |(name, _, model)| (model, name));
    Preemption {
        model,
        evidence: format!("preempt_dynamic_mode is {meaning}"),
        address: Some(variable),
        value: Some(value),
    }
}

/// The model by the words that the build puts in the version, and these words.
fn of_banner(banner: &str) -> (Model, &'static str) {
    let has = |word| banner.split_ascii_whitespace().any(|found| found == word);
    if has("PREEMPT_DYNAMIC") {
        (Model::Unknown, "PREEMPT_DYNAMIC")
    } else if has("PREEMPT_RT") {
        (Model::Full, "PREEMPT_RT")
    } else if has("PREEMPT") {
        (Model::Full, "PREEMPT")
    } else if has("SMP") {
        (Model::None, "SMP without PREEMPT")
    } else {
        (Model::Unknown, "nothing of preemption")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_be_preempted() {
        let preempts =
            |model| Preemption { model, evidence: String::new(), address: None, value: None }.preempts_kernel_code();
        assert_eq!(preempts(Model::None), Some(false));
        assert_eq!(preempts(Model::Voluntary), Some(false));
        assert_eq!(preempts(Model::Full), Some(true));
        assert_eq!(preempts(Model::Lazy), Some(true));
        assert_eq!(preempts(Model::Unknown), None);
    }

    #[test]
    fn words_of_the_banner() {
        let banner = |words: &str| of_banner(&format!("Linux version 6.1.0 (gcc) #1 {words} Mon Jan 1")).0;
        assert_eq!(banner("SMP PREEMPT_DYNAMIC"), Model::Unknown);
        assert_eq!(banner("SMP PREEMPT_RT"), Model::Full);
        assert_eq!(banner("SMP PREEMPT"), Model::Full);
        assert_eq!(banner("SMP"), Model::None);
        assert_eq!(of_banner(""), (Model::Unknown, "nothing of preemption"));
    }
}
