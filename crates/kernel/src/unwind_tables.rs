//! The ORC tables of the kernel image, and the format that they and those of modules are in.
//!
//! What a table cannot be used for is said once, as a [`Gap`]: stacks are followed without it all the same, by other
//! means, but less surely.

use vmcore_debuginfo::Vmlinux;
use vmcore_memory::VirtAddr;
use vmcore_unwind::orc::{FormatHints, OrcEntry, OrcFormat, OrcLayout, OrcTable};

use crate::Gap;
use crate::layout::Resolver;

/// What stacks that are followed without ORC are worth.
const COST: &str = "stacks are followed by call-frame information, frame pointers and a search instead: they may end \
                    early, at interrupts above all, and what is not found on them may still be there";

/// The tables of the image.
#[derive(Debug, Default)]
pub(crate) struct UnwindTables<'a> {
    format: Option<OrcFormat>,
    image: Option<OrcTable<'a>>,
}

impl<'a> UnwindTables<'a> {
    /// The tables that `vmlinux` holds; `gaps` learns why there are none, or that they are used on trust.
    pub(crate) fn read(vmlinux: &'a Vmlinux, gaps: &mut Vec<Gap>) -> Self {
        let mut gap = |why: String| gaps.push(Gap::new("unwind tables (ORC)", why));
        let (Some(ips), Some(entries)) = (vmlinux.section(".orc_unwind_ip"), vmlinux.section(".orc_unwind")) else {
            gap(format!("there are none; {COST}"));
            return Self::default();
        };
        let header = vmlinux.section(".orc_header").map(|section| section.data);
        let hints = FormatHints { header: header.as_deref(), layout: declared_layout(vmlinux) };
        let format = match OrcFormat::establish(&entries.data, hints) {
            Ok(format) => format,
            Err(error) => {
                let id = header.map(|header| format!(" (its format has the id {})", id(&header))).unwrap_or_default();
                gap(format!("the kernel's table is not understood and not used: {error}{id}; {COST}"));
                return Self::default();
            }
        };
        match header.as_deref().map(|header| (OrcFormat::of_header(header), id(header))) {
            Some((None, id)) => {
                gap(format!("the id of their format, {id}, is not known: they are read as their rows look"));
            }
            Some((Some(labelled), id)) if labelled != format => {
                gap(format!("the id of their format, {id}, is not that of their rows, as which they are read"));
            }
            _ => {}
        }
        let image = OrcTable::new(ips.data, ips.address, entries.data, format);
        Self { format: Some(format), image: Some(image) }
    }

    /// The format of this kernel's tables; `None` where it is not known.
    pub(crate) const fn format(&self) -> Option<OrcFormat> {
        self.format
    }

    /// The entry for a link-time address of the image.
    pub(crate) fn find(&self, link_address: VirtAddr) -> Option<OrcEntry> {
        self.image.as_ref()?.find(link_address)
    }
}

/// The bits as the members of `struct orc_entry` have them.
fn declared_layout(vmlinux: &Vmlinux) -> Option<OrcLayout> {
    let types = Resolver::new(vmlinux.types()).types();
    Some(match types.member("orc_entry", "type")?.bit_size {
        Some(3) => OrcLayout::Type3,
        _ if types.has_member("orc_entry", "signal") => OrcLayout::SignalEnd,
        _ => OrcLayout::End,
    })
}

/// The first bytes of a header, as they are usually quoted.
fn id(header: &[u8]) -> String {
    header.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use vmcore_debuginfo::{ImageParts, PartSection};

    use super::*;

    /// A vmlinux whose tables have one row for each of `bits`, 16 bytes of code apart from 0x1000 on.
    fn vmlinux(bits: &[u16], header: Option<&[u8]>) -> Vmlinux {
        let at = |row: usize| 0x1000 + 16 * i32::try_from(row).unwrap();
        let ip = |row: usize| (at(row) - 4 * i32::try_from(row).unwrap()).to_le_bytes();
        let entry = |bits: u16| [8, 0, 0, 0, bits.to_le_bytes()[0], bits.to_le_bytes()[1]];
        let section = |name, data| PartSection { name, address: VirtAddr::default(), data };
        let mut sections = vec![
            section(".orc_unwind_ip", (0..bits.len()).flat_map(ip).collect()),
            section(".orc_unwind", bits.iter().copied().flat_map(entry).collect()),
        ];
        sections.extend(header.map(|header| section(".orc_header", header.to_vec())));
        Vmlinux::from_parts(&ImageParts { sections, ..ImageParts::default() }).unwrap()
    }

    /// Whether the tables are used, and what is said of them.
    fn read(bits: &[u16], header: Option<&[u8]>) -> (bool, String) {
        let vmlinux = vmlinux(bits, header);
        let mut gaps = Vec::new();
        let tables = UnwindTables::read(&vmlinux, &mut gaps);
        assert!(gaps.len() <= 1);
        let used = tables.find(VirtAddr::new(0x1011)).is_some();
        assert_eq!(used, tables.format().is_some());
        (used, gaps.first().map(Gap::to_string).unwrap_or_default())
    }

    #[test]
    fn tables_that_are_understood_are_used_without_a_word() {
        assert_eq!(read(&[0x205; 100], None), (true, String::new()));
        assert_eq!(read(&[0x203; 100], None), (true, String::new()));
        assert_eq!(read(&[0x5; 100], None), (true, String::new()));
    }

    #[test]
    fn a_format_that_is_none_is_refused_and_said() {
        let (used, said) = read(&[0x20b; 100], Some(&[0xab; 20]));
        assert!(!used);
        assert!(said.contains("id abababab") && said.contains("not used") && said.contains("may end early"), "{said}");
    }

    #[test]
    fn a_format_of_unknown_id_is_used_and_said() {
        let (used, said) = read(&[0x203; 100], Some(&[0xab; 20]));
        assert!(used && said.contains("abababab, is not known"), "{said}");
    }

    #[test]
    fn no_tables_at_all_are_said() {
        let vmlinux = Vmlinux::from_parts(&ImageParts::default()).unwrap();
        let mut gaps = Vec::new();
        assert!(UnwindTables::read(&vmlinux, &mut gaps).format().is_none());
        assert!(gaps[0].to_string().contains("there are none"), "{gaps:?}");
    }
}
