//! Numbers in memory as what their types say they are: integers, characters, enumerators, pointers.

use vmcore_debuginfo::{Meaning, Shape, Type};
use vmcore_kernel::Kernel;
use vmcore_memory::{ReadVirtual, VirtAddr};

use super::Content;
use crate::names;

/// Bytes of a string behind a pointer to characters.
const MAX_TEXT: usize = 120;

/// The value of a type that is a number in memory; `raw` is zero-extended from `size` bytes.
pub(crate) fn scalar(kernel: &Kernel<'_>, ty: Type<'_>, shape: Shape<'_>, raw: u64, size: u64) -> Content {
    let bits = u32::try_from(size.saturating_mul(8)).unwrap_or(64);
    match shape {
        Shape::Integer { meaning: Meaning::Truth, .. } => Content::Truth(raw != 0),
        Shape::Integer { meaning: Meaning::Character, .. } => {
            Content::Character(raw.to_le_bytes().first().copied().unwrap_or_default())
        }
        Shape::Integer { signed, .. } => {
            let value = if signed { sign_extended(raw, bits).cast_signed().into() } else { i128::from(raw) };
            Content::Integer { value, size }
        }
        Shape::Float { size: 4 } => Content::Float(f32::from_bits(u32::try_from(raw).unwrap_or_default()).into()),
        Shape::Float { .. } => Content::Float(f64::from_bits(raw)),
        Shape::Enum { .. } => {
            let value = sign_extended(raw, bits).cast_signed();
            let all = ty.enumerators();
            // Whether the enumeration has negative numbers is not in its type.
            let value = if all.iter().any(|(_, known)| *known < 0) { value } else { raw.cast_signed() };
            Content::Enumerator { value, name: enumerator_name(&all, value) }
        }
        Shape::Pointer(target) => {
            let address = VirtAddr::new(raw);
            Content::Pointer {
                target: address,
                symbol: names::name_address(kernel, address).map(|name| name.to_string()),
                text: text_behind(kernel, target, address),
            }
        }
        _ => Content::Opaque("not a number"),
    }
}

/// The enumerator of that value, or those whose bits make it up.
fn enumerator_name(all: &[(String, i64)], value: i64) -> Option<String> {
    if let Some((name, _)) = all.iter().find(|(_, known)| *known == value) {
        return Some(name.clone());
    }
    let is_flag = |known: i64| known > 0 && known.count_ones() == 1;
    let flags: Vec<_> = all.iter().filter(|(_, known)| is_flag(*known) && value & known != 0).collect();
    let together = flags.iter().fold(0, |bits, (_, known)| bits | known);
    let names = || flags.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" | ");
    (value > 0 && together == value && all.iter().filter(|(_, known)| *known > 0).all(|(_, known)| is_flag(*known)))
        .then(names)
}

/// The text that a pointer to characters leads to, where it is one.
fn text_behind(kernel: &Kernel<'_>, target: Type<'_>, address: VirtAddr) -> Option<String> {
    let Some(Shape::Integer { meaning: Meaning::Character, .. }) = target.shape() else { return None };
    let bytes = kernel.memory().read_c_string(address, MAX_TEXT).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    (!address.is_null()).then_some(text)
}

/// `raw`, whose most significant bit of `bits` is its sign.
pub(crate) const fn sign_extended(raw: u64, bits: u32) -> u64 {
    if bits == 0 || bits >= 64 {
        return raw;
    }
    let unused = 64 - bits;
    ((raw << unused).cast_signed() >> unused).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_extended_from_any_width() {
        assert_eq!(sign_extended(0x7, 3), u64::MAX);
        assert_eq!(sign_extended(0x3, 3), 3);
        assert_eq!(sign_extended(0xffff_ffff, 32).cast_signed(), -1);
        assert_eq!((sign_extended(9, 64), sign_extended(9, 0), sign_extended(9, 99)), (9, 9, 9));
    }

    #[test]
    fn enumerators_have_names_alone_and_together() {
        let flags: Vec<_> = [("A", 1), ("B", 2), ("C", 8)].map(|(name, value)| (name.to_owned(), value)).into();
        assert_eq!(enumerator_name(&flags, 2).as_deref(), Some("B"));
        assert_eq!(enumerator_name(&flags, 9).as_deref(), Some("A | C"));
        assert_eq!(enumerator_name(&flags, 4), None);
        assert_eq!(enumerator_name(&flags, -1), None);
        let numbers: Vec<_> = [("X", 1), ("Y", 2), ("Z", 3)].map(|(name, value)| (name.to_owned(), value)).into();
        assert_eq!(enumerator_name(&numbers, 3).as_deref(), Some("Z"));
        assert_eq!(enumerator_name(&numbers, 5), None, "numbers are not flags");
    }
}
