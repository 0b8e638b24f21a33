//! What a stack is written with, on whatever machine.

use std::collections::HashMap;

use vmcore_memory::VirtAddr;

use super::Bounds;
use crate::SynthError;
use crate::memory::space::Space;
use crate::vmlinux::code::Function;
use crate::vmlinux::image::Image;

/// Where a stack is written to, and with whose code.
pub(crate) struct Ground<'m> {
    pub(super) space: &'m mut Space,
    image: &'m Image,
    /// The CPU's interrupt stack, for code that runs there.
    irq_stack: Option<Bounds>,
    pub(super) sp: VirtAddr,
    /// The words that local variables point to, by name.
    words: &'m HashMap<String, VirtAddr>,
    placing: &'m mut Placing,
    /// The innermost function so far.
    pub(super) inside: Option<String>,
}

/// Objects that are local variables.
#[derive(Debug, Default)]
pub(crate) struct Placing {
    /// Their names, and those of the functions that they are to be in.
    pub(crate) wanted: Vec<(String, String)>,
    /// Their names, and where they are.
    pub(crate) placed: Vec<(String, VirtAddr)>,
}

impl<'m> Ground<'m> {
    /// An empty stack.
    pub(crate) fn new(
        space: &'m mut Space,
        image: &'m Image,
        words: &'m HashMap<String, VirtAddr>,
        (stack, irq_stack): (Bounds, Option<Bounds>),
        placing: &'m mut Placing,
    ) -> Self {
        Self { space, image, irq_stack, sp: stack.high, words, placing, inside: None }
    }

    pub(super) fn push(&mut self, word: u64) -> Result<(), SynthError> {
        self.sp = self.sp.wrapping_sub(8);
        self.space.write_u64(self.sp, word)
    }

    pub(super) fn function(&self, name: &str) -> Result<&'m Function, SynthError> {
        self.image.code.function(name)
    }

    pub(super) fn innermost(&self) -> Result<&'m Function, SynthError> {
        self.function(self.inside.as_deref().unwrap_or_default())
    }

    /// The run-time address of an instruction.
    pub(super) fn address(&self, function: &Function, offset: u64) -> VirtAddr {
        self.image.code_at(function.offset + offset, self.space.regions.kaslr)
    }

    /// Where the call from `caller` to the function with this name returns to.
    pub(super) fn return_address(&self, caller: &Function, name: &str) -> Result<VirtAddr, SynthError> {
        let returns = caller
            .returns_from(name)
            .ok_or_else(|| SynthError::scenario(format!("'{}' does not call '{name}' in this kernel", caller.name)))?;
        Ok(self.address(caller, returns))
    }

    /// The interrupt stack.
    pub(super) fn irq_stack(&self) -> Result<Bounds, SynthError> {
        self.irq_stack.ok_or_else(|| SynthError::scenario("an interrupt needs a task that runs on a CPU"))
    }

    /// That `function` was entered, with its local variables so far above the stack pointer.
    pub(super) fn entered(&mut self, function: &Function, locals: u64) -> Result<(), SynthError> {
        self.inside = Some(function.name.clone());
        if let Some(index) = self.placing.wanted.iter().position(|(_, wanted)| *wanted == function.name) {
            let (object, _) = self.placing.wanted.swap_remove(index);
            self.placing.placed.push((object, self.sp.wrapping_add(locals)));
        }
        self.check_depth()
    }

    /// That the innermost frame is still on a stack: below each is a guard page.
    fn check_depth(&self) -> Result<(), SynthError> {
        let inside = self.inside.as_deref().unwrap_or_default();
        let too_deep = |_| SynthError::scenario(format!("a task is deeper than its stack, in '{inside}'"));
        // The first function of all has its stack pointer at the very top.
        self.space.translate(self.sp.wrapping_sub(1)).map(drop).map_err(too_deep)
    }

    /// Writes the address that `name` stands for so far above the stack pointer.
    pub(super) fn local(&mut self, name: &str, locals: u64) -> Result<(), SynthError> {
        let word = self.words.get(name).ok_or_else(|| SynthError::scenario(format!("there is no page '{name}'")))?;
        self.space.write_u64(self.sp.wrapping_add(locals), word.get())
    }
}
