//! Hardware that reports its errors, or is found not to work.
//!
//! Source: `arch/x86/kernel/cpu/mce/core.c`, `arch/x86/kernel/nmi.c`; `drivers/edac/edac_mc.c`, `mce_amd.c`;
//! `drivers/acpi/apei/ghes.c`; `drivers/pci/pcie/aer.c`, `dpc.c`; `arch/powerpc/kernel/eeh.c`, `eeh_driver.c`;
//! `drivers/thermal/thermal_core.c`; `kernel/reboot.c`, `__hw_protection_trigger()`; `drivers/iommu/intel/dmar.c`, `amd/iommu.c`,
//! `arm/arm-smmu-v3`; `drivers/gpu/drm/amd/amdgpu`, `xe/xe_device.c`; `arch/arm64/kernel/traps.c`, `bad_mode()` of older kernels.

use super::message::{Device, Message, find};
use super::text::{number, number_after, word};
use super::{Event, Kind};
use crate::reset;

pub(super) fn parse(text: &str) -> Option<Event> {
    find(&MESSAGES, text)
        .or_else(|| machine_check(text))
        .or_else(|| firmware(text))
        .or_else(|| edac(text))
        .or_else(|| bus(text))
        .or_else(|| nmi(text))
        .or_else(|| gpu(text))
        .or_else(|| threshold(text))
}

/// Errors that are corrected, and more of them than the kernel takes for ordinary: it polls for them, as each interrupts it
/// (`arch/x86/kernel/cpu/mce/intel.c`, since 6.8 `threshold.c`, by CPU and bank), or does without the page that has them
/// (`drivers/ras/cec.c`).
pub(super) fn is_threshold(text: &str) -> bool {
    let text = text.strip_prefix("mce: ").unwrap_or(text);
    let by_bank = || text.strip_prefix("CPU").is_some_and(|rest| rest.contains(" BANK"));
    text.starts_with("RAS: Soft-offlining pfn: ")
        || text.starts_with("CMCI storm detected")
        || text.ends_with(" CMCI storm detected") && by_bank()
}

fn threshold(text: &str) -> Option<Event> {
    let bank = number_after::<u32>(text, " BANK").map(|bank| format!("bank {bank}"));
    let event = || Event::new(Kind::CorrectedHardware, text).on_cpu(number_after(text, "CPU"));
    is_threshold(text).then(|| event().of_device(bank.as_deref()))
}

