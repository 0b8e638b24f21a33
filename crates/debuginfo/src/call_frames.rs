//! DWARF call-frame information: how to find a caller where the kernel's own unwind tables are silent or wrong.
//!
//! `.debug_frame` has one description for each function, in file order and without an index. Kernels are compiled with
//! asynchronous tables, so each instruction is covered. A kernel that needs the tables itself, as those of arm64 with
//! `CONFIG_UNWIND_TABLES` do, has them in `.eh_frame` instead, where addresses are relative to where they stand.
//!
//! Source: DWARF 5 standard, section 6.4; Linux Standard Base Core 5.0, section 10.6; `gimli` interprets the programs.

use std::borrow::Cow;
use std::sync::Arc;

use gimli::{
    BaseAddresses, CfaRule, CieOrFde, DebugFrame, EhFrame, EndianSlice, LittleEndian, Register, RegisterRule,
    UnwindContext, UnwindSection, Vendor,
};
use vmcore_memory::{Architecture, VirtAddr};

use crate::column::{Column, Columns, ColumnsWriter};

/// DWARF's numbers of the registers that matter.
struct Numbers {
    frame_pointer: Register,
    stack_pointer: Register,
    /// The register that stands for the return address.
    return_address: Register,
    /// Whether that is a register indeed, in which the address is until it is saved.
    has_link_register: bool,
    /// Whose extensions of the format are used.
    vendor: Vendor,
}

impl Numbers {
    /// System V ABI for x86-64, figure 3.36; "DWARF for the Arm 64-bit Architecture", 4.1.
    const fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::X86_64 => Self {
                frame_pointer: Register(6),
                stack_pointer: Register(7),
                return_address: Register(16),
                has_link_register: false,
                vendor: Vendor::Default,
            },
            // Marks where a return address has its authentication code, which is of no concern here.
            Architecture::Arm64 => Self {
                frame_pointer: Register(29),
                stack_pointer: Register(31),
                return_address: Register(30),
                has_link_register: true,
                vendor: Vendor::AArch64,
            },
        }
    }
}

/// More functions than any kernel has.
const MAX_FUNCTIONS: usize = 4 << 20;

/// The register that the canonical frame address (CFA) is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CfaBase {
    /// The stack pointer: RSP, `sp`.
    Sp,
    /// The frame pointer: RBP, `x29`.
    Bp,
}

/// The rules for one instruction. All offsets are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFrame {
    /// What `cfa_offset` is added to. The CFA is the caller's stack pointer after it is returned to.
    pub cfa_base: CfaBase,
    /// Added to the base's value.
    pub cfa_offset: i64,
    /// Where the return address is saved, from the CFA; `None` where it is still in the link register.
    pub return_address: Option<i64>,
    /// Where the caller's frame pointer is saved, from the CFA; `None` where the register still holds it.
    pub saved_bp: Option<i64>,
}

/// The section that has the descriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSection {
    /// `.debug_frame`.
    Debug,
    /// `.eh_frame`, which is linked at this address.
    Eh(VirtAddr),
}

/// The call-frame information of a vmlinux.
pub struct CallFrames<'data> {
    data: Cow<'data, [u8]>,
    section: FrameSection,
    numbers: Numbers,
    functions: Arc<Functions>,
}

/// Where the description of each function is, by the function's start.
#[derive(Debug)]
pub(crate) struct Functions {
    /// Link-time starts.
    starts: Column<u64>,
    lengths: Column<u64>,
    /// Offsets of the descriptions.
    offsets: Column<u64>,
}

impl Functions {
    /// Those of the section. Descriptions after the first that makes no sense are not used.
    pub(crate) fn of(data: &[u8], section: FrameSection) -> Self {
        // The rules of functions, in which vendors differ, are not looked at.
        let mut functions = match section {
            FrameSection::Debug => index(&debug_frame(data, Vendor::Default), &BaseAddresses::default()),
            FrameSection::Eh(address) => index(&eh_frame(data, Vendor::Default), &bases(address)),
        };
        functions.sort_unstable();
        let column = |of: fn(&(u64, u64, usize)) -> u64| Column::from(functions.iter().map(of).collect::<Vec<_>>());
        Self { starts: column(|it| it.0), lengths: column(|it| it.1), offsets: column(|it| it.2 as u64) }
    }

