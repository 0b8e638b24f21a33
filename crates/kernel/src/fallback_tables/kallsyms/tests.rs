use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const BASE: u64 = 0xffff_ffff_8100_0000;
const KASLR: u64 = 0x1a00_0000;

/// A token table in which every byte stands for itself, but 1 for `sched` and 2 for `ule`.
fn token_table() -> (Vec<u8>, Vec<u8>) {
    let (mut table, mut index) = (Vec::new(), Vec::new());
    for number in 0..=u8::MAX {
        index.extend(u16::try_from(table.len()).unwrap().to_le_bytes());
        match number {
            1 => table.extend(b"sched"),
            2 => table.extend(b"ule"),
            0 => {}
            byte => table.push(byte),
        }
        table.push(0);
    }
    (table, index)
}

fn names(names: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in names {
        match u8::try_from(name.len()) {
            Ok(len @ ..0x80) => bytes.push(len),
            _ => bytes.extend([name.len() as u8 & 0x7f | 0x80, (name.len() >> 7) as u8]),
        }
        bytes.extend(*name);
    }
    bytes
}

fn words(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn decode(names: &[u8], count: u32, values: Values<'_>) -> Result<Vec<(String, char, u64)>, KallsymsError> {
    let (token_table, token_index) = token_table();
    let (token_table, token_index) = (&token_table[..], &token_index[..]);
    let decoded = Kallsyms::decode(&Tables { count, names, token_table, token_index, values, kaslr_offset: KASLR })?;
    let text = |symbol: Symbol<'_>| String::from_utf8(symbol.name.to_vec()).unwrap();
    Ok(decoded.iter().map(|symbol| (text(symbol), char::from(symbol.letter), symbol.address)).collect())
}

fn symbol(name: &str, letter: char, address: u64) -> (String, char, u64) {
    (name.to_owned(), letter, address)
}

#[test]
fn negative_offsets_are_addresses_and_others_absolute() {
    let names = names(&[b"Arunqueues", b"T_text", b"T\x01\x02"]);
    let offsets = words(&[0x340, -1, -0x101]);
    let values = Values::Relative { offsets: &offsets, base: BASE + KASLR };
    let expected = [symbol("runqueues", 'A', 0x340), symbol("_text", 'T', BASE), symbol("schedule", 'T', BASE + 0x100)];
    assert_eq!(decode(&names, 3, values).unwrap(), expected);
}

#[test]
fn without_negative_offsets_all_are_distances() {
    let names = names(&[b"T_text", b"T\x01\x02", b"drunqueues"]);
    let offsets = words(&[0, 0x100, 0x340]);
    let values = Values::Relative { offsets: &offsets, base: BASE + KASLR };
    let expected =
        [symbol("_text", 'T', BASE), symbol("schedule", 'T', BASE + 0x100), symbol("runqueues", 'd', BASE + 0x340)];
    assert_eq!(decode(&names, 3, values).unwrap(), expected);
}

#[test]
fn addresses_in_full() {
    let names = names(&[b"drunqueues", b"T_text"]);
    let addresses = [0x340u64.to_le_bytes(), (BASE + KASLR).to_le_bytes()].concat();
    let expected = [symbol("runqueues", 'A', 0x340), symbol("_text", 'T', BASE)];
    assert_eq!(decode(&names, 2, Values::Addresses(&addresses)).unwrap(), expected);
}

#[test]
fn offsets_from_their_own_place() {
    let names = names(&[b"T_text", b"T", b"dbehind", b"Aabsolute"]);
    let place = BASE + 0x16b_19e8;
    let offsets = words(&[-0x16b_19e8, -0x16b_19e8 + 0x100 - 4, 0x1000 - 8, (0x340_i64 - place as i64 - 12) as i32]);
    let values = Values::PlaceRelative { offsets: &offsets, place };
    let expected = [
        symbol("_text", 'T', BASE),
        symbol("schedule", 'T', BASE + 0x100),
        symbol("behind", 'd', place + 0x1000),
        symbol("absolute", 'A', 0x340),
    ];
    assert_eq!(decode(&names, 4, values).unwrap(), expected);
    let values = Values::PlaceRelative { offsets: &offsets[..6], place };
    assert!(decode(&names, 4, values).is_err());
}

#[test]
fn long_names_have_two_bytes_of_length() {
    let long = [&b"t"[..], &[b'x'; 300]].concat();
    let names = names(&[&long, b"tnext"]);
    let offsets = words(&[-1, -2]);
    let found = decode(&names, 2, Values::Relative { offsets: &offsets, base: BASE + KASLR }).unwrap();
    assert_eq!(found[0], symbol(&"x".repeat(300), 't', BASE));
    assert_eq!(found[1], symbol("next", 't', BASE + 1));
}

#[test]
fn damage_is_named() {
    let names = names(&[b"T_text", b"T\x01\x02"]);
    let offsets = words(&[-1, -2]);
    let values = Values::Relative { offsets: &offsets, base: BASE };
    let short = |table, symbol| Err(KallsymsError::Short { table, symbol });
    assert_eq!(decode(&names, 3, values), short("kallsyms_names", 2));
    assert_eq!(decode(&names[..8], 2, values), short("kallsyms_names", 1));
    let values = Values::Relative { offsets: &offsets[..4], base: BASE };
    assert_eq!(decode(&names, 2, values), short("the table of addresses", 1));
    assert_eq!(decode(&names, 0, values), Err(KallsymsError::Count(0)));
    assert_eq!(decode(&names, u32::MAX, values), Err(KallsymsError::Count(u32::MAX)));
    let long = [&[0xff, 0x7f][..], &[1; 0x3fff]].concat();
    assert_eq!(decode(&long, 1, values), Err(KallsymsError::LongName(0)));
    let tables = Tables { count: 2, names: &names, token_table: b"T", token_index: &[0; 512], values, kaslr_offset: 0 };
    assert_eq!(
        Kallsyms::decode(&tables).unwrap_err(),
        KallsymsError::Short { table: "kallsyms_token_table", symbol: 0 }
    );
}

#[test]
fn a_nameless_symbol_is_passed_over() {
    let offsets = words(&[-1, -2]);
    let values = Values::Relative { offsets: &offsets, base: BASE + KASLR };
    assert_eq!(decode(&names(&[b"", b"Tb"]), 2, values).unwrap(), [symbol("b", 'T', BASE + 1)]);
}

proptest! {
    #[test]
    fn garbage_never_panics(
        count in 0u32..64,
        names in vec(any::<u8>(), 0..512),
        token_table in vec(any::<u8>(), 0..512),
        token_index in vec(any::<u8>(), 0..600),
        values in vec(any::<u8>(), 0..256),
        base in any::<u64>(),
        kaslr_offset in any::<u64>(),
    ) {
        for values in [
            Values::Relative { offsets: &values, base },
            Values::Addresses(&values),
            Values::PlaceRelative { offsets: &values, place: base },
        ] {
            let tables = Tables { count, names: &names, token_table: &token_table, token_index: &token_index, values, kaslr_offset };
            if let Ok(decoded) = Kallsyms::decode(&tables) {
                prop_assert!(decoded.iter().count() <= count as usize);
            }
        }
    }
}
