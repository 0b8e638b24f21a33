//! What BTF and DWARF have in common: types as nodes that refer to each other.
//!
//! Each backend only says what one node is. Everything that walks from node to node (through typedefs and
//! qualifiers, into anonymous members, over array elements) is written once, here and in `path.rs`, on top of
//! [`TypeGraph`]; so both backends answer alike. Every walk is bounded: a damaged file may have cycles.

use std::borrow::Cow;

/// The longest chain of typedefs, qualifiers and array elements that is followed. Kernel code has below ten.
const MAX_CHAIN: usize = 64;

/// Names a type of one graph: a BTF id, or the offset of an entry in `.debug_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TypeRef(pub(crate) u64);

/// The name spaces that C keeps apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tag {
    Struct,
    Union,
    Enum,
    Typedef,
    /// Integers and floats: `int`, `long unsigned int`, `_Bool`.
    Base,
}

impl Tag {
    /// The order in which a name without a keyword is looked for.
    const ALL: [Self; 5] = [Self::Struct, Self::Union, Self::Enum, Self::Typedef, Self::Base];
}

/// One type, without what it refers to. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node<'graph> {
    Void,
    /// `const`, `volatile`, `restrict`, `_Atomic` or a type tag.
    Qualifier(TypeRef),
    Typedef {
        name: Cow<'graph, str>,
        target: TypeRef,
    },
    Integer {
        name: Cow<'graph, str>,
        size: u64,
        signed: bool,
    },
    Float {
        name: Cow<'graph, str>,
        size: u64,
    },
    Pointer {
        target: TypeRef,
    },
    Struct {
        name: Option<Cow<'graph, str>>,
        size: u64,
    },
    Union {
        name: Option<Cow<'graph, str>>,
        size: u64,
    },
    Enum {
        name: Option<Cow<'graph, str>>,
        size: u64,
    },
    /// An array, with all dimensions rolled into one: BTF does not tell them apart.
    Array {
        element: TypeRef,
        /// 0 for a flexible array member.
        len: u64,
    },
    /// A struct, union or enumeration that is only declared.
    Incomplete {
        tag: Tag,
        name: Option<Cow<'graph, str>>,
    },
    /// Functions and whatever else has no size.
    Opaque,
}

/// A member of a struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field<'graph> {
    /// `None` for an anonymous struct or union, and for padding bit-fields.
    pub(crate) name: Option<Cow<'graph, str>>,
    pub(crate) ty: TypeRef,
    /// Bits from the start of the aggregate, counted from the least significant bit of its first byte.
    pub(crate) bit_offset: u64,
    /// The width in bits of a bit-field.
    pub(crate) bit_size: Option<u32>,
}

/// A source of types.
pub(crate) trait TypeGraph {
    /// The definition (not a declaration) of a named type.
    fn find(&self, tag: Tag, name: &str) -> Option<TypeRef>;

    /// What a node is; `None` where the reference leads nowhere.
    fn node(&self, ty: TypeRef) -> Option<Node<'_>>;

    /// The direct members of a struct or union, in order of declaration; empty for anything else.
    fn fields(&self, ty: TypeRef) -> Vec<Field<'_>>;

    /// The value of the enumerator `name` of the enumeration `ty`.
    fn enumerator_in(&self, ty: TypeRef, name: &str) -> Option<i64>;

