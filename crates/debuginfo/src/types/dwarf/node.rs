//! Entries of `.debug_info` as nodes of the type graph.

use std::borrow::Cow;

use gimli::{AttributeValue, Reader, UnitOffset};

use super::super::graph::{Field, Node, Tag, TypeRef};
use crate::dwarf::{Dwarf, Entry, Unit, Value};

/// DWARF has no entry for `void`: types that refer to it lack `DW_AT_type`.
pub(super) const VOID: TypeRef = TypeRef(u64::MAX);

/// The entry of a type.
pub(super) fn entry(unit: &Unit, ty: TypeRef) -> Option<Entry<'_>> {
    unit.entry(usize::try_from(ty.0.checked_sub(unit.offset)?).ok()?)
}

pub(super) fn node(dwarf: &Dwarf, unit: &Unit, ty: TypeRef) -> Option<Node<'static>> {
    let entry = entry(unit, ty)?;
    let name = || Some(text(dwarf, unit, &entry)?.into());
    let required_name = || text(dwarf, unit, &entry).unwrap_or_default().into();
    let size = || entry.attribute(gimli::DW_AT_byte_size).and_then(|value| value.udata_value()).unwrap_or_default();
    let target = || target(unit, &entry);
    Some(match entry.tag() {
        gimli::DW_TAG_base_type => {
            let encoding = match entry.attribute(gimli::DW_AT_encoding) {
                Some(AttributeValue::Encoding(encoding)) => encoding,
                _ => gimli::DW_ATE_unsigned,
            };
            match encoding {
                gimli::DW_ATE_float | gimli::DW_ATE_complex_float => {
                    Node::Float { name: required_name(), size: size() }
                }
                _ => {
                    let signed = matches!(encoding, gimli::DW_ATE_signed | gimli::DW_ATE_signed_char);
                    Node::Integer { name: required_name(), size: size(), signed }
                }
            }
        }
        gimli::DW_TAG_pointer_type => Node::Pointer { target: target()? },
        gimli::DW_TAG_typedef => Node::Typedef { name: required_name(), target: target()? },
        gimli::DW_TAG_const_type
        | gimli::DW_TAG_volatile_type
        | gimli::DW_TAG_restrict_type
        | gimli::DW_TAG_atomic_type => Node::Qualifier(target()?),
        tag if entry.has(gimli::DW_AT_declaration) => match tag {
            gimli::DW_TAG_structure_type => Node::Incomplete { tag: Tag::Struct, name: name() },
            gimli::DW_TAG_union_type => Node::Incomplete { tag: Tag::Union, name: name() },
            gimli::DW_TAG_enumeration_type => Node::Incomplete { tag: Tag::Enum, name: name() },
            _ => Node::Opaque,
        },
        gimli::DW_TAG_structure_type => Node::Struct { name: name(), size: size() },
        gimli::DW_TAG_union_type => Node::Union { name: name(), size: size() },
        gimli::DW_TAG_enumeration_type => Node::Enum { name: name(), size: size() },
        gimli::DW_TAG_array_type => array(unit, &entry)?,
        _ => Node::Opaque,
    })
}

/// An array; its dimensions are children of one entry.
fn array(unit: &Unit, entry: &Entry<'_>) -> Option<Node<'static>> {
    let dimensions = entry.children().filter(|child| child.tag() == gimli::DW_TAG_subrange_type);
    let len = dimensions.map(|dimension| dimension_len(&dimension)).try_fold(1, u64::checked_mul)?;
    Some(Node::Array { element: target(unit, entry)?, len })
}

/// A flexible array member has neither attribute, an array of length 0 may have an upper bound of -1.
fn dimension_len(dimension: &Entry<'_>) -> u64 {
    let len = match (dimension.attribute(gimli::DW_AT_count), dimension.attribute(gimli::DW_AT_upper_bound)) {
        (Some(count), _) => count.udata_value(),
        (None, Some(AttributeValue::Sdata(bound))) => u64::try_from(bound).ok().and_then(|bound| bound.checked_add(1)),
        (None, Some(bound)) => bound.udata_value().map(|bound| bound.wrapping_add(1)),
        (None, None) => None,
    };
    len.unwrap_or(0)
}

/// The members of a struct or union.
pub(super) fn fields(
    dwarf: &Dwarf,
    unit: &Unit,
    ty: TypeRef,
    size_of: impl Fn(TypeRef) -> Option<u64>,
) -> Option<Vec<Field<'static>>> {
    let entry = entry(unit, ty)?;
    let members = entry.children().filter(|child| child.tag() == gimli::DW_TAG_member);
    Some(members.filter_map(|member| field(dwarf, unit, &member, &size_of)).collect())
}

