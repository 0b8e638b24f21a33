//! Objects that are linked: lists, red-black trees, xarrays (radix trees) and maple trees, as `list` and `tree` walk them.
//!
//! A damaged link ends a walk with a reason, and what was found before is shown. Source: `include/linux/list.h`,
//! `rbtree.h`, `xarray.h`, `maple_tree.h`.

use std::collections::HashSet;

use vmcore_kernel::{Kernel, Listed, rb_tree};
use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::InspectError;

/// How deep an xarray or a maple tree is at most: 64 bits in steps of 4 or more.
const MAX_LEVELS: usize = 17;
/// Slots of a node that are looked at.
const MAX_SLOTS: u64 = 64;

/// What a walk found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Linked {
    /// The objects, in the order of their links, each with its index where it is in an xarray or maple tree.
    pub objects: Vec<(VirtAddr, Option<u64>)>,
    /// Why the walk ended before its end.
    pub problem: Option<String>,
}

/// Where a list begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListStart {
    /// At a `list_head` that is no member of an object on the list.
    Head(VirtAddr),
    /// At an object, whose embedded `list_head` is on the list.
    Object(VirtAddr),
    /// At an object that holds the address of the next, as in a chain without `list_head`.
    Chain(VirtAddr),
}

/// How a list is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListOptions {
    /// Bytes from the start of an object to its link.
    pub offset: u64,
    /// Whether to follow `prev`.
    pub reverse: bool,
    /// The address that ends the list besides its start and a null pointer.
    pub end: Option<VirtAddr>,
    /// The most objects to list.
    pub limit: usize,
}

/// Walks a list.
#[must_use]
pub fn list(kernel: &Kernel<'_>, start: ListStart, options: ListOptions) -> Linked {
    let link = if options.reverse { 8 } else { 0 };
    // The address that links hold is that of the next link, but in a chain that of the next object.
    let (first, skip, back) = match start {
        ListStart::Head(head) => (head.wrapping_add(link), None, options.offset),
        ListStart::Object(object) => {
            (object.wrapping_add(options.offset).wrapping_add(link), Some(object), options.offset)
        }
        ListStart::Chain(object) => (object.wrapping_add(options.offset), Some(object), 0),
    };
    let home = match start {
        ListStart::Head(head) => head,
        ListStart::Object(object) => object.wrapping_add(options.offset),
        ListStart::Chain(object) => object,
    };
    let mut found = Linked::default();
    let mut seen = HashSet::from([home]);
    let mut at = first;
    let mut own = skip;
    loop {
        let next = match kernel.memory().read_pointer(at) {
            Ok(next) => next,
            Err(error) => {
                found.problem = Some(format!("the link at {at} cannot be read: {error}"));
                return found;
            }
        };
        // The start is an object only if there is anything.
        found.objects.extend(own.take().map(|object| (object, None)));
        if next == home || next.is_null() || options.end == Some(next) {
            return found;
        }
        if !seen.insert(next) {
            found.problem = Some(format!("the list loops back to {next}"));
            return found;
        }
        if found.objects.len() >= options.limit {
            found.problem = Some(format!("there are more than {} objects; --limit allows more", options.limit));
            return found;
        }
        let object = next.wrapping_sub(back);
        if options.end == Some(object) {
            return found;
        }
        found.objects.push((object, None));
        at = match start {
            ListStart::Chain(_) => object.wrapping_add(options.offset),
            _ => next.wrapping_add(link),
        };
    }
}

/// Kinds of trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeKind {
    /// `struct rb_root`, or `struct rb_root_cached`, whose first member is one.
    RedBlack,
    /// The topmost `struct rb_node` of such a tree.
    RedBlackNode,
    /// `struct xarray`, or the `struct radix_tree_root` before it.
    XArray,
    /// `struct maple_tree`.
    Maple,
}

