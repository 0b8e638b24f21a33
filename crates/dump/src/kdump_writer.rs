//! Writes kdump-compressed dumps, version 6, as makedumpfile lays them out; `kdump.rs` has the layout.
//!
//! For tests of other programs and for synthetic dumps: the compressed pages are kept in memory until all are known,
//! because their descriptors stand in front of them.

use std::io::{self, Write};
use std::ops::Range;

use vmcore_memory::{Architecture, PAGE_SIZE, Pfn};

use crate::elf_writer::encode_notes;
use crate::{RawNote, Vmcoreinfo};

const BLOCK: u64 = PAGE_SIZE;
/// A bit for each.
const FRAMES_PER_BLOCK: u64 = 8 * BLOCK;
const DESCRIPTOR_LEN: u64 = 24;
/// Where notes begin, from the start of the sub-header.
const SUB_HEADER_LEN: u64 = 104;
/// One of the machine's names, its terminator included.
const NAME_LEN: usize = 65;
/// `disk_dump_header.nr_cpus`.
const NR_CPUS_AT: usize = 460;
const NT_PRSTATUS: u32 = 1;
/// Sub-header: the words from `start_pfn` on.
const WORDS_AT: usize = 16;

/// How pages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `makedumpfile -c`.
    Zlib,
    /// `makedumpfile -l`.
    Lzo,
    /// `makedumpfile -p`.
    Snappy,
    /// `makedumpfile -z`.
    Zstd,
}

impl Compression {
    /// The flag of a page's descriptor.
    pub(crate) const fn flag(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Zlib => 1,
            Self::Lzo => 2,
            Self::Snappy => 4,
            Self::Zstd => 0x20,
        }
    }

    /// The compressed bytes.
    pub(crate) fn encode(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(bytes.to_vec()),
            Self::Zlib => zlib(bytes),
            Self::Lzo => lzokay::compress::compress(bytes).map_err(|error| io::Error::other(error.to_string())),
            Self::Snappy => snap::raw::Encoder::new().compress_vec(bytes).map_err(io::Error::other),
            Self::Zstd => Ok(vmcore_zstd::compress(bytes)),
        }
    }

    /// How a page is stored, with the flag of its descriptor: compressed where that is smaller.
    fn store(self, page: &[u8]) -> io::Result<(u32, Vec<u8>)> {
        let encoded = self.encode(page)?;
        Ok(if encoded.len() < page.len() { (self.flag(), encoded) } else { (0, page.to_vec()) })
    }
}

fn zlib(page: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(page)?;
    encoder.finish()
}

/// A dump to be: its pages must come in the order of their frames.
pub struct NewKdump<'n, P> {
    /// The machine, whose name is in the header.
    pub architecture: Architecture,
    /// The notes, `NT_PRSTATUS` and VMCOREINFO among them.
    pub notes: &'n [RawNote],
    /// All pages that are in the dump.
    pub pages: P,
    /// How they are compressed.
    pub compression: Compression,
}

