//! Stacks of x86-64, as ORC entries say.

use vmcore_memory::arch::x86_64::{PT_REGS_SIZE, Registers};
use vmcore_memory::{Registers as AnyRegisters, VirtAddr};

use super::{Bounds, Ground, Layer, SwitchedOut};
use crate::SynthError;
use crate::arch::Kind;
use crate::arch::x86_64::pt_regs;
use crate::generation::Generation;
use crate::vmlinux::code::Function;

/// `__KERNEL_CS`, `__KERNEL_DS`, and RFLAGS with interrupts on.
const KERNEL_CS: u64 = 0x10;
const KERNEL_SS: u64 = 0x18;
const FLAGS: u64 = 0x246;
/// Local variables begin so far above the stack pointer.
const LOCALS: u64 = 8;

struct Writer<'m> {
    ground: Ground<'m>,
    bp: u64,
}

pub(super) fn write(
    ground: Ground<'_>,
    layers: &[Layer],
    general: Option<&AnyRegisters>,
) -> Result<AnyRegisters, SynthError> {
    let mut writer = Writer { ground, bp: 0 };
    writer.add_all(layers)?;
    let place = writer.here(Registers::default())?;
    let general = general.and_then(AnyRegisters::x86_64);
    Ok(general.map_or(place, |general| general.with_return_frame(&place)).into())
}

/// `struct inactive_task_frame`: `r15`, `r14`, `r13`, `r12`, `bx`, `bp`, `ret_addr`; that of 4.19 has flags before them. A
/// return address is one behind the call that it belongs to.
pub(super) fn write_switched_out(
    generation: &Generation,
    ground: Ground<'_>,
    layers: &[Layer],
) -> Result<SwitchedOut, SynthError> {
    let frame_size = generation.size_of("inactive_task_frame")?;
    let mut writer = Writer { ground, bp: 0 };
    writer.add_all(layers)?;
    let registers = writer.here(Registers::default())?;
    writer.ground.push(registers.rip + 1)?;
    writer.ground.push(registers.rbp)?;
    for _ in 2..frame_size / 8 {
        writer.ground.push(0)?;
    }
    Ok(SwitchedOut { sp: writer.ground.sp, ..SwitchedOut::default() })
}

impl Writer<'_> {
    fn add_all(&mut self, layers: &[Layer]) -> Result<(), SynthError> {
        layers.iter().try_for_each(|layer| match layer {
            Layer::User(registers) => {
                self.ground.sp = self.ground.sp.wrapping_sub(PT_REGS_SIZE as u64);
                self.put_registers(&general(registers))
            }
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
            let returns = self.ground.return_address(caller, name)?;
            self.ground.push(returns.get())?;
        }
        match callee.kind {
            Kind::Ordinary | Kind::SwitchBySp => self.ground.sp = self.ground.sp.wrapping_sub(callee.frame),
            Kind::SwitchByBp => {
                self.ground.push(self.bp)?;
                self.bp = self.ground.sp.get();
            }
            Kind::Copy | Kind::Poll | Kind::Outermost | Kind::Exception | Kind::SwitchInEntry => {}
        }
        self.ground.entered(callee, LOCALS)
    }

    /// Goes to the interrupt stack where `caller` is code that does so before it calls.
    fn switch_stack(&mut self, caller: &Function) -> Result<(), SynthError> {
        if !matches!(caller.kind, Kind::SwitchInEntry | Kind::SwitchBySp | Kind::SwitchByBp) {
            return Ok(());
        }
        let stack = self.ground.irq_stack()?;
        let before = self.ground.sp.get();
        self.ground.sp = stack.high;
        self.ground.push(before)
    }

    /// The registers of the innermost function, with the general ones of `known`.
    fn here(&self, known: Registers) -> Result<Registers, SynthError> {
        let inside = self.ground.innermost()?;
        Ok(Registers {
            rip: self.ground.address(inside, inside.body).get(),
            rsp: self.ground.sp.get(),
            rbp: self.bp,
            cs: KERNEL_CS,
            ss: KERNEL_SS,
            eflags: FLAGS,
            orig_rax: u64::MAX,
            ..known
        })
    }

    fn exception(&mut self, known: Registers, stack: Option<Bounds>) -> Result<(), SynthError> {
        let registers = self.here(known)?;
        // The CPU aligns the stack to 16 bytes before it pushes.
        let top = stack.map_or(self.ground.sp, |stack| stack.high).get() & !15;
        self.ground.sp = VirtAddr::new(top).wrapping_sub(PT_REGS_SIZE as u64);
        self.put_registers(&registers)?;
        self.ground.inside = None;
        Ok(())
    }

    fn put_registers(&mut self, registers: &Registers) -> Result<(), SynthError> {
        self.ground.space.write(self.ground.sp, &pt_regs(registers))
    }
}

/// Those of another machine have none that are known.
fn general(registers: &AnyRegisters) -> Registers {
    registers.x86_64().copied().unwrap_or_default()
}
