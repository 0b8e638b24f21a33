//! What a file is, by its first bytes; its name is never looked at.

use vmcore_memory::le_u16;

use crate::{Lookalike, flattened, kdump, lime};

/// The formats that can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detected {
    Elf,
    Kdump,
    Flattened,
    Lime,
    Other(Lookalike),
}

/// How many bytes of the file [`detect`] wants to see.
pub(crate) const SNIFF_LEN: usize = SADUMP_AT + 8;
/// Where the second block of a SADUMP dump is.
const SADUMP_AT: usize = 4096;
/// Where the first page of a swap area, and of an image of a hibernated machine, has its signature.
const SWAP_AT: usize = 4086;

/// Signatures at offset 0 of what people hand to a dump reader by mistake.
const SIGNATURES: &[(&[u8], Lookalike)] = &[
    (b"\x89LZO\0\r\n\x1a\n", Lookalike::Compressed("lzop")),
    (b"LZIP", Lookalike::Compressed("lzip")),
    (b"PK\x03\x04", Lookalike::Compressed("zip")),
    (b"7z\xbc\xaf\x27\x1c", Lookalike::Compressed("7z")),
    (b"Rar!", Lookalike::Compressed("rar")),
    (b"DISKDUMP", Lookalike::OtherDump("a diskdump of before 2008")),
    (b"\xed\x23\x8f\x61\x73\x01\x19\xa8", Lookalike::OtherDump("an LKCD dump")),
    // The same in the other byte order, as machines of s390 and ppc64 write it.
    (b"\xa8\x19\x01\x73\x61\x8f\x23\xed", Lookalike::OtherDump("an LKCD dump")),
    (b"\xa8\x19\x01\x73\x61\x8f\x23\xfd", Lookalike::OtherDump("a stand-alone dump of an s390 machine")),
    (b"sadump\0\0", Lookalike::Sadump),
    // Of a paravirtual guest, and of another.
    (b"\xed\xeb\x0f\xf0", Lookalike::XenCore),
    (b"\xee\xeb\x0f\xf0", Lookalike::XenCore),
    (b"PAGEDU", Lookalike::OtherDump("a Windows crash dump")),
    (b"HPAK", Lookalike::OtherDump("an HPAK memory image")),
    (b"EVF\x09", Lookalike::OtherDump("an EnCase image")),
    (b"QEVM", Lookalike::OtherDump("a saved QEMU machine state")),
    (b"QFI\xfb", Lookalike::OtherDump("a QEMU disk image")),
    (b"LibvirtQemudSave", Lookalike::OtherDump("a machine state saved by libvirt")),
    (b"LibvirtQemudPart", Lookalike::OtherDump("a machine state that libvirt did not save to its end")),
    (b"vhdxfile", Lookalike::OtherDump("a virtual disk (VHDX)")),
    (b"conectix", Lookalike::OtherDump("a virtual disk (VHD)")),
    (b"KDMV", Lookalike::OtherDump("a virtual disk of VMware (VMDK)")),
    (b"VMA\0", Lookalike::OtherDump("a Proxmox backup")),
    (b"\x7fVirtualBox SavedState", Lookalike::OtherDump("a saved VirtualBox machine state")),
    (b"LinuxGuestRecord", Lookalike::OtherDump("a saved Xen guest")),
    (b"Xen saved domain", Lookalike::OtherDump("a saved Xen guest")),
    (b"\xd0\xbe\xd0\xbe", Lookalike::Vmware),
    (b"\xd1\xbe\xd1\xbe", Lookalike::Vmware),
    (b"\xd2\xbe\xd2\xbe", Lookalike::Vmware),
    (b"\xd3\xbe\xd3\xbe", Lookalike::Vmware),
    (b"\xd1\xba\xd1\xba", Lookalike::Vmware),
    (b"\xd2\xba\xd2\xba", Lookalike::Vmware),
];

/// `e_type`, in every ELF header.
const ELF_TYPE_AT: usize = 16;

/// Whether a file that starts with `head` is an ELF core, not a program.
pub(crate) fn is_core(head: &[u8]) -> bool {
    le_u16(head, ELF_TYPE_AT) == Some(object::elf::ET_CORE.0)
}

