//! BTF, the kernel's own compact type format.
//!
//! ```text
//! type     u32 name | u32 info (vlen:24, kind:7 at bit 24, kind_flag at bit 31) | u32 size or type | by kind: more
//! ```
//! Up to 7.2 the length had 16 bits and the kind 5; those between were zero. Types have no ids of their own: the first one has id 1, and 0 is `void`. Source: the kernel's
//! `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h`.
//!
//! Parsing is one pass that notes where each type starts. Names are indexed when the first is looked up.

mod header;
mod kind;
mod sections;
pub(super) mod split;
pub(super) mod write;

use std::{borrow::Cow, sync::OnceLock};

use vmcore_memory::{le_u32, le_u64};

use super::graph::{Field, Node, Tag, TypeGraph, TypeRef};
use crate::{
    bytes::{Bytes, c_string},
    column::{Column, Columns, ColumnsWriter},
    name_index::NameIndex,
};
use header::Parts;
use kind::{Head, Kind};

/// Why a BTF blob cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The blob does not start with BTF's magic number.
    #[error("BTF starts with {found:#06x} instead of its magic number")]
    BadMagic {
        /// The first two bytes, little-endian.
        found: u16,
    },
    /// The blob is for a big-endian machine.
    #[error("BTF is big-endian")]
    BigEndian,
    /// The header has a version that this crate does not know.
    #[error("BTF has the unknown version {found}")]
    UnknownVersion {
        /// The version in the header.
        found: u8,
    },
    /// The header, or a part that it locates, is not all there.
    #[error("BTF is cut short: {what} needs {needed} bytes, there are {available}")]
    Truncated {
        /// The part that is missing.
        what: &'static str,
        /// Bytes from the start of the blob that it needs.
        needed: u64,
        /// Bytes that the blob has.
        available: u64,
    },
    /// A type has a kind that this crate does not know, and the blob does not say how long types of this kind are, so that
    /// nothing after it can be read.
    #[error("BTF type {id} has the unknown kind {kind}; this BTF needs a newer reader")]
    UnknownKind {
        /// The type's id.
        id: u32,
        /// The kind's number.
        kind: u32,
    },
    /// A type reaches past the end of the types.
    #[error("BTF type {id} reaches past the end of the types")]
    TruncatedType {
        /// The type's id.
        id: u32,
    },
}

impl BtfError {
    /// What the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::UnknownVersion { .. } | Self::UnknownKind { .. } => {
                "give the vmlinux of the kernel's debug-information package, which has DWARF besides BTF"
            }
            Self::BadMagic { .. } | Self::BigEndian | Self::Truncated { .. } | Self::TruncatedType { .. } => {
                "the file is damaged: compare its size and checksum with the original and copy it again"
            }
        }
    }
}

/// A parsed BTF blob.
#[derive(Debug)]
pub(crate) struct Btf {
    bytes: Bytes,
    strings: Bytes,
    /// Where each type starts in `bytes`: that of id 1 is at 0.
    starts: Column<u32>,
    /// Whether signed enumerations are marked as such. BTF written before they could be has only signed ones.
    marks_signed_enums: bool,
    names: OnceLock<NameIndex>,
    enumerators: OnceLock<Enumerators>,
}

/// Where every enumerator of the blob is.
#[derive(Debug)]
struct Enumerators {
    /// The id of the enumeration and the number of the enumerator in it.
    places: (Column<u32>, Column<u32>),
    by_name: NameIndex,
}

impl Enumerators {
    fn kept(columns: &mut Columns<'_>) -> Option<Self> {
        let places = (columns.next()?, columns.next()?);
        let by_name = NameIndex::kept(places.0.len(), columns)?;
        (places.0.len() == places.1.len()).then_some(Self { places, by_name })
    }
}

