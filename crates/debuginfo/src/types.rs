//! The kernel's types: sizes, member offsets and enumerators, from BTF or from DWARF.

mod btf;
mod dwarf;
mod graph;
mod path;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use btf::Btf;
pub use btf::{BtfError, split::NameInSplitBtf};
use dwarf::DwarfTypes;
use graph::{Node, TypeGraph, TypeRef};
pub use view::{Meaning, Shape, Type, TypedMember};

use crate::{
    SymbolTable,
    bytes::Bytes,
    column::{Columns, ColumnsWriter},
    dwarf::Dwarf,
};

/// What a member holds, typedefs and qualifiers removed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberKind {
    /// An integer, `bool` or `char`.
    Integer {
        /// Whether it is to be sign-extended.
        signed: bool,
    },
    /// A pointer, to data or to a function.
    Pointer,
    /// A struct or union, with its tag; `None` where it is anonymous.
    Struct(Option<String>),
    /// An array. One of several dimensions is described as BTF does it: as one dimension with all the elements.
    Array {
        /// Number of elements; 0 for a flexible array member.
        len: u64,
        /// Bytes from one element to the next.
        element_size: u64,
    },
    /// An enumeration.
    Enum,
    /// A floating-point number or a type this crate does not model.
    Other,
}

/// Where a member of a struct or union lies, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Bytes from the start of the outermost struct. For a bit-field, of the storage unit to load.
    pub offset: u64,
    /// For a bit-field: its least significant bit, counted from that of the little-endian storage unit at `offset`.
    pub bit_offset: Option<u64>,
    /// For a bit-field: its width in bits.
    pub bit_size: Option<u32>,
    /// Bytes to load: of the whole member, or of a bit-field's storage unit. 0 where the type has no size, as a
    /// flexible array member has none.
    pub size: u64,
    /// What it holds.
    pub kind: MemberKind,
    /// The type as C spells it, without qualifiers: `u64`, `struct list_head`, `struct task_struct *`. `None` for
    /// anonymous types and function pointers.
    pub type_name: Option<String>,
}

/// Where the types were read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypesOrigin {
    /// A BTF blob.
    Btf,
    /// DWARF.
    Dwarf,
    /// Nowhere: there is no type information, and every lookup gives `None`.
    Missing,
}

/// The types of a kernel. Names may be given as `struct task_struct`, `union x`, `enum x`, or bare: then structs are
/// looked for first, then unions, enumerations, typedefs and base types. Only definitions count. Where a kernel defines
/// several types of one name, the first definition in its debug information is taken.
#[derive(Debug)]
pub struct Types {
    graph: Graph,
    symbols: Option<Arc<SymbolTable>>,
}

#[derive(Debug)]
enum Graph {
    Missing,
    Btf(Box<Btf>),
    Dwarf(Box<DwarfTypes>),
}

impl Types {
    /// Types from a BTF blob, such as a vmlinux's `.BTF` section or the kernel's own copy in a dump.
    ///
    /// # Errors
    ///
    /// [`BtfError`] where the blob is damaged or has a kind of type that this crate does not know, whose length it
    /// therefore cannot know either.
    pub fn from_btf(bytes: Vec<u8>) -> Result<Self, BtfError> {
        Self::from_btf_bytes(bytes.into(), None)
    }

    /// Types of a module: its `split` BTF and the `base` that this continues, which is its kernel's. Both together are
    /// looked through, the kernel's types first.
    ///
    /// # Errors
    ///
    /// As [`Types::from_btf`], for either.
    pub fn from_split_btf(base: &[u8], split: &[u8]) -> Result<Self, BtfError> {
        Self::from_btf(btf::split::join(base, split)?)
    }

    pub(crate) fn from_btf_bytes(bytes: Bytes, symbols: Option<Arc<SymbolTable>>) -> Result<Self, BtfError> {
        Ok(Self { graph: Graph::Btf(Box::new(Btf::parse(&bytes)?)), symbols })
    }

    /// As [`Types::from_btf_bytes`], with the indexes that were kept of this blob.
    pub(crate) fn kept(bytes: &Bytes, symbols: Arc<SymbolTable>, columns: &mut Columns<'_>) -> Option<Self> {
        let graph = Graph::Btf(Box::new(Btf::kept(bytes, columns)?));
        Some(Self { graph, symbols: Some(symbols) })
    }

    /// Keeps the indexes of BTF; whether it is BTF.
    pub(crate) fn keep(&self, to: &mut ColumnsWriter) -> bool {
        let Graph::Btf(btf) = &self.graph else { return false };
        btf.keep(to);
        true
    }

    pub(crate) fn from_dwarf(dwarf: Arc<Dwarf>, symbols: Arc<SymbolTable>) -> Self {
        let graph = Graph::Dwarf(Box::new(DwarfTypes::new(dwarf, &symbols)));
        Self { graph, symbols: Some(symbols) }
    }

    pub(crate) const fn missing(symbols: Option<Arc<SymbolTable>>) -> Self {
        Self { graph: Graph::Missing, symbols }
    }

    /// Where the types come from.
    #[must_use]
    pub const fn origin(&self) -> TypesOrigin {
        match self.graph {
            Graph::Missing => TypesOrigin::Missing,
            Graph::Btf(_) => TypesOrigin::Btf,
            Graph::Dwarf(_) => TypesOrigin::Dwarf,
        }
    }

