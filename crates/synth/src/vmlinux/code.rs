//! The kernel's code: functions with real call instructions, made for the stacks that are to be seen. Each machine has its
//! instructions in `arch`.
//!
//! The kernel's own functions are in one piece, those of a module in another, within reach of a call. A function has one
//! call instruction for each function that it is seen calling. An interrupt finds it at its *body*:
//! behind the calls, or in a copy at the instruction that copies.

use std::collections::{BTreeMap, HashMap};

use crate::SynthError;
use crate::arch::{Instructions, Kind, Sketch};
use crate::generation::Generation;
use crate::scenario::Module;

/// Functions begin at multiples of this.
const ALIGN: u64 = 16;
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
    /// Where its first call is, from its start.
    pub(crate) prologue: u64,
    /// Where an interrupt finds it, from its start.
    pub(crate) body: u64,
    /// Where each call returns to, from the function's start.
    returns: BTreeMap<String, u64>,
}

impl Function {
    /// Where the call to `callee` returns to, from its start.
    pub(crate) fn returns_from(&self, callee: &str) -> Option<u64> {
        self.returns.get(callee).copied()
    }

    fn sketch(&self) -> Sketch<'_> {
        Sketch { name: &self.name, kind: self.kind, frame: self.frame }
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
        let instructions = generation.target().instructions();
        let (first, spacing) = instructions.modules();
        let module_text = |number| Text { offset: first + number * spacing, bytes: Vec::new() };
        let mut code = Self {
            functions: Vec::new(),
            by_name: HashMap::new(),
            kernel: Text::default(),
            modules: (0..).zip(modules).map(|(number, _)| module_text(number)).collect(),
        };
        let mut calls: Vec<_> = graph.calls.into_iter().collect();
        if instructions.entry_first() {
            calls.sort_by_key(|(name, _)| kind_of(generation, name) != Kind::Exception);
        }
        for (name, callees) in calls {
            let owner = owner_of(&name, modules);
            let text = code.text_mut(owner);
            let offset = text.offset + (text.bytes.len() as u64).max(ALIGN);
            let room = graph.frames.get(&name).copied().unwrap_or_default();
            let function = place(generation, name, callees, (owner, offset), room);
            let end = (offset + function.size).next_multiple_of(ALIGN) - text.offset;
            text.bytes.resize(usize::try_from(end).unwrap_or_default(), instructions.filler());
            code.by_name.insert(function.name.clone(), code.functions.len());
            code.functions.push(function);
        }
        for index in 0..code.functions.len() {
            code.encode(index, instructions);
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

    fn encode(&mut self, index: usize, instructions: &dyn Instructions) {
        let Some(function) = self.functions.get(index) else { return };
        let mut bytes = instructions.prologue(function.sketch());
        if !function.kind.is_leaf() {
            for (callee, returns) in &function.returns {
                let target = self.function(callee).map_or(0, |callee| callee.offset);
                let call = function.offset + returns - instructions.call_len();
                bytes.extend(instructions.call(target.wrapping_sub(call)));
            }
        }
        bytes.extend(instructions.epilogue(function.sketch()));
        let (owner, offset) = (function.owner, function.offset);
        let text = self.text_mut(owner);
        let start = usize::try_from(offset - text.offset).unwrap_or_default();
        for (place, byte) in text.bytes.iter_mut().skip(start).zip(bytes) {
            *place = byte;
        }
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
    let instructions = generation.target().instructions();
    let kind = kind_of(generation, &name);
    // Any sum of its letters will do: frames differ in size, each kernel has the same.
    let letters: u64 = name.bytes().map(u64::from).sum();
    let frame = instructions.frame((32 + letters % 8 * 8).max(room));
    let sketch = Sketch { name: &name, kind, frame };
    let prologue = instructions.prologue(sketch).len() as u64;
    let epilogue = instructions.epilogue(sketch).len() as u64;
    let call = instructions.call_len();
    let calls = if kind.is_leaf() { 0 } else { callees.len() as u64 * call };
    let body = if kind.is_leaf() { instructions.leaf_body(kind) } else { prologue + calls };
    let returns = callees.into_keys().zip((prologue + call..).step_by(usize::try_from(call).unwrap_or(1))).collect();
    let size = prologue + calls + epilogue;
    Function { name, kind, owner, frame, offset, size, prologue, body, returns }
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
    let is_entry = || generation.target().instructions().is_entry(name);
    known.unwrap_or_else(|| if is_entry() { Kind::Exception } else { Kind::Ordinary })
}

#[cfg(test)]
mod tests {
    use vmcore_memory::Architecture;

    use super::*;

    /// A module whose function is called by the kernel.
    fn busy_module() -> Module {
        Module { name: "gpu".to_owned(), functions: vec!["driver_busy_loop".to_owned()] }
    }

    fn code(generation: &Generation) -> Code {
        Code::lay_out(generation, CallGraph::of(generation), &[busy_module()])
    }

    /// Where a call at the end of these bytes leads to, if it is one, from behind it.
    fn called(architecture: Architecture, bytes: &[u8]) -> Option<i64> {
        match (architecture, bytes) {
            (Architecture::X86_64, [.., 0xe8, a, b, c, d]) => Some(i32::from_le_bytes([*a, *b, *c, *d]).into()),
            (Architecture::Arm64, [.., a, b, c, d]) => {
                let word = u32::from_le_bytes([*a, *b, *c, *d]);
                // Six bits say that it is `bl`; the rest is a number of words.
                let words = (word << 6).cast_signed() >> 6;
                (word >> 26 == 0x25).then_some(i64::from(words) * 4 - 4)
            }
            _ => None,
        }
    }

    #[test]
    fn every_call_leads_to_the_function_that_it_names() {
        let mut calls = 0;
        for generation in Generation::all().unwrap() {
            let code = code(&generation);
            assert_eq!(code.functions(Owner::Module(0)).count(), 1);
            for function in code.functions.iter().filter(|function| !function.kind.is_leaf()) {
                for (callee, returns) in &function.returns {
                    let end = usize::try_from(function.offset + returns).unwrap();
                    let text = if function.owner == Owner::Kernel { &code.kernel } else { &code.modules[0] };
                    let start = usize::try_from(text.offset).unwrap();
                    let distance = called(generation.architecture(), &text.bytes[end - start - 5..end - start]);
                    let target = distance.map(|distance| (end as i64 + distance).cast_unsigned());
                    assert_eq!(target, Some(code.function(callee).unwrap().offset), "{}", function.name);
                    calls += 1;
                }
            }
        }
        assert!(calls > 200, "{calls}");
    }

    #[test]
    fn entry_code_of_arm64_comes_first() {
        let generation = Generation::named("arm64-6.12").unwrap();
        let code = code(&generation);
        let is_entry = |function: &&Function| function.kind == Kind::Exception;
        let last = code.functions(Owner::Kernel).filter(is_entry).map(|function| function.offset).max().unwrap();
        let first = code.functions(Owner::Kernel).find(|function| !is_entry(function)).unwrap();
        assert!(last < first.offset && code.functions(Owner::Kernel).filter(is_entry).count() >= 4);
    }
}