impl Btf {
    pub(crate) fn parse(blob: &Bytes) -> Result<Self, BtfError> {
        let Parts { types: bytes, strings, layouts } = Parts::of(blob)?;
        // Most types are 12 or 24 bytes long; growing the table would cost more than this much too large a guess.
        let mut starts = Vec::with_capacity(bytes.len() / 24);
        let mut marks_signed_enums = false;
        let mut at = 0;
        while at < bytes.len() {
            let id = u32::try_from(starts.len()).unwrap_or(u32::MAX).saturating_add(1);
            let head = Head::parse(&bytes, at).ok_or(BtfError::TruncatedType { id })?;
            let len = head.len(&layouts).ok_or(BtfError::UnknownKind { id, kind: head.kind_number() })?;
            marks_signed_enums |= matches!(head.kind(), Some(Kind::Enum | Kind::Enum64)) && head.kind_flag();
            let end = at.saturating_add(len);
            if end > bytes.len() {
                return Err(BtfError::TruncatedType { id });
            }
            // The section's length is a u32, so its offsets are.
            starts.push(u32::try_from(at).map_err(|_| BtfError::TruncatedType { id })?);
            at = end;
        }
        let (names, enumerators) = (OnceLock::new(), OnceLock::new());
        Ok(Self { bytes, strings, starts: starts.into(), marks_signed_enums, names, enumerators })
    }

    /// As [`Btf::parse`], with what was kept of this blob when it was parsed; `None` where that cannot be.
    pub(crate) fn kept(blob: &Bytes, columns: &mut Columns<'_>) -> Option<Self> {
        let Parts { types: bytes, strings, .. } = Parts::of(blob).ok()?;
        let (starts, marks) = (columns.next::<u32>()?, columns.next::<u32>()?);
        let names = NameIndex::kept(starts.len().saturating_add(1), columns)?.into();
        let enumerators = Enumerators::kept(columns)?.into();
        Some(Self { bytes, strings, starts, marks_signed_enums: marks.get(0)? != 0, names, enumerators })
    }

    /// Keeps where everything is, for [`Btf::kept`].
    pub(crate) fn keep(&self, to: &mut ColumnsWriter) {
        to.add(&self.starts);
        to.add(&Column::from(vec![u32::from(self.marks_signed_enums)]));
        self.names().keep(to);
        let Enumerators { places, by_name } = self.enumerators();
        to.add(&places.0);
        to.add(&places.1);
        by_name.keep(to);
    }

    /// The head of the type `id`, and where the rest of it starts; `None` for kinds that nobody here knows.
    fn head(&self, id: u64) -> Option<(Head, Kind, usize)> {
        let start = self.starts.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
        let start = usize::try_from(start).ok()?;
        let head = Head::parse(&self.bytes, start)?;
        Some((head, head.kind()?, start + kind::HEAD_SIZE))
    }

