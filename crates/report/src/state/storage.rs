//! `dev`, `files`, `mount` and `net`.

use std::io::{self, Write};

use anstyle::Style;
use vmcore_inspect::state::{Disks, Files, FuseConnection, Mount, Mounts, Need, Needy, Network};

use super::{Gaps, ago, count, during, or_unknown, who};
use crate::duration::Duration;
use crate::table::Table;
use crate::wrap::Lines;
use crate::{Painted, Report, Sanitized, Theme};

impl Report for Disks {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut table = Table::new(["DISK", "GENDISK", ">QUEUES", ">IN FLIGHT", ">HELD BACK", ">OLDEST"]);
        let mut gaps = Gaps::new(&self.gaps);
        for disk in self.disks.found() {
            let oldest = disk.in_flight.found().first().and_then(|request| request.age_ns);
            table.row(
                if disk.in_flight.has_none() { Style::new() } else { theme.doubtful },
                [
                    disk.name.clone(),
                    format!("{:016x}", disk.disk.0),
                    disk.hardware_queues.map_or_else(|| "-".to_owned(), |count| count.to_string()),
                    count(&disk.in_flight),
                    match disk.held_back {
                        None if disk.in_flight.unread().is_some() => "?".to_owned(),
                        None => "-".to_owned(),
                        Some(count) => count.to_string(),
                    },
                    if disk.in_flight.has_none() { "-".to_owned() } else { during(oldest) },
                ],
            );
        }
        gaps.table(&self.disks, (&table, "no block devices"), 0, out, theme)?;
        for disk in self.disks.found().iter().filter(|disk| !disk.in_flight.has_none()) {
            let heading = format_args!("\nIN FLIGHT ON {}", Sanitized::new(&disk.name));
            writeln!(out, "{}", Painted(theme.heading, heading))?;
            let mut table = Table::new([
                "REQUEST",
                ">QUEUE",
                ">TAG",
                "OPERATION",
                ">SECTOR",
                ">BYTES",
                "STATE",
                ">AGE",
                ">TIMEOUT",
            ]);
            for request in disk.in_flight.found() {
                let late =
                    request.timeout_ns.zip(request.age_ns).is_some_and(|(timeout, age)| age.cast_unsigned() > timeout);
                table.row(
                    if late { theme.bad } else { Style::new() },
                    [
                        format!("{:016x}", request.request.0),
                        request.hardware_queue.to_string(),
                        request.tag.to_string(),
                        request.operation.clone(),
                        request.sector.to_string(),
                        request.bytes.to_string(),
                        request.state.to_owned(),
                        during(request.age_ns),
                        request.timeout_ns.map_or_else(|| "never".to_owned(), |ns| Duration(ns).to_string()),
                    ],
                );
            }
            gaps.table(&disk.in_flight, (&table, ""), 2, out, theme)?;
        }
        gaps.rest(out, theme)
    }
}

/// Whose files are shown where nobody says.
const NO_FILES: &str =
    "(no task is as was asked for; by default these are those that wait for a file system, or in state D)";

impl Report for Files {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut gaps = Gaps::new(&self.gaps);
        for (index, task) in self.tasks.found().iter().enumerate() {
            let name = who(Some(&task.task));
            let blank = if index > 0 { "\n" } else { "" };
            writeln!(out, "{blank}{}", Painted(theme.heading, format_args!("PID: {}", Sanitized::new(&name))))?;
            for need in task.needs.found() {
                let text = Sanitized::new(&needs(need)).to_string();
                write!(out, "{}", Painted(theme.doubtful, Lines::new(2, &text).within(theme.width)))?;
            }
            gaps.of(&task.needs, "", 2, out, theme)?;
            let mut table = Table::new([">FD", "FILE", "TYPE", "PATH", "MOUNTED FROM"]);
            for file in task.files.found() {
                table.row(
                    Style::new(),
                    [
                        file.descriptor.clone(),
                        file.file.map_or_else(|| "-".to_owned(), |file| format!("{:016x}", file.0)),
                        file.fs_type.clone(),
                        file.path.clone(),
                        file.source.clone(),
                    ],
                );
            }
            gaps.table(&task.files, (&table, "no files"), 2, out, theme)?;
        }
        if !self.tasks.found().is_empty() && self.tasks.unread().is_some() {
            writeln!(out)?;
        }
        gaps.of(&self.tasks, NO_FILES, 0, out, theme)?;
        gaps.rest(out, theme)
    }
}

