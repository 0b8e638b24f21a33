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

    /// `path` in `type_name`, or `None` where this kernel has no such member.
    #[must_use]
    pub fn optional(self, type_name: &str, path: &str) -> Option<Field> {
        let member = self.types.member(type_name, path)?;
        Some(Field { offset: member.offset, size: member.size })
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
