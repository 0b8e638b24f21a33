//! The kernel's code: functions with real call instructions, made for the stacks that are to be seen.
//!
//! ```text
//! ordinary      sub $FRAME,%rsp | call A | call B | nop... | add $FRAME,%rsp | ret
//! copy          stac | rep movsb | clac | ret
//! exception     cld | call HANDLER | nop... | jmp .
//! ```
//!
//! The kernel's own functions are in one piece, those of a module in another, within reach of a call. A function has one
//! call instruction for each function that it is seen calling. An interrupt finds it at its *body*:
//! the `nop` behind the calls, or in a copy the `rep movsb`.

use std::collections::{BTreeMap, HashMap};

use crate::SynthError;
use crate::generation::Generation;
use crate::scenario::Module;
use crate::vmlinux::orc::{Base, Orc, OrcRow};

const CALL_LEN: u64 = 5;
/// `sub $imm32,%rsp`, `add $imm32,%rsp`.
const ADJUST_LEN: u64 = 7;
const NOPS: u64 = 4;
/// Functions begin at multiples of this.
const ALIGN: u64 = 16;
/// From the kernel's text to that of its first module, and from one module to the next: `MODULES_VADDR` is 1 GiB above
/// `__START_KERNEL_map`, the text 16 MiB.
const FIRST_MODULE: u64 = (1 << 30) - (16 << 20);
pub(crate) const MODULE_SPACING: u64 = 1 << 20;

/// What kind of frame a function has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ordinary,
    Outermost,
    Exception,
    SwitchInEntry,
    SwitchBySp,
    SwitchByBp,
    Copy,
    /// A loop that reads the word at RDI.
    Poll,
}

/// Whose code something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Kernel,
    /// The module with this number.
    Module(usize),
}

/// A function in the image or in a module.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// In whose text it is.
    pub(crate) owner: Owner,
    /// Bytes of local variables.
    pub(crate) frame: u64,
    /// From the start of the kernel's text.
    pub(crate) offset: u64,
    pub(crate) size: u64,
    /// Where each call returns to, from the function's start.
    returns: BTreeMap<String, u64>,
}

impl Function {
    /// Where an interrupt finds it, from its start.
    pub(crate) fn body(&self) -> u64 {
        match self.kind {
            Kind::Copy => 3,
            Kind::Poll => 0,
            kind => prologue(kind).len() as u64 + self.returns.len() as u64 * CALL_LEN,
        }
    }

    /// Where the call to `callee` returns to, from its start.
    pub(crate) fn returns_from(&self, callee: &str) -> Option<u64> {
        self.returns.get(callee).copied()
    }

    /// Bytes from the stack pointer in the body to where the caller's was before the call.
    pub(crate) fn depth(&self) -> u64 {
        match self.kind {
            Kind::Copy | Kind::Poll | Kind::Outermost | Kind::Exception | Kind::SwitchInEntry => 8,
            Kind::SwitchByBp => 16,
            Kind::Ordinary | Kind::SwitchBySp => 8 + self.frame,
        }
    }
}

/// Who calls whom, before anything has an address.
#[derive(Debug, Default)]
pub(crate) struct CallGraph {
    calls: BTreeMap<String, BTreeMap<String, u64>>,
    /// Bytes of local variables that functions must have room for.
    frames: BTreeMap<String, u64>,
}

impl CallGraph {
    /// Every call that the chains of a generation make.
    pub(crate) fn of(generation: &Generation) -> Self {
        let mut graph = Self::default();
        generation.facts.functions.present.iter().for_each(|name| graph.add(name));
        generation.chains().for_each(|chain| graph.add_chain(chain));
        graph
    }

    pub(crate) fn add(&mut self, function: &str) {
        self.calls.entry(function.to_owned()).or_default();
    }

