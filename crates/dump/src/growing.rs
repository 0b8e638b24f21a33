//! Dumps that are read while they are written: what was there when the dump was opened is the dump.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use vmcore_memory::{PhysAddr, ReadError, ReadPhysical};

use crate::Dump;
use crate::test_support::{ElfBuilder, KdumpBuilder, flatten, page, read};

const FIRST: u64 = 16;
const PAGES: u64 = 48;
/// Flags of pages that are stored as they are.
const PLAIN: u32 = 0;

/// The same memory in every form, with the name of the form.
fn forms() -> [(&'static str, Vec<u8>); 4] {
    let memory = (FIRST..FIRST + PAGES).flat_map(page).collect();
    let elf = ElfBuilder::new().load(FIRST * 4096, memory).build();
    let kdump = (FIRST..FIRST + PAGES).fold(KdumpBuilder::new(128), |kdump, pfn| kdump.page(pfn, PLAIN, page(pfn)));
    let kdump = kdump.build();
    let flat = [flatten(&elf, 4096), flatten(&kdump, 4096)];
    let [flat_elf, flat_kdump] = flat;
    [("elf", elf), ("kdump", kdump), ("flattened elf", flat_elf), ("flattened kdump", flat_kdump)]
}

/// Which pages can be read. No page may have other bytes than its own.
fn readable(dump: &Dump, form: &str) -> Vec<u64> {
    let is_there = |pfn: &u64| {
        let apart = || {
            let mut bytes = vec![0; 4096];
            dump.apart().read_physical(PhysAddr::new(pfn * 4096), &mut bytes).map(|()| bytes)
        };
        match (read(dump, pfn * 4096, 4096), apart()) {
            (Ok(mapped), Ok(apart)) => {
                assert!(mapped == page(*pfn) && apart == mapped, "{form}: page {pfn}");
                true
            }
            (Err(mapped), Err(apart)) => {
                assert_eq!(mapped, apart, "{form}: page {pfn}");
                assert!(matches!(mapped, ReadError::Truncated { .. }), "{form}: page {pfn}: {mapped}");
                false
            }
            (mapped, apart) => panic!("{form}: page {pfn}: {:?} and {:?}", mapped.is_ok(), apart.is_ok()),
        }
    };
    (FIRST..FIRST + PAGES).filter(is_there).collect()
}

#[test]
fn what_is_appended_after_opening_is_not_looked_at() {
    for (form, bytes) in forms() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cut = bytes.len() * 3 / 4;
        std::fs::write(file.path(), &bytes[..cut]).unwrap();
        let dump = Dump::open(file.path()).unwrap();
        let before = readable(&dump, form);
        assert!(!before.is_empty() && before.len() < PAGES as usize, "{form}: {before:?}");
        let incomplete = dump.incomplete().unwrap().clone();
        assert!(incomplete.truncated, "{form}: {incomplete}");
        assert!(!dump.has_grown(), "{form}");

        let mut end = File::options().append(true).open(file.path()).unwrap();
        end.write_all(&bytes[cut..]).unwrap();
        assert_eq!(readable(&dump, form), before, "{form}");
        assert_eq!(dump.incomplete(), Some(&incomplete), "{form}");
        assert!(dump.has_grown(), "{form}");

        let complete = Dump::open(file.path()).unwrap();
        assert_eq!(readable(&complete, form).len(), PAGES as usize, "{form}");
        assert_eq!(complete.incomplete(), None, "{form}");
    }
}

#[test]
fn opened_and_read_again_and_again_while_a_writer_appends() {
    for (form, bytes) in forms() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let is_written = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut end = File::options().append(true).open(file.path()).unwrap();
                bytes.chunks(1000).for_each(|piece| end.write_all(piece).unwrap());
                is_written.store(true, Ordering::Release);
            });
            let mut most = 0;
            loop {
                let last = is_written.load(Ordering::Acquire);
                // As long as the headers are not there it is no dump.
                let now = Dump::open(file.path()).map_or(0, |dump| readable(&dump, form).len());
                assert!(now >= most, "{form}: {now} after {most}");
                most = now;
                if last {
                    break;
                }
            }
            assert_eq!(most, PAGES as usize, "{form}");
        });
    }
}
