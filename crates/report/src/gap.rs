//! What could not be read, so that nothing that is missing looks like nothing that is wrong.

use schemars::JsonSchema;
use serde::Serialize;

/// Something that could not be read.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Gap")]
pub struct Gap<'a> {
    /// What is missing.
    pub what: &'a str,
    /// Why, with the address.
    pub why: &'a str,
}

impl<'a> Gap<'a> {
    /// The model of a kernel gap.
    #[must_use]
    pub fn new(gap: &'a vmcore_kernel::Gap) -> Self {
        Self { what: &gap.what, why: &gap.why }
    }
}
