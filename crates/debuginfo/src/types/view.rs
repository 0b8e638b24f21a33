//! Types to walk through, for whoever shows values instead of looking single members up.

use std::fmt;

use super::graph::{self, Field as GraphField, Node, TypeGraph, TypeRef};
use super::{Types, path};

/// How deep a declaration nests: pointers to arrays of pointers and so on.
const MAX_DECLARATOR: usize = 64;

/// One type of a kernel. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Type<'t> {
    graph: &'t dyn TypeGraph,
    ty: TypeRef,
}

/// What a type is, typedefs and qualifiers removed.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Shape<'t> {
    /// `void`.
    Void,
    /// An integer of `size` bytes.
    Integer {
        /// Bytes.
        size: u64,
        /// Whether it is sign-extended.
        signed: bool,
        /// How it is meant to be shown.
        meaning: Meaning,
    },
    /// A floating-point number of `size` bytes.
    Float {
        /// Bytes.
        size: u64,
    },
    /// A pointer.
    Pointer(Type<'t>),
    /// A struct or, with `union`, one whose members share their place.
    Struct {
        /// Bytes.
        size: u64,
        /// Whether it is a union.
        union: bool,
    },
    /// An enumeration of `size` bytes.
    Enum {
        /// Bytes.
        size: u64,
    },
    /// An array, all dimensions rolled into one.
    Array {
        /// The type of its elements.
        element: Type<'t>,
        /// How many; 0 for a flexible array member.
        len: u64,
    },
    /// A struct, union or enumeration of which only the name is known.
    Incomplete,
    /// A function.
    Function,
}

/// How an integer is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// As a number.
    Number,
    /// As a character.
    Character,
    /// As true or false.
    Truth,
}

/// A member of a struct or union.
#[derive(Clone)]
pub struct TypedMember<'t> {
    /// Its name; `None` for an anonymous struct or union.
    pub name: Option<String>,
    /// Its type.
    pub ty: Type<'t>,
    /// Bits from the start of the struct.
    pub bit_offset: u64,
    /// The width in bits of a bit-field.
    pub bit_size: Option<u32>,
}

impl Types {
    /// The definition of `type_name`: `struct x`, `union x`, `enum x`, or a bare name, as everywhere in [`Types`].
    #[must_use]
    pub fn find(&self, type_name: &str) -> Option<Type<'_>> {
        let graph = self.graph()?;
        Some(Type { graph, ty: graph::find(graph, type_name)? })
    }

    /// The type of the variable `name`. BTF has those of per-CPU variables only.
    #[must_use]
    pub fn variable_type(&self, name: &str) -> Option<Type<'_>> {
        let (graph, ty) = self.variable(name)?;
        Some(Type { graph, ty })
    }

    /// The names of all structs, unions and typedefs, for completion; empty where they would have to be searched for.
    #[must_use]
    pub fn type_names(&self) -> Vec<String> {
        self.graph().map(TypeGraph::type_names).unwrap_or_default()
    }
}

