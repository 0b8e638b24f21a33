//! What a register or a stack slot holds, as far as it says whether a page's head is used.

/// Where a value that is not known further came from: the instruction that made it, and in which register. Two values
/// with the same origin on the same way through the code are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Origin {
    pub(super) at: u64,
    pub(super) register: u32,
}

/// Which page a pointer means, seen from the page that it was derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Which {
    /// That page itself.
    Itself,
    /// What its link to the head says, without a look at whether there is one.
    Link,
    /// Its head: by the link where bit 0 marks a tail, else itself.
    Head,
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Value {
    /// A pointer, or anything else, with an offset in bytes.
    Pointer { origin: Origin, which: Which, offset: i64 },
    /// What was loaded from `compound_head` of the page `origin`, with what was subtracted from it.
    Loaded { origin: Origin },
    /// Bit 0 of the link of the page `origin`: 1 where it is a tail.
    TailBit { origin: Origin },
    /// That bit less 1: no bit where it is a tail, all 64 where it is none.
    NotTail { origin: Origin },
    /// The link where the page is a tail, else all 64 bits: what remains of the page's address is the head's.
    HeadMask { origin: Origin },
    /// The stack pointer at the function's entry, plus an offset.
    Stack(i64),
    /// Made of a link in a way that was not understood: it may be a head.
    Unclear,
}

/// In place of a register: the value of a variable at a fixed address, which is taken to stay as it is.
pub(super) const VARIABLE: u32 = u32::MAX;
/// In place of a register: a sum, which the walk numbers.
pub(super) const SUM: u32 = u32::MAX - 1;
/// In place of a register: how another one is shifted before it goes into a sum.
pub(super) const SHIFTED: u32 = u32::MAX - 2;
/// In place of a register: the address of a page of variables.
pub(super) const PAGE_OF_VARIABLES: u32 = u32::MAX - 3;

impl Value {
    pub(super) const fn unknown(at: u64, register: u32) -> Self {
        Self::Pointer { origin: Origin { at, register }, which: Which::Itself, offset: 0 }
    }

    /// The value plus a constant. Bit 0 of a link is taken off by subtracting 1: then it is the head's address.
    pub(super) fn plus(self, bytes: i64) -> Option<Self> {
        match self {
            Self::Loaded { origin } if bytes == -1 => Some(Self::Pointer { origin, which: Which::Link, offset: 0 }),
            Self::TailBit { origin } if bytes == -1 => Some(Self::NotTail { origin }),
            Self::Loaded { .. } | Self::TailBit { .. } | Self::NotTail { .. } | Self::HeadMask { .. } => None,
            Self::Pointer { origin, which, offset } => {
                Some(Self::Pointer { origin, which, offset: offset.checked_add(bytes)? })
            }
            Self::Stack(offset) => Some(Self::Stack(offset.checked_add(bytes)?)),
            Self::Unclear => Some(Self::Unclear),
        }
    }

    /// Whether a link went into it.
    pub(super) const fn is_of_link(self) -> bool {
        !matches!(self, Self::Pointer { which: Which::Itself, .. } | Self::Stack(_))
    }

    /// Bit 0 of the value alone.
    pub(super) const fn only_bit_0(self) -> Option<Self> {
        match self {
            Self::Loaded { origin } => Some(Self::TailBit { origin }),
            _ => None,
        }
    }

    /// Both values' bits.
    pub(super) fn or(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Loaded { origin }, Self::NotTail { origin: of }) if origin == of => Some(Self::HeadMask { origin }),
            _ => None,
        }
    }

    /// The value with its low bit cleared.
    pub(super) fn without_bit_0(self) -> Option<Self> {
        if matches!(self, Self::Loaded { .. }) { self.plus(-1) } else { None }
    }

    /// A page and the mask from its own link: the head.
    pub(super) fn masked(self, mask: Self) -> Option<Self> {
        let Self::Pointer { origin, which: Which::Itself, offset: 0 } = self else { return None };
        let which = match mask {
            Self::Loaded { origin: of } if origin == of => Which::Link,
            Self::HeadMask { origin: of } if origin == of => Which::Head,
            _ => return None,
        };
        Some(Self::Pointer { origin, which, offset: 0 })
    }
}
