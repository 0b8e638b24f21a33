//! Values of the dump, each with the type that its debug information gives it.
//!
//! The bytes of an object are read once, page by page, so that one page that is missing costs only the members in it.

use std::ops::Range;

use vmcore_debuginfo::{Meaning, Shape, Type, TypedMember};
use vmcore_kernel::Kernel;
use vmcore_memory::{PAGE_SIZE, ReadVirtual, VirtAddr, le_uint};

use crate::error::InspectError;
use crate::names;

/// The largest object that is read: larger arrays are cut.
const MAX_OBJECT: u64 = 1 << 20;
/// Elements of an array that are looked at.
const MAX_ELEMENTS: u64 = 4096;
/// Values of one object altogether: members of members, elements of elements.
const MAX_VALUES: usize = 50_000;
/// How deep structures nest.
const MAX_DEPTH: usize = 32;
/// Bytes of a string behind a pointer to characters.
const MAX_TEXT: usize = 120;
/// Bytes of an array of characters whose length is not in its type.
const MAX_FLEXIBLE_TEXT: usize = 512;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Its type as C spells it.
    pub type_name: String,
    /// Where it is; `None` for the result of a calculation.
    pub address: Option<VirtAddr>,
    /// What it is.
    pub content: Content,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// An integer of `size` bytes.
    Integer {
        /// The number.
        value: i128,
        /// Bytes.
        size: u64,
    },
    /// A `bool`: false for 0, true for anything else.
    Truth(bool),
    /// A character.
    Character(u8),
    /// An enumerator, or several that together make the value.
    Enumerator {
        /// The number.
        value: i64,
        /// Their names; `None` where the number has no name.
        name: Option<String>,
    },
    /// A pointer.
    Pointer {
        /// Where it leads.
        target: VirtAddr,
        /// What is there, where that has a name: `init_task+0x10`.
        symbol: Option<String>,
        /// The text there, where the pointer is one to characters.
        text: Option<String>,
    },
    /// A floating-point number.
    Float(f64),
    /// An array of characters up to its first zero.
    Text(String),
    /// The members of a struct or union.
    Members(Vec<Member>),
    /// The elements of an array; equal neighbours are one run.
    Elements {
        /// How many the array has.
        len: u64,
        /// Those that are shown.
        runs: Vec<Run>,
    },
    /// Bytes that could not be read, with the reason.
    Unreadable(String),
    /// A type without a value, or one that is not shown: what it is.
    Opaque(&'static str),
}

/// A member of a struct or union.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its name, or the path that was asked for; `None` for an anonymous struct or union.
    pub name: Option<String>,
    /// Bytes from the start of the object that was asked for.
    pub offset: u64,
    /// The width of a bit-field.
    pub bits: Option<u32>,
    /// Its value.
    pub value: Value,
}

/// Equal elements of an array that stand side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The index of the first.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// The value of each.
    pub value: Value,
}

/// Reads the object of type `ty` at `address`.
#[must_use]
pub fn read_value(kernel: &Kernel<'_>, ty: Type<'_>, address: VirtAddr) -> Value {
    let size = ty.size().unwrap_or_default().min(MAX_OBJECT);
    let image = Image::read(kernel, address, size);
    Reader { kernel, image, values_left: MAX_VALUES }.value(ty, 0, 0)
}

/// Reads the member at the end of a path of members and indexes, as `se.vruntime` or `comm`, of the object of type `ty`
/// at `address`. A pointer on the way is not followed.
///
/// # Errors
///
/// [`InspectError`] where there is no such member.
pub fn select(kernel: &Kernel<'_>, ty: Type<'_>, address: VirtAddr, path: &str) -> Result<Member, InspectError> {
    let (mut ty, mut bits, mut width) = (ty, 0u64, None);
    for step in path.split('.') {
        let (name, indexes) = step.find('[').and_then(|at| step.split_at_checked(at)).unwrap_or((step, ""));
        let member = ty.member(name).ok_or_else(|| InspectError::no_member(ty, name))?;
        bits = bits.wrapping_add(member.bit_offset);
        (ty, width) = (member.ty, member.bit_size);
        for index in indexes.split('[').skip(1) {
            let index = index.trim_end_matches(']');
            let number: u64 = index.parse().map_err(|_| InspectError::Syntax(format!("'{index}' is not an index")))?;
            let Some(Shape::Array { element, .. }) = ty.shape() else {
                return Err(InspectError::NotAnArray(ty.declare("")));
            };
            bits = bits.wrapping_add(number.wrapping_mul(element.size().unwrap_or_default()).wrapping_mul(8));
            ty = element;
        }
    }
    let value = match width {
        Some(width) => read_bits(kernel, ty, address, bits, width),
        None => read_value(kernel, ty, address.wrapping_add(bits / 8)),
    };
    Ok(Member { name: Some(path.to_owned()), offset: bits / 8, bits: width, value })
}

