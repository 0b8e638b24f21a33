//! Does a function take a page, or the head of its compound page, when it marks it as waited for?
//!
//! The code is followed along every way, instruction by instruction, with what each register is derived from. The first
//! locked access to the reference count (or, where the wait takes none, to the flags) decides: at the page that the
//! entry named, or at `compound_head(page)`, which is
//!
//! ```c
//! head = page->compound_head; return head & 1 ? head - 1 : page;
//! ```
//!
//! A head that is only computed, as for an assertion that the page is locked, decides nothing. Neither registers nor the
//! order of instructions matter, and a choice may be a branch or a conditional move.

use std::collections::HashSet;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::state::{State, tested};
use super::value::{Value, Which};

/// Instructions that are followed in all, over all ways.
const MAX_STEPS: usize = 20_000;
/// Ways that wait to be followed.
const MAX_OPEN: usize = 512;

/// Where the members of `struct page` lie, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageOffsets {
    pub(super) size: i64,
    pub(super) link: i64,
    pub(super) refcount: i64,
}

/// The access that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Decision {
    /// At the page itself, whatever it is, by the instruction at this address.
    Page(u64),
    /// At its head.
    Head(u64),
}

/// What was found in a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The deciding accesses on all ways.
    pub(super) decisions: Vec<Decision>,
    /// Whether not every way could be followed to its end.
    pub(super) incomplete: bool,
}

/// Where code comes from.
pub(super) trait Text {
    /// As many bytes as can be read, up to the length of the longest instruction.
    fn code(&self, address: u64) -> Vec<u8>;
    /// Whether a jump there leaves the function for good.
    fn leaves(&self, target: u64) -> bool;
}

/// Follows the function at `start`.
pub(super) fn follow(text: &dyn Text, start: u64, offsets: PageOffsets) -> Found {
    let mut walk =
        Walk { text, offsets, found: Found::default(), seen: HashSet::new(), open: Vec::new(), sums: Vec::new() };
    walk.open.push((start, State::at_entry()));
    let mut steps = 0;
    while let Some((at, state)) = walk.open.pop() {
        steps += 1;
        if steps > MAX_STEPS || walk.open.len() > MAX_OPEN {
            walk.found.incomplete = true;
            break;
        }
        if walk.seen.insert((at, state.clone())) {
            walk.step(at, state);
        }
    }
    walk.found.decisions.sort_unstable();
    walk.found.decisions.dedup();
    walk.found
}

pub(super) struct Walk<'t> {
    text: &'t dyn Text,
    pub(super) offsets: PageOffsets,
    found: Found,
    seen: HashSet<(u64, State)>,
    open: Vec<(u64, State)>,
    /// Sums of two registers: compilers compute the same one twice rather than keep it.
    pub(super) sums: Vec<(Value, Value)>,
}

impl Walk<'_> {
    fn step(&mut self, at: u64, mut state: State) {
        let code = self.text.code(at);
        let instruction = Decoder::with_ip(64, &code, at, DecoderOptions::NONE).decode();
        if instruction.is_invalid() {
            self.found.incomplete = true;
            return;
        }
        if let Some(taken) = self.taken(&instruction, &mut state) {
            self.found.decisions.extend(taken);
            return;
        }
        let next = instruction.next_ip();
        match instruction.flow_control() {
            FlowControl::Next => {
                self.execute(&instruction, &mut state);
                match state.took_page {
                    Some(_) if state.unclear_test => self.found.incomplete = true,
                    Some(at) => self.found.decisions.push(Decision::Page(at)),
                    None => self.open.push((next, state)),
                }
            }
            FlowControl::ConditionalBranch => self.branch(&instruction, state),
            FlowControl::UnconditionalBranch => self.jump(instruction.near_branch_target(), state),
            FlowControl::Call | FlowControl::IndirectCall => {
                state.after_call(at);
                self.open.push((next, state));
            }
            // `ret`, `ud2`, a jump through a register: nothing follows here.
            FlowControl::Return | FlowControl::Exception | FlowControl::XbeginXabortXend => {}
            // `int3` is a probe, or the middle of a change of the code.
            FlowControl::IndirectBranch | FlowControl::Interrupt => self.found.incomplete = true,
        }
    }

    fn jump(&mut self, target: u64, state: State) {
        if !self.text.leaves(target) {
            self.open.push((target, state));
        }
    }

    /// Both ways of a conditional jump, each with what it says of the bit that was tested.
    fn branch(&mut self, instruction: &Instruction, state: State) {
        let mut ways = [state.clone(), state];
        if let Some((test, bit)) = tested(ways.first().and_then(|state| state.flags), instruction.condition_code()) {
            for (state, bit) in ways.iter_mut().zip([bit, !bit]) {
                if let Some(known) = state.links.get_mut(&test.origin) {
                    *known = Some(bit);
                }
            }
        }
        let [taken, not_taken] = ways;
        self.open.push((instruction.next_ip(), not_taken));
        self.jump(instruction.near_branch_target(), taken);
    }

    /// Whether this is the access that decides for this way, and what: nothing where the page was found to be no tail.
    fn taken(&mut self, instruction: &Instruction, state: &mut State) -> Option<Option<Decision>> {
        // On a machine with one CPU the kernel makes DS prefixes of its lock prefixes (`alternatives_smp_unlock()` in
        // `arch/x86/kernel/alternative.c`).
        let is_atomic = instruction.has_lock_prefix()
            || instruction.segment_prefix() == Register::DS
            || (instruction.mnemonic() == Mnemonic::Xchg && instruction.op0_kind() == OpKind::Memory);
        let memory = (0..instruction.op_count()).any(|operand| instruction.op_kind(operand) == OpKind::Memory);
        if !is_atomic || !memory {
            return None;
        }
        let address = self.address(instruction, state)?;
        if address.is_of_link() && !matches!(address, Value::Pointer { .. }) {
            self.found.incomplete = true;
            return Some(None);
        }
        let Value::Pointer { origin, which, offset } = address else { return None };
        let is_of_page = offset == self.offsets.refcount || (0..8).contains(&offset);
        // A page is what has a link to its head: other things have counts and flags, too.
        let Some(tail) = state.links.get(&origin) else {
            if offset == self.offsets.refcount {
                state.counted.entry(origin).or_insert(instruction.ip());
            }
            return None;
        };
        if !is_of_page {
            return None;
        }
        if which == Which::Itself && state.unclear_test {
            // What was tested may have been whether this is a tail.
            self.found.incomplete = true;
            return Some(None);
        }
        Some(match which {
            Which::Head | Which::Link => Some(Decision::Head(instruction.ip())),
            Which::Itself if *tail == Some(false) => None,
            Which::Itself => Some(Decision::Page(instruction.ip())),
        })
    }
}