    /// A function with room for a local variable of this size.
    pub(crate) fn add_frame(&mut self, function: &str, size: u64) {
        self.add(function);
        let room = self.frames.entry(function.to_owned()).or_default();
        *room = (*room).max(size.next_multiple_of(8) + 16);
    }

    /// Functions that call one another, outermost first.
    pub(crate) fn add_chain<S: AsRef<str>>(&mut self, chain: &[S]) {
        chain.iter().for_each(|name| self.add(name.as_ref()));
        for pair in chain.windows(2) {
            if let [caller, callee] = pair {
                self.calls.entry(caller.as_ref().to_owned()).or_default().insert(callee.as_ref().to_owned(), 0);
            }
        }
    }
}

/// Code in one piece.
#[derive(Debug, Default)]
pub(crate) struct Text {
    /// From the start of the kernel's text.
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

/// The code of a kernel and of its modules.
#[derive(Debug)]
pub(crate) struct Code {
    functions: Vec<Function>,
    by_name: HashMap<String, usize>,
    pub(crate) kernel: Text,
    pub(crate) modules: Vec<Text>,
}

impl Code {
    /// Gives every function of `graph` its place and its bytes.
    pub(crate) fn lay_out(generation: &Generation, graph: CallGraph, modules: &[Module]) -> Self {
        let module_text = |number| Text { offset: FIRST_MODULE + number * MODULE_SPACING, bytes: Vec::new() };
        let mut code = Self {
            functions: Vec::new(),
            by_name: HashMap::new(),
            kernel: Text::default(),
            modules: (0..).zip(modules).map(|(number, _)| module_text(number)).collect(),
        };
        for (name, callees) in graph.calls {
            let owner = owner_of(&name, modules);
            let text = code.text_mut(owner);
            let offset = text.offset + (text.bytes.len() as u64).max(ALIGN);
            let room = graph.frames.get(&name).copied().unwrap_or_default();
            let function = place(generation, name, callees, (owner, offset), room);
            let end = (offset + function.size).next_multiple_of(ALIGN) - text.offset;
            text.bytes.resize(usize::try_from(end).unwrap_or_default(), 0xcc);
            code.by_name.insert(function.name.clone(), code.functions.len());
            code.functions.push(function);
        }
        for index in 0..code.functions.len() {
            code.encode(index);
        }
        code
    }

    fn text_mut(&mut self, owner: Owner) -> &mut Text {
        match owner {
            Owner::Kernel => &mut self.kernel,
            // Each number is that of a module that there is.
            Owner::Module(number) => self.modules.get_mut(number).unwrap_or(&mut self.kernel),
        }
    }

    /// The functions of the kernel or of a module, in the order of their addresses.
    pub(crate) fn functions(&self, owner: Owner) -> impl Iterator<Item = &Function> {
        self.functions.iter().filter(move |function| function.owner == owner)
    }

    pub(crate) fn function(&self, name: &str) -> Result<&Function, SynthError> {
        let found = self.by_name.get(name).and_then(|index| self.functions.get(*index));
        found.ok_or_else(|| SynthError::scenario(format!("the kernel has no function '{name}'")))
    }

    fn encode(&mut self, index: usize) {
        let Some(function) = self.functions.get(index) else { return };
        let mut bytes = prologue(function.kind);
        if let [.., a, b, c, d] = bytes.as_mut_slice()
            && matches!(function.kind, Kind::Ordinary | Kind::SwitchBySp)
        {
            [*a, *b, *c, *d] = (function.frame as u32).to_le_bytes();
        }
        if !matches!(function.kind, Kind::Copy | Kind::Poll) {
            for (callee, returns) in &function.returns {
                let target = self.function(callee).map_or(0, |callee| callee.offset);
                let distance = target.wrapping_sub(function.offset + returns) as u32;
                bytes.push(0xe8);
                bytes.extend(distance.to_le_bytes());
            }
        }
        bytes.extend(epilogue(function));
        let (owner, offset) = (function.owner, function.offset);
        let text = self.text_mut(owner);
        let start = usize::try_from(offset - text.offset).unwrap_or_default();
        for (place, byte) in text.bytes.iter_mut().skip(start).zip(bytes) {
            *place = byte;
        }
    }

