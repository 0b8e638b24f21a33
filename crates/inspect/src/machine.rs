//! What the machine was: command line, load, memory, taint, hardware; the part of `crash`'s `sys` that is in memory.

use vmcore_kernel::Kernel;
use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::state::{Listing, Missing, TaintingModule, TaintingModules, tainting_modules};
use crate::taint;

/// `COMMAND_LINE_SIZE` of x86.
const MAX_COMMAND_LINE: usize = 2048;
/// Bytes of a name of hardware.
const MAX_NAME: usize = 128;
/// Fixed-point numbers of the load average have 11 bits behind the point (`FSHIFT`, include/linux/sched/loadavg.h).
const LOAD_SHIFT: u32 = 11;

/// The machine. What could not be read is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// The kernel's command line. From the dump: untrusted.
    pub command_line: Option<String>,
    /// The load average over 1, 5 and 15 minutes, in hundredths.
    pub load: Option<[u64; 3]>,
    /// Memory that the kernel manages, in bytes.
    pub memory_total: Option<u64>,
    /// Of that, what was free.
    pub memory_free: Option<u64>,
    /// The raw taint mask.
    pub taint: Option<u64>,
    /// Its letters; empty where the kernel is not tainted.
    pub taint_letters: Option<String>,
    /// The loaded modules that taint the kernel.
    pub tainting_modules: Listing<TaintingModule>,
    /// Vendor and product by DMI.
    pub hardware: Option<String>,
    /// The firmware's version and date by DMI.
    pub firmware: Option<String>,
    /// The model of the boot CPU.
    pub processor: Option<String>,
    /// What could not be read of its lists.
    pub gaps: Vec<Missing>,
}

impl Machine {
    /// A machine of which nothing is known, without debug information.
    #[must_use]
    pub fn unknown() -> Self {
        let why = "without debug information they cannot be read".to_owned();
        let modules = Missing { what: "loaded modules".to_owned(), why };
        Self {
            command_line: None,
            load: None,
            memory_total: None,
            memory_free: None,
            taint: None,
            taint_letters: None,
            tainting_modules: Listing::not_read(modules.clone()),
            hardware: None,
            firmware: None,
            processor: None,
            gaps: vec![modules],
        }
    }
}

/// Reads it.
#[must_use]
pub fn machine(kernel: &Kernel<'_>) -> Machine {
    let memory = kernel.memory();
    let word = |name| memory.read_u64(kernel.symbol(name)?).ok();
    let bytes = |pages| bytes_of(kernel, pages);
    let taint = word("tainted_mask");
    let TaintingModules { modules, gaps } = tainting_modules(kernel);
    Machine {
        command_line: text_behind(kernel, kernel.symbol("saved_command_line"), MAX_COMMAND_LINE),
        load: load(kernel),
        // A variable until 5.0 (kernel commit ca79b0c211af), then an atomic one with an underscore.
        memory_total: word("_totalram_pages").or_else(|| word("totalram_pages")).and_then(bytes),
        memory_free: free_pages(kernel).and_then(bytes),
        taint,
        taint_letters: taint.map(taint::letters),
        tainting_modules: modules,
        hardware: joined(kernel, &["DMI_SYS_VENDOR", "DMI_PRODUCT_NAME"]),
        firmware: joined(kernel, &["DMI_BIOS_VENDOR", "DMI_BIOS_VERSION", "DMI_BIOS_DATE"]),
        processor: processor(kernel),
        gaps,
    }
}

fn bytes_of(kernel: &Kernel<'_>, pages: u64) -> Option<u64> {
    // More than an address can name is damage.
    Some(kernel.bytes_of_pages(pages)).filter(|bytes| bytes >> 52 == 0)
}

fn load(kernel: &Kernel<'_>) -> Option<[u64; 3]> {
    let at = kernel.symbol("avenrun")?;
    let one = |index: u64| {
        let fixed = kernel.memory().read_u64(at.wrapping_add(index * 8)).ok()?;
        in_hundredths(fixed)
    };
    Some([one(0)?, one(1)?, one(2)?])
}

/// As /proc/loadavg rounds it: by half of a hundredth, `FIXED_1 / 200`.
fn in_hundredths(fixed: u64) -> Option<u64> {
    Some(fixed.checked_add((1 << LOAD_SHIFT) / 200)?.checked_mul(100)? >> LOAD_SHIFT)
}

/// `vm_zone_stat[NR_FREE_PAGES]`.
fn free_pages(kernel: &Kernel<'_>) -> Option<u64> {
    let index = kernel.vmlinux().types().enumerator("NR_FREE_PAGES")?;
    let at = kernel.symbol("vm_zone_stat")?.wrapping_add(u64::try_from(index).ok()?.checked_mul(8)?);
    kernel.memory().read_u64(at).ok()
}

/// Texts of `dmi_ident`, by the names of their places in it.
fn joined(kernel: &Kernel<'_>, fields: &[&str]) -> Option<String> {
    let table = kernel.symbol("dmi_ident")?;
    let text = |field: &&str| {
        let index = u64::try_from(kernel.vmlinux().types().enumerator_of("dmi_field", field)?).ok()?;
        text_behind(kernel, Some(table.wrapping_add(index.checked_mul(8)?)), MAX_NAME)
    };
    let texts: Vec<_> = fields.iter().filter_map(text).filter(|text| !text.trim().is_empty()).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

fn processor(kernel: &Kernel<'_>) -> Option<String> {
    let member = kernel.vmlinux().types().member("cpuinfo_x86", "x86_model_id")?;
    let at = kernel.symbol("boot_cpu_data")?.wrapping_add(member.offset);
    let bytes = kernel.memory().read_c_string(at, usize::try_from(member.size).ok()?.min(MAX_NAME)).ok()?;
    let name = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!name.is_empty()).then_some(name)
}

/// The text that the pointer at `pointer` leads to.
fn text_behind(kernel: &Kernel<'_>, pointer: Option<VirtAddr>, max: usize) -> Option<String> {
    let text = kernel.memory().read_pointer(pointer?).ok().filter(|text| !text.is_null())?;
    let bytes = kernel.memory().read_c_string(text, max).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::in_hundredths;

    #[test]
    fn the_load_is_rounded_to_hundredths() {
        assert_eq!(in_hundredths(0), Some(0));
        assert_eq!(in_hundredths(2048), Some(100));
        // 0.56 as the kernel and crash print it.
        assert_eq!(in_hundredths(1147), Some(56));
        assert_eq!(in_hundredths(u64::MAX), None);
    }
}
