//! Writes stacks.

use std::collections::HashMap;

use vmcore_memory::{
    VirtAddr,
    arch::x86_64::{PT_REGS_SIZE, Registers},
};

use super::{Bounds, Layer};
use crate::SynthError;
use crate::memory::space::Space;
use crate::vmlinux::code::{Code, Function, Kind};
use crate::vmlinux::image::TEXT;

/// `__KERNEL_CS`, `__KERNEL_DS`, and RFLAGS with interrupts on.
const KERNEL_CS: u64 = 0x10;
const KERNEL_SS: u64 = 0x18;
const FLAGS: u64 = 0x246;

/// Where a stack is written to, and with whose code.
pub(crate) struct StackBuilder<'m> {
    space: &'m mut Space,
    code: &'m Code,
    /// The CPU's interrupt stack, for code that runs there.
    irq_stack: Option<Bounds>,
    sp: VirtAddr,
    bp: u64,
    /// The words that [`Layer::Local`] names.
    words: &'m HashMap<String, VirtAddr>,
    placing: &'m mut Placing,
    /// The innermost function so far.
    inside: Option<String>,
}

/// Objects that are local variables.
#[derive(Debug, Default)]
pub(crate) struct Placing {
    /// Their names, and those of the functions that they are to be in.
    pub(crate) wanted: Vec<(String, String)>,
    /// Their names, and where they are.
    pub(crate) placed: Vec<(String, VirtAddr)>,
}

impl<'m> StackBuilder<'m> {
    /// An empty stack.
    pub(crate) fn new(
        space: &'m mut Space,
        code: &'m Code,
        words: &'m HashMap<String, VirtAddr>,
        (stack, irq_stack): (Bounds, Option<Bounds>),
        placing: &'m mut Placing,
    ) -> Self {
        Self { space, code, irq_stack, sp: stack.high, bp: 0, words, placing, inside: None }
    }

    /// Writes all layers; the registers are those of the innermost function.
    pub(crate) fn write(mut self, layers: &[Layer]) -> Result<Registers, SynthError> {
        self.add_all(layers)?;
        self.here(Registers::default())
    }

    /// Writes all layers of a task that was scheduled out, and returns its saved stack pointer. The last function is the
    /// one that calls `__switch_to_asm`; `frame_size` is that of its `struct inactive_task_frame` in bytes.
    pub(crate) fn write_switched_out(mut self, layers: &[Layer], frame_size: u64) -> Result<VirtAddr, SynthError> {
        self.add_all(layers)?;
        let registers = self.here(Registers::default())?;
        // struct inactive_task_frame: r15, r14, r13, r12, bx, bp, ret_addr; that of 4.19 has flags before them. A return
        // address is one behind the call that it belongs to.
        self.push(registers.rip + 1)?;
        self.push(registers.rbp)?;
        for _ in 2..frame_size / 8 {
            self.push(0)?;
        }
        Ok(self.sp)
    }

    fn add_all(&mut self, layers: &[Layer]) -> Result<(), SynthError> {
        layers.iter().try_for_each(|layer| match layer {
            Layer::User(registers) => {
                self.sp = self.sp.wrapping_sub(PT_REGS_SIZE as u64);
                self.put_registers(registers)
            }
            Layer::Calls(functions) => functions.iter().try_for_each(|name| self.call(name)),
            Layer::Local(name) => self.local(name),
            Layer::Exception(registers, stack) => self.exception(**registers, *stack),
        })
    }

    /// That the innermost frame is still on a stack: below each is a guard page.
    fn check_depth(&self) -> Result<(), SynthError> {
        let inside = self.inside.as_deref().unwrap_or_default();
        let too_deep = |_| SynthError::scenario(format!("a task is deeper than its stack, in '{inside}'"));
        // The first function of all has its stack pointer at the very top.
        self.space.translate(self.sp.wrapping_sub(1)).map(drop).map_err(too_deep)
    }

    /// Enters `name`: by a call from the innermost function, or as the first.
    fn call(&mut self, name: &str) -> Result<(), SynthError> {
        let callee = self.code.function(name)?;
        if let Some(caller) = self.inside.take() {
            let caller = self.code.function(&caller)?;
            self.switch_stack(caller)?;
            let returns = caller.returns_from(name).ok_or_else(|| {
                SynthError::scenario(format!("'{}' does not call '{name}' in this kernel", caller.name))
            })?;
            self.push(self.address(caller, returns).get())?;
        }
        match callee.kind {
            Kind::Ordinary | Kind::SwitchBySp => self.sp = self.sp.wrapping_sub(callee.frame),
            Kind::SwitchByBp => {
                self.push(self.bp)?;
                self.bp = self.sp.get();
            }
            Kind::Copy | Kind::Poll | Kind::Outermost | Kind::Exception | Kind::SwitchInEntry => {}
        }
        self.inside = Some(callee.name.clone());
        if let Some(index) = self.placing.wanted.iter().position(|(_, function)| function == name) {
            let (object, _) = self.placing.wanted.swap_remove(index);
            self.placing.placed.push((object, self.sp.wrapping_add(8)));
        }
        self.check_depth()
    }

    /// Goes to the interrupt stack where `caller` is code that does so before it calls.
    fn switch_stack(&mut self, caller: &Function) -> Result<(), SynthError> {
        if !matches!(caller.kind, Kind::SwitchInEntry | Kind::SwitchBySp | Kind::SwitchByBp) {
            return Ok(());
        }
        let stack =
            self.irq_stack.ok_or_else(|| SynthError::scenario("an interrupt needs a task that runs on a CPU"))?;
        let before = self.sp.get();
        self.sp = stack.high;
        self.push(before)
    }

    fn local(&mut self, name: &str) -> Result<(), SynthError> {
        let word = self.words.get(name).ok_or_else(|| SynthError::scenario(format!("there is no page '{name}'")))?;
        self.space.write_u64(self.sp.wrapping_add(8), word.get())
    }

    /// The registers of the innermost function, with the general ones of `known`.
    fn here(&self, known: Registers) -> Result<Registers, SynthError> {
        let inside = self.code.function(self.inside.as_deref().unwrap_or_default())?;
        Ok(Registers {
            rip: self.address(inside, inside.body()).get(),
            rsp: self.sp.get(),
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
        let top = stack.map_or(self.sp, |stack| stack.high).get() & !15;
        self.sp = VirtAddr::new(top).wrapping_sub(PT_REGS_SIZE as u64);
        self.put_registers(&registers)?;
        self.inside = None;
        Ok(())
    }

    fn put_registers(&mut self, registers: &Registers) -> Result<(), SynthError> {
        self.space.write(self.sp, &pt_regs(registers))
    }

    fn push(&mut self, word: u64) -> Result<(), SynthError> {
        self.sp = self.sp.wrapping_sub(8);
        self.space.write_u64(self.sp, word)
    }

    fn address(&self, function: &Function, offset: u64) -> VirtAddr {
        TEXT.wrapping_add(self.space.regions.kaslr).wrapping_add(function.offset + offset)
    }
}

/// `struct pt_regs`, which is also the beginning of `struct user_regs_struct`.
pub(crate) fn pt_regs(r: &Registers) -> Vec<u8> {
    let words = [
        r.r15, r.r14, r.r13, r.r12, r.rbp, r.rbx, r.r11, r.r10, r.r9, r.r8, r.rax, r.rcx, r.rdx, r.rsi, r.rdi,
        r.orig_rax, r.rip, r.cs, r.eflags, r.rsp, r.ss,
    ];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