    /// The unwind entries of the functions of the kernel or of a module, in the order of their addresses.
    pub(crate) fn orc(&self, owner: Owner) -> Vec<OrcRow> {
        let rows = |function: &Function| {
            let prologue = prologue(function.kind).len() as u64;
            let at = |offset: u64, orc| OrcRow { offset: function.offset + offset, orc };
            let entry = at(0, Orc::call(Base::Sp, 8));
            match function.kind {
                Kind::Copy | Kind::Poll => vec![entry],
                Kind::Outermost => vec![at(0, Orc::Outermost)],
                Kind::Exception => vec![at(0, Orc::Registers { indirect: false })],
                Kind::SwitchInEntry => vec![at(0, Orc::Registers { indirect: true })],
                Kind::SwitchByBp => vec![entry, at(prologue, Orc::FramePointer)],
                Kind::SwitchBySp => vec![entry, at(prologue, Orc::call(Base::SpIndirect, function.depth()))],
                Kind::Ordinary => {
                    let end = function.size - 1;
                    vec![entry, at(prologue, Orc::call(Base::Sp, function.depth())), at(end, Orc::call(Base::Sp, 8))]
                }
            }
        };
        self.functions(owner).flat_map(rows).collect()
    }
}

/// The module that says that the function is its own, or the kernel.
fn owner_of(name: &str, modules: &[Module]) -> Owner {
    let has = |module: &Module| module.functions.iter().any(|function| function == name);
    modules.iter().position(has).map_or(Owner::Kernel, Owner::Module)
}

fn place(
    generation: &Generation,
    name: String,
    callees: BTreeMap<String, u64>,
    (owner, offset): (Owner, u64),
    room: u64,
) -> Function {
    let kind = kind_of(generation, &name);
    // Any sum of its letters will do: frames differ in size, each kernel has the same.
    let letters: u64 = name.bytes().map(u64::from).sum();
    let frame = (32 + letters % 8 * 8).max(room);
    let first = prologue(kind).len() as u64 + CALL_LEN;
    let returns = callees.into_keys().zip((first..).step_by(CALL_LEN as usize)).collect();
    let mut function = Function { name, kind, owner, frame, offset, size: 0, returns };
    let calls = if matches!(kind, Kind::Copy | Kind::Poll) { 0 } else { function.returns.len() as u64 * CALL_LEN };
    function.size = prologue(kind).len() as u64 + calls + epilogue(&function).len() as u64;
    function
}

fn kind_of(generation: &Generation, name: &str) -> Kind {
    let special = &generation.facts.functions;
    let lists = [
        (&special.outermost, Kind::Outermost),
        (&special.exception, Kind::Exception),
        (&special.switch_in_entry, Kind::SwitchInEntry),
        (&special.switch_by_sp, Kind::SwitchBySp),
        (&special.switch_by_bp, Kind::SwitchByBp),
        (&special.copy, Kind::Copy),
        (&special.poll, Kind::Poll),
    ];
    let known = lists.into_iter().find(|(names, _)| names.iter().any(|known| known == name)).map(|(_, kind)| kind);
    known.unwrap_or(if is_exception_entry(name) { Kind::Exception } else { Kind::Ordinary })
}

/// Entry code of exceptions and interrupts, whatever kernel has it: `asm_…` since 5.8, named after the exception before.
fn is_exception_entry(name: &str) -> bool {
    const OLD: [&str; 6] =
        ["page_fault", "general_protection", "invalid_op", "divide_error", "stack_segment", "double_fault"];
    ["asm_exc_", "asm_sysvec_", "asm_common_interrupt"].iter().any(|begin| name.starts_with(begin))
        || OLD.contains(&name)
}

fn prologue(kind: Kind) -> Vec<u8> {
    match kind {
        // sub $0,%rsp; the frame is put in later.
        Kind::Ordinary | Kind::SwitchBySp => vec![0x48, 0x81, 0xec, 0, 0, 0, 0],
        // push %rbp; mov %rsp,%rbp; mov %rdi,%rsp
        Kind::SwitchByBp => vec![0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xfc],
        // cld
        Kind::Exception | Kind::SwitchInEntry => vec![0xfc],
        Kind::Outermost => vec![0x90],
        // stac; rep movsb
        Kind::Copy => vec![0x0f, 0x01, 0xcb, 0xf3, 0xa4],
        // pause; mov (%rdi),%eax
        Kind::Poll => vec![0xf3, 0x90, 0x8b, 0x07],
    }
}

fn epilogue(function: &Function) -> Vec<u8> {
    let mut bytes = vec![0x90; NOPS as usize];
    match function.kind {
        Kind::Ordinary | Kind::SwitchBySp => {
            bytes.extend([0x48, 0x81, 0xc4]);
            bytes.extend((function.frame as u32).to_le_bytes());
            debug_assert_eq!(bytes.len() as u64, NOPS + ADJUST_LEN);
            bytes.push(0xc3);
        }
        // leave; ret
        Kind::SwitchByBp => bytes.extend([0xc9, 0xc3]),
        // jmp .
        Kind::Exception | Kind::SwitchInEntry | Kind::Outermost => bytes.extend([0xeb, 0xfe]),
        // clac; ret
        Kind::Copy => bytes.extend([0x0f, 0x01, 0xca, 0xc3]),
        Kind::Poll => bytes.push(0xc3),
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module whose function is called by the kernel.
    fn busy_module() -> Module {
        Module { name: "gpu".to_owned(), functions: vec!["driver_busy_loop".to_owned()] }
    }

    fn codes() -> impl Iterator<Item = Code> {
        let generations = Generation::all().unwrap();
        generations
            .into_iter()
            .map(|generation| Code::lay_out(&generation, CallGraph::of(&generation), &[busy_module()]))
    }

    #[test]
    fn every_call_leads_to_the_function_that_it_names() {
        let mut calls = 0;
        for code in codes() {
            assert_eq!(code.functions(Owner::Module(0)).count(), 1);
            for function in code.functions.iter().filter(|function| function.kind != Kind::Copy) {
                for (callee, returns) in &function.returns {
                    let end = usize::try_from(function.offset + returns).unwrap();
                    let text = if function.owner == Owner::Kernel { &code.kernel } else { &code.modules[0] };
                    let start = usize::try_from(text.offset).unwrap();
                    let call = &text.bytes[end - start - 5..end - start];
                    let distance = i32::from_le_bytes(call[1..].try_into().unwrap());
                    let target = (end as i64 + i64::from(distance)).cast_unsigned();
                    assert_eq!((call[0], target), (0xe8, code.function(callee).unwrap().offset), "{}", function.name);
                    calls += 1;
                }
            }
        }
        assert!(calls > 100, "{calls}");
    }

    #[test]
    fn unwind_rows_are_in_order_and_cover_each_body() {
        for code in codes() {
            for (owner, function) in code.functions.iter().map(|function| (function.owner, function)) {
                let rows = code.orc(owner);
                assert!(rows.is_sorted_by(|a, b| a.offset < b.offset));
                let body = function.offset + function.body();
                assert!(body < function.offset + function.size, "{}", function.name);
                let row = rows.iter().rev().find(|row| row.offset <= body).unwrap();
                let depth = match row.orc {
                    Orc::Call { offset, .. } => offset,
                    Orc::FramePointer => 16,
                    Orc::Outermost | Orc::Terminator | Orc::Registers { .. } => 8,
                };
                assert_eq!(depth, function.depth(), "{}", function.name);
            }
        }
    }
}
