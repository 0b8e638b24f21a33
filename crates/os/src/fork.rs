//! A copy of this process that does one piece of work, and ends with it.
//!
//! What this process has opened and computed is there in the copy, at the cost of a page table; what the copy does to it is
//! seen by nobody else (`fork(2)`: its memory is its own from then on).

#![allow(unsafe_code)]

use std::fs;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitStatus;
use std::time::Duration;

/// The status of a Rust program that panicked.
const PANICKED: u8 = 101;
/// How often it is looked whether a thread that has ended is gone, and how long that may take in all.
const GONE: (u32, Duration) = (200, Duration::from_millis(1));

/// What a copy of this process came to.
#[derive(Debug)]
pub struct Copied {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub output: Vec<u8>,
    /// What it wrote to standard error.
    pub messages: Vec<u8>,
}

/// Runs `work` in a copy of this process and waits for it. The copy has nothing on standard input, ends with the status that
/// `work` gives as soon as that returns (what it has not flushed is lost), and is killed if this process ends before. Of what it writes, as many bytes as `limits` says are kept of
/// output and of messages; the rest is read and dropped.
///
/// # Errors
///
/// Where this process has other threads: a copy has only the one that asked for it, and what the others held would be held
/// for ever. Else as `pipe(2)` and `fork(2)`.
pub fn in_a_copy(limits: [u64; 2], work: impl FnOnce() -> u8) -> io::Result<Copied> {
    let (output, to_output) = io::pipe()?;
    let (messages, to_messages) = io::pipe()?;
    let nothing = fs::File::open("/dev/null")?;
    be_alone()?;
    // SAFETY: it has no preconditions.
    let parent = unsafe { libc::getpid() };
    // SAFETY: there is no other thread, so the copy is as whole as this process.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop((output, messages));
            be_a_child_of(parent);
            for (from, to) in [(nothing.as_raw_fd(), 0), (to_output.as_raw_fd(), 1), (to_messages.as_raw_fd(), 2)] {
                // SAFETY: both are open files of this process.
                if unsafe { libc::dup2(from, to) } == -1 {
                    leave(PANICKED);
                }
            }
            drop((to_output, to_messages, nothing));
            // What is unwound is not used again: the copy ends.
            leave(catch_unwind(AssertUnwindSafe(work)).unwrap_or(PANICKED))
        }
        child => {
            drop((to_output, to_messages));
            let [output, messages] = read_both(output, messages, limits);
            let status = wait(child)?;
            Ok(Copied { status, output, messages })
        }
    }
}

/// Fails unless this is the only thread.
fn be_alone() -> io::Result<()> {
    for _ in 0..GONE.0 {
        if fs::read_dir("/proc/self/task")?.count() == 1 {
            return Ok(());
        }
        // One that was joined just now may still be listed.
        std::thread::sleep(GONE.1);
    }
    Err(io::Error::other("this process has other threads"))
}

/// Has the system kill this process when its parent ends, or ends it where that has happened already.
fn be_a_child_of(parent: libc::pid_t) {
    // SAFETY: the first sets a number, the second has no preconditions.
    let orphan = unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::getppid() != parent
    };
    if orphan {
        leave(PANICKED);
    }
}

/// Ends the process without running what the process it was copied from has registered for its own end.
fn leave(status: u8) -> ! {
    // SAFETY: it has no preconditions, and does not return.
    unsafe { libc::_exit(status.into()) }
}

fn wait(child: libc::pid_t) -> io::Result<ExitStatus> {
    let mut status = 0;
    loop {
        // SAFETY: the pointer is that of a number.
        if unsafe { libc::waitpid(child, &raw mut status, 0) } == child {
            return Ok(ExitStatus::from_raw(status));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Reads two pipes to their ends, whichever has something.
fn read_both(mut first: PipeReader, mut second: PipeReader, limits: [u64; 2]) -> [Vec<u8>; 2] {
    let mut block = vec![0; 64 << 10];
    let mut all = [Vec::new(), Vec::new()];
    let mut open = [true, true];
    while open != [false, false] {
        let fds = [first.as_raw_fd(), second.as_raw_fd()];
        let waited_for = |at: usize| libc::pollfd {
            fd: if open.get(at) == Some(&true) { fds.get(at).copied().unwrap_or(-1) } else { -1 },
            events: libc::POLLIN,
            revents: 0,
        };
        let mut polled = [waited_for(0), waited_for(1)];
        poll(&mut polled, -1);
        for (at, pipe) in [&mut first, &mut second].into_iter().enumerate() {
            let (Some(polled), Some(open), Some(all), Some(&limit)) =
                (polled.get(at), open.get_mut(at), all.get_mut(at), limits.get(at))
            else {
                continue;
            };
            if polled.revents == 0 {
                continue;
            }
            match pipe.read(&mut block) {
                Ok(read @ 1..) => {
                    let room = limit.saturating_sub(all.len() as u64);
                    let kept = read.min(usize::try_from(room).unwrap_or(usize::MAX));
                    all.extend(block.get(..kept).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => *open = false,
            }
        }
    }
    all
}

/// Waits until there is something to read, or the other end is closed; whether there is before `timeout` has passed.
#[must_use]
pub fn is_readable(file: BorrowedFd<'_>, timeout: Duration) -> bool {
    let mut polled = [libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
    poll(&mut polled, i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX));
    polled.iter().any(|polled| polled.revents != 0)
}

fn poll(fds: &mut [libc::pollfd], timeout_ms: i32) {
    // SAFETY: pointer and length are those of a slice. A signal ends the wait early, which is as good as nothing to read.
    unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a copy does is tested where there is a process with one thread: `tests/cli/worker.rs`.
    #[test]
    fn a_process_with_other_threads_is_not_copied() {
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        assert!(in_a_copy([0, 0], || 0).is_err());
        drop(done);
        assert!(other.join().unwrap().is_err());
    }

    #[test]
    fn both_pipes_are_read_to_their_ends_and_no_more_is_kept_than_asked_for() {
        let (first, mut to_first) = io::pipe().unwrap();
        let (second, mut to_second) = io::pipe().unwrap();
        assert!(!is_readable(std::os::fd::AsFd::as_fd(&first), Duration::from_millis(1)));
        let writer = std::thread::spawn(move || {
            use std::io::Write;
            for _ in 0..4 {
                to_second.write_all(&[2; 60_000]).unwrap();
                to_first.write_all(&[1; 90_000]).unwrap();
            }
        });
        let [first, second] = read_both(first, second, [u64::MAX, 1000]);
        writer.join().unwrap();
        assert_eq!((first.len(), second), (360_000, vec![2; 1000]));
    }
}
