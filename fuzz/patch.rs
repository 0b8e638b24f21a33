//! Dumps with one or two words changed: what a fuzzer's bytes say to change, and to what.
//!
//! Random words are nothing that a kernel would hold. So most changes take another word that the dump has: the address of
//! another task, page or stack, another time, another count.

/// How many words one input changes. More could put together a machine that is right by itself.
const MAX_CHANGES: usize = 2;
/// Bytes of the input for each change.
const CHANGE_LEN: usize = 8;

/// Memory of a distilled dump by words, and the words worth putting elsewhere.
pub struct Patcher {
    file: Vec<u8>,
    /// Where in the file the words of memory are that are not zero: distilling has left nothing but what is read.
    places: Vec<usize>,
    /// The distinct words of memory that look like addresses of the kernel, sorted.
    pointers: Vec<u64>,
}

impl Patcher {
    /// For a file whose memory begins at `memory_at`.
    pub fn new(file: Vec<u8>, memory_at: usize) -> Self {
        let mut pointers: Vec<u64> = words(&file[memory_at..]).filter(|word| *word >> 47 == 0x1_ffff).collect();
        pointers.sort_unstable();
        pointers.dedup();
        let places =
            (memory_at / 8..file.len() / 8).map(|index| index * 8).filter(|&at| word(&file, at) != 0).collect();
        Self { file, places, pointers }
    }

    /// The file with the changes that `input` asks for.
    pub fn changed(&self, input: &[u8]) -> Vec<u8> {
        let mut file = self.file.clone();
        for change in input.chunks_exact(CHANGE_LEN).take(MAX_CHANGES) {
            let place = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize;
            let at = self.places[place % self.places.len()];
            let old = word(&file, at);
            let argument = u32::from_le_bytes([change[4], change[5], change[6], change[7]]);
            let new = self.value(old, at, change[3], argument);
            file[at..at + 8].copy_from_slice(&new.to_le_bytes());
        }
        file
    }

    /// What becomes of the word `old`.
    fn value(&self, old: u64, at: usize, how: u8, argument: u32) -> u64 {
        let argument_word = u64::from(argument);
        let half = if argument & 1 == 0 { 0 } else { 32 };
        match how % 12 {
            0 => 0,
            1 => u64::MAX,
            2 => old ^ 1 << (argument % 64),
            3 => old.wrapping_add(argument_word),
            4 => old.wrapping_sub(argument_word),
            // A 32-bit member beside another.
            5 => old & !(0xffff_ffff << half) | (argument_word >> 1 & 0xff) << half,
            // Some seconds, in nanoseconds.
            6 => old.wrapping_add((argument_word & 0xffff) * 1_000_000_000),
            7 => old.wrapping_sub((argument_word & 0xffff) * 1_000_000_000),
            // Another word of the same page.
            8 => word(&self.file, at / 4096 * 4096 + argument as usize % 512 * 8),
            // The word of another object of this shape, or the same a little further on.
            9 => word(&self.file, (at + argument as usize % 65536 * 8) % (self.file.len() / 8 * 8 - 8)),
            _ => self.pointers.get(argument as usize % self.pointers.len().max(1)).copied().unwrap_or_default(),
        }
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).map(|chunk| word(chunk, 0))
}

/// The word at this place, 0 beyond the end.
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}
