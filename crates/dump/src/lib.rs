//! Dump files: ELF cores, their notes and VMCOREINFO.
