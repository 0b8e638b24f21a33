//! Types as a BTF blob: how a profile keeps those that its vmlinux has in DWARF only.
//!
//! DWARF repeats a type in every unit that uses it. Of each name the definition that lookups find is written first, in
//! their order, so that the blob answers like the DWARF; where another definition of that name is used that differs, as
//! structures private to two files do, it is written as well. Pointers, arrays and qualifiers are written once each.
//!
//! The format is described in `btf.rs`.

use std::collections::HashMap;

use super::super::graph::{self, Field, Node, Tag, TypeGraph, TypeRef};
use super::header::{MAGIC, MIN_HEADER_SIZE};

const INT: u32 = 1;
const POINTER: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FORWARD: u32 = 7;
const TYPEDEF: u32 = 8;
const CONST: u32 = 10;
const FUNCTION_PROTOTYPE: u32 = 13;
const VARIABLE: u32 = 14;
const FLOAT: u32 = 16;
const ENUM64: u32 = 19;
/// Structures: offsets hold widths of bit-fields. Enumerations: the values are signed. Forwards: of a union.
const KIND_FLAG: u32 = 1 << 31;
const SIGNED: u32 = 1 << 24;
/// Members or enumerators of one type.
const MAX_VLEN: usize = 0xffff;
/// Pointers to arrays of pointers and so on: more than any C program has.
const MAX_DEPTH: usize = 64;

/// Something that has a name of its own.
#[derive(Clone, Debug)]
pub(in super::super) enum Definition {
    Type(TypeRef),
    Variable { name: String, ty: TypeRef },
}

/// The blob with all `definitions`, in the order in which lookups find them, and what they refer to. `None` where they
/// are more than a blob can hold.
pub(in super::super) fn write(graph: &dyn TypeGraph, definitions: &[Definition]) -> Option<Vec<u8>> {
    let mut writer = Writer::new(graph);
    writer.number_definitions(definitions);
    writer.write_numbered()?;
    writer.finish()
}

/// What a number stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Item {
    /// A type with members, or with a name.
    Node(TypeRef),
    Pointer(u32),
    Qualifier(u32),
    Array {
        element: u32,
        len: u32,
    },
    Variable {
        name: u32,
        ty: u32,
    },
    /// A function.
    Opaque,
}

struct Writer<'g> {
    graph: &'g dyn TypeGraph,
    /// The type with number `n + 1`.
    items: Vec<Item>,
    /// Numbers of what was asked for, and of what is the same wherever it occurs.
    by_ref: HashMap<TypeRef, u32>,
    by_item: HashMap<Item, u32>,
    /// The definition that a lookup finds.
    named: HashMap<(Tag, String), TypeRef>,
    signatures: HashMap<TypeRef, Signature>,
    types: Vec<u8>,
    strings: Vec<u8>,
    by_string: HashMap<String, u32>,
}

/// By what two definitions of one name are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    size: Option<u64>,
    members: Vec<(Option<String>, u64, Option<u32>)>,
    enumerators: Vec<(String, i64)>,
}

impl<'g> Writer<'g> {
    fn new(graph: &'g dyn TypeGraph) -> Self {
        let (items, by_ref, by_item, named, signatures) = Default::default();
        let (types, strings, by_string) = (Vec::new(), vec![0], HashMap::new());
        Self { graph, items, by_ref, by_item, named, signatures, types, strings, by_string }
    }