    /// What was kept.
    pub(crate) fn kept(columns: &mut Columns<'_>) -> Option<Self> {
        let functions = Self { starts: columns.next()?, lengths: columns.next()?, offsets: columns.next()? };
        let lens = [&functions.lengths, &functions.offsets].map(Column::len);
        (lens == [functions.starts.len(); 2]).then_some(functions)
    }

    /// Keeps it, for [`Functions::kept`].
    pub(crate) fn keep(&self, to: &mut ColumnsWriter) {
        to.add(&self.starts);
        to.add(&self.lengths);
        to.add(&self.offsets);
    }
}

impl<'data> CallFrames<'data> {
    /// Indexes the contents of a section. Descriptions after the first that makes no sense are not used.
    #[must_use]
    pub fn new(data: Cow<'data, [u8]>, section: FrameSection, architecture: Architecture) -> Self {
        let functions = Arc::new(Functions::of(&data, section));
        Self::with(data, section, architecture, functions)
    }

    /// The same of a section whose functions are known already.
    pub(crate) const fn with(
        data: Cow<'data, [u8]>,
        section: FrameSection,
        architecture: Architecture,
        functions: Arc<Functions>,
    ) -> Self {
        Self { data, section, numbers: Numbers::of(architecture), functions }
    }

    /// The rules at the link-time address `pc`; `None` where nothing covers it or its rules are not of the simple form
    /// that compilers write for C.
    #[must_use]
    pub fn find(&self, pc: VirtAddr) -> Option<CallFrame> {
        let Functions { starts, lengths, offsets } = &*self.functions;
        let at = starts.partition_point(|start| start <= pc.get()).checked_sub(1)?;
        let (start, length, offset) = (starts.get(at)?, lengths.get(at)?, usize::try_from(offsets.get(at)?).ok()?);
        if pc.get().checked_sub(start)? >= length {
            return None;
        }
        let vendor = self.numbers.vendor;
        match self.section {
            FrameSection::Debug => {
                self.rules(&debug_frame(&self.data, vendor), &BaseAddresses::default(), offset, pc.get())
            }
            FrameSection::Eh(address) => self.rules(&eh_frame(&self.data, vendor), &bases(address), offset, pc.get()),
        }
    }

    /// The rules at `pc` by the description at `offset` of the section.
    fn rules<'a, S>(&self, section: &S, bases: &BaseAddresses, offset: usize, pc: u64) -> Option<CallFrame>
    where
        S: UnwindSection<EndianSlice<'a, LittleEndian>>,
    {
        let numbers = &self.numbers;
        let fde = section.fde_from_offset(bases, offset.into(), S::cie_from_offset).ok()?;
        let mut context = UnwindContext::new();
        let row = fde.unwind_info_for_address(section, bases, &mut context, pc).ok()?;
        let (cfa_base, cfa_offset) = match *row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } if register == numbers.stack_pointer => {
                (CfaBase::Sp, offset)
            }
            CfaRule::RegisterAndOffset { register, offset } if register == numbers.frame_pointer => {
                (CfaBase::Bp, offset)
            }
            _ => return None,
        };
        let return_address = match row.register(numbers.return_address) {
            Some(RegisterRule::Offset(offset)) => Some(offset),
            None | Some(RegisterRule::Undefined | RegisterRule::SameValue) if numbers.has_link_register => None,
            _ => return None,
        };
        let saved_bp = match row.register(numbers.frame_pointer) {
            Some(RegisterRule::Offset(offset)) => Some(offset),
            // Without a rule a callee-saved register is unchanged.
            None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => None,
            Some(_) => return None,
        };
        Some(CallFrame { cfa_base, cfa_offset, return_address, saved_bp })
    }
}

fn debug_frame(data: &[u8], vendor: Vendor) -> DebugFrame<EndianSlice<'_, LittleEndian>> {
    let mut section = DebugFrame::new(data, LittleEndian);
    section.set_address_size(8);
    section.set_vendor(vendor);
    section
}

