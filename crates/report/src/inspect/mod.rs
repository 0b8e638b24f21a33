//! What a person looks at by hand: `struct`, `p`, `rd`, `sym`, `dis`, `list`, `tree`, `search`. The text has the forms of
//! `crash` and of the debugger in it.

mod code;
mod layout;
mod memory;
mod objects;
mod search;
mod symbols;
mod value;

pub use code::{Dis, Instruction, Marker};
pub use layout::{Enumerator, LayoutMember, Struct};
pub use memory::{Rd, Word};
pub use objects::{Object, Objects};
pub use search::{Found, Search};
pub use symbols::{Sym, Symbol};
pub use value::{CpuValue, Member, P, Run, Value};