/// Reads a bit-field that starts `bit_offset` bits behind `address`.
pub(crate) fn read_bits(kernel: &Kernel<'_>, ty: Type<'_>, address: VirtAddr, bit_offset: u64, width: u32) -> Value {
    let image = Image::read(kernel, address.wrapping_add(bit_offset / 8), 16);
    let member = TypedMember { name: None, ty, bit_offset: bit_offset % 8, bit_size: Some(width) };
    Reader { kernel, image, values_left: 1 }.bit_field(&member, 0, width)
}

/// Bytes of an object, some of which may be missing.
struct Image {
    base: VirtAddr,
    bytes: Vec<u8>,
    missing: Vec<(Range<u64>, String)>,
}

impl Image {
    fn read(kernel: &Kernel<'_>, base: VirtAddr, size: u64) -> Self {
        let mut bytes = vec![0; usize::try_from(size.min(MAX_OBJECT)).unwrap_or_default()];
        let mut missing = Vec::new();
        let mut done = 0u64;
        let mut rest = bytes.as_mut_slice();
        while !rest.is_empty() {
            let at = base.wrapping_add(done);
            let in_page = usize::try_from(PAGE_SIZE - at.page_offset()).unwrap_or(1).min(rest.len());
            let (now, later) = rest.split_at_mut(in_page);
            let end = done.saturating_add(now.len() as u64);
            if let Err(error) = kernel.memory().read_virtual(at, now) {
                missing.push((done..end, error.to_string()));
            }
            (rest, done) = (later, end);
        }
        Self { base, bytes, missing }
    }

    fn get(&self, offset: u64, size: u64) -> Result<&[u8], String> {
        let end = offset.saturating_add(size);
        if let Some((_, why)) = self.missing.iter().find(|(range, _)| range.start < end && offset < range.end) {
            return Err(why.clone());
        }
        let range = usize::try_from(offset).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX);
        self.bytes.get(range).ok_or_else(|| "it is beyond what is read of one object".to_owned())
    }
}

struct Reader<'r, 'a> {
    kernel: &'r Kernel<'a>,
    image: Image,
    values_left: usize,
}

impl Reader<'_, '_> {
    /// The value of type `ty` at `offset` in the image.
    fn value(&mut self, ty: Type<'_>, offset: u64, depth: usize) -> Value {
        let content = match self.values_left.checked_sub(1) {
            Some(left) if depth < MAX_DEPTH => {
                self.values_left = left;
                self.content(ty, offset, depth).unwrap_or_else(Content::Unreadable)
            }
            _ => Content::Opaque("more than is shown of one object"),
        };
        Value { type_name: ty.declare(""), address: Some(self.image.base.wrapping_add(offset)), content }
    }

    fn content(&mut self, ty: Type<'_>, offset: u64, depth: usize) -> Result<Content, String> {
        Ok(match ty.shape().ok_or("its type is damaged")? {
            Shape::Struct { .. } => Content::Members(self.members(ty, offset, depth)),
            Shape::Array { element, len } => self.array(element, len, offset, depth)?,
            Shape::Void => Content::Opaque("void"),
            Shape::Incomplete => Content::Opaque("of a type that is only declared"),
            Shape::Function => Content::Opaque("a function"),
            shape => {
                let size = ty.size().unwrap_or_default();
                let bytes = self.image.get(offset, size)?;
                let Some(raw) = le_uint(bytes, 0, bytes.len()) else {
                    return Ok(Content::Opaque("of a size that no number has"));
                };
                scalar(self.kernel, ty, shape, raw, size)
            }
        })
    }

