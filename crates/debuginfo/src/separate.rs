//! Debug information that was split from its program into a file of its own.
//!
//! `strip` and `objcopy --only-keep-debug` leave two files: the program without symbols, and a debug file whose code
//! and data have no contents. Either may come with `.gnu_debuglink`, which has the debug file's name and checksum; both
//! have the same build-id. Where such files are, as GDB looks for them:
//!
//! ```text
//! DEBUGDIR/.build-id/xx/yyyy.debug      by build-id
//! DIR/NAME   DIR/.debug/NAME   DEBUGDIR/DIR/NAME   DEBUGDIR/NAME      by name; DIR is the program's directory
//! ```
//! A file is only used where it is known to belong: by its build-id or, where one of the two has none, by the checksum.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    elf::{DebugLink, Role},
    object_file::ObjectFile,
};

/// What the search came to.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) file: Option<ObjectFile>,
    /// Files that were there but do not belong, each with the reason.
    pub(crate) rejected: Vec<String>,
}

/// Where the debug file of a program with this build-id is, below a directory of debug files: `.build-id/xx/yyyy.debug`.
/// `None` for a build-id that is too short to be one.
#[must_use]
pub fn build_id_path(build_id: &[u8]) -> Option<PathBuf> {
    let (first, rest) = build_id.split_first().filter(|(_, rest)| !rest.is_empty())?;
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!(".build-id/{first:02x}/{rest}.debug").into())
}

/// Looks for the debug file of `program`, beside it and in `directories`.
pub(crate) fn find(program: &ObjectFile, directories: &[PathBuf]) -> Found {
    let mut found = Found::default();
    let own = program.path.canonicalize().ok();
    let link = program.elf.debug_link();
    let by_build_id = program.elf.build_id.as_deref().and_then(build_id_path);
    let by_build_id = directories.iter().filter_map(|directory| Some((directory.join(by_build_id.as_ref()?), None)));
    let by_name = link.iter().flat_map(|link| {
        let paths = named(own.as_deref().unwrap_or(&program.path), &link.name, directories);
        paths.into_iter().map(move |path| (path, Some(link)))
    });
    for (path, link) in by_build_id.chain(by_name) {
        if !path.is_file() || path.canonicalize().ok() == own {
            continue;
        }
        match open(program, &path, link) {
            Ok(file) => {
                found.file = Some(file);
                return found;
            }
            Err(reason) => found.rejected.push(reason),
        }
    }
    found
}

/// The places for a file that is known by name.
fn named(program: &Path, name: &str, directories: &[PathBuf]) -> Vec<PathBuf> {
    let beside = program.parent().unwrap_or(Path::new("."));
    let mut paths = vec![beside.join(name), beside.join(".debug").join(name)];
    for directory in directories {
        let below = beside.strip_prefix("/").unwrap_or(beside);
        paths.extend([directory.join(below).join(name), directory.join(name)]);
    }
    paths
}

/// Opens a candidate and makes sure that it is the right one.
fn open(program: &ObjectFile, path: &Path, link: Option<&DebugLink>) -> Result<ObjectFile, String> {
    let file = ObjectFile::open(path, Role::Vmlinux).map_err(|error| error.to_string())?;
    let belongs = match (&program.elf.build_id, &file.elf.build_id) {
        (Some(program), Some(file)) if program == file => Ok(()),
        (Some(_), Some(_)) => Err("has another build-id"),
        _ => match (link, link.and_then(|_| checksum(path))) {
            (Some(link), Some(crc)) if crc == link.crc => Ok(()),
            (Some(_), _) => Err("has another checksum than .gnu_debuglink says"),
            (None, _) => Err("has no build-id"),
        },
    };
    belongs.map_err(|why| format!("{} {why}", path.display()))?;
    if file.elf.needs_supplement() {
        return Err(format!("{} was reduced by dwz -m", path.display()));
    }
    if file.elf.symbol_table().is_none() && !file.elf.has_dwarf() {
        return Err(format!("{} has neither symbols nor DWARF", path.display()));
    }
    Ok(file)
}

