//! Whether a vmlinux is the kernel that a dump was taken of.
//!
//! Since 5.9 VMCOREINFO carries the kernel's build-id (kernel commit 0935288c6e00). Before that the version banner is
//! compared: the bytes of `linux_banner` in the dump's memory with those in the vmlinux. It names the compiler, the
//! builder and the build time, so equal banners mean the same build. The build-id is also in the image itself, among
//! the notes from `__start_notes` on.

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::Vmcoreinfo;
use vmcore_memory::{ReadPhysical, ReadVirtual, VirtAddr, le_u32};

use crate::KernelError;
use crate::arch::x86_64::image::physical_address;
use crate::error::Build;

/// The longest banner that is compared, in bytes.
const MAX_BANNER: usize = 512;
/// More than the image's notes take, in bytes; some 500 are usual.
const MAX_NOTES: u64 = 1 << 16;
/// `NT_GNU_BUILD_ID`.
const BUILD_ID_NOTE: u32 = 3;

/// What the image of one build, and no other, has in its read-only data.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signature(Option<(VirtAddr, Vec<u8>)>);

impl Signature {
    #[cfg(test)]
    pub(crate) fn for_tests(address: VirtAddr, bytes: &[u8]) -> Self {
        Self(Some((address, bytes.to_vec())))
    }

    /// The banner, or the build-id where a file has no contents of read-only data; nothing if it has neither.
    pub(crate) fn of(vmlinux: &Vmlinux) -> Self {
        let banner = || Some((vmlinux.symbols().address("linux_banner")?, vmlinux.banner()?.into_bytes()));
        let build_id = || {
            let (notes, id) = (vmlinux.section(".notes")?, vmlinux.build_id().filter(|id| id.len() >= 16)?);
            let at = notes.data.windows(id.len()).position(|window| window == id)?;
            Some((notes.address.wrapping_add(at as u64), id.to_vec()))
        };
        Self(banner().or_else(build_id))
    }

    /// Its link-time address.
    pub(crate) fn first(&self) -> Option<VirtAddr> {
        self.0.as_ref().map(|&(address, _)| address)
    }

    /// Whether it is in memory where it has to be with the image at `delta`.
    pub(crate) fn is_at<M: ReadPhysical + ?Sized>(&self, memory: &M, delta: u64) -> bool {
        self.compare(memory, delta).unwrap_or(false)
    }

    /// As [`Signature::is_at`]; `None` where that cannot be read, or there is no signature.
    pub(crate) fn compare<M: ReadPhysical + ?Sized>(&self, memory: &M, delta: u64) -> Option<bool> {
        let (address, bytes) = self.0.as_ref()?;
        let address = physical_address(*address, delta);
        // Most places are something else, and say so in their first word.
        let word = memory.read_physical_u64(address).ok()?;
        if bytes.first_chunk() != Some(&word.to_le_bytes()) {
            return Some(false);
        }
        let mut found = vec![0; bytes.len()];
        memory.read_physical(address, &mut found).ok()?;
        Some(found == *bytes)
    }
}

/// Compares build-ids; `Ok(true)` where both sides have one and they are equal, `Ok(false)` where one is missing.
/// `release` is the dump's.
pub(crate) fn check_build_id(
    dump: Option<&[u8]>,
    release: Option<&str>,
    vmlinux: &Vmlinux,
) -> Result<bool, KernelError> {
    let (Some(dump), Some(theirs)) = (dump, vmlinux.build_id()) else { return Ok(false) };
    if dump == theirs {
        return Ok(true);
    }
    let banner = vmlinux.banner().unwrap_or_default();
    let build = |release: Option<&str>, id| Build { release: release.map(str::to_owned), id: hex(id) };
    Err(KernelError::BuildIdMismatch { dump: build(release, dump), vmlinux: build(release_of(&banner), theirs) })
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

/// `RELEASE` of `Linux version RELEASE (...) ...`.
#[must_use]
pub fn release_of(banner: &str) -> Option<&str> {
    banner.strip_prefix("Linux version ")?.split(' ').next()
}

/// The build-id among the image's notes, which are between these run-time addresses.
pub(crate) fn build_id_in_memory<M: ReadVirtual + ?Sized>(
    memory: &M,
    start: VirtAddr,
    end: VirtAddr,
) -> Option<Vec<u8>> {
    let len = end.get().checked_sub(start.get())?.min(MAX_NOTES);
    let mut notes = vec![0; usize::try_from(len).ok()?];
    memory.read_virtual(start, &mut notes).ok()?;
    build_id_note(&notes)
}

/// Notes are `u32 name length, u32 contents length, u32 type`, the name and the contents, each padded to 4 bytes.
fn build_id_note(notes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = notes;
    loop {
        let size = |at| usize::try_from(le_u32(rest, at)?).ok();
        let (name_len, len, kind) = (size(0)?, size(4)?, le_u32(rest, 8)?);
        let (name, after) = rest.get(12..)?.split_at_checked(name_len.checked_next_multiple_of(4)?)?;
        let contents = after.get(..len)?;
        if kind == BUILD_ID_NOTE && name == b"GNU\0" && !contents.is_empty() {
            return Some(contents.to_vec());
        }
        rest = after.get(len.checked_next_multiple_of(4)?..)?;
    }
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_build_id_is_not_the_first_note() {
        let note = |name: &[u8], kind: u32, contents: &[u8]| {
            let mut note = Vec::new();
            for word in [name.len() as u32, contents.len() as u32, kind] {
                note.extend(word.to_le_bytes());
            }
            for part in [name, contents] {
                note.extend(part);
                note.resize(note.len().next_multiple_of(4), 0);
            }
            note
        };
        let notes = [note(b"Xen\0", 3, b"x"), note(b"GNU\0", 1, b"y"), note(b"GNU\0", 3, &[7; 20])].concat();
        assert_eq!(build_id_note(&notes), Some(vec![7; 20]));
        assert_eq!(build_id_note(&notes[..notes.len() - 1]), None);
        assert_eq!(build_id_note(&[0; 64]), None);
    }

    #[test]
    fn releases() {
        assert_eq!(release_of("Linux version 6.1.0-30 (debian) #1"), Some("6.1.0-30"));
        assert_eq!(release_of("linux"), None);
    }

    proptest! {
        #[test]
        fn any_notes(notes in vec(any::<u8>(), 0..256)) {
            let _ = build_id_note(&notes);
        }
    }
}