    /// `sizeof(type_name)`, in bytes.
    #[must_use]
    pub fn size_of(&self, type_name: &str) -> Option<u64> {
        let graph = self.graph()?;
        graph::size_of(graph, graph::find(graph, type_name)?)
    }

    /// Where the member `path` of `type_name` lies. A path names members joined by `.`, each with any number of array
    /// indexes: `se.sum_exec_runtime`, `mem[2].base`. Members of anonymous structs and unions are named as in C, as if
    /// they belonged to the struct around. A path does not lead through pointers. An index past an array's end gives
    /// `None`, except in a flexible array member, whose length is not in its type.
    #[must_use]
    pub fn member(&self, type_name: &str, path: &str) -> Option<Member> {
        let graph = self.graph()?;
        path::member(graph, graph::find(graph, type_name)?, path)
    }

    /// The names of the members of `type_name` in the order of their declaration, those of anonymous structs and unions
    /// among them; each is a path for [`Types::member`]. Empty where `type_name` is not a struct or union.
    #[must_use]
    pub fn member_names(&self, type_name: &str) -> Vec<String> {
        let names = self.graph().and_then(|graph| Some(path::member_names(graph, graph::find(graph, type_name)?)));
        names.unwrap_or_default()
    }

    /// Whether the kernel defines `type_name`.
    #[must_use]
    pub fn has_type(&self, type_name: &str) -> bool {
        self.graph().is_some_and(|graph| graph::find(graph, type_name).is_some())
    }

    /// Whether [`Types::member`] finds this path.
    #[must_use]
    pub fn has_member(&self, type_name: &str, path: &str) -> bool {
        self.member(type_name, path).is_some()
    }

    /// The value of the enumerator `name`, whichever enumeration defines it, anonymous ones included.
    #[must_use]
    pub fn enumerator(&self, name: &str) -> Option<i64> {
        self.graph()?.enumerator(name)
    }

    /// The value of the enumerator `name` of the enumeration `enum_name`, which may also be a typedef of one.
    #[must_use]
    pub fn enumerator_of(&self, enum_name: &str, name: &str) -> Option<i64> {
        let graph = self.graph()?;
        // A struct of the same name may exist; an enumeration is asked for.
        let ty = graph.find(graph::Tag::Enum, enum_name).or_else(|| graph::find(graph, enum_name))?;
        graph.enumerator_in(graph::strip(graph, ty)?.0, name)
    }

    /// The size of the variable `variable` in bytes: that of its symbol or, without a symbol table, of its type (BTF has
    /// only the types of per-CPU variables).
    #[must_use]
    pub fn variable_type_size(&self, variable: &str) -> Option<u64> {
        let of_symbol = || self.symbols.as_ref()?.size(variable);
        // The symbol is asked first: it has the same number, and DWARF would have to be searched from end to end.
        of_symbol().or_else(|| {
            let (graph, ty) = self.variable(variable)?;
            graph::size_of(graph, ty)
        })
    }

    /// The number of elements of the array variable `variable`; `None` where its type is not known or no array. See
    /// [`Types::variable_type_size`] for arrays whose type only DWARF has.
    #[must_use]
    pub fn variable_array_len(&self, variable: &str) -> Option<u64> {
        let (graph, ty) = self.variable(variable)?;
        match graph::strip(graph, ty)?.1 {
            Node::Array { len, .. } => Some(len),
            _ => None,
        }
    }

    /// The size of the section `name` in bytes and the variables in it, each with its offset from the section's start; `None`
    /// where that is not known. A kernel's BTF has the section `.data..percpu`, DWARF has none.
    #[must_use]
    pub fn section_variables(&self, name: &str) -> Option<(u64, Vec<(String, u64)>)> {
        let Graph::Btf(btf) = &self.graph else { return None };
        btf.section_variables(name)
    }

    /// Types that were read from DWARF as a BTF blob, which answers alike; `None` for others, and for more than a blob
    /// can hold.
    pub(crate) fn dwarf_as_btf(&self) -> Option<Vec<u8>> {
        match &self.graph {
            Graph::Dwarf(dwarf) => dwarf.to_btf(),
            Graph::Missing | Graph::Btf(_) => None,
        }
    }

    /// The lengths of all array types of pointers to `struct struct_name`, each once, in ascending order: BTF has the
    /// types of all arrays, though not which variables have them. Empty for types from DWARF.
    #[must_use]
    pub fn pointer_array_lens(&self, struct_name: &str) -> Vec<u64> {
        let Some(graph) = self.graph() else { return Vec::new() };
        let Some(wanted) = graph.find(graph::Tag::Struct, struct_name) else { return Vec::new() };
        let len = |array: TypeRef| {
            let Node::Array { element, len } = graph.node(array)? else { return None };
            let Node::Pointer { target } = graph::strip(graph, element)?.1 else { return None };
            (graph::strip(graph, target)?.0 == wanted && len != 0).then_some(len)
        };
        let lens: BTreeSet<u64> = graph.arrays().into_iter().filter_map(len).collect();
        lens.into_iter().collect()
    }

    fn variable(&self, name: &str) -> Option<(&dyn TypeGraph, TypeRef)> {
        let graph = self.graph()?;
        Some((graph, graph.variable(name)?))
    }

    fn graph(&self) -> Option<&dyn TypeGraph> {
        match &self.graph {
            Graph::Missing => None,
            Graph::Btf(btf) => Some(&**btf),
            Graph::Dwarf(dwarf) => Some(&**dwarf),
        }
    }
}
