//! ELF notes: the same records in ELF dumps and in the header of kdump-compressed ones.
//!
//! ```text
//! u32 namesz, u32 descsz, u32 type, name padded to 4 bytes, desc padded to 4 bytes
//! ```
//!
//! Core files align by 4 whatever `p_align` says, 64-bit ones too. Source: `fs/proc/vmcore.c`, QEMU's `dump.c`.

use vmcore_memory::{Architecture, FileOffset, le_u32};

use crate::warnings::Warnings;
use crate::{KeptRanges, Prstatus, QemuCpuState, RawNote, Vmcoreinfo, erased};

/// Notes are read up to this many bytes in all: 8192 CPUs with both kinds of note need less than a tenth of it.
pub(crate) const MAX_NOTES_LEN: u64 = 64 << 20;
/// And up to this many notes.
const MAX_NOTES: usize = 1 << 17;

/// A process's own notes, which no kernel dump has together with user addresses.
const NT_AUXV: u32 = object::elf::NT_AUXV.0;
const NT_FILE: u32 = object::elf::NT_FILE.0;
const NT_PRSTATUS: u32 = object::elf::NT_PRSTATUS.0;
/// A CPU's floating-point registers, which no kernel writes into a note of its own death.
const NT_PRFPREG: u32 = object::elf::NT_PRFPREG.0;

/// What the notes of a dump say.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// The machine's, where the file's header says it, or else as the first note with registers looks.
    pub(crate) architecture: Option<Architecture>,
    pub(crate) raw: Vec<RawNote>,
    pub(crate) prstatus: Vec<Prstatus>,
    pub(crate) qemu_cpus: Vec<QemuCpuState>,
    pub(crate) vmcoreinfo: Option<Vmcoreinfo>,
    pub(crate) kept: Option<KeptRanges>,
    /// Bytes of all contents so far: several headers can name the same large note.
    pub(crate) len: u64,
}

impl Notes {
    /// Adds the notes in `bytes`, which start at `offset` in the file. What cannot be read is told to `warnings`.
    pub(crate) fn add(&mut self, bytes: &[u8], offset: FileOffset, warnings: &mut Warnings) {
        let mut at = 0;
        while at < bytes.len() {
            let place = offset.wrapping_add(at as u64);
            if self.raw.len() >= MAX_NOTES || self.len >= MAX_NOTES_LEN {
                warnings.push(format!("too many notes: those from file offset {place} on are ignored"));
                return;
            }
            match parse_one(bytes, at) {
                Parsed::Note { note, desc_at, next } => {
                    self.add_note(note, offset.wrapping_add(desc_at as u64), warnings);
                    at = next;
                }
                // A CPU that saved nothing leaves zeroes in its slot, and slots are padded with them.
                Parsed::Padding => return,
                Parsed::Damaged => {
                    warnings.push(format!("the note at file offset {place} runs past the end of the notes"));
                    return;
                }
            }
        }
    }

    /// Adds one note whose contents are at `desc_offset` in the file.
    pub(crate) fn add_note(&mut self, note: RawNote, desc_offset: FileOffset, warnings: &mut Warnings) {
        match (note.name.as_slice(), note.kind) {
            (b"CORE", NT_PRSTATUS) => {
                let architecture =
                    *self.architecture.get_or_insert_with(|| Prstatus::architecture_of(note.desc.len()));
                match Prstatus::parse(architecture, &note.desc, desc_offset) {
                    Some(prstatus) => self.prstatus.push(prstatus),
                    None => warnings.push(format!(
                        "the NT_PRSTATUS note at file offset {desc_offset} has {} bytes, not those of {architecture}",
                        note.desc.len()
                    )),
                }
            }
            (b"QEMU", 0) => match QemuCpuState::parse(&note.desc, desc_offset) {
                Some(state) => self.qemu_cpus.push(state),
                None => warnings.push(format!(
                    "the QEMU note at file offset {desc_offset} ({} bytes) is not a CPU state of version 1",
                    note.desc.len()
                )),
            },
            (b"VMCOREINFO", _) => self.add_vmcoreinfo(Vmcoreinfo::parse(&note.desc), desc_offset, warnings),
            (erased::NOTE, _) => warnings.push(erased::warning(&note.desc)),
            _ if KeptRanges::is_note(&note) => match KeptRanges::parse(&note) {
                Some(kept) => self.kept = Some(kept),
                None => warnings.push(format!(
                    "the VMCORE-THP note at file offset {desc_offset} is damaged: zeroes that were never in memory may be \
                     taken for memory"
                )),
            },
            _ => {}
        }
        self.len += note.desc.len() as u64;
        self.raw.push(note);
    }