/// Walks the tree whose root is at `root`; `offset` is that of the node in an object of a red-black tree.
///
/// # Errors
///
/// [`InspectError`] where the kernel has no such trees, or the root cannot be read.
pub fn tree(
    kernel: &Kernel<'_>,
    kind: TreeKind,
    root: VirtAddr,
    offset: u64,
    limit: usize,
) -> Result<Linked, InspectError> {
    let read = |address| {
        let what = |error| InspectError::read(format!("the root at {address}"), error);
        kernel.memory().read_u64(address).map_err(what)
    };
    match kind {
        TreeKind::RedBlack | TreeKind::RedBlackNode => {
            let top = if kind == TreeKind::RedBlack { VirtAddr::new(read(root)?) } else { root };
            let Listed { nodes, gap } = rb_tree(kernel.memory(), top, limit, "tree");
            let objects = nodes.into_iter().map(|node| (node.wrapping_sub(offset), None)).collect();
            Ok(Linked { objects, problem: gap.map(|gap| gap.why) })
        }
        TreeKind::XArray => {
            let layout = RadixLayout::resolve(kernel)?;
            let entry = read(root.wrapping_add(layout.head))?;
            let mut walk = Walk::new(kernel, limit);
            walk.radix(&layout, entry, 0, 0);
            Ok(walk.found)
        }
        TreeKind::Maple => {
            let layout = MapleLayout::resolve(kernel)?;
            let entry = read(root.wrapping_add(layout.root))?;
            let mut walk = Walk::new(kernel, limit);
            // A tree of one entry at index 0 has it in place of a node.
            if entry & 3 == 2 && entry > 4096 {
                walk.maple(&layout, entry, 0, u64::MAX, 0);
            } else if entry != 0 {
                walk.add(entry, 0);
            }
            Ok(walk.found)
        }
    }
}

struct Walk<'k, 'a> {
    kernel: &'k Kernel<'a>,
    limit: usize,
    seen: HashSet<u64>,
    found: Linked,
}

impl<'k, 'a> Walk<'k, 'a> {
    fn new(kernel: &'k Kernel<'a>, limit: usize) -> Self {
        Self { kernel, limit, seen: HashSet::new(), found: Linked::default() }
    }

    /// Adds an object; whether there may be more.
    fn add(&mut self, object: u64, index: u64) -> bool {
        if self.found.objects.len() >= self.limit {
            self.stop(format!("there are more than {} objects; --limit allows more", self.limit));
            return false;
        }
        self.found.objects.push((VirtAddr::new(object), Some(index)));
        true
    }

    fn stop(&mut self, why: String) {
        self.found.problem.get_or_insert(why);
    }

    /// Whether the node may be entered: each only once, and not too deep.
    fn enter(&mut self, node: u64, level: usize) -> bool {
        let new = level < MAX_LEVELS && self.seen.insert(node);
        if !new {
            self.stop(format!("the tree loops at {node:#x}"));
        }
        new && self.found.problem.is_none()
    }

    fn radix(&mut self, layout: &RadixLayout, entry: u64, index: u64, level: usize) {
        if entry == 0 {
            return;
        }
        // Internal entries have the tag; small ones are no nodes but marks of siblings, retries and so on.
        if entry & 3 != layout.tag || entry <= 4096 {
            self.add(entry, index);
            return;
        }
        let node = entry & !3;
        if !self.enter(node, level) {
            return;
        }
        let at = VirtAddr::new(node);
        let memory = self.kernel.memory();
        let shift = match memory.read_array::<1>(at.wrapping_add(layout.shift)) {
            Ok([shift]) => u32::from(shift),
            Err(error) => return self.stop(format!("the node at {at}: {error}")),
        };
        for slot in 0..layout.slots_len {
            let Ok(entry) = memory.read_u64(at.wrapping_add(layout.slots + slot * 8)) else {
                return self.stop(format!("the slots of the node at {at} cannot be read"));
            };
            let below = index.wrapping_add(slot.checked_shl(shift).unwrap_or_default());
            // A sibling repeats the entry before it.
            if entry != 0 && !(entry & 3 == layout.tag && entry <= 4096) {
                self.radix(layout, entry, below, level + 1);
            }
            if self.found.problem.is_some() {
                return;
            }
        }
    }

