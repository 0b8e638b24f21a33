//! What an AMD processor keeps of why it was reset, and the next boot prints, since 6.16.
//!
//! | the processor says | that was |
//! |---|---|
//! | it was too hot, an error that nobody corrected, a parity error, … | hardware: a report of the boot before |
//! | `hardware watchdog timer expired`, `internal CPU shutdown event occurred` | a hang or a triple fault, of which nothing else is told |
//! | a button, a pin, software, ACPI | asked for |
//!
//! Source: `arch/x86/kernel/cpu/amd.c`, `s5_reset_reason_txt[]`.

/// `x86/amd: Previous system reset reason [0x08000800]: an uncorrected error caused a data fabric sync flood event`.
pub(crate) const REASON: &str = "x86/amd: Previous system reset reason [";

/// Those that hardware had for itself.
pub(crate) const OF_HARDWARE: [&str; 6] = [
    "thermal pin BP_THERMTRIP_L was tripped",
    "internal CPU thermal limit was tripped",
    "an uncorrected error caused a data fabric sync flood",
    "FCH and MP1 failed warm reset handshake",
    "a parity error occurred",
    "a software sync flood event occurred",
];

/// Those by which a machine ends that cannot say why.
const UNTOLD: [&str; 2] = ["hardware watchdog timer expired", "internal CPU shutdown event occurred"];

/// How the boot before ended without a word, by a line of this one.
pub(crate) fn untold(text: &str) -> Option<&str> {
    let (_, reason) = text.strip_prefix(REASON)?.split_once("]: ")?;
    let reason = reason.trim_end();
    UNTOLD.contains(&reason).then_some(reason)
}
