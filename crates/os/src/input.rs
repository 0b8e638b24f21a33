//! Opening a file that is going to be read to its end, whatever the name turns out to stand for.
//!
//! A pipe waits for somebody who writes, a terminal for somebody who types, a device may never end. None of them is a file;
//! whoever wants one of them reads standard input.

use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Opens a file to read it once: a regular one, a disk, or what a shell puts in place of `<(command)`, which is a pipe that
/// no other name leads to.
///
/// # Errors
///
/// As `open(2)`, and [`io::ErrorKind::InvalidInput`] of anything else.
pub fn open_input(path: &Path) -> io::Result<File> {
    // Only a descriptor leads to a pipe that nobody else can open.
    if path.metadata()?.file_type().is_fifo() && path.canonicalize().is_err() {
        return File::open(path);
    }
    open_file_or_disk(path)
}

/// Opens a regular file or a disk: crash kernels often write straight to one.
///
/// # Errors
///
/// As [`open_input`].
pub fn open_file_or_disk(path: &Path) -> io::Result<File> {
    let check = |kind: FileType| {
        if kind.is_file() || kind.is_block_device() { Ok(()) } else { Err(not_a_file(kind)) }
    };
    // Asked before, as opening a device may do something, and after, as the name may have gone to something else.
    check(path.metadata()?.file_type())?;
    // Some files of the kernel's file systems wait for more when all is read; and nobody waits for the writer of a pipe.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    check(file.metadata()?.file_type())?;
    Ok(file)
}

/// That something is not a file.
fn not_a_file(kind: FileType) -> io::Error {
    let what = match kind {
        kind if kind.is_dir() => "it is a directory",
        kind if kind.is_fifo() => "it is a pipe, not a regular file",
        kind if kind.is_socket() => "it is a socket, not a regular file",
        _ => "it is a device, not a regular file",
    };
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    #[test]
    fn files_are_opened_and_nothing_else_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("file"), "text").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        for name in ["file", "link"] {
            let mut text = String::new();
            open_input(&path(name)).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "text");
        }
        assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        let _socket = UnixListener::bind(path("socket")).unwrap();
        for (name, why) in [("pipe", "a pipe"), ("socket", "a socket"), ("", "a directory")] {
            for open in [open_input, open_file_or_disk] {
                let error = open(&path(name)).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                assert!(error.to_string().contains(why), "{error}");
            }
        }
        let device = open_file_or_disk("/dev/zero".as_ref()).unwrap_err();
        assert_eq!(device.to_string(), "it is a device, not a regular file");
        assert_eq!(open_input(&path("nothing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_shell_s_pipe_is_read() {
        let mut echo = Command::new("echo").arg("text").stdout(std::process::Stdio::piped()).spawn().unwrap();
        let pipe = echo.stdout.take().unwrap();
        let name = format!("/dev/fd/{}", pipe.as_raw_fd());
        let mut text = String::new();
        open_input(name.as_ref()).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text\n");
        assert!(echo.wait().unwrap().success());
        assert!(open_file_or_disk(name.as_ref()).is_err());
    }
}