    fn maple(&mut self, layout: &MapleLayout, entry: u64, min: u64, max: u64, level: usize) {
        let node = entry & !0xff;
        if !self.enter(node, level) {
            return;
        }
        // `enum maple_type`: dense, leaf_64, range_64, arange_64.
        let kind = entry >> 3 & 0xf;
        let (pivots, slots, count) = match kind {
            1 | 2 => layout.range,
            3 => layout.arange,
            _ => return self.stop(format!("the node at {node:#x} is of a kind that is not walked")),
        };
        let word = |offset: u64, index: u64| {
            self.kernel.memory().read_u64(VirtAddr::new(node).wrapping_add(offset + index * 8))
        };
        let mut from = min;
        let mut entries = Vec::new();
        for index in 0..count {
            let pivot = if index + 1 < count { word(pivots, index) } else { Ok(max) };
            let (slot, pivot) = match (word(slots, index), pivot) {
                (Ok(slot), Ok(pivot)) => (slot, pivot),
                (Err(error), _) | (_, Err(error)) => return self.stop(format!("the node at {node:#x}: {error}")),
            };
            // An unused pivot is 0: then the slot before it was the last that has one.
            let to = if pivot == 0 && index > 0 { max } else { pivot.min(max) };
            if slot != 0 {
                entries.push((slot, from, to));
            }
            if to >= max {
                break;
            }
            from = to.saturating_add(1);
        }
        for (slot, from, to) in entries {
            if kind == 1 {
                if !self.add(slot, from) {
                    return;
                }
            } else {
                self.maple(layout, slot, from, to, level + 1);
            }
        }
    }
}

/// `struct xarray` and `struct xa_node`, or what they were before 4.20 (kernel commit f8d5d0cc145c).
struct RadixLayout {
    head: u64,
    shift: u64,
    slots: u64,
    slots_len: u64,
    /// The lowest two bits of an entry that is a node.
    tag: u64,
}

impl RadixLayout {
    fn resolve(kernel: &Kernel<'_>) -> Result<Self, InspectError> {
        let types = kernel.vmlinux().types();
        let offset = |name, member| types.member(name, member).map(|member| member.offset);
        let layout = |root, head, node, tag| {
            let slots = types.member(node, "slots")?;
            Some(Self {
                head: offset(root, head)?,
                shift: offset(node, "shift")?,
                slots: slots.offset,
                slots_len: (slots.size / 8).min(MAX_SLOTS),
                tag,
            })
        };
        layout("struct xarray", "xa_head", "struct xa_node", 2)
            .or_else(|| layout("struct radix_tree_root", "rnode", "struct radix_tree_node", 1))
            .ok_or_else(|| InspectError::NoType("struct xarray".to_owned()))
    }
}

/// `struct maple_tree` and its nodes (since 6.1): offsets of pivots and slots, and how many slots.
struct MapleLayout {
    root: u64,
    range: (u64, u64, u64),
    arange: (u64, u64, u64),
}

impl MapleLayout {
    fn resolve(kernel: &Kernel<'_>) -> Result<Self, InspectError> {
        let types = kernel.vmlinux().types();
        let node = |name| {
            let slots = types.member(name, "slot")?;
            Some((types.member(name, "pivot")?.offset, slots.offset, (slots.size / 8).min(MAX_SLOTS)))
        };
        let layout = || {
            Some(Self {
                root: types.member("struct maple_tree", "ma_root")?.offset,
                range: node("struct maple_range_64")?,
                arange: node("struct maple_arange_64")?,
            })
        };
        layout().ok_or_else(|| InspectError::NoType("struct maple_tree".to_owned()))
    }
}
