//! Where memory begins in QEMU's dumps of arm64 machines whose CPUs have vector registers of different lengths.
//!
//! QEMU makes room for the notes of all CPUs by the length of the first one's, lays out memory behind it, and then writes
//! for each CPU as many registers as its vector length has (`NT_ARM_SVE`), one behind the other. So there may be more notes, or less,
//! than `PT_NOTE` says, VMCOREINFO comes last, and memory follows where they end, not where `PT_LOAD` has it. Vector lengths
//! differ already where one CPU runs a task that never used such registers.
//!
//! A note that is damaged moves nothing: the file has to be as long as it is with memory behind the notes, and not as the
//! headers have it.
//!
//! Source: QEMU's `target/arm/arch_dump.c` (`cpu_get_note_size`, `arm_cpu_write_elf64_note`), `dump/dump.c` (`dump_begin`).

use std::cmp::Ordering;

use object::elf;
use vmcore_memory::{Architecture, le_u32};

use super::Load;
use crate::bytes::FileBytes;
use crate::notes::MAX_NOTES_LEN;
use crate::warnings::Warnings;

/// A CPU's vector registers.
const NT_ARM_SVE: u32 = 0x405;
/// namesz, descsz, type.
const HEADER: u64 = 12;
/// The longest name of these notes, padded.
const MAX_NAME: u64 = 12;
/// The longest contents: vectors of 2048 bits take a quarter of it.
const MAX_DESC: u64 = 1 << 16;

/// What follows the notes of such a dump, moved to where it is.
pub(super) fn lay_out(
    file: &FileBytes,
    architecture: Architecture,
    loads: &mut [Load],
    notes: &mut [Load],
    warnings: &mut Warnings,
) {
    let (Architecture::Arm64, [notes]) = (architecture, notes) else { return };
    let said = notes.file_end();
    if loads.iter().map(|load| load.offset).min() != Some(said) {
        return;
    }
    let Some(Notes { end, whole }) = find_end(file, notes.offset) else { return };
    let memory = loads.iter().map(|load| load.file_end().saturating_sub(said)).max().unwrap_or_default();
    let fits_behind = |start: u64| file.len() >= start.saturating_add(memory);
    let is_moved = match end.cmp(&said) {
        Ordering::Equal => false,
        Ordering::Less => !fits_behind(said) && fits_behind(end),
        // Of a file that was cut the notes alone can tell.
        Ordering::Greater => fits_behind(end) || !fits_behind(said) && whole,
    };
    if !is_moved {
        return;
    }
    warnings.push(format!(
        "the headers have the notes end at file offset {said:#x}, and they end at {end:#x}: QEMU wrote them longer or shorter \
         than it had made room for, so that memory begins there"
    ));
    notes.file_size = end - notes.offset;
    for load in loads {
        load.offset = load.offset.wrapping_sub(said).saturating_add(end);
    }
}

/// Where notes end, and whether the last one is that which QEMU writes last.
struct Notes {
    end: u64,
    whole: bool,
}

/// QEMU's notes that begin at `start`; `None` where there are none with vector registers.
fn find_end(file: &FileBytes, start: u64) -> Option<Notes> {
    let (mut at, mut has_vectors, mut whole) = (start, false, false);
    while at - start < MAX_NOTES_LEN {
        let bytes = file.prefix(at, HEADER + MAX_NAME);
        let field = |index: usize| le_u32(&bytes, index * 4);
        let (Some(name_len), Some(desc_len), Some(kind)) = (field(0), field(1), field(2)) else { break };
        let name = bytes.get(12..).and_then(|bytes| bytes.get(..usize::try_from(name_len).ok()?)).unwrap_or_default();
        whole = match (name, elf::NoteType(kind)) {
            (b"CORE\0", elf::NT_PRSTATUS | elf::NT_PRFPREG) => false,
            (b"LINUX\0", elf::NoteType(NT_ARM_SVE)) => {
                has_vectors = true;
                false
            }
            (b"VMCOREINFO\0", elf::NoteType(0)) => true,
            _ => break,
        };
        let len = HEADER + u64::from(name_len).next_multiple_of(4) + u64::from(desc_len).next_multiple_of(4);
        if u64::from(desc_len) > MAX_DESC || at + len > file.len() {
            return None;
        }
        at += len;
        if whole {
            break;
        }
    }
    has_vectors.then_some(Notes { end: at, whole })
}