impl<'t> Type<'t> {
    /// What it is; `None` where the debug information is damaged.
    #[must_use]
    pub fn shape(self) -> Option<Shape<'t>> {
        let of = |ty| Type { graph: self.graph, ty };
        Some(match graph::strip(self.graph, self.ty)?.1 {
            Node::Void => Shape::Void,
            Node::Integer { name, size, signed } => Shape::Integer { size, signed, meaning: meaning(&name, size) },
            Node::Float { size, .. } => Shape::Float { size },
            Node::Pointer { target } => Shape::Pointer(of(target)),
            Node::Struct { size, .. } => Shape::Struct { size, union: false },
            Node::Union { size, .. } => Shape::Struct { size, union: true },
            Node::Enum { size, .. } => Shape::Enum { size },
            Node::Array { element, len } => Shape::Array { element: of(element), len },
            Node::Incomplete { .. } => Shape::Incomplete,
            Node::Opaque => Shape::Function,
            Node::Qualifier(_) | Node::Typedef { .. } => return None,
        })
    }

    /// The same type without typedefs and qualifiers.
    #[must_use]
    pub fn stripped(self) -> Self {
        graph::strip(self.graph, self.ty).map_or(self, |(ty, _)| Self { ty, ..self })
    }

    /// `sizeof`, in bytes; `None` for `void`, functions and incomplete types.
    #[must_use]
    pub fn size(self) -> Option<u64> {
        graph::size_of(self.graph, self.ty)
    }

    /// The members of a struct or union in order of declaration, anonymous ones as themselves; empty for all else.
    #[must_use]
    pub fn members(self) -> Vec<TypedMember<'t>> {
        let Some((ty, _)) = graph::strip(self.graph, self.ty) else { return Vec::new() };
        self.graph.fields(ty).into_iter().map(|field| self.typed(&field, 0)).collect()
    }

    /// The member `name`, also one of an anonymous struct or union in it, with its place in this type.
    #[must_use]
    pub fn member(self, name: &str) -> Option<TypedMember<'t>> {
        let (ty, _) = graph::strip(self.graph, self.ty)?;
        let (base, field) = path::find_field(self.graph, ty, name)?;
        Some(self.typed(&field, base))
    }

    /// The enumerators of an enumeration, in order of declaration; empty for all else.
    #[must_use]
    pub fn enumerators(self) -> Vec<(String, i64)> {
        let enumerators = |(ty, _)| self.graph.enumerators(ty).into_iter();
        let all = graph::strip(self.graph, self.ty).map(enumerators).into_iter().flatten();
        all.map(|(name, value)| (name.into_owned(), value)).collect()
    }

    /// The tag of a struct, union or enumeration, or the name of a typedef or base type; `None` for what has none.
    #[must_use]
    pub fn name(self) -> Option<String> {
        match self.graph.node(self.ty)? {
            Node::Typedef { name, .. } | Node::Integer { name, .. } | Node::Float { name, .. } => {
                Some(name.into_owned())
            }
            Node::Struct { name, .. }
            | Node::Union { name, .. }
            | Node::Enum { name, .. }
            | Node::Incomplete { name, .. } => name.map(std::borrow::Cow::into_owned),
            Node::Qualifier(target) => Type { ty: target, ..self }.name(),
            _ => None,
        }
    }

    /// The declaration of `name` with this type, as C has it: `struct list_head *next`, `char comm[16]`; the type alone
    /// where `name` is empty. Of functions only that they are some is known.
    #[must_use]
    pub fn declare(self, name: &str) -> String {
        let mut declarator = name.to_owned();
        let mut ty = self.ty;
        for _ in 0..MAX_DECLARATOR {
            let base = match self.graph.node(ty) {
                Some(Node::Qualifier(target)) => {
                    ty = target;
                    continue;
                }
                Some(Node::Pointer { target }) => {
                    declarator.insert(0, '*');
                    let pointee = graph::strip_qualifiers(self.graph, target);
                    if matches!(pointee, Some(Node::Array { .. } | Node::Opaque)) {
                        declarator = format!("({declarator})");
                    }
                    ty = target;
                    continue;
                }
                Some(Node::Array { element, len }) => {
                    declarator.push_str(&if len == 0 { "[]".to_owned() } else { format!("[{len}]") });
                    ty = element;
                    continue;
                }
                Some(Node::Opaque) => return format!("function {declarator}(...)"),
                Some(node) => graph::keyword(node),
                None => "?".to_owned(),
            };
            let space = if declarator.is_empty() { "" } else { " " };
            return format!("{base}{space}{declarator}");
        }
        format!("? {name}")
    }

    fn typed(self, field: &GraphField<'_>, base: u64) -> TypedMember<'t> {
        TypedMember {
            name: field.name.as_deref().map(str::to_owned),
            ty: Type { ty: field.ty, ..self },
            bit_offset: base.saturating_mul(8).saturating_add(field.bit_offset),
            bit_size: field.bit_size,
        }
    }
}

fn meaning(name: &str, size: u64) -> Meaning {
    match name {
        "_Bool" | "bool" => Meaning::Truth,
        // `u8` is `unsigned char` too, and means a number.
        "char" | "signed char" if size == 1 => Meaning::Character,
        _ => Meaning::Number,
    }
}

impl PartialEq for Type<'_> {
    /// Whether both are the same type of the same debug information, typedefs and qualifiers aside.
    fn eq(&self, other: &Self) -> bool {
        let strip = |ty: &Self| graph::strip(ty.graph, ty.ty).map(|(ty, _)| ty);
        std::ptr::addr_eq(self.graph, other.graph) && strip(self) == strip(other)
    }
}

impl fmt::Debug for Type<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Type").field(&self.declare("")).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[test]
    fn types_are_walked_and_declared() {
        let vmlinux = Fixture::with_dwarf(5, true).open();
        let task = vmlinux.types().find("struct task").unwrap();
        let declared: Vec<_> = task.members().iter().map(|member| member.ty.declare("m")).collect();
        let expected = [
            "pid_t m",
            "unsigned int m",
            "unsigned int m",
            // Anonymous: `next` and `grid` are found through it.
            "union {...} m",
            "enum mode m",
            "function (*m)(...)",
            "long int m[]",
        ];
        // Bit-fields have whatever base type the fixture gives them.
        assert_eq!((declared.len(), &declared[3..]), (7, &expected.map(str::to_owned)[3..]));
        let next = task.member("next").unwrap();
        assert_eq!((next.bit_offset, next.bit_size), (64, None));
        let Some(Shape::Pointer(target)) = next.ty.shape() else { panic!("{:?}", next.ty) };
        assert!(target == task && target != next.ty);
        assert_eq!(task.member("mode").unwrap().ty.enumerators(), [("OFF".to_owned(), -1), ("ON".to_owned(), 200)]);
        assert_eq!((task.size(), task.name().as_deref()), (Some(32), Some("task")));
        let Some(Shape::Array { element, len: 8 }) = task.member("grid").unwrap().ty.shape() else { panic!() };
        let character = matches!(element.shape(), Some(Shape::Integer { meaning: Meaning::Character, .. }));
        assert!(character && task.member("missing").is_none());
        assert!(vmlinux.types().variable_type("tasks").is_some_and(|ty| ty.size() == Some(96)));
    }
}
