//! `kmem` and `swap`.

use std::io::{self, Write};

use anstyle::Style;
use vmcore_inspect::state::{Memory, Swap};

use super::{kib, or_unknown, who, write_gaps};
use crate::table::Table;
use crate::{Painted, Report, Theme};

/// Slab caches and processes that text shows: JSON has them all.
const SHOWN: usize = 20;

impl Report for Memory {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut table = Table::new([">NODE", "ZONE", "ADDRESS", ">MANAGED", ">FREE", ">MIN", ">LOW", ">HIGH", ""]);
        for zone in &self.zones {
            let (style, word) = match zone.free_bytes {
                free if free <= zone.min_bytes => (theme.bad, "below min"),
                free if free <= zone.low_bytes => (theme.doubtful, "below low"),
                _ => (Style::new(), ""),
            };
            table.row(
                style,
                [
                    zone.node.to_string(),
                    zone.name.clone(),
                    format!("{:016x}", zone.zone.0),
                    kib(zone.managed_bytes),
                    kib(zone.free_bytes),
                    kib(zone.min_bytes),
                    kib(zone.low_bytes),
                    kib(zone.high_bytes),
                    word.to_owned(),
                ],
            );
        }
        table.write(0, out, theme)?;
        let mut table = Table::new(["SLAB CACHE", "KMEM_CACHE", ">OBJECT", ">OBJECTS", ">SLABS", ">MEMORY"]);
        for slab in self.slabs.iter().take(SHOWN) {
            table.row(
                Style::new(),
                [
                    slab.name.clone(),
                    format!("{:016x}", slab.cache.0),
                    slab.object_bytes.to_string(),
                    or_unknown(slab.objects),
                    or_unknown(slab.slabs),
                    slab.bytes.map_or_else(|| "?".to_owned(), kib),
                ],
            );
        }
        writeln!(out)?;
        table.write(0, out, theme)?;
        more(self.slabs.len(), out, theme)?;
        let mut table = Table::new(["PROCESS", "MM", ">RESIDENT", ">ANONYMOUS", ">SWAPPED"]);
        for process in self.processes.iter().take(SHOWN) {
            table.row(
                Style::new(),
                [
                    who(Some(&process.process)),
                    format!("{:016x}", process.mm.0),
                    kib(process.rss_bytes),
                    kib(process.anonymous_bytes),
                    kib(process.swap_bytes),
                ],
            );
        }
        writeln!(out)?;
        table.write(0, out, theme)?;
        more(self.processes.len(), out, theme)?;
        write_gaps(&self.gaps, out, theme)
    }
}

fn more(len: usize, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    match len.checked_sub(SHOWN) {
        Some(more @ 1..) => {
            writeln!(out, "{}", Painted(theme.dim, format_args!("{more} more: --format json has them")))
        }
        _ => Ok(()),
    }
}

impl Report for Swap {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        if self.areas.is_empty() && self.gaps.is_empty() {
            writeln!(out, "the machine has no swap")?;
        } else {
            let mut table = Table::new(["AREA", ">SIZE", ">USED", ">PRIORITY", "", "PATH"]);
            for area in &self.areas {
                table.row(
                    Style::new(),
                    [
                        format!("{:016x}", area.area.0),
                        kib(area.bytes),
                        kib(area.used_bytes),
                        area.priority.to_string(),
                        if area.writable { "" } else { "being emptied" }.to_owned(),
                        or_unknown(area.path.as_ref()),
                    ],
                );
            }
            table.write(0, out, theme)?;
        }
        write_gaps(&self.gaps, out, theme)
    }
}
