//! Device dumps: what drivers of the crash kernel add, in front of all other notes.
//!
//! A network card's may have 32 MiB, and more than one of them would be more than all notes may have.
//!
//! Source: `fs/proc/vmcore.c`, `vmcore_add_device_dump()`; `include/uapi/linux/vmcore.h`, `struct vmcoredd_header`; kernel commit
//! 2724273e8fd0.

use vmcore_memory::le_u32;

use crate::bytes::FileBytes;

/// `VMCOREDD_NOTE_NAME` with its end, padded to 8 bytes, and the note's type.
const NAME: &[u8] = b"LINUX\0";
const NT_VMCOREDD: u32 = 0x700;
/// Name and three words.
const HEADER_LEN: u64 = 12;
/// A driver adds one for each of its devices.
const MAX_DUMPS: usize = 4096;

/// How many more are passed over, in all segments of notes.
pub(crate) struct Left(usize);

impl Default for Left {
    fn default() -> Self {
        Self(MAX_DUMPS)
    }
}

/// Offset and length of the notes behind the device dumps with which the `len` bytes of notes at `offset` begin.
pub(crate) fn behind(file: &FileBytes, (mut offset, mut len): (u64, u64), left: &mut Left) -> (u64, u64) {
    while left.0 > 0 {
        match one(file, offset) {
            Some(one) if one <= len => (offset, len) = (offset.saturating_add(one), len - one),
            _ => break,
        }
        left.0 -= 1;
    }
    (offset, len)
}

/// The length of the device dump at `offset`, if there is one.
fn one(file: &FileBytes, offset: u64) -> Option<u64> {
    let header = file.prefix(offset, HEADER_LEN + NAME.len() as u64);
    let field = |at: usize| le_u32(&header, at).map(u64::from);
    let (name_len, content_len) = (field(0)?, field(4)?);
    let is_one = le_u32(&header, 8) == Some(NT_VMCOREDD) && header.get(HEADER_LEN as usize..) == Some(NAME);
    let name_end = HEADER_LEN.checked_add(name_len)?.checked_next_multiple_of(4)?;
    is_one.then_some(name_end.checked_add(content_len)?.checked_next_multiple_of(4)?)
}

#[cfg(test)]
mod tests {
    use crate::RawNote;
    use crate::test_support::{ElfBuilder, LoadSpec, open, prstatus, vmcoreinfo};

    fn device(len: usize) -> RawNote {
        RawNote { name: b"LINUX".to_vec(), kind: super::NT_VMCOREDD, desc: vec![7; len] }
    }

    #[test]
    fn what_drivers_add_hides_no_registers() {
        let load = LoadSpec { physical: 0x1000, bytes: vec![1; 4096], ..LoadSpec::default() };
        // Twice what all notes may have.
        let builder = ElfBuilder::new().note(&device(64 << 20)).note(&device((64 << 20) + 3));
        let builder = builder.note(&prstatus(7, 0x100)).note(&vmcoreinfo("OSRELEASE=6.1.0\n"));
        let dump = open(&builder.load_spec(load).build()).unwrap();
        assert_eq!((dump.prstatus().len(), dump.warnings()), (1, &[][..]));
        assert_eq!(dump.vmcoreinfo().unwrap().osrelease(), Some("6.1.0"));
        assert_eq!(dump.raw_notes().len(), 2);
    }

    #[test]
    fn one_that_runs_past_the_end_is_a_note_like_others() {
        let load = LoadSpec { physical: 0x1000, bytes: vec![1; 4096], ..LoadSpec::default() };
        let mut bytes = ElfBuilder::new().note(&device(64)).note(&prstatus(7, 0x100)).load_spec(load).build();
        let at = bytes.windows(5).position(|word| word == b"LINUX").unwrap() - 8;
        bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        let dump = open(&bytes).unwrap();
        assert!(
            dump.prstatus().is_empty() && dump.warnings()[0].contains("runs past the end"),
            "{:?}",
            dump.warnings()
        );
    }
}
