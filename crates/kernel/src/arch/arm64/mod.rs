//! 64-bit ARM.

pub(crate) mod calls;
mod frame;
pub(crate) mod paging;
mod references;
mod registers;
mod stacks;
mod swap;

pub(crate) use frame::{FIRST_CODE, SwitchFrame};
pub(crate) use references::references;
pub(crate) use registers::attribute;
pub(crate) use stacks::StackLayout;
pub(crate) use swap::swap_fields;
