//! What the targets share.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Gives `bytes` a path: the parsers of whole files map them. One file for each process, without a name, in memory
/// where there is such a place.
pub fn with_file(bytes: &[u8], parse: impl FnOnce(&Path)) {
    static FILE: OnceLock<(PathBuf, File)> = OnceLock::new();
    let (path, file) = FILE.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let directory = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let path = directory.join(format!("vmcore-fuzz.{}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).expect("a file can be made");
        std::fs::remove_file(&path).expect("its name can be removed");
        (PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())), file)
    });
    // The mapping of the run before is gone: its owner was dropped.
    file.set_len(bytes.len() as u64).expect("the file can be cut");
    file.write_all_at(bytes, 0).expect("the file can be written");
    parse(path);
}
