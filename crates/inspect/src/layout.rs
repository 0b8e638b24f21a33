//! What a type looks like: its members with offsets and sizes.

use vmcore_debuginfo::{Shape, Type};

/// How deep anonymous members nest.
const MAX_DEPTH: usize = 16;
/// Members that are listed.
const MAX_MEMBERS: usize = 10_000;

/// A struct, union, enumeration or typedef.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// As C spells it.
    pub type_name: String,
    /// `sizeof`, in bytes.
    pub size: Option<u64>,
    /// Members of a struct or union.
    pub members: Vec<LayoutMember>,
    /// Enumerators of an enumeration.
    pub enumerators: Vec<(String, i64)>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutMember {
    /// How many anonymous structs and unions it is in.
    pub depth: usize,
    /// Its declaration; of an anonymous struct or union that is listed next, `struct` or `union` alone.
    pub declaration: String,
    /// Its name; `None` for an anonymous struct or union.
    pub name: Option<String>,
    /// Bytes from the start of the whole.
    pub offset: u64,
    /// For a bit-field: its least significant bit behind `offset`, and its width.
    pub bits: Option<(u64, u32)>,
    /// Its size in bytes.
    pub size: Option<u64>,
}

/// Describes `ty`.
#[must_use]
pub fn layout(ty: Type<'_>) -> Layout {
    let mut members = Vec::new();
    add(ty, 0, 0, &mut members);
    Layout { type_name: ty.stripped().declare(""), size: ty.size(), members, enumerators: ty.enumerators() }
}

fn add(ty: Type<'_>, base: u64, depth: usize, members: &mut Vec<LayoutMember>) {
    for member in ty.members() {
        if members.len() >= MAX_MEMBERS {
            return;
        }
        let bits = base.saturating_add(member.bit_offset);
        let anonymous = member.name.is_none().then(|| member.ty.shape()).flatten();
        let declaration = match anonymous {
            Some(Shape::Struct { union, .. }) => (if union { "union" } else { "struct" }).to_owned(),
            _ => member.ty.declare(member.name.as_deref().unwrap_or_default()),
        };
        members.push(LayoutMember {
            depth,
            declaration,
            name: member.name.clone(),
            offset: bits / 8,
            bits: member.bit_size.map(|width| (bits % 8, width)),
            size: member.ty.size(),
        });
        if matches!(anonymous, Some(Shape::Struct { .. })) && depth < MAX_DEPTH {
            add(member.ty, bits, depth + 1, members);
        }
    }
}
