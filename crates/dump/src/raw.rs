//! Raw memory images: bytes at the file offsets that are their addresses, and nothing else.
//!
//! QEMU's `pmemsave`, `/dev/mem` copies and `.vmem` files of VMware are such, and so are the memory files of virtual
//! machines' monitors (QEMU's `memory-backend-file`, the snapshots of Firecracker and Cloud Hypervisor). A PC has devices in the last
//! part of the first 4 GiB; the monitors' files do not, so the memory behind this hole goes on in the file right where it
//! begins:
//!
//! ```text
//! 0x80000000   QEMU q35 with 2.75 GiB or more          0xc0000000   QEMU i440fx, VMware, Cloud Hypervisor
//! 0xd0000000   Firecracker                             0xe0000000   older QEMU
//! ```
//!
//! Nothing in the file says whether there is one. Who can tell by what is in memory calls
//! [`Dump::set_memory_hole`](crate::Dump::set_memory_hole).

use std::path::Path;

use vmcore_memory::PAGE_SIZE;

use crate::bytes::FileBytes;
use crate::contents::Contents;
use crate::elf::ElfMemory;
use crate::notes::Notes;
use crate::stored::Stored;
use crate::warnings::Warnings;
use crate::{OpenError, Source};

/// Where memory goes on behind the hole.
const HOLE_END: u64 = 4 << 30;
/// Where holes begin that are known, the most usual first.
pub(crate) const HOLES: [u64; 5] = [0xc000_0000, 0x8000_0000, 0xd000_0000, 0xe000_0000, 0xb000_0000];
/// No machine that boots Linux on x86-64 has less; and no kernel leaves so much at the start untouched.
const MIN_LEN: u64 = 16 << 20;
/// Bytes that are looked at at a time.
const PIECE: u64 = 1 << 20;

/// Whether a file without a signature can be a raw image.
pub(crate) fn is_plausible(file: &Stored) -> bool {
    let is_touched = |at| file.slice(at, PIECE).is_some_and(|piece| piece.iter().any(|&byte| byte != 0));
    let pieces = (0..MIN_LEN / PIECE).map(|index| index * PIECE);
    file.len() >= MIN_LEN && file.len().is_multiple_of(PAGE_SIZE) && pieces.into_iter().any(is_touched)
}

/// Takes all of the file for memory without a hole.
pub(crate) fn open(_path: &Path, file: FileBytes, mut warnings: Warnings) -> Result<Contents<ElfMemory>, OpenError> {
    warnings.push(
        "the file has no signature: it is read as a raw memory image, which has no registers and no notes".to_owned(),
    );
    let pieces = pieces(file.len(), None);
    let memory = ElfMemory::of_pieces(file, &pieces, None);
    Ok(Contents { source: Source::Unknown, memory, notes: Notes::default(), warnings })
}

/// First address, length and offset of each piece, with a hole from `hole` up to 4 GiB.
pub(crate) fn pieces(len: u64, hole: Option<u64>) -> Vec<(u64, u64, u64)> {
    match hole.filter(|&hole| hole < len) {
        Some(hole) => vec![(0, hole, 0), (HOLE_END, len - hole, hole)],
        None => vec![(0, len, 0)],
    }
}

#[cfg(test)]
mod tests {
    use vmcore_memory::PhysAddr;

    use super::*;
    use crate::test_support::{assert_bytes, page, read};
    use crate::{Dump, Format};

    #[test]
    fn offsets_are_addresses_but_for_the_hole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // Sparse: 3 GiB, and 2 MiB behind them.
        let len = 0xc000_0000u64 + (2 << 20);
        file.as_file().set_len(len).unwrap();
        std::os::unix::fs::FileExt::write_all_at(file.as_file(), &page(1), 0x1000).unwrap();
        std::os::unix::fs::FileExt::write_all_at(file.as_file(), &page(2), 0xc000_1000).unwrap();
        let mut dump = Dump::open(file.path()).unwrap();
        assert_eq!((dump.format(), dump.memory_end()), (Format::Raw, PhysAddr::new(len)));
        assert_bytes(read(&dump, 0x1000, 4096), page(1));
        assert_bytes(read(&dump, 0xc000_1000, 4096), page(2));
        assert_eq!(dump.possible_holes(), [0xc000_0000, 0x8000_0000, 0xb000_0000].map(PhysAddr::new));
        dump.set_memory_hole(Some(PhysAddr::new(0xc000_0000)));
        assert_bytes(read(&dump, 0x1000, 4096), page(1));
        assert_bytes(read(&dump, 0x1_0000_1000, 4096), page(2));
        assert!(read(&dump, 0xc000_1000, 8).is_err());
    }

    #[test]
    fn small_files_and_broken_pages_are_no_images() {
        let is_plausible = |image: &[u8]| {
            let stored = Stored::Mapped(crate::mmap::Mapping::open(crate::test_support::file(image).path()).unwrap());
            is_plausible(&stored)
        };
        let min = MIN_LEN as usize;
        let mut image = vec![0; min + 4096];
        assert!(!is_plausible(&image), "a file that was never written");
        image[min - 1] = 1;
        assert!(is_plausible(&image) && !is_plausible(&image[..4096]) && !is_plausible(&image[..min + 1]));
    }
}
