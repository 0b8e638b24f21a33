//! How sure, how serious, and whether a claim holds.

/// How sure a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Everything that could speak against it could be read, and nothing does.
    None,
    /// What would be needed to tell is not in the dump.
    Insufficient,
    /// Some links of the proof are there, others could not be established.
    Possible,
    /// All links but one or two are there; those that are missing could not be read or are weaker than proof.
    Probable,
    /// Every link of the proof is there.
    Confirmed,
}

impl Confidence {
    /// All of them, from little to much.
    pub const ALL: [Self; 5] = [Self::None, Self::Insufficient, Self::Possible, Self::Probable, Self::Confirmed];

    /// The name used in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Insufficient => "insufficient",
            Self::Possible => "possible",
            Self::Probable => "probable",
            Self::Confirmed => "confirmed",
        }
    }
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Wrong, but not what stopped the machine.
    Warning,
    /// May be what stopped the machine.
    Critical,
}

impl Severity {
    /// All of them, from little to much.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The name used in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a check against the verdict came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// The claim is false: the verdict stands.
    Refuted,
    /// The claim is true: the verdict cannot be.
    Holds,
    /// It could not be checked.
    Unknown,
}

impl CheckResult {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Refuted, Self::Holds, Self::Unknown];

    /// The name used in output: `refuted`, `holds` or `unknown`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuted => "refuted",
            Self::Holds => "holds",
            Self::Unknown => "unknown",
        }
    }
}
