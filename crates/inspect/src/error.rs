//! Why a question about a kernel has no answer.

use vmcore_debuginfo::Type;
use vmcore_kernel::Kernel;
use vmcore_memory::{ReadError, VirtAddr};

use crate::symbols::similar_symbol;

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
    /// As above, and there is one that is nearly the same.
    #[error("there is no symbol or enumerator '{name}'")]
    Misspelled {
        /// The name.
        name: String,
        /// The one whose name is close.
        similar: String,
    },
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
    #[error("a value of type '{0}' is not a pointer")]
    NotAPointer(String),
    /// A pointer that leads nowhere.
    #[error("cannot follow the pointer {value:#x} (of type {type_name})")]
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
    #[error("a value of type '{0}' is not a number")]
    NotANumber(String),
    /// Not an object in memory.
    #[error("cannot take the address of a value that is not in memory")]
    NoAddress,
    /// A per-CPU variable where one CPU has to be named.
    #[error("'{0}' is a per-CPU variable")]
    PerCpu(String),
    /// The machine has no such CPU.
    #[error("the machine has no CPU {0}, or its per-CPU area is not in the dump")]
    NoCpu(u64),
    /// The machine has no such task.
    #[error("the machine has no task with pid {}", .0.cast_signed())]
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
            Self::NoSymbol(_) => {
                "the command `sym` with --query PART lists all symbols with PART in their names".to_owned()
            }
            Self::Misspelled { similar, .. } => format!("did you mean '{similar}'?"),
            Self::NoType(_) => {
                "structs are named `struct x` or `x`; types of a module are known only by its BTF in the dump"
                    .to_owned()
            }
            Self::NoMember { similar: Some(similar), .. } => format!("did you mean '{similar}'?"),
            Self::NoMember { type_name, .. } if is_struct(type_name) => format!("`{type_name}` lists its members"),
            Self::Untyped(name) => format!(
                "BTF has the types of per-CPU variables only: give the vmlinux with DWARF, or say the type: \
                 *(struct list_head *)&{name}"
            ),
            Self::PerCpu(name) => format!("name a CPU: {name}:0"),
            Self::NoCode { .. } => {
                "a profile and the dump's own tables have no code: give the vmlinux itself".to_owned()
            }
            Self::NoTask(_) => "`ps` lists the tasks".to_owned(),
            Self::NoCpu(_) => "`runq` lists the CPUs".to_owned(),
            Self::Syntax(_) => {
                "expressions are as in C: members, indexes, pointers, casts, arithmetic; numbers are decimal or 0x..."
                    .to_owned()
            }
            Self::DivisionByZero => "evaluate the divisor on its own".to_owned(),
            Self::TooMuch(_) => "ask for less at once".to_owned(),
            _ => return None,
        })
    }

    /// That the kernel has no symbol of that name.
    #[must_use]
    pub(crate) fn no_symbol(kernel: &Kernel<'_>, name: &str) -> Self {
        let name = name.to_owned();
        match similar_symbol(kernel, &name) {
            Some(similar) => Self::Misspelled { name, similar },
            None => Self::NoSymbol(name),
        }
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

    /// Whether this kernel has no such thing, rather than that it could not be read.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::NoSymbol(_) | Self::Misspelled { .. } | Self::NoType(_) | Self::NoMember { .. })
    }

    pub(crate) fn read(what: impl Into<String>, source: ReadError) -> Self {
        Self::Read { what: what.into(), source }
    }
}

/// Whether C spells a type so that it has members.
fn is_struct(type_name: &str) -> bool {
    ["struct ", "union "].iter().any(|keyword| type_name.starts_with(keyword)) && !type_name.contains('*')
}