/// The CRC-32 of a file's bytes, read through a buffer so that they do not stay in memory.
fn checksum(path: &Path) -> Option<u32> {
    let mut file = File::open(path).ok()?;
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(hasher.finalize()),
            read => hasher.update(buffer.get(..read)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use vmcore_memory::VirtAddr;

    use super::*;
    use crate::{
        OpenError, Vmlinux,
        elf::write::Contents,
        fixture::{BUILD_ID, Fixture, TEXT},
    };

    /// A directory with `image/vmlinux`, stripped, and a debug file at `debug`, if any.
    struct Split {
        directory: tempfile::TempDir,
        image: PathBuf,
    }

    impl Split {
        fn new(image: &[u8]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("image/vmlinux");
            let split = Self { directory, image: path };
            split.put("image/vmlinux", image);
            split
        }

        fn put(&self, at: &str, bytes: &[u8]) -> PathBuf {
            let path = self.directory.path().join(at);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            path
        }

        fn open(&self) -> Result<Vmlinux, OpenError> {
            Vmlinux::open_with(&self.image, &[self.directory.path().join("debug")])
        }
    }

    fn debug_file() -> Vec<u8> {
        Fixture::with_dwarf(5, true).bytes()
    }

    /// A vmlinux without symbols and DWARF, with a link to `vmlinux.debug`.
    fn stripped(crc: u32) -> Vec<u8> {
        let mut fixture = Fixture::new();
        let link = [b"vmlinux.debug\0\0\0".as_slice(), &crc.to_le_bytes()].concat();
        fixture.add(".gnu_debuglink", 0, 0, Contents::Bytes(link.into()));
        strip(fixture.bytes())
    }

    /// Makes the symbol table a section of another kind.
    fn strip(mut file: Vec<u8>) -> Vec<u8> {
        let headers = u64::from_le_bytes(file[0x28..0x30].try_into().unwrap()) as usize;
        let table = (headers..).step_by(64).find(|&at| file[at + 4] == 2).unwrap();
        file[table + 4] = 1;
        file
    }

    /// Overwrites the contents of the build-id note.
    fn with_build_id(mut file: Vec<u8>, build_id: [u8; 20]) -> Vec<u8> {
        let at = file.windows(20).position(|window| window == BUILD_ID).unwrap();
        file[at..at + 20].copy_from_slice(&build_id);
        file
    }

    /// Makes the note one that is no build-id.
    fn without_build_id(mut file: Vec<u8>) -> Vec<u8> {
        let at = file.windows(20).position(|window| window == BUILD_ID).unwrap();
        file[at - 4] = b'X';
        file
    }

    #[test]
    fn a_debug_file_is_found_in_each_of_its_places() {
        let by_build_id = format!("debug/{}", build_id_path(&BUILD_ID).unwrap().display());
        for place in ["image/vmlinux.debug", "image/.debug/vmlinux.debug", "debug/vmlinux.debug", &by_build_id] {
            let split = Split::new(&stripped(0));
            assert!(matches!(split.open(), Err(OpenError::NoSymbols { rejected, .. }) if rejected.is_empty()));
            let debug = split.put(place, &debug_file());
            let vmlinux = split.open().unwrap();
            assert_eq!(vmlinux.debug_file().map(|path| path.canonicalize().unwrap()), Some(debug), "{place}");
            assert_eq!(vmlinux.symbols().address("schedule"), Some(VirtAddr::new(TEXT + 0x100)));
            assert_eq!(vmlinux.source().unwrap().frames(VirtAddr::new(TEXT + 0x124)).len(), 3);
            // That of the image, which the debug file of a real kernel does not hold.
            assert!(vmlinux.banner().is_some() && vmlinux.section(".orc_unwind").is_some());
        }
    }

    #[test]
    fn below_a_debug_directory_the_path_of_the_program_is_repeated() {
        let split = Split::new(&stripped(0));
        let directory = split.directory.path().canonicalize().unwrap();
        let debug = format!("debug/{}/image/vmlinux.debug", directory.strip_prefix("/").unwrap().display());
        split.put(&debug, &debug_file());
        assert!(split.open().is_ok());
    }

    #[test]
    fn a_file_of_another_build_is_not_used() {
        let split = Split::new(&stripped(0));
        split.put("image/vmlinux.debug", &with_build_id(debug_file(), [1; 20]));
        let error = split.open().unwrap_err().to_string();
        assert!(error.contains("vmlinux.debug has another build-id"), "{error}");
        split.put("debug/vmlinux.debug", &debug_file());
        assert!(split.open().is_ok(), "the next one is");
    }

    #[test]
    fn what_has_symbols_opens_without_and_says_what_it_passed_over() {
        let mut fixture = Fixture::new();
        fixture.add(".gnu_debuglink", 0, 0, Contents::Bytes(b"vmlinux.debug\0\0\0\0\0\0\0".into()));
        let split = Split::new(&fixture.bytes());
        split.put("image/vmlinux.debug", &with_build_id(debug_file(), [1; 20]));
        let vmlinux = split.open().unwrap();
        assert!(vmlinux.source().is_none() && vmlinux.debug_file().is_none());
        assert!(vmlinux.rejected_debug_files().concat().ends_with("vmlinux.debug has another build-id"));
    }

    #[test]
    fn without_a_build_id_the_checksum_decides() {
        let debug = without_build_id(debug_file());
        let crc = crc32fast::hash(&debug);
        let split = Split::new(&stripped(crc));
        split.put("image/vmlinux.debug", &debug);
        assert!(split.open().is_ok());
        let split = Split::new(&stripped(crc ^ 1));
        split.put("image/vmlinux.debug", &debug);
        let error = split.open().unwrap_err().to_string();
        assert!(error.contains("another checksum than .gnu_debuglink says"), "{error}");
    }

    #[test]
    fn what_dwz_reduced_is_refused() {
        let mut fixture = Fixture::with_dwarf(5, true);
        fixture.add(".gnu_debugaltlink", 0, 0, Contents::Bytes(b"common.debug\0twenty bytes of hash".into()));
        let split = Split::new(&stripped(0));
        split.put("image/vmlinux.debug", &fixture.bytes());
        let error = split.open().unwrap_err().to_string();
        assert!(error.contains("vmlinux.debug was reduced by dwz -m"), "{error}");
        let named = crate::fixture::open(&fixture.bytes()).unwrap_err();
        assert!(matches!(named, OpenError::Supplemented { .. }) && named.hint().unwrap().contains("before dwz"));
    }

    #[test]
    fn a_file_does_not_find_itself() {
        let split = Split::new(b"");
        // Its link leads to itself, and it has no symbols to offer.
        split.put("image/vmlinux.debug", &stripped(0));
        let itself = Vmlinux::open(&split.directory.path().join("image/vmlinux.debug"));
        assert!(matches!(itself, Err(OpenError::NoSymbols { rejected, .. }) if rejected.is_empty()));
    }

    #[test]
    fn a_profile_needs_no_debug_file() {
        let profile = crate::Profile::of(&Fixture::with_dwarf(5, true).open()).unwrap();
        let split = Split::new(profile.bytes());
        let by_build_id = format!("debug/{}", build_id_path(&BUILD_ID).unwrap().display());
        split.put(&by_build_id, &debug_file());
        assert_eq!(split.open().unwrap().debug_file(), None);
    }

    #[test]
    fn sections_that_only_memory_holds_can_be_supplied() {
        let vmlinux = Fixture::new().open();
        assert!(vmlinux.lacks_contents(".text") && !vmlinux.lacks_contents(".rodata"));
        assert!(!vmlinux.lacks_contents(".BTF"), "it is not even declared");
        let address = VirtAddr::new(TEXT);
        let part = |name, data| crate::PartSection { name, address, data };
        let vmlinux = vmlinux.with_supplied(vec![part(".text", vec![0xcc; 16]), part(".rodata", vec![0; 4])]);
        assert_eq!(&*vmlinux.section(".text").unwrap().data, [0xcc; 16]);
        assert_eq!(vmlinux.read_static(VirtAddr::new(TEXT + 15), 1), Some(&[0xcc][..]));
        assert_eq!(vmlinux.read_static(VirtAddr::new(TEXT + 15), 2), None);
        assert_eq!(vmlinux.section(".rodata").unwrap().data.len(), 0x100, "what the file has stays");
    }
}
