//! vmlinux: symbols, type layouts from BTF and DWARF, source lines, unwind sections.
