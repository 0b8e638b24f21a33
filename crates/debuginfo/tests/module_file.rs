//! Module files: relocatable objects as `cc` and `ld -r` make them, put at addresses of their own.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)] // Helpers of tests, which clippy does not see as such.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;
use vmcore_debuginfo::{LoadedModule, ModuleDebug, ModuleFiles, Vmlinux};
use vmcore_memory::VirtAddr;

/// Two functions in sections of their own, with a call that is inlined in line 10.
const SOURCE: &str = "\
extern volatile int state;
static inline __attribute__((always_inline)) int check(int value)
{
    if (value > 3)
        state = value;
    return state;
}
__attribute__((section(\".text.first\"))) int first(int value)
{
    return check(value) + 1;
}
__attribute__((section(\".text.second\"))) int second(int value)
{
    return value * 3;
}
";
const FIRST: VirtAddr = VirtAddr::new(0xffff_ffff_c010_0000);
const SECOND: VirtAddr = VirtAddr::new(0xffff_ffff_c080_0040);

struct Built {
    directory: TempDir,
    build_id: Vec<u8>,
}

impl Built {
    /// `my-module.ko`, compiled with `options`.
    fn with(options: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let (source, object) = (directory.path().join("module.c"), directory.path().join("module.o"));
        fs::write(&source, SOURCE).unwrap();
        let module = directory.path().join("my-module.ko");
        run(Command::new("cc").args(["-g", "-O2", "-c", "-fno-pie"]).args(options).arg(&source).arg("-o").arg(&object));
        run(Command::new("ld").args(["-r", "--build-id=sha1"]).arg(&object).arg("-o").arg(&module));
        let _ = fs::remove_file(object);
        let notes = Command::new("readelf").arg("-n").arg(&module).output().unwrap();
        let notes = String::from_utf8(notes.stdout).unwrap();
        let hex = notes.split("Build ID: ").nth(1).unwrap().lines().next().unwrap().trim().to_owned();
        let byte = |at| u8::from_str_radix(hex.get(at..at + 2).unwrap(), 16).unwrap();
        Self { build_id: (0..hex.len()).step_by(2).map(byte).collect(), directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("my-module.ko")
    }

    fn open_as(&self, build_id: &[u8]) -> Result<ModuleDebug, Vec<String>> {
        let sections = [(".text.first".to_owned(), FIRST), (".text.second".to_owned(), SECOND)];
        let files = ModuleFiles::new(vec![self.directory.path().into()], None);
        files.open(&LoadedModule { name: "my_module", build_id, sections: &sections })
    }

    /// Opens it, and checks what is known of its two functions.
    #[track_caller]
    fn check(&self) -> ModuleDebug {
        let module = self.open_as(&self.build_id).unwrap();
        let symbol = |address| module.symbols().lookup(address).map(|symbol| (symbol.name.to_owned(), symbol.address));
        assert_eq!(symbol(FIRST.wrapping_add(1)), Some(("first".into(), FIRST)));
        assert_eq!(symbol(SECOND), Some(("second".into(), SECOND)));
        let size = module.symbols().lookup(FIRST).unwrap().size;
        let inside: Vec<_> = (0..size).map(|offset| FIRST.wrapping_add(offset)).collect();
        let all = module.source_frames(&inside);
        let lines = |at: usize| all.iter().filter_map(move |frames| frames.get(at)?.line).collect::<Vec<_>>();
        assert!(all.iter().all(|frames| frames.last().unwrap().function.as_deref() == Some("first")));
        // The condition, the assignment and the last read are each inlined.
        let inlined: Vec<_> = all.iter().filter(|frames| frames.len() == 2).collect();
        assert!(inlined.iter().all(|frames| frames[0].function.as_deref() == Some("check")));
        assert!(inlined.iter().any(|frames| frames[0].line == Some(4)) && lines(1).contains(&10), "{all:?}");
        let second = module.source_frames(&[SECOND]);
        assert_eq!(second[0][0].function.as_deref(), Some("second"));
        // Of several rows for one instruction the last counts: the body.
        assert_eq!(second[0][0].line, Some(14));
        assert!(second[0][0].file.as_deref().unwrap().ends_with("module.c"));
        assert_eq!(
            module.source_frames(&[VirtAddr::new(0), VirtAddr::new(1)]),
            [[], []],
            "nothing is where nothing was"
        );
        module
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn addresses_are_those_in_memory() {
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let built = Built::with(&[version]);
        assert_eq!(built.check().path(), built.path());
    }
}

#[test]
fn a_file_of_another_build_is_not_used() {
    let built = Built::with(&[]);
    let rejected = built.open_as(&[1; 20]).unwrap_err();
    assert!(rejected.len() == 1 && rejected[0].ends_with("it is of another build"), "{rejected:?}");
}

#[test]
fn without_dwarf_there_is_nothing_to_gain() {
    let built = Built::with(&["-g0"]);
    assert!(built.open_as(&built.build_id).unwrap_err()[0].ends_with("it has no DWARF"));
}

#[test]
fn debug_files_and_compressed_sections() {
    let built = Built::with(&[]);
    let debug = built.directory.path().join("my-module.ko.debug");
    run(Command::new("objcopy").arg("--only-keep-debug").args([&built.path(), &debug]));
    run(Command::new("strip").arg("-g").arg(built.path()));
    assert_eq!(built.check().path(), debug, "the stripped module beside it does not do");
    for kind in ["zlib", "zlib-gnu"] {
        run(Command::new("objcopy").arg(format!("--compress-debug-sections={kind}")).arg(&debug));
        built.check();
    }
}

#[test]
fn by_build_id_a_file_needs_no_name() {
    let built = Built::with(&[]);
    let path = built.directory.path().join(vmcore_debuginfo::build_id_path(&built.build_id).unwrap());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::rename(built.path(), &path).unwrap();
    assert_eq!(built.check().path(), path);
}

#[test]
fn whole_files_may_be_compressed() {
    type Pack = fn(&[u8]) -> Vec<u8>;
    let kinds: [(&str, Pack); 3] = [("gz", gzip), ("xz", xz), ("zst", zstd_stored)];
    for (end, pack) in kinds {
        let built = Built::with(&[]);
        let packed = built.directory.path().join(format!("my-module.ko.{end}"));
        fs::write(&packed, pack(&fs::read(built.path()).unwrap())).unwrap();
        fs::remove_file(built.path()).unwrap();
        assert_eq!(built.check().path(), packed);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(0)).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A zstd frame of blocks that are not compressed (RFC 8878, section 3.1.1).
fn zstd_stored(bytes: &[u8]) -> Vec<u8> {
    let mut frame = b"\x28\xb5\x2f\xfd".to_vec();
    // A single segment, its size in four bytes.
    frame.push(0b1010_0000);
    frame.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
    let blocks: Vec<_> = bytes.chunks(100_000).collect();
    for (number, block) in blocks.iter().enumerate() {
        let last = u32::from(number + 1 == blocks.len());
        let header = u32::try_from(block.len()).unwrap() << 3 | last;
        frame.extend(header.to_le_bytes().iter().take(3));
        frame.write_all(block).unwrap();
    }
    frame
}

#[test]
fn damaged_files_are_errors() {
    let built = Built::with(&[]);
    let whole = fs::read(built.path()).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 300) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        fs::write(built.path(), &damaged).unwrap();
        if let Ok(module) = built.open_as(&built.build_id) {
            std::hint::black_box(module.source_frames(&[FIRST, SECOND]));
            std::hint::black_box(module.symbols().lookup(FIRST));
        }
    }
}

#[test]
fn an_executable_is_no_module_and_a_module_no_vmlinux() {
    let built = Built::with(&[]);
    assert!(Vmlinux::open(&built.path()).unwrap_err().to_string().contains("relocatable object"));
    fs::copy(std::env::current_exe().unwrap(), built.path()).unwrap();
    assert!(built.open_as(&built.build_id).unwrap_err()[0].contains("not a kernel module"));
}