impl Report for Mounts {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut table = Table::new(["MOUNT", "SUPER BLOCK", "TYPE", "SOURCE", "", "FROZEN", ">NEEDED BY", "PATH"]);
        let mut gaps = Gaps::new(&self.gaps);
        for mount in self.mounts.found() {
            let style = match (mount.frozen, mount.needed_by.found().is_empty()) {
                (Some(_), _) => theme.bad,
                (None, false) => theme.doubtful,
                (None, true) => Style::new(),
            };
            table.row(
                style,
                [
                    format!("{:016x}", mount.mount.0),
                    format!("{:016x}", mount.super_block.0),
                    mount.fs_type.clone(),
                    mount.source.clone(),
                    match mount.read_only {
                        Some(true) => "ro",
                        Some(false) => "rw",
                        None => "?",
                    }
                    .to_owned(),
                    mount.frozen.unwrap_or("-").to_owned(),
                    count(&mount.needed_by),
                    mount.path.clone(),
                ],
            );
        }
        gaps.table(&self.mounts, (&table, "no mounts"), 0, out, theme)?;
        for mount in self.mounts.found().iter().filter(|mount| !mount.needed_by.found().is_empty()) {
            write_needed_by(mount, out, theme)?;
        }
        for mount in self.mounts.found() {
            if let Some(fuse) = &mount.fuse {
                write_fuse(mount, fuse, &mut gaps, out, theme)?;
            }
        }
        gaps.rest(out, theme)
    }
}

/// `sendfile64 needs descriptor 3: /srv/data (fuse.sshfs, mounted from host:/srv)`.
fn needs(need: &Need) -> String {
    let Need { call, descriptor, path, fs_type, source, .. } = need;
    let call = call.as_deref().unwrap_or("its system call");
    let what = descriptor.map_or_else(|| "looks up".to_owned(), |number| format!("needs descriptor {number}:"));
    format!("{call} {what} {path} ({fs_type}, mounted from {source})")
}

fn write_needed_by(mount: &Mount, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let heading = format_args!("\nNEED {}", Sanitized::new(&mount.path));
    writeln!(out, "{}", Painted(theme.heading, heading))?;
    let mut table = Table::new(["TASK", ">LAST RAN", "CALL", ">FD", "PATH"]);
    for Needy { task, need } in mount.needed_by.found() {
        let since = task.since_ns.map(|ns| i64::try_from(ns).unwrap_or(i64::MAX));
        table.row(
            Style::new(),
            [
                who(Some(task)),
                ago(since),
                need.call.clone().unwrap_or_else(|| "?".to_owned()),
                need.descriptor.map_or_else(|| "-".to_owned(), |number| number.to_string()),
                need.path.clone(),
            ],
        );
    }
    table.write(2, out, theme)
}

fn write_fuse<'a>(
    mount: &Mount,
    fuse: &'a FuseConnection,
    gaps: &mut Gaps<'a>,
    out: &mut dyn Write,
    theme: &Theme,
) -> io::Result<()> {
    let daemons: Vec<_> = fuse.daemons.found().iter().map(|daemon| who(Some(daemon))).collect();
    let served = match (fuse.connected, daemons.as_slice()) {
        (false, _) => "not connected with a daemon".to_owned(),
        (true, []) if fuse.daemons.unread().is_some() => "served by whom could not be read".to_owned(),
        (true, []) => "served by nobody who was found".to_owned(),
        (true, daemons) => format!("served by pid {}", daemons.join(", ")),
    };
    let place = Sanitized::new(&mount.path);
    let unanswered = format_args!("{} requests not answered", count(&fuse.requests));
    writeln!(out, "\nFUSE on {place}: {}, {unanswered}", Sanitized::new(&served))?;
    let mut table = Table::new(["REQUEST", "OPERATION", ">INODE", "BY THE DAEMON", "WAITED FOR BY"]);
    for request in fuse.requests.found() {
        table.row(
            theme.doubtful,
            [
                format!("{:016x}", request.request.0),
                request.operation.clone(),
                request.inode.to_string(),
                request.state.to_owned(),
                request.waiter.as_ref().map_or_else(|| "nobody".to_owned(), |waiter| who(Some(waiter))),
            ],
        );
    }
    gaps.of(&fuse.daemons, "", 2, out, theme)?;
    gaps.table(&fuse.requests, (&table, ""), 2, out, theme)
}

impl Report for Network {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut table = Table::new(["DEVICE", "NET_DEVICE", "STATE", ">TX QUEUES", "STOPPED", "ADDRESSES"]);
        let mut gaps = Gaps::new(&self.gaps);
        for device in self.devices.found() {
            let state = match (device.up, device.carrier) {
                (false, _) => "down",
                (true, false) => "up, no link",
                (true, true) => "up",
            };
            let stopped: Vec<_> = device.stopped.iter().map(u64::to_string).collect();
            let stopped = match stopped.as_slice() {
                [] => "-".to_owned(),
                queues => format!("{}, silent for {}", queues.join(" "), during(device.silent_ns)),
            };
            table.row(
                if device.up && (!device.carrier || !device.stopped.is_empty()) {
                    theme.doubtful
                } else {
                    Style::new()
                },
                [
                    device.name.clone(),
                    format!("{:016x}", device.device.0),
                    state.to_owned(),
                    or_unknown(Some(device.tx_queues)),
                    stopped,
                    match device.addresses.found() {
                        [] if device.addresses.unread().is_some() => "?".to_owned(),
                        addresses => addresses.join(" "),
                    },
                ],
            );
        }
        gaps.table(&self.devices, (&table, "no network devices"), 0, out, theme)?;
        gaps.rest(out, theme)
    }
}
