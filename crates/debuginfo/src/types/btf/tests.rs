//! BTF blobs written by hand, one kind at a time.

use std::hint::black_box;

use proptest::prelude::*;

use super::{super::Types, header::MAGIC, *};
use crate::{Member, MemberKind};

/// Writes types one after the other; the first has id 1.
#[derive(Default)]
struct Writer {
    types: Vec<u8>,
    strings: Vec<u8>,
    last: u32,
}

impl Writer {
    fn new() -> Self {
        Self { strings: vec![0], ..Self::default() }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn words(&mut self, words: &[u32]) {
        self.types.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    /// Adds a type and gives its id. `rest` are the words behind the head.
    fn add(&mut self, kind: u32, name: &str, flag: bool, vlen: u32, size_or_type: u32, rest: &[u32]) -> u32 {
        let name = self.string(name);
        self.words(&[name, u32::from(flag) << 31 | kind << 24 | vlen, size_or_type]);
        self.words(rest);
        self.last += 1;
        self.last
    }

    fn int(&mut self, name: &str, size: u32, signed: bool) -> u32 {
        self.add(1, name, false, 0, size, &[(u32::from(signed) << 24) + size * 8])
    }

    /// Members are (name, type, word 3).
    fn aggregate(&mut self, kind: u32, name: &str, flag: bool, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let rest: Vec<u32> = members.iter().flat_map(|&(name, ty, offset)| [self.string(name), ty, offset]).collect();
        self.add(kind, name, flag, members.len() as u32, size, &rest)
    }

    fn finish(&self) -> Vec<u8> {
        self.finish_with(24, &[])
    }

    /// With a header of this length and the layouts of kinds, each its four bytes.
    fn finish_with(&self, header: u32, layouts: &[[u8; 4]]) -> Vec<u8> {
        let mut blob = Vec::new();
        blob.extend_from_slice(&MAGIC.to_le_bytes());
        blob.extend_from_slice(&[1, 0]);
        let lengths = (self.types.len() as u32, self.strings.len() as u32, layouts.len() as u32 * 4);
        let words = [header, 0, lengths.0, lengths.0, lengths.1, lengths.0 + lengths.1, lengths.2];
        for word in words.into_iter().take(header as usize / 4 - 1) {
            blob.extend_from_slice(&u32::to_le_bytes(word));
        }
        blob.extend_from_slice(&self.types);
        blob.extend_from_slice(&self.strings);
        blob.extend(layouts.iter().flatten());
        blob
    }

    fn types(&self) -> Types {
        Types::from_btf(self.finish()).unwrap()
    }
}

fn integer(offset: u64, size: u64, signed: bool, type_name: &str) -> Member {
    let kind = MemberKind::Integer { signed };
    Member { offset, bit_offset: None, bit_size: None, size, kind, type_name: Some(type_name.into()) }
}

/// A page-like struct: anonymous union of anonymous structs, typedefs, arrays, pointers.
fn page() -> Types {
    let mut w = Writer::new();
    let ulong = w.int("long unsigned int", 8, false);
    let int = w.int("int", 4, true);
    let atomic = w.aggregate(4, "", false, 4, &[("counter", int, 0)]);
    let atomic_t = w.add(8, "atomic_t", false, 0, atomic, &[]);
    let words = w.add(3, "", false, 0, 0, &[ulong, int, 3]);
    let void_pointer = w.add(2, "", false, 0, 0, &[]);
    let tail = w.aggregate(4, "", false, 24, &[("compound_head", ulong, 0), ("_mapcount", atomic_t, 64)]);
    let alternatives = w.aggregate(5, "", false, 24, &[("words", words, 0), ("", tail, 0), ("any", void_pointer, 0)]);
    let constant = w.add(10, "", false, 0, ulong, &[]);
    let flexible = w.add(3, "", false, 0, 0, &[atomic_t, int, 0]);
    w.aggregate(4, "page", false, 32, &[("flags", constant, 0), ("", alternatives, 64), ("more", flexible, 256)]);
    let page = w.last;
    let pointer = w.add(2, "", false, 0, page, &[]);
    w.aggregate(4, "zone", false, 16, &[("mem_map", pointer, 0), ("pages", pointer, 64)]);
    w.types()
}

#[test]
fn members_through_anonymous_unions_typedefs_and_arrays() {
    let types = page();
    assert_eq!(types.size_of("page"), Some(32));
    assert_eq!(types.size_of("struct page"), Some(32));
    assert_eq!(types.size_of("union page"), None);
    assert_eq!(types.size_of("atomic_t"), Some(4));
    assert_eq!(types.size_of("long unsigned int"), Some(8));
    assert_eq!(types.member("page", "flags"), Some(integer(0, 8, false, "long unsigned int")));
    assert_eq!(types.member("page", "compound_head"), Some(integer(8, 8, false, "long unsigned int")));
    assert_eq!(types.member("struct page", "_mapcount.counter"), Some(integer(16, 4, true, "int")));
    assert_eq!(types.member("page", "words[2]").unwrap().offset, 24);
    assert_eq!(types.member("page", "words[3]"), None, "past the end");
    assert_eq!(types.member("page", "more[5].counter").unwrap().offset, 52, "a flexible array has no end");
    let words = types.member("page", "words").unwrap();
    assert_eq!(words.kind, MemberKind::Array { len: 3, element_size: 8 });
    assert_eq!((words.size, words.type_name.as_deref()), (24, Some("long unsigned int[3]")));
    let mapcount = types.member("page", "_mapcount").unwrap();
    assert_eq!((mapcount.kind, mapcount.type_name.as_deref()), (MemberKind::Struct(None), Some("atomic_t")));
    assert_eq!(types.member("page", "any").unwrap().type_name.as_deref(), Some("void *"));
    let mem_map = types.member("zone", "mem_map").unwrap();
    assert_eq!((mem_map.kind, mem_map.type_name.as_deref()), (MemberKind::Pointer, Some("struct page *")));
    for missing in ["nothing", "flags.counter", "flags[0]", "_mapcount.other", "mem_map.flags", "", "words[x]"] {
        assert_eq!(types.member("page", missing), None, "{missing}");
    }
    assert_eq!(types.member("zone", "mem_map.flags"), None, "no path through pointers");
    let names = ["flags", "words", "compound_head", "_mapcount", "any", "more"];
    assert_eq!(types.member_names("page"), names);
    assert!(types.member_names("int").is_empty() && types.member_names("nothing").is_empty());
    assert!(types.has_type("page") && !types.has_type("folio"));
    assert!(types.has_member("page", "flags") && !types.has_member("page", "compound_info"));
}

#[test]
fn bit_fields_of_both_encodings() {
    let mut w = Writer::new();
    let uint = w.int("unsigned int", 4, false);
    let flag = 1 << 24;
    w.aggregate(4, "new", true, 8, &[("whole", uint, 0), ("a", uint, 3 << 24 | 32), ("b", uint, flag | 61)]);
    // Before kind_flag: an integer type of 2 bits, starting at bit 4 of its storage.
    let two_bits = w.add(1, "unsigned int", false, 0, 4, &[4 << 16 | 2]);
    w.aggregate(4, "old", false, 8, &[("whole", uint, 0), ("c", two_bits, 32)]);
    let types = w.types();
    let bits = |of: &str, name: &str| {
        let member = types.member(of, name).unwrap();
        (member.offset, member.bit_offset, member.bit_size, member.size)
    };
    assert_eq!(bits("new", "whole"), (0, None, None, 4));
    assert_eq!(bits("new", "a"), (4, Some(0), Some(3), 4));
    assert_eq!(bits("new", "b"), (4, Some(29), Some(1), 4));
    assert_eq!(bits("old", "whole"), (0, None, None, 4));
    assert_eq!(bits("old", "c"), (4, Some(4), Some(2), 4));
}

#[test]
fn enumerators_of_every_width_and_sign() {
    let mut w = Writer::new();
    let minus_one = u32::MAX;
    let names = ["A", "B", "SIGNED", "LOW", "HIGH"].map(|name| w.string(name));
    w.add(6, "plain", false, 2, 4, &[names[0], 1, names[1], 0x8000_0000]);
    w.add(6, "", true, 1, 4, &[names[2], minus_one]);
    w.add(19, "wide", false, 2, 8, &[names[3], 1, 0, names[4], 0, 1]);
    let types = w.types();
    assert_eq!(types.enumerator("A"), Some(1));
    assert_eq!(types.enumerator("B"), Some(0x8000_0000), "unsigned where signed ones are marked");
    assert_eq!(types.enumerator("SIGNED"), Some(-1));
    assert_eq!(types.enumerator("HIGH"), Some(1 << 32));
    assert_eq!(types.enumerator("plain"), None);
    assert_eq!(types.enumerator_of("wide", "LOW"), Some(1));
    assert_eq!(types.enumerator_of("enum wide", "A"), None);
    assert_eq!(types.size_of("enum wide"), Some(8));

    let mut old = Writer::new();
    let name = old.string("NEGATIVE");
    old.add(6, "old", false, 1, 4, &[name, minus_one]);
    assert_eq!(old.types().enumerator("NEGATIVE"), Some(-1), "signed where nothing is marked");
}

#[test]
fn variables_have_a_size_and_a_length() {
    let mut w = Writer::new();
    let int = w.int("int", 4, true);
    let array = w.add(3, "", false, 0, 0, &[int, int, 7]);
    w.add(14, "counts", false, 0, array, &[1]);
    let types = w.types();
    assert_eq!(types.variable_type_size("counts"), Some(28));
    assert_eq!(types.variable_array_len("counts"), Some(7));
    assert_eq!(types.variable_array_len("int"), None, "a type, not a variable");
}

#[test]
fn arrays_of_pointers_to_a_struct_have_lengths() {
    let mut w = Writer::new();
    let int = w.int("int", 4, true);
    let array_of_pointers = |w: &mut Writer, name, lens: &[u32]| {
        let target = w.aggregate(4, name, false, 4, &[("a", int, 0)]);
        let pointer = w.add(2, "", false, 0, target, &[]);
        for &len in lens {
            w.add(3, "", false, 0, 0, &[pointer, int, len]);
        }
    };
    array_of_pointers(&mut w, "one", &[23, 0]);
    array_of_pointers(&mut w, "two", &[6, 5, 6]);
    array_of_pointers(&mut w, "none", &[]);
    let types = w.types();
    assert_eq!(types.pointer_array_lens("one"), [23], "a flexible array says nothing");
    assert_eq!(types.pointer_array_lens("two"), [5, 6]);
    assert_eq!(types.pointer_array_lens("none"), []);
    assert_eq!(types.pointer_array_lens("int"), []);
}

#[test]
fn cycles_and_dangling_references_end() {
    let mut w = Writer::new();
    w.add(8, "loop", false, 0, 2, &[]);
    w.add(10, "", false, 0, 1, &[]);
    w.aggregate(4, "selfish", false, 8, &[("", 3, 0), ("x", 99, 0)]);
    w.add(3, "", false, 0, 0, &[5, 0, 2]);
    w.add(8, "tower", false, 0, 4, &[]);
    w.add(2, "", false, 0, 6, &[]);
    w.aggregate(4, "star", false, 8, &[("pointer", 6, 0)]);
    let types = w.types();
    assert_eq!(types.size_of("loop"), None);
    assert_eq!(types.size_of("tower"), None);
    assert_eq!(types.member("selfish", "deep"), None);
    assert_eq!(types.member("selfish", "x"), None);
    assert_eq!(types.member("star", "pointer").unwrap().type_name, None);
}

#[test]
fn a_struct_that_holds_itself_many_times_over_ends() {
    let mut w = Writer::new();
    let members = vec![("", 1, 0); 1000];
    w.aggregate(4, "hall_of_mirrors", false, 8, &members);
    let types = w.types();
    assert_eq!(types.member("hall_of_mirrors", "anything"), None);
    assert!(types.member_names("hall_of_mirrors").is_empty());
}

#[test]
fn what_cannot_be_read_is_named() {
    let error = |blob: Vec<u8>| Types::from_btf(blob).unwrap_err();
    assert_eq!(error(b"ELF?".to_vec()), BtfError::BadMagic { found: 0x4c45 });
    assert_eq!(error(vec![0xeb, 0x9f, 1, 0]), BtfError::BigEndian);
    assert_eq!(error(vec![0x9f, 0xeb, 9, 0]), BtfError::UnknownVersion { found: 9 });
    assert_eq!(error(vec![0x9f]), BtfError::Truncated { what: "the header", needed: 24, available: 1 });
    let mut w = Writer::new();
    w.int("int", 4, true);
    w.add(31, "future", false, 0, 0, &[]);
    assert_eq!(error(w.finish()), BtfError::UnknownKind { id: 2, kind: 31 });
    let mut cut = page_blob();
    cut.truncate(cut.len() - 1);
    assert!(matches!(error(cut), BtfError::Truncated { what: "the string section", .. }));
    let mut w = Writer::new();
    w.add(4, "promises", false, 9, 8, &[0, 0, 0]);
    assert_eq!(error(w.finish()), BtfError::TruncatedType { id: 1 });
}

/// A type of a kind from the future between two structs, with a word behind its head and 8 bytes for each of 3 elements.
fn future_kind() -> Writer {
    let mut w = Writer::new();
    let int = w.int("int", 4, true);
    w.aggregate(4, "before", false, 4, &[("member", int, 0)]);
    w.add(99, "future", true, 3, 0, &[7; 7]);
    w.aggregate(4, "after", false, 8, &[("member", int, 32), ("future", 3, 0)]);
    w
}

fn layouts(of_99: [u8; 4]) -> Vec<[u8; 4]> {
    let mut layouts = vec![[0; 4]; 99];
    layouts.push(of_99);
    layouts
}

#[test]
fn unknown_kinds_are_stepped_over_by_their_layout() {
    let w = future_kind();
    let types = Types::from_btf(w.finish_with(32, &layouts([4, 8, 0, 0]))).unwrap();
    assert_eq!(types.member("after", "member").unwrap().offset, 4);
    assert_eq!((types.size_of("before"), types.size_of("future")), (Some(4), None));
    let unknown = BtfError::UnknownKind { id: 3, kind: 99 };
    let error = |blob| Types::from_btf(blob).unwrap_err();
    assert_eq!(error(w.finish()), unknown, "a header without layouts");
    assert_eq!(error(w.finish_with(24, &layouts([4, 8, 0, 0]))), unknown);
    assert_eq!(error(w.finish_with(32, &layouts([4, 8, 0, 0])[..99])), unknown, "not among the layouts");
    assert_eq!(error(w.finish_with(32, &layouts([5, 8, 0, 0]))), unknown, "types start at multiples of 4");
    assert_eq!(error(w.finish_with(32, &layouts([4, 255, 0, 0]))), unknown);
    assert_eq!(error(w.finish_with(32, &layouts([252, 252, 0, 0]))), BtfError::TruncatedType { id: 3 });
    let mut cut = w.finish_with(32, &layouts([4, 8, 0, 0]));
    cut.pop();
    assert!(matches!(error(cut), BtfError::Truncated { what: "the layout section", .. }));
}

/// Since 7.3 a type may have more than 65535 members.
#[test]
fn more_members_than_16_bits_count() {
    let mut w = Writer::new();
    let variable = {
        let int = w.int("int", 4, true);
        w.add(14, "last", false, 0, int, &[1])
    };
    let name = w.string("many");
    let enumerators: Vec<u32> = (0..0x1_1170).flat_map(|value| [name, value]).collect();
    w.add(6, "numbers", false, 0x1_1170, 4, &enumerators);
    let variables: Vec<u32> = (0..0x1_1170).flat_map(|number| [variable, number * 4, 4]).collect();
    w.add(15, ".data..percpu", false, 0x1_1170, 0x4_45c0, &variables);
    w.aggregate(4, "behind", false, 16, &[("member", 1, 64)]);
    let types = w.types();
    assert_eq!(types.member("behind", "member").unwrap().offset, 8);
    let (_, variables) = types.section_variables(".data..percpu").unwrap();
    assert_eq!((variables.len(), variables.last()), (0x1_1170, Some(&("last".to_owned(), 0x1_116f * 4))));
}

fn page_blob() -> Vec<u8> {
    let mut w = Writer::new();
    let int = w.int("int", 4, true);
    let inner = w.aggregate(5, "", true, 4, &[("a", int, 0), ("b", int, 5 << 24)]);
    let array = w.add(3, "", false, 0, 0, &[inner, int, 4]);
    w.aggregate(4, "s", true, 20, &[("", inner, 0), ("list", array, 32)]);
    let name = w.string("E");
    w.add(6, "e", true, 1, 4, &[name, 5]);
    w.add(8, "t", false, 0, 4, &[]);
    w.finish()
}

/// Asks everything there is to ask.
fn exercise(blob: Vec<u8>) {
    let Ok(types) = Types::from_btf(blob) else { return };
    for name in ["s", "struct s", "t", "e", "int", "", "enum e"] {
        black_box((types.size_of(name), types.enumerator_of(name, "E")));
        black_box((types.variable_type_size(name), types.variable_array_len(name)));
        for path in ["a", "b", "list", "list[3].b", "list[0]", ""] {
            black_box(types.member(name, path));
        }
    }
    black_box(types.enumerator("E"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        exercise(bytes);
    }

    #[test]
    fn arbitrary_types_behind_a_good_header_never_panic(words in proptest::collection::vec(0u32..32, 0..60)) {
        let mut w = Writer::new();
        w.string("s");
        // Kinds sit in the fifth byte of each triple: make them likely.
        let words: Vec<u32> = words.iter().enumerate().map(|(at, &word)| if at % 3 == 1 { word << 24 | word } else { word }).collect();
        w.words(&words);
        exercise(w.finish());
    }

    #[test]
    fn mutations_never_panic(at in 0usize..300, value in any::<u8>(), second in 0usize..300, other in any::<u8>()) {
        let mut blob = page_blob();
        let len = blob.len();
        blob[at % len] = value;
        blob[second % len] = other;
        exercise(blob);
    }
}

#[test]
fn variables_of_a_section() {
    let mut btf = Writer::new();
    let int = btf.int("int", 4, true);
    // The section may come before its variables.
    btf.add(15, ".data..percpu", false, 3, 0x80, &[3, 0, 4, 4, 0x40, 4, 99, 0x44, 4]);
    btf.add(14, "cpu_number", false, 0, int, &[1]);
    btf.add(14, "runqueues", false, 0, int, &[1]);
    let expected = vec![("cpu_number".to_owned(), 0), ("runqueues".to_owned(), 0x40)];
    assert_eq!(btf.types().section_variables(".data..percpu"), Some((0x80, expected)));
    assert_eq!(btf.types().section_variables(".data"), None);
    let mut cut = btf.finish();
    cut.truncate(cut.len() - 1);
    assert!(Types::from_btf(cut).is_err());
}
