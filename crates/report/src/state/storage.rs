//! `dev`, `files`, `mount` and `net`.

use std::io::{self, Write};

use anstyle::Style;
use vmcore_inspect::state::{Disks, Files, Mounts, Network};

use super::{during, or_unknown, who, write_gaps};
use crate::duration::Duration;
use crate::table::Table;
use crate::{Painted, Report, Sanitized, Theme};

impl Report for Disks {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut table = Table::new(["DISK", "GENDISK", ">QUEUES", ">IN FLIGHT", ">HELD BACK", ">OLDEST"]);
        for disk in &self.disks {
            let oldest = disk.in_flight.first().and_then(|request| request.age_ns);
            table.row(
                if disk.in_flight.is_empty() { Style::new() } else { theme.doubtful },
                [
                    disk.name.clone(),
                    format!("{:016x}", disk.disk.0),
                    disk.hardware_queues.map_or_else(|| "-".to_owned(), |count| count.to_string()),
                    disk.in_flight.len().to_string(),
                    disk.held_back.map_or_else(|| "-".to_owned(), |count| count.to_string()),
                    if disk.in_flight.is_empty() { "-".to_owned() } else { during(oldest) },
                ],
            );
        }
        table.write(0, out, theme)?;
        for disk in self.disks.iter().filter(|disk| !disk.in_flight.is_empty()) {
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
            for request in &disk.in_flight {
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
            table.write(2, out, theme)?;
        }
        write_gaps(&self.gaps, out, theme)
    }
}

impl Report for Files {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        if self.tasks.is_empty() {
            writeln!(out, "(no task is as was asked for; by default these are those in state D)")?;
        }
        for (index, task) in self.tasks.iter().enumerate() {
            let name = who(Some(&task.task));
            let blank = if index > 0 { "\n" } else { "" };
            writeln!(out, "{blank}{}", Painted(theme.heading, format_args!("PID: {}", Sanitized::new(&name))))?;
            if task.files.is_empty() {
                writeln!(out, "  no files")?;
                continue;
            }
            let mut table = Table::new([">FD", "FILE", "TYPE", "PATH", "MOUNTED FROM"]);
            for file in &task.files {
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
            table.write(2, out, theme)?;
        }
        write_gaps(&self.gaps, out, theme)
    }
}

impl Report for Mounts {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut table = Table::new(["MOUNT", "SUPER BLOCK", "TYPE", "SOURCE", "", "FROZEN", "PATH"]);
        for mount in &self.mounts {
            table.row(
                if mount.frozen.is_some() { theme.bad } else { Style::new() },
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
                    mount.path.clone(),
                ],
            );
        }
        table.write(0, out, theme)?;
        write_gaps(&self.gaps, out, theme)
    }
}

impl Report for Network {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut table = Table::new(["DEVICE", "NET_DEVICE", "STATE", ">TX QUEUES", "STOPPED", "ADDRESSES"]);
        for device in &self.devices {
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
                    device.addresses.join(" "),
                ],
            );
        }
        table.write(0, out, theme)?;
        write_gaps(&self.gaps, out, theme)
    }
}