const fn failed(begins: &'static str, has: &'static [&'static str], device: Device) -> Message {
    Message { begins, has, kind: Kind::Hardware, device }
}

/// Parts that say so themselves.
static MESSAGES: [Message; 14] = [
    // What is done where it is too hot; in newer kernels `reboot` may stand in place of `shutdown`.
    failed("reboot: HARDWARE PROTECTION ", &[], Device::Unnamed),
    failed("EEH: Frozen ", &["detected"], Device::Unnamed),
    failed("EEH: ", &["permanently disabled", "Unable to recover", "Fenced PHB", "Dead PHB"], Device::Unnamed),
    failed("DMAR: VT-d detected Invalidation ", &[], Device::Unnamed),
    failed("AMD-Vi: Completion-Wait loop timed out", &[], Device::Unnamed),
    failed("AMD-Vi: IOMMU ", &["Completion-Wait loop timed out"], Device::Unnamed),
    failed("arm-smmu", &["CMD_SYNC timeout", "TLB sync timed out"], Device::After(" ")),
    failed("amdgpu ", &["device lost from bus"], Device::Next),
    // A hang of the graphics processor is of the program that ran on it, if it can be reset.
    failed("i915 ", &["Failed to reset chip"], Device::Next),
    failed("xe ", &["as wedged"], Device::Next),
    failed("Bad mode in Error handler", &["SError"], Device::Unnamed),
    // x86 calls a fatal error of the northbridge and of a bank so: `drivers/edac/mce_amd.c`.
    failed("[Hardware Error]: System Fatal error", &[], Device::Unnamed),
    failed("thermal ", &["critical temperature reached"], Device::Next),
    failed(reset::REASON, &reset::OF_HARDWARE, Device::Unnamed),
];

impl Event {
    /// Whether it is what a boot says of the end of the one before.
    pub(crate) fn is_of_boot_before(&self) -> bool {
        self.text.starts_with(reset::REASON)
    }

    /// Whether the error was one of those that raise an exception (`MCI_STATUS_EN`), such as resets a machine.
    #[must_use]
    pub fn is_enabled_machine_check(&self) -> bool {
        const EN: u64 = 1 << 60;
        status(&self.text).is_some_and(|status| status & EN != 0)
    }

    /// Whether it is a machine check that was found in a bank, and not taken as an exception.
    #[must_use]
    pub fn is_polled_machine_check(&self) -> bool {
        self.kind == Kind::Hardware
            && self.text.contains("[Hardware Error]: CPU ")
            && self.text.contains(": Machine Check: 0 Bank ")
    }
}

/// `amdgpu 0000:03:00.0: amdgpu: GPU reset(1) failed`; a reset that succeeds is of the program that ran on it.
///
/// `NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', …`: those of NVIDIA's list that are of the board, its memory or its
/// links. Others, such as 13, 31 and 43, are of the program that ran on it.
fn gpu(text: &str) -> Option<Event> {
    const OF_THE_BOARD: [u32; 11] = [48, 61, 62, 64, 74, 79, 92, 95, 119, 120, 140];
    let event = |device: Option<&str>| Event::new(Kind::Hardware, text).of_device(device);
    if let Some(rest) = text.strip_prefix("amdgpu ") {
        return is_failed_reset(rest).then(|| event(word(rest)));
    }
    let said = text.strip_prefix("NVRM: ")?;
    let Some((device, rest)) = said.strip_prefix("Xid (").and_then(|rest| rest.split_once("): ")) else {
        // `GPU 0000:b3:00.0: GPU has fallen off the bus.`; while it is probed without its name on this line.
        let (before, _) = said.split_once("fallen off the bus")?;
        let device = before.strip_prefix("GPU ").and_then(word).map(|device| device.trim_end_matches(':'));
        return Some(event(device));
    };
    let is_board = number::<u32>(rest).is_some_and(|xid| OF_THE_BOARD.contains(&xid));
    is_board.then(|| event(Some(device)))
}

/// A reset that has begun is over where it succeeds (`recovery.rs`).
fn is_failed_reset(text: &str) -> bool {
    let result = text.split_once("GPU reset(").is_some_and(|(_, result)| result.contains(") failed"));
    result
        || ["GPU reset begin!", "GPU reset end with ret = -", "ASIC reset failed"]
            .iter()
            .any(|what| text.contains(what))
}

/// `mce: [Hardware Error]: CPU 7: Machine Check Exception: 5 Bank 0: b200000080060001`
fn machine_check(text: &str) -> Option<Event> {
    let rest = text.strip_prefix("mce: ").unwrap_or(text);
    let (number, rest) = match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((number, rest)) => (Some(number), rest),
        None => (None, rest),
    };
    let Some(rest) = rest.strip_prefix("[Hardware Error]: ") else {
        let uncorrected = rest.starts_with("Uncorrected hardware memory error")
            || rest.starts_with("Memory failure: ") && rest.contains("recovery action for");
        return uncorrected.then(|| Event::new(Kind::Hardware, text));
    };
    if let Some((_, what)) = rest.strip_prefix("CPU ").and_then(|rest| rest.split_once(": ")) {
        let is_exception = what.starts_with("Machine Check Exception");
        let is_event = what.starts_with("Machine Check: ") || what.starts_with("Machine Check Event");
        let kind = if is_exception || is_uncorrected(what) { Kind::Hardware } else { Kind::CorrectedHardware };
        let mut event = Event::new(kind, text).on_cpu(number_after(rest, "CPU "));
        event.device = number_after::<u32>(what, "Bank ").map(|bank| format!("bank {bank}"));
        return (is_exception || is_event).then_some(event);
    }
    if rest.starts_with("Machine check events logged") {
        return Some(Event::new(Kind::CorrectedHardware, text));
    }
    // AMD's decoder, and the firmware's own records.
    let severity = rest.strip_prefix("event severity: ");
    let is_source = number.is_some() && rest.starts_with("Hardware error from ");
    match severity {
        // `info` is a record without an error: `drivers/firmware/efi/cper.c`.
        Some(severity) if severity.starts_with("corrected") || severity.starts_with("info") => {
            Some(Event::new(Kind::CorrectedHardware, text))
        }
        Some(_) => Some(Event::new(Kind::Hardware, text)),
        None if rest.starts_with("Corrected error") => Some(Event::new(Kind::CorrectedHardware, text)),
        None if rest.starts_with("Uncorrected") => Some(Event::new(Kind::Hardware, text)),
        None if is_source => Some(Event::new(Kind::CorrectedHardware, text)),
        None => None,
    }
}

