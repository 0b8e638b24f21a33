//! Expressions of members, as `p` takes them: `init_task.comm`, `((struct rq *)0xffff...)->curr->pid`,
//! `runqueues:3.nr_running`, `sizeof(struct page)`.
//!
//! The part of C that reads: members, indexes, pointers, casts, arithmetic; no assignments and no calls. Beyond C:
//!
//! - `variable:3` is a per-CPU variable on CPU 3, and `variable:a` (or the bare name) on each CPU, as in `crash`; where it begins
//!   the expression, `variable:1,4-7` on each of these;
//! - `.` follows a pointer, too;
//! - `task(PID)` is a pointer to the `task_struct` of a task;
//! - `per_cpu_ptr(pointer, cpu)` and `container_of(pointer, type, member)` are what they are in the kernel.

mod evaluator;
mod lexer;
mod parser;
mod syntax;
mod types;

use vmcore_kernel::Kernel;
use vmcore_memory::VirtAddr;

use crate::cpu_list::CpuList;
use crate::error::InspectError;
use crate::value::{Member, Value};
use evaluator::Evaluator;
pub use parser::Expression;
pub use types::{find_type, variable_type};

/// What an expression comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Evaluated {
    /// One value.
    One(Member),
    /// A value for each CPU.
    PerCpu(Vec<PerCpuValue>),
}

/// The value of a per-CPU expression on one CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct PerCpuValue {
    /// The CPU.
    pub cpu: u32,
    /// The value, or why there is none.
    pub value: Result<Value, String>,
}

/// Evaluates `expression`; one that has a per-CPU variable without a CPU, on each CPU, or on those that it lists.
///
/// # Errors
///
/// [`InspectError`] where it makes no sense for this kernel, or needs memory that cannot be read.
pub fn evaluate(kernel: &Kernel<'_>, expression: &Expression) -> Result<Evaluated, InspectError> {
    let evaluator = Evaluator::new(kernel);
    match evaluator.value(expression, None) {
        Ok(value) => {
            Ok(Evaluated::One(Member { name: Some(expression.text().to_owned()), offset: 0, bits: None, value }))
        }
        Err(InspectError::PerCpu(_)) => {
            let on = |cpu| PerCpuValue {
                cpu,
                value: evaluator.value(expression, Some(cpu)).map_err(|error| error.to_string()),
            };
            Ok(Evaluated::PerCpu(expression.on_cpus(kernel)?.into_iter().map(on).collect()))
        }
        Err(error) => Err(error),
    }
}

impl Expression {
    /// The address that the expression names: a number or pointer is one itself, an object, a function and a variable
    /// have one.
    ///
    /// # Errors
    ///
    /// As [`evaluate`].
    pub fn address(&self, kernel: &Kernel<'_>) -> Result<VirtAddr, InspectError> {
        Evaluator::new(kernel).address(self, None)
    }

    /// The address that the expression names, as [`address`](Self::address); that of a per-CPU variable without a CPU on each
    /// CPU, or on those that the expression lists.
    ///
    /// # Errors
    ///
    /// As [`evaluate`].
    pub fn addresses(&self, kernel: &Kernel<'_>) -> Result<Vec<(Option<u32>, VirtAddr)>, InspectError> {
        let evaluator = Evaluator::new(kernel);
        match evaluator.address(self, None) {
            Err(InspectError::PerCpu(_)) => {
                let on = |cpu| Ok((Some(cpu), evaluator.address(self, Some(cpu))?));
                self.on_cpus(kernel)?.into_iter().map(on).collect()
            }
            address => Ok(vec![(None, address?)]),
        }
    }

    /// The CPUs that are meant where a per-CPU variable names none itself.
    fn on_cpus(&self, kernel: &Kernel<'_>) -> Result<Vec<u32>, InspectError> {
        let all: Vec<u32> = kernel.percpu().cpus().collect();
        let Some(wanted) = self.cpus.as_ref().and_then(CpuList::numbers) else { return Ok(all) };
        match wanted.iter().find(|cpu| !all.contains(cpu)) {
            Some(&missing) => Err(InspectError::NoCpu(missing.into())),
            None => Ok(wanted.to_vec()),
        }
    }
}