/// Names the format of a file that starts with `head`.
pub(crate) fn detect(head: &[u8]) -> Detected {
    if head.starts_with(&object::elf::ELFMAG) {
        return Detected::Elf;
    }
    if head.starts_with(kdump::SIGNATURE) {
        return Detected::Kdump;
    }
    if head.starts_with(flattened::SIGNATURE) {
        return Detected::Flattened;
    }
    if head.starts_with(lime::SIGNATURE) {
        return Detected::Lime;
    }
    // Of a dump in a file, the second block is the first with a signature.
    if head.get(SADUMP_AT..).is_some_and(|block| block.starts_with(b"sadump\0\0")) {
        return Detected::Other(Lookalike::Sadump);
    }
    if let Some((_, what)) = SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature)) {
        return Detected::Other(*what);
    }
    if let Some(page_end) = head.get(SWAP_AT..) {
        if page_end.starts_with(b"S1SUSPEND") {
            return Detected::Other(Lookalike::OtherDump("the image of a hibernated machine"));
        }
        if page_end.starts_with(b"SWAPSPACE2") || page_end.starts_with(b"SWAP-SPACE") {
            return Detected::Other(Lookalike::OtherDump("a swap area"));
        }
    }
    // The x86 boot protocol's magic, see Documentation/arch/x86/boot.rst.
    if head.get(0x202..0x206) == Some(b"HdrS") {
        return Detected::Other(Lookalike::BootImage);
    }
    Detected::Other(if head.iter().all(|&byte| byte == 0) {
        Lookalike::Zeroes
    } else if looks_like_text(head) {
        Lookalike::Text
    } else {
        Lookalike::Unknown
    })
}

/// Whether a file that starts with `head` is meant to be a dump or another ELF file, not a text.
#[must_use]
pub fn starts_like_a_dump(head: &[u8]) -> bool {
    match detect(head) {
        Detected::Elf | Detected::Kdump | Detected::Flattened | Detected::Lime => true,
        Detected::Other(what) => {
            matches!(
                what,
                Lookalike::OtherDump(_)
                    | Lookalike::Vmware
                    | Lookalike::XenCore
                    | Lookalike::XenHost
                    | Lookalike::Sadump
            )
        }
    }
}

fn looks_like_text(head: &[u8]) -> bool {
    // The file may change between being found to be UTF-8 and being looked at as that.
    let head = &head.to_vec()[..];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character cut by the end of what was read is still text.
        Err(error) if error.error_len().is_none() => {
            head.get(..error.valid_up_to()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid.is_empty() && valid.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\x1b' | '\x0c'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_text_and_noise() {
        assert_eq!(detect(b"\x7fELF\x02\x01\x01"), Detected::Elf);
        assert_eq!(detect(b"KDUMP   \x06\0\0\0"), Detected::Kdump);
        assert_eq!(detect(b"makedumpfile\0\0\0\0"), Detected::Flattened);
        assert_eq!(detect(b"EMiL\x01\0\0\0"), Detected::Lime);
        assert_eq!(detect(b"PK\x03\x04"), Detected::Other(Lookalike::Compressed("zip")));
        for magic in [0xbed0_bed0u32, 0xbed1_bed1, 0xbed2_bed2, 0xbed3_bed3, 0xbad1_bad1, 0xbad2_bad2] {
            assert_eq!(detect(&magic.to_le_bytes()), Detected::Other(Lookalike::Vmware), "{magic:#x}");
        }
        assert_eq!(detect(b"sadump\0\0"), Detected::Other(Lookalike::Sadump));
        assert_eq!(detect("[ 1.0] naïve".as_bytes()), Detected::Other(Lookalike::Text));
        assert_eq!(detect(&"naïve".as_bytes()[..3]), Detected::Other(Lookalike::Text));
        assert_eq!(detect(&[0; 64]), Detected::Other(Lookalike::Zeroes));
        for (signature, what) in [("SWAPSPACE2", "a swap area"), ("S1SUSPEND\0", "the image of a hibernated machine")] {
            let mut area = [0; 4096];
            area[4086..].copy_from_slice(signature.as_bytes());
            assert_eq!(detect(&area), Detected::Other(Lookalike::OtherDump(what)));
        }
        assert!(matches!(detect(b"vhdxfile"), Detected::Other(Lookalike::OtherDump(_))));
        assert_eq!(detect(&[0xff, 0, 3]), Detected::Other(Lookalike::Unknown));
        assert!(starts_like_a_dump(b"KDUMP   \x06\0\0\0") && starts_like_a_dump(b"\x7fELF\x02\x01\x01"));
        assert!(!starts_like_a_dump(b"[    0.000000] Linux") && !starts_like_a_dump(b""));
        let mut image = vec![0; 0x300];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        assert_eq!(detect(&image), Detected::Other(Lookalike::BootImage));
    }
}
