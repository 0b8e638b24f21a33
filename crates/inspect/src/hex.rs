//! Addresses and raw values as they appear in JSON: `"0xffff888000000000"`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use vmcore_memory::{Pfn, PhysAddr, VirtAddr};

/// A number that is written in lower-case hexadecimal with `0x` and without leading zeroes. In JSON it is a string:
/// numbers above 2^53 do not survive every JSON parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex(pub u64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#x}", self.0))
    }
}

impl JsonSchema for Hex {
    fn schema_name() -> Cow<'static, str> {
        "Hex".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A 64-bit address or raw value in lower-case hexadecimal, without leading zeroes.",
            "type": "string",
            "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$",
        })
    }
}

impl From<u64> for Hex {
    fn from(raw: u64) -> Self {
        Self(raw)
    }
}

impl From<VirtAddr> for Hex {
    fn from(address: VirtAddr) -> Self {
        Self(address.get())
    }
}

impl From<PhysAddr> for Hex {
    fn from(address: PhysAddr) -> Self {
        Self(address.get())
    }
}

impl From<Pfn> for Hex {
    fn from(pfn: Pfn) -> Self {
        Self(pfn.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_text_forms() {
        let json = |raw| serde_json::to_string(&Hex(raw)).unwrap();
        assert_eq!(json(0), "\"0x0\"");
        assert_eq!(json(0xffff_8880_0000_0000), "\"0xffff888000000000\"");
        assert_eq!(Hex(0xab).to_string(), "0xab");
    }
}
