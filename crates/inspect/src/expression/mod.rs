//! Expressions of members, as `p` takes them: `init_task.comm`, `((struct rq *)0xffff...)->curr->pid`,
//! `runqueues:3.nr_running`, `sizeof(struct page)`.
//!
//! The part of C that reads: members, indexes, pointers, casts, arithmetic; no assignments and no calls. Beyond C:
//!
//! - `variable:3` is a per-CPU variable on CPU 3, and `variable:a` (or the bare name) on each CPU, as in `crash`;
//! - `.` follows a pointer, too;
//! - `task(PID)` is a pointer to the `task_struct` of a task;
//! - `per_cpu_ptr(pointer, cpu)` and `container_of(pointer, type, member)` are what they are in the kernel.

mod evaluator;
mod lexer;
mod parser;
mod syntax;

use vmcore_debuginfo::Type;
use vmcore_kernel::Kernel;
use vmcore_memory::{ReadError, VirtAddr};

use crate::value::{Member, Value};
use evaluator::Evaluator;
pub use evaluator::find_type;
pub use parser::Expression;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The words make no sense.
    #[error("{0}")]
    Syntax(String),
    /// A name that neither the symbols nor the enumerators have.
    #[error("there is no symbol or enumerator '{0}'")]
    NoSymbol(String),
    /// A type that this kernel does not define.
    #[error("this kernel has no type '{0}'")]
    NoType(String),
    /// A struct without that member.
    #[error("{type_name} has no member '{member}'")]
    NoMember {
        /// The struct, as C spells it.
        type_name: String,
        /// The member that it does not have.
        member: String,
        /// One whose name is close.
        similar: Option<String>,
    },
    /// A symbol whose type the debug information does not have.
    #[error("the type of '{0}' is not known")]
    Untyped(String),
    /// What was indexed is no array or pointer.
    #[error("a value of type '{0}' has no elements")]
    NotAnArray(String),
    /// What was followed is no pointer.
    #[error("a value of type '{0}' is no pointer")]
    NotAPointer(String),
    /// A pointer that leads nowhere.
    #[error("the pointer to follow is {value:#x} (of type {type_name})")]
    Null {
        /// Its type, or that of what it should lead to.
        type_name: String,
        /// Its value.
        value: u64,
    },
    /// Code that is not in the dump, nor in the debug information.
    #[error("the code at {address} is not in the dump ({source}), nor in the vmlinux")]
    NoCode {
        /// The first byte that is missing.
        address: VirtAddr,
        /// Why it is not in the dump.
        source: ReadError,
    },
    /// A value that is no number stands where one is needed.
    #[error("a value of type '{0}' is no number")]
    NotANumber(String),
    /// Not an object in memory.
    #[error("what has no address cannot be taken the address of")]
    NoAddress,
    /// A per-CPU variable where one CPU has to be named.
    #[error("'{0}' is a per-CPU variable")]
    PerCpu(String),
    /// The machine has no such CPU.
    #[error("the machine has no CPU {0}, or its per-CPU area is not in the dump")]
    NoCpu(u64),
    /// The machine has no such task.
    #[error("the machine has no task with pid {0}")]
    NoTask(u64),
    /// A number is divided by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// Memory that an answer needs.
    #[error("cannot read {what}: {source}")]
    Read {
        /// What was to be read.
        what: String,
        /// Why it could not be.
        source: ReadError,
    },
    /// Too much was asked for at once.
    #[error("{0}")]
    TooMuch(String),
}

impl InspectError {
    /// What the user could try, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoSymbol(name) => format!("`sym -q {name}` lists symbols whose names have this in them"),
            Self::NoType(_) => {
                "structs are named `struct x` or `x`; types of modules are not in the kernel's".to_owned()
            }
            Self::NoMember { similar: Some(similar), .. } => format!("there is '{similar}'"),
            Self::NoMember { type_name, .. } => format!("`{type_name}` lists its members"),
            Self::Untyped(name) => format!(
                "BTF has the types of per-CPU variables only: give the vmlinux with DWARF, or say the type: \
                 *(struct list_head *)&{name}"
            ),
            Self::PerCpu(name) => format!("name a CPU: {name}:0"),
            Self::NoCode { .. } => {
                "a profile and the dump's own tables have no code: give the vmlinux itself".to_owned()
            }
            Self::NoTask(_) => "`ps` lists the tasks".to_owned(),
            _ => return None,
        })
    }

    /// That `ty` has no member of that name.
    #[must_use]
    pub fn no_member(ty: Type<'_>, member: &str) -> Self {
        let wanted = member.trim_matches('_');
        let alike = |name: &String| {
            let name = name.trim_matches('_');
            !wanted.is_empty() && (name.contains(wanted) || wanted.contains(name) && name.len() > 2)
        };
        let similar = ty.members().into_iter().filter_map(|member| member.name).find(alike);
        Self::NoMember { type_name: ty.stripped().declare(""), member: member.to_owned(), similar }
    }

    pub(crate) fn read(what: impl Into<String>, source: ReadError) -> Self {
        Self::Read { what: what.into(), source }
    }
}

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

/// Evaluates `expression`; one that has a per-CPU variable without a CPU, on each CPU.
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
            Ok(Evaluated::PerCpu(kernel.percpu().cpus().map(on).collect()))
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
        Evaluator::new(kernel).address(self)
    }
}
