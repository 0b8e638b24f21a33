//! ELF notes: the build-id.

use object::{LittleEndian, elf, read::elf::NoteIterator};

/// The first build-id that is no longer than any linker makes (SHA-1 has 20 bytes, the longest known kind 32).
const MAX_BUILD_ID: usize = 64;

/// More notes than any file has. Any number of headers may name the same table, so what one table holds is no limit.
const MAX_NOTES: usize = 1 << 16;

/// The contents of the first `NT_GNU_BUILD_ID` note among `tables`.
pub(super) fn find_build_id<'data>(
    tables: impl Iterator<Item = NoteIterator<'data, elf::FileHeader64<LittleEndian>>>,
) -> Option<Vec<u8>> {
    let mut left = MAX_NOTES;
    for mut notes in tables {
        // A damaged note ends its table: there is no telling where the next one starts.
        while let Ok(Some(note)) = notes.next() {
            left = left.checked_sub(1)?;
            let id = note.desc();
            let is_build_id = note.name() == b"GNU" && note.n_type(LittleEndian).0 == elf::NT_GNU_BUILD_ID.0;
            if is_build_id && !id.is_empty() && id.len() <= MAX_BUILD_ID {
                return Some(id.to_vec());
            }
        }
    }
    None
}
