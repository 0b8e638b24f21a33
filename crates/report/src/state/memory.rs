//! `kmem` and `swap`.

use std::io::{self, Write};

use anstyle::Style;
use vmcore_inspect::state::{Memory, Swap};

use super::{Gaps, kib, or_unknown, who};
use crate::table::Table;
use crate::{Painted, Report, Theme};

/// Slab caches and processes that text shows: JSON has them all.
const SHOWN: usize = 20;

impl Report for Memory {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut table = Table::new([">NODE", "ZONE", "ADDRESS", ">MANAGED", ">FREE", ">MIN", ">LOW", ">HIGH", ""]);
        let mut gaps = Gaps::new(&self.gaps);
        for zone in self.zones.found() {
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
        gaps.table(&self.zones, (&table, "no zones"), 0, out, theme)?;
        let mut table = Table::new(["SLAB CACHE", "KMEM_CACHE", ">OBJECT", ">OBJECTS", ">SLABS", ">MEMORY"]);
        for slab in self.slabs.found().iter().take(SHOWN) {
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
        gaps.table(&self.slabs, (&table, "no slab caches"), 0, out, theme)?;
        more(self.slabs.found().len(), out, theme)?;
        let mut table = Table::new(["PROCESS", "MM", ">RESIDENT", ">ANONYMOUS", ">SWAPPED"]);
        for process in self.processes.found().iter().take(SHOWN) {
            table.row(
                Style::new(),
                [
                    who(Some(&process.process)),
                    format!("{:016x}", process.mm.0),
                    process.rss_bytes.map_or_else(|| "?".to_owned(), kib),
                    process.anonymous_bytes.map_or_else(|| "?".to_owned(), kib),
                    process.swap_bytes.map_or_else(|| "?".to_owned(), kib),
                ],
            );
        }
        writeln!(out)?;
        gaps.table(&self.processes, (&table, "no processes"), 0, out, theme)?;
        more(self.processes.found().len(), out, theme)?;
        gaps.rest(out, theme)
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
        let mut gaps = Gaps::new(&self.gaps);
        let mut table = Table::new(["AREA", ">SIZE", ">USED", ">PRIORITY", "", "PATH"]);
        for area in self.areas.found() {
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
        gaps.table(&self.areas, (&table, "the machine has no swap"), 0, out, theme)?;
        gaps.rest(out, theme)
    }
}