    /// Keeps the first that says something: one that was emptied must not hide a good one.
    fn add_vmcoreinfo(&mut self, info: Vmcoreinfo, at: FileOffset, warnings: &mut Warnings) {
        if !info.says_anything() {
            warnings.push(format!("the VMCOREINFO note at file offset {at} is empty"));
        } else if self.vmcoreinfo.is_some() {
            warnings.push(format!("a second VMCOREINFO note at file offset {at} is ignored"));
        } else {
            self.vmcoreinfo = Some(info);
        }
    }

    /// Replaces the VMCOREINFO note, or adds one.
    pub(crate) fn set_vmcoreinfo(&mut self, text: &[u8]) {
        self.raw.retain(|note| note.name != b"VMCOREINFO");
        self.raw.push(RawNote { name: b"VMCOREINFO".to_vec(), kind: 0, desc: text.to_vec() });
        self.vmcoreinfo = Some(Vmcoreinfo::parse(text));
    }

    /// Whether the hypervisor Xen added notes of its own. Source: Xen's `public/elfnote.h` (`XEN_ELFNOTE_CRASH_INFO`,
    /// `XEN_ELFNOTE_CRASH_REGS`).
    pub(crate) fn is_of_xen_host(&self) -> bool {
        self.raw.iter().any(|note| match note.name.as_slice() {
            b"Xen" => note.is_read(),
            name => name == b"VMCOREINFO_XEN",
        })
    }

    /// Whether QEMU wrote them. It has a note of its own for x86-64 alone, but for all machines one that nobody else has.
    pub(crate) fn is_of_qemu(&self) -> bool {
        let is_floating_point = |note: &RawNote| note.name == b"CORE" && note.kind == NT_PRFPREG;
        !self.qemu_cpus.is_empty()
            || self.architecture == Some(Architecture::Arm64) && self.raw.iter().any(is_floating_point)
    }

    /// Whether there are notes that only the core dump of a user process has.
    pub(crate) fn has_process_notes(&self) -> bool {
        self.raw.iter().any(|note| note.name == b"CORE" && matches!(note.kind, NT_AUXV | NT_FILE))
    }
}

enum Parsed {
    Note { note: RawNote, desc_at: usize, next: usize },
    Padding,
    Damaged,
}

fn parse_one(bytes: &[u8], at: usize) -> Parsed {
    let field = |index: usize| le_u32(bytes, at.checked_add(index * 4)?);
    let (Some(name_len), Some(desc_len), Some(kind)) = (field(0), field(1), field(2)) else {
        // Less than a header is left; zeroes are padding whatever their number.
        let rest_is_zero = bytes.get(at..).unwrap_or_default().iter().all(|&byte| byte == 0);
        return if rest_is_zero { Parsed::Padding } else { Parsed::Damaged };
    };
    if name_len == 0 && desc_len == 0 && kind == 0 {
        return Parsed::Padding;
    }
    let parse = || {
        let name_at = at.checked_add(12)?;
        let name_end = name_at.checked_add(usize::try_from(name_len).ok()?)?;
        let desc_at = name_end.checked_next_multiple_of(4)?;
        let desc_end = desc_at.checked_add(usize::try_from(desc_len).ok()?)?;
        let name = bytes.get(name_at..name_end)?;
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let note = RawNote { name: name.to_vec(), kind, desc: bytes.get(desc_at..desc_end)?.to_vec() };
        Some(Parsed::Note { note, desc_at, next: desc_end.checked_next_multiple_of(4)? })
    };
    parse().unwrap_or(Parsed::Damaged)
}