    /// The enumerators of the enumeration `ty`, in order of declaration; empty for anything else.
    fn enumerators(&self, ty: TypeRef) -> Vec<(Cow<'_, str>, i64)>;

    /// The names of all structs, unions and typedefs; empty where they would have to be searched for.
    fn type_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// The value of the enumerator `name` of any enumeration.
    fn enumerator(&self, name: &str) -> Option<i64>;

    /// The type of a variable.
    fn variable(&self, name: &str) -> Option<TypeRef>;

    /// All array types; empty where they would have to be searched for.
    fn arrays(&self) -> Vec<TypeRef> {
        Vec::new()
    }
}

/// Looks up `struct x`, `union x`, `enum x` or a bare name, which may be any of these, a typedef or a base type.
pub(crate) fn find(graph: &dyn TypeGraph, type_name: &str) -> Option<TypeRef> {
    let (keyword, name) = match type_name.split_once(' ') {
        Some(("struct", name)) => (Some(Tag::Struct), name),
        Some(("union", name)) => (Some(Tag::Union), name),
        Some(("enum", name)) => (Some(Tag::Enum), name),
        _ => (None, type_name),
    };
    match keyword {
        Some(tag) => graph.find(tag, name.trim()),
        None => Tag::ALL.into_iter().find_map(|tag| graph.find(tag, name)),
    }
}

/// The type behind typedefs and qualifiers.
pub(crate) fn strip(graph: &dyn TypeGraph, mut ty: TypeRef) -> Option<(TypeRef, Node<'_>)> {
    for _ in 0..MAX_CHAIN {
        match graph.node(ty)? {
            Node::Qualifier(target) | Node::Typedef { target, .. } => ty = target,
            node => return Some((ty, node)),
        }
    }
    None
}

/// The size of a type in bytes; `None` for `void`, functions and incomplete types.
pub(crate) fn size_of(graph: &dyn TypeGraph, mut ty: TypeRef) -> Option<u64> {
    let mut count = 1u64;
    for _ in 0..MAX_CHAIN {
        let size = match strip(graph, ty)?.1 {
            Node::Array { element, len } => {
                count = count.checked_mul(len)?;
                ty = element;
                continue;
            }
            Node::Pointer { .. } => 8,
            Node::Integer { size, .. }
            | Node::Float { size, .. }
            | Node::Struct { size, .. }
            | Node::Union { size, .. }
            | Node::Enum { size, .. } => size,
            Node::Void | Node::Incomplete { .. } | Node::Opaque | Node::Qualifier(_) | Node::Typedef { .. } => {
                return None;
            }
        };
        return count.checked_mul(size);
    }
    None
}

/// The type as a C programmer would write it, without qualifiers; `None` where it has no name.
pub(crate) fn spell(graph: &dyn TypeGraph, mut ty: TypeRef) -> Option<String> {
    let mut suffix = String::new();
    for _ in 0..MAX_CHAIN {
        let base = match graph.node(ty)? {
            Node::Qualifier(target) => {
                ty = target;
                continue;
            }
            Node::Pointer { target } => {
                suffix.insert(0, '*');
                ty = target;
                continue;
            }
            Node::Array { element, len } => {
                // A pointer to an array would need parentheses; nobody looks one up by its spelling.
                suffix.push_str(&if len == 0 { "[]".to_owned() } else { format!("[{len}]") });
                ty = element;
                continue;
            }
            node => named(node)?,
        };
        let space = if suffix.starts_with('*') { " " } else { "" };
        return Some(format!("{base}{space}{suffix}"));
    }
    None
}

/// What a type that is no pointer or array is called, with its keyword; `None` where it has no name.
fn named(node: Node<'_>) -> Option<String> {
    Some(match node {
        Node::Void => "void".to_owned(),
        Node::Typedef { name, .. } | Node::Integer { name, .. } | Node::Float { name, .. } => name.into_owned(),
        Node::Struct { name, .. } | Node::Incomplete { tag: Tag::Struct, name } => format!("struct {}", name?),
        Node::Union { name, .. } | Node::Incomplete { tag: Tag::Union, name } => format!("union {}", name?),
        Node::Enum { name, .. } | Node::Incomplete { name, .. } => format!("enum {}", name?),
        Node::Opaque | Node::Qualifier(_) | Node::Pointer { .. } | Node::Array { .. } => return None,
    })
}

/// As [`named`], with the keyword alone for what has no name.
pub(crate) fn keyword(node: Node<'_>) -> String {
    let alone = match &node {
        Node::Struct { .. } => "struct {...}",
        Node::Union { .. } => "union {...}",
        Node::Enum { .. } => "enum {...}",
        _ => "?",
    };
    named(node).unwrap_or_else(|| alone.to_owned())
}

/// The node behind qualifiers.
pub(crate) fn strip_qualifiers(graph: &dyn TypeGraph, mut ty: TypeRef) -> Option<Node<'_>> {
    for _ in 0..MAX_CHAIN {
        match graph.node(ty)? {
            Node::Qualifier(target) => ty = target,
            node => return Some(node),
        }
    }
    None
}
