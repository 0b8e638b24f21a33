//! The smallest files that are what they claim to be: a dump with VMCOREINFO, and a vmlinux with a symbol and a
//! build-id.

use vmcore_dump::{RawNote, write_elf_core};
use vmcore_memory::{Architecture, PhysAddr};

pub(crate) const RELEASE: &str = "6.1.0-test";
pub(crate) const BUILD_ID: [u8; 20] = [0xab; 20];

/// A dump of one page of memory.
pub(crate) fn dump(build_id: [u8; 20]) -> Vec<u8> {
    let digits: String = build_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let info = format!("OSRELEASE={RELEASE}\nBUILD-ID={digits}\nPAGESIZE=4096\nKERNELOFFSET=0\n");
    let note = RawNote { name: b"VMCOREINFO".to_vec(), kind: 0, desc: info.into_bytes() };
    let page = [0; 4096];
    let mut out = Vec::new();
    write_elf_core(&mut out, Architecture::X86_64, &[note], [(PhysAddr::new(0), &page[..])].into_iter()).unwrap();
    out
}

/// A section: name, type, link, size of an entry, contents.
type Section<'s> = (&'s str, u32, u32, u64, Vec<u8>);

/// An ELF executable with a build-id note and one symbol.
pub(crate) fn vmlinux(build_id: [u8; 20]) -> Vec<u8> {
    const SYMTAB: u32 = 2;
    const STRTAB: u32 = 3;
    const NOTE: u32 = 7;
    let mut note = words(&[4, 20, 3]);
    note.extend(b"GNU\0");
    note.extend(build_id);
    let mut symbols = vec![0; 24];
    // init_task: a global object in section 1.
    symbols.extend(words(&[1]));
    symbols.extend([0x11, 0, 1, 0]);
    symbols.extend(0xffff_ffff_8100_0000u64.to_le_bytes());
    symbols.extend(8u64.to_le_bytes());
    let sections: [Section<'_>; 5] = [
        ("", 0, 0, 0, Vec::new()),
        (".note.gnu.build-id", NOTE, 0, 0, note),
        (".symtab", SYMTAB, 3, 24, symbols),
        (".strtab", STRTAB, 0, 0, b"\0init_task\0".to_vec()),
        (".shstrtab", STRTAB, 0, 0, b"\0.note.gnu.build-id\0.symtab\0.strtab\0.shstrtab\0".to_vec()),
    ];
    elf(&sections)
}

/// An ELF header, the contents of the sections, and their headers; the last section has their names.
fn elf(sections: &[Section<'_>]) -> Vec<u8> {
    const HEADER: usize = 64;
    let mut contents = Vec::new();
    let mut headers = Vec::new();
    let names = String::from_utf8(sections.last().unwrap().4.clone()).unwrap();
    for (name, kind, link, entry_size, bytes) in sections {
        contents.resize(contents.len().next_multiple_of(8), 0);
        let name_at = if name.is_empty() { 0 } else { names.find(&format!("\0{name}\0")).unwrap() + 1 };
        headers.extend(words(&[u32::try_from(name_at).unwrap(), *kind]));
        for field in [0, 0, (HEADER + contents.len()) as u64, bytes.len() as u64] {
            headers.extend(field.to_le_bytes());
        }
        headers.extend(words(&[*link, 0]));
        for field in [4, *entry_size] {
            headers.extend(u64::to_le_bytes(field));
        }
        contents.extend(bytes);
    }
    contents.resize(contents.len().next_multiple_of(8), 0);
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    out.extend([2, 0, 62, 0]); // ET_EXEC, EM_X86_64
    out.extend(words(&[1]));
    for field in [0, 0, (HEADER + contents.len()) as u64] {
        out.extend(u64::to_le_bytes(field));
    }
    out.extend(words(&[0]));
    let count = u16::try_from(sections.len()).unwrap();
    for field in [64, 56, 0, 64, count, count - 1] {
        out.extend(u16::to_le_bytes(field));
    }
    out.extend(contents);
    out.extend(headers);
    out
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
