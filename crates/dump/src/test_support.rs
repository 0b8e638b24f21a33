//! Builds small dumps, right and wrong ones, for the tests.

mod kdump;
pub(crate) mod pack;

use std::io::Write;
use std::path::Path;

use vmcore_memory::{PhysAddr, ReadError, ReadPhysical};

pub(crate) use self::kdump::{FlatBuilder, KdumpBuilder, compress, flatten};

use crate::{Dump, OpenError, RawNote};

/// A file with `bytes` in it, deleted when dropped.
pub(crate) fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Opens a dump with `bytes` in it. The mapping outlives the file's name.
pub(crate) fn open(bytes: &[u8]) -> Result<Dump, OpenError> {
    Dump::open(file(bytes).path())
}

/// `len` bytes of physical memory.
pub(crate) fn read(dump: &Dump, address: u64, len: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = vec![0xee; len];
    dump.read_physical(PhysAddr::new(address), &mut bytes).map(|()| bytes)
}

/// That a read gave these bytes; says where they differ rather than listing them.
#[track_caller]
pub(crate) fn assert_bytes(found: Result<Vec<u8>, ReadError>, expected: impl AsRef<[u8]>) {
    let (found, expected) = (found.unwrap(), expected.as_ref());
    let difference = found.iter().zip(expected).position(|(found, expected)| found != expected);
    assert_eq!((difference, found.len()), (None, expected.len()), "first difference, length");
}

/// Page contents that differ from page to page and from byte to byte.
pub(crate) fn page(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut page = Vec::with_capacity(4096);
    while page.len() < 4096 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        page.extend(state.to_le_bytes());
    }
    page
}

/// The contents of an `NT_PRSTATUS` note: register words count up from `first`.
pub(crate) fn prstatus(pid: u32, first: u64) -> RawNote {
    let mut desc = vec![0; 336];
    desc[32..36].copy_from_slice(&pid.to_le_bytes());
    for (word, place) in desc[112..328].chunks_exact_mut(8).enumerate() {
        place.copy_from_slice(&(first + word as u64).to_le_bytes());
    }
    RawNote { name: b"CORE".to_vec(), kind: 1, desc }
}

/// The contents of a `QEMU` note with 440 bytes: words after the header count up from `first`.
pub(crate) fn qemu(first: u64) -> RawNote {
    let mut desc = [1u32.to_le_bytes(), 440u32.to_le_bytes()].concat();
    desc.extend((0..54).flat_map(|word| (first + word).to_le_bytes()));
    RawNote { name: b"QEMU".to_vec(), kind: 0, desc }
}

pub(crate) fn vmcoreinfo(text: &str) -> RawNote {
    RawNote { name: b"VMCOREINFO".to_vec(), kind: 0, desc: text.as_bytes().to_vec() }
}

/// Builds an ELF core whose every header field can be wrong. Program headers follow the ELF header, notes follow them,
/// and memory follows those without padding.
#[derive(Clone)]
pub(crate) struct ElfBuilder {
    pub(crate) class: u8,
    pub(crate) data: u8,
    pub(crate) kind: u16,
    pub(crate) machine: u16,
    pub(crate) notes: Vec<u8>,
    pub(crate) loads: Vec<LoadSpec>,
}

/// One `PT_LOAD`; `None` means the right value.
#[derive(Clone, Default)]
pub(crate) struct LoadSpec {
    pub(crate) physical: u64,
    pub(crate) virtual_address: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) memory_size: Option<u64>,
    pub(crate) file_size: Option<u64>,
    pub(crate) offset: Option<u64>,
}

impl ElfBuilder {
    pub(crate) fn new() -> Self {
        Self { class: 2, data: 1, kind: 4, machine: 62, notes: Vec::new(), loads: Vec::new() }
    }

    /// Of 64-bit ARM instead of x86-64.
    pub(crate) fn arm64(self) -> Self {
        Self { machine: 183, ..self }
    }

    pub(crate) fn note(mut self, note: &RawNote) -> Self {
        for field in [note.name.len() as u32 + 1, note.desc.len() as u32, note.kind] {
            self.notes.extend(field.to_le_bytes());
        }
        for part in [[note.name.as_slice(), b"\0"].concat(), note.desc.clone()] {
            self.notes.extend(&part);
            self.notes.resize(self.notes.len().next_multiple_of(4), 0);
        }
        self
    }

    pub(crate) fn load(self, physical: u64, bytes: Vec<u8>) -> Self {
        self.load_spec(LoadSpec { physical, bytes, ..LoadSpec::default() })
    }

    pub(crate) fn load_spec(mut self, spec: LoadSpec) -> Self {
        self.loads.push(spec);
        self
    }

    /// Where the notes start.
    pub(crate) fn notes_offset(&self) -> u64 {
        64 + 56 * (self.loads.len() as u64 + 1)
    }

    /// Where the first segment's bytes start.
    pub(crate) fn memory_offset(&self) -> u64 {
        self.notes_offset() + self.notes.len() as u64
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut out = vec![0x7f, b'E', b'L', b'F', self.class, self.data, 1];
        out.resize(16, 0);
        let u16s = |out: &mut Vec<u8>, values: &[u16]| out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        let u32s = |out: &mut Vec<u8>, values: &[u32]| out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        let u64s = |out: &mut Vec<u8>, values: &[u64]| out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        u16s(&mut out, &[self.kind, self.machine]);
        u32s(&mut out, &[1]);
        u64s(&mut out, &[0, 64, 0]);
        u32s(&mut out, &[0]);
        u16s(&mut out, &[64, 56, self.loads.len() as u16 + 1, 0, 0, 0]);
        u32s(&mut out, &[4, 0]);
        u64s(&mut out, &[self.notes_offset(), 0, 0, self.notes.len() as u64, self.notes.len() as u64, 4]);
        let mut offset = self.memory_offset();
        for load in &self.loads {
            let len = load.bytes.len() as u64;
            let file_size = load.file_size.unwrap_or(len);
            u32s(&mut out, &[1, 7]);
            u64s(&mut out, &[load.offset.unwrap_or(offset), load.virtual_address, load.physical]);
            u64s(&mut out, &[file_size, load.memory_size.unwrap_or(file_size), 0]);
            offset += len;
        }
        out.extend(&self.notes);
        out.extend(self.loads.iter().flat_map(|load| &load.bytes));
        out
    }
}

/// Asks a dump everything; for inputs that must only not panic.
pub(crate) fn exercise(path: &Path) {
    match Dump::open(path) {
        Ok(dump) => {
            let info = dump.vmcoreinfo();
            let _ = info.map(|info| (info.number("phys_base"), info.build_id(), info.symbol("init_task")));
            let _ = (dump.incomplete().map(ToString::to_string), dump.page_count(), dump.dump_level());
            let ends = dump.segments().iter().flat_map(|segment| {
                let start = segment.physical.get();
                [start, start.wrapping_add(segment.file_size), start.wrapping_add(segment.memory_size)]
            });
            for address in ends.chain([0, 0x1000, u64::MAX]).flat_map(|end| [end.wrapping_sub(9), end]) {
                let _ = (read(&dump, address, 4), read(&dump, address, 0), read(&dump, address, 9000));
            }
        }
        Err(error) => {
            assert!(!error.to_string().contains('\n'));
            let _ = error.hint();
        }
    }
}