    fn members(&mut self, ty: Type<'_>, offset: u64, depth: usize) -> Vec<Member> {
        let member = |member: &TypedMember<'_>| {
            let value = match member.bit_size {
                Some(width) => self.bit_field(member, offset, width),
                None => self.value(member.ty, offset.saturating_add(member.bit_offset / 8), depth + 1),
            };
            let offset = offset.saturating_add(member.bit_offset / 8);
            Member { name: member.name.clone(), offset, bits: member.bit_size, value }
        };
        // Bit-fields without a name are padding.
        let shown = |member: &&TypedMember<'_>| member.name.is_some() || member.bit_size.is_none();
        ty.members().iter().filter(shown).map(member).collect()
    }

    /// A bit-field of the struct at `offset`.
    fn bit_field(&self, member: &TypedMember<'_>, offset: u64, width: u32) -> Value {
        let start = offset.saturating_add(member.bit_offset / 8);
        let shift = u32::try_from(member.bit_offset % 8).unwrap_or_default();
        let len = u64::from(shift.saturating_add(width).div_ceil(8)).min(16);
        let content = self.image.get(start, len).map(|bytes| {
            let mut raw = [0; 16];
            raw.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            let kept = u128::MAX.checked_shr(128u32.saturating_sub(width)).unwrap_or_default();
            let raw = u64::try_from((u128::from_le_bytes(raw) >> shift) & kept).unwrap_or_default();
            let Some(shape) = member.ty.shape() else { return Content::Opaque("of a damaged type") };
            let signed = matches!(shape, Shape::Integer { signed: true, meaning: Meaning::Number, .. });
            let raw = if signed { sign_extended(raw, width) } else { raw };
            scalar(self.kernel, member.ty, shape, raw, 8)
        });
        let content = content.unwrap_or_else(Content::Unreadable);
        Value { type_name: member.ty.declare(""), address: Some(self.image.base.wrapping_add(start)), content }
    }

    fn array(&mut self, element: Type<'_>, len: u64, offset: u64, depth: usize) -> Result<Content, String> {
        let of_characters = matches!(element.shape(), Some(Shape::Integer { meaning: Meaning::Character, .. }));
        if len == 0 && of_characters {
            return Ok(self.text_of_any_length(offset));
        }
        if len == 0 {
            return Ok(Content::Opaque("an array whose length is not in its type"));
        }
        let size = element.size().unwrap_or_default();
        if of_characters {
            let bytes = self.image.get(offset, len.min(MAX_ELEMENTS))?;
            let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
            return Ok(Content::Text(String::from_utf8_lossy(text).into_owned()));
        }
        let mut runs: Vec<Run> = Vec::new();
        for index in 0..len.min(MAX_ELEMENTS) {
            if self.values_left == 0 {
                break;
            }
            let value = self.value(element, offset.saturating_add(index.saturating_mul(size)), depth + 1);
            match runs.last_mut() {
                Some(run) if run.value.content.looks_like(&value.content) => run.count += 1,
                _ => runs.push(Run { first: index, count: 1, value }),
            }
        }
        Ok(Content::Elements { len, runs })
    }
}

impl Reader<'_, '_> {
    /// A text whose end is its first zero, as `linux_banner` is declared.
    fn text_of_any_length(&self, offset: u64) -> Content {
        let at = self.image.base.wrapping_add(offset);
        match self.kernel.memory().read_c_string(at, MAX_FLEXIBLE_TEXT) {
            Ok(text) => Content::Text(String::from_utf8_lossy(&text).into_owned()),
            Err(error) => Content::Unreadable(error.to_string()),
        }
    }
}

impl Content {
    /// Whether both would be shown alike: addresses of members do not count.
    fn looks_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Members(own), Self::Members(others)) => {
                own.len() == others.len()
                    && own.iter().zip(others).all(|(own, other)| own.value.content.looks_like(&other.value.content))
            }
            (Self::Elements { len, runs }, Self::Elements { len: other_len, runs: others }) => {
                len == other_len
                    && runs.len() == others.len()
                    && runs.iter().zip(others).all(|(own, other)| {
                        own.count == other.count && own.value.content.looks_like(&other.value.content)
                    })
            }
            (own, other) => own == other,
        }
    }
}

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
