//! What runs before, or instead of, a function: tracers, live patches and probes replace its first instruction.

use vmcore_memory::{VirtAddr, le_u64};

use crate::{Evidence, Place, Value};

/// Something that hooks a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) name: String,
    pub(super) at: VirtAddr,
    pub(super) code: [u8; 8],
    /// What stands there: `a call`.
    pub(super) kind: &'static str,
}

impl Hook {
    pub(super) fn evidence(&self) -> Evidence {
        let meaning = format!("{} begins with {} where its nop was: it is hooked", self.name, self.kind);
        let fact = Evidence::new("code", meaning).at(Place::Kernel(self.at));
        match le_u64(&self.code, 0) {
            Some(bytes) => fact.value(Value::Hex(bytes)),
            None => fact,
        }
    }
}
