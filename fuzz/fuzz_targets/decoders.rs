//! The decoders of pages against the C originals: what one makes a page of, the other makes the same page of. What nobody damaged
//! is a page for both.

#![no_main]

#[path = "../originals.rs"]
mod originals;

use libfuzzer_sys::fuzz_target;
use originals::Packing;
use vmcore_dump::fuzzing::decode;

/// What a decoder is given.
struct Packed {
    bytes: Vec<u8>,
    /// The page that they were made of, where nothing is damaged.
    page: Option<[u8; 4096]>,
}

/// Packed bytes as they are, or what the original makes of a page, whole or damaged.
fn packed(packing: Packing, how: u8, rest: &[u8]) -> Packed {
    if how & 1 == 0 {
        return Packed { bytes: rest.to_vec(), page: None };
    }
    let damage = usize::from(how >> 1 & 3) * 3;
    let (changes, contents) = rest.split_at(damage.min(rest.len()));
    let mut page = [0; 4096];
    for (to, from) in page.iter_mut().zip(contents.iter().cycle()) {
        *to = *from;
    }
    let mut bytes = packing.pack(&page);
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] = change[2];
    }
    Packed { bytes, page: changes.is_empty().then_some(page) }
}

fuzz_target!(|input: &[u8]| {
    let [which, how, rest @ ..] = input else { return };
    let packing = Packing::ALL[usize::from(*which) % Packing::ALL.len()];
    let Packed { bytes, page } = packed(packing, *how, rest);
    let ours = decode(packing.flag(), &bytes).expect("the flag is known");
    let theirs = packing.unpack(&bytes);
    match (ours, theirs, page) {
        // Of some damage zstd's fast decoder makes other pages than the plain one of its own project, which makes ours: nobody can
        // tell without a checksum.
        // And some that the original refuses still unpacks to the length of a page here.
        (Ok(_), _, None) if packing == Packing::Zstd => {}
        (Ok(ours), Some(theirs), _) => assert!(ours.as_slice() == theirs, "{packing:?}: another page of {bytes:x?}"),
        (Ok(_), None, _) => panic!("{packing:?}: a page of what the original refuses: {bytes:x?}"),
        (Err(why), _, Some(_)) => panic!("{packing:?}: {why}, but this is a page: {bytes:x?}"),
        // The originals overlook some damage: how a stream of bits ends, what is left over.
        (Err(_), _, None) => {}
    }
});