fn eh_frame(data: &[u8], vendor: Vendor) -> EhFrame<EndianSlice<'_, LittleEndian>> {
    let mut section = EhFrame::new(data, LittleEndian);
    section.set_address_size(8);
    section.set_vendor(vendor);
    section
}

fn bases(eh_frame: VirtAddr) -> BaseAddresses {
    BaseAddresses::default().set_eh_frame(eh_frame.get())
}

fn index<'a, S>(section: &S, bases: &BaseAddresses) -> Vec<(u64, u64, usize)>
where
    S: UnwindSection<EndianSlice<'a, LittleEndian>>,
{
    let mut entries = section.entries(bases);
    let mut functions = Vec::new();
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else { continue };
        let Ok(fde) = partial.parse(S::cie_from_offset) else { continue };
        functions.push((fde.initial_address(), fde.len(), fde.offset()));
        if functions.len() == MAX_FUNCTIONS {
            break;
        }
    }
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What gcc writes for `push %rbp; mov %rsp,%rbp; ...; ret` at 0x1000, 0x20 bytes long.
    fn frame_pointer_function() -> Vec<u8> {
        let cie_body: &[u8] = &[
            0xff,
            0xff,
            0xff,
            0xff, // CIE
            1,
            0, // version, no augmentation
            1,
            0x78,
            16, // code alignment 1, data alignment -8, return address register
            0x0c,
            7,
            8, // DW_CFA_def_cfa: rsp + 8
            0x80 | 16,
            1, // DW_CFA_offset: return address at CFA - 8
            0,
            0,
        ];
        let mut fde_body = vec![0; 4];
        fde_body.extend(0x1000u64.to_le_bytes());
        fde_body.extend(0x20u64.to_le_bytes());
        fde_body.extend([0x41, 0x0e, 16, 0x80 | 6, 2]); // after 1 byte: CFA rsp + 16, rbp at CFA - 16
        fde_body.extend([0x43, 0x0d, 6]); // after 3 more: CFA from rbp
        fde_body.extend([0; 4]);
        let mut section = Vec::new();
        for body in [cie_body, &fde_body] {
            section.extend((body.len() as u32).to_le_bytes());
            section.extend(body);
        }
        section
    }

    #[test]
    fn rules_change_with_the_instruction() {
        let frames = CallFrames::new(frame_pointer_function().into(), FrameSection::Debug, Architecture::X86_64);
        let find = |pc| frames.find(VirtAddr::new(pc));
        let entry = CallFrame { cfa_base: CfaBase::Sp, cfa_offset: 8, return_address: Some(-8), saved_bp: None };
        assert_eq!(find(0x1000), Some(entry));
        assert_eq!(find(0x1001), Some(CallFrame { cfa_offset: 16, saved_bp: Some(-16), ..entry }));
        assert_eq!(find(0x1004).map(|row| row.cfa_base), Some(CfaBase::Bp));
        assert_eq!(find(0x101f).map(|row| row.cfa_base), Some(CfaBase::Bp));
        assert_eq!(find(0xfff), None);
        assert_eq!(find(0x1020), None);
    }

    /// What gcc writes for `paciasp; stp x29, x30, [sp, #-32]!; mov x29, sp; ...` at 0x1000, 0x20 bytes long.
    #[test]
    fn a_function_of_arm64_keeps_the_link_register_until_it_saves_it() {
        let mut section = Vec::new();
        // Code alignment 4, data alignment -8, return address in x30; DW_CFA_def_cfa: sp + 0.
        let cie: &[u8] = &[0xff, 0xff, 0xff, 0xff, 1, 0, 4, 0x78, 30, 0x0c, 31, 0, 0, 0, 0, 0];
        let mut fde = vec![0; 4];
        fde.extend(0x1000u64.to_le_bytes());
        fde.extend(0x20u64.to_le_bytes());
        // After paciasp: DW_CFA_AARCH64_negate_ra_state. After stp: CFA sp + 32, x29 at CFA - 32, x30 at CFA - 24.
        fde.extend([0x41, 0x2d, 0x41, 0x0e, 32, 0x80 | 29, 4, 0x80 | 30, 3, 0, 0, 0]);
        for body in [cie, &fde] {
            section.extend((body.len() as u32).to_le_bytes());
            section.extend(body);
        }
        let frames = CallFrames::new(section.into(), FrameSection::Debug, Architecture::Arm64);
        let leaf = CallFrame { cfa_base: CfaBase::Sp, cfa_offset: 0, return_address: None, saved_bp: None };
        assert_eq!([0x1000, 0x1004].map(|pc| frames.find(VirtAddr::new(pc))), [Some(leaf); 2]);
        let saved = CallFrame { cfa_offset: 32, return_address: Some(-24), saved_bp: Some(-32), ..leaf };
        assert_eq!(frames.find(VirtAddr::new(0x1008)), Some(saved));
    }

    const EH_FRAME: u64 = 0x8000;

    /// The same function of arm64 in `.eh_frame`, as the kernel is linked with it: its address is that of the word there, less 0x7024.
    fn eh_frame_function() -> Vec<u8> {
        // Augmentation `zR`: pointers are signed words, relative to where they stand.
        let cie: &[u8] = &[0, 0, 0, 0, 1, b'z', b'R', 0, 4, 0x78, 30, 1, 0x1b, 0x0c, 31, 0, 0, 0, 0, 0];
        let mut section = Vec::new();
        section.extend((cie.len() as u32).to_le_bytes());
        section.extend(cie);
        // From this word back to the CIE.
        let mut fde = (section.len() as u32 + 4).to_le_bytes().to_vec();
        let at = EH_FRAME + section.len() as u64 + 8;
        fde.extend((0x1000u64.wrapping_sub(at) as u32).to_le_bytes());
        fde.extend(0x20u32.to_le_bytes());
        fde.extend([0, 0x41, 0x2d, 0x41, 0x0e, 32, 0x80 | 29, 4, 0x80 | 30, 3, 0, 0]);
        section.extend((fde.len() as u32).to_le_bytes());
        section.extend(fde);
        // The end.
        section.extend([0; 4]);
        section
    }

    #[test]
    fn descriptions_that_a_kernel_needs_itself_are_read_alike() {
        let section = FrameSection::Eh(VirtAddr::new(EH_FRAME));
        let frames = CallFrames::new(eh_frame_function().into(), section, Architecture::Arm64);
        let leaf = CallFrame { cfa_base: CfaBase::Sp, cfa_offset: 0, return_address: None, saved_bp: None };
        assert_eq!([0x1000, 0x1004].map(|pc| frames.find(VirtAddr::new(pc))), [Some(leaf); 2]);
        let saved = CallFrame { cfa_offset: 32, return_address: Some(-24), saved_bp: Some(-32), ..leaf };
        assert_eq!([0x1008, 0x101f].map(|pc| frames.find(VirtAddr::new(pc))), [Some(saved); 2]);
        assert_eq!([0xfff, 0x1020].map(|pc| frames.find(VirtAddr::new(pc))), [None; 2]);
        let elsewhere = FrameSection::Eh(VirtAddr::new(EH_FRAME + 0x1000));
        let frames = CallFrames::new(eh_frame_function().into(), elsewhere, Architecture::Arm64);
        assert_eq!(frames.find(VirtAddr::new(0x2008)), Some(saved), "where the section is linked counts");
    }

    proptest::proptest! {
        #[test]
        fn damage_never_panics(at in 0usize..70, byte: u8, pc in 0xff0u64..0x1030, garbage: Vec<u8>) {
            let mut section = frame_pointer_function();
            let at = at % section.len();
            section[at] = byte;
            let mut eh = eh_frame_function();
            let in_eh = at % eh.len();
            eh[in_eh] = byte;
            for architecture in [Architecture::X86_64, Architecture::Arm64] {
                for kind in [FrameSection::Debug, FrameSection::Eh(VirtAddr::new(EH_FRAME))] {
                    for bytes in [&section, &eh, &garbage] {
                        let _ = CallFrames::new(bytes.as_slice().into(), kind, architecture).find(VirtAddr::new(pc));
                    }
                }
            }
        }
    }
}
