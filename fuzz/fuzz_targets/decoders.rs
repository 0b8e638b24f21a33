//! The decoders of pages against the C originals: what one makes a page of, the other makes the same page of.

#![no_main]

#[path = "../originals.rs"]
mod originals;

use libfuzzer_sys::fuzz_target;
use originals::Packing;
use vmcore_dump::fuzzing::decode;

/// Packed bytes as they are, or what the original makes of a page, damaged.
fn packed(packing: Packing, how: u8, rest: &[u8]) -> Vec<u8> {
    if how & 1 == 0 {
        return rest.to_vec();
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
    bytes
}

fuzz_target!(|input: &[u8]| {
    let [which, how, rest @ ..] = input else { return };
    let packing = Packing::ALL[usize::from(*which) % Packing::ALL.len()];
    let bytes = packed(packing, *how, rest);
    let ours = decode(packing.flag(), &bytes).expect("the flag is known");
    let theirs = packing.unpack(&bytes);
    match (&ours, &theirs) {
        (Ok(ours), Some(theirs)) => assert!(ours.as_slice() == theirs, "{packing:?}: another page of {bytes:x?}"),
        (Ok(_), None) => panic!("{packing:?}: a page of what the original refuses: {bytes:x?}"),
        // No page needs a window larger than this.
        (Err(why), Some(_)) if why.contains("window") => {}
        (Err(why), Some(_)) => panic!("{packing:?}: {why}, but the original makes a page of {bytes:x?}"),
        (Err(_), None) => {}
    }
});
