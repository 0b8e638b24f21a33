//! Looking at a crashed kernel by hand: a value with its type, raw memory, symbols, code, lists and trees.
//!
//! What `crash` and `drgn` are opened for once a verdict is there or is missing. Nothing here judges; everything is
//! plain data that a report can show. There is one evaluator ([`evaluate`]) of expressions of members, one reader of
//! typed values ([`read_value`]), and every other module asks these.
//!
//! Addresses are those of the crashed machine. Whatever cannot be read says why, and the rest is shown all the same.
//!
//! ```
//! use std::path::Path;
//!
//! use vmcore_debuginfo::Vmlinux;
//! use vmcore_dump::Dump;
//! use vmcore_inspect::{Content, Evaluated, Expression, evaluate};
//! use vmcore_kernel::Kernel;
//!
//! let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/6.1-cloud-amd64");
//! let dump = Dump::open(&files.join("thp-livelock.vmcore"))?;
//! let vmlinux = Vmlinux::open(&files.join("vmlinux.profile"))?;
//! let kernel = Kernel::open(&dump, &vmlinux)?;
//!
//! let expression = Expression::parse("((struct task_struct *)&init_task)->prio")?;
//! let Evaluated::One(member) = evaluate(&kernel, &expression)? else { return Err("it is no per-CPU variable".into()) };
//! assert_eq!(member.value.type_name, "int");
//! assert!(matches!(member.value.content, Content::Integer { .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod arch;
mod cpu_list;
mod disassembly;
mod error;
mod expression;
mod hex;
mod layout;
mod linked;
mod machine;
mod memory;
mod names;
mod object;
mod search;
mod similar;
pub mod state;
mod symbols;
mod taint;
mod value;

pub use cpu_list::CpuList;
pub use disassembly::{Disassembly, Instruction, Span, disassemble, function_address};
pub use error::InspectError;
pub use expression::{Evaluated, Expression, PerCpuValue, evaluate, find_type, variable_type};
pub use hex::Hex;
pub use layout::{Layout, LayoutMember, layout};
pub use linked::{Linked, ListOptions, ListStart, TreeKind, list, tree};
pub use machine::{Machine, machine};
pub use memory::{Space, Words, read_words};
pub use names::{Named, name_address};
pub use object::member_offset;
pub use search::{Hit, Needle, SearchResult, search};
pub use symbols::{FoundSymbol, find_symbols, similar_symbol, symbol_addresses, symbol_at};
pub use value::{Content, Member, Run, Value, read_value, select};
