//! Values of the dump, each with the type that its debug information gives it.

mod image;
mod number;

use vmcore_debuginfo::{Meaning, Shape, Type, TypedMember};
use vmcore_kernel::Kernel;
use vmcore_memory::{ReadVirtual, VirtAddr, le_uint};

use self::image::{Image, MAX_OBJECT};
pub(crate) use self::number::{scalar, sign_extended};
use crate::error::InspectError;

/// Elements of an array that are looked at.
const MAX_ELEMENTS: u64 = 4096;
/// Values of one object altogether: members of members, elements of elements.
const MAX_VALUES: usize = 50_000;
/// How deep structures nest.
const MAX_DEPTH: usize = 32;
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
