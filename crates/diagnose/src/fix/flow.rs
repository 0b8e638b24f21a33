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

use std::collections::BTreeSet;

use super::state::{State, TailTest};
use super::value::{SUM, Value, Which};

/// Instructions that are followed in all, over all ways; one whose state has many parts counts more, as each is kept.
const MAX_STEPS: usize = 20_000;
/// Parts of a state that count as one instruction: no function of a kernel has more.
const PARTS: usize = 64;
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

/// How a machine's code is followed.
pub(super) struct Machine {
    /// The number of its stack pointer.
    pub(super) stack_pointer: u32,
    /// Follows one instruction.
    pub(super) step: fn(&mut Walk<'_>, u64, State),
}

/// Follows the function at `start`, in a machine's code.
pub(super) fn follow(text: &dyn Text, machine: &Machine, start: u64, offsets: PageOffsets) -> Found {
    let mut walk =
        Walk { text, offsets, found: Found::default(), seen: BTreeSet::new(), open: Vec::new(), sums: Vec::new() };
    walk.open.push((start, State::at_entry(machine.stack_pointer)));
    let mut steps = 0;
    while let Some((at, state)) = walk.open.pop() {
        steps += 1 + state.size() / PARTS;
        if steps > MAX_STEPS || walk.open.len() > MAX_OPEN {
            walk.found.incomplete = true;
            break;
        }
        if walk.seen.insert((at, state.clone())) {
            (machine.step)(&mut walk, at, state);
        }
    }
    walk.found.decisions.sort_unstable();
    walk.found.decisions.dedup();
    walk.found
}

pub(super) struct Walk<'t> {
    pub(super) text: &'t dyn Text,
    pub(super) offsets: PageOffsets,
    pub(super) found: Found,
    seen: BTreeSet<(u64, State)>,
    pub(super) open: Vec<(u64, State)>,
    /// Sums of two registers: compilers compute the same one twice rather than keep it.
    sums: Vec<(Value, Value)>,
}

impl Walk<'_> {
    pub(super) fn jump(&mut self, target: u64, state: State) {
        if !self.text.leaves(target) {
            self.open.push((target, state));
        }
    }

    /// Both ways of a conditional jump, each with what it says of the bit that was tested: what it is where the jump is taken.
    pub(super) fn branch(&mut self, next: u64, target: u64, tested: Option<(TailTest, bool)>, state: State) {
        let mut ways = [state.clone(), state];
        if let Some((test, bit)) = tested {
            for (state, bit) in ways.iter_mut().zip([bit, !bit]) {
                if let Some(known) = state.links.get_mut(&test.origin) {
                    *known = Some(bit);
                }
            }
        }
        let [taken, not_taken] = ways;
        self.open.push((next, not_taken));
        self.jump(target, taken);
    }

    /// Goes on behind an instruction that only changed the state.
    pub(super) fn go_on(&mut self, next: u64, state: State) {
        match state.took_page {
            Some(_) if state.unclear_test => self.found.incomplete = true,
            Some(at) => self.found.decisions.push(Decision::Page(at)),
            None => self.open.push((next, state)),
        }
    }

    /// Whether the atomic access of the instruction `at` to this address decides for this way, and what: nothing where the
    /// page was found to be no tail.
    pub(super) fn decide(&mut self, at: u64, address: Value, state: &mut State) -> Option<Option<Decision>> {
        if address.is_of_link() && !matches!(address, Value::Pointer { .. }) {
            self.found.incomplete = true;
            return Some(None);
        }
        let Value::Pointer { origin, which, offset } = address else { return None };
        let is_of_page = offset == self.offsets.refcount || (0..8).contains(&offset);
        // A page is what has a link to its head: other things have counts and flags, too.
        let Some(tail) = state.links.get(&origin) else {
            if offset == self.offsets.refcount {
                state.counted.entry(origin).or_insert(at);
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
            Which::Head | Which::Link => Some(Decision::Head(at)),
            Which::Itself if *tail == Some(false) => None,
            Which::Itself => Some(Decision::Page(at)),
        })
    }

    /// The sum of two values: the same one each time.
    pub(super) fn numbered(&mut self, one: Value, other: Value) -> Option<Value> {
        if one.is_of_link() || other.is_of_link() {
            return None;
        }
        let pair = if one <= other { (one, other) } else { (other, one) };
        let number = self.sums.iter().position(|known| *known == pair).unwrap_or_else(|| {
            self.sums.push(pair);
            self.sums.len() - 1
        });
        Some(Value::unknown(number as u64, SUM))
    }

    /// The link of the page itself, or, where the tails' own may be missing from memory, of the page after it.
    pub(super) fn is_link(&self, offset: i64) -> bool {
        let PageOffsets { size, link, .. } = self.offsets;
        offset == link || offset == size.saturating_add(link)
    }
}
