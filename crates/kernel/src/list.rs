//! The kernel's linked structures, walked so that a damaged one cannot loop for ever.
//!
//! `struct list_head` is a circle of `next`, `prev` pointers through a head that is no element. `struct rb_node` has
//! `rb_right` and `rb_left` after the parent word.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::Gap;

/// Offset of `next` in `struct list_head`.
const NEXT: u64 = 0;
/// Offset of `prev` in `struct list_head`.
const PREV: u64 = 8;
/// Offset of `rb_right` in `struct rb_node`.
const RB_RIGHT: u64 = 8;
/// Offset of `rb_left` in `struct rb_node`.
const RB_LEFT: u64 = 16;

/// What a walk found, and where it had to stop.
#[derive(Default)]
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
    let mut seen = Addresses::from_iter([head]);
    let mut nodes = Vec::new();
    let Err(why) = follow(memory, head, 0, limit, &mut seen, &mut nodes) else { return Listed { nodes, gap: None } };
    let mut behind = Vec::new();
    // The second failure says nothing that the first did not.
    let _ = follow(memory, head, PREV, limit.saturating_sub(nodes.len()), &mut seen, &mut behind);
    nodes.extend(behind.into_iter().rev());
    Listed { nodes, gap: Some(Gap::new(what, why)) }
}

/// Whether the neighbours of a node lead back to it.
pub(crate) fn is_linked_both_ways<M: ReadVirtual + ?Sized>(memory: &M, node: VirtAddr) -> bool {
    let next = memory.read_pointer(node);
    let prev = memory.read_pointer(node.wrapping_add(PREV));
    let (Ok(next), Ok(prev)) = (next, prev) else { return false };
    memory.read_pointer(next.wrapping_add(PREV)).is_ok_and(|back| back == node)
        && memory.read_pointer(prev).is_ok_and(|forth| forth == node)
}

/// As [`list`], and with the same answer, in about half the time where there are two CPUs: from the head forwards and
/// backwards at the same time.
///
/// Backwards it goes only over nodes whose `next` leads back to where it came from. So what it has found is what a walk
/// forwards would find last, in the opposite order, once that walk comes to any of them. Where anything is damaged, the
/// list is walked again, by [`list`].
#[must_use]
pub(crate) fn long_list<M: ReadVirtual + ?Sized>(memory: &M, head: VirtAddr, limit: usize, what: &str) -> Listed {
    match from_both_ends(memory, head, limit) {
        Some(nodes) => Listed { nodes, gap: None },
        None => list(memory, head, limit, what),
    }
}

/// The first elements of the list at `head`, as many as make it a long one; none of one that is shorter or damaged there.
#[must_use]
pub(crate) fn beginning<M: ReadVirtual + ?Sized>(memory: &M, head: VirtAddr) -> Vec<VirtAddr> {
    let mut nodes = Vec::new();
    let mut at = head;
    while nodes.len() < SHORT {
        match memory.read_pointer(at.wrapping_add(NEXT)) {
            Ok(next) if next != head => nodes.push(next),
            _ => return Vec::new(),
        }
        at = nodes.last().copied().unwrap_or(head);
    }
    nodes
}

/// Nodes that are followed alone before a list counts as long, and how many at least at a time then.
const SHORT: usize = 1024;
/// How many at most at a time: this many may be walked by both.
const STRIDE: usize = 16 << 10;

/// The elements of an undamaged list; `None` of any other.
fn from_both_ends<M: ReadVirtual + ?Sized>(memory: &M, head: VirtAddr, limit: usize) -> Option<Vec<VirtAddr>> {
    let link = |node: VirtAddr, link: u64| memory.read_pointer(node.wrapping_add(link)).ok();
    let next = |node, _| link(node, NEXT);
    let prev = |node, from| link(node, NEXT).filter(|&back| back == from).and_then(|_| link(node, PREV));
    let mut ahead = End::new(head, link(head, NEXT)?);
    if ahead.go(head, SHORT, next)? {
        return (ahead.nodes.len() <= limit).then_some(ahead.nodes);
    }
    let mut behind = End::new(head, link(head, PREV)?);
    let (mut stride, mut compared) = (SHORT, 0);
    loop {
        let (one, other) = rayon::join(|| ahead.go(head, stride, next), || behind.go(head, stride, prev));
        if one? {
            return (ahead.nodes.len() <= limit).then_some(ahead.nodes);
        }
        // To have come round backwards is to have met the other on the way.
        other?;
        // What is new behind may be old ahead.
        let new_behind = behind.nodes.get(behind.nodes.len().saturating_sub(stride)..).unwrap_or_default();
        let met_behind = new_behind.iter().filter_map(|node| ahead.places.get(node)).min().copied();
        let new_ahead = ahead.nodes.get(compared..).unwrap_or_default();
        let met_ahead = new_ahead.iter().position(|node| behind.places.contains_key(node)).map(|at| compared + at);
        if let Some(met) = met_behind.into_iter().chain(met_ahead).min() {
            let last = *behind.places.get(ahead.nodes.get(met)?)?;
            ahead.nodes.truncate(met);
            ahead.nodes.extend(behind.nodes.get(..=last)?.iter().rev());
            return (ahead.nodes.len() <= limit).then_some(ahead.nodes);
        }
        if ahead.nodes.len() + behind.nodes.len() > limit {
            return None;
        }
        compared = ahead.nodes.len();
        stride = (stride * 2).min(STRIDE);
    }
}