impl<'p, P: Iterator<Item = (Pfn, &'p [u8])> + Clone> NewKdump<'_, P> {
    /// Writes a dump of one file.
    ///
    /// # Errors
    ///
    /// What `out` or a compressor says; [`io::ErrorKind::InvalidInput`] for a note that is too long.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        self.write_file(None, out)
    }

    /// Writes one file of a split dump: the one with these frames.
    ///
    /// # Errors
    ///
    /// As [`NewKdump::write`].
    pub fn write_part(&self, frames: Range<Pfn>, out: &mut impl Write) -> io::Result<()> {
        self.write_file(Some(frames), out)
    }

    fn write_file(&self, part: Option<Range<Pfn>>, out: &mut impl Write) -> io::Result<()> {
        let notes = Notes::encode(self.notes)?;
        let sub_blocks = (SUB_HEADER_LEN + notes.bytes.len() as u64).div_ceil(BLOCK);
        let frames = self.pages.clone().last().map_or(0, |(last, _)| last.get() + 1);
        let bitmap_blocks = 2 * frames.div_ceil(FRAMES_PER_BLOCK);
        out.write_all(&header((self.architecture, &self.release()), sub_blocks, bitmap_blocks, frames, notes.cpus))?;
        out.write_all(&sub_header(&notes, sub_blocks, part.as_ref(), frames))?;
        // No page was left out: what is memory is in the dump.
        self.write_bitmap(frames, out)?;
        self.write_bitmap(frames, out)?;
        let descriptors_at = (1 + sub_blocks + bitmap_blocks) * BLOCK;
        self.write_pages(part.as_ref(), descriptors_at, out)
    }

    /// What VMCOREINFO says that the kernel is called.
    fn release(&self) -> String {
        let info = self.notes.iter().find(|note| note.name == b"VMCOREINFO");
        let info = info.map(|note| Vmcoreinfo::parse(&note.desc));
        info.and_then(|info| info.osrelease().map(str::to_owned)).unwrap_or_default()
    }

    /// Block by block: that of a machine with terabytes would not fit into memory.
    fn write_bitmap(&self, frames: u64, out: &mut impl Write) -> io::Result<()> {
        let mut pages = self.pages.clone().map(|(pfn, _)| pfn.get()).peekable();
        for first in (0..frames).step_by(FRAMES_PER_BLOCK as usize) {
            let mut block = [0u8; BLOCK as usize];
            while let Some(pfn) = pages.next_if(|pfn| *pfn < first + FRAMES_PER_BLOCK) {
                let byte = usize::try_from((pfn - first) / 8).ok().and_then(|at| block.get_mut(at));
                byte.into_iter().for_each(|byte| *byte |= 1 << (pfn % 8));
            }
            out.write_all(&block)?;
        }
        Ok(())
    }

    fn write_pages(&self, part: Option<&Range<Pfn>>, at: u64, out: &mut impl Write) -> io::Result<()> {
        let own = self.pages.clone().filter(|(pfn, _)| part.is_none_or(|part| part.contains(pfn)));
        let data_at = at + own.clone().count() as u64 * DESCRIPTOR_LEN;
        let mut descriptors = Vec::new();
        // As makedumpfile does: all pages of zeroes are the one in front.
        let mut data = vec![0; BLOCK as usize];
        for (_, page) in own {
            let (offset, size, flag) = if page.iter().all(|byte| *byte == 0) {
                (data_at, BLOCK as usize, 0)
            } else {
                let offset = data_at + data.len() as u64;
                let (flag, stored) = self.compression.store(page)?;
                data.extend(&stored);
                (offset, stored.len(), flag)
            };
            descriptors.extend(offset.to_le_bytes());
            descriptors.extend((size as u32).to_le_bytes());
            descriptors.extend(flag.to_le_bytes());
            descriptors.extend([0; 8]);
        }
        out.write_all(&descriptors)?;
        out.write_all(&data)
    }
}

/// The notes as they are in the file, and what the headers say about them.
struct Notes {
    bytes: Vec<u8>,
    /// How many CPUs have one.
    cpus: u32,
    /// Offset and length of the VMCOREINFO text in `bytes`.
    vmcoreinfo: Option<(u64, u64)>,
}

impl Notes {
    fn encode(notes: &[RawNote]) -> io::Result<Self> {
        let (mut bytes, mut cpus, mut vmcoreinfo) = (Vec::new(), 0, None);
        for note in notes {
            let encoded = encode_notes(std::slice::from_ref(note))?;
            if note.name == b"VMCOREINFO" {
                let padded = (note.desc.len() as u64).next_multiple_of(4);
                let at = (bytes.len() + encoded.len()) as u64 - padded;
                vmcoreinfo = Some((at, note.desc.len() as u64));
            }
            cpus += u32::from(note.kind == NT_PRSTATUS);
            bytes.extend(encoded);
        }
        Ok(Self { bytes, cpus, vmcoreinfo })
    }
}

