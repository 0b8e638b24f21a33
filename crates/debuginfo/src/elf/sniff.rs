//! What a file is that somebody gave as the vmlinux or a module, told from its first bytes.

use std::path::Path;

use object::elf;
use vmcore_memory::{Architecture, Machine, le_u16, le_u32};

use crate::OpenError;

/// `setup_header.header` of the x86 boot protocol: `HdrS`, 0x202 bytes into a bzImage.
const BOOT_HEADER: (usize, &[u8]) = (0x202, b"HdrS");

/// First bytes of files that hold a kernel in another form.
const KERNEL_IMAGES: [(&[u8], &str); 7] = [
    (b"\x1f\x8b", "a gzip-compressed file"),
    (b"\xfd7zXZ\0", "an xz-compressed file"),
    (b"\x28\xb5\x2f\xfd", "a zstd-compressed file"),
    (b"\x02\x21\x4c\x18", "an lz4-compressed file"),
    (b"\x89LZO", "an lzop-compressed file"),
    (b"BZh", "a bzip2-compressed file"),
    (b"!<arch>\n", "a Debian package or another archive"),
];

/// First bytes of dump formats other than ELF.
const DUMPS: [(&[u8], &str); 3] = [
    (b"KDUMP   ", "a kdump-compressed dump"),
    (b"DISKDUMP", "a diskdump-compressed dump"),
    (b"makedumpfile\0", "a flattened makedumpfile dump"),
];

/// What a file is opened as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A vmlinux: an executable.
    Vmlinux,
    /// A module: a relocatable object.
    Module,
}

/// Accepts what can be a vmlinux or a module: a 64-bit little-endian ELF file of the right type, for a machine that is known,
/// which is returned.
pub(super) fn check(path: &Path, file: &[u8], role: Role) -> Result<Architecture, OpenError> {
    let path = || path.to_path_buf();
    if file.is_empty() {
        return Err(OpenError::Empty { path: path() });
    }
    if let Some((_, what)) = DUMPS.iter().find(|(magic, _)| file.starts_with(magic)) {
        return Err(OpenError::Dump { path: path(), what });
    }
    if !file.starts_with(b"\x7fELF") {
        let boots = file.get(BOOT_HEADER.0..).is_some_and(|rest| rest.starts_with(BOOT_HEADER.1));
        let image = KERNEL_IMAGES.iter().find(|(magic, _)| file.starts_with(magic)).map(|(_, what)| *what);
        let looks_like = if boots { Some("a bootable kernel image (bzImage)") } else { image };
        return Err(OpenError::NotElf { path: path(), looks_like });
    }
    let damaged = || OpenError::Damaged { path: path(), reason: "the ELF header is incomplete".into() };
    let machine = Machine::of_elf(file).ok_or_else(damaged)?;
    let wrong = || OpenError::WrongMachine { path: path(), machine };
    let architecture = machine.architecture().ok_or_else(wrong)?;
    let present = |_| architecture;
    match le_u16(file, 16).ok_or_else(damaged)? {
        kind if kind == elf::ET_CORE.0 => Err(OpenError::Dump { path: path(), what: "an ELF core" }),
        kind if kind == elf::ET_REL.0 && role == Role::Module => le_u32(file, 60).map(present).ok_or_else(damaged),
        kind if kind == elf::ET_REL.0 => Err(OpenError::Relocatable { path: path() }),
        kind if kind == elf::ET_EXEC.0 || kind == elf::ET_DYN.0 => match role {
            Role::Vmlinux => le_u32(file, 60).map(present).ok_or_else(damaged),
            Role::Module => Err(OpenError::NotAModule { path: path() }),
        },
        kind => Err(OpenError::Damaged { path: path(), reason: format!("unknown ELF file type {kind}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first 64 bytes of an ELF file of the given type and machine.
    fn header(class: u8, encoding: u8, kind: u16, machine: u16) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, encoding]);
        bytes[16..18].copy_from_slice(&kind.to_le_bytes());
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes
    }

    fn message(file: &[u8]) -> String {
        check(Path::new("f"), file, Role::Vmlinux).unwrap_err().to_string()
    }

    #[test]
    fn says_what_the_file_is_instead() {
        assert_eq!(message(b""), "f is empty");
        assert_eq!(message(b"hello\n"), "f is not an ELF file");
        assert_eq!(message(b"\x1f\x8b\x08"), "f is not an ELF file but a gzip-compressed file");
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        assert_eq!(message(&image), "f is not an ELF file but a bootable kernel image (bzImage)");
        assert_eq!(message(b"KDUMP   \x06"), "f is a kdump-compressed dump, not a vmlinux");
        assert_eq!(message(&header(2, 1, 4, 62)), "f is an ELF core, not a vmlinux");
        assert!(message(&header(2, 1, 1, 62)).starts_with("f is a relocatable object"));
        assert!(message(&header(2, 1, 2, 243)).starts_with("f is for a RISC-V machine;"));
        assert!(message(&header(1, 1, 2, 3)).starts_with("f is for a 32-bit x86 machine;"));
        assert!(message(&header(2, 2, 0x200, 0x1600)).starts_with("f is for an s390 machine;"));
        assert!(message(b"\x7fELF").starts_with("f is damaged or cut short"));
        let check = |kind, role| check(Path::new("f"), &header(2, 1, kind, 62), role).is_ok();
        assert!(check(2, Role::Vmlinux) && !check(1, Role::Vmlinux));
        assert!(check(1, Role::Module) && !check(2, Role::Module));
        let of_arm64 = |kind, role| super::check(Path::new("f"), &header(2, 1, kind, 183), role).ok();
        assert_eq!(of_arm64(3, Role::Vmlinux), Some(Architecture::Arm64));
        assert_eq!(of_arm64(1, Role::Module), Some(Architecture::Arm64));
        assert!(message(&header(1, 1, 2, 183)).starts_with("f is for an arm64 machine in a 32-bit file;"));
    }
}
