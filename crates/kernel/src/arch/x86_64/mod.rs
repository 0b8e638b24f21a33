//! x86-64.

pub(crate) mod calls;
mod frame;
pub(crate) mod image;
pub(crate) mod paging;
pub(crate) mod physical_mask;
mod stacks;
mod swap;

pub(crate) use frame::SwitchFrame;
pub(crate) use stacks::StackLayout;
