//! Whether a vmlinux is the kernel that a dump was taken of.
//!
//! Since 5.9 VMCOREINFO carries the kernel's build-id (kernel commit 0935288c6e00). Before that the version banner is
//! compared: the bytes of `linux_banner` in the dump's memory with those in the vmlinux. It names the compiler, the
//! builder and the build time, so equal banners mean the same build.

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::Vmcoreinfo;
use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::KernelError;

/// The longest banner that is compared, in bytes.
const MAX_BANNER: usize = 512;

/// Compares build-ids; `Ok(true)` where both sides have one and they are equal, `Ok(false)` where one is missing.
pub(crate) fn check_build_id(info: &Vmcoreinfo, vmlinux: &Vmlinux) -> Result<bool, KernelError> {
    let (Some(dump), Some(vmlinux)) = (info.build_id(), vmlinux.build_id()) else { return Ok(false) };
    if dump == vmlinux {
        return Ok(true);
    }
    Err(KernelError::BuildIdMismatch { dump: hex(&dump), vmlinux: hex(vmlinux) })
}

/// Compares the banner at `address` in the dump, or else the release in VMCOREINFO, with the vmlinux's banner.
pub(crate) fn check_banner<M: ReadVirtual + ?Sized>(
    memory: &M,
    address: VirtAddr,
    info: &Vmcoreinfo,
    vmlinux: &Vmlinux,
) -> Result<(), KernelError> {
    let Some(ours) = vmlinux.banner() else { return Ok(()) };
    let ours = ours.trim_end();
    let release = info.osrelease().unwrap_or_default();
    if !release.is_empty() && !ours.starts_with(&format!("Linux version {release} ")) {
        return Err(KernelError::ReleaseMismatch { dump: release.to_owned(), vmlinux: ours.to_owned() });
    }
    let Ok(theirs) = memory.read_c_string(address, MAX_BANNER) else { return Ok(()) };
    let theirs = String::from_utf8_lossy(&theirs);
    let theirs = theirs.trim_end();
    if theirs == ours {
        return Ok(());
    }
    Err(KernelError::BannerMismatch { dump: theirs.to_owned(), vmlinux: ours.to_owned() })
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