/// `struct disk_dump_header`.
fn header(
    (architecture, release): (Architecture, &str),
    sub_blocks: u64,
    bitmap_blocks: u64,
    frames: u64,
    cpus: u32,
) -> Vec<u8> {
    let machine = match architecture {
        Architecture::X86_64 => "x86_64",
        Architecture::Arm64 => "aarch64",
    };
    let mut header = b"KDUMP   ".to_vec();
    header.extend(6u32.to_le_bytes());
    // struct new_utsname: system, node, release, version, machine, domain. Where release, version or machine is empty,
    // libkdumpfile believes none of them, and does not know the machine. VMCOREINFO does not tell the version.
    for name in ["Linux", "", release, "#1", machine, ""] {
        let end = header.len() + NAME_LEN;
        header.extend(name.bytes().take(NAME_LEN - 1));
        header.resize(end, 0);
    }
    header.resize(424, 0);
    // `max_mapnr` of 32 bits; the one that counts is in the sub-header.
    let frames = u32::try_from(frames).unwrap_or(u32::MAX);
    for word in [0, BLOCK as u32, sub_blocks as u32, bitmap_blocks as u32, frames] {
        header.extend(word.to_le_bytes());
    }
    header.resize(NR_CPUS_AT, 0);
    header.extend(cpus.to_le_bytes());
    header.resize(BLOCK as usize, 0);
    header
}

/// `struct kdump_sub_header`, then the notes.
fn sub_header(notes: &Notes, blocks: u64, part: Option<&Range<Pfn>>, frames: u64) -> Vec<u8> {
    let mut header = vec![0; 12];
    header.extend(u32::from(part.is_some()).to_le_bytes());
    debug_assert_eq!(header.len(), WORDS_AT);
    let (start, end) = part.map_or((0, 0), |part| (part.start.get(), part.end.get()));
    let notes_at = BLOCK + SUB_HEADER_LEN;
    let (info_at, info_len) = notes.vmcoreinfo.map_or((0, 0), |(at, len)| (notes_at + at, len));
    // Frames of the part, VMCOREINFO (one of the notes here), notes, erased data, frames in 64 bits.
    for word in [start, end, info_at, info_len, notes_at, notes.bytes.len() as u64, 0, 0, start, end, frames] {
        header.extend(word.to_le_bytes());
    }
    header.extend(&notes.bytes);
    header.resize(usize::try_from(blocks * BLOCK).unwrap_or_default(), 0);
    header
}

#[cfg(test)]
mod tests {
    use vmcore_memory::{PhysAddr, ReadPhysical};

    use super::*;
    use crate::{Dump, Format};

    fn note() -> RawNote {
        RawNote { name: b"VMCOREINFO".to_vec(), kind: 0, desc: b"OSRELEASE=6.1.0\nPAGESIZE=4096\n".to_vec() }
    }

    /// Frame 3 compresses, frame 5 does not, frame 0x2000 is all zeroes.
    fn pages() -> Vec<(Pfn, Vec<u8>)> {
        let noise = (0u32..1024).flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
        [(3, vec![7; 4096]), (5, noise), (0x2000, vec![0; 4096])].map(|(pfn, page)| (Pfn::new(pfn), page)).into()
    }

    #[test]
    fn every_compression_is_read_back() {
        for compression in
            [Compression::None, Compression::Zlib, Compression::Lzo, Compression::Snappy, Compression::Zstd]
        {
            let pages = pages();
            let dump = NewKdump {
                architecture: Architecture::X86_64,
                notes: &[note()],
                pages: pages.iter().map(|(pfn, page)| (*pfn, page.as_slice())),
                compression,
            };
            let file = tempfile::NamedTempFile::new().unwrap();
            dump.write(&mut file.as_file()).unwrap();
            let dump = Dump::open(file.path()).unwrap();
            assert_eq!(dump.format(), Format::KdumpCompressed);
            assert_eq!((dump.warnings(), dump.vmcoreinfo().unwrap().osrelease()), (&[][..], Some("6.1.0")));
            for (pfn, page) in &pages {
                let mut found = vec![9; 4096];
                dump.read_physical(pfn.phys_addr().unwrap(), &mut found).unwrap();
                assert!(found == *page, "{compression:?}, frame {pfn}");
            }
            assert!(dump.read_physical(PhysAddr::new(0x4000), &mut [0; 8]).is_err());
        }
    }
}