fn field(
    dwarf: &Dwarf,
    unit: &Unit,
    member: &Entry<'_>,
    size_of: impl Fn(TypeRef) -> Option<u64>,
) -> Option<Field<'static>> {
    let number = |name| member.attribute(name).and_then(|value| value.udata_value());
    let ty = target(unit, member)?;
    let bytes = member.attribute(gimli::DW_AT_data_member_location).and_then(|value| member_location(&value));
    let bit_size = number(gimli::DW_AT_bit_size).and_then(|bits| u32::try_from(bits).ok());
    let bits = bytes.unwrap_or_default().checked_mul(8)?;
    let bit_offset = match (number(gimli::DW_AT_data_bit_offset), number(gimli::DW_AT_bit_offset), bit_size) {
        (Some(offset), ..) => offset,
        // Up to DWARF 3: bits from the most significant end of a storage unit to the field's own most significant bit.
        (None, Some(from_top), Some(width)) => {
            let storage = number(gimli::DW_AT_byte_size).or_else(|| size_of(ty))?.checked_mul(8)?;
            bits.checked_add(storage.checked_sub(from_top)?.checked_sub(width.into())?)?
        }
        _ => bits,
    };
    Some(Field { name: text(dwarf, unit, member).map(Into::into), ty, bit_offset, bit_size })
}

/// A member's offset in bytes: a number or, up to DWARF 3, an expression that adds one.
fn member_location(value: &Value<'_>) -> Option<u64> {
    match value {
        AttributeValue::Exprloc(expression) => plus_constant(expression.0.slice()),
        AttributeValue::Block(block) => plus_constant(block.slice()),
        value => value.udata_value(),
    }
}

fn plus_constant(expression: &[u8]) -> Option<u64> {
    let (&operation, operand) = expression.split_first()?;
    let mut operand = gimli::EndianSlice::new(operand, gimli::LittleEndian);
    if operation == gimli::DW_OP_plus_uconst.0 { operand.read_uleb128().ok() } else { None }
}

/// The value of an enumerator of `ty`.
pub(super) fn enumerator(dwarf: &Dwarf, unit: &Unit, ty: TypeRef, name: &str) -> Option<i64> {
    let enumerators = entry(unit, ty)?.children().filter(|child| child.tag() == gimli::DW_TAG_enumerator);
    let mut named = enumerators.filter(|child| text(dwarf, unit, child).as_deref() == Some(name));
    constant(&named.next()?)
}

/// The enumerators of `ty`.
pub(super) fn enumerators(dwarf: &Dwarf, unit: &Unit, ty: TypeRef) -> Option<Vec<(Cow<'static, str>, i64)>> {
    let enumerators = entry(unit, ty)?.children().filter(|child| child.tag() == gimli::DW_TAG_enumerator);
    Some(enumerators.filter_map(|child| Some((text(dwarf, unit, &child)?.into(), constant(&child)?))).collect())
}

fn constant(enumerator: &Entry<'_>) -> Option<i64> {
    match enumerator.attribute(gimli::DW_AT_const_value)? {
        AttributeValue::Sdata(value) => Some(value),
        value => value.udata_value().map(u64::cast_signed),
    }
}

/// Whether the entry has this name: the index compares hashes only.
pub(super) fn is_named(dwarf: &Dwarf, unit: &Unit, ty: TypeRef, name: &str) -> bool {
    entry(unit, ty).and_then(|entry| dwarf.name(unit, &entry)).as_deref() == Some(name)
}

/// The type of a variable; a definition may leave it to the declaration it completes.
pub(super) fn type_of_variable(unit: &Unit, variable: TypeRef) -> Option<TypeRef> {
    let entry = entry(unit, variable)?;
    if entry.has(gimli::DW_AT_type) {
        return target(unit, &entry);
    }
    match entry.attribute(gimli::DW_AT_specification)? {
        AttributeValue::UnitRef(UnitOffset(declaration)) => target(unit, &unit.entry(declaration)?),
        _ => None,
    }
}

/// What `DW_AT_type` refers to.
fn target(unit: &Unit, entry: &Entry<'_>) -> Option<TypeRef> {
    match entry.attribute(gimli::DW_AT_type) {
        None => Some(VOID),
        Some(AttributeValue::UnitRef(UnitOffset(offset))) => unit.offset.checked_add(offset as u64).map(TypeRef),
        Some(AttributeValue::DebugInfoRef(offset)) => Some(TypeRef(offset.0 as u64)),
        Some(_) => None,
    }
}

fn text(dwarf: &Dwarf, unit: &Unit, entry: &Entry<'_>) -> Option<String> {
    dwarf.string(&unit.bases, &entry.attribute(gimli::DW_AT_name)?).map(Into::into)
}
