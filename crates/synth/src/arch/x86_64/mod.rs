//! x86-64.

mod code;
mod memory;
mod registers;

pub(crate) use code::Code;
pub(crate) use memory::{
    IMAGE_BASE, TEXT, invalidated, kernel_page, next_table, paging, regions, swap, table, user_page,
};
pub(crate) use registers::{copy, pt_regs, user};

use serde::Deserialize;

/// What only kernels of x86-64 have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    pub(crate) orc: OrcForm,
    /// Whether the vmlinux has them in the order of its object files (before kernel commit 57fa18994285, 5.6); the
    /// kernel sorts them when it boots.
    #[serde(default)]
    pub(crate) orc_link_order: bool,
    /// The contents of `.orc_header`, by which readers know the form.
    pub(crate) orc_header: Option<[u8; 20]>,
    pub(crate) irq_stack: IrqStackVariable,
}

/// The bits of ORC entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OrcForm {
    /// `type:2 end:1`, up to 6.2.
    End,
    /// `type:3 signal:1`, since 6.4.
    Type3,
}

/// Which per-CPU variable has the interrupt stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IrqStackVariable {
    /// `struct pcpu_hot`, 6.2 to 6.14.
    PcpuHot,
    /// Since 5.8.
    HardirqStackPtr,
    /// Before.
    IrqStackPtr,
}
