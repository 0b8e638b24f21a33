//! The registers, stack slots and tested bits on one way through a function.

use std::collections::BTreeMap;

use super::value::{Origin, Value, Which};

/// What the flags say: bit 0 of the link of a page, as it was last loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TailTest {
    pub(super) origin: Origin,
    /// `bt` leaves the bit in the carry flag, `test` and `and` leave "is not zero".
    pub(super) in_carry: bool,
}

/// The state at one instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State {
    registers: BTreeMap<u32, Value>,
    slots: BTreeMap<i64, Value>,
    /// Pages whose link was loaded, and what is known of bit 0 of what was loaded last.
    pub(super) links: BTreeMap<Origin, Option<bool>>,
    pub(super) flags: Option<TailTest>,
    /// Whether bit 0 of something was tested that may have been a link.
    pub(super) unclear_test: bool,
    /// What was accessed where pages have their count, before it was seen to have a link, and by which instruction.
    pub(super) counted: BTreeMap<Origin, u64>,
    /// The access to a page itself that has turned out to be one.
    pub(super) took_page: Option<u64>,
}

/// A register, by a number that says which one it is at whatever width.
pub(super) trait Numbered: Copy {
    fn number(self) -> u32;
}

impl State {
    /// At a function's entry.
    pub(super) fn at_entry(stack_pointer: u32) -> Self {
        let registers = BTreeMap::from([(stack_pointer, Value::Stack(0))]);
        Self { registers, ..Self::default() }
    }

    /// How much of it there is.
    pub(super) fn size(&self) -> usize {
        self.registers.len() + self.slots.len() + self.links.len() + self.counted.len()
    }

    pub(super) fn get(&self, register: impl Numbered) -> Value {
        let number = register.number();
        // What nothing wrote yet came from the caller.
        self.registers.get(&number).copied().unwrap_or(Value::unknown(0, number))
    }

    pub(super) fn set(&mut self, register: impl Numbered, value: Value) {
        self.registers.insert(register.number(), value);
    }

    pub(super) fn forget(&mut self, register: impl Numbered, at: u64) {
        self.set(register, Value::unknown(at, register.number()));
    }

    pub(super) fn after_call(&mut self, clobbered: &[impl Numbered], at: u64) {
        clobbered.iter().for_each(|register| self.forget(*register, at));
        self.flags = None;
    }

    pub(super) fn slot(&self, offset: i64) -> Option<Value> {
        self.slots.get(&offset).copied()
    }

    /// A store of eight bytes; another width leaves a value that nobody knows.
    pub(super) fn store(&mut self, offset: i64, value: Option<Value>) {
        self.slots.retain(|&slot, _| slot.abs_diff(offset) >= 8);
        if let Some(value) = value {
            self.slots.insert(offset, value);
        }
    }

    /// The link of a page was loaded: what was known of it before is of no use.
    pub(super) fn load_link(&mut self, origin: Origin) -> Value {
        self.links.insert(origin, None);
        self.took_page = self.took_page.or(self.counted.get(&origin).copied());
        Value::Loaded { origin }
    }

    /// What a conditional move leaves where `taken` is chosen if bit 0 is `bit`, and `kept` otherwise.
    pub(super) fn choose(origin: Origin, bit: bool, taken: Value, kept: Value) -> Option<Value> {
        let (tail, not_tail) = if bit { (taken, kept) } else { (kept, taken) };
        let is = |value, wanted| value == Value::Pointer { origin, which: wanted, offset: 0 };
        let is_head = is(tail, Which::Link) && (is(not_tail, Which::Itself) || is(not_tail, Which::Head));
        is_head.then_some(Value::Pointer { origin, which: Which::Head, offset: 0 })
    }
}
