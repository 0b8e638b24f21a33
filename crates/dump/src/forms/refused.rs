//! What is no dump that can be read, and is called by its name.

use super::{ALL, Machine, Shelf};
use crate::test_support::{ElfBuilder, KdumpBuilder, page};

pub(super) fn add(machine: &Machine, shelf: &mut Shelf) {
    add_machines(shelf);
    let mut add = |name, writer, bytes: Vec<u8>| shelf.add(name, writer, ALL, &[bytes]);
    // Large enough for a raw image, so that nothing but its signature tells.
    let memory: Vec<u8> = (0..(16 << 20) / 4096).flat_map(|_| [7; 4096]).collect();
    let behind = |signature: &[u8]| [signature, memory.get(signature.len()..).unwrap()].concat();
    add("`.vmss`, `.vmsn`", "VMware", behind(&0xbed2_bed2_u32.to_le_bytes()));
    add("Xen core", "`xl dump-core`", xen_core());
    add("Xen core of before 4.0", "`xm dump-core`", behind(&0xf00f_ebed_u32.to_le_bytes()));
    let host = crate::RawNote { name: b"Xen".to_vec(), kind: 0x100_0001, desc: vec![0; 0x50] };
    add("dump of a Xen host", "kexec under Xen", core().note(&host).build());
    add("SADUMP, a partition or several disks", "firmware", behind(b"sadump\0\0"));
    add("SADUMP, a file", "firmware", [&[7; 4096][..], &behind(b"sadump\0\0")].concat());
    add("LKCD", "LKCD", behind(b"\xed\x23\x8f\x61\x73\x01\x19\xa8"));
    add("stand-alone dump of s390", "zipl", behind(b"\xa8\x19\x01\x73\x61\x8f\x23\xfd"));
    add("diskdump", "diskdumputils", behind(b"DISKDUMP"));
    add("saved machine state of QEMU", "`migrate`, `savevm`", behind(b"QEVM"));
    add("QEMU disk image", "`qemu-img`", behind(b"QFI\xfb"));
    add(
        "saved machine state of libvirt",
        "`virsh save`, `virsh dump` without `--memory-only`",
        behind(b"LibvirtQemudSave"),
    );
    add("saved Xen guest", "`xl save`", behind(b"LinuxGuestRecord"));
    add("saved VirtualBox machine", "`VBoxManage controlvm savestate`", behind(b"\x7fVirtualBox SavedState"));
    add("Proxmox backup", "`vzdump`", behind(b"VMA\0"));
    add("HPAK memory image", "HBGary", behind(b"HPAK"));
    add("EnCase image", "EnCase, `ewfacquire`", behind(b"EVF\x09\r\n\xff\0"));
    add("Windows crash dump", "Windows", behind(b"PAGEDU64"));
    add("lzop", "`lzop`", behind(b"\x89LZO\0\r\n\x1a\n"));
    add("lzip", "`lzip`", behind(b"LZIP"));
    add("zip", "`zip`", behind(b"PK\x03\x04"));
    add("7z", "`7z`", behind(b"7z\xbc\xaf\x27\x1c"));
    add("bootable kernel", "`vmlinuz`", boot_image());
    add("vmlinux", "", ElfBuilder { kind: 2, ..core() }.build());
    add("core of a process", "", user_core());
    add("text", "`vmcore-dmesg.txt`", b"[    0.000000] Linux version 6.1.0\n".to_vec());
    add("zeroes", "a disk that was full", vec![0; 1 << 20]);
    add("the first 60 bytes of a dump", "a disk that was full", machine.elf[..60].to_vec());
    add("a file of no bytes", "a disk that was full", Vec::new());
}

fn core() -> ElfBuilder {
    ElfBuilder::new().load(0x1000, page(1))
}

/// Dumps of other machines, in both forms.
fn add_machines(shelf: &mut Shelf) {
    const ELF: [(&str, u8, u8, u16); 8] = [
        ("ELF core of i386", 1, 1, 3),
        ("ELF core of i386 in 64 bits", 2, 1, 3),
        ("ELF core of big-endian arm64", 2, 2, 183),
        ("ELF core of ppc64", 2, 2, 21),
        ("ELF core of ppc64le", 2, 1, 21),
        ("ELF core of s390x", 2, 2, 22),
        ("ELF core of riscv64", 2, 1, 243),
        ("ELF core of 32-bit ARM", 1, 1, 40),
    ];
    for (name, class, data, machine) in ELF {
        let mut bytes = ElfBuilder { class, data, machine, ..core() }.build();
        if data == 2 {
            // Of the header only what tells the machine is looked at.
            bytes[16..18].reverse();
            bytes[18..20].reverse();
        }
        shelf.add(name, "", ALL, &[bytes]);
    }
    const KDUMP: [(&str, &str); 4] = [
        ("kdump-compressed of big-endian arm64", "aarch64_be"),
        ("kdump-compressed of i386", "i686"),
        ("kdump-compressed of ppc64le", "ppc64le"),
        ("kdump-compressed of s390x, little-endian header", "s390x"),
    ];
    for (name, machine) in KDUMP {
        let kdump = KdumpBuilder { machine, ..KdumpBuilder::new(64) }.page(3, 0, page(3));
        shelf.add(name, "", ALL, &[kdump.build()]);
    }
}

/// Sections in place of program headers.
fn xen_core() -> Vec<u8> {
    let names = b"\0.xen_pages\0";
    let mut core = ElfBuilder::new().build();
    core[56..58].copy_from_slice(&0u16.to_le_bytes());
    let sections = core.len() as u64;
    core[40..48].copy_from_slice(&sections.to_le_bytes());
    core[58..64].copy_from_slice(&[64, 0, 1, 0, 0, 0]);
    let mut section = [0; 64];
    section[24..32].copy_from_slice(&(sections + 64).to_le_bytes());
    section[32..40].copy_from_slice(&(names.len() as u64).to_le_bytes());
    core.extend(section);
    core.extend(names);
    core
}

fn boot_image() -> Vec<u8> {
    let mut image = page(1);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image
}

/// What tells is the note of a process's files.
fn user_core() -> Vec<u8> {
    let note = crate::RawNote { name: b"CORE".to_vec(), kind: 0x4649_4c45, desc: vec![0; 32] };
    let load = crate::test_support::LoadSpec { virtual_address: 0x40_0000, bytes: page(1), ..Default::default() };
    ElfBuilder::new().note(&note).load_spec(load).build()
}
