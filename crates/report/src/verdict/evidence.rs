//! One fact of a proof.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_diagnose as diagnose;
use vmcore_diagnose::{Place, Value};

use crate::{Hex, names};

/// One fact: enough to check it with another tool.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[schemars(rename = "Evidence")]
pub struct Evidence<'a> {
    /// What was read, by its kernel name where it has one.
    pub what: &'a str,
    /// Where; null for what was computed.
    pub address: Option<Hex>,
    /// Whose address it is: `kernel`, `user` or `physical`.
    #[schemars(schema_with = "names::space_or_null")]
    pub space: Option<&'static str>,
    /// The raw value: hexadecimal for addresses, flags and entries, decimal for counts and times, or a name.
    pub value: Option<String>,
    /// What it means.
    pub meaning: &'a str,
}

pub(crate) fn evidence(evidence: &[diagnose::Evidence]) -> Vec<Evidence<'_>> {
    evidence.iter().map(Evidence::new).collect()
}

impl<'a> Evidence<'a> {
    pub(crate) fn new(evidence: &'a diagnose::Evidence) -> Self {
        let (space, address) = match evidence.place {
            None => (None, None),
            Some(Place::Kernel(address)) => (Some("kernel"), Some(address.into())),
            Some(Place::User(address)) => (Some("user"), Some(address.into())),
            Some(Place::Physical(address)) => (Some("physical"), Some(address.into())),
        };
        let value = evidence.value.as_ref().map(|value| match value {
            Value::Hex(raw) => Hex(*raw).to_string(),
            Value::Decimal(number) => number.to_string(),
            Value::Text(text) => text.clone(),
        });
        Self { what: &evidence.what, address, space, value, meaning: &evidence.meaning }
    }
}
