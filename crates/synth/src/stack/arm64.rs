//! Stacks of arm64: every function that calls another has a frame record, its caller's `x29` and where it returns to, and `x29`
//! points to the innermost. Entry code has its record in the registers that it saves; the outermost one is in the topmost
//! registers of a task and holds zeroes.
//!
//! Sources: `arch/arm64/kernel/entry.S`, `process.c`, `arch/arm64/include/asm/stacktrace/frame.h`.

use vmcore_memory::arch::arm64::Registers;
use vmcore_memory::{Registers as AnyRegisters, VirtAddr};

use super::{Bounds, Ground, Layer, SwitchedOut};
use crate::SynthError;
use crate::arch::arm64::{KERNEL_MODE, user_pt_regs};
use crate::arch::{Kind, Target};
use crate::generation::Generation;
use crate::vmlinux::code::Function;

/// Local variables are behind the frame record.
const LOCALS: u64 = 16;
/// Behind a call to `cpu_switch_to`, from the instruction where an interrupt would find the function.
const BEHIND_CALL: u64 = 4;

struct Writer<'m> {
    ground: Ground<'m>,
    /// `sizeof(struct pt_regs)`, and where the frame record is in one.
    registers: (u64, u64),
    /// The bits that a signature takes.
    signature: u64,
    fp: VirtAddr,
    /// Where the innermost function returns to, once it is called.
    link: VirtAddr,
}

fn writer<'m>(generation: &Generation, ground: Ground<'m>) -> Result<Writer<'m>, SynthError> {
    let record = generation.types().place("pt_regs", "stackframe");
    let record = record.ok_or_else(|| generation.lacks("pt_regs.stackframe".to_owned()))?.offset;
    let signed = matches!(generation.target(), Target::Arm64(facts) if facts.signed_returns);
    let signature = if signed { pac_mask(ground.space.regions.paging.va_bits) } else { 0 };
    let registers = (generation.size_of("pt_regs")?, record);
    Ok(Writer { ground, registers, signature, fp: VirtAddr::default(), link: VirtAddr::default() })
}

/// The bits above those that are translated, but for the one that says which half an address is in.
const fn pac_mask(va_bits: u32) -> u64 {
    (u64::MAX << va_bits) & !(1 << 55)
}

pub(super) fn write(
    generation: &Generation,
    ground: Ground<'_>,
    layers: &[Layer],
    general: Option<&AnyRegisters>,
) -> Result<AnyRegisters, SynthError> {
    let mut writer = writer(generation, ground)?;
    writer.add_all(layers)?;
    Ok(writer.here(general.map(self::general).unwrap_or_default())?.into())
}

/// `struct cpu_context` has them.
pub(super) fn write_switched_out(
    generation: &Generation,
    ground: Ground<'_>,
    layers: &[Layer],
) -> Result<SwitchedOut, SynthError> {
    let mut writer = writer(generation, ground)?;
    writer.add_all(layers)?;
    let registers = writer.here(Registers::default())?;
    Ok(SwitchedOut { sp: registers.sp, pc: registers.pc.wrapping_add(BEHIND_CALL), fp: registers.fp() })
}

impl Writer<'_> {
    fn add_all(&mut self, layers: &[Layer]) -> Result<(), SynthError> {
        layers.iter().try_for_each(|layer| match layer {
            Layer::User(registers) => self.save(&general(registers), (0, 0)),
            Layer::Calls(functions) => functions.iter().try_for_each(|name| self.call(name)),
            Layer::Local(name) => self.ground.local(name, LOCALS),
            Layer::Exception(registers, stack) => self.exception(general(registers), *stack),
        })
    }

    /// Enters `name`: by a call from the innermost function, or as the first.
    fn call(&mut self, name: &str) -> Result<(), SynthError> {
        let callee = self.ground.function(name)?;
        if let Some(caller) = self.ground.inside.take() {
            let caller = self.ground.function(&caller)?;
            self.switch_stack(caller)?;
            self.link = self.ground.return_address(caller, name)?;
        }
        match callee.kind {
            Kind::Ordinary | Kind::SwitchBySp | Kind::SwitchByBp => {
                self.ground.sp = self.ground.sp.wrapping_sub(callee.frame);
                let record = self.ground.sp;
                self.ground.space.write_u64(record, self.fp.get())?;
                self.ground.space.write_u64(record.wrapping_add(8), self.signed(record))?;
                self.fp = record;
            }
            // A new task's registers are those of no code, but for the mode.
            Kind::Outermost => self.save(&Registers { pstate: KERNEL_MODE, ..Registers::default() }, (0, 0))?,
            Kind::Copy | Kind::Poll | Kind::Exception | Kind::SwitchInEntry => {}
        }
        self.ground.entered(callee, LOCALS)
    }

    /// `paciasp`: a code of the return address and of where the stack pointer is, here any that differ.
    fn signed(&self, sp: VirtAddr) -> u64 {
        let code = (self.link.get() ^ sp.get()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.link.get() & !self.signature | code & self.signature
    }

    /// Goes to the interrupt stack where `caller` is code that does so before it calls.
    fn switch_stack(&mut self, caller: &Function) -> Result<(), SynthError> {
        if matches!(caller.kind, Kind::SwitchInEntry | Kind::SwitchBySp | Kind::SwitchByBp) {
            self.ground.sp = self.ground.irq_stack()?.high;
        }
        Ok(())
    }

    /// The registers of the innermost function, with the general ones of `known`.
    fn here(&self, known: Registers) -> Result<Registers, SynthError> {
        let inside = self.ground.innermost()?;
        let mut x = known.x;
        let [.., fp, lr] = &mut x;
        (*fp, *lr) = (self.fp.get(), self.link.get());
        let pc = self.ground.address(inside, inside.body);
        Ok(Registers { x, sp: self.ground.sp, pc, pstate: KERNEL_MODE })
    }

    fn exception(&mut self, known: Registers, stack: Option<Bounds>) -> Result<(), SynthError> {
        let registers = self.here(known)?;
        if let Some(stack) = stack {
            self.ground.sp = stack.high;
        }
        self.save(&registers, (registers.fp().get(), registers.pc.get()))
    }

    /// Saves registers with a frame record among them.
    fn save(&mut self, registers: &Registers, record: (u64, u64)) -> Result<(), SynthError> {
        let (size, offset) = self.registers;
        let at = VirtAddr::new(self.ground.sp.get() & !15).wrapping_sub(size);
        let mut bytes = user_pt_regs(registers);
        bytes.resize(usize::try_from(size).unwrap_or_default(), 0);
        self.ground.space.write(at, &bytes)?;
        self.fp = at.wrapping_add(offset);
        self.ground.space.write_u64(self.fp, record.0)?;
        self.ground.space.write_u64(self.fp.wrapping_add(8), record.1)?;
        self.ground.sp = at;
        self.link = VirtAddr::default();
        self.ground.inside = None;
        Ok(())
    }
}

/// Those of another machine have none that are known.
fn general(registers: &AnyRegisters) -> Registers {
    match registers {
        AnyRegisters::Arm64(registers) => *registers,
        AnyRegisters::X86_64(_) => Registers::default(),
    }
}
