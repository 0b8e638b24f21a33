//! A dump as pages and notes that a test can change before they are written again.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use vmcore_dump::{Dump, RawNote, write_elf_core};
use vmcore_memory::{Architecture, PAGE_SIZE, Pfn, PhysAddr};

use crate::livelock;

const PAGE: usize = PAGE_SIZE as usize;

/// All that a dump has.
pub(crate) struct Machine {
    pub(crate) notes: Vec<RawNote>,
    /// Pages by their frames.
    pub(crate) pages: BTreeMap<u64, Vec<u8>>,
}

impl Machine {
    /// The machine of the livelock.
    pub(crate) fn livelock() -> Self {
        Self::of(&livelock())
    }

    /// The machine of a dump.
    pub(crate) fn of(vmcore: &Path) -> Self {
        let dump = Dump::open(vmcore).unwrap();
        let frames = dump.segments().iter().flat_map(|segment| {
            let first = segment.physical.pfn().get();
            first..first + segment.file_size / PAGE_SIZE
        });
        let pages = frames.map(|frame| (frame, dump.stored_page(Pfn::new(frame)).unwrap())).collect();
        Self { notes: dump.raw_notes().to_vec(), pages }
    }

    /// Its ranges of memory, one for each page.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (PhysAddr, &[u8])> + Clone {
        self.pages.iter().map(|(frame, page)| (PhysAddr::new(frame * PAGE_SIZE), page.as_slice()))
    }

    pub(crate) fn write_elf(&self, path: &Path) {
        write_elf_core(&mut File::create(path).unwrap(), Architecture::X86_64, &self.notes, self.ranges()).unwrap();
    }

    /// Replaces `from`, which has to be there, in the text of the note VMCOREINFO.
    pub(crate) fn replace_in_vmcoreinfo(&mut self, from: &str, to: &str) {
        let note = self.notes.iter_mut().find(|note| note.name == b"VMCOREINFO").unwrap();
        let text = String::from_utf8(note.desc.clone()).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        note.desc = text.replace(from, to).into_bytes();
    }

    /// The rest of the line of VMCOREINFO that begins with `key`, and with it.
    pub(crate) fn vmcoreinfo_line(&self, key: &str) -> (String, String) {
        let note = self.notes.iter().find(|note| note.name == b"VMCOREINFO").unwrap();
        let text = String::from_utf8(note.desc.clone()).unwrap();
        let found = text.lines().find_map(|line| Some((line.to_owned(), line.strip_prefix(key)?.to_owned())));
        found.unwrap()
    }

    /// The physical address of the kernel's top page table.
    pub(crate) fn root(&self) -> u64 {
        let address = u64::from_str_radix(&self.vmcoreinfo_line("SYMBOL(swapper_pg_dir)=").1, 16).unwrap();
        let base: i64 = self.vmcoreinfo_line("NUMBER(phys_base)=").1.parse().unwrap();
        (address - 0xffff_ffff_8000_0000).wrapping_add_signed(base)
    }

    /// A page as the 512 entries of a page table.
    pub(crate) fn table(&self, address: u64) -> Option<Vec<u64>> {
        let words = self.pages.get(&(address / PAGE_SIZE))?.as_chunks::<8>().0;
        Some(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
    }

    pub(crate) fn put_table(&mut self, address: u64, entries: &[u64]) {
        let page = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect::<Vec<u8>>();
        assert_eq!(page.len(), PAGE);
        self.pages.insert(address / PAGE_SIZE, page);
    }
}
