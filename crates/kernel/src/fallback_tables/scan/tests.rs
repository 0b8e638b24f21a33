use proptest::prelude::*;

use super::*;
use crate::arch::x86_64::image::{IMAGE_BASE, MAX_IMAGE_SIZE};
use crate::test_memory::{TestMemory, damaged_memory};

const START: u64 = 0x10_0000;
const BASE: u64 = 0xffff_ffff_9a00_0000;
const SYMBOLS: u32 = 700;

/// How a kernel of some version lays its tables out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Absolute,
    WideMarkers,
    To6_1,
    To6_3,
    Since6_4,
    Since7_0,
}

const ORDERS: [Order; 6] =
    [Order::Absolute, Order::WideMarkers, Order::To6_1, Order::To6_3, Order::Since6_4, Order::Since7_0];

/// Memory that is written from its start to its end, each table aligned to so many bytes.
struct Image(Vec<u8>, usize);

impl Image {
    fn table(&mut self, bytes: &[u8]) -> u64 {
        self.0.resize(self.0.len().next_multiple_of(self.1), 0);
        let at = self.0.len() as u64;
        self.0.extend(bytes);
        at
    }
}

fn tokens() -> (Vec<u8>, Vec<u8>) {
    let (mut table, mut index) = (Vec::new(), Vec::new());
    for code in 0..=u8::MAX {
        index.extend(u16::try_from(table.len()).unwrap().to_le_bytes());
        match code {
            b'a'..=b'z' | b'A'..=b'Z' => table.push(code),
            _ => table.extend(format!("_{code}").bytes()),
        }
        table.push(0);
    }
    (table, index)
}

/// `T`, `f`, and a token of the symbol's number; every third name is longer.
fn names() -> (Vec<u8>, Vec<u32>) {
    let (mut names, mut markers) = (Vec::new(), Vec::new());
    for symbol in 0..SYMBOLS {
        if symbol.is_multiple_of(256) {
            markers.push(names.len() as u32);
        }
        let mut codes = vec![b'T', b'f', symbol as u8];
        codes.resize(if symbol.is_multiple_of(3) { 9 } else { 3 }, b'x');
        names.push(codes.len() as u8);
        names.extend(codes);
    }
    (names, markers)
}

/// The image, and where its token index is.
fn image(order: Order) -> (Vec<u8>, u64) {
    let mut image = Image(Vec::new(), if order == Order::Since7_0 { 4 } else { 8 });
    image.table(&[0xcc; 997]);
    // All are addresses: negative, as with per-CPU variables that are absolute.
    let offsets: Vec<u8> = (0..SYMBOLS).flat_map(|symbol| (-1 - 16 * symbol as i32).to_le_bytes()).collect();
    let addresses: Vec<u8> = (0..SYMBOLS).flat_map(|symbol| (BASE + 16 * u64::from(symbol)).to_le_bytes()).collect();
    match order {
        Order::Since6_4 | Order::Since7_0 => {}
        Order::Absolute => _ = image.table(&addresses),
        _ => {
            image.table(&offsets);
            image.table(&BASE.to_le_bytes());
        }
    }
    image.table(&SYMBOLS.to_le_bytes());
    let ((names, markers), (table, index)) = (names(), tokens());
    image.table(&names);
    match order {
        Order::WideMarkers => {
            image.table(&markers.iter().flat_map(|&at| u64::from(at).to_le_bytes()).collect::<Vec<_>>())
        }
        _ => image.table(&markers.iter().flat_map(|at| at.to_le_bytes()).collect::<Vec<_>>()),
    };
    if order == Order::To6_3 {
        image.table(&vec![7; SYMBOLS as usize * 3]);
    }
    image.table(&table);
    let index_at = image.table(&index);
    if order == Order::Since6_4 {
        image.table(&offsets);
        image.table(&BASE.to_le_bytes());
        image.table(&vec![7; SYMBOLS as usize * 3]);
    }
    if order == Order::Since7_0 {
        // The symbols' code lies 64 KiB before the place of the first offset, and each 16 bytes behind the one before.
        let offset = |symbol| -0x1_0000 + 16 * symbol - 4 * symbol;
        image.table(&(0..SYMBOLS as i32).flat_map(|symbol| offset(symbol).to_le_bytes()).collect::<Vec<_>>());
        image.table(&vec![7; SYMBOLS as usize * 3]);
    }
    image.table(&[0xcc; 99]);
    (image.0, index_at)
}

fn search(memory: &TestMemory) -> Vec<Found> {
    let frames = START / PAGE_SIZE..START / PAGE_SIZE + 64;
    find(
        memory,
        &[frames.start..frames.start + 2, frames.start + 2..frames.end],
        IMAGE_BASE..IMAGE_BASE + MAX_IMAGE_SIZE,
        &|_| (),
    )
    .collect()
}

fn memory(bytes: &[u8]) -> TestMemory {
    let mut memory = TestMemory::default();
    memory.put(START, bytes);
    memory
}

