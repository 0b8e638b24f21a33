//! 64-bit ARM.

mod frame;
mod ground;
pub(crate) mod paging;
mod references;
mod registers;
mod stacks;
mod swap;
mod vmemmap;

pub(crate) use frame::{FIRST_CODE, SwitchFrame};
pub(crate) use ground::Ground;
pub(crate) use references::references;
pub(crate) use registers::attribute;
pub(crate) use stacks::StackLayout;
pub(crate) use swap::swap_fields;
