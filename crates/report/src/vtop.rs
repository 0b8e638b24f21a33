//! `vtop`: an address translated, with every page-table entry on the way.

use std::io::{self, Write};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use vmcore_kernel::Page as KernelPage;
use vmcore_kernel::paging::{Outcome, Step, Walk};

use crate::{Gap, Hex, Painted, Report, Theme, names};

/// The translation of one address.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Vtop")]
pub struct Vtop<'a> {
    /// The address that was translated.
    pub address: Hex,
    /// The process whose page tables were used; null for the kernel's.
    pub pid: Option<i32>,
    /// The entries that were read, from the top.
    pub levels: Vec<Level>,
    /// What the walk came to: `mapped`, `not_mapped` (an entry says so), `unreadable` (whether it is mapped is not known)
    /// or `not_canonical`.
    #[schemars(schema_with = "outcome_schema")]
    pub outcome: &'static str,
    /// Where the address is in physical memory; null where it is not mapped, or that is not known: see `outcome`.
    pub physical: Option<Hex>,
    /// The page that is mapped there, or under migration, or being split.
    pub page: Option<Page<'a>>,
    /// Why the walk could not be finished.
    pub error: Option<String>,
    /// What could not be read.
    pub gaps: Vec<Gap<'a>>,
}

/// One page-table entry.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Level")]
pub struct Level {
    /// `pgd`, `p4d`, `pud`, `pmd` or `pte`. With four levels there is no `p4d`.
    #[schemars(schema_with = "level_schema")]
    pub name: &'static str,
    /// Where the entry is, in physical memory.
    pub entry_address: Hex,
    /// The entry.
    pub value: Hex,
    /// What it means.
    pub meaning: String,
}

/// A `struct page`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Page")]
pub struct Page<'a> {
    /// Its address.
    pub address: Hex,
    /// The page frame's number.
    pub pfn: Option<Hex>,
    /// The raw flags.
    pub flags: Hex,
    /// Flags of interest that are set, such as `PG_locked`. A tail's own flags say nothing: see `head`.
    pub flag_names: &'a [&'static str],
    /// The reference count; 0 for the tail of a compound page.
    pub refcount: i32,
    /// The map count: one less than the number of mappings.
    pub mapcount: Option<i32>,
    /// The raw `mapping`; bit 0 marks anonymous memory.
    pub mapping: Option<Hex>,
    /// The head of the compound page, where this is a tail.
    pub head: Option<Box<Page<'a>>>,
}

/// What a walk can come to.
const OUTCOMES: [&str; 4] = ["mapped", "not_mapped", "unreadable", "not_canonical"];

fn level_schema(_: &mut SchemaGenerator) -> Schema {
    names::one_of(["pgd", "p4d", "pud", "pmd", "pte"])
}

fn outcome_schema(_: &mut SchemaGenerator) -> Schema {
    names::one_of(OUTCOMES)
}

impl<'a> Vtop<'a> {
    /// A walk through the page tables of `pid`, or of the kernel, with the page that it led to and that page's head.
    #[must_use]
    pub fn new(
        pid: Option<i32>,
        walk: &Walk,
        page: Option<&'a KernelPage>,
        head: Option<&'a KernelPage>,
        gaps: &'a [vmcore_kernel::Gap],
    ) -> Self {
        let (outcome, physical, error) = match &walk.outcome {
            Outcome::Mapped(physical) => ("mapped", Some(Hex::from(*physical)), None),
            Outcome::NotMapped => ("not_mapped", None, None),
            Outcome::Unreadable(level, error) => {
                ("unreadable", None, Some(format!("the {level} entry cannot be read: {error}")))
            }
            Outcome::NonCanonical => ("not_canonical", None, Some("not a canonical address".to_owned())),
        };
        Self {
            address: walk.address.into(),
            pid,
            levels: walk.steps.iter().map(Level::new).collect(),
            outcome,
            physical,
            page: page.map(|page| Page { head: head.map(|head| Box::new(Page::new(head))), ..Page::new(page) }),
            error,
            gaps: gaps.iter().map(Gap::new).collect(),
        }
    }
}

impl Level {
    fn new(step: &Step) -> Self {
        Self {
            name: step.level.name(),
            entry_address: step.entry_address.into(),
            value: Hex(step.entry.raw()),
            meaning: meaning(step),
        }
    }
}

