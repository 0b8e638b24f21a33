//! `distill`: what the small dump still tells.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{Painted, Report, Sanitized, Theme};

/// What was kept of a dump.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Distill")]
pub struct Distill {
    /// Pages (4 KiB) of which anything was kept.
    pub pages: u64,
    /// Pages that the dump had.
    pub of_pages: u64,
    /// Whether everything in those pages was kept, not only what was read.
    pub whole_pages: bool,
    /// What was kept, by what it was first read for.
    pub kept: Vec<Kept>,
    /// Notes of the original that no analysis reads, and that are therefore not in it.
    pub notes_left_out: Vec<NotesLeftOut>,
    /// Bytes in the notes: the registers of the CPUs, VMCOREINFO, and which bytes were kept.
    pub note_bytes: u64,
    /// What was redacted: `names`, `host`, `log`.
    pub redacted: Vec<&'static str>,
    /// What an analysis never reads, and the dump therefore does not hold; empty where whole pages were kept.
    pub never_kept: Vec<&'static str>,
}

/// Notes of one kind that were left out.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "NotesLeftOut")]
pub struct NotesLeftOut {
    /// Whose they are, as the dump says: `CORE`, `LINUX`, or what the dump's writer calls itself.
    pub owner: String,
    /// The type, whose meaning depends on the owner.
    pub kind: u32,
    /// How many.
    pub count: u64,
    /// Bytes of their contents.
    pub bytes: u64,
}

/// Bytes that were kept for one purpose.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Kept")]
pub struct Kept {
    /// What they were read for.
    pub purpose: &'static str,
    /// How many.
    pub bytes: u64,
}

impl Report for Distill {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let Self { pages, of_pages, note_bytes, .. } = self;
        let title = Painted(theme.heading, "What the dump holds");
        writeln!(out, "{title}: parts of {pages} of {of_pages} pages\n")?;
        for Kept { purpose, bytes } in &self.kept {
            writeln!(out, "  {bytes:>12} bytes  {purpose}")?;
        }
        writeln!(out, "  {note_bytes:>12} bytes  notes: registers of the CPUs, VMCOREINFO, which bytes were kept")?;
        if !self.notes_left_out.is_empty() {
            writeln!(out, "\nNotes that were left out:")?;
        }
        for NotesLeftOut { owner, kind, count, bytes } in &self.notes_left_out {
            let of_all = if *count == 1 { String::new() } else { format!(" in {count} notes") };
            writeln!(out, "  {bytes:>12} bytes  owner {}, type {kind:#x}{of_all}", Sanitized::new(owner))?;
        }
        if self.whole_pages {
            writeln!(out, "\nWhole pages were kept: whatever else is in them is in the dump, too.")?;
        } else {
            writeln!(out, "\nNot in it: {}.", self.never_kept.join(", "))?;
        }
        match self.redacted.as_slice() {
            [] => writeln!(
                out,
                "Nothing was redacted: names of tasks and of the host, and the log, are in it (--redact)."
            ),
            redacted => writeln!(out, "Redacted: {}.", redacted.join(", ")),
        }
    }
}