/// Addresses come from the dump: nobody who wrote it can know which of them this table has in one place.
pub(crate) type Places = HashMap<VirtAddr, usize, RandomState>;
/// The same, of addresses alone.
pub(crate) type Addresses = HashSet<VirtAddr, RandomState>;

/// A walk from the head in one direction.
struct End {
    nodes: Vec<VirtAddr>,
    /// Where each is among them.
    places: Places,
    /// The last of them, or the head.
    at: VirtAddr,
    /// What comes next in this direction.
    following: VirtAddr,
}

impl End {
    /// A walk that begins with this node.
    fn new(head: VirtAddr, first: VirtAddr) -> Self {
        Self { nodes: Vec::new(), places: Places::default(), at: head, following: first }
    }

    /// Follows as many links, or up to the head; whether it came to the head. `None` where `beyond`, which gives what
    /// comes after a node that was reached from another, says that the list is damaged, or it comes to a node again.
    fn go(
        &mut self,
        head: VirtAddr,
        count: usize,
        beyond: impl Fn(VirtAddr, VirtAddr) -> Option<VirtAddr>,
    ) -> Option<bool> {
        for _ in 0..count {
            let node = self.following;
            if node == head {
                return Some(true);
            }
            self.following = beyond(node, self.at)?;
            if self.places.insert(node, self.nodes.len()).is_some() {
                return None;
            }
            self.nodes.push(node);
            self.at = node;
        }
        Some(false)
    }
}

/// The element, or head, before the one at `node`.
///
/// # Errors
///
/// Why it is not known: a link that cannot be read, or one that does not lead back here.
pub(crate) fn before<M: ReadVirtual + ?Sized>(memory: &M, node: VirtAddr) -> Result<VirtAddr, String> {
    let before = memory.read_pointer(node.wrapping_add(PREV)).map_err(|_| format!("cannot be read at {node}"))?;
    let leads_back = memory.read_pointer(before).ok() == Some(node);
    leads_back.then_some(before).ok_or_else(|| format!("is broken at {before}"))
}

fn follow<M: ReadVirtual + ?Sized>(
    memory: &M,
    head: VirtAddr,
    link: u64,
    limit: usize,
    seen: &mut Addresses,
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
    let mut seen = Addresses::default();
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

    /// A list of `count` nodes whose head is at 0x100.
    fn long(count: u64) -> Words {
        circle(&(1..=count + 1).map(|index| index * 0x100).collect::<Vec<_>>())
    }

    #[test]
    fn from_both_ends_a_list_is_the_same() {
        let strides = [SHORT, 2 * SHORT, 3 * SHORT, 6 * SHORT, 2 * STRIDE];
        for count in strides.into_iter().flat_map(|count| [count - 1, count, count + 1]).chain(0..3) {
            let words = long(count as u64);
            for limit in [count, 1 << 20] {
                let walked = from_both_ends(&words, VirtAddr::new(0x100), limit).unwrap();
                assert!(
                    walked.iter().map(|node| node.get()).eq((2..count as u64 + 2).map(|index| index * 0x100)),
                    "{count}"
                );
            }
            assert!(count == 0 || from_both_ends(&words, VirtAddr::new(0x100), count - 1).is_none());
        }
    }

    #[test]
    fn from_both_ends_damage_is_what_it_is_from_one() {
        let (head, count) = (VirtAddr::new(0x100), 8 * SHORT as u64);
        let near = |place: u64| [place * 0x100, place * 0x100 + PREV];
        let places = [2, SHORT as u64, 3 * SHORT as u64, count / 2, count - 2, count];
        for place in places.into_iter().flat_map(near) {
            // Nowhere, to itself, back, to the head, and past some.
            for target in [0xdead, place & !0xff, 0x300, 0x100, (place & !0xff) + 0x500, count * 0x100] {
                let mut words = long(count);
                words.0.insert(place, target);
                let (both, one) = (long_list(&words, head, 1 << 20, "x"), list(&words, head, 1 << 20, "x"));
                assert_eq!((&both.nodes, &both.gap), (&one.nodes, &one.gap), "{place:#x} {target:#x}");
            }
        }
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