/// Whether the status of `Machine Check: 0 Bank 4: a600000000020408` has its bit for uncorrected errors (`MCI_STATUS_UC`): of one
/// that was left from before the kernel started, no exception tells.
fn is_uncorrected(what: &str) -> bool {
    const UC: u64 = 1 << 61;
    status(what).is_some_and(|status| status & UC != 0)
}

fn status(what: &str) -> Option<u64> {
    let status = what.split_once(" Bank ").and_then(|(_, rest)| rest.split_once(": "));
    status.and_then(|(_, status)| u64::from_str_radix(word(status)?, 16).ok())
}

/// POWER: `Severe Machine check interrupt [Not recovered]`.
fn firmware(text: &str) -> Option<Event> {
    let is_check =
        text.starts_with("Severe Machine check interrupt") || text.starts_with("Fatal Machine check interrupt");
    let serror = text.starts_with("SError Interrupt on CPU");
    (is_check || serror).then(|| Event::new(Kind::Hardware, text).on_cpu(number_after(text, "on CPU")))
}

/// `EDAC MC0: 1 CE memory read error on CPU_SrcID#0_MC#0_Chan#1_DIMM#0`
fn edac(text: &str) -> Option<Event> {
    let rest = text.strip_prefix("EDAC ")?;
    let (device, what) = rest.split_once(": ")?;
    let mut words = what.split(' ');
    words.next()?.parse::<u32>().ok()?;
    let kind = match words.next()? {
        "CE" => Kind::CorrectedHardware,
        "UE" => Kind::Hardware,
        _ => return None,
    };
    let device = what.split_once(" on ").and_then(|(_, place)| word(place)).unwrap_or(device);
    Some(Event::new(kind, text).of_device(Some(device)))
}

/// `pcieport 0000:00:1c.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer`
fn bus(text: &str) -> Option<Event> {
    let (device, what) = text.split_once(": ").filter(|(device, _)| !device.is_empty())?;
    let device = device.rsplit(' ').next();
    let kind = if let Some(rest) = what.strip_prefix("PCIe Bus Error: severity=") {
        if is_corrected(rest) { Kind::CorrectedHardware } else { Kind::Hardware }
    } else if let Some(rest) =
        what.strip_prefix("AER: ").filter(|rest| rest.contains(" error") && rest.contains("received"))
    {
        if is_corrected(rest.strip_prefix("Multiple ").unwrap_or(rest)) {
            Kind::CorrectedHardware
        } else {
            Kind::Hardware
        }
    } else if what.starts_with("AER: device recovery failed") || is_contained(what) {
        Kind::Hardware
    } else {
        return None;
    };
    Some(Event::new(kind, text).of_device(device))
}

/// `Corrected`; since 6.8 `Correctable`.
fn is_corrected(severity: &str) -> bool {
    severity.starts_with("Correct")
}

/// `DPC: unmasked uncorrectable error detected`, in newer kernels behind `DPC: containment event, status:0x1f01: `:
/// `drivers/pci/pcie/dpc.c`.
fn is_contained(what: &str) -> bool {
    what.starts_with("DPC: ")
        && ["unmasked uncorrectable error", "ERR_FATAL", "RP PIO error"].iter().any(|error| what.contains(error))
}

/// `Uhhuh. NMI received for unknown reason 3d on CPU 0.`, `NMI: PCI system error (SERR) for reason b1 on CPU 0.`
fn nmi(text: &str) -> Option<Event> {
    const STARTS: [&str; 4] = [
        "Uhhuh. NMI received for unknown reason",
        "NMI: PCI system error",
        "NMI: IOCK error",
        "NMI: memory parity error",
    ];
    STARTS
        .iter()
        .any(|start| text.starts_with(start))
        .then(|| Event::new(Kind::Hardware, text).on_cpu(number_after(text, "on CPU ")))
}