#[test]
fn every_order_is_found() {
    for order in ORDERS {
        let (bytes, index_at) = image(order);
        let found = search(&memory(&bytes));
        let [found] = &found[..] else { panic!("{order:?}: {} were found", found.len()) };
        assert_eq!(found.index, PhysAddr::new(START + index_at), "{order:?}");
        let place = START + index_at + INDEX_LEN as u64;
        let (kind, moved) = match order {
            Order::Absolute => (ValueKind::Addresses, ValueKind::Addresses),
            // The address that the place of the first offset has once the image is mapped.
            Order::Since7_0 => {
                (ValueKind::PlaceRelative { place }, ValueKind::PlaceRelative { place: BASE + 0x1_0000 })
            }
            _ => (ValueKind::Relative { base: BASE }, ValueKind::Relative { base: BASE }),
        };
        assert_eq!(found.tables.kind, kind, "{order:?}");
        let symbols = RawTables { kind: moved, ..found.tables.clone() }.decode(0).unwrap();
        let symbols: Vec<_> = symbols.iter().collect();
        assert_eq!(symbols.len(), SYMBOLS as usize, "{order:?}");
        let third = &symbols[3];
        let text = std::str::from_utf8(third.name).unwrap();
        assert_eq!((text, third.letter, third.address), ("f_3xxxxxx", b'T', BASE + 48), "{order:?}");
    }
}

/// A token index may begin in the last word of a page, and then goes on in the next.
#[test]
fn an_index_that_begins_at_the_end_of_a_page() {
    let (bytes, index_at) = image(Order::Since7_0);
    let mut memory = TestMemory::default();
    let start = START + PAGE_SIZE - 4 - index_at % PAGE_SIZE;
    memory.put(start, &bytes);
    assert_eq!(search(&memory).len(), 1);
}

/// Each table is needed, and what it says is compared.
#[test]
fn damage_is_not_taken_for_tables() {
    let (bytes, index_at) = image(Order::To6_1);
    let index_at = usize::try_from(index_at).unwrap();
    let at = |needle: &[u8]| bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    let (names, markers) = names();
    let places = [
        ("the end of a token", at(&tokens().0) + 2),
        ("the index", index_at + 100),
        ("the count", at(&SYMBOLS.to_le_bytes())),
        ("the names", at(&names)),
        ("the markers", at(&markers.iter().flat_map(|at| at.to_le_bytes()).collect::<Vec<_>>()) + 5),
        ("the base", at(&BASE.to_le_bytes()) + 7),
        ("the offsets", at(&(-1 - 16i32).to_le_bytes()) + 2),
    ];
    for (what, place) in places {
        let mut bytes = bytes.clone();
        bytes[place] ^= 0x40;
        assert!(search(&memory(&bytes)).is_empty(), "{what}");
    }
}

#[test]
fn pages_that_are_missing() {
    let (bytes, _) = image(Order::Since6_4);
    for page in 0..bytes.len() as u64 / PAGE_SIZE {
        let mut memory = memory(&bytes);
        memory.remove_page(START + page * PAGE_SIZE);
        // Some hold nothing that is needed.
        assert!(search(&memory).len() <= 1);
    }
    let mut none = memory(&bytes);
    (0..64).for_each(|page| none.remove_page(START + page * PAGE_SIZE));
    assert!(search(&none).is_empty());
}

#[test]
fn damage_of_tables_that_are_aligned_to_4_bytes() {
    let (bytes, index_at) = image(Order::Since7_0);
    let index_at = usize::try_from(index_at).unwrap();
    let at = |needle: &[u8]| bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    let (names, markers) = names();
    let places = [
        ("the end of a token", at(&tokens().0) + 2),
        ("the index", index_at + 100),
        ("the count", at(&SYMBOLS.to_le_bytes())),
        ("the names", at(&names)),
        ("the markers", at(&markers.iter().flat_map(|at| at.to_le_bytes()).collect::<Vec<_>>()) + 5),
        ("the offsets", index_at + INDEX_LEN + 4 * 100 + 2),
    ];
    for (what, place) in places {
        let mut bytes = bytes.clone();
        bytes[place] ^= 0x40;
        assert!(search(&memory(&bytes)).is_empty(), "{what}");
    }
}

/// Numbers that could each be a count, before names that go on for ever: the search ends all the same.
#[test]
fn the_search_for_names_is_bounded() {
    let mut bytes = Vec::new();
    (0..1u64 << 18).for_each(|_| bytes.extend((u64::from(MAX_SYMBOLS) | 0x0101_0101_0000_0000).to_le_bytes()));
    (0..1u64 << 16).for_each(|_| bytes.extend(u64::from(MAX_SYMBOLS).to_le_bytes()));
    bytes.extend(vec![1; 8 << 20]);
    assert!(find_names(&bytes).is_none());
    // The same with what could be markers behind them.
    let markers: Vec<u32> = (0..MAX_SYMBOLS / 256).collect();
    bytes.extend(markers.iter().flat_map(|marker| marker.to_le_bytes()));
    assert!(names_before_markers(&bytes).is_none());
}

proptest! {
    #[test]
    fn any_memory(memory in damaged_memory(START..START + 0x4000)) {
        let _ = search(&memory);
    }

    #[test]
    fn any_damage(place in 0usize..16_000, value in any::<[u8; 8]>(), order in 0..ORDERS.len()) {
        let (mut bytes, _) = image(ORDERS[order]);
        let place = place % (bytes.len() - 8);
        bytes[place..place + 8].copy_from_slice(&value);
        for found in search(&memory(&bytes)) {
            prop_assert!(found.tables.count >= MIN_SYMBOLS);
            let _ = found.tables.decode(0);
        }
    }
}