    fn string(&self, offset: u32) -> Option<Cow<'_, str>> {
        let bytes = c_string(&self.strings, offset).filter(|bytes| !bytes.is_empty())?;
        Some(String::from_utf8_lossy(bytes))
    }

    fn required_string(&self, offset: u32) -> Cow<'_, str> {
        self.string(offset).unwrap_or_default()
    }

    fn ids(&self) -> impl DoubleEndedIterator<Item = u32> {
        1..=u32::try_from(self.starts.len()).unwrap_or(u32::MAX)
    }

    fn names(&self) -> &NameIndex {
        self.names.get_or_init(|| {
            let named = self.ids().rev().filter_map(|id| {
                let (head, kind, _) = self.head(id.into())?;
                let name = c_string(&self.strings, head.name)?;
                (kind.is_looked_up_by_name() && !name.is_empty()).then_some((id, name))
            });
            NameIndex::build(self.starts.len().saturating_add(1), named)
        })
    }

    /// The first type of this name and of one of these kinds.
    fn find_named(&self, name: &str, kinds: &[Kind]) -> Option<u64> {
        self.names().candidates(name.as_bytes()).map(u64::from).find(|&id| {
            self.head(id).is_some_and(|(head, kind, _)| {
                kinds.contains(&kind) && c_string(&self.strings, head.name) == Some(name.as_bytes())
            })
        })
    }

    fn enumerators(&self) -> &Enumerators {
        self.enumerators.get_or_init(|| {
            let mut places = Vec::new();
            for id in self.ids() {
                if let Some((head, Kind::Enum | Kind::Enum64, _)) = self.head(id.into()) {
                    places.extend((0..head.vlen()).map(|number| (id, number)));
                }
            }
            let names = places.iter().enumerate().rev().filter_map(|(at, &(id, number))| {
                let (name, _) = self.enumerator_at(id.into(), number)?;
                Some((u32::try_from(at).ok()?, c_string(&self.strings, name)?))
            });
            let by_name = NameIndex::build(places.len(), names);
            let (ids, numbers): (Vec<_>, Vec<_>) = places.into_iter().unzip();
            Enumerators { places: (ids.into(), numbers.into()), by_name }
        })
    }

    /// The name and value of one enumerator.
    fn enumerator_at(&self, id: u64, number: u32) -> Option<(u32, i64)> {
        let (head, kind, rest) = self.head(id)?;
        if number >= head.vlen() {
            return None;
        }
        let number = usize::try_from(number).ok()?;
        match kind {
            Kind::Enum => {
                let at = rest + number * 8;
                let value = le_u32(&self.bytes, at + 4)?;
                let signed = head.kind_flag() || !self.marks_signed_enums;
                Some((le_u32(&self.bytes, at)?, if signed { i64::from(value.cast_signed()) } else { i64::from(value) }))
            }
            Kind::Enum64 => {
                let at = rest + number * 12;
                // Low word first: together a little-endian 64-bit number.
                Some((le_u32(&self.bytes, at)?, le_u64(&self.bytes, at + 4)?.cast_signed()))
            }
            _ => None,
        }
    }

    /// The integer encoding of the type `id`: its bit offset and width, where these make it a bit-field. Structs
    /// without `kind_flag` express bit-fields by such types.
    fn bit_field_integer(&self, id: u64) -> Option<(u32, u32)> {
        let mut id = id;
        for _ in 0..8 {
            let (head, kind, rest) = self.head(id)?;
            match kind {
                Kind::Int => {
                    let encoding = le_u32(&self.bytes, rest)?;
                    let (offset, bits) = ((encoding >> 16) & 0xff, encoding & 0xff);
                    let whole = offset == 0 && u64::from(bits) == u64::from(head.size_or_type) * 8;
                    return (!whole && bits != 0).then_some((offset, bits));
                }
                Kind::Typedef | Kind::Const | Kind::Volatile => id = head.size_or_type.into(),
                _ => return None,
            }
        }
        None
    }
}

impl TypeGraph for Btf {
    fn find(&self, tag: Tag, name: &str) -> Option<TypeRef> {
        let kinds: &[Kind] = match tag {
            Tag::Struct => &[Kind::Struct],
            Tag::Union => &[Kind::Union],
            Tag::Enum => &[Kind::Enum, Kind::Enum64],
            Tag::Typedef => &[Kind::Typedef],
            Tag::Base => &[Kind::Int, Kind::Float],
        };
        self.find_named(name, kinds).map(TypeRef)
    }

