//! Variables by the section that they lie in: BTF of a kernel has those of `.data..percpu`.
//!
//! ```text
//! VAR       head (its type) | u32 linkage
//! DATASEC   head (size of the section) | for each variable: u32 VAR | u32 offset in the section | u32 size
//! ```

use vmcore_memory::le_u32;

use super::Btf;
use super::kind::Kind;
use crate::bytes::c_string;

impl Btf {
    /// The size of the section `name` and the variables in it, each with its offset; `None` where there is none such.
    pub(in crate::types) fn section_variables(&self, name: &str) -> Option<(u64, Vec<(String, u64)>)> {
        let sections = self.ids().rev().filter_map(|id| self.head(id.into()));
        let mut sections = sections.filter(|(_, kind, _)| *kind == Kind::DataSec);
        let (head, _, rest) =
            sections.find(|(head, ..)| c_string(&self.strings, head.name) == Some(name.as_bytes()))?;
        let variable = |number: u32| {
            let at = rest.checked_add(usize::try_from(number).ok()?.checked_mul(12)?)?;
            let (variable, offset) = (le_u32(&self.bytes, at)?, le_u32(&self.bytes, at + 4)?);
            let (head, Kind::Var, _) = self.head(variable.into())? else { return None };
            Some((self.string(head.name)?.into_owned(), u64::from(offset)))
        };
        Some((head.size_or_type.into(), (0..head.vlen()).filter_map(variable).collect()))
    }
}