#[cfg(test)]
mod tests {
    use vmcore_memory::PhysAddr;

    use crate::RawNote;
    use crate::test_support::{ElfBuilder, assert_bytes, open, page, read, vmcoreinfo};

    const MEMORY: u64 = 0x4000_0000;

    /// The notes of a CPU with so many bytes of vector registers.
    fn cpu(vectors: usize) -> [RawNote; 3] {
        let note = |name: &[u8], kind: u32, len: usize| RawNote { name: name.to_vec(), kind, desc: vec![0; len] };
        [note(b"CORE", 1, 0x188), note(b"CORE", 2, 0x210), note(b"LINUX", super::NT_ARM_SVE, vectors)]
    }

    /// A file whose headers have room for notes of `said` bytes more than there are.
    fn dump(cpus: &[usize], said: i64) -> Vec<u8> {
        let mut builder = ElfBuilder::new().arm64();
        for note in cpus.iter().flat_map(|vectors| cpu(*vectors)) {
            builder = builder.note(&note);
        }
        builder = builder.note(&vmcoreinfo("OSRELEASE=5.10.0\n")).load(MEMORY, [page(1), page(2)].concat());
        let mut bytes = builder.build();
        // p_filesz of the first header, p_offset of the second.
        for at in [64 + 32, 64 + 56 + 8] {
            let value = i64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) + said;
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn memory_is_where_the_notes_end() {
        for said in [0x250 - 0x8b0, 0x8b0 - 0x250, 0] {
            let dump = open(&dump(&[0x250, 0x8b0], said)).unwrap();
            assert_eq!(dump.vmcoreinfo().unwrap().osrelease(), Some("5.10.0"), "{said}");
            assert_eq!(dump.prstatus().len(), 2);
            assert_bytes(read(&dump, MEMORY + 0xff0, 32), [&page(1)[0xff0..], &page(2)[..16]].concat());
            assert!(read(&dump, MEMORY + 0x2000, 1).is_err());
            assert_eq!(dump.warnings().len(), usize::from(said != 0), "{:?}", dump.warnings());
        }
    }

    #[test]
    fn without_vector_registers_the_headers_are_believed() {
        let mut bytes = dump(&[0x250], -4);
        let name = bytes.windows(6).position(|bytes| bytes == b"LINUX\0").unwrap();
        bytes[name] = b'l';
        let dump = open(&bytes).unwrap();
        assert_eq!(dump.segments()[0].physical, PhysAddr::new(MEMORY));
        assert_ne!(read(&dump, MEMORY, 16), Ok(page(1)[..16].to_vec()));
    }

    #[test]
    fn a_damaged_note_moves_nothing() {
        let whole = dump(&[0x250, 0x8b0], 0);
        let at = whole.windows(11).position(|bytes| bytes == b"VMCOREINFO\0").unwrap();
        // Its name, and its length in either direction.
        for (place, value) in [(at, b'X'), (at - 8, 0xff), (at - 8, 0)] {
            let mut bytes = whole.clone();
            bytes[place] = value;
            let dump = open(&bytes).unwrap();
            assert_bytes(read(&dump, MEMORY, 4096), page(1));
        }
    }

    #[test]
    fn a_file_that_is_cut_anywhere_moves_nothing() {
        let bytes = dump(&[0x250, 0x8b0], 0x250 - 0x8b0);
        for len in (64 + 112..bytes.len()).step_by(97) {
            if let Ok(dump) = open(&bytes[..len]) {
                assert_ne!(read(&dump, MEMORY, 4096).ok(), Some(page(2)), "{len}");
            }
        }
    }
}