    fn node(&self, ty: TypeRef) -> Option<Node<'_>> {
        if ty.0 == 0 {
            return Some(Node::Void);
        }
        let (head, kind, rest) = self.head(ty.0)?;
        let size = u64::from(head.size_or_type);
        let target = TypeRef(head.size_or_type.into());
        Some(match kind {
            Kind::Int => {
                let signed = le_u32(&self.bytes, rest)? >> 24 & kind::INT_SIGNED != 0;
                Node::Integer { name: self.required_string(head.name), size, signed }
            }
            Kind::Float => Node::Float { name: self.required_string(head.name), size },
            Kind::Ptr => Node::Pointer { target },
            Kind::Array => Node::Array {
                element: TypeRef(le_u32(&self.bytes, rest)?.into()),
                len: le_u32(&self.bytes, rest + 8)?.into(),
            },
            Kind::Struct => Node::Struct { name: self.string(head.name), size },
            Kind::Union => Node::Union { name: self.string(head.name), size },
            Kind::Enum | Kind::Enum64 => Node::Enum { name: self.string(head.name), size },
            Kind::Typedef => Node::Typedef { name: self.required_string(head.name), target },
            Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag => Node::Qualifier(target),
            Kind::Fwd => {
                let tag = if head.kind_flag() { Tag::Union } else { Tag::Struct };
                Node::Incomplete { tag, name: self.string(head.name) }
            }
            Kind::Func | Kind::FuncProto | Kind::Var | Kind::DataSec | Kind::DeclTag => Node::Opaque,
        })
    }

    fn fields(&self, ty: TypeRef) -> Vec<Field<'_>> {
        let Some((head, Kind::Struct | Kind::Union, rest)) = self.head(ty.0) else { return Vec::new() };
        let field = |number: usize| {
            let at = rest.checked_add(number.checked_mul(12)?)?;
            let ty = u64::from(le_u32(&self.bytes, at + 4)?);
            let word = le_u32(&self.bytes, at + 8)?;
            let (bit_offset, bit_size) = if head.kind_flag() {
                (word & 0xff_ffff, Some(word >> 24).filter(|&bits| bits != 0))
            } else {
                match self.bit_field_integer(ty) {
                    Some((offset, bits)) => (word.saturating_add(offset), Some(bits)),
                    None => (word, None),
                }
            };
            let name = self.string(le_u32(&self.bytes, at)?);
            Some(Field { name, ty: TypeRef(ty), bit_offset: bit_offset.into(), bit_size })
        };
        (0..head.vlen()).map_while(|number| field(usize::try_from(number).ok()?)).collect()
    }

    fn enumerator_in(&self, ty: TypeRef, name: &str) -> Option<i64> {
        let (head, ..) = self.head(ty.0)?;
        let all = (0..head.vlen()).map_while(|number| self.enumerator_at(ty.0, number));
        let mut named = all.filter(|(offset, _)| c_string(&self.strings, *offset) == Some(name.as_bytes()));
        named.next().map(|(_, value)| value)
    }

    fn enumerators(&self, ty: TypeRef) -> Vec<(Cow<'_, str>, i64)> {
        let Some((head, Kind::Enum | Kind::Enum64, _)) = self.head(ty.0) else { return Vec::new() };
        let enumerator = |number| {
            let (name, value) = self.enumerator_at(ty.0, number)?;
            Some((self.required_string(name), value))
        };
        (0..head.vlen()).map_while(enumerator).collect()
    }

    fn type_names(&self) -> Vec<String> {
        let name = |id: u32| {
            let (head, kind, _) = self.head(id.into())?;
            let is_type = matches!(kind, Kind::Struct | Kind::Union | Kind::Typedef | Kind::Enum | Kind::Enum64);
            self.string(head.name).filter(|_| is_type).map(Cow::into_owned)
        };
        self.ids().filter_map(name).collect()
    }

    fn enumerator(&self, name: &str) -> Option<i64> {
        let all = self.enumerators();
        all.by_name.candidates(name.as_bytes()).find_map(|at| {
            let at = usize::try_from(at).ok()?;
            let (id, number) = (all.places.0.get(at)?, all.places.1.get(at)?);
            let (offset, value) = self.enumerator_at(id.into(), number)?;
            (c_string(&self.strings, offset)? == name.as_bytes()).then_some(value)
        })
    }

    fn variable(&self, name: &str) -> Option<TypeRef> {
        let (head, ..) = self.head(self.find_named(name, &[Kind::Var])?)?;
        Some(TypeRef(head.size_or_type.into()))
    }

    fn arrays(&self) -> Vec<TypeRef> {
        let is_array = |&id: &u64| self.head(id).is_some_and(|(_, kind, _)| kind == Kind::Array);
        self.ids().map(u64::from).filter(is_array).map(TypeRef).collect()
    }
}

#[cfg(test)]
mod tests;
