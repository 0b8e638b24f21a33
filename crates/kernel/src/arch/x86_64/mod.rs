//! x86-64: where a kernel is in memory, and how its memory is translated.

pub(crate) mod boot;
mod frame;
pub(crate) mod image;
pub(crate) mod location;
pub(crate) mod paging;
pub(crate) mod physical_mask;
mod stacks;
mod swap;

pub(crate) use frame::SwitchFrame;
pub(crate) use stacks::StackLayout;
