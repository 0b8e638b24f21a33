//! Member paths such as `se.sum_exec_runtime` or `mem[2].base`, and where they lead.

use std::ops::ControlFlow;

use super::{
    Member, MemberKind,
    graph::{Field, Node, TypeGraph, TypeRef, size_of, spell, strip},
};

/// How deep anonymous structs and unions may nest. `struct page` has three levels.
const MAX_DEPTH: usize = 16;
/// How many of them one struct may hold altogether; `struct page` has eighteen.
const MAX_ANONYMOUS: usize = 256;

/// One step of a path.
#[derive(Debug, PartialEq, Eq)]
enum Step<'path> {
    Name(&'path str),
    Index(u64),
}

/// The steps of `path`; `None` where it is not of the form `name([index])*(.name([index])*)*`.
fn parse(path: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (name, mut indexes) = match part.find('[') {
            Some(at) => part.split_at_checked(at)?,
            None => (part, ""),
        };
        if name.is_empty() {
            return None;
        }
        steps.push(Step::Name(name));
        while !indexes.is_empty() {
            let (number, rest) = indexes.strip_prefix('[')?.split_once(']')?;
            steps.push(Step::Index(number.parse().ok()?));
            indexes = rest;
        }
    }
    Some(steps)
}

/// Follows `path` from the struct or union `start`.
pub(super) fn member(graph: &dyn TypeGraph, start: TypeRef, path: &str) -> Option<Member> {
    let mut ty = start;
    let mut offset = 0u64;
    let mut bit_field = None;
    for step in parse(path)? {
        // A bit-field is an integer: nothing can follow it.
        if bit_field.is_some() {
            return None;
        }
        let (aggregate, node) = strip(graph, ty)?;
        match (step, node) {
            (Step::Name(name), Node::Struct { .. } | Node::Union { .. }) => {
                let (base, field) = find_field(graph, aggregate, name)?;
                offset = offset.checked_add(base)?;
                match field.bit_size {
                    Some(width) => bit_field = Some((field.bit_offset, width)),
                    None => offset = offset.checked_add(field.bit_offset / 8)?,
                }
                ty = field.ty;
            }
            (Step::Index(index), Node::Array { element, len }) => {
                // Length 0 is a flexible array: its bound is elsewhere.
                if len != 0 && index >= len {
                    return None;
                }
                offset = offset.checked_add(index.checked_mul(size_of(graph, element)?)?)?;
                ty = element;
            }
            _ => return None,
        }
    }
    describe(graph, ty, offset, bit_field)
}

/// The member `name` of `aggregate` or of an anonymous member of it, and the offset in bytes of the (anonymous)
/// aggregate that directly holds it.
pub(super) fn find_field<'graph>(
    graph: &'graph dyn TypeGraph,
    aggregate: TypeRef,
    name: &str,
) -> Option<(u64, Field<'graph>)> {
    let mut walk = Walk { graph, visits_left: MAX_ANONYMOUS };
    let found = walk.fields(aggregate, 0, 0, &mut |base, field| match field.name.as_deref() {
        Some(this) if this == name => ControlFlow::Break((base, field)),
        _ => ControlFlow::Continue(()),
    });
    found.break_value()
}

/// The names of all members that [`member`] finds directly in `start`.
pub(super) fn member_names(graph: &dyn TypeGraph, start: TypeRef) -> Vec<String> {
    let mut names = Vec::new();
    if let Some((aggregate, _)) = strip(graph, start) {
        let mut walk = Walk { graph, visits_left: MAX_ANONYMOUS };
        let _all = walk.fields::<()>(aggregate, 0, 0, &mut |_, field| {
            names.extend(field.name.map(Into::into));
            ControlFlow::Continue(())
        });
    }
    names
}

/// Visits the members of a struct or union, and in the place of each anonymous struct or union its members.
struct Walk<'graph> {
    graph: &'graph dyn TypeGraph,
    /// How many more anonymous aggregates may be entered. In a damaged file one may hold itself many times over, which
    /// a limit on the depth alone would not survive.
    visits_left: usize,
}

impl<'graph> Walk<'graph> {
    fn fields<B>(
        &mut self,
        aggregate: TypeRef,
        base: u64,
        depth: usize,
        f: &mut dyn FnMut(u64, Field<'graph>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        for field in self.graph.fields(aggregate) {
            if field.name.is_some() {
                f(base, field)?;
            } else if field.bit_size.is_none()
                && depth < MAX_DEPTH
                && self.visits_left > 0
                && let Some((inner, Node::Struct { .. } | Node::Union { .. })) = strip(self.graph, field.ty)
            {
                self.visits_left -= 1;
                self.fields(inner, base.saturating_add(field.bit_offset / 8), depth + 1, f)?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// `offset` is that of the member in bytes, for a bit-field that of the aggregate which `bit_field` counts bits from.
fn describe(graph: &dyn TypeGraph, ty: TypeRef, offset: u64, bit_field: Option<(u64, u32)>) -> Option<Member> {
    let kind = match strip(graph, ty)?.1 {
        Node::Integer { signed, .. } => MemberKind::Integer { signed },
        Node::Pointer { .. } => MemberKind::Pointer,
        Node::Struct { name, .. } | Node::Union { name, .. } => MemberKind::Struct(name.map(Into::into)),
        Node::Array { element, len } => {
            MemberKind::Array { len, element_size: size_of(graph, element).unwrap_or_default() }
        }
        Node::Enum { .. } => MemberKind::Enum,
        Node::Float { .. }
        | Node::Void
        | Node::Incomplete { .. }
        | Node::Opaque
        | Node::Qualifier(_)
        | Node::Typedef { .. } => MemberKind::Other,
    };
    let size = size_of(graph, ty).unwrap_or_default();
    let mut member = Member { offset, bit_offset: None, bit_size: None, size, kind, type_name: spell(graph, ty) };
    if let Some((start, width)) = bit_field {
        let (unit, first) = storage_unit(start, width, size);
        member.offset = offset.checked_add(unit)?;
        member.bit_offset = Some(first);
        member.bit_size = Some(width);
        if first.saturating_add(width.into()) > size.saturating_mul(8) {
            member.size = first.saturating_add(width.into()).div_ceil(8);
        }
    }
    Some(member)
}

/// Where to load a bit-field from: the byte offset of the aligned unit of `size` bytes that holds it, and its first bit
/// there. A packed field that crosses the unit's end is loaded from the byte it starts in.
fn storage_unit(start: u64, width: u32, size: u64) -> (u64, u64) {
    let bits = size.saturating_mul(8).max(8);
    let first = start % bits;
    if first.saturating_add(width.into()) <= bits {
        ((start / bits) * (bits / 8), first)
    } else {
        (start / 8, start % 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        use Step::{Index, Name};
        assert_eq!(parse("a"), Some(vec![Name("a")]));
        assert_eq!(parse("a.b[2][3].c"), Some(vec![Name("a"), Name("b"), Index(2), Index(3), Name("c")]));
        for bad in ["", ".", "a.", ".a", "a..b", "[1]", "a[", "a[]", "a[x]", "a[1", "a[1]b", "a[-1]"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn bit_fields_are_loaded_from_an_aligned_unit_unless_they_cross_it() {
        assert_eq!(storage_unit(35, 3, 4), (4, 3));
        assert_eq!(storage_unit(63, 1, 8), (0, 63));
        assert_eq!(storage_unit(30, 4, 4), (3, 6), "packed: crosses bit 32");
        assert_eq!(storage_unit(9, 1, 0), (1, 1), "no size: as if a byte");
    }
}
