//! The text form of types.
//!
//! ```text
//! struct printk_info 88
//!     16    text_len        unsigned short
//!     19    level           unsigned char : 5 3         a bit-field: from bit 5, 3 bits
//!     24    dev_info        struct dev_printk_info
//! enum mod_mem_type MOD_TEXT=0 MOD_DATA=1
//! ```
//!
//! Numbers are the size of a structure and the offsets of its members in bytes. `#` begins a comment.

use super::{BASES, Bits, CType, Enum, Member, Struct, TypeTable};
use crate::SynthError;

impl TypeTable {
    /// Reads the types of `what`.
    pub(crate) fn parse(what: &str, text: &str) -> Result<Self, SynthError> {
        let mut table = Self::default();
        let mut open: Option<Struct> = None;
        for (number, line) in text.lines().enumerate() {
            let error = |why: &str| SynthError::Text {
                what: format!("line {} of the types of {what}", number + 1),
                why: why.to_owned(),
            };
            let line = line.split('#').next().unwrap_or_default();
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                [] => {}
                ["struct", name, size] if !line.starts_with(' ') => {
                    let size = size.parse().map_err(|_| error("the size is no number"))?;
                    open.replace(Struct { name: (*name).to_owned(), size, members: Vec::new() })
                        .into_iter()
                        .for_each(|done| table.add(done));
                }
                ["enum", name, values @ ..] => table.enums.push(Enum {
                    name: (*name).to_owned(),
                    values: values
                        .iter()
                        .map(|value| enumerator(value))
                        .collect::<Option<_>>()
                        .ok_or_else(|| error("an enumerator is not NAME=NUMBER"))?,
                }),
                words => {
                    let parsed = member(words).ok_or_else(|| error("this is no member"))?;
                    open.as_mut().ok_or_else(|| error("this member belongs to no struct"))?.members.push(parsed);
                }
            }
        }
        open.into_iter().for_each(|done| table.add(done));
        table.check(what)?;
        Ok(table)
    }

    /// Members lie inside their structures, and what they consist of is defined.
    fn check(&self, what: &str) -> Result<(), SynthError> {
        for structure in &self.structs {
            for member in &structure.members {
                let size = self.size_of_type(&member.kind);
                if size.and_then(|size| size.checked_add(member.offset)).is_none_or(|end| end > structure.size) {
                    return Err(SynthError::Text {
                        what: format!("struct {} in the types of {what}", structure.name),
                        why: format!("member {} is of an unknown type or reaches past the end", member.name),
                    });
                }
            }
        }
        Ok(())
    }
}

fn enumerator(text: &str) -> Option<(String, u32)> {
    let (name, value) = text.split_once('=')?;
    Some((name.to_owned(), value.parse().ok()?))
}

/// `OFFSET NAME TYPE...`, perhaps with `: SHIFT WIDTH`.
fn member(words: &[&str]) -> Option<Member> {
    let (offset, rest) = words.split_first()?;
    let (name, rest) = rest.split_first()?;
    let (kind, bits) = match rest {
        [kind @ .., ":", shift, width] => (kind, Some(Bits { shift: shift.parse().ok()?, width: width.parse().ok()? })),
        kind => (kind, None),
    };
    let kind = c_type(&kind.join(" "))?;
    Some(Member { name: (*name).to_owned(), offset: offset.parse().ok()?, kind, bits })
}

fn c_type(text: &str) -> Option<CType> {
    if let Some((element, count)) = text.strip_suffix(']').and_then(|text| text.rsplit_once('[')) {
        return Some(CType::Array(Box::new(c_type(element)?), count.parse().ok()?));
    }
    if let Some(target) = text.strip_suffix('*') {
        let target = target.trim_end();
        return Some(CType::Pointer(target.strip_prefix("struct ").map(str::to_owned)));
    }
    if let Some(name) = text.strip_prefix("struct ") {
        return Some(CType::Struct(name.to_owned()));
    }
    BASES.into_iter().find(|base| base.name == text).map(CType::Base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Place;

    const TEXT: &str = "\
struct inner 16
    0     next    struct outer *
    8     words   unsigned short[4]
# a comment
struct outer 64
    0     first   int
    8     many    struct inner[2]
    40    low     unsigned char : 0 5
    40    high    unsigned char : 5 3
enum flags ONE=1 TWO=2
";

    fn place(path: &str) -> Option<(u64, u64)> {
        let table = TypeTable::parse("test", TEXT).unwrap();
        table.place("outer", path).map(|Place { offset, size, .. }| (offset, size))
    }

    #[test]
    fn paths_lead_through_structures_and_arrays() {
        assert_eq!(place("first"), Some((0, 4)));
        assert_eq!(place("many"), Some((8, 32)));
        assert_eq!(place("many[1].words"), Some((32, 8)));
        assert_eq!(place("many[1].words[3]"), Some((38, 2)));
        assert_eq!(place("many[1].next"), Some((24, 8)));
        assert_eq!(place("many[1].next.first"), None, "not through pointers");
        assert_eq!(place("none"), None);
        let table = TypeTable::parse("test", TEXT).unwrap();
        assert_eq!(table.place("outer", "high").unwrap().bits, Some(Bits { shift: 5, width: 3 }));
        assert_eq!((table.enumerator("TWO"), table.enumerator("THREE")), (Some(2), None));
    }

    #[test]
    fn nonsense_is_named() {
        for (text, why) in [
            ("struct a 8\n    0 b unknown\n", "this is no member"),
            ("    0 b int\n", "belongs to no struct"),
            ("struct a 8\n    8 b int\n", "reaches past the end"),
            ("struct a 8\n    0 b struct c\n", "unknown type"),
            ("struct a x\n", "no number"),
            ("enum a B\n", "NAME=NUMBER"),
        ] {
            let error = TypeTable::parse("test", text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
