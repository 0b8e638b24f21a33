//! Functions in a machine's instructions.

/// What kind of frame a function has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ordinary,
    Outermost,
    Exception,
    SwitchInEntry,
    SwitchBySp,
    SwitchByBp,
    Copy,
    /// A loop that reads the word that its first argument points to.
    Poll,
}

impl Kind {
    /// Whether it calls nothing.
    pub(crate) const fn is_leaf(self) -> bool {
        matches!(self, Self::Copy | Self::Poll)
    }
}

/// What the code of a function is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sketch<'f> {
    pub(crate) name: &'f str,
    pub(crate) kind: Kind,
    /// Bytes of its frame.
    pub(crate) frame: u64,
}

/// A writer of machine code.
pub(crate) trait Instructions {
    /// Bytes of a call.
    fn call_len(&self) -> u64;
    /// What is between functions.
    fn filler(&self) -> u8;
    /// Bytes of a frame in which there is room for so many.
    fn frame(&self, room: u64) -> u64;
    /// What comes before the calls; all of a function that calls nothing, but for its end.
    fn prologue(&self, function: Sketch<'_>) -> Vec<u8>;
    /// A call to so many bytes behind its own start.
    fn call(&self, distance: u64) -> Vec<u8>;
    /// What comes behind the calls.
    fn epilogue(&self, function: Sketch<'_>) -> Vec<u8>;
    /// Where an interrupt finds a function that calls nothing, from its start.
    fn leaf_body(&self, kind: Kind) -> u64;
    /// Whether the name is that of entry code of an exception or an interrupt, whatever kernel has it.
    fn is_entry(&self, name: &str) -> bool;
    /// Whether entry code comes before all other.
    fn entry_first(&self) -> bool;
    /// From the kernel's text to that of its first module, and from one module to the next.
    fn modules(&self) -> (u64, u64);
}