    fn number_definitions(&mut self, definitions: &[Definition]) {
        for definition in definitions {
            let Definition::Type(ty) = *definition else { continue };
            let named = self.graph.node(ty).and_then(|node| name_of(&node));
            let is_first = named.is_none_or(|named| match self.named.entry(named) {
                std::collections::hash_map::Entry::Occupied(_) => false,
                std::collections::hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(ty);
                    true
                }
            });
            if is_first {
                let number = self.add(Item::Node(ty));
                self.by_ref.insert(ty, number);
            }
        }
        for definition in definitions {
            if let Definition::Variable { name, ty } = definition {
                let (name, ty) = (self.string(name), self.number(*ty, 0));
                self.add(Item::Variable { name, ty });
            }
        }
    }

    fn add(&mut self, item: Item) -> u32 {
        self.items.push(item);
        u32::try_from(self.items.len()).unwrap_or(u32::MAX)
    }

    /// One that is the same wherever it occurs.
    fn shared(&mut self, item: Item) -> u32 {
        if let Some(&number) = self.by_item.get(&item) {
            return number;
        }
        let number = self.add(item.clone());
        self.by_item.insert(item, number);
        number
    }

    /// The number of a type, a new one if it has none; 0 is `void`.
    fn number(&mut self, ty: TypeRef, depth: usize) -> u32 {
        if let Some(&number) = self.by_ref.get(&ty) {
            return number;
        }
        let number = match self.graph.node(ty) {
            None | Some(Node::Void) => 0,
            Some(Node::Opaque) => self.shared(Item::Opaque),
            _ if depth > MAX_DEPTH => 0,
            Some(Node::Pointer { target }) => {
                let target = self.number(target, depth + 1);
                self.shared(Item::Pointer(target))
            }
            Some(Node::Qualifier(target)) => {
                let target = self.number(target, depth + 1);
                self.shared(Item::Qualifier(target))
            }
            Some(Node::Array { element, len }) => {
                let element = self.number(element, depth + 1);
                self.shared(Item::Array { element, len: u32::try_from(len).unwrap_or(0) })
            }
            Some(node) => self.number_of_named(ty, &node),
        };
        self.by_ref.insert(ty, number);
        number
    }

    /// That of the definition that lookups find, where this is the same or no more than a declaration.
    fn number_of_named(&mut self, ty: TypeRef, node: &Node<'_>) -> u32 {
        let found = name_of(node).and_then(|named| self.named.get(&named).copied());
        let Some(found) = found.filter(|found| *found != ty) else { return self.add(Item::Node(ty)) };
        let is_same = matches!(node, Node::Incomplete { .. }) || self.signature(ty) == self.signature(found);
        match self.by_ref.get(&found) {
            Some(&number) if is_same => number,
            _ => self.add(Item::Node(ty)),
        }
    }

    fn signature(&mut self, ty: TypeRef) -> Signature {
        if let Some(signature) = self.signatures.get(&ty) {
            return signature.clone();
        }
        let member = |field: Field<'_>| (field.name.map(Into::into), field.bit_offset, field.bit_size);
        let signature = Signature {
            size: graph::size_of(self.graph, ty),
            members: self.graph.fields(ty).into_iter().map(member).collect(),
            enumerators: self.enumerators(ty),
        };
        self.signatures.insert(ty, signature.clone());
        signature
    }

    fn enumerators(&self, ty: TypeRef) -> Vec<(String, i64)> {
        self.graph.enumerators(ty).into_iter().map(|(name, value)| (name.into_owned(), value)).collect()
    }

    /// Types that are written add those that they refer to.
    fn write_numbered(&mut self) -> Option<()> {
        let mut next = 0;
        while let Some(item) = self.items.get(next).cloned() {
            next += 1;
            match item {
                Item::Node(ty) => self.write_node(ty)?,
                Item::Pointer(target) => self.head(0, POINTER << 24, target),
                Item::Qualifier(target) => self.head(0, CONST << 24, target),
                Item::Opaque => self.head(0, FUNCTION_PROTOTYPE << 24, 0),
                Item::Array { element, len } => {
                    let index = self.index_type();
                    self.head(0, ARRAY << 24, 0);
                    [element, index, len].into_iter().for_each(|word| self.word(word));
                }
                Item::Variable { name, ty } => {
                    self.head(name, VARIABLE << 24, ty);
                    self.word(1);
                }
            }
        }
        Some(())
    }

    /// The type of array indices: readers want one, whatever it is.
    fn index_type(&self) -> u32 {
        let int = self.named.get(&(Tag::Base, "int".to_owned()));
        int.and_then(|int| self.by_ref.get(int)).copied().unwrap_or(0)
    }

    fn write_node(&mut self, ty: TypeRef) -> Option<()> {
        let graph = self.graph;
        let node = graph.node(ty)?;
        let number = |size: u64| u32::try_from(size).ok();
        match node {
            Node::Struct { name, size } => self.write_members(ty, STRUCT, name.as_deref(), number(size)?),
            Node::Union { name, size } => self.write_members(ty, UNION, name.as_deref(), number(size)?),
            Node::Enum { name, size } => self.write_enumerators(ty, name.as_deref(), number(size)?),
            Node::Typedef { name, target } => {
                let (name, target) = (self.string(&name), self.number(target, 0));
                self.head(name, TYPEDEF << 24, target);
            }
            Node::Integer { name, size, signed } => {
                let name = self.string(&name);
                self.head(name, INT << 24, number(size)?);
                self.word(if signed { SIGNED } else { 0 } | number(size.checked_mul(8)?.min(0xff))?);
            }
            Node::Float { name, size } => {
                let name = self.string(&name);
                self.head(name, FLOAT << 24, number(size)?);
            }
            Node::Incomplete { tag, name } => {
                let name = self.string(name.as_deref().unwrap_or_default());
                let flag = if tag == Tag::Union { KIND_FLAG } else { 0 };
                self.head(name, FORWARD << 24 | flag, 0);
            }
            // These are numbered as what they are made of.
            Node::Void | Node::Pointer { .. } | Node::Qualifier(_) | Node::Array { .. } | Node::Opaque => {
                self.head(0, FUNCTION_PROTOTYPE << 24, 0);
            }
        }
        Some(())
    }

    fn write_members(&mut self, ty: TypeRef, kind: u32, name: Option<&str>, size: u32) {
        let graph = self.graph;
        let mut fields = graph.fields(ty);
        let has_bits = fields.iter().any(|field| field.bit_size.is_some());
        let fits = |field: &Field<'_>| field.bit_offset < if has_bits { 1 << 24 } else { 1 << 32 };
        fields.retain(fits);
        fields.truncate(MAX_VLEN);
        let name = self.string(name.unwrap_or_default());
        let count = u32::try_from(fields.len()).unwrap_or_default();
        let members: Vec<[u32; 3]> = fields
            .into_iter()
            .map(|field| {
                let offset = u32::try_from(field.bit_offset).unwrap_or_default();
                let bits = field.bit_size.unwrap_or_default().min(0xff) << 24;
                let name = self.string(field.name.as_deref().unwrap_or_default());
                [name, self.number(field.ty, 0), offset | bits]
            })
            .collect();
        self.head(name, kind << 24 | count | if has_bits { KIND_FLAG } else { 0 }, size);
        members.into_iter().flatten().for_each(|word| self.word(word));
    }

    fn write_enumerators(&mut self, ty: TypeRef, name: Option<&str>, size: u32) {
        let mut enumerators = self.enumerators(ty);
        enumerators.truncate(MAX_VLEN);
        let wide = enumerators.iter().any(|(_, value)| i32::try_from(*value).is_err());
        let signed = enumerators.iter().any(|(_, value)| *value < 0);
        let count = u32::try_from(enumerators.len()).unwrap_or_default();
        let kind = if wide { ENUM64 } else { ENUM };
        let name = self.string(name.unwrap_or_default());
        self.head(name, kind << 24 | count | if signed { KIND_FLAG } else { 0 }, size);
        for (name, value) in enumerators {
            let name = self.string(&name);
            self.word(name);
            let bytes = value.to_le_bytes();
            self.types.extend(bytes.get(..if wide { 8 } else { 4 }).unwrap_or_default());
        }
    }

    fn head(&mut self, name: u32, info: u32, size_or_type: u32) {
        [name, info, size_or_type].into_iter().for_each(|word| self.word(word));
    }

    fn word(&mut self, word: u32) {
        self.types.extend(word.to_le_bytes());
    }

    /// Where a string is; names of C hold no NUL, and one that does ends there.
    fn string(&mut self, text: &str) -> u32 {
        let text = text.split('\0').next().unwrap_or_default();
        if text.is_empty() {
            return 0;
        }
        if let Some(&at) = self.by_string.get(text) {
            return at;
        }
        let at = u32::try_from(self.strings.len()).unwrap_or_default();
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        self.by_string.insert(text.to_owned(), at);
        at
    }

    fn finish(self) -> Option<Vec<u8>> {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).ok();
        let (types, strings) = (len(&self.types)?, len(&self.strings)?);
        let mut blob = Vec::new();
        blob.extend(MAGIC.to_le_bytes());
        blob.extend([1, 0]);
        for word in [MIN_HEADER_SIZE, 0, types, types, strings] {
            blob.extend(word.to_le_bytes());
        }
        blob.extend(self.types);
        blob.extend(self.strings);
        Some(blob)
    }
}

/// What a lookup would ask for.
fn name_of(node: &Node<'_>) -> Option<(Tag, String)> {
    let (tag, name) = match node {
        Node::Struct { name, .. } => (Tag::Struct, name.as_deref()?),
        Node::Union { name, .. } => (Tag::Union, name.as_deref()?),
        Node::Enum { name, .. } => (Tag::Enum, name.as_deref()?),
        Node::Typedef { name, .. } => (Tag::Typedef, &**name),
        Node::Integer { name, .. } | Node::Float { name, .. } => (Tag::Base, &**name),
        Node::Incomplete { tag, name } => (*tag, name.as_deref()?),
        Node::Void | Node::Pointer { .. } | Node::Qualifier(_) | Node::Array { .. } | Node::Opaque => return None,
    };
    Some((tag, name.to_owned()))
}
