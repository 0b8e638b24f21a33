//! The formats that ORC entries have had.

/// Which bits of an entry mean what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrcLayout {
    /// `type:2 end:1`, up to 6.2.
    End,
    /// `type:2 signal:1 end:1`, 6.3.
    SignalEnd,
    /// `type:3 signal:1`, since 6.4.
    Type3,
}

/// Which number stands for which register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrcNumbering {
    /// Up to 7.0: 1 is the previous stack pointer, 5 the stack pointer. 10 is RAX, in kernels that have it.
    PrevSpFirst,
    /// Since 7.1: 1 is RAX, 3 the stack pointer, 8 the previous one.
    AxFirst,
}

/// A format of ORC entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrcFormat {
    /// Which bits mean what.
    pub layout: OrcLayout,
    /// Which number stands for which register.
    pub numbering: OrcNumbering,
}

impl OrcFormat {
    /// All that kernels have had, and combinations of their parts that a backport could make.
    pub const ALL: [Self; 6] = [
        Self::new(OrcLayout::End, OrcNumbering::PrevSpFirst),
        Self::new(OrcLayout::SignalEnd, OrcNumbering::PrevSpFirst),
        Self::new(OrcLayout::Type3, OrcNumbering::PrevSpFirst),
        Self::new(OrcLayout::Type3, OrcNumbering::AxFirst),
        Self::new(OrcLayout::SignalEnd, OrcNumbering::AxFirst),
        Self::new(OrcLayout::End, OrcNumbering::AxFirst),
    ];

    pub(super) const fn new(layout: OrcLayout, numbering: OrcNumbering) -> Self {
        Self { layout, numbering }
    }
}
