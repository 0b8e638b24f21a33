//! Resolving structure members, newest name first, and reading them.

use std::fmt;

use vmcore_debuginfo::Types;
use vmcore_memory::{ReadError, ReadVirtual, VirtAddr, le_uint};

use crate::LayoutError;

/// Where a scalar or pointer member lies in its structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the start of the structure.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
}

impl Field {
    /// The member's address in the object at `object`.
    #[must_use]
    pub const fn address(self, object: VirtAddr) -> VirtAddr {
        object.wrapping_add(self.offset)
    }

    /// The object whose member is at `member` (the kernel's `container_of`).
    #[must_use]
    pub const fn container(self, member: VirtAddr) -> VirtAddr {
        member.wrapping_sub(self.offset)
    }

    /// Reads the member as an unsigned integer, zero-extended.
    ///
    /// # Errors
    ///
    /// As [`ReadVirtual::read_virtual`]; [`ReadError::BadRange`] for a member that is no scalar.
    pub fn read<M: ReadVirtual + ?Sized>(self, memory: &M, object: VirtAddr) -> Result<u64, ReadError> {
        let address = self.address(object);
        let mut bytes = [0; 8];
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let bad_range = ReadError::BadRange { address: address.get(), len: self.size };
        let Some(value) = bytes.get_mut(..size) else { return Err(bad_range) };
        memory.read_virtual(address, value)?;
        le_uint(&bytes, 0, size).ok_or(bad_range)
    }

    /// Reads a pointer member.
    ///
    /// # Errors
    ///
    /// As [`Field::read`].
    pub fn read_pointer<M: ReadVirtual + ?Sized>(self, memory: &M, object: VirtAddr) -> Result<VirtAddr, ReadError> {
        self.read(memory, object).map(VirtAddr::new)
    }

    /// Reads a C `int` member.
    ///
    /// # Errors
    ///
    /// As [`Field::read`].
    pub fn read_i32<M: ReadVirtual + ?Sized>(self, memory: &M, object: VirtAddr) -> Result<i32, ReadError> {
        #[expect(clippy::cast_possible_truncation, reason = "a C int is 32 bits")]
        self.read(memory, object).map(|value| value as i32)
    }
}

/// Where a number lies in its structure, be it a bit-field or a member like others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    /// The member, or what is loaded for a bit-field.
    unit: Field,
    /// Of a bit-field the lowest bit, and how many there are.
    bits: Option<(u32, u32)>,
}

impl Number {
    /// Reads it, zero-extended.
    pub(crate) fn read<M: ReadVirtual + ?Sized>(self, memory: &M, object: VirtAddr) -> Result<u64, ReadError> {
        let unit = self.unit.read(memory, object)?;
        let Some((shift, width)) = self.bits else { return Ok(unit) };
        let mask = 1u64.checked_shl(width).map_or(u64::MAX, |end| end - 1);
        Ok(unit.checked_shr(shift).unwrap_or_default() & mask)
    }

    #[cfg(test)]
    pub(crate) const fn for_tests(unit: Field, bits: Option<(u32, u32)>) -> Self {
        Self { unit, bits }
    }
}

/// Where a value was read: the member or variable by the name that it has in this kernel, and its address. The two come from
/// one look-up, so that the name cannot be that of another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The structure; `None` of a variable.
    pub type_name: Option<&'static str>,
    /// The member's path in it, or the variable's name.
    pub path: &'static str,
    /// The address of the member or variable itself.
    pub address: VirtAddr,
}

/// `type.path`, or the variable's name.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.type_name {
            Some(type_name) => write!(f, "{type_name}.{}", self.path),
            None => f.write_str(self.path),
        }
    }
}

/// A member with the name by which it was found: what is read through it can be shown as evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) field: Field,
    type_name: &'static str,
    path: &'static str,
}

impl Named {
    /// The member of the object at `object`.
    pub(crate) const fn of(self, object: VirtAddr) -> Source {
        Source { type_name: Some(self.type_name), path: self.path, address: self.field.address(object) }
    }

    #[cfg(test)]
    pub(crate) const fn for_tests(type_name: &'static str, path: &'static str, offset: u64, size: u64) -> Self {
        Self { field: Field { offset, size }, type_name, path }
    }
}

