//! A note, before anybody knows what it says.

/// One note as it is in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawNote {
    /// The owner, without the terminating zero: `CORE`, `QEMU`, `VMCOREINFO`.
    pub name: Vec<u8>,
    /// The type, whose meaning depends on the owner.
    pub kind: u32,
    /// The contents.
    pub desc: Vec<u8>,
}
