//! What a distilled dump must not tell: the marks that `scripts/lab/guest/programs/secrets.c` leaves in every kind of
//! memory where secrets lie.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use memchr::memmem;

use crate::lab_dump::LabDump;

/// The beginning of every mark: as much as fits into a general register.
const ANY: &[u8] = b"LABSECRE";
/// A whole one.
const MARK: usize = 16;

/// Where marks are, by their ends: the environment, the page cache, a directory entry, the keyring, messages in slabs of
/// all sizes, a packet, a pipe, and the vector registers of a thread.
const KINDS: [&str; 8] = ["enviro", "file", "name", "key", "slab", "packet", "pipe", "vector"];

/// Neither by default nor with names, log and host blotted out; the whole dump has them all, or this shows nothing.
pub(crate) fn are_not_distilled(dump: &LabDump) {
    if is_whole(&dump.name) {
        let planted = marks(&dump.vmcore);
        for kind in KINDS {
            let mark = format!("LABSECRET-{kind:<6}");
            assert!(planted.contains(&mark), "{mark:?} is not in the dump, only {planted:?}");
        }
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    for options in [&[][..], &["--redact", "names,log,host"]] {
        let small = directory.path().join("small");
        let output = ["-o", small.to_str().expect("a path in UTF-8"), "--force"];
        dump.run("distill", &[options, &output].concat()).expect_status(0);
        assert_eq!(marks(&small), BTreeSet::new(), "in the distilled dump");
    }
}

/// A snapshot has all memory; makedumpfile leaves out that of processes.
fn is_whole(name: &str) -> bool {
    name.contains("-snapshot")
}

/// The marks in a file that is not compressed: else looking for bytes means nothing.
fn marks(path: &Path) -> BTreeSet<String> {
    const PIECE: usize = 16 << 20;
    let mut file = File::open(path).expect("the dump");
    let mut found = BTreeSet::new();
    let mut bytes = Vec::with_capacity(PIECE + MARK);
    let mut is_first = true;
    loop {
        let read = file.by_ref().take(PIECE as u64).read_to_end(&mut bytes).expect("the dump");
        assert!(!is_first || bytes.starts_with(b"\x7fELF"), "{} is no ELF file", path.display());
        is_first = false;
        for at in memmem::find_iter(&bytes, ANY) {
            let end = bytes.len().min(at + MARK);
            found.insert(String::from_utf8_lossy(&bytes[at..end]).into_owned());
        }
        if read == 0 {
            return found;
        }
        // A mark may lie across two pieces.
        let rest = bytes.len().min(MARK - 1);
        bytes.drain(..bytes.len() - rest);
    }
}