/// Looks members up in the debug information.
#[derive(Clone, Copy)]
pub struct Resolver<'a> {
    types: &'a Types,
}

impl<'a> Resolver<'a> {
    /// A resolver over `types`.
    #[must_use]
    pub const fn new(types: &'a Types) -> Self {
        Self { types }
    }

    /// `path` in `type_name`, or `None` where this kernel has no such member. Nor is a bit-field one, whose neighbours would be read
    /// with it: see `Resolver::number`.
    #[must_use]
    pub fn optional(self, type_name: &str, path: &str) -> Option<Field> {
        let member = self.types.member(type_name, path)?;
        member.bit_size.is_none().then_some(Field { offset: member.offset, size: member.size })
    }

    /// The same of a number that is a bit-field in some kernels.
    pub(crate) fn number(self, type_name: &str, path: &str) -> Option<Number> {
        let member = self.types.member(type_name, path)?;
        let unit = Field { offset: member.offset, size: member.size };
        let Some(width) = member.bit_size else { return Some(Number { unit, bits: None }) };
        let shift = u32::try_from(member.bit_offset.unwrap_or_default()).ok()?;
        Some(Number { unit, bits: Some((shift, width)) })
    }

    /// `path` in `type_name`.
    ///
    /// # Errors
    ///
    /// Names the member where there is none.
    pub fn field(self, type_name: &str, path: &str) -> Result<Field, LayoutError> {
        self.first(&[(type_name, path)])
    }

    /// The first of several `(type, path)` that exists: newest kernel first.
    ///
    /// # Errors
    ///
    /// Names all of them where there is none.
    pub fn first(self, candidates: &[(&str, &str)]) -> Result<Field, LayoutError> {
        candidates.iter().find_map(|(type_name, path)| self.optional(type_name, path)).ok_or_else(|| {
            let tried: Vec<_> = candidates.iter().map(|(type_name, path)| format!("{type_name}.{path}")).collect();
            LayoutError { wanted: tried.join(" or ") }
        })
    }

    /// The first of several paths in `type_name` that exists, with its name: newest kernel first.
    pub(crate) fn named(self, type_name: &'static str, paths: &[&'static str]) -> Option<Named> {
        paths.iter().find_map(|path| Some(Named { field: self.optional(type_name, path)?, type_name, path }))
    }

    /// `sizeof(type_name)` in bytes.
    ///
    /// # Errors
    ///
    /// Names the type where it is not known.
    pub fn size_of(self, type_name: &str) -> Result<u64, LayoutError> {
        self.types.size_of(type_name).ok_or_else(|| LayoutError { wanted: format!("type {type_name}") })
    }

    /// The types themselves.
    #[must_use]
    pub const fn types(self) -> &'a Types {
        self.types
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    /// `struct s { int whole; unsigned low : 1, high : 3; };`
    fn types() -> Types {
        let strings = b"\0int\0s\0whole\0low\0high\0";
        let types = [1, 1 << 24, 4, 32, 5, 1 << 31 | 4 << 24 | 3, 8, 7, 1, 0, 13, 1, 1 << 24 | 32, 17, 1, 3 << 24 | 33];
        let header = [0x0001_eb9f, 24, 0, 64, 64, u32::try_from(strings.len()).unwrap()];
        let words = header.into_iter().chain(types).flat_map(u32::to_le_bytes);
        Types::from_btf(words.chain(*strings).collect()).unwrap()
    }

    #[test]
    fn a_bit_field_is_read_without_its_neighbours() {
        let types = types();
        let types = Resolver::new(&types);
        let object = VirtAddr::new(0x1000);
        let mut memory = TestMemory::default();
        memory.put_u32(0x1000, 7);
        memory.put_u32(0x1004, 0b1010);
        let read = |path| types.number("s", path).map(|number| number.read(&memory, object).unwrap());
        assert_eq!((read("whole"), read("low"), read("high"), read("none")), (Some(7), Some(0), Some(0b101), None));
        assert_eq!(types.optional("s", "whole"), Some(Field { offset: 0, size: 4 }));
        assert_eq!(types.optional("s", "low"), None);
        assert!(types.field("s", "high").is_err());
    }
}