/// What an entry means, with the access that it gives where it gives any.
fn meaning(step: &Step) -> String {
    use vmcore_kernel::paging::Meaning;
    match step.meaning {
        Meaning::Page { .. } | Meaning::Table(_) => format!("{} ({})", step.meaning, step.entry.flags()),
        _ => step.meaning.to_string(),
    }
}

impl<'a> Page<'a> {
    fn new(page: &'a KernelPage) -> Self {
        Self {
            address: page.address.into(),
            pfn: page.pfn.map(Hex::from),
            flags: Hex(page.flags),
            flag_names: &page.flag_names,
            refcount: page.refcount,
            mapcount: page.mapcount,
            mapping: page.mapping.map(Hex),
            head: None,
        }
    }
}

impl Report for Vtop<'_> {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let physical = match (self.physical, self.outcome) {
            (Some(Hex(physical)), _) => format!("{physical:x}"),
            (None, "not_mapped") => "(not mapped)".to_owned(),
            (None, "not_canonical") => "(no address)".to_owned(),
            (None, _) => "(unreadable)".to_owned(),
        };
        writeln!(out, "{}", Painted(theme.heading, format_args!("{:16}  PHYSICAL", "VIRTUAL")))?;
        writeln!(out, "{:<16x}  {physical}\n", self.address.0)?;
        for level in &self.levels {
            let name = level.name.to_uppercase();
            let Level { entry_address: Hex(at), value: Hex(value), meaning, .. } = level;
            writeln!(out, "  {name:>4}: {at:>12x} => {value:016x}  {meaning}")?;
        }
        if let Some(error) = &self.error {
            writeln!(out, "  {}", Painted(theme.doubtful, error))?;
        }
        match &self.page {
            Some(page) => write_pages(page, out, theme),
            None => Ok(()),
        }
    }
}

fn write_pages(page: &Page<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let head = format_args!(
        "\n        {:16} {:>10} {:>8} {:>8}  {:16}  FLAGS",
        "PAGE", "PFN", "REFCOUNT", "MAPCOUNT", "MAPPING"
    );
    writeln!(out, "{}", Painted(theme.heading, head))?;
    write_page(if page.head.is_some() { "tail" } else { "" }, page, out)?;
    page.head.as_ref().map_or(Ok(()), |head| write_page("head", head, out))
}

fn write_page(role: &str, page: &Page<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Page { address: Hex(address), flags: Hex(flags), refcount, .. } = page;
    let pfn = page.pfn.map_or_else(|| "?".to_owned(), |Hex(pfn)| format!("{pfn:x}"));
    let mapcount = page.mapcount.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let mapping = page.mapping.map_or_else(|| "?".to_owned(), |Hex(mapping)| format!("{mapping:x}"));
    let names: String = page.flag_names.iter().map(|name| format!(" {name}")).collect();
    writeln!(out, "  {role:>4}  {address:016x} {pfn:>10} {refcount:>8} {mapcount:>8}  {mapping:16}  {flags:x}{names}")
}

#[cfg(test)]
mod tests {
    use vmcore_memory::{PageLevel, PhysAddr, ReadError, VirtAddr};

    use super::*;

    /// What is said of a walk: its outcome in JSON, the address, and the first line of text below the heading.
    fn said(outcome: Outcome) -> (&'static str, Option<u64>, String) {
        let walk = Walk { address: VirtAddr::new(0x7f00_0000_1000), steps: Vec::new(), outcome };
        let report = Vtop::new(Some(1), &walk, None, None, &[]);
        let mut text = Vec::new();
        report.write_text(&mut text, &Theme::plain()).unwrap();
        let line = String::from_utf8(text).unwrap().lines().nth(1).unwrap_or_default().to_owned();
        (report.outcome, report.physical.map(|Hex(physical)| physical), line)
    }

    #[test]
    fn what_cannot_be_read_is_not_said_to_be_unmapped() {
        let error = ReadError::BadRange { address: 0x5000, len: 8 };
        let found = [
            said(Outcome::Mapped(PhysAddr::new(0x1234_5000))),
            said(Outcome::NotMapped),
            said(Outcome::Unreadable(PageLevel::Pmd, error)),
            said(Outcome::NonCanonical),
        ];
        assert_eq!(found.each_ref().map(|(name, ..)| *name), OUTCOMES);
        assert_eq!(found.each_ref().map(|(_, physical, _)| *physical), [Some(0x1234_5000), None, None, None]);
        let ends = ["12345000", "(not mapped)", "(unreadable)", "(no address)"];
        for ((name, _, line), end) in found.iter().zip(ends) {
            assert!(line.ends_with(end), "{name}: {line}");
        }
    }
}
