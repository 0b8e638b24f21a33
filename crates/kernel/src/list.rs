//! The kernel's linked structures, walked so that a damaged one cannot loop for ever.
//!
//! `struct list_head` is a circle of `next`, `prev` pointers through a head that is no element. `struct rb_node` has
//! `rb_right` and `rb_left` after the parent word.

use std::collections::HashSet;

use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::Gap;

/// Offset of `prev` in `struct list_head`.
const PREV: u64 = 8;
/// Offset of `rb_right` in `struct rb_node`.
const RB_RIGHT: u64 = 8;
/// Offset of `rb_left` in `struct rb_node`.
const RB_LEFT: u64 = 16;

/// What a walk found, and where it had to stop.
pub struct Listed {
    /// Addresses of the embedded `list_head` or `rb_node` members, in order.
    pub nodes: Vec<VirtAddr>,
    /// Why the walk is not complete.
    pub gap: Option<Gap>,
}

/// The elements of the list at `head`, at most `limit`. Where `next` pointers lead into damage, the rest is collected
/// backwards from the head along `prev`.
#[must_use]
pub fn list<M: ReadVirtual + ?Sized>(memory: &M, head: VirtAddr, limit: usize, what: &str) -> Listed {
    let mut seen = HashSet::from([head]);
    let mut nodes = Vec::new();
    let Err(why) = follow(memory, head, 0, limit, &mut seen, &mut nodes) else { return Listed { nodes, gap: None } };
    let mut behind = Vec::new();
    // The second failure says nothing that the first did not.
    let _ = follow(memory, head, PREV, limit.saturating_sub(nodes.len()), &mut seen, &mut behind);
    nodes.extend(behind.into_iter().rev());
    Listed { nodes, gap: Some(Gap::new(what, why)) }
}

fn follow<M: ReadVirtual + ?Sized>(
    memory: &M,
    head: VirtAddr,
    link: u64,
    limit: usize,
    seen: &mut HashSet<VirtAddr>,
    nodes: &mut Vec<VirtAddr>,
) -> Result<(), String> {
    let mut at = head;
    loop {
        let next = memory.read_pointer(at.wrapping_add(link)).map_err(|error| format!("list link: {error}"))?;
        if next == head {
            return Ok(());
        }
        if !seen.insert(next) {
            return Err(format!("list loops back to {next}"));
        }
        if nodes.len() >= limit {
            return Err(format!("list has more than {limit} elements"));
        }
        // Only a node that can itself be followed is an element: a wild pointer is none.
        memory.read_pointer(next).map_err(|error| format!("list element at {next}: {error}"))?;
        nodes.push(next);
        at = next;
    }
}

/// The nodes of the red-black tree whose root pointer has the value `root`, in order, at most `limit`.
#[must_use]
pub fn rb_tree<M: ReadVirtual + ?Sized>(memory: &M, root: VirtAddr, limit: usize, what: &str) -> Listed {
    let mut nodes = Vec::new();
    let mut seen = HashSet::new();
    let mut path = Vec::new();
    let mut gap = None;
    let mut at = root;
    loop {
        while !at.is_null() && gap.is_none() {
            if !seen.insert(at) || seen.len() > limit {
                gap = Some(Gap::new(what, format!("tree loops at {at} or has more than {limit} nodes")));
                break;
            }
            match memory.read_pointer(at.wrapping_add(RB_LEFT)) {
                Ok(left) => {
                    path.push(at);
                    at = left;
                }
                Err(error) => gap = Some(Gap::new(what, format!("tree node at {at}: {error}"))),
            }
        }
        let Some(node) = path.pop() else { return Listed { nodes, gap } };
        nodes.push(node);
        at = match memory.read_pointer(node.wrapping_add(RB_RIGHT)) {
            Ok(right) => right,
            Err(error) => {
                gap.get_or_insert_with(|| Gap::new(what, format!("tree node at {node}: {error}")));
                VirtAddr::default()
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use vmcore_memory::ReadError;

    use super::*;
    use crate::test_memory::damaged_memory;

    struct Words(HashMap<u64, u64>);

    impl ReadVirtual for Words {
        fn read_virtual(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
            let word = self.0.get(&address.get()).ok_or(ReadError::NonCanonical { address })?;
            buf.copy_from_slice(&word.to_le_bytes());
            Ok(())
        }
    }

    fn circle(nodes: &[u64]) -> Words {
        let mut words = HashMap::new();
        for (index, node) in nodes.iter().enumerate() {
            let next = nodes[(index + 1) % nodes.len()];
            words.insert(*node, next);
            words.insert(next + PREV, *node);
        }
        Words(words)
    }

    fn raw(listed: &Listed) -> Vec<u64> {
        listed.nodes.iter().map(|node| node.get()).collect()
    }

    #[test]
    fn a_whole_list_in_order() {
        let listed = list(&circle(&[0x100, 0x200, 0x300]), VirtAddr::new(0x100), 10, "list");
        assert_eq!(raw(&listed), [0x200, 0x300]);
        assert_eq!(listed.gap, None);
    }

    #[test]
    fn a_broken_link_is_passed_from_the_other_side() {
        let mut words = circle(&[0x100, 0x200, 0x300, 0x400, 0x500]);
        words.0.insert(0x300, 0xdead);
        let listed = list(&words, VirtAddr::new(0x100), 10, "list");
        assert_eq!(raw(&listed), [0x200, 0x300, 0x400, 0x500]);
        assert!(listed.gap.is_some());
    }

    #[test]
    fn loops_and_endless_lists_end() {
        let mut words = circle(&[0x100, 0x200, 0x300]);
        words.0.insert(0x300, 0x200);
        assert!(list(&words, VirtAddr::new(0x100), 10, "list").gap.is_some());
        let long: Vec<u64> = (1..100).map(|index| index * 0x100).collect();
        let listed = list(&circle(&long), VirtAddr::new(0x100), 10, "list");
        assert_eq!(listed.nodes.len(), 10);
        assert!(listed.gap.is_some());
    }

    #[test]
    fn a_tree_is_walked_in_order_and_loops_end() {
        let mut words = HashMap::new();
        for (node, left, right) in [(0x200u64, 0x100u64, 0x300u64), (0x100, 0, 0), (0x300, 0, 0)] {
            words.insert(node + RB_LEFT, left);
            words.insert(node + RB_RIGHT, right);
        }
        let listed = rb_tree(&Words(words.clone()), VirtAddr::new(0x200), 10, "tree");
        assert_eq!(raw(&listed), [0x100, 0x200, 0x300]);
        words.insert(0x300 + RB_RIGHT, 0x200);
        let listed = rb_tree(&Words(words), VirtAddr::new(0x200), 10, "tree");
        assert_eq!(raw(&listed), [0x100, 0x200, 0x300]);
        assert!(listed.gap.is_some());
    }

    proptest! {
        #[test]
        fn any_list_or_tree_ends_and_has_each_node_once(
            memory in damaged_memory(0x1000..0x3000),
            start in 0x1000u64..0x3000,
            limit in 0usize..100,
        ) {
            for listed in [
                list(&memory, VirtAddr::new(start), limit, "list"),
                rb_tree(&memory, VirtAddr::new(start), limit, "tree"),
            ] {
                prop_assert!(listed.nodes.len() <= limit);
                let distinct: HashSet<_> = listed.nodes.iter().collect();
                prop_assert_eq!(distinct.len(), listed.nodes.len());
            }
        }
    }
}
